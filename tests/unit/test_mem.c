/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory by provider: files, also ones that shrink under a copy, and BARs. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/unit/mem_rig.h"

static int new_file(uint64_t len)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)len), 0);
	return fd;
}

/* cmocka puts a SIGBUS handler of its own around every test. */
static struct sigaction guard_action;

static void guard_on(void)
{
	assert_int_equal(sigaction(SIGBUS, &guard_action, NULL), 0);
}

static int reopen(int fd, int flags)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	int new_fd = open(path, flags | O_CLOEXEC);

	assert_true(new_fd >= 0);
	return new_fd;
}

static void file_is_one_memory_however_it_is_opened(void **state)
{
	int fd = new_file(PAGE), again = reopen(fd, O_RDWR);
	int reading = reopen(fd, O_RDONLY), other = new_file(PAGE);
	struct mem *a, *b, *c, *d;

	assert_int_equal(mem_file(getpid(), fd, true, PAGE, &a), 0);
	assert_int_equal(mem_file(getpid(), again, true, PAGE, &b), 0);
	assert_int_equal(mem_file(getpid(), reading, false, PAGE, &c), 0);
	assert_int_equal(mem_file(getpid(), other, true, PAGE, &d), 0);
	assert_ptr_equal(a, b);
	assert_ptr_not_equal(a, c);
	assert_ptr_not_equal(a, d);
	close(fd);
	close(again);
	close(reading);
	close(other);

	char buf[4] = "";

	assert_int_equal(mem_write(a, NULL, 100, "abc", 4), 0);
	assert_int_equal(mem_read(c, NULL, 100, buf, 4), 0);
	assert_string_equal(buf, "abc");
	assert_int_equal(mem_write(c, NULL, 0, "x", 1), -EIO);
	assert_int_equal(mem_read(c, NULL, 1ull << 40, buf, 4), -EIO);
	assert_int_equal(mem_read(c, NULL, ~0ull, buf, 4), -EIO);
	mem_put(a);
	mem_put(b);
	mem_put(c);
	mem_put(d);
	assert_null(mem_put(NULL));
}

static void file_refuses_what_it_cannot_promise(void **state)
{
	int fd = new_file(PAGE), reading = reopen(fd, O_RDONLY);
	int writing = reopen(fd, O_WRONLY), path = reopen(fd, O_PATH);
	int sealed = new_file(PAGE), null = open("/dev/null", O_RDWR);
	int disk = open("/proc/self/maps", O_RDONLY), pipes[2];
	struct mem *mem = NULL;

	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(fcntl(sealed, F_ADD_SEALS, F_SEAL_WRITE), 0);
	assert_int_equal(mem_file(getpid(), -1, false, PAGE, &mem), -EACCES);
	assert_int_equal(mem_file(getpid(), path, false, PAGE, &mem), -EACCES);
	assert_int_equal(mem_file(getpid(), writing, false, PAGE, &mem),
			 -EACCES);
	assert_int_equal(mem_file(getpid(), writing, true, PAGE, &mem),
			 -EACCES);
	assert_int_equal(mem_file(getpid(), reading, true, PAGE, &mem),
			 -EACCES);
	assert_int_equal(mem_file(getpid(), sealed, true, PAGE, &mem), -EACCES);
	assert_int_equal(mem_file(getpid(), null, true, PAGE, &mem),
			 -EOPNOTSUPP);
	assert_int_equal(mem_file(getpid(), disk, false, PAGE, &mem),
			 -EOPNOTSUPP);
	assert_int_equal(mem_file(getpid(), pipes[0], false, PAGE, &mem),
			 -EOPNOTSUPP);
	assert_int_equal(mem_file(getpid(), fd, true, PAGE + 1, &mem), -EINVAL);
	assert_int_equal(mem_file(getpid(), fd, true, 0, &mem), -EINVAL);
	assert_null(mem);
	close(fd);
	close(reading);
	close(writing);
	close(path);
	close(sealed);
	close(null);
	close(disk);
	close(pipes[0]);
	close(pipes[1]);
}

static void file_may_grow(void **state)
{
	int fd = new_file(PAGE);
	struct mem *small, *big;
	char c = 0;

	assert_int_equal(mem_file(getpid(), fd, true, PAGE, &small), 0);
	assert_int_equal(mem_write(small, NULL, 0, "s", 1), 0);
	assert_int_equal(mem_file(getpid(), fd, true, 9 * PAGE, &big), -EINVAL);
	assert_int_equal(ftruncate(fd, 9 * PAGE), 0);
	assert_int_equal(mem_file(getpid(), fd, true, 9 * PAGE, &big), 0);
	assert_ptr_equal(small, big);
	assert_int_equal(mem_write(big, NULL, 9 * PAGE - 1, "b", 1), 0);
	assert_int_equal(mem_read(big, NULL, 0, &c, 1), 0);
	assert_int_equal(c, 's');
	close(fd);
	mem_put(small);
	mem_put(big);
}

static void file_ends_with_its_last_page(void **state)
{
	int fd = new_file(PAGE + 100);
	struct mem *mem = NULL;
	char c = 0;

	assert_int_equal(mem_file(getpid(), fd, true, 2 * PAGE + 1, &mem),
			 -EINVAL);
	assert_int_equal(mem_file(getpid(), fd, true, 2 * PAGE, &mem), 0);
	assert_int_equal(mem_write(mem, NULL, 2 * PAGE - 1, "e", 1), 0);
	assert_int_equal(mem_read(mem, NULL, 2 * PAGE - 1, &c, 1), 0);
	assert_int_equal(c, 'e');
	close(fd);
	mem_put(mem);
}

static void truncated_file_costs_the_copy(void **state)
{
	static const size_t len[] = {1, 8, 16, 64, 65, 300, 4096, 8192};
	int fd = new_file(4 * PAGE);
	static uint8_t buf[8192];
	struct mem *mem;

	guard_on();
	assert_int_equal(mem_file(getpid(), fd, true, 4 * PAGE, &mem), 0);
	assert_int_equal(ftruncate(fd, PAGE), 0);
	for (int again = 0; again < 2; again++)
		for (size_t i = 0; i < ARRAY_SIZE(len); i++) {
			assert_int_equal(
				mem_read(mem, NULL, 2 * PAGE, buf, len[i]),
				-EIO);
			assert_int_equal(
				mem_write(mem, NULL, 2 * PAGE, buf, len[i]),
				-EIO);
			/* begins inside, ends outside */
			assert_int_equal(mem_write(mem, NULL, PAGE - len[i] / 2,
						   buf, len[i]),
					 -EIO);
			assert_int_equal(mem_read(mem, NULL, 0, buf, 64), 0);
		}
	assert_int_equal(ftruncate(fd, 4 * PAGE), 0);
	assert_int_equal(mem_write(mem, NULL, 2 * PAGE, buf, 4096), 0);
	close(fd);
	mem_put(mem);
}

static sigjmp_buf not_ours;
static const volatile void *not_ours_addr;

static void previous_handler(int sig, siginfo_t *info, void *context)
{
	not_ours_addr = info->si_addr;
	siglongjmp(not_ours, 1);
}

static void sigbus_of_others_goes_to_the_previous_handler(void **state)
{
	int fd = new_file(PAGE);
	volatile char *p = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);

	guard_on();
	assert_int_equal(ftruncate(fd, 0), 0);
	if (!sigsetjmp(not_ours, 1)) {
		(void)p[5];
		fail_msg("no SIGBUS");
	}
	assert_ptr_equal(not_ours_addr, p + 5);
	munmap((void *)(uintptr_t)p, PAGE);
	close(fd);
}

struct ring {
	uint64_t *entry; /* two words; the program's view */
	_Atomic bool stop;
	_Atomic bool saw_one;
	bool torn;
};

/* Poll as a driver does: the phase (last) word first, then the rest. */
static void *poll_ring(void *arg)
{
	struct ring *ring = arg;
	uint64_t seen = 0;

	while (!atomic_load(&ring->stop)) {
		uint64_t phase =
			__atomic_load_n(&ring->entry[1], __ATOMIC_ACQUIRE);

		if (phase == seen)
			continue;
		seen = phase;
		ring->torn |= __atomic_load_n(&ring->entry[0],
					      __ATOMIC_ACQUIRE) < phase;
		atomic_store(&ring->saw_one, true);
	}
	return NULL;
}

static void published_word_is_last(void **state)
{
	uint64_t end = clock_ns() + 300000000;
	int fd = new_file(PAGE);
	struct ring ring = {0};
	struct mem *mem;
	pthread_t t;

	ring.entry = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
	assert_int_equal(mem_file(getpid(), fd, true, PAGE, &mem), 0);
	pthread_create(&t, NULL, poll_ring, &ring);
	for (uint64_t i = 1; clock_ns() < end || !ring.saw_one; i++) {
		uint64_t entry[2] = {i, i};

		assert_int_equal(mem_write(mem, NULL, 0, entry, 16), 0);
	}
	atomic_store(&ring.stop, true);
	pthread_join(t, NULL);
	assert_false(ring.torn);
	munmap(ring.entry, PAGE);
	close(fd);
	mem_put(mem);
}

/* Every offset and length, so every mix of words. */
static void small_copies_are_exact(void **state)
{
	int fd = new_file(PAGE);
	uint8_t *view =
		mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	uint8_t out[80], in[80], zero[PAGE] = {0};
	struct mem *mem;

	assert_int_equal(mem_file(getpid(), fd, true, PAGE, &mem), 0);
	for (size_t i = 0; i < sizeof(out); i++)
		out[i] = (uint8_t)(i + 1);
	for (size_t off = 0; off < 16; off++)
		for (size_t len = 0; len < sizeof(out); len++) {
			memset(view, 0, PAGE);
			memset(in, 0, sizeof(in));
			assert_int_equal(mem_write(mem, NULL, off, out, len),
					 0);
			assert_memory_equal(view + off, out, len);
			assert_memory_equal(view, zero, off);
			assert_memory_equal(view + off + len, zero, 100);
			assert_int_equal(mem_read(mem, NULL, off, in, len), 0);
			assert_memory_equal(in, out, len);
			assert_memory_equal(in + len, zero, sizeof(in) - len);
		}
	munmap(view, PAGE);
	close(fd);
	mem_put(mem);
}

static int bar_access(void *dev, unsigned int bar, uint64_t off, void *buf,
		      size_t len, bool write)
{
	uint8_t *bytes = dev;

	if (bar != 2 || off + len > 64)
		return -EIO;
	if (write)
		memcpy(bytes + off, buf, len);
	else
		memcpy(buf, bytes + off, len);
	return 0;
}

static void bar_asks_its_device(void **state)
{
	static const struct mem_bar_ops ops = {bar_access};
	char bytes[64] = "of the bar", buf[8];
	struct mem *mem;

	assert_int_equal(mem_bar(&ops, bytes, 2, &mem), 0);
	assert_int_equal(mem_read(mem, NULL, 3, buf, 8), 0);
	assert_string_equal(buf, "the bar");
	assert_int_equal(mem_write(mem, NULL, 0, "by", 2), 0);
	assert_string_equal(bytes, "by the bar");
	assert_int_equal(mem_read(mem, NULL, 60, buf, 8), -EIO);
	mem_nudge(mem);
	mem_put(mem);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(file_is_one_memory_however_it_is_opened),
		cmocka_unit_test(file_refuses_what_it_cannot_promise),
		cmocka_unit_test(file_may_grow),
		cmocka_unit_test(file_ends_with_its_last_page),
		cmocka_unit_test(truncated_file_costs_the_copy),
		cmocka_unit_test(sigbus_of_others_goes_to_the_previous_handler),
		cmocka_unit_test(published_word_is_last),
		cmocka_unit_test(small_copies_are_exact),
		cmocka_unit_test(bar_asks_its_device),
		cmocka_unit_test(nothing_is_left_behind),
	};
	struct sigaction sa = {
		.sa_sigaction = previous_handler,
		.sa_flags = SA_SIGINFO,
	};

	sigaction(SIGBUS, &sa, NULL);
	if (mem_guard_init() < 0 || mem_guard_init() < 0)
		return 1;
	sigaction(SIGBUS, NULL, &guard_action);
	count_from_now();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
