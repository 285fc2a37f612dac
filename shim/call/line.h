/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where answers come: a line is one end of a pair whose other end the daemon
 * has, or a connection to its door. A few are kept between requests, since
 * making one costs more than the request: those to the door, and channels,
 * which the daemon makes (lib/proto.h). See line.c for what makes that safe.
 */
#ifndef SOFTVFIO_SHIM_CALL_LINE_H
#define SOFTVFIO_SHIM_CALL_LINE_H

#include <stdbool.h>
#include <stdint.h>

struct line_slot;

enum line_kind {
	LINE_PAIR, /* answers to requests on a file */
	LINE_DOOR, /* requests on no file, and their answers */
};

/**
 * struct line - One line, in use by one request
 * @slot:    where it is or could be kept; NULL = it ends with the request
 * @fd:	     the answer comes here; -1 = there is none yet, or no more
 * @give:    the other end of a fresh pair, to be sent along; else -1
 * @channel: what the daemon knows, or is to know, the other end by; or 0
 * @wanted:  a channel is to be asked for
 * @old:     kept since an earlier request: @fd is the slot's
 * @kept:    the daemon keeps its end
 * @clean:   nothing is on its way, in either direction
 */
struct line {
	struct line_slot *slot;
	enum line_kind kind;
	int fd;
	int give;
	uint64_t channel;
	bool wanted;
	bool old;
	bool kept;
	bool clean;
};

/**
 * line_begin() - One that was kept, or room to keep one, or neither
 *
 * Context: anywhere. What another thread, or the code a signal handler has
 * interrupted, is using is left alone.
 */
void line_begin(struct line *l, enum line_kind kind);

/** line_open() - Make the sockets, unless there are any. Return: 0 or -errno */
int line_open(struct line *l);

/**
 * struct shim_wait - A wait for the door's answer that may be left
 * @leave: asked every LINE_PATIENCE_MS that no answer has come; true: leave
 * @arg:   passed to it
 * @left:  it was left, and the request is with the daemon; the next shim_rpc()
 *	   with it waits on and sends nothing
 * @line, @seq, @pid: where and what for, and whose
 */
struct shim_wait {
	bool (*leave)(void *arg);
	void *arg;
	bool left;
	struct line line;
	uint64_t seq;
	int pid;
};

#define LINE_PATIENCE_MS 100

/** line_limit() - Have receiving return now and then; where that can't be had
 * no wait is left. Connections to the door come so */
void line_limit(int sock);

/** wait_is_ours() - It was left, by this process and not by its parent */
bool wait_is_ours(const struct shim_wait *w);

/** wait_drop() - Nobody will take it up again */
void wait_drop(struct shim_wait *w);

/** line_given() - The other end has been sent along, or was not wanted */
void line_given(struct line *l);

/**
 * line_adopt() - Go on with the channel that the daemon has made
 * @fd: our end; the line's, or closed
 */
void line_adopt(struct line *l, int fd);

/** line_reused() - Has the daemon its end from an earlier round? */
bool line_reused(const struct line *l);

/** line_settle() - After a round: keep what can be used again, close it else */
void line_settle(struct line *l);

/** line_break() - Close it; line_open() makes another */
void line_break(struct line *l);

/** line_end() - After the last round */
void line_end(struct line *l);

/**
 * line_lost() - Has this process been forked off in the middle of the request
 *
 * By a signal handler, that is. The answer is the parent's then.
 */
bool line_lost(const struct line *l);

/** line_owns() - Is a number the shim's: this line's, or one that is kept */
bool line_owns(const struct line *l, int fd);

/**
 * line_seq() - A number for a request
 *
 * They count from a random start, drawn anew after fork: a peer that could
 * reach somebody else's line could still not answer in the daemon's place.
 */
uint64_t line_seq(void);

/** door_open() - A connection to the daemon's door, or -ENODEV, or -errno */
int door_open(void);

#endif
