/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Maps BARs and does to the mappings what Linux allows and what it refuses.
 * BAR 0 is all memory; in BAR_MIXED the second page traps, in BAR_TRAP all do.
 */
#include "victim.h"

#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define RW   (PROT_READ | PROT_WRITE)
#define PAGE 4096

enum { KIND_BAR = 2 };

struct ioc_vmas {
	uint64_t start, len;
	uint32_t n, zero;
	struct {
		uint64_t start, end, off, dev, ino;
		uint32_t prot;
		uint16_t kind;
		int16_t index;
		uint64_t head;
	} vma[16];
};

static char *map_bar(int fd, long off)
{
	char *p = mmap(NULL, BAR_SIZE, RW, MAP_SHARED, fd, off);

	CHECK(p != MAP_FAILED);
	return p;
}

/* May the host read there? A page that traps answers no. */
static bool readable(const void *p)
{
	int pipes[2];

	CHECK(pipe(pipes) == 0);

	bool yes = write(pipes[1], p, 1) == 1;

	close(pipes[0]);
	close(pipes[1]);
	return yes;
}

static void describe(int fd, struct ioc_vmas *arg, const void *start,
		     size_t len)
{
	memset(arg, 0, sizeof(*arg));
	arg->start = (uintptr_t)start;
	arg->len = len;
	CHECK(ioctl(fd, IOC_VMAS, arg) == 0);
}

static void bar_is_shared_memory(int fd, char **args)
{
	char *p = map_bar(fd, 0);
	int before = victim_count_fds(); /* with what the first one keeps */
	char *q = map_bar(fd, 0);

	CHECK(victim_count_fds() == before);
	p[100] = 42;
	CHECK(q[100] == 42);
	CHECK(munmap(q, BAR_SIZE) == 0);

	char *tail = mmap(NULL, 100, PROT_READ, MAP_SHARED, fd, 5 * PAGE);
	CHECK(tail != MAP_FAILED);
	p[5 * PAGE + 7] = 43;
	CHECK(tail[7] == 43);
}

static void refusals_are_linux_errors(int fd, char **args)
{
	CHECK_ERRNO(mmap(NULL, PAGE, RW | PROT_EXEC, MAP_SHARED, fd, 0), EPERM);
	CHECK_ERRNO(mmap(NULL, PAGE, RW, MAP_PRIVATE, fd, 0), EINVAL);
	CHECK_ERRNO(mmap(NULL, PAGE, RW, MAP_SHARED, fd, 100), EINVAL);
	CHECK_ERRNO(mmap(NULL, 2 * BAR_SIZE, RW, MAP_SHARED, fd, 0), EINVAL);
	CHECK_ERRNO(mmap(NULL, 0, RW, MAP_SHARED, fd, 0), EINVAL);
	CHECK_ERRNO(mmap(NULL, PAGE, RW, MAP_SHARED, fd, 7L << 40), EINVAL);
}

static void addresses_are_honoured(int fd, char **args)
{
	char *at = mmap(NULL, 2 * BAR_SIZE, PROT_NONE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fixed = MAP_SHARED | MAP_FIXED;

	CHECK_ERRNO(
		mmap(at, BAR_SIZE, RW, MAP_SHARED | MAP_FIXED_NOREPLACE, fd, 0),
		EEXIST);
	CHECK(mmap(at, BAR_SIZE, RW, fixed, fd, 0) == at);
	CHECK(mmap(at + BAR_SIZE, BAR_SIZE, RW, fixed, fd, BAR_MIXED) ==
	      at + BAR_SIZE);
	at[3] = 1;
	CHECK(at[BAR_SIZE] == 2 && at[BAR_SIZE + 2 * PAGE] == 2);
	CHECK(!readable(at + BAR_SIZE + PAGE));
	CHECK(munmap(at, 2 * BAR_SIZE) == 0);
	CHECK(mmap(at, BAR_SIZE, RW, MAP_SHARED | MAP_FIXED_NOREPLACE, fd,
		   BAR_MIXED) == at);
	CHECK(mmap(NULL, PAGE, RW, MAP_SHARED | MAP_POPULATE | MAP_LOCKED, fd,
		   BAR_TRAP) != MAP_FAILED);
}

static void check_refused(char *p)
{
	static const int advice[] = {MADV_DONTNEED,  MADV_FREE,	  MADV_COLD,
				     MADV_PAGEOUT,   MADV_DOFORK, MADV_DODUMP,
				     MADV_WIPEONFORK};
	int both = MREMAP_MAYMOVE;

	for (int i = 0; i < 7; i++)
		CHECK_ERRNO(madvise(p, BAR_SIZE, advice[i]), EINVAL);
	CHECK_ERRNO(madvise(p, BAR_SIZE, MADV_REMOVE), ENODEV);
	CHECK_ERRNO(msync(p, PAGE, MS_SYNC), EINVAL);
	CHECK_ERRNO(syscall(SYS_msync, p, PAGE, MS_SYNC), EINVAL);
	CHECK(msync(p, PAGE, MS_ASYNC) == 0);
	CHECK(madvise(p, BAR_SIZE, MADV_DONTFORK) == 0);
	CHECK(madvise(p, BAR_SIZE, MADV_RANDOM) == 0);
	CHECK_ERRNO(mremap(p, BAR_SIZE, 2 * BAR_SIZE, both), EFAULT);
	CHECK_ERRNO(mremap(p, 0, BAR_SIZE, both), EFAULT);
	CHECK_ERRNO(mremap(p, BAR_SIZE, BAR_SIZE, both | MREMAP_DONTUNMAP, 0),
		    EINVAL);
	CHECK_ERRNO(mremap(p, BAR_SIZE, 0, both), EINVAL);
	CHECK_ERRNO(mprotect(p, PAGE, RW | PROT_EXEC), EACCES);
	CHECK_ERRNO(syscall(SYS_madvise, p, PAGE, MADV_DONTNEED), EINVAL);
	CHECK_ERRNO(syscall(SYS_mprotect, p, PAGE, PROT_EXEC), EACCES);
	CHECK_ERRNO(syscall(SYS_mremap, p, PAGE, 2 * PAGE, MREMAP_MAYMOVE, 0),
		    EFAULT);
}

static void memory_calls_are_refused(int fd, char **args)
{
	int status;
	char *p = map_bar(fd, 0);

	p[0] = 9;
	check_refused(p);
	check_refused(map_bar(fd, BAR_MIXED));
	CHECK(p[0] == 9);

	/* a child knows as much as its parent */
	p = map_bar(fd, 0);
	if (!fork()) {
		check_refused(p);
		_exit(0);
	}
	CHECK(wait(&status) > 0 && !status);
}

/* Other memory, also next to and between BARs, is not the shim's business. */
static void other_memory_is_untouched(int fd, char **args)
{
	char *at = mmap(NULL, 4 * BAR_SIZE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			0);
	int fixed = MAP_SHARED | MAP_FIXED;

	CHECK(mmap(at, BAR_SIZE, RW, fixed, fd, 0) == at);
	CHECK(mmap(at + 3 * BAR_SIZE, BAR_SIZE, RW, fixed, fd, BAR_MIXED) !=
	      MAP_FAILED);

	char *mid = at + BAR_SIZE;
	mid[0] = 1;
	CHECK(madvise(mid, BAR_SIZE, MADV_DONTNEED) == 0 && !mid[0]);
	CHECK(mprotect(mid, BAR_SIZE, RW | PROT_EXEC) == 0);
	CHECK(mprotect(mid, BAR_SIZE, PROT_READ) == 0);
	CHECK(mprotect(mid, BAR_SIZE, RW) == 0);
	CHECK_ERRNO(mprotect(mid + 1, PAGE, RW), EINVAL);
	CHECK_ERRNO(madvise(mid + 1, PAGE, MADV_DONTNEED), EINVAL);

	/* up to the BAR it is done, as Linux goes from mapping to mapping */
	mid[0] = 1;
	CHECK_ERRNO(madvise(mid, 3 * BAR_SIZE, MADV_DONTNEED), EINVAL);
	CHECK(!mid[0]);

	char *moved = mremap(mid, BAR_SIZE, 4 * BAR_SIZE, MREMAP_MAYMOVE);
	CHECK(moved != MAP_FAILED && moved != mid);

	/* a hole is found by the host */
	CHECK(munmap(at + 4 * BAR_SIZE - PAGE, PAGE) == 0);
	CHECK_ERRNO(mprotect(at + 3 * BAR_SIZE, BAR_SIZE, PROT_READ), ENOMEM);
}

static void moving_works(int fd, char **args)
{
	char *to = mmap(NULL, BAR_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS,
			-1, 0);
	int move = MREMAP_MAYMOVE | MREMAP_FIXED;
	char *p = map_bar(fd, 0);

	p[8] = 77;
	CHECK(mremap(p, BAR_SIZE, BAR_SIZE, move, to) == to && to[8] == 77);
	check_refused(to);
	CHECK(mremap(to, BAR_SIZE, PAGE, 0) == to && !readable(to + PAGE));

	/* one mapping to the program, three to the host */
	p = map_bar(fd, BAR_MIXED);
	to = mmap(NULL, BAR_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		  0);
	CHECK(mremap(p, BAR_SIZE, BAR_SIZE, move, to) == to);
	CHECK(to[0] == 2 && !readable(to + PAGE) && to[2 * PAGE] == 2);
	CHECK(!readable(p));
	check_refused(to);
}

static void traps_survive_mprotect(int fd, char **args)
{
	char *p = map_bar(fd, BAR_MIXED);
	struct ioc_vmas arg;

	describe(fd, &arg, p, BAR_SIZE);
	CHECK(arg.n == 1 && arg.vma[0].kind == KIND_BAR);
	CHECK(arg.vma[0].off == 0 && arg.vma[0].prot == RW);

	CHECK(mprotect(p, BAR_SIZE, PROT_READ) == 0);
	CHECK(readable(p) && !readable(p + PAGE) && readable(p + 2 * PAGE));
	describe(fd, &arg, p, BAR_SIZE);
	CHECK(arg.n == 1 && arg.vma[0].prot == PROT_READ);

	CHECK(mprotect(p + PAGE, PAGE, PROT_NONE) == 0);
	describe(fd, &arg, p, BAR_SIZE);
	CHECK(arg.n == 3 && arg.vma[1].prot == PROT_NONE);
	CHECK(arg.vma[1].off == PAGE && arg.vma[2].off == 2 * PAGE);

	CHECK(mprotect(p, BAR_SIZE, RW) == 0);
	CHECK(!readable(p + PAGE));
	p[2 * PAGE] = 3;

	/* the marks are of the mapping, not of the place */
	p = map_bar(fd, BAR_TRAP);
	CHECK(munmap(p, PAGE) == 0 && munmap(p + 3 * PAGE, PAGE) == 0);
	describe(fd, &arg, p, BAR_SIZE);
	CHECK(arg.n == 2 && arg.vma[1].off == 4 * PAGE);
	CHECK(arg.vma[0].prot == RW && arg.vma[0].kind == KIND_BAR);
	CHECK(mprotect(p + 4 * PAGE, PAGE, PROT_READ) == 0);
	describe(fd, &arg, p + 4 * PAGE, PAGE);
	CHECK(arg.n == 1 && arg.vma[0].off == 4 * PAGE);
	CHECK(arg.vma[0].prot == PROT_READ);
}

static void mappings_outlive_the_file(int fd, char **args)
{
	char *p = map_bar(fd, 0);

	p[1] = 5;
	close(fd);
	CHECK(p[1] == 5);
	check_refused(p);
}

#define TEST(name)                                                             \
	{                                                                      \
#name, name                                                    \
	}

static const struct victim_test tests[] = {
	TEST(bar_is_shared_memory),
	TEST(refusals_are_linux_errors),
	TEST(addresses_are_honoured),
	TEST(memory_calls_are_refused),
	TEST(other_memory_is_untouched),
	TEST(moving_works),
	TEST(traps_survive_mprotect),
	TEST(mappings_outlive_the_file),
	{NULL, NULL},
};

int main(int argc, char **argv)
{
	return victim_main(argc, argv, tests);
}
