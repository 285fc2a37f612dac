/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Pairs that the daemon has made and keeps one end of, for answers and for what
 * does not fit one message (lib/proto.h): a fresh pair for every request costs
 * more than the request itself. They are found by the name of the program's
 * address space, 128 random bits, so that nobody can name another's.
 */
#ifndef SOFTVFIO_FRONT_IPC_CHANNEL_H
#define SOFTVFIO_FRONT_IPC_CHANNEL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "core/common/share.h"
#include "lib/lock.h"
#include "lib/proto.h"

#define CHANNEL_BUCKETS 64

/*
 * How long parts may lie in a channel before their head comes. A program can
 * put descriptors there, also the channel's own other end, and what lies there
 * is open for as long as the channel is.
 */
#define CHANNEL_PENDING_NS 2000000000ull

/**
 * struct channel - One of them
 * @pending: when something came that no head has asked for yet; 0 = nothing
 * @sock:    our end, which nobody else has
 * @serial:  of this server, never reused
 * @mm_id, @name: what finds it, see struct sv_request
 * @pid:     who asked for it
 * @share:   one of SHARE_CHANNELS; beyond, pairs come and go
 */
struct channel {
	LIST_ENTRY(channel) link; /* channels->bucket, while @listed */
	bool listed;
	uint64_t pending; /* clock_ns(); channels->lock */
	_Atomic unsigned int refs;
	/* immutable */
	int sock;
	uint64_t serial;
	uint64_t mm_id[2];
	uint64_t name;
	pid_t pid;
	struct share share; /* of @pid's SHARE_CHANNELS */
};

/** struct channels - All of a server */
struct channels {
	struct mutex lock;
	LIST_HEAD(, channel) bucket[CHANNEL_BUCKETS];
	atomic_size_t n_pending; /* changed with lock */
};

void channels_init(struct channels *cs);

/** channels_done() - Closes them all; nobody uses one any more */
void channels_done(struct channels *cs);

/**
 * channel_keep() - Keep our end of a pair as the channel a request asks for
 * @sock: the channel's from now on, if there is one
 *
 * Return: a new reference; NULL when there are too many, the name is in use or
 * the request has none.
 */
struct channel *channel_keep(struct channels *cs, const struct sv_request *head,
			     pid_t pid, uint64_t serial, int sock);

/** channel_find() - The one a request names: a new reference, or NULL */
struct channel *channel_find(struct channels *cs,
			     const struct sv_request *head);

/** channel_find_serial() - A new reference, or NULL */
struct channel *channel_find_serial(struct channels *cs, uint64_t serial);

/** channel_pending() - Something has come on it, or what had come is taken */
void channel_pending(struct channels *cs, struct channel *c, bool pending);

/** channels_expire() - Drop those where something lies that nobody asks for */
void channels_expire(struct channels *cs);

/** channel_drop() - Keep it no longer; the last reference closes it */
void channel_drop(struct channels *cs, struct channel *c);

/** channel_put() - Accepts NULL */
void channel_put(struct channel *c);

#endif
