/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/unit/mem_rig.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/fds.h"

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

void program_start(struct program *p)
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

int program_end(struct program *p)
{
	int status;

	close(p->go);
	assert_int_equal(waitpid(p->pid, &status, 0), p->pid);
	return WEXITSTATUS(status);
}

void program_done(struct program *p)
{
	program_end(p);
	close(p->mem_fd);
	munmap(p->pages, 4 * PAGE);
}

struct mem *program_mem(struct program *p)
{
	struct mem *mem = NULL;

	assert_int_equal(mem_mm(getpid(), &p->id, p->mem_fd, &mem), 0);
	return mem;
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

void count_from_now(void)
{
	fds_at_start = count_fds();
}

void nothing_is_left_behind(void **state)
{
	wait_for_fds(fds_at_start);
}
