/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Walking what is mapped in this process, and the marks by which the shim
 * knows its own mappings again without keeping a list.
 */
#ifndef SOFTVFIO_SHIM_BASE_VMA_H
#define SOFTVFIO_SHIM_BASE_VMA_H

#include "shim/shim.h"

/*
 * Pages that trap are never reached through the memfd they map, so their file
 * offset is free to say what they are: mapped SHIM_TRAP_OFF beyond the true
 * offset, plus the protection the program asked for. /proc shows it after
 * fork, mremap and partial munmap, and remap_file_pages() changes it.
 */
#define SHIM_TRAP_OFF	(UINT64_C(1) << 62)
#define SHIM_TRAP_WRITE (UINT64_C(1) << 61)
#define SHIM_TRAP_READ	(UINT64_C(1) << 60)
#define SHIM_TRAP_BITS	(SHIM_TRAP_OFF | SHIM_TRAP_WRITE | SHIM_TRAP_READ)

#define VMA_PATH_MAX 128 /* longer is no BAR's */

/**
 * struct vma_walk - A walk through this process's mappings, ascending
 * @fd:	  /proc/thread-self/maps
 * @kept: by keep.h, and not to be closed
 * @text: its text is being read: the host has no PROCMAP_QUERY (Linux 6.11)
 * @at:	  next byte to read of it
 * @pos:  next unread byte of @buf
 * @len:  bytes in @buf
 */
struct vma_walk {
	int fd;
	bool kept;
	bool text;
	uint64_t at;
	unsigned int pos;
	unsigned int len;
	char buf[512];
};

/** vma_walk_begin() - Start one. Return: 0 or -errno */
int vma_walk_begin(struct vma_walk *w);
void vma_walk_end(struct vma_walk *w);

/**
 * vma_walk_next() - The mapping at @at, or the next one above
 * @at:	      ascending from call to call
 * @ret_vma:  what it is
 * @path:     receives the file's name as /proc shows it, "" when it has none
 *	      or @path_max is too small; or NULL, see shim_vma_touched()
 *
 * Return: 0; -ENOENT no more; -errno.
 */
int vma_walk_next(struct vma_walk *w, uint64_t at, struct shim_vma *ret_vma,
		  char *path, size_t path_max);

/** bars_know() - A BAR's memfd has come from the daemon, and is to be mapped */
void bars_know(int memfd);

/** bars_extend() - A BAR is mapped at [start, end) from now on */
void bars_extend(uintptr_t start, uintptr_t end);

/**
 * shim_proc_open() - Open /proc/thread-self/<name>, else /proc/self/<name>
 *
 * Also where /proc is not mounted any more, if it is kept (keep.h).
 */
int shim_proc_open(const char *name, int flags);

#endif
