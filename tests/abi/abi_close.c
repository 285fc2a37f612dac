/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Lifetimes: container, group, device and a mapping, closed in any order, and
 * what keeps a group busy meanwhile.
 */
#include "tests/abi/abi.h"

enum part { CONTAINER, GROUP, DEVICE, MAPPING, PARTS };

static const char *const letters = "CGDM";

/* Everything open, and which of it still is. */
struct holding {
	const char *role;
	struct vfio v;
	uint8_t *map;
	bool open[PARTS];
};

static void hold(struct holding *h, const char *role, uint64_t bar)
{
	h->role = role;
	vfio_open(&h->v, role);
	set_command(h->v.device, 0, 4 | 2);
	h->map = mmap(NULL, PAGE, RW, MAP_SHARED, h->v.device, (off_t)bar);
	for (int i = 0; i < PARTS; i++)
		h->open[i] = true;
}

static void let_go(struct holding *h, enum part part)
{
	int *fds[] = {&h->v.container, &h->v.group, &h->v.device};

	h->open[part] = false;
	if (part == MAPPING)
		munmap(h->map, PAGE);
	else
		close_fd(fds[part]);
}

/* Can the group be opened now? It must say so at once. */
static bool group_as_expected(const struct holding *h)
{
	bool busy = h->open[GROUP] || h->open[DEVICE] || h->open[MAPPING];
	long fd = group_try(h->role);

	if (fd >= 0)
		close((int)fd);
	return busy ? fd == -EBUSY : fd >= 0;
}

/* What is left has to work. */
static bool rest_works(const struct holding *h)
{
	uint32_t id = 0;

	if (h->open[DEVICE] && (cfg(h->v.device, 0, 2) == UINT32_MAX ||
				!(cfg(h->v.device, 4, 2) & 4)))
		return false;
	if (h->open[MAPPING] && touch(h->map, false).signal)
		return false;
	if (h->open[DEVICE] && pread(h->v.device, &id, 4, (off_t)CONFIG) != 4)
		return false;
	return true;
}

static void close_in_order(const char *role, uint64_t bar, const int *order)
{
	struct holding h;
	char name[PARTS + 1] = {0};
	bool busy = true;
	bool works = true;

	hold(&h, role, bar);
	for (int i = 0; i < PARTS; i++) {
		name[i] = letters[order[i]];
		let_go(&h, (enum part)order[i]);
		busy &= group_as_expected(&h);
		works &= rest_works(&h);
	}
	ok(busy, "close: %s: %s: the group is busy as long as it should", role,
	   name);
	ok(works, "close: %s: %s: what is left works", role, name);
	vfio_open(&h.v, role);
	want(cfg(h.v.device, 4, 2) & 4, 0,
	     "close: %s: %s: bus mastering is off afterwards", role, name);
	vfio_close(&h.v);
}

/* All 24 orders. */
static void close_orders(const char *role, uint64_t bar)
{
	for (int n = 0; n < 24; n++) {
		int left[PARTS] = {CONTAINER, GROUP, DEVICE, MAPPING};
		int order[PARTS];
		int code = n;

		for (int i = 0; i < PARTS; i++) {
			int pick = code % (PARTS - i);

			code /= PARTS - i;
			order[i] = left[pick];
			for (int j = pick; j < PARTS - 1 - i; j++)
				left[j] = left[j + 1];
		}
		close_in_order(role, bar, order);
	}
}

/* The mapping is the device's last user. */
static void mapping_is_user(const char *role, uint64_t bar)
{
	struct vfio v;

	vfio_open(&v, role);
	uint8_t *m = mmap(NULL, 3 * PAGE, RW, MAP_SHARED, v.device, (off_t)bar);

	close_fd(&v.device);
	want(R(ioctl(v.group, VFIO_GROUP_UNSET_CONTAINER)), -EBUSY,
	     "close: %s: UNSET_CONTAINER while only a mapping lives", role);
	munmap(m, PAGE);
	munmap(m + 2 * PAGE, PAGE);
	want(R(ioctl(v.group, VFIO_GROUP_UNSET_CONTAINER)), -EBUSY,
	     "close: %s: also while a part of it does", role);
	want(touch(m + PAGE, false).signal, 0,
	     "close: %s: that part can be touched", role);
	munmap(m + PAGE, PAGE);
	want(R(ioctl(v.group, VFIO_GROUP_UNSET_CONTAINER)), 0,
	     "close: %s: not any more", role);
	vfio_close(&v);
}

/* MAP_FIXED over the mapping ends it as munmap does. */
static void mapping_replaced(const char *role, uint64_t bar)
{
	struct vfio v;

	vfio_open(&v, role);
	void *m = mmap(NULL, PAGE, RW, MAP_SHARED, v.device, (off_t)bar);

	vfio_close(&v);
	want(group_try(role), -EBUSY, "close: %s: a mapping keeps the group",
	     role);
	mmap(m, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	long g = group_try(role);

	ok(g >= 0, "close: %s: until something is mapped over it", role);
	if (g >= 0)
		close((int)g);
	munmap(m, PAGE);
}

static int wait_for_end(void *arg)
{
	const int *ends = arg;
	char byte;

	close(ends[1]);
	return (int)read(ends[0], &byte, 1);
}

/* A child that inherited everything. */
static void child_keeps(const char *role, uint64_t bar)
{
	struct vfio v;
	int ends[2];

	if (pipe(ends))
		return;
	vfio_open(&v, role);
	void *m = mmap(NULL, PAGE, RW, MAP_SHARED, v.device, (off_t)bar);
	pid_t pid = fork();

	if (!pid) {
		vfio_close(&v);
		_exit(wait_for_end(ends));
	}
	munmap(m, PAGE);
	vfio_close(&v);
	want(group_try(role), -EBUSY,
	     "close: %s: a child's inherited mapping keeps the group", role);
	close(ends[1]);
	want(wait_child(pid), 0, "close: %s: the child ends", role);
	close(ends[0]);
	long g = group_try(role);

	ok(g >= 0, "close: %s: and with it the mapping", role);
	if (g >= 0)
		close((int)g);
}

static void dup_keeps(void)
{
	struct vfio v;

	vfio_open(&v, "edu");
	int copy = dup(v.device);

	vfio_close(&v);
	want(cfg(copy, 4, 2) & 2, 2, "close: a dup of the device works");
	want(group_try("edu"), -EBUSY, "close: and keeps the group");
	want(R(ioctl(copy, VFIO_DEVICE_GET_INFO,
		     &(struct vfio_device_info){.argsz = 16})),
	     0, "close: device ioctls work after group and container");
	close(copy);
	long g = group_try("edu");

	ok(g >= 0, "close: until it is closed");
	close((int)g);
}

/* Two files of one device: state lives as long as either. */
static void second_open(void)
{
	struct vfio v;

	vfio_open(&v, "edu");
	int other = device_open(v.group, "edu");

	set_command(v.device, 0, 4);
	wr32(v.device, BAR0 + EDU_LIVENESS, 5);
	close_fd(&v.device);
	want(cfg(other, 4, 2) & 4, 4, "close: one of two leaves COMMAND");
	want(rd32(other, BAR0 + EDU_LIVENESS), (long)(uint32_t)~5u,
	     "close: one of two does not reset the device");
	close(other);
	other = device_open(v.group, "edu");
	want(cfg(other, 4, 2) & 4, 0, "close: the last one clears MASTER");
	close(other);
	vfio_close(&v);
}

/* Mappings are the container's: gone with its last file and group. */
static void mappings_gone(void)
{
	void *mem = anon(PAGE);
	struct vfio v;

	vfio_open(&v, "edu");
	dma_map(v.container, mem, PAGE, PAGE, MAP_RW);
	close_fd(&v.device);
	close_fd(&v.group);
	want(dma_map(v.container, mem, 2 * PAGE, PAGE, MAP_RW), -EINVAL,
	     "close: the group takes the IOMMU along");
	v.group = group_open("edu");
	want(set_container(v.group, v.container), 0,
	     "close: the group joins again");
	want(R(ioctl(v.container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU)), 0,
	     "close: SET_IOMMU again");
	want(dma_avail(v.container), 65535, "close: no mapping is left");
	vfio_close(&v);
}

/* An interrupt that is on when the device is closed is off afterwards. */
static void irqs_gone(void)
{
	struct vfio v;
	int event = event_fd();

	vfio_open(&v, "edu");
	irq_eventfd(v.device, 1, 0, event);
	vfio_close(&v);
	vfio_open(&v, "edu");
	want(set_irqs(v.device,
		      VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER, 1,
		      0, 1, NULL, 0),
	     -EINVAL, "close: MSI is off for the next opener");
	vfio_close(&v);
	close(event);
}

static void lifetimes_of(const char *role, uint64_t bar)
{
	close_orders(role, bar);
	mapping_is_user(role, bar);
	mapping_replaced(role, bar);
	child_keeps(role, bar);
}

void test_close(void)
{
	if (!have("edu"))
		return;
	lifetimes_of("edu", BAR0);
	dup_keeps();
	second_open();
	mappings_gone();
	irqs_gone();
	if (have("ram"))
		lifetimes_of("ram", BAR2);
}
