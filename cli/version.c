/* SPDX-License-Identifier: BSD-3-Clause */
/* softvfio version */
#include <stdio.h>

#include "cli/cli.h"

static const struct cli_option options[] = {{0, NULL, NULL, NULL}};

static int version_main(const struct command *cmd, int argc, char **argv)
{
	int status = 0;

	if (cli_option(cmd, argc, argv, &status) == CLI_STOP)
		return status;
	if (!cli_no_arguments(cmd, argc, argv, &status))
		return status;
	puts("softvfio " SOFTVFIO_VERSION);
	return 0;
}

const struct command cmd_version = {
	.name = "version",
	.synopsis = "",
	.summary = "say which version this is",
	.options = options,
	.usage_status = EXIT_USAGE,
	.main = version_main,
};
