/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A daemon in this process, and a program that sends it whatever the input
 * says: on connections to the door, on files and channels, with descriptors of
 * any kind where any belongs. Each request has to be answered or its line
 * closed, within a deadline; in the end no descriptor may be left, and a
 * program that behaves gets what it asks for.
 *
 * The input is a program of its own: a byte that says what to do, then what
 * that needs.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "input.h"
#include "lib/cleanup.h"
#include "message.h"
#include "odd_fds.h"
#include "tests/fail/prog.h"
#include "tests/sched/host.h"
#include "tests/unit/fds.h"
#include "uapi/vfio.h"

#define DOORS	   3
#define FILES	   8
#define CHANNELS   3
#define FIRST_NAME 0x100 /* of channels */
#define STEPS_MAX  100	 /* of one input */

static const char *const machine[] = {
	"plain,bar0=64K,msix=4,msi=2", "edu", "nvme,size=1M", "ram", NULL,
};

static const char *const bdfs[MESSAGE_DEVICES] = {
	"0000:01:00.0",
	"0000:02:00.0",
	"0000:03:00.0",
	"0000:04:00.0",
};

static struct host host;
static int odd[ODD_FDS];
static int fds_before;

struct fuzz {
	struct input in;
	int door[DOORS];
	int file[FILES];
	int channel[CHANNELS];
	unsigned int next_file;
	uint64_t seq;
};

static void drop(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* --- answers --- */

static void keep_file(struct fuzz *f, int fd)
{
	int *slot = &f->file[f->next_file++ % FILES];

	drop(slot);
	*slot = fd;
}

static void keep_channel(struct fuzz *f, uint64_t name, int fd)
{
	uint64_t i = name - FIRST_NAME;

	if (i >= CHANNELS) {
		close(fd);
		return;
	}
	drop(&f->channel[i]);
	f->channel[i] = fd;
}

static void take_fds(struct fuzz *f, struct msghdr *msg,
		     const struct sv_reply *reply, uint64_t name)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(msg);
	size_t n = c && c->cmsg_type == SCM_RIGHTS
			   ? (c->cmsg_len - CMSG_LEN(0)) / sizeof(int)
			   : 0;
	int fd;

	sched_expect(n == reply->n_fds, "%zu descriptors, %u announced", n,
		     reply->n_fds);
	for (size_t i = 0; i < n; i++) {
		memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
		if (reply->flags & SV_REPLY_KEPT && i == n - 1)
			keep_channel(f, name, fd);
		else
			keep_file(f, fd);
	}
}

/* False: the line has been closed. */
static bool take_answer(struct fuzz *f, int sock, uint64_t name)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(4 * sizeof(int))];
	static char rest[2 * SV_MSG_MAX];
	struct sv_reply reply;
	struct iovec iov[] = {{&reply, sizeof(reply)}, {rest, sizeof(rest)}};
	struct msghdr msg = {
		.msg_iov = iov,
		.msg_iovlen = 2,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};

	sched_wait_readable(sock, "a request");

	ssize_t n = recvmsg(sock, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (n <= 0)
		return false;
	sched_expect(n >= (ssize_t)sizeof(reply) &&
			     reply.magic == SV_REPLY_MAGIC &&
			     (reply.kind == SV_DONE || reply.kind == SV_NEED),
		     "%zd bytes that are no answer", n);
	take_fds(f, &msg, &reply, name);
	return true;
}

/* --- deeds --- */

static int door_get(struct fuzz *f)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int *door = &f->door[take(&f->in, 1) % DOORS];

	if (*door >= 0)
		return *door;
	*door = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	memcpy(sun.sun_path, host.door, strlen(host.door) + 1);
	sched_expect(connect(*door, (struct sockaddr *)&sun, sizeof(sun)) == 0,
		     "connect: %s", strerror(errno));
	return *door;
}

static void door_lost(struct fuzz *f, int fd)
{
	for (int i = 0; i < DOORS; i++)
		if (f->door[i] == fd)
			drop(&f->door[i]);
}

/* Of any kind, ours among them. */
static int take_fd(struct fuzz *f)
{
	uint8_t which = (uint8_t)take(&f->in, 1);
	int fd = odd[which % ODD_FDS];

	if (which >= 224)
		fd = f->channel[which % CHANNELS];
	else if (which >= 160)
		fd = f->file[which % FILES];
	else if (which >= 152)
		fd = f->door[which % DOORS];
	return fd >= 0 ? fd : odd[ODD_NULL];
}

static void attach_fds(struct fuzz *f, struct message *m)
{
	unsigned int n = take(&f->in, 1) % 6;

	for (unsigned int i = 0; i < n; i++)
		m->fds[m->n_fds++] = take_fd(f);
	if (take(&f->in, 1) & 1) {
		m->fds[m->n_fds++] = odd[ODD_MEM];
		m->head.flags |= SV_REQ_MEM_FD;
	}
}

static void do_ask_door(struct fuzz *f)
{
	struct message m;
	int door = door_get(f);

	message_make(&m, &f->in, host.bar, host.n_bars);
	if (!message_is_for_door(&m) && take(&f->in, 1) % 8)
		m.head.op = 1 + m.head.op % (SV_FSTAT - 1);
	m.head.seq = ++f->seq;
	attach_fds(f, &m);
	message_spoil(&m, &f->in);
	message_send(&m, door);
	if (!take_answer(f, door, m.head.channel))
		door_lost(f, door);
}

/* Its turn comes after all that was sent on the file before. */
static void await_turn(struct fuzz *f, int file)
{
	struct message m = {
		.head = {.magic = SV_MAGIC, .op = SV_FSTAT, .seq = ++f->seq},
	};
	int pair[2];

	sched_expect(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0,
				pair) == 0,
		     "socketpair");
	m.fds[m.n_fds++] = pair[1];
	message_send(&m, file);
	close(pair[1]);
	take_answer(f, pair[0], 0);
	close(pair[0]);
}

/* Where the answer is to come: a channel there is or is not, a pair, a pair
 * and the wish for a channel, or nowhere. Returns our end of the pair, or -1 */
static int choose_line(struct fuzz *f, struct message *m)
{
	uint8_t kind = (uint8_t)take(&f->in, 1);
	int pair[2];

	if (kind & 1)
		m->head.channel = FIRST_NAME + (kind >> 2) % (CHANNELS + 1);
	if (kind % 16 == 15)
		m->fds[m->n_fds++] = take_fd(f);
	if (kind % 4 == 1 || kind % 16 == 15)
		return -1;
	if (kind & 1)
		m->head.flags |= SV_REQ_KEEP;
	sched_expect(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0,
				pair) == 0,
		     "socketpair");
	m->fds[m->n_fds++] = pair[1];
	return pair[0];
}

/* The channel that the head names, if it is there: -1 when none is. */
static int named_channel(const struct fuzz *f, const struct message *m)
{
	const struct sv_request *h = &m->head;
	uint64_t i = h->channel - FIRST_NAME;

	return h->magic == SV_MAGIC && !(h->flags & SV_REQ_KEEP) &&
			       h->mm_id[0] == OWN_MM && h->mm_id[1] == OWN_MM &&
			       i < CHANNELS
		       ? f->channel[i]
		       : -1;
}

static void ask_file(struct fuzz *f, int file, struct message *m, int line)
{
	bool sent = message_send(m, file);
	int channel = named_channel(f, m);

	if (line >= 0) {
		close(m->fds[0]);
		take_answer(f, line, m->head.channel);
		close(line);
	}
	if (sent && channel >= 0)
		sched_wait_readable(channel, "a request on a channel");
	if (sent)
		await_turn(f, file);
}

static void do_ask_file(struct fuzz *f)
{
	int file = f->file[take(&f->in, 1) % FILES];
	struct message m;

	message_make(&m, &f->in, host.bar, host.n_bars);
	if (message_is_for_door(&m) && take(&f->in, 1) % 8)
		m.head.op = SV_IOCTL;
	m.head.seq = ++f->seq;

	int line = choose_line(f, &m);

	attach_fds(f, &m);
	message_spoil(&m, &f->in);
	ask_file(f, file, &m, line);
}

/* What lies in a channel: an answer that was not taken, or its end. */
static void do_listen(struct fuzz *f)
{
	int *channel = &f->channel[take(&f->in, 1) % CHANNELS];
	char byte;

	if (*channel < 0)
		return;

	ssize_t n = recv(*channel, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

	if (n > 0)
		take_answer(f, *channel, 0);
	else if (n == 0)
		drop(channel);
}

static void do_part(struct fuzz *f)
{
	int channel = f->channel[take(&f->in, 1) % CHANNELS];
	struct message m;
	struct sv_part part = {
		.magic = SV_MAGIC,
		.seq = f->seq + 1,
		.bytes = (uint32_t)take(&f->in, 1) % sizeof(m.head),
	};

	if (channel < 0)
		return;
	memset(&m, 0, sizeof(m));
	memcpy(&m.head, &part, sizeof(part));
	m.head.n_segs = m.head.n_fdrefs = m.head.n_vmas = 0;
	m.fds[m.n_fds++] = take_fd(f);
	message_spoil(&m, &f->in);
	message_send(&m, channel);
}

static void do_close(struct fuzz *f)
{
	uint8_t which = (uint8_t)take(&f->in, 1);

	if (which < 128)
		drop(&f->file[which % FILES]);
	else if (which < 192)
		drop(&f->door[which % DOORS]);
	else
		drop(&f->channel[which % CHANNELS]);
}

/* Far to go by chance: a device that is open, or anything before. */
static void do_open(struct fuzz *f)
{
	uint8_t which = (uint8_t)take(&f->in, 1);
	unsigned int dev = which % MESSAGE_DEVICES;
	enum stage stage = which / MESSAGE_DEVICES % (DECODES + 1);
	struct prog p;

	/* it may be open, or unplugged, so what fails is not looked at */
	prog_begin(&p, &host, bdfs[dev], dev + 1, CONNECTED);
	if (stage >= CONTAINER)
		prog_open_container(&p);
	if (stage >= GROUP && prog_open_group(&p) >= 0 && stage >= ATTACHED) {
		prog_set_container(&p);
		if (stage >= IOMMU)
			prog_set_iommu(&p);
		if (stage >= DEVICE && prog_open_device(&p) >= 0 &&
		    stage >= DECODES)
			prog_command(&p, 6);
	}
	int *const opened[] = {&p.container, &p.group, &p.device};

	for (size_t i = 0; i < ARRAY_SIZE(opened); i++)
		if (*opened[i] >= 0) {
			keep_file(f, *opened[i]);
			*opened[i] = -1;
		}
	prog_end(&p);
}

/* The program takes away what it gave. */
static void do_truncate(struct fuzz *f)
{
	int fd = odd[take(&f->in, 1) & 1 ? ODD_MEMFD : ODD_MEMFD_EMPTY];
	off_t len = (off_t)(take(&f->in, 1) % 5 * 4096);

	if (ftruncate(fd, len) < 0)
		return;
}

static void (*const deeds[])(struct fuzz *f) = {
	do_ask_file, do_ask_door, do_open,     do_ask_file, do_close,
	do_part,     do_listen,	  do_ask_file, do_truncate,
};

/* --- afterwards --- */

static void close_all(struct fuzz *f)
{
	for (int i = 0; i < DOORS; i++)
		drop(&f->door[i]);
	for (int i = 0; i < FILES; i++)
		drop(&f->file[i]);
	for (int i = 0; i < CHANNELS; i++)
		drop(&f->channel[i]);
}

/* All functions are there again, and nobody has them. */
static void put_right(void)
{
	char json[80];
	struct prog p;

	sched_expect(ftruncate(odd[ODD_MEMFD], ODD_MEMFD_LEN) == 0 &&
			     ftruncate(odd[ODD_MEMFD_EMPTY], 0) == 0,
		     "ftruncate");
	for (unsigned int i = 0; i < MESSAGE_DEVICES; i++) {
		prog_begin(&p, &host, bdfs[i], i + 1, CONNECTED);
		snprintf(json, sizeof(json),
			 "{\"cmd\": \"plug\", \"device\": \"%s\"}", bdfs[i]);
		client_control(&p.c, json);
		prog_write_text(&p, "/sys/bus/pci/drivers/vfio-pci/bind",
				bdfs[i]);
		prog_end(&p);
	}
}

static void check_nothing_left(void)
{
	unsigned long deadline = host_deadline();
	struct prog p;

	do {
		prog_begin(&p, &host, bdfs[0], 1, CONNECTED);
		prog_end(&p);
		sched_expect(!host_is_late(deadline),
			     "%d descriptors, %d before", count_fds(),
			     fds_before);
	} while (count_fds() > fds_before);
}

/* One that behaves opens everything, which succeeds or ends the process. */
static void check_works(unsigned int dev)
{
	struct prog p;

	prog_begin(&p, &host, bdfs[dev], dev + 1, DECODES);
	prog_end(&p);
}

/* The sanitizer's helper has two pipes from when it is first asked. */
void __sanitizer_symbolize_pc(void *pc, const char *fmt, char *text,
			      size_t size) __attribute__((weak));

static void start_symbolizer(void)
{
	char text[256];

	if (__sanitizer_symbolize_pc)
		__sanitizer_symbolize_pc(__builtin_return_address(0), "%f",
					 text, sizeof(text));
}

static void end(void)
{
	host_stop(&host);
	host_end(&host);
}

static void begin(void)
{
	start_symbolizer();
	odd_fds_make(odd);
	host_begin(&host, machine);
	sched_expect(host_start(&host), "the daemon does not start");
	atexit(end);
	host_learn_bars(&host);
	for (unsigned int i = 0; i < MESSAGE_DEVICES; i++)
		check_works(i);
	fds_before = count_fds();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz f = {.in = {data, size}};

	if (!host.door[0])
		begin();
	memset(f.door, -1, sizeof(f.door));
	memset(f.file, -1, sizeof(f.file));
	memset(f.channel, -1, sizeof(f.channel));
	for (int i = 0; f.in.left && i < STEPS_MAX; i++)
		deeds[take(&f.in, 1) % ARRAY_SIZE(deeds)](&f);
	close_all(&f);
	put_right();
	check_nothing_left();
	check_works((unsigned int)(size % MESSAGE_DEVICES));
	return 0;
}
