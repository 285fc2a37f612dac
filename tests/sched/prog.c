/* SPDX-License-Identifier: BSD-3-Clause */
/* The program's side of a BAR: mappings and accesses of every kind, rig.h. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "client.h"
#include "rig.h"

static __thread sigjmp_buf landing;
static __thread volatile bool expected;

/* The program's, and a touch by the daemon of what is not there. */
static void on_sigbus(int sig, siginfo_t *info, void *context)
{
	if (expected)
		siglongjmp(landing, 1);
	sched_fail("SIGBUS in the daemon, at %p", info->si_addr);
}

void prog_catch_sigbus(void)
{
	static const struct sigaction sa = {
		.sa_sigaction = on_sigbus,
		.sa_flags = SA_SIGINFO | SA_NODEFER,
	};

	sigaction(SIGBUS, &sa, NULL);
}

/* ThreadSanitizer blocks all signals in a handler, whatever its flags say. */
#if defined(__SANITIZE_THREAD__)
#define SAVE_MASK 1
#else
#define SAVE_MASK 0
#endif

static void prog_init(struct prog *prog, struct rig_dev *rd, unsigned int bar)
{
	*prog = (struct prog){
		.rd = rd,
		.bar = bar,
		.len = bar == BAR_PERSISTENT ? PERSISTENT_LEN : BAR_LEN,
	};
}

void prog_map(struct prog *prog, struct rig_dev *rd, unsigned int bar,
	      uint64_t owner)
{
	uint64_t off;
	int fd;

	prog_init(prog, rd, bar);
	sched_point("request: mmap");

	const struct device_map map = {owner, 1, BAR(bar), prog->len, true};
	int r = device_mmap(rd->dev, &map, &off, &fd);

	sched_expect(r == 0, "mmap: %s", strerror(-r));
	sched_point("answer");
	prog->p = mmap(NULL, prog->len, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		       (off_t)off);
	sched_expect(prog->p != MAP_FAILED, "mmap of BAR%u", bar);
	close(fd);
}

void prog_map_file(struct prog *prog, struct rig_dev *rd, unsigned int bar,
		   struct client *client, int fd)
{
	int64_t r;

	prog_init(prog, rd, bar);
	prog->client = client;
	prog->p = client_mmap(client, fd, BAR(bar), prog->len, &r);
	sched_expect(prog->p, "mmap: %s", strerror((int)-r));
}

void prog_unmap(struct prog *prog)
{
	munmap(prog->p, prog->len);
}

/* One instruction: true when it retired. */
static bool touch(volatile uint32_t *p, bool write, uint32_t *val)
{
	if (sigsetjmp(landing, SAVE_MASK)) {
		expected = false;
		return false;
	}
	expected = true;
	if (write)
		*p = *val;
	else
		*val = *p;
	expected = false;
	return true;
}

static int64_t prog_fault(struct prog *prog, uint64_t off)
{

	if (prog->client)
		return client_fault(prog->client, bar_id(prog->rd, prog->bar),
				    off);
	sched_point("request: SIGBUS");

	int r = device_fault(prog->rd->dev, prog->bar, off);

	sched_point("answer");
	return r;
}

static bool prog_touch(struct prog *prog, uint64_t off, bool write,
		       uint32_t *val)
{
	volatile uint32_t *p = (uint32_t *)(prog->p + off);

	for (;;) {
		sched_point(write ? "store" : "load");
		if (touch(p, write, val))
			return true;
		if (prog_fault(prog, off) < 0)
			return false;
		seen(SEEN_FAULT_RETRIED);
	}
}

bool prog_store(struct prog *prog, uint64_t off, uint32_t val)
{
	return prog_touch(prog, off, true, &val);
}

bool prog_load(struct prog *prog, uint64_t off, uint32_t *ret_val)
{
	return prog_touch(prog, off, false, ret_val);
}

bool rig_trap(struct rig_dev *rd, uint64_t off, bool write, uint64_t *val)
{
	sched_point("request: access");

	int r = device_access(rd->dev, BAR_TRAP, off, 4, write, val);

	sched_point("answer");
	sched_expect(r == 0 || r == -EFAULT, "a trapped access: %s",
		     strerror(-r));
	return r == 0;
}

int64_t rig_pread(struct rig_dev *rd, unsigned int bar, uint64_t off,
		  uint32_t *ret_val)
{
	sched_point("request: pread");

	int64_t r = device_read(rd->dev, BAR(bar) | off, ret_val, 4);

	sched_point("answer");
	sched_expect(r == 4 || r == -EIO, "pread: %lld", (long long)r);
	return r;
}

int64_t rig_pwrite(struct rig_dev *rd, unsigned int bar, uint64_t off,
		   uint32_t val)
{
	sched_point("request: pwrite");

	int64_t r = device_write(rd->dev, BAR(bar) | off, &val, 4, 4);

	sched_point("answer");
	sched_expect(r == 4 || r == -EIO, "pwrite: %lld", (long long)r);
	return r;
}

/* --- looked at before, done, checked after --- */

void gate_store(struct prog *prog, uint64_t off, uint32_t val)
{
	struct gate_view before = gate_look(prog->rd);
	bool done = prog_store(prog, off, val);

	gate_check(prog->rd, &before, done, "a store");
}

void gate_trap(struct rig_dev *rd, uint64_t off, bool write)
{
	struct gate_view before = gate_look(rd);
	uint64_t val = 1;
	bool done = rig_trap(rd, off, write, &val);

	gate_check(rd, &before, done, "a trapped access");
}

void *gate_stores(void *arg)
{
	struct prog *prog = arg;

	for (uint32_t i = 1; i <= 3; i++)
		gate_store(prog, 0x10, i);
	return NULL;
}

void *gate_traps(void *arg)
{
	struct rig_dev *rd = arg;

	gate_trap(rd, REG_BURST, true);
	gate_trap(rd, REG_STORE, true);
	gate_trap(rd, REG_STORE, false);
	return NULL;
}
