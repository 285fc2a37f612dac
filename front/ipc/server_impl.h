/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the parts of the server share: file.c, which has the files, alive.c,
 * which knows who has them, and server.c, which takes requests and answers them.
 */
#ifndef SOFTVFIO_FRONT_IPC_SERVER_IMPL_H
#define SOFTVFIO_FRONT_IPC_SERVER_IMPL_H

#include "core/machine/machine.h"
#include "front/file.h"
#include "front/ipc/channel.h"
#include "front/ipc/request.h"
#include "front/ipc/server.h"
#include "front/journal.h"
#include "lib/thread.h"

/* What an epoll event is about: a serial, a file's or with TAG_CHANNEL a
 * channel's, or one of these. */
enum { TAG_STOP, TAG_DOOR, TAG_INOTIFY, TAG_NEWS, TAG_FIRST_FILE };
#define TAG_CHANNEL (UINT64_C(1) << 63)

#define FILE_BUCKETS 256

LIST_HEAD(file_bucket, file);

/* One of those that answer. All it needs is there before it starts. */
struct server_thread {
	struct thread thread;
	struct server *server;
	struct request *req; /* its own, from one event to the next */

	struct mutex lock; /* the fields below, and @req while @file */
	pthread_t id;
	struct file *file; /* whose request it serves, or NULL */
	bool answered;	   /* by the watchdog */
};

/**
 * struct lane - Files that are released one at a time: those of a group. Who
 * waits for one group's device waits for no other's
 */
struct lane {
	const struct group *group; /* immutable; NULL: those of no group */
	struct mutex release;	   /* a release of one of them */
	struct cond work_done;	   /* with it: a request was served */
	atomic_int n_settling;	   /* who may wait for that; set with it */
	atomic_bool again;	   /* one has hung up since somebody looked */
};

/** struct queue - Requests about one device that wait for a thread to serve */
struct queue {
	const struct sv_dev *dev; /* immutable */
	atomic_uint n_inside;	  /* threads that serve it, or look */
	atomic_bool any;	  /* of the next, which are parked */
	struct mutex lock;
	STAILQ_HEAD(, request) parked;
};

struct server {
	struct front_conf conf; /* immutable */
	int epfd;
	int hangups; /* an epoll set of files, EPOLLHUP and EPOLLRDHUP only */
	int stop_fd;
	int news_fd; /* of a model, from the watchdog */
	int door;
	int reserve; /* an fd to spend when there are none left; table_lock */
	_Atomic int n_idle;	/* threads with nothing to do */
	_Atomic int n_settlers; /* threads in alive_settle*() that wait */

	struct rwlock handover; /* read: a descriptor is being given away */
	struct mutex looking;	/* one at a time asks for hang-ups */
	struct lane *lane;	/* immutable: no group's, then each one's */
	size_t n_lanes;
	struct queue *queue; /* immutable: one for each device */
	size_t n_queues;
	struct mutex threads_lock; /* the three below */
	struct server_thread thread[SERVER_THREADS_MAX];
	unsigned int n_threads;
	bool stopping;

	struct mutex table_lock; /* the fields up to last_serial */
	TAILQ_HEAD(file_list, file) table;
	struct file_bucket by_serial[FILE_BUCKETS];
	struct file_bucket by_cookie[FILE_BUCKETS];
	size_t n_files;
	uint64_t last_serial;

	struct channels channels;
};

/** server_arm() - Have one thread told when there is something to take. Adding
 * may fail: 0 or -errno */
int server_arm(struct server *s, int op, int fd, uint64_t tag);

/** server_add_thread() - One more, up to @max: 0 or -errno */
int server_add_thread(struct server *s, unsigned int max);

/** file_served() - Its request has been: the next may be taken, or its end */
void file_served(struct file *f);

/**
 * server_answer_lost() - An answer could not go out: nobody's problem, but on a
 * channel or a connection to the door, where somebody may go on waiting
 */
void server_answer_lost(const struct request *req);

/** server_serial() - A number that this server has not used yet */
uint64_t server_serial(struct server *s);

/** server_pass_credentials() - Learn who sends. Return: 0 or -errno */
int server_pass_credentials(int sock);

/** server_insert() - Into the table. Return: 0, or as share_take() of
 * SHARE_FILES or SHARE_DOORS */
int server_insert(struct server *s, struct file *f);

/** server_lane() - Where a group's files are released; NULL: of no group */
struct lane *server_lane(struct server *s, const struct group *g);

/** server_release_gone() - As alive_settle(), without waiting */
void server_release_gone(struct server *s);

/** server_serves() - What the calling thread serves from now on; NULL: nothing */
void server_serves(struct file *f);

/** server_work_done() - Tell those in alive_settle() that some has been done */
void server_work_done(struct lane *lane);

/** server_remove() - Out of the table, whose reference is dropped */
void server_remove(struct server *s, struct file *f);

/** server_find() - The file of a serial: a new reference, or NULL */
struct file *server_find(struct server *s, uint64_t serial);

/** server_knows() - Is a file of ours open whose given end has this cookie */
bool server_knows(struct server *s, uint64_t cookie);

/** server_owns() - Is there one behind a received descriptor? */
bool server_owns(struct server *s, int fd);

/**
 * alive_make_room() - Close what visibly nobody holds any more. Also what is just
 * being released: a file stops being shown as hung up before its descriptor is
 * closed
 *
 * Context: as for alive_settle().
 */
void alive_make_room(struct server *s);

/**
 * server_release_all() - Nobody serves any more: every file is as good as closed
 *
 * Return: as server_stop().
 */
bool server_release_all(struct server *s);

#endif
