/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Container, group, device and a mapping of a BAR, closed in every order; who
 * keeps a group busy; and what a new opener finds.
 */
#include <stdio.h>

#include "conformance/device.h"
#include "conformance/type1.h"

enum part { C, G, D, M, PARTS };

static const char letters[] = "CGDM";

/** struct holding - Everything open, and which of it still is */
struct holding {
	struct vfio v;
	uint8_t *map;
	void *mem;
	bool open[PARTS];
};

static void hold(struct holding *h, const char *role, uint32_t bar)
{
	vfio_open(&h->v, role, 0, DEVICE, VFIO_TYPE1v2_IOMMU);
	command(h->v.device, 0, 4 | 2);
	h->map = bar_map(h->v.device, REGION(bar), PAGE);
	h->mem = anon(PAGE);
	need(dma_map(h->v.container, h->mem, PAGE, PAGE, MAP_RW), "map");
	for (int i = 0; i < PARTS; i++)
		h->open[i] = true;
}

static void let_go(struct holding *h, enum part part)
{
	int *fds[] = {&h->v.container, &h->v.group, &h->v.device};

	h->open[part] = false;
	if (part == M)
		munmap(h->map, PAGE);
	else
		close_fd(fds[part]);
}

/* What of the rest works. */
static void say_rest(const struct holding *h)
{
	uint16_t id = 0;
	struct vfio_group_status st = {.argsz = sizeof(st)};

	say_reopen("open", h->v.function);
	if (h->open[C])
		say_step("map",
			 dma_map(h->v.container, h->mem, PAGE, PAGE, MAP_RW));
	if (h->open[G] &&
	    !say_step("status", ioctl(h->v.group, VFIO_GROUP_GET_STATUS, &st)))
		say("flags=%#x", st.flags);
	if (h->open[D]) {
		say_step("config", pread(h->v.device, &id, sizeof(id),
					 (off_t)CONFIG + 4));
		say("command=%#x", id & 7u);
	}
	if (h->open[M])
		say_touch("bar", h->map, false);
}

/* What the next one finds. */
static void say_next(const struct function *f)
{
	struct vfio v;

	vfio_open(&v, f->role, 0, DEVICE, VFIO_TYPE1v2_IOMMU);
	say("next_command=%#x", cfg(v.device, 4, 2) & 7u);
	say_mappings(v.container);
}

struct order {
	const char *role;
	uint32_t bar;
	int parts[PARTS];
};

static void close_in_order(const void *arg)
{
	const struct order *o = arg;
	struct holding h;

	hold(&h, o->role, o->bar);
	for (int i = 0; i < PARTS; i++) {
		let_go(&h, (enum part)o->parts[i]);
		say("after=%c", letters[o->parts[i]]);
		say_rest(&h);
	}
	say_next(h.v.function);
}

/* The @n-th of the 24 orders. */
static void permutation(unsigned int n, int parts[PARTS])
{
	int left[PARTS] = {C, G, D, M};

	for (unsigned int i = 0; i < PARTS; i++) {
		unsigned int pick = n % (PARTS - i);

		n /= PARTS - i;
		parts[i] = left[pick];
		for (unsigned int j = pick; j < PARTS - 1 - i; j++)
			left[j] = left[j + 1];
	}
}

static void orders(const char *role, uint32_t bar)
{
	struct order o = {.role = role, .bar = bar};

	for (unsigned int n = 0; n < 24; n++) {
		permutation(n, o.parts);
		run(close_in_order, &o, "%s.order.%c%c%c%c", role,
		    letters[o.parts[0]], letters[o.parts[1]],
		    letters[o.parts[2]], letters[o.parts[3]]);
	}
}

/* Who keeps the group */

static void mapping_keeps(const void *arg)
{
	const struct role *role = arg;
	struct vfio v;

	vfio_open(&v, role->name, 0, DEVICE, VFIO_TYPE1v2_IOMMU);
	command(v.device, 0, 2);
	uint8_t *m = bar_map(v.device, REGION(role->bar), 3 * PAGE);

	close_fd(&v.device);
	say_step("unset", ioctl(v.group, VFIO_GROUP_UNSET_CONTAINER));
	munmap(m, PAGE);
	munmap(m + 2 * PAGE, PAGE);
	say_step("part", ioctl(v.group, VFIO_GROUP_UNSET_CONTAINER));
	say_touch("bar", m + PAGE, false);
	munmap(m + PAGE, PAGE);
	say_step("none", ioctl(v.group, VFIO_GROUP_UNSET_CONTAINER));
}

static void mapping_replaced(const void *arg)
{
	const struct role *role = arg;
	struct vfio v;

	vfio_open(&v, role->name, 0, DEVICE, VFIO_TYPE1v2_IOMMU);
	uint8_t *m = bar_map(v.device, REGION(role->bar), PAGE);

	vfio_close(&v);
	say_reopen("open", v.function);
	mmap(m, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	say_reopen("open", v.function);
}

static void mapping_moved(const void *arg)
{
	const struct role *role = arg;
	struct vfio v;

	vfio_open(&v, role->name, 0, DEVICE, VFIO_TYPE1v2_IOMMU);
	command(v.device, 0, 2);
	uint8_t *m = bar_map(v.device, REGION(role->bar), PAGE);
	void *to =
		mremap(m, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, nowhere());

	say_step("move", to == MAP_FAILED ? -1 : 0);
	vfio_close(&v);
	say_reopen("open", v.function);
	say_touch("bar", to, false);
	munmap(to, PAGE);
	say_reopen("open", v.function);
}

static void dup_keeps(const void *arg)
{
	struct vfio v;

	vfio_open(&v, "edu", 0, DEVICE, VFIO_TYPE1v2_IOMMU);
	int copy = dup(v.device);

	vfio_close(&v);
	say_reopen("open", v.function);
	say("vendor=%#x", cfg(copy, 0, 2));
	say("memory=%#x", cfg(copy, 4, 2) & 2u);
	say_step("info", ioctl(copy, VFIO_DEVICE_GET_INFO,
			       &(struct vfio_device_info){.argsz = 16}));
	close(copy);
	say_reopen("open", v.function);
}

static void dup_of_group(const void *arg)
{
	struct vfio v;
	struct vfio_group_status st = {.argsz = sizeof(st)};

	vfio_open(&v, "edu", 0, IOMMU, VFIO_TYPE1v2_IOMMU);
	int copy = dup(v.group);

	close_fd(&v.group);
	say_reopen("open", v.function);
	say_step("status", ioctl(copy, VFIO_GROUP_GET_STATUS, &st));
	say("flags=%#x", st.flags);
	say_step("unset", ioctl(copy, VFIO_GROUP_UNSET_CONTAINER));
	close(copy);
	say_reopen("open", v.function);
}

/* Two files of one device: its state is both files'. */
static void second_file(const void *arg)
{
	struct vfio v;

	vfio_open(&v, "edu", 0, DEVICE, VFIO_TYPE1v2_IOMMU);
	int other = device_open(v.group, v.function);

	command(v.device, 0, 4);
	wr32(v.device, 4, 5);
	close_fd(&v.device);
	say("after_one=%#x", cfg(other, 4, 2) & 7u);
	say("register=%#x", rd32(other, 4));
	close(other);
	other = device_open(v.group, v.function);
	say("after_both=%#x", cfg(other, 4, 2) & 7u);
}

/* Mappings are the container's, and end with its last group. */
static void mappings_end(const void *arg)
{
	struct vfio v;
	void *mem = anon(PAGE);

	vfio_open(&v, "edu", 0, DEVICE, VFIO_TYPE1v2_IOMMU);
	say_step("map", dma_map(v.container, mem, PAGE, PAGE, MAP_RW));
	close_fd(&v.device);
	close_fd(&v.group);
	say_step("no_group", dma_map(v.container, mem, PAGE, PAGE, MAP_RW));
	v.group = group_open(v.function, O_RDWR);
	say_step("join", group_join(v.group, v.container));
	say_step("set_iommu",
		 ioctl(v.container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU));
	say_mappings(v.container);
}

/* A container that is closed goes on, for its group. */
static void container_goes_on(const void *arg)
{
	struct vfio v;

	vfio_open(&v, "edu", 0, IOMMU, VFIO_TYPE1v2_IOMMU);
	close_fd(&v.container);
	v.device = device_open(v.group, v.function);
	say_step("device", v.device < 0 ? -1 : 0);
	say_step("unset", ioctl(v.group, VFIO_GROUP_UNSET_CONTAINER));
	close_fd(&v.device);
	say_step("unset", ioctl(v.group, VFIO_GROUP_UNSET_CONTAINER));
	say_step("unset", ioctl(v.group, VFIO_GROUP_UNSET_CONTAINER));
}

static void interrupts_end(const void *arg)
{
	struct vfio v;

	vfio_open(&v, "edu", 0, DEVICE, VFIO_TYPE1v2_IOMMU);
	say_step("msi", irq_trigger(v.device, MSI, 0, event_new()));
	vfio_close(&v);
	vfio_open(&v, "edu", 0, DEVICE, VFIO_TYPE1v2_IOMMU);
	say_step("signal", set_irqs(v.device, IRQ_NONE | IRQ_TRIGGER, MSI, 0, 1,
				    NULL, 0));
	say_step("msi", irq_trigger(v.device, MSI, 0, event_new()));
}

/* Memory of a BAR is what it was as long as anybody has it. */
static void mapping_holds(const void *arg)
{
	struct vfio v;

	vfio_open(&v, "ram", 0, DEVICE, VFIO_TYPE1v2_IOMMU);
	command(v.device, 0, 2);
	volatile uint32_t *m = (void *)bar_map(v.device, REGION(2), PAGE);

	wr32(v.device, REGION(2) + 64, 0xfeedbeef);
	vfio_close(&v);
	say("loaded=%#x", m[16]);
}

struct keeper {
	const char *name;
	case_fn *fn;
};

/* By a mapping: of a BAR that traps, and of one that is memory */
static const struct keeper mappings[] = {
	{"mapping_keeps", mapping_keeps},
	{"mapping_replaced", mapping_replaced},
	{"mapping_moved", mapping_moved},
};

static const struct keeper keepers[] = {
	{"mapping_holds", mapping_holds},
	{"dup_keeps", dup_keeps},
	{"dup_of_group", dup_of_group},
	{"second_file", second_file},
	{"mappings_end", mappings_end},
	{"container_goes_on", container_goes_on},
	{"interrupts_end", interrupts_end},
};

void area_close(void)
{
	orders("edu", 0);
	orders("ram", 2);
	for (size_t i = 0; i < COUNT(mappings); i++) {
		run(mappings[i].fn, &roles_all[0], "%s", mappings[i].name);
		run(mappings[i].fn, &roles_all[2], "%s.ram", mappings[i].name);
	}
	for (size_t i = 0; i < COUNT(keepers); i++)
		run(keepers[i].fn, NULL, "%s", keepers[i].name);
}
