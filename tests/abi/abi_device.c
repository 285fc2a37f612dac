/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a device says about itself (GET_INFO, GET_REGION_INFO, GET_IRQ_INFO),
 * RESET, FEATURE with its low power states, and numbers it does not know.
 */
#include <poll.h>

#include "tests/abi/abi.h"

enum { INTX, MSI, MSIX, ERR, REQ };

static void check_info(const char *role, int d)
{
	static const struct sweep sweep = {"device_info", VFIO_DEVICE_GET_INFO,
					   16, 24, 0};
	struct vfio_device_info info = {.argsz = sizeof(info)};

	if (!strcmp(role, "edu"))
		argsz_rules(d, &sweep);
	want(R(ioctl(d, VFIO_DEVICE_GET_INFO, &info)), 0, "device_info: %s",
	     role);
	ok(info.flags & VFIO_DEVICE_FLAGS_PCI, "device_info: %s: PCI", role);
	want(info.flags & ~(VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET |
			    VFIO_DEVICE_FLAGS_CAPS),
	     0, "device_info: %s: nothing else", role);
	want(info.num_regions, 9, "device_info: %s: 9 regions", role);
	want(info.num_irqs, 5, "device_info: %s: 5 irqs", role);
	if (info.flags & VFIO_DEVICE_FLAGS_CAPS)
		return;
	want(info.argsz, sizeof(info), "device_info: %s: argsz is left alone",
	     role);
	want(info.cap_offset, 0, "device_info: %s: no capabilities", role);
}

static void check_bad_pointer(int d)
{
	struct vfio_device_info *cut = edge(16);

	cut->argsz = 24;
	want(R(ioctl(d, VFIO_DEVICE_GET_INFO, cut)), -EFAULT,
	     "device_info: memory shorter than argsz is EFAULT");
}

/* Regions */

static void check_region(const char *role, int d, uint32_t index)
{
	struct vfio_region_info info = {
		.argsz = 32, .index = index, .flags = ~0u};

	want(R(ioctl(d, VFIO_DEVICE_GET_REGION_INFO, &info)), 0,
	     "region_info: %s: region %u", role, index);
	want((long)info.offset, (long)REGION(index),
	     "region_info: %s: region %u: offset", role, index);
	if (!info.size)
		want(info.flags, 0, "region_info: %s: region %u: absent", role,
		     index);
	else
		ok(index == VFIO_PCI_CONFIG_REGION_INDEX ||
			   !(info.size & (info.size - 1)),
		   "region_info: %s: region %u: a power of two", role, index);
	if (!(info.flags & VFIO_REGION_INFO_FLAG_CAPS))
		want(info.cap_offset, 0,
		     "region_info: %s: region %u: no capabilities", role,
		     index);
}

static void check_regions(const char *role, int d)
{
	static const uint32_t bad[] = {VFIO_PCI_VGA_REGION_INDEX, 9, 10, 1000,
				       ~0u};

	for (uint32_t i = 0; i <= VFIO_PCI_CONFIG_REGION_INDEX; i++)
		check_region(role, d, i);
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct vfio_region_info info = {
			.argsz = sizeof(info), .flags = FILL, .index = bad[i]};

		want(R(ioctl(d, VFIO_DEVICE_GET_REGION_INFO, &info)), -EINVAL,
		     "region_info: %s: region %u is EINVAL", role, bad[i]);
		ok(info.flags == FILL && !info.size,
		   "region_info: %s: region %u: nothing written", role, bad[i]);
	}
	want(region_flags(d, VFIO_PCI_CONFIG_REGION_INDEX),
	     VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE,
	     "region_info: %s: config is read and write", role);
}

#define RWM                                                                    \
	(VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE |            \
	 VFIO_REGION_INFO_FLAG_MMAP)

/* Sizes of the functions the program is given. */
static void check_edu_regions(int d)
{
	static const struct sweep sweep = {
		"region_info", VFIO_DEVICE_GET_REGION_INFO, 32, 32, 0};

	argsz_rules(d, &sweep);
	want((long)region_size(d, 0), 1l << 20, "region_info: edu: 1 MiB");
	want(region_flags(d, 0), RWM, "region_info: edu: BAR 0 can be mapped");
	want((long)region_size(d, VFIO_PCI_CONFIG_REGION_INDEX), 256,
	     "region_info: edu: conventional config space");
	want((long)region_size(d, VFIO_PCI_ROM_REGION_INDEX), 0,
	     "region_info: edu: no ROM");
}

static void check_edu2_regions(int d)
{
	want(region_flags(d, 4),
	     VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE,
	     "region_info: edu2: an I/O BAR cannot be mapped");
	want((long)region_size(d, 4), 64, "region_info: edu2: I/O BAR");
	want(region_flags(d, VFIO_PCI_ROM_REGION_INDEX),
	     VFIO_REGION_INFO_FLAG_READ,
	     "region_info: edu2: the ROM can be read");
	want((long)region_size(d, VFIO_PCI_ROM_REGION_INDEX), 4096,
	     "region_info: edu2: ROM");
}

static int msix_bar(int d)
{
	unsigned int pos = find_cap(d, 0x11);

	return pos ? (int)(cfg(d, pos + 4, 4) & 7) : -1;
}

static void check_msix_cap(const char *role, int d)
{
	uint8_t buf[128];
	struct vfio_region_info *info = (void *)buf;
	const struct vfio_info_cap_header *cap = (void *)(buf + 32);

	for (uint32_t argsz = 32; argsz <= 40; argsz += argsz == 32 ? 7 : 1) {
		memset(buf, FILL, sizeof(buf));
		info->argsz = argsz;
		info->index = (uint32_t)msix_bar(d);
		want(R(ioctl(d, VFIO_DEVICE_GET_REGION_INFO, info)), 0,
		     "region_info: %s: MSI-X BAR, argsz %u", role, argsz);
		want(info->flags, RWM | VFIO_REGION_INFO_FLAG_CAPS,
		     "region_info: %s: MSI-X BAR has capabilities", role);
		want(info->argsz, 40, "region_info: %s: they need 40 bytes",
		     role);
		want(info->cap_offset, argsz < 40 ? 0 : 32,
		     "region_info: %s: argsz %u: cap_offset", role, argsz);
		ok(filled(buf + argsz, sizeof(buf) - argsz, FILL) &&
			   (argsz == 40 || filled(buf + 32, 96, FILL)),
		   "region_info: %s: argsz %u: nothing written behind", role,
		   argsz);
	}
	ok(cap->id == VFIO_REGION_INFO_CAP_MSIX_MAPPABLE && cap->version == 1 &&
		   !cap->next,
	   "region_info: %s: which is MSIX_MAPPABLE, alone", role);
}

/* Interrupts */

static void check_irq(const char *role, int d, uint32_t index, uint32_t flags,
		      uint32_t count)
{
	struct vfio_irq_info info = {.argsz = sizeof(info),
				     .flags = ~0u,
				     .index = index,
				     .count = ~0u};

	want(R(ioctl(d, VFIO_DEVICE_GET_IRQ_INFO, &info)), 0,
	     "irq_info: %s: irq %u", role, index);
	want(info.count, count, "irq_info: %s: irq %u: count", role, index);
	if (index == MSIX && !count)
		info.flags &= ~VFIO_IRQ_INFO_NORESIZE;
	want(info.flags, flags, "irq_info: %s: irq %u: flags", role, index);
	want(info.argsz, sizeof(info),
	     "irq_info: %s: irq %u: argsz is left alone", role, index);
}

static void check_irqs(const char *role, int d, uint32_t intx, uint32_t msi)
{
	static const uint32_t bad[] = {5, 6, ~0u};
	unsigned int msix_pos = find_cap(d, 0x11);

	if (!find_cap(d, 5))
		msi = 0;
	uint32_t msix = msix_pos ? (cfg(d, msix_pos + 2, 2) & 0x7ff) + 1 : 0;

	check_irq(role, d, INTX,
		  VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_MASKABLE |
			  VFIO_IRQ_INFO_AUTOMASKED,
		  intx);
	check_irq(role, d, MSI, VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_NORESIZE,
		  msi);
	/* vectors can be added while it is enabled */
	check_irq(role, d, MSIX, VFIO_IRQ_INFO_EVENTFD, msix);
	check_irq(role, d, REQ, VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_NORESIZE,
		  1);
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct vfio_irq_info info = {.argsz = sizeof(info),
					     .index = bad[i]};

		want(R(ioctl(d, VFIO_DEVICE_GET_IRQ_INFO, &info)), -EINVAL,
		     "irq_info: %s: irq %u is EINVAL", role, bad[i]);
	}
	if (find_cap(d, 0x10)) {
		check_irq(role, d, ERR,
			  VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_NORESIZE, 1);
		return;
	}
	struct vfio_irq_info info = {.argsz = sizeof(info), .index = ERR};

	want(R(ioctl(d, VFIO_DEVICE_GET_IRQ_INFO, &info)), -EINVAL,
	     "irq_info: %s: ERR without PCI Express is EINVAL", role);
}

static void check_unknown(int d)
{
	static const unsigned long cmds[] = {
		VFIO_GET_API_VERSION,
		VFIO_CHECK_EXTENSION,
		VFIO_SET_IOMMU,
		VFIO_GROUP_GET_STATUS,
		VFIO_GROUP_SET_CONTAINER,
		VFIO_GROUP_UNSET_CONTAINER,
		VFIO_GROUP_GET_DEVICE_FD,
		VFIO_IO(14),
		VFIO_IO(15),
		VFIO_IO(50),
		_IO('z', 1),
	};

	for (size_t i = 0; i < COUNT(cmds); i++)
		want(R(ioctl(d, cmds[i], NULL)), -ENOTTY,
		     "device: ioctl %#lx is ENOTTY", cmds[i]);
}

static void check_file(int d)
{
	struct pollfd p = {.fd = d, .events = POLLIN | POLLOUT};

	want(R(lseek(d, 0, SEEK_SET)), -ESPIPE, "device: lseek is ESPIPE");
	want(poll(&p, 1, 0), 1, "device: poll returns at once");
	want(p.revents, POLLIN | POLLOUT, "device: poll says IN and OUT");
}

static bool resettable(int d)
{
	struct vfio_device_info info = {.argsz = sizeof(info)};

	ioctl(d, VFIO_DEVICE_GET_INFO, &info);
	return info.flags & VFIO_DEVICE_FLAGS_RESET;
}

static void check_reset(int d)
{
	if (!resettable(d)) {
		want(R(ioctl(d, VFIO_DEVICE_RESET)), -EINVAL,
		     "reset: not announced is EINVAL");
		return;
	}
	uint8_t *bar = mmap(NULL, PAGE, RW, MAP_SHARED, d, (off_t)BAR0);

	set_command(d, 0, 4 | 2);
	cfg_set(d, 0x10, 4, 0xabc00000);
	want(R(ioctl(d, VFIO_DEVICE_RESET)), 0, "reset: announced");
	want(R(ioctl(d, VFIO_DEVICE_RESET, nowhere())), 0,
	     "reset: ignores its argument");
	want(cfg(d, 4, 2) & 6, 6, "reset: COMMAND is as before");
	want(cfg(d, 0x10, 4), 0xabc00000, "reset: BARs are as before");
	want(rd32(d, BAR0 + EDU_ID), EDU_ID_VALUE, "reset: the BAR works");
	ok(!touch(bar, false).signal &&
		   *(volatile uint32_t *)bar == EDU_ID_VALUE,
	   "reset: a mapping made before works");
	set_command(d, 2, 0);
	want(R(ioctl(d, VFIO_DEVICE_RESET)), 0,
	     "reset: works with memory disabled");
	want(cfg(d, 4, 2) & 2, 0, "reset: does not enable memory");
	want(touch(bar, false).signal, SIGBUS,
	     "reset: memory is still disabled");
	set_command(d, 0, 2);
	munmap(bar, PAGE);
}

static void check_function(const char *role, uint32_t intx, uint32_t msi)
{
	struct vfio v;

	if (!have(role))
		return;
	vfio_open(&v, role);
	check_info(role, v.device);
	check_regions(role, v.device);
	check_irqs(role, v.device, intx, msi);
	if (msix_bar(v.device) >= 0)
		check_msix_cap(role, v.device);
	vfio_close(&v);
}

void test_device(void)
{
	static const struct sweep irq = {"irq_info", VFIO_DEVICE_GET_IRQ_INFO,
					 16, 16, 0};
	struct vfio v;

	check_function("edu", 1, 1);
	check_function("edu2", 1, 8);
	check_function("nvme", 1, 1);
	check_function("ram", 0, 0);
	if (!function("edu"))
		return;
	vfio_open(&v, "edu");
	check_bad_pointer(v.device);
	check_edu_regions(v.device);
	argsz_rules(v.device, &irq);
	check_unknown(v.device);
	check_file(v.device);
	check_reset(v.device);
	vfio_close(&v);
	if (!function("edu2"))
		return;
	vfio_open(&v, "edu2");
	check_edu2_regions(v.device);
	vfio_close(&v);
}

/* FEATURE */

#define GET   VFIO_DEVICE_FEATURE_GET
#define SET   VFIO_DEVICE_FEATURE_SET
#define PROBE VFIO_DEVICE_FEATURE_PROBE
#define ENTRY VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY
#define WAKE  VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP
#define EXIT  VFIO_DEVICE_FEATURE_LOW_POWER_EXIT

static long feature(int d, uint32_t flags, const void *data, size_t len)
{
	uint8_t buf[64] = {0};
	struct vfio_device_feature *f = (void *)buf;

	f->argsz = (uint32_t)(sizeof(*f) + len);
	f->flags = flags;
	if (len)
		memcpy(f->data, data, len);
	return R(ioctl(d, VFIO_DEVICE_FEATURE, f));
}

static void check_feature_head(int d)
{
	struct vfio_device_feature f = {.argsz = 7, .flags = EXIT | SET};

	want(R(ioctl(d, VFIO_DEVICE_FEATURE, NULL)), -EFAULT,
	     "feature: NULL is EFAULT");
	want(R(ioctl(d, VFIO_DEVICE_FEATURE, edge(7))), -EFAULT,
	     "feature: memory that ends early is EFAULT");
	want(R(ioctl(d, VFIO_DEVICE_FEATURE, &f)), -EINVAL,
	     "feature: argsz 7 is EINVAL");
	f.argsz = 0;
	want(R(ioctl(d, VFIO_DEVICE_FEATURE, &f)), -EINVAL,
	     "feature: argsz 0 is EINVAL");
	for (unsigned int bit = 19; bit < 32; bit++)
		want(feature(d, EXIT | SET | 1u << bit, NULL, 0), -EINVAL,
		     "feature: unknown flag %#x is EINVAL", 1u << bit);
	want(feature(d, EXIT | GET | SET, NULL, 0), -EINVAL,
	     "feature: GET and SET is EINVAL");
	want(feature(d, 0xffff | GET | SET, NULL, 0), -EINVAL,
	     "feature: GET and SET of an unknown one is EINVAL");
}

static void check_feature_unknown(int d)
{
	static const struct {
		const char *name;
		uint32_t id;
	} ids[] = {{"VF_TOKEN", 0},
		   {"MIGRATION", 1},
		   {"BUS_MASTER", 10},
		   {"number 999", 999},
		   {"number 65535", 65535}};

	for (size_t i = 0; i < COUNT(ids); i++) {
		want(feature(d, ids[i].id | GET, NULL, 0), -ENOTTY,
		     "feature: GET of %s is ENOTTY", ids[i].name);
		want(feature(d, ids[i].id | SET, NULL, 0), -ENOTTY,
		     "feature: SET of %s is ENOTTY", ids[i].name);
		want(feature(d, ids[i].id | GET | PROBE, NULL, 0), -ENOTTY,
		     "feature: PROBE of %s is ENOTTY", ids[i].name);
	}
}

static void check_low_power_ops(int d)
{
	static const uint32_t ids[] = {ENTRY, WAKE, EXIT};

	for (size_t i = 0; i < COUNT(ids); i++) {
		want(feature(d, ids[i] | SET | PROBE, NULL, 0), 0,
		     "feature: PROBE of SET of %u", ids[i]);
		want(feature(d, ids[i] | PROBE, NULL, 0), 0,
		     "feature: PROBE of %u", ids[i]);
		want(feature(d, ids[i] | GET | PROBE, NULL, 0), -EINVAL,
		     "feature: PROBE of GET of %u is EINVAL", ids[i]);
		want(feature(d, ids[i] | GET | SET | PROBE, NULL, 0), -EINVAL,
		     "feature: PROBE of GET and SET of %u is EINVAL", ids[i]);
		want(feature(d, ids[i] | GET, NULL, 0), -EINVAL,
		     "feature: GET of %u is EINVAL", ids[i]);
		want(feature(d, ids[i], NULL, 0), -EINVAL,
		     "feature: neither GET nor SET of %u is EINVAL", ids[i]);
	}
}

static void check_low_power(int d)
{
	uint8_t *bar = mmap(NULL, PAGE, RW, MAP_SHARED, d, (off_t)BAR0);

	want(feature(d, EXIT | SET, NULL, 0), 0,
	     "low_power: EXIT without ENTRY");
	want(feature(d, ENTRY | SET, NULL, 0), 0, "low_power: ENTRY");
	want(touch(bar, false).signal, SIGBUS,
	     "low_power: a mapping is SIGBUS");
	want(cfg(d, 0, 2), 0x1234, "low_power: config can be read");
	want(feature(d, ENTRY | SET, NULL, 0), -EINVAL,
	     "low_power: ENTRY twice is EINVAL");
	want(feature(d, EXIT | SET, NULL, 0), 0, "low_power: EXIT");
	want(feature(d, EXIT | SET, NULL, 0), 0, "low_power: EXIT twice");
	want(touch(bar, false).signal, 0,
	     "low_power: the mapping works after EXIT");
	munmap(bar, PAGE);
}

static void check_wakeup(int d)
{
	struct vfio_device_low_power_entry_with_wakeup w = {-1, 0};
	int event = event_fd();

	want(feature(d, WAKE | SET, &w, 4), -EINVAL,
	     "low_power: WITH_WAKEUP and a short payload is EINVAL");
	want(feature(d, WAKE | SET, &w, sizeof(w)), -EINVAL,
	     "low_power: WITH_WAKEUP of fd -1 is EINVAL");
	w.wakeup_eventfd = event;
	want(feature(d, WAKE | SET, &w, sizeof(w)), 0,
	     "low_power: WITH_WAKEUP");
	cfg(d, 0, 2);
	want(events(event), 1, "low_power: an access wakes it up");
	want(feature(d, ENTRY | SET, NULL, 0), 0,
	     "low_power: which has ended low power");
	feature(d, EXIT | SET, NULL, 0);
	close(event);
}

void test_feature(void)
{
	struct vfio v;

	if (!have("edu"))
		return;
	vfio_open(&v, "edu");
	check_feature_head(v.device);
	check_feature_unknown(v.device);
	check_low_power_ops(v.device);
	check_low_power(v.device);
	check_wakeup(v.device);
	vfio_close(&v);
}
