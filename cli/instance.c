/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DOC: Theory of operation
 *
 * A directory is made, taken over, swept and removed only under the lock on
 * "lock" in the base directory, so a directory whose own lock is free is dead
 * and not about to live. Locks are OFD locks: the daemon inherits the owner's,
 * and asking about one does not take it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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
#define LOCK_FILE      "lock"
/* what comes behind the base in the longest socket path, with the NUL */
#define SUFFIX_MAX (1 + INSTANCE_NAME_MAX + sizeof("/" SV_DOOR))

/* The base directory */

static bool own_directory(const char *path)
{
	struct stat st;

	return path && path[0] == '/' && !stat(path, &st) &&
	       S_ISDIR(st.st_mode) && st.st_uid == geteuid();
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

/* Under sudo, XDG_RUNTIME_DIR may still be the user's: not ours to fill. */
static void choose_base(char base[PATH_MAX])
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	size_t room = sizeof(((struct sockaddr_un *)NULL)->sun_path);

	if (own_directory(runtime)) {
		int n = snprintf(base, PATH_MAX, "%s/softvfio", runtime);

		if (n > 0 && (size_t)n + SUFFIX_MAX <= room)
			return;
	}
	snprintf(base, PATH_MAX, "%s/softvfio-%u", public_base(),
		 (unsigned int)geteuid());
}

static int refuse_base(const char *base, int err, const char *why)
{
	cli_say("cannot use %s: %s", base, why);
	return -err;
}

/* There anybody could have made it first, or a link of that name. */
static int check_base(const char *base)
{
	_cleanup_(closep) int fd =
		open(base, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		return refuse_base(base, errno, strerror(errno));
	if (st.st_uid != geteuid())
		return refuse_base(base, EPERM,
				   "it belongs to another user; set "
				   "XDG_RUNTIME_DIR to a directory of yours");
	if (st.st_mode & 077)
		return refuse_base(base, EPERM,
				   "other users may enter it; chmod it to 700");
	return 0;
}

int instance_base(char base[PATH_MAX])
{
	choose_base(base);
	if (mkdir(base, 0700) && errno != EEXIST)
		return refuse_base(base, errno, strerror(errno));
	return check_base(base);
}

/* Locks */

static int join(char path[PATH_MAX], const char *dir, const char *name)
{
	int n = snprintf(path, PATH_MAX, "%s/%s", dir, name);

	return n > 0 && n < PATH_MAX ? 0 : -ENAMETOOLONG;
}

/* Open "lock" in @dir and lock it; @cmd says whether to wait. */
static int take_lock(const char *dir, int cmd)
{
	struct flock whole = {.l_type = F_WRLCK};
	char path[PATH_MAX];

	if (join(path, dir, LOCK_FILE))
		return -ENAMETOOLONG;

	_cleanup_(closep) int fd =
		open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return -errno;
	while (fcntl(fd, cmd, &whole)) {
		if (errno != EINTR)
			return errno == EAGAIN || errno == EACCES ? -EBUSY
								  : -errno;
	}
	return TAKE_FD(fd);
}

static bool is_alive(const char *dir)
{
	struct flock whole = {.l_type = F_WRLCK};
	char path[PATH_MAX];

	if (join(path, dir, LOCK_FILE))
		return false;

	_cleanup_(closep) int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);

	return fd >= 0 && !fcntl(fd, F_OFD_GETLK, &whole) &&
	       whole.l_type != F_UNLCK;
}

/* Contents */

static int remove_one(const char *path, const struct stat *st, int flag,
		      struct FTW *ftw)
{
	/* the lock outlives the rest, and the directory the lock */
	if (ftw->level == 0 ||
	    (ftw->level == 1 && !strcmp(path + ftw->base, LOCK_FILE)))
		return 0;
	remove(path);
	return 0;
}

/* FTW_PHYS: a link is removed, not followed. */
static void wipe(const char *dir)
{
	nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

static void remove_dir(const char *dir)
{
	char path[PATH_MAX];

	wipe(dir);
	if (!join(path, dir, LOCK_FILE))
		unlink(path);
	rmdir(dir);
}

/* Private ones whose `run` was killed have nobody else to clean up. */
static void sweep(const char *base)
{
	DIR *d = opendir(base);

	if (!d)
		return;
	for (struct dirent *e; (e = readdir(d));) {
		char path[PATH_MAX];

		if (!strncmp(e->d_name, PRIVATE_PREFIX,
			     strlen(PRIVATE_PREFIX)) &&
		    !join(path, base, e->d_name) && !is_alive(path))
			remove_dir(path);
	}
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

/* The base, and the lock on it; a descriptor or a reported error. */
static int enter_base(char base[PATH_MAX])
{
	int r = instance_base(base);

	if (r)
		return r;
	r = take_lock(base, F_OFD_SETLKW);
	return r < 0 ? refuse_base(base, -r, strerror(-r)) : r;
}

static int own(struct instance *in)
{
	in->lock = take_lock(in->dir, F_OFD_SETLK);
	return in->lock < 0 ? in->lock : 0;
}

int instance_private(struct instance *ret)
{
	char base[PATH_MAX];
	_cleanup_(closep) int lock = enter_base(base);

	if (lock < 0)
		return lock;
	sweep(base);

	int r = join(ret->dir, base, PRIVATE_PREFIX "XXXXXX");

	if (!r && !mkdtemp(ret->dir))
		r = -errno;
	if (!r)
		r = own(ret);
	if (r)
		return refuse_base(base, -r, strerror(-r));
	snprintf(ret->name, sizeof(ret->name), "%s",
		 strrchr(ret->dir, '/') + 1);
	return 0;
}

int instance_standing(const char *name, struct instance *ret)
{
	char base[PATH_MAX];
	_cleanup_(closep) int lock = enter_base(base);

	if (lock < 0)
		return lock;

	int r = join(ret->dir, base, name);

	if (!r && mkdir(ret->dir, 0700) && errno != EEXIST)
		r = -errno;
	if (!r)
		r = own(ret);
	if (r == -EBUSY) {
		cli_say("instance '%s' is running already; `softvfio ls "
			"--instance %s` shows it",
			name, name);
		return r;
	}
	if (r)
		return refuse_base(ret->dir, -r, strerror(-r));
	wipe(ret->dir); /* what a dead one left behind */
	snprintf(ret->name, sizeof(ret->name), "%s", name);
	return 0;
}

int instance_find(const char *name, struct instance *ret)
{
	char base[PATH_MAX];
	int r = instance_base(base);

	if (!r)
		r = join(ret->dir, base, name);
	if (r)
		return r;
	ret->lock = -1;
	if (strchr(name, '/') || name[0] == '.' || !is_alive(ret->dir)) {
		cli_say("there is no instance '%s'; `softvfio ls` shows those "
			"there are",
			name);
		return -ENOENT;
	}
	snprintf(ret->name, sizeof(ret->name), "%s", name);
	return 0;
}

static int visit(const char *base, const char *name,
		 int (*fn)(const struct instance *in, void *opaque),
		 void *opaque)
{
	struct instance in = {.lock = -1};

	if (name[0] == '.' || strlen(name) > INSTANCE_NAME_MAX ||
	    join(in.dir, base, name) || !is_alive(in.dir))
		return 0;
	snprintf(in.name, sizeof(in.name), "%s", name);
	return fn(&in, opaque);
}

int instance_each(int (*fn)(const struct instance *in, void *opaque),
		  void *opaque)
{
	char base[PATH_MAX];
	struct dirent **entries;
	int r = instance_base(base);

	if (r)
		return r;

	int n = scandir(base, &entries, NULL, alphasort);

	if (n < 0)
		return refuse_base(base, errno, strerror(errno));
	for (int i = 0; i < n; i++) {
		if (!r)
			r = visit(base, entries[i]->d_name, fn, opaque);
		free(entries[i]);
	}
	free(entries);
	return r;
}

void instance_remove(struct instance *in)
{
	char base[PATH_MAX];
	_cleanup_(closep) int lock = enter_base(base);

	if (lock >= 0)
		remove_dir(in->dir);
	close(in->lock);
	in->lock = -1;
}
