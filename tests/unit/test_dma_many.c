/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DMA in lists, and memory that is held for a system call: a list does what
 * its accesses would do one by one, whatever memory they lead to, and stops at
 * the first that fails; what is held stays until it is let go.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/cleanup.h"
#include "tests/unit/map_rig.h"

#define PAGE	    4096ull
#define RW	    (IOPT_READ | IOPT_WRITE)
#define DEADLINE_NS 10000000000ull
#define BYTES	    (16 * PAGE)

/*
 * Bus addresses 0 to BYTES: file memory and private memory in turns, a page or
 * three each, one of them in two segments; a hole at the end.
 */
struct rig {
	struct type1 *type1;
	struct dma_ctx ctx;
	int fd;
	int mem_fd;
	uint8_t *file;
	uint8_t *private;
	struct mem *file_mem;
	struct mem *mm;
};

static struct mem_seg seg_at(struct rig *r, bool file, uint64_t at,
			     uint64_t len)
{
	uint64_t off = file ? at : (uintptr_t)r->private + at;

	return (struct mem_seg){mem_get(file ? r->file_mem : r->mm), off, len};
}

static void map_one(struct rig *r, bool file, uint64_t at, uint64_t len,
		    uint32_t prot)
{
	struct mem_seg seg = seg_at(r, file, at, len);

	assert_int_equal(rig_map_one(r->type1, at, len, prot, &seg), 0);
}

static void map_all(struct rig *r)
{
	struct mem_seg two[2] = {seg_at(r, true, 9 * PAGE, PAGE),
				 seg_at(r, false, 10 * PAGE, PAGE)};
	const struct type1_map both = {0, 9 * PAGE, 2 * PAGE, RW};

	map_one(r, true, 0, PAGE, RW);
	map_one(r, false, PAGE, 3 * PAGE, RW);
	map_one(r, true, 4 * PAGE, 3 * PAGE, RW);
	map_one(r, false, 7 * PAGE, PAGE, RW);
	map_one(r, false, 8 * PAGE, PAGE, RW);
	assert_int_equal(rig_map(r->type1, &both, two, 2), 0);
	map_one(r, true, 11 * PAGE, PAGE, IOPT_READ);
	map_one(r, false, 12 * PAGE, 3 * PAGE, RW);
}

/* cmocka puts a SIGBUS handler of its own around every test. */
static struct sigaction guard_action;

static int setup(void **state)
{
	static const struct mm_id self = {{3, 4}};
	struct rig *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	r->fd = memfd_create("test", MFD_CLOEXEC);
	assert_int_equal(ftruncate(r->fd, BYTES), 0);
	r->file =
		mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd, 0);
	r->private = mmap(NULL, BYTES, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(r->file != MAP_FAILED && r->private != MAP_FAILED);
	r->mem_fd = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	assert_int_equal(mem_file(getpid(), r->fd, true, BYTES, &r->file_mem),
			 0);
	assert_int_equal(mem_mm(getpid(), &self, r->mem_fd, &r->mm), 0);
	r->type1 = rig_type1(TYPE1_V2, 100);
	assert_non_null(r->type1);
	map_all(r);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	type1_put(r->type1);
	mem_put(r->file_mem);
	mem_put(r->mm);
	munmap(r->file, BYTES);
	munmap(r->private, BYTES);
	close(r->fd);
	close(r->mem_fd);
	free(r);
	return 0;
}

/* The program's byte at bus address @at; only one of the two is mapped. */
static uint8_t *byte_at(struct rig *r, uint64_t at)
{
	static const bool file[16] = {[0] = true, [4] = true, [5] = true,
				      [6] = true, [9] = true, [11] = true};

	return file[at / PAGE] ? &r->file[at] : &r->private[at];
}

static uint32_t random_next(uint32_t *s)
{
	*s = *s * 1664525u + 1013904223u;
	return *s >> 8;
}

#define LIST 200

/* Does the access fail, and if so, why? */
static bool access_ok(const struct sv_dma *d)
{
	if (!d->len)
		return true;
	if (d->iova + d->len > 15 * PAGE)
		return false;
	return !d->write || d->iova + d->len <= 11 * PAGE ||
	       d->iova >= 12 * PAGE;
}

static void random_list(uint32_t *s, struct sv_dma *list, uint8_t *buf,
			bool failing)
{
	for (size_t i = 0; i < LIST; i++) {
		bool near = i && random_next(s) % 2;

		list[i] = (struct sv_dma){
			.iova = near ? list[i - 1].iova + list[i - 1].len
				     : random_next(s) % (14 * PAGE),
			.buf = buf + i * 2 * PAGE,
			.len = random_next(s) %
			       (random_next(s) % 16 ? 64 : 2 * PAGE),
			.write = near ? list[i - 1].write : random_next(s) % 2,
		};
		while (!failing && !access_ok(&list[i])) {
			list[i].iova = random_next(s) % (14 * PAGE);
			list[i].write = false;
			list[i].len = 32;
		}
	}
}

/* What the list ought to do to @model; returns how many are made. */
static size_t model_run(uint8_t *model, const struct sv_dma *list,
			uint8_t *expected)
{
	for (size_t i = 0; i < LIST; i++) {
		const struct sv_dma *d = &list[i];

		if (!access_ok(d))
			return i;
		if (d->write)
			memcpy(model + d->iova, d->buf, d->len);
		else
			memcpy(expected + i * 2 * PAGE, model + d->iova,
			       d->len);
	}
	return LIST;
}

static void check_round(struct rig *r, uint32_t *s, bool failing)
{
	uint8_t *buf = malloc(LIST * 2 * PAGE);
	uint8_t *expected = malloc(LIST * 2 * PAGE);
	uint8_t model[BYTES];
	struct sv_dma list[LIST];
	size_t done = LIST;

	for (uint64_t i = 0; i < BYTES; i++)
		model[i] = *byte_at(r, i);
	for (size_t i = 0; i < LIST * 2 * PAGE; i++)
		buf[i] = (uint8_t)random_next(s);
	memcpy(expected, buf, LIST * 2 * PAGE);
	random_list(s, list, buf, failing);
	size_t want = model_run(model, list, expected);
	int got = dma_many(type1_iopt(r->type1), &r->ctx, list, LIST, &done);

	assert_int_equal(got, want == LIST ? 0 : -EFAULT);
	assert_int_equal(done, want);
	assert_memory_equal(buf, expected, LIST * 2 * PAGE);
	for (uint64_t i = 0; i < BYTES; i++)
		assert_int_equal(*byte_at(r, i), model[i]);
	free(buf);
	free(expected);
}

static void lists_do_what_their_accesses_do(void **state)
{
	uint32_t seed = 7;

	for (int i = 0; i < 60; i++)
		check_round(*state, &seed, i & 1);
}

static void a_list_ends_where_the_memory_has_gone(void **state)
{
	struct rig *r = *state;
	uint8_t buf[4][64] = {{1}, {2}, {3}, {4}};
	struct sv_dma list[4] = {
		{PAGE, buf[0], 64, true, SV_PASID_NONE},
		{4 * PAGE, buf[1], 64, true, SV_PASID_NONE},
		{PAGE + 64, buf[2], 64, true, SV_PASID_NONE},
		{7 * PAGE, buf[3], 64, true, SV_PASID_NONE},
	};
	size_t done = 9;

	assert_int_equal(sigaction(SIGBUS, &guard_action, NULL), 0);
	assert_int_equal(ftruncate(r->fd, PAGE), 0);
	assert_int_equal(
		dma_many(type1_iopt(r->type1), &r->ctx, list, 4, &done), -EIO);
	assert_int_equal(done, 1);
	assert_int_equal(r->private[PAGE], 1);
	assert_int_equal(r->private[PAGE + 64], 0);
	/* private memory, in the middle of what goes together */
	list[1].iova = 2 * PAGE;
	list[2].iova = 8 * PAGE;
	munmap(r->private + 2 * PAGE, PAGE);
	assert_int_equal(
		dma_many(type1_iopt(r->type1), &r->ctx, list, 4, &done), -EIO);
	assert_int_equal(done, 1);
	assert_int_equal(r->private[8 * PAGE], 0);
}

static void a_stopped_requester_begins_nothing(void **state)
{
	struct rig *r = *state;
	uint8_t buf[2][16] = {{1}, {1}};
	struct sv_dma list[2] = {{PAGE, buf[0], 16, true, SV_PASID_NONE},
				 {7 * PAGE, buf[1], 16, true, SV_PASID_NONE}};
	size_t done = 9;

	atomic_store(&r->ctx.cancel, 1);
	assert_int_equal(
		dma_many(type1_iopt(r->type1), &r->ctx, list, 2, &done),
		-ECANCELED);
	assert_int_equal(done, 0);
	assert_int_equal(r->private[PAGE], 0);
}

/* --- memory that is held --- */

static void held_memory_is_the_programs_own(void **state)
{
	struct rig *r = *state;
	struct sv_dma list[3] = {
		{.iova = 100, .len = 50, .write = true},
		{.iova = 4 * PAGE + 1, .len = 2 * PAGE, .write = true},
		{.iova = 9 * PAGE, .len = 8, .write = true}};
	struct sv_dma_hold hold;
	struct iovec iov[8];

	assert_int_equal(dma_hold(type1_iopt(r->type1), list, 3, iov, 8, &hold),
			 3);
	assert_int_equal(hold.n, 3);
	assert_int_equal(iov[1].iov_len, 2 * PAGE);
	*(uint8_t *)iov[1].iov_base = 77;
	assert_int_equal(r->file[4 * PAGE + 1], 77);
	dma_release(type1_iopt(r->type1), &hold);
	assert_int_equal(hold.n, 0);
}

static void memory_that_cannot_be_held_is_told(void **state)
{
	static const struct {
		uint64_t iova;
		uint64_t len;
		bool write;
		int result;
	} row[] = {
		{PAGE, 8, false, 0},		 /* private */
		{4 * PAGE - 8, 16, false, 0},	 /* partly */
		{10 * PAGE - 8, 16, false, 0},	 /* its second segment is */
		{15 * PAGE, 8, false, -EFAULT},	 /* not mapped */
		{14 * PAGE, 2 * PAGE, false, 0}, /* private comes first */
		{11 * PAGE, 8, true, -EFAULT},	 /* read only */
		{UINT64_MAX - 8, 16, false, -EFAULT}, /* wraps */
		{11 * PAGE, 8, false, 1},
	};
	struct rig *r = *state;
	struct sv_dma_hold hold;
	struct iovec iov[4];

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		struct sv_dma d = {.iova = row[i].iova,
				   .len = row[i].len,
				   .write = row[i].write};
		int got = dma_hold(type1_iopt(r->type1), &d, 1, iov, 4, &hold);

		assert_int_equal(got, row[i].result);
		assert_int_equal(hold.n, got > 0 ? 1 : 0);
		if (got > 0)
			dma_release(type1_iopt(r->type1), &hold);
	}
	/* nothing of all that is still being used */
	uint64_t n;

	assert_int_equal(type1_unmap(r->type1, true, 0, 0, &n), 0);
	assert_int_equal(n, 15 * PAGE);
}

static void too_little_room_is_not_an_error(void **state)
{
	struct rig *r = *state;
	struct sv_dma list[3] = {{.iova = 0, .len = 8},
				 {.iova = 16, .len = 8},
				 {.iova = 32, .len = 8}};
	struct sv_dma_hold hold;
	struct iovec iov[2];

	assert_int_equal(dma_hold(type1_iopt(r->type1), list, 3, iov, 2, &hold),
			 0);
	assert_int_equal(dma_hold(type1_iopt(r->type1), list, 2, iov, 2, &hold),
			 2);
	assert_int_equal(hold.n, 1); /* one mapping, counted once */
	dma_release(type1_iopt(r->type1), &hold);
}

struct unmapper {
	struct type1 *type1;
	_Atomic bool done;
};

static void *unmap_first(void *arg)
{
	struct unmapper *u = arg;
	uint64_t n;

	type1_unmap(u->type1, false, 0, PAGE, &n);
	atomic_store(&u->done, true);
	return NULL;
}

static void unmap_waits_until_it_is_let_go(void **state)
{
	struct rig *r = *state;
	struct unmapper u = {r->type1, false};
	uint64_t deadline = clock_ns() + DEADLINE_NS;
	uint32_t before = type1_avail(r->type1);
	struct sv_dma d = {.iova = 0, .len = 8};
	struct sv_dma_hold hold;
	struct iovec iov[1];
	pthread_t t;

	assert_int_equal(dma_hold(type1_iopt(r->type1), &d, 1, iov, 1, &hold),
			 1);
	pthread_create(&t, NULL, unmap_first, &u);
	while (type1_avail(r->type1) == before) { /* gone from the table */
		assert_true(clock_ns() < deadline);
		sched_yield();
	}
	assert_false(atomic_load(&u.done));
	*(volatile uint8_t *)iov[0].iov_base = 5;
	dma_release(type1_iopt(r->type1), &hold);
	pthread_join(t, NULL);
	assert_true(atomic_load(&u.done));
	assert_int_equal(r->file[0], 5);
}

static void a_file_cut_off_while_held_is_efault_to_the_kernel(void **state)
{
	struct rig *r = *state;
	struct sv_dma d = {.iova = 4 * PAGE, .len = PAGE, .write = true};
	int image = memfd_create("image", MFD_CLOEXEC);
	struct sv_dma_hold hold;
	struct iovec iov[1];

	assert_int_equal(ftruncate(image, PAGE), 0);
	assert_int_equal(dma_hold(type1_iopt(r->type1), &d, 1, iov, 1, &hold),
			 1);
	assert_int_equal(preadv(image, iov, 1, 0), PAGE);
	assert_int_equal(ftruncate(r->fd, 0), 0);
	assert_int_equal(preadv(image, iov, 1, 0), -1);
	assert_int_equal(errno, EFAULT);
	dma_release(type1_iopt(r->type1), &hold);
	close(image);
}

#define test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(lists_do_what_their_accesses_do),
		test(a_list_ends_where_the_memory_has_gone),
		test(a_stopped_requester_begins_nothing),
		test(held_memory_is_the_programs_own),
		test(memory_that_cannot_be_held_is_told),
		test(too_little_room_is_not_an_error),
		test(unmap_waits_until_it_is_let_go),
		test(a_file_cut_off_while_held_is_efault_to_the_kernel),
	};

	if (mem_guard_init() < 0)
		return 1;
	sigaction(SIGBUS, NULL, &guard_action);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
