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

static int record_write(const json_t *record, const char *path)
{
	_cleanup_(freep) char *text = json_dumps(record, JSON_COMPACT);
	char fresh[PATH_MAX];

	if (!text)
		return -ENOMEM;
	if (record_path(fresh, ".XXXXXX"))
		return -ENAMETOOLONG;

	_cleanup_(closep) int fd = mkstemp(fresh);
	ssize_t len = (ssize_t)strlen(text);

	if (fd < 0)
		return -errno;
	errno = ENOSPC; /* of a short write */
	if (write(fd, text, (size_t)len) == len && !rename(fresh, path))
		return 0;

	int r = -errno;

	unlink(fresh);
	return r;
}

/* Without refusals the record is that there is none. */
void record_save(const json_t *report)
{
	json_t *refusals = json_object_get(report, "refusals");
	char path[PATH_MAX];
	int r;

	if (record_path(path, ""))
		return;
	if (!json_array_size(refusals)) {
		unlink(path);
		return;
	}

	json_t *record = json_pack("{s:O}", "refusals", refusals);

	r = record ? record_write(record, path) : -ENOMEM;
	json_decref(record);
	if (r)
		cli_say("cannot keep the refusals in %s: %s", path,
			strerror(-r));
}

json_t *record_load(void)
{
	char path[PATH_MAX];

	if (record_path(path, ""))
		return NULL;
	return json_load_file(path, 0, NULL);
}
