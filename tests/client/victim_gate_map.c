/* SPDX-License-Identifier: BSD-3-Clause */
/* The gate's tests of mappings: which there are, and for how long. */
#include "tests/client/victim_gate.h"

/* 1.0.1, 1.2.2: every mapping of every BAR, through whichever descriptor */

#define MAPS_MAX 64

struct maps {
	char *at[MAPS_MAX];
	size_t len[MAPS_MAX];
	int n;
};

/* First and last eight bytes: the first page's, and the last one's. */
static void all_closed(void *arg)
{
	const struct maps *m = arg;

	for (int i = 0; i < m->n; i++) {
		check_closed(m->at[i]);
		check_closed(m->at[i] + m->len[i] - 8);
	}
}

static void all_answer(const struct maps *m)
{
	uint64_t got;

	for (int i = 0; i < m->n; i++) {
		CHECK(!load(m->at[i], &got));
		CHECK(!load(m->at[i] + m->len[i] - 8, &got));
	}
}

static void map_every_bar(int device, struct maps *m)
{
	for (unsigned int i = 0; i < 6; i++) {
		struct vfio_region_info info = {.argsz = sizeof(info),
						.index = i};

		CHECK(!ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &info));
		CHECK(info.offset == (uint64_t)REGION(i));
		if (!(info.flags & VFIO_REGION_INFO_FLAG_MMAP))
			continue;
		CHECK(m->n < MAPS_MAX);
		m->at[m->n] = bar_map(device, i, info.size);
		m->len[m->n++] = info.size;
	}
}

static void check_every_bar(int device)
{
	struct maps m = {.n = 0};

	command_set(device, 2);
	map_every_bar(device, &m);
	CHECK(m.n);
	all_answer(&m);
	command_set(device, 0);
	all_closed(&m);
	check_child(fork_into(all_closed, &m));
	command_set(device, 2);
	all_answer(&m);
	for (int i = 0; i < m.n; i++)
		CHECK(!munmap(m.at[i], m.len[i]));
}

static void every_mapping_1_0_1(char **args)
{
	static const char *const bdf[] = {AF, EDU_A, PCIE, MAIN};

	(void)args;
	start(MAIN);
	for (size_t i = 0; i < COUNT(bdf); i++) {
		reopen(bdf[i]);
		check_every_bar(vfio.device);
	}
	check_every_bar(ioctl(vfio.group, VFIO_GROUP_GET_DEVICE_FD, SIBLING));
}

static void every_descriptor_1_2_2(char **args)
{
	struct maps m = {.n = 3, .len = {PAGE, PAGE, PAGE}};

	(void)args;
	start(MAIN);
	int again = ioctl(vfio.group, VFIO_GROUP_GET_DEVICE_FD, MAIN);
	int copy = dup(vfio.device);

	m.at[0] = bar_map(vfio.device, 2, PAGE);
	m.at[1] = bar_map(again, 2, PAGE);
	m.at[2] = bar_map(copy, 2, PAGE);
	for (uint64_t i = 0; i < 3; i++)
		check_open(m.at[i], i + 1);
	CHECK(!close(copy));
	memory(false); /* through one of them */
	all_closed(&m);
	command_set(again, 2); /* through another */
	for (int i = 0; i < 3; i++)
		check_holds(m.at[i], 3);
}

/* 1.0.2: the same addresses again, in whoever has them */

static void same_again(void *arg)
{
	check_holds(arg, 5);
	check_holds((char *)arg + SIZE - 8, 6);
}

static void same_addresses_1_0_2(char **args)
{
	(void)args;
	start(MAIN);
	char *map = bar_map(vfio.device, 2, SIZE);

	check_open(map, 5);
	check_open(map + SIZE - 8, 6);
	for (int i = 0; i < 3; i++) {
		memory(false);
		check_closed(map);
		memory(true);
		same_again(map);
		check_child(fork_into(same_again, map));
	}
	/* what nobody has touched before either */
	check_open(map + SIZE / 2, 7);
	reopen(EDU_A);
	char *regs = bar_map(vfio.device, 0, PAGE);

	check_open(regs + EDU_SRC, 8);
	memory(false);
	check_closed(regs + EDU_SRC);
	memory(true);
	check_holds(regs + EDU_SRC, 8);
}

/* 1.1.4: a mapping counts once, in however many pieces; a failed one never */

static bool group_is_free(void)
{
	int group = group_try(MAIN);

	CHECK(group >= 0 || group == -EBUSY);
	return group >= 0 && !close(group);
}

static void counted_once_1_1_4(char **args)
{
	(void)args;
	start(MAIN);
	char *map = bar_map(vfio.device, 2, 4 * PAGE);
	char *moved = room_for(PAGE);

	check_open(map, 1);
	move_to(map + 2 * PAGE, PAGE, moved);
	vfio_close(&vfio);
	CHECK(!group_is_free());
	CHECK(!munmap(map, 2 * PAGE));
	CHECK(!group_is_free());
	CHECK(!munmap(map + 3 * PAGE, PAGE));
	CHECK(!group_is_free());
	CHECK(!munmap(moved, PAGE));
	CHECK(group_is_free());
}

static void failed_is_forgotten_1_1_4(char **args)
{
	int fixed = MAP_SHARED | MAP_FIXED_NOREPLACE;

	(void)args;
	start(MAIN);
	char *taken = room_for(PAGE);

	CHECK_ERRNO(map_at((uintptr_t)taken, PAGE, RW, fixed, REGION(2)),
		    EEXIST);
	CHECK_ERRNO(map_at(0, 2 * SIZE, RW, MAP_SHARED, REGION(2)), EINVAL);
	CHECK_ERRNO(map_at(0, PAGE, RW, MAP_PRIVATE, REGION(2)), EINVAL);
	CHECK_ERRNO(map_at(0, PAGE, RW | PROT_EXEC, MAP_SHARED, REGION(2)),
		    EPERM);
	vfio_close(&vfio);
	CHECK(group_is_free());
}

/* 1.1.5: what cannot be populated is not, in no part, and can be later */

static void population_1_1_5(char **args)
{
	(void)args;
	start(MAIN);
	char *map = bar_map(vfio.device, 2, 8 * PAGE);

	feature(3); /* in low power */
	for (size_t i = 0; i < 8; i++)
		check_closed(map + i * PAGE);
	CHECK(mapped_kb(map) == 0);
	feature(5);
	for (size_t i = 0; i < 8; i++)
		check_open(map + i * PAGE, i);
	CHECK(mapped_kb(map) > 0);
}

/* 1.1.7: mappings that fork() and mremap() made */

static void touch_half(void *arg)
{
	check_open(arg, 12);
}

static void split_mappings_1_1_7(char **args)
{
	(void)args;
	start(MAIN);
	char *map = bar_map(vfio.device, 2, 8 * PAGE);
	char *room = room_for(4 * PAGE);

	/* no page of either half has been there before */
	move_to(map + 4 * PAGE, 4 * PAGE, room);
	check_child(fork_into(touch_half, room));
	check_holds(room, 12);
	check_open(map, 10);
	CHECK_ERRNO(mremap(room, 4 * PAGE, 8 * PAGE, MREMAP_MAYMOVE), EFAULT);
	CHECK_ERRNO(mremap(map, 4 * PAGE, 8 * PAGE, 0), EFAULT);
	memory(false);
	check_closed(map);
	check_closed(room);
	memory(true);
	check_child(fork_into(touch_half, room));
	check_holds(map, 10);
}

const struct victim_test gate_map_tests[] = {
	{"every_mapping_1_0_1", every_mapping_1_0_1},
	{"same_addresses_1_0_2", same_addresses_1_0_2},
	{"counted_once_1_1_4", counted_once_1_1_4},
	{"failed_is_forgotten_1_1_4", failed_is_forgotten_1_1_4},
	{"population_1_1_5", population_1_1_5},
	{"split_mappings_1_1_7", split_mappings_1_1_7},
	{"every_descriptor_1_2_2", every_descriptor_1_2_2},
	{NULL, NULL},
};
