/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory by provider: files that shrink under a copy, address spaces of other
 * processes, and programs that hold up the copy of their pages. The host
 * kernel has no way to hold up /proc/PID/mem that a test may use everywhere
 * (userfaultfd does not, FUSE needs privilege), so this program is linked with
 * pread and pwrite wrapped, and holds them up by itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/ioas.h"
#include "core/mem.h"
#include "lib/cleanup.h"
#include "tests/unit/fds.h"

#define PAGE	    4096ull
#define DEADLINE_NS 10000000000ull

/* --- pread and pwrite, held up at one page --- */

static struct {
	struct mutex lock;
	struct cond changed;
	uint64_t page; /* 0 = none */
	unsigned int inside;
} hold;

static void hold_up(off_t at)
{
	mutex_lock(&hold.lock);
	if (hold.page && (uint64_t)at / PAGE == hold.page / PAGE) {
		hold.inside++;
		cond_broadcast(&hold.changed);
		while (hold.page)
			cond_wait(&hold.changed, &hold.lock);
		hold.inside--;
		cond_broadcast(&hold.changed);
	}
	mutex_unlock(&hold.lock);
}

#define WRAP(name, buf_type)                                                   \
	ssize_t __real_##name(int fd, buf_type buf, size_t len, off_t at);     \
	ssize_t __wrap_##name(int fd, buf_type buf, size_t len, off_t at);     \
	ssize_t __wrap_##name(int fd, buf_type buf, size_t len, off_t at)      \
	{                                                                      \
		hold_up(at);                                                   \
		return __real_##name(fd, buf, len, at);                        \
	}

/* which of the names is used depends on _FILE_OFFSET_BITS */
WRAP(pread, void *)
WRAP(pread64, void *)
WRAP(pwrite, const void *)
WRAP(pwrite64, const void *)

static void hold_page(const void *page)
{
	mutex_lock(&hold.lock);
	hold.page = (uintptr_t)page;
	cond_broadcast(&hold.changed);
	mutex_unlock(&hold.lock);
}

/* Until @n copies are held up (more than 0), or have all got away (0). */
static void hold_wait_inside(unsigned int n)
{
	uint64_t deadline = clock_ns() + DEADLINE_NS;

	mutex_lock(&hold.lock);
	while (hold.inside != n)
		assert_true(
			cond_wait_until(&hold.changed, &hold.lock, deadline));
	mutex_unlock(&hold.lock);
}

/* --- files --- */

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

	assert_int_equal(mem_file(fd, true, PAGE, &a), 0);
	assert_int_equal(mem_file(again, true, PAGE, &b), 0);
	assert_int_equal(mem_file(reading, false, PAGE, &c), 0);
	assert_int_equal(mem_file(other, true, PAGE, &d), 0);
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
	assert_int_equal(mem_file(-1, false, PAGE, &mem), -EACCES);
	assert_int_equal(mem_file(path, false, PAGE, &mem), -EACCES);
	assert_int_equal(mem_file(writing, false, PAGE, &mem), -EACCES);
	assert_int_equal(mem_file(writing, true, PAGE, &mem), -EACCES);
	assert_int_equal(mem_file(reading, true, PAGE, &mem), -EACCES);
	assert_int_equal(mem_file(sealed, true, PAGE, &mem), -EACCES);
	assert_int_equal(mem_file(null, true, PAGE, &mem), -EOPNOTSUPP);
	assert_int_equal(mem_file(disk, false, PAGE, &mem), -EOPNOTSUPP);
	assert_int_equal(mem_file(pipes[0], false, PAGE, &mem), -EOPNOTSUPP);
	assert_int_equal(mem_file(fd, true, PAGE + 1, &mem), -EINVAL);
	assert_int_equal(mem_file(fd, true, 0, &mem), -EINVAL);
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

	assert_int_equal(mem_file(fd, true, PAGE, &small), 0);
	assert_int_equal(mem_write(small, NULL, 0, "s", 1), 0);
	assert_int_equal(mem_file(fd, true, 9 * PAGE, &big), -EINVAL);
	assert_int_equal(ftruncate(fd, 9 * PAGE), 0);
	assert_int_equal(mem_file(fd, true, 9 * PAGE, &big), 0);
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

	assert_int_equal(mem_file(fd, true, 2 * PAGE + 1, &mem), -EINVAL);
	assert_int_equal(mem_file(fd, true, 2 * PAGE, &mem), 0);
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
	assert_int_equal(mem_file(fd, true, 4 * PAGE, &mem), 0);
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
	assert_int_equal(mem_file(fd, true, PAGE, &mem), 0);
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

	assert_int_equal(mem_file(fd, true, PAGE, &mem), 0);
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

/* --- address spaces --- */

/* A program: its heap, four anonymous pages, and no page behind those. */
struct program {
	pid_t pid;
	struct mm_id id;
	int mem_fd;
	int go; /* closing it lets the program check and exit */
	uint8_t *heap;
	uint8_t *pages;
};

#define HEAP_SAYS   "heap of the child"
#define PAGES_SAY   "pages of the child"
#define DEVICE_SAYS "from the device"

static void program_main(struct program *p, int ready, int go)
{
	char c;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	strcpy((char *)p->heap, HEAP_SAYS);
	strcpy((char *)p->pages, PAGES_SAY);
	if (write(ready, "r", 1) != 1 || read(go, &c, 1) != 0)
		_exit(2);
	_exit(strcmp((char *)p->heap, DEVICE_SAYS) ||
	      strcmp((char *)p->pages + 4090, DEVICE_SAYS));
}

static void program_start(struct program *p)
{
	static uint64_t last_id;
	int ready[2], go[2];
	char path[64], c;

	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	assert_int_equal(pipe2(go, O_CLOEXEC), 0);
	p->heap = sbrk(PAGE);
	p->pages = mmap(NULL, 5 * PAGE, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	munmap(p->pages + 4 * PAGE, PAGE);
	p->pid = fork();
	if (p->pid == 0) {
		close(go[1]);
		program_main(p, ready[1], go[0]);
	}
	close(ready[1]);
	close(go[0]);
	assert_int_equal(read(ready[0], &c, 1), 1);
	close(ready[0]);
	p->go = go[1];
	p->id = (struct mm_id){{0x5eed, ++last_id}};
	snprintf(path, sizeof(path), "/proc/%d/mem", (int)p->pid);
	p->mem_fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(p->mem_fd >= 0);
}

/* Its exit status: 0 when it found what the device wrote. */
static int program_end(struct program *p)
{
	int status;

	close(p->go);
	assert_int_equal(waitpid(p->pid, &status, 0), p->pid);
	return WEXITSTATUS(status);
}

static void program_done(struct program *p)
{
	program_end(p);
	close(p->mem_fd);
	munmap(p->pages, 4 * PAGE);
}

static struct mem *program_mem(struct program *p)
{
	struct mem *mem = NULL;

	assert_int_equal(mem_mm(&p->id, p->mem_fd, &mem), 0);
	return mem;
}

static uint64_t va(const void *p)
{
	return (uintptr_t)p;
}

static void mm_is_known_by_its_name(void **state)
{
	struct program p;
	struct mem *a, *b, *c = NULL;

	program_start(&p);
	assert_int_equal(mem_mm(&p.id, -1, &c), -ENOENT);
	a = program_mem(&p);
	assert_int_equal(mem_mm(&p.id, -1, &b), 0);
	assert_ptr_equal(a, b);
	mem_put(a);
	assert_int_equal(mem_mm(&p.id, -1, &c), 0);
	mem_put(b);
	mem_put(c);
	c = NULL;
	assert_int_equal(mem_mm(&p.id, -1, &c), -ENOENT);
	assert_int_equal(mem_mm(&p.id, 9999, &c), -EBADF);
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
	assert_int_equal(mem_mm(&self, fd, &mem), 0);
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

/* --- a program that holds up its pages --- */

struct copy {
	struct mem *mem;
	uint64_t at;
	struct mem_stop stop;
	bool write;
	char buf[32];
	int result;
	uint64_t took_ns;
	pthread_t t;
};

static void *copy_main(void *arg)
{
	struct copy *c = arg;
	uint64_t start = clock_ns();

	if (c->write)
		c->result = mem_write(c->mem, &c->stop, c->at, c->buf, 32);
	else
		c->result = mem_read(c->mem, &c->stop, c->at, c->buf, 32);
	c->took_ns = clock_ns() - start;
	return NULL;
}

static void copy_start(struct copy *c)
{
	strcpy(c->buf, "untouched");
	pthread_create(&c->t, NULL, copy_main, c);
}

/* A copy that was let down must have left its buffer alone, for good. */
static void copy_check_abandoned(struct copy *c, int err)
{
	pthread_join(c->t, NULL);
	assert_int_equal(c->result, err);
	assert_string_equal(c->buf, "untouched");
	assert_true(c->took_ns < MEM_TIMEOUT_NS + MEM_TIMEOUT_NS / 2);
}

/* Leaves the page held, and the worker in it. */
static void copy_cancel_held(struct copy *c, struct program *p,
			     struct dma_ctx *ctx)
{
	hold_page(p->pages);
	copy_start(c);
	hold_wait_inside(1);
	atomic_store(&ctx->cancel, true);
	mem_wake(ctx);
	copy_check_abandoned(c, -ECANCELED);
}

static void held_copy_gives_up_on_cancel(void **state)
{
	struct dma_ctx ctx = {false};
	struct program p;

	program_start(&p);
	struct copy c = {.mem = program_mem(&p),
			 .at = va(p.pages),
			 .stop = {.cancel = &ctx.cancel}};

	copy_cancel_held(&c, &p, &ctx);
	assert_true(c.took_ns < MEM_TIMEOUT_NS);

	/* still cancelled: nothing new is begun either */
	assert_int_equal(mem_read(c.mem, &c.stop, va(p.heap), c.buf, 1),
			 -ECANCELED);
	hold_page(NULL);
	hold_wait_inside(0);
	/* the worker is back at work, and has written to nobody */
	atomic_store(&ctx.cancel, false);
	assert_int_equal(mem_read(c.mem, &c.stop, va(p.heap), c.buf + 16, 4),
			 0);
	assert_string_equal(c.buf, "untouched");
	mem_put(c.mem);
	program_done(&p);
}

/*
 * One copy is stuck, another waits behind it: both end by their own time-out,
 * and other address spaces notice nothing.
 */
static void held_copies_time_out_each(void **state)
{
	struct program p, other;
	char buf[32];

	program_start(&p);
	program_start(&other);
	struct mem *free_mem = program_mem(&other);
	struct copy stuck = {.mem = program_mem(&p), .at = va(p.pages)};
	struct copy behind = {
		.mem = stuck.mem, .at = va(p.pages + PAGE), .write = true};

	hold_page(p.pages);
	copy_start(&stuck);
	hold_wait_inside(1);
	copy_start(&behind);
	assert_int_equal(
		mem_read(free_mem, NULL, va(other.pages + PAGE), buf, 32), 0);
	copy_check_abandoned(&stuck, -EIO);
	copy_check_abandoned(&behind, -EIO);
	hold_page(NULL);
	hold_wait_inside(0);

	/* what waited behind was taken back: it must not arrive late */
	assert_int_equal(mem_read(stuck.mem, NULL, behind.at, buf, 32), 0);
	assert_string_equal(buf, "");
	mem_put(stuck.mem);
	mem_put(free_mem);
	program_done(&other); /* it has inherited p.go, so it goes first */
	program_done(&p);
}

static void held_write_delivers_what_it_was_given(void **state)
{
	struct dma_ctx ctx = {false};
	struct program p;
	char buf[32];

	program_start(&p);
	struct copy c = {.mem = program_mem(&p),
			 .at = va(p.pages),
			 .stop = {.cancel = &ctx.cancel},
			 .write = true};

	copy_cancel_held(&c, &p, &ctx);
	strcpy(c.buf, "something else"); /* ours again */
	hold_page(NULL);
	hold_wait_inside(0);
	assert_int_equal(mem_read(c.mem, NULL, va(p.pages), buf, 32), 0);
	assert_string_equal(buf, "untouched");
	mem_put(c.mem);
	program_done(&p);
}

struct dma {
	struct ioas *ioas;
	bool write;
	int result;
	_Atomic bool ended;
	pthread_t t;
};

static void *dma_main(void *arg)
{
	struct dma *d = arg;
	struct dma_ctx ctx = {0};
	char buf[32] = DEVICE_SAYS;

	if (d->write)
		d->result = ioas_write(d->ioas, &ctx, 0, buf, 32);
	else
		d->result = ioas_read(d->ioas, &ctx, 0, buf, 32);
	atomic_store(&d->ended, true);
	return NULL;
}

/* Unmap lets the copy down; then the last put happens with the worker stuck. */
static void held_copy_gives_up_on_unmap(void **state)
{
	struct dma d = {.result = 1};
	struct mem *mem = NULL;
	struct program p;
	uint64_t n = 0;

	program_start(&p);
	struct mem_seg seg = {program_mem(&p), va(p.pages), PAGE};

	assert_int_equal(ioas_new(8, &d.ioas), 0);
	assert_int_equal(
		ioas_map(d.ioas, va(p.pages), 0, PAGE, IOAS_READ, &seg, 1), 0);
	hold_page(p.pages);
	pthread_create(&d.t, NULL, dma_main, &d);
	hold_wait_inside(1);

	uint64_t start = clock_ns();

	assert_int_equal(ioas_unmap(d.ioas, IOAS_UNMAP_V2, 0, PAGE, &n), 0);
	assert_int_equal(n, PAGE);
	assert_true(clock_ns() - start < MEM_TIMEOUT_NS);
	pthread_join(d.t, NULL);
	assert_int_equal(d.result, -ECANCELED);
	ioas_put(d.ioas);

	/* the stuck one is nobody's; a new one works at once */
	assert_int_equal(mem_mm(&p.id, -1, &mem), -ENOENT);
	char buf[8];

	mem = program_mem(&p);
	assert_int_equal(mem_read(mem, NULL, va(p.pages + PAGE), buf, 8), 0);
	mem_put(mem);
	hold_page(NULL);
	hold_wait_inside(0);
	program_done(&p);
}

struct unmapper {
	struct ioas *ioas;
	struct mem *mem;
	uint64_t at;
	char found[32]; /* in memory, at the moment it was unmapped */
	pthread_t t;
};

static void *unmap_and_look(void *arg)
{
	struct unmapper *u = arg;
	uint64_t n = 0;

	ioas_unmap(u->ioas, IOAS_UNMAP_V2, 0, PAGE, &n);
	mem_read(u->mem, NULL, u->at, u->found, 32);
	return NULL;
}

/* Does it give up? An unmap of its range is under way. */
static bool dma_ends_in_a_while(struct dma *d)
{
	uint64_t until = clock_ns() + MEM_GRACE_NS / 5;

	while (!atomic_load(&d->ended) && clock_ns() < until)
		sched_yield();
	return atomic_load(&d->ended);
}

/*
 * A write under way when its range is unmapped, and late for no fault of the
 * program's, has arrived when unmap returns: the program may reuse the memory.
 */
static void slow_write_does_not_outlive_an_unmap(void **state)
{
	struct dma d = {.result = 1, .write = true};
	struct unmapper u = {0};
	struct program p;

	program_start(&p);
	struct mem_seg seg = {program_mem(&p), va(p.pages), PAGE};

	assert_int_equal(ioas_new(8, &d.ioas), 0);
	assert_int_equal(
		ioas_map(d.ioas, va(p.pages), 0, PAGE, IOAS_WRITE, &seg, 1), 0);
	hold_page(p.pages);
	pthread_create(&d.t, NULL, dma_main, &d);
	hold_wait_inside(1);
	u.ioas = d.ioas;
	u.mem = program_mem(&p);
	u.at = va(p.pages);
	pthread_create(&u.t, NULL, unmap_and_look, &u);
	bool gave_up = dma_ends_in_a_while(&d);

	hold_page(NULL);
	pthread_join(u.t, NULL);
	pthread_join(d.t, NULL);
	assert_false(gave_up);
	assert_int_equal(d.result, 0);
	assert_string_equal(u.found, DEVICE_SAYS);
	mem_put(u.mem);
	ioas_put(d.ioas);
	program_done(&p);
}

/* Workers end by themselves, so all one can do is look until they have. */
static void wait_for_fds(int n)
{
	uint64_t deadline = clock_ns() + DEADLINE_NS;

	while (count_fds() > n) {
		assert_true(clock_ns() < deadline);
		sched_yield();
	}
}

static int fds_at_start;

static void nothing_is_left_behind(void **state)
{
	wait_for_fds(fds_at_start);
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

	if (uffd < 0) {
		print_message("# skipped: userfaultfd: %s\n", strerror(errno));
		skip();
	}
	char *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct uffdio_register reg = {
		.range = {va(page), PAGE},
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	int fd = open("/proc/self/mem", O_RDWR | O_CLOEXEC);

	assert_int_equal(ioctl(uffd, UFFDIO_API, &api), 0);
	assert_int_equal(ioctl(uffd, UFFDIO_REGISTER, &reg), 0);
	assert_int_equal(mem_mm(&self, fd, &mem), 0);
	close(fd);
	assert_int_equal(mem_read(mem, NULL, va(page), buf, 8), -EIO);
	assert_int_equal(mem_write(mem, NULL, va(page), buf, 8), -EIO);
	print_message("# a copy took %llu us\n",
		      (unsigned long long)(clock_ns() - start) / 2000);
	mem_put(mem);
	munmap(page, PAGE);
	close(uffd);
}

/* --- BARs --- */

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
		cmocka_unit_test(mm_is_known_by_its_name),
		cmocka_unit_test(mm_reaches_heap_and_anonymous_memory),
		cmocka_unit_test(mm_copy_that_hits_a_hole_fails),
		cmocka_unit_test(mm_copies_more_than_one_job),
		cmocka_unit_test(mm_serves_many_requesters),
		cmocka_unit_test(held_copy_gives_up_on_cancel),
		cmocka_unit_test(held_copies_time_out_each),
		cmocka_unit_test(held_write_delivers_what_it_was_given),
		cmocka_unit_test(held_copy_gives_up_on_unmap),
		cmocka_unit_test(slow_write_does_not_outlive_an_unmap),
		cmocka_unit_test(missing_userfaultfd_page_holds_nobody),
		cmocka_unit_test(bar_asks_its_device),
		cmocka_unit_test(nothing_is_left_behind),
	};
	struct sigaction sa = {
		.sa_sigaction = previous_handler,
		.sa_flags = SA_SIGINFO,
	};

	mutex_init(&hold.lock, RANK_LEAF, "test.hold");
	cond_init(&hold.changed);
	sigaction(SIGBUS, &sa, NULL);
	if (mem_guard_init() < 0 || mem_guard_init() < 0)
		return 1;
	sigaction(SIGBUS, NULL, &guard_action);
	fds_at_start = count_fds();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
