/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Names that come back: readlink(), realpath(), getcwd(). The tree's links are
 * relative and need nothing; a link of /proc/self/fd that shows one of our
 * sockets shows what Linux has there; and the tree's root never shows.
 */
#include "shim/path/path.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

ssize_t __readlink_chk(const char *path, char *buf, size_t len, size_t room);
ssize_t __readlinkat_chk(int dir, const char *path, char *buf, size_t len,
			 size_t room);
char *__realpath_chk(const char *path, char *resolved, size_t room);
char *__getcwd_chk(char *buf, size_t size, size_t room);

DEFINE_NEXT(readlink);
DEFINE_NEXT(readlinkat);
DEFINE_NEXT(__readlink_chk);
DEFINE_NEXT(__readlinkat_chk);
DEFINE_NEXT(realpath);
DEFINE_NEXT(__realpath_chk);
DEFINE_NEXT(getcwd);
DEFINE_NEXT(__getcwd_chk);
DEFINE_NEXT(get_current_dir_name);
DEFINE_NEXT(chdir);

/* Gives a link's contents as readlink() does: cut, without a NUL. */
static long give(const char *text, char *buf, size_t size)
{
	size_t n = strlen(text);

	if (n > size)
		n = size;
	return shim_copy_out(buf, text, n) ? -EFAULT : (long)n;
}

/* Letters that can name a descriptor: /proc/self/fd/3, or fd/3 beside one. */
static bool names_fd(const char *path)
{
	size_t n = strlen(path);

	return n && path[n - 1] >= '0' && path[n - 1] <= '9' &&
	       (path[0] != '/' || !strncmp(path, "/proc/", 6) ||
		!strncmp(path, "/dev/fd/", 8));
}

/*
 * One of our sockets is shown as what it stands for. Asked before the host is,
 * since that would leave the end of its longer answer in the buffer.
 */
static __attribute__((noinline)) bool readlink_own(int dir, const char *path,
						   char *buf, size_t size,
						   long *ret_r)
{
	char what[SHIM_WHAT_MAX];
	int fd = shim_active() ? path_own_fd(dir, path) : -1;

	if (fd < 0 || shim_peer(fd, what))
		return false;
	*ret_r = size ? give(what, buf, size) : -EINVAL;
	return true;
}

/* The host showed a path, maybe cut off: in the tree, show it without root. */
static __attribute__((noinline)) long repair_path(int dir, const char *path,
						  char *buf, size_t size,
						  long n)
{
	char whole[PATH_ROOT_MAX + PATH_SEEN_MAX];
	long r = SYS(readlinkat, dir, path, whole, sizeof(whole) - 1);

	if (r < 0)
		return n;
	whole[r] = '\0';

	const char *seen = path_seen(whole);
	return seen ? give(seen, buf, size) : n;
}

/* @n: what the host answered for a path that is not mapped. */
static long repair(int dir, const char *path, char *buf, size_t size, long n)
{
	if (n <= 0 || !shim_active())
		return n;
	/* only /proc has links that follow what they name */
	if (buf[0] == '/' &&
	    (!strncmp(path, "/proc/", 6) || path_own_fd(dir, path) >= 0))
		return repair_path(dir, path, buf, size, n);
	return n;
}

static __attribute__((noinline)) bool readlink_mapped(const char *path,
						      char *buf, size_t size,
						      long *ret_r)
{
	struct shim_path p;
	int r = path_map(path, &p);

	if (r == 0)
		return false;
	*ret_r = r < 0 ? r : SYS(readlinkat, AT_FDCWD, p.real, buf, size);
	return true;
}

/* Is the answer not the host's? Then it is in *ret_r. */
static bool readlink_ours(int dir, const char *path, char *buf, size_t size,
			  long *ret_r)
{
	return (path_maybe(path) && readlink_mapped(path, buf, size, ret_r)) ||
	       ((uintptr_t)path > 4095 && names_fd(path) &&
		readlink_own(dir, path, buf, size, ret_r));
}

long shim_readlinkat(int dir, const char *path, char *buf, size_t size)
{
	long r;

	if (readlink_ours(dir, path, buf, size, &r))
		return r;
	r = SYS(readlinkat, dir, path, buf, size);
	return repair(dir, path, buf, size, r);
}

EXPORT ssize_t readlink(const char *path, char *buf, size_t size)
{
	long r;

	if (readlink_ours(AT_FDCWD, path, buf, size, &r))
		return shim_ret(r);
	r = NEXT(readlink)(path, buf, size);
	return r < 0 ? r : shim_ret(repair(AT_FDCWD, path, buf, size, r));
}

EXPORT ssize_t readlinkat(int dir, const char *path, char *buf, size_t size)
{
	long r;

	if (readlink_ours(dir, path, buf, size, &r))
		return shim_ret(r);
	r = NEXT(readlinkat)(dir, path, buf, size);
	return r < 0 ? r : shim_ret(repair(dir, path, buf, size, r));
}

EXPORT ssize_t __readlink_chk(const char *path, char *buf, size_t len,
			      size_t room)
{
	long r;

	if (len <= room && readlink_ours(AT_FDCWD, path, buf, len, &r))
		return shim_ret(r);
	r = NEXT(__readlink_chk)(path, buf, len, room);
	return r < 0 ? r : shim_ret(repair(AT_FDCWD, path, buf, len, r));
}

EXPORT ssize_t __readlinkat_chk(int dir, const char *path, char *buf,
				size_t len, size_t room)
{
	long r;

	if (len <= room && readlink_ours(dir, path, buf, len, &r))
		return shim_ret(r);
	r = NEXT(__readlinkat_chk)(dir, path, buf, len, room);
	return r < 0 ? r : shim_ret(repair(dir, path, buf, len, r));
}

/* ------------------------------------------------------------------ */
/* realpath(), getcwd(), chdir()                                      */

static char *strip(char *result)
{
	if (result && shim_active())
		path_strip(result, strlen(result));
	return result;
}

/* Links of the tree stay inside, so libc's own resolving does. */
static __attribute__((noinline)) char *realpath_mapped(const char *path,
						       char *resolved,
						       bool *ret_mapped)
{
	struct shim_path p;
	int r = path_map(path, &p);

	*ret_mapped = r != 0;
	if (r > 0)
		return strip(NEXT(realpath)(p.real, resolved));
	if (r < 0)
		errno = -r;
	return NULL;
}

EXPORT char *realpath(const char *path, char *resolved)
{
	bool mapped = false;
	char *result = NULL;

	if (path_maybe(path))
		result = realpath_mapped(path, resolved, &mapped);
	return mapped ? result : strip(NEXT(realpath)(path, resolved));
}

EXPORT char *__realpath_chk(const char *path, char *resolved, size_t room)
{
	bool mapped = false;
	char *result = NULL;

	if (room >= PATH_MAX && path_maybe(path))
		result = realpath_mapped(path, resolved, &mapped);
	return mapped ? result
		      : strip(NEXT(__realpath_chk)(path, resolved, room));
}

EXPORT char *canonicalize_file_name(const char *path)
{
	bool mapped = false;
	char *result = NULL;

	if (path_maybe(path))
		result = realpath_mapped(path, NULL, &mapped);
	return mapped ? result : strip(NEXT(realpath)(path, NULL));
}

/* A working directory in the tree, or relative names would not lead there. */
EXPORT int chdir(const char *path)
{
	struct shim_path p;

	if (!path_maybe(path))
		return NEXT(chdir)(path);

	int r = path_map(path, &p);
	return r < 0 ? (int)shim_ret(r) : NEXT(chdir)(r ? p.real : path);
}

/* A buffer too small for the real name, but not for the one that is seen. */
static __attribute__((noinline)) char *getcwd_again(char *buf, size_t size)
{
	char whole[PATH_ROOT_MAX + PATH_SEEN_MAX];
	int saved = errno;

	if (!buf || errno != ERANGE || !shim_active() ||
	    SYS(getcwd, whole, sizeof(whole)) < 0)
		return NULL;

	const char *seen = path_seen(whole);
	if (!seen || strlen(seen) >= size)
		return NULL;
	errno = saved;
	return memcpy(buf, seen, strlen(seen) + 1);
}

EXPORT char *getcwd(char *buf, size_t size)
{
	char *result = NEXT(getcwd)(buf, size);

	return result ? strip(result) : getcwd_again(buf, size);
}

EXPORT char *__getcwd_chk(char *buf, size_t size, size_t room)
{
	char *result = NEXT(__getcwd_chk)(buf, size, room);

	return result ? strip(result) : getcwd_again(buf, size);
}

EXPORT char *get_current_dir_name(void)
{
	return strip(NEXT(get_current_dir_name)());
}
