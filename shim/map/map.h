/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Mapping VFIO files, and what Linux forbids on such mappings afterwards.
 * Results are those of the system calls: an address or 0, or -errno.
 */
#ifndef SOFTVFIO_SHIM_MAP_MAP_H
#define SOFTVFIO_SHIM_MAP_MAP_H

#include "shim/shim.h"

/** struct map_call - The arguments of mmap() */
struct map_call {
	uintptr_t addr;
	size_t len;
	int prot;
	int flags;
	int fd;
	off_t off;
};

/**
 * map_mmap() - Second look at an mmap() that the host answered with @r
 */
long map_mmap(const struct map_call *c, long r);

/* Instead of the host's, for ranges where shim_in_bars() is true. */
long map_mprotect(uintptr_t addr, size_t len, int prot);
long map_madvise(uintptr_t addr, size_t len, int advice);
long map_msync(uintptr_t addr, size_t len, int flags);
long map_mlock(uintptr_t addr, size_t len, unsigned int flags);
long map_mremap(uintptr_t old, size_t old_len, size_t new_len, int flags,
		uintptr_t to);

#endif
