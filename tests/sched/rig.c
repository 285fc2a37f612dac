/* SPDX-License-Identifier: BSD-3-Clause */
/* Functions, programs and what is known about them: rig.h. */
#include <errno.h>
#include <linux/pci_regs.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/proto.h"
#include "rig.h"

#define PM_CTRL	   0x44 /* core/pci/config.h: PM at 0x40, PCIe at 0x80 */
#define EXP_DEVCTL 0x88

/* --- the model --- */

static struct rig_dev *const *state_of(struct sv_dev *dev)
{
	return sv_state(dev);
}

/* Nothing may reach a model while decode is known to be off. */
static void model_touched(struct sv_dev *dev)
{
	struct rig_dev *rd = *state_of(dev);

	sched_expect(atomic_load(&rd->changing) || atomic_load(&rd->off) <= 0,
		     "the model of %s is reached with decode off", dev->name);
	sched_point("in the model");
}

static void model_reset(struct sv_dev *dev, enum sv_reset why)
{
	struct rig_dev *rd = *state_of(dev);

	if (rd)
		atomic_fetch_add(&rd->resets, 1);
	sched_point("model reset");
}

static uint64_t model_read(struct sv_dev *dev, unsigned int bar, uint64_t off,
			   unsigned int size)
{
	model_touched(dev);
	return off;
}

static void model_dma(struct rig_dev *rd, uint64_t iova)
{
	uint32_t data = 0x646d6121;

	atomic_store(&rd->dma_result,
		     sv_dma_write(rd->dev, iova, &data, sizeof(data)));
	atomic_fetch_add(&rd->dma_done, 1);
}

static void model_write(struct sv_dev *dev, unsigned int bar, uint64_t off,
			uint64_t val, unsigned int size)
{
	struct rig_dev *rd = *state_of(dev);

	model_touched(dev);
	if (off == REG_DMA)
		model_dma(rd, val);
	else if (off == REG_RAISE)
		sv_irq_raise(dev, (unsigned int)val);
	else if (off == REG_LEVEL)
		sv_irq_level(dev, val);
	else if (off == REG_COUNT)
		atomic_fetch_add(&rd->counted, 1);
	else if (off == REG_BURST) {
		atomic_store(&rd->burst, true);
		sv_kick(dev);
	}
}

/* In a burst, decode does not go off and memory does not move. */
static void model_burst(struct sv_dev *dev)
{
	volatile uint32_t *count;

	if (!sv_mmio_begin(dev))
		return;
	count = (uint32_t *)(sv_bar_memory(dev, BAR_DIRECT) + BURST_SLOT);

	uint32_t n = *count + 1;

	*count = n;
	sched_point("burst");
	sched_expect((void *)count == sv_bar_memory(dev, BAR_DIRECT) +
					      BURST_SLOT &&
			     *count == n,
		     "BAR memory changes under a burst of the model");
	sv_mmio_end(dev);
}

static bool model_run(struct sv_dev *dev)
{
	struct rig_dev *rd = *state_of(dev);

	if (!atomic_exchange(&rd->burst, false))
		return false;
	model_burst(dev);
	return true;
}

static const struct sv_dev_ops model = {
	.api = SV_API,
	.name = "device",
	.shape =
		{
			.vendor = 0x1234,
			.device = 0x5678,
			.msi = RIG_IRQS,
			.bar[BAR_TRAP] = {.size = 4096,
					  .kind = SV_BAR_MEM32,
					  .access = SV_ACCESS_TRAP},
			.bar[BAR_DIRECT] = {.size = BAR_LEN,
					    .kind = SV_BAR_MEM32,
					    .access = SV_ACCESS_DIRECT},
			.bar[BAR_PERSISTENT] = {.size = PERSISTENT_LEN,
						.kind = SV_BAR_MEM32,
						.access = SV_ACCESS_DIRECT,
						.persistent = true},
		},
	.state_size = sizeof(struct rig_dev *),
	.reset = model_reset,
	.read = model_read,
	.write = model_write,
	.run = model_run,
};

/* --- life --- */

static void rig_add(struct rig *rig, unsigned int i)
{
	static const char *const names[RIG_DEVS] = {"0000:01:00.0",
						    "0000:01:00.1"};
	struct rig_dev *rd = &rig->dev[i];
	struct device_host host = {
		.name = names[i],
		.ops = &model,
		.space = &rig->space,
		.instance = rig->instance,
		.inotify = rig->inotify ? rig->inotify : -1,
		.set = &rig->set,
		.group_id = i,
	};
	char err[256];

	sched_expect(device_new(&host, err, &rd->dev) == 0, "device: %s", err);
	rd->rig = rig;
	*(struct rig_dev **)sv_state(rd->dev) = rd;
	rig->set.dev[rig->set.n++] = rd->dev;
}

/* What a first open finds differs from what a second does, but for this. */
static void rig_make(struct rig *rig, unsigned int n_devs)
{
	rig->made = true;
	rig->space = (struct bus_space)BUS_SPACE_INIT;
	rig->n_devs = n_devs;
	prog_catch_sigbus();
	mutex_init(&rig->set.lock, RANK_DEV_SET, "dev_set");
	for (unsigned int i = 0; i < n_devs; i++)
		rig_add(rig, i);
	rig_begin(rig, n_devs);
	rig_end(rig);
}

static void rig_dev_forget(struct rig_dev *rd)
{
	atomic_store(&rd->epoch, 0);
	atomic_store(&rd->changing, 0);
	atomic_store(&rd->off, 0);
	atomic_store(&rd->burst, false);
	atomic_store(&rd->resets, 0);
	atomic_store(&rd->dma_done, 0);
	atomic_store(&rd->dma_result, 0);
}

void rig_prepare(struct rig *rig, unsigned int n_devs)
{
	if (!rig->made)
		rig_make(rig, n_devs);
	for (unsigned int i = 0; i < n_devs; i++)
		rig_dev_forget(&rig->dev[i]);
}

void rig_begin(struct rig *rig, unsigned int n_devs)
{
	rig_prepare(rig, n_devs);
	rig->type1 = rig_type1(TYPE1_V2, 64);
	sched_expect(rig->type1, "type1");
	for (unsigned int i = 0; i < n_devs; i++)
		rig_open(&rig->dev[i]);
}

void rig_end(struct rig *rig)
{
	for (unsigned int i = 0; i < rig->n_devs; i++) {
		gate_begin(&rig->dev[i]);
		if (rig->dev[i].open)
			rig_close(&rig->dev[i]);
	}
	rig->type1 = type1_put(rig->type1);
	rig->watcher = watcher_free(rig->watcher);
}

/* A watcher is for life, and so is what its first ioeventfd has it watch. */
static void change_watcher(struct sv_dev *dev, struct watcher *w)
{
	struct ioeventfds *io = &dev->ioeventfds;

	dev->watcher = w;
	sched_expect(io->set < 0 ||
			     watcher_add_set(w, io->set, &io->watch) == 0,
		     "watcher");
}

void rig_watch(struct rig *rig)
{
	sched_expect(watcher_new(&rig->watcher) == 0, "watcher");
	for (unsigned int i = 0; i < rig->n_devs; i++)
		change_watcher(rig->dev[i].dev, rig->watcher);
}

void rig_free(struct rig *rig)
{
	for (unsigned int i = 0; i < rig->n_devs; i++)
		device_free(rig->dev[i].dev);
	mutex_done(&rig->set.lock);
	memset(rig, 0, sizeof(*rig));
}

void rig_open(struct rig_dev *rd)
{
	sched_expect(device_open(rd->dev) == 0, "open");
	sched_expect(device_attach(rd->dev, type1_domain(rd->rig->type1)) == 0,
		     "attach");
	rd->open = true;
	command(rd, true);
}

void rig_close(struct rig_dev *rd)
{
	rd->open = false;
	device_close(rd->dev);
}

#define ACTORS_MAX 8

void rig_race(const struct actor *actors, size_t n)
{
	struct thread threads[ACTORS_MAX];

	for (size_t i = 0; i < n; i++) {
		sched_expect(thread_start(&threads[i], actors[i].name,
					  actors[i].fn, actors[i].arg) == 0,
			     "no thread for %s", actors[i].name);
	}
	sched_race(true);
	for (size_t i = 0; i < n; i++)
		thread_join(&threads[i]);
	sched_race(false);
}

void linger(const char *what)
{
	for (unsigned int i = 0; i < 4; i++)
		sched_point(what);
	if (sched_random() % 2)
		sched_rest();
}

/* --- what is known about decode --- */

void gate_begin(struct rig_dev *rd)
{
	atomic_fetch_add(&rd->changing, 1);
	atomic_fetch_add(&rd->epoch, 1);
}

void gate_end(struct rig_dev *rd, int off)
{
	atomic_fetch_add(&rd->off, off);
	atomic_fetch_sub(&rd->changing, 1);
	atomic_fetch_add(&rd->epoch, 1);
}

struct gate_view gate_look(struct rig_dev *rd)
{
	return (struct gate_view){
		.epoch = atomic_load(&rd->epoch),
		.changing = atomic_load(&rd->changing),
		.off = atomic_load(&rd->off),
	};
}

void gate_check(struct rig_dev *rd, const struct gate_view *before, bool landed,
		const char *what)
{
	struct gate_view after = gate_look(rd);

	seen(landed ? SEEN_LANDED : SEEN_REFUSED);
	if (before->epoch != after.epoch || before->changing || after.changing)
		return;
	sched_expect(landed == (before->off <= 0),
		     "%s was %s while decode was %s all the time", what,
		     landed ? "done" : "refused",
		     before->off <= 0 ? "on" : "off");
}

void NO_TSA gate_check_quiet(struct rig_dev *rd)
{
	struct sv_dev *dev = rd->dev;

	rwlock_read(&dev->memory_lock);
	bool on = dev->in_use && config_memory_enabled(dev->config) &&
		  !atomic_load(&dev->low_power);

	sched_expect(dev->gate_open == on, "the gate is %s, decode is %s",
		     dev->gate_open ? "open" : "closed", on ? "on" : "off");
	for (unsigned int i = 0; i < SV_NUM_BARS; i++)
		sched_expect(!dev->bar[i].seen || dev->bar[i].closed == !on,
			     "BAR%u is %s, decode is %s", i,
			     dev->bar[i].closed ? "closed" : "open",
			     on ? "on" : "off");
	rwlock_unread(&dev->memory_lock);
}

void command(struct rig_dev *rd, bool memory)
{
	uint16_t val = PCI_COMMAND_MASTER | (memory ? PCI_COMMAND_MEMORY : 0);

	sched_point("request: COMMAND");
	sched_expect(device_write(rd->dev, CONFIG(PCI_COMMAND), &val, 2, 2) ==
			     2,
		     "COMMAND");
	sched_point("answer");
}

void power(struct rig_dev *rd, unsigned int state)
{
	uint16_t val = (uint16_t)state;

	sched_point("request: PMCSR");
	sched_expect(device_write(rd->dev, CONFIG(PM_CTRL), &val, 2, 2) == 2,
		     "PMCSR");
	sched_point("answer");
}

void flr(struct rig_dev *rd)
{
	uint16_t val = PCI_EXP_DEVCTL_BCR_FLR;

	sched_point("request: DEVCTL");
	sched_expect(device_write(rd->dev, CONFIG(EXP_DEVCTL), &val, 2, 2) == 2,
		     "DEVCTL");
	sched_point("answer");
}

void intx_disable(struct rig_dev *rd, bool disable)
{
	uint8_t val = disable ? PCI_COMMAND_INTX_DISABLE >> 8 : 0;

	sched_point("request: DisINTx");
	sched_expect(
		device_write(rd->dev, CONFIG(PCI_COMMAND + 1), &val, 1, 1) == 1,
		"DisINTx");
	sched_point("answer");
}

uint32_t rig_contents(struct rig_dev *rd, unsigned int bar, uint64_t off)
{
	rwlock_read(&rd->dev->memory_lock);
	uint32_t val =
		__atomic_load_n((uint32_t *)(sv_bar_memory(rd->dev, bar) + off),
				__ATOMIC_RELAXED);

	rwlock_unread(&rd->dev->memory_lock);
	return val;
}

struct sv_bar_id bar_id(const struct rig_dev *rd, unsigned int bar)
{
	const struct bar *b = &rd->dev->bar[bar];

	return (struct sv_bar_id){b->st_dev, b->st_ino};
}
