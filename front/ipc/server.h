/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The daemon's front door: open VFIO files as sockets, a pool of threads that
 * answers requests on them (one at a time per file, different files in
 * parallel), and the release of files nobody holds any more.
 */
#ifndef SOFTVFIO_FRONT_IPC_SERVER_H
#define SOFTVFIO_FRONT_IPC_SERVER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "core/machine/machine.h"
#include "core/common/share.h"
#include "front/call.h"
#include "front/journal.h"
#include "lib/lock.h"

#define SERVER_THREADS	   8  /* started as they are needed */
#define SERVER_THREADS_MAX 64 /* while models do not return */
#define FILE_WHAT_MAX	   80

struct file;
struct group;
struct container;
struct lane;

/**
 * struct file_ops - What a kind of file does; NULL = not possible
 *
 * Handlers return the call's result or -errno, or -ERESTART from call_*().
 * They run on any thread, one at a time per file, no lock held.
 *
 * @busy:    something else than descriptors still holds the file
 * @release: the last holder is gone; drops the object's references; or does
 *	     nothing and returns -EBUSY, to be called again when that may have
 *	     changed
 * @group:   whose files are released one at a time; NULL = of no group
 */
struct file_ops {
	int64_t (*ioctl)(struct call *call);
	int64_t (*read)(struct call *call, uint64_t pos, size_t count);
	int64_t (*write)(struct call *call, uint64_t pos);
	int64_t (*mmap)(struct call *call);
	void (*stat)(struct file *f, struct sv_stat *st);
	bool (*busy)(struct file *f);
	int (*release)(struct file *f);
	struct group *(*group)(const struct file *f);
};

/** struct file - An open file: one socket end here, the other is the fd */
struct file {
	TAILQ_ENTRY(file) link;	      /* server->table */
	LIST_ENTRY(file) bucket_link; /* server->by_serial */
	LIST_ENTRY(file) cookie_link; /* server->by_cookie */
	_Atomic unsigned int refs;
	/* immutable */
	uint64_t serial; /* of this server, never reused */
	uint64_t cookie; /* SO_COOKIE of the end given away */
	int sock;
	pid_t pid;
	const struct file_ops *ops;
	void *object;  /* container, group, or machine_dev */
	void *object2; /* of a device file: its group */
	struct lane *lane;
	char what[FILE_WHAT_MAX];
	struct share share; /* while it is in the table */

	struct mutex lock; /* the four below */
	bool serving;	   /* a request is being answered */
	bool settling;	   /* and is in server_settle() */
	bool gone;	   /* no descriptor refers to it any more */
	uint64_t pos;	   /* of read() and write() */
};

struct server;

/**
 * server_new() - Listen and answer
 * @door: path of the socket
 *
 * Return: 0; -errno.
 */
int server_new(const struct front_conf *conf, const char *door,
	       struct server **ret_server);

/**
 * server_stop() - Stop answering; every file is released
 *
 * The watchdog may still look at what is left (front/ipc/stuck.h).
 *
 * Return: true; false a model does not return, and still uses what it has.
 */
bool server_stop(struct server *s);

/** server_free() - Stopped or not; NULL is fine */
struct server *server_free(struct server *s);

const struct front_conf *server_conf(const struct server *s);

/** server_idle() - No program holds any file */
bool server_idle(struct server *s);

/**
 * server_settle() - Release everything that visibly nobody holds any more, and
 * wait for releases in progress
 * server_settle_group() - Only the files of a group
 * server_settle_container() - Only the files of the groups attached to one
 *
 * To be called before any answer that depends on who is alive, and about no
 * more than it depends on. Waits for what the dead have asked for and for
 * releases of others, but no longer than a piece of DMA may take; a last close
 * that it makes itself, until the model is stuck.
 * Context: takes lanes and what is inside; no lock held.
 */
void server_settle(struct server *s);
void server_settle_group(struct server *s, const struct group *g);
void server_settle_container(struct server *s, const struct container *c);

/**
 * server_open() - Make a file and answer @call with its descriptor
 * @what: what readlink of /proc/self/fd/N shows
 *
 * On failure the caller still owns @object.
 *
 * Return: 0; -EMFILE too many files of one process; -ENFILE too many in all
 * (SHARE_FILES); -ENOMEM.
 */
int server_open(struct call *call, const struct file_ops *ops, void *object,
		void *object2, const char *what, bool cloexec);

/**
 * server_wake() - Have poll() on a file say IN, as Linux does for files without
 * a poll handler: a byte lies in the program's socket while the file is open
 *
 * Context: any thread; never blocks.
 */
void server_wake(struct file *f);

/**
 * server_file() - The file of ours behind a received descriptor
 *
 * Return: a new reference for server_put(); NULL when it is none of ours.
 */
struct file *server_file(struct server *s, int fd);
void server_put(struct file *f);

/** server_knows() - Is a file of ours open whose given end has this cookie */
bool server_knows(struct server *s, uint64_t cookie);

/** server_owns() - Is there one? */
bool server_owns(struct server *s, int fd);

/**
 * server_files() - Every open file, for listings
 *
 * Return: an array of @ret_n references, each for server_put(), to be freed;
 * NULL when out of memory.
 */
struct file **server_files(struct server *s, size_t *ret_n);

#endif
