/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * MAP_DMA and UNMAP_DMA of type1, versions 1 and 2: what is refused, in which
 * order the reasons are looked at, and what a refusal leaves behind.
 */
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <linux/capability.h>

#include "tests/abi/abi.h"

#define READ  VFIO_DMA_MAP_FLAG_READ
#define WRITE VFIO_DMA_MAP_FLAG_WRITE
#define TOP   (~0ull - PAGE + 1) /* the last page of 64 bits */

/* One refusal; what was there before must be there after. */
static void refused(int c, const void *mem, uint64_t iova, uint64_t size,
		    uint32_t flags, long err, const char *what)
{
	uint32_t before = dma_avail(c);

	want(dma_map(c, mem, iova, size, flags), err, "map_dma: %s", what);
	if (dma_avail(c) != before)
		ok(false, "map_dma: %s: leaves the table alone", what);
}

static void map_argsz(int c, void *mem)
{
	struct {
		struct vfio_iommu_type1_dma_map map;
		uint8_t tail[64];
	} m = {.map = {.flags = MAP_RW,
		       .vaddr = (uintptr_t)mem,
		       .iova = PAGE,
		       .size = PAGE}};

	memset(m.tail, FILL, sizeof(m.tail));
	want(R(ioctl(c, VFIO_IOMMU_MAP_DMA, NULL)), -EFAULT,
	     "map_dma: NULL is EFAULT");
	want(R(ioctl(c, VFIO_IOMMU_MAP_DMA, edge(31))), -EFAULT,
	     "map_dma: memory that ends early is EFAULT");
	want(R(ioctl(c, VFIO_IOMMU_MAP_DMA, &m)), -EINVAL,
	     "map_dma: argsz 0 is EINVAL");
	m.map.argsz = 31;
	want(R(ioctl(c, VFIO_IOMMU_MAP_DMA, &m)), -EINVAL,
	     "map_dma: argsz 31 is EINVAL");
	m.map.argsz = sizeof(m);
	want(R(ioctl(c, VFIO_IOMMU_MAP_DMA, &m)), 0,
	     "map_dma: argsz long, whatever is behind it");
	ok(filled(m.tail, sizeof(m.tail), FILL),
	   "map_dma: writes nothing behind the struct");
	dma_unmap(c, PAGE, PAGE);
	struct vfio_iommu_type1_dma_map *cut = edge(sizeof(m.map));

	*cut = m.map;
	cut->argsz = sizeof(m.map);
	want(R(ioctl(c, VFIO_IOMMU_MAP_DMA, cut)), 0, "map_dma: argsz exact");
	dma_unmap(c, PAGE, PAGE);
}

static void map_flags(int c, void *mem)
{
	refused(c, mem, PAGE, PAGE, 0, -EINVAL, "no flags is EINVAL");
	refused(c, mem, PAGE, PAGE, 4 | READ, -EINVAL,
		"VADDR with READ is EINVAL");
	refused(c, mem, PAGE, PAGE, 4 | WRITE, -EINVAL,
		"VADDR with WRITE is EINVAL");
	for (unsigned int bit = 3; bit < 32; bit++)
		want(dma_map(c, mem, PAGE, PAGE, READ | 1u << bit), -EINVAL,
		     "map_dma: unknown flag %#x is EINVAL", 1u << bit);
	for (uint32_t flags = READ; flags <= MAP_RW; flags++) {
		want(dma_map(c, mem, PAGE, PAGE, flags), 0, "map_dma: flags %u",
		     flags);
		dma_unmap(c, PAGE, PAGE);
	}
}

static void map_alignment(int c, uint8_t *mem)
{
	static const uint64_t off[] = {1, 8, 0x800, 0xfff};

	for (size_t i = 0; i < COUNT(off); i++) {
		refused(c, mem, PAGE + off[i], PAGE, MAP_RW, -EINVAL,
			"misaligned iova is EINVAL");
		refused(c, mem + off[i], PAGE, PAGE, MAP_RW, -EINVAL,
			"misaligned vaddr is EINVAL");
		refused(c, mem, PAGE, off[i], MAP_RW, -EINVAL,
			"size of less than a page is EINVAL");
		refused(c, mem, PAGE, PAGE + off[i], MAP_RW, -EINVAL,
			"misaligned size is EINVAL");
	}
	refused(c, mem, PAGE, 0, MAP_RW, -EINVAL, "size 0 is EINVAL");
}

static void map_wrap(int c, void *mem)
{
	const void *top = (const void *)TOP;

	refused(c, mem, TOP, 2 * PAGE, MAP_RW, -EOVERFLOW,
		"wrapping iova is EOVERFLOW");
	refused(c, top, PAGE, 2 * PAGE, MAP_RW, -EOVERFLOW,
		"wrapping vaddr is EOVERFLOW");
	refused(c, mem, 2 * PAGE, TOP, MAP_RW, -EOVERFLOW,
		"wrapping by size is EOVERFLOW");
	refused(c, mem, TOP, 2 * PAGE, 0, -EOVERFLOW,
		"wrapping is found before missing READ and WRITE");
	refused(c, mem, TOP + 1, 2 * PAGE, MAP_RW, -EOVERFLOW,
		"wrapping is found before misalignment");
	refused(c, mem, TOP, 0, MAP_RW, -EINVAL,
		"size 0 is found before wrapping");
	refused(c, mem, TOP, 2 * PAGE, 8 | READ, -EINVAL,
		"an unknown flag is found before wrapping");
	refused(c, mem, PAGE + 1, PAGE, 0, -EINVAL,
		"missing READ and WRITE, and misaligned, is EINVAL");
}

static void map_msi_window(int c, void *mem)
{
	refused(c, mem, 0xfee00000, PAGE, MAP_RW, -EINVAL,
		"in the MSI window is EINVAL");
	refused(c, mem, 0xfeeff000, PAGE, MAP_RW, -EINVAL,
		"the end of the MSI window is EINVAL");
	refused(c, mem, 0xfedff000, 2 * PAGE, MAP_RW, -EINVAL,
		"into the MSI window is EINVAL");
	refused(c, mem, 0xfeeff000, 2 * PAGE, MAP_RW, -EINVAL,
		"out of the MSI window is EINVAL");
	refused(c, nowhere(), 0xfee00000, PAGE, MAP_RW, -EINVAL,
		"the MSI window is found before a bad vaddr");
	want(dma_map(c, mem, 0xfedff000, PAGE, MAP_RW), 0,
	     "map_dma: up to the MSI window");
	want(dma_map(c, mem, 0xfef00000, PAGE, MAP_RW), 0,
	     "map_dma: from behind the MSI window");
	dma_unmap(c, 0xfedff000, PAGE);
	dma_unmap(c, 0xfef00000, PAGE);
}

static uint64_t last_iova(int c)
{
	uint8_t buf[1024] = {0};
	struct vfio_iommu_type1_info *info = (void *)buf;
	struct vfio_info_cap_header *cap;

	info->argsz = sizeof(buf);
	ioctl(c, VFIO_IOMMU_GET_INFO, info);
	for (uint32_t off = info->cap_offset; off; off = cap->next) {
		struct vfio_iommu_type1_info_cap_iova_range *r =
			(void *)(buf + off);

		cap = &r->header;
		if (cap->id == VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE)
			return r->iova_ranges[r->nr_iovas - 1].end;
	}
	return 0;
}

static void map_limits(int c, void *mem)
{
	uint64_t last = last_iova(c);

	want(dma_map(c, mem, 0, PAGE, MAP_RW), 0, "map_dma: iova 0");
	dma_unmap(c, 0, PAGE);
	want(dma_map(c, mem, last - PAGE + 1, PAGE, MAP_RW), 0,
	     "map_dma: the last usable page");
	want(dma_unmap(c, last - PAGE + 1, PAGE), 0,
	     "unmap_dma: the last usable page");
	if (last == UINT64_MAX) {
		skip("map_dma: all of 64 bits is usable");
		return;
	}
	refused(c, mem, last + 1, PAGE, MAP_RW, -EINVAL,
		"the first page that is not usable is EINVAL");
	refused(c, mem, last - PAGE + 1, 2 * PAGE, MAP_RW, -EINVAL,
		"out of the usable range is EINVAL");
	refused(c, mem, TOP, PAGE, MAP_RW, -EINVAL,
		"the last page of 64 bits is EINVAL");
}

static void map_overlap(int c, uint8_t *mem)
{
	static const struct {
		const char *name;
		uint64_t page;
		uint64_t pages;
	} over[] = {
		{"the same range", 4, 4},      {"the first page", 4, 1},
		{"the last page", 7, 1},       {"the middle", 5, 2},
		{"across the start", 3, 2},    {"across the end", 7, 2},
		{"more than the range", 2, 8},
	};

	dma_map(c, mem, 4 * PAGE, 4 * PAGE, MAP_RW);
	for (size_t i = 0; i < COUNT(over); i++) {
		char what[64];

		strcpy(what, over[i].name);
		refused(c, mem, over[i].page * PAGE, over[i].pages * PAGE,
			MAP_RW, -EEXIST, strcat(what, " again is EEXIST"));
	}
	refused(c, nowhere(), 4 * PAGE, PAGE, MAP_RW, -EEXIST,
		"overlap is found before a bad vaddr");
	want(dma_map(c, mem, 3 * PAGE, PAGE, MAP_RW), 0,
	     "map_dma: up to another mapping");
	want(dma_map(c, mem, 8 * PAGE, PAGE, MAP_RW), 0,
	     "map_dma: from the end of another mapping");
	uint64_t done = 0;

	want(dma_unmap_flags(c, 0, 0, VFIO_DMA_UNMAP_FLAG_ALL, &done), 0,
	     "unmap_dma: all");
	want((long)done, 6 * PAGE, "unmap_dma: all of them, once each");
}

static void map_vaddr(int c)
{
	uint8_t *mem = anon(4 * PAGE);
	int file = memfd(PAGE);

	refused(c, nowhere(), PAGE, PAGE, READ, -EFAULT,
		"PROT_NONE memory is EFAULT");
	refused(c, NULL, PAGE, PAGE, MAP_RW, -EFAULT, "vaddr 0 is EFAULT");
	refused(c, (void *)0xffff800000000000, PAGE, PAGE, MAP_RW, -EFAULT,
		"a kernel address is EFAULT");
	munmap(mem + 2 * PAGE, PAGE);
	refused(c, mem + 2 * PAGE, PAGE, PAGE, MAP_RW, -EFAULT,
		"unmapped vaddr is EFAULT");
	refused(c, mem, PAGE, 4 * PAGE, MAP_RW, -EFAULT,
		"a hole in the vaddr range is EFAULT");
	want(dma_map(c, mem, PAGE, 2 * PAGE, MAP_RW), 0,
	     "map_dma: nothing is left of a refused mapping");
	dma_unmap(c, PAGE, 2 * PAGE);
	mprotect(mem, PAGE, PROT_READ);
	refused(c, mem, PAGE, PAGE, WRITE, -EFAULT,
		"WRITE to read-only memory is EFAULT");
	refused(c, mem, PAGE, 2 * PAGE, MAP_RW, -EFAULT,
		"WRITE to partly read-only memory is EFAULT");
	want(dma_map(c, mem, PAGE, 2 * PAGE, READ), 0,
	     "map_dma: READ of partly read-only memory");
	dma_unmap(c, PAGE, 2 * PAGE);
	mprotect(mem, PAGE, PROT_WRITE);
	refused(c, mem, PAGE, PAGE, READ, -EFAULT,
		"READ of write-only memory is EFAULT");
	void *view = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, file, 0);

	refused(c, view, PAGE, PAGE, MAP_RW, -EFAULT,
		"WRITE through a read-only view of a memfd is EFAULT");
	want(dma_map(c, view, PAGE, PAGE, READ), 0,
	     "map_dma: READ through a read-only view of a memfd");
	dma_unmap(c, PAGE, PAGE);
	close(file);
}

/* Memory in several pieces, of several kinds, in one mapping. */
static void map_pieces(int c)
{
	uint8_t *mem = anon(4 * PAGE);
	int file = memfd(PAGE);

	mmap(mem + PAGE, PAGE, RW, MAP_SHARED | MAP_FIXED, file, 0);
	mmap(mem + 2 * PAGE, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED,
	     -1, 0);
	want(dma_map(c, mem, PAGE, 4 * PAGE, MAP_RW), 0,
	     "map_dma: private, memfd and shared memory in one");
	uint64_t done = 0;

	dma_unmap_flags(c, PAGE, 4 * PAGE, 0, &done);
	want((long)done, 4 * PAGE, "unmap_dma: which is one mapping");
	close(file);
}

/* The limit, and that overlap is looked at before it. */
static void map_limit(int c, uint8_t *mem)
{
	uint32_t n = dma_avail(c);
	uint32_t made = 0;

	while (made < n && !dma_map(c, mem, (made + 1ull) * PAGE, PAGE, READ))
		made++;
	want(made, n, "map_dma: as many as are available");
	want(dma_avail(c), 0, "map_dma: then none is available");
	want(dma_map(c, mem, (n + 1ull) * PAGE, PAGE, READ), -ENOSPC,
	     "map_dma: one more is ENOSPC");
	want(dma_map(c, mem, PAGE, PAGE, READ), -EEXIST,
	     "map_dma: EEXIST is found before ENOSPC");
	want(dma_unmap(c, 5 * PAGE, PAGE), 0, "unmap_dma: one of them");
	want(dma_map(c, mem, 5 * PAGE, PAGE, READ), 0,
	     "map_dma: then one more");
	uint64_t done = 0;

	want(dma_unmap_flags(c, PAGE, (uint64_t)n * PAGE, 0, &done), 0,
	     "unmap_dma: all of them by range");
	want((long)done, (long)(n * PAGE), "unmap_dma: and says so");
	want(dma_avail(c), n, "unmap_dma: all are available again");
}

void test_map(void)
{
	uint8_t *mem = anon(16 * PAGE);
	struct vfio v;

	if (!have("edu"))
		return;
	vfio_open(&v, "edu");
	map_argsz(v.container, mem);
	map_flags(v.container, mem);
	map_alignment(v.container, mem);
	map_wrap(v.container, mem);
	map_msi_window(v.container, mem);
	map_limits(v.container, mem);
	map_overlap(v.container, mem);
	map_vaddr(v.container);
	map_pieces(v.container);
	map_limit(v.container, mem);
	vfio_close(&v);
}

/* UNMAP_DMA */

/* One call; @size_out is expected in size afterwards. */
static void unmap(int c, uint64_t iova, uint64_t size, uint32_t flags,
		  long result, uint64_t size_out, const char *what)
{
	uint64_t done = 0;

	want(dma_unmap_flags(c, iova, size, flags, &done), result,
	     "unmap_dma: %s", what);
	if (done != size_out)
		want((long)done, (long)size_out, "unmap_dma: %s: size", what);
}

static void unmap_argsz(int c, void *mem)
{
	uint8_t buf[88];
	struct vfio_iommu_type1_dma_unmap *u = (void *)buf;
	struct vfio_iommu_type1_dma_unmap *cut = edge(24);

	memset(buf, FILL, sizeof(buf));
	*u = (struct vfio_iommu_type1_dma_unmap){.iova = PAGE, .size = PAGE};
	dma_map(c, mem, PAGE, PAGE, MAP_RW);
	want(R(ioctl(c, VFIO_IOMMU_UNMAP_DMA, NULL)), -EFAULT,
	     "unmap_dma: NULL is EFAULT");
	want(R(ioctl(c, VFIO_IOMMU_UNMAP_DMA, edge(23))), -EFAULT,
	     "unmap_dma: memory that ends early is EFAULT");
	want(R(ioctl(c, VFIO_IOMMU_UNMAP_DMA, u)), -EINVAL,
	     "unmap_dma: argsz 0 is EINVAL");
	u->argsz = 23;
	want(R(ioctl(c, VFIO_IOMMU_UNMAP_DMA, u)), -EINVAL,
	     "unmap_dma: argsz 23 is EINVAL");
	u->argsz = sizeof(buf);
	want(R(ioctl(c, VFIO_IOMMU_UNMAP_DMA, u)), 0, "unmap_dma: argsz long");
	want((long)u->size, PAGE, "unmap_dma: argsz long: size");
	ok(u->argsz == sizeof(buf) && filled(buf + 24, 64, FILL),
	   "unmap_dma: writes nothing behind the struct");
	*cut = *u;
	cut->argsz = 24;
	want(R(ioctl(c, VFIO_IOMMU_UNMAP_DMA, cut)), 0,
	     "unmap_dma: argsz exact");
}

static void unmap_flags(int c, void *mem)
{
	dma_map(c, mem, PAGE, PAGE, MAP_RW);
	for (unsigned int bit = 3; bit < 32; bit++)
		unmap(c, PAGE, PAGE, 1u << bit, -EINVAL, PAGE,
		      "unknown flag is EINVAL");
	unmap(c, PAGE, PAGE, 1, -EINVAL, PAGE,
	      "GET_DIRTY_BITMAP without a bitmap is EINVAL");
	unmap(c, 0, 0, 1 | 2, -EINVAL, 0, "GET_DIRTY_BITMAP and ALL is EINVAL");
	unmap(c, PAGE, PAGE, 1 | 4, -EINVAL, PAGE,
	      "GET_DIRTY_BITMAP and VADDR is EINVAL");
	unmap(c, PAGE, 0, 2, -EINVAL, 0, "ALL with an iova is EINVAL");
	unmap(c, 0, PAGE, 2, -EINVAL, PAGE, "ALL with a size is EINVAL");
	unmap(c, 1, 0, 2, -EINVAL, 0, "ALL with a misaligned iova is EINVAL");
	unmap(c, PAGE, PAGE, 0, 0, PAGE, "refusals have removed nothing");
	unmap(c, 0, 0, 2, 0, 0, "ALL of nothing is 0 bytes");
}

static void unmap_range(int c)
{
	unmap(c, PAGE, 0, 0, -EINVAL, 0, "size 0 is EINVAL");
	unmap(c, PAGE + 1, PAGE, 0, -EINVAL, PAGE, "misaligned iova is EINVAL");
	unmap(c, PAGE, PAGE + 1, 0, -EINVAL, PAGE + 1,
	      "misaligned size is EINVAL");
	unmap(c, PAGE, 0x800, 0, -EINVAL, 0x800, "less than a page is EINVAL");
	unmap(c, TOP, 2 * PAGE, 0, -EOVERFLOW, 2 * PAGE,
	      "wrapping is EOVERFLOW");
	unmap(c, 2 * PAGE, TOP, 0, -EOVERFLOW, TOP,
	      "wrapping by size is EOVERFLOW");
	unmap(c, PAGE, PAGE, 0, 0, 0, "nothing mapped is 0 bytes");
	unmap(c, TOP, PAGE, 0, 0, 0, "the last page of 64 bits is 0 bytes");
	unmap(c, PAGE, TOP, 0, 0, 0, "up to the end of 64 bits is 0 bytes");
}

static void unmap_v2(int c, void *mem)
{
	dma_map(c, mem, 4 * PAGE, 4 * PAGE, MAP_RW);
	unmap(c, 4 * PAGE, PAGE, 0, -EINVAL, PAGE,
	      "v2: the first page of a mapping is EINVAL");
	unmap(c, 7 * PAGE, PAGE, 0, -EINVAL, PAGE,
	      "v2: the last page of a mapping is EINVAL");
	unmap(c, 5 * PAGE, PAGE, 0, -EINVAL, PAGE,
	      "v2: the middle of a mapping is EINVAL");
	unmap(c, 2 * PAGE, 4 * PAGE, 0, -EINVAL, 4 * PAGE,
	      "v2: up to the middle of a mapping is EINVAL");
	unmap(c, 6 * PAGE, 8 * PAGE, 0, -EINVAL, 8 * PAGE,
	      "v2: from the middle of a mapping is EINVAL");
	dma_map(c, mem, 10 * PAGE, 2 * PAGE, MAP_RW);
	unmap(c, 4 * PAGE, 7 * PAGE, 0, -EINVAL, 7 * PAGE,
	      "v2: one and half of another is EINVAL");
	want(dma_map(c, mem, 4 * PAGE, PAGE, MAP_RW), -EEXIST,
	     "unmap_dma: v2: and leaves the first one there");
	unmap(c, 2 * PAGE, 20 * PAGE, 0, 0, 6 * PAGE,
	      "v2: mappings and holes give the sum");
	dma_map(c, mem, 4 * PAGE, PAGE, MAP_RW);
	dma_map(c, mem, 5 * PAGE, PAGE, MAP_RW);
	unmap(c, 4 * PAGE, PAGE, 0, 0, PAGE, "v2: one of two neighbours");
	unmap(c, 4 * PAGE, 2 * PAGE, 0, 0, PAGE, "v2: the other one");
	dma_map(c, mem, 4 * PAGE, 4 * PAGE, MAP_RW);
	unmap(c, 0, TOP, 0, 0, 4 * PAGE, "v2: everything by range");
}

static void unmap_v1(int c, void *mem)
{
	dma_map(c, mem, 4 * PAGE, 4 * PAGE, MAP_RW);
	unmap(c, 5 * PAGE, PAGE, 0, 0, 0, "v1: the middle does nothing");
	unmap(c, 7 * PAGE, 4 * PAGE, 0, 0, 0,
	      "v1: from the last page does nothing");
	want(dma_map(c, mem, 4 * PAGE, PAGE, MAP_RW), -EEXIST,
	     "unmap_dma: v1: it is still there");
	unmap(c, 4 * PAGE, PAGE, 0, 0, 4 * PAGE,
	      "v1: the first page takes all of it");
	want(dma_map(c, mem, 4 * PAGE, 4 * PAGE, MAP_RW), 0,
	     "unmap_dma: v1: which is gone");
	unmap(c, 2 * PAGE, 3 * PAGE, 0, 0, 4 * PAGE,
	      "v1: up to the first page takes all of it");
	unmap(c, PAGE, PAGE, 0, 0, 0, "v1: nothing mapped is 0 bytes");
	unmap(c, PAGE, 0, 0, -EINVAL, 0, "v1: size 0 is EINVAL");
	unmap(c, TOP, 2 * PAGE, 0, -EOVERFLOW, 2 * PAGE,
	      "v1: wrapping is EOVERFLOW");
	dma_map(c, mem, 4 * PAGE, 4 * PAGE, MAP_RW);
	unmap(c, 0, 0, VFIO_DMA_UNMAP_FLAG_ALL, 0, 4 * PAGE, "v1: ALL");
}

void test_unmap(void)
{
	uint8_t *mem = anon(16 * PAGE);
	struct vfio v;

	if (!have("edu"))
		return;
	vfio_open(&v, "edu");
	unmap_argsz(v.container, mem);
	unmap_flags(v.container, mem);
	unmap_range(v.container);
	unmap_v2(v.container, mem);
	vfio_close(&v);
	vfio_open_type(&v, "edu", VFIO_TYPE1_IOMMU);
	want(dma_map(v.container, mem, PAGE, PAGE, MAP_RW), 0, "map_dma: v1");
	want(dma_map(v.container, mem, PAGE, PAGE, MAP_RW), -EEXIST,
	     "map_dma: v1: again is EEXIST");
	want(dma_unmap(v.container, PAGE, PAGE), 0, "unmap_dma: v1");
	unmap_v1(v.container, mem);
	vfio_close(&v);
}

/* RLIMIT_MEMLOCK */

static bool drop_ipc_lock(void)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {0};

	if (syscall(SYS_capget, &head, data))
		return false;
	data[0].effective &= ~(1u << CAP_IPC_LOCK);
	return !syscall(SYS_capset, &head, data);
}

static long vm_locked(void)
{
	char buf[4096];
	int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, buf, sizeof(buf) - 1);

	close(fd);
	buf[n > 0 ? n : 0] = '\0';
	const char *line = strstr(buf, "VmLck:");

	return line ? strtol(line + 6, NULL, 10) * 1024 : -1;
}

void test_memlock(void)
{
	struct rlimit limit = {8 * PAGE, 8 * PAGE};
	uint8_t *mem = anon(16 * PAGE);
	struct vfio v;

	if (!have("edu"))
		return;
	vfio_open(&v, "edu");
	ok(drop_ipc_lock() && !setrlimit(RLIMIT_MEMLOCK, &limit),
	   "memlock: 8 pages and no CAP_IPC_LOCK");
	long before = vm_locked();

	refused(v.container, mem, PAGE, 9 * PAGE, MAP_RW, -ENOMEM,
		"more than RLIMIT_MEMLOCK is ENOMEM");
	want(dma_map(v.container, mem, PAGE, 4 * PAGE, MAP_RW), 0,
	     "memlock: half of it");
	note("VmLck grew by %ld", vm_locked() - before);
	want(dma_map(v.container, mem, 0x100000, 4 * PAGE, MAP_RW), 0,
	     "memlock: the same pages again use up the rest");
	refused(v.container, mem + 8 * PAGE, 0x200000, PAGE, MAP_RW, -ENOMEM,
		"one page more is ENOMEM");
	dma_unmap(v.container, PAGE, 4 * PAGE);
	want(dma_map(v.container, mem + 8 * PAGE, 0x200000, 4 * PAGE, MAP_RW),
	     0, "memlock: unmap gives it back");
	vfio_close(&v);
}
