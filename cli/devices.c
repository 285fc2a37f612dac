/* SPDX-License-Identifier: BSD-3-Clause */
/* softvfio devices: the models there are and the options they take. */
#include <stdio.h>

#include "cli/cli.h"
#include "daemon/conf.h"

static const struct cli_option options[] = {{0, NULL, NULL, NULL}};

static int devices_main(const struct command *cmd, int argc, char **argv)
{
	int status = 0;

	if (cli_option(cmd, argc, argv, &status) == CLI_STOP)
		return status;
	if (!cli_no_arguments(cmd, argc, argv, &status))
		return status;
	conf_help(stdout);
	return 0;
}

const struct command cmd_devices = {
	.name = "devices",
	.synopsis = "",
	.summary = "list device models and their options",
	.options = options,
	.usage_status = EXIT_USAGE,
	.main = devices_main,
};
