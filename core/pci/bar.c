/* SPDX-License-Identifier: BSD-3-Clause */
/* A BAR, its mappings, and the storage behind it: core/pci/bar.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "core/pci/bar.h"
#include "core/pci/bar_impl.h"
#include "lib/cleanup.h"
#include "lib/size.h"

/* Mappings listed before dead ones are looked for: few, since they count
 * against a program's share. */
#define FORGET_MIN 8

#define BAR_PAGE 4096 /* of a mapping: what can be trapped by itself */

/* Nobody else knows the BAR yet. */
int NO_TSA bar_init_stored(struct bar *bar, const struct bar_storage *storage,
			   const char *name, const struct sv_bar *shape,
			   int inotify)
{
	memset(bar, 0, sizeof(*bar));
	mutex_init(&bar->lock, RANK_BAR, "bar");
	TAILQ_INIT(&bar->mappings);
	bar->kind = shape->kind;
	bar->access = shape->access;
	bar->trapped = shape->trapped;
	bar->persistent = shape->persistent;
	bar->size = shape->size;
	bar->len = size_pages(shape->size);
	bar->memfd = bar->kept = -1;
	bar->inotify = inotify;
	bar->watch = -1;
	if (shape->kind != SV_BAR_MEM32 && shape->kind != SV_BAR_MEM64)
		return 0;
	bar->storage = storage;
	return storage->make(bar, name);
}

int bar_init(struct bar *bar, const char *name, const struct sv_bar *shape,
	     int inotify)
{
	return bar_init_stored(bar, &bar_memfd, name, shape, inotify);
}

const char *bar_check(const struct sv_bar *shape)
{
	const struct sv_stretch *s = shape->trapped;
	bool memory =
		shape->kind == SV_BAR_MEM32 || shape->kind == SV_BAR_MEM64;
	unsigned int n = 0;
	uint64_t end = 0;

	if (s && (!memory || shape->access != SV_ACCESS_DIRECT))
		return "only direct memory has stretches that are trapped";
	for (; s && s->len; end = s->off + s->len, s++) {
		if (++n > SV_BAR_STRETCHES)
			return "too many stretches are trapped";
		if ((s->off | s->len) & (BAR_PAGE - 1))
			return "a trapped stretch is not of whole pages";
		if (s->off > shape->size || s->len > shape->size - s->off)
			return "a trapped stretch leaves it";
		if (n > 1 && s->off <= end)
			return "trapped stretches are not ascending and apart";
	}
	return NULL;
}

uint64_t bar_stretch(const struct bar *bar, uint64_t off, uint64_t len,
		     bool *ret_model)
{
	const struct sv_stretch *s = bar->trapped;

	*ret_model = bar->access == SV_ACCESS_TRAP;
	while (s && s->len && off >= s->off + s->len)
		s++;
	if (!s || !s->len)
		return len;
	*ret_model = off >= s->off;

	uint64_t room = (*ret_model ? s->off + s->len : s->off) - off;

	return room < len ? room : len;
}

/* Not before there is a mapping to be told of: a process that has watched
 * anything takes the host 10 ms and more to end. */
static int bar_watch_locked(struct bar *bar) REQUIRES(&bar->lock)
{
	char path[32];

	if (bar->watch >= 0 || bar->inotify < 0)
		return 0;
	bar_fd_path(bar, path);
	bar->watch = inotify_add_watch(bar->inotify, path, IN_CLOSE_WRITE);
	return bar->watch < 0 ? -errno : 0;
}

static void mapping_free(struct bar_mapping *m)
{
	share_give(&m->share);
	free(m);
}

void bar_done(struct bar *bar)
{
	struct bar_mapping *m;

	while ((m = TAILQ_FIRST(&bar->mappings))) {
		TAILQ_REMOVE(&bar->mappings, m, link);
		mapping_free(m);
	}
	if (bar->storage)
		bar->storage->drop(bar);
	mutex_done(&bar->lock);
}

/* Drop it if nobody has it mapped any more. True: it lives. */
static bool check_locked(struct bar *bar, struct bar_mapping *m)
	REQUIRES(&bar->lock)
{
	if (bar->storage->lives(bar, m->id))
		return true;
	TAILQ_REMOVE(&bar->mappings, m, link);
	bar->n_mappings--;
	mapping_free(m);
	return false;
}

static void forget_dead_locked(struct bar *bar) REQUIRES(&bar->lock)
{
	struct bar_mapping *m, *next;

	for (m = TAILQ_FIRST(&bar->mappings); m; m = next) {
		next = TAILQ_NEXT(m, link);
		check_locked(bar, m);
	}
}

/* A program that maps and unmaps all day must not fill the list. */
static void list_mapping_locked(struct bar *bar, struct bar_mapping *m)
	REQUIRES(&bar->lock)
{
	if (bar->n_mappings >= bar->forget_at) {
		forget_dead_locked(bar);
		bar->forget_at = 2 * bar->n_mappings + FORGET_MIN;
	}
	TAILQ_INSERT_TAIL(&bar->mappings, m, link);
	bar->n_mappings++;
}

static struct bar_mapping *mapping_new(uint64_t owner, pid_t pid, uint64_t off,
				       uint64_t len)
{
	struct bar_mapping *m = calloc(1, sizeof(*m));

	if (m)
		*m = (struct bar_mapping){
			.owner = owner,
			.pid = pid,
			.off = off,
			.len = len,
		};
	return m;
}

static int map_locked(struct bar *bar, struct bar_mapping *m)
	REQUIRES(&bar->lock)
{
	int r = bar_watch_locked(bar);

	if (r == 0)
		r = share_take(&m->share, SHARE_BAR_MAPS, m->pid, 1);
	if (r < 0)
		return r;
	m->id = ++bar->last_id;
	r = bar->storage->map(bar, m->id);
	if (r >= 0)
		list_mapping_locked(bar, m);
	return r;
}

int bar_map(struct bar *bar, uint64_t owner, pid_t pid, uint64_t off,
	    uint64_t len, int *ret_fd)
{
	struct bar_mapping *m = mapping_new(owner, pid, off, len);

	if (!m)
		return -ENOMEM;
	mutex_lock(&bar->lock);
	int fd = map_locked(bar, m);

	mutex_unlock(&bar->lock);
	if (fd < 0) {
		mapping_free(m);
		return fd;
	}
	*ret_fd = fd;
	return 0;
}

bool bar_mapped(struct bar *bar, uint64_t owner)
{
	struct bar_mapping *m, *next;
	bool lives = false;

	mutex_lock(&bar->lock);
	for (m = TAILQ_FIRST(&bar->mappings); m && !lives; m = next) {
		next = TAILQ_NEXT(m, link);
		lives = m->owner == owner && check_locked(bar, m);
	}
	mutex_unlock(&bar->lock);
	return lives;
}

static struct bar_listed *copy_locked(const struct bar *bar)
	REQUIRES(&bar->lock)
{
	struct bar_listed *all = calloc(bar->n_mappings, sizeof(*all));
	const struct bar_mapping *m;
	size_t n = 0;

	TAILQ_FOREACH (m, &bar->mappings, link)
		if (all)
			all[n++] = (struct bar_listed){m->pid, m->off, m->len};
	return all;
}

int bar_list(struct bar *bar, struct bar_listed **ret_all, size_t *ret_n)
{
	struct bar_listed *all = NULL;

	mutex_lock(&bar->lock);
	forget_dead_locked(bar);
	size_t n = bar->n_mappings;

	if (n)
		all = copy_locked(bar);
	mutex_unlock(&bar->lock);
	if (n && !all)
		return -ENOMEM;
	*ret_all = all;
	*ret_n = n;
	return 0;
}

bool bar_mappable(const struct bar *bar)
{
	return bar->storage;
}

bool bar_traps(const struct bar *bar)
{
	return bar->access == SV_ACCESS_TRAP || !bar->storage->unmaps;
}

void bar_close(struct bar *bar)
{
	if (bar->storage)
		bar->storage->close(bar);
}

void bar_open(struct bar *bar)
{
	if (bar->storage)
		bar->storage->open(bar);
}

void bar_clear(struct bar *bar)
{
	if (bar->storage)
		bar->storage->clear(bar);
}

void bar_discard(struct bar *bar)
{
	if (bar->storage)
		bar->storage->discard(bar);
}
