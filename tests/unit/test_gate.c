/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The memory gate from the device's side, with locks held that a program could
 * not hold for long, and calls that fail. What programs see is in
 * tests/client/victim_gate.c.
 */
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "core/vfio/hotreset.h"
#include "lib/evfd.h"
#include "tests/unit/gate_rig.h"

static void *faulting(void *arg)
{
	struct errand *e = arg;

	e->result = device_fault(e->dev, 1, 0);
	atomic_store(&e->done, true);
	return NULL;
}

static void *hot_resetting(void *arg)
{
	struct errand *e = arg;
	struct group *groups[] = {e->f->m->group[0], e->f->m->group[1]};

	e->result = hotreset(e->dev, groups, 2);
	atomic_store(&e->done, true);
	return NULL;
}

static void a_fault_waits_for_the_gate_1_0_4(void **state)
{
	struct fixture *f = *state;
	struct errand one = {.dev = f->dev[0]}, other = {.dev = f->dev[1]};

	rwlock_write(&f->dev[0]->memory_lock);
	run_errand(&one, faulting);
	run_errand(&other, faulting); /* 1.1.8: of another device, at once */
	assert_true(is_done(&other));
	assert_false(atomic_load(&one.done));
	rwlock_unwrite(&f->dev[0]->memory_lock);
	assert_true(is_done(&one));
	pthread_join(one.thread, NULL);
	pthread_join(other.thread, NULL);
	assert_int_equal(one.result, 0);
	assert_int_equal(other.result, 0);
}

static void faults_do_not_wait_for_each_other_1_1_8(void **state)
{
	struct fixture *f = *state;
	struct errand e = {.dev = f->dev[0]};

	rwlock_read(&f->dev[0]->memory_lock);
	run_errand(&e, faulting);
	assert_true(is_done(&e));
	rwlock_unread(&f->dev[0]->memory_lock);
	pthread_join(e.thread, NULL);
	assert_int_equal(e.result, 0);
}

static int hot_reset_of(struct fixture *f)
{
	struct errand e = {.dev = f->dev[0], .f = f};

	run_errand(&e, hot_resetting);
	assert_true(is_done(&e));
	pthread_join(e.thread, NULL);
	return e.result;
}

/* Whoever is visited first is opened again, and nobody is reset. */
static void contention_makes_a_hot_reset_busy_1_0_8(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 2; i++) {
		rwlock_read(&f->dev[i]->memory_lock);
		assert_int_equal(hot_reset_of(f), -EBUSY);
		rwlock_unread(&f->dev[i]->memory_lock);
		mutex_lock(&f->dev[i]->resetting);
		assert_int_equal(hot_reset_of(f), -EBUSY);
		mutex_unlock(&f->dev[i]->resetting);
		assert_int_equal(device_fault(f->dev[0], 1, 0), 0);
		assert_int_equal(device_fault(f->dev[1], 1, 0), 0);
	}
	assert_int_equal(atomic_load(&resets), 0);
	assert_int_equal(hot_reset_of(f), 0);
	assert_int_equal(atomic_load(&resets), 2);
}

static void a_fault_asks_no_model_1_1_6(void **state)
{
	struct fixture *f = *state;

	f->map[0] = 1; /* populated */
	for (int i = 0; i < 3; i++) {
		assert_int_equal(device_fault(f->dev[0], 1, 0), 0);
		assert_int_equal(device_fault(f->dev[0], REGS, 0), 0);
	}
	assert_int_equal(f->map[0], 1);
	assert_int_equal(atomic_load(&asked), 0);
	assert_int_equal(atomic_load(&resets), 0);
}

static void only_memory_bars_are_gated_1_0_5(void **state)
{
	struct sv_dev *dev = ((struct fixture *)*state)->dev[0];
	uint32_t val = 5;

	command(dev, PCI_COMMAND_IO);
	assert_int_equal(device_read(dev, region(1), &val, 4), -EIO);
	assert_int_equal(device_write(dev, region(1), &val, 4, 4), -EIO);
	assert_int_equal(device_read(dev, region(REGS), &val, 4), -EIO);
	assert_int_equal(device_write(dev, region(REGS), &val, 4, 4), -EIO);
	assert_int_equal(atomic_load(&asked), 0);
	assert_int_equal(*dev->bar[1].mem, 0);
	assert_int_equal(device_write(dev, region(PORTS), &val, 4, 4), 4);
	assert_int_equal(device_read(dev, region(PORTS), &val, 4), 4);
	assert_int_equal(val, 0x77);
	assert_int_equal(atomic_load(&asked), 2);
	/* with COMMAND.IO off too it is let through: nobody answers */
	command(dev, 0);
	assert_int_equal(device_read(dev, region(PORTS), &val, 4), 4);
	assert_int_equal(val, UINT32_MAX);
	command(dev, PCI_COMMAND_MEMORY);
	assert_int_equal(device_read(dev, region(REGS), &val, 4), 4);
	assert_int_equal(atomic_load(&asked), 3);
}

static uint64_t peek(struct sv_dev *dev)
{
	uint64_t val;

	assert_int_equal(device_read(dev, region(1), &val, 8), 8);
	return val;
}

static void a_contended_ioeventfd_is_deferred_1_0_6(void **state)
{
	struct fixture *f = *state;
	struct ioeventfd_request req = {.region = 1, .data = 42, .len = 8};
	int fd = eventfd(0, EFD_NONBLOCK);
	struct pollfd p = {.fd = fd, .events = POLLIN};
	uint64_t deadline = clock_ns() + DEADLINE_NS;

	assert_int_equal(ioeventfd_add(f->dev[0], &req, fd), 0);
	rwlock_write(&f->dev[0]->memory_lock);
	evfd_signal(fd);
	while (poll(&p, 1, 0) && clock_ns() < deadline)
		sched_yield();
	assert_int_equal(poll(&p, 1, 0), 0); /* the signal is taken */
	assert_int_equal(*(uint64_t *)f->dev[0]->bar[1].mem, 0);
	rwlock_unwrite(&f->dev[0]->memory_lock);
	while (peek(f->dev[0]) != 42 && clock_ns() < deadline)
		sched_yield();
	assert_int_equal(peek(f->dev[0]), 42);
	assert_int_equal(ioeventfd_remove(f->dev[0], &req), 0);
	close(fd);
}

/* The host runs out of memory: this program stands in for its calls. */

static atomic_int room = INT_MAX; /* for so many writes */

static bool has_room(void)
{
	if (atomic_fetch_sub(&room, 1) > 0)
		return true;
	atomic_store(&room, 0);
	errno = ENOMEM;
	return false;
}

#define WRAP_SENDFILE(name)                                                    \
	ssize_t __real_##name(int out, int in, off_t *at, size_t len);         \
	ssize_t __wrap_##name(int out, int in, off_t *at, size_t len);         \
	ssize_t __wrap_##name(int out, int in, off_t *at, size_t len)          \
	{                                                                      \
		return has_room() ? __real_##name(out, in, at, len) : -1;      \
	}

#define WRAP_PWRITE(name)                                                      \
	ssize_t __real_##name(int fd, const void *buf, size_t len, off_t at);  \
	ssize_t __wrap_##name(int fd, const void *buf, size_t len, off_t at);  \
	ssize_t __wrap_##name(int fd, const void *buf, size_t len, off_t at)   \
	{                                                                      \
		return has_room() ? __real_##name(fd, buf, len, at) : -1;      \
	}

/* which of the names is used depends on _FILE_OFFSET_BITS */
WRAP_SENDFILE(sendfile)
WRAP_SENDFILE(sendfile64)
WRAP_PWRITE(pwrite)
WRAP_PWRITE(pwrite64)

/* The first page of two comes back, the second does not: neither is there. */
static void what_cannot_be_filled_stays_closed_1_1_5(void **state)
{
	struct fixture *f = *state;
	volatile uint64_t *first = (uint64_t *)f->map;
	volatile uint64_t *second = (uint64_t *)(f->map + 10 * PAGE);
	struct sigaction was = catch_sigbus();

	assert_true(store(first, 1) && store(second, 2));
	command(f->dev[0], 0);
	for (int i = 0; i < 2; i++) { /* and again once a fault has tried */
		atomic_store(&room, 1);
		if (i == 0)
			command(f->dev[0], PCI_COMMAND_MEMORY);
		assert_false(store(first, 3) || store(second, 3));
		assert_false(store(second + PAGE, 3));
		atomic_store(&room, 1);
		assert_int_equal(device_fault(f->dev[0], 1, 0), -EFAULT);
		assert_int_equal(peek(f->dev[0]), 1); /* decode is on */
	}
	atomic_store(&room, INT_MAX);
	assert_int_equal(device_fault(f->dev[0], 1, 0), 0);
	assert_int_equal(*first, 1);
	assert_int_equal(*second, 2);
	sigaction(SIGBUS, &was, NULL);
}

/* Memory that is somebody else's: whoever has it mapped keeps it. */
static int foreign = -1;

static int foreign_make(struct bar *bar, const char *name)
{
	struct stat st;

	foreign = memfd_create("foreign", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	bar->memfd = memfd_create(name, MFD_CLOEXEC);
	assert_int_equal(ftruncate(foreign, (off_t)bar->len), 0);
	assert_int_equal(fcntl(foreign, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	assert_int_equal(ftruncate(bar->memfd, (off_t)bar->len), 0);
	assert_int_equal(fstat(bar->memfd, &st), 0);
	bar->st_dev = st.st_dev;
	bar->st_ino = st.st_ino;
	bar->mem = bar->view = mmap(NULL, bar->len, PROT_READ | PROT_WRITE,
				    MAP_SHARED, foreign, 0);
	assert_ptr_not_equal(bar->view, MAP_FAILED);
	return 0;
}

static void foreign_drop(struct bar *bar)
{
	munmap(bar->view, bar->len);
	close(bar->memfd);
	close(foreign);
}

static void foreign_close(struct bar *bar)
{
	bar->closed = true;
}

static void foreign_open(struct bar *bar)
{
	bar->closed = false;
}

static void foreign_clear(struct bar *bar)
{
	memset(bar->mem, 0, bar->len);
}

static void foreign_discard(struct bar *bar)
{
	foreign_close(bar);
	foreign_clear(bar);
}

static const struct bar_storage *foreign_storage(void)
{
	static struct bar_storage storage = {
		.make = foreign_make,
		.drop = foreign_drop,
		.close = foreign_close,
		.open = foreign_open,
		.discard = foreign_discard,
		.clear = foreign_clear,
	};

	storage.map = bar_memfd.map;
	storage.lives = bar_memfd.lives;
	return &storage;
}

/* As a program does with @fd what the shim would not. */
static void check_empty(int fd)
{
	uint64_t *map = mmap(NULL, BAR_LEN, PROT_READ, MAP_SHARED, fd, 0);

	assert_ptr_not_equal(map, MAP_FAILED);
	for (size_t i = 0; i < BAR_LEN / sizeof(*map); i++)
		assert_int_equal(map[i], 0);
	munmap(map, BAR_LEN);
}

static int load(struct sv_dev *dev, uint64_t *ret_val)
{
	return device_access(dev, 1, 8, 8, false, ret_val);
}

static int map_foreign(struct sv_dev *dev)
{
	struct device_range range[DEVICE_RANGES_MAX];
	uint64_t at;
	int fd = -1;

	bar_done(&dev->bar[1]);
	assert_int_equal(bar_init_stored(&dev->bar[1], foreign_storage(), "bar",
					 &dev->shape.bar[1], -1),
			 0);
	const struct device_map map = {7, getpid(), region(1), BAR_LEN, true};

	assert_int_equal(device_mmap(dev, &map, &at, &fd), 0);
	assert_int_equal(device_ranges(dev, region(1), BAR_LEN, range), 1);
	assert_true(range[0].trap);
	return fd;
}

static void what_cannot_be_truncated_is_asked_for_each_time(void **state)
{
	struct fixture *f = *state;
	struct sv_dev *dev = f->dev[1];
	uint64_t val = 0x1122334455667788;
	int fd = map_foreign(dev);

	assert_int_equal(device_access(dev, 1, 8, 8, true, &val), 0);
	check_empty(fd);
	command(dev, 0);
	assert_int_equal(load(dev, &val), -EFAULT);
	assert_int_equal(device_fault(dev, 1, 8), -EFAULT);
	command(dev, PCI_COMMAND_MEMORY);
	val = 0;
	assert_int_equal(device_fault(dev, 1, 8), 0);
	assert_int_equal(load(dev, &val), 0);
	assert_int_equal(val, 0x1122334455667788);

	assert_true(device_mapped(dev, 7));
	close(fd);
	assert_false(device_mapped(dev, 7));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_fault_waits_for_the_gate_1_0_4),
		T(faults_do_not_wait_for_each_other_1_1_8),
		T(contention_makes_a_hot_reset_busy_1_0_8),
		T(a_contended_ioeventfd_is_deferred_1_0_6),
		T(what_cannot_be_filled_stays_closed_1_1_5),
		T(a_fault_asks_no_model_1_1_6),
		T(only_memory_bars_are_gated_1_0_5),
		T(what_cannot_be_truncated_is_asked_for_each_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
