/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/unit/gate_rig.h"

#include <string.h>
#include <sys/mman.h>

atomic_uint resets;
atomic_uint asked;
atomic_bool off;
atomic_uint late;

static void model_reset(struct sv_dev *dev, enum sv_reset why)
{
	if (why == SV_RESET_FUNCTION)
		atomic_fetch_add(&resets, 1);
}

static void count_access(unsigned int bar)
{
	atomic_fetch_add(&asked, 1);
	if (bar != REGS)
		return;
	sched_yield(); /* one that is still under way is late too */
	if (atomic_load(&off))
		atomic_fetch_add(&late, 1);
}

static uint64_t model_read(struct sv_dev *dev, unsigned int bar, uint64_t at,
			   unsigned int size)
{
	count_access(bar);
	return 0x77;
}

static void model_write(struct sv_dev *dev, unsigned int bar, uint64_t at,
			uint64_t val, unsigned int size)
{
	count_access(bar);
}

static const struct sv_dev_ops model = {
	.api = SV_API,
	.name = "model",
	.shape =
		{
			.vendor = 0x1234,
			.device = 0x5678,
			.bar[1] = {.size = BAR_LEN,
				   .kind = SV_BAR_MEM32,
				   .access = SV_ACCESS_DIRECT,
				   .persistent = true},
			.bar[REGS] = {.size = 16, .kind = SV_BAR_MEM32},
			.bar[PORTS] = {.size = 16, .kind = SV_BAR_IO},
		},
	.reset = model_reset,
	.read = model_read,
	.write = model_write,
};

uint64_t region(unsigned int index)
{
	return (uint64_t)index << REGION_SHIFT;
}

void command(struct sv_dev *dev, uint16_t value)
{
	uint64_t pos = region(REGION_CONFIG) | PCI_COMMAND;

	assert_int_equal(device_write(dev, pos, &value, 2, 2), 2);
}

int set_up(void **state)
{
	static const char *const names[] = {"0000:01:00.0", "0000:01:00.1"};
	static struct fixture f;
	char err[256];

	memset(&f, 0, sizeof(f));
	atomic_store(&resets, 0);
	atomic_store(&asked, 0);
	atomic_store(&late, 0);
	assert_int_equal(machine_new(&f.m), 0);
	f.type1 = rig_type1(TYPE1_V2, 8);
	assert_non_null(f.type1);
	for (unsigned int i = 0; i < 2; i++) {
		struct device_host host = {.name = names[i], .ops = &model};

		assert_int_equal(machine_add(f.m, &host, i, err), 0);
		f.dev[i] = f.m->dev[i].dev;
		assert_int_equal(device_open(f.dev[i]), 0);
		assert_int_equal(device_attach(f.dev[i], type1_domain(f.type1)),
				 0);
	}
	f.map = mmap(NULL, BAR_LEN, PROT_READ | PROT_WRITE, MAP_SHARED,
		     f.dev[0]->bar[1].memfd, 0);
	assert_ptr_not_equal(f.map, MAP_FAILED);
	*state = &f;
	return 0;
}

int tear_down(void **state)
{
	struct fixture *f = *state;

	munmap(f->map, BAR_LEN);
	for (int i = 0; i < 2; i++)
		device_close(f->dev[i]);
	machine_free(f->m);
	type1_put(f->type1);
	return 0;
}

void run_errand(struct errand *e, void *(*fn)(void *))
{
	atomic_store(&e->done, false);
	assert_int_equal(pthread_create(&e->thread, NULL, fn, e), 0);
}

bool is_done(struct errand *e)
{
	uint64_t deadline = clock_ns() + DEADLINE_NS;

	while (!atomic_load(&e->done) && clock_ns() < deadline)
		sched_yield();
	return atomic_load(&e->done);
}

static __thread sigjmp_buf on_bus;

static void caught(int sig)
{
	siglongjmp(on_bus, sig);
}

bool store(volatile uint64_t *at, uint64_t val)
{
	if (sigsetjmp(on_bus, 1)) /* a sanitizer blocks signals in handlers */
		return false;
	__atomic_store_n(at, val, __ATOMIC_RELAXED);
	return true;
}

struct sigaction catch_sigbus(void)
{
	struct sigaction sa = {.sa_handler = caught, .sa_flags = SA_NODEFER};
	struct sigaction was;

	sigaction(SIGBUS, &sa, &was);
	return was;
}
