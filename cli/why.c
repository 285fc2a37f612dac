/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * softvfio why: what was refused and for which reason, by the instances that
 * are running and in the last run that has ended.
 */
#include <errno.h>
#include <getopt.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "cli/cli.h"
#include "cli/collect.h"
#include "cli/record.h"
#include "cli/text.h"

#define LAST_RUN     "last run" /* where the record came from */
#define OPT_INSTANCE CLI_LONG
#define OPT_JSON     (CLI_LONG + 1)

static const struct cli_option options[] = {
	{OPT_INSTANCE, "instance", "NAME", "this one only"},
	{OPT_JSON, "json", NULL, "print JSON"},
	{'n', "newest", "N", "the N newest only"},
	{0, NULL, NULL, NULL},
};

struct args {
	const char *instance;
	bool json;
	size_t newest;
};

/* Collecting */

static void append(json_t *list, json_t *answer, const char *from)
{
	const json_t *refusals = json_object_get(answer, "refusals");

	for (size_t i = 0; i < json_array_size(refusals); i++) {
		json_t *refusal = json_array_get(refusals, i);

		if (!json_is_object(refusal))
			continue;
		json_object_set_new(refusal, "instance", json_string(from));
		json_array_append(list, refusal);
	}
}

static int collect(const char *name, json_t *list)
{
	if (!name) {
		json_t *record = record_load();

		append(list, record, LAST_RUN);
		json_decref(record);
	}
	return collect_answers(name, "why", append, list);
}

/* Oldest first; the order of an answer is kept within one time. */

struct entry {
	double time;
	size_t place;
	json_t *refusal;
};

static int compare(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	if (x->time != y->time)
		return x->time < y->time ? -1 : 1;
	return x->place < y->place ? -1 : x->place > y->place;
}

/* A new array of the newest; NULL = out of memory. */
static json_t *newest(const json_t *list, size_t max)
{
	size_t n = json_array_size(list);
	struct entry *entries = calloc(n + 1, sizeof(*entries));
	json_t *sorted = json_array();

	for (size_t i = 0; entries && i < n; i++) {
		json_t *r = json_array_get(list, i);

		entries[i].time = json_number_value(json_object_get(r, "time"));
		entries[i].place = i;
		entries[i].refusal = r;
	}
	if (entries)
		qsort(entries, n, sizeof(*entries), compare);
	for (size_t i = n > max ? n - max : 0; entries && sorted && i < n; i++)
		json_array_append(sorted, entries[i].refusal);
	free(entries);
	return sorted;
}

/* Printing */

static void print_time(const json_t *refusal)
{
	double when = json_number_value(json_object_get(refusal, "time"));
	time_t seconds = (time_t)when;
	struct tm tm;
	char text[32] = "-";

	if (localtime_r(&seconds, &tm))
		strftime(text, sizeof(text), "%F %T", &tm);
	printf("%s.%03u", text,
	       (unsigned int)((when - (double)seconds) * 1000) % 1000);
}

static void print_refusal(const json_t *refusal)
{
	char from[FIELD_MAX], who[FIELD_MAX];
	char call[FIELD_MAX], err[FIELD_MAX];

	print_time(refusal);
	printf("  %s: %s  %s  %s\n    ", text_field(refusal, "instance", from),
	       text_program(refusal, who), text_field(refusal, "call", call),
	       text_field(refusal, "errno", err));
	text_print(stdout, json_object_get(refusal, "reason"));
	putchar('\n');
}

static void print_list(const json_t *list)
{
	if (!json_array_size(list))
		cli_say("nothing was refused");
	for (size_t i = 0; i < json_array_size(list); i++)
		print_refusal(json_array_get(list, i));
}

static int why(const struct args *args)
{
	json_t *list = json_array();
	int r = list ? collect(args->instance, list) : -ENOMEM;
	json_t *sorted = newest(list, args->newest);

	if (!r && args->json)
		text_print_list("refusals", sorted);
	else if (!r)
		print_list(sorted);
	json_decref(sorted);
	json_decref(list);
	return r ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* Arguments */

static int set_newest(const struct command *cmd, struct args *args,
		      const char *text)
{
	char *end = NULL;

	errno = 0;
	args->newest = strtoul(text, &end, 10);
	if (*text >= '0' && *text <= '9' && !*end && !errno)
		return 0;
	return cli_usage(cmd, "-n %s is not a number", text);
}

static bool take_options(const struct command *cmd, int argc, char **argv,
			 struct args *args, int *status)
{
	for (;;) {
		int key = cli_option(cmd, argc, argv, status);

		if (key == CLI_STOP)
			return false;
		if (key == CLI_END)
			return cli_no_arguments(cmd, argc, argv, status);
		if (key == OPT_INSTANCE)
			args->instance = optarg;
		else if (key == OPT_JSON)
			args->json = true;
		else if ((*status = set_newest(cmd, args, optarg)))
			return false;
	}
}

static int why_main(const struct command *cmd, int argc, char **argv)
{
	struct args args = {.newest = SIZE_MAX};
	int status = 0;

	if (!take_options(cmd, argc, argv, &args, &status))
		return status;
	return why(&args);
}

const struct command cmd_why = {
	.name = "why",
	.synopsis = "[--instance NAME] [--json] [-n N]",
	.summary = "say what was refused, and for which reason",
	.options = options,
	.usage_status = EXIT_USAGE,
	.main = why_main,
};
