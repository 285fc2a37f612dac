/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The container file: versions and extensions, choosing an IOMMU, what works
 * before and after, and GET_INFO with its capability chain.
 */
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "tests/abi/abi.h"

static void check_node(void)
{
	struct stat st = {0};
	char link[64];
	char path[64];

	want(R(stat("/dev/vfio/vfio", &st)), 0, "container: stat of the node");
	ok(S_ISCHR(st.st_mode) && st.st_rdev == makedev(10, 196),
	   "container: the node is character device 10:196");
	want(st.st_mode & 0777, 0666, "container: the node has mode 0666");

	int c = container_open();

	want(R(fstat(c, &st)), 0, "container: fstat of an open file");
	ok(S_ISCHR(st.st_mode) && st.st_rdev == makedev(10, 196),
	   "container: the file is character device 10:196");
	snprintf(path, sizeof(path), "/proc/self/fd/%d", c);
	memset(link, FILL, sizeof(link));
	want(R(readlink(path, link, sizeof(link))), 14,
	     "container: readlink of /proc/self/fd");
	ok(!memcmp(link, "/dev/vfio/vfio", 14),
	   "container: /proc/self/fd shows /dev/vfio/vfio");
	ok(filled(link + 14, sizeof(link) - 14, FILL),
	   "container: readlink writes nothing behind it");
	close(c);
}

static void check_extensions(int c)
{
	static const struct {
		unsigned long ext;
		long answer;
	} exts[] = {
		{VFIO_TYPE1_IOMMU, 1},
		{VFIO_TYPE1v2_IOMMU, 1},
		{VFIO_UNMAP_ALL, 1},
		{VFIO_DMA_CC_IOMMU, 0},
		{VFIO_UPDATE_VADDR, 0},
		{0, 0},
		{2, 0},
		{6, 0},
		{7, 0},
		{99, 0},
		{1ul << 32 | 1, 0},
		{~0ul, 0},
	};

	for (size_t i = 0; i < COUNT(exts); i++)
		want(R(ioctl(c, VFIO_CHECK_EXTENSION, exts[i].ext)),
		     exts[i].answer,
		     "check_extension: %#lx without IOMMU is %ld", exts[i].ext,
		     exts[i].answer);
}

/* Not a single one looks at its argument. */
static void check_no_iommu(int c, const char *when)
{
	static const unsigned long cmds[] = {
		VFIO_IOMMU_GET_INFO,   VFIO_IOMMU_MAP_DMA,
		VFIO_IOMMU_UNMAP_DMA,  VFIO_IOMMU_DIRTY_PAGES,
		VFIO_GROUP_GET_STATUS, VFIO_GROUP_SET_CONTAINER,
		VFIO_DEVICE_GET_INFO,  VFIO_DEVICE_RESET,
		VFIO_IO(15),	       VFIO_IO(50),
		_IO('z', 1),
	};

	for (size_t i = 0; i < COUNT(cmds); i++)
		want(R(ioctl(c, cmds[i], NULL)), -EINVAL,
		     "container: ioctl %#lx %s is EINVAL", cmds[i], when);
}

static void check_file_calls(int c, const char *what)
{
	char byte = 0;

	want(R(read(c, &byte, 1)), -EINVAL, "%s: read is EINVAL", what);
	want(R(write(c, &byte, 1)), -EINVAL, "%s: write is EINVAL", what);
	want(R(pread(c, &byte, 1, 0)), -EINVAL, "%s: pread is EINVAL", what);
	want(R(pwrite(c, &byte, 1, 0)), -EINVAL, "%s: pwrite is EINVAL", what);
	want(R(mmap(NULL, PAGE, RW, MAP_SHARED, c, 0)), -ENODEV,
	     "%s: mmap is ENODEV", what);
	want(fcntl(c, F_GETFL) & O_ACCMODE, O_RDWR, "%s: is open read-write",
	     what);
}

static void check_set_iommu(void)
{
	int c = container_open();
	int g = group_open("edu");

	want(R(ioctl(c, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU)), -EINVAL,
	     "set_iommu: without a group is EINVAL");
	want(R(ioctl(c, VFIO_SET_IOMMU, 99)), -EINVAL,
	     "set_iommu: of a bad type without a group is EINVAL");
	want(set_container(g, c), 0, "set_container");
	check_no_iommu(c, "with a group, without IOMMU");
	want(R(ioctl(c, VFIO_SET_IOMMU, 99)), -ENODEV,
	     "set_iommu: type 99 is ENODEV");
	want(R(ioctl(c, VFIO_SET_IOMMU, 0)), -ENODEV,
	     "set_iommu: type 0 is ENODEV");
	want(R(ioctl(c, VFIO_SET_IOMMU, 6)), -ENODEV,
	     "set_iommu: nesting (6) is ENODEV");
	want(R(ioctl(c, VFIO_SET_IOMMU, VFIO_DMA_CC_IOMMU)), -ENODEV,
	     "set_iommu: DMA_CC (4) is ENODEV");
	want(R(ioctl(c, VFIO_SET_IOMMU, VFIO_UNMAP_ALL)), -EINVAL,
	     "set_iommu: UNMAP_ALL (9) is EINVAL");
	want(R(ioctl(c, VFIO_SET_IOMMU, VFIO_UPDATE_VADDR)), -ENODEV,
	     "set_iommu: UPDATE_VADDR (10) is ENODEV");
	want(R(ioctl(c, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU)), 0,
	     "set_iommu: type1v2, after refusals");
	want(R(ioctl(c, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU)), -EINVAL,
	     "set_iommu: twice is EINVAL");
	want(R(ioctl(c, VFIO_SET_IOMMU, VFIO_TYPE1_IOMMU)), -EINVAL,
	     "set_iommu: another type afterwards is EINVAL");
	want(R(ioctl(c, VFIO_SET_IOMMU, 99)), -EINVAL,
	     "set_iommu: a bad type afterwards is EINVAL");
	close(g);
	close(c);
}

static void check_with_iommu(void)
{
	static const unsigned long cmds[] = {
		VFIO_GROUP_GET_STATUS,
		VFIO_GROUP_SET_CONTAINER,
		VFIO_GROUP_GET_DEVICE_FD,
		VFIO_DEVICE_GET_INFO,
		VFIO_DEVICE_RESET,
		VFIO_IO(15),
		VFIO_IO(16),
		VFIO_IO(50),
		_IO('z', 1),
	};
	struct vfio v;

	vfio_open(&v, "edu");
	want(R(ioctl(v.container, VFIO_GET_API_VERSION)), 0,
	     "get_api_version: with IOMMU");
	want(R(ioctl(v.container, VFIO_CHECK_EXTENSION, VFIO_TYPE1_IOMMU)), 1,
	     "check_extension: type1 with IOMMU is 1");
	want(R(ioctl(v.container, VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU)), 1,
	     "check_extension: type1v2 with IOMMU is 1");
	want(R(ioctl(v.container, VFIO_CHECK_EXTENSION, VFIO_UNMAP_ALL)), 1,
	     "check_extension: unmap_all with IOMMU is 1");
	want(R(ioctl(v.container, VFIO_CHECK_EXTENSION, 99)), 0,
	     "check_extension: unknown with IOMMU is 0");
	for (size_t i = 0; i < COUNT(cmds); i++)
		want(R(ioctl(v.container, cmds[i], NULL)), -ENOTTY,
		     "container: ioctl %#lx with IOMMU is ENOTTY", cmds[i]);
	check_file_calls(v.group, "group");
	vfio_close(&v);
}

/* The IOMMU goes with the last group, and with it all mappings. */
static void check_unset(void)
{
	void *mem = anon(PAGE);
	struct vfio v;

	vfio_open(&v, "edu");
	close_fd(&v.device);
	want(dma_map(v.container, mem, PAGE, PAGE, MAP_RW), 0,
	     "container: map before the group leaves");
	want(R(ioctl(v.group, VFIO_GROUP_UNSET_CONTAINER)), 0,
	     "container: the last group leaves");
	check_no_iommu(v.container, "after the last group left");
	want(R(ioctl(v.container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU)), -EINVAL,
	     "set_iommu: after the last group left is EINVAL");
	want(set_container(v.group, v.container), 0,
	     "container: the group comes back");
	want(R(ioctl(v.container, VFIO_SET_IOMMU, VFIO_TYPE1_IOMMU)), 0,
	     "set_iommu: may be of another type then");
	want(dma_map(v.container, mem, PAGE, PAGE, MAP_RW), 0,
	     "container: the old mapping is gone");
	vfio_close(&v);
}

void test_container(void)
{
	check_node();
	int c = container_open();

	want(R(ioctl(c, VFIO_GET_API_VERSION)), 0, "get_api_version: is 0");
	want(R(ioctl(c, VFIO_GET_API_VERSION, nowhere())), 0,
	     "get_api_version: ignores its argument");
	check_extensions(c);
	check_no_iommu(c, "without a group");
	check_file_calls(c, "container");
	int other = container_open();

	ok(other >= 0 && other != c, "container: can be opened many times");
	close(other);
	close(c);
	if (!have("edu"))
		return;
	check_set_iommu();
	check_with_iommu();
	check_unset();
}

/* GET_INFO */

/* The capability chain of one reply. */
static void check_chain(const uint8_t *buf, uint32_t size)
{
	static const uint16_t order[] = {VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION,
					 VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL,
					 VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE};
	const struct vfio_iommu_type1_info *info = (const void *)buf;
	const struct vfio_info_cap_header *cap;
	size_t place = 0;
	bool ordered = true;
	bool sane = true;

	for (uint32_t off = info->cap_offset; off && sane; off = cap->next) {
		cap = (const void *)(buf + off);
		sane = off + sizeof(*cap) <= size && cap->version == 1 &&
		       (!cap->next || (cap->next > off && cap->next < size));
		while (place < COUNT(order) && order[place] != cap->id)
			place++;
		ordered &= place++ < COUNT(order);
		ok(off % 8 == 0, "iommu_info: capability %u is 8-aligned",
		   cap->id);
	}
	ok(sane, "iommu_info: the chain stays inside and goes forward");
	ok(ordered, "iommu_info: migration, dma_avail, iova_range in order");
}

static const void *find(const uint8_t *buf, uint16_t id)
{
	const struct vfio_iommu_type1_info *info = (const void *)buf;
	const struct vfio_info_cap_header *cap;

	for (uint32_t off = info->cap_offset; off; off = cap->next) {
		cap = (const void *)(buf + off);
		if (cap->id == id)
			return cap;
	}
	return NULL;
}

static void check_ranges(const uint8_t *buf)
{
	const struct vfio_iommu_type1_info_cap_iova_range *cap =
		find(buf, VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE);
	bool sorted = true;
	bool msi = false;

	if (!ok(cap && cap->nr_iovas, "iommu_info: has usable ranges"))
		return;
	for (uint32_t i = 0; i < cap->nr_iovas; i++) {
		const struct vfio_iova_range *r = &cap->iova_ranges[i];

		sorted &= r->start < r->end &&
			  (!i || cap->iova_ranges[i - 1].end < r->start);
		msi |= r->start <= 0xfeefffff && r->end >= 0xfee00000;
	}
	want(cap->reserved, 0, "iommu_info: iova_range.reserved is 0");
	ok(sorted, "iommu_info: ranges are sorted and disjoint");
	ok(!msi, "iommu_info: the MSI window is in no range");
}

/* What is asked for when it does not fit; the required size. */
static uint32_t check_too_small(int c, uint32_t argsz)
{
	uint8_t buf[1024];
	struct vfio_iommu_type1_info *info = (void *)buf;

	memset(buf, FILL, sizeof(buf));
	info->argsz = argsz;
	want(R(ioctl(c, VFIO_IOMMU_GET_INFO, info)), 0, "iommu_info: argsz %s",
	     argsz > 24 ? "one short" : "of the struct");
	ok(info->flags & VFIO_IOMMU_INFO_CAPS, "iommu_info: says CAPS");
	ok(info->argsz > argsz, "iommu_info: says how much it needs");
	if (argsz > 16)
		want(info->cap_offset, 0,
		     "iommu_info: cap_offset is 0 when there is no room");
	ok(filled(buf + sizeof(*info), sizeof(buf) - sizeof(*info), FILL),
	   "iommu_info: no part of the chain is written then");
	return info->argsz;
}

static void check_full(int c, uint32_t need)
{
	uint8_t buf[1024];
	struct vfio_iommu_type1_info *info = (void *)buf;

	memset(buf, FILL, sizeof(buf));
	info->argsz = need;
	want(R(ioctl(c, VFIO_IOMMU_GET_INFO, info)), 0,
	     "iommu_info: argsz as required");
	want(info->argsz, need, "iommu_info: argsz is left alone");
	want(info->cap_offset, sizeof(*info),
	     "iommu_info: the chain is right behind the struct");
	ok(filled(buf + need, sizeof(buf) - need, FILL),
	   "iommu_info: nothing is written behind argsz");
	check_chain(buf, need);
	check_ranges(buf);
	ok(find(buf, VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL),
	   "iommu_info: has dma_avail");
}

static void check_avail(int c)
{
	void *mem = anon(2 * PAGE);
	uint32_t before = dma_avail(c);

	want(before, 65535, "iommu_info: 65535 mappings available");
	dma_map(c, mem, PAGE, 2 * PAGE, MAP_RW);
	want(dma_avail(c), before - 1, "iommu_info: a mapping takes one");
	dma_map(c, mem, PAGE, PAGE, MAP_RW);
	want(dma_avail(c), before - 1, "iommu_info: a refused one does not");
	dma_unmap(c, PAGE, 2 * PAGE);
	want(dma_avail(c), before, "iommu_info: unmap gives it back");
}

void test_iommu_info(void)
{
	static const struct sweep sweep = {"iommu_info", VFIO_IOMMU_GET_INFO,
					   16, 24, 0};
	struct vfio_iommu_type1_info info = {.argsz = 16};
	struct vfio v;

	if (!have("edu"))
		return;
	vfio_open(&v, "edu");
	argsz_rules(v.container, &sweep);
	want(R(ioctl(v.container, VFIO_IOMMU_GET_INFO, &info)), 0,
	     "iommu_info: argsz 16");
	ok(info.flags & VFIO_IOMMU_INFO_PGSIZES && info.iova_pgsizes & PAGE,
	   "iommu_info: 4 KiB pages");
	ok(!(info.iova_pgsizes & (PAGE - 1)),
	   "iommu_info: nothing smaller than a page");
	check_too_small(v.container, 16);
	uint32_t need = check_too_small(v.container, 24);

	check_too_small(v.container, need - 1);
	check_full(v.container, need);
	check_avail(v.container);
	struct vfio_iommu_type1_info *cut = edge(16);

	cut->argsz = 24;
	want(R(ioctl(v.container, VFIO_IOMMU_GET_INFO, cut)), -EFAULT,
	     "iommu_info: memory shorter than argsz is EFAULT");
	vfio_close(&v);
}
