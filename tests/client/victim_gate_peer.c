/* SPDX-License-Identifier: BSD-3-Clause */
/* Gates that other devices' DMA meets. */
#include "tests/client/victim_gate.h"

#include <sched.h>

struct pair {
	int from; /* the device whose DMA it is */
	uint64_t to;
	int gate; /* the one that is turned off and on */
	unsigned long rounds;
};

/* Its own decode may be off: then it does not start, or cannot be asked. */
static void *dma_all_day(void *arg)
{
	const struct pair *p = arg;
	uint64_t regs[] = {EDU_BUF, p->to, 4};
	uint64_t run = 1 | 2; /* out of the buffer */

	while (!atomic_load(&shared->stop)) {
		for (int i = 0; i < 3; i++)
			if (pwrite(p->from, &regs[i], 8,
				   REGION(0) + EDU_SRC + 8 * i) < 0)
				CHECK(errno == EIO);
		if (pwrite(p->from, &run, 8, REGION(0) + 0x98) < 0)
			CHECK(errno == EIO);
	}
	return NULL;
}

static void *gate_all_day(void *arg)
{
	const struct pair *p = arg;

	for (unsigned long i = 0; i < p->rounds; i++) {
		command_set(p->gate, 4);
		command_set(p->gate, 6);
	}
	return NULL;
}

/* DMA from one's buffer to the other's register, which keeps what it is not. */
static void check_reaches(int from, int to, uint64_t bar)
{
	uint32_t *word = anon(PAGE);

	*word = 0x12345678;
	CHECK(is_edu(from) && is_edu(to));
	while (reg_read(from, REGION(0) + EDU_SRC + 24) & 1)
		sched_yield(); /* the last of those that nobody waited for */
	CHECK(!dma_map(vfio.container, word, 0x3000000, PAGE));
	edu_fetch(from, 0x3000000, 4);
	edu_store(from, bar + EDU_LIVE, 4);
	CHECK(reg_read(to, REGION(0) + EDU_LIVE) == ~*word);
	CHECK(!dma_unmap(vfio.container, 0x3000000, PAGE));
}

static void each_other(char **args)
{
	unsigned long rounds = rounds_of(args);
	int container, group, second;
	pthread_t dma[2], gate[2];

	start(EDU_A);
	container = vfio.container;
	group = group_try(EDU_B);
	CHECK(group >= 0);
	CHECK(!ioctl(group, VFIO_GROUP_SET_CONTAINER, &container));
	second = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, EDU_B);
	CHECK(second >= 0);
	command_set(vfio.device, 6);
	command_set(second, 6);

	char *a = bar_map(vfio.device, 0, 1ul << 20);
	char *b = bar_map(second, 0, 1ul << 20);

	CHECK(!dma_map(container, a, 0x1000000, 1ul << 20));
	CHECK(!dma_map(container, b, 0x2000000, 1ul << 20));
	struct pair pairs[] = {
		{vfio.device, 0x2000000 + EDU_LIVE, vfio.device, rounds},
		{second, 0x1000000 + EDU_LIVE, second, rounds},
	};

	for (int i = 0; i < 2; i++) {
		CHECK(!pthread_create(&dma[i], NULL, dma_all_day, &pairs[i]));
		CHECK(!pthread_create(&gate[i], NULL, gate_all_day, &pairs[i]));
	}
	for (int i = 0; i < 2; i++)
		CHECK(!pthread_join(gate[i], NULL));
	atomic_store(&shared->stop, true);
	for (int i = 0; i < 2; i++)
		CHECK(!pthread_join(dma[i], NULL));
	check_reaches(vfio.device, second, 0x2000000);
	check_reaches(second, vfio.device, 0x1000000);
}

/* Into a peer that is closed: aborted, and what is there stays. */
static void aborted_peer(char **args)
{
	(void)args;
	start(EDU_A);
	int group = group_try(MAIN);

	CHECK(!ioctl(group, VFIO_GROUP_SET_CONTAINER, &vfio.container));
	int peer = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, MAIN);

	CHECK(peer >= 0);
	command_set(vfio.device, 6);
	command_set(peer, 2);
	char *map = bar_map(peer, 2, PAGE);

	check_open(map, 0x1234);
	CHECK(!dma_map(vfio.container, map, 0x1000000, PAGE));
	edu_fetch(vfio.device, 0x1000000, 8); /* the buffer holds 0x1234 */
	check_open(map, 0x5678);
	command_set(peer, 0);
	edu_store(vfio.device, 0x1000000, 8);
	command_set(peer, 2);
	check_holds(map, 0x5678);
	edu_store(vfio.device, 0x1000000, 8);
	check_holds(map, 0x1234);
}

const struct victim_test gate_peer_tests[] = {
	{"each_other", each_other},
	{"aborted_peer", aborted_peer},
	{NULL, NULL},
};
