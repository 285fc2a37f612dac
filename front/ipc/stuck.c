/* SPDX-License-Identifier: BSD-3-Clause */
/* Serving although a model does not return: front/ipc/stuck.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/uio.h>

#include "front/ipc/server_impl.h"
#include "front/ipc/stuck.h"
#include "lib/sched.h"

/* --- no more than some threads for one device --- */

static struct queue *find_queue(const struct server *s,
				const struct sv_dev *dev)
{
	size_t i = 0;

	while (s->queue[i].dev != dev)
		i++;
	return &s->queue[i];
}

static void park_give(struct request *req)
{
	share_give(&req->waits);
	share_give(&req->carries);
}

/* It keeps its memory, and the descriptors that it carries. */
static int park_take(struct request *req)
{
	int r = share_take(&req->waits, SHARE_PARKED, req->owner, 1);

	if (r == 0 && req->n_fds)
		r = share_take(&req->carries, SHARE_FDS, req->owner,
			       req->n_fds);
	if (r < 0)
		park_give(req);
	return r;
}

int queue_enter(struct call *call, const struct sv_dev *dev)
{
	struct request *req = req_of(call);

	if (req->queue)
		return 0;
	req->queue = find_queue(call->server, dev);
	if (atomic_fetch_add(&req->queue->n_inside, 1) < DEVICE_THREADS)
		return 0;

	int r = park_take(req);

	if (r < 0)
		return r;
	req->spare = req_new(call->server);
	if (req->spare)
		return CALL_PARKED;
	park_give(req); /* it waits with a thread */
	return 0;
}

static struct request *take_parked(struct queue *q)
{
	mutex_lock(&q->lock);
	struct request *req = STAILQ_FIRST(&q->parked);

	if (req)
		STAILQ_REMOVE_HEAD(&q->parked, parked);
	atomic_store(&q->any, !STAILQ_EMPTY(&q->parked));
	mutex_unlock(&q->lock);
	if (req)
		park_give(req);
	return req;
}

/*
 * Leave, and see whether there is one to be let in: who parks one and who
 * leaves both look after what they have done, so one of them sees it.
 */
static struct file *leave(struct server_thread *t, struct queue *q)
{
	while (atomic_fetch_sub(&q->n_inside, 1) <= DEVICE_THREADS &&
	       atomic_load(&q->any)) {
		if (atomic_fetch_add(&q->n_inside, 1) >= DEVICE_THREADS)
			continue;

		struct request *req = take_parked(q);

		if (!req)
			continue;
		free(t->req);
		t->req = req;
		return req->call.file;
	}
	return NULL;
}

struct file *queue_park(struct server_thread *t, struct file *f)
{
	struct request *req = t->req;
	struct queue *q = req->queue;

	sched_point("park");
	t->req = req->spare;
	req->spare = NULL;
	req->call.file = file_get(f);
	mutex_lock(&q->lock);
	STAILQ_INSERT_TAIL(&q->parked, req, parked);
	atomic_store(&q->any, true);
	mutex_unlock(&q->lock);
	return leave(t, q);
}

struct file *queue_next(struct server_thread *t)
{
	struct queue *q = t->req->queue;

	t->req->queue = NULL;
	sched_point("leave");
	return q ? leave(t, q) : NULL;
}

int queues_init(struct server *s)
{
	const struct machine *m = s->conf.machine;

	s->queue = calloc(m->n_devs + 1, sizeof(*s->queue));
	if (!s->queue)
		return -ENOMEM;
	s->n_queues = m->n_devs;
	for (size_t i = 0; i < s->n_queues; i++) {
		s->queue[i].dev = m->dev[i].dev;
		mutex_init(&s->queue[i].lock, RANK_LEAF, "queue");
		STAILQ_INIT(&s->queue[i].parked);
	}
	return 0;
}

static void queue_drop(struct queue *q)
{
	struct request *req;

	while ((req = take_parked(q))) {
		req_drop(req);
		file_put(req->call.file);
		free(req);
	}
}

void queues_done(struct server *s)
{
	for (size_t i = 0; i < s->n_queues; i++) {
		queue_drop(&s->queue[i]);
		mutex_done(&s->queue[i].lock);
	}
	free(s->queue);
	s->queue = NULL;
	s->n_queues = 0;
}

/* --- an answer on behalf of a model --- */

void thread_serves(struct server_thread *t, struct file *f)
{
	mutex_lock(&t->lock);
	t->id = pthread_self();
	t->file = f;
	t->answered = false;
	mutex_unlock(&t->lock);
}

bool thread_served(struct server_thread *t)
{
	mutex_lock(&t->lock);
	t->file = NULL;
	bool answered = t->answered;

	mutex_unlock(&t->lock);
	return !answered;
}

/* A completion time-out. @ret_ones: how many bytes of data, all ones. */
static int64_t late_answer(const struct request *req, size_t *ret_ones)
{
	const uint64_t *arg = req->hdr.arg;
	const struct file *f = req->call.file;
	int64_t r;

	*ret_ones = 0;
	switch (req->hdr.op) {
	case SV_ACCESS:
		*ret_ones = arg[2] ? 0 : sizeof(uint64_t);
		return 0;
	case SV_READ:
		r = f->ops->late ? f->ops->late(f, arg[0], arg[1]) : -EIO;
		*ret_ones = r > 0 ? (size_t)r : 0;
		return r;
	case SV_WRITE:
		return f->ops->late && req->hdr.n_segs
			       ? f->ops->late(f, arg[0], req->seg[0].want)
			       : -EIO;
	default:
		return -EIO;
	}
}

static void send_late(const struct request *req)
{
	static uint8_t ones[SV_DATA_MAX];
	size_t len;
	struct sv_reply reply = {
		.magic = SV_REPLY_MAGIC,
		.kind = SV_DONE,
		.seq = req->hdr.seq,
		.result = late_answer(req, &len),
	};
	struct iovec iov[] = {{&reply, sizeof(reply)}, {ones, len}};
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};

	memset(ones, 0xff, sizeof(ones));
	if (sendmsg(req->reply, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		server_answer_lost(req);
}

/* If @t is inside @dev's model. */
static void answer_for(struct server_thread *t, struct sv_dev *dev)
{
	pthread_t id = callback_thread(dev);

	mutex_lock(&t->lock);
	if (t->file && !t->answered && pthread_equal(t->id, id) &&
	    device_stuck(dev)) {
		t->answered = true;
		file_served(t->file);
		server_arm(t->server, EPOLL_CTL_MOD, t->file->sock,
			   t->file->serial);
		send_late(t->req);
	}
	mutex_unlock(&t->lock);
}

void server_stuck(struct server *s, struct sv_dev *dev)
{
	char text[64];

	device_stuck_text(dev, text, sizeof(text));
	journal_add(s->conf.journal, 0, device_name(dev), ETIMEDOUT, text);
	for (unsigned int i = 0; i < SERVER_THREADS_MAX; i++)
		answer_for(&s->thread[i], dev);
	eventfd_write(s->news_fd, 1);
	server_make_room(s);
}

void server_unstuck(struct server *s)
{
	eventfd_write(s->news_fd, 1);
}

void server_make_room(struct server *s)
{
	for (int i = 0; i < SERVER_THREADS && !atomic_load(&s->n_idle); i++)
		server_add_thread(s, SERVER_THREADS_MAX);
}
