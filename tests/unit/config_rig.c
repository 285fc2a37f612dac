/* SPDX-License-Identifier: BSD-3-Clause */
/* Accesses and events: tests/unit/config_rig.h. */
#include <sched.h>
#include <stdlib.h>

#include "tests/unit/config_rig.h"

const struct sv_shape nvme_like = {
	.vendor = 0x1234,
	.device = 0x5678,
	.subsys_device = 0x9abc,
	.class_code = 0x010802,
	.revision = 3,
	.bar = {{.size = 0x4000, .kind = SV_BAR_MEM64},
		{0},
		{.size = 64, .kind = SV_BAR_IO},
		{.size = 0x1000, .kind = SV_BAR_MEM32, .prefetch = true},
		{.size = 4ull << 32, .kind = SV_BAR_MEM64, .prefetch = true},
		{0}},
	.rom_size = 0x800,
	.msi = 8,
	.msi_maskable = true,
	.msix = 33,
	.msix_bar = 3,
	.msix_table = 0x200,
	.msix_pba = 0x800,
};

static const uint64_t bases[7] = {
	0x380000004000, 0, 0xc040, 0xfe001000, 0x381000000000, 0, 0xfe002000,
};

uint32_t raw(struct fixture *f, unsigned int pos, unsigned int size)
{
	uint32_t val = 0;

	assert_int_equal(config_raw_read(f->c, pos, &val, size), size);
	return val;
}

void raw_set(struct fixture *f, unsigned int pos, unsigned int size,
	     uint32_t val)
{
	assert_int_equal(config_raw_write(f->c, pos, &val, size), size);
}

uint32_t get(struct fixture *f, unsigned int pos, unsigned int size)
{
	uint32_t val = 0;

	assert_int_equal(config_read(f->c, pos, &val, size), size);
	return val;
}

void set(struct fixture *f, unsigned int pos, unsigned int size, uint32_t val)
{
	assert_int_equal(config_write(f->c, pos, &val, size), size);
}

static void record(struct fixture *f, enum what what, unsigned int arg,
		   unsigned int arg2)
{
	struct event *e = &f->event[f->n_events];

	if (f->racing) {
		if (atomic_fetch_add(&f->inside, 1))
			atomic_store(&f->overlap, true);
		sched_yield();
		atomic_fetch_sub(&f->inside, 1);
		return;
	}
	assert_true(f->n_events < 16);
	f->n_events++;
	*e = (struct event){
		.what = what,
		.arg = arg,
		.arg2 = arg2,
		.memory = config_memory_enabled(f->c),
		.command = (uint16_t)raw(f, PCI_COMMAND, 2),
		.pmcsr = (uint16_t)raw(f, PMCSR, 2),
	};
}

static void on_memory(void *opaque, bool enable)
{
	record(opaque, MEMORY, enable, 0);
}

static void on_power(void *opaque, unsigned int from, unsigned int to)
{
	record(opaque, POWER, from, to);
}

static void on_reset(void *opaque)
{
	struct fixture *f = opaque;

	record(f, RESET, 0, 0);
	config_reset(f->c);
}

static void on_intx(void *opaque, bool disable)
{
	record(opaque, INTX, disable, 0);
}

static const struct config_events events = {
	.memory = on_memory,
	.power = on_power,
	.function_reset = on_reset,
	.intx_disable = on_intx,
};

void shape_is(struct fixture *f, const struct sv_shape *shape)
{
	f->c = config_free(f->c);
	assert_int_equal(config_new(shape, 11, bases, &events, f, &f->c), 0);
	config_open(f->c);
}

int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	*state = f;
	shape_is(f, &nvme_like);
	return 0;
}

int teardown(void **state)
{
	struct fixture *f = *state;

	config_free(f->c);
	free(f);
	return 0;
}

struct event one_event(struct fixture *f, enum what what)
{
	assert_int_equal(f->n_events, 1);
	assert_int_equal(f->event[0].what, what);
	f->n_events = 0;
	return f->event[0];
}

void no_event(struct fixture *f)
{
	assert_int_equal(f->n_events, 0);
}
