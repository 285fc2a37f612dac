/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is mapped where, asked of the host kernel each time: it is the only one
 * who cannot be wrong about it. One PROCMAP_QUERY per mapping where the host
 * has it, else the text of /proc/self/maps, streamed through a small buffer.
 *
 * The only thing kept is the lowest and highest address where a BAR was ever
 * mapped, so that calls on other memory cost two compares.
 */
#include "shim/base/vma.h"

#include "shim/base/keep.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

/* linux/fs.h since 6.11; Debian 12's headers are older. */
struct procmap_query {
	uint64_t size;
	uint64_t query_flags;
	uint64_t query_addr;
	uint64_t vma_start;
	uint64_t vma_end;
	uint64_t vma_flags;
	uint64_t vma_page_size;
	uint64_t vma_offset;
	uint64_t inode;
	uint32_t dev_major;
	uint32_t dev_minor;
	uint32_t vma_name_size;
	uint32_t build_id_size;
	uint64_t vma_name_addr;
	uint64_t build_id_addr;
};
static_assert(sizeof(struct procmap_query) == 104, "PROCMAP_QUERY layout");

#define SV_PROCMAP_QUERY       _IOWR('f', 17, struct procmap_query)
#define QUERY_READABLE	       0x01
#define QUERY_WRITABLE	       0x02
#define QUERY_EXECUTABLE       0x04
#define QUERY_SHARED	       0x08
#define QUERY_COVERING_OR_NEXT 0x10

#define MEMFD_PREFIX  "/memfd:"
#define MEMFD_SUFFIX  " (deleted)"
#define PROC_NAME_MAX 64

static atomic_uintptr_t bars_lo = UINTPTR_MAX;
static atomic_uintptr_t bars_hi;

bool shim_in_bars(uintptr_t start, size_t len)
{
	uintptr_t end = start + (len ? len : 1);

	if (end < start)
		end = UINTPTR_MAX;
	return start < atomic_load_explicit(&bars_hi, memory_order_relaxed) &&
	       end > atomic_load_explicit(&bars_lo, memory_order_relaxed);
}

void bars_extend(uintptr_t start, uintptr_t end)
{
	uintptr_t lo = atomic_load(&bars_lo), hi = atomic_load(&bars_hi);

	while (start < lo &&
	       !atomic_compare_exchange_weak(&bars_lo, &lo, start))
		;
	while (end > hi && !atomic_compare_exchange_weak(&bars_hi, &hi, end))
		;
}

static long open_below(int dir, const char *self, const char *name, int flags)
{
	char path[PROC_NAME_MAX];
	size_t n = strlen(self);

	memcpy(path, self, n);
	memcpy(path + n, name, strlen(name) + 1);
	return SYS(openat, dir, path, flags | O_CLOEXEC);
}

/*
 * thread-self first: when a process's first thread has ended, /proc/self shows
 * no memory and no files although the others live on.
 */
int shim_proc_open(const char *name, int flags)
{
	long r = open_below(AT_FDCWD, "/proc/thread-self/", name, flags);

	if (r < 0)
		r = open_below(AT_FDCWD, "/proc/self/", name, flags);
	if (r >= 0 || r == -EMFILE || r == -ENFILE)
		return (int)r;

	int proc = keep_fd(KEEP_PROC);

	if (proc < 0)
		return (int)r;
	r = open_below(proc, "thread-self/", name, flags);
	return (int)(r < 0 ? open_below(proc, "self/", name, flags) : r);
}

int vma_walk_begin(struct vma_walk *w)
{
	keep_inherited(KEEP_MAPS);
	w->fd = keep_fd(KEEP_MAPS);
	w->kept = w->fd >= 0;
	if (!w->kept)
		w->fd = shim_proc_open("maps", O_RDONLY);
	w->text = false;
	w->at = 0;
	w->pos = 0;
	w->len = 0;
	return w->fd < 0 ? w->fd : 0;
}

void vma_walk_end(struct vma_walk *w)
{
	if (!w->kept)
		SYS(close, w->fd);
}

/*
 * BARs are those whose memfd has come from the daemon, by device and inode:
 * anybody can give a memfd a BAR's name, and a program may map it. Entries are
 * never removed, so once the daemon is dead and nothing of the BAR is mapped
 * any more, the host may give the number to another file. That has another
 * name, or is refused by whichever daemon is asked about it. A process that has
 * no room for more believes names alone.
 */
#define FILES_MAX 1024

static struct {
	atomic_uint_least64_t ino;
	atomic_uint_least64_t dev;
} bar_files[FILES_MAX];

static atomic_bool bar_files_full;

static bool is_bar_file(uint64_t dev, uint64_t ino)
{
	for (int i = 0; i < FILES_MAX; i++) {
		size_t at = (ino + i) % FILES_MAX;
		uint64_t is = atomic_load_explicit(&bar_files[at].ino,
						   memory_order_acquire);

		if (!is)
			return false;
		if (is == ino && atomic_load(&bar_files[at].dev) == dev)
			return true;
	}
	return atomic_load(&bar_files_full);
}

static void add_bar_file(uint64_t dev, uint64_t ino)
{
	for (int i = 0; i < FILES_MAX; i++) {
		size_t at = (ino + i) % FILES_MAX;
		uint64_t none = 0;

		if (!atomic_compare_exchange_strong(&bar_files[at].ino, &none,
						    ino))
			continue;
		atomic_store(&bar_files[at].dev, dev);
		return;
	}
	atomic_store(&bar_files_full, true);
}

void bars_know(int memfd)
{
	struct stat st;

	if (SYS(fstat, memfd, &st) == 0 && !is_bar_file(st.st_dev, st.st_ino))
		add_bar_file(st.st_dev, st.st_ino);
}

static bool is_bar_name(const char *path)
{
	size_t tail = sizeof(MEMFD_SUFFIX) - 1, len = strlen(path);

	return !strncmp(path, MEMFD_PREFIX SV_BAR_NAME_PREFIX,
			sizeof(MEMFD_PREFIX SV_BAR_NAME_PREFIX) - 1) &&
	       !strcmp(path + len - tail, MEMFD_SUFFIX);
}

/* @path: NULL if the number is to do. */
static void recognise_bar(struct shim_vma *vma, const char *path)
{
	vma->bar =
		(!path || is_bar_name(path)) && is_bar_file(vma->dev, vma->ino);
	vma->trap = vma->bar && vma->off & SHIM_TRAP_OFF;
	if (!vma->trap)
		return;
	vma->prot = (vma->off & SHIM_TRAP_READ ? PROT_READ : 0) |
		    (vma->off & SHIM_TRAP_WRITE ? PROT_WRITE : 0);
	vma->off &= ~SHIM_TRAP_BITS;
}

static void from_query(struct shim_vma *vma, const struct procmap_query *q)
{
	uint64_t f = q->vma_flags;

	vma->start = q->vma_start;
	vma->end = q->vma_end;
	vma->off = q->vma_offset;
	vma->dev = makedev(q->dev_major, q->dev_minor);
	vma->ino = q->inode;
	vma->prot = (f & QUERY_READABLE ? PROT_READ : 0) |
		    (f & QUERY_WRITABLE ? PROT_WRITE : 0) |
		    (f & QUERY_EXECUTABLE ? PROT_EXEC : 0);
	vma->shared = f & QUERY_SHARED;
}

static int next_by_query(struct vma_walk *w, uint64_t at, struct shim_vma *vma,
			 char *path, size_t path_max)
{
	struct procmap_query q = {
		.size = sizeof(q),
		.query_flags = QUERY_COVERING_OR_NEXT,
		.query_addr = at,
		.vma_name_size = path_max,
		.vma_name_addr = (uintptr_t)path,
	};
	long r = SYS(ioctl, w->fd, SV_PROCMAP_QUERY, &q);

	if (r == -ENAMETOOLONG) {
		/* too long to be one of ours */
		q.vma_name_size = 0;
		q.vma_name_addr = 0;
		r = SYS(ioctl, w->fd, SV_PROCMAP_QUERY, &q);
	}
	if (r < 0)
		return (int)r;
	if (path && !q.vma_name_size)
		path[0] = '\0';
	from_query(vma, &q);
	return 0;
}

/* The next byte of the text, or -1 at its end. */
static int text_byte(struct vma_walk *w)
{
	if (w->pos == w->len) {
		long r;

		do
			r = SYS(pread64, w->fd, w->buf, sizeof(w->buf), w->at);
		while (r == -EINTR);
		if (r <= 0)
			return -1;
		w->at += (uint64_t)r;
		w->len = (unsigned int)r;
		w->pos = 0;
	}
	return (unsigned char)w->buf[w->pos++];
}

/* A number, and the one byte that ends it. */
static uint64_t text_number(struct vma_walk *w, unsigned int base)
{
	uint64_t value = 0;

	for (;;) {
		int c = text_byte(w);
		unsigned int digit = base;

		if (c >= '0' && c <= '9')
			digit = c - '0';
		else if (c >= 'a' && c <= 'f')
			digit = c - 'a' + 10;
		if (digit >= base)
			return value;
		value = value * base + digit;
	}
}

static void text_flags(struct vma_walk *w, struct shim_vma *vma)
{
	vma->prot = text_byte(w) == 'r' ? PROT_READ : 0;
	vma->prot |= text_byte(w) == 'w' ? PROT_WRITE : 0;
	vma->prot |= text_byte(w) == 'x' ? PROT_EXEC : 0;
	vma->shared = text_byte(w) == 's';
	(void)text_byte(w);
}

/*
 * The rest of the line: blanks, then a path. The byte that ended the inode is
 * the first blank, or the end of the line when there is no path: the kernel
 * always writes one blank.
 */
static void text_path(struct vma_walk *w, char *path, size_t path_max)
{
	size_t n = 0;
	int c;

	while ((c = text_byte(w)) == ' ')
		;
	for (; c >= 0 && c != '\n'; c = text_byte(w)) {
		if (n < path_max)
			path[n] = (char)c;
		n++;
	}
	if (path)
		path[n < path_max ? n : 0] = '\0';
}

/* start-end rwxp offset major:minor inode [path] */
static int next_by_text(struct vma_walk *w, uint64_t at, struct shim_vma *vma,
			char *path, size_t path_max)
{
	do {
		vma->start = text_number(w, 16);
		vma->end = text_number(w, 16);
		if (!vma->end)
			return -ENOENT;
		text_flags(w, vma);
		vma->off = text_number(w, 16);

		unsigned int major = text_number(w, 16);
		unsigned int minor = text_number(w, 16);

		vma->dev = makedev(major, minor);
		vma->ino = text_number(w, 10);
		text_path(w, path, path_max);
	} while (vma->end <= at);
	return 0;
}

/*
 * Older host, or a sandbox. What is kept is read by others at the same time,
 * each from where it is, which the host finds again in a text that changes: so
 * only where there is no other.
 */
static void turn_to_text(struct vma_walk *w)
{
	int own = w->kept ? shim_proc_open("maps", O_RDONLY) : -1;

	w->text = true;
	if (own < 0)
		return;
	w->fd = own;
	w->kept = false;
}

int vma_walk_next(struct vma_walk *w, uint64_t at, struct shim_vma *ret_vma,
		  char *path, size_t path_max)
{
	int r = -ENOTTY;

	if (!w->text) {
		r = next_by_query(w, at, ret_vma, path, path_max);
		if (r < 0 && r != -ENOENT)
			turn_to_text(w);
	}
	if (w->text)
		r = next_by_text(w, at, ret_vma, path, path_max);
	if (r < 0)
		return r;
	recognise_bar(ret_vma, path);
	return 0;
}

static int find(uint64_t addr, struct shim_vma *ret_vma, char *path,
		size_t path_max)
{
	struct vma_walk w;
	int r = vma_walk_begin(&w);

	if (r < 0)
		return r;
	r = vma_walk_next(&w, addr, ret_vma, path, path_max);
	vma_walk_end(&w);
	return r == 0 && ret_vma->start > addr ? -ENOENT : r;
}

int shim_vma_find(uint64_t addr, struct shim_vma *ret_vma)
{
	char path[VMA_PATH_MAX];

	return find(addr, ret_vma, path, sizeof(path));
}

int shim_vma_touched(uint64_t addr, struct shim_vma *ret_vma)
{
	if (atomic_load(&bar_files_full))
		return shim_vma_find(addr, ret_vma);
	return find(addr, ret_vma, NULL, 0);
}
