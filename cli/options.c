/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * getopt_long driven by one table per subcommand, from which the help text and
 * the list of what exists come as well.
 */
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "lib/plain.h"

#define OPTIONS_MAX 15 /* of one subcommand, beside --help */
#define LIST_MAX    256
#define SAID_MAX    8192 /* what is longer is cut */

static const struct cli_option help_option = {
	'h',
	"help",
	NULL,
	"show this",
};

/* The line that says what is wrong. It quotes whatever was written. */
__attribute__((format(printf, 3, 0))) static void say(const char *blank,
						      const char *name,
						      const char *fmt,
						      va_list ap)
{
	char line[SAID_MAX];

	fflush(stdout);
	vsnprintf(line, sizeof(line), fmt, ap);
	fprintf(stderr, "softvfio%s%s: %s\n", blank, name, plain_text(line));
}

void cli_say(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say("", "", fmt, ap);
	va_end(ap);
}

int cli_usage(const struct command *cmd, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(" ", cmd->name, fmt, ap);
	va_end(ap);
	return cmd->usage_status;
}

static const struct cli_option *find(const struct command *cmd, int key)
{
	for (const struct cli_option *o = cmd->options; o->key; o++) {
		if (o->key == key)
			return o;
	}
	return &help_option;
}

/* "-d, --config" and so on: everything the user could have written */
static void list_options(const struct command *cmd, char list[LIST_MAX])
{
	size_t used = 0;

	list[0] = '\0';
	for (const struct cli_option *o = cmd->options; o->key; o++) {
		int n = snprintf(list + used, LIST_MAX - used, "--%s, ",
				 o->name);

		if (n < 0 || (size_t)n >= LIST_MAX - used)
			return;
		used += (size_t)n;
	}
	snprintf(list + used, LIST_MAX - used, "--help");
}

static int bad_option(const struct command *cmd, char **argv)
{
	char list[LIST_MAX];
	const char *said = argv[optind - 1];

	list_options(cmd, list);
	/* a letter may stand among others, so argv does not say which it was */
	if (optopt && optopt < CLI_LONG && strncmp(said, "--", 2))
		return cli_usage(cmd, "no option '-%c'; there are: %s", optopt,
				 list);
	if (optopt)
		return cli_usage(cmd, "option '%s' takes no argument", said);
	return cli_usage(cmd, "no option '%s'; there are: %s", said, list);
}

static void add_option(const struct cli_option *o, struct option *longs,
		       char **shorts)
{
	*longs = (struct option){o->name, o->arg ? required_argument : 0, NULL,
				 o->key};
	if (o->key >= CLI_LONG)
		return;
	*(*shorts)++ = (char)o->key;
	if (o->arg)
		*(*shorts)++ = ':';
}

int cli_option(const struct command *cmd, int argc, char **argv, int *status)
{
	struct option longs[OPTIONS_MAX + 2] = {0};
	char shorts[2 * OPTIONS_MAX + 5] = {0};
	char *end = shorts;
	size_t n = 0;

	if (cmd->program)
		*end++ = '+';
	*end++ = ':';
	for (; cmd->options[n].key && n < OPTIONS_MAX; n++)
		add_option(&cmd->options[n], &longs[n], &end);
	add_option(&help_option, &longs[n], &end);

	opterr = 0;
	int key = getopt_long(argc, argv, shorts, longs, NULL);

	if (key == 'h') {
		cli_help(cmd);
		*status = 0;
		return CLI_STOP;
	}
	if (key == ':') {
		const struct cli_option *o = find(cmd, optopt);

		*status = cli_usage(cmd, "option '%s' needs its argument, %s",
				    argv[optind - 1], o->arg);
		return CLI_STOP;
	}
	if (key == '?') {
		*status = bad_option(cmd, argv);
		return CLI_STOP;
	}
	return key;
}

bool cli_no_arguments(const struct command *cmd, int argc, char **argv,
		      int *status)
{
	if (optind >= argc)
		return true;
	*status =
		cli_usage(cmd, "'%s' is not understood; usage: softvfio %s %s",
			  argv[optind], cmd->name, cmd->synopsis);
	return false;
}

static void print_option(const struct cli_option *o)
{
	char left[64];
	int n = 0;

	if (o->key < CLI_LONG)
		n = snprintf(left, sizeof(left), "-%c, ", o->key);
	snprintf(left + n, sizeof(left) - (size_t)n, "--%s%s%s", o->name,
		 o->arg ? " " : "", o->arg ? o->arg : "");
	printf("  %-28s %s\n", left, o->help);
}

void cli_help(const struct command *cmd)
{
	printf("usage: softvfio %s %s\n%s\n\n", cmd->name, cmd->synopsis,
	       cmd->summary);
	for (const struct cli_option *o = cmd->options; o->key; o++)
		print_option(o);
	print_option(&help_option);
}
