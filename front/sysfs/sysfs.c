/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Files of /sys that do something: a table of names, each with what reading
 * and writing means. The rest of the tree is real files (front/sysfs/tree.h).
 */
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "front/plug.h"
#include "front/sysfs/sysfs.h"
#include "front/sysfs/tree.h"
#include "lib/cleanup.h"
#include "lib/refuse.h"

#define WRITE_MAX 4096 /* sysfs takes a page at most */

/* struct sysfs_row - A live file; @md is NULL for those of no device */
struct sysfs_row {
	const char *name; /* last part of the path */
	bool of_device;	  /* in a device's folder */
	unsigned int mode;
	unsigned int size; /* as stat shows it */
	int64_t (*read)(struct call *call, struct machine_dev *md, uint64_t pos,
			size_t count);
	int64_t (*write)(struct call *call, struct machine_dev *md,
			 uint64_t pos);
};

/* An open one; immutable */
struct sysfs_file {
	struct file f;
	const struct sysfs_row *row;
	struct machine_dev *md;
};
static_assert(offsetof(struct sysfs_file, f) == 0, "freed as a file");

static struct sysfs_file *sysfs_file(const struct file *f)
{
	return container_of(f, struct sysfs_file, f);
}

/* What was written, as a string without the newline echo adds. */
static int written_text(struct call *call, char *text, size_t size)
{
	size_t len, want;
	const uint8_t *p = call_data(call, &len, &want);

	if (len >= size)
		return refuse(EINVAL, "more than %zu bytes", size - 1);
	memcpy(text, p, len);
	text[len] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return (int)len;
}

/* The same where sysfs takes a number, in any base. */
static int written_number(struct call *call, unsigned long *ret_n)
{
	char text[32], *end;
	int len = written_text(call, text, sizeof(text));

	if (len < 0)
		return len;
	errno = 0;
	*ret_n = strtoul(text, &end, 0);
	if (!isdigit((unsigned char)text[0]) || *end || errno)
		return refuse(EINVAL, "\"%s\" is no number", text);
	return len;
}

static int64_t config_file_read(struct call *call, struct machine_dev *md,
				uint64_t pos, size_t count)
{
	int64_t r = device_config_read(md->dev, pos, call->out, count);

	call->n_out = r > 0 ? (size_t)r : 0;
	return r;
}

static int64_t config_file_write(struct call *call, struct machine_dev *md,
				 uint64_t pos)
{
	size_t count, want;
	const uint8_t *data = call_data(call, &count, &want);

	return device_config_write(md->dev, pos, data, count);
}

static int64_t reset_write(struct call *call, struct machine_dev *md,
			   uint64_t pos)
{
	unsigned long n;
	int len = written_number(call, &n);

	if (len < 0)
		return len;
	if (n != 1)
		return refuse(EINVAL, "reset: %lu; write 1", n);

	int r = device_reset(md->dev);

	return r < 0 ? r : len;
}

static int64_t override_read(struct call *call, struct machine_dev *md,
			     uint64_t pos, size_t count)
{
	char text[MACHINE_OVERRIDE_MAX + 2];

	machine_override_get(md, text, sizeof(text) - 1);
	strcat(text, "\n");

	size_t len = strlen(text);

	if (pos >= len)
		return 0;
	if (count > len - pos)
		count = len - pos;
	return call_out(call, text + pos, count) < 0 ? -ENOMEM : (int64_t)count;
}

static int64_t override_write(struct call *call, struct machine_dev *md,
			      uint64_t pos)
{
	char text[MACHINE_OVERRIDE_MAX];
	int len = written_text(call, text, sizeof(text));

	if (len >= 0)
		machine_override_set(md, text);
	return len;
}

/* bind and unbind name the function in what is written */
static int64_t driver_write(struct call *call, bool bind)
{
	char name[32];
	int len = written_text(call, name, sizeof(name));

	if (len < 0)
		return len;

	struct machine_dev *md = machine_device(call->conf->machine, name);

	if (!md)
		return refuse(ENODEV, "there is no device \"%s\"", name);

	int r = bind ? plug_bind(call, md) : plug_unbind(call, md);

	return r < 0 ? r : len;
}

static int64_t bind_write(struct call *call, struct machine_dev *md,
			  uint64_t pos)
{
	return driver_write(call, true);
}

static int64_t unbind_write(struct call *call, struct machine_dev *md,
			    uint64_t pos)
{
	return driver_write(call, false);
}

/* vfio-pci takes any id; ours are all bound to it anyway. */
static int64_t new_id_write(struct call *call, struct machine_dev *md,
			    uint64_t pos)
{
	unsigned int vendor, device;
	char text[128];
	int len = written_text(call, text, sizeof(text));

	if (len >= 0 && sscanf(text, "%x %x", &vendor, &device) != 2)
		return refuse(EINVAL, "\"%s\"; write \"vendor device\" in hex",
			      text);
	return len;
}

static int64_t remove_write(struct call *call, struct machine_dev *md,
			    uint64_t pos)
{
	unsigned long n;
	int len = written_number(call, &n);

	if (len < 0 || n == 0)
		return len;

	int r = plug_remove(call, md);

	return r < 0 ? r : len;
}

static int64_t rescan_write(struct call *call, struct machine_dev *unused,
			    uint64_t pos)
{
	struct machine *m = call->conf->machine;
	unsigned long n;
	int len = written_number(call, &n);

	if (len < 0 || n == 0)
		return len;
	/* what is there stays as it is, what is still held stays away */
	for (size_t i = 0; i < m->n_devs; i++)
		plug_back(call, &m->dev[i]);
	return len;
}

static const struct sysfs_row sysfs_rows[] = {
	{"config", true, 0644, 4096, config_file_read, config_file_write},
	{"reset", true, 0200, 4096, NULL, reset_write},
	{"driver_override", true, 0644, 4096, override_read, override_write},
	{"remove", true, 0220, 4096, NULL, remove_write},
	{"rescan", true, 0220, 4096, NULL, rescan_write},
	{"bind", false, 0200, 4096, NULL, bind_write},
	{"unbind", false, 0200, 4096, NULL, unbind_write},
	{"new_id", false, 0200, 4096, NULL, new_id_write},
	{"rescan", false, 0200, 4096, NULL, rescan_write},
};

/* The device whose folder @path is in, or NULL. */
static struct machine_dev *sysfs_device(struct machine *m, const char *path)
{
	const char *last = strrchr(path, '/');
	char name[DEVICE_NAME_MAX] = "";
	const char *p = last;

	while (p > path && p[-1] != '/')
		p--;
	if ((size_t)(last - p) < sizeof(name))
		memcpy(name, p, (size_t)(last - p));
	return machine_device(m, name);
}

static const struct sysfs_row *sysfs_row(const char *path, bool of_device)
{
	const char *name = strrchr(path, '/') + 1;

	for (size_t i = 0; i < ARRAY_SIZE(sysfs_rows); i++)
		if (sysfs_rows[i].of_device == of_device &&
		    !strcmp(sysfs_rows[i].name, name))
			return &sysfs_rows[i];
	return NULL;
}

/* A file of a function that was removed outlives it, but for its descriptor. */
static int check_there(const struct machine_dev *md)
{
	if (!md || (device_presence(md->dev) != DEVICE_ABSENT &&
		    !device_gone(md->dev)))
		return 0;
	return refuse(ENODEV, "%s is not there any more", device_name(md->dev));
}

static int64_t sysfs_read(struct call *call, uint64_t pos, size_t count)
{
	const struct sysfs_file *sf = sysfs_file(call->file);
	int r = check_there(sf->md);

	if (r < 0)
		return r;
	if (!sf->row->read)
		return refuse(EIO, "%s is write-only", call->file->what);
	return sf->row->read(call, sf->md, pos, count);
}

static int64_t sysfs_write(struct call *call, uint64_t pos)
{
	const struct sysfs_file *sf = sysfs_file(call->file);
	int r = check_there(sf->md);

	return r < 0 ? r : sf->row->write(call, sf->md, pos);
}

static void sysfs_row_stat(const struct sysfs_row *row,
			   const struct machine_dev *md, struct sv_stat *st)
{
	st->mode = S_IFREG | row->mode;
	st->nlink = 1;
	st->size = row->size;
	if (md && !strcmp(row->name, "config"))
		st->size = device_config_size(md->dev);
}

static void sysfs_stat(struct file *f, struct sv_stat *st)
{
	sysfs_row_stat(sysfs_file(f)->row, sysfs_file(f)->md, st);
}

static const struct file_ops sysfs_ops = {
	.size = sizeof(struct sysfs_file),
	.read = sysfs_read,
	.write = sysfs_write,
	.stat = sysfs_stat,
};

int64_t sysfs_file_open(struct call *call, const char *path, bool cloexec)
{
	struct machine_dev *md = sysfs_device(call->conf->machine, path);
	const struct sysfs_row *row = sysfs_row(path, md);

	if (!row)
		return refuse(ENXIO, "%s is nothing to open", path);

	struct file *f = file_new(call->server, &sysfs_ops, call->pid, path);

	if (!f)
		return -ENOMEM;
	sysfs_file(f)->row = row;
	sysfs_file(f)->md = md;
	return file_open(call, f, cloexec);
}

int sysfs_node_stat(const struct call *call, const char *path,
		    struct sv_stat *st)
{
	struct machine_dev *md = sysfs_device(call->conf->machine, path);
	const struct sysfs_row *row = sysfs_row(path, md);

	if (!row)
		return refuse(ENOENT, "%s: not there", path);
	sysfs_row_stat(row, md, st);
	return 0;
}
