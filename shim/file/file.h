/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ioctl, read and write on VFIO files. Functions whose last parameter is @r
 * take a second look: the host kernel was asked first and answered @r (a
 * result or -errno). They return what the program shall see, which is @r when
 * the file is not ours.
 */
#ifndef SOFTVFIO_SHIM_FILE_FILE_H
#define SOFTVFIO_SHIM_FILE_FILE_H

#include "shim/shim.h"

#include <sys/uio.h>

/** file_is_ours() - For calls that would succeed on a socket: ask first */
bool file_is_ours(int fd);

long file_ioctl(int fd, unsigned long cmd, unsigned long arg, long r);

/* without an offset: at the file's own position */
long file_read(int fd, void *buf, size_t count, long r);
long file_readv(int fd, const struct iovec *iov, int n, int flags, long r);
long file_pread(int fd, void *buf, size_t count, off_t off, long r);
long file_pwrite(int fd, const void *buf, size_t count, off_t off, long r);
long file_preadv(int fd, const struct iovec *iov, int n, off_t off, int flags,
		 long r);
long file_pwritev(int fd, const struct iovec *iov, int n, off_t off, int flags,
		  long r);

/* The file is known to be ours (file_is_ours()). */
long file_write(int fd, const void *buf, size_t count);
long file_writev(int fd, const struct iovec *iov, int n, int flags);

#endif
