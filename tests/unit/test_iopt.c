/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The table by itself, without anybody's rules: byte by byte, what is reserved
 * and promised, pages that several tables name, and memory that is looked up
 * when it is needed.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/common/share.h"
#include "core/dma/dma.h"
#include "lib/cleanup.h"

#define PAGE 4096ull
#define RW   (IOPT_READ | IOPT_WRITE)

/* Two pages of a memfd. */
struct fixture {
	int fd;
	uint8_t *bytes;
	struct mem *mem;
	struct iopt *iopt;
	struct dma_ctx ctx;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->fd = memfd_create("test", MFD_CLOEXEC);
	assert_int_equal(ftruncate(f->fd, 2 * PAGE), 0);
	f->bytes = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED,
			f->fd, 0);
	assert_true(f->bytes != MAP_FAILED);
	assert_int_equal(mem_file(getpid(), f->fd, true, 2 * PAGE, &f->mem), 0);
	assert_int_equal(iopt_new(&f->iopt), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	iopt_put(f->iopt);
	mem_put(f->mem);
	munmap(f->bytes, 2 * PAGE);
	close(f->fd);
	free(f);
	assert_int_equal(share_held(SHARE_SEGMENTS, getpid()), 0);
	return 0;
}

/* The program has them at 1 GiB. */
static struct pages *two_pages(struct fixture *f)
{
	struct mem_seg seg = {mem_get(f->mem), 0, 2 * PAGE};
	struct pages *p = NULL;

	assert_int_equal(pages_new(getpid(), 1 << 30, &seg, 1, &p), 0);
	return p;
}

static int insert(struct fixture *f, uint64_t iova, uint64_t len, uint32_t prot,
		  uint64_t from)
{
	struct pages *p = two_pages(f);
	int r = iopt_insert(f->iopt, iova, len, prot, p, from);

	pages_put(p);
	return r;
}

static uint64_t remove_range(struct fixture *f, uint64_t first, uint64_t last)
{
	struct iopt_removed removed;

	iopt_remove(f->iopt, first, last, &removed);
	return iopt_drop(f->iopt, &removed);
}

struct list {
	struct iopt_area area[4];
	size_t n;
};

static bool list_one(void *opaque, const struct iopt_area *area)
{
	struct list *l = opaque;

	l->area[l->n++] = *area;
	return l->n < ARRAY_SIZE(l->area);
}

static struct list list_from(struct iopt *iopt, size_t skip)
{
	struct list l = {.n = 0};

	iopt_for_each(iopt, IOPT_ALL, skip, list_one, &l);
	return l;
}

static void areas_begin_and_end_at_any_byte(void **state)
{
	struct fixture *f = *state;
	uint8_t got[7];

	assert_int_equal(insert(f, 3, 5, RW, 1), 0);
	assert_int_equal(insert(f, 8, 1, RW, 100), 0);
	assert_int_equal(insert(f, 2, 2, RW, 0), -EEXIST);
	assert_int_equal(insert(f, 7, 1, RW, 0), -EEXIST);
	assert_int_equal(insert(f, 2, 1, RW, 0), 0);
	memcpy(f->bytes, "0abcdef", 7);
	f->bytes[100] = 'z';
	assert_int_equal(dma_read(f->iopt, &f->ctx, 2, got, 7), 0);
	assert_memory_equal(got, "0abcdez", 7);
	assert_int_equal(dma_read(f->iopt, &f->ctx, 2, got, 8), -EFAULT);
	assert_int_equal(insert(f, UINT64_MAX, 1, RW, 0), 0);
	assert_int_equal(insert(f, UINT64_MAX, 2, RW, 0), -EOVERFLOW);
	assert_int_equal(dma_write(f->iopt, &f->ctx, UINT64_MAX, "x", 1), 0);
	assert_int_equal(f->bytes[0], 'x');
}

static void alignment_is_for_all_there_is_and_all_to_come(void **state)
{
	struct iopt_demand half = {.align = 2048}, page = {.align = PAGE};
	struct fixture *f = *state;

	assert_int_equal(insert(f, 2048, 2048, RW, 0), 0);
	assert_int_equal(iopt_demand(f->iopt, &page), -EADDRINUSE);
	assert_int_equal(iopt_demand(f->iopt, &half), 0);
	assert_int_equal(insert(f, 6144, 1, RW, 0), -EINVAL);
	assert_int_equal(insert(f, 6145, 2047, RW, 0), -EINVAL);
	assert_int_equal(insert(f, 6144, 2048, RW, 0), 0);
	iopt_undemand(f->iopt, &half);
	assert_int_equal(insert(f, 1, 1, RW, 0), 0);
}

static void what_is_reserved_is_nobodys(void **state)
{
	struct fixture *f = *state;
	struct iova_range r[4];

	assert_int_equal(iopt_usable(f->iopt, r, 4), 1);
	assert_int_equal(r[0].last, UINT64_MAX);
	assert_int_equal(insert(f, 100, 10, RW, 0), 0);
	assert_int_equal(iopt_reserve(f->iopt, 109, 200, f), -EADDRINUSE);
	assert_int_equal(iopt_reserve(f->iopt, 110, 200, f), 0);
	assert_int_equal(iopt_reserve(f->iopt, 0, 9, f), 0);
	assert_int_equal(iopt_reserve(f->iopt, 150, 300, state), 0);
	assert_int_equal(iopt_reserve(f->iopt, 1000, UINT64_MAX, f), 0);
	assert_int_equal(insert(f, 200, 1, RW, 0), -EINVAL);
	assert_int_equal(iopt_usable(f->iopt, r, 4), 2);
	assert_int_equal(r[0].first, 10);
	assert_int_equal(r[0].last, 109);
	assert_int_equal(r[1].first, 301);
	assert_int_equal(r[1].last, 999);
	assert_int_equal(iopt_usable(f->iopt, r, 1), 2);
	iopt_unreserve(f->iopt, f);
	assert_int_equal(insert(f, 149, 1, RW, 0), 0);
	assert_int_equal(insert(f, 149 + 1, 1, RW, 0), -EINVAL);
}

static void what_is_promised_is_not_reserved(void **state)
{
	static const struct iova_range promised[] = {{100, 199}, {300, 399}};
	struct fixture *f = *state;

	assert_int_equal(iopt_reserve(f->iopt, 399, 500, f), 0);
	assert_int_equal(iopt_allow(f->iopt, promised, 2), -EADDRINUSE);
	assert_int_equal(iopt_allow(f->iopt, promised, 1), 0);
	assert_int_equal(iopt_reserve(f->iopt, 0, 100, f), -EADDRINUSE);
	assert_int_equal(iopt_reserve(f->iopt, 0, 99, f), 0);
	assert_int_equal(iopt_allow(f->iopt, NULL, 0), 0);
	assert_int_equal(iopt_reserve(f->iopt, 0, 100, f), 0);
}

static void a_walk_shows_areas_as_they_are(void **state)
{
	struct fixture *f = *state;
	struct iova_range head, tail;

	assert_int_equal(insert(f, 100, 10, IOPT_READ, 5), 0);
	assert_int_equal(insert(f, 200, 10, RW, 0), 0);
	assert_int_equal(insert(f, 300, 10, RW, 0), 0);

	struct list l = list_from(f->iopt, 0);

	assert_int_equal(l.n, 3);
	assert_int_equal(l.area[0].range.first, 100);
	assert_int_equal(l.area[0].range.last, 109);
	assert_int_equal(l.area[0].prot, IOPT_READ);
	assert_int_equal(l.area[0].addr, (1 << 30) + 5);
	assert_int_equal(list_from(f->iopt, 2).area[0].range.first, 300);
	assert_int_equal(list_from(f->iopt, 3).n, 0);
	assert_int_equal(list_from(f->iopt, 9).n, 0);
	assert_int_equal(iopt_span(f->iopt, 109, 200, &head, &tail), 2);
	assert_int_equal(head.first, 100);
	assert_int_equal(tail.last, 209);
	assert_int_equal(iopt_span(f->iopt, 110, 199, &head, &tail), 0);
	assert_true(iopt_find(f->iopt, 305, &head));
	assert_int_equal(head.first, 300);
	assert_false(iopt_find(f->iopt, 310, &head));
}

static void a_removal_takes_whole_areas(void **state)
{
	struct fixture *f = *state;

	for (uint64_t i = 1; i <= 3; i++)
		assert_int_equal(insert(f, 100 * i, 10, RW, 0), 0);
	assert_int_equal(remove_range(f, 110, 199), 0);
	assert_int_equal(remove_range(f, 109, 200), 20);
	assert_int_equal(remove_range(f, 0, UINT64_MAX), 10);
	assert_int_equal(remove_range(f, 0, UINT64_MAX), 0);
}

struct listener {
	struct iopt_listener l;
	struct iova_range last;
	unsigned int n;
};

static void heard(struct iopt_listener *l, struct iova_range range)
{
	struct listener *mine = container_of(l, struct listener, l);

	mine->last = range;
	mine->n++;
}

static void listeners_hear_of_each_area_that_goes(void **state)
{
	struct fixture *f = *state;
	struct listener a = {.l.unmap = heard}, b = {.l.unmap = heard};

	iopt_listen(f->iopt, &a.l);
	iopt_listen(f->iopt, &b.l);
	assert_int_equal(insert(f, 100, 10, RW, 0), 0);
	assert_int_equal(insert(f, 200, 10, RW, 0), 0);
	assert_int_equal(a.n, 0);
	remove_range(f, 0, 1000);
	assert_int_equal(a.n, 2);
	assert_int_equal(b.n, 2);
	assert_int_equal(a.last.first, 200);
	assert_int_equal(a.last.last, 209);
	iopt_unlisten(f->iopt, &a.l);
	assert_int_equal(insert(f, 100, 10, RW, 0), 0);
	remove_range(f, 0, 1000);
	assert_int_equal(a.n, 2);
	assert_int_equal(b.n, 3);
	iopt_unlisten(f->iopt, &b.l);
}

/* Whoever holds memory hears that it has to let go, and can. */
struct holder {
	struct iopt_listener l;
	struct iopt *iopt;
	struct sv_dma_hold hold;
};

static void let_go(struct iopt_listener *l, struct iova_range range)
{
	struct holder *h = container_of(l, struct holder, l);
	struct iova_range none;

	/* it may ask the table, where the area is no more */
	assert_int_equal(iopt_span(h->iopt, 0, UINT64_MAX, &none, &none), 0);
	dma_release(h->iopt, &h->hold);
}

static void a_listener_lets_go_of_what_it_holds(void **state)
{
	struct fixture *f = *state;
	struct holder h = {.l.unmap = let_go, .iopt = f->iopt};
	struct sv_dma d = {.iova = 100, .len = 10};
	struct iovec iov[1];

	iopt_listen(f->iopt, &h.l);
	assert_int_equal(insert(f, 100, 10, RW, 0), 0);
	assert_int_equal(dma_hold(f->iopt, &d, 1, iov, 1, &h.hold), 1);
	assert_int_equal(remove_range(f, 0, 1000), 10);
	iopt_unlisten(f->iopt, &h.l);
}

static void a_copy_names_the_same_pages(void **state)
{
	struct fixture *f = *state;
	struct iopt *other;
	uint8_t got[4];

	assert_int_equal(iopt_new(&other), 0);
	assert_int_equal(insert(f, 100, 10, IOPT_READ, 0), 0);
	assert_int_equal(insert(f, 110, 10, RW, 50), 0);
	assert_int_equal(iopt_copy(other, 1000, f->iopt, 108, 4, IOPT_READ), 0);
	assert_int_equal(list_from(other, 0).n, 2);
	/* whatever becomes of the first */
	assert_int_equal(remove_range(f, 0, 1000), 20);
	memcpy(f->bytes + 8, "ab", 2);
	memcpy(f->bytes + 50, "cd", 2);
	assert_int_equal(dma_read(other, &f->ctx, 1000, got, 4), 0);
	assert_memory_equal(got, "abcd", 4);
	assert_int_equal(dma_write(other, &f->ctx, 1002, got, 1), -EFAULT);
	assert_int_equal(iopt_copy(other, 2000, other, 1001, 2, IOPT_READ), 0);
	assert_int_equal(dma_read(other, &f->ctx, 2000, got, 2), 0);
	assert_memory_equal(got, "bc", 2);
	iopt_put(other);
}

static void a_copy_is_whole_or_none(void **state)
{
	struct fixture *f = *state;
	struct iopt *iopt = f->iopt;

	assert_int_equal(insert(f, 100, 10, IOPT_READ, 0), 0);
	assert_int_equal(insert(f, 110, 10, RW, 0), 0);
	assert_int_equal(insert(f, 130, 10, RW, 0), 0);
	assert_int_equal(iopt_copy(iopt, 1000, iopt, 99, 5, 1), -ENOENT);
	assert_int_equal(iopt_copy(iopt, 1000, iopt, 115, 20, 1), -ENOENT);
	assert_int_equal(iopt_copy(iopt, 1000, iopt, 115, 6, 1), -ENOENT);
	assert_int_equal(iopt_copy(iopt, 1000, iopt, 50, 6, 1), -ENOENT);
	assert_int_equal(iopt_copy(iopt, 1000, iopt, 105, 10, RW), -EACCES);
	assert_int_equal(iopt_copy(iopt, UINT64_MAX, iopt, 105, 10, 1),
			 -EOVERFLOW);
	/* the first half has room, the second has not, and the other way */
	assert_int_equal(insert(f, 1009, 1, RW, 0), 0);
	assert_int_equal(iopt_copy(iopt, 1000, iopt, 105, 10, 1), -EEXIST);
	assert_int_equal(iopt_copy(iopt, 1009, iopt, 105, 10, 1), -EEXIST);
	assert_int_equal(list_from(iopt, 0).n, 4);
	assert_int_equal(remove_range(f, 1000, 2000), 1);
	assert_int_equal(iopt_copy(iopt, 1000, iopt, 105, 10, 1), 0);
	assert_int_equal(remove_range(f, 1000, 2000), 10);
}

/* --- memory that is looked up late --- */

struct late {
	struct fixture *f;
	_Atomic unsigned int asked;
	unsigned int done;
	int err;
};

static int late_resolve(void *opaque, struct mem_seg *segs, size_t max)
{
	struct late *l = opaque;

	atomic_fetch_add(&l->asked, 1);
	if (l->err)
		return l->err;
	segs[0] = (struct mem_seg){mem_get(l->f->mem), PAGE, PAGE};
	segs[1] = (struct mem_seg){mem_get(l->f->mem), 0, PAGE};
	return 2;
}

static void late_done(void *opaque)
{
	((struct late *)opaque)->done++;
}

static const struct pages_ops late_ops = {late_resolve, late_done};

static void insert_late(struct late *l)
{
	struct pages *p;

	assert_int_equal(
		pages_new_late(getpid(), 1 << 30, 2 * PAGE, &late_ops, l, &p),
		0);
	assert_int_equal(iopt_insert(l->f->iopt, 0, 2 * PAGE, RW, p, 0), 0);
	pages_put(p);
}

static void memory_is_looked_up_by_the_first_access(void **state)
{
	struct late l = {.f = *state};
	struct iopt *iopt = l.f->iopt;
	struct sv_dma_hold hold;
	struct sv_dma list[2];
	struct iovec iov[4];
	size_t done = 0;
	uint8_t got[2];

	insert_late(&l);
	assert_int_equal(share_held(SHARE_SEGMENTS, getpid()), 0);
	l.f->bytes[0] = 'b';
	l.f->bytes[PAGE] = 'a';
	list[0] = (struct sv_dma){.iova = 0, .buf = &got[0], .len = 1};
	list[1] = (struct sv_dma){.iova = PAGE, .buf = &got[1], .len = 1};
	/* not mapped here, as far as anybody knows */
	assert_int_equal(dma_hold(iopt, list, 1, iov, 4, &hold), 0);
	assert_int_equal(l.asked, 0);
	assert_int_equal(dma_many(iopt, &l.f->ctx, list, 2, &done), 0);
	assert_memory_equal(got, "ab", 2);
	assert_int_equal(dma_read(iopt, &l.f->ctx, PAGE - 1, got, 2), 0);
	assert_int_equal(l.asked, 1);
	assert_int_equal(share_held(SHARE_SEGMENTS, getpid()), 2);
	assert_int_equal(dma_hold(iopt, list, 1, iov, 4, &hold), 1);
	dma_release(iopt, &hold);
	assert_int_equal(l.done, 0);
	assert_int_equal(remove_range(l.f, 0, UINT64_MAX), 2 * PAGE);
	assert_int_equal(l.done, 1);
}

static void memory_is_looked_up_by_who_attaches(void **state)
{
	struct late l = {.f = *state, .err = -EFAULT};

	insert_late(&l);
	assert_int_equal(iopt_resolve(l.f->iopt), -EFAULT);
	l.err = 0;
	assert_int_equal(iopt_resolve(l.f->iopt), 0);
	assert_int_equal(iopt_resolve(l.f->iopt), 0);
	assert_int_equal(l.asked, 2);
	assert_int_equal(remove_range(l.f, 0, UINT64_MAX), 2 * PAGE);
}

/* However many they are, with one pass over the table. */
static void many_are_looked_up_in_one_pass(void **state)
{
	enum { N = 60000 };
	struct late l = {.f = *state};
	struct iopt *iopt = l.f->iopt;
	struct pages *p;

	for (uint64_t i = 0; i < N; i++) {
		assert_int_equal(pages_new_late(getpid(), 0, 2 * PAGE,
						&late_ops, &l, &p),
				 0);
		assert_int_equal(iopt_insert(iopt, i * PAGE, PAGE, RW, p, 0),
				 0);
		pages_put(p);
	}
	assert_int_equal(iopt_resolve(iopt), 0);
	assert_int_equal(l.asked, N);
	assert_int_equal(remove_range(l.f, 0, UINT64_MAX), N * PAGE);
	assert_int_equal(l.done, N);
}

static void memory_that_cannot_be_looked_up_is_no_fault(void **state)
{
	struct late l = {.f = *state, .err = -EFAULT};
	uint8_t got;

	insert_late(&l);
	assert_int_equal(dma_read(l.f->iopt, &l.f->ctx, 0, &got, 1), -EIO);
	l.err = 0;
	assert_int_equal(dma_read(l.f->iopt, &l.f->ctx, 0, &got, 1), 0);
	assert_int_equal(remove_range(l.f, 0, UINT64_MAX), 2 * PAGE);
}

static void *read_late(void *arg)
{
	struct late *l = arg;
	struct dma_ctx ctx = {0};
	uint8_t got;

	return (void *)(intptr_t)dma_read(l->f->iopt, &ctx, 0, &got, 1);
}

static void memory_is_looked_up_once_for_all(void **state)
{
	for (int i = 0; i < 200; i++) {
		struct late l = {.f = *state};
		pthread_t t[4];
		void *r;

		insert_late(&l);
		for (size_t n = 0; n < ARRAY_SIZE(t); n++)
			pthread_create(&t[n], NULL, read_late, &l);
		for (size_t n = 0; n < ARRAY_SIZE(t); n++) {
			pthread_join(t[n], &r);
			assert_null(r);
		}
		assert_int_equal(l.asked, 1);
		remove_range(l.f, 0, UINT64_MAX);
	}
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(areas_begin_and_end_at_any_byte),
		TEST(alignment_is_for_all_there_is_and_all_to_come),
		TEST(what_is_reserved_is_nobodys),
		TEST(what_is_promised_is_not_reserved),
		TEST(a_walk_shows_areas_as_they_are),
		TEST(a_removal_takes_whole_areas),
		TEST(listeners_hear_of_each_area_that_goes),
		TEST(a_listener_lets_go_of_what_it_holds),
		TEST(a_copy_names_the_same_pages),
		TEST(a_copy_is_whole_or_none),
		TEST(memory_is_looked_up_by_the_first_access),
		TEST(memory_is_looked_up_by_who_attaches),
		TEST(many_are_looked_up_in_one_pass),
		TEST(memory_that_cannot_be_looked_up_is_no_fault),
		TEST(memory_is_looked_up_once_for_all),
	};

	mem_guard_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
