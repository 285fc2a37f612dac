/* SPDX-License-Identifier: BSD-3-Clause */
/* stat() and its many names, access() and its few: stat.h. */
#include "shim/path/stat.h"

#include <fcntl.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

DEFINE_NEXT(fstatat);
DEFINE_NEXT(fstat);
DEFINE_NEXT(statx);
DEFINE_NEXT(access);
DEFINE_NEXT(faccessat);
DEFINE_NEXT(euidaccess);

/* glibc's before 2.33, for programs built then; no header has them now. */
int __xstat(int ver, const char *path, struct stat *st);
int __lxstat(int ver, const char *path, struct stat *st);
int __fxstat(int ver, int fd, struct stat *st);
int __fxstatat(int ver, int dir, const char *path, struct stat *st, int flags);
int __xstat64(int ver, const char *path, struct stat64 *st);
int __lxstat64(int ver, const char *path, struct stat64 *st);
int __fxstat64(int ver, int fd, struct stat64 *st);
int __fxstatat64(int ver, int dir, const char *path, struct stat64 *st,
		 int flags);

#define STAT_VER_MAX 1 /* 0 and 1 mean the same on x86-64 */

/* Nobody is there to ask: all that is known is that it is a device. */
static int survive_daemon(int r, struct sv_stat *st)
{
	if (r != -ENODEV)
		return r;
	*st = (struct sv_stat){.mode = S_IFCHR | 0600, .nlink = 1};
	return 0;
}

static int ask_path(const char *seen, struct sv_stat *ret_st)
{
	return survive_daemon(shim_rpc_stat(seen, ret_st), ret_st);
}

/* Leads there although the host found it by itself. -ENOENT: it does not. */
static __attribute__((noinline)) int ask_unmapped(int dir, const char *path,
						  struct sv_stat *ret_st)
{
	struct shim_path p;

	if (!path_at(dir, path, &p))
		return -ENOENT;
	if (!*path) /* the directory's name alone, with a slash behind it */
		p.real[strlen(p.real) - 1] = '\0';
	return ask_path(p.seen, ret_st);
}

/* A descriptor: one of our files, or O_PATH of a node. -ENOENT: neither */
static int ask_fd(int fd, struct sv_stat *ret_st)
{
	if (shim_peer(fd, NULL) == 0)
		return survive_daemon(shim_rpc_fstat(fd, ret_st), ret_st);
	return ask_unmapped(fd, "", ret_st);
}

/*
 * What the daemon says about something that the host, asked for a path it was
 * given as it is, calls a socket. -ENOENT: it is somebody's socket.
 */
static int ask(int dir, const char *path, int flags, struct sv_stat *ret_st)
{
	if (!*path && flags & AT_EMPTY_PATH)
		return ask_fd(dir, ret_st);

	int fd = path_own_fd(dir, path);
	return fd >= 0 ? ask_fd(fd, ret_st) : ask_unmapped(dir, path, ret_st);
}

static void apply(const struct sv_stat *is, struct stat *st)
{
	st->st_mode = is->mode;
	st->st_nlink = is->nlink;
	st->st_rdev = is->rdev;
	st->st_size = (off_t)is->size;
	st->st_ino = is->ino;
	st->st_blocks = 0;
}

long stat_repair(int dir, const char *path, int flags, struct stat *st)
{
	struct sv_stat is;

	if (!S_ISSOCK(st->st_mode) || !shim_active())
		return 0;

	int r = ask(dir, path, flags, &is);
	if (r == 0)
		apply(&is, st);
	return r == -ENOENT ? 0 : r;
}

/* Where the path maps; false when it does not. */
static __attribute__((noinline)) bool stat_mapped(const char *path,
						  struct stat *st, int flags,
						  long *ret_r)
{
	struct shim_path p;
	struct sv_stat is;
	long r = path_map(path, &p);

	if (r == 0)
		return false;
	if (r > 0)
		r = SYS(newfstatat, AT_FDCWD, p.real, st, flags);
	if (r == 0 && S_ISSOCK(st->st_mode)) {
		r = ask_path(p.seen, &is);
		if (r == 0)
			apply(&is, st);
	}
	*ret_r = r;
	return true;
}

long stat_at(int dir, const char *path, struct stat *st, int flags)
{
	long r;

	if (path_maybe(path) && stat_mapped(path, st, flags, &r))
		return r;
	r = SYS(newfstatat, dir, path, st, flags);
	return r < 0 ? r : stat_repair(dir, path, flags, st);
}

/* As stat_at(), with whoever else stands in front of libc. */
static int exported_stat(int dir, const char *path, struct stat *st, int flags)
{
	long r;

	if (path_maybe(path) && stat_mapped(path, st, flags, &r))
		return (int)shim_ret(r);
	r = NEXT(fstatat)(dir, path, st, flags);
	if (r < 0 || !S_ISSOCK(st->st_mode))
		return (int)r;
	return (int)shim_ret(stat_repair(dir, path, flags, st));
}

EXPORT int stat(const char *path, struct stat *st)
{
	return exported_stat(AT_FDCWD, path, st, 0);
}

EXPORT int stat64(const char *path, struct stat64 *st)
	__attribute__((alias("stat")));

EXPORT int lstat(const char *path, struct stat *st)
{
	return exported_stat(AT_FDCWD, path, st, AT_SYMLINK_NOFOLLOW);
}

EXPORT int lstat64(const char *path, struct stat64 *st)
	__attribute__((alias("lstat")));

EXPORT int fstatat(int dir, const char *path, struct stat *st, int flags)
{
	return exported_stat(dir, path, st, flags);
}

EXPORT int fstatat64(int dir, const char *path, struct stat64 *st, int flags)
	__attribute__((alias("fstatat")));

EXPORT int fstat(int fd, struct stat *st)
{
	int r = NEXT(fstat)(fd, st);

	if (r < 0 || !S_ISSOCK(st->st_mode))
		return r;
	return (int)shim_ret(stat_repair(fd, "", AT_EMPTY_PATH, st));
}

EXPORT int fstat64(int fd, struct stat64 *st) __attribute__((alias("fstat")));

EXPORT int __fxstatat(int ver, int dir, const char *path, struct stat *st,
		      int flags)
{
	if (ver < 0 || ver > STAT_VER_MAX)
		return (int)shim_ret(-EINVAL);
	return exported_stat(dir, path, st, flags);
}

EXPORT int __fxstatat64(int ver, int dir, const char *path, struct stat64 *st,
			int flags) __attribute__((alias("__fxstatat")));

EXPORT int __xstat(int ver, const char *path, struct stat *st)
{
	if (ver < 0 || ver > STAT_VER_MAX)
		return (int)shim_ret(-EINVAL);
	return exported_stat(AT_FDCWD, path, st, 0);
}

EXPORT int __xstat64(int ver, const char *path, struct stat64 *st)
	__attribute__((alias("__xstat")));

EXPORT int __lxstat(int ver, const char *path, struct stat *st)
{
	if (ver < 0 || ver > STAT_VER_MAX)
		return (int)shim_ret(-EINVAL);
	return exported_stat(AT_FDCWD, path, st, AT_SYMLINK_NOFOLLOW);
}

EXPORT int __lxstat64(int ver, const char *path, struct stat64 *st)
	__attribute__((alias("__lxstat")));

EXPORT int __fxstat(int ver, int fd, struct stat *st)
{
	if (ver < 0 || ver > STAT_VER_MAX)
		return (int)shim_ret(-EINVAL);

	int r = NEXT(fstat)(fd, st);
	if (r < 0 || !S_ISSOCK(st->st_mode))
		return r;
	return (int)shim_ret(stat_repair(fd, "", AT_EMPTY_PATH, st));
}

EXPORT int __fxstat64(int ver, int fd, struct stat64 *st)
	__attribute__((alias("__fxstat")));

/* ------------------------------------------------------------------ */
/* statx()                                                            */

static void applyx(const struct sv_stat *is, struct statx *stx)
{
	stx->stx_mode = (uint16_t)is->mode;
	stx->stx_nlink = is->nlink;
	stx->stx_rdev_major = major(is->rdev);
	stx->stx_rdev_minor = minor(is->rdev);
	stx->stx_size = is->size;
	stx->stx_ino = is->ino;
	stx->stx_blocks = 0;
}

static long statx_repair(int dir, const char *path, int flags,
			 struct statx *stx)
{
	struct sv_stat is;

	if (!S_ISSOCK(stx->stx_mode) || !shim_active())
		return 0;

	int r = ask(dir, path, flags, &is);
	if (r == 0)
		applyx(&is, stx);
	return r == -ENOENT ? 0 : r;
}

static __attribute__((noinline)) bool statx_mapped(const char *path, int flags,
						   unsigned int mask,
						   struct statx *stx,
						   long *ret_r)
{
	struct shim_path p;
	struct sv_stat is;
	long r = path_map(path, &p);

	if (r == 0)
		return false;
	if (r > 0)
		r = SYS(statx, AT_FDCWD, p.real, flags, mask, stx);
	if (r == 0 && S_ISSOCK(stx->stx_mode)) {
		r = ask_path(p.seen, &is);
		if (r == 0)
			applyx(&is, stx);
	}
	*ret_r = r;
	return true;
}

/* A path may be NULL with AT_EMPTY_PATH (Linux 6.11). */
static const char *or_empty(const char *path)
{
	return path ? path : "";
}

long shim_statx(int dir, const char *path, int flags, unsigned int mask,
		void *ret_statx)
{
	long r;

	if (path_maybe(path) && statx_mapped(path, flags, mask, ret_statx, &r))
		return r;
	r = SYS(statx, dir, path, flags, mask, ret_statx);
	return r < 0 ? r : statx_repair(dir, or_empty(path), flags, ret_statx);
}

EXPORT int statx(int dir, const char *path, int flags, unsigned int mask,
		 struct statx *stx)
{
	long r;

	if (path_maybe(path) && statx_mapped(path, flags, mask, stx, &r))
		return (int)shim_ret(r);
	r = NEXT(statx)(dir, path, flags, mask, stx);
	if (r < 0)
		return (int)r;
	return (int)shim_ret(statx_repair(dir, or_empty(path), flags, stx));
}

/* ------------------------------------------------------------------ */
/* access()                                                           */

/*
 * 1 and the path to ask the host about; 0 as the program wrote it; -errno.
 * Nothing may write to the tree's plain files, whoever owns them.
 */
static int access_path(const char *path, int mode, struct shim_path *ret_path)
{
	struct stat st;
	int r = path_map(path, ret_path);

	if (r > 0 && mode & W_OK &&
	    SYS(newfstatat, AT_FDCWD, ret_path->real, &st, 0) == 0 &&
	    S_ISREG(st.st_mode))
		return -EACCES;
	return r;
}

EXPORT int access(const char *path, int mode)
{
	struct shim_path p;

	if (!path_maybe(path))
		return NEXT(access)(path, mode);

	int r = access_path(path, mode, &p);
	return r < 0 ? (int)shim_ret(r) : NEXT(access)(r ? p.real : path, mode);
}

EXPORT int faccessat(int dir, const char *path, int mode, int flags)
{
	struct shim_path p;

	if (!path_maybe(path))
		return NEXT(faccessat)(dir, path, mode, flags);

	int r = access_path(path, mode, &p);
	if (r < 0)
		return (int)shim_ret(r);
	return NEXT(faccessat)(dir, r ? p.real : path, mode, flags);
}

EXPORT int euidaccess(const char *path, int mode)
{
	struct shim_path p;

	if (!path_maybe(path))
		return NEXT(euidaccess)(path, mode);

	int r = access_path(path, mode, &p);
	if (r < 0)
		return (int)shim_ret(r);
	return NEXT(euidaccess)(r ? p.real : path, mode);
}

EXPORT int eaccess(const char *path, int mode)
	__attribute__((alias("euidaccess")));
