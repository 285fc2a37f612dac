/* SPDX-License-Identifier: BSD-3-Clause */
/* The gate's tests of all that closes it, and of calls that meet it closed. */
#include "tests/client/victim_gate.h"

#include <poll.h>
#include <sched.h>
#include <sys/eventfd.h>

#define PM_CAP 0x40
#define PMCSR  (PM_CAP + 4)
#define AF_CTL (0xc0 + 4)
#define DEVCTL (0x80 + 8)

#define IRQ_MASK REGION(0) /* of ram: a register that a reset clears */
#define BAR2	 REGION(2)

/* 1.0.5: calls on a closed BAR; one of I/O ports has no such gate */

static void check_eio(off_t pos)
{
	uint64_t val = 0x5a5a;

	CHECK_ERRNO(pread(vfio.device, &val, 8, pos), EIO);
	CHECK_ERRNO(pwrite(vfio.device, &val, 8, pos), EIO);
}

static void closed_calls_1_0_5(char **args)
{
	uint64_t val;

	(void)args;
	start(MAIN);
	char *map = bar_map(vfio.device, 2, SIZE);

	check_open(map, 7);
	reg_write(vfio.device, IRQ_MASK, 0x55);
	memory(false);
	check_eio(BAR2);
	check_eio(IRQ_MASK);
	check_eio(BAR2 + (off_t)SIZE - 8);
	memory(true);
	check_holds(map, 7);
	CHECK(reg_read(vfio.device, IRQ_MASK) == 0x55);
	CHECK(pread(vfio.device, &val, 8, BAR2) == 8 && val == 7);
}

static void io_bar_1_0_5(char **args)
{
	uint32_t val = 0;

	(void)args;
	start(EDU_A);
	memory(false);
	check_eio(REGION(0));
	CHECK(pread(vfio.device, &val, 4, REGION(4)) == 4);
	CHECK(pwrite(vfio.device, &val, 4, REGION(4)) == 4);
}

/* A system call on memory that is closed: the host finds nobody to fill it. */
static void closed_buffers_1_0_10(char **args)
{
	uint64_t val = 1;
	int p[2];

	(void)args;
	start(MAIN);
	char *map = bar_map(vfio.device, 2, SIZE);

	check_open(map, 7);
	CHECK(!pipe(p) && write(p[1], &val, 8) == 8);
	memory(false);
	CHECK_ERRNO(read(p[0], map, 8), EFAULT);
	CHECK_ERRNO(write(p[1], map, 8), EFAULT);
	CHECK_ERRNO(pread(vfio.device, map, 8, CONFIG), EFAULT);
	CHECK_ERRNO(pwrite(vfio.device, map, 8, CONFIG + 0x40), EFAULT);
	CHECK_ERRNO(dma_map(vfio.container, map, 0x100000, PAGE), EFAULT);
	memory(true);
	CHECK(dma_map(vfio.container, map, 0x100000, PAGE) == 0);
	check_holds(map, 7);
	CHECK(read(p[0], map, 8) == 8);
	check_holds(map, 1);
}

/* 1.0.6: an ioeventfd of a closed BAR takes its signal, its write is dropped */

static void ioeventfd(uint64_t off, uint64_t data, int fd)
{
	struct vfio_device_ioeventfd arg = {
		.argsz = sizeof(arg),
		.flags = 4, /* bytes */
		.offset = off,
		.data = data,
		.fd = fd,
	};

	CHECK(!ioctl(vfio.device, VFIO_DEVICE_IOEVENTFD, &arg));
}

static void signal_taken(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	CHECK(!eventfd_write(fd, 1));
	while (poll(&p, 1, 0) == 1) /* whoever hangs is ended by alarm() */
		sched_yield();
}

static void ioeventfds_1_0_6(char **args)
{
	int memory_fd = eventfd(0, EFD_NONBLOCK);
	int reg_fd = eventfd(0, EFD_NONBLOCK);

	(void)args;
	start(MAIN);
	char *map = bar_map(vfio.device, 2, PAGE);

	ioeventfd((uint64_t)BAR2 + 64, 42, memory_fd);
	ioeventfd((uint64_t)IRQ_MASK, 43, reg_fd);
	check_open(map + 64, 7);
	reg_write(vfio.device, IRQ_MASK, 8);
	memory(false);
	signal_taken(memory_fd);
	signal_taken(reg_fd);
	/* taken is not yet written or dropped; once it is removed, it is */
	ioeventfd((uint64_t)BAR2 + 64, 42, -1);
	ioeventfd((uint64_t)IRQ_MASK, 43, -1);
	memory(true);
	check_holds(map + 64, 7);
	CHECK(reg_read(vfio.device, IRQ_MASK) == 8);
	ioeventfd((uint64_t)BAR2 + 64, 42, memory_fd);
	ioeventfd((uint64_t)IRQ_MASK, 43, reg_fd);
	signal_taken(memory_fd);
	signal_taken(reg_fd);
	while (reg_read(vfio.device, BAR2 + 64) != 42 ||
	       reg_read(vfio.device, IRQ_MASK) != 43)
		sched_yield();
}

/* 1.0.7: everything that resets or powers off closes, and opens again only if
 * the program's COMMAND.MEMORY is set */

static void config_write(unsigned int pos, uint32_t val, size_t size)
{
	CHECK(pwrite(vfio.device, &val, size, CONFIG + pos) == (ssize_t)size);
}

static void act_hot_reset(void)
{
	CHECK(hot_reset() == 0);
}

static void act_af_flr(void)
{
	config_write(AF_CTL, 1, 1);
}

static void act_pcie_flr(void)
{
	config_write(DEVCTL, 0x8000, 2);
}

static void d3hot_and_back(void *at)
{
	config_write(PMCSR, 3, 2);
	check_closed(at);
	check_eio(BAR2);
	config_write(PMCSR, 0, 2);
}

static void low_power_and_back(void *at)
{
	feature(3);
	check_closed(at);
	feature(5);
}

/* The device's own interrupt wakes it; a program's touch does not. */
static void wakeup_and_back(void *at)
{
	int fd = eventfd(0, EFD_NONBLOCK);
	uint32_t arg[] = {16, 4 | 1u << 17, (uint32_t)fd, 0};

	CHECK(!ioctl(vfio.device, VFIO_DEVICE_FEATURE, arg));
	check_closed(at);
	feature(5);
	check_open(at, 9);
	close(fd);
}

/* With memory on nobody sees it, but that it was unmapped. */
static void closes_and_opens(const char *bdf, unsigned int bar, uint64_t off,
			     size_t len, void (*act)(void))
{
	reopen(bdf);
	char *map = bar_map(vfio.device, bar, len);
	char *at = map + off;

	check_open(at, 5);
	CHECK(mapped_kb(map) > 0);
	act();
	CHECK(mapped_kb(map) == 0);
	check_open(at, 6);
	memory(false);
	check_closed(at);
	act();
	check_closed(at);
	memory(true);
	check_open(at, 7);
	munmap(map, len);
}

static void every_way_1_0_7(char **args)
{
	(void)args;
	start(AF);
	closes_and_opens(AF, 2, 0, PAGE, device_reset);
	closes_and_opens(AF, 2, 0, PAGE, act_af_flr);
	closes_and_opens(AF, 2, 0, PAGE, act_hot_reset);
	closes_and_opens(MAIN, 2, 0, PAGE, act_hot_reset);
	/* a doorbell of the queue that is not there */
	closes_and_opens(PCIE, 0, 0x3000, 0x4000, act_pcie_flr);
	closes_and_opens(PCIE, 0, 0x3000, 0x4000, device_reset);
}

/* Contents of a board's RAM stay in any case. */
static void check_power(const char *bdf, bool keeps_state)
{
	static void (*const ways[])(void *) = {
		d3hot_and_back, low_power_and_back, wakeup_and_back};

	reopen(bdf);
	char *map = bar_map(vfio.device, 2, PAGE);

	for (size_t i = 0; i < COUNT(ways); i++) {
		/* the trapped register tells a reset from none */
		reg_write(vfio.device, IRQ_MASK, 0x55);
		check_open(map, 9);
		ways[i](map);
		check_holds(map, 9);
		CHECK(reg_read(vfio.device, IRQ_MASK) ==
		      (i || keeps_state ? 0x55 : 0));
	}
	/* D0 with memory off in the meantime: it stays closed */
	config_write(PMCSR, 3, 2);
	memory(false);
	config_write(PMCSR, 0, 2);
	check_closed(map);
	memory(true);
	check_holds(map, 9);
	munmap(map, PAGE);
}

static void power_1_0_7(char **args)
{
	(void)args;
	start(AF);
	check_power(AF, true); /* NoSoftRst */
	check_power(MAIN, false);
}

const struct victim_test gate_way_tests[] = {
	{"closed_calls_1_0_5", closed_calls_1_0_5},
	{"io_bar_1_0_5", io_bar_1_0_5},
	{"ioeventfds_1_0_6", ioeventfds_1_0_6},
	{"every_way_1_0_7", every_way_1_0_7},
	{"power_1_0_7", power_1_0_7},
	{"closed_buffers_1_0_10", closed_buffers_1_0_10},
	{NULL, NULL},
};
