/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the files of the preloaded shim share. The shim lives inside somebody
 * else's program: it may be entered from any thread, from signal handlers, on
 * 16 KiB stacks, between fork and exec, and before its own constructor ran.
 * So everything here is async-signal-safe, keeps no table, takes no lock and
 * no heap, and internal code never calls a function that is interposed
 * (tests/shim/check_symbols.sh looks): it makes raw system calls, or calls the
 * next definition through NEXT().
 *
 * Functions return 0 or a result, or -errno; errno is set in the exported
 * wrappers only, by shim_ret().
 */
#ifndef SOFTVFIO_SHIM_SHIM_H
#define SOFTVFIO_SHIM_SHIM_H

#if defined(_FILE_OFFSET_BITS) || !defined(__x86_64__)
#error "the shim defines both pread and pread64: x86-64, no _FILE_OFFSET_BITS"
#endif

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/types.h>

#include "lib/proto.h"

/* An interposed function; everything else is hidden. */
#define EXPORT __attribute__((visibility("default")))

/* ------------------------------------------------------------------ */
/* Raw system calls: the result or -errno, errno untouched            */

static inline long shim_sys6(long nr, long a, long b, long c, long d, long e,
			     long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long r;

	__asm__ volatile("syscall"
			 : "=a"(r)
			 : "0"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8),
			   "r"(r9)
			 : "rcx", "r11", "memory");
	return r;
}

/* SYS(openat, AT_FDCWD, path, flags): up to six arguments, any scalar type */
#define SYS(name, ...)                                                         \
	SYS_PICK_(, ##__VA_ARGS__, SYS6_, SYS5_, SYS4_, SYS3_, SYS2_, SYS1_,   \
		  SYS0_)                                                       \
	(SYS_##name, ##__VA_ARGS__)
#define SYS_PICK_(z, a, b, c, d, e, f, pick, ...) pick
#define SYS6_(nr, a, b, c, d, e, f)                                            \
	shim_sys6(nr, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e),   \
		  (long)(f))
#define SYS5_(nr, a, b, c, d, e) SYS6_(nr, a, b, c, d, e, 0)
#define SYS4_(nr, a, b, c, d)	 SYS6_(nr, a, b, c, d, 0, 0)
#define SYS3_(nr, a, b, c)	 SYS6_(nr, a, b, c, 0, 0, 0)
#define SYS2_(nr, a, b)		 SYS6_(nr, a, b, 0, 0, 0, 0)
#define SYS1_(nr, a)		 SYS6_(nr, a, 0, 0, 0, 0, 0)
#define SYS0_(nr)		 SYS6_(nr, 0, 0, 0, 0, 0, 0)

/* ------------------------------------------------------------------ */
/* The next definition of an interposed function                      */

/*
 * DEFINE_NEXT(read) at file scope, once per file that needs it; then
 * NEXT(read)(fd, buf, n) calls what the program would have called without us
 * (libc, a sanitizer), cancellation points included. They are all looked up
 * before the shim's own constructor runs, since dlsym() is not
 * async-signal-safe.
 */
struct shim_next {
	const char *name;
	void *fn;
};

#define DEFINE_NEXT(func)                                                      \
	static struct shim_next next_##func = {#func, NULL};                   \
	__attribute__((constructor(101))) static void look_up_##func(void)     \
	{                                                                      \
		(void)shim_next(&next_##func);                                 \
	}                                                                      \
	struct shim_next
#define NEXT(func) ((__typeof__(&func))shim_next(&next_##func))

/**
 * shim_next() - Address of a next definition; use NEXT()
 *
 * Return: never NULL: what does not exist answers -1 with ENOSYS.
 */
void *shim_next(struct shim_next *next);

/** shim_ret() - The one place where errno is set: -errno becomes -1 */
static inline long shim_ret(long r)
{
	if (r >= 0)
		return r;
	errno = (int)-r;
	return -1;
}

/* ------------------------------------------------------------------ */
/* init.c                                                             */

/**
 * shim_active() - Is there an instance this program belongs to
 *
 * True when SOFTVFIO_DIR was set at start. Without it every wrapper does
 * nothing but call the next definition.
 */
bool shim_active(void);

/** shim_dir() - $SOFTVFIO_DIR as it was at start, absolute, "" without */
const char *shim_dir(void);

/**
 * struct shim_daemon - $SOFTVFIO_DAEMON as it was at start: who serves
 * @pid:   process id; 0 = not said
 * @uid:   its user
 * @start: when it began, as in /proc/PID/stat
 */
struct shim_daemon {
	pid_t pid;
	uid_t uid;
	uint64_t start;
};

/** shim_daemon() - Valid once shim_active() */
const struct shim_daemon *shim_daemon(void);

/**
 * shim_signal_init() - Take SIGBUS and SIGSEGV out of the first thread's mask
 *
 * Called once by the constructor of an active shim, after every NEXT() works.
 * The handlers come with the first BAR mapping: shim_arm_faults().
 */
void shim_signal_init(void);

/* ------------------------------------------------------------------ */
/* peer.c, rpc.c, ask.c, copy.c                                       */

#define SHIM_WHAT_MAX 108

/**
 * shim_peer() - Is a descriptor one of our files, and which
 * @fd:   any descriptor number
 * @what: receives what readlink(/proc/self/fd/N) shows on Linux; or NULL
 *
 * Proven, not believed: see peer.c. Keeps working after the daemon's death.
 * About 0.1 us once it is known, for our files and others; a request at the
 * door at most for the first look at a socket that is named like ours.
 *
 * Return: 0; -ENOTSOCK, -EBADF or -ENOTTY when it is not ours.
 */
int shim_peer(int fd, char what[SHIM_WHAT_MAX]);

/**
 * struct shim_rpc - One request and its answer
 * @fd:	      the file it is about, or -1 for the door
 * @op:	      enum sv_op
 * @arg:      see enum sv_op
 * @seg:      bytes of segment 0, may be bad program memory (then -EFAULT)
 * @seg_prefetch: nobody has asked for them yet, so as many as can be read will
 *	      do; SV_PREFETCH at most
 * @seg_addr: their program address, 0 for the shim's own
 * @seg_want: how many were asked for
 * @seg_len:  how many @seg has; @n_segs counts 1 even when this is 0
 * @n_segs:   0 or 1
 * @data:     receives what the reply carries (READ, STAT, MMAP), may be bad
 *	      program memory (then -EFAULT)
 * @data_max: room at @data
 * @ret_fd:   a descriptor that came along without being the result, or -1;
 *	      close-on-exec, the caller's to close
 * @ret_len:  bytes stored at @data; with -EFAULT those that could not be
 */
struct shim_rpc {
	int fd;
	uint16_t op;
	uint16_t n_segs;
	bool seg_prefetch;
	uint64_t arg[4];
	const void *seg;
	uint64_t seg_addr;
	uint32_t seg_want;
	uint32_t seg_len;
	void *data;
	size_t data_max;
	int ret_fd;
	size_t ret_len;
	struct shim_wait *wait; /* NULL: not to be left (line.h) */
};

/**
 * shim_rpc() - Make a request, answer what the daemon needs, take the reply
 *
 * Context: anywhere, signal handlers included. Uses less than 6 KiB of stack.
 * Return: the result (>= 0; a descriptor where the op makes one) or -errno;
 * -ENODEV when there is no daemon (any more); -EINTR @wait was left.
 */
int64_t shim_rpc(struct shim_rpc *rpc);

/**
 * shim_rpc_open() - SV_OPEN
 * @path:  absolute, as the program sees it ("/dev/vfio/12")
 * @flags: open flags; O_CLOEXEC is honoured
 *
 * Return: a new descriptor or -errno.
 */
int shim_rpc_open(const char *path, int flags);

/** shim_rpc_stat() - SV_STAT of an absolute path. Return: 0 or -errno */
int shim_rpc_stat(const char *path, struct sv_stat *ret_st);

/** shim_rpc_fstat() - SV_FSTAT of one of our files. Return: 0 or -errno */
int shim_rpc_fstat(int fd, struct sv_stat *ret_st);

/**
 * shim_rpc_known() - SV_KNOWN: is a socket one of the daemon's files
 * @cookie: its SO_COOKIE
 *
 * Return: 1 it is, 0 not; -errno the daemon could not be asked.
 */
int shim_rpc_known(uint64_t cookie);

/**
 * shim_rpc_side_door() - SV_SIDE_DOOR: a file that takes the door's requests
 *
 * Return: a new descriptor, close-on-exec, or -errno.
 */
int shim_rpc_side_door(void);

struct shim_vma;

/**
 * shim_rpc_fault() - SV_FAULT: may a BAR that raised SIGBUS be touched again
 * @bar: the mapping that was touched
 *
 * Return: 0 touch it again; -EINTR @wait was left; negative: the program gets
 * its SIGBUS.
 */
int shim_rpc_fault(const struct shim_vma *bar, uint64_t addr, bool write,
		   struct shim_wait *wait);

/**
 * shim_rpc_access() - SV_ACCESS: one load or store of a trapped page
 * @bar:   the mapping that it is in
 * @size:  1, 2, 4 or 8
 * @value: the value to store, or receives the value loaded
 *
 * Return: 0 or -errno; -EINTR @wait was left.
 */
int shim_rpc_access(const struct shim_vma *bar, uint64_t addr,
		    unsigned int size, bool write, uint64_t *value,
		    struct shim_wait *wait);

/* Copies between the shim and addresses the program gave */

/**
 * shim_copy_in() - Read program memory that may not be there
 *
 * Return: how many bytes could be read; less than @len = the next one faults.
 */
size_t shim_copy_in(void *dst, const void *src, size_t len);

/** shim_copy_out() - Write program memory. Return: 0 or -EFAULT */
int shim_copy_out(void *dst, const void *src, size_t len);

/**
 * shim_scratch() - Memory for what does not fit on a small stack
 * @len: bytes, zeroed, only those touched cost anything
 *
 * Return: memory for shim_scratch_free(), or NULL.
 */
void *shim_scratch(size_t len);
void shim_scratch_free(void *p, size_t len);

/* ------------------------------------------------------------------ */
/* vma.c: what is mapped where                                        */

/**
 * struct shim_vma - One mapping of this process
 * @start:  address
 * @end:    exclusive
 * @off:    file offset at @start
 * @dev:    makedev() of the file
 * @ino:    its inode; 0 = anonymous
 * @prot:   PROT_* as the program asked for it, also where @trap
 * @shared: MAP_SHARED
 * @bar:    one of our BARs
 * @trap:   of a BAR: pages where every access is to become SV_ACCESS; the host
 *	    has them PROT_NONE
 */
struct shim_vma {
	uint64_t start;
	uint64_t end;
	uint64_t off;
	uint64_t dev;
	uint64_t ino;
	unsigned int prot;
	bool shared;
	bool bar;
	bool trap;
};

/**
 * shim_in_bars() - May there be a BAR mapping in a range: two compares
 *
 * False is certain. Survives fork; other memory of a program without BAR
 * mappings costs nothing.
 */
bool shim_in_bars(uintptr_t start, size_t len);

/**
 * shim_vma_find() - The mapping at an address, from /proc
 * shim_vma_touched() - The same, without asking what its file is called
 *
 * What the second takes for a BAR may be another file that has the number of a
 * dead daemon's: who asks the daemon next is told that it has no such BAR.
 *
 * Return: 0; -ENOENT nothing is mapped there; -errno of /proc.
 */
int shim_vma_find(uint64_t addr, struct shim_vma *ret_vma);
int shim_vma_touched(uint64_t addr, struct shim_vma *ret_vma);

/* ------------------------------------------------------------------ */
/* path.c, stat.c, link.c: what syscall() of these numbers does. They */
/* behave as the system calls, -errno included.                       */

long shim_openat(int dir, const char *path, int flags, mode_t mode);
long shim_readlinkat(int dir, const char *path, char *buf, size_t size);
long shim_statx(int dir, const char *path, int flags, unsigned int mask,
		void *ret_statx);

/* ------------------------------------------------------------------ */
/* signal.c and trap.c                                                */

/**
 * shim_arm_faults() - From now on SIGBUS and SIGSEGV reach the shim first
 *
 * To be called before a BAR is mapped; every time, it costs one load. Programs
 * that map none keep their handlers undisturbed.
 *
 * Context: anywhere.
 */
void shim_arm_faults(void);

#endif
