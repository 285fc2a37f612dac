/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DOC: Theory of operation
 *
 * A directory is made, taken over, swept and removed only under the lock on
 * "lock" in the base directory, so a directory whose own lock is free is dead
 * and not about to live. Locks are OFD locks: the daemon inherits the owner's,
 * and asking about one does not take it.
 *
 * Whatever has a name here may be a link, somebody else's, or another thing
 * than a moment ago. So a directory is opened once, never through a link, and
 * looked at; all that is done in it is done by that descriptor.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/un.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/instance.h"
#include "lib/cleanup.h"
#include "lib/proto.h"

#define PRIVATE_PREFIX "run-" /* names of private instances */
#define FRESH_LEN      6      /* of the rest of such a name */
#define FRESH_TRIES    100    /* then it is EEXIST */
#define LOCK_FILE      "lock"
#define OPEN_DIR       (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
#define WIPE_DEPTH_MAX 32 /* the tree has 8; what is deeper stays */
/* what comes behind the base in the longest socket path, with the NUL */
#define SUFFIX_MAX (1 + INSTANCE_NAME_MAX + sizeof("/" SV_DOOR))

static int refuse_dir(const char *dir, int err, const char *why)
{
	cli_say("cannot use %s: %s", dir, why);
	return -err;
}

/* Directories */

/* Why it is not ours alone; NULL: it is. */
static const char *shared(int fd)
{
	struct stat st;

	if (fstat(fd, &st))
		return strerror(errno);
	if (st.st_uid != geteuid())
		return "it belongs to another user; set XDG_RUNTIME_DIR to a "
		       "directory of yours";
	if (st.st_mode & 077)
		return "other users may enter it; chmod it to 700";
	return NULL;
}

/* O_DIRECTORY makes the errno of a link that of a file. */
static bool is_link(int at, const char *name)
{
	struct stat st;

	return !fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) &&
	       S_ISLNK(st.st_mode);
}

/* Ours alone, or what is wrong with it in @ret_why. */
static int open_own(int at, const char *name, const char **ret_why)
{
	_cleanup_(closep) int fd = openat(at, name, OPEN_DIR);

	if (fd < 0) {
		int r = -errno;

		*ret_why = is_link(at, name) ? "it is a link" : strerror(-r);
		return r;
	}
	*ret_why = shared(fd);
	return *ret_why ? -EPERM : TAKE_FD(fd);
}

static int make_own(int at, const char *name, const char **ret_why)
{
	if (mkdirat(at, name, 0700) && errno != EEXIST) {
		*ret_why = strerror(errno);
		return -errno;
	}
	return open_own(at, name, ret_why);
}

/* The base directory */

/* Nobody else's, and nobody else can put another in the place of ours. */
static bool is_runtime(int fd)
{
	struct stat st;

	return !fstat(fd, &st) && st.st_uid == geteuid() &&
	       (!(st.st_mode & 022) || st.st_mode & S_ISVTX);
}

/*
 * Making and removing a hundred files is 20 times as fast in memory, and what
 * an instance has there needs no disk. Looked at anew each time, so it must not
 * depend on anything that changes.
 */
static const char *public_base(void)
{
	struct statfs fs;
	bool memory = !statfs("/dev/shm", &fs) && fs.f_type == TMPFS_MAGIC &&
		      !(fs.f_flags & ST_RDONLY);

	return memory && !access("/dev/shm", W_OK | X_OK) ? "/dev/shm" : "/tmp";
}

/*
 * Under sudo, XDG_RUNTIME_DIR may still be the user's: not ours to fill. Returns
 * where the base is to be, or -errno.
 */
static int choose_base(char base[PATH_MAX])
{
	const char *parent = getenv("XDG_RUNTIME_DIR");
	size_t room = sizeof(((struct sockaddr_un *)NULL)->sun_path);

	if (parent && parent[0] == '/') {
		_cleanup_(closep) int fd =
			open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
		int n = snprintf(base, PATH_MAX, "%s/softvfio", parent);

		if (n > 0 && (size_t)n + SUFFIX_MAX <= room && fd >= 0 &&
		    is_runtime(fd))
			return TAKE_FD(fd);
	}
	parent = public_base();
	snprintf(base, PATH_MAX, "%s/softvfio-%u", parent,
		 (unsigned int)geteuid());

	int fd = open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int instance_base(char base[PATH_MAX])
{
	_cleanup_(closep) int parent = choose_base(base);
	const char *why;

	if (parent < 0)
		return refuse_dir(base, -parent, strerror(-parent));

	int fd = make_own(parent, strrchr(base, '/') + 1, &why);

	return fd < 0 ? refuse_dir(base, -fd, why) : fd;
}

int instance_fresh_name(char *name)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz012345";
	unsigned char bytes[FRESH_LEN];
	char *end = name + strlen(name) - FRESH_LEN;

	if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes))
		return -errno;
	for (size_t i = 0; i < FRESH_LEN; i++)
		end[i] = letters[bytes[i] % (sizeof(letters) - 1)];
	return 0;
}

/* Locks */

static int join(char path[PATH_MAX], const char *dir, const char *name)
{
	int n = snprintf(path, PATH_MAX, "%s/%s", dir, name);

	return n > 0 && n < PATH_MAX ? 0 : -ENAMETOOLONG;
}

/*
 * A plain file of our own: whoever else had a lock on it could keep us waiting.
 * O_NONBLOCK, since it may be something else until it has been looked at.
 */
static int open_lock(int dir, int flags)
{
	_cleanup_(closep) int fd = openat(
		dir, LOCK_FILE,
		O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | flags, 0600);
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_uid != geteuid())
		return -EPERM;
	return TAKE_FD(fd);
}

/* Open "lock" in @dir and lock it; @cmd says whether to wait. */
static int take_lock(int dir, int cmd)
{
	struct flock whole = {.l_type = F_WRLCK};
	_cleanup_(closep) int fd = open_lock(dir, O_CREAT);

	if (fd < 0)
		return fd;
	while (fcntl(fd, cmd, &whole)) {
		if (errno != EINTR)
			return errno == EAGAIN || errno == EACCES ? -EBUSY
								  : -errno;
	}
	return TAKE_FD(fd);
}

static int refuse_lock(const char *dir, int err)
{
	char path[PATH_MAX];

	if (join(path, dir, LOCK_FILE))
		return -err;
	return refuse_dir(path, err,
			  err == EPERM || err == ELOOP
				  ? "it is no plain file of yours"
				  : strerror(err));
}

static bool is_alive(int dir)
{
	struct flock whole = {.l_type = F_WRLCK};
	_cleanup_(closep) int fd = open_lock(dir, 0);

	return fd >= 0 && !fcntl(fd, F_OFD_GETLK, &whole) &&
	       whole.l_type != F_UNLCK;
}

/* Contents */

/* What is mounted there is not an instance's. */
static bool is_mounted(int dir)
{
	struct statx st;

	return statx(dir, "", AT_EMPTY_PATH, STATX_TYPE, &st) ||
	       st.stx_attributes & STATX_ATTR_MOUNT_ROOT;
}

static void wipe(int fd, unsigned int depth);

/* A link is removed, and not followed. */
static void wipe_entry(int dir, const char *name, unsigned int depth)
{
	if (!unlinkat(dir, name, 0) || errno != EISDIR ||
	    depth == WIPE_DEPTH_MAX)
		return;

	int fd = openat(dir, name, OPEN_DIR);

	if (fd >= 0 && is_mounted(fd))
		close(fd);
	else if (fd >= 0)
		wipe(fd, depth + 1);
	unlinkat(dir, name, AT_REMOVEDIR);
}

/* The lock outlives the rest, and the directory the lock. Closes @fd. */
static void wipe(int fd, unsigned int depth)
{
	DIR *d = fdopendir(fd);

	if (!d) {
		close(fd);
		return;
	}
	for (struct dirent *e; (e = readdir(d));) {
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..") &&
		    (depth || strcmp(e->d_name, LOCK_FILE)))
			wipe_entry(dirfd(d), e->d_name, depth);
	}
	closedir(d);
}

static void empty(int dir)
{
	int fd = openat(dir, ".", OPEN_DIR);

	if (fd >= 0)
		wipe(fd, 0);
}

static bool same_file(int dir, int at, const char *name)
{
	struct stat a, b;

	return !fstat(dir, &a) && !fstatat(at, name, &b, AT_SYMLINK_NOFOLLOW) &&
	       a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* @dir was @name in @base when it was opened. */
static void remove_dir(int base, const char *name, int dir)
{
	empty(dir);
	unlinkat(dir, LOCK_FILE, 0);
	if (same_file(dir, base, name))
		unlinkat(base, name, AT_REMOVEDIR);
}

static bool is_private_name(const char *name)
{
	size_t len = strlen(PRIVATE_PREFIX);

	return !strncmp(name, PRIVATE_PREFIX, len) &&
	       strlen(name + len) == FRESH_LEN;
}

/* Private ones whose `run` was killed have nobody else to clean up. */
static void sweep_one(int base, const char *name)
{
	const char *why;
	_cleanup_(closep) int dir = open_own(base, name, &why);

	if (dir >= 0 && !is_mounted(dir) && !is_alive(dir))
		remove_dir(base, name, dir);
}

static void sweep(int base)
{
	int fd = openat(base, ".", OPEN_DIR);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (!d) {
		closep(&fd);
		return;
	}
	for (struct dirent *e; (e = readdir(d));)
		if (is_private_name(e->d_name))
			sweep_one(base, e->d_name);
	closedir(d);
}

/* Making and removing */

bool instance_name_ok(const char *name)
{
	size_t len = strlen(name);

	return len && len <= INSTANCE_NAME_MAX &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyz"
			    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == len &&
	       name[0] != '-' &&
	       strncmp(name, PRIVATE_PREFIX, strlen(PRIVATE_PREFIX)) != 0 &&
	       strcmp(name, LOCK_FILE) != 0;
}

/* Both descriptors are closed by whoever asked, also after an error. */
struct base {
	char path[PATH_MAX];
	int dir;
	int lock;
};

static void base_leave(struct base *b)
{
	closep(&b->dir);
	closep(&b->lock);
}

/* The base, and the lock on it; 0 or a reported error. */
static int base_enter(struct base *b)
{
	b->lock = -1;
	b->dir = instance_base(b->path);
	if (b->dir < 0)
		return b->dir;
	b->lock = take_lock(b->dir, F_OFD_SETLKW);
	return b->lock < 0 ? refuse_lock(b->path, -b->lock) : 0;
}

/* A new one's directory, in @ret->fd; 0 or -errno */
static int make_fresh(const struct base *b, struct instance *ret)
{
	const char *why;
	int r = -EEXIST;

	for (int i = 0; i < FRESH_TRIES && r == -EEXIST; i++) {
		strcpy(ret->name, PRIVATE_PREFIX "XXXXXX");
		r = instance_fresh_name(ret->name);
		if (!r && mkdirat(b->dir, ret->name, 0700))
			r = -errno;
	}
	if (r)
		return r;
	ret->fd = open_own(b->dir, ret->name, &why);
	return ret->fd < 0 ? ret->fd : join(ret->dir, b->path, ret->name);
}

int instance_private(struct instance *ret)
{
	_cleanup_(base_leave) struct base base;
	int r = base_enter(&base);

	if (r)
		return r;
	sweep(base.dir);
	*ret = (struct instance){.fd = -1, .lock = -1};
	r = make_fresh(&base, ret);
	if (!r) {
		ret->lock = take_lock(ret->fd, F_OFD_SETLK);
		r = ret->lock < 0 ? ret->lock : 0;
	}
	if (!r)
		return 0;
	closep(&ret->fd);
	return refuse_dir(base.path, -r, strerror(-r));
}

static int take_over(const struct base *b, struct instance *in)
{
	const char *why;

	in->fd = make_own(b->dir, in->name, &why);
	if (in->fd < 0)
		return refuse_dir(in->dir, -in->fd, why);
	in->lock = take_lock(in->fd, F_OFD_SETLK);
	if (in->lock >= 0)
		return 0;
	closep(&in->fd);
	if (in->lock != -EBUSY)
		return refuse_lock(in->dir, -in->lock);
	cli_say("instance '%s' is running already; `softvfio ls --instance %s` "
		"shows it",
		in->name, in->name);
	return -EBUSY;
}

int instance_standing(const char *name, struct instance *ret)
{
	_cleanup_(base_leave) struct base base;
	int r = base_enter(&base);

	if (r)
		return r;
	*ret = (struct instance){.fd = -1, .lock = -1};
	snprintf(ret->name, sizeof(ret->name), "%s", name);
	r = join(ret->dir, base.path, name);
	if (!r)
		r = take_over(&base, ret);
	if (!r)
		empty(ret->fd); /* what a dead one left behind */
	return r;
}

/* Fill in one that somebody else owns; false: there is none of that name. */
static bool look_up(int base, const char *path, const char *name,
		    struct instance *ret)
{
	const char *why;

	*ret = (struct instance){.fd = -1, .lock = -1};
	if (!*name || strchr(name, '/') || name[0] == '.' ||
	    strlen(name) > INSTANCE_NAME_MAX || join(ret->dir, path, name))
		return false;
	strcpy(ret->name, name);

	_cleanup_(closep) int dir = open_own(base, name, &why);

	return dir >= 0 && is_alive(dir);
}

int instance_find(const char *name, struct instance *ret)
{
	char path[PATH_MAX];
	_cleanup_(closep) int base = instance_base(path);

	if (base < 0)
		return base;
	if (look_up(base, path, name, ret))
		return 0;
	cli_say("there is no instance '%s'; `softvfio ls` shows those there "
		"are",
		name);
	return -ENOENT;
}

int instance_each(int (*fn)(const struct instance *in, void *opaque),
		  void *opaque)
{
	char path[PATH_MAX];
	_cleanup_(closep) int base = instance_base(path);
	struct dirent **entries;
	int r = 0;

	if (base < 0)
		return base;

	int n = scandirat(base, ".", &entries, NULL, alphasort);

	if (n < 0)
		return refuse_dir(path, errno, strerror(errno));
	for (int i = 0; i < n; i++) {
		struct instance in;

		if (!r && look_up(base, path, entries[i]->d_name, &in))
			r = fn(&in, opaque);
		free(entries[i]);
	}
	free(entries);
	return r;
}

void instance_remove(struct instance *in)
{
	_cleanup_(base_leave) struct base base;

	if (!base_enter(&base))
		remove_dir(base.dir, in->name, in->fd);
	closep(&in->lock);
	closep(&in->fd);
	in->lock = in->fd = -1;
}
