/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DOC: Theory of operation
 *
 * The program knows nothing of the sockets kept here, so it may close them,
 * reuse their numbers, fork and share its memory at any time. Therefore:
 *
 * A slot is used by one request at a time. Whoever finds its state free takes
 * it by compare-and-exchange; whoever finds none free (more threads than slots,
 * signal handlers that nest) makes a line for the one round. A handler that
 * never comes back (longjmp, pthread_exit) leaves its slot taken for good,
 * which costs speed and nothing else.
 *
 * Before every use the socket behind the number is asked for its cookie, which
 * the host kernel gives once. Another cookie, or none: somebody else's file, or
 * no file. The slot is forgotten then, and the number not closed.
 *
 * States live in the page that fork wipes, sockets in ordinary memory: a child
 * finds every slot empty, but can still see, by number and cookie, what it has
 * inherited, and closes that before it fills the slot. A vfork child shares
 * the slots and has copies of the sockets; what it adds is forgotten by its
 * parent. exec closes everything.
 *
 *   EMPTY -> TAKEN -> READY -> TAKEN -> ... -> EMPTY when the line broke
 *
 * Numbers are moved out of the program's way: the lowest free one is what it
 * expects its next open() to return. A program that may not have numbers that
 * high makes do without kept lines.
 */
#include "shim/call/line.h"

#include "shim/base/keep.h"
#include "shim/shim.h"
#include "shim/base/wiped.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/time.h>

#define PAIRS	  8   /* kept of LINE_PAIR; the other slots are LINE_DOOR's */
#define KEEP_FROM 500 /* lowest number of a kept socket */

enum { EMPTY, TAKEN, READY };

/* Valid while @cookie is not 0. */
struct line_slot {
	uint64_t cookie;
	uint64_t channel;
	int fd;
};

static struct line_slot slots[WIPED_LINES];

uint64_t line_seq(void)
{
	static atomic_uint_least64_t common;
	struct wiped *w = wiped_page();

	/* without a page of its own a process keeps no line either */
	if (!w || !wiped_word(&w->seq))
		return atomic_fetch_add(&common, 1) + 1;
	return atomic_fetch_add(&w->seq, 1) + 1;
}

static uint64_t cookie_of(int fd)
{
	uint64_t cookie = 0;
	unsigned int len = sizeof(cookie);

	if (SYS(getsockopt, fd, SOL_SOCKET, SO_COOKIE, &cookie, &len) < 0)
		return 0;
	return cookie;
}

static bool slot_holds(const struct line_slot *s)
{
	return s->cookie && cookie_of(s->fd) == s->cookie;
}

static atomic_int *slot_state(const struct line_slot *s)
{
	return &wiped_page()->line[s - slots];
}

static struct line_slot *take_in(enum line_kind kind, int state)
{
	int end = kind == LINE_PAIR ? PAIRS : WIPED_LINES;

	for (int i = kind == LINE_PAIR ? 0 : PAIRS; i < end; i++) {
		int is = state;

		if (atomic_compare_exchange_strong(slot_state(&slots[i]), &is,
						   TAKEN))
			return &slots[i];
	}
	return NULL;
}

/* An empty slot may still say what this process inherited: nobody's now. */
static void close_inherited(struct line_slot *s)
{
	if (slot_holds(s))
		SYS(close, s->fd);
	s->cookie = 0;
}

void line_begin(struct line *l, enum line_kind kind)
{
	*l = (struct line){
		.kind = kind,
		.fd = -1,
		.give = -1,
		.clean = true,
	};
	if (!wiped_page())
		return;
	l->slot = take_in(kind, READY);
	if (!l->slot) {
		l->slot = take_in(kind, EMPTY);
		if (l->slot)
			close_inherited(l->slot);
		l->wanted = l->slot;
		return;
	}
	l->wanted = true;
	if (!slot_holds(l->slot)) {
		l->slot->cookie = 0;
		return;
	}
	l->fd = l->slot->fd;
	l->channel = l->slot->channel;
	l->old = true;
	l->kept = true;
}

static int pair_open(struct line *l)
{
	int pair[2];
	long r = SYS(socketpair, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0,
		     pair);

	if (r < 0)
		return (int)r;
	l->fd = pair[0];
	l->give = pair[1];
	l->channel = l->wanted ? line_seq() : 0;
	return 0;
}

int line_open(struct line *l)
{
	if (l->fd >= 0)
		return 0;
	if (l->kind == LINE_PAIR)
		return pair_open(l);
	l->fd = door_open();
	l->kept = true; /* a connection is, by its nature */
	return l->fd < 0 ? l->fd : 0;
}

void line_given(struct line *l)
{
	if (l->give >= 0)
		SYS(close, l->give);
	l->give = -1;
}

void line_adopt(struct line *l, int fd)
{
	if (!l->channel || l->kept) {
		SYS(close, fd);
		return;
	}
	SYS(close, l->fd);
	l->fd = fd;
	l->kept = true;
}

bool line_reused(const struct line *l)
{
	return l->old || (l->kind == LINE_PAIR && l->kept);
}

bool line_lost(const struct line *l)
{
	return l->slot && atomic_load(slot_state(l->slot)) != TAKEN;
}

void line_break(struct line *l)
{
	line_given(l);
	if (l->fd >= 0 && (!l->old || slot_holds(l->slot)))
		SYS(close, l->fd);
	if (l->old)
		l->slot->cookie = 0;
	l->fd = -1;
	l->old = false;
	l->kept = false;
	l->clean = true;
}

/* A fresh line goes to its slot. */
static void line_store(struct line *l)
{
	uint64_t cookie = cookie_of(l->fd);
	long fd = -1;

	if (cookie) /* else it could never be told from another */
		fd = SYS(fcntl, l->fd, F_DUPFD_CLOEXEC, KEEP_FROM);
	if (fd < 0) {
		l->slot = NULL; /* it stays taken: nobody need try again */
		return;
	}
	SYS(close, l->fd);
	l->fd = (int)fd;
	l->slot->fd = l->fd;
	l->slot->channel = l->channel;
	l->slot->cookie = cookie;
	l->old = true;
}

void line_settle(struct line *l)
{
	line_given(l);
	if (!l->clean || !l->kept || line_lost(l))
		line_break(l);
	else if (l->slot && !l->old)
		line_store(l);
}

void line_end(struct line *l)
{
	if (!l->slot)
		line_break(l);
	else if (!line_lost(l))
		atomic_store(slot_state(l->slot), l->old ? READY : EMPTY);
}

void line_limit(int sock)
{
	const struct timeval tv = {.tv_usec = LINE_PATIENCE_MS * 1000};

	SYS(setsockopt, sock, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
}

bool wait_is_ours(const struct shim_wait *w)
{
	return w->left && w->pid == (int)SYS(getpid) && !line_lost(&w->line);
}

void wait_drop(struct shim_wait *w)
{
	if (wait_is_ours(w)) {
		line_break(&w->line);
		line_end(&w->line);
	}
	w->left = false;
}

bool line_owns(const struct line *l, int fd)
{
	if (fd == l->fd || fd == l->give || keep_owns(fd))
		return true;
	for (int i = 0; wiped_page() && i < WIPED_LINES; i++)
		if (slots[i].fd == fd && slot_holds(&slots[i]))
			return true;
	return false;
}
