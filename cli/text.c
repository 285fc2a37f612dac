/* SPDX-License-Identifier: BSD-3-Clause */
/* Fields of JSON as text. */
#include <stdbool.h>
#include <stdio.h>

#include "cli/text.h"

static bool steers_terminal(char c)
{
	return (unsigned char)c < ' ' || c == 0x7f;
}

void text_print(FILE *out, const json_t *value)
{
	const char *s = json_string_value(value);

	for (s = s ? s : "-"; *s; s++)
		fputc(steers_terminal(*s) ? '?' : *s, out);
}

void text_print_list(const char *key, json_t *list)
{
	json_t *all = json_pack("{s:O}", key, list);

	json_dumpf(all, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(all);
}

const char *text_field(const json_t *object, const char *key, char *field)
{
	const json_t *value = json_object_get(object, key);

	if (json_string_length(value))
		snprintf(field, FIELD_MAX, "%s", json_string_value(value));
	else if (json_is_integer(value))
		snprintf(field, FIELD_MAX, "%" JSON_INTEGER_FORMAT,
			 json_integer_value(value));
	else
		snprintf(field, FIELD_MAX, "-");
	for (char *c = field; *c; c++) {
		if (steers_terminal(*c))
			*c = '?';
	}
	return field;
}

const char *text_program(const json_t *object, char *field)
{
	char name[FIELD_MAX], pid[FIELD_MAX];

	if (!json_integer_value(json_object_get(object, "pid")))
		snprintf(field, FIELD_MAX, "device");
	else
		snprintf(field, FIELD_MAX, "%.64s[%.16s]",
			 text_field(object, "program", name),
			 text_field(object, "pid", pid));
	return field;
}
