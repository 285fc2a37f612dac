/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Domains: what a table has to be like while somebody is attached, that an
 * attachment which fails leaves nothing behind, and when memory is looked up.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/dma/dma.h"
#include "core/dma/domain.h"
#include "lib/cleanup.h"

#define PAGE 4096ull
#define RW   (IOPT_READ | IOPT_WRITE)

/* A page of a memfd, which is found when it is asked for, if @err is 0. */
struct fixture {
	int fd;
	struct mem *mem;
	struct iopt *iopt;
	struct domain *domain; /* of pages */
	struct domain *half;   /* of half pages */
	unsigned int asked;
	int err;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->fd = memfd_create("test", MFD_CLOEXEC);
	assert_int_equal(ftruncate(f->fd, PAGE), 0);
	assert_int_equal(mem_file(getpid(), f->fd, true, PAGE, &f->mem), 0);
	assert_int_equal(iopt_new(&f->iopt), 0);
	assert_int_equal(domain_new(f->iopt, PAGE, &f->domain), 0);
	assert_int_equal(domain_new(f->iopt, PAGE / 2, &f->half), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	domain_put(f->half);
	domain_put(f->domain);
	iopt_put(f->iopt);
	mem_put(f->mem);
	close(f->fd);
	free(f);
	return 0;
}

static int find_page(void *opaque, struct mem_seg *segs, size_t max)
{
	struct fixture *f = opaque;

	f->asked++;
	if (f->err)
		return f->err;
	segs[0] = (struct mem_seg){mem_get(f->mem), 0, PAGE};
	return 1;
}

static const struct pages_ops found_late = {find_page, NULL};

static int insert(struct fixture *f, uint64_t iova, uint64_t len)
{
	struct pages *p = NULL;

	assert_int_equal(pages_new_late(getpid(), 0, PAGE, &found_late, f, &p),
			 0);
	int r = iopt_insert(f->iopt, iova, len, RW, p, 0);

	pages_put(p);
	return r;
}

static void drop_all(struct fixture *f)
{
	struct iopt_removed removed;

	iopt_remove(f->iopt, 0, UINT64_MAX, &removed);
	iopt_drop(f->iopt, &removed);
}

static size_t areas(struct fixture *f)
{
	struct iova_range head, tail;

	return iopt_span(f->iopt, 0, UINT64_MAX, &head, &tail);
}

static void the_largest_page_of_those_attached_counts(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(insert(f, 1, 1), 0);
	assert_int_equal(domain_attach(f->half, "a", NULL, 0), -EADDRINUSE);
	drop_all(f);
	assert_int_equal(domain_attach(f->half, "a", NULL, 0), 0);
	assert_int_equal(insert(f, 1, 1), -EINVAL);
	assert_int_equal(domain_attach(f->domain, "b", NULL, 0), 0);
	assert_int_equal(domain_attach(f->domain, "c", NULL, 0), 0);
	assert_int_equal(insert(f, PAGE / 2, PAGE / 2), -EINVAL);
	domain_detach(f->domain, "b");
	assert_int_equal(insert(f, PAGE / 2, PAGE / 2), -EINVAL);
	domain_detach(f->domain, "c");
	assert_int_equal(insert(f, PAGE / 2, PAGE / 2), 0);
	assert_int_equal(domain_attach(f->domain, "b", NULL, 0), -EADDRINUSE);
	domain_detach(f->half, "a");
	assert_int_equal(insert(f, 1, 1), 0);
}

static void what_one_reserves_goes_with_it(void **state)
{
	static const struct iova_range msi = {PAGE, 2 * PAGE - 1};
	struct fixture *f = *state;

	assert_int_equal(domain_attach(f->domain, f, &msi, 1), 0);
	assert_int_equal(domain_attach(f->domain, state, &msi, 1), 0);
	assert_int_equal(insert(f, PAGE, PAGE), -EINVAL);
	domain_detach(f->domain, f);
	assert_int_equal(insert(f, PAGE, PAGE), -EINVAL);
	domain_detach(f->domain, state);
	assert_int_equal(insert(f, PAGE, PAGE), 0);
}

static void an_attachment_that_fails_leaves_nothing(void **state)
{
	static const struct iova_range reserved[] = {{100, 199}, {300, 399}};
	struct fixture *f = *state;
	struct iova_range usable[3];

	assert_int_equal(insert(f, 399, 1), 0);
	assert_int_equal(domain_attach(f->domain, f, reserved, 2), -EADDRINUSE);
	assert_int_equal(iopt_usable(f->iopt, usable, 3), 1);
	/* misaligned, found behind what is reserved */
	assert_int_equal(domain_attach(f->domain, f, reserved, 1), -EADDRINUSE);
	assert_int_equal(iopt_usable(f->iopt, usable, 3), 1);
	drop_all(f);
	/* memory that is not there, found last */
	assert_int_equal(insert(f, PAGE, PAGE), 0);
	f->err = -EFAULT;
	assert_int_equal(domain_attach(f->domain, f, reserved, 2), -EFAULT);
	assert_int_equal(iopt_usable(f->iopt, usable, 3), 1);
	assert_int_equal(insert(f, 100, 1), 0);
}

static void memory_is_looked_up_when_one_attaches(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(insert(f, 0, PAGE), 0);
	assert_int_equal(f->asked, 0);
	assert_int_equal(domain_attach(f->domain, "a", NULL, 0), 0);
	assert_int_equal(f->asked, 1);
	assert_int_equal(domain_attach(f->half, "b", NULL, 0), 0);
	assert_int_equal(f->asked, 1);
	domain_detach(f->half, "b");
	domain_detach(f->domain, "a");
}

static void memory_is_looked_up_first_while_one_is_attached(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(domain_attach(f->domain, "a", NULL, 0), 0);
	f->err = -EFAULT;
	assert_int_equal(insert(f, 0, PAGE), -EFAULT);
	assert_int_equal(areas(f), 0);
	f->err = 0;
	assert_int_equal(insert(f, 0, PAGE), 0);
	assert_int_equal(f->asked, 2);
	domain_detach(f->domain, "a");
	assert_int_equal(insert(f, PAGE, PAGE), 0);
	assert_int_equal(f->asked, 2);
}

static void a_copy_into_a_domain_has_its_memory(void **state)
{
	struct fixture *f = *state;
	struct iopt *list;
	struct pages *p;

	assert_int_equal(iopt_new(&list), 0);
	assert_int_equal(domain_attach(f->domain, "a", NULL, 0), 0);
	for (uint64_t i = 0; i < 2; i++) {
		assert_int_equal(
			pages_new_late(getpid(), 0, PAGE, &found_late, f, &p),
			0);
		assert_int_equal(iopt_insert(list, i * PAGE, PAGE, RW, p, 0),
				 0);
		pages_put(p);
	}
	f->err = -EFAULT;
	assert_int_equal(iopt_copy(f->iopt, PAGE, list, 0, 2 * PAGE, RW),
			 -EFAULT);
	assert_int_equal(areas(f), 0);
	f->err = 0;
	f->asked = 0;
	assert_int_equal(iopt_copy(f->iopt, PAGE, list, 0, 2 * PAGE, RW), 0);
	assert_int_equal(f->asked, 2);
	assert_int_equal(areas(f), 2);
	domain_detach(f->domain, "a");
	iopt_put(list);
}

/* A device may be at it longer. */
static void a_table_outlives_its_domain(void **state)
{
	struct fixture *f = *state;
	struct dma_ctx ctx = {0};
	uint8_t byte = 1;

	assert_ptr_equal(domain_iopt(f->domain), f->iopt);
	assert_int_equal(domain_attach(f->domain, "a", NULL, 0), 0);
	assert_int_equal(insert(f, 0, PAGE), 0);
	domain_detach(f->domain, "a");
	domain_get(f->domain);
	domain_put(f->domain);
	f->domain = domain_put(f->domain);
	assert_int_equal(dma_read(f->iopt, &ctx, 0, &byte, 1), 0);
	assert_int_equal(byte, 0);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_largest_page_of_those_attached_counts),
		TEST(what_one_reserves_goes_with_it),
		TEST(an_attachment_that_fails_leaves_nothing),
		TEST(memory_is_looked_up_when_one_attaches),
		TEST(memory_is_looked_up_first_while_one_is_attached),
		TEST(a_copy_into_a_domain_has_its_memory),
		TEST(a_table_outlives_its_domain),
	};

	mem_guard_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
