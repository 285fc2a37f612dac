/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * syscall(): the numbers among the interposed functions do what those do, when
 * their file, memory or path is ours. All others, and everything in a program
 * that belongs to no instance, go to the host with all six arguments.
 */
#include "shim/file/file.h"
#include "shim/map/map.h"

#include <stdarg.h>
#include <unistd.h>

struct call {
	long nr;
	long a[6];
};

static long host(const struct call *c)
{
	return shim_sys6(c->nr, c->a[0], c->a[1], c->a[2], c->a[3], c->a[4],
			 c->a[5]);
}

static const void *ptr(long a)
{
	return (const void *)a;
}

static bool in_bars(const struct call *c)
{
	return shim_in_bars((uintptr_t)c->a[0], (size_t)c->a[1]);
}

static long call_read(const struct call *c)
{
	const long *a = c->a;
	long r = host(c);
	int fd = (int)a[0];

	switch (c->nr) {
	case SYS_ioctl:
		return file_ioctl(fd, (unsigned long)a[1], (unsigned long)a[2],
				  r);
	case SYS_read:
		return file_read(fd, (void *)a[1], (size_t)a[2], r);
	case SYS_readv:
		return file_readv(fd, ptr(a[1]), (int)a[2], 0, r);
	case SYS_pread64:
		return file_pread(fd, (void *)a[1], (size_t)a[2], a[3], r);
	case SYS_preadv:
		return file_preadv(fd, ptr(a[1]), (int)a[2], a[3], 0, r);
	}
	/* SYS_preadv2; the offset takes two arguments, of which one counts */
	if (a[3] == -1)
		return file_readv(fd, ptr(a[1]), (int)a[2], (int)a[5], r);
	return file_preadv(fd, ptr(a[1]), (int)a[2], a[3], (int)a[5], r);
}

static long call_write(const struct call *c)
{
	const long *a = c->a;
	bool at_position = c->nr == SYS_write || c->nr == SYS_writev ||
			   (c->nr == SYS_pwritev2 && a[3] == -1);
	int fd = (int)a[0];

	if (at_position) {
		if (!file_is_ours(fd))
			return host(c);
		if (c->nr == SYS_write)
			return file_write(fd, ptr(a[1]), (size_t)a[2]);
		return file_writev(fd, ptr(a[1]), (int)a[2],
				   c->nr == SYS_writev ? 0 : (int)a[5]);
	}

	long r = host(c);

	if (c->nr == SYS_pwrite64)
		return file_pwrite(fd, ptr(a[1]), (size_t)a[2], a[3], r);
	return file_pwritev(fd, ptr(a[1]), (int)a[2], a[3],
			    c->nr == SYS_pwritev ? 0 : (int)a[5], r);
}

static long call_memory(const struct call *c)
{
	const long *a = c->a;
	uintptr_t addr = (uintptr_t)a[0];

	if (c->nr == SYS_mmap) {
		const struct map_call m = {addr,      (size_t)a[1], (int)a[2],
					   (int)a[3], (int)a[4],    a[5]};

		return map_mmap(&m, host(c));
	}
	if (!in_bars(c))
		return host(c);
	if (c->nr == SYS_mprotect)
		return map_mprotect(addr, (size_t)a[1], (int)a[2]);
	if (c->nr == SYS_madvise)
		return map_madvise(addr, (size_t)a[1], (int)a[2]);
	if (c->nr == SYS_msync)
		return map_msync(addr, (size_t)a[1], (int)a[2]);
	return map_mremap(addr, (size_t)a[1], (size_t)a[2], (int)a[3],
			  (uintptr_t)a[4]);
}

static long call_path(const struct call *c)
{
	const long *a = c->a;

	if (c->nr == SYS_openat)
		return shim_openat((int)a[0], ptr(a[1]), (int)a[2],
				   (mode_t)a[3]);
	if (c->nr == SYS_readlinkat)
		return shim_readlinkat((int)a[0], ptr(a[1]), (char *)a[2],
				       (size_t)a[3]);
	return shim_statx((int)a[0], ptr(a[1]), (int)a[2], (unsigned int)a[3],
			  (void *)a[4]);
}

static long dispatch(const struct call *c)
{
	switch (c->nr) {
	case SYS_ioctl:
	case SYS_read:
	case SYS_readv:
	case SYS_pread64:
	case SYS_preadv:
	case SYS_preadv2:
		return call_read(c);
	case SYS_write:
	case SYS_writev:
	case SYS_pwrite64:
	case SYS_pwritev:
	case SYS_pwritev2:
		return call_write(c);
	case SYS_mmap:
	case SYS_mprotect:
	case SYS_madvise:
	case SYS_msync:
	case SYS_mremap:
		return call_memory(c);
	case SYS_openat:
	case SYS_readlinkat:
	case SYS_statx:
		return call_path(c);
	}
	return host(c);
}

/*
 * Arguments that were not passed are read all the same, as libc does: whatever
 * is in their place goes to the host, which ignores it. For the sixth that is
 * the caller's stack, where a sanitizer could object.
 */
__attribute__((no_sanitize("address"))) EXPORT long syscall(long nr, ...)
{
	struct call c = {.nr = nr};
	va_list ap;

	va_start(ap, nr);
	for (int i = 0; i < 6; i++)
		c.a[i] = va_arg(ap, long);
	va_end(ap);

	long r = shim_active() ? dispatch(&c) : host(&c);

	/* results above the errors include addresses and clone()'s numbers */
	return r < 0 && r >= -4095 ? shim_ret(r) : r;
}
