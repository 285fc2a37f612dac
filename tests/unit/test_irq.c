/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Interrupts: what SET_IRQS accepts and refuses whatever the kind, ERR and
 * REQ, and all of it at once. An alarm ends the program if something blocks.
 */
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/refuse.h"
#include "tests/unit/fds.h"
#include "tests/unit/irq_rig.h"
#include "uapi/vfio.h"

#define NEARLY_FULL 0xfffffffffffffffeull

static_assert(IRQ_SET_DATA_NONE == VFIO_IRQ_SET_DATA_NONE, "");
static_assert(IRQ_SET_DATA_BOOL == VFIO_IRQ_SET_DATA_BOOL, "");
static_assert(IRQ_SET_DATA_EVENTFD == VFIO_IRQ_SET_DATA_EVENTFD, "");
static_assert(IRQ_SET_ACTION_MASK == VFIO_IRQ_SET_ACTION_MASK, "");
static_assert(IRQ_SET_ACTION_UNMASK == VFIO_IRQ_SET_ACTION_UNMASK, "");
static_assert(IRQ_SET_ACTION_TRIGGER == VFIO_IRQ_SET_ACTION_TRIGGER, "");
static_assert(IRQ_INFO_EVENTFD == VFIO_IRQ_INFO_EVENTFD, "");
static_assert(IRQ_INFO_MASKABLE == VFIO_IRQ_INFO_MASKABLE, "");
static_assert(IRQ_INFO_AUTOMASKED == VFIO_IRQ_INFO_AUTOMASKED, "");
static_assert(IRQ_INFO_NORESIZE == VFIO_IRQ_INFO_NORESIZE, "");

/* GET_IRQ_INFO and validation */

static void info_of_every_index(void **state)
{
	static const struct irq_info want[] = {
		{IRQ_INFO_EVENTFD | IRQ_INFO_MASKABLE | IRQ_INFO_AUTOMASKED, 1},
		{IRQ_INFO_EVENTFD | IRQ_INFO_NORESIZE, MSI_VECTORS},
		{IRQ_INFO_EVENTFD, MSIX_VECTORS},
		{IRQ_INFO_EVENTFD | IRQ_INFO_NORESIZE, 1},
		{IRQ_INFO_EVENTFD | IRQ_INFO_NORESIZE, 1},
	};
	struct fixture *f = *state;
	struct irq_info info;

	for (uint32_t i = 0; i < IRQ_NUM; i++) {
		assert_int_equal(irq_get_info(f->irq, i, &info), 0);
		assert_int_equal(info.flags, want[i].flags);
		assert_int_equal(info.count, want[i].count);
	}
	assert_int_equal(irq_get_info(f->irq, IRQ_NUM, &info), -EINVAL);
	assert_int_equal(irq_get_info(f->irq, UINT32_MAX, &info), -EINVAL);
}

static void info_of_a_function_with_nothing(void **state)
{
	struct fixture *f = *state;
	struct irq_info info;

	for (uint32_t i = IRQ_INTX; i <= IRQ_MSIX; i++) {
		assert_int_equal(irq_get_info(f->irq, i, &info), 0);
		assert_int_equal(info.count, 0);
	}
	assert_int_equal(info.flags, IRQ_INFO_EVENTFD | IRQ_INFO_NORESIZE);
	assert_int_equal(irq_get_info(f->irq, IRQ_ERR, &info), -EINVAL);
	assert_int_equal(irq_get_info(f->irq, IRQ_REQ, &info), 0);
	assert_int_equal(info.count, 1);
}

static void a_function_with_nothing_accepts_nothing(void **state)
{
	struct fixture *f = *state;

	for (uint32_t i = IRQ_INTX; i <= IRQ_ERR; i++) {
		assert_int_equal(set_fd(f, i, TRIGGER, 0, f->efd[0]), -EINVAL);
		assert_int_equal(turn_off(f, i), -EINVAL);
	}
	assert_int_equal(set_fd(f, IRQ_REQ, TRIGGER, 0, f->efd[0]), 0);
	irq_level(f->irq, true);
	irq_raise(f->irq, 0);
	assert_false(f->status);
	assert_stats(f, 0, 0);
}

static void check_looks_at_everything(void **state)
{
	enum { MAX = 0xffffffff };
	static const struct {
		uint32_t flags, index, start, count;
		size_t data_size;
		int want;
		size_t bytes;
	} row[] = {
		{NONE | TRIGGER, IRQ_NUM, 0, 1, 0, -EINVAL, 0},
		{NONE | TRIGGER, MAX, 0, 1, 0, -EINVAL, 0},
		/* start and count */
		{NONE | TRIGGER, IRQ_MSI, 0, MAX, 0, -EINVAL, 0},
		{NONE | TRIGGER, IRQ_MSI, 2, MAX - 2, 0, -EINVAL, 0},
		{NONE | TRIGGER, IRQ_MSI, MAX, 0, 0, -EINVAL, 0},
		{NONE | TRIGGER, IRQ_MSI, MAX, 1, 0, -EINVAL, 0},
		{NONE | TRIGGER, IRQ_MSI, 8, 0, 0, -EINVAL, 0},
		{NONE | TRIGGER, IRQ_MSI, 7, 2, 0, -EINVAL, 0},
		{NONE | TRIGGER, IRQ_MSI, 0, 9, 0, -EINVAL, 0},
		{NONE | TRIGGER, IRQ_MSI, 7, 1, 0, 0, 0},
		{NONE | TRIGGER, IRQ_MSIX, 0, 2048, 0, 0, 0},
		{NONE | TRIGGER, IRQ_INTX, 1, 0, 0, -EINVAL, 0},
		{NONE | TRIGGER, IRQ_ERR, 0, 2, 0, -EINVAL, 0},
		/* flags */
		{NONE | TRIGGER | 64, IRQ_MSI, 0, 1, 0, -EINVAL, 0},
		{NONE | TRIGGER | 1u << 31, IRQ_MSI, 0, 1, 0, -EINVAL, 0},
		{TRIGGER, IRQ_MSI, 0, 1, 64, -EINVAL, 0},
		{NONE | BOOL | TRIGGER, IRQ_MSI, 0, 1, 64, -EINVAL, 0},
		{NONE | EVENTFD | TRIGGER, IRQ_MSI, 0, 1, 64, -EINVAL, 0},
		{BOOL | EVENTFD | TRIGGER, IRQ_MSI, 0, 1, 64, -EINVAL, 0},
		/* the action is looked at later: ENOTTY */
		{NONE, IRQ_MSI, 0, 1, 0, 0, 0},
		{NONE | MASK | UNMASK, IRQ_MSI, 0, 1, 0, 0, 0},
		/* data */
		{BOOL | TRIGGER, IRQ_MSI, 0, 8, 7, -EINVAL, 0},
		{BOOL | TRIGGER, IRQ_MSI, 0, 8, 8, 0, 8},
		{BOOL | TRIGGER, IRQ_MSI, 0, 8, 9, 0, 8},
		{EVENTFD | TRIGGER, IRQ_MSIX, 0, 2048, 8191, -EINVAL, 0},
		{EVENTFD | TRIGGER, IRQ_MSIX, 0, 2048, 8192, 0, 8192},
		{EVENTFD | TRIGGER, IRQ_MSIX, 0, 0, 0, 0, 0},
	};
	struct fixture *f = *state;
	char text[REFUSAL_MAX];

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		const struct irq_request req = {
			.flags = row[i].flags,
			.index = row[i].index,
			.start = row[i].start,
			.count = row[i].count,
		};
		size_t bytes = 0;

		assert_int_equal(
			irq_check(f->irq, &req, row[i].data_size, &bytes),
			row[i].want);
		assert_int_equal(bytes, row[i].bytes);
		assert_int_equal(refusal_take(text), -row[i].want);
	}
}

static void pairs_without_a_handler_are_enotty(void **state)
{
	struct fixture *f = *state;

	enable_msis(f, IRQ_MSI, 1);
	for (uint32_t i = IRQ_MSI; i < IRQ_NUM; i++) {
		assert_int_equal(set_none(f, i, MASK, 0, 1), -ENOTTY);
		assert_int_equal(set_none(f, i, UNMASK, 0, 1), -ENOTTY);
		assert_int_equal(set_fd(f, i, UNMASK, 0, -1), -ENOTTY);
	}
	for (uint32_t i = 0; i < IRQ_NUM; i++) {
		assert_int_equal(set_none(f, i, 0, 0, 1), -ENOTTY);
		assert_int_equal(set_none(f, i, MASK | TRIGGER, 0, 1), -ENOTTY);
	}
}

static void only_one_kind_at_a_time(void **state)
{
	struct fixture *f = *state;

	for (uint32_t on = IRQ_INTX; on <= IRQ_MSIX; on++) {
		enable_msis(f, on, 1);
		for (uint32_t i = IRQ_INTX; i <= IRQ_MSIX; i++) {
			if (i == on)
				continue;
			assert_int_equal(set_fd(f, i, TRIGGER, 0, f->efd[1]),
					 -EINVAL);
			assert_int_equal(set_fd(f, i, TRIGGER, 0, IRQ_FD_BAD),
					 -EINVAL);
			assert_int_equal(set_none(f, i, TRIGGER, 0, 1),
					 -EINVAL);
			assert_int_equal(turn_off(f, i), -EINVAL);
		}
		if (on != IRQ_INTX) {
			assert_int_equal(set_none(f, IRQ_INTX, MASK, 0, 1),
					 -EINVAL);
			assert_int_equal(set_none(f, IRQ_INTX, UNMASK, 0, 1),
					 -EINVAL);
		}
		assert_int_equal(set_none(f, on, TRIGGER, 0, 1), 0);
		assert_int_equal(got(f, 0), 1);
		assert_int_equal(turn_off(f, on), 0);
	}
}

/* The program may close, fill and forget its eventfds. */

static void program_may_close_its_own(void **state)
{
	struct fixture *f = *state;
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int mine = dup(fd);
	eventfd_t val = 0;

	assert_int_equal(set_fd(f, IRQ_MSI, TRIGGER, 0, fd), 0);
	close(fd);
	irq_raise(f->irq, 0);
	assert_int_equal(eventfd_read(mine, &val), 0);
	assert_int_equal(val, 1);
	close(mine);
}

static void full_counter_blocks_nobody(void **state)
{
	struct fixture *f = *state;
	int full = eventfd(0, EFD_CLOEXEC);
	int fd[2] = {full, f->efd[1]};
	eventfd_t val;

	assert_int_equal(eventfd_write(full, NEARLY_FULL), 0);
	assert_int_equal(set(f, IRQ_MSI, EVENTFD | TRIGGER, 0, 2, fd), 0);
	for (int i = 0; i < 1000; i++) {
		irq_raise(f->irq, 0);
		irq_raise(f->irq, 1);
	}
	assert_int_equal(got(f, 1), 1000);
	assert_int_equal(set_none(f, IRQ_MSI, TRIGGER, 0, 1), 0);
	assert_int_equal(turn_off(f, IRQ_MSI), 0);

	/* INTx, ERR and REQ the same */
	assert_int_equal(set_fd(f, IRQ_INTX, TRIGGER, 0, full), 0);
	irq_level(f->irq, true);
	assert_int_equal(set_none(f, IRQ_INTX, UNMASK, 0, 1), 0);
	assert_int_equal(set_none(f, IRQ_INTX, TRIGGER, 0, 1), 0);
	assert_int_equal(set_fd(f, IRQ_ERR, TRIGGER, 0, full), 0);
	assert_int_equal(set_none(f, IRQ_ERR, TRIGGER, 0, 1), 0);
	assert_int_equal(set_fd(f, IRQ_REQ, TRIGGER, 0, full), 0);
	irq_request_release(f->irq);
	assert_int_equal(eventfd_read(full, &val), 0);
	assert_true(val >= NEARLY_FULL);
	close(full);
}

/* ERR and REQ */

static void err_and_req_by_their_own_rules(void **state)
{
	struct fixture *f = *state;
	uint8_t yes = 1;

	for (uint32_t i = IRQ_ERR; i <= IRQ_REQ; i++) {
		/* nothing set */
		assert_int_equal(set_none(f, i, TRIGGER, 0, 1), -EINVAL);
		assert_int_equal(set_none(f, i, TRIGGER, 0, 0), -EINVAL);
		assert_int_equal(set_bool(f, i, TRIGGER, 0, 1), 0);
		assert_int_equal(set_fd(f, i, TRIGGER, 0, -1), 0);
		/* what is refused anyway */
		assert_int_equal(set(f, i, BOOL | TRIGGER, 0, 0, &yes),
				 -EINVAL);
		assert_int_equal(set(f, i, EVENTFD | TRIGGER, 0, 0, f->efd),
				 -EINVAL);
		assert_int_equal(set_none(f, i, TRIGGER, 1, 1), -EINVAL);
		assert_int_equal(set_none(f, i, TRIGGER, 0, 2), -EINVAL);
		assert_int_equal(set_fd(f, i, TRIGGER, 0, IRQ_FD_BAD), -EBADF);
		assert_int_equal(set_fd(f, i, TRIGGER, 0, IRQ_FD_NOT_EVENTFD),
				 -EINVAL);

		assert_int_equal(set_fd(f, i, TRIGGER, 0, f->efd[0]), 0);
		assert_int_equal(set_none(f, i, TRIGGER, 0, 1), 0);
		assert_int_equal(set_bool(f, i, TRIGGER, 0, 0), 0);
		assert_int_equal(set_bool(f, i, TRIGGER, 0, 1), 0);
		assert_int_equal(got(f, 0), 2);

		/* errors leave it, another one replaces it */
		assert_int_equal(set_fd(f, i, TRIGGER, 0, IRQ_FD_BAD), -EBADF);
		assert_int_equal(set_fd(f, i, TRIGGER, 0, IRQ_FD_NEGATIVE),
				 -EINVAL);
		assert_int_equal(set_none(f, i, TRIGGER, 0, 1), 0);
		assert_int_equal(got(f, 0), 1);
		assert_int_equal(set_fd(f, i, TRIGGER, 0, f->efd[1]), 0);
		assert_int_equal(set_none(f, i, TRIGGER, 0, 1), 0);
		assert_int_equal(got(f, 0), 0);
		assert_int_equal(got(f, 1), 1);

		/* removed by count 0, and by -1 */
		assert_int_equal(set_none(f, i, TRIGGER, 0, 0), 0);
		assert_int_equal(set_none(f, i, TRIGGER, 0, 1), -EINVAL);
		assert_int_equal(set_fd(f, i, TRIGGER, 0, f->efd[0]), 0);
		assert_int_equal(set_fd(f, i, TRIGGER, 0, -1), 0);
		assert_int_equal(set_none(f, i, TRIGGER, 0, 1), -EINVAL);
	}
}

static void err_and_req_live_beside_every_mode(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(set_fd(f, IRQ_ERR, TRIGGER, 0, f->efd[6]), 0);
	assert_int_equal(set_fd(f, IRQ_REQ, TRIGGER, 0, f->efd[7]), 0);
	enable_msis(f, IRQ_MSIX, 1);
	assert_int_equal(turn_off(f, IRQ_MSIX), 0);
	irq_request_release(f->irq);
	assert_int_equal(got(f, 7), 1);
	assert_int_equal(got(f, 6), 0);
	assert_int_equal(set_none(f, IRQ_ERR, TRIGGER, 0, 1), 0);
	assert_int_equal(got(f, 6), 1);
}

static void close_releases_everything(void **state)
{
	struct fixture *f = *state;
	int before = count_fds();

	for (uint32_t i = IRQ_INTX; i <= IRQ_MSIX; i++) {
		assert_int_equal(set_fd(f, IRQ_ERR, TRIGGER, 0, f->efd[6]), 0);
		assert_int_equal(set_fd(f, IRQ_REQ, TRIGGER, 0, f->efd[7]), 0);
		enable_msis(f, i, 1);
		if (i == IRQ_INTX)
			assert_int_equal(set_fd(f, i, UNMASK, 0, f->efd[1]), 0);
		irq_intx_disable(f->irq, true);
		irq_close(f->irq);
		assert_int_equal(count_fds(), before);
		assert_int_equal(irq_mode(f->irq), SV_IRQ_NONE);
		assert_int_equal(f->msi, 0);
		assert_false(f->msix);
		assert_int_equal(f->watched, -1);
		irq_request_release(f->irq);
		assert_int_equal(got(f, 7), 0);
	}
	irq_close(f->irq);

	/* virtual DisINTx is clear in the next life, the pin as it was */
	irq_level(f->irq, true);
	enable_intx(f);
	assert_int_equal(got(f, 0), 1);
}

/* Threads */

struct race {
	struct fixture *f;
	atomic_bool stop;
	unsigned int releases;
};

static void *raise_messages(void *arg)
{
	struct race *race = arg;

	for (unsigned int i = 0; !atomic_load(&race->stop); i++)
		irq_raise(race->f->irq, i % 12);
	return NULL;
}

static void *move_the_pin(void *arg)
{
	struct race *race = arg;

	for (unsigned int i = 0; !atomic_load(&race->stop); i++) {
		irq_level(race->f->irq, i & 1);
		if (irq_mode(race->f->irq) == SV_IRQ_NONE)
			continue;
		irq_request_release(race->f->irq);
		race->releases++;
	}
	return NULL;
}

static void *flip_disintx(void *arg)
{
	struct race *race = arg;

	for (unsigned int i = 0; !atomic_load(&race->stop); i++) {
		irq_intx_disable(race->f->irq, i & 1);
		irq_unmask_event(race->f->irq);
	}
	return NULL;
}

static void toggle_once(struct fixture *f, int round)
{
	uint32_t index = (uint32_t)round % 3;
	int one = f->efd[round % 4];

	enable_msis(f, index, index == IRQ_INTX ? 1 : 6);
	if (index == IRQ_INTX) {
		assert_int_equal(set_fd(f, index, UNMASK, 0, f->efd[6]), 0);
		for (int i = 0; i < 8; i++)
			assert_int_equal(set_none(f, index, UNMASK, 0, 1), 0);
	}
	assert_int_equal(set_fd(f, index, TRIGGER, 0, one), 0);
	assert_int_equal(set_fd(f, index, TRIGGER, 0, -1), 0);
	assert_int_equal(turn_off(f, index), 0);
}

static void *(*const racers[])(void *) = {raise_messages, raise_messages,
					  move_the_pin, flip_disintx};
#define N_RACERS (sizeof(racers) / sizeof(racers[0]))

/* Whatever the interleaving, each signal counted arrived, and no other. */
static void raising_races_with_setup(void **state)
{
	struct fixture *f = *state;
	struct race race = {.f = f};
	struct irq_stats stats;
	pthread_t thread[N_RACERS];
	uint64_t arrived = 0;

	assert_int_equal(set_fd(f, IRQ_REQ, TRIGGER, 0, f->efd[7]), 0);
	for (size_t i = 0; i < N_RACERS; i++)
		assert_int_equal(
			pthread_create(&thread[i], NULL, racers[i], &race), 0);
	for (int round = 0; round < 600; round++)
		toggle_once(f, round);
	atomic_store(&race.stop, true);
	for (size_t i = 0; i < N_RACERS; i++)
		pthread_join(thread[i], NULL);

	for (int i = 0; i < 6; i++)
		arrived += got(f, i);
	irq_get_stats(f->irq, &stats);
	assert_int_equal(arrived, stats.raised);
	assert_int_equal(got(f, 7), race.releases);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(info_of_every_index),
		PLAIN(info_of_a_function_with_nothing),
		PLAIN(a_function_with_nothing_accepts_nothing),
		TEST(check_looks_at_everything),
		TEST(pairs_without_a_handler_are_enotty),
		TEST(only_one_kind_at_a_time),
		TEST(program_may_close_its_own),
		TEST(full_counter_blocks_nobody),
		TEST(err_and_req_by_their_own_rules),
		TEST(err_and_req_live_beside_every_mode),
		TEST(close_releases_everything),
		TEST(raising_races_with_setup),
	};

	alarm(DEADLINE);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
