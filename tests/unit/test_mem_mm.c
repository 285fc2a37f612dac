/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory of other address spaces: what a copy reaches, and how it fails. */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/unit/mem_rig.h"
#include "tests/unit/skip.h"

static void mm_is_known_by_its_name(void **state)
{
	struct program p;
	struct mem *a, *b, *c = NULL;

	program_start(&p);
	assert_int_equal(mem_mm(getpid(), &p.id, -1, &c), -ENOENT);
	a = program_mem(&p);
	assert_int_equal(mem_mm(getpid(), &p.id, -1, &b), 0);
	assert_ptr_equal(a, b);
	mem_put(a);
	assert_int_equal(mem_mm(getpid(), &p.id, -1, &c), 0);
	mem_put(b);
	mem_put(c);
	c = NULL;
	assert_int_equal(mem_mm(getpid(), &p.id, -1, &c), -ENOENT);
	assert_int_equal(mem_mm(getpid(), &p.id, 9999, &c), -EBADF);
	assert_null(c);
	program_done(&p);
}

static void mm_reaches_heap_and_anonymous_memory(void **state)
{
	struct program p;
	char buf[64];

	program_start(&p);
	struct mem *mem = program_mem(&p);

	assert_int_equal(mem_read(mem, NULL, va(p.heap), buf, 64), 0);
	assert_string_equal(buf, HEAP_SAYS);
	assert_int_equal(mem_read(mem, NULL, va(p.pages), buf, 64), 0);
	assert_string_equal(buf, PAGES_SAY);
	assert_int_equal(mem_write(mem, NULL, va(p.heap), DEVICE_SAYS,
				   sizeof(DEVICE_SAYS)),
			 0);
	assert_int_equal(mem_write(mem, NULL, va(p.pages + 4090), DEVICE_SAYS,
				   sizeof(DEVICE_SAYS)),
			 0);
	assert_int_equal(program_end(&p), 0);

	/* the address space has gone; the memory object has not */
	assert_int_equal(mem_read(mem, NULL, va(p.heap), buf, 64), -EIO);
	assert_int_equal(mem_write(mem, NULL, va(p.heap), buf, 64), -EIO);
	mem_put(mem);
	close(p.mem_fd);
	munmap(p.pages, 4 * PAGE);
}

static void mm_copy_that_hits_a_hole_fails(void **state)
{
	struct program p;
	static uint8_t buf[2 * PAGE];

	program_start(&p);
	struct mem *mem = program_mem(&p);

	assert_int_equal(mem_read(mem, NULL, va(p.pages + 4 * PAGE), buf, 1),
			 -EIO);
	assert_int_equal(
		mem_read(mem, NULL, va(p.pages + 3 * PAGE), buf, 2 * PAGE),
		-EIO);
	assert_int_equal(
		mem_write(mem, NULL, va(p.pages + 3 * PAGE), buf, 2 * PAGE),
		-EIO);
	assert_int_equal(mem_read(mem, NULL, ~0ull - 8, buf, 8), -EIO);
	assert_int_equal(mem_read(mem, NULL, va(p.pages + 3 * PAGE), buf, PAGE),
			 0);
	mem_put(mem);
	program_done(&p);
}

static void mm_copies_more_than_one_job(void **state)
{
	enum { LEN = 200001 };
	static const struct mm_id self = {{1, 1}};
	static uint8_t there[LEN], out[LEN], in[LEN];
	int fd = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	struct mem *mem;

	for (size_t i = 0; i < LEN; i++)
		out[i] = (uint8_t)(i * 31 + i / 4096);
	assert_int_equal(mem_mm(getpid(), &self, fd, &mem), 0);
	close(fd);
	assert_int_equal(mem_write(mem, NULL, va(there), out, LEN), 0);
	assert_memory_equal(there, out, LEN);
	assert_int_equal(mem_read(mem, NULL, va(there), in, LEN), 0);
	assert_memory_equal(in, out, LEN);
	mem_put(mem);
}

struct hammer {
	struct mem *mem;
	uint8_t *at;
	int errors;
};

static void *hammer(void *arg)
{
	struct hammer *h = arg;
	uint8_t out[300], in[300];

	for (unsigned int i = 0; i < 2000; i++) {
		memset(out, (int)i, sizeof(out));
		h->errors += mem_write(h->mem, NULL, va(h->at), out, 300) != 0;
		h->errors += mem_read(h->mem, NULL, va(h->at), in, 300) != 0;
		h->errors += memcmp(in, out, 300) != 0;
	}
	return NULL;
}

static void mm_serves_many_requesters(void **state)
{
	struct hammer h[4];
	struct program p;
	pthread_t t[4];

	program_start(&p);
	for (int i = 0; i < 4; i++) {
		h[i] = (struct hammer){program_mem(&p), p.pages + i * 1000, 0};
		pthread_create(&t[i], NULL, hammer, &h[i]);
	}
	for (int i = 0; i < 4; i++) {
		pthread_join(t[i], NULL);
		assert_int_equal(h[i].errors, 0);
		mem_put(h[i].mem);
	}
	program_done(&p);
}

/*
 * A page that a userfaultfd of the program's answers for, or not. Kernels fail
 * such a copy at once (they do not let the fault handler sleep); should one
 * not, the time-out has to.
 */
static void missing_userfaultfd_page_holds_nobody(void **state)
{
	static const struct mm_id self = {{1, 2}};
	struct uffdio_api api = {.api = UFFD_API};
	int uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	uint64_t start = clock_ns();
	struct mem *mem;
	char buf[8];

	if (uffd < 0)
		skip_because("userfaultfd: %s", strerror(errno));
	char *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct uffdio_register reg = {
		.range = {va(page), PAGE},
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	int fd = open("/proc/self/mem", O_RDWR | O_CLOEXEC);

	assert_int_equal(ioctl(uffd, UFFDIO_API, &api), 0);
	assert_int_equal(ioctl(uffd, UFFDIO_REGISTER, &reg), 0);
	assert_int_equal(mem_mm(getpid(), &self, fd, &mem), 0);
	close(fd);
	assert_int_equal(mem_read(mem, NULL, va(page), buf, 8), -EIO);
	assert_int_equal(mem_write(mem, NULL, va(page), buf, 8), -EIO);
	print_message("# a copy took %llu us\n",
		      (unsigned long long)(clock_ns() - start) / 2000);
	mem_put(mem);
	munmap(page, PAGE);
	close(uffd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mm_is_known_by_its_name),
		cmocka_unit_test(mm_reaches_heap_and_anonymous_memory),
		cmocka_unit_test(mm_copy_that_hits_a_hole_fails),
		cmocka_unit_test(mm_copies_more_than_one_job),
		cmocka_unit_test(mm_serves_many_requesters),
		cmocka_unit_test(missing_userfaultfd_page_holds_nobody),
		cmocka_unit_test(nothing_is_left_behind),
	};

	count_from_now();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
