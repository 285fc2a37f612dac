/* SPDX-License-Identifier: BSD-3-Clause */
/* softvfio SUBCOMMAND ...: the table of subcommands, and nothing else. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "lib/plain.h"

const struct command *const commands[] = {
	&cmd_run,  &cmd_serve,	 &cmd_ls,      &cmd_why,  &cmd_unplug,
	&cmd_plug, &cmd_devices, &cmd_version, &cmd_help, NULL,
};

static const struct command *find(const char *name)
{
	if (!strcmp(name, "--help") || !strcmp(name, "-h"))
		return &cmd_help;
	if (!strcmp(name, "--version") || !strcmp(name, "-V"))
		return &cmd_version;
	for (const struct command *const *c = commands; *c; c++) {
		if (!strcmp((*c)->name, name))
			return *c;
	}
	return NULL;
}

static void list(FILE *out)
{
	for (const struct command *const *c = commands; *c; c++)
		fprintf(out, "%s%s", c == commands ? "" : ", ", (*c)->name);
	fputc('\n', out);
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		fputs("softvfio: no subcommand; there are: ", stderr);
		list(stderr);
		return EXIT_USAGE;
	}

	const struct command *cmd = find(argv[1]);

	if (!cmd) {
		fprintf(stderr, "softvfio: no subcommand '%s'; there are: ",
			plain_text(argv[1]));
		list(stderr);
		return EXIT_USAGE;
	}
	return cmd->main(cmd, argc - 1, argv + 1);
}
