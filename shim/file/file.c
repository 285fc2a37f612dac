/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ioctl, read and write on VFIO files, with the argument checks that Linux
 * makes before a driver is reached, and what its driver does with vectors.
 *
 * When to ask whether a file is ours: a socket has no ioctls of VFIO's numbers
 * (ENOTTY) and no offsets (ESPIPE), so those ask only on that error and other
 * files cost nothing. read() finds our sockets empty (EAGAIN), finished when
 * the daemon is dead (0 or ECONNRESET), or with a wake byte in it (1, or
 * EFAULT): taking the byte is what the daemon wants, it sends another while
 * there is something to read. write() would succeed on a socket, so it asks
 * first: getsockopt() on another file fails in about 0.1 us, and nothing
 * cheaper tells a socket from a pipe.
 */
#include "shim/file/file.h"

#include <limits.h>

#define PAGE	     4096
#define RW_MAX	     0x7ffff000u /* MAX_RW_COUNT: what Linux moves at once */
#define IOVS_AT_ONCE 16
#define RWF_IGNORED  0x1 /* RWF_HIPRI: means nothing to a driver like VFIO */

enum direction { READING, WRITING };

bool file_is_ours(int fd)
{
	return shim_active() && shim_peer(fd, NULL) == 0;
}

long file_ioctl(int fd, unsigned long cmd, unsigned long arg, long r)
{
	if (r != -ENOTTY || !file_is_ours(fd))
		return r;

	struct shim_rpc rpc = {
		.fd = fd,
		.op = SV_IOCTL,
		.arg = {(unsigned int)cmd, arg},
		.n_segs = 1,
		.seg_prefetch = true,
		.seg = (const void *)arg,
		.seg_addr = arg,
		.seg_want = SV_PREFETCH,
		.seg_len = SV_PREFETCH,
	};

	return (long)shim_rpc(&rpc);
}

/* ------------------------------------------------------------------ */
/* One buffer                                                         */

/* How much of the program's memory can be read, by its pages. */
static uint32_t readable(const char *buf, uint32_t count)
{
	char byte;
	uint32_t at = 0;

	while (at < count && shim_copy_in(&byte, buf + at, 1) == 1)
		at += PAGE - (uint32_t)((uintptr_t)(buf + at) % PAGE);
	return at < count ? at : count;
}

/*
 * Linux checks where a write goes before it looks at the bytes, and writes
 * those there are. So the daemon is told of bytes that can't be read, too.
 */
static int64_t write_readable(struct shim_rpc *rpc)
{
	uint32_t have = readable(rpc->seg, rpc->seg_want);

	if (have == rpc->seg_want)
		return -EFAULT;
	rpc->seg_len = have;

	int64_t r = shim_rpc(rpc);

	return r ? r : -EFAULT;
}

/* *ret_lost: bytes the file's position moved by all the same */
static long transfer_chunk(int fd, enum direction dir, char *buf,
			   uint32_t count, uint64_t off, size_t *ret_lost)
{
	struct shim_rpc rpc = {
		.fd = fd,
		.op = dir == READING ? SV_READ : SV_WRITE,
		.arg = {off, dir == READING ? count : 0},
	};

	if (dir == READING) {
		rpc.data = buf;
		rpc.data_max = count;
	} else {
		rpc.n_segs = 1;
		rpc.seg = buf;
		rpc.seg_addr = (uintptr_t)buf;
		rpc.seg_want = rpc.seg_len = count;
	}

	int64_t r = shim_rpc(&rpc);

	if (r == -EFAULT && dir == WRITING)
		r = write_readable(&rpc);
	*ret_lost = r == -EFAULT ? rpc.ret_len : 0;
	return r > count ? -EIO : (long)r;
}

/* A call that fails leaves the file's own position where it was. */
static void take_back(int fd, uint64_t off, size_t moved)
{
	struct shim_rpc rpc = {
		.fd = fd,
		.op = SV_READ,
		.arg = {SV_POS, 0, moved},
	};

	if (off == SV_POS && moved)
		shim_rpc(&rpc);
}

/*
 * Linux does this in one go and fails as a whole. EINVAL behind a full chunk
 * is the region's end, where Linux returns a short count.
 */
static long transfer_chunks(int fd, enum direction dir, char *buf, size_t count,
			    uint64_t off)
{
	size_t done = 0;

	for (;;) {
		size_t left = count - done;
		uint32_t n = left < SV_DATA_MAX ? left : SV_DATA_MAX;
		size_t lost;
		long r =
			transfer_chunk(fd, dir, buf + done, n,
				       off == SV_POS ? off : off + done, &lost);

		if (r == -EINVAL && done)
			return (long)done;
		if (r < 0) {
			take_back(fd, off, done + lost);
			return r;
		}
		done += (size_t)r;
		if (done == count || r < n)
			return (long)done;
	}
}

/* The address range a program may name at all, as access_ok() has it. */
static bool user_range(uintptr_t addr, size_t len)
{
	return addr <= LONG_MAX && len <= LONG_MAX - addr;
}

/* @off: >= 0 or SV_POS. The checks are those of vfs_read(), in its order. */
static long transfer(int fd, enum direction dir, const void *buf, size_t count,
		     uint64_t off)
{
	if (!user_range((uintptr_t)buf, count))
		return -EFAULT;
	if (off != SV_POS && count > LONG_MAX - off)
		return -EINVAL;
	if (count > RW_MAX)
		count = RW_MAX;
	return transfer_chunks(fd, dir, (char *)buf, count, off);
}

/* ------------------------------------------------------------------ */
/* Vectors                                                            */

/* Up to IOVS_AT_ONCE vectors from @at on. Returns how many, or -EFAULT. */
static int iovs_in(struct iovec *ret_iov, const struct iovec *iov, int at,
		   int n)
{
	int take = n - at < IOVS_AT_ONCE ? n - at : IOVS_AT_ONCE;
	size_t len = (size_t)take * sizeof(*iov);

	return shim_copy_in(ret_iov, iov + at, len) == len ? take : -EFAULT;
}

/* What import_iovec() refuses. Returns the bytes in all, or -errno. */
static long iovs_check(const struct iovec *iov, int n)
{
	struct iovec some[IOVS_AT_ONCE];
	size_t total = 0;

	if (n < 0 || n > IOV_MAX)
		return -EINVAL;
	for (int at = 0; at < n;) {
		int got = iovs_in(some, iov, at, n);

		if (got < 0)
			return got;
		for (int i = 0; i < got; i++) {
			if (some[i].iov_len > SSIZE_MAX)
				return -EINVAL;
			if (!user_range((uintptr_t)some[i].iov_base,
					some[i].iov_len))
				return -EFAULT;
			total += some[i].iov_len;
			if (total > RW_MAX)
				total = RW_MAX;
		}
		at += got;
	}
	return (long)total;
}

/*
 * VFIO's files take no vectors, so Linux makes one read or write of each
 * element: an error counts only while nothing was moved, a short count stops.
 * Returns true to go on; *done is the call's result so far.
 */
static bool transfer_element(int fd, enum direction dir,
			     const struct iovec *iov, uint64_t off, long *done)
{
	size_t len = RW_MAX - (size_t)*done;

	if (len > iov->iov_len)
		len = iov->iov_len;
	if (!len)
		return true;

	long r = transfer(fd, dir, iov->iov_base, len,
			  off == SV_POS ? off : off + (uint64_t)*done);

	if (r < 0) {
		if (!*done)
			*done = r;
		return false;
	}
	*done += r;
	return r == (long)iov->iov_len;
}

static long transfer_vector(int fd, enum direction dir, const struct iovec *iov,
			    int n, uint64_t off, int flags)
{
	struct iovec some[IOVS_AT_ONCE];
	long total = iovs_check(iov, n), done = 0;

	if (total <= 0)
		return total;
	if (off != SV_POS && (uint64_t)total > LONG_MAX - off)
		return -EINVAL;
	if (flags & ~RWF_IGNORED)
		return -EOPNOTSUPP;
	for (int at = 0; at < n;) {
		int got = iovs_in(some, iov, at, n);

		if (got < 0)
			return done ? done : got;
		for (int i = 0; i < got; i++)
			if (!transfer_element(fd, dir, &some[i], off, &done))
				return done;
		at += got;
	}
	return done;
}

/* ------------------------------------------------------------------ */
/* Second looks                                                       */

/* May the host's answer to a read() be about one of our sockets? */
static bool read_may_be_ours(int fd, long r)
{
	switch (r) {
	case 0:
	case 1:
	case -EAGAIN:
	case -EFAULT:
	case -ECONNRESET:
		return file_is_ours(fd);
	}
	return false;
}

long file_read(int fd, void *buf, size_t count, long r)
{
	if (!read_may_be_ours(fd, r))
		return r;
	return transfer(fd, READING, buf, count, SV_POS);
}

long file_readv(int fd, const struct iovec *iov, int n, int flags, long r)
{
	if (!read_may_be_ours(fd, r))
		return r;
	return transfer_vector(fd, READING, iov, n, SV_POS, flags);
}

long file_pread(int fd, void *buf, size_t count, off_t off, long r)
{
	if (r != -ESPIPE || off < 0 || !file_is_ours(fd))
		return r;
	return transfer(fd, READING, buf, count, (uint64_t)off);
}

long file_pwrite(int fd, const void *buf, size_t count, off_t off, long r)
{
	if (r != -ESPIPE || off < 0 || !file_is_ours(fd))
		return r;
	return transfer(fd, WRITING, buf, count, (uint64_t)off);
}

long file_preadv(int fd, const struct iovec *iov, int n, off_t off, int flags,
		 long r)
{
	if (r != -ESPIPE || off < 0 || !file_is_ours(fd))
		return r;
	return transfer_vector(fd, READING, iov, n, (uint64_t)off, flags);
}

long file_pwritev(int fd, const struct iovec *iov, int n, off_t off, int flags,
		  long r)
{
	if (r != -ESPIPE || off < 0 || !file_is_ours(fd))
		return r;
	return transfer_vector(fd, WRITING, iov, n, (uint64_t)off, flags);
}

long file_write(int fd, const void *buf, size_t count)
{
	return transfer(fd, WRITING, buf, count, SV_POS);
}

long file_writev(int fd, const struct iovec *iov, int n, int flags)
{
	return transfer_vector(fd, WRITING, iov, n, SV_POS, flags);
}
