/* SPDX-License-Identifier: BSD-3-Clause */
/* The table of channels: front/ipc/channel.h. */
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "front/ipc/channel.h"
#include "front/ipc/discard.h"
#include "lib/refuse.h"
#include "lib/thread.h"

void channels_init(struct channels *cs)
{
	mutex_init(&cs->lock, RANK_LEAF, "channels");
	for (size_t i = 0; i < CHANNEL_BUCKETS; i++)
		LIST_INIT(&cs->bucket[i]);
	atomic_init(&cs->n_pending, 0);
}

void channels_done(struct channels *cs)
{
	struct channel *c;

	for (size_t i = 0; i < CHANNEL_BUCKETS; i++)
		while ((c = LIST_FIRST(&cs->bucket[i])))
			channel_drop(cs, c);
	mutex_done(&cs->lock);
}

void channel_put(struct channel *c)
{
	if (!c || atomic_fetch_sub(&c->refs, 1) != 1)
		return;
	discard_socket(c->pid, c->sock);
	share_give(&c->share);
	free(c);
}

static struct channel *channel_get(struct channel *c)
{
	atomic_fetch_add(&c->refs, 1);
	return c;
}

/* Both words are random, or made up by somebody who only slows down himself. */
static size_t bucket_of(const uint64_t mm_id[2], uint64_t name)
{
	return (mm_id[0] ^ mm_id[1] ^ name) % CHANNEL_BUCKETS;
}

static struct channel *find_locked(struct channels *cs,
				   const struct sv_request *head)
{
	struct channel *c;

	LIST_FOREACH (c, &cs->bucket[bucket_of(head->mm_id, head->channel)],
		      link)
		if (c->name == head->channel && c->mm_id[0] == head->mm_id[0] &&
		    c->mm_id[1] == head->mm_id[1])
			return c;
	return NULL;
}

struct channel *channel_find(struct channels *cs, const struct sv_request *head)
{
	mutex_lock(&cs->lock);
	struct channel *c = find_locked(cs, head);

	if (c)
		channel_get(c);
	mutex_unlock(&cs->lock);
	return c;
}

struct channel *channel_find_serial(struct channels *cs, uint64_t serial)
{
	struct channel *c = NULL;

	mutex_lock(&cs->lock);
	for (size_t i = 0; i < CHANNEL_BUCKETS && !c; i++)
		LIST_FOREACH (c, &cs->bucket[i], link)
			if (c->serial == serial) {
				channel_get(c);
				break;
			}
	mutex_unlock(&cs->lock);
	return c;
}

/* Without one, pairs come and go: nothing is refused. */
static bool take_share(struct channel *c)
{
	char unused[REFUSAL_MAX];

	if (share_take(&c->share, SHARE_CHANNELS, c->pid, 1) == 0)
		return true;
	refusal_take(unused);
	return false;
}

static bool list(struct channels *cs, struct channel *c,
		 const struct sv_request *head)
{
	mutex_lock(&cs->lock);
	bool listed = !find_locked(cs, head);

	if (listed)
		LIST_INSERT_HEAD(&cs->bucket[bucket_of(c->mm_id, c->name)], c,
				 link);
	mutex_unlock(&cs->lock);
	return listed;
}

struct channel *channel_keep(struct channels *cs, const struct sv_request *head,
			     pid_t pid, uint64_t serial, int sock)
{
	bool named = head->channel && (head->mm_id[0] || head->mm_id[1]);
	struct channel *c = named ? calloc(1, sizeof(*c)) : NULL;

	if (!c)
		return NULL;
	*c = (struct channel){
		.listed = true,
		.refs = 2, /* the table's and the caller's */
		.sock = sock,
		.serial = serial,
		.mm_id = {head->mm_id[0], head->mm_id[1]},
		.name = head->channel,
		.pid = pid,
	};
	if (take_share(c) && list(cs, c, head))
		return c;
	share_give(&c->share);
	free(c);
	return NULL;
}

static void set_pending(struct channels *cs, struct channel *c, uint64_t since)
{
	cs->n_pending += !!since - !!c->pending;
	c->pending = since;
}

void channel_pending(struct channels *cs, struct channel *c, bool pending)
{
	mutex_lock(&cs->lock);
	if (c->listed)
		set_pending(cs, c, pending ? clock_ns() : 0);
	mutex_unlock(&cs->lock);
}

static bool unlist(struct channels *cs, struct channel *c)
{
	if (!c->listed)
		return false;
	LIST_REMOVE(c, link);
	c->listed = false;
	set_pending(cs, c, 0);
	return true;
}

void channel_drop(struct channels *cs, struct channel *c)
{
	mutex_lock(&cs->lock);
	bool listed = unlist(cs, c);

	mutex_unlock(&cs->lock);
	if (listed)
		channel_put(c);
}

/* One that expired before @until, with the table's reference; or NULL. */
static struct channel *take_expired(struct channels *cs, uint64_t until)
{
	struct channel *c = NULL;

	mutex_lock(&cs->lock);
	for (size_t i = 0; i < CHANNEL_BUCKETS && !c; i++)
		LIST_FOREACH (c, &cs->bucket[i], link)
			if (c->pending && c->pending < until)
				break;
	if (c)
		unlist(cs, c);
	mutex_unlock(&cs->lock);
	return c;
}

void channels_expire(struct channels *cs)
{
	struct channel *c;

	if (!atomic_load(&cs->n_pending))
		return;

	uint64_t until = clock_ns() - CHANNEL_PENDING_NS;

	while ((c = take_expired(cs, until)))
		channel_put(c);
}
