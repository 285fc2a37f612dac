/* SPDX-License-Identifier: BSD-3-Clause */
/* softvfio ls: devices of the running instances, and who uses them. */
#include <errno.h>
#include <getopt.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/cli.h"
#include "cli/collect.h"
#include "cli/text.h"

#define OPT_INSTANCE CLI_LONG
#define OPT_JSON     (CLI_LONG + 1)
#define OPT_STATS    (CLI_LONG + 2)

static const struct cli_option options[] = {
	{OPT_INSTANCE, "instance", "NAME", "this one only"},
	{OPT_JSON, "json", NULL, "print JSON"},
	{OPT_STATS, "stats", NULL, "what each device has done"},
	{0, NULL, NULL, NULL},
};

static void add_instance(json_t *list, json_t *answer, const char *instance)
{
	json_object_set_new(answer, "instance", json_string(instance));
	json_array_append(list, answer);
}

/* Printing */

static const char *print_open(const json_t *open, const char *comma)
{
	char who[FIELD_MAX], what[FIELD_MAX];

	for (size_t i = 0; i < json_array_size(open); i++) {
		const json_t *o = json_array_get(open, i);

		printf("%s%s %s", comma, text_program(o, who),
		       text_field(o, "file", what));
		comma = ", ";
	}
	return comma;
}

static const char *print_mappings(const json_t *mappings, const char *comma)
{
	char pid[FIELD_MAX], bar[FIELD_MAX];

	for (size_t i = 0; i < json_array_size(mappings); i++) {
		const json_t *o = json_array_get(mappings, i);
		json_t *at = json_object_get(o, "offset");
		json_t *size = json_object_get(o, "size");

		printf("%s[%s] bar%s %#llx+%#llx", comma,
		       text_field(o, "pid", pid), text_field(o, "bar", bar),
		       (unsigned long long)json_integer_value(at),
		       (unsigned long long)json_integer_value(size));
		comma = ", ";
	}
	return comma;
}

static void print_users(const json_t *device)
{
	const json_t *stuck = json_object_get(device, "stuck");
	char field[FIELD_MAX];
	const char *comma = print_open(json_object_get(device, "open"), "");

	comma = print_mappings(json_object_get(device, "mappings"), comma);
	if (json_string_length(stuck)) {
		printf("%s%s", comma, text_field(device, "stuck", field));
		comma = ", ";
	}
	puts(*comma ? "" : "-");
}

static void print_device(const json_t *instance, const json_t *device)
{
	static const struct {
		const char *key;
		int width;
	} columns[] = {
		{"bdf", 12},  {"model", 8}, {"id", 9},
		{"class", 6}, {"group", 5}, {"driver", 8},
	};
	char field[FIELD_MAX];

	printf("%-12s", text_field(instance, "instance", field));
	for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++)
		printf("  %-*s", columns[i].width,
		       text_field(device, columns[i].key, field));
	fputs("  ", stdout);
	print_users(device);
}

static void print_container(const json_t *instance, const json_t *container)
{
	const json_t *groups = json_object_get(container, "groups");
	char name[FIELD_MAX], who[FIELD_MAX], type[FIELD_MAX], n[FIELD_MAX];

	printf("%-12s  container of %s: %s, %s mappings",
	       text_field(instance, "instance", name),
	       text_program(container, who),
	       text_field(container, "type", type),
	       text_field(container, "mappings", n));
	for (size_t i = 0; i < json_array_size(groups); i++)
		printf("%s%lld", i ? " " : ", groups ",
		       (long long)json_integer_value(
			       json_array_get(groups, i)));
	putchar('\n');
}

static void print_each(const json_t *list, const char *key,
		       void (*print)(const json_t *in, const json_t *o))
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *in = json_array_get(list, i);
		const json_t *part = json_object_get(in, key);

		for (size_t j = 0; j < json_array_size(part); j++)
			print(in, json_array_get(part, j));
	}
}

static void print_tables(const json_t *list)
{
	printf("%-12s  %-12s  %-8s  %-9s  %-6s  %-5s  %-8s  %s\n", "INSTANCE",
	       "DEVICE", "MODEL", "ID", "CLASS", "GROUP", "DRIVER", "USED BY");
	print_each(list, "devices", print_device);
	print_each(list, "containers", print_container);
}

/* Names of counters as they come, so that a model may have any. */
static void print_counts(const json_t *stats)
{
	json_t *value;
	const char *name;

	json_object_foreach((json_t *)(uintptr_t)stats, name, value)
	{
		if (json_is_object(value))
			print_counts(value);
		else if (json_is_integer(value))
			printf("    %-20s %lld\n", name,
			       (long long)json_integer_value(value));
	}
}

static void print_stats(const json_t *instance, const json_t *device)
{
	char name[FIELD_MAX], bdf[FIELD_MAX], model[FIELD_MAX];

	printf("%-12s  %s  %s\n", text_field(instance, "instance", name),
	       text_field(device, "bdf", bdf),
	       text_field(device, "model", model));
	print_counts(json_object_get(device, "stats"));
}

static void print(const json_t *list, bool stats)
{
	if (stats)
		print_each(list, "devices", print_stats);
	else
		print_tables(list);
}

static int ls(const char *name, bool json, bool stats)
{
	json_t *list = json_array();
	int r = list ? collect_answers(name, "ls", add_instance, list)
		     : -ENOMEM;

	if (!r && json)
		text_print_list("instances", list);
	else if (!r && json_array_size(list))
		print(list, stats);
	else if (!r)
		cli_say("no instance is running");
	json_decref(list);
	return r ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int ls_main(const struct command *cmd, int argc, char **argv)
{
	bool json = false, stats = false;
	const char *name = NULL;
	int status = 0;

	for (;;) {
		int key = cli_option(cmd, argc, argv, &status);

		if (key == CLI_STOP)
			return status;
		if (key == CLI_END)
			break;
		if (key == OPT_INSTANCE)
			name = optarg;
		else if (key == OPT_STATS)
			stats = true;
		else
			json = true;
	}
	if (!cli_no_arguments(cmd, argc, argv, &status))
		return status;
	return ls(name, json, stats);
}

const struct command cmd_ls = {
	.name = "ls",
	.synopsis = "[--instance NAME] [--json] [--stats]",
	.summary = "show devices, groups, who has them open, and mappings",
	.options = options,
	.usage_status = EXIT_USAGE,
	.main = ls_main,
};
