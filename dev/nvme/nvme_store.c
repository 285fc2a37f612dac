/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The storage behind the namespace: a raw image, a block device, or memory
 * that goes with the device. It knows bytes, not blocks, and no NVMe.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
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
	int err = EFBIG;

	s->memory = true;
	s->bytes = bytes;
	s->fd = memfd_create("softvfio-nvme", MFD_CLOEXEC);
	if (s->fd >= 0 && bytes <= INT64_MAX && !ftruncate(s->fd, (off_t)bytes))
		return check_size(s, dev, option);
	if (s->fd < 0 || bytes <= INT64_MAX)
		err = errno;
	sv_error(dev, "%s=%llu: %s", option, (unsigned long long)bytes,
		 strerror(err));
	return -err;
}

void nvme_store_close(struct nvme_store *s)
{
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
}

int nvme_store_read(struct nvme_store *s, uint64_t off, void *buf, size_t len)
{
	uint8_t *to = buf;

	while (len) {
		ssize_t got = pread(s->fd, to, len, (off_t)off);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (!got)
			break;
		to += got;
		off += (uint64_t)got;
		len -= (size_t)got;
	}
	memset(to, 0, len);
	return 0;
}

int nvme_store_write(struct nvme_store *s, uint64_t off, const void *buf,
		     size_t len)
{
	const uint8_t *from = buf;

	while (len) {
		ssize_t put = pwrite(s->fd, from, len, (off_t)off);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return -errno;
		if (!put)
			return -EIO;
		from += put;
		off += (uint64_t)put;
		len -= (size_t)put;
	}
	return 0;
}

int nvme_store_flush(struct nvme_store *s)
{
	if (s->memory || s->read_only)
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

int nvme_store_zero(struct nvme_store *s, uint64_t off, uint64_t len,
		    bool discard, void *scratch, size_t size)
{
	int mode = discard || s->memory ? FALLOC_FL_PUNCH_HOLE
					: FALLOC_FL_ZERO_RANGE;
	int ret = 0;

	/* whatever the reason it failed for, writing will tell */
	if (!change_range(s, mode, off, len))
		return 0;
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

int nvme_store_discard(struct nvme_store *s, uint64_t off, uint64_t len)
{
	int ret = len ? change_range(s, FALLOC_FL_PUNCH_HOLE, off, len) : 0;

	return ret == -EIO ? ret : 0;
}
