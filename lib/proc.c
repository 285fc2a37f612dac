/* SPDX-License-Identifier: BSD-3-Clause */
/* Files below /proc/PID: lib/proc.h. */
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/proc.h"

void proc_name(pid_t pid, char name[PROC_NAME_MAX])
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	FILE *f = fopen(path, "re");

	name[0] = '\0';
	if (!f)
		return;
	if (fgets(name, PROC_NAME_MAX, f))
		name[strcspn(name, "\n")] = '\0';
	fclose(f);
}

unsigned long long proc_start(pid_t pid)
{
	unsigned long long start = 0;
	char path[32], text[512];

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	FILE *f = fopen(path, "re");

	if (!f)
		return 0;
	text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
	fclose(f);

	/* field 22; the second is a name, which may hold anything */
	const char *behind = strrchr(text, ')');

	if (!behind ||
	    sscanf(behind,
		   ") %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s "
		   "%*s %*s %*s %*s %*s %llu",
		   &start) != 1)
		return 0;
	return start;
}

struct device {
	uint32_t major;
	uint32_t minor;
};

/* What the host has in memory, and no attribute but the device. */
static bool device_of(int fd, const char *path, struct device *ret)
{
	struct statx sx;

	if (statx(fd, path, AT_EMPTY_PATH | AT_STATX_DONT_SYNC, 0, &sx) < 0)
		return false;
	*ret = (struct device){sx.stx_dev_major, sx.stx_dev_minor};
	return true;
}

static bool same_device(const struct device *a, const struct device *b)
{
	return a->major == b->major && a->minor == b->minor;
}

/* "36 35 0:26 /root /mount/point rw shared:1 - proc proc rw" */
static bool line_is_proc(const char *line, const struct device *dev)
{
	const char *type = strstr(line, " - ");
	struct device is;

	return type && !strncmp(type, " - proc ", 8) &&
	       sscanf(line, "%*d %*d %u:%u", &is.major, &is.minor) == 2 &&
	       same_device(&is, dev);
}

/* Has @pid mounted that device as a proc file system? */
static bool is_proc_of(pid_t pid, const struct device *dev)
{
	char path[32], *line = NULL;
	size_t size = 0;
	bool found = false;

	snprintf(path, sizeof(path), "/proc/%d/mountinfo", (int)pid);
	FILE *f = fopen(path, "re");

	while (f && !found && getline(&line, &size, f) > 0)
		found = line_is_proc(line, dev);
	free(line);
	if (f)
		fclose(f);
	return found;
}

static bool ends_in_mem(int fd)
{
	static const char end[] = "/mem";
	const size_t len = sizeof(end) - 1;
	char link[32], path[PATH_MAX];

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);

	ssize_t n = readlink(link, path, sizeof(path));

	return n >= (ssize_t)len && !memcmp(path + n - len, end, len);
}

bool proc_is_mem(pid_t pid, int fd)
{
	struct device dev, own;

	if (!ends_in_mem(fd) || !device_of(fd, "", &dev))
		return false;
	return (device_of(AT_FDCWD, "/proc/self", &own) &&
		same_device(&dev, &own)) ||
	       is_proc_of(pid, &dev);
}
