/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What `run` and `serve` are told about the machine to make: the devices, and
 * how the daemon is to behave.
 */
#ifndef SOFTVFIO_CLI_MACHINE_H
#define SOFTVFIO_CLI_MACHINE_H

#include "cli/cli.h"
#include "cli/spawn.h"
#include "daemon/conf.h"

struct machine {
	struct conf devices;
	struct spawn_options daemon;
	const char *instance; /* NULL = not given */
};

/** machine_option_table - what both take */
extern const struct cli_option machine_option_table[];

/**
 * machine_options() - Take all options
 * @status: set when false is returned: the exit status
 */
bool machine_options(const struct command *cmd, int argc, char **argv,
		     struct machine *m, int *status);

/** machine_complete() - Devices are there and have their places; or reported */
bool machine_complete(const struct command *cmd, struct machine *m,
		      int *status);

#endif
