/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One file, replaced by a rename: several runs may end at once, and a reader
 * gets one of theirs, whole.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/instance.h"
#include "cli/record.h"
#include "lib/cleanup.h"

#define RECORD "last-why.json"

static int record_path(char path[PATH_MAX], const char *suffix)
{
	char base[PATH_MAX];
	int r = instance_base(base);

	if (r)
		return r;

	int n = snprintf(path, PATH_MAX, "%s/" RECORD "%s", base, suffix);

	return n > 0 && n < PATH_MAX ? 0 : -ENAMETOOLONG;
}

void record_save(const json_t *why)
{
	char path[PATH_MAX];
	char fresh[PATH_MAX];

	if (record_path(path, "") || record_path(fresh, ".XXXXXX"))
		return;

	_cleanup_(closep) int fd = mkstemp(fresh);

	if (fd >= 0 && !json_dumpfd(why, fd, JSON_COMPACT) &&
	    !rename(fresh, path))
		return;
	cli_say("cannot keep the refusals in %s: %s", path, strerror(errno));
	if (fd >= 0)
		unlink(fresh);
}

json_t *record_load(void)
{
	char path[PATH_MAX];

	if (record_path(path, ""))
		return NULL;
	return json_load_file(path, 0, NULL);
}
