/* SPDX-License-Identifier: BSD-3-Clause */
/* Into the daemon's tree and out of it: path.h. */
#include "shim/path/path.h"
#include "shim/base/number.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>

#define PROC_PATH_MAX 64

/*
 * The tree's root as the host kernel names it, since that is what getcwd() and
 * readlink() of /proc/self/fd give. Until the tree is there, $SOFTVFIO_DIR's
 * own words do.
 */
static char root[PATH_ROOT_MAX];
static size_t root_len;
enum { ROOT_UNKNOWN, ROOT_CLAIMED, ROOT_KNOWN };
static atomic_int root_state = ROOT_UNKNOWN;

/* What is below these is the tree's. */
static const struct {
	const char *name;
	bool open_ended; /* and every name that begins so */
} prefixes[] = {
	{"/dev/vfio", false},		{"/dev/iommu", false},
	{"/sys/bus/pci", false},	{"/sys/kernel/iommu_groups", false},
	{"/sys/class/vfio-dev", false}, {"/sys/module/vfio", true},
	{"/sys/devices/pci", true},
};

/* readlink() of one of our own descriptors, NUL-terminated. Length or -errno */
static long fd_link(int fd, char *buf, size_t size)
{
	char name[PROC_PATH_MAX] = "/proc/thread-self/fd/";

	put_number(name + strlen(name), (unsigned int)fd);

	long n = SYS(readlinkat, AT_FDCWD, name, buf, size);
	if (n < 0)
		return n;
	if ((size_t)n == size)
		return -ENAMETOOLONG;
	buf[n] = '\0';
	return n;
}

/* $SOFTVFIO_DIR/root, uncanonical. Returns its length, 0 = too long. */
static size_t root_as_told(char buf[PATH_ROOT_MAX])
{
	const char *dir = shim_dir();
	size_t len = strlen(dir);

	if (len + sizeof("/" SV_TREE) > PATH_ROOT_MAX)
		return 0;
	memcpy(buf, dir, len);
	memcpy(buf + len, "/" SV_TREE, sizeof("/" SV_TREE));
	return len + sizeof("/" SV_TREE) - 1;
}

/* Keeps what the host calls it, if it is there; once. */
static void find_root(void)
{
	int unknown = ROOT_UNKNOWN;
	char told[PATH_ROOT_MAX];

	if (!root_as_told(told))
		return;

	long fd = SYS(openat, AT_FDCWD, told, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return;

	long n = fd_link((int)fd, told, sizeof(told));

	SYS(close, fd);
	if (n <= 0 || told[0] != '/' ||
	    !atomic_compare_exchange_strong(&root_state, &unknown,
					    ROOT_CLAIMED))
		return;
	memcpy(root, told, (size_t)n);
	root_len = (size_t)n;
	atomic_store_explicit(&root_state, ROOT_KNOWN, memory_order_release);
}

static bool root_known(void)
{
	if (atomic_load_explicit(&root_state, memory_order_acquire) ==
	    ROOT_KNOWN)
		return true;
	find_root();
	return atomic_load_explicit(&root_state, memory_order_acquire) ==
	       ROOT_KNOWN;
}

/* Returns the root's length, 0 = it has none that fits. */
static size_t put_root(char buf[PATH_ROOT_MAX])
{
	if (!root_known())
		return root_as_told(buf);
	memcpy(buf, root, root_len);
	return root_len;
}

/* A normalised path of @len bytes, not terminated. */
static bool in_tree(const char *path, size_t len)
{
	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
		size_t n = strlen(prefixes[i].name);

		if (len >= n && !memcmp(path, prefixes[i].name, n) &&
		    (len == n || path[n] == '/' || prefixes[i].open_ended))
			return true;
	}
	return false;
}

static size_t parent(const char *path, size_t len)
{
	while (len && path[len - 1] != '/')
		len--;
	return len ? len - 1 : 0;
}

/* One component more. Returns the new length, or room when it does not fit. */
static size_t step(char *buf, size_t len, size_t room, const char *name,
		   size_t n)
{
	if (n == 1 && name[0] == '.')
		return len;
	if (n == 2 && name[0] == '.' && name[1] == '.')
		return parent(buf, len);
	if (len + 1 + n >= room)
		return room;
	buf[len] = '/';
	memcpy(buf + len + 1, name, n);
	return len + 1 + n;
}

/* Does what follows a path of @depth components climb out at its top? */
static bool climbs_out(const char *rest, int depth)
{
	for (const char *p = rest;;) {
		while (*p == '/')
			p++;
		size_t n = strcspn(p, "/");

		if (!n)
			return false;
		if (n == 2 && p[0] == '.' && p[1] == '.')
			depth--;
		else if (n != 1 || p[0] != '.')
			depth++;
		if (depth < 1)
			return true;
		p += n;
	}
}

static int components(const char *path, size_t len)
{
	int n = 0;

	for (size_t i = 0; i < len; i++)
		n += path[i] == '/';
	return n;
}

/*
 * Follows a path by its letters. Returns how many bytes of @norm lead into the
 * tree, and in *ret_rest what of @path follows; 0 = it does not.
 *
 * The tree is full of links, so where ".." behind one leads is not in the
 * letters: /sys/bus/pci/devices/BDF/../../../bus/pci/drivers, which libpci
 * asks for, is in the tree. A path that went in stays in, unless its letters
 * leave /sys or /dev altogether.
 */
static size_t enter_tree(const char *path, char norm[PATH_SEEN_MAX],
			 const char **ret_rest)
{
	size_t len = 0;

	for (const char *p = path;;) {
		while (*p == '/')
			p++;
		size_t n = strcspn(p, "/");

		if (!n)
			return 0;
		len = step(norm, len, PATH_SEEN_MAX, p, n);
		p += n;
		if (len == PATH_SEEN_MAX)
			return 0;
		if (!in_tree(norm, len) || climbs_out(p, components(norm, len)))
			continue;
		*ret_rest = p;
		return len;
	}
}

/*
 * Copies what is left of a path without "//" and "/./"; a slash at the end
 * stays, since it asks for a directory. False: no room.
 */
static bool put_rest(char *p, const char *end, const char *rest)
{
	while (*rest) {
		size_t n;

		while (*rest == '/')
			rest++;
		n = strcspn(rest, "/");
		if (n == 1 && *rest == '.' && rest[1]) {
			rest++;
			continue;
		}
		if (n + 1 >= (size_t)(end - p))
			return false;
		*p++ = '/';
		memcpy(p, rest, n);
		p += n;
		rest += n;
	}
	*p = '\0';
	return true;
}

static int compose(struct shim_path *path, const char *head, size_t head_len,
		   const char *rest)
{
	size_t at = put_root(path->real), room = sizeof(path->real);

	if (!at || at + head_len >= room)
		return -ENAMETOOLONG;
	memcpy(path->real + at, head, head_len);
	path->seen = path->real + at;
	return put_rest(path->real + at + head_len, path->real + room, rest)
		       ? 1
		       : -ENAMETOOLONG;
}

int path_map(const char *path, struct shim_path *ret_path)
{
	char norm[PATH_SEEN_MAX];
	const char *rest = NULL;

	if (!path_maybe(path) || !shim_active())
		return 0;

	size_t entry = enter_tree(path, norm, &rest);
	return entry ? compose(ret_path, norm, entry, rest) : 0;
}

const char *path_seen(const char *real)
{
	char told[PATH_ROOT_MAX];
	size_t len = put_root(told);

	if (!len || strncmp(real, told, len) || real[len] != '/')
		return NULL;
	return real + len;
}

size_t path_strip(char *real, size_t len)
{
	const char *seen = path_seen(real);

	if (!seen)
		return len;
	len -= (size_t)(seen - real);
	memmove(real, seen, len + 1);
	return len;
}

/* An open directory's path, or the working directory's. Length or -errno */
static long dir_path(int dir, char *buf, size_t size)
{
	if (dir != AT_FDCWD)
		return fd_link(dir, buf, size);

	long n = SYS(getcwd, buf, size);
	return n < 0 ? n : n - 1;
}

/* Absolute name of what @path is relative to @dir. Length or -errno */
static long absolute(int dir, const char *path, char *buf, size_t size)
{
	size_t n = strlen(path);
	long at = path[0] == '/' ? 0 : dir_path(dir, buf, size);

	if (at < 0)
		return at;
	if ((size_t)at + n + 2 > size)
		return -ENAMETOOLONG;
	if (path[0] != '/')
		buf[at++] = '/';
	memcpy(buf + at, path, n + 1);
	return at + (long)n;
}

int path_at(int dir, const char *path, struct shim_path *ret_path)
{
	if (!shim_active() ||
	    absolute(dir, path, ret_path->real, sizeof(ret_path->real)) < 0)
		return 0;
	ret_path->seen = path_seen(ret_path->real);
	return ret_path->seen != NULL;
}

/* Behind "/proc/<this process>/", or NULL. */
static const char *behind_own_proc(const char *path)
{
	static const char *const names[] = {"self/", "thread-self/"};
	char pid[16];

	if (strncmp(path, "/proc/", 6))
		return NULL;
	path += 6;
	for (int i = 0; i < 2; i++) {
		if (!strncmp(path, names[i], strlen(names[i])))
			return path + strlen(names[i]);
	}

	size_t n = (size_t)(put_number(pid, (unsigned int)SYS(getpid)) - pid);
	return !strncmp(path, pid, n) && path[n] == '/' ? path + n + 1 : NULL;
}

int path_own_fd(int dir, const char *path)
{
	char abs[PROC_PATH_MAX];
	int n = 0;

	if (absolute(dir, path, abs, sizeof(abs)) < 0)
		return -1;

	const char *p =
		strncmp(abs, "/dev/", 5) ? behind_own_proc(abs) : abs + 5;

	/* a thread's own directory, as links of an open one show it */
	if (p && !strncmp(p, "task/", 5)) {
		p = strchr(p + 5, '/');
		p = p ? p + 1 : NULL;
	}
	if (!p || strncmp(p, "fd/", 3) || !p[3])
		return -1;
	for (p += 3; *p >= '0' && *p <= '9' && n < 100000000; p++)
		n = n * 10 + *p - '0';
	return *p ? -1 : n;
}
