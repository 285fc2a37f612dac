/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A model one callback of which does not return for as long as a file exists:
 * what a mistake in a model looks like to everybody else. Register 0 of BAR 0
 * reads as the sum of what was written to it plus 1, register 8 as how often
 * register 0 was read; BAR 2 is memory, and so is BAR 4, but for its second page,
 * where the registers are once more.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "hang.h"

#define LOOK_US	  1000
#define REG_READS 8

struct hang {
	uint64_t val;
	uint64_t reads;
	const char *in;
	const char *file;
};

static void touch(const char *name)
{
	close(open(name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
}

/* Is it one of "in=ONE+ANOTHER"? */
static bool is_in(const char *list, const char *where)
{
	size_t len = strlen(where);

	for (const char *p = list; p; p = strchr(p, '+')) {
		p += *p == '+';
		if (!strncmp(p, where, len) && (!p[len] || p[len] == '+'))
			return true;
	}
	return false;
}

static void maybe(struct sv_dev *dev, const char *where)
{
	const struct hang *h = sv_state(dev);
	char here[PATH_MAX], go[PATH_MAX];

	if (!h->in || !is_in(h->in, where) || access(h->file, F_OK) < 0)
		return;
	snprintf(here, sizeof(here), "%s.%s", h->file, where);
	snprintf(go, sizeof(go), "%s.%s.go", h->file, where);
	touch(here); /* says that it is in there */
	while (access(h->file, F_OK) == 0 && access(go, F_OK) < 0)
		usleep(LOOK_US);
}

static int hang_init(struct sv_dev *dev)
{
	struct hang *h = sv_state(dev);

	h->in = sv_option(dev, "in");
	h->file = sv_option(dev, "file");
	if (!h->in || !h->file) {
		sv_error(dev, "in=CALLBACK and file=FILE are needed");
		return -EINVAL;
	}
	maybe(dev, "init");
	return 0;
}

static void hang_done(struct sv_dev *dev)
{
	maybe(dev, "done");
}

static void hang_reset(struct sv_dev *dev, enum sv_reset why)
{
	static const char *const names[] = {
		[SV_RESET_OPEN] = "open",
		[SV_RESET_FUNCTION] = "reset",
		[SV_RESET_CLOSE] = "close",
	};

	maybe(dev, names[why]);
	((struct hang *)sv_state(dev))->val = 0;
	((struct hang *)sv_state(dev))->reads = 0;
}

static uint64_t hang_read(struct sv_dev *dev, unsigned int bar, uint64_t off,
			  unsigned int size)
{
	struct hang *h = sv_state(dev);

	maybe(dev, "read");
	if (off == REG_READS)
		return h->reads;
	h->reads++;
	return h->val + 1;
}

static void hang_write(struct sv_dev *dev, unsigned int bar, uint64_t off,
		       uint64_t val, unsigned int size)
{
	maybe(dev, "write");
	((struct hang *)sv_state(dev))->val += val;
	sv_kick(dev);
}

static bool hang_run(struct sv_dev *dev)
{
	maybe(dev, "run");
	if (sv_mmio_begin(dev)) {
		maybe(dev, "burst");
		sv_mmio_end(dev);
	}
	return false;
}

static const struct sv_option hang_options[] = {
	{"in", "CALLBACK  which does not return"},
	{"file", "FILE  while this exists"},
	{NULL, NULL},
};

static const struct sv_stretch hang_trapped[] = {{4096, 4096}, {0, 0}};

const struct sv_dev_ops hang_ops = {
	.api = SV_API,
	.name = "hang",
	.summary = "one callback does not return while a file exists",
	.options = hang_options,
	.shape =
		{
			.vendor = 0x1234,
			.device = 0x4a46,
			.class_code = 0xff0000,
			.bar =
				{
					[0] = {.size = 4096,
					       .kind = SV_BAR_MEM32},
					[2] = {.size = 4096,
					       .kind = SV_BAR_MEM32,
					       .access = SV_ACCESS_DIRECT},
					[4] = {.size = 16384,
					       .kind = SV_BAR_MEM32,
					       .access = SV_ACCESS_DIRECT,
					       .trapped = hang_trapped},
				},
			.no_intx = true,
		},
	.state_size = sizeof(struct hang),
	.init = hang_init,
	.done = hang_done,
	.reset = hang_reset,
	.read = hang_read,
	.write = hang_write,
	.run = hang_run,
};
