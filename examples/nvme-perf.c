/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A first NVMe driver, and how fast the controller behind it is.
 *
 * Everything that it takes to drive an NVMe controller from user space is in
 * this file: VFIO gives access to the registers and lets the device reach a
 * stretch of our memory; one pair of admin queues makes one pair of I/O
 * queues; then commands are written into the submission queue, the doorbell
 * is rung, and completions are polled for. It includes no header but the
 * kernel's and libc's, and knows nothing of softvfio:
 *
 *   softvfio run -d nvme,size=64M -- nvme-perf -s 512 -q 32 0000:01:00.0
 *
 * The numbers are those of the NVM Express Base Specification 1.4.
 */
#include <endian.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <linux/pci_regs.h>
#include <linux/vfio.h>

#define PAGE	  4096u
#define IOVA	  0x100000ull /* where the device sees our memory */
#define DEPTH_MAX 1023u
#define BYTES_MAX (1u << 20)

enum {
	REG_CC = 0x14,
	REG_CSTS = 0x1c,
	REG_AQA = 0x24,
	REG_ASQ = 0x28,
	REG_ACQ = 0x30,
	REG_DOORBELL = 0x1000,
};

enum { ADMIN_CREATE_SQ = 1, ADMIN_CREATE_CQ = 5, ADMIN_IDENTIFY = 6 };
enum { IO_WRITE = 1, IO_READ = 2 };

struct sqe {
	uint8_t opcode;
	uint8_t flags;
	uint16_t cid;
	uint32_t nsid;
	uint64_t reserved;
	uint64_t metadata;
	uint64_t prp[2];
	uint32_t cdw[6]; /* 10 to 15 */
};

struct cqe {
	uint32_t result;
	uint32_t reserved;
	uint16_t sq_head;
	uint16_t sq_id;
	uint16_t cid;
	uint16_t status; /* bit 0 is the phase tag */
};

struct queue {
	struct sqe *sq;
	volatile struct cqe *cq;
	volatile uint32_t *sq_doorbell;
	volatile uint32_t *cq_doorbell;
	uint32_t size; /* entries of either ring */
	uint32_t tail;
	uint32_t head;
	uint16_t phase;
};

/* Our memory, of which the device sees byte 0 at IOVA. */
struct memory {
	uint8_t *base;
	uint64_t len;
	uint64_t used;
};

struct options {
	const char *bdf;
	uint32_t size;
	uint32_t depth;
	double seconds;
	bool shared; /* a memfd; else private memory */
	bool write;
	bool json;
};

struct perf {
	struct options opt;
	int container;
	int device;
	volatile uint8_t *regs;
	struct memory mem;
	struct queue admin;
	struct queue io;
	uint64_t blocks;
	uint32_t block_size;
	uint64_t random;
	uint8_t *data;	 /* depth buffers */
	uint64_t *lists; /* depth pages for PRP lists */
};

static void check(bool ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	exit(1);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* VFIO: a device by way of its group, and memory that it may reach */

static int open_group(const char *bdf)
{
	char path[128], link[256];

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group",
		 bdf);
	ssize_t n = readlink(path, link, sizeof(link) - 1);

	check(n > 0, path);
	link[n] = '\0';
	const char *number = strrchr(link, '/');

	snprintf(path, sizeof(path), "/dev/vfio/%.20s",
		 number ? number + 1 : link);
	int group = open(path, O_RDWR | O_CLOEXEC);

	check(group >= 0, path);
	return group;
}

static int open_container(int group)
{
	int container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);

	check(container >= 0, "/dev/vfio/vfio");
	check(!ioctl(group, VFIO_GROUP_SET_CONTAINER, &container),
	      "SET_CONTAINER");
	check(!ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU),
	      "SET_IOMMU");
	return container;
}

static void *get_memory(bool shared, uint64_t len)
{
	int flags = shared ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS;
	int fd = shared ? memfd_create("nvme-perf", MFD_CLOEXEC) : -1;

	check(!shared || !ftruncate(fd, (off_t)len), "memfd");
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, flags, fd, 0);

	check(p != MAP_FAILED, "memory");
	if (fd >= 0)
		close(fd);
	memset(p, 0, len);
	return p;
}

static void map_memory(struct perf *p)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.iova = IOVA,
	};

	/* a page of list and the data for each command; queues; identify */
	p->mem.len = p->opt.depth * (uint64_t)(p->opt.size + PAGE) +
		     (DEPTH_MAX + 1) * 2ull * sizeof(struct sqe) + 16 * PAGE;
	p->mem.len = (p->mem.len + PAGE - 1) & ~(uint64_t)(PAGE - 1);
	p->mem.base = get_memory(p->opt.shared, p->mem.len);
	map.vaddr = (uintptr_t)p->mem.base;
	map.size = p->mem.len;
	check(!ioctl(p->container, VFIO_IOMMU_MAP_DMA, &map), "MAP_DMA");
}

static void map_registers(struct perf *p)
{
	struct vfio_region_info bar = {
		.argsz = sizeof(bar),
		.index = VFIO_PCI_BAR0_REGION_INDEX,
	};

	check(!ioctl(p->device, VFIO_DEVICE_GET_REGION_INFO, &bar), "BAR 0");
	void *regs = mmap(NULL, bar.size, PROT_READ | PROT_WRITE, MAP_SHARED,
			  p->device, (off_t)bar.offset);

	check(regs != MAP_FAILED, "mmap of BAR 0");
	p->regs = regs;
}

static void enable_bus_master(int device)
{
	uint16_t command = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	struct vfio_region_info config = {
		.argsz = sizeof(config),
		.index = VFIO_PCI_CONFIG_REGION_INDEX,
	};

	check(!ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &config), "config");
	check(pwrite(device, &command, sizeof(command),
		     (off_t)config.offset + PCI_COMMAND) == sizeof(command),
	      "COMMAND");
}

static void open_device(struct perf *p)
{
	int group = open_group(p->opt.bdf);

	p->container = open_container(group);
	map_memory(p);
	p->device = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, p->opt.bdf);
	check(p->device >= 0, p->opt.bdf);
	map_registers(p);
	enable_bus_master(p->device);
}

/* Once the device is done with it */
static void unmap_memory(const struct perf *p)
{
	struct vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap),
		.iova = IOVA,
		.size = p->mem.len,
	};

	check(!ioctl(p->container, VFIO_IOMMU_UNMAP_DMA, &unmap), "UNMAP_DMA");
}

/* Whole pages of our memory */
static void *take(struct memory *mem, uint64_t len)
{
	uint8_t *p = mem->base + mem->used;

	mem->used += (len + PAGE - 1) & ~(uint64_t)(PAGE - 1);
	check(mem->used <= mem->len, "not enough memory planned");
	return p;
}

static uint64_t bus_address(const struct perf *p, const void *at)
{
	return IOVA + (uint64_t)((const uint8_t *)at - p->mem.base);
}

/* Registers and queues */

static uint32_t reg_get(const struct perf *p, uint32_t off)
{
	return le32toh(*(volatile uint32_t *)(p->regs + off));
}

static void reg_set(const struct perf *p, uint32_t off, uint32_t val)
{
	*(volatile uint32_t *)(p->regs + off) = htole32(val);
}

static void reg_set64(const struct perf *p, uint32_t off, uint64_t val)
{
	reg_set(p, off, (uint32_t)val);
	reg_set(p, off + 4, (uint32_t)(val >> 32));
}

static struct queue queue_new(struct perf *p, uint32_t id, uint32_t size)
{
	volatile uint8_t *doorbell = p->regs + REG_DOORBELL + id * 8;

	return (struct queue){
		.sq = take(&p->mem, size * sizeof(struct sqe)),
		.cq = take(&p->mem, size * sizeof(struct cqe)),
		.sq_doorbell = (volatile uint32_t *)doorbell,
		.cq_doorbell = (volatile uint32_t *)(doorbell + 4),
		.size = size,
		.phase = 1,
	};
}

static void queue_put(struct queue *q, const struct sqe *sqe)
{
	q->sq[q->tail] = *sqe;
	if (++q->tail == q->size)
		q->tail = 0;
}

/* The entries first, then the bell. */
static void queue_ring(struct queue *q)
{
	__atomic_store_n(q->sq_doorbell, htole32(q->tail), __ATOMIC_RELEASE);
}

/* The phase tag says whether the entry is there, so it is read first. */
static bool queue_take(struct queue *q, struct cqe *ret_cqe)
{
	volatile struct cqe *cqe = &q->cq[q->head];
	uint16_t status = __atomic_load_n(&cqe->status, __ATOMIC_ACQUIRE);

	if ((le16toh(status) & 1) != q->phase)
		return false;
	*ret_cqe = *cqe;
	if (++q->head == q->size) {
		q->head = 0;
		q->phase ^= 1;
	}
	return true;
}

static void queue_release(struct queue *q)
{
	__atomic_store_n(q->cq_doorbell, htole32(q->head), __ATOMIC_RELEASE);
}

static void wait_ready(const struct perf *p, uint32_t ready)
{
	double until = now() + 30;

	while ((reg_get(p, REG_CSTS) & 1) != ready)
		if (now() > until || reg_get(p, REG_CSTS) & 2) {
			fprintf(stderr, "CSTS is %#x\n", reg_get(p, REG_CSTS));
			exit(1);
		}
}

static void controller_enable(struct perf *p)
{
	const uint32_t entries = 16;

	reg_set(p, REG_CC, 0);
	wait_ready(p, 0);
	p->admin = queue_new(p, 0, entries);
	reg_set(p, REG_AQA, (entries - 1) << 16 | (entries - 1));
	reg_set64(p, REG_ASQ, bus_address(p, p->admin.sq));
	reg_set64(p, REG_ACQ, bus_address(p, (void *)(uintptr_t)p->admin.cq));
	/* entries of 64 and 16 bytes, enabled */
	reg_set(p, REG_CC, 6u << 16 | 4u << 20 | 1);
	wait_ready(p, 1);
}

static void admin(struct perf *p, const struct sqe *sqe)
{
	struct cqe cqe;

	queue_put(&p->admin, sqe);
	queue_ring(&p->admin);
	while (!queue_take(&p->admin, &cqe))
		;
	queue_release(&p->admin);
	if (le16toh(cqe.status) >> 1) {
		fprintf(stderr, "admin command %#x: status %#x\n", sqe->opcode,
			le16toh(cqe.status) >> 1);
		exit(1);
	}
}

static void identify(struct perf *p)
{
	uint8_t *id = take(&p->mem, PAGE);
	struct sqe sqe = {
		.opcode = ADMIN_IDENTIFY,
		.nsid = htole32(1),
		.prp = {htole64(bus_address(p, id))},
	};
	uint64_t blocks;

	admin(p, &sqe);
	memcpy(&blocks, id, sizeof(blocks));
	p->blocks = le64toh(blocks);
	/* the format in use, and log2 of its block size */
	p->block_size = 1u << id[128 + 4 * (id[26] & 15) + 2];
}

/* The completion queue first, since the submission queue names it. */
static void make_io_queues(struct perf *p)
{
	p->io = queue_new(p, 1, p->opt.depth + 1);
	uint32_t id_and_size = htole32((p->io.size - 1) << 16 | 1);
	uint64_t cq = bus_address(p, (void *)(uintptr_t)p->io.cq);

	admin(p, &(struct sqe){
			 .opcode = ADMIN_CREATE_CQ,
			 .prp = {htole64(cq)},
			 .cdw = {id_and_size, htole32(1)}, /* no interrupts */
		 });
	admin(p, &(struct sqe){
			 .opcode = ADMIN_CREATE_SQ,
			 .prp = {htole64(bus_address(p, p->io.sq))},
			 .cdw = {id_and_size, htole32(1u << 16 | 1)},
		 });
}

/* The measured part */

static uint64_t random_block(struct perf *p, uint32_t blocks)
{
	p->random ^= p->random << 13;
	p->random ^= p->random >> 7;
	p->random ^= p->random << 17;
	return p->random % (p->blocks / blocks) * blocks;
}

/* Data of one page, of two, or of pages that a list names */
static void set_data(const struct perf *p, struct sqe *sqe, uint32_t slot)
{
	uint64_t data = bus_address(p, p->data) + slot * (uint64_t)p->opt.size;
	uint64_t *list = p->lists + slot * (PAGE / sizeof(uint64_t));
	uint64_t first = PAGE - (data & (PAGE - 1));

	sqe->prp[0] = htole64(data);
	if (p->opt.size <= first)
		return;
	sqe->prp[1] = htole64(data + first);
	if (p->opt.size <= first + PAGE)
		return;
	for (uint32_t i = 0; first + i * PAGE < p->opt.size; i++)
		list[i] = htole64(data + first + i * PAGE);
	sqe->prp[1] = htole64(bus_address(p, list));
}

static void submit(struct perf *p, uint16_t slot)
{
	uint32_t blocks = p->opt.size / p->block_size;
	uint64_t lba = random_block(p, blocks);
	struct sqe sqe = {
		.opcode = p->opt.write ? IO_WRITE : IO_READ,
		.cid = htole16(slot),
		.nsid = htole32(1),
		.cdw = {htole32((uint32_t)lba), htole32((uint32_t)(lba >> 32)),
			htole32(blocks - 1)},
	};

	set_data(p, &sqe, slot);
	queue_put(&p->io, &sqe);
}

/* Takes what is complete, and submits as much again. */
static uint32_t turn_over(struct perf *p, bool again)
{
	struct cqe cqe;
	uint32_t n = 0;

	for (; queue_take(&p->io, &cqe); n++) {
		if (le16toh(cqe.status) >> 1) {
			fprintf(stderr, "status %#x\n",
				le16toh(cqe.status) >> 1);
			exit(1);
		}
		if (again)
			submit(p, le16toh(cqe.cid));
	}
	if (!n)
		return 0;
	queue_release(&p->io);
	if (again)
		queue_ring(&p->io);
	return n;
}

static uint64_t run_for(struct perf *p, double seconds)
{
	double until = now() + seconds;
	uint64_t done = 0;

	for (uint32_t i = 0; i < p->opt.depth; i++)
		submit(p, (uint16_t)i);
	queue_ring(&p->io);
	do {
		for (int i = 0; i < 64; i++)
			done += turn_over(p, true);
	} while (now() < until);
	for (uint32_t left = p->opt.depth; left;) {
		uint32_t n = turn_over(p, false);

		done += n;
		left -= n;
	}
	return done;
}

static double cpu_seconds(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void report(const struct perf *p, uint64_t done, double took, double cpu)
{
	const char *op = p->opt.write ? "write" : "read";
	const char *memory = p->opt.shared ? "file" : "mem";
	double rate = (double)done / took, each = cpu / (double)done * 1e6;
	double mb = rate * p->opt.size / 1e6;

	if (p->opt.json)
		printf("{\"op\": \"%s\", \"size\": %u, \"depth\": %u, "
		       "\"memory\": \"%s\", \"iops\": %.0f, "
		       "\"mb_s\": %.0f, \"client_cpu_us\": %.3f, "
		       "\"commands\": %llu}\n",
		       op, p->opt.size, p->opt.depth, memory, rate, mb, each,
		       (unsigned long long)done);
	else
		printf("%s %u B, depth %u, %s memory: %.0f /s, %.0f MB/s, "
		       "%.3f us of our CPU each\n",
		       op, p->opt.size, p->opt.depth, memory, rate, mb, each);
}

static void measure(struct perf *p)
{
	run_for(p, p->opt.seconds / 10); /* warm up */
	double start = now(), cpu = cpu_seconds();
	uint64_t done = run_for(p, p->opt.seconds);

	report(p, done, now() - start, cpu_seconds() - cpu);
}

static void usage(void)
{
	fprintf(stderr,
		"usage: nvme-perf [-s BYTES] [-q DEPTH] [-t SECONDS] [-m "
		"file|mem] [-w] [-j] BDF\n"
		"  -s  bytes of a command, 512\n"
		"  -q  commands at a time, 1\n"
		"  -t  for so long, 1\n"
		"  -m  what memory: a shared file's, or private\n"
		"  -w  write; else read\n"
		"  -j  print JSON\n");
	exit(2);
}

static struct options parse(int argc, char **argv)
{
	struct options o = {
		.size = 512, .depth = 1, .seconds = 1, .shared = true};
	int c;

	while ((c = getopt(argc, argv, "s:q:t:m:wj")) != -1) {
		if (c == 's')
			o.size = (uint32_t)strtoul(optarg, NULL, 0);
		else if (c == 'q')
			o.depth = (uint32_t)strtoul(optarg, NULL, 0);
		else if (c == 't')
			o.seconds = strtod(optarg, NULL);
		else if (c == 'm')
			o.shared = strcmp(optarg, "mem");
		else if (c == 'w')
			o.write = true;
		else if (c == 'j')
			o.json = true;
		else
			usage();
	}
	if (optind != argc - 1 || !o.depth || o.depth > DEPTH_MAX || !o.size ||
	    o.size > BYTES_MAX || o.seconds <= 0)
		usage();
	o.bdf = argv[optind];
	return o;
}

int main(int argc, char **argv)
{
	struct perf p = {.opt = parse(argc, argv), .random = 88172645463325252};

	open_device(&p);
	controller_enable(&p);
	identify(&p);
	if (p.opt.size % p.block_size || p.opt.size / p.block_size > p.blocks) {
		fprintf(stderr,
			"-s %u: blocks are %u bytes, of which there "
			"are %llu\n",
			p.opt.size, p.block_size, (unsigned long long)p.blocks);
		return 1;
	}
	make_io_queues(&p);
	p.lists = take(&p.mem, p.opt.depth * (uint64_t)PAGE);
	p.data = take(&p.mem, p.opt.depth * (uint64_t)p.opt.size);
	measure(&p);
	reg_set(&p, REG_CC, 0);
	wait_ready(&p, 0);
	unmap_memory(&p);
	return 0;
}
