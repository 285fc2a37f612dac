/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One request of a program, taken off its socket whole, checked once, and then
 * answered from that copy alone (lib/proto.h has the format).
 *
 * Of it handlers see the call (front/call.h). What they need beyond what came
 * along is noted here and becomes the answer, SV_NEED.
 */
#ifndef SOFTVFIO_FRONT_IPC_REQUEST_H
#define SOFTVFIO_FRONT_IPC_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "core/common/share.h"
#include "front/call.h"
#include "lib/cleanup.h"
#include "lib/proto.h"

#define REQ_BYTES_MAX (SV_MSG_MAX * 2) /* a request, parts and all */
#define REQ_FDS_MAX   (SV_FDREFS_MAX + 2)

struct channel;
struct file;
struct queue;
struct server;

struct request {
	struct call call;
	pid_t owner; /* who opened its file, and answers for what it carries */
	struct queue
		*queue; /* which it has entered (front/ipc/stuck.h), or NULL */
	STAILQ_ENTRY(request) parked; /* in that */
	struct request *spare;	      /* for the thread, while it is parked */
	struct share waits;	      /* of @owner's SHARE_PARKED, likewise */
	struct share carries;	      /* of its SHARE_FDS, @n_fds, likewise */

	struct sv_request hdr;
	int reply;		 /* where the answer goes, -1 = unknown */
	bool reply_owned;	 /* and whether that is ours to close */
	struct channel *channel; /* or whether it is this one's; a reference */
	struct channel *made;	 /* asked for by this request; a reference */
	int fds[REQ_FDS_MAX];
	size_t n_fds;
	_Alignas(8) uint8_t bytes[REQ_BYTES_MAX];
	size_t n_bytes;
	/* sections, inside bytes */
	const struct sv_seg *seg;
	const struct sv_fdref *fdref;
	const struct sv_vma *vma;
	const uint8_t *seg_bytes;
	uint32_t next_fdref; /* where the next look-up starts */

	/* the answer, beside the call's */
	int channel_fd; /* the program's end of @made, sent along and closed */
	struct sv_need need[SV_NEEDS_MAX];
	size_t n_needs;
	int32_t need_fd[SV_FDREFS_MAX];
	size_t n_need_fds;
	uint64_t need_mark; /* comes back with what was needed */
};

/** req_new() - Of a server's, for one after the other; NULL: out of memory */
struct request *req_new(struct server *s);

/** req_of() - The request that carries a call of this transport's */
static inline struct request *req_of(const struct call *call)
{
	return container_of(call, struct request, call);
}

/** req_need() - Something more is to come along: -ERESTART; -ENOMEM too much */
int req_need(struct request *req, uint32_t kind, uint64_t addr, uint64_t len);

/** req_ops - This transport's, for the calls of requests */
extern const struct call_ops req_ops;

/**
 * req_receive() - Take the head of a request off a socket, without waiting
 * @sock:     a file's socket, or a connection to the door; nobody else may
 *	      have this end
 * @own_line: the answer goes back on @sock (the door); else on the first
 *	      descriptor that comes along, or on a channel, which the caller
 *	      has to find
 *
 * req->owner is set before. Of a program that has too many
 * descriptors waiting to be closed no more are taken.
 *
 * What is no request (no magic, wrong sizes, too many descriptors) is dropped
 * with everything it carried.
 *
 * Return: 1 a request is there, for req_complete(); 0 the peer has gone;
 * -EAGAIN nothing (more) to take; -EBADMSG something was dropped, and if it
 * named a channel, req->hdr.channel says which.
 */
int req_receive(struct request *req, int sock, bool own_line);

/**
 * req_complete() - Take the parts, if there are any, and find the sections
 * @parts: our end of the request's channel; -1 = it has none
 *
 * Return: 1; -EBADMSG it makes no sense, or a part is missing: dropped with
 * everything it carried.
 */
int req_complete(struct request *req, int parts);

/** req_drop() - Close all that it carried, unanswered. Return: -EBADMSG */
int req_drop(struct request *req);

/** req_on_channel() - Is the answer to go to a channel kept before? */
bool req_on_channel(const struct request *req);

/**
 * req_at_end() - Is nothing queued on a socket and its other end closed?
 * @sock: has SO_PASSCRED: an empty message is known by its credentials, and
 *	  they leave no room for descriptors
 */
bool req_at_end(int sock);

/** req_finish() - Close what it carried; the answer can go out after this */
void req_finish(struct request *req);

/**
 * req_reply() - Send the answer; -ERESTART becomes SV_NEED
 *
 * Return: 0; -errno of the host, of interest for channels only: there it means
 * that somebody may wait for ever.
 */
int req_reply(struct request *req, int64_t result);

/** req_forget() - Instead of req_reply(): somebody else has answered */
void req_forget(struct request *req);

#endif
