/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory a device may reach, by where it comes from:
 *
 *   file  pages of a memfd, tmpfs or hugetlbfs file, mapped into the daemon:
 *	   they outlive the program's munmap(), exec and death, as pinned pages
 *	   do. Copies are guarded: a file truncated under them is an error.
 *   mm	   a program's private memory, reached through its own /proc/self/mem
 *	   descriptor, which stays bound to that address space. The program can
 *	   make such pages block (userfaultfd, FUSE), so these copies run on
 *	   the address space's own worker and can be abandoned.
 *   bar	   a BAR of one of our own devices (peer-to-peer).
 */
#ifndef SOFTVFIO_CORE_DMA_MEM_H
#define SOFTVFIO_CORE_DMA_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/lock.h"

/* A copy that takes longer is abandoned: a PCIe completion time-out. */
#define MEM_TIMEOUT_NS 2000000000ull

/*
 * A write that is under way when it is told to stop gets this long to arrive:
 * what the program reuses after an unmap must not be written to any more. Only
 * one that the program itself holds up takes longer, and may arrive late.
 */
#define MEM_GRACE_NS 250000000ull

struct mem; /* reference counted */
struct dma_ctx;

/**
 * struct mem_seg - A stretch of one struct mem
 * @mem: one reference, owned by whoever owns the segment
 * @off: file: offset in the file; mm: the program's virtual address;
 *	 bar: offset in the BAR
 * @len: bytes
 */
struct mem_seg {
	struct mem *mem;
	uint64_t off;
	uint64_t len;
};

/** mem_get() - One more reference. Context: any thread, lock-free */
struct mem *mem_get(struct mem *mem);

/**
 * mem_put() - Drop a reference; the last one ends the memory
 *
 * Never waits, not even for a copy that is stuck: its worker keeps what it
 * still needs and ends when it comes back.
 *
 * Context: takes the registry's lock, after the last one that of the address
 * space. NULL is fine.
 */
struct mem *mem_put(struct mem *mem);

/**
 * mem_guard_init() - Have a SIGBUS inside a copy from or to a file's memory
 * cost that copy -EIO
 *
 * Installs the process's SIGBUS handler; any other SIGBUS goes on to what was
 * installed before. Once, before the first copy; again does nothing. No
 * thread that does DMA may block SIGBUS.
 *
 * Context: before there are other threads.
 * Return: 0; -errno as sigaction(2) sets it.
 */
int mem_guard_init(void);

/**
 * mem_file() - Memory of a file; one struct mem per file (device and inode),
 * however often it is asked for, mapped once and whole
 * @pid:   whose share of SHARE_MAPPED_FILES and SHARE_MAPPED_BYTES it takes,
 *	   unless it is mapped already
 * @fd:	   borrowed; must allow the access asked for
 * @write: the device may write
 * @end:   the file must be mapped at least up to here
 *
 * Only files whose pages nobody can hold up are taken. Other files' pages
 * (disk, FUSE) are reached through the program's address space: mem_mm().
 *
 * Context: takes the registry's lock. Never waits for whoever serves @fd.
 * Return: 0; -EOPNOTSUPP not a regular file of tmpfs (memfds are) or
 * hugetlbfs; -EACCES @fd is not open for that, or sealed against it; -EINVAL
 * shorter than @end; -ENOSPC no share left, or the host maps no more: mem_mm()
 * does; -ENOMEM.
 */
int mem_file(pid_t pid, int fd, bool write, uint64_t end, struct mem **ret_mem);

/**
 * struct mm_id - Names an address space; chosen at random by the program's
 * shim, so that nobody can name another's
 */
struct mm_id {
	uint64_t w[2];
};

/**
 * mem_mm() - Memory of an address space; one struct mem (and one worker) for
 * each, however often it is asked for
 * @pid:    whose share of SHARE_WORKERS it takes, unless it is known already
 * @mem_fd: its /proc/self/mem, opened read-write; borrowed (dup'd); -1 when
 *	    the caller hopes it is known already
 *
 * Context: takes the registry's lock. Never waits for the program.
 * Return: 0; -ENOENT not known and @mem_fd is -1; -ENOMEM no share left, or no
 * memory; -EMFILE; -EBADF; -EAGAIN the host has no thread.
 */
int mem_mm(pid_t pid, const struct mm_id *id, int mem_fd, struct mem **ret_mem);

/**
 * struct mem_bar_ops - How peer-to-peer reaches a BAR
 * @access: 0; -EIO decode is off or the device is gone. Takes the target's
 *	    memory_lock; the caller holds none.
 */
struct mem_bar_ops {
	int (*access)(void *dev, unsigned int bar, uint64_t off, void *buf,
		      size_t len, bool write);
};

/**
 * mem_bar() - Memory of a BAR
 * @dev: borrowed for as long as the memory lives
 *
 * Context: any thread.
 * Return: 0; -ENOMEM.
 */
int mem_bar(const struct mem_bar_ops *ops, void *dev, unsigned int bar,
	    struct mem **ret_mem);

/**
 * mem_is_pinned() - Would Linux pin it, and charge for that? All but BARs.
 *
 * Context: any thread, lock-free.
 */
bool mem_is_pinned(const struct mem *mem);

/**
 * struct mem_stop - What makes a waiting copy give up
 * @cancel:  not 0: the requester is being stopped; NULL = never
 * @revoked: the mapping is being removed; NULL = never
 * @also:    @n_also more such, of a copy that concerns several mappings
 *
 * Whoever sets one then calls mem_wake() or mem_nudge().
 */
struct mem_stop {
	const _Atomic unsigned int *cancel;
	const _Atomic bool *revoked;
	const _Atomic bool *const *also;
	size_t n_also;
};

/**
 * mem_read() - Copy out of memory
 * mem_write() - Copy into memory
 *
 * A program that polls for what it is sent must find all of it once it finds
 * the end: a write of up to 64 bytes to a file's memory is made of naturally
 * aligned words, in ascending order, the last one released last.
 *
 * Context: any lock ranked before RANK_MM may be held, but only ones that
 * nobody needs in order to set @stop.
 * Return: 0; -EIO gone, or no answer in MEM_TIMEOUT_NS (for each 64 KiB);
 * -ECANCELED @stop said so. On error part may have been copied.
 */
int mem_read(struct mem *mem, const struct mem_stop *stop, uint64_t off,
	     void *buf, size_t len);
int mem_write(struct mem *mem, const struct mem_stop *stop, uint64_t off,
	      const void *buf, size_t len);

/** struct mem_io - One of several copies; @write: into memory */
struct mem_io {
	uint64_t off;
	void *buf;
	size_t len; /* not 0 */
	bool write;
};

/**
 * mem_many() - Several copies, one after the other, until one fails
 * @ret_done: on error, how many were made before; those behind the one that
 *	      failed were not begun
 *
 * Context, Return: as for mem_read().
 */
int mem_many(struct mem *mem, const struct mem_stop *stop,
	     const struct mem_io *io, size_t n, size_t *ret_done);

/**
 * mem_host() - Where memory is mapped in this process, for system calls only:
 * what the program truncates is EFAULT to them
 *
 * Return: NULL when it is not mapped here, or not for @write.
 */
void *mem_host(struct mem *mem, uint64_t off, uint64_t len, bool write);

/**
 * mem_wake() - Have waiting copies of @ctx look at ctx->cancel
 *
 * Context: takes the registry's lock and those of the address spaces.
 */
void mem_wake(struct dma_ctx *ctx);

/**
 * mem_nudge() - Have copies that wait for @mem look at their mem_stop
 *
 * Context: takes the lock of the address space, if it is one.
 */
void mem_nudge(struct mem *mem);

#endif
