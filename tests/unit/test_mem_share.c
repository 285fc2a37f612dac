/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What memory for DMA one program may take of the daemon: mappings of files,
 * how long they are, copy workers. Beyond that it is told to do without, and
 * what others ask for is not.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/common/share.h"
#include "tests/unit/mem_rig.h"

#define LIAR  4711
#define OTHER 4712

#define SPARSE (64ull << 30) /* as much of one as is mapped ahead */

static bool no_more_maps;

#define WRAP(name)                                                             \
	void *__real_##name(void *addr, size_t len, int prot, int flags,       \
			    int fd, off_t off);                                \
	void *__wrap_##name(void *addr, size_t len, int prot, int flags,       \
			    int fd, off_t off);                                \
	void *__wrap_##name(void *addr, size_t len, int prot, int flags,       \
			    int fd, off_t off)                                 \
	{                                                                      \
		if (!no_more_maps)                                             \
			return __real_##name(addr, len, prot, flags, fd, off); \
		errno = ENOMEM;                                                \
		return MAP_FAILED;                                             \
	}

WRAP(mmap)
WRAP(mmap64)

static uint64_t each(enum share_kind kind)
{
	return share_limit(kind)->each;
}

/* Memory of a new file of @len bytes, which has nothing else left. */
static int file_of(pid_t pid, uint64_t len, struct mem **ret_mem)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)len), 0);

	int r = mem_file(pid, fd, true, PAGE, ret_mem);

	close(fd);
	return r;
}

/* Take all of a share by files of @len, and see whom that hurts. */
static void takes_all(enum share_kind kind, uint64_t len, uint64_t n)
{
	struct mem *mem[64], *more = NULL, *other;

	assert_true(n <= 64);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(file_of(LIAR, len, &mem[i]), 0);
	assert_int_equal(share_held(kind, LIAR), each(kind));
	assert_int_equal(file_of(LIAR, len, &more), -ENOSPC);
	assert_null(more);
	assert_int_equal(file_of(OTHER, len, &other), 0);
	mem_put(other);

	mem_put(mem[--n]);
	assert_int_equal(file_of(LIAR, len, &mem[n++]), 0);
	for (size_t i = 0; i < n; i++)
		mem_put(mem[i]);
	assert_int_equal(share_held(SHARE_MAPPED_FILES, LIAR), 0);
	assert_int_equal(share_held(SHARE_MAPPED_BYTES, LIAR), 0);
}

static void files_beyond_a_share_are_not_mapped(void **state)
{
	share_lower(SHARE_MAPPED_FILES, 80);
	takes_all(SHARE_MAPPED_FILES, PAGE, 40);
}

static void sparse_files_beyond_a_share_are_not_mapped(void **state)
{
	share_lower(SHARE_MAPPED_BYTES, 16 * SPARSE);
	takes_all(SHARE_MAPPED_BYTES, SPARSE, 4);
}

static void a_file_is_charged_once_however_often_it_is_asked_for(void **state)
{
	struct mem *a, *b;
	int fd = memfd_create("test", MFD_CLOEXEC);

	assert_int_equal(ftruncate(fd, PAGE), 0);
	assert_int_equal(mem_file(LIAR, fd, true, PAGE, &a), 0);
	assert_int_equal(mem_file(OTHER, fd, true, PAGE, &b), 0);
	assert_int_equal(share_held(SHARE_MAPPED_FILES, LIAR), 1);
	assert_int_equal(share_held(SHARE_MAPPED_BYTES, LIAR), PAGE);
	assert_int_equal(share_held(SHARE_MAPPED_FILES, OTHER), 0);
	mem_put(a);
	mem_put(b);
	close(fd);
}

static void growing_files_are_charged_for_every_mapping(void **state)
{
	struct mem *mem, *again;
	int fd = memfd_create("test", MFD_CLOEXEC);

	assert_int_equal(ftruncate(fd, PAGE), 0);
	assert_int_equal(mem_file(LIAR, fd, true, PAGE, &mem), 0);
	assert_int_equal(ftruncate(fd, 2 * PAGE), 0);
	assert_int_equal(mem_file(LIAR, fd, true, 2 * PAGE, &again), 0);
	assert_ptr_equal(mem, again);
	assert_int_equal(share_held(SHARE_MAPPED_FILES, LIAR), 2);
	assert_int_equal(share_held(SHARE_MAPPED_BYTES, LIAR), 3 * PAGE);
	mem_put(mem);
	mem_put(again);
	assert_int_equal(share_held(SHARE_MAPPED_FILES, LIAR), 0);
	close(fd);
}

/* The caller goes by mem_mm() then. */
static void a_host_that_maps_no_more_costs_no_share(void **state)
{
	struct mem *mem = NULL;

	no_more_maps = true;

	int r = file_of(LIAR, PAGE, &mem);

	no_more_maps = false;
	assert_int_equal(r, -ENOSPC);
	assert_null(mem);
	assert_int_equal(share_held(SHARE_MAPPED_FILES, LIAR), 0);
	assert_int_equal(share_held(SHARE_MAPPED_BYTES, LIAR), 0);
}

static int space_of(pid_t pid, uint64_t name, int fd, struct mem **ret_mem)
{
	const struct mm_id id = {{(uint64_t)pid, name}};

	return mem_mm(pid, &id, fd, ret_mem);
}

/* Workers end by themselves. */
static void names_that_a_program_makes_up_get_its_share_of_workers(void **state)
{
	int fd = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	uint64_t n = each(SHARE_WORKERS);
	struct mem *mem[64], *more = NULL, *other;

	assert_true(fd >= 0 && n <= 64);
	for (uint64_t i = 0; i < n; i++)
		assert_int_equal(space_of(LIAR, i, fd, &mem[i]), 0);
	assert_int_equal(space_of(LIAR, n, fd, &more), -ENOMEM);
	assert_null(more);
	assert_int_equal(space_of(LIAR, 0, fd, &more), 0); /* known */
	mem_put(more);
	assert_int_equal(space_of(OTHER, 0, fd, &other), 0);
	mem_put(other);
	for (uint64_t i = 0; i < n; i++)
		mem_put(mem[i]);
	assert_int_equal(share_held(SHARE_WORKERS, LIAR), 0);
	assert_int_equal(share_held(SHARE_WORKERS, OTHER), 0);
	close(fd);
}

/* Not when its worker comes to see that there is nothing more to do. */
static void memory_that_has_gone_costs_no_worker(void **state)
{
	int fd = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	uint64_t value = 4711, seen;
	struct mem *mem;

	assert_true(fd >= 0);
	for (uint64_t i = 0; i < 500; i++) {
		assert_int_equal(space_of(LIAR, i, fd, &mem), 0);
		assert_int_equal(mem_read(mem, NULL, (uintptr_t)&value, &seen,
					  sizeof(seen)),
				 0);
		assert_int_equal(seen, value);
		mem_put(mem);
		assert_int_equal(share_held(SHARE_WORKERS, LIAR), 0);
	}
	close(fd);
}

static void a_descriptor_that_is_none_costs_no_worker(void **state)
{
	struct mem *mem = NULL;

	assert_int_equal(space_of(LIAR, 0, 9999, &mem), -EBADF);
	assert_null(mem);
	assert_int_equal(share_held(SHARE_WORKERS, LIAR), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(files_beyond_a_share_are_not_mapped),
		cmocka_unit_test(sparse_files_beyond_a_share_are_not_mapped),
		cmocka_unit_test(
			a_file_is_charged_once_however_often_it_is_asked_for),
		cmocka_unit_test(growing_files_are_charged_for_every_mapping),
		cmocka_unit_test(a_host_that_maps_no_more_costs_no_share),
		cmocka_unit_test(
			names_that_a_program_makes_up_get_its_share_of_workers),
		cmocka_unit_test(memory_that_has_gone_costs_no_worker),
		cmocka_unit_test(a_descriptor_that_is_none_costs_no_worker),
		cmocka_unit_test(nothing_is_left_behind),
	};

	count_from_now();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
