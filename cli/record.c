/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One file, replaced by a rename: several runs may end at once, and a reader
 * gets one of theirs, whole.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/instance.h"
#include "cli/record.h"
#include "lib/cleanup.h"
#include "lib/write.h"

#define RECORD "last-why.json"

static int record_write(const json_t *record, int base)
{
	_cleanup_(freep) char *text = json_dumps(record, JSON_COMPACT);
	char fresh[] = RECORD ".XXXXXX";
	int r = text ? instance_fresh_name(fresh) : -ENOMEM;

	if (r)
		return r;

	_cleanup_(closep) int fd = openat(
		base, fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0)
		return -errno;
	r = write_all(fd, text);
	if (!r && renameat(base, fresh, base, RECORD))
		r = -errno;
	if (r)
		unlinkat(base, fresh, 0);
	return r;
}

/* Without refusals the record is that there is none. */
void record_save(const json_t *report)
{
	json_t *refusals = json_object_get(report, "refusals");
	char path[PATH_MAX];
	_cleanup_(closep) int base = instance_base(path);

	if (base < 0)
		return;
	if (!json_array_size(refusals)) {
		unlinkat(base, RECORD, 0);
		return;
	}

	json_t *record = json_pack("{s:O}", "refusals", refusals);
	int r = record ? record_write(record, base) : -ENOMEM;

	json_decref(record);
	if (r)
		cli_say("cannot keep the refusals in %s/" RECORD ": %s", path,
			strerror(-r));
}

/* It may be anything by now: nothing that is followed or waits. */
static int record_open(int base)
{
	_cleanup_(closep) int fd = openat(
		base, RECORD, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		return -errno;
	return S_ISREG(st.st_mode) ? TAKE_FD(fd) : -EPERM;
}

json_t *record_load(void)
{
	char path[PATH_MAX];
	_cleanup_(closep) int base = instance_base(path);
	int fd = base < 0 ? base : record_open(base);
	FILE *f = fd < 0 ? NULL : fdopen(fd, "r");

	if (!f) {
		closep(&fd);
		return NULL;
	}

	json_t *record = json_loadf(f, 0, NULL);

	fclose(f);
	return record;
}
