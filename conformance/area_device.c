/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a device file says about itself (GET_INFO, GET_REGION_INFO,
 * GET_IRQ_INFO), RESET, numbers it does not know, and the calls made of
 * another file than a device.
 */
#include <linux/pci_regs.h>
#include <poll.h>
#include <stdio.h>

#include "conformance/device.h"

static struct vfio v;

/* GET_INFO and friends: the same questions to each */

static const struct vfio_device_info device_info = {.argsz = 24};
static const struct vfio_region_info region_info = {.argsz = 32};
static const struct vfio_irq_info irq_info = {.argsz = 16};
static struct vfio_region_info msix_info = {.argsz = 40};

static const struct request requests[] = {
	{"info", &v.device, VFIO_DEVICE_GET_INFO, &device_info, 24, 16, NULL},
	{"region_info", &v.device, VFIO_DEVICE_GET_REGION_INFO, &region_info,
	 32, 32, NULL},
	{"irq_info", &v.device, VFIO_DEVICE_GET_IRQ_INFO, &irq_info, 16, 16,
	 NULL},
};
static const struct request msix_request = {
	"msix_region_info",
	&v.device,
	VFIO_DEVICE_GET_REGION_INFO,
	&msix_info,
	32,
	32,
	NULL,
};

static void each_sweep(void)
{
	for (size_t i = 0; i < COUNT(requests); i++) {
		sweep_argsz(&requests[i]);
		sweep_flags(&requests[i]);
		sweep_pointers(&requests[i]);
	}
}

/* The region with the MSI-X table has a capability behind its structure. */
static void msix_sweep(void)
{
	if (v.device >= 0 && cap_find(v.device, PCI_CAP_ID_MSIX))
		msix_info.index = cfg(v.device,
				      cap_find(v.device, PCI_CAP_ID_MSIX) +
					      PCI_MSIX_TABLE,
				      4) &
				  PCI_MSIX_TABLE_BIR;
	sweep_argsz(&msix_request);
	sweep_pointers(&msix_request);
}

/* A chain of capabilities, each with its version and size */

static void say_caps(const uint8_t *info, size_t size, uint32_t offset)
{
	struct vfio_info_cap_header cap;

	for (int i = 0; offset && i < 16; i++, offset = cap.next) {
		if (offset > size - sizeof(cap)) {
			say("cap_outside=%#x", offset);
			return;
		}
		memcpy(&cap, info + offset, sizeof(cap));
		say("cap=%u v=%u at=%u next=%u", cap.id, cap.version, offset,
		    cap.next);
	}
}

static void info_caps(const void *arg)
{
	uint8_t buf[512];
	struct vfio_device_info *info = (void *)buf;

	memset(buf, FILL, sizeof(buf));
	info->argsz = sizeof(buf);
	if (say_ret(ioctl(v.device, VFIO_DEVICE_GET_INFO, info)))
		return;
	say("argsz=%u flags=%#x regions=%u irqs=%u", info->argsz, info->flags,
	    info->num_regions, info->num_irqs);
	if (info->flags & VFIO_DEVICE_FLAGS_CAPS)
		say_caps(buf, sizeof(buf), info->cap_offset);
}

/* argsz as a program grows it: what the call itself asked for. */
static void info_grown(const void *arg)
{
	uint8_t buf[512] = {0};
	struct vfio_device_info *info = (void *)buf;

	info->argsz = 16;
	say_step("first", ioctl(v.device, VFIO_DEVICE_GET_INFO, info));
	say("argsz=%u", info->argsz);
	say_step("second", ioctl(v.device, VFIO_DEVICE_GET_INFO, info));
	say("argsz=%u", info->argsz);
}

static const uint32_t indices[] = {
	0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 1000, 65536, INT32_MAX, UINT32_MAX};

static void region(const void *arg)
{
	uint8_t buf[512];
	struct vfio_region_info *info = (void *)buf;

	memset(buf, FILL, sizeof(buf));
	info->argsz = sizeof(buf);
	info->index = *(const uint32_t *)arg;
	if (say_ret(ioctl(v.device, VFIO_DEVICE_GET_REGION_INFO, info)))
		return;
	say("flags=%#x size=%#" PRIx64 " offset=%#" PRIx64, info->flags,
	    info->size, info->offset);
	if (info->flags & VFIO_REGION_INFO_FLAG_CAPS)
		say_caps(buf, sizeof(buf), info->cap_offset);
	else
		say("cap_offset=%#x", info->cap_offset);
}

static void irq(const void *arg)
{
	struct vfio_irq_info info = {
		.argsz = sizeof(info),
		.flags = FILL,
		.index = *(const uint32_t *)arg,
		.count = FILL,
	};

	say_ret(ioctl(v.device, VFIO_DEVICE_GET_IRQ_INFO, &info));
	say("flags=%#x count=%u", info.flags, info.count);
}

static void each_index(const char *role)
{
	run(info_caps, NULL, "%s.info", role);
	run(info_grown, NULL, "%s.info_grown", role);
	for (size_t i = 0; i < COUNT(indices); i++)
		run(region, &indices[i], "%s.region.%u", role, indices[i]);
	for (size_t i = 0; i < COUNT(indices); i++)
		run(irq, &indices[i], "%s.irq.%u", role, indices[i]);
}

/* Numbers */

struct number {
	unsigned long cmd;
	bool nowhere;
};

static void number(const void *arg)
{
	const struct number *n = arg;

	say_ret(ioctl(v.device, n->cmd, n->nowhere ? nowhere() : NULL));
}

static void each_number(void)
{
	static const struct {
		const char *name;
		unsigned long cmd;
	} odd[] = {
		{"zero", 0},
		{"foreign", _IO('z', 107)},
		{"sized_in", _IOW(';', 107, int)},
		{"sized_out", _IOR(';', 107, int)},
		{"sized_both", _IOWR(';', 107, uint64_t)},
		{"iommufd", _IO(';', 0x80)},
		{"unknown", _IO(';', 150)},
		{"all", UINT32_MAX},
	};

	for (unsigned int nr = 0; nr <= 30; nr++) {
		struct number n = {VFIO_IO(nr), false};

		if (n.cmd == VFIO_DEVICE_RESET)
			continue;
		run(number, &n, "number.%u.null", 100 + nr);
		n.nowhere = true;
		run(number, &n, "number.%u.nowhere", 100 + nr);
	}
	for (size_t i = 0; i < COUNT(odd); i++)
		run(number, &(struct number){odd[i].cmd, false}, "number.%s",
		    odd[i].name);
}

/* Another file in place of the device's */

static int kind_group(void)
{
	return v.group;
}

static int kind_attached(void)
{
	return v.container;
}

static int kind_dup(void)
{
	return fcntl(v.device, F_DUPFD_CLOEXEC, 100);
}

static const struct foreign_fd own_fds[] = {
	{"group", kind_group},
	{"attached", kind_attached},
	{"dup", kind_dup},
	{NULL, NULL},
};

static const struct {
	const char *name;
	unsigned long cmd;
	uint32_t size;
} calls[] = {
	{"info", VFIO_DEVICE_GET_INFO, 24},
	{"region_info", VFIO_DEVICE_GET_REGION_INFO, 32},
	{"irq_info", VFIO_DEVICE_GET_IRQ_INFO, 16},
	{"set_irqs", VFIO_DEVICE_SET_IRQS, 20},
	{"feature", VFIO_DEVICE_FEATURE, 8},
};

struct of_kind {
	const struct foreign_fd *kind;
	size_t call;
};

static void of_kind(const void *arg)
{
	const struct of_kind *k = arg;
	uint32_t buf[64] = {calls[k->call].size};
	int fd = k->kind->make();

	say_ret(ioctl(fd, calls[k->call].cmd, buf));
}

static void each_kind(const struct foreign_fd *kind)
{
	for (; kind->name; kind++)
		for (size_t call = 0; call < COUNT(calls); call++)
			run(of_kind, &(struct of_kind){kind, call},
			    "kind.%s.%s", kind->name, calls[call].name);
}

/* The file */

static void file_poll(const void *arg)
{
	struct pollfd p = {.fd = v.device, .events = *(const short *)arg};

	say_ret(poll(&p, 1, 0));
	say("revents=%#x", p.revents);
}

static void file_seek(const void *arg)
{
	say_ret(lseek(v.device, 4096, *(const int *)arg));
}

static void file_link(const void *arg)
{
	char path[64];
	char link[64] = {0};

	snprintf(path, sizeof(path), "/proc/self/fd/%d", v.device);
	say_ret(readlink(path, link, sizeof(link) - 1));
	say("link=%s", link);
}

static void file_flags(const void *arg)
{
	say("fd_flags=%#x", (unsigned int)fcntl(v.device, F_GETFD));
	say("access=%#x", (unsigned int)fcntl(v.device, F_GETFL) & O_ACCMODE);
}

static void file_directory(const void *arg)
{
	say_step("fchdir", fchdir(v.device));
	say_step("openat", openat(v.device, "x", O_RDONLY | O_CLOEXEC));
}

static void each_file(void)
{
	static const short polled[] = {POLLIN, POLLOUT, POLLIN | POLLOUT,
				       POLLPRI, 0};
	static const int whence[] = {SEEK_SET,	SEEK_CUR,  SEEK_END,
				     SEEK_DATA, SEEK_HOLE, 99};

	for (size_t i = 0; i < COUNT(polled); i++)
		run(file_poll, &polled[i], "file.poll.%#x", polled[i]);
	for (size_t i = 0; i < COUNT(whence); i++)
		run(file_seek, &whence[i], "file.lseek.%d", whence[i]);
	sweep_file("of", &v.device);
	run(file_link, NULL, "file.link");
	run(file_flags, NULL, "file.flags");
	run(file_directory, NULL, "file.directory");
}

/* RESET */

static void reset(void)
{
	say_step("reset", ioctl(v.device, VFIO_DEVICE_RESET));
}

static void reset_plain(const void *arg)
{
	say_ret(ioctl(v.device, VFIO_DEVICE_RESET));
}

static void reset_argument(const void *arg)
{
	say_ret(ioctl(v.device, VFIO_DEVICE_RESET, nowhere()));
}

/* What a program has set in configuration space survives. */
static void reset_config(const void *arg)
{
	const uint16_t set = PCI_COMMAND_MASTER | PCI_COMMAND_MEMORY |
			     PCI_COMMAND_INTX_DISABLE;
	uint32_t bar = cfg(v.device, PCI_BASE_ADDRESS_0, 4);

	command(v.device, 0, set);
	cfg_set(v.device, PCI_BASE_ADDRESS_0, 4, ~0u);
	cfg_set(v.device, PCI_INTERRUPT_LINE, 1, 0x5a);
	uint32_t mask = cfg(v.device, PCI_BASE_ADDRESS_0, 4);

	reset();
	say("command=%#x", cfg(v.device, PCI_COMMAND, 2) & set);
	say("bar_kept=%d", cfg(v.device, PCI_BASE_ADDRESS_0, 4) == mask);
	say("line=%#x", cfg(v.device, PCI_INTERRUPT_LINE, 1));
	cfg_set(v.device, PCI_BASE_ADDRESS_0, 4, bar);
}

static uint64_t role_bar(const void *arg)
{
	return REGION(((const struct role *)arg)->bar);
}

static void reset_mapping(const void *arg)
{
	uint8_t *m = bar_map(v.device, role_bar(arg), PAGE);

	say_touch("before", m, false);
	reset();
	say_touch("after", m, false);
	say_step("pread",
		 pread(v.device, &(uint32_t){0}, 4, (off_t)role_bar(arg)));
}

static void reset_disabled(const void *arg)
{
	uint8_t *m = bar_map(v.device, role_bar(arg), PAGE);

	command(v.device, PCI_COMMAND_MEMORY, 0);
	reset();
	say("memory=%d",
	    !!(cfg(v.device, PCI_COMMAND, 2) & PCI_COMMAND_MEMORY));
	say_touch("load", m, false);
	command(v.device, 0, PCI_COMMAND_MEMORY);
	say_touch("enabled", m, false);
}

static void reset_d3hot(const void *arg)
{
	unsigned int pm = cap_need(v.device, PCI_CAP_ID_PM) + PCI_PM_CTRL;

	cfg_set(v.device, pm, 2, 3);
	say("state=%u", cfg(v.device, pm, 2) & 3);
	reset();
	say("state=%u", cfg(v.device, pm, 2) & 3);
	say_step("pread",
		 pread(v.device, &(uint32_t){0}, 4, (off_t)role_bar(arg)));
	cfg_set(v.device, pm, 2, 0);
}

/* An interrupt that is set up stays so, as far as VFIO can tell. */
static void reset_irq(uint32_t index)
{
	int event = event_new();

	if (!irq_count(v.device, index))
		skip("no such interrupt");
	say_step("set", irq_trigger(v.device, index, 0, event));
	reset();
	say_step("loopback", set_irqs(v.device, IRQ_NONE | IRQ_TRIGGER, index,
				      0, 1, NULL, 0));
	say("events=%ld", event_now(event));
	say_step("off", set_irqs(v.device, IRQ_NONE | IRQ_TRIGGER, index, 0, 0,
				 NULL, 0));
}

static void reset_intx(const void *arg)
{
	reset_irq(INTX);
}

static void reset_msi(const void *arg)
{
	reset_irq(MSI);
}

static void reset_msix(const void *arg)
{
	reset_irq(MSIX);
}

static void reset_err(const void *arg)
{
	int event = event_new();

	say_step("set", irq_trigger(v.device, REQ, 0, event));
	reset();
	say_step("loopback", set_irqs(v.device, IRQ_NONE | IRQ_TRIGGER, REQ, 0,
				      1, NULL, 0));
	say("events=%ld", event_now(event));
}

static const struct {
	const char *name;
	case_fn *fn;
} resets[] = {
	{"plain", reset_plain},	      {"argument", reset_argument},
	{"config", reset_config},     {"mapping", reset_mapping},
	{"disabled", reset_disabled}, {"d3hot", reset_d3hot},
	{"intx", reset_intx},	      {"msi", reset_msi},
	{"msix", reset_msix},	      {"req", reset_err},
};

static void after(void)
{
	if (v.device >= 0)
		device_quiet(v.device);
}

static void each_reset(const struct role *role)
{
	run_after(after);
	for (size_t i = 0; i < COUNT(resets); i++)
		run(resets[i].fn, role, "%s.reset.%s", role->name,
		    resets[i].name);
	run_after(NULL);
}

/* Two files of one device share all but their position. */
static void second_open(const void *arg)
{
	int other = say_fd(device_open(v.group, v.function));
	int event = event_new();

	command(other, 0, PCI_COMMAND_MASTER);
	say("master=%d",
	    !!(cfg(v.device, PCI_COMMAND, 2) & PCI_COMMAND_MASTER));
	say_step("set", irq_trigger(other, INTX, 0, event));
	say_step("trigger", set_irqs(v.device, IRQ_NONE | IRQ_TRIGGER, INTX, 0,
				     1, NULL, 0));
	say("events=%ld", event_now(event));
	close(other);
	say_step("after_close", set_irqs(v.device, IRQ_NONE | IRQ_TRIGGER, INTX,
					 0, 1, NULL, 0));
	say("events=%ld", event_now(event));
}

void area_device(void)
{
	for (size_t i = 0; i < ROLES; i++) {
		fixture_open(&v, roles_all[i].name, 0, DEVICE,
			     VFIO_TYPE1v2_IOMMU);
		each_index(roles_all[i].name);
		each_reset(&roles_all[i]);
		fixture_close(&v);
	}
	fixture_open(&v, "nvme", 0, DEVICE, VFIO_TYPE1v2_IOMMU);
	msix_sweep();
	fixture_close(&v);
	fixture_open(&v, "edu", 0, DEVICE, VFIO_TYPE1v2_IOMMU);
	each_sweep();
	each_number();
	each_kind(foreign_fds);
	each_kind(own_fds);
	each_file();
	run_after(after);
	run(second_open, NULL, "second_open");
	fixture_close(&v);
}
