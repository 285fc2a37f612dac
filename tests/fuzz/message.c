/* SPDX-License-Identifier: BSD-3-Clause */
/* Making requests up: message.h. */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "lib/cleanup.h"
#include "lib/size.h"
#include "message.h"
#include "uapi/vfio.h"

uint64_t take_number(struct input *in)
{
	uint8_t kind = (uint8_t)take(in, 1);
	uint64_t small = kind >> 3;

	switch (kind & 7) {
	case 0:
		return small;
	case 1:
		return UINT64_C(1) << take(in, 1) % 64;
	case 2:
		return small * PAGE;
	case 3:
		return MEMORY + small * PAGE;
	case 4:
		return (small & 15) << VFIO_PCI_OFFSET_SHIFT | take(in, 2);
	case 5:
		return ADDRESS + small * sizeof(uint32_t);
	case 6:
		return take(in, 8);
	default:
		return UINT64_MAX - small;
	}
}

/* --- what is asked --- */

bool message_is_for_door(const struct message *m)
{
	return m->head.op < SV_FSTAT || m->head.op >= SV_KNOWN;
}

static void make_args(struct message *m, struct input *in)
{
	uint64_t *arg = m->head.arg;
	uint8_t nr;

	for (int i = 0; i < 4; i++)
		arg[i] = take_number(in);
	switch (m->head.op) {
	case SV_IOCTL:
		nr = (uint8_t)take(in, 1);
		arg[0] = nr < 240 ? VFIO_IO(nr % 20) : _IO(';', nr);
		if (take(in, 1) & 3)
			arg[1] = ADDRESS;
		break;
	case SV_ACCESS:
		arg[1] = 1u << (arg[1] & 3);
		arg[2] &= 1;
		break;
	default:
		break;
	}
}

static size_t make_struct(struct input *in, uint32_t *words)
{
	size_t n = take(in, 1) % MESSAGE_WORDS;

	for (size_t i = 0; i < n; i++)
		words[i] = (uint32_t)take_number(in);
	if (n && take(in, 1) & 3) /* argsz */
		words[0] = (uint32_t)(n * sizeof(words[0]));
	return n * sizeof(words[0]);
}

static const char *const texts[] = {
	"/dev/vfio/vfio",
	"/dev/vfio/1",
	"/dev/vfio/2",
	"/dev/vfio/3",
	"/dev/vfio/4",
	"/sys/bus/pci/devices/0000:01:00.0/config",
	"/sys/bus/pci/devices/0000:02:00.0/config",
	"/sys/bus/pci/devices/0000:01:00.0/reset",
	"/sys/bus/pci/devices/0000:04:00.0/remove",
	"/sys/bus/pci/devices/0000:01:00.0/driver_override",
	"/sys/bus/pci/rescan",
	"/sys/bus/pci/drivers/vfio-pci/bind",
	"/sys/bus/pci/drivers/vfio-pci/unbind",
	"/sys/bus/pci/drivers/vfio-pci/new_id",
	"/sys/bus/pci/devices/../devices/0000:03:00.0/./config",
	"{\"cmd\": \"ls\"}",
	"{\"cmd\": \"why\"}",
	"{\"cmd\": \"report\"}",
	"{\"cmd\": \"unplug\", \"device\": \"0000:04:00.0\"}",
	"{\"cmd\": \"plug\", \"device\": \"0000:04:00.0\"}",
	"0000:04:00.0",
	"1",
};

static size_t make_text(struct input *in, const struct sv_bar_id *bar,
			size_t n_bars, char *text, size_t size)
{
	uint8_t kind = (uint8_t)take(in, 1);
	size_t n = take(in, 1) % 64;
	char bdf[16];

	if (kind < 128)
		return (size_t)snprintf(text, size, "%s",
					texts[kind % ARRAY_SIZE(texts)]);
	snprintf(bdf, sizeof(bdf), "0000:%02x:00.0",
		 1 + kind % MESSAGE_DEVICES);
	if (kind < 192) {
		memcpy(text, &bar[kind % n_bars], sizeof(*bar));
		return sizeof(*bar);
	}
	if (kind < 200)
		return (size_t)snprintf(text, size, "%s", bdf);
	for (size_t i = 0; i < n; i++)
		text[i] = (char)take(in, 1);
	return n;
}

/* --- what comes along --- */

static void make_segments(struct message *m, struct input *in,
			  const struct sv_bar_id *bar, size_t n_bars)
{
	bool text = message_is_for_door(m) || take(in, 1) % 8 == 0;

	m->head.n_segs = 1 + (take(in, 1) % 8 == 0);
	for (unsigned int i = 0; i < m->head.n_segs; i++) {
		union message_bytes *b = &m->bytes[i];
		size_t len = text && !i ? make_text(in, bar, n_bars, b->text,
						    sizeof(b->text))
					: make_struct(in, b->words);

		m->seg[i] = (struct sv_seg){
			.addr = ADDRESS + i * PAGE,
			.want = (uint32_t)(len + (take(in, 1) == 1)),
			.len = (uint32_t)len,
		};
	}
}

static void make_refs(struct message *m, struct input *in)
{
	m->head.n_fdrefs = take(in, 1) % (MESSAGE_REFS + 1);
	for (unsigned int i = 0; i < m->head.n_fdrefs; i++) {
		m->fdref[i].number = (int32_t)(take(in, 1) % 8);
		m->fdref[i].index = (int32_t)(take(in, 1) % 6) - 1;
	}
}

static void make_vmas(struct message *m, struct input *in)
{
	uint64_t at = MEMORY;

	m->head.n_vmas = take(in, 1) % (MESSAGE_VMAS + 1);
	for (unsigned int i = 0; i < m->head.n_vmas; i++) {
		uint8_t kind = (uint8_t)take(in, 1);

		m->vma[i] = (struct sv_vma){
			.start = at,
			.end = at + (1 + (kind >> 5)) * PAGE,
			.off = kind & 16 ? take_number(in) : 0,
			.ino = take(in, 1),
			.prot = kind & 8 ? PROT_READ : PROT_READ | PROT_WRITE,
			.kind = kind & 3,
			.index = (int16_t)(take(in, 1) % 5) - 1,
		};
		at = m->vma[i].end;
	}
	m->head.flags |= m->head.n_vmas ? SV_REQ_VMAS : 0;
}

void message_make(struct message *m, struct input *in,
		  const struct sv_bar_id *bar, size_t n_bars)
{
	*m = (struct message){.head.magic = SV_MAGIC};
	m->head.op = 1 + take(in, 1) % (SV_OP_END - 1);
	m->head.mm_id[0] = m->head.mm_id[1] = OWN_MM;
	make_args(m, in);
	make_segments(m, in, bar, n_bars);
	make_refs(m, in);
	make_vmas(m, in);
}

static void flip(void *section, size_t len, struct input *in)
{
	if (len)
		((uint8_t *)section)[take(in, 2) % len] = (uint8_t)take(in, 1);
}

void message_spoil(struct message *m, struct input *in)
{
	switch (take(in, 1)) {
	case 0:
	case 1:
		flip(&m->head, sizeof(m->head), in);
		break;
	case 2:
		flip(m->seg, m->head.n_segs * sizeof(m->seg[0]), in);
		break;
	case 3:
		flip(m->fdref, m->head.n_fdrefs * sizeof(m->fdref[0]), in);
		break;
	case 4:
		flip(m->vma, m->head.n_vmas * sizeof(m->vma[0]), in);
		break;
	case 5:
		m->cut = take(in, 1);
		break;
	default:
		break;
	}
}

/* --- sending --- */

static void attach(struct msghdr *msg, char *control, size_t size,
		   const struct message *m)
{
	if (!m->n_fds)
		return;
	memset(control, 0, size);
	msg->msg_control = control;
	msg->msg_controllen = CMSG_SPACE(m->n_fds * sizeof(int));

	struct cmsghdr *c = CMSG_FIRSTHDR(msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(m->n_fds * sizeof(int));
	memcpy(CMSG_DATA(c), m->fds, m->n_fds * sizeof(int));
}

/* What the head says there is, as far as it exists. */
static struct iovec section(const void *p, size_t n, size_t max, size_t size)
{
	return (struct iovec){(void *)(uintptr_t)p, (n < max ? n : max) * size};
}

bool message_send(const struct message *m, int sock)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(m->fds))];
	const struct sv_request *h = &m->head;
	struct iovec iov[] = {
		{(void *)(uintptr_t)h, sizeof(*h)},
		section(m->seg, h->n_segs, MESSAGE_SEGS, sizeof(m->seg[0])),
		section(m->fdref, h->n_fdrefs, MESSAGE_REFS,
			sizeof(m->fdref[0])),
		section(m->vma, h->n_vmas, MESSAGE_VMAS, sizeof(m->vma[0])),
		section(&m->bytes[0], m->seg[0].len, sizeof(m->bytes[0]), 1),
		section(&m->bytes[1], m->seg[1].len, sizeof(m->bytes[1]), 1),
	};
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = ARRAY_SIZE(iov)};

	for (size_t i = 0, n = ARRAY_SIZE(iov); i < n && m->cut; i++)
		if (iov[n - 1 - i].iov_len > m->cut) {
			iov[n - 1 - i].iov_len -= m->cut;
			break;
		}
	attach(&msg, control, sizeof(control), m);
	return sendmsg(sock, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
}
