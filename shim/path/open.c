/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * open() and its many names. What the tree has as a plain file or directory
 * the host opens; a socket inode there is a file of the daemon's.
 */
#include "shim/path/open.h"

#include <fcntl.h>
#include <stdarg.h>
#include <sys/stat.h>

int __open_2(const char *path, int flags);
int __openat_2(int dir, const char *path, int flags);

DEFINE_NEXT(openat);
DEFINE_NEXT(__open_2);
DEFINE_NEXT(__openat_2);

#define CREATES_NEW (O_CREAT | O_EXCL)

static mode_t type_of(const char *real)
{
	struct stat st;

	return SYS(newfstatat, AT_FDCWD, real, &st, 0) < 0
		       ? 0
		       : st.st_mode & S_IFMT;
}

long open_tree(const struct shim_path *path, int flags)
{
	bool writes = (flags & O_ACCMODE) != O_RDONLY && !(flags & O_PATH);

	if ((flags & O_TMPFILE) == O_TMPFILE)
		return -EOPNOTSUPP;
	if ((flags & CREATES_NEW) == CREATES_NEW && type_of(path->real))
		return -EEXIST;
	if (writes && type_of(path->real) == S_IFREG)
		return -EACCES;
	flags &= ~(O_CREAT | O_EXCL | O_TRUNC);

	long r = SYS(openat, AT_FDCWD, path->real, flags);
	return r == -ENXIO ? shim_rpc_open(path->seen, flags) : r;
}

/* Where the path maps; false when it does not. */
static __attribute__((noinline)) bool open_mapped(const char *path, int flags,
						  long *ret_r)
{
	struct shim_path p;
	int r = path_map(path, &p);

	if (r == 0)
		return false;
	*ret_r = r < 0 ? r : open_tree(&p, flags);
	return true;
}

/* The host said ENXIO: relative to the tree, or /proc/self/fd/N of ours? */
static __attribute__((noinline)) long open_late(int dir, const char *path,
						int flags)
{
	char what[SHIM_WHAT_MAX];
	struct shim_path p;
	int fd = path_own_fd(dir, path);

	if (fd >= 0 && shim_peer(fd, what) == 0 && what[0] == '/')
		return shim_rpc_open(what, flags);
	return path_at(dir, path, &p) ? shim_rpc_open(p.seen, flags) : -ENXIO;
}

long shim_openat(int dir, const char *path, int flags, mode_t mode)
{
	long r;

	if (path_maybe(path) && open_mapped(path, flags, &r))
		return r;
	r = SYS(openat, dir, path, flags, mode);
	return r == -ENXIO && shim_active() ? open_late(dir, path, flags) : r;
}

/* As shim_openat(), but through libc, which makes it a cancellation point. */
static int open_at(int dir, const char *path, int flags, mode_t mode)
{
	int saved = errno;
	long r;

	if (path_maybe(path) && open_mapped(path, flags, &r))
		return (int)shim_ret(r);
	r = NEXT(openat)(dir, path, flags, mode);
	if (r >= 0 || errno != ENXIO || !shim_active())
		return (int)r;
	r = open_late(dir, path, flags);
	if (r >= 0)
		errno = saved;
	return (int)shim_ret(r);
}

static bool has_mode(int flags)
{
	return flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE;
}

#define TAKE_MODE(flags, mode)                                                 \
	do {                                                                   \
		va_list ap;                                                    \
		va_start(ap, flags);                                           \
		mode = has_mode(flags) ? va_arg(ap, mode_t) : 0;               \
		va_end(ap);                                                    \
	} while (0)

EXPORT int open(const char *path, int flags, ...)
{
	mode_t mode;

	TAKE_MODE(flags, mode);
	return open_at(AT_FDCWD, path, flags, mode);
}

EXPORT int open64(const char *path, int flags, ...)
	__attribute__((alias("open")));

EXPORT int openat(int dir, const char *path, int flags, ...)
{
	mode_t mode;

	TAKE_MODE(flags, mode);
	return open_at(dir, path, flags, mode);
}

EXPORT int openat64(int dir, const char *path, int flags, ...)
	__attribute__((alias("openat")));

EXPORT int creat(const char *path, mode_t mode)
{
	return open_at(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

EXPORT int creat64(const char *path, mode_t mode)
	__attribute__((alias("creat")));

/* The fortified names end the program when a mode is missing. */
EXPORT int __open_2(const char *path, int flags)
{
	if (has_mode(flags))
		return NEXT(__open_2)(path, flags);
	return open_at(AT_FDCWD, path, flags, 0);
}

EXPORT int __open64_2(const char *path, int flags)
	__attribute__((alias("__open_2")));

EXPORT int __openat_2(int dir, const char *path, int flags)
{
	if (has_mode(flags))
		return NEXT(__openat_2)(dir, path, flags);
	return open_at(dir, path, flags, 0);
}

EXPORT int __openat64_2(int dir, const char *path, int flags)
	__attribute__((alias("__openat_2")));
