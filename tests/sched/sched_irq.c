/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * SET_IRQS against raising and reset. msi: an interrupt goes to the eventfd
 * that is set while it is raised, once, and to none that was taken away before.
 * intx: no more signals than there were reasons, and afterwards the line works.
 */
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "rig.h"

#define FDS    3
#define RAISES 6

static struct {
	struct rig rig;
	struct rig_dev *rd;
	struct irq *irq;
	int fd[FDS];
	atomic_int current; /* which one is set; -1: none */
	uint64_t want[FDS]; /* the raiser's: at least so many */
	uint64_t got[FDS];
	atomic_uint reasons;
} g;

static uint64_t drain(int fd)
{
	uint64_t n;

	return read(fd, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

static int set_irqs(uint32_t index, uint32_t flags, uint32_t count,
		    const int *fds)
{
	struct irq_request req = {
		.flags = flags,
		.index = index,
		.count = count,
		.fds = fds,
	};

	sched_point("request: SET_IRQS");
	int r = irq_set(g.irq, &req);

	sched_point("answer");
	return r;
}

static void begin(void)
{
	rig_begin(&g.rig, 1);
	g.rd = &g.rig.dev[0];
	g.irq = g.rd->dev->irq;
	for (unsigned int i = 0; i < FDS; i++) {
		if (!g.fd[i])
			g.fd[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		g.want[i] = g.got[i] = 0;
		drain(g.fd[i]);
	}
	atomic_store(&g.current, -1);
	atomic_store(&g.reasons, 0);
}

static void finish_fds(void)
{
	rig_free(&g.rig);
	for (unsigned int i = 0; i < FDS; i++)
		close(g.fd[i]);
}

static void *reset(void *arg)
{
	sched_point("request: RESET");
	sched_expect(device_reset(g.rd->dev) == 0, "RESET");
	sched_point("answer");
	return NULL;
}

/* --- msi --- */

#define TRIGGER_FD   (IRQ_SET_DATA_EVENTFD | IRQ_SET_ACTION_TRIGGER)
#define TRIGGER_NONE (IRQ_SET_DATA_NONE | IRQ_SET_ACTION_TRIGGER)

static void *raise_msi(void *arg)
{
	for (unsigned int i = 0; i < RAISES; i++) {
		unsigned int epoch = atomic_load(&g.rd->epoch);
		int to = atomic_load(&g.current);

		mutex_lock(&g.rd->dev->model);
		sv_irq_raise(g.rd->dev, 0);
		mutex_unlock(&g.rd->dev->model);
		if (epoch % 2 == 0 && epoch == atomic_load(&g.rd->epoch) &&
		    to >= 0)
			g.want[to]++;
		else
			seen(SEEN_B);
	}
	return NULL;
}

/* @to: -1 = off. What was set before must be heard no more. */
static void change_msi(int to)
{
	int before = atomic_load(&g.current), r;

	atomic_fetch_add(&g.rd->epoch, 1);
	if (to >= 0)
		r = set_irqs(IRQ_MSI, TRIGGER_FD, 1, &g.fd[to]);
	else
		r = set_irqs(IRQ_MSI, TRIGGER_NONE, 0, NULL);
	sched_expect(r == 0, "SET_IRQS MSI: %s", strerror(-r));
	atomic_store(&g.current, to);
	atomic_fetch_add(&g.rd->epoch, 1);
	linger("set");
	if (before < 0)
		return;
	g.got[before] += drain(g.fd[before]);
	linger("taken away");
	sched_expect(!drain(g.fd[before]),
		     "an eventfd is signalled after it was taken away");
}

static void *set_msi(void *arg)
{
	static const int order[] = {0, 1, -1, 2, -1};

	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++)
		change_msi(order[i]);
	return NULL;
}

static void msi(void *arg)
{
	static const struct actor actors[] = {
		{"setter", set_msi, NULL},
		{"raiser", raise_msi, NULL},
		{"resetter", reset, NULL},
	};
	struct irq_stats before, after;
	uint64_t all = 0;

	begin();
	irq_get_stats(g.irq, &before);
	rig_race(actors, sizeof(actors) / sizeof(actors[0]));
	for (unsigned int i = 0; i < FDS; i++) {
		g.got[i] += drain(g.fd[i]);
		all += g.got[i];
		sched_expect(g.got[i] >= g.want[i],
			     "eventfd %u has %llu signals of %llu", i,
			     (unsigned long long)g.got[i],
			     (unsigned long long)g.want[i]);
		if (g.want[i])
			seen(SEEN_A);
	}
	irq_get_stats(g.irq, &after);
	/* never a moment without an eventfd, and none of one that is closed */
	sched_expect(after.untaken == before.untaken &&
			     after.raised - before.raised == all,
		     "%llu signals were sent, %llu to nobody; %llu came",
		     (unsigned long long)(after.raised - before.raised),
		     (unsigned long long)(after.untaken - before.untaken),
		     (unsigned long long)all);
	sched_expect(all <= RAISES, "%llu signals of %u",
		     (unsigned long long)all, RAISES);
	rig_end(&g.rig);
}

static void finish_msi(bool all)
{
	finish_fds();
	if (!all)
		return;
	saw(SEEN_A, "an interrupt had to reach its eventfd");
	saw(SEEN_B, "an interrupt met a change");
}

const struct scenario scenario_msi = {"msi", msi, finish_msi, 200, false};

/* --- intx --- */

static void *drive_pin(void *arg)
{
	for (unsigned int i = 0; i < 3; i++) {
		mutex_lock(&g.rd->dev->model);
		atomic_fetch_add(&g.reasons, 1);
		sv_irq_level(g.rd->dev, true);
		mutex_unlock(&g.rd->dev->model);
		sched_point("pin");
		mutex_lock(&g.rd->dev->model);
		sv_irq_level(g.rd->dev, false);
		mutex_unlock(&g.rd->dev->model);
	}
	return NULL;
}

static void intx_on(void)
{
	atomic_fetch_add(&g.reasons, 1);
	int r = set_irqs(IRQ_INTX, TRIGGER_FD, 1, &g.fd[0]);

	sched_expect(r == 0, "SET_IRQS INTx: %s", strerror(-r));
}

static void intx_unmask(void)
{
	atomic_fetch_add(&g.reasons, 1);
	set_irqs(IRQ_INTX, IRQ_SET_DATA_NONE | IRQ_SET_ACTION_UNMASK, 1, NULL);
}

static void *set_intx(void *arg)
{
	intx_unmask();
	sched_expect(set_irqs(IRQ_INTX, TRIGGER_NONE, 0, NULL) == 0, "off");
	g.got[0] += drain(g.fd[0]);
	linger("off");
	sched_expect(!drain(g.fd[0]), "a signal after INTx was turned off");
	intx_on();
	intx_unmask();
	return NULL;
}

static void *disable(void *arg)
{
	atomic_fetch_add(&g.reasons, 1);
	irq_intx_disable(g.irq, true);
	irq_intx_disable(g.irq, false);
	return NULL;
}

/* Whatever came before: a pin that rises is heard, and heard again. */
static void check_line(void)
{
	sv_irq_level(g.rd->dev, false);
	intx_unmask();
	drain(g.fd[0]);
	sv_irq_level(g.rd->dev, true);
	sched_expect(drain(g.fd[0]) == 1, "the line does not work any more");
	intx_unmask();
	sched_expect(drain(g.fd[0]) == 1, "a level that stays is not told");
	sv_irq_level(g.rd->dev, false);
}

static void intx(void *arg)
{
	static const struct actor actors[] = {
		{"setter", set_intx, NULL},
		{"device", drive_pin, NULL},
		{"disabler", disable, NULL},
		{"resetter", reset, NULL},
	};

	begin();
	intx_on();
	rig_race(actors, sizeof(actors) / sizeof(actors[0]));
	g.got[0] += drain(g.fd[0]);
	sched_expect(g.got[0] <= atomic_load(&g.reasons),
		     "%llu signals for %u reasons",
		     (unsigned long long)g.got[0], atomic_load(&g.reasons));
	if (g.got[0])
		seen(SEEN_A);
	check_line();
	rig_end(&g.rig);
}

static void finish_intx(bool all)
{
	finish_fds();
	if (all)
		saw(SEEN_A, "a signal was sent");
}

const struct scenario scenario_intx = {"intx", intx, finish_intx, 180, false};
