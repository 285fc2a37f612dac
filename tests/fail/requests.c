/* SPDX-License-Identifier: BSD-3-Clause */
/* The table of requests: requests.h. A request that is new needs a row. */
#include <errno.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/pci/irq.h"
#include "lib/cleanup.h"
#include "requests.h"
#include "tests/sched/host.h"
#include "uapi/vfio.h"

#define ADDRESS 0x10000 /* where client.c says that structures are */
#define IOVA	0x100000

/* --- the door --- */

static int64_t ask_connect(struct prog *p)
{
	struct client c;

	client_new(&c, p->host->door, 0);
	c.unsure = true;

	int fd = client_open(&c, "/dev/vfio/vfio");

	if (fd >= 0)
		close(fd);
	client_done(&c);
	return fd;
}

static int64_t ask_open_config(struct prog *p)
{
	return prog_keep(p, prog_open_sysfs(p, "config"));
}

static int64_t stat_path(struct prog *p, const char *path)
{
	struct question q = {
		.on = -1,
		.op = SV_STAT,
		.call = "stat",
		.bytes = path,
		.len = strlen(path),
	};
	struct answer a;

	return client_ask(&p->c, &q, &a);
}

static int64_t ask_stat(struct prog *p)
{
	return stat_path(p, "/dev/vfio/vfio");
}

static int64_t ask_stat_sysfs(struct prog *p)
{
	return stat_path(p, "/sys/bus/pci/drivers/vfio-pci/bind");
}

static int64_t ask_door(struct prog *p, enum sv_op op, const char *call)
{
	struct question q = {.on = -1, .op = op, .call = call};
	struct answer a;
	int64_t r = client_ask(&p->c, &q, &a);

	prog_keep(p, a.fd);
	return r;
}

static int64_t ask_known(struct prog *p)
{
	return ask_door(p, SV_KNOWN, "known?");
}

static int64_t ask_side_door(struct prog *p)
{
	return ask_door(p, SV_SIDE_DOOR, "side door");
}

static int64_t ask_fault(struct prog *p)
{
	return client_fault(&p->c, prog_bar_id(p, 0), 0);
}

static int64_t ask_access(struct prog *p)
{
	uint64_t val = 1;
	return client_access(&p->c, prog_bar_id(p, 0), 4, 1, &val);
}

static int64_t ask_ls(struct prog *p)
{
	return client_control(&p->c, "{\"cmd\": \"ls\"}");
}

static int64_t ask_why(struct prog *p)
{
	return client_control(&p->c, "{\"cmd\": \"why\"}");
}

static int64_t ask_report(struct prog *p)
{
	return client_control(&p->c, "{\"cmd\": \"report\"}");
}

static int64_t ask_unplug(struct prog *p)
{
	return client_control(
		&p->c, "{\"cmd\": \"unplug\", \"device\": \"0000:01:00.0\"}");
}

static int64_t ask_plug(struct prog *p)
{
	return client_control(
		&p->c, "{\"cmd\": \"plug\", \"device\": \"0000:01:00.0\"}");
}

/* Also what shows it again if only that failed. */
static void undo_unplug(struct prog *p)
{
	if (p->map)
		munmap(p->map, MAP_LEN);
	p->map = NULL;
	if (p->device >= 0)
		close(p->device);
	p->device = -1;
	ask_plug(p);
	prog_write_text(p, "/sys/bus/pci/drivers/vfio-pci/bind", p->bdf);
	prog_write_text(p, "/sys/bus/pci/rescan", "1");
}

static void prepare_plug(struct prog *p)
{
	sched_expect(ask_unplug(p) == 0, "unplug");
}

static void prepare_files(struct prog *p)
{
	sched_expect(prog_map_bar(p, 0) == 0, "mmap");
	sched_expect(ask_open_config(p) >= 0, "config");
}

/* --- containers --- */

static void prepare_odd(struct prog *p)
{
	prog_keep(p, open("/dev/null", O_RDWR | O_CLOEXEC));
}

/* With a descriptor that nobody asked for, of a kind that may close late. */
static int64_t ask_with_odd(struct prog *p)
{
	struct question q = {
		.on = p->container,
		.op = SV_FSTAT,
		.call = "fstat",
		.fds = {p->other[0]},
		.n_fds = 1,
	};
	struct answer a;

	return client_ask(&p->c, &q, &a);
}

static int64_t ask_op(struct prog *p, enum sv_op op, const char *call)
{
	struct question q = {.on = p->container, .op = op, .call = call};
	struct answer a;

	return client_ask(&p->c, &q, &a);
}

static int64_t ask_fstat(struct prog *p)
{
	return ask_op(p, SV_FSTAT, "fstat");
}

/* Of one that has none yet, client.c asks for one with whatever it asks. */
static int64_t ask_channel(struct prog *p)
{
	return ask_op(p, SV_CHANNEL, "channel");
}

static int64_t ask_api_version(struct prog *p)
{
	return client_ioctl_val(&p->c, p->container, "GET_API_VERSION",
				VFIO_GET_API_VERSION, 0);
}

static int64_t ask_extension(struct prog *p)
{
	return client_ioctl_val(&p->c, p->container, "CHECK_EXTENSION",
				VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU);
}

static int64_t ask_iommu_info(struct prog *p)
{
	uint8_t info[256] = {0};

	info[1] = 1; /* argsz, little endian: all 256 */
	return client_ioctl(&p->c, p->container, "IOMMU_GET_INFO",
			    VFIO_IOMMU_GET_INFO, info, sizeof(info), NULL, 0);
}

static int64_t ask_map(struct prog *p)
{
	return client_map_dma(&p->c, p->container, IOVA, p->memory, MAP_LEN,
			      p->memfd);
}

static void prepare_mapped(struct prog *p)
{
	sched_expect(ask_map(p) == 0, "MAP_DMA");
}

static void prepare_shared(struct prog *p)
{
	prog_share(p);
	prepare_mapped(p);
}

static int64_t ask_unmap(struct prog *p)
{
	return client_unmap_dma(&p->c, p->container, IOVA, MAP_LEN);
}

static int64_t dirty(struct prog *p, uint32_t flags)
{
	struct vfio_iommu_type1_dirty_bitmap arg = {
		.argsz = sizeof(arg),
		.flags = flags,
	};

	return client_ioctl(&p->c, p->container, "DIRTY_PAGES",
			    VFIO_IOMMU_DIRTY_PAGES, &arg, sizeof(arg), NULL, 0);
}

static int64_t ask_track(struct prog *p)
{
	return dirty(p, VFIO_IOMMU_DIRTY_PAGES_FLAG_START);
}

static void prepare_tracked(struct prog *p)
{
	prepare_mapped(p);
	sched_expect(ask_track(p) == 0, "DIRTY_PAGES");
}

/* Until the bits that the server wants set are: there is one mapping. */
static int64_t ask_bits(struct prog *p, struct question *q)
{
	struct answer a;

	client_ask(&p->c, q, &a);
	if (!a.needs)
		return a.result;
	q->arg[2] = (uint64_t)a.result;
	q->arg[3] = 1;
	return client_ask(&p->c, q, &a);
}

static const struct vfio_bitmap bitmap = {
	.pgsize = 4096,
	.size = 8,
	.data = ADDRESS + 0x1000,
};

static int64_t ask_bitmap(struct prog *p)
{
	/* struct vfio_iommu_type1_dirty_bitmap, with its data behind it */
	struct {
		uint32_t argsz, flags;
		struct vfio_iommu_type1_dirty_bitmap_get get;
	} arg = {
		.argsz = sizeof(arg),
		.flags = VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP,
		.get = {IOVA, MAP_LEN, bitmap},
	};
	struct question q = {
		.on = p->container,
		.op = SV_IOCTL,
		.call = "GET_BITMAP",
		.arg = {VFIO_IOMMU_DIRTY_PAGES, ADDRESS},
		.addr = ADDRESS,
		.bytes = &arg,
		.len = sizeof(arg),
	};

	return ask_bits(p, &q);
}

static int64_t ask_unmap_bitmap(struct prog *p)
{
	/* struct vfio_iommu_type1_dma_unmap, with its data behind it */
	struct {
		uint32_t argsz, flags;
		uint64_t iova, size;
		struct vfio_bitmap bitmap;
	} arg = {
		.argsz = sizeof(arg),
		.flags = VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP,
		.iova = IOVA,
		.size = MAP_LEN,
		.bitmap = bitmap,
	};
	struct question q = {
		.on = p->container,
		.op = SV_IOCTL,
		.call = "UNMAP_DMA with a bitmap",
		.arg = {VFIO_IOMMU_UNMAP_DMA, ADDRESS},
		.addr = ADDRESS,
		.bytes = &arg,
		.len = sizeof(arg),
	};

	return ask_bits(p, &q);
}

/* --- groups --- */

static int64_t ask_status(struct prog *p)
{
	struct vfio_group_status arg = {.argsz = sizeof(arg)};

	return client_ioctl(&p->c, p->group, "GET_STATUS",
			    VFIO_GROUP_GET_STATUS, &arg, sizeof(arg), NULL, 0);
}

static int64_t ask_unset_container(struct prog *p)
{
	return client_ioctl_val(&p->c, p->group, "UNSET_CONTAINER",
				VFIO_GROUP_UNSET_CONTAINER, 0);
}

/* --- devices --- */

static int64_t ask_info(struct prog *p)
{
	struct vfio_device_info arg = {.argsz = sizeof(arg)};

	return client_ioctl(&p->c, p->device, "GET_INFO", VFIO_DEVICE_GET_INFO,
			    &arg, sizeof(arg), NULL, 0);
}

static int64_t ask_region_info(struct prog *p)
{
	struct vfio_region_info arg = {.argsz = sizeof(arg)};

	return client_ioctl(&p->c, p->device, "GET_REGION_INFO",
			    VFIO_DEVICE_GET_REGION_INFO, &arg, sizeof(arg),
			    NULL, 0);
}

static int64_t ask_irq_info(struct prog *p)
{
	struct vfio_irq_info arg = {.argsz = sizeof(arg), .index = IRQ_MSIX};

	return client_ioctl(&p->c, p->device, "GET_IRQ_INFO",
			    VFIO_DEVICE_GET_IRQ_INFO, &arg, sizeof(arg), NULL,
			    0);
}

static int64_t set_irqs(struct prog *p, uint32_t index, uint32_t action,
			uint32_t count, const int *fds)
{
	/* struct vfio_irq_set, with its descriptors behind it */
	struct {
		uint32_t argsz, flags, index, start, count;
		int32_t fd[2];
	} arg = {
		.argsz = sizeof(arg),
		.flags = action | (fds ? VFIO_IRQ_SET_DATA_EVENTFD
				       : VFIO_IRQ_SET_DATA_NONE),
		.index = index,
		.count = count,
	};

	if (fds)
		memcpy(arg.fd, fds, count * sizeof(int));
	return client_ioctl(&p->c, p->device, "SET_IRQS", VFIO_DEVICE_SET_IRQS,
			    &arg, sizeof(arg), fds, fds ? count : 0);
}

static int64_t trigger(struct prog *p, uint32_t index, uint32_t count)
{
	const int fds[] = {p->other[0], p->other[1]};

	return set_irqs(p, index, VFIO_IRQ_SET_ACTION_TRIGGER, count, fds);
}

static void prepare_eventfds(struct prog *p)
{
	prog_eventfd(p);
	prog_eventfd(p);
}

static int64_t ask_intx(struct prog *p)
{
	return trigger(p, IRQ_INTX, 1);
}

static void prepare_intx(struct prog *p)
{
	prepare_eventfds(p);
	sched_expect(ask_intx(p) == 0, "INTx");
}

static int64_t ask_mask(struct prog *p)
{
	return set_irqs(p, IRQ_INTX, VFIO_IRQ_SET_ACTION_MASK, 1, NULL);
}

static int64_t ask_unmask(struct prog *p)
{
	return set_irqs(p, IRQ_INTX, VFIO_IRQ_SET_ACTION_UNMASK, 1,
			&p->other[1]);
}

static int64_t ask_msi(struct prog *p)
{
	return trigger(p, IRQ_MSI, 2);
}

static int64_t ask_msix(struct prog *p)
{
	return trigger(p, IRQ_MSIX, 2);
}

static int64_t ask_err(struct prog *p)
{
	return trigger(p, IRQ_ERR, 1);
}

static int64_t ask_req(struct prog *p)
{
	return trigger(p, IRQ_REQ, 1);
}

static int64_t ask_irq_off(struct prog *p)
{
	return set_irqs(p, IRQ_INTX, VFIO_IRQ_SET_ACTION_TRIGGER, 0, NULL);
}

static int64_t ask_reset(struct prog *p)
{
	return client_ioctl_val(&p->c, p->device, "RESET", VFIO_DEVICE_RESET,
				0);
}

static int64_t ask_hot_info(struct prog *p)
{
	uint32_t arg[16] = {sizeof(arg)};

	return client_ioctl(&p->c, p->device, "GET_PCI_HOT_RESET_INFO",
			    VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, arg,
			    sizeof(arg), NULL, 0);
}

static int64_t ask_hot_reset(struct prog *p)
{
	uint32_t arg[4] = {sizeof(arg), 0, 1, (uint32_t)p->group};

	return client_ioctl(&p->c, p->device, "PCI_HOT_RESET",
			    VFIO_DEVICE_PCI_HOT_RESET, arg, sizeof(arg),
			    &p->group, 1);
}

static int64_t ioeventfd(struct prog *p, int fd)
{
	struct vfio_device_ioeventfd arg = {
		.argsz = sizeof(arg),
		.flags = VFIO_DEVICE_IOEVENTFD_32,
		.offset = REGION(0) + 8,
		.fd = fd,
	};

	return client_ioctl(&p->c, p->device, "IOEVENTFD",
			    VFIO_DEVICE_IOEVENTFD, &arg, sizeof(arg), &fd,
			    fd >= 0);
}

static int64_t ask_ioeventfd(struct prog *p)
{
	return ioeventfd(p, p->other[0]);
}

static void prepare_ioeventfd(struct prog *p)
{
	prepare_eventfds(p);
	sched_expect(ask_ioeventfd(p) == 0, "IOEVENTFD");
}

static int64_t ask_no_ioeventfd(struct prog *p)
{
	return ioeventfd(p, -1);
}

static int64_t ask_low_power(struct prog *p)
{
	struct {
		uint32_t argsz, flags;
		struct vfio_device_low_power_entry_with_wakeup entry;
	} arg = {
		.argsz = sizeof(arg),
		.flags = VFIO_DEVICE_FEATURE_SET |
			 VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP,
		.entry.wakeup_eventfd = p->other[0],
	};

	return client_ioctl(&p->c, p->device, "FEATURE", VFIO_DEVICE_FEATURE,
			    &arg, sizeof(arg), &p->other[0], 1);
}

static int64_t ask_read(struct prog *p)
{
	uint32_t val;

	return client_read(&p->c, p->device, REGION(0), &val, sizeof(val));
}

static int64_t ask_write(struct prog *p)
{
	uint32_t val = 5;

	return client_write(&p->c, p->device, REGION(0), &val, sizeof(val));
}

static int64_t ask_decode(struct prog *p)
{
	return prog_command(p, PCI_COMMAND_MEMORY);
}

static int64_t ask_no_decode(struct prog *p)
{
	return prog_command(p, 0);
}

/* Something to keep while it is closed. */
static void prepare_stored(struct prog *p)
{
	sched_expect(prog_map_bar(p, 0) == 0, "mmap");
	memset(p->map, STORED, MAP_LEN);
}

static void prepare_kept(struct prog *p)
{
	prepare_stored(p);
	sched_expect(ask_no_decode(p) == sizeof(uint16_t), "COMMAND");
}

static int64_t ask_mmap(struct prog *p)
{
	return prog_map_bar(p, 0);
}

/* Nobody has it afterwards, as ls tells, which has waited for that. */
static int64_t ask_close(struct prog *p)
{
	close(p->device);
	p->device = -1;
	return ask_ls(p);
}

static void undo_close(struct prog *p)
{
}

/* --- files of /sys --- */

static void prepare_config(struct prog *p)
{
	ask_open_config(p);
}

static int64_t ask_config_read(struct prog *p)
{
	uint32_t val;

	return client_read(&p->c, p->other[0], 0, &val, sizeof(val));
}

static int64_t ask_config_write(struct prog *p)
{
	uint16_t val = PCI_COMMAND_MEMORY;

	return client_write(&p->c, p->other[0], PCI_COMMAND, &val, sizeof(val));
}

static void prepare_override(struct prog *p)
{
	prog_keep(p, prog_open_sysfs(p, "driver_override"));
}

static int64_t ask_override_read(struct prog *p)
{
	uint32_t val;

	return client_read(&p->c, p->other[0], 0, &val, sizeof(val));
}

static int64_t ask_override(struct prog *p)
{
	return prog_write_text(p, "driver_override", "vfio-pci");
}

static int64_t ask_sysfs_reset(struct prog *p)
{
	return prog_write_text(p, "reset", "1");
}

static int64_t ask_remove(struct prog *p)
{
	return prog_write_text(p, "remove", "1");
}

static int64_t ask_rescan_device(struct prog *p)
{
	return prog_write_text(p, "rescan", "1");
}

static int64_t ask_rescan(struct prog *p)
{
	return prog_write_text(p, "/sys/bus/pci/rescan", "1");
}

static int64_t ask_unbind(struct prog *p)
{
	return prog_write_text(p, "/sys/bus/pci/drivers/vfio-pci/unbind",
			       p->bdf);
}

static void prepare_unbound(struct prog *p)
{
	sched_expect(ask_unbind(p) > 0, "unbind");
}

static int64_t ask_bind(struct prog *p)
{
	return prog_write_text(p, "/sys/bus/pci/drivers/vfio-pci/bind", p->bdf);
}

static int64_t ask_new_id(struct prog *p)
{
	return prog_write_text(p, "/sys/bus/pci/drivers/vfio-pci/new_id",
			       "1234 0001");
}

/* clang-format off */
#define DOOR(op) op, ON_DOOR, 0, NULL, false
#define IOCTL(on, cmd) SV_IOCTL, on, cmd, NULL, false
#define FILE_OF(op, on) op, on, 0, NULL, false
#define ANY	   GATE_ANY
#define KEPT	   GATE_KEPT
#define CLOSED	   GATE_CLOSED
#define SYSFS(op, name) op, ON_SYSFS, 0, name, false

const struct request_row request_rows[] = {
	{"connect", DOOR(SV_OPEN), CONNECTED, NULL, ask_connect, NULL, ANY},
	{"open a container", DOOR(SV_OPEN), CONNECTED, NULL,
	 prog_open_container, NULL, ANY},
	{"open a group", DOOR(SV_OPEN), CONNECTED, NULL, prog_open_group, NULL, ANY},
	{"open a file of /sys", DOOR(SV_OPEN), CONNECTED, NULL, ask_open_config,
	 NULL, ANY},
	{"stat", DOOR(SV_STAT), CONNECTED, NULL, ask_stat, NULL, ANY},
	{"stat of a file of /sys", DOOR(SV_STAT), CONNECTED, NULL,
	 ask_stat_sysfs, NULL, ANY},
	{"known", DOOR(SV_KNOWN), CONNECTED, NULL, ask_known, NULL, ANY},
	{"side door", DOOR(SV_SIDE_DOOR), CONNECTED, NULL, ask_side_door, NULL,
	 ANY},
	{"fault", DOOR(SV_FAULT), DECODES, NULL, ask_fault, NULL, ANY},
	{"access", SV_ACCESS, ON_DOOR, 0, NULL, true, DECODES, NULL, ask_access,
	 NULL, ANY},
	{"ls", DOOR(SV_CONTROL), DECODES, prepare_files, ask_ls, NULL, ANY},
	{"why", DOOR(SV_CONTROL), CONNECTED, NULL, ask_why, NULL, ANY},
	{"report", DOOR(SV_CONTROL), DECODES, prepare_files, ask_report, NULL, ANY},
	{"unplug", DOOR(SV_CONTROL), CONNECTED, NULL, ask_unplug, undo_unplug, ANY},
	{"unplug what is open", DOOR(SV_CONTROL), DECODES, prepare_stored,
	 ask_unplug, undo_unplug, CLOSED},
	{"plug", DOOR(SV_CONTROL), CONNECTED, prepare_plug, ask_plug,
	 undo_unplug, ANY},

	{"fstat", FILE_OF(SV_FSTAT, ON_CONTAINER), CONTAINER, NULL, ask_fstat,
	 NULL, ANY},
	{"fstat with a descriptor", FILE_OF(SV_FSTAT, ON_CONTAINER), CONTAINER,
	 prepare_odd, ask_with_odd, NULL, ANY},
	{"channel", FILE_OF(SV_CHANNEL, ON_CONTAINER), CONTAINER, NULL,
	 ask_channel, NULL, ANY},
	{"API version", IOCTL(ON_CONTAINER, VFIO_GET_API_VERSION), CONTAINER,
	 NULL, ask_api_version, NULL, ANY},
	{"extension", IOCTL(ON_CONTAINER, VFIO_CHECK_EXTENSION), CONTAINER,
	 NULL, ask_extension, NULL, ANY},
	{"set IOMMU", IOCTL(ON_CONTAINER, VFIO_SET_IOMMU), ATTACHED, NULL,
	 prog_set_iommu, NULL, ANY},
	{"IOMMU info", IOCTL(ON_CONTAINER, VFIO_IOMMU_GET_INFO), IOMMU, NULL,
	 ask_iommu_info, NULL, ANY},
	{"map own memory", IOCTL(ON_CONTAINER, VFIO_IOMMU_MAP_DMA), IOMMU, NULL,
	 ask_map, NULL, ANY},
	{"map a file", IOCTL(ON_CONTAINER, VFIO_IOMMU_MAP_DMA), IOMMU,
	 prog_share, ask_map, NULL, ANY},
	{"unmap own memory", IOCTL(ON_CONTAINER, VFIO_IOMMU_UNMAP_DMA), IOMMU,
	 prepare_mapped, ask_unmap, NULL, ANY},
	{"unmap a file", IOCTL(ON_CONTAINER, VFIO_IOMMU_UNMAP_DMA), IOMMU,
	 prepare_shared, ask_unmap, NULL, ANY},
	{"unmap with a bitmap", IOCTL(ON_CONTAINER, VFIO_IOMMU_UNMAP_DMA),
	 IOMMU, prepare_tracked, ask_unmap_bitmap, NULL, ANY},
	{"dirty pages", IOCTL(ON_CONTAINER, VFIO_IOMMU_DIRTY_PAGES), IOMMU,
	 NULL, ask_track, NULL, ANY},
	{"dirty bitmap", IOCTL(ON_CONTAINER, VFIO_IOMMU_DIRTY_PAGES), IOMMU,
	 prepare_tracked, ask_bitmap, NULL, ANY},

	{"group status", IOCTL(ON_GROUP, VFIO_GROUP_GET_STATUS), GROUP, NULL,
	 ask_status, NULL, ANY},
	{"set container", IOCTL(ON_GROUP, VFIO_GROUP_SET_CONTAINER), GROUP,
	 NULL, prog_set_container, NULL, ANY},
	{"unset container", IOCTL(ON_GROUP, VFIO_GROUP_UNSET_CONTAINER),
	 ATTACHED, NULL, ask_unset_container, NULL, ANY},
	{"open a device", IOCTL(ON_GROUP, VFIO_GROUP_GET_DEVICE_FD), IOMMU,
	 NULL, prog_open_device, NULL, ANY},

	{"device info", IOCTL(ON_DEVICE, VFIO_DEVICE_GET_INFO), DEVICE, NULL,
	 ask_info, NULL, ANY},
	{"region info", IOCTL(ON_DEVICE, VFIO_DEVICE_GET_REGION_INFO), DEVICE,
	 NULL, ask_region_info, NULL, ANY},
	{"IRQ info", IOCTL(ON_DEVICE, VFIO_DEVICE_GET_IRQ_INFO), DEVICE, NULL,
	 ask_irq_info, NULL, ANY},
	{"INTx", IOCTL(ON_DEVICE, VFIO_DEVICE_SET_IRQS), DEVICE,
	 prepare_eventfds, ask_intx, NULL, ANY},
	{"INTx mask", IOCTL(ON_DEVICE, VFIO_DEVICE_SET_IRQS), DEVICE,
	 prepare_intx, ask_mask, NULL, ANY},
	{"INTx unmask eventfd", IOCTL(ON_DEVICE, VFIO_DEVICE_SET_IRQS), DEVICE,
	 prepare_intx, ask_unmask, NULL, ANY},
	{"INTx off", IOCTL(ON_DEVICE, VFIO_DEVICE_SET_IRQS), DEVICE,
	 prepare_intx, ask_irq_off, NULL, ANY},
	{"MSI", IOCTL(ON_DEVICE, VFIO_DEVICE_SET_IRQS), DEVICE,
	 prepare_eventfds, ask_msi, NULL, ANY},
	{"MSI-X", IOCTL(ON_DEVICE, VFIO_DEVICE_SET_IRQS), DEVICE,
	 prepare_eventfds, ask_msix, NULL, ANY},
	{"ERR", IOCTL(ON_DEVICE, VFIO_DEVICE_SET_IRQS), DEVICE,
	 prepare_eventfds, ask_err, NULL, ANY},
	{"REQ", IOCTL(ON_DEVICE, VFIO_DEVICE_SET_IRQS), DEVICE,
	 prepare_eventfds, ask_req, NULL, ANY},
	{"reset", IOCTL(ON_DEVICE, VFIO_DEVICE_RESET), DECODES, prepare_stored,
	 ask_reset, NULL, ANY},
	{"hot reset info", IOCTL(ON_DEVICE, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO),
	 DEVICE, NULL, ask_hot_info, NULL, ANY},
	{"hot reset", IOCTL(ON_DEVICE, VFIO_DEVICE_PCI_HOT_RESET), DECODES,
	 prepare_stored, ask_hot_reset, NULL, ANY},
	{"ioeventfd", IOCTL(ON_DEVICE, VFIO_DEVICE_IOEVENTFD), DEVICE,
	 prepare_eventfds, ask_ioeventfd, NULL, ANY},
	{"ioeventfd off", IOCTL(ON_DEVICE, VFIO_DEVICE_IOEVENTFD), DEVICE,
	 prepare_ioeventfd, ask_no_ioeventfd, NULL, ANY},
	{"low power", IOCTL(ON_DEVICE, VFIO_DEVICE_FEATURE), DECODES,
	 prepare_eventfds, ask_low_power, NULL, ANY},
	{"read", FILE_OF(SV_READ, ON_DEVICE), DECODES, NULL, ask_read, NULL, ANY},
	{"write", FILE_OF(SV_WRITE, ON_DEVICE), DECODES, NULL, ask_write, NULL, ANY},
	{"decode on", FILE_OF(SV_WRITE, ON_DEVICE), DECODES, prepare_kept,
	 ask_decode, NULL, KEPT},
	{"decode off", FILE_OF(SV_WRITE, ON_DEVICE), DECODES, prepare_stored,
	 ask_no_decode, NULL, CLOSED},
	{"mmap", FILE_OF(SV_MMAP, ON_DEVICE), DEVICE, NULL, ask_mmap, NULL, ANY},
	{"last close", FILE_OF(SV_CONTROL, ON_DEVICE), DECODES,
	 prepare_ioeventfd, ask_close, undo_close, CLOSED},

	{"config read", SYSFS(SV_READ, "config"), CONNECTED, prepare_config,
	 ask_config_read, NULL, ANY},
	{"config write", SYSFS(SV_WRITE, "config"), DECODES, prepare_config,
	 ask_config_write, NULL, ANY},
	{"override read", SYSFS(SV_READ, "driver_override"), CONNECTED,
	 prepare_override, ask_override_read, NULL, ANY},
	{"override write", SYSFS(SV_WRITE, "driver_override"), CONNECTED, NULL,
	 ask_override, NULL, ANY},
	{"reset by sysfs", SYSFS(SV_WRITE, "reset"), DECODES, prepare_stored,
	 ask_sysfs_reset, NULL, ANY},
	{"remove", SYSFS(SV_WRITE, "remove"), CONNECTED, NULL, ask_remove,
	 undo_unplug, ANY},
	{"rescan of a device", SYSFS(SV_WRITE, "rescan"), CONNECTED, NULL,
	 ask_rescan_device, undo_unplug, ANY},
	{"rescan", SYSFS(SV_WRITE, "rescan"), CONNECTED, prepare_plug,
	 ask_rescan, undo_unplug, ANY},
	{"unbind", SYSFS(SV_WRITE, "unbind"), CONNECTED, NULL, ask_unbind,
	 undo_unplug, ANY},
	{"bind", SYSFS(SV_WRITE, "bind"), CONNECTED, prepare_unbound, ask_bind,
	 undo_unplug, ANY},
	{"new_id", SYSFS(SV_WRITE, "new_id"), CONNECTED, NULL, ask_new_id,
	 NULL, ANY},
};
/* clang-format on */

const size_t n_request_rows = ARRAY_SIZE(request_rows);
