/* SPDX-License-Identifier: BSD-3-Clause */
/* ioeventfds: what may be asked for, and what a signal does. */
#include <poll.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <time.h>

#include "tests/abi/abi.h"

#define LIMIT 1000

enum { B8 = 1, B16 = 2, B32 = 4, B64 = 8 };

static long ask(int device, uint32_t flags, uint64_t offset, uint64_t data,
		int fd)
{
	struct vfio_device_ioeventfd arg = {
		.argsz = sizeof(arg),
		.flags = flags,
		.offset = offset,
		.data = data,
		.fd = fd,
	};

	return R(ioctl(device, VFIO_DEVICE_IOEVENTFD, &arg));
}

static bool before(const struct timespec *end)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec < end->tv_sec;
}

static struct timespec deadline(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += 10;
	return t;
}

/* Somebody has taken the signal. */
static bool taken(int fd)
{
	struct timespec end = deadline();
	struct pollfd p = {.fd = fd, .events = POLLIN};

	while (poll(&p, 1, 0) == 1 && before(&end))
		sched_yield();
	return poll(&p, 1, 0) == 0;
}

static bool arrives(int device, uint64_t pos, uint64_t val)
{
	struct timespec end = deadline();

	while (rd64(device, pos) != val && before(&end))
		sched_yield();
	return rd64(device, pos) == val;
}

static void check_arguments(int d, int fd)
{
	struct vfio_device_ioeventfd arg = {
		.argsz = 27, .flags = B32, .offset = BAR2, .fd = fd};
	uint64_t size = region_size(d, 2);
	int closed, p[2];

	if (pipe(p))
		return;
	closed = dup(0);
	close(closed);
	want(R(ioctl(d, VFIO_DEVICE_IOEVENTFD, nowhere())), -EFAULT,
	     "ioeventfd: bad pointer is EFAULT");
	want(R(ioctl(d, VFIO_DEVICE_IOEVENTFD, &arg)), -EINVAL,
	     "ioeventfd: argsz 27");
	want(ask(d, 0x10 | B32, BAR2, 0, fd), -EINVAL, "ioeventfd: flags");
	want(ask(d, 0, BAR2, 0, fd), -EINVAL, "ioeventfd: no size");
	want(ask(d, B8 | B32, BAR2, 0, fd), -EINVAL, "ioeventfd: two sizes");
	want(ask(d, B32, BAR2, 0, -2), -EINVAL, "ioeventfd: fd -2");
	want(ask(d, B64, BAR2, 0, fd), -EINVAL, "ioeventfd: 8 bytes");
	want(ask(d, B32, CONFIG, 0, fd), -EINVAL, "ioeventfd: config");
	want(ask(d, B32, REGION(6), 0, fd), -EINVAL, "ioeventfd: ROM");
	want(ask(d, B32, REGION(1), 0, fd), -EINVAL, "ioeventfd: no BAR");
	want(ask(d, B32, BAR2 + size, 0, fd), -EINVAL, "ioeventfd: beyond");
	want(ask(d, B32, BAR2 + size - 2, 0, fd), -EINVAL,
	     "ioeventfd: across the end");
	want(ask(d, B32, BAR2 + size, 0, closed), -EINVAL,
	     "ioeventfd: beyond comes before the descriptor");
	want(ask(d, B32, BAR2, 0, closed), -EBADF, "ioeventfd: closed");
	want(ask(d, B32, BAR2, 0, p[0]), -EINVAL, "ioeventfd: a pipe");
	want(ask(d, B32, BAR2, 0, -1), -ENODEV,
	     "ioeventfd: none there to be removed");
	arg.argsz = 28;
	want(R(ioctl(d, VFIO_DEVICE_IOEVENTFD, &arg)), 0,
	     "ioeventfd: argsz 28");
	want(ask(d, B32, BAR2, 0, fd), -EEXIST, "ioeventfd: twice");
	want(ask(d, B32, BAR2, 0, closed), -EEXIST,
	     "ioeventfd: twice comes before the descriptor");
	want(ask(d, B16, BAR2, 0, fd), 0, "ioeventfd: another size");
	want(ask(d, B32, BAR2, 1, fd), 0, "ioeventfd: another value");
	want(ask(d, B32, BAR2, 1, -1), 0, "ioeventfd: removed");
	want(ask(d, B32, BAR2, 1, -1), -ENODEV, "ioeventfd: removed twice");
	want(ask(d, B16, BAR2, 0, -1), 0, "ioeventfd: removed, other size");
	want(ask(d, B32, BAR2, 0, -1), 0, "ioeventfd: removed, first one");
	close(p[0]);
	close(p[1]);
}

static void check_limit(int d, int fd)
{
	long r = 0;

	for (uint64_t i = 0; i < LIMIT && !r; i++)
		r = ask(d, B32, BAR2, i, fd);
	want(r, 0, "ioeventfd: %d of them", LIMIT);
	want(ask(d, B32, BAR2, LIMIT, fd), -ENOSPC,
	     "ioeventfd: one more is ENOSPC");
	want(ask(d, B32, BAR2, 5, fd), -EEXIST,
	     "ioeventfd: EEXIST comes before ENOSPC");
	want(ask(d, B32, BAR2, LIMIT, -1), -ENODEV,
	     "ioeventfd: ENODEV comes before ENOSPC");
	for (uint64_t i = 0; i < LIMIT && !r; i++)
		r = ask(d, B32, BAR2, i, -1);
	want(r, 0, "ioeventfd: all removed");
}

static void check_writes(int d, int fd)
{
	static const uint64_t bytes = 0x8877665544332211;

	wr64(d, BAR2 + 64, 0);
	for (uint32_t size = B8; size <= B32; size *= 2) {
		uint64_t mask = ~0ull >> (64 - 8 * size);

		want(ask(d, size, BAR2 + 64, bytes, fd), 0,
		     "ioeventfd: %u bytes", size);
		eventfd_write(fd, 1);
		ok(arrives(d, BAR2 + 64, bytes & mask),
		   "ioeventfd: %u bytes written", size);
		ok(taken(fd), "ioeventfd: %u bytes: signal taken", size);
		ask(d, size, BAR2 + 64, bytes, -1);
		wr64(d, BAR2 + 64, 0);
	}
	/* two at one eventfd */
	ask(d, B32, BAR2 + 64, 7, fd);
	ask(d, B32, BAR2 + 68, 9, fd);
	eventfd_write(fd, 3);
	ok(arrives(d, BAR2 + 64, 9ull << 32 | 7), "ioeventfd: both of two");
	wr64(d, BAR2 + 64, 0);
	set_command(d, 2, 0);
	eventfd_write(fd, 1);
	ok(taken(fd), "ioeventfd: 1.0.6: with decode off the signal is taken");
	set_command(d, 0, 2);
	want((long)rd64(d, BAR2 + 64), 0, "ioeventfd: 1.0.6: and dropped");
	eventfd_write(fd, 1);
	ok(arrives(d, BAR2 + 64, 9ull << 32 | 7), "ioeventfd: 1.0.6: not lost");
	R(ioctl(d, VFIO_DEVICE_RESET));
	wr64(d, BAR2 + 64, 0);
	eventfd_write(fd, 1);
	ok(arrives(d, BAR2 + 64, 9ull << 32 | 7),
	   "ioeventfd: outlives a reset");
}

static void check_ram(void)
{
	int fd = event_fd();
	struct vfio v;

	if (!have("ram"))
		return;
	vfio_open(&v, "ram");
	set_command(v.device, 0, 2);
	check_arguments(v.device, fd);
	check_limit(v.device, fd);
	check_writes(v.device, fd);
	vfio_close(&v);
	vfio_open(&v, "ram"); /* whoever asks sees that it was closed */
	eventfd_write(fd, 1);
	want(events(fd), 1, "ioeventfd: nobody takes it after the last close");
	vfio_close(&v);
	close(fd);
}

/* A register: what is read back is not what was written. */
static void check_edu(void)
{
	int fd = event_fd();
	struct vfio v;
	struct timespec end;

	if (!have("edu"))
		return;
	vfio_open(&v, "edu");
	set_command(v.device, 0, 2);
	want(ask(v.device, B32, BAR0 + EDU_LIVENESS, 0x12345678, fd), 0,
	     "ioeventfd: a register");
	eventfd_write(fd, 1);
	end = deadline();
	while (rd32(v.device, BAR0 + EDU_LIVENESS) != ~0x12345678u &&
	       before(&end))
		sched_yield();
	want(rd32(v.device, BAR0 + EDU_LIVENESS), ~0x12345678u,
	     "ioeventfd: the register was written");
	vfio_close(&v);
	close(fd);
}

void test_ioeventfd(void)
{
	check_ram();
	check_edu();
}
