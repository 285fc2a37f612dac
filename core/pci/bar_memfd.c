/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A BAR's memory as a memfd of our own, which can be truncated (bar_zap.c), and
 * the OFD locks that tell which mappings live: core/pci/bar.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/pci/bar_impl.h"
#include "lib/cleanup.h"

void bar_fd_path(const struct bar *bar, char path[32])
{
	snprintf(path, 32, "/proc/self/fd/%d", bar->memfd);
}

/* Programs get it. One that a program sealed could not be closed or opened
 * again; some hosts (vm.memfd_noexec) make memfds that let it. */
static int make_memfd(struct bar *bar, const char *name)
{
	bar->memfd = memfd_create(name, MFD_CLOEXEC);
	if (bar->memfd < 0)
		return -errno;
	fcntl(bar->memfd, F_ADD_SEALS, F_SEAL_SEAL);

	int seals = fcntl(bar->memfd, F_GET_SEALS);

	return seals < 0 ? -errno : seals & F_SEAL_SEAL ? 0 : -EPERM;
}

static int memfd_make(struct bar *bar, const char *name)
{
	struct stat st;
	int r = make_memfd(bar, name);

	if (r < 0)
		return r;
	if (ftruncate(bar->memfd, (off_t)bar->len) < 0 ||
	    fstat(bar->memfd, &st) < 0)
		return -errno;
	bar->st_dev = st.st_dev;
	bar->st_ino = st.st_ino;

	void *mem = mmap(NULL, bar->len, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_NORESERVE, bar->memfd, 0);

	if (mem == MAP_FAILED)
		return -errno;
	bar->mem = bar->view = mem;
	bar_guard_add(bar);
	return bar->access == SV_ACCESS_DIRECT ? bar_make_kept(bar) : 0;
}

static void memfd_drop(struct bar *bar)
{
	bar_drop_kept(bar);
	if (bar->view) {
		bar_guard_remove(bar);
		munmap(bar->view, bar->len);
	}
	if (bar->memfd >= 0)
		close(bar->memfd);
}

/* A description of its own for one mapping, holding the lock of byte @id. */
static int memfd_map(const struct bar *bar, uint64_t id)
{
	struct flock lock = {
		.l_type = F_WRLCK,
		.l_start = (off_t)id,
		.l_len = 1,
	};
	char path[32];

	bar_fd_path(bar, path);
	_cleanup_(closep) int fd = open(path, O_RDWR | O_CLOEXEC);

	if (fd < 0 || fcntl(fd, F_OFD_SETLK, &lock) < 0)
		return -errno;
	return TAKE_FD(fd);
}

static bool memfd_lives(const struct bar *bar, uint64_t id)
{
	struct flock lock = {
		.l_type = F_WRLCK,
		.l_start = (off_t)id,
		.l_len = 1,
	};

	return fcntl(bar->memfd, F_OFD_GETLK, &lock) == 0 &&
	       lock.l_type != F_UNLCK;
}

static void memfd_clear(struct bar *bar)
{
	if (!bar->closed) {
		/* a program may have truncated what it was given to map */
		if (ftruncate(bar->memfd, (off_t)bar->len) < 0 ||
		    !bar_mend_view(bar))
			return;
		/* frees the pages under every mapping; the next touch finds
		 * zeroes */
		if (fallocate(bar->memfd,
			      FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
			      (off_t)bar->len) < 0)
			memset(bar->view, 0, bar->len);
	}
	bar_empty_kept(bar);
}

const struct bar_storage bar_memfd = {
	.unmaps = true,
	.make = memfd_make,
	.drop = memfd_drop,
	.close = zap_close,
	.open = zap_open,
	.discard = zap_discard,
	.clear = memfd_clear,
	.map = memfd_map,
	.lives = memfd_lives,
};
