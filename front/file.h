/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An open file: what every kind of file has, and what a kind does. A kind's own
 * structure begins with struct file and is found by container_of().
 */
#ifndef SOFTVFIO_FRONT_FILE_H
#define SOFTVFIO_FRONT_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "core/common/share.h"
#include "front/call.h"
#include "lib/lock.h"

#define FILE_WHAT_MAX 80

struct file;
struct group;
struct lane;

/**
 * struct file_ops - What a kind of file does; NULL = not possible
 *
 * Handlers return the call's result or -errno, or -ERESTART from call_*().
 * They run on any thread, one at a time per file, no lock held.
 *
 * @size:    of the kind's structure, which begins with struct file
 * @late:    what a read or write of @count bytes at @pos comes to when a model
 *	     does not return: bytes, or -errno
 * @busy:    something else than descriptors still holds the file
 * @release: the last holder is gone; drops the references of the kind's; or does
 *	     nothing and returns -EBUSY, to be called again when that may have
 *	     changed
 * @group:   whose files are released one at a time; NULL = of no group
 * @model:   the device whose model a call may have to wait for
 */
struct file_ops {
	size_t size;
	int64_t (*ioctl)(struct call *call);
	int64_t (*read)(struct call *call, uint64_t pos, size_t count);
	int64_t (*write)(struct call *call, uint64_t pos);
	int64_t (*mmap)(struct call *call);
	int64_t (*late)(const struct file *f, uint64_t pos, uint64_t count);
	void (*stat)(struct file *f, struct sv_stat *st);
	bool (*busy)(struct file *f);
	int (*release)(struct file *f);
	struct group *(*group)(const struct file *f);
	struct sv_dev *(*model)(const struct file *f);
};

/**
 * struct file - One socket end here, the other is the program's descriptor
 * @ops:       immutable, as all in front of @lock is once it is open
 * @serial:    of this server, never reused
 * @pid:       who opened it
 * @what:      what readlink of /proc/self/fd/N shows
 * @pos:       of read() and write()
 * @cookie:    SO_COOKIE of the end given away
 * @share:     while it is in the table
 * @serving:   a request is being answered
 * @settling:  and is in alive_settle()
 * @crowded:   too much of its program's waited to be closed, and for too long,
 *	       when the last message was taken; of who takes the next
 * @gone:      no descriptor refers to it any more
 */
struct file {
	const struct file_ops *ops;
	uint64_t serial;
	pid_t pid;
	char what[FILE_WHAT_MAX];
	/* who serves it and whether anybody has it: front/ipc alone */
	TAILQ_ENTRY(file) link;	      /* server->table */
	LIST_ENTRY(file) bucket_link; /* server->by_serial */
	LIST_ENTRY(file) cookie_link; /* server->by_cookie */
	_Atomic unsigned int refs;
	_Atomic bool crowded;
	uint64_t cookie;
	int sock;
	struct lane *lane;
	struct share share;

	struct mutex lock; /* the four below */
	bool serving;
	bool settling;
	bool gone;
	uint64_t pos;
};

/** file_new() - Not yet known to anybody; NULL: out of memory */
struct file *file_new(struct server *s, const struct file_ops *ops, pid_t pid,
		      const char *what);

/**
 * file_open() - Answer a call with the descriptor of a new file
 * @f: all in it is set; consumed, released by nobody unless it is open
 *
 * Return: 0; -EMFILE too many files of one process; -ENFILE too many in all
 * (SHARE_FILES); -ENOMEM.
 */
int file_open(struct call *call, struct file *f, bool cloexec);

/** file_get() - One more reference */
struct file *file_get(struct file *f);

/** file_put() - Accepts NULL */
void file_put(struct file *f);

/**
 * file_behind() - The file of ours behind a received descriptor
 *
 * Return: a new reference for file_put(); NULL when it is none of ours.
 */
struct file *file_behind(struct server *s, int fd);

/**
 * file_list() - Every open file, for listings
 *
 * Return: an array of @ret_n references, each for file_put(), to be freed;
 * NULL when out of memory.
 */
struct file **file_list(struct server *s, size_t *ret_n);

/**
 * file_wake() - Have poll() on a file say IN, as Linux does for files without
 * a poll handler: a byte lies in the program's socket while the file is open
 *
 * Context: any thread; never blocks.
 */
void file_wake(struct file *f);

#endif
