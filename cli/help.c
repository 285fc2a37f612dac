/* SPDX-License-Identifier: BSD-3-Clause */
/* softvfio help [SUBCOMMAND]: generated from the tables, so never stale. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

static const struct cli_option options[] = {{0, NULL, NULL, NULL}};

static void overview(void)
{
	puts("softvfio: run programs that use Linux VFIO against PCI devices "
	     "made of software\n");
	for (const struct command *const *c = commands; *c; c++)
		printf("  softvfio %-8s %s\n", (*c)->name, (*c)->summary);
	puts("\n`softvfio help SUBCOMMAND` and softvfio(1) say more. For "
	     "example:\n"
	     "  softvfio run -d nvme,size=1G -- lspci -vvvnn");
}

static int help_main(const struct command *cmd, int argc, char **argv)
{
	int status = 0;

	if (cli_option(cmd, argc, argv, &status) == CLI_STOP)
		return status;
	if (optind == argc) {
		overview();
		return 0;
	}
	for (const struct command *const *c = commands; *c; c++) {
		if (!strcmp((*c)->name, argv[optind])) {
			cli_help(*c);
			return 0;
		}
	}
	return cli_usage(cmd, "no subcommand '%s'; `softvfio help` lists them",
			 argv[optind]);
}

const struct command cmd_help = {
	.name = "help",
	.synopsis = "[SUBCOMMAND]",
	.summary = "say how to use it",
	.options = options,
	.usage_status = EXIT_USAGE,
	.main = help_main,
};
