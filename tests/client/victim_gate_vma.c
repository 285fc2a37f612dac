/* SPDX-License-Identifier: BSD-3-Clause */
/* The gate's tests of what a mapping is like: attributes, place, protection. */
#include "tests/client/victim_gate.h"

#define HUGE	 (2ul << 20)
#define VM_FLAGS "VmFlags:"

/* BARs of both kinds: memory, and registers that trap. */
struct bar {
	const char *bdf;
	unsigned int index;
	size_t off; /* eight bytes that keep what is stored */
};

static const struct bar both[] = {{MAIN, 2, 0x40}, {EDU_A, 0, 0x80}};

static bool has_flag(const void *at, const char *flag)
{
	char flags[SMAPS_LINE];

	smaps_line(at, VM_FLAGS, flags);
	return strstr(flags, flag);
}

/* 1.2.1: the attributes are there with the mapping, and stay */

static void check_attributes(const struct bar *bar)
{
	char before[SMAPS_LINE], now[SMAPS_LINE];

	reopen(bar->bdf);
	char *map = bar_map(vfio.device, bar->index, 4 * PAGE);

	smaps_line(map, VM_FLAGS, before);
	CHECK(strstr(before, " sh") && strstr(before, " dd"));
	for (int i = 0; i < 2; i++) {
		check_open(map + bar->off, 1);
		smaps_line(map, VM_FLAGS, now);
		CHECK(!strcmp(before, now));
		memory(false);
		check_closed(map + bar->off);
		smaps_line(map, VM_FLAGS, now);
		CHECK(!strcmp(before, now));
		memory(true);
		device_reset();
	}
}

static void attributes_1_2_1(char **args)
{
	(void)args;
	start(MAIN);
	for (size_t i = 0; i < COUNT(both); i++)
		check_attributes(&both[i]);
}

/* 1.2.4: index << 40 | offset, and still to be told by it */

#define TRAP_BITS (7ul << 60) /* shim/base/vma.h: not part of the offset */

/* What /proc says lies at @at is this page of this BAR. */
static void check_is(const void *at, const char *bdf, unsigned int bar,
		     unsigned long off)
{
	char line[512], name[64];
	unsigned long first, last, has;
	FILE *f = fopen("/proc/self/maps", "r");
	bool found = false;

	CHECK(f);
	snprintf(name, sizeof(name), ":%s:%u ", bdf, bar);
	while (!found && fgets(line, sizeof(line), f)) {
		CHECK(sscanf(line, "%lx-%lx %*s %lx", &first, &last, &has) ==
		      3);
		found = first == (uintptr_t)at;
	}
	fclose(f);
	CHECK(found && strstr(line, name));
	CHECK((has & ~TRAP_BITS) == off);
}

static void still_there(void *arg)
{
	check_is(arg, MAIN, 2, 6 * PAGE);
}

static void check_place(const struct bar *bar)
{
	uint64_t val = 0x1122334455667788, got = 0;
	off_t pos = REGION(bar->index) + (off_t)bar->off;

	reopen(bar->bdf);
	char *map = bar_map(vfio.device, bar->index, PAGE);

	CHECK(pwrite(vfio.device, &val, 8, pos) == 8);
	check_holds(map + bar->off, val);
	check_open(map + bar->off, 9);
	CHECK(pread(vfio.device, &got, 8, pos) == 8 && got == 9);
	check_is(map, bar->bdf, bar->index, 0);
	memory(false);
	check_is(map, bar->bdf, bar->index, 0);
	CHECK(!munmap(map, PAGE));
}

static void offsets_1_2_4(char **args)
{
	uint64_t val = 77;

	(void)args;
	start(MAIN);
	for (size_t i = 0; i < COUNT(both); i++)
		check_place(&both[i]);
	reopen(MAIN);
	char *map = map_at(0, 2 * PAGE, RW, MAP_SHARED, REGION(2) + 5 * PAGE);
	char *room = room_for(PAGE);

	CHECK(map != MAP_FAILED);
	CHECK(pwrite(vfio.device, &val, 8, REGION(2) + 6 * PAGE) == 8);
	check_holds(map + PAGE, 77);
	check_is(map, MAIN, 2, 5 * PAGE);
	move_to(map + PAGE, PAGE, room);
	still_there(room);
	device_reset();
	memory(false);
	memory(true);
	still_there(room);
	check_child(fork_into(still_there, room));
	CHECK(!munmap(map, PAGE));
	vfio_close(&vfio);
	still_there(room);
	check_holds(room, 77);
}

/* 1.2.5: not private, not in core dumps, not to grow */

static void not_dumped(void *arg)
{
	CHECK(has_flag(arg, " dd"));
}

static void private_dump_grow_1_2_5(char **args)
{
	(void)args;
	start(MAIN);
	for (size_t i = 0; i < COUNT(both); i++) {
		reopen(both[i].bdf);
		off_t pos = REGION(both[i].index);
		char *map = bar_map(vfio.device, both[i].index, 2 * PAGE);
		char *room = room_for(4 * PAGE);

		CHECK_ERRNO(map_at(0, PAGE, RW, MAP_PRIVATE, pos), EINVAL);
		CHECK_ERRNO(map_at(0, PAGE, PROT_READ, MAP_PRIVATE, pos),
			    EINVAL);
		not_dumped(map);
		CHECK_ERRNO(madvise(map, 2 * PAGE, MADV_DODUMP), EINVAL);
		move_to(map, 2 * PAGE, room); /* with room to grow into */
		CHECK(!munmap(room + 2 * PAGE, 2 * PAGE));
		not_dumped(room);
		check_child(fork_into(not_dumped, room));
		CHECK_ERRNO(mremap(room, 2 * PAGE, 3 * PAGE, 0), EFAULT);
		CHECK_ERRNO(mremap(room, 2 * PAGE, 3 * PAGE, MREMAP_MAYMOVE),
			    EFAULT);
		check_open(room + both[i].off, 3);
	}
}

/* 1.2.6: how large a piece is mapped in is the host's business, but whatever
 * the alignment of address, offset and length, no touch fails */

static void unaligned_1_2_6(char **args)
{
	(void)args;
	start(MAIN);
	char *room = room_for(4 * HUGE);
	char *aligned = (char *)(((uintptr_t)room + HUGE - 1) & ~(HUGE - 1));

	for (size_t i = 0; i < 4; i++) {
		char *at = aligned + (i & 1) * PAGE;
		off_t pos = REGION(2) + (i & 2 ? (off_t)PAGE : 0);
		size_t len = HUGE + 3 * PAGE;

		CHECK(map_at((uintptr_t)at, len, RW, MAP_SHARED | MAP_FIXED,
			     pos) == at);
		for (size_t off = 0; off < len; off += 8 * PAGE)
			check_open(at + off, off + i);
		check_open(at + len - 8, i);
		memory(false);
		for (size_t off = 0; off < len; off += 64 * PAGE)
			check_closed(at + off);
		check_closed(at + len - 8);
		CHECK(mapped_kb(at) == 0);
		memory(true);
		check_holds(at + HUGE, HUGE + i);
	}
}

/* One load, however it lies. */
static uint64_t load_unaligned(const char *at, size_t size)
{
	union {
		uint8_t b;
		uint16_t w;
		uint32_t l;
		uint64_t q;
	} __attribute__((packed)) const volatile *any = (const void *)at;

	switch (size) {
	case 1:
		return any->b;
	case 2:
		return any->w;
	case 4:
		return any->l;
	default:
		return any->q;
	}
}

/* Registers too: read() at that offset splits in the same way. */
static void unaligned_registers_1_2_6(char **args)
{
	(void)args;
	start(EDU_A);
	char *regs = bar_map(vfio.device, 0, PAGE);
	char cleared[61];

	for (size_t off = 0; off < 0x30; off++) {
		for (size_t size = 1; size <= 8; size *= 2) {
			uint64_t seen = 0;

			CHECK(pread(vfio.device, &seen, some(size),
				    REGION(0) + (off_t)off) == (ssize_t)size);
			CHECK(load_unaligned(regs + off, size) == seen);
		}
	}
	/* what a compiler makes of clearing a few registers */
	for (size_t off = 0x10; off < 0x20; off++)
		memset(regs + off, 0, sizeof(cleared));
	memory(false);
	for (size_t off = 0; off < 8; off++)
		CHECK(store(regs + off, 1) == SIGBUS);
	memory(true);
	CHECK(is_edu(vfio.device));
}

/* 1.2.7: mapping succeeds with memory off, touching does not */

static void late_1_2_7(char **args)
{
	int flags = MAP_SHARED | MAP_POPULATE;

	(void)args;
	start(MAIN);
	for (size_t i = 0; i < COUNT(both); i++) {
		reopen(both[i].bdf);
		off_t pos = REGION(both[i].index);

		memory(false);
		char *late = bar_map(vfio.device, both[i].index, 2 * PAGE);
		char *populated = map_at(0, PAGE, RW, flags, pos);

		CHECK(populated != MAP_FAILED);
		CHECK(mapped_kb(late) == 0 && mapped_kb(populated) == 0);
		check_closed(late + both[i].off);
		check_closed(populated + both[i].off);
		memory(true);
		check_open(late + both[i].off, 4);
		check_holds(populated + both[i].off, 4);
	}
}

/* 1.2.8: back with the next touch, and not before */

static void lazy_1_2_8(char **args)
{
	(void)args;
	start(MAIN);
	char *map = bar_map(vfio.device, 2, 8 * PAGE);
	char *other = bar_map(vfio.device, 2, 8 * PAGE);

	for (size_t i = 0; i < 8; i++) {
		check_open(map + i * PAGE, i);
		check_open(other + i * PAGE, i);
	}
	for (int i = 0; i < 2; i++) {
		CHECK(mapped_kb(map) > 0 && mapped_kb(other) > 0);
		if (i)
			device_reset();
		else
			memory(false);
		memory(true);
		CHECK(mapped_kb(map) == 0 && mapped_kb(other) == 0);
		check_holds(map, 0);
		CHECK(mapped_kb(map) > 0 && mapped_kb(other) == 0);
		check_holds(other, 0);
	}
}

/* 1.2.9: protection is looked at first */

static void check_protected(void *at)
{
	CHECK(store(at, 1) == SIGSEGV);
	CHECK(fault.si_code == SEGV_ACCERR && fault.si_addr == at);
}

static void read_only_1_2_9(char **args)
{
	uint64_t got;

	(void)args;
	start(MAIN);
	for (size_t i = 0; i < COUNT(both); i++) {
		reopen(both[i].bdf);
		char *map = map_at(0, PAGE, PROT_READ, MAP_SHARED,
				   REGION(both[i].index));
		char *at = map + both[i].off;

		CHECK(map != MAP_FAILED);
		check_protected(at); /* before any other touch */
		CHECK(!load(at, &got));
		check_protected(at);
		memory(false);
		check_protected(at);
		CHECK(load(at, &got) == SIGBUS);
	}
}

const struct victim_test gate_vma_tests[] = {
	{"attributes_1_2_1", attributes_1_2_1},
	{"offsets_1_2_4", offsets_1_2_4},
	{"private_dump_grow_1_2_5", private_dump_grow_1_2_5},
	{"unaligned_1_2_6", unaligned_1_2_6},
	{"unaligned_registers_1_2_6", unaligned_registers_1_2_6},
	{"late_1_2_7", late_1_2_7},
	{"lazy_1_2_8", lazy_1_2_8},
	{"read_only_1_2_9", read_only_1_2_9},
	{NULL, NULL},
};
