/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Functions that list and walk directories. The tree's directories are real,
 * so libc does the work; what remains is to start it in the right place, to
 * take the root off the names it reports, and to correct what it calls a
 * socket.
 */
#include "shim/path/stat.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <glob.h>
#include <string.h>

DEFINE_NEXT(opendir);
DEFINE_NEXT(readdir);
DEFINE_NEXT(scandir);
DEFINE_NEXT(glob);
DEFINE_NEXT(ftw);
DEFINE_NEXT(nftw);

typedef int filter_fn(const struct dirent *);
typedef int order_fn(const struct dirent **, const struct dirent **);

/* ------------------------------------------------------------------ */
/* opendir(), readdir(), scandir()                                    */

static __attribute__((noinline)) DIR *opendir_mapped(const char *path,
						     bool *ret_mapped)
{
	struct shim_path p;
	int r = path_map(path, &p);

	*ret_mapped = r != 0;
	if (r > 0)
		return NEXT(opendir)(p.real);
	if (r < 0)
		errno = -r;
	return NULL;
}

static DIR *dir_open(const char *path)
{
	bool mapped = false;
	DIR *d = NULL;

	if (path_maybe(path))
		d = opendir_mapped(path, &mapped);
	return mapped ? d : NEXT(opendir)(path);
}

/* The type of an entry that the host calls a socket. */
static __attribute__((noinline)) unsigned char type_in(int dir,
						       const char *name)
{
	struct shim_path p;
	struct sv_stat st;

	if (!path_at(dir, name, &p))
		return DT_SOCK;
	return shim_rpc_stat(p.seen, &st) ? DT_UNKNOWN : IFTODT(st.mode);
}

static struct dirent *dir_read(DIR *dir)
{
	struct dirent *e = NEXT(readdir)(dir);

	if (e && e->d_type == DT_SOCK)
		e->d_type = type_in(dirfd(dir), e->d_name);
	return e;
}

EXPORT DIR *opendir(const char *path)
{
	return dir_open(path);
}

EXPORT struct dirent *readdir(DIR *dir)
{
	return dir_read(dir);
}

EXPORT struct dirent64 *readdir64(DIR *dir) __attribute__((alias("readdir")));

static __attribute__((noinline)) int scandir_mapped(const char *path,
						    struct dirent ***list,
						    filter_fn *filter,
						    order_fn *order,
						    bool *ret_mapped)
{
	struct shim_path p;
	int n, r = path_map(path, &p);

	*ret_mapped = r != 0;
	if (r <= 0)
		return (int)shim_ret(r);
	n = NEXT(scandir)(p.real, list, filter, order);

	int dir = n > 0 ? (int)SYS(openat, AT_FDCWD, p.real,
				   O_PATH | O_DIRECTORY | O_CLOEXEC)
			: -1;
	for (int i = 0; i < n; i++) {
		struct dirent *e = (*list)[i];

		if (e->d_type == DT_SOCK)
			e->d_type = type_in(dir, e->d_name);
	}
	if (dir >= 0)
		SYS(close, dir);
	return n;
}

EXPORT int scandir(const char *path, struct dirent ***list, filter_fn *filter,
		   order_fn *order)
{
	bool mapped = false;
	int n = 0;

	if (path_maybe(path))
		n = scandir_mapped(path, list, filter, order, &mapped);
	return mapped ? n : NEXT(scandir)(path, list, filter, order);
}

EXPORT int scandir64(const char *path, struct dirent64 ***list,
		     int (*filter)(const struct dirent64 *),
		     int (*order)(const struct dirent64 **,
				  const struct dirent64 **))
	__attribute__((alias("scandir")));

/* ------------------------------------------------------------------ */
/* glob(): with directory functions of our own it needs no rewriting   */

static void *glob_opendir(const char *path)
{
	return dir_open(path);
}

static struct dirent *glob_readdir(void *dir)
{
	return dir_read(dir);
}

static void glob_closedir(void *dir)
{
	closedir(dir);
}

static int glob_stat(const char *path, struct stat *st)
{
	return (int)shim_ret(stat_at(AT_FDCWD, path, st, 0));
}

static int glob_lstat(const char *path, struct stat *st)
{
	return (int)shim_ret(stat_at(AT_FDCWD, path, st, AT_SYMLINK_NOFOLLOW));
}

/* Braces may hide where a pattern begins. */
static bool glob_maybe(const char *pattern)
{
	return shim_active() &&
	       (strstr(pattern, "/sys") || strstr(pattern, "/dev") ||
		path_maybe(pattern));
}

EXPORT int glob(const char *pattern, int flags,
		int (*on_error)(const char *, int), glob_t *g)
{
	if (flags & GLOB_ALTDIRFUNC || !glob_maybe(pattern))
		return NEXT(glob)(pattern, flags, on_error, g);

	const glob_t was = *g;

	g->gl_opendir = glob_opendir;
	g->gl_readdir = glob_readdir;
	g->gl_closedir = glob_closedir;
	g->gl_stat = glob_stat;
	g->gl_lstat = glob_lstat;

	int r = NEXT(glob)(pattern, flags | GLOB_ALTDIRFUNC, on_error, g);

	g->gl_flags &= ~GLOB_ALTDIRFUNC;
	g->gl_opendir = was.gl_opendir;
	g->gl_readdir = was.gl_readdir;
	g->gl_closedir = was.gl_closedir;
	g->gl_stat = was.gl_stat;
	g->gl_lstat = was.gl_lstat;
	return r;
}

EXPORT int glob64(const char *pattern, int flags,
		  int (*on_error)(const char *, int), glob64_t *g)
	__attribute__((alias("glob")));

/* ------------------------------------------------------------------ */
/* ftw(), nftw()                                                      */

/*
 * Neither passes an argument on to its callback, so the program's waits here
 * while a mapped walk runs on this thread; walks nest.
 */
struct walk {
	__ftw_func_t ftw;
	__nftw_func_t nftw;
};
static __thread struct walk *walking;

/* What the program is shown of a node: its name, and what it is. */
static const char *shown(const char *real, const struct stat *st,
			 struct stat *ret_st)
{
	const char *seen = path_seen(real);

	*ret_st = *st;
	if (S_ISSOCK(st->st_mode))
		(void)stat_repair(AT_FDCWD, real, 0, ret_st);
	return seen ? seen : real;
}

static int on_ftw(const char *real, const struct stat *st, int type)
{
	struct stat is;
	const char *name = shown(real, st, &is);

	return walking->ftw(name, &is, type);
}

static int on_nftw(const char *real, const struct stat *st, int type,
		   struct FTW *at)
{
	struct FTW moved = *at;
	struct stat is;
	const char *name = shown(real, st, &is);

	moved.base -= (int)(name - real);
	return walking->nftw(name, &is, type, &moved);
}

static __attribute__((noinline)) int walk_mapped(const char *path,
						 const struct walk *w,
						 int n_fds, int flags,
						 bool *ret_mapped)
{
	struct walk mine = *w, *outer = walking;
	struct shim_path p;
	int r = path_map(path, &p);

	*ret_mapped = r != 0;
	if (r <= 0)
		return (int)shim_ret(r);
	walking = &mine;
	r = w->ftw ? NEXT(ftw)(p.real, on_ftw, n_fds)
		   : NEXT(nftw)(p.real, on_nftw, n_fds, flags);
	walking = outer;
	return r;
}

EXPORT int ftw(const char *path, __ftw_func_t fn, int n_fds)
{
	const struct walk w = {.ftw = fn};
	bool mapped = false;
	int r = 0;

	if (path_maybe(path))
		r = walk_mapped(path, &w, n_fds, 0, &mapped);
	return mapped ? r : NEXT(ftw)(path, fn, n_fds);
}

EXPORT int ftw64(const char *path, __ftw64_func_t fn, int n_fds)
	__attribute__((alias("ftw")));

EXPORT int nftw(const char *path, __nftw_func_t fn, int n_fds, int flags)
{
	const struct walk w = {.nftw = fn};
	bool mapped = false;
	int r = 0;

	if (path_maybe(path))
		r = walk_mapped(path, &w, n_fds, flags, &mapped);
	return mapped ? r : NEXT(nftw)(path, fn, n_fds, flags);
}

EXPORT int nftw64(const char *path, __nftw64_func_t fn, int n_fds, int flags)
	__attribute__((alias("nftw")));
