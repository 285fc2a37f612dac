/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What threads and messages of softvfio's could get wrong between processes:
 * answers that are another's, and the death of a program whose device is in the
 * middle of DMA.
 */
#include <signal.h>

#include "tests/abi/abi.h"

/* edu's registers */
enum {
	EDU_SRC = 0x80,
	EDU_DST = 0x88,
	EDU_COUNT = 0x90,
	EDU_CMD = 0x98,
};

#define EDU_ID	   0x010000edu /* at 0 */
#define EDU_BUFFER 0x40000
#define EDU_START  1
#define EDU_STORE  2
#define IOVA	   0x100000

/* Both at once, with many calls each. */
static int hammer(const struct vfio *v)
{
	for (int i = 0; i < 500; i++)
		if (cfg(v->device, 0, 4) != 0x11e81234 ||
		    rd32(v->device, REGION(0)) != EDU_ID)
			return 1;
	return 0;
}

static void check_parallel(void)
{
	struct vfio v;

	device_all(&v, "edu", 0);
	pid_t pid = fork();

	if (!pid)
		_exit(hammer(&v));
	want(hammer(&v), 0, "fork: the parent's calls get their own answers");
	want(wait_child(pid), 0, "fork: and the child's get theirs");
	vfio_close(&v);
}

/* Death */

static void move_page(int d, uint32_t from, uint32_t to, uint32_t cmd)
{
	wr32(d, REGION(0) + EDU_SRC, from);
	wr32(d, REGION(0) + EDU_DST, to);
	wr32(d, REGION(0) + EDU_COUNT, PAGE);
	wr32(d, REGION(0) + EDU_CMD, cmd);
	while (rd32(d, REGION(0) + EDU_CMD) & EDU_START)
		;
}

/* Opens everything, starts everything and waits for the end. */
static int victim(int ready)
{
	struct vfio v;
	uint8_t *mem = anon(PAGE);

	device_all(&v, "edu", 0);
	need(dma_map(v.container, mem, IOVA, PAGE, MAP_RW), "MAP_DMA");
	need(irq_trigger(v.device, MSI, 0, event_new()), "MSI");
	volatile uint32_t *bar = (void *)bar_map(v.device, REGION(0), PAGE);

	if (*bar != EDU_ID || write(ready, "r", 1) != 1)
		return 1;
	for (;;) {
		move_page(v.device, IOVA, EDU_BUFFER, EDU_START);
		move_page(v.device, EDU_BUFFER, IOVA, EDU_START | EDU_STORE);
	}
}

static pid_t victim_start(int *ret_ready)
{
	int ends[2];

	need(pipe2(ends, O_CLOEXEC), "pipe");
	pid_t pid = fork();

	if (!pid) {
		alarm(30);
		close(ends[0]);
		_exit(victim(ends[1]));
	}
	close(ends[1]);
	*ret_ready = ends[0];
	return pid;
}

static long mapped_anew(int container)
{
	return R(dma_map(container, anon(PAGE), IOVA, PAGE, MAP_RW));
}

static void check_death(int round)
{
	const struct function *f = function_need("edu", 0);
	struct vfio v;
	char byte = 0;
	int ready;
	pid_t pid = victim_start(&ready);

	want(R(read(ready, &byte, 1)), 1, "death %d: everything is open",
	     round);
	want(R(group_open(f, O_RDWR)), -EBUSY, "death %d: the group is busy",
	     round);
	kill(pid, SIGKILL);
	want(wait_child(pid), -SIGKILL, "death %d: killed", round);
	vfio_open(&v, "edu", 0, DEVICE, VFIO_TYPE1v2_IOMMU);
	want(cfg(v.device, 4, 2) & 4, 0,
	     "death %d: the next opener finds MASTER off", round);
	want(mapped_anew(v.container), 0, "death %d: and no mappings", round);
	want(rd32(v.device, REGION(0)), EDU_ID,
	     "death %d: and a device that works", round);
	vfio_close(&v);
	close(ready);
}

void test_process(void)
{
	check_parallel();
	for (int round = 1; round <= 3; round++)
		check_death(round);
}
