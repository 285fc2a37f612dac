/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * softvfio run: one program, with a daemon of its own (which ends with it) or
 * on a standing instance.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/control.h"
#include "cli/instance.h"
#include "cli/machine.h"
#include "cli/program.h"
#include "cli/record.h"
#include "cli/text.h"

static void print_report(const json_t *report)
{
	const json_t *lines = json_object_get(report, "lines");

	for (size_t i = 0; i < json_array_size(lines); i++) {
		text_print(stderr, json_array_get(lines, i));
		fputc('\n', stderr);
	}
}

/* Before the daemon ends: what was off, and what it refused. */
static void take_leave(const struct instance *in)
{
	json_t *report = NULL;
	int r = control_ask(in->dir, "report", &report);

	if (r) {
		cli_say("no report, since the daemon does not answer: %s",
			strerror(-r));
		return;
	}
	print_report(report);
	record_save(report);
	json_decref(report);
}

/* With a daemon of its own. */
static int run_private(const struct machine *m, char **argv, const char *shim,
		       int *ret_status)
{
	struct instance in;
	struct spawn daemon;
	int r = instance_private(&in);

	if (r)
		return r;
	r = spawn_daemon(&in, &m->devices, &m->daemon, &daemon);
	if (!r) {
		r = program_run(argv, in.dir, shim, ret_status);
		if (!r)
			take_leave(&in);
		spawn_end(&daemon);
	}
	instance_remove(&in);
	return r;
}

/* On a standing instance. */
static int run_there(const struct machine *m, char **argv, const char *shim,
		     int *ret_status)
{
	struct instance in;
	int r = instance_find(m->instance, &in);

	return r ? r : program_run(argv, in.dir, shim, ret_status);
}

static bool check_arguments(const struct command *cmd, int argc, char **argv,
			    struct machine *m, int *status)
{
	if (!machine_options(cmd, argc, argv, m, status))
		return false;
	if (optind == argc) {
		*status = cli_usage(cmd, "no program; usage: softvfio run %s",
				    cmd->synopsis);
		return false;
	}
	if (!m->instance)
		return machine_complete(cmd, m, status);
	if (!m->devices.n_devs && !m->daemon.memlock_enforce &&
	    !m->daemon.verbose)
		return true;
	*status = cli_usage(cmd, "-d, -c, --memlock and -v are for a new "
				 "machine, and --instance uses one there is");
	return false;
}

static int run(const struct machine *m, char **argv, int *ret_status)
{
	char shim[PATH_MAX];
	int r = program_shim(shim);

	if (r)
		return r;
	return m->instance ? run_there(m, argv, shim, ret_status)
			   : run_private(m, argv, shim, ret_status);
}

static int run_main(const struct command *cmd, int argc, char **argv)
{
	struct machine m = {.instance = NULL};
	int usage = 0, status = 0;
	bool right = check_arguments(cmd, argc, argv, &m, &usage);
	int r = right ? run(&m, argv + optind, &status) : 0;

	conf_done(&m.devices);
	if (!right)
		return usage;
	if (r)
		return EXIT_OWN_FAILURE;
	program_exit(status);
}

const struct command cmd_run = {
	.name = "run",
	.synopsis = "[-d MODEL,...]... [-c FILE] [--instance NAME] [--] "
		    "PROGRAM [ARGUMENT]...",
	.summary = "run a program on a machine with these devices",
	.options = machine_option_table,
	.program = true,
	.usage_status = EXIT_OWN_FAILURE,
	.main = run_main,
};
