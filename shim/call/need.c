/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Serving SV_NEED: bytes of program memory, the files behind descriptor
 * numbers, what is mapped in a range and with which file behind it, and this
 * process's memory as a file.
 */
#include "shim/call/need.h"

#include "shim/call/line.h"
#include "shim/base/vma.h"
#include "shim/base/wiped.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define HEX_MAX	     16 /* digits of a 64-bit number */
#define FD_NAME_MAX  16 /* "fd/2147483647" */
#define DIRENTS_SIZE 1024
#define WORD_BITS    64u  /* of a bitmap */
#define ONES	     4096 /* bytes written at a time */

/* as getdents64() writes it */
struct dirent64_raw {
	uint64_t ino;
	int64_t off;
	uint16_t reclen;
	uint8_t type;
	char name[];
};

/* For one request at a time; mapping one takes longer than asking again. */
static struct needed one;

static struct needed *take_one(void)
{
	struct wiped *w = wiped_page();

	return w && !atomic_exchange(&w->needed, true) ? &one : NULL;
}

struct needed *need_new(void)
{
	struct needed *n = take_one();

	if (!n)
		n = shim_scratch(sizeof(*n));
	if (!n)
		return NULL;
	n->n_segs = n->n_bytes = n->n_fdrefs = n->n_vmas = 0;
	n->n_files = n->n_fds = 0;
	n->mem_fd = -1;
	n->has_vmas = n->bits_fault = false;
	n->mark = n->bits_done = 0;
	return n;
}

static void release(struct needed *n)
{
	if (n == &one)
		atomic_store(&wiped_page()->needed, false);
	else
		shim_scratch_free(n, sizeof(*n));
}

void need_free(struct needed *n)
{
	if (!n)
		return;
	for (uint32_t i = 0; i < n->n_files; i++)
		SYS(close, n->fds[i]);
	if (n->mem_fd >= 0)
		SYS(close, n->mem_fd);
	release(n);
}

static int need_bytes(struct needed *n, uint64_t addr, uint64_t len,
		      uint32_t taken)
{
	if (n->n_segs + taken >= SV_SEGS_MAX ||
	    len > sizeof(n->bytes) - n->n_bytes)
		return -ENOMEM;

	size_t got = shim_copy_in(n->bytes + n->n_bytes,
				  (const void *)(uintptr_t)addr, len);

	n->segs[n->n_segs++] = (struct sv_seg){addr, len, got};
	n->n_bytes += got;
	return 0;
}

/* ------------------------------------------------------------------ */
/* Descriptor numbers                                                 */

/* The slot of a number, or the free one where it belongs. */
static uint16_t *fdref_slot(struct needed *n, int32_t number)
{
	uint32_t size = sizeof(n->slots) / sizeof(n->slots[0]);
	uint32_t at = (uint32_t)number % size;

	while (n->slots[at] && n->fdrefs[n->slots[at] - 1].number != number)
		at = (at + 1) % size;
	return &n->slots[at];
}

static int need_fds(struct needed *n, const int32_t *numbers, uint64_t count)
{
	if (!n->n_fdrefs)
		memset(n->slots, 0, sizeof(n->slots));
	for (uint64_t i = 0; i < count; i++) {
		int32_t number;

		memcpy(&number, &numbers[i], sizeof(number));

		uint16_t *slot = fdref_slot(n, number);

		if (*slot)
			continue;
		if (n->n_fdrefs == SV_FDREFS_MAX)
			return -ENOMEM;
		n->fdrefs[n->n_fdrefs++] = (struct sv_fdref){number, -1};
		*slot = (uint16_t)n->n_fdrefs;
	}
	return 0;
}

/*
 * An O_PATH descriptor can be sent but not used: to every system call but the
 * *at() ones it is EBADF, and so it is here.
 */
static bool fd_usable(int fd)
{
	long flags = SYS(fcntl, fd, F_GETFL);

	return flags >= 0 && !(flags & O_PATH);
}

static bool fd_own(const struct needed *n, const struct line *line, int fd)
{
	if (fd == n->mem_fd || line_owns(line, fd))
		return true;
	for (uint32_t i = 0; i < n->n_files; i++)
		if (n->fds[i] == fd)
			return true;
	return false;
}

void need_collect(struct needed *n, const struct line *line)
{
	n->n_fds = n->n_files;
	for (uint32_t i = 0; i < n->n_fdrefs; i++) {
		struct sv_fdref *ref = &n->fdrefs[i];

		ref->index = -1;
		if (!fd_usable(ref->number) || fd_own(n, line, ref->number))
			continue;
		ref->index = (int32_t)n->n_fds;
		n->fds[n->n_fds++] = ref->number;
	}
	if (n->mem_fd >= 0)
		n->fds[n->n_fds++] = n->mem_fd;
}

/* ------------------------------------------------------------------ */
/* Mappings                                                           */

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

static int need_mm(struct needed *n)
{
	if (n->mem_fd < 0)
		n->mem_fd = shim_proc_open("mem", O_RDWR);
	if (n->mem_fd == -EMFILE || n->mem_fd == -ENFILE)
		return n->mem_fd;
	return n->mem_fd < 0 ? -ENOMEM : 0;
}

static int need_vmas(struct needed *n, const struct sv_need *need)
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

/* ------------------------------------------------------------------ */
/* Bitmaps                                                            */

static uint64_t low_bits(uint64_t n)
{
	return n < WORD_BITS ? (1ull << n) - 1 : ~0ull;
}

static bool put_word(uint64_t addr, uint64_t word)
{
	return shim_copy_out((void *)(uintptr_t)addr, &word, sizeof(word)) == 0;
}

static bool put_ones(uint64_t addr, uint64_t bytes)
{
	static const uint8_t ones[] = {[0 ... ONES - 1] = 0xff};

	while (bytes) {
		uint64_t len = bytes < ONES ? bytes : ONES;

		if (shim_copy_out((void *)(uintptr_t)addr, ones, len))
			return false;
		addr += len;
		bytes -= len;
	}
	return true;
}

/* @count ones from bit @skip of the word at @addr on: SV_NEED_BITS. */
static bool put_bits(uint64_t addr, uint64_t skip, uint64_t count)
{
	uint64_t word = 0, end = skip + count;

	if (skip) {
		if (shim_copy_in(&word, (const void *)(uintptr_t)addr,
				 sizeof(word)) != sizeof(word))
			return false;
		word |= low_bits(end) & ~low_bits(skip);
		if (!put_word(addr, word))
			return false;
		addr += sizeof(word);
		end -= end < WORD_BITS ? end : WORD_BITS;
	}
	return put_ones(addr, end / WORD_BITS * sizeof(word)) &&
	       (!(end % WORD_BITS) ||
		put_word(addr + end / WORD_BITS * sizeof(word),
			 low_bits(end % WORD_BITS)));
}

/* What cannot be written is for the daemon to answer; nor is what follows. */
static int need_bits(struct needed *n, const struct sv_need *need)
{
	if (need->flags >= WORD_BITS || need->len > SV_BITS_MAX)
		return -EIO;
	if (n->bits_fault)
		return 0;
	if (put_bits(need->addr, need->flags, need->len))
		n->bits_done++;
	else
		n->bits_fault = true;
	return 0;
}

static void bits_begin(struct needed *n, uint64_t mark)
{
	if (n->mark != mark)
		n->bits_done = 0;
	n->mark = mark;
	n->bits_fault = false;
}

/* ------------------------------------------------------------------ */

/* The numbers of all SV_NEED_FDS lie behind the list, in its order. */
static int need_one(struct needed *n, const struct sv_need *need,
		    const uint8_t **numbers, const uint8_t *end, uint32_t taken)
{
	const uint8_t *mine = *numbers;

	switch (need->kind) {
	case SV_NEED_BYTES:
		return need_bytes(n, need->addr, need->len, taken);
	case SV_NEED_FDS:
		if (need->len > (size_t)(end - mine) / sizeof(int32_t))
			return -EIO;
		*numbers += need->len * sizeof(int32_t);
		return need_fds(n, (const int32_t *)mine, need->len);
	case SV_NEED_VMAS:
		return need_vmas(n, need);
	case SV_NEED_MM:
		return need_mm(n);
	case SV_NEED_BITS:
		return need_bits(n, need);
	}
	return -EIO;
}

int need_serve(struct needed *n, uint64_t mark, uint16_t count, size_t len,
	       uint32_t taken)
{
	const struct sv_need *needs = (const void *)n->list;
	const uint8_t *numbers = (const uint8_t *)(needs + count);
	int r = 0;

	if (!count || count > len / sizeof(*needs))
		return -EIO;
	bits_begin(n, mark);
	for (uint16_t i = 0; i < count && r == 0; i++)
		r = need_one(n, &needs[i], &numbers, n->list + len, taken);
	return r;
}
