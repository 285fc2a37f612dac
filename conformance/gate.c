/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Closing and opening the memory gate, for the areas that look at both sides.
 */
#include <linux/pci_regs.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include "conformance/gate.h"
#include "conformance/type1.h"

/* COMMAND, in each size that reaches it */

static void command_close(const struct vfio *v)
{
	command(v->device, PCI_COMMAND_MEMORY, 0);
}

static void command_open(const struct vfio *v)
{
	command(v->device, 0, PCI_COMMAND_MEMORY);
}

static void resize_command(const struct vfio *v, unsigned int size, bool on)
{
	uint32_t val = cfg(v->device, PCI_COMMAND, size);

	val = on ? val | PCI_COMMAND_MEMORY : val & ~PCI_COMMAND_MEMORY;
	cfg_set(v->device, PCI_COMMAND, size, val);
}

static void byte_close(const struct vfio *v)
{
	resize_command(v, 1, false);
}

static void byte_open(const struct vfio *v)
{
	resize_command(v, 1, true);
}

static void dword_close(const struct vfio *v)
{
	resize_command(v, 4, false);
}

static void dword_open(const struct vfio *v)
{
	resize_command(v, 4, true);
}

/* All at once: nothing but what is wanted is left of COMMAND. */
static void zero_close(const struct vfio *v)
{
	cfg_set(v->device, PCI_COMMAND, 2, 0);
}

static void zero_open(const struct vfio *v)
{
	cfg_set(v->device, PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
}

/* Power */

static void power(const struct vfio *v, uint32_t state)
{
	unsigned int pm = cap_need(v->device, PCI_CAP_ID_PM) + PCI_PM_CTRL;

	cfg_set(v->device, pm, 2, state);
}

static void d3hot_close(const struct vfio *v)
{
	power(v, 3);
}

static void d3hot_open(const struct vfio *v)
{
	power(v, 0);
}

static void command_d3hot_close(const struct vfio *v)
{
	command_close(v);
	power(v, 3);
}

static void command_d3hot_open(const struct vfio *v)
{
	power(v, 0);
	command_open(v);
}

static void d3hot_command_open(const struct vfio *v)
{
	command_open(v);
	power(v, 0);
}

static void low_power_close(const struct vfio *v)
{
	need(device_feature(v->device,
			    VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY |
				    VFIO_DEVICE_FEATURE_SET,
			    NULL, 0),
	     "LOW_POWER_ENTRY");
	wait_suspended(v->function);
}

static void wakeup_close(const struct vfio *v)
{
	struct vfio_device_low_power_entry_with_wakeup w = {event_new(), 0};

	need(device_feature(v->device,
			    VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP |
				    VFIO_DEVICE_FEATURE_SET,
			    &w, sizeof(w)),
	     "LOW_POWER_ENTRY_WITH_WAKEUP");
	wait_suspended(v->function);
}

static void low_power_open(const struct vfio *v)
{
	need(device_feature(v->device,
			    VFIO_DEVICE_FEATURE_LOW_POWER_EXIT |
				    VFIO_DEVICE_FEATURE_SET,
			    NULL, 0),
	     "LOW_POWER_EXIT");
}

static void command_low_power_close(const struct vfio *v)
{
	command_close(v);
	low_power_close(v);
}

/* The write wakes the function; the mapping has to wait for the exit. */
static void command_low_power_open(const struct vfio *v)
{
	command_open(v);
	low_power_open(v);
}

const struct way ways_all[WAYS] = {
	{"command", false, command_close, command_open},
	{"command_byte", false, byte_close, byte_open},
	{"command_dword", false, dword_close, dword_open},
	{"command_zero", false, zero_close, zero_open},
	{"d3hot", true, d3hot_close, d3hot_open},
	{"command_d3hot", true, command_d3hot_close, command_d3hot_open},
	{"d3hot_command", true, command_d3hot_close, d3hot_command_open},
	{"low_power", false, low_power_close, low_power_open},
	{"wakeup", false, wakeup_close, low_power_open},
	{"command_low_power", false, command_low_power_close,
	 command_low_power_open},
};

bool way_suits(const struct way *way, const struct role *role)
{
	return !way->power || !strcmp(role->name, "nvme") ||
	       !strcmp(role->name, "nic");
}

uint64_t kept_at(const struct role *role)
{
	static const uint64_t at[ROLES] = {
		0x04,	/* edu: liveness, read back inverted */
		0x24,	/* nvme: AQA */
		0x1000, /* ram */
		0x5200, /* nic: the first of the multicast table */
	};

	return REGION(role->bar) + at[role - roles_all];
}

volatile uint32_t *kept_map(int device, const struct role *role)
{
	uint64_t at = kept_at(role);
	uint8_t *p = bar_map(device, at & ~(PAGE - 1), PAGE);

	return (void *)(p + (at & (PAGE - 1)));
}

void say_kept(const char *key, const struct role *role, uint32_t val)
{
	if (val == KEPT || val == ~KEPT)
		say("%s=kept", key);
	else if (!val || val == UINT32_MAX)
		say("%s=%s", key, val ? "ones" : "zero");
	else
		say("%s=%#x", key, val);
}

void gate_quiet(struct vfio *v)
{
	if (v->device < 0)
		return;
	unsigned int pm = cap_find(v->device, PCI_CAP_ID_PM);

	device_feature(v->device,
		       VFIO_DEVICE_FEATURE_LOW_POWER_EXIT |
			       VFIO_DEVICE_FEATURE_SET,
		       NULL, 0);
	if (pm)
		cfg_set(v->device, pm + PCI_PM_CTRL, 2, 0);
	dma_unmap_all(v->container);
	device_quiet(v->device);
	command(v->device, 0, PCI_COMMAND_IO);
}

void turns_new(int ends[2])
{
	need(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends),
	     "socketpair");
}

void turn_pass(int end)
{
	need(write(end, "", 1), "turn");
}

void turn_take(int end)
{
	char byte;

	need(read(end, &byte, 1) == 1 ? 0 : -1, "turn");
}

static struct {
	pthread_t thread;
	volatile uint8_t *at;
	atomic_uint faults;
	atomic_bool over;
} user;

static void count_fault(int sig)
{
	atomic_fetch_add(&user.faults, 1);
}

static void *loads(void *arg)
{
	while (!atomic_load(&user.over))
		(void)*(volatile uint32_t *)user.at;
	return NULL;
}

void user_start(volatile uint8_t *m)
{
	user.at = m;
	signal(SIGBUS, count_fault);
	signal(SIGSEGV, count_fault);
	errno = pthread_create(&user.thread, NULL, loads, NULL);
	need(errno ? -1 : 0, "a thread");
}

unsigned int user_end(void)
{
	atomic_store(&user.over, true);
	pthread_join(user.thread, NULL);
	return atomic_load(&user.faults);
}
