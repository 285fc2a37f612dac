/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Shorthands for what the areas about an open device do all the time. What
 * they are not about is expected to work: when it does not, the case is over.
 */
#include <linux/pci_regs.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>

#include "conformance/device.h"

#define EVENT_MS 2000 /* for what should come */
#define NONE_MS	 40   /* for what should not */

const struct role roles_all[ROLES] = {
	{"edu", 0},
	{"nvme", 0},
	{"ram", 2},
	{"nic", 0},
};

/* Configuration space */

uint32_t cfg(int device, unsigned int pos, unsigned int size)
{
	uint32_t val = 0;

	need(pread(device, &val, size, (off_t)(CONFIG + pos)), "config read");
	return val;
}

void cfg_set(int device, unsigned int pos, unsigned int size, uint32_t val)
{
	need(pwrite(device, &val, size, (off_t)(CONFIG + pos)), "config write");
}

void command(int device, uint16_t clear, uint16_t set)
{
	uint32_t old = cfg(device, PCI_COMMAND, 2);

	cfg_set(device, PCI_COMMAND, 2, (old & ~(uint32_t)clear) | set);
}

unsigned int cap_find(int device, uint8_t id)
{
	unsigned int pos = cfg(device, PCI_CAPABILITY_LIST, 1) & 0xfc;

	for (int i = 0; pos && i < 48; i++) {
		if (cfg(device, pos, 1) == id)
			return pos;
		pos = cfg(device, pos + 1, 1) & 0xfc;
	}
	return 0;
}

unsigned int ecap_find(int device, uint16_t id)
{
	unsigned int pos = PCI_CFG_SPACE_SIZE;

	if (region_size(device, VFIO_PCI_CONFIG_REGION_INDEX) <= pos)
		return 0;
	for (int i = 0; pos && i < 96; i++) {
		uint32_t head = cfg(device, pos, 4);

		if (PCI_EXT_CAP_ID(head) == id)
			return pos;
		pos = PCI_EXT_CAP_NEXT(head);
	}
	return 0;
}

unsigned int cap_need(int device, uint8_t id)
{
	unsigned int pos = cap_find(device, id);

	if (!pos)
		skip("no such capability");
	return pos;
}

static struct vfio_region_info region_info(int device, uint32_t index)
{
	struct vfio_region_info info = {.argsz = sizeof(info), .index = index};

	need(ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &info), "REGION_INFO");
	return info;
}

uint64_t region_size(int device, uint32_t index)
{
	return region_info(device, index).size;
}

uint32_t region_flags(int device, uint32_t index)
{
	return region_info(device, index).flags;
}

uint32_t irq_count(int device, uint32_t index)
{
	struct vfio_irq_info info = {.argsz = sizeof(info), .index = index};

	need(ioctl(device, VFIO_DEVICE_GET_IRQ_INFO, &info), "IRQ_INFO");
	return info.count;
}

uint32_t rd32(int device, uint64_t pos)
{
	uint32_t val = 0;

	need(pread(device, &val, sizeof(val), (off_t)pos), "register read");
	return val;
}

void wr32(int device, uint64_t pos, uint32_t val)
{
	need(pwrite(device, &val, sizeof(val), (off_t)pos), "register write");
}

/* Interrupts */

int set_irqs(int device, uint32_t flags, uint32_t index, uint32_t start,
	     uint32_t count, const void *data, size_t size)
{
	struct vfio_irq_set *set = calloc(1, sizeof(*set) + size);

	need(set ? 0 : -1, "memory");
	*set = (struct vfio_irq_set){
		.argsz = (uint32_t)(sizeof(*set) + size),
		.flags = flags,
		.index = index,
		.start = start,
		.count = count,
	};
	if (size)
		memcpy(set->data, data, size);
	int ret = ioctl(device, VFIO_DEVICE_SET_IRQS, set);
	int err = errno;

	free(set);
	errno = err;
	return ret;
}

int irq_trigger(int device, uint32_t index, uint32_t start, int fd)
{
	int32_t data = fd;

	return set_irqs(device, IRQ_EVENTFD | IRQ_TRIGGER, index, start, 1,
			&data, sizeof(data));
}

void irq_off(int device, uint32_t index)
{
	set_irqs(device, IRQ_NONE | IRQ_TRIGGER, index, 0, 0, NULL, 0);
}

void device_quiet(int device)
{
	const uint16_t at_open = PCI_COMMAND_MEMORY;
	const uint16_t changed =
		PCI_COMMAND_MASTER | PCI_COMMAND_INTX_DISABLE | at_open;
	uint16_t val = 0;

	for (uint32_t index = INTX; index <= REQ; index++)
		irq_off(device, index);
	if (pread(device, &val, 2, CONFIG + PCI_COMMAND) != 2 ||
	    (val & changed) == at_open)
		return;
	val = (uint16_t)((val & ~changed) | at_open);
	if (pwrite(device, &val, 2, CONFIG + PCI_COMMAND) != 2)
		return;
}

/* Low power */

int device_feature(int device, uint32_t flags, const void *data, size_t size)
{
	uint8_t buf[256] = {0};
	struct vfio_device_feature *f = (void *)buf;

	f->argsz = (uint32_t)(sizeof(*f) + size);
	f->flags = flags;
	if (size)
		memcpy(f->data, data, size);
	return ioctl(device, VFIO_DEVICE_FEATURE, f);
}

/*
 * The kernel suspends a function some time after the ioctl; its sysfs file
 * tells, and can't be waited for. Without the file (and without a driver that
 * suspends) there is nothing to wait for.
 */
void wait_suspended(const struct function *f)
{
	char path[128];
	char text[32] = {0};
	struct timespec now;
	time_t end;

	snprintf(path, sizeof(path),
		 "/sys/bus/pci/devices/%s/power/runtime_status", f->bdf);
	clock_gettime(CLOCK_MONOTONIC, &now);
	end = now.tv_sec + 3;
	while (now.tv_sec < end) {
		int fd = open(path, O_RDONLY | O_CLOEXEC);

		if (fd < 0)
			return;
		ssize_t n = read(fd, text, sizeof(text) - 1);

		close(fd);
		if (n > 0 && !strncmp(text, "suspended", 9))
			return;
		clock_gettime(CLOCK_MONOTONIC, &now);
	}
}

int event_new(void)
{
	return (int)need(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), "eventfd");
}

static long event_take(int fd, int ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	uint64_t n = 0;

	poll(&p, 1, ms);
	return read(fd, &n, sizeof(n)) == sizeof(n) ? (long)n : 0;
}

long event_wait(int fd)
{
	return event_take(fd, EVENT_MS);
}

long event_now(int fd)
{
	return event_take(fd, 0);
}

long event_none(int fd)
{
	return event_take(fd, NONE_MS);
}

int event_semaphore(void)
{
	return (int)need(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC | EFD_SEMAPHORE),
			 "eventfd");
}

/* The host tells it in hexadecimal. */
static uint64_t event_counter(int fd)
{
	static const char key[] = "eventfd-count:";
	char path[32], text[512];

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	int info = (int)need(open(path, O_RDONLY | O_CLOEXEC), path);
	ssize_t n = need(read(info, text, sizeof(text) - 1), path);

	close(info);
	text[n] = '\0';
	const char *at = strstr(text, key);

	return at ? strtoull(at + strlen(key), NULL, 16) : 0;
}

uint64_t event_left(int fd, uint64_t want)
{
	for (int i = 0; i < EVENT_MS && event_counter(fd) != want; i++)
		poll(NULL, 0, 1);
	return event_counter(fd);
}

/* Memory of a BAR */

uint8_t *bar_map(int device, uint64_t pos, size_t size)
{
	void *p = mmap(NULL, size, RW, MAP_SHARED, device, (off_t)pos);

	need(p == MAP_FAILED ? -1 : 0, "mmap of a BAR");
	return p;
}

static sigjmp_buf touch_back;
static siginfo_t touch_info;

static void on_fault(int sig, siginfo_t *info, void *context)
{
	touch_info = *info;
	siglongjmp(touch_back, 1);
}

/* The program may not know si_code by name: they are small numbers. */
static const char *fault_code(const siginfo_t *info)
{
	static char number[16];

	if (info->si_signo == SIGBUS && info->si_code == BUS_ADRERR)
		return "BUS_ADRERR";
	if (info->si_signo == SIGSEGV && info->si_code == SEGV_ACCERR)
		return "SEGV_ACCERR";
	if (info->si_signo == SIGSEGV && info->si_code == SEGV_MAPERR)
		return "SEGV_MAPERR";
	snprintf(number, sizeof(number), "%d", info->si_code);
	return number;
}

void say_touch(const char *key, volatile void *addr, bool write)
{
	struct sigaction act = {
		.sa_sigaction = on_fault,
		.sa_flags = SA_SIGINFO,
	};
	volatile uint32_t *word = addr;

	memset(&touch_info, 0, sizeof(touch_info));
	sigaction(SIGBUS, &act, NULL);
	sigaction(SIGSEGV, &act, NULL);
	if (!sigsetjmp(touch_back, 1)) {
		if (write)
			*word = 0x12345678;
		else
			(void)*word;
	}
	signal(SIGBUS, SIG_DFL);
	signal(SIGSEGV, SIG_DFL);
	say_signal(key, touch_info.si_signo);
	if (touch_info.si_signo)
		say("%s_code=%s %s_at=%td", key, fault_code(&touch_info), key,
		    (uint8_t *)touch_info.si_addr - (uint8_t *)addr);
}
