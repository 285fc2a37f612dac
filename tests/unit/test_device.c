/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * core/pci/device.h with several callers at once: what a program does to a
 * function while it is turned off, reset or closed under it.
 */
#include <errno.h>
#include <linux/pci_regs.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/cleanup.h"
#include "tests/unit/bus_rig.h"
#include "tests/unit/map_rig.h"

#define DEADLINE_NS 10000000000ull
#define A_WHILE_NS  50000000ull

/* Registers of the model below; all others read as 0. */
#define REG_HOLD 0x10 /* a read of it does not return until let go */
#define REG_DMA	 0x20 /* a write of it is a DMA write to that address */

/* What the test and the callers in the model tell each other. */
static struct {
	struct mutex lock;
	struct cond changed;
	bool holding; /* a read of REG_HOLD is in the model */
	bool let_go;
	bool done; /* what was to wait for it has returned */
	bool done_first;
} talk;

static void say(bool *what)
{
	mutex_lock(&talk.lock);
	*what = true;
	cond_broadcast(&talk.changed);
	mutex_unlock(&talk.lock);
}

static bool heard(const bool *what, uint64_t for_ns)
{
	uint64_t deadline = clock_ns() + for_ns;
	bool late = false;

	mutex_lock(&talk.lock);
	while (!*what && !late)
		late = !cond_wait_until(&talk.changed, &talk.lock, deadline);
	bool said = *what;

	mutex_unlock(&talk.lock);
	return said;
}

static void model_reset(struct sv_dev *dev, enum sv_reset why)
{
}

static uint64_t model_read(struct sv_dev *dev, unsigned int bar, uint64_t off,
			   unsigned int size)
{
	if (off != REG_HOLD)
		return 0;
	say(&talk.holding);
	heard(&talk.let_go, DEADLINE_NS);
	/* whoever has to wait for us would return now, if it did not */
	talk.done_first = heard(&talk.done, A_WHILE_NS);
	return 1;
}

static void model_write(struct sv_dev *dev, unsigned int bar, uint64_t off,
			uint64_t val, unsigned int size)
{
	uint32_t data = 0;

	if (off == REG_DMA)
		sv_dma_write(dev, val, &data, sizeof(data));
}

/* The middle one of the pages of BAR 2 has the model's registers. */
static const struct sv_stretch registers[] = {{4096, 4096}, {0, 0}};

static const struct sv_dev_ops model = {
	.api = SV_API,
	.name = "model",
	.shape =
		{
			.vendor = 0x1234,
			.device = 0x5678,
			.bar[0] = {.size = 4096,
				   .kind = SV_BAR_MEM32,
				   .access = SV_ACCESS_TRAP},
			.bar[1] = {.size = 4096,
				   .kind = SV_BAR_MEM32,
				   .access = SV_ACCESS_DIRECT},
			.bar[2] = {.size = 16384,
				   .kind = SV_BAR_MEM32,
				   .access = SV_ACCESS_DIRECT,
				   .trapped = registers},
		},
	.reset = model_reset,
	.read = model_read,
	.write = model_write,
};

struct fixture {
	struct bus_rig bus;
	struct type1 *type1;
	struct sv_dev *dev;
	atomic_bool stop;
	unsigned int wrong;
};

static int set_up(void **state)
{
	static struct fixture f;
	char err[256];

	memset(&f, 0, sizeof(f));
	memset(&talk, 0, sizeof(talk));
	mutex_init(&talk.lock, RANK_LEAF, "test.talk");
	cond_init(&talk.changed);
	bus_begin(&f.bus);
	f.type1 = rig_type1(TYPE1_V2, 8);
	assert_non_null(f.type1);

	struct device_host host = bus_host(&f.bus, "0000:01:00.0", &model);

	assert_int_equal(device_new(&host, err, &f.dev), 0);
	*state = &f;
	return 0;
}

static void a_model_of_another_version_is_refused(void **state)
{
	struct sv_dev_ops other = model;
	struct bus_space space = BUS_SPACE_INIT;
	struct device_host host = {
		.name = "0000:02:00.0",
		.ops = &other,
		.space = &space,
		.inotify = -1,
	};
	struct sv_dev *dev = NULL;
	char err[256];

	other.name = "older";
	other.api = SV_API - 1;
	assert_int_equal(device_new(&host, err, &dev), -EINVAL);
	assert_non_null(strstr(err, "older"));
	assert_non_null(strstr(err, "version 0"));
	assert_null(dev);
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	bus_end(&f->bus, f->dev);
	type1_put(f->type1);
	cond_done(&talk.changed);
	mutex_done(&talk.lock);
	return 0;
}

static void open_attached(struct fixture *f)
{
	assert_int_equal(device_open(f->dev), 0);
	assert_int_equal(device_attach(f->dev, type1_domain(f->type1)), 0);
}

static void command(struct fixture *f, uint16_t value)
{
	uint64_t pos = 7ull << REGION_SHIFT | PCI_COMMAND;

	assert_int_equal(device_write(f->dev, pos, &value, 2, 2), 2);
}

static void *read_hold(void *arg)
{
	struct fixture *f = arg;
	uint64_t val = 0;

	f->wrong = device_access(f->dev, 0, REG_HOLD, 4, false, &val) != 0;
	return NULL;
}

static void *turn_off(void *arg)
{
	command(arg, 0);
	say(&talk.done);
	return NULL;
}

/* Once the write of COMMAND has returned, nothing reaches the model. */
static void turning_memory_off_waits_for_an_access(void **state)
{
	struct fixture *f = *state;
	pthread_t reader, writer;
	uint64_t val = 0;

	open_attached(f);
	pthread_create(&reader, NULL, read_hold, f);
	assert_true(heard(&talk.holding, DEADLINE_NS));
	pthread_create(&writer, NULL, turn_off, f);
	say(&talk.let_go);
	pthread_join(reader, NULL);
	pthread_join(writer, NULL);
	assert_false(talk.done_first);
	assert_int_equal(f->wrong, 0);
	assert_int_equal(device_access(f->dev, 0, 0, 4, false, &val), -EFAULT);
	device_close(f->dev);
}

static void *keep_resetting(void *arg)
{
	struct fixture *f = arg;

	while (!atomic_load(&f->stop))
		device_reset(f->dev);
	return NULL;
}

static void a_reset_does_not_turn_memory_on_again(void **state)
{
	struct fixture *f = *state;
	pthread_t resetter;

	open_attached(f);
	pthread_create(&resetter, NULL, keep_resetting, f);
	for (int i = 0; i < 300; i++) {
		command(f, 0);
		f->wrong += device_fault(f->dev, 1, 0) != -EFAULT;
		command(f, PCI_COMMAND_MEMORY);
		f->wrong += device_fault(f->dev, 1, 0) != 0;
	}
	atomic_store(&f->stop, true);
	pthread_join(resetter, NULL);
	assert_int_equal(f->wrong, 0);
	device_close(f->dev);
}

static void a_function_nobody_has_open_answers_nobody(void **state)
{
	struct fixture *f = *state;
	uint64_t val = 0;

	for (int i = 0; i < 2; i++) {
		for (unsigned int bar = 0; bar < 2; bar++) {
			assert_int_equal(device_fault(f->dev, bar, 0), -EFAULT);
			assert_int_equal(
				device_access(f->dev, bar, 0, 4, false, &val),
				-EFAULT);
		}
		assert_int_equal(device_reset(f->dev), 0);
		assert_int_equal(device_fault(f->dev, 1, 0), -EFAULT);
		open_attached(f);
		assert_int_equal(device_fault(f->dev, 1, 0), 0);
		assert_int_equal(device_access(f->dev, 0, 0, 4, false, &val),
				 0);
		device_close(f->dev);
	}
}

/* Memory gives back what was written; the model says 0. */
static void check_goes_to(struct sv_dev *dev, uint64_t off, bool to_model)
{
	uint32_t val = 0x5a5a5a5a, got = 1;
	uint64_t pos = 2ull << REGION_SHIFT | off, loaded;

	assert_int_equal(device_write(dev, pos, &val, 4, 4), 4);
	assert_int_equal(device_read(dev, pos, &got, 4), 4);
	assert_int_equal(got, to_model ? 0 : val);
	assert_int_equal(device_access(dev, 2, off, 4, false, &loaded), 0);
	assert_int_equal(loaded, to_model ? 0 : val);
}

static void some_pages_of_a_direct_bar_are_registers(void **state)
{
	struct fixture *f = *state;
	uint8_t across[8], seen[8];

	open_attached(f);
	check_goes_to(f->dev, 4092, false);
	check_goes_to(f->dev, 4096, true);
	check_goes_to(f->dev, 8188, true);
	check_goes_to(f->dev, 8192, false);
	assert_int_equal(sv_bar_memory(f->dev, 2)[4096], 0);
	assert_int_equal(
		device_read(f->dev, 2ull << REGION_SHIFT | 4092, across, 8), 8);
	memcpy(seen, "ZZZZ\0\0\0", 8);
	assert_memory_equal(across, seen, 8);
	device_close(f->dev);
}

static void a_peer_meets_the_registers_among_memory(void **state)
{
	struct fixture *f = *state;
	uint8_t all[16384];

	open_attached(f);
	memset(all, 0x5a, sizeof(all));
	assert_int_equal(
		device_p2p.access(f->dev, 2, 0, all, sizeof(all), true), 0);
	assert_int_equal(
		device_p2p.access(f->dev, 2, 0, all, sizeof(all), false), 0);
	for (size_t i = 0; i < sizeof(all); i++)
		assert_int_equal(all[i], i / 4096 == 1 ? 0 : 0x5a);
	device_close(f->dev);
}

static void a_mapping_traps_where_the_registers_are(void **state)
{
	static const struct {
		uint64_t off, len;
		size_t n;
		struct device_range range[3];
	} row[] = {
		{0, 16384, 3, {{4096, false}, {4096, true}, {8192, false}}},
		{0, 4096, 1, {{4096, false}}},
		{0, 4097, 2, {{4096, false}, {4096, true}}},
		{4096, 1, 1, {{4096, true}}},
		{4096, 12288, 2, {{4096, true}, {8192, false}}},
		{8192, 8192, 1, {{8192, false}}},
	};
	struct fixture *f = *state;
	struct device_range got[DEVICE_RANGES_MAX];

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		uint64_t pos = 2ull << REGION_SHIFT | row[i].off;

		assert_int_equal(device_ranges(f->dev, pos, row[i].len, got),
				 row[i].n);
		for (size_t j = 0; j < row[i].n; j++) {
			assert_int_equal(got[j].len, row[i].range[j].len);
			assert_int_equal(got[j].trap, row[i].range[j].trap);
		}
	}
	assert_int_equal(device_ranges(f->dev, 0, 4096, got), 1);
	assert_true(got[0].trap);
}

static int lay_bar(void *arg, struct sv_shape *shape, char error[256])
{
	shape->bar[2] = *(const struct sv_bar *)arg;
	return 0;
}

static void stretches_that_no_bar_can_have_are_refused(void **state)
{
	static const struct sv_stretch odd[] = {{2048, 4096}, {0, 0}};
	static const struct sv_stretch beyond[] = {{4096, 16384}, {0, 0}};
	static const struct sv_stretch touching[] = {
		{0, 4096}, {4096, 4096}, {0, 0}};
	static const struct {
		struct sv_bar bar;
		const char *why;
	} row[] = {
		{{16384, SV_BAR_MEM32, SV_ACCESS_DIRECT, .trapped = odd},
		 "BAR2: a trapped stretch is not of whole pages"},
		{{16384, SV_BAR_MEM32, SV_ACCESS_DIRECT, .trapped = beyond},
		 "BAR2: a trapped stretch leaves it"},
		{{16384, SV_BAR_MEM32, SV_ACCESS_DIRECT, .trapped = touching},
		 "BAR2: trapped stretches are not ascending and apart"},
		{{16384, SV_BAR_MEM32, SV_ACCESS_TRAP, .trapped = registers},
		 "BAR2: only direct memory has stretches that are trapped"},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		struct device_host host =
			bus_host(&f->bus, "0000:02:00.0", &model);
		struct sv_dev *dev = NULL;
		char err[256];

		host.override = lay_bar;
		host.override_arg = (void *)(uintptr_t)&row[i].bar;
		assert_int_equal(device_new(&host, err, &dev), -EINVAL);
		assert_string_equal(err, row[i].why);
	}
}

static void *keep_writing(void *arg)
{
	struct fixture *f = arg;
	uint64_t val = 0x1000;

	while (!atomic_load(&f->stop))
		device_access(f->dev, 0, REG_DMA, 4, true, &val);
	return NULL;
}

/* Nothing to see but for the sanitizers. */
static void closing_takes_the_memory_from_accesses_too(void **state)
{
	struct fixture *f = *state;
	pthread_t writer;

	pthread_create(&writer, NULL, keep_writing, f);
	for (int i = 0; i < 200; i++) {
		open_attached(f);
		command(f, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
		device_close(f->dev);
	}
	atomic_store(&f->stop, true);
	pthread_join(writer, NULL);
}

/* Ways to reset a function, one bit each */
enum {
	BY_FLR = 1,
	BY_POWER = 2,
	BY_SLOT = 4,
};

static int only_ways(void *arg, struct sv_shape *shape, char error[256])
{
	const unsigned int *ways = arg;

	shape->no_flr = !(*ways & BY_FLR);
	shape->no_soft_reset = !(*ways & BY_POWER);
	return 0;
}

static void a_reset_needs_a_way_to_do_it(void **state)
{
	struct fixture *f = *state;
	char err[256];

	for (unsigned int ways = 0; ways < 8; ways++) {
		struct dev_set set = {.n = ways & BY_SLOT ? 1 : 2};
		struct device_host host =
			bus_host(&f->bus, "0000:02:00.0", &model);
		struct sv_dev *dev = NULL;

		host.set = &set;
		host.override = only_ways;
		host.override_arg = &ways;
		assert_int_equal(device_new(&host, err, &dev), 0);
		assert_int_equal(device_reset(dev), ways ? 0 : -EINVAL);
		device_free(dev);
	}
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_model_of_another_version_is_refused),
		T(turning_memory_off_waits_for_an_access),
		T(a_reset_does_not_turn_memory_on_again),
		T(a_function_nobody_has_open_answers_nobody),
		T(some_pages_of_a_direct_bar_are_registers),
		T(a_peer_meets_the_registers_among_memory),
		T(a_mapping_traps_where_the_registers_are),
		T(stretches_that_no_bar_can_have_are_refused),
		T(closing_takes_the_memory_from_accesses_too),
		T(a_reset_needs_a_way_to_do_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
