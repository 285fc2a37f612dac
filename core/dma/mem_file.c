/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DOC: Theory of operation
 *
 * Memory that is a file's: the daemon maps the file and copies by itself, so
 * such memory needs nobody's address space. There is one struct mem for each
 * file and direction, listed by device and inode; holding the mapping keeps
 * the inode from being used again.
 *
 * A mapping is never moved or shortened, since copies use it without a lock.
 * When a file has grown, it is mapped anew, at least twice as long, and the
 * old mapping stays until the last reference goes.
 *
 * The program may truncate the file at any time. A copy that then touches a
 * missing page gets SIGBUS: the thread notes where it copies before it
 * starts, and the handler jumps back out of that copy. The copy itself uses
 * no library function and no sanitizer's one, which might hold something at
 * that moment.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <ucontext.h>

#include "core/dma/mem_impl.h"
#include "core/common/share.h"
#include "lib/cleanup.h"
#include "lib/sched.h"
#include "lib/size.h"

#define ORDERED_MAX 64 /* bytes copied word by word, see mem_write() */
#define MAP_AHEAD   (1ull << 36) /* a sparse file is mapped whole up to here */

/* Memory shared with a program: what happens to it is no race of ours. */
#define NO_SANITIZE                                                            \
	__attribute__((noinline, no_sanitize("thread"), no_sanitize("address")))

#if defined(__x86_64__)
/* the processor keeps stores, and loads, in order */
#define keep_order() __asm__ volatile("" ::: "memory")
#else
#define keep_order() __atomic_thread_fence(__ATOMIC_ACQ_REL)
#endif

struct guard {
	sigjmp_buf env;
	volatile uintptr_t first; /* the copy under way, in whole pages */
	volatile uintptr_t end;	  /* 0 = none */
};

static __thread struct guard guard;
static struct sigaction previous; /* set once, before the first copy */

struct file_map {
	struct file_map *older;
	uint8_t *base;
	uint64_t len;
	struct share files; /* this one */
	struct share bytes; /* len of them */
};

struct mem_file {
	struct mem mem;
	bool write; /* immutable */
	/* published by release, replaced under mem_registry */
	_Atomic(struct file_map *) map;
};

/* What would have happened to this signal without us. */
static void pass_on(int sig, siginfo_t *info, void *context)
{
	if (previous.sa_flags & SA_SIGINFO) {
		previous.sa_sigaction(sig, info, context);
		return;
	}
	if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) {
		previous.sa_handler(sig);
		return;
	}
	if (info->si_code <= 0 && previous.sa_handler == SIG_IGN)
		return; /* somebody sent it; a real one can't be ignored */
	signal(sig, SIG_DFL);
	if (info->si_code <= 0)
		raise(sig); /* a real one comes again by itself */
}

static void on_sigbus(int sig, siginfo_t *info, void *context)
{
	uintptr_t addr = (uintptr_t)info->si_addr;

	if (info->si_code > 0 && addr >= guard.first && addr < guard.end) {
		ucontext_t *interrupted = context;

		guard.end = 0;
		pthread_sigmask(SIG_SETMASK, &interrupted->uc_sigmask, NULL);
		siglongjmp(guard.env, 1);
	}
	pass_on(sig, info, context);
}

int mem_guard_init(void)
{
	static bool done;
	struct sigaction sa = {
		.sa_sigaction = on_sigbus,
		.sa_flags = SA_SIGINFO | SA_ONSTACK,
	};

	if (done)
		return 0;
	sigemptyset(&sa.sa_mask);
	if (sigaction(SIGBUS, &sa, &previous) < 0)
		return -errno;
	done = true;
	return 0;
}

union word {
	uint64_t u64;
	uint32_t u32;
	uint16_t u16;
	uint8_t u8;
};

/* The largest word that is naturally aligned at @p and within @len. */
static size_t word_at(const void *p, size_t len)
{
	size_t word = 8;

	while (word > len || (uintptr_t)p % word)
		word /= 2;
	return word;
}

static NO_SANITIZE void store_words(uint8_t *to, const uint8_t *from,
				    size_t len)
{
	union word v;

	while (len) {
		size_t word = word_at(to, len);

		__builtin_memcpy(&v, from, word);
		keep_order();
		if (word == 8)
			*(volatile uint64_t *)to = v.u64;
		else if (word == 4)
			*(volatile uint32_t *)to = v.u32;
		else if (word == 2)
			*(volatile uint16_t *)to = v.u16;
		else
			*(volatile uint8_t *)to = v.u8;
		to += word;
		from += word;
		len -= word;
	}
}

static NO_SANITIZE void load_words(uint8_t *to, const uint8_t *from, size_t len)
{
	union word v;

	while (len) {
		size_t word = word_at(from, len);

		if (word == 8)
			v.u64 = *(const volatile uint64_t *)from;
		else if (word == 4)
			v.u32 = *(const volatile uint32_t *)from;
		else if (word == 2)
			v.u16 = *(const volatile uint16_t *)from;
		else
			v.u8 = *(const volatile uint8_t *)from;
		keep_order();
		__builtin_memcpy(to, &v, word);
		to += word;
		from += word;
		len -= word;
	}
}

static NO_SANITIZE void copy_bulk(void *to, const void *from, size_t len)
{
#if defined(__x86_64__)
	__asm__ volatile("rep movsb"
			 : "+D"(to), "+S"(from), "+c"(len)
			 :
			 : "memory");
#else
	uint8_t *t = to;
	const uint8_t *f = from;

	for (; len; len--)
		*(volatile uint8_t *)t++ = *(const volatile uint8_t *)f++;
#endif
}

static void copy_unguarded(uint8_t *shared, void *buf, size_t len, bool write)
{
	keep_order();
	if (write && len <= ORDERED_MAX)
		store_words(shared, buf, len);
	else if (write)
		copy_bulk(shared, buf, len);
	else if (len <= ORDERED_MAX)
		load_words(buf, shared, len);
	else
		copy_bulk(buf, shared, len);
	keep_order();
}

static int copy_guarded(uint8_t *shared, void *buf, size_t len, bool write)
{
	uintptr_t first = (uintptr_t)shared;

	if (sigsetjmp(guard.env, 0))
		return -EIO; /* the handler has disarmed */
	/* some machines report the page, not the byte */
	guard.first = first & ~(uintptr_t)(PAGE - 1);
	guard.end = first + len;
	atomic_signal_fence(memory_order_seq_cst);
	copy_unguarded(shared, buf, len, write);
	atomic_signal_fence(memory_order_seq_cst);
	guard.end = 0;
	return 0;
}

static void *file_host(struct mem *mem, uint64_t off, uint64_t len, bool write)
{
	struct mem_file *f = container_of(mem, struct mem_file, mem);
	struct file_map *map =
		atomic_load_explicit(&f->map, memory_order_acquire);

	if (off > map->len || len > map->len - off || (write && !f->write))
		return NULL;
	return map->base + off;
}

static int file_copy(struct mem *mem, const struct mem_stop *stop, uint64_t off,
		     void *buf, size_t len, bool write)
{
	uint8_t *shared = file_host(mem, off, len, write);

	if (!shared)
		return -EIO;
	sched_point("copy");
	return copy_guarded(shared, buf, len, write);
}

/* NULL is fine, and so is one that is not mapped. */
static void map_free(struct file_map *map)
{
	if (!map)
		return;
	if (map->base)
		munmap(map->base, map->len);
	share_give(&map->files);
	share_give(&map->bytes);
	free(map);
}

static void file_free(struct mem *mem)
{
	struct mem_file *f = container_of(mem, struct mem_file, mem);
	struct file_map *map = atomic_load(&f->map);

	while (map) {
		struct file_map *older = map->older;

		map_free(map);
		map = older;
	}
	free(f);
}

static const struct mem_ops file_mem_ops = {
	.copy = file_copy,
	.host = file_host,
	.free = file_free,
};

/* How much to map: all of it, or enough, and never little by little. */
static uint64_t map_len(const struct stat *st, uint64_t end, uint64_t have)
{
	uint64_t len = (uint64_t)st->st_size, want = end;
	uint64_t unit = (uint64_t)st->st_blksize; /* hugetlbfs: a huge page */

	if (want < 2 * have)
		want = 2 * have;
	if (want < MAP_AHEAD)
		want = MAP_AHEAD;
	if (len > want)
		len = want;
	if (unit < PAGE || (unit & (unit - 1)))
		unit = PAGE;
	return (len + unit - 1) & ~(unit - 1);
}

static int map_charge(struct file_map *map, pid_t pid)
{
	int r = share_take(&map->files, SHARE_MAPPED_FILES, pid, 1);

	return r < 0 ? r
		     : share_take(&map->bytes, SHARE_MAPPED_BYTES, pid,
				  map->len);
}

/* NORESERVE: a hugetlbfs file's huge pages are not ours to book */
static int map_host(struct file_map *map, bool write, int fd)
{
	void *base =
		mmap(NULL, map->len, write ? PROT_READ | PROT_WRITE : PROT_READ,
		     MAP_SHARED | MAP_NORESERVE, fd, 0);

	if (base == MAP_FAILED) /* EPERM: sealed */
		return errno == EACCES || errno == EPERM ? -EACCES : -ENOSPC;
	map->base = base;
	return 0;
}

static int map_file(struct mem_file *f, pid_t pid, int fd,
		    const struct stat *st, uint64_t end)
{
	struct file_map *old = atomic_load(&f->map);
	struct file_map *map = calloc(1, sizeof(*map));

	if (!map)
		return -ENOMEM;
	map->older = old;
	map->len = map_len(st, end, old ? old->len : 0);

	int r = map_charge(map, pid);

	if (r == 0)
		r = map_host(map, f->write, fd);
	if (r < 0) {
		map_free(map);
		return r;
	}
	atomic_store_explicit(&f->map, map, memory_order_release);
	return 0;
}

static int file_new(pid_t pid, int fd, bool write, const struct stat *st,
		    uint64_t end, struct mem **ret_mem)
{
	struct mem_file *f = calloc(1, sizeof(*f));

	if (!f)
		return -ENOMEM;
	mem_init(&f->mem, &file_mem_ops);
	f->write = write;

	int r = map_file(f, pid, fd, st, end);

	if (r < 0) {
		free(f);
		return r;
	}
	*ret_mem = &f->mem;
	return 0;
}

static int file_grow(struct mem *mem, pid_t pid, int fd, const struct stat *st,
		     uint64_t end)
{
	struct mem_file *f = container_of(mem, struct mem_file, mem);

	if (atomic_load(&f->map)->len >= end)
		return 0;
	return map_file(f, pid, fd, st, end);
}

static int file_check(int fd, bool write, uint64_t end, struct stat *st)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || flags & O_PATH || (flags & O_ACCMODE) == O_WRONLY ||
	    (write && (flags & O_ACCMODE) != O_RDWR))
		return -EACCES;
	/* only shmem and hugetlbfs have seals, and this asks no server */
	if (fcntl(fd, F_GET_SEALS) < 0 || fstat(fd, st) < 0 ||
	    !S_ISREG(st->st_mode))
		return -EOPNOTSUPP;
	/* the page that the file ends in can be mapped, and so pinned, whole */
	if (!end || end > (((uint64_t)st->st_size + PAGE - 1) & ~(PAGE - 1ull)))
		return -EINVAL;
	return 0;
}

static int file_get_locked(pid_t pid, int fd, bool write, uint64_t end,
			   const struct stat *st, struct mem **ret_mem)
	REQUIRES(&mem_registry)
{
	struct mem_key key = {{st->st_dev, st->st_ino, write}};
	struct mem *mem = mem_find_locked(&file_mem_ops, &key);

	if (mem) {
		*ret_mem = mem;
		return file_grow(mem, pid, fd, st, end);
	}

	int r = file_new(pid, fd, write, st, end, ret_mem);

	if (r == 0)
		mem_add_locked(*ret_mem, &key);
	return r;
}

int mem_file(pid_t pid, int fd, bool write, uint64_t end, struct mem **ret_mem)
{
	struct mem *mem = NULL;
	struct stat st;
	int r = file_check(fd, write, end, &st);

	if (r < 0)
		return r;
	mutex_lock(&mem_registry);
	r = file_get_locked(pid, fd, write, end, &st, &mem);
	mutex_unlock(&mem_registry);
	if (r < 0) {
		mem_put(mem); /* known, but could not grow */
		return r;
	}
	*ret_mem = mem;
	return 0;
}
