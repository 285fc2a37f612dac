/* SPDX-License-Identifier: BSD-3-Clause */
/* What is mapped in a range, with which file behind it, and the memory itself. */
#include "shim/call/need_impl.h"

#include "shim/base/vma.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define HEX_MAX	     16 /* digits of a 64-bit number */
#define FD_NAME_MAX  16 /* "fd/2147483647" */
#define DIRENTS_SIZE 1024

/* as getdents64() writes it */
struct dirent64_raw {
	uint64_t ino;
	int64_t off;
	uint16_t reclen;
	uint8_t type;
	char name[];
};

static char *put_hex(char *p, uint64_t value)
{
	char digits[HEX_MAX];
	int n = 0;

	do {
		digits[n++] = "0123456789abcdef"[value & 15];
		value >>= 4;
	} while (value);
	while (n > 0)
		*p++ = digits[--n];
	return p;
}

static void put_fd_name(char name[FD_NAME_MAX], int fd)
{
	char digits[FD_NAME_MAX];
	char *p = name;
	int n = 0;

	*p++ = 'f';
	*p++ = 'd';
	*p++ = '/';
	do {
		digits[n++] = (char)('0' + fd % 10);
		fd /= 10;
	} while (fd);
	while (n > 0)
		*p++ = digits[--n];
	*p = '\0';
}

/*
 * A regular file of that inode? Devices are never opened here: it could have
 * effects. @dev is not compared where it is 0: some file systems show another
 * one in maps than in stat.
 */
static bool is_file(int fd, uint64_t dev, uint64_t ino)
{
	struct stat st;

	return SYS(fstat, fd, &st) == 0 && S_ISREG(st.st_mode) &&
	       st.st_ino == ino && (!dev || st.st_dev == dev);
}

/* Consumes @fd; a description for reading and, if at all possible, writing. */
static int reopen(int fd, bool must_write, bool *ret_writable)
{
	char name[FD_NAME_MAX];
	long r;

	put_fd_name(name, fd);
	*ret_writable = true;
	r = shim_proc_open(name, O_RDWR);
	if (r < 0 && !must_write) {
		*ret_writable = false;
		r = shim_proc_open(name, O_RDONLY);
	}
	SYS(close, fd);
	return (int)r;
}

/*
 * The very file behind a mapping; needs CAP_CHECKPOINT_RESTORE or root. These
 * links exist for the process only, not for its threads, which the fallback in
 * shim_proc_open() takes care of.
 */
static int file_by_map(const struct shim_vma *vma, bool *ret_writable)
{
	char name[sizeof("map_files/-") + 2 * HEX_MAX] = "map_files/";
	char *p = put_hex(name + strlen(name), vma->start);

	*p++ = '-';
	p = put_hex(p, vma->end);
	*p = '\0';

	int fd = shim_proc_open(name, O_PATH);
	if (fd < 0)
		return fd;
	if (!is_file(fd, 0, vma->ino)) {
		SYS(close, fd);
		return -ENOENT;
	}
	return reopen(fd, vma->prot & PROT_WRITE, ret_writable);
}

/* A duplicate of a descriptor if it is that file: the number may change hands
 * at any time, the duplicate is ours to look at. */
static int file_by_fd(int number, const struct shim_vma *vma,
		      bool *ret_writable)
{
	if (!is_file(number, vma->dev, vma->ino))
		return -ENOENT;

	long fd = SYS(fcntl, number, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return (int)fd;

	long flags = SYS(fcntl, fd, F_GETFL);
	if (!is_file((int)fd, vma->dev, vma->ino)) {
		SYS(close, fd);
		return -ENOENT;
	}
	*ret_writable = true;
	if ((flags & (O_ACCMODE | O_PATH)) == O_RDWR)
		return (int)fd;
	return reopen((int)fd, vma->prot & PROT_WRITE, ret_writable);
}

static int parse_number(const char *s)
{
	int value = 0;

	if (*s < '0' || *s > '9')
		return -1;
	for (; *s >= '0' && *s <= '9'; s++)
		value = value * 10 + (*s - '0');
	return value;
}

/* One buffer of directory entries: the first that is the file, or -ENOENT. */
static int file_in_dirents(const char *buf, long len,
			   const struct shim_vma *vma, bool *ret_writable)
{
	for (long at = 0; at < len;) {
		const struct dirent64_raw *d = (const void *)(buf + at);
		int number = parse_number(d->name);
		int fd = number < 0 ? -ENOENT
				    : file_by_fd(number, vma, ret_writable);

		if (fd >= 0)
			return fd;
		at += d->reclen;
	}
	return -ENOENT;
}

/* Programs that are not root: most keep the file of a mapping open. */
static int file_among_fds(const struct shim_vma *vma, bool *ret_writable)
{
	char buf[DIRENTS_SIZE] __attribute__((aligned(8)));
	int dir = shim_proc_open("fd", O_RDONLY | O_DIRECTORY);
	int fd = -ENOENT;

	if (dir < 0)
		return dir;
	while (fd < 0) {
		long len = SYS(getdents64, dir, buf, sizeof(buf));

		if (len <= 0)
			break;
		fd = file_in_dirents(buf, len, vma, ret_writable);
	}
	SYS(close, dir);
	return fd;
}

static int file_by_path(const struct shim_vma *vma, const char *path,
			bool *ret_writable)
{
	long fd = SYS(openat, AT_FDCWD, path, O_PATH | O_CLOEXEC);

	if (fd < 0)
		return (int)fd;
	if (!is_file((int)fd, vma->dev, vma->ino)) {
		SYS(close, fd);
		return -ENOENT;
	}
	return reopen((int)fd, vma->prot & PROT_WRITE, ret_writable);
}

/* The index among the files to send of the one behind a mapping, or -errno. */
static int need_file(struct needed *n, const struct shim_vma *vma,
		     const char *path)
{
	for (uint32_t i = 0; i < n->n_files; i++) {
		struct need_file *f = &n->files[i];

		if (f->dev == vma->dev && f->ino == vma->ino &&
		    (f->writable || !(vma->prot & PROT_WRITE)))
			return (int)i;
	}
	if (n->n_files == NEED_FILES_MAX)
		return -ENOMEM;

	bool writable;
	int fd = file_by_map(vma, &writable);
	if (fd < 0)
		fd = file_among_fds(vma, &writable);
	if (fd < 0 && path[0] == '/')
		fd = file_by_path(vma, path, &writable);
	if (fd < 0)
		return fd;
	if (SYS(fcntl, fd, F_GET_SEALS) < 0) { /* no memory, but a disk's */
		SYS(close, fd);
		return -EOPNOTSUPP;
	}

	n->files[n->n_files] = (struct need_file){vma->dev, vma->ino, writable};
	n->fds[n->n_files] = fd;
	return (int)n->n_files++;
}

/* Does @v continue @last, so that one entry can say it all? */
static bool vma_continues(const struct sv_vma *last, const struct sv_vma *v)
{
	if (last->end != v->start || last->prot != v->prot ||
	    last->kind != v->kind || last->index != v->index)
		return false;
	if (v->kind == SV_VMA_MM)
		return true;
	return last->dev == v->dev && last->ino == v->ino &&
	       last->off + (last->end - last->start) == v->off;
}

static int add_vma(struct needed *n, const struct sv_vma *v)
{
	struct sv_vma *last = n->n_vmas ? &n->vmas[n->n_vmas - 1] : NULL;

	if (last && vma_continues(last, v)) {
		last->end = v->end;
		return 0;
	}
	if (n->n_vmas == SV_VMAS_MAX)
		return -ENOMEM;
	n->vmas[n->n_vmas++] = *v;
	return 0;
}

/* Cut a mapping to the range asked about and say what backs it. */
static int describe(struct needed *n, const struct shim_vma *vma,
		    const char *path, uint64_t start, uint64_t end)
{
	struct sv_vma v = {
		.start = vma->start > start ? vma->start : start,
		.end = vma->end < end ? vma->end : end,
		.dev = vma->dev,
		.ino = vma->ino,
		.prot = vma->prot & (PROT_READ | PROT_WRITE),
		.kind = SV_VMA_MM,
		.index = -1,
	};

	v.off = vma->off + (v.start - vma->start);
	if (vma->bar) {
		v.kind = SV_VMA_BAR;
	} else if (vma->shared && vma->ino) {
		int index = need_file(n, vma, path);

		if (index >= 0) {
			v.kind = SV_VMA_FILE;
			v.index = (int16_t)index;
		}
	}
	return add_vma(n, &v);
}

static int walk_range(struct needed *n, uint64_t start, uint64_t end)
{
	struct shim_vma vma;
	struct vma_walk w;
	int r = vma_walk_begin(&w);

	if (r < 0)
		return r;
	for (uint64_t at = start; at < end; at = vma.end) {
		r = vma_walk_next(&w, at, &vma, n->path, sizeof(n->path));
		if (r < 0 || vma.start >= end)
			break;
		r = describe(n, &vma, n->path, start, end);
		if (r < 0)
			break;
	}
	vma_walk_end(&w);
	return r == -ENOENT ? 0 : r; /* nothing more is mapped */
}

int need_mm(struct needed *n)
{
	if (n->mem_fd < 0)
		n->mem_fd = shim_proc_open("mem", O_RDWR);
	if (n->mem_fd == -EMFILE || n->mem_fd == -ENFILE)
		return n->mem_fd;
	return n->mem_fd < 0 ? -ENOMEM : 0;
}

int need_vmas(struct needed *n, const struct sv_need *need)
{
	uint64_t end = need->addr + need->len;
	bool mm = false;

	n->n_vmas = 0;
	n->has_vmas = true;

	int r = walk_range(n, need->addr, end < need->addr ? UINT64_MAX : end);

	for (uint32_t i = 0; i < n->n_vmas; i++)
		mm |= n->vmas[i].kind == SV_VMA_MM;
	if (mm && need->flags & SV_NEED_WITH_MM)
		(void)need_mm(n); /* it will be asked for again if it has to */
	return r;
}
