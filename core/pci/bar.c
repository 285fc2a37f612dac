/* SPDX-License-Identifier: BSD-3-Clause */
/* BAR memory and the OFD locks that tell which mappings live: core/pci/bar.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "core/pci/bar.h"
#include "core/pci/bar_impl.h"
#include "lib/cleanup.h"
#include "lib/size.h"

/* Mappings listed before dead ones are looked for: few, since they count
 * against a program's share. */
#define FORGET_MIN 8

static void bar_fd_path(const struct bar *bar, char path[32])
{
	snprintf(path, 32, "/proc/self/fd/%d", bar->memfd);
}

/* Programs get it. One that a program sealed could not be closed or opened
 * again; some hosts (vm.memfd_noexec) make memfds that let it. */
static int bar_make_memfd(struct bar *bar, const char *name)
{
	bar->memfd = memfd_create(name, MFD_CLOEXEC);
	if (bar->memfd < 0)
		return -errno;
	fcntl(bar->memfd, F_ADD_SEALS, F_SEAL_SEAL);

	int seals = fcntl(bar->memfd, F_GET_SEALS);

	return seals < 0 ? -errno : seals & F_SEAL_SEAL ? 0 : -EPERM;
}

static int bar_make_memory(struct bar *bar, const char *name)
{
	struct stat st;
	int r = bar_make_memfd(bar, name);

	if (r < 0)
		return r;
	if (ftruncate(bar->memfd, (off_t)bar->len) < 0 ||
	    fstat(bar->memfd, &st) < 0)
		return -errno;
	bar->st_dev = st.st_dev;
	bar->st_ino = st.st_ino;

	void *mem = mmap(NULL, bar->len, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_NORESERVE, bar->memfd, 0);

	if (mem == MAP_FAILED)
		return -errno;
	bar->mem = bar->view = mem;
	bar_guard_add(bar);
	return bar->access == SV_ACCESS_DIRECT ? bar_make_kept(bar) : 0;
}

/* Nobody else knows the BAR yet. */
int NO_TSA bar_init(struct bar *bar, const char *name,
		    const struct sv_bar *shape, int inotify)
{
	memset(bar, 0, sizeof(*bar));
	mutex_init(&bar->lock, RANK_BAR, "bar");
	TAILQ_INIT(&bar->mappings);
	bar->kind = shape->kind;
	bar->access = shape->access;
	bar->persistent = shape->persistent;
	bar->size = shape->size;
	bar->len = size_pages(shape->size);
	bar->memfd = bar->kept = -1;
	bar->inotify = inotify;
	bar->watch = -1;
	if (shape->kind != SV_BAR_MEM32 && shape->kind != SV_BAR_MEM64)
		return 0;
	return bar_make_memory(bar, name);
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
	bar_drop_kept(bar);
	if (bar->view) {
		bar_guard_remove(bar);
		munmap(bar->view, bar->len);
	}
	if (bar->memfd >= 0)
		close(bar->memfd);
	mutex_done(&bar->lock);
}

/* A description of its own for one mapping, holding the lock of byte @id. */
static int bar_open_locked_byte(const struct bar *bar, uint64_t id)
{
	struct flock lock = {
		.l_type = F_WRLCK,
		.l_start = (off_t)id,
		.l_len = 1,
	};
	char path[32];

	bar_fd_path(bar, path);
	_cleanup_(closep) int fd = open(path, O_RDWR | O_CLOEXEC);

	if (fd < 0 || fcntl(fd, F_OFD_SETLK, &lock) < 0)
		return -errno;
	return TAKE_FD(fd);
}

static bool bar_mapping_lives(const struct bar *bar,
			      const struct bar_mapping *m)
{
	struct flock lock = {
		.l_type = F_WRLCK,
		.l_start = (off_t)m->id,
		.l_len = 1,
	};

	return fcntl(bar->memfd, F_OFD_GETLK, &lock) == 0 &&
	       lock.l_type != F_UNLCK;
}

/* Drop it if nobody has it mapped any more. True: it lives. */
static bool check_locked(struct bar *bar, struct bar_mapping *m)
	REQUIRES(&bar->lock)
{
	if (bar_mapping_lives(bar, m))
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
	r = bar_open_locked_byte(bar, m->id);
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

void bar_clear(struct bar *bar)
{
	if (bar->memfd < 0)
		return;
	if (!bar->closed) {
		/* a program may have truncated what it was given to map */
		if (ftruncate(bar->memfd, (off_t)bar->len) < 0 ||
		    !bar_mend_view(bar))
			return;
		/* frees the pages under every mapping; the next touch finds
		 * zeroes */
		if (fallocate(bar->memfd,
			      FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
			      (off_t)bar->len) < 0)
			memset(bar->view, 0, bar->len);
	}
	bar_empty_kept(bar);
}
