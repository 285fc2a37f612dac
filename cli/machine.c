/* SPDX-License-Identifier: BSD-3-Clause */
/* Options that `run` and `serve` have in common. */
#include <getopt.h>
#include <string.h>

#include "cli/instance.h"
#include "cli/machine.h"

#define OPT_INSTANCE CLI_LONG
#define OPT_MEMLOCK  (CLI_LONG + 1)

const struct cli_option machine_option_table[] = {
	{'d', "device", "MODEL,...", "add a device; see `softvfio devices`"},
	{'c', "config", "FILE", "add the devices of a topology file (JSON)"},
	{OPT_INSTANCE, "instance", "NAME", "the standing instance"},
	{OPT_MEMLOCK, "memlock", "enforce|account",
	 "what RLIMIT_MEMLOCK does to DMA mappings; default: account"},
	{'v', "verbose", NULL, "log what the daemon does"},
	{0, NULL, NULL, NULL},
};

static int set_memlock(const struct command *cmd, struct machine *m,
		       const char *how)
{
	m->daemon.memlock_enforce = !strcmp(how, "enforce");
	if (m->daemon.memlock_enforce || !strcmp(how, "account"))
		return 0;
	return cli_usage(cmd, "no --memlock=%s; there are: enforce, account",
			 how);
}

static int set_instance(const struct command *cmd, struct machine *m,
			const char *name)
{
	m->instance = name;
	if (instance_name_ok(name))
		return 0;
	return cli_usage(cmd,
			 "'%s' cannot be an instance's name: up to %d "
			 "letters, digits, _ and -, not beginning with run-",
			 name, INSTANCE_NAME_MAX);
}

static int set_option(const struct command *cmd, struct machine *m, int key,
		      const char *arg)
{
	char err[256] = "";

	switch (key) {
	case 'd':
		return conf_add_text(&m->devices, arg, err)
			       ? cli_usage(cmd, "%s", err)
			       : 0;
	case 'c':
		return conf_add_json(&m->devices, arg, err)
			       ? cli_usage(cmd, "%s", err)
			       : 0;
	case OPT_INSTANCE:
		return set_instance(cmd, m, arg);
	case OPT_MEMLOCK:
		return set_memlock(cmd, m, arg);
	default:
		m->daemon.verbose = true;
		return 0;
	}
}

bool machine_options(const struct command *cmd, int argc, char **argv,
		     struct machine *m, int *status)
{
	for (;;) {
		int key = cli_option(cmd, argc, argv, status);

		if (key == CLI_END)
			return true;
		if (key == CLI_STOP)
			return false;
		*status = set_option(cmd, m, key, optarg);
		if (*status)
			return false;
	}
}

bool machine_complete(const struct command *cmd, struct machine *m, int *status)
{
	char err[256] = "";

	if (!m->devices.n_devs)
		*status = cli_usage(cmd, "no device; give -d MODEL or -c FILE "
					 "(`softvfio devices` lists models)");
	else if (conf_place(&m->devices, err))
		*status = cli_usage(cmd, "%s", err);
	else
		return true;
	return false;
}
