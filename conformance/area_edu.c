/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Real traffic on QEMU's edu: registers, interrupts, and DMA that hits and
 * misses. Its factorial and its DMA take their time on a real machine, so a
 * case waits for the interrupt that ends them.
 *
 * A transfer that leaves the device's own buffer is not asked for, nor one of
 * all of it: some versions of QEMU end their machine over either.
 */
#include <linux/pci_regs.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>

#include "conformance/edu.h"

struct vfio edu;

/* Registers */

static void identity(const void *arg)
{
	say("id=%#x", reg(REG_ID));
	reg_set(REG_ID, 0);
	say("written=%#x", reg(REG_ID));
}

static void liveness(const void *arg)
{
	const uint32_t *val = arg;

	reg_set(REG_LIVENESS, *val);
	say("read=%#x", reg(REG_LIVENESS));
}

static void liveness_mapped(const void *arg)
{
	volatile uint32_t *m = (void *)bar_map(edu.device, 0, PAGE);

	m[REG_LIVENESS / 4] = *(const uint32_t *)arg;
	say("read=%#x", m[REG_LIVENESS / 4]);
}

/* Without an interrupt: until the bit clears, for as long as it may take. */
static bool wait_clear(uint32_t at, uint32_t bit)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	for (time_t end = now.tv_sec + 5; now.tv_sec < end;) {
		if (!(reg(at) & bit))
			return true;
		clock_gettime(CLOCK_MONOTONIC, &now);
	}
	return false;
}

static void factorial(const void *arg)
{
	const uint32_t *n = arg;

	reg_set(REG_FACTORIAL, *n);
	say("done=%d", wait_clear(REG_STATUS, STATUS_COMPUTING));
	say("factorial=%#x", reg(REG_FACTORIAL));
}

static void factorial_irq(const void *arg)
{
	int event = event_new();

	say_step("set",
		 irq_trigger(edu.device, *(const uint32_t *)arg, 0, event));
	command(edu.device, 0, PCI_COMMAND_MASTER);
	reg_set(REG_STATUS, STATUS_IRQ);
	reg_set(REG_FACTORIAL, 6);
	say("events=%ld", event_wait(event));
	say("status=%#x", reg(REG_IRQ_STATUS));
	say("factorial=%u", reg(REG_FACTORIAL));
	reg_set(REG_ACK, IRQ_OF_FACTORIAL);
	say("status=%#x", reg(REG_IRQ_STATUS));
	reg_set(REG_STATUS, 0);
}

static void reset_state(const void *arg)
{
	reg_set(REG_LIVENESS, 1);
	reg_set(REG_FACTORIAL, 5);
	wait_clear(REG_STATUS, STATUS_COMPUTING);
	reg_set(REG_STATUS, STATUS_IRQ);
	say_step("reset", ioctl(edu.device, VFIO_DEVICE_RESET));
	say("status=%#x irq=%#x", reg(REG_STATUS), reg(REG_IRQ_STATUS));
}

/* INTx: a level that masks itself */

static long irq_none(const char *key, uint32_t action)
{
	return say_step(key, set_irqs(edu.device, IRQ_NONE | action, INTX, 0, 1,
				      NULL, 0));
}

static int intx_on(void)
{
	int event = event_new();

	need(irq_trigger(edu.device, INTX, 0, event), "INTx");
	return event;
}

static void intx_automask(const void *arg)
{
	int event = intx_on();

	reg_set(REG_RAISE, 1);
	say("first=%ld", event_wait(event));
	reg_set(REG_RAISE, 2);
	say("masked=%ld", event_none(event));
	irq_none("unmask", IRQ_UNMASK);
	say("still_up=%ld", event_wait(event));
	reg_set(REG_ACK, 3);
	irq_none("unmask", IRQ_UNMASK);
	say("down=%ld", event_none(event));
	reg_set(REG_RAISE, 4);
	say("again=%ld", event_wait(event));
	reg_set(REG_ACK, 4);
}

static void intx_mask(const void *arg)
{
	int event = intx_on();

	irq_none("mask", IRQ_MASK);
	reg_set(REG_RAISE, 1);
	say("masked=%ld", event_none(event));
	irq_none("unmask", IRQ_UNMASK);
	say("unmasked=%ld", event_wait(event));
	reg_set(REG_ACK, 1);
	irq_none("unmask", IRQ_UNMASK);
	irq_none("mask", IRQ_MASK);
	reg_set(REG_RAISE, 1);
	reg_set(REG_ACK, 1);
	irq_none("unmask", IRQ_UNMASK);
	say("went_by=%ld", event_none(event));
}

static long irq_bool(const char *key, uint32_t action, uint8_t val)
{
	return say_step(key, set_irqs(edu.device, IRQ_BOOL | action, INTX, 0, 1,
				      &val, sizeof(val)));
}

static void intx_mask_bool(const void *arg)
{
	int event = intx_on();

	irq_bool("mask0", IRQ_MASK, 0);
	irq_bool("mask1", IRQ_MASK, 1);
	reg_set(REG_RAISE, 4);
	say("masked=%ld", event_none(event));
	irq_bool("unmask0", IRQ_UNMASK, 0);
	say("masked=%ld", event_none(event));
	irq_bool("unmask1", IRQ_UNMASK, 1);
	say("unmasked=%ld", event_wait(event));
	reg_set(REG_ACK, 4);
}

static void intx_unmask_fd(const void *arg)
{
	int event = intx_on();
	int32_t unmask = event_new();
	int32_t minus = -1;
	const uint64_t one = 1;

	say_step("install", set_irqs(edu.device, IRQ_EVENTFD | IRQ_UNMASK, INTX,
				     0, 1, &unmask, sizeof(unmask)));
	reg_set(REG_RAISE, 1);
	say("first=%ld", event_wait(event));
	say_step("write", write(unmask, &one, sizeof(one)));
	say("still_up=%ld", event_wait(event));
	reg_set(REG_ACK, 1);
	say_step("write", write(unmask, &one, sizeof(one)));
	say("down=%ld", event_none(event));
	reg_set(REG_RAISE, 2);
	say("again=%ld", event_wait(event));
	say_step("remove", set_irqs(edu.device, IRQ_EVENTFD | IRQ_UNMASK, INTX,
				    0, 1, &minus, sizeof(minus)));
	say_step("write", write(unmask, &one, sizeof(one)));
	say("removed=%ld", event_none(event));
	reg_set(REG_ACK, 2);
}

/* Masked by the first, with the line still up */
static int intx_up(void)
{
	int event = intx_on();

	reg_set(REG_RAISE, 1);
	say("first=%ld", event_wait(event));
	return event;
}

static void unmask_by(int32_t unmask)
{
	say_step("install", set_irqs(edu.device, IRQ_EVENTFD | IRQ_UNMASK, INTX,
				     0, 1, &unmask, sizeof(unmask)));
}

/* One signal unmasks once, and takes one. */
static void intx_unmask_semaphore(const void *arg)
{
	int event = intx_up();
	int unmask = event_semaphore();

	unmask_by(unmask);
	for (uint64_t n = 3; n; n = n == 3) {
		say_step("write", write(unmask, &n, sizeof(n)));
		say("still_up=%ld", event_wait(event));
		say("more=%ld", event_none(event));
		say("left=%" PRIu64, event_left(unmask, 2));
	}
	reg_set(REG_ACK, 1);
}

/* Signalled before it was given: unmasks once, and takes nothing. */
static void unmask_before(int unmask, uint64_t then_left)
{
	int event = intx_up();
	uint64_t n = 3;

	say_step("write", write(unmask, &n, sizeof(n)));
	unmask_by(unmask);
	say("still_up=%ld", event_wait(event));
	say("more=%ld", event_none(event));
	say("left=%" PRIu64, event_left(unmask, 3));
	n = 1;
	say_step("write", write(unmask, &n, sizeof(n)));
	say("still_up=%ld", event_wait(event));
	say("more=%ld", event_none(event));
	say("left=%" PRIu64, event_left(unmask, then_left));
	reg_set(REG_ACK, 1);
}

static void intx_unmask_before(const void *arg)
{
	unmask_before(event_new(), 0);
}

static void intx_unmask_semaphore_before(const void *arg)
{
	unmask_before(event_semaphore(), 3);
}

/* What DisINTx masks stays masked, and the signal is taken. */
static void intx_unmask_disabled(const void *arg)
{
	int event = intx_up();
	int unmask = event_semaphore();
	const uint64_t n = 2;

	unmask_by(unmask);
	command(edu.device, 0, PCI_COMMAND_INTX_DISABLE);
	say_step("write", write(unmask, &n, sizeof(n)));
	say("left=%" PRIu64, event_left(unmask, 1));
	say("disabled=%ld", event_none(event));
	command(edu.device, PCI_COMMAND_INTX_DISABLE, 0);
	say("enabled=%ld", event_wait(event));
	reg_set(REG_ACK, 1);
}

static void intx_disable_bit(const void *arg)
{
	int event = intx_on();

	command(edu.device, 0, PCI_COMMAND_INTX_DISABLE);
	reg_set(REG_RAISE, 1);
	say("disabled=%ld", event_none(event));
	irq_none("unmask", IRQ_UNMASK);
	say("unmasked=%ld", event_none(event));
	command(edu.device, PCI_COMMAND_INTX_DISABLE, 0);
	say("enabled=%ld", event_wait(event));
	reg_set(REG_ACK, 1);
}

static void intx_enabled_late(const void *arg)
{
	int event = event_new();

	reg_set(REG_RAISE, 1);
	say_step("set", irq_trigger(edu.device, INTX, 0, event));
	say("pending=%ld", event_wait(event));
	reg_set(REG_ACK, 1);
}

static void intx_enabled_disabled(const void *arg)
{
	int event = event_new();

	command(edu.device, 0, PCI_COMMAND_INTX_DISABLE);
	say_step("set", irq_trigger(edu.device, INTX, 0, event));
	reg_set(REG_RAISE, 1);
	say("disabled=%ld", event_none(event));
	command(edu.device, PCI_COMMAND_INTX_DISABLE, 0);
	say("enabled=%ld", event_wait(event));
	reg_set(REG_ACK, 1);
}

static void intx_off(const void *arg)
{
	int event = intx_on();

	irq_off(edu.device, INTX);
	reg_set(REG_RAISE, 1);
	say("off=%ld", event_none(event));
	reg_set(REG_ACK, 1);
}

static void intx_swap(const void *arg)
{
	int event = intx_on();
	int other = event_new();

	reg_set(REG_RAISE, 1);
	say("first=%ld", event_wait(event));
	say_step("swap", irq_trigger(edu.device, INTX, 0, other));
	irq_none("unmask", IRQ_UNMASK);
	say("other=%ld first=%ld", event_wait(other), event_now(event));
	reg_set(REG_ACK, 1);
}

/* STATUS in config space shows the line, masked or not. */
static void intx_status(const void *arg)
{
	int event = intx_on();

	reg_set(REG_RAISE, 1);
	say("events=%ld", event_wait(event));
	say("up=%#x", cfg(edu.device, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT);
	reg_set(REG_ACK, 1);
	say("down=%#x", cfg(edu.device, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT);
}

/* MSI: a message, and so DMA */

int edu_msi_on(void)
{
	int event = event_new();

	need(irq_trigger(edu.device, MSI, 0, event), "MSI");
	return event;
}

static void msi(const void *arg)
{
	int event = edu_msi_on();

	command(edu.device, 0, PCI_COMMAND_MASTER);
	reg_set(REG_RAISE, 1);
	say("first=%ld", event_wait(event));
	reg_set(REG_RAISE, 2);
	say("second=%ld", event_wait(event));
	reg_set(REG_ACK, 3);
	say("status=%#x", reg(REG_IRQ_STATUS));
}

static void msi_without_master(const void *arg)
{
	int event = edu_msi_on();

	command(edu.device, PCI_COMMAND_MASTER, 0);
	reg_set(REG_RAISE, 1);
	say("off=%ld", event_none(event));
	command(edu.device, 0, PCI_COMMAND_MASTER);
	reg_set(REG_RAISE, 2);
	say("on=%ld", event_wait(event));
	reg_set(REG_ACK, 3);
}

static void msi_off(const void *arg)
{
	int event = edu_msi_on();

	command(edu.device, 0, PCI_COMMAND_MASTER);
	irq_off(edu.device, MSI);
	reg_set(REG_RAISE, 1);
	reg_set(REG_ACK, 1);
	say("off=%ld", event_none(event));
}

static void msi_removed(const void *arg)
{
	int event = edu_msi_on();

	command(edu.device, 0, PCI_COMMAND_MASTER);
	say_step("remove", irq_trigger(edu.device, MSI, 0, -1));
	reg_set(REG_RAISE, 1);
	say("removed=%ld", event_none(event));
	say_step("set", irq_trigger(edu.device, MSI, 0, event));
	reg_set(REG_RAISE, 2);
	say("set=%ld", event_wait(event));
	reg_set(REG_ACK, 3);
}

static void msi_after_reset(const void *arg)
{
	int event = edu_msi_on();

	command(edu.device, 0, PCI_COMMAND_MASTER);
	say_step("reset", ioctl(edu.device, VFIO_DEVICE_RESET));
	reg_set(REG_RAISE, 1);
	say("events=%ld", event_wait(event));
	reg_set(REG_ACK, 1);
}

static void msi_then_intx(const void *arg)
{
	int event = edu_msi_on();

	irq_off(edu.device, MSI);
	say_step("intx", irq_trigger(edu.device, INTX, 0, event));
	reg_set(REG_RAISE, 1);
	say("events=%ld", event_wait(event));
	reg_set(REG_ACK, 1);
}

static void after(void)
{
	if (edu.device < 0)
		return;
	dma_unmap_all(edu.container);
	device_quiet(edu.device);
}

static const struct {
	const char *name;
	case_fn *fn;
} cases[] = {
	{"identity", identity},
	{"reset", reset_state},
	{"intx.automask", intx_automask},
	{"intx.mask", intx_mask},
	{"intx.mask_bool", intx_mask_bool},
	{"intx.unmask_fd", intx_unmask_fd},
	{"intx.unmask_semaphore", intx_unmask_semaphore},
	{"intx.unmask_before", intx_unmask_before},
	{"intx.unmask_semaphore_before", intx_unmask_semaphore_before},
	{"intx.unmask_disabled", intx_unmask_disabled},
	{"intx.disable_bit", intx_disable_bit},
	{"intx.enabled_late", intx_enabled_late},
	{"intx.enabled_disabled", intx_enabled_disabled},
	{"intx.off", intx_off},
	{"intx.swap", intx_swap},
	{"intx.status", intx_status},
	{"msi.raise", msi},
	{"msi.without_master", msi_without_master},
	{"msi.off", msi_off},
	{"msi.removed", msi_removed},
	{"msi.after_reset", msi_after_reset},
	{"msi.then_intx", msi_then_intx},
};

static void each_value(void)
{
	static const uint32_t values[] = {0, 1, 0x12345678, UINT32_MAX};
	static const uint32_t numbers[] = {0, 1, 2, 5, 12, 13, 33, 34, 1000};
	static const uint32_t indices[] = {INTX, MSI};

	for (size_t i = 0; i < COUNT(values); i++) {
		run(liveness, &values[i], "liveness.%08x", values[i]);
		run(liveness_mapped, &values[i], "liveness_mapped.%08x",
		    values[i]);
	}
	for (size_t i = 0; i < COUNT(numbers); i++)
		run(factorial, &numbers[i], "factorial.%u", numbers[i]);
	for (size_t i = 0; i < COUNT(indices); i++)
		run(factorial_irq, &indices[i], "factorial.irq_%u", indices[i]);
}

void area_edu(void)
{
	run_after(after);
	fixture_open(&edu, "edu", 0, DEVICE, VFIO_TYPE1v2_IOMMU);
	each_value();
	for (size_t i = 0; i < COUNT(cases); i++)
		run(cases[i].fn, NULL, "%s", cases[i].name);
	edu_dma();
	fixture_close(&edu);
	edu_dma_by_itself();
}
