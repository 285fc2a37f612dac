/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Power under everybody who may touch a BAR. d3hot: PMCSR by configuration
 * writes. low-power: LOW_POWER_ENTRY, left by exit, or woken by a transfer,
 * with a reset in between, which must not open the gate. writers: COMMAND and
 * PMCSR at once; what they leave behind fits together. wake: several transfers at once find it asleep; it wakes once, and says so once.
 */
#include <linux/pci_regs.h>
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/pci/irq_impl.h"
#include "rig.h"

#define ROUNDS 2

static struct {
	struct rig rig;
	struct rig_dev *rd;
	struct prog prog;
	int wakeup;  /* the program's eventfd */
	bool sleeps; /* for good */
} g;

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

static void begin(void)
{
	rig_begin(&g.rig, 1);
	g.rd = &g.rig.dev[0];
	g.sleeps = false;
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
		linger("off");
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
		{"storer", gate_stores, &g.prog},
		{"trapper", gate_traps, &g.rig.dev[0]},
		{"reader", transfer, NULL},
	};

	begin();
	rig_race(actors, sizeof(actors) / sizeof(actors[0]));
	end();
}

const struct scenario scenario_d3hot = {"d3hot", d3hot, finish, 200, false};

/* --- writers --- */

static void *write_power(void *arg)
{
	for (unsigned int i = 0; i < ROUNDS; i++) {
		power(g.rd, 3);
		power(g.rd, 0);
	}
	power(g.rd, sched_random() % 2 ? 3 : 0);
	return NULL;
}

static void *write_command(void *arg)
{
	for (unsigned int i = 0; i < ROUNDS; i++) {
		command(g.rd, false);
		command(g.rd, true);
	}
	command(g.rd, sched_random() % 2);
	return NULL;
}

static void *write_disintx(void *arg)
{
	for (unsigned int i = 0; i < ROUNDS; i++)
		intx_disable(g.rd, sched_random() % 2);
	return NULL;
}

static void NO_TSA check_disintx(void)
{
	uint16_t command = 0;

	config_read(g.rd->dev->config, PCI_COMMAND, &command, sizeof(command));

	bool off = command & PCI_COMMAND_INTX_DISABLE;

	sched_expect(g.rd->dev->irq->disabled == off,
		     "DisINTx is %s, interrupts think otherwise",
		     off ? "set" : "clear");
}

static void *store_anyhow(void *arg)
{
	for (uint32_t i = 1; i <= 4; i++)
		seen(prog_store(&g.prog, 0x10, i) ? SEEN_LANDED : SEEN_REFUSED);
	return NULL;
}

static void writers(void *arg)
{
	static const struct actor actors[] = {
		{"power", write_power, NULL},
		{"command", write_command, NULL},
		{"disintx1", write_disintx, NULL},
		{"disintx2", write_disintx, NULL},
		{"storer", store_anyhow, NULL},
	};

	begin();
	rig_race(actors, sizeof(actors) / sizeof(actors[0]));
	check_disintx();
	end();
}

const struct scenario scenario_writers = {"writers", writers, finish, 250,
					  false};

/* --- low-power --- */

static void enter(int wakeup)
{
	sched_point("request: LOW_POWER_ENTRY");

	int r = device_low_power(g.rd->dev, true, wakeup);

	sched_expect(r == 0, "LOW_POWER_ENTRY: %s", strerror(-r));
	sched_point("answer");
}

static void *toggle_low_power(void *arg)
{
	uint32_t val;

	gate_begin(g.rd);
	enter(dup(g.wakeup));
	gate_end(g.rd, 1);
	linger("off");
	gate_begin(g.rd);
	rig_pread(g.rd, BAR_DIRECT, 0, &val); /* wakes it */
	gate_end(g.rd, -1);

	gate_begin(g.rd);
	enter(-1);
	gate_end(g.rd, 1);
	linger("off");
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
		{"storer", gate_stores, &g.prog},
		{"trapper", gate_traps, &g.rig.dev[0]},
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

/* The second time it is not to be woken. */
static void *sleep_twice(void *arg)
{
	enter(dup(g.wakeup));
	linger("asleep");
	sched_point("request: LOW_POWER_ENTRY");
	int r = device_low_power(g.rd->dev, true, -1);

	sched_expect(r == 0 || r == -EINVAL, "LOW_POWER_ENTRY: %s",
		     strerror(-r));
	g.sleeps = r == 0;
	sched_point("answer");
	return NULL;
}

static void *knock(void *arg)
{
	uint32_t val;

	for (unsigned int i = 0; i < 3; i++)
		sched_expect(rig_pread(g.rd, BAR_DIRECT, 0x800, &val) == 4,
			     "pread");
	return NULL;
}

static void wake(void *arg)
{
	static const struct actor actors[] = {
		{"sleeper", sleep_twice, NULL},
		{"knocker1", knock, NULL},
		{"knocker2", knock, NULL},
	};
	uint32_t val;

	begin();
	g.wakeup = eventfd(0, EFD_NONBLOCK);
	rig_race(actors, sizeof(actors) / sizeof(actors[0]));
	sched_expect(rig_pread(g.rd, BAR_DIRECT, 0, &val) == 4, "pread");
	sched_expect(atomic_load(&g.rd->dev->low_power) == g.sleeps,
		     g.sleeps ? "it was woken though it was not to be"
			      : "a transfer left it asleep");
	seen(g.sleeps ? SEEN_A : SEEN_B);
	check_woken(1);
	end();
}

static void finish_wake(bool all)
{
	rig_free(&g.rig);
	if (!all)
		return;
	saw(SEEN_A, "it slept on");
	saw(SEEN_B, "it was woken last");
}

const struct scenario scenario_wake = {"wake", wake, finish_wake, 120, false};
