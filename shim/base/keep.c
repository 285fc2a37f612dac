/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DOC: Theory of operation
 *
 * A BAR's mapping works on Linux wherever its process goes: into a chroot, to
 * another user, where /proc is not mounted, with no number left for another
 * descriptor. Here a touch may need the daemon and a look at the mappings, and
 * both are found by paths. So with the first mapping, and before calls after
 * which paths lead elsewhere (wrap_keep.c), these are opened and kept:
 *
 *  - /proc itself, from which everything below it can be opened;
 *  - this address space's maps;
 *  - the side door, a file of the daemon's that takes all requests that the
 *    door takes. As any file it is shared with forked children.
 *
 * The program knows nothing of them and may close them or use their numbers
 * again, as with lines (line.c): each is asked who it is before it is used, and
 * one that is somebody else's is forgotten, not closed.
 *
 *   EMPTY -> TAKEN -> READY -> TAKEN -> READY ...
 *
 * TAKEN is for as long as it is replaced; one whose thread never came back from
 * that stays so, and is not replaced again.
 */
#include "shim/base/keep.h"

#include "shim/shim.h"
#include "shim/base/vma.h"
#include "shim/base/wiped.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <linux/magic.h>

#define KEEP_FROM 500 /* lowest number of a kept descriptor */

enum { EMPTY, TAKEN, READY };

/* What no two open files share: a socket's cookie, or device and inode. */
struct identity {
	uint64_t cookie;
	uint64_t dev;
	uint64_t ino;
};

struct kept {
	atomic_int state;
	int fd;
	struct identity is;
};

static struct kept kept[KEEP_END];

static bool identify(enum keep what, int fd, struct identity *ret)
{
	unsigned int len = sizeof(ret->cookie);
	struct stat st;

	*ret = (struct identity){0};
	if (what == KEEP_SIDE_DOOR)
		return SYS(getsockopt, fd, SOL_SOCKET, SO_COOKIE, &ret->cookie,
			   &len) >= 0;
	if (SYS(fstat, fd, &st) < 0)
		return false;
	ret->dev = st.st_dev;
	ret->ino = st.st_ino;
	return true;
}

/* Half of an old one and half of a new one match nothing. */
static bool is_same(enum keep what)
{
	const struct kept *k = &kept[what];
	struct identity now;

	return identify(what, k->fd, &now) && now.cookie == k->is.cookie &&
	       now.dev == k->is.dev && now.ino == k->is.ino;
}

/* A forked child's address space is another. */
static bool is_this_process(enum keep what)
{
	struct wiped *w = wiped_page();

	return what != KEEP_MAPS || (w && atomic_load(&w->maps_kept));
}

int keep_fd(enum keep what)
{
	const struct kept *k = &kept[what];

	if (atomic_load_explicit(&k->state, memory_order_acquire) != READY ||
	    !is_this_process(what) || !is_same(what))
		return -1;
	return k->fd;
}

static long open_proc(void)
{
	long fd = SYS(openat, AT_FDCWD, "/proc",
		      O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct statfs fs;

	if (fd < 0)
		return fd;
	if (SYS(fstatfs, fd, &fs) == 0 && fs.f_type == PROC_SUPER_MAGIC)
		return fd;
	SYS(close, fd);
	return -ENOENT;
}

static long open_maps(void)
{
	return wiped_page() ? shim_proc_open("maps", O_RDONLY) : -ENOSYS;
}

static long open_side_door(void)
{
	return shim_rpc_side_door();
}

static long (*const openers[KEEP_END])(void) = {
	[KEEP_PROC] = open_proc,
	[KEEP_MAPS] = open_maps,
	[KEEP_SIDE_DOOR] = open_side_door,
};

/* Out of the program's way. Takes over @fd. */
static int move_high(int fd)
{
	long high = fd;

	if (fd >= 0 && fd < KEEP_FROM) {
		high = SYS(fcntl, fd, F_DUPFD_CLOEXEC, KEEP_FROM);
		SYS(close, fd);
	}
	return (int)high;
}

/* What a parent had goes first: there may be no number but its. */
static void keep_again(enum keep what, int state)
{
	struct kept *k = &kept[what];

	if (!atomic_compare_exchange_strong(&k->state, &state, TAKEN))
		return; /* another thread is at it */
	if (state == READY && is_same(what))
		SYS(close, k->fd);
	k->fd = move_high((int)openers[what]());
	if (k->fd < 0 || !identify(what, k->fd, &k->is)) {
		atomic_store(&k->state, EMPTY);
		return;
	}
	if (what == KEEP_MAPS)
		atomic_store(&wiped_page()->maps_kept, true);
	atomic_store_explicit(&k->state, READY, memory_order_release);
}

static void keep_one(enum keep what)
{
	int state = atomic_load(&kept[what].state);

	if (keep_fd(what) < 0 && state != TAKEN)
		keep_again(what, state);
}

void keep_inherited(enum keep what)
{
	if (!is_this_process(what) && atomic_load(&kept[what].state) == READY)
		keep_again(what, READY);
}

void keep_all(void)
{
	for (int i = 0; i < KEEP_END; i++)
		keep_one(i);
}

bool keep_owns(int fd)
{
	for (int i = 0; i < KEEP_END; i++)
		if (fd == kept[i].fd && keep_fd(i) == fd)
			return true;
	return false;
}
