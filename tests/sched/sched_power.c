/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Power under everybody who may touch a BAR. d3hot: PMCSR by configuration
 * writes. low-power: LOW_POWER_ENTRY, left by exit, or woken by a transfer,
 * with a reset in between, which must not open the gate. wake: several
 * transfers at once find it asleep; it wakes once, and says so once.
 */
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "rig.h"

#define ROUNDS 2

static struct {
	struct rig rig;
	struct rig_dev *rd;
	struct prog prog;
	int wakeup; /* the program's eventfd */
	atomic_uint entries;
	bool transfers_wake;
} g;

static void *store(void *arg)
{
	for (uint32_t i = 1; i <= 3; i++) {
		struct gate_view before = gate_look(g.rd);
		bool done = prog_store(&g.prog, 0x10, i);

		gate_check(g.rd, &before, done, "a store");
	}
	return NULL;
}

static void *trap(void *arg)
{
	for (unsigned int i = 0; i < 3; i++) {
		struct gate_view before = gate_look(g.rd);
		uint64_t val = i;
		bool done = rig_trap(g.rd, REG_STORE, i % 2, &val);

		gate_check(g.rd, &before, done, "a trapped access");
	}
	return NULL;
}

static void *transfer(void *arg)
{
	for (unsigned int i = 0; i < 2; i++) {
		struct gate_view before = gate_look(g.rd);
		uint32_t val;
		int64_t r =
			rig_pread(g.rd, i ? BAR_TRAP : BAR_DIRECT, 0x800, &val);

		gate_check(g.rd, &before, r == 4, "a transfer");
	}
	return NULL;
}

static void *reset(void *arg)
{
	sched_point("request: RESET");
	sched_expect(device_reset(g.rd->dev) == 0, "RESET");
	sched_point("answer");
	return NULL;
}

static void stay_off(void)
{
	for (unsigned int i = 0; i < 4; i++)
		sched_point("off");
}

static void begin(void)
{
	rig_begin(&g.rig, 1);
	g.rd = &g.rig.dev[0];
	atomic_store(&g.entries, 0);
	prog_map(&g.prog, g.rd, BAR_DIRECT, 1);
}

static void end(void)
{
	gate_check_quiet(g.rd);
	prog_unmap(&g.prog);
	rig_end(&g.rig);
}

static void finish(bool all)
{
	rig_free(&g.rig);
	if (!all)
		return;
	saw(SEEN_LANDED, "an access was done");
	saw(SEEN_REFUSED, "an access was refused");
}

/* --- d3hot --- */

static void *toggle_d3hot(void *arg)
{
	for (unsigned int i = 0; i < ROUNDS; i++) {
		gate_begin(g.rd);
		power(g.rd, 3);
		gate_end(g.rd, 1);
		stay_off();
		gate_begin(g.rd);
		power(g.rd, 0);
		gate_end(g.rd, -1);
	}
	return NULL;
}

static void d3hot(void *arg)
{
	static const struct actor actors[] = {
		{"toggler", toggle_d3hot, NULL},
		{"storer", store, NULL},
		{"trapper", trap, NULL},
		{"reader", transfer, NULL},
	};

	begin();
	rig_race(actors, sizeof(actors) / sizeof(actors[0]));
	end();
}

const struct scenario scenario_d3hot = {"d3hot", d3hot, finish, 200, false};

/* --- low-power --- */

static void enter(int wakeup)
{
	sched_point("request: LOW_POWER_ENTRY");

	int r = device_low_power(g.rd->dev, true, wakeup);

	sched_expect(r == 0, "LOW_POWER_ENTRY: %s", strerror(-r));
	atomic_fetch_add(&g.entries, 1);
	sched_point("answer");
}

static void *toggle_low_power(void *arg)
{
	uint32_t val;

	gate_begin(g.rd);
	enter(dup(g.wakeup));
	gate_end(g.rd, 1);
	stay_off();
	gate_begin(g.rd);
	rig_pread(g.rd, BAR_DIRECT, 0, &val); /* wakes it */
	gate_end(g.rd, -1);

	gate_begin(g.rd);
	enter(-1);
	gate_end(g.rd, 1);
	stay_off();
	gate_begin(g.rd);
	sched_point("request: LOW_POWER_EXIT");
	device_low_power(g.rd->dev, false, -1);
	gate_end(g.rd, -1);
	return NULL;
}

static void check_woken(unsigned int times)
{
	uint64_t n = 0;

	if (read(g.wakeup, &n, sizeof(n)) < 0)
		n = 0;
	sched_expect(n == times, "woken %llu times instead of %u",
		     (unsigned long long)n, times);
	close(g.wakeup);
}

static void low_power(void *arg)
{
	static const struct actor actors[] = {
		{"toggler", toggle_low_power, NULL},
		{"storer", store, NULL},
		{"trapper", trap, NULL},
		{"resetter", reset, NULL},
	};

	begin();
	g.wakeup = eventfd(0, EFD_NONBLOCK);
	rig_race(actors, sizeof(actors) / sizeof(actors[0]));
	check_woken(1);
	end();
}

const struct scenario scenario_low_power = {"low-power", low_power, finish, 200,
					    false};

/* --- wake --- */

static void *sleep_on(void *arg)
{
	for (unsigned int i = 0; i < ROUNDS; i++) {
		int fd = dup(g.wakeup);

		sched_point("request: LOW_POWER_ENTRY");
		int r = device_low_power(g.rd->dev, true, fd);

		sched_expect(r == 0 || r == -EINVAL, "LOW_POWER_ENTRY: %s",
			     strerror(-r));
		if (r == 0)
			atomic_fetch_add(&g.entries, 1);
		else
			close(fd);
		sched_point("answer");
	}
	return NULL;
}

static void *knock(void *arg)
{
	uint32_t val;

	for (unsigned int i = 0; i < 3; i++)
		seen(rig_pread(g.rd, BAR_DIRECT, 0x800, &val) == 4 ? SEEN_A
								   : SEEN_B);
	return NULL;
}

static void wake(void *arg)
{
	static const struct actor actors[] = {
		{"sleeper", sleep_on, NULL},
		{"knocker1", knock, NULL},
		{"knocker2", knock, NULL},
	};
	uint32_t val;

	begin();
	g.wakeup = eventfd(0, EFD_NONBLOCK);
	rig_race(actors, sizeof(actors) / sizeof(actors[0]));
	sched_expect(rig_pread(g.rd, BAR_DIRECT, 0, &val) == 4, "pread");
	sched_expect(!atomic_load(&g.rd->dev->low_power),
		     "a transfer left it asleep");
	check_woken(atomic_load(&g.entries));
	end();
}

static void finish_wake(bool all)
{
	rig_free(&g.rig);
	if (all)
		saw(SEEN_A, "a transfer was done");
}

const struct scenario scenario_wake = {"wake", wake, finish_wake, 120, false};
