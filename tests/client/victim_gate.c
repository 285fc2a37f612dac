/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The memory gate, from where the program sits: what its mappings do while
 * memory decode, resets and power states come and go. The first argument names
 * a test, "list" shows them all, and the second is a number of rounds.
 */
#include "tests/client/victim_gate.h"

#include <sched.h>
#include <setjmp.h>
#include <sys/prctl.h>

#define STOPPED 3600u /* seconds until a hang is called one */

struct shared *shared;
struct vfio vfio;
__thread siginfo_t fault;

static __thread sigjmp_buf on_fault;

static void caught(int sig, siginfo_t *info, void *context)
{
	(void)context;
	fault = *info;
	siglongjmp(on_fault, sig);
}

void start(const char *bdf)
{
	struct sigaction sa = {.sa_sigaction = caught,
			       .sa_flags = SA_SIGINFO | SA_NODEFER};

	alarm(STOPPED);
	shared = mmap(NULL, sizeof(*shared), RW, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	CHECK(shared != MAP_FAILED);
	CHECK(!sigaction(SIGBUS, &sa, NULL) && !sigaction(SIGSEGV, &sa, NULL));
	vfio_open(&vfio, bdf);
	memory(true);
}

void reopen(const char *bdf)
{
	vfio_close(&vfio);
	vfio_open(&vfio, bdf);
	memory(true);
}

unsigned long rounds_of(char **args)
{
	return args[0] ? strtoul(args[0], NULL, 0) : 100;
}

void memory(bool on)
{
	command_set(vfio.device, on ? 2 : 0);
}

void gate_close(void)
{
	atomic_fetch_add(&shared->gate, 1);
	memory(false);
	atomic_fetch_add(&shared->gate, 1);
}

void gate_open(void)
{
	atomic_fetch_add(&shared->gate, 1);
	memory(true);
	atomic_fetch_add(&shared->gate, 1);
}

void device_reset(void)
{
	CHECK(!ioctl(vfio.device, VFIO_DEVICE_RESET));
}

long hot_reset(void)
{
	uint32_t arg[] = {16, 0, 1, (uint32_t)vfio.group};

	return ioctl(vfio.device, VFIO_DEVICE_PCI_HOT_RESET, arg) ? -errno : 0;
}

void feature(uint32_t n)
{
	uint32_t arg[] = {8, n | 1u << 17};

	CHECK(!ioctl(vfio.device, VFIO_DEVICE_FEATURE, arg));
}

int store(volatile void *at, uint64_t val)
{
	int sig = sigsetjmp(on_fault, 0);

	if (!sig)
		*(volatile uint64_t *)at = val;
	return sig;
}

int load(const volatile void *at, uint64_t *ret_val)
{
	int sig = sigsetjmp(on_fault, 0);

	if (!sig)
		*ret_val = *(const volatile uint64_t *)at;
	return sig;
}

/* Where the gate did not move meanwhile, it alone decides. */
static void check_phase(unsigned int before, int sig)
{
	CHECK(!sig || sig == SIGBUS);
	if (atomic_load(&shared->gate) != before)
		return;
	CHECK(before % PHASES != OPEN || !sig);
	CHECK(before % PHASES != CLOSED || sig);
}

int store_in_phase(volatile void *at, uint64_t val)
{
	unsigned int before = atomic_load(&shared->gate);
	int sig = store(at, val);

	check_phase(before, sig);
	return sig;
}

int load_in_phase(const volatile void *at, uint64_t *ret_val)
{
	unsigned int before = atomic_load(&shared->gate);
	int sig = load(at, ret_val);

	check_phase(before, sig);
	return sig;
}

void check_closed(void *at)
{
	uint64_t val;

	CHECK(store(at, 1) == SIGBUS && fault.si_code == BUS_ADRERR);
	CHECK(fault.si_addr == at);
	CHECK(load(at, &val) == SIGBUS && fault.si_code == BUS_ADRERR);
	CHECK(fault.si_addr == at);
}

void check_holds(const void *at, uint64_t val)
{
	uint64_t got = ~val;

	CHECK(load(at, &got) == 0 && got == val);
}

void check_open(void *at, uint64_t val)
{
	CHECK(store(at, val) == 0);
	check_holds(at, val);
}

pid_t fork_into(void (*fn)(void *), void *arg)
{
	pid_t pid = fork();

	CHECK(pid >= 0);
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL); /* no failure leaves any */
		alarm(STOPPED);
		fn(arg);
		_exit(0);
	}
	return pid;
}

void let_them_run(unsigned long i)
{
	if (i % 16 == 0)
		sched_yield();
}

void smaps_line(const void *at, const char *key, char line[SMAPS_LINE])
{
	FILE *f = fopen("/proc/self/smaps", "r");
	bool found = false, done = false;

	CHECK(f);
	while (!done && fgets(line, SMAPS_LINE, f)) {
		unsigned long first, last;

		if (sscanf(line, "%lx-%lx ", &first, &last) == 2)
			found = first == (unsigned long)at;
		done = found && !strncmp(line, key, strlen(key));
	}
	fclose(f);
	CHECK(done);
}

long mapped_kb(const void *at)
{
	char line[SMAPS_LINE];

	smaps_line(at, "Rss:", line);
	return atol(line + strlen("Rss:"));
}

void *map_at(uintptr_t at, size_t len, int prot, int flags, off_t pos)
{
	void *want = at ? (void *)at : NULL;

	return mmap(want, len, prot, flags, vfio.device, pos);
}

void *room_for(size_t len)
{
	void *p =
		mmap(NULL, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(p != MAP_FAILED);
	return p;
}

void move_to(void *from, size_t len, void *to)
{
	CHECK(mremap(from, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to);
}

static const struct victim_test *const tables[] = {
	gate_map_tests,	  gate_vma_tests,    gate_way_tests,  gate_storm_tests,
	gate_crowd_tests, gate_holder_tests, gate_peer_tests,
};

/* The table that has it, or any. */
static const struct victim_test *table_of(const char *name)
{
	for (size_t i = 0; i < COUNT(tables); i++)
		for (const struct victim_test *t = tables[i]; t->name; t++)
			if (!strcmp(t->name, name))
				return tables[i];
	return tables[0];
}

static int list(void)
{
	for (size_t i = 0; i < COUNT(tables); i++)
		for (const struct victim_test *t = tables[i]; t->name; t++)
			puts(t->name);
	return 0;
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "";

	if (!strcmp(name, "list"))
		return list();
	return victim_main(argc, argv, table_of(name));
}
