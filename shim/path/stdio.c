/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fopen() and freopen(). libc's streams read(2) without passing the shim, so
 * a stream cannot sit on one of our sockets: one that only reads gets a copy
 * of the file, as it was when opened, in memory; one that writes gets
 * functions that ask the daemon. Plain files of the tree are the host's.
 */
#include "shim/file/file.h"
#include "shim/base/number.h"
#include "shim/path/open.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

DEFINE_NEXT(fopen);
DEFINE_NEXT(freopen);

#define COPY_MAX   (1u << 20) /* no file of the tree comes near */
#define COPY_CHUNK SV_DATA_MAX
#define FD_PATH	   "/proc/self/fd/"

/* A writing stream's file, in memory of its own. */
struct cookie {
	int fd;
	off_t pos;
};

static ssize_t cookie_read(void *arg, char *buf, size_t len)
{
	struct cookie *c = arg;
	long r = file_pread(c->fd, buf, len, c->pos, -ESPIPE);

	if (r > 0)
		c->pos += r;
	return shim_ret(r);
}

/* Writing streams take 0 for an error, and no negative result. */
static ssize_t cookie_write(void *arg, const char *buf, size_t len)
{
	struct cookie *c = arg;
	long r = file_pwrite(c->fd, buf, len, c->pos, -ESPIPE);

	if (r > 0)
		c->pos += r;
	return shim_ret(r) < 0 ? 0 : r;
}

static int cookie_seek(void *arg, off64_t *pos, int whence)
{
	struct cookie *c = arg;
	struct sv_stat st = {.size = 0};
	off_t base = whence == SEEK_CUR ? c->pos : 0;

	if (whence == SEEK_END) {
		int r = shim_rpc_fstat(c->fd, &st);

		if (r < 0)
			return (int)shim_ret(r);
		base = (off_t)st.size;
	}
	if (base + *pos < 0)
		return (int)shim_ret(-EINVAL);
	c->pos = base + *pos;
	*pos = c->pos;
	return 0;
}

static int cookie_close(void *arg)
{
	struct cookie *c = arg;

	SYS(close, c->fd);
	shim_scratch_free(c, sizeof(*c));
	return 0;
}

/* Owns @fd, also when it fails. */
static FILE *asking_stream(int fd, const char *mode)
{
	static const cookie_io_functions_t functions = {
		cookie_read, cookie_write, cookie_seek, cookie_close};
	struct cookie *c = shim_scratch(sizeof(*c));
	FILE *f = NULL;

	if (c) {
		c->fd = fd;
		f = fopencookie(c, mode, functions);
	}
	if (f)
		return f;
	shim_scratch_free(c, sizeof(*c));
	SYS(close, fd);
	errno = ENOMEM;
	return NULL;
}

static long copy_contents(int from, int to, char *buf)
{
	off_t at = 0;
	long n;

	do {
		n = file_pread(from, buf, COPY_CHUNK, at, -ESPIPE);
		if (n > 0)
			n = SYS(pwrite64, to, buf, n, at);
		if (n > 0)
			at += n;
	} while (n > 0 && at < COPY_MAX);
	/* at its end a device's region is EINVAL, a file is 0 */
	return n < 0 && !at ? n : 0;
}

/* A file in memory with what @fd holds now. Descriptor or -errno */
static long snapshot(int fd, int flags)
{
	unsigned int cloexec = flags & O_CLOEXEC ? MFD_CLOEXEC : 0;
	char *buf = shim_scratch(COPY_CHUNK);
	long mem = buf ? SYS(memfd_create, "sysfs", cloexec) : -ENOMEM;
	long r = mem < 0 ? mem : copy_contents(fd, (int)mem, buf);

	shim_scratch_free(buf, COPY_CHUNK);
	if (r < 0 && mem >= 0)
		SYS(close, mem);
	return r < 0 ? r : mem;
}

/* What fopen() makes of its mode. -EINVAL as it says */
static int mode_flags(const char *mode)
{
	int flags;

	if (*mode != 'r' && *mode != 'w' && *mode != 'a')
		return -EINVAL;
	flags = *mode == 'r' ? O_RDONLY : O_WRONLY | O_CREAT;
	flags |= *mode == 'w' ? O_TRUNC : *mode == 'a' ? O_APPEND : 0;
	for (mode++; *mode && *mode != ','; mode++) {
		if (*mode == '+')
			flags = (flags & ~O_ACCMODE) | O_RDWR;
		flags |= *mode == 'e' ? O_CLOEXEC : 0;
		flags |= *mode == 'x' ? O_EXCL : 0;
	}
	return flags;
}

/* Owns @fd, also when it fails. */
static FILE *plain_stream(int fd, const char *mode)
{
	FILE *f = fdopen(fd, mode);

	if (!f)
		SYS(close, fd);
	return f;
}

static FILE *stream(int fd, int flags, const char *mode)
{
	if (shim_peer(fd, NULL))
		return plain_stream(fd, mode);
	if ((flags & O_ACCMODE) != O_RDONLY)
		return asking_stream(fd, mode);

	long mem = snapshot(fd, flags);

	SYS(close, fd);
	if (mem >= 0)
		return plain_stream((int)mem, mode);
	errno = (int)-mem;
	return NULL;
}

static __attribute__((noinline)) FILE *fopen_mapped(const char *path,
						    const char *mode,
						    bool *ret_mapped)
{
	struct shim_path p;
	long r = path_map(path, &p);
	int flags = mode_flags(mode);

	*ret_mapped = r != 0;
	if (r == 0)
		return NULL;
	if (flags < 0)
		r = flags;
	if (r > 0)
		r = open_tree(&p, flags);
	if (r >= 0)
		return stream((int)r, flags, mode);
	errno = (int)-r;
	return NULL;
}

EXPORT FILE *fopen(const char *path, const char *mode)
{
	bool mapped = false;
	FILE *f = NULL;

	if (path_maybe(path))
		f = fopen_mapped(path, mode, &mapped);
	if (mapped)
		return f;
	f = NEXT(fopen)(path, mode);
	if (f || errno != ENXIO || !shim_active())
		return f;

	/* relative to the tree */
	int flags = mode_flags(mode);
	long r = shim_openat(AT_FDCWD, path, flags, 0);
	if (r >= 0)
		return stream((int)r, flags, mode);
	errno = (int)-r;
	return NULL;
}

EXPORT FILE *fopen64(const char *path, const char *mode)
	__attribute__((alias("fopen")));

/* Where freopen() finds what it is to read: -errno, or a descriptor. */
static long source(const struct shim_path *path, int flags)
{
	long fd = open_tree(path, flags), r = fd;

	if (fd < 0 || shim_peer((int)fd, NULL))
		return fd;
	/* its FILE has to stay, and cannot be made to ask */
	r = (flags & O_ACCMODE) == O_RDONLY ? snapshot((int)fd, flags)
					    : -EACCES;
	SYS(close, fd);
	return r;
}

static FILE *freopen_fd(long fd, const char *mode, FILE *f)
{
	char name[sizeof(FD_PATH) + 10] = FD_PATH;

	if (fd < 0) {
		fclose(f); /* as a freopen() that fails */
		errno = (int)-fd;
		return NULL;
	}
	put_number(name + sizeof(FD_PATH) - 1, (unsigned int)fd);
	f = NEXT(freopen)(name, mode, f);
	SYS(close, fd);
	return f;
}

static __attribute__((noinline)) FILE *freopen_mapped(const char *path,
						      const char *mode, FILE *f,
						      bool *ret_mapped)
{
	struct shim_path p;
	int flags = mode_flags(mode);
	long r = path_map(path, &p);

	*ret_mapped = r != 0;
	if (r == 0)
		return NULL;
	if (flags < 0)
		r = flags;
	return freopen_fd(r < 0 ? r : source(&p, flags), mode, f);
}

EXPORT FILE *freopen(const char *path, const char *mode, FILE *f)
{
	bool mapped = false;
	FILE *again = NULL;

	if (path_maybe(path))
		again = freopen_mapped(path, mode, f, &mapped);
	return mapped ? again : NEXT(freopen)(path, mode, f);
}

EXPORT FILE *freopen64(const char *path, const char *mode, FILE *f)
	__attribute__((alias("freopen")));
