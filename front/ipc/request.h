/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One request of a program, taken off its socket whole, checked once, and then
 * answered from that copy alone (lib/proto.h has the format).
 *
 * Handlers read program memory, descriptors and mappings through req_*():
 * what did not come with the request is noted as needed and -ERESTART is
 * returned, which the handler passes on before it has changed anything.
 */
#ifndef SOFTVFIO_FRONT_IPC_REQUEST_H
#define SOFTVFIO_FRONT_IPC_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "core/dma/mem.h"
#include "core/common/share.h"
#include "lib/proto.h"

#define REQ_BYTES_MAX (SV_MSG_MAX * 2) /* a request, parts and all */
#define REQ_FDS_MAX   (SV_FDREFS_MAX + 2)

struct channel;
struct file;
struct queue;
struct server;

struct request {
	struct server *server;
	struct file *file; /* what it was sent on */
	pid_t owner; /* who opened that, and answers for what it carries */
	struct queue
		*queue; /* which it has entered (front/ipc/stuck.h), or NULL */
	STAILQ_ENTRY(request) parked; /* in that */
	struct request *spare;	      /* for the thread, while it is parked */
	struct share waits;	      /* of @owner's SHARE_PARKED, likewise */
	struct share carries;	      /* of its SHARE_FDS, @n_fds, likewise */
	const char *call; /* what it asks, for the journal; static */

	struct sv_request hdr;
	struct ucred cred;
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

	/* the answer */
	uint32_t flags;
	int fd_out;	/* sent along and closed; -1 = none */
	int channel_fd; /* likewise: the program's end of @made */
	struct sv_copy copy[SV_COPIES_MAX];
	size_t n_copies;
	uint8_t out[SV_MSG_MAX];
	size_t n_out;
	struct sv_need need[SV_NEEDS_MAX];
	size_t n_needs;
	int32_t need_fd[SV_FDREFS_MAX];
	size_t n_need_fds;
	uint64_t need_mark; /* comes back with what was needed */
};

/**
 * req_receive() - Take the head of a request off a socket, without waiting
 * @sock:     a file's socket, or a connection to the door; nobody else may
 *	      have this end
 * @own_line: the answer goes back on @sock (the door); else on the first
 *	      descriptor that comes along, or on a channel, which the caller
 *	      has to find
 *
 * req->server and req->owner are set before. Of a program that has too many
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

/** req_copy_in() - copy_from_user(); 0, -EFAULT or -ERESTART */
int req_copy_in(struct request *req, uint64_t addr, void *buf, size_t len);

/** req_string() - strndup_user(): 0; -EFAULT; -ERESTART; -EINVAL too long for
 * @buf with its NUL */
int req_string(struct request *req, uint64_t addr, char *buf, size_t size);

/** req_copy_out() - copy_to_user(), when the answer is delivered; it is the
 * program's side that turns a bad address into EFAULT. 0 or -ENOMEM (more than
 * an answer holds) */
int req_copy_out(struct request *req, uint64_t addr, const void *buf,
		 size_t len);

/** req_set_bits() - Have @count ones written to a bitmap of the program's, from
 * bit @first on, as SV_NEED_BITS says. Always due again. -ERESTART or -ENOMEM
 * (more than a round takes: for the next) */
int req_set_bits(struct request *req, uint64_t bitmap, uint64_t first,
		 uint64_t count);

/** req_fd() - The file behind a descriptor number of the program; borrowed.
 * 0; -EBADF; -ERESTART */
int req_fd(struct request *req, int32_t number, int *ret_fd);

/** req_vmas() - What the program has mapped in a range. 0 or -ERESTART */
int req_vmas(struct request *req, uint64_t addr, uint64_t len,
	     const struct sv_vma **ret_vma, uint32_t *ret_n);

/** req_vma_fd() - The file of an SV_VMA_FILE; borrowed; -1 when none came */
int req_vma_fd(const struct request *req, const struct sv_vma *vma);

/** req_mm() - The program's address space. 0; -ERESTART; mem_mm()'s errors */
int req_mm(struct request *req, struct mem **ret_mem);

/** req_data() - Segment 0 as plain bytes (paths, JSON, data to write) */
const uint8_t *req_data(const struct request *req, size_t *ret_len);

/** req_path() - Segment 0 as a string; 0 or -EINVAL */
int req_path(const struct request *req, char *buf, size_t size);

/** req_send_fd() - Answer with a descriptor; it is closed once sent */
void req_send_fd(struct request *req, int fd, bool as_result, bool cloexec);

/** req_out() - Append to the answer's data; 0 or -ENOMEM */
int req_out(struct request *req, const void *buf, size_t len);

#endif
