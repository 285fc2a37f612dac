/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The storage behind the namespace: a raw image, a block device, or memory
 * that goes with the device. It knows bytes, not blocks, and no NVMe.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "nvme_priv.h"

static int fail(struct sv_dev *dev, const char *option, const char *path,
		int err)
{
	sv_error(dev, "%s=%s: %s", option, path, strerror(err));
	return -err;
}

static bool is_read_only(int err)
{
	return err == EACCES || err == EPERM || err == EROFS || err == ETXTBSY;
}

/* O_NONBLOCK: a FIFO is turned down later, not waited for. */
static int open_image(struct nvme_store *s, const char *path)
{
	int flags = O_CLOEXEC | O_NOCTTY | O_NONBLOCK;

	if (!s->read_only)
		s->fd = open(path, O_RDWR | flags);
	if (s->fd < 0 && !s->read_only && is_read_only(errno))
		s->read_only = true;
	if (s->fd < 0 && s->read_only)
		s->fd = open(path, O_RDONLY | flags);
	return s->fd < 0 ? -errno : 0;
}

static int check_size(const struct nvme_store *s, struct sv_dev *dev,
		      const char *option)
{
	if (s->bytes >= NVME_BLOCK_MAX)
		return 0;
	sv_error(dev, "%s: %llu bytes, has to be %u at least", option,
		 (unsigned long long)s->bytes, NVME_BLOCK_MAX);
	return -EINVAL;
}

int nvme_store_open(struct nvme_store *s, struct sv_dev *dev,
		    const char *option, const char *path)
{
	struct stat st;

	if (open_image(s, path) || fstat(s->fd, &st))
		return fail(dev, option, path, errno);
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode)) {
		sv_error(dev, "%s=%s: neither a file nor a block device",
			 option, path);
		return -EINVAL;
	}
	off_t end = lseek(s->fd, 0, SEEK_END);

	if (end < 0)
		return fail(dev, option, path, errno);
	s->bytes = (uint64_t)end;
	return check_size(s, dev, option);
}

int nvme_store_memory(struct nvme_store *s, struct sv_dev *dev,
		      const char *option, uint64_t bytes)
{
	void *mem = MAP_FAILED;

	s->bytes = bytes;
	errno = EFBIG;
	/* costs nothing until written to: what is not reads as zeroes */
	if (bytes <= INT64_MAX)
		mem = mmap(NULL, bytes ? bytes : 1, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (mem == MAP_FAILED) {
		int err = errno;

		sv_error(dev, "%s=%llu: %s", option, (unsigned long long)bytes,
			 strerror(err));
		return -err;
	}
	s->mem = mem;
	return check_size(s, dev, option);
}

void nvme_store_close(struct nvme_store *s)
{
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
	if (s->mem)
		munmap(s->mem, s->bytes ? s->bytes : 1);
	s->mem = NULL;
}

/* Forget the first @done bytes; returns how many entries that was. */
static size_t iov_advance(struct iovec *iov, size_t count, size_t done)
{
	size_t i = 0;

	for (; i < count && done >= iov[i].iov_len; i++)
		done -= iov[i].iov_len;
	if (i < count) {
		iov[i].iov_base = (uint8_t *)iov[i].iov_base + done;
		iov[i].iov_len -= done;
	}
	return i;
}

typedef ssize_t vector_call(int fd, const struct iovec *iov, int count,
			    off_t off);

/* Until all has been moved; a call that moves nothing means @end. */
static int file_move(const struct nvme_store *s, vector_call *call, int end,
		     uint64_t off, struct iovec *iov, size_t count)
{
	while (count) {
		ssize_t n = call(s->fd, iov, (int)count, (off_t)off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : end;
		size_t used = iov_advance(iov, count, (size_t)n);

		off += (uint64_t)n;
		iov += used;
		count -= used;
	}
	return 0;
}

int nvme_store_readv(struct nvme_store *s, uint64_t off, struct iovec *iov,
		     size_t count)
{
	return file_move(s, preadv, -ENODATA, off, iov, count);
}

int nvme_store_writev(struct nvme_store *s, uint64_t off, struct iovec *iov,
		      size_t count)
{
	return file_move(s, pwritev, -EIO, off, iov, count);
}

int nvme_store_read(struct nvme_store *s, uint64_t off, void *buf, size_t len)
{
	struct iovec iov = {buf, len};

	if (!s->mem)
		return nvme_store_readv(s, off, &iov, 1);
	memcpy(buf, s->mem + off, len);
	return 0;
}

int nvme_store_write(struct nvme_store *s, uint64_t off, const void *buf,
		     size_t len)
{
	struct iovec iov = {(void *)(uintptr_t)buf, len};

	if (!s->mem)
		return nvme_store_writev(s, off, &iov, 1);
	memcpy(s->mem + off, buf, len);
	return 0;
}

int nvme_store_flush(struct nvme_store *s)
{
	if (s->mem || s->read_only)
		return 0;
	return fdatasync(s->fd) ? -errno : 0;
}

static int change_range(struct nvme_store *s, int mode, uint64_t off,
			uint64_t len)
{
	int ret;

	do {
		ret = fallocate(s->fd, mode | FALLOC_FL_KEEP_SIZE, (off_t)off,
				(off_t)len);
	} while (ret && errno == EINTR);
	return ret ? -errno : 0;
}

/* Whole pages are given back, what is left of others is cleared. */
static void memory_zero(struct nvme_store *s, uint64_t off, uint64_t len)
{
	uint64_t end = off + len;
	uint64_t first = (off + NVME_PAGE - 1) & ~(uint64_t)(NVME_PAGE - 1);
	uint64_t last = end & ~(uint64_t)(NVME_PAGE - 1);

	if (first >= last ||
	    madvise(s->mem + first, last - first, MADV_DONTNEED)) {
		memset(s->mem + off, 0, len);
		return;
	}
	memset(s->mem + off, 0, first - off);
	memset(s->mem + last, 0, end - last);
}

static int write_zeroes(struct nvme_store *s, uint64_t off, uint64_t len,
			void *scratch, size_t size)
{
	int ret = 0;

	if (size > len)
		size = (size_t)len;
	memset(scratch, 0, size);
	while (len && !ret) {
		size_t part = size < len ? size : (size_t)len;

		ret = nvme_store_write(s, off, scratch, part);
		off += part;
		len -= part;
	}
	return ret;
}

int nvme_store_zero(struct nvme_store *s, uint64_t off, uint64_t len,
		    bool discard, void *scratch, size_t size)
{
	int mode = discard ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE;

	if (s->mem) {
		memory_zero(s, off, len);
		return 0;
	}
	/* whatever the reason it failed for, writing will tell */
	if (!change_range(s, mode, off, len))
		return 0;
	return write_zeroes(s, off, len, scratch, size);
}

int nvme_store_discard(struct nvme_store *s, uint64_t off, uint64_t len)
{
	if (s->mem) {
		memory_zero(s, off, len);
		return 0;
	}
	int ret = len ? change_range(s, FALLOC_FL_PUNCH_HOLE, off, len) : 0;

	return ret == -EIO ? ret : 0;
}
