/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which table a function's DMA goes through, while DMA is in flight: what is
 * taken away is not reached any more once that has returned, whoever holds up
 * what was under way, and no callback sees two tables.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/unit/hold_rig.h"
#include "tests/unit/map_rig.h"
#include "tests/unit/mem_rig.h"
#include "tests/unit/bus_rig.h"

#define IOVA 0x10000

/* Registers of the model below: what is written is where to. */
enum {
	REG_WRITE = 0x10,
	REG_READ = 0x18,
	REG_TWICE = 0x20, /* written to, once more when a change has begun */
};

#define SAID 0x61746163u

struct table {
	struct type1 *type1;
	uint32_t *memory;
	int fd;
};

static struct fixture {
	struct bus_rig bus;
	struct table table[2];
	struct program program;
	struct sv_dev *dev;
	uint32_t data; /* the model's side of DMA */
	int result;    /* of the last DMA */
	atomic_bool twice;
} f;

/* --- the model --- */

static void model_reset(struct sv_dev *dev, enum sv_reset why)
{
}

static uint64_t model_read(struct sv_dev *dev, unsigned int bar, uint64_t off,
			   unsigned int size)
{
	return 0;
}

/* Until somebody has asked for a change, cancelled DMA, and waits for us. */
static bool wait_for_change(void)
{
	uint64_t deadline = clock_ns() + DEADLINE_NS;

	atomic_store(&f.twice, true);
	while (!atomic_load(&f.dev->dma.cancel) && clock_ns() < deadline)
		sched_yield();
	return atomic_load(&f.dev->dma.cancel);
}

static void model_write(struct sv_dev *dev, unsigned int bar, uint64_t off,
			uint64_t val, unsigned int size)
{
	f.data = off == REG_READ ? 0 : SAID;
	if (off == REG_READ)
		f.result = sv_dma_read(dev, val, &f.data, sizeof(f.data));
	else
		f.result = sv_dma_write(dev, val, &f.data, sizeof(f.data));
	if (off != REG_TWICE)
		return;
	if (!wait_for_change())
		f.result = -ETIMEDOUT;
	f.result |= sv_dma_write(dev, val + 4, &f.data, sizeof(f.data));
}

static const struct sv_dev_ops model = {
	.api = SV_API,
	.name = "model",
	.shape = {.vendor = 0x1234,
		  .device = 0x5678,
		  .bar[0] = {.size = 4096,
			     .kind = SV_BAR_MEM32,
			     .access = SV_ACCESS_TRAP}},
	.reset = model_reset,
	.read = model_read,
	.write = model_write,
};

/* --- what there is --- */

static void table_make(struct table *t)
{
	struct mem_seg seg = {.len = PAGE};

	t->type1 = rig_type1(TYPE1_V2, 8);
	assert_non_null(t->type1);
	t->fd = memfd_create("memory", MFD_CLOEXEC);
	assert_int_equal(ftruncate(t->fd, PAGE), 0);
	t->memory =
		mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, t->fd, 0);
	assert_int_equal(mem_file(getpid(), t->fd, true, PAGE, &seg.mem), 0);
	assert_int_equal(
		rig_map_one(t->type1, IOVA, PAGE, IOPT_READ | IOPT_WRITE, &seg),
		0);
}

static void table_done(struct table *t)
{
	type1_put(t->type1);
	munmap(t->memory, PAGE);
	close(t->fd);
}

static int set_up(void **state)
{
	char err[256];

	memset(&f, 0, sizeof(f));
	bus_begin(&f.bus);
	program_start(&f.program);
	for (unsigned int i = 0; i < 2; i++)
		table_make(&f.table[i]);

	struct device_host host = bus_host(&f.bus, "0000:01:00.0", &model);

	assert_int_equal(device_new(&host, err, &f.dev), 0);
	return 0;
}

static int tear_down(void **state)
{
	while (f.dev->open_count) /* of a test that has failed */
		device_close(f.dev);
	bus_end(&f.bus, f.dev);
	for (unsigned int i = 0; i < 2; i++)
		table_done(&f.table[i]);
	program_done(&f.program);
	return 0;
}

static struct domain *table(unsigned int i)
{
	return type1_domain(f.table[i].type1);
}

static void open_as_master(void)
{
	uint64_t pos = (uint64_t)REGION_CONFIG << REGION_SHIFT | PCI_COMMAND;
	uint16_t command = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;

	assert_int_equal(device_open(f.dev), 0);
	assert_int_equal(device_write(f.dev, pos, &command, 2, 2), 2);
}

static void open_attached(void)
{
	open_as_master();
	assert_int_equal(device_attach(f.dev, table(0)), 0);
}

static int dma(unsigned int reg)
{
	uint64_t iova = IOVA;

	assert_int_equal(device_access(f.dev, 0, reg, 4, true, &iova), 0);
	return f.result;
}

/* --- tests --- */

static void dma_of_what_is_attached_to_nothing_is_unmapped(void **state)
{
	uint32_t data = 0;
	struct sv_dma list = {
		.iova = IOVA,
		.buf = &data,
		.len = sizeof(data),
		.write = true,
	};
	struct sv_dma_hold hold;
	struct iovec iov;
	size_t done = 1;

	open_as_master();
	assert_null(atomic_load(&f.dev->iopt));
	assert_int_equal(dma(REG_WRITE), -EIO);
	assert_int_equal(dma(REG_READ), -EIO);
	mutex_lock(&f.dev->model);
	assert_int_equal(sv_dma_many(f.dev, &list, 1, &done), -EIO);
	assert_int_equal(done, 0);
	assert_int_equal(sv_dma_map(f.dev, &list, 1, &iov, 1, &hold), -EIO);
	mutex_unlock(&f.dev->model);
	assert_int_equal(f.dev->stats.dma_faults, 4);
	assert_int_equal(f.dev->stats.dma_not_master, 0);
	assert_int_equal(device_attach(f.dev, table(0)), 0);
	assert_int_equal(dma(REG_WRITE), 0);
	assert_int_equal(*f.table[0].memory, SAID);
	assert_int_equal(device_close(f.dev), 0);
}

/* It is the function's own table that is attached, and nobody else's. */
static void dma_by_a_pasid_is_unmapped(void **state)
{
	uint32_t data = SAID;
	struct sv_dma list[3] = {
		{IOVA, &data, sizeof(data), true, SV_PASID_NONE},
		{IOVA, &data, sizeof(data), true, 7},
		{IOVA, &data, sizeof(data), true, SV_PASID_NONE},
	};
	struct sv_dma_hold hold;
	struct iovec iov[3];
	size_t done = 0;

	open_attached();
	mutex_lock(&f.dev->model);
	assert_int_equal(sv_dma_many(f.dev, list, 3, &done), -EIO);
	assert_int_equal(done, 1);
	assert_int_equal(*f.table[0].memory, SAID);
	assert_int_equal(sv_dma_many(f.dev, &list[1], 1, &done), -EIO);
	assert_int_equal(done, 0);
	assert_int_equal(sv_dma_map(f.dev, list, 2, iov, 3, &hold), -EIO);
	assert_int_equal(hold.n, 0);
	assert_int_equal(sv_dma_many(f.dev, &list[2], 1, &done), 0);
	mutex_unlock(&f.dev->model);
	assert_int_equal(f.dev->stats.dma_faults, 3);
	assert_int_equal(device_close(f.dev), 0);
}

static void one_table_at_a_time(void **state)
{
	open_as_master();
	assert_int_equal(device_replace(f.dev, table(0)), -EINVAL);
	assert_int_equal(device_detach(f.dev), 0);
	assert_int_equal(device_attach(f.dev, table(0)), 0);
	assert_int_equal(device_attach(f.dev, table(0)), 0);
	assert_int_equal(device_attach(f.dev, table(1)), -EINVAL);
	assert_int_equal(device_replace(f.dev, table(1)), 0);
	assert_int_equal(device_replace(f.dev, table(1)), 0);
	assert_int_equal(dma(REG_WRITE), 0);
	assert_int_equal(*f.table[0].memory, 0);
	assert_int_equal(*f.table[1].memory, SAID);
	assert_int_equal(device_detach(f.dev), 0);
	assert_null(atomic_load(&f.dev->iopt));
	assert_int_equal(dma(REG_WRITE), -EIO);
	assert_int_equal(device_close(f.dev), 0);
}

static void the_last_close_detaches(void **state)
{
	open_attached();
	assert_int_equal(device_open(f.dev), 0);
	assert_int_equal(device_close(f.dev), 0);
	assert_non_null(atomic_load(&f.dev->iopt));
	assert_int_equal(device_close(f.dev), 0);
	assert_null(atomic_load(&f.dev->iopt));
	open_as_master();
	assert_int_equal(dma(REG_WRITE), -EIO);
	assert_int_equal(*f.table[0].memory, 0);
	assert_int_equal(device_close(f.dev), 0);
}

/* Its references are given back, or what is freed here would be used. */
static void a_table_lives_while_it_is_attached(void **state)
{
	struct domain *own;
	struct iopt *iopt;

	assert_int_equal(iopt_new(&iopt), 0);
	assert_int_equal(domain_new(iopt, 1, &own), 0);
	iopt_put(iopt);
	open_as_master();
	assert_int_equal(device_attach(f.dev, own), 0);
	domain_put(own);
	assert_int_equal(dma(REG_WRITE), -EIO);
	assert_int_equal(device_replace(f.dev, table(0)), 0);
	assert_int_equal(dma(REG_WRITE), 0);
	assert_int_equal(device_close(f.dev), 0);
}

/* What is mapped is too fine for it: everything is as it was. */
static void a_domain_that_does_not_fit_is_not_attached(void **state)
{
	struct domain *coarse;

	assert_int_equal(
		domain_new(type1_iopt(f.table[1].type1), 2 * PAGE, &coarse), 0);
	open_as_master();
	assert_int_equal(device_attach(f.dev, coarse), -EADDRINUSE);
	assert_null(atomic_load(&f.dev->iopt));
	assert_int_equal(device_attach(f.dev, table(0)), 0);
	assert_int_equal(device_replace(f.dev, coarse), -EADDRINUSE);
	domain_put(coarse);
	assert_int_equal(dma(REG_WRITE), 0);
	assert_int_equal(*f.table[0].memory, SAID);
	assert_int_equal(device_close(f.dev), 0);
}

static void *replacer(void *arg)
{
	while (!atomic_load(&f.twice))
		sched_yield();
	assert_int_equal(device_replace(f.dev, table(1)), 0);
	return NULL;
}

static void a_callback_sees_one_table(void **state)
{
	pthread_t t;

	open_attached();
	pthread_create(&t, NULL, replacer, NULL);
	int r = dma(REG_TWICE);

	pthread_join(t, NULL);
	assert_int_equal(r, 0);
	assert_int_equal(f.table[0].memory[0], SAID);
	assert_int_equal(f.table[0].memory[1], SAID);
	assert_int_equal(f.table[1].memory[0], 0);
	assert_int_equal(dma(REG_WRITE), 0);
	assert_int_equal(f.table[1].memory[0], SAID);
	assert_int_equal(device_close(f.dev), 0);
}

/* --- a program that holds up what is in flight --- */

#define IOVA_HELD 0x20000

static void map_held(void)
{
	uint8_t *page = f.program.pages;
	struct mem_seg seg = {program_mem(&f.program), va(page), PAGE};

	assert_int_equal(rig_map_one(f.table[0].type1, IOVA_HELD, PAGE,
				     IOPT_READ | IOPT_WRITE, &seg),
			 0);
}

static void *held_dma(void *reg)
{
	uint64_t iova = IOVA_HELD;

	device_access(f.dev, 0, *(unsigned int *)reg, 4, true, &iova);
	return NULL;
}

static int replace_by_other(struct sv_dev *dev)
{
	return device_replace(dev, table(1));
}

/* @change returns while the program still holds the page; Return: of the DMA. */
static int change_while_held(unsigned int reg, int (*change)(struct sv_dev *))
{
	pthread_t t;

	map_held();
	open_attached();
	hold_page(f.program.pages);
	pthread_create(&t, NULL, held_dma, &reg);
	hold_wait_inside(1);
	assert_int_equal(change(f.dev), 0);
	pthread_join(t, NULL);
	hold_page(NULL);
	hold_wait_inside(0);
	return f.result;
}

static void a_read_in_flight_gives_up(int (*change)(struct sv_dev *), int err)
{
	assert_int_equal(change_while_held(REG_READ, change), err);
	assert_int_equal(f.data, 0);
}

static void a_read_in_flight_gives_up_on_detach(void **state)
{
	a_read_in_flight_gives_up(device_detach, -EIO);
	assert_int_equal(f.dev->stats.dma_faults, 1);
	assert_int_equal(device_close(f.dev), 0);
}

static void a_read_in_flight_gives_up_on_replace(void **state)
{
	a_read_in_flight_gives_up(replace_by_other, -EIO);
	assert_int_equal(f.dev->stats.dma_faults, 1);
	assert_int_equal(dma(REG_WRITE), 0);
	assert_int_equal(*f.table[1].memory, SAID);
	assert_int_equal(device_close(f.dev), 0);
}

/* A reset follows, so that is no fault. */
static void a_read_in_flight_gives_up_on_close(void **state)
{
	a_read_in_flight_gives_up(device_close, -ECANCELED);
	assert_int_equal(f.dev->stats.dma_faults, 0);
}

static void a_write_in_flight_does_not_land_in_the_new_table(void **state)
{
	struct mem_seg seg = {.len = PAGE};

	assert_int_equal(
		mem_file(getpid(), f.table[1].fd, true, PAGE, &seg.mem), 0);
	assert_int_equal(rig_map_one(f.table[1].type1, IOVA_HELD, PAGE,
				     IOPT_READ | IOPT_WRITE, &seg),
			 0);
	assert_int_equal(change_while_held(REG_WRITE, replace_by_other), -EIO);
	assert_int_equal(*f.table[1].memory, 0);
	assert_int_equal(device_close(f.dev), 0);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(dma_of_what_is_attached_to_nothing_is_unmapped),
		T(dma_by_a_pasid_is_unmapped),
		T(one_table_at_a_time),
		T(the_last_close_detaches),
		T(a_table_lives_while_it_is_attached),
		T(a_domain_that_does_not_fit_is_not_attached),
		T(a_callback_sees_one_table),
		T(a_read_in_flight_gives_up_on_detach),
		T(a_read_in_flight_gives_up_on_replace),
		T(a_read_in_flight_gives_up_on_close),
		T(a_write_in_flight_does_not_land_in_the_new_table),
	};

	hold_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
