/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Shorthands for VFIO calls, so that a test is one line per promise.
 */
#include <poll.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <time.h>

#include "tests/abi/abi.h"

#define WAIT_MS 2000 /* for what must come */
#define NONE_MS 10   /* for what must not */

/* Without it nothing that follows in the area means anything. */
static int need(long ret, const char *what)
{
	if (ret >= 0)
		return (int)ret;
	ok(false, "%s works (the rest of the area is left out): %s", what,
	   strerror((int)-ret));
	_exit(0);
}

int container_open(void)
{
	return need(R(open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC)),
		    "open of /dev/vfio/vfio");
}

long group_try(const char *role)
{
	char path[32];

	snprintf(path, sizeof(path), "/dev/vfio/%d", function(role)->group);
	return R(open(path, O_RDWR | O_CLOEXEC));
}

int group_open(const char *role)
{
	return need(group_try(role), "open of the group");
}

long set_container(int group, int container)
{
	return R(ioctl(group, VFIO_GROUP_SET_CONTAINER, &container));
}

long device_get(int group, const char *name)
{
	return R(ioctl(group, VFIO_GROUP_GET_DEVICE_FD, name));
}

int device_open(int group, const char *role)
{
	return need(device_get(group, function(role)->bdf), "GET_DEVICE_FD");
}

void vfio_open_type(struct vfio *v, const char *role, unsigned long type)
{
	v->container = container_open();
	v->group = group_open(role);
	need(set_container(v->group, v->container), "SET_CONTAINER");
	need(R(ioctl(v->container, VFIO_SET_IOMMU, type)), "SET_IOMMU");
	v->device = device_open(v->group, role);
}

void vfio_open(struct vfio *v, const char *role)
{
	vfio_open_type(v, role, VFIO_TYPE1v2_IOMMU);
}

void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void vfio_close(struct vfio *v)
{
	close_fd(&v->device);
	close_fd(&v->group);
	close_fd(&v->container);
}

void *nowhere(void)
{
	static void *page;

	if (!page)
		page = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS,
			    -1, 0);
	return page;
}

void *edge(size_t n)
{
	uint8_t *p = anon(2 * PAGE);

	mprotect(p + PAGE, PAGE, PROT_NONE);
	memset(p, FILL, PAGE);
	return p + PAGE - n;
}

bool filled(const void *p, size_t n, uint8_t byte)
{
	const uint8_t *b = p;

	for (size_t i = 0; i < n; i++)
		if (b[i] != byte)
			return false;
	return true;
}

/* argsz, flags, index: the head that all of these structs have. */
static long sweep_call(int fd, const struct sweep *s, void *buf, uint32_t argsz)
{
	memcpy(buf, &argsz, 4);
	if (s->full >= 12)
		memcpy((uint8_t *)buf + 8, &s->index, 4);
	return R(ioctl(fd, s->cmd, buf));
}

static void argsz_short(int fd, const struct sweep *s, uint32_t argsz)
{
	uint8_t buf[64];

	memset(buf, FILL, sizeof(buf));
	want(sweep_call(fd, s, buf, argsz), -EINVAL, "%s: argsz %u is EINVAL",
	     s->name, argsz);
	ok(filled(buf + 4, 4, FILL) && filled(buf + 12, 52, FILL),
	   "%s: argsz %u writes nothing", s->name, argsz);
}

static void argsz_enough(int fd, const struct sweep *s, uint32_t argsz)
{
	uint8_t buf[512];

	memset(buf, FILL, sizeof(buf));
	want(sweep_call(fd, s, buf, argsz), 0, "%s: argsz %u", s->name, argsz);
	ok(filled(buf + argsz, sizeof(buf) - argsz, FILL),
	   "%s: argsz %u: nothing is written behind it", s->name, argsz);
}

void argsz_rules(int fd, const struct sweep *s)
{
	want(R(ioctl(fd, s->cmd, NULL)), -EFAULT, "%s: NULL is EFAULT",
	     s->name);
	want(R(ioctl(fd, s->cmd, nowhere())), -EFAULT,
	     "%s: inaccessible memory is EFAULT", s->name);
	/* argsz is bad as well, yet the pointer is found out first */
	want(R(ioctl(fd, s->cmd, edge(s->min - 1))), -EFAULT,
	     "%s: memory that ends early is EFAULT", s->name);
	argsz_short(fd, s, 0);
	argsz_short(fd, s, s->min - 1);
	argsz_enough(fd, s, s->min);
	for (uint32_t argsz = s->min + 4; argsz <= s->full; argsz += 4)
		argsz_enough(fd, s, argsz);
	argsz_enough(fd, s, s->full + 200);
	want(sweep_call(fd, s, edge(s->min), s->min), 0,
	     "%s: memory may end after the %u mandatory bytes", s->name,
	     s->min);
}

long dma_map(int container, const void *vaddr, uint64_t iova, uint64_t size,
	     uint32_t flags)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = flags,
		.vaddr = (uintptr_t)vaddr,
		.iova = iova,
		.size = size,
	};

	return R(ioctl(container, VFIO_IOMMU_MAP_DMA, &map));
}

long dma_unmap_flags(int container, uint64_t iova, uint64_t size,
		     uint32_t flags, uint64_t *ret_size)
{
	struct vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap),
		.flags = flags,
		.iova = iova,
		.size = size,
	};
	long ret = R(ioctl(container, VFIO_IOMMU_UNMAP_DMA, &unmap));

	*ret_size = unmap.size;
	return ret;
}

long dma_unmap(int container, uint64_t iova, uint64_t size)
{
	uint64_t done = 0;

	return dma_unmap_flags(container, iova, size, 0, &done);
}

uint32_t dma_avail(int container)
{
	uint8_t buf[1024] = {0};
	struct vfio_iommu_type1_info *info = (void *)buf;
	struct vfio_info_cap_header *cap;

	info->argsz = sizeof(buf);
	if (ioctl(container, VFIO_IOMMU_GET_INFO, info))
		return UINT32_MAX;
	for (uint32_t off = info->cap_offset; off; off = cap->next) {
		cap = (void *)(buf + off);
		if (cap->id == VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL)
			return ((struct vfio_iommu_type1_info_dma_avail *)cap)
				->avail;
	}
	return UINT32_MAX;
}

static void *map_memory(size_t len, int flags)
{
	void *p = mmap(NULL, len, RW, flags | MAP_ANONYMOUS, -1, 0);

	need(p == MAP_FAILED ? -ENOMEM : 0, "mmap of memory");
	return p;
}

void *anon(size_t len)
{
	return map_memory(len, MAP_PRIVATE);
}

void *shared(size_t len)
{
	return map_memory(len, MAP_SHARED);
}

int memfd(size_t len)
{
	int fd = need(R(memfd_create("abi", MFD_CLOEXEC)), "memfd_create");

	need(R(ftruncate(fd, (off_t)len)), "ftruncate");
	return fd;
}

uint32_t rd32(int device, uint64_t pos)
{
	uint32_t val = 0;

	return pread(device, &val, 4, (off_t)pos) == 4 ? val : UINT32_MAX;
}

long wr32(int device, uint64_t pos, uint32_t val)
{
	return R(pwrite(device, &val, 4, (off_t)pos));
}

uint64_t rd64(int device, uint64_t pos)
{
	uint64_t val = 0;

	return pread(device, &val, 8, (off_t)pos) == 8 ? val : UINT64_MAX;
}

long wr64(int device, uint64_t pos, uint64_t val)
{
	return R(pwrite(device, &val, 8, (off_t)pos));
}

uint32_t cfg(int device, unsigned int pos, unsigned int size)
{
	uint32_t val = 0;

	if (pread(device, &val, size, (off_t)(CONFIG + pos)) != (ssize_t)size)
		return UINT32_MAX;
	return val;
}

long cfg_set(int device, unsigned int pos, unsigned int size, uint32_t val)
{
	return R(pwrite(device, &val, size, (off_t)(CONFIG + pos)));
}

unsigned int find_cap(int device, uint8_t id)
{
	unsigned int pos = cfg(device, 0x34, 1) & 0xfc;

	for (int i = 0; pos && i < 48; i++) {
		if (cfg(device, pos, 1) == id)
			return pos;
		pos = cfg(device, pos + 1, 1) & 0xfc;
	}
	return 0;
}

void set_command(int device, uint16_t clear, uint16_t set)
{
	cfg_set(device, 4, 2, (cfg(device, 4, 2) & ~(uint32_t)clear) | set);
}

static struct vfio_region_info region_info(int device, uint32_t index)
{
	struct vfio_region_info info = {.argsz = sizeof(info), .index = index};

	if (ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &info))
		info = (struct vfio_region_info){0};
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

static struct vfio_irq_info irq_info(int device, uint32_t index)
{
	struct vfio_irq_info info = {.argsz = sizeof(info), .index = index};

	if (ioctl(device, VFIO_DEVICE_GET_IRQ_INFO, &info))
		info = (struct vfio_irq_info){0};
	return info;
}

uint32_t irq_count(int device, uint32_t index)
{
	return irq_info(device, index).count;
}

uint32_t irq_flags(int device, uint32_t index)
{
	return irq_info(device, index).flags;
}

long set_irqs(int device, uint32_t flags, uint32_t index, uint32_t start,
	      uint32_t count, const void *data, size_t len)
{
	struct vfio_irq_set *set = malloc(sizeof(*set) + len);

	*set = (struct vfio_irq_set){
		.argsz = (uint32_t)(sizeof(*set) + len),
		.flags = flags,
		.index = index,
		.start = start,
		.count = count,
	};
	if (len)
		memcpy(set->data, data, len);
	long ret = R(ioctl(device, VFIO_DEVICE_SET_IRQS, set));

	free(set);
	return ret;
}

long irq_eventfd(int device, uint32_t index, uint32_t start, int fd)
{
	int32_t data = fd;

	return set_irqs(device,
			VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
			index, start, 1, &data, sizeof(data));
}

int event_fd(void)
{
	return need(R(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)), "eventfd");
}

static long take_events(int fd, int ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	uint64_t n = 0;

	poll(&p, 1, ms);
	return read(fd, &n, sizeof(n)) == sizeof(n) ? (long)n : 0;
}

long events(int fd)
{
	return take_events(fd, WAIT_MS);
}

long no_events(int fd)
{
	return take_events(fd, NONE_MS);
}

static sigjmp_buf touch_back;
static volatile struct fault touched;

static void on_fault(int sig, siginfo_t *info, void *context)
{
	(void)context;
	touched.signal = sig;
	touched.code = info->si_code;
	touched.addr = info->si_addr;
	siglongjmp(touch_back, 1);
}

struct fault touch(volatile void *addr, bool write)
{
	struct sigaction act = {
		.sa_sigaction = on_fault,
		.sa_flags = SA_SIGINFO,
	};
	struct sigaction bus;
	struct sigaction segv;
	volatile uint32_t *word = addr;

	touched.signal = 0;
	touched.code = 0;
	touched.addr = NULL;
	sigaction(SIGBUS, &act, &bus);
	sigaction(SIGSEGV, &act, &segv);
	if (!sigsetjmp(touch_back, 1)) {
		if (write)
			*word = 0x12345678;
		else
			(void)*word;
	}
	sigaction(SIGBUS, &bus, NULL);
	sigaction(SIGSEGV, &segv, NULL);
	return (struct fault){touched.signal, touched.code, touched.addr};
}

static bool edu_transfer(int device, uint64_t src, uint64_t dst, uint32_t len,
			 uint32_t cmd)
{
	struct timespec now;

	wr64(device, BAR0 + EDU_SRC, src);
	wr64(device, BAR0 + EDU_DST, dst);
	wr64(device, BAR0 + EDU_COUNT, len);
	wr64(device, BAR0 + EDU_CMD, cmd);
	clock_gettime(CLOCK_MONOTONIC, &now);
	time_t end = now.tv_sec + 5;

	while (rd64(device, BAR0 + EDU_CMD) & 1) {
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (now.tv_sec > end)
			return false;
	}
	return true;
}

bool edu_fetch(int device, uint64_t iova, uint32_t len)
{
	return edu_transfer(device, iova, EDU_BUF, len, 1);
}

bool edu_store(int device, uint64_t iova, uint32_t len)
{
	return edu_transfer(device, EDU_BUF, iova, len, 3);
}

int wait_child(pid_t pid)
{
	int status = 0;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return 255;
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

int run_child(int (*fn)(void *arg), void *arg)
{
	pid_t pid = fork();

	if (!pid) {
		alarm(30);
		_exit(fn(arg));
	}
	return wait_child(pid);
}
