/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * SV_CONTROL: what `softvfio ls`, `why` and the report at the end of `run` ask
 * for, in JSON. Each command is a row of a table.
 */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/pci/snapshot.h"
#include "front/alive.h"
#include "front/control/control.h"
#include "front/file.h"
#include "front/journal.h"
#include "front/plug.h"
#include "front/vfio/vfio.h"
#include "lib/cleanup.h"
#include "lib/proc.h"
#include "lib/refuse.h"

#define REPORT_LINES 20 /* at the end of a run */

struct ls {
	const struct machine *machine;
	json_t *devices;    /* array, in the machine's order */
	json_t *containers; /* array */
};

/* Text that a program chose: what is no UTF-8 becomes question marks. */
static json_t *json_text(const char *text)
{
	char plain[REFUSAL_MAX];
	json_t *j = json_string(text);

	if (j)
		return j;
	snprintf(plain, sizeof(plain), "%s", text);
	for (char *p = plain; *p; p++)
		if (*p & 0x80)
			*p = '?';
	return json_string(plain);
}

static json_t *json_open_entry(const struct file *f, const char *kind)
{
	char name[PROC_NAME_MAX];

	proc_name(f->pid, name);
	return json_pack("{s:i, s:o, s:s}", "pid", (int)f->pid, "program",
			 json_text(name), "file", kind);
}

static json_t *ls_mappings(struct sv_dev *dev)
{
	_cleanup_(freep) struct device_mapping *all = NULL;
	json_t *list = json_array();
	size_t n;

	if (device_mappings(dev, &all, &n) < 0)
		return json_decref(list), NULL;
	for (size_t i = 0; i < n; i++)
		json_array_append_new(list,
				      json_pack("{s:i, s:I, s:I, s:i}", "bar",
						(int)all[i].bar, "offset",
						(json_int_t)all[i].off, "size",
						(json_int_t)all[i].len, "pid",
						(int)all[i].pid));
	return list;
}

static const char *ls_driver(const struct device_snapshot *s)
{
	if (s->presence == DEVICE_ABSENT || s->gone)
		return "unplugged";
	return s->presence == DEVICE_UNBOUND ? "" : "vfio-pci";
}

static void add_count(json_t *stats, const char *name, uint64_t val)
{
	json_object_set_new(stats, name, json_integer((json_int_t)val));
}

/* What every function counts, and what its model does. */
static json_t *ls_stats(const struct device_snapshot *s)
{
	const char *const *names = s->counters;
	json_t *model = json_object();

	for (unsigned int i = 0; names && names[i] && i < SV_COUNTERS; i++)
		add_count(model, names[i], s->counter[i]);
	json_t *stats =
		json_pack("{s:o, s:I, s:I}", "model", model, "interrupts",
			  (json_int_t)s->irq.raised, "interrupts_untaken",
			  (json_int_t)s->irq.untaken);

	add_count(stats, "dma_reads", s->dma_reads);
	add_count(stats, "dma_writes", s->dma_writes);
	add_count(stats, "dma_bytes", s->dma_bytes);
	add_count(stats, "dma_missed", s->dma_missed);
	add_count(stats, "dma_not_master", s->dma_not_master);
	add_count(stats, "driver_errors", s->driver_errors);
	return stats;
}

static json_t *ls_device(const struct machine_dev *md)
{
	char id[16], class_code[8], stuck[64];
	struct device_snapshot s;

	device_snapshot(md->dev, &s);
	snprintf(id, sizeof(id), "%04x:%04x", s.vendor, s.device);
	snprintf(class_code, sizeof(class_code), "%06x",
		 s.class_code & 0xffffff);
	device_stuck_text(md->dev, stuck, sizeof(stuck));
	return json_pack("{s:s, s:s, s:s, s:s, s:i, s:s, s:s, s:[], s:o, s:o}",
			 "bdf", s.name, "model", s.model, "id", id, "class",
			 class_code, "group", (int)md->group->id, "driver",
			 ls_driver(&s), "stuck", stuck, "open", "mappings",
			 ls_mappings(md->dev), "stats", ls_stats(&s));
}

static json_t *ls_container(const struct file *f, struct container *c)
{
	struct type1 *t = container_type1(c);
	char name[PROC_NAME_MAX];

	proc_name(f->pid, name);
	json_t *j = json_pack("{s:i, s:o, s:s, s:i, s:I}", "pid", (int)f->pid,
			      "program", json_text(name), "type",
			      t ? type1_name(t) : "none", "mappings",
			      t ? (int)type1_mappings(t) : 0, "bytes",
			      (json_int_t)(t ? type1_mapped(t) : 0));

	type1_put(t);
	return j;
}

/* Those still open: a file may have been released since it was listed, or is
 * of another kind. */
static void ls_add_container(struct ls *ls, struct file *f)
{
	struct container *c = container_file_get(f);

	if (c)
		json_array_append_new(ls->containers, ls_container(f, c));
	container_put(c);
}

/* Who has a file open is noted with each device it is about. */
static void ls_file(struct ls *ls, struct file *f)
{
	const struct machine *m = ls->machine;

	ls_add_container(ls, f);
	for (size_t i = 0; i < m->n_devs; i++) {
		json_t *open =
			json_object_get(json_array_get(ls->devices, i), "open");

		if (device_file_dev(f) == m->dev[i].dev)
			json_array_append_new(open,
					      json_open_entry(f, "device"));
		if (group_file_group(f) == m->dev[i].group)
			json_array_append_new(open,
					      json_open_entry(f, "group"));
	}
}

static json_t *cmd_ls(struct call *call, const json_t *query, int *ret_r)
{
	const struct front_conf *conf = call->conf;
	struct ls ls = {conf->machine, json_array(), json_array()};
	size_t n;

	alive_settle(call->server);
	for (size_t i = 0; i < conf->machine->n_devs; i++)
		json_array_append_new(ls.devices,
				      ls_device(&conf->machine->dev[i]));

	struct file **files = file_list(call->server, &n);

	for (size_t i = 0; files && i < n; i++) {
		ls_file(&ls, files[i]);
		file_put(files[i]);
	}
	free(files);
	return json_pack("{s:s, s:o, s:o}", "instance", conf->name, "devices",
			 ls.devices, "containers", ls.containers);
}

static json_t *why_entry(const struct journal_entry *e)
{
	const char *name = strerrorname_np(e->err);

	return json_pack("{s:f, s:i, s:o, s:s, s:s, s:o}", "time",
			 (double)e->when.tv_sec + (double)e->when.tv_nsec / 1e9,
			 "pid", (int)e->pid, "program", json_text(e->program),
			 "call", e->call, "errno", name ? name : "?", "reason",
			 json_text(e->reason));
}

static json_t *refusals(const struct call *call)
{
	struct journal_entry *entries = calloc(JOURNAL_MAX, sizeof(*entries));
	json_t *all = json_array();

	if (!entries)
		return json_decref(all), NULL;

	size_t n = journal_copy(call->conf->journal, entries, JOURNAL_MAX);

	for (size_t i = 0; i < n; i++)
		json_array_append_new(all, why_entry(&entries[i]));
	free(entries);
	return all;
}

static json_t *cmd_why(struct call *call, const json_t *query, int *ret_r)
{
	return json_pack("{s:o}", "refusals", refusals(call));
}

static void report_line(json_t *lines, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static void report_line(json_t *lines, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	json_array_append_new(lines, json_string(text));
}

static void report_device(json_t *lines, const struct device_snapshot *s)
{
	if (s->dma_missed)
		report_line(lines, "%s: %" PRIu64 " DMA accesses missed",
			    s->name, s->dma_missed);
	if (s->dma_not_master)
		report_line(lines,
			    "%s: %" PRIu64 " DMA accesses with bus mastering "
			    "off",
			    s->name, s->dma_not_master);
	if (s->driver_errors)
		report_line(lines,
			    "%s: the driver made %" PRIu64 " mistake%s; "
			    "softvfio why",
			    s->name, s->driver_errors,
			    s->driver_errors == 1 ? "" : "s");
	if (s->irq.untaken)
		report_line(lines,
			    "%s: %" PRIu64 " of %" PRIu64 " interrupts had "
			    "nobody to take them",
			    s->name, s->irq.untaken, s->irq.raised);
}

/* Whoever outlives the program that was run. */
static void report_mapped(json_t *lines, struct sv_dev *dev, const char *name)
{
	_cleanup_(freep) struct device_mapping *all = NULL;
	char program[PROC_NAME_MAX];
	size_t n = 0;

	(void)device_mappings(dev, &all, &n);
	for (size_t i = 0; i < n; i++) {
		proc_name(all[i].pid, program);
		report_line(lines, "%s: BAR %u is still mapped by %s[%d]", name,
			    all[i].bar, program, (int)all[i].pid);
	}
}

static void report_leaks(json_t *lines)
{
	struct container_leaks leaks;

	container_get_leaks(&leaks);
	if (leaks.mappings)
		report_line(lines,
			    "%" PRIu64 " DMA mapping%s (%" PRIu64 " bytes) "
			    "left behind when the container was closed",
			    leaks.mappings, leaks.mappings == 1 ? "" : "s",
			    leaks.bytes);
}

/* One screen: the rest is counted. */
static void report_limit(json_t *lines)
{
	size_t n = json_array_size(lines);

	if (n <= REPORT_LINES)
		return;
	while (json_array_size(lines) >= REPORT_LINES)
		json_array_remove(lines, REPORT_LINES - 1);
	report_line(lines, "and %zu more; softvfio ls --stats and softvfio why",
		    n - REPORT_LINES + 1);
}

static json_t *cmd_report(struct call *call, const json_t *query, int *ret_r)
{
	const struct front_conf *conf = call->conf;
	json_t *lines = json_array();
	uint64_t refused = journal_total(conf->journal);

	alive_settle(call->server);
	for (size_t i = 0; i < conf->machine->n_devs; i++) {
		struct sv_dev *dev = conf->machine->dev[i].dev;
		struct device_snapshot s;

		device_snapshot(dev, &s);
		report_device(lines, &s);
		report_mapped(lines, dev, s.name);
	}
	report_leaks(lines);
	if (refused)
		report_line(lines,
			    "%" PRIu64 " refusals; softvfio why tells which",
			    refused);
	report_limit(lines);
	return json_pack("{s:o, s:o}", "lines", lines, "refusals",
			 refusals(call));
}

/* NULL and the reason in @ret_r; an empty object is "done" */
static json_t *plug_command(struct call *call, const json_t *query,
			    int (*fn)(struct call *call,
				      struct machine_dev *md),
			    int *ret_r)
{
	const char *name = json_string_value(json_object_get(query, "device"));
	struct machine_dev *md =
		name ? machine_device(call->conf->machine, name) : NULL;
	int r = md ? fn(call, md)
		   : refuse(ENODEV, "there is no device \"%s\"",
			    name ? name : "");

	*ret_r = r < 0 ? r : 0;
	return r < 0 ? NULL : json_pack("{s:b}", "waiting", r == 0);
}

static json_t *cmd_unplug(struct call *call, const json_t *query, int *ret_r)
{
	return plug_command(call, query, plug_remove, ret_r);
}

static json_t *cmd_plug(struct call *call, const json_t *query, int *ret_r)
{
	return plug_command(call, query, plug_back, ret_r);
}

static const struct {
	const char *cmd;
	json_t *(*fn)(struct call *call, const json_t *query, int *ret_r);
} commands[] = {
	{"ls", cmd_ls},		{"why", cmd_why},   {"report", cmd_report},
	{"unplug", cmd_unplug}, {"plug", cmd_plug},
};

static int send_json(struct call *call, const json_t *reply)
{
	_cleanup_(closep) int fd = memfd_create("reply", MFD_CLOEXEC);
	_cleanup_(freep) char *text = json_dumps(reply, JSON_COMPACT);

	if (fd < 0 || !text)
		return fd < 0 ? -errno : -ENOMEM;

	size_t len = strlen(text); /* json_dumpfd() writes word by word */

	if (pwrite(fd, text, len, 0) != (ssize_t)len)
		return -EIO;
	call_send_fd(call, TAKE_FD(fd), true, true);
	return 0;
}

static int run_command(struct call *call, const json_t *query)
{
	const char *cmd = json_string_value(json_object_get(query, "cmd"));

	for (size_t i = 0; cmd && i < ARRAY_SIZE(commands); i++) {
		if (strcmp(commands[i].cmd, cmd))
			continue;

		int r = -ENOMEM; /* what having no reply means */
		json_t *reply = commands[i].fn(call, query, &r);

		if (reply)
			r = send_json(call, reply);

		json_decref(reply);
		return r;
	}
	return refuse(EINVAL, "control: no command \"%s\"", cmd ? cmd : "");
}

int64_t control(struct call *call)
{
	json_error_t error;
	size_t len, want;
	const uint8_t *data = call_data(call, &len, &want);
	json_t *query = json_loadb((const char *)data, len, 0, &error);

	call->name = "control";
	if (!query && !error.text[0]) /* jansson says so of having no memory */
		return -ENOMEM;
	if (!query)
		return refuse(EINVAL, "control: %s", error.text);

	int r = run_command(call, query);

	json_decref(query);
	return r;
}
