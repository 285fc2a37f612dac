/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the subcommands share: the table they are in, their options, and how
 * they report wrong usage (one line: what was wrong, and what exists).
 */
#ifndef SOFTVFIO_CLI_CLI_H
#define SOFTVFIO_CLI_CLI_H

#include <stdbool.h>

#define EXIT_OWN_FAILURE    125 /* of `run`: softvfio itself failed */
#define EXIT_CANNOT_EXECUTE 126
#define EXIT_NOT_FOUND	    127
#define EXIT_USAGE	    2 /* of everything else */

/**
 * struct cli_option - One option of a subcommand; a table ends with key 0
 * @key:  its letter, or CLI_LONG + n when it has none
 * @arg:  name of its argument, NULL = takes none
 */
struct cli_option {
	int key;
	const char *name;
	const char *arg;
	const char *help;
};

#define CLI_LONG 256

/**
 * struct command - One subcommand
 * @synopsis:	what follows the name in the usage line
 * @options:	see above
 * @program:	everything from the first argument on is not ours
 * @usage_status: exit status of wrong usage
 * @main:	called with argv[0] being the subcommand's name
 */
struct command {
	const char *name;
	const char *synopsis;
	const char *summary;
	const struct cli_option *options;
	bool program;
	int usage_status;
	int (*main)(const struct command *cmd, int argc, char **argv);
};

/* Each in the file of its name; main.c has the table, ended by NULL. */
extern const struct command cmd_run, cmd_serve, cmd_ls, cmd_why, cmd_unplug,
	cmd_plug, cmd_devices, cmd_version, cmd_help;
extern const struct command *const commands[];

/** cli_say() - One line to stderr, "softvfio: ..." */
void cli_say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/**
 * cli_usage() - Report wrong usage, "softvfio run: ..."
 *
 * Return: the command's usage_status.
 */
int cli_usage(const struct command *cmd, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

#define CLI_END	 (-1) /* no more options; arguments start at argv[optind] */
#define CLI_STOP (-2) /* return *status now: help was shown, or wrong usage */

/**
 * cli_option() - The next option; its argument is in optarg
 *
 * Return: its key, CLI_END or CLI_STOP.
 */
int cli_option(const struct command *cmd, int argc, char **argv, int *status);

/** cli_no_arguments() - false, and reported, if there are any left */
bool cli_no_arguments(const struct command *cmd, int argc, char **argv,
		      int *status);

/** cli_help() - Usage of one subcommand to stdout */
void cli_help(const struct command *cmd);

#endif
