/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ioeventfds, one that writes to memory and one to the model, signalled while
 * decode is toggled, the function is reset, and they are removed and set again.
 * With decode off the write is dropped, but the eventfd is drained; once one is
 * removed nothing is written; and one that is signalled at the end is heard.
 */
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/pci/ioeventfd.h"
#include "rig.h"

#define VALUE 0x7a

enum { TO_MEMORY, TO_MODEL, N_FDS };

static const struct ioeventfd_request request[N_FDS] = {
	{.region = BAR_PERSISTENT, .off = 0x400, .data = VALUE, .len = 4},
	{.region = BAR_TRAP, .off = REG_COUNT, .data = VALUE, .len = 4},
};

static struct {
	struct rig rig;
	struct rig_dev *rd;
	int fd[N_FDS];
} g;

static void set(unsigned int i)
{
	sched_point("request: IOEVENTFD");
	int r = ioeventfd_add(g.rd->dev, &request[i], g.fd[i]);

	sched_expect(r == 0, "IOEVENTFD: %s", strerror(-r));
	sched_point("answer");
}

static void take_away(unsigned int i)
{
	sched_point("request: IOEVENTFD");
	int r = ioeventfd_remove(g.rd->dev, &request[i]);

	sched_expect(r == 0, "IOEVENTFD -1: %s", strerror(-r));
	sched_point("answer");
}

static uint32_t memory(void)
{
	return rig_contents(g.rd, BAR_PERSISTENT, request[TO_MEMORY].off);
}

static void *signal_both(void *arg)
{
	for (unsigned int i = 0; i < 3; i++) {
		sched_point("signal");
		eventfd_write(g.fd[i % N_FDS], 1);
	}
	return NULL;
}

static void clear(void)
{
	uint32_t zero = 0;

	device_write(g.rd->dev,
		     request[TO_MEMORY].region << REGION_SHIFT |
			     request[TO_MEMORY].off,
		     &zero, sizeof(zero), sizeof(zero));
}

/* Nothing may be written while it is off, and nothing once it is removed. */
static void *toggle(void *arg)
{
	clear();
	gate_begin(g.rd);
	command(g.rd, false);
	gate_end(g.rd, 1);
	uint32_t before = memory();

	linger("off");
	sched_expect(memory() == before, "an ioeventfd writes with decode off");
	gate_begin(g.rd);
	command(g.rd, true);
	gate_end(g.rd, -1);
	return NULL;
}

static void *remove_and_set(void *arg)
{
	for (unsigned int i = 0; i < N_FDS; i++) {
		take_away(i);
		if (i == TO_MEMORY)
			clear();
		uint32_t before = atomic_load(&g.rd->counted);
		/* not cleared when decode is off */
		bool clear_before = memory() != VALUE;

		linger("removed");
		sched_expect(i != TO_MEMORY || !clear_before ||
				     memory() != VALUE,
			     "a removed ioeventfd writes to memory");
		sched_expect(i != TO_MODEL ||
				     atomic_load(&g.rd->counted) == before,
			     "a removed ioeventfd writes to the model");
		set(i);
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

/* Left alone, each is heard, and the eventfds are empty. */
static void check_heard(void)
{
	uint64_t n;

	clear();
	unsigned int before = atomic_load(&g.rd->counted);

	eventfd_write(g.fd[TO_MEMORY], 1);
	eventfd_write(g.fd[TO_MODEL], 1);
	sched_rest();
	sched_expect(atomic_load(&g.rd->counted) > before, "a signal is lost");
	sched_expect(memory() == VALUE, "a signal is lost");
	for (unsigned int i = 0; i < N_FDS; i++)
		sched_expect(read(g.fd[i], &n, sizeof(n)) < 0,
			     "an eventfd is not drained");
}

static void ioeventfds(void *arg)
{
	static const struct actor actors[] = {
		{"signaller", signal_both, NULL},
		{"toggler", toggle, NULL},
		{"remover", remove_and_set, NULL},
		{"resetter", reset, NULL},
	};

	rig_begin(&g.rig, 1);
	rig_watch(&g.rig);
	g.rd = &g.rig.dev[0];
	for (unsigned int i = 0; i < N_FDS; i++) {
		g.fd[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		set(i);
	}
	rig_race(actors, sizeof(actors) / sizeof(actors[0]));
	check_heard();
	rig_end(&g.rig);
	for (unsigned int i = 0; i < N_FDS; i++)
		close(g.fd[i]);
}

static void finish(bool all)
{
	rig_free(&g.rig);
}

const struct scenario scenario_ioeventfd = {"ioeventfd", ioeventfds, finish,
					    350, false};
