/* SPDX-License-Identifier: BSD-3-Clause */
/* Fields of JSON as text. */
#include <stdio.h>
#include <string.h>

#include "cli/text.h"
#include "lib/cleanup.h"
#include "lib/plain.h"

void text_print(FILE *out, const json_t *value)
{
	const char *s = json_string_value(value);
	_cleanup_(freep) char *text = strdup(s ? s : "-");

	fputs(text ? plain_text(text) : "?", out);
}

void text_print_list(const char *key, json_t *list)
{
	json_t *all = json_pack("{s:O}", key, list);

	json_dumpf(all, stdout, JSON_INDENT(2) | JSON_ENSURE_ASCII);
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
	return plain_text(field);
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
