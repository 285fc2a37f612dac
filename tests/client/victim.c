/* SPDX-License-Identifier: BSD-3-Clause */
/* The victims' common part: an ordinary small VFIO driver's. */
#include "tests/client/victim.h"

#include <limits.h>
#include <sched.h>
#include <sys/wait.h>

void victim_check(bool good, const char *file, int line, const char *what)
{
	if (good)
		return;
	dprintf(2, "%s:%d: %s (%s)\n", file, line, what, strerror(errno));
	_exit(1);
}

int victim_main(int argc, char **argv, const struct victim_test *tests)
{
	for (; argc > 1 && tests->name; tests++) {
		if (strcmp(argv[1], tests->name))
			continue;
		tests->run(argv + 2);
		return 0;
	}
	dprintf(2, "usage: %s TEST [ARG]...\n", argv[0]);
	return 2;
}

void check_child(pid_t pid)
{
	int status = 0;

	CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void group_path(const char *bdf, char path[64])
{
	char link[PATH_MAX], name[64];

	snprintf(name, sizeof(name), "/sys/bus/pci/devices/%s/iommu_group",
		 bdf);

	ssize_t n = readlink(name, link, some(sizeof(link) - 1));

	CHECK(n > 0);
	link[n] = '\0';
	snprintf(path, 64, "/dev/vfio/%.32s", strrchr(link, '/') + 1);
}

int group_try(const char *bdf)
{
	char path[64];

	group_path(bdf, path);

	int fd = open(path, O_RDWR | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

void vfio_open(struct vfio *v, const char *bdf)
{
	v->container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	CHECK(v->container >= 0);
	v->group = group_try(bdf);
	CHECK(v->group >= 0);
	CHECK(!ioctl(v->group, VFIO_GROUP_SET_CONTAINER, &v->container));
	CHECK(!ioctl(v->container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU));
	v->device = ioctl(v->group, VFIO_GROUP_GET_DEVICE_FD, bdf);
	CHECK(v->device >= 0);
}

void vfio_close(struct vfio *v)
{
	CHECK(!close(v->device));
	CHECK(!close(v->group));
	CHECK(!close(v->container));
}

uint32_t reg_read(int device, off_t pos)
{
	uint32_t val;

	CHECK(pread(device, &val, some(4), pos) == 4);
	return val;
}

void reg_write(int device, off_t pos, uint32_t val)
{
	CHECK(pwrite(device, &val, 4, pos) == 4);
}

uint16_t command(int device)
{
	return (uint16_t)reg_read(device, CONFIG + 4);
}

void command_set(int device, uint16_t val)
{
	CHECK(pwrite(device, &val, 2, CONFIG + 4) == 2);
}

void *bar_map(int device, unsigned int bar, size_t len)
{
	void *p = mmap(NULL, len, RW, MAP_SHARED, device, REGION(bar));

	CHECK(p != MAP_FAILED);
	return p;
}

int dma_map(int container, const void *mem, uint64_t iova, size_t len)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.vaddr = (uintptr_t)mem,
		.iova = iova,
		.size = len,
	};

	return ioctl(container, VFIO_IOMMU_MAP_DMA, &map);
}

int dma_unmap(int container, uint64_t iova, size_t len)
{
	struct vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap),
		.iova = iova,
		.size = len,
	};

	if (ioctl(container, VFIO_IOMMU_UNMAP_DMA, &unmap))
		return -1;
	CHECK(unmap.size == len);
	return 0;
}

static void edu_dma(int device, uint64_t src, uint64_t dst, uint64_t len,
		    uint64_t cmd)
{
	const uint64_t regs[] = {src, dst, len, cmd};
	uint64_t now;

	for (size_t i = 0; i < COUNT(regs); i++)
		CHECK(pwrite(device, &regs[i], 8, (off_t)(EDU_SRC + 8 * i)) ==
		      8);
	for (;;) {
		CHECK(pread(device, &now, some(8), EDU_SRC + 24) == 8);
		if (!(now & 1))
			return;
		sched_yield();
	}
}

void edu_fetch(int device, uint64_t iova, size_t len)
{
	edu_dma(device, iova, EDU_BUF, len, 1);
}

void edu_store(int device, uint64_t iova, size_t len)
{
	edu_dma(device, EDU_BUF, iova, len, 3);
}

int msi_set(int device, int eventfd)
{
	_Alignas(struct vfio_irq_set)
		uint8_t room[sizeof(struct vfio_irq_set) + sizeof(int32_t)] = {
			0};
	struct vfio_irq_set *set = (void *)room;

	set->argsz = sizeof(room);
	set->flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
	set->index = 1;
	set->count = 1;
	memcpy(set->data, &eventfd, sizeof(eventfd));
	return ioctl(device, VFIO_DEVICE_SET_IRQS, set);
}

bool is_edu(int device)
{
	struct vfio_region_info bar = {.argsz = sizeof(bar), .index = 0};
	uint32_t ids, id;

	return pread(device, &ids, some(4), CONFIG) == 4 && ids == EDU_IDS &&
	       pread(device, &id, some(4), REGION(0)) == 4 && id == EDU_ID &&
	       !ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &bar) &&
	       bar.size == 1 << 20;
}

void *anon(size_t len)
{
	void *p = mmap(NULL, len, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(p != MAP_FAILED);
	return p;
}

int memory_file(size_t n)
{
	int fd = memfd_create("victim", MFD_CLOEXEC);

	CHECK(fd >= 0 && !ftruncate(fd, (off_t)n));
	return fd;
}

void *file_map(int fd, size_t len)
{
	void *p = mmap(NULL, len, RW, MAP_SHARED, fd, 0);

	CHECK(p != MAP_FAILED);
	return p;
}
