/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The exported functions on mappings. mmap() asks about the file after the
 * host's ENODEV; the others cost two compares on memory that is no BAR's.
 */
#include "shim/map/map.h"

#include <stdarg.h>
#include <sys/mman.h>

DEFINE_NEXT(mmap);
DEFINE_NEXT(mprotect);
DEFINE_NEXT(madvise);
DEFINE_NEXT(msync);
DEFINE_NEXT(mremap);
DEFINE_NEXT(mlock);
DEFINE_NEXT(mlock2);

/* Addresses above LONG_MAX are not a program's: below zero is an error. */
static void *ret_address(long r)
{
	return (void *)shim_ret(r);
}

EXPORT void *mmap(void *addr, size_t len, int prot, int flags, int fd,
		  off_t off)
{
	int saved = errno;
	void *p = NEXT(mmap)(addr, len, prot, flags, fd, off);

	if (p != MAP_FAILED || errno != ENODEV)
		return p;
	errno = saved;

	const struct map_call c = {(uintptr_t)addr, len, prot, flags, fd, off};

	return ret_address(map_mmap(&c, -ENODEV));
}

EXPORT void *mmap64(void *addr, size_t len, int prot, int flags, int fd,
		    off64_t off) __attribute__((alias("mmap")));

EXPORT int mprotect(void *addr, size_t len, int prot)
{
	if (!shim_in_bars((uintptr_t)addr, len))
		return NEXT(mprotect)(addr, len, prot);
	return (int)shim_ret(map_mprotect((uintptr_t)addr, len, prot));
}

EXPORT int madvise(void *addr, size_t len, int advice)
{
	if (!shim_in_bars((uintptr_t)addr, len))
		return NEXT(madvise)(addr, len, advice);
	return (int)shim_ret(map_madvise((uintptr_t)addr, len, advice));
}

EXPORT int msync(void *addr, size_t len, int flags)
{
	if (!shim_in_bars((uintptr_t)addr, len))
		return NEXT(msync)(addr, len, flags);
	return (int)shim_ret(map_msync((uintptr_t)addr, len, flags));
}

/* The fifth argument is there only with flags that say so. */
EXPORT void *mremap(void *old, size_t old_len, size_t new_len, int flags, ...)
{
	void *to = NULL;

	if (flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) {
		va_list ap;

		va_start(ap, flags);
		to = va_arg(ap, void *);
		va_end(ap);
	}
	if (!shim_in_bars((uintptr_t)old, old_len))
		return NEXT(mremap)(old, old_len, new_len, flags, to);
	return ret_address(map_mremap((uintptr_t)old, old_len, new_len, flags,
				      (uintptr_t)to));
}

EXPORT int mlock(const void *addr, size_t len)
{
	if (!shim_in_bars((uintptr_t)addr, len))
		return NEXT(mlock)(addr, len);
	return (int)shim_ret(map_mlock((uintptr_t)addr, len, 0));
}

EXPORT int mlock2(const void *addr, size_t len, unsigned int flags)
{
	if (!shim_in_bars((uintptr_t)addr, len))
		return NEXT(mlock2)(addr, len, flags);
	return (int)shim_ret(map_mlock((uintptr_t)addr, len, flags));
}
