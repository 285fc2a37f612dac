/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * softvfio unplug and plug: take a device from under the programs that use it,
 * and put it back.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/control.h"
#include "cli/instance.h"

#define OPT_INSTANCE CLI_LONG
#define BDF_MAX	     32

static const struct cli_option options[] = {
	{OPT_INSTANCE, "instance", "NAME", "of this one"},
	{0, NULL, NULL, NULL},
};

struct choice {
	struct instance in;
	unsigned int n;
};

static int note(const struct instance *in, void *opaque)
{
	struct choice *c = opaque;

	c->in = *in;
	c->n++;
	return 0;
}

/* The one that is named, or the only one there is. */
static int choose(const char *name, struct instance *ret_in)
{
	struct choice c = {.n = 0};

	if (name)
		return instance_find(name, ret_in);

	int r = instance_each(note, &c);

	if (r)
		return r;
	if (c.n != 1) {
		cli_say(c.n ? "%u instances are running; say --instance which"
			    : "no instance is running",
			c.n);
		return -ENOENT;
	}
	*ret_in = c.in;
	return 0;
}

/* "01:00.0" is in domain 0, as lspci has it. */
static void full_address(const char *text, char bdf[BDF_MAX])
{
	snprintf(bdf, BDF_MAX, "%s%s",
		 strlen(text) == strlen("01:00.0") ? "0000:" : "", text);
}

static int ask(const struct command *cmd, const char *name, const char *device)
{
	struct instance in;
	char bdf[BDF_MAX];
	json_t *reply = NULL;
	int r = choose(name, &in);

	if (r)
		return EXIT_FAILURE;
	full_address(device, bdf);
	r = control_ask_of(in.dir, cmd->name, bdf, &reply);
	if (r)
		cli_say("%s %s: %s; softvfio why says more", cmd->name, bdf,
			strerror(-r));
	else if (json_is_true(json_object_get(reply, "waiting")) &&
		 cmd == &cmd_unplug)
		cli_say("%s is unplugged; its users have been told to close "
			"their files",
			bdf);
	json_decref(reply);
	return r ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int plug_main(const struct command *cmd, int argc, char **argv)
{
	const char *name = NULL;
	int status = 0;

	for (;;) {
		int key = cli_option(cmd, argc, argv, &status);

		if (key == CLI_STOP)
			return status;
		if (key == CLI_END)
			break;
		name = optarg;
	}
	if (argc - optind != 1)
		return cli_usage(cmd, "one device's address, as in "
				      "0000:01:00.0");
	return ask(cmd, name, argv[optind]);
}

const struct command cmd_unplug = {
	.name = "unplug",
	.synopsis = "[--instance NAME] DEVICE",
	.summary = "take a device away, whoever uses it",
	.options = options,
	.usage_status = EXIT_USAGE,
	.main = plug_main,
};

const struct command cmd_plug = {
	.name = "plug",
	.synopsis = "[--instance NAME] DEVICE",
	.summary = "put a device back that was unplugged",
	.options = options,
	.usage_status = EXIT_USAGE,
	.main = plug_main,
};
