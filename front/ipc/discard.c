/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DOC: Theory of operation
 *
 * A closer is what one program has waiting, and at most one thread is at it,
 * so that who sends files which do not close holds up nobody else's. A thread
 * that is done with one closer takes another that has no thread yet, and ends
 * when there is none.
 *
 * Whether there are too many is asked before a message is received, when the
 * host can still drop what it carries; what has been received is queued in any
 * case. So the limit is half of the share: the other half is for messages that
 * are being received. Where the host gives few descriptors, it is half of those.
 */
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <unistd.h>

#include "core/common/share.h"
#include "front/ipc/discard.h"
#include "front/ipc/request.h"
#include "lib/lock.h"
#include "lib/thread.h"

#define PATIENT_MAX 4 /* threads in discard_wait() */

struct waiting {
	STAILQ_ENTRY(waiting) link;
	int fd;
	struct share share;
};

struct closer {
	TAILQ_ENTRY(closer) link;
	STAILQ_HEAD(, waiting) list; /* never empty while no thread is at it */
	pid_t pid;
	bool has_thread;
};

static struct mutex lock = {PTHREAD_MUTEX_INITIALIZER, RANK_LEAF, "discards"};
static TAILQ_HEAD(, closer) closers
	GUARDED_BY(&lock) = TAILQ_HEAD_INITIALIZER(closers);
static unsigned int n_threads GUARDED_BY(&lock);
static atomic_uint n_waiting;
static struct cond closed; /* one more is */
static uint64_t n_closed GUARDED_BY(&lock);
static bool ready GUARDED_BY(&lock);
static atomic_uint n_unattended; /* closers that no thread is at */

void discard_init(void)
{
	mutex_lock(&lock);
	if (!ready)
		cond_init(&closed);
	ready = true;
	mutex_unlock(&lock);
}

static struct closer *closer_get_locked(pid_t pid) REQUIRES(&lock)
{
	struct closer *c;

	TAILQ_FOREACH (c, &closers, link)
		if (c->pid == pid)
			return c;
	c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	c->pid = pid;
	STAILQ_INIT(&c->list);
	TAILQ_INSERT_TAIL(&closers, c, link);
	atomic_fetch_add(&n_unattended, 1);
	return c;
}

/* One that no thread is at; NULL: none, or no thread may be at it. */
static struct closer *closer_take_locked(void) REQUIRES(&lock)
{
	struct closer *c;

	TAILQ_FOREACH (c, &closers, link)
		if (!c->has_thread) {
			c->has_thread = true;
			atomic_fetch_sub(&n_unattended, 1);
			break;
		}
	return c;
}

/* The next thing to close. NULL: @c has nothing more, and is gone. */
static struct waiting *waiting_take(struct closer *c)
{
	mutex_lock(&lock);
	struct waiting *w = STAILQ_FIRST(&c->list);

	if (w) {
		STAILQ_REMOVE_HEAD(&c->list, link);
	} else {
		TAILQ_REMOVE(&closers, c, link);
		free(c);
	}
	mutex_unlock(&lock);
	return w;
}

static void note_closed(void)
{
	atomic_fetch_sub(&n_waiting, 1);
	mutex_lock(&lock);
	n_closed++;
	cond_broadcast(&closed);
	mutex_unlock(&lock);
}

static void close_all(struct closer *c)
{
	struct waiting *w;

	while ((w = waiting_take(c))) {
		close(w->fd);
		share_give(&w->share);
		free(w);
		note_closed();
	}
}

static struct closer *closer_next(void)
{
	mutex_lock(&lock);
	struct closer *c = closer_take_locked();

	if (!c)
		n_threads--;
	mutex_unlock(&lock);
	return c;
}

static void *closer_main(void *arg)
{
	struct closer *c = arg;

	do
		close_all(c);
	while ((c = closer_next()));
	return NULL;
}

static void start_thread_locked(void) REQUIRES(&lock)
{
	struct closer *c =
		n_threads < CLOSERS_MAX ? closer_take_locked() : NULL;
	struct thread thread;

	if (!c)
		return;
	if (thread_start(&thread, "closer", closer_main, c) < 0) {
		c->has_thread = false;
		atomic_fetch_add(&n_unattended, 1);
		return;
	}
	thread_detach(&thread);
	n_threads++;
}

static bool enqueue(pid_t pid, struct waiting *w)
{
	mutex_lock(&lock);
	struct closer *c = closer_get_locked(pid);

	if (c) {
		STAILQ_INSERT_TAIL(&c->list, w, link);
		start_thread_locked();
	}
	mutex_unlock(&lock);
	return c;
}

void discard_fd(pid_t pid, int fd)
{
	struct waiting *w = calloc(1, sizeof(*w));

	if (w) {
		w->fd = fd;
		share_add(&w->share, SHARE_CLOSING, pid, 1);
		atomic_fetch_add(&n_waiting, 1);
		if (enqueue(pid, w))
			return;
		atomic_fetch_sub(&n_waiting, 1);
		share_give(&w->share);
		free(w);
	}
	close(fd); /* no memory at all: rather wait than lose it */
}

void discard_again(void)
{
	if (!atomic_load_explicit(&n_unattended, memory_order_relaxed))
		return;
	mutex_lock(&lock);
	start_thread_locked();
	mutex_unlock(&lock);
}

void discard_socket(pid_t pid, int sock)
{
	if (sock < 0 || req_at_end(sock))
		close(sock);
	else
		discard_fd(pid, sock);
}

/* Until another one than the first @seen is closed. False: too late. */
static bool wait_closed(uint64_t seen, uint64_t deadline)
{
	bool in_time = true;

	mutex_lock(&lock);
	while (n_closed == seen && in_time)
		in_time = cond_wait_until(&closed, &lock, deadline);
	mutex_unlock(&lock);
	return in_time;
}

static uint64_t closed_so_far(void)
{
	mutex_lock(&lock);
	uint64_t n = n_closed;

	mutex_unlock(&lock);
	return n;
}

void discard_wait(pid_t pid, uint64_t deadline_ns)
{
	static atomic_uint n_patient;
	uint64_t seen = closed_so_far();

	if (atomic_fetch_add(&n_patient, 1) < PATIENT_MAX)
		while (discard_crowded(pid) && wait_closed(seen, deadline_ns))
			seen = closed_so_far();
	atomic_fetch_sub(&n_patient, 1);
}

bool discard_crowded(pid_t pid)
{
	return atomic_load(&n_waiting) && share_crowded(SHARE_CLOSING, pid);
}
