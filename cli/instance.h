/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Instances on disk: one directory each, below one directory of this user that
 * nobody else can enter. Whoever owns an instance holds a lock on a file in
 * its directory; the host drops it when the owner and its daemon have ended,
 * however they did, so a directory without a lock is a dead instance's.
 */
#ifndef SOFTVFIO_CLI_INSTANCE_H
#define SOFTVFIO_CLI_INSTANCE_H

#include <limits.h>
#include <stdbool.h>

#define INSTANCE_NAME_MAX 32
#define INSTANCE_DEFAULT  "default" /* of `serve` without a name */

/**
 * struct instance - One instance
 * @fd:	  its directory, -1 when it is somebody else's
 * @lock: descriptor that owns it, -1 when it is somebody else's
 */
struct instance {
	char name[INSTANCE_NAME_MAX + 1];
	char dir[PATH_MAX];
	int fd;
	int lock;
};

/**
 * instance_base() - The directory of this user's instances, made and checked
 *
 * $XDG_RUNTIME_DIR/softvfio; without a usable one /dev/shm/softvfio-UID, or in
 * /tmp where that is no tmpfs. @base is its path, for messages.
 *
 * Return: a descriptor of it; -EPERM it is not this user's alone, -ENOTDIR it
 * is a link, or what the file system said; reported.
 */
int instance_base(char base[PATH_MAX]);

/**
 * instance_fresh_name() - Replace the six X at the end of @name at random
 *
 * Return: 0, or what getrandom(2) said.
 */
int instance_fresh_name(char *name);

/** instance_name_ok() - letters, digits, _ and -, and not a private one's */
bool instance_name_ok(const char *name);

/**
 * instance_private() - Make one that no other `run` will meet
 * instance_standing() - Make the one of this name, taking over a dead one's
 *	directory
 *
 * Return: 0; -EBUSY it is alive; -EPERM its directory or lock is not this
 * user's alone; -ENOTDIR a link has its name; or what the file system said;
 * reported.
 */
int instance_private(struct instance *ret);
int instance_standing(const char *name, struct instance *ret);

/**
 * instance_find() - Find a living one
 *
 * Return: 0; -ENOENT there is none; or what the file system said; reported.
 */
int instance_find(const char *name, struct instance *ret);

/**
 * instance_each() - Call @fn for every living one, by name
 *
 * Return: 0, or the first non-zero that @fn returned; a negative errno,
 * reported.
 */
int instance_each(int (*fn)(const struct instance *in, void *opaque),
		  void *opaque);

/** instance_remove() - Remove it with everything in it; it must be ours */
void instance_remove(struct instance *in);

#endif
