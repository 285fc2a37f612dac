/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The exported read, write and ioctl functions. Each calls the next definition
 * first and takes a second look where a socket's answer could be ours (see
 * shim/file/file.c for which); errno is as if the first call had not been made.
 */
#include "shim/file/file.h"

#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

/* <bits/unistd.h> declares these only to fortified programs */
ssize_t __read_chk(int fd, void *buf, size_t count, size_t size);
ssize_t __pread_chk(int fd, void *buf, size_t count, off_t off, size_t size);
ssize_t __pread64_chk(int fd, void *buf, size_t count, off_t off, size_t size);

DEFINE_NEXT(ioctl);
DEFINE_NEXT(read);
DEFINE_NEXT(readv);
DEFINE_NEXT(pread);
DEFINE_NEXT(preadv);
DEFINE_NEXT(preadv2);
DEFINE_NEXT(write);
DEFINE_NEXT(writev);
DEFINE_NEXT(pwrite);
DEFINE_NEXT(pwritev);
DEFINE_NEXT(pwritev2);
DEFINE_NEXT(__read_chk);
DEFINE_NEXT(__pread_chk);
DEFINE_NEXT(__pread64_chk);

/* What a libc call answered, as the system call did. */
static long outcome(long r)
{
	return r == -1 ? -errno : r;
}

/* For a second look: errno as before, unless that is what it says. */
static long settle(long r, int saved_errno)
{
	errno = saved_errno;
	return shim_ret(r);
}

EXPORT int ioctl(int fd, unsigned long cmd, ...)
{
	int saved = errno;
	va_list ap;

	va_start(ap, cmd);
	unsigned long arg = va_arg(ap, unsigned long);
	va_end(ap);

	int r = NEXT(ioctl)(fd, cmd, arg);
	if (r != -1 || errno != ENOTTY)
		return r;
	return (int)settle(file_ioctl(fd, cmd, arg, -ENOTTY), saved);
}

EXPORT ssize_t read(int fd, void *buf, size_t count)
{
	int saved = errno;
	long r = outcome(NEXT(read)(fd, buf, count));

	return settle(file_read(fd, buf, count, r), saved);
}

EXPORT ssize_t __read_chk(int fd, void *buf, size_t count, size_t size)
{
	int saved = errno;
	long r = outcome(NEXT(__read_chk)(fd, buf, count, size));

	return settle(file_read(fd, buf, count, r), saved);
}

EXPORT ssize_t readv(int fd, const struct iovec *iov, int n)
{
	int saved = errno;
	long r = outcome(NEXT(readv)(fd, iov, n));

	return settle(file_readv(fd, iov, n, 0, r), saved);
}

EXPORT ssize_t pread(int fd, void *buf, size_t count, off_t off)
{
	int saved = errno;
	long r = outcome(NEXT(pread)(fd, buf, count, off));

	return settle(file_pread(fd, buf, count, off, r), saved);
}

EXPORT ssize_t __pread_chk(int fd, void *buf, size_t count, off_t off,
			   size_t size)
{
	int saved = errno;
	long r = outcome(NEXT(__pread_chk)(fd, buf, count, off, size));

	return settle(file_pread(fd, buf, count, off, r), saved);
}

EXPORT ssize_t __pread64_chk(int fd, void *buf, size_t count, off_t off,
			     size_t size)
{
	int saved = errno;
	long r = outcome(NEXT(__pread64_chk)(fd, buf, count, off, size));

	return settle(file_pread(fd, buf, count, off, r), saved);
}

EXPORT ssize_t preadv(int fd, const struct iovec *iov, int n, off_t off)
{
	int saved = errno;
	long r = outcome(NEXT(preadv)(fd, iov, n, off));

	return settle(file_preadv(fd, iov, n, off, 0, r), saved);
}

/* Offset -1 is the file's own position. */
EXPORT ssize_t preadv2(int fd, const struct iovec *iov, int n, off_t off,
		       int flags)
{
	int saved = errno;
	long r = outcome(NEXT(preadv2)(fd, iov, n, off, flags));

	if (off == -1)
		r = file_readv(fd, iov, n, flags, r);
	else
		r = file_preadv(fd, iov, n, off, flags, r);
	return settle(r, saved);
}

EXPORT ssize_t write(int fd, const void *buf, size_t count)
{
	if (!file_is_ours(fd))
		return NEXT(write)(fd, buf, count);
	return shim_ret(file_write(fd, buf, count));
}

EXPORT ssize_t writev(int fd, const struct iovec *iov, int n)
{
	if (!file_is_ours(fd))
		return NEXT(writev)(fd, iov, n);
	return shim_ret(file_writev(fd, iov, n, 0));
}

EXPORT ssize_t pwrite(int fd, const void *buf, size_t count, off_t off)
{
	int saved = errno;
	long r = outcome(NEXT(pwrite)(fd, buf, count, off));

	return settle(file_pwrite(fd, buf, count, off, r), saved);
}

EXPORT ssize_t pwritev(int fd, const struct iovec *iov, int n, off_t off)
{
	int saved = errno;
	long r = outcome(NEXT(pwritev)(fd, iov, n, off));

	return settle(file_pwritev(fd, iov, n, off, 0, r), saved);
}

EXPORT ssize_t pwritev2(int fd, const struct iovec *iov, int n, off_t off,
			int flags)
{
	int saved = errno;

	if (off == -1 && file_is_ours(fd))
		return shim_ret(file_writev(fd, iov, n, flags));

	long r = outcome(NEXT(pwritev2)(fd, iov, n, off, flags));

	return settle(file_pwritev(fd, iov, n, off, flags, r), saved);
}

/* On x86-64 the 64-bit variants are the same functions. */
EXPORT ssize_t pread64(int fd, void *buf, size_t count, off64_t off)
	__attribute__((alias("pread")));
EXPORT ssize_t preadv64(int fd, const struct iovec *iov, int n, off64_t off)
	__attribute__((alias("preadv")));
EXPORT ssize_t preadv64v2(int fd, const struct iovec *iov, int n, off64_t off,
			  int flags) __attribute__((alias("preadv2")));
EXPORT ssize_t pwrite64(int fd, const void *buf, size_t count, off64_t off)
	__attribute__((alias("pwrite")));
EXPORT ssize_t pwritev64(int fd, const struct iovec *iov, int n, off64_t off)
	__attribute__((alias("pwritev")));
EXPORT ssize_t pwritev64v2(int fd, const struct iovec *iov, int n, off64_t off,
			   int flags) __attribute__((alias("pwritev2")));
