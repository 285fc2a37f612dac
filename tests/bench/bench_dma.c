/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the IOVA table and the memory providers cost, beside what the same
 * bytes cost without them (memcpy, pread) in the same run. Prints one JSON
 * object; every figure is the median of BATCHES, in nanoseconds.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/unit/map_rig.h"
#include "core/dma/mem.h"

#define PAGE	4096ull
#define BIG	(64ull << 10)
#define BATCHES 9
#define RW	(IOPT_READ | IOPT_WRITE)

#define FILE_IOVA (1ull << 40)
#define MM_IOVA	  (1ull << 41)

struct bench {
	struct type1 *type1;
	struct mem *file;
	struct mem *mm;
	int mem_fd;
	uint64_t n_mapped; /* 4 KiB mappings at 2 * i * PAGE */
	uint8_t *program;
	uint8_t *buf;
	uint64_t turn;
};

static void check(int r, const char *what)
{
	if (r == 0)
		return;
	fprintf(stderr, "bench_dma: %s: %s\n", what, strerror(-r));
	exit(1);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

typedef void (*bench_op)(struct bench *b, uint64_t len);

static double median_ns(struct bench *b, bench_op op, uint64_t len,
			unsigned int times)
{
	double batch[BATCHES];

	op(b, len); /* warm up */
	for (unsigned int i = 0; i < BATCHES; i++) {
		uint64_t start = clock_ns();

		for (unsigned int k = 0; k < times; k++)
			op(b, len);
		batch[i] = (double)(clock_ns() - start) / times;
	}
	qsort(batch, BATCHES, sizeof(batch[0]), by_value);
	return batch[BATCHES / 2];
}

static void map_at(struct bench *b, struct mem *mem, uint64_t off,
		   uint64_t iova, uint64_t len)
{
	struct mem_seg seg = {mem_get(mem), off, len};

	check(rig_map_one(b->type1, iova, len, RW, &seg), "map");
}

/* Into a hole anywhere in the table, and out again. */
static void op_map_unmap(struct bench *b, uint64_t len)
{
	uint64_t at = b->turn++ * 7919 % b->n_mapped, n;

	map_at(b, b->file, 0, (2 * at + 1) * PAGE, len);
	check(type1_unmap(b->type1, false, (2 * at + 1) * PAGE, len, &n),
	      "unmap");
}

static void dma(struct bench *b, uint64_t iova, uint64_t len, bool write)
{
	struct dma_ctx ctx = {false};

	if (write)
		check(dma_write(type1_iopt(b->type1), &ctx, iova, b->buf, len),
		      "write");
	else
		check(dma_read(type1_iopt(b->type1), &ctx, iova, b->buf, len),
		      "read");
}

static void op_file_read(struct bench *b, uint64_t len)
{
	dma(b, FILE_IOVA, len, false);
}

static void op_file_write(struct bench *b, uint64_t len)
{
	dma(b, FILE_IOVA, len, true);
}

static void op_mm_read(struct bench *b, uint64_t len)
{
	dma(b, MM_IOVA, len, false);
}

static void op_mm_write(struct bench *b, uint64_t len)
{
	dma(b, MM_IOVA, len, true);
}

static void op_memcpy(struct bench *b, uint64_t len)
{
	memcpy(b->buf, b->program, len);
	__asm__ volatile("" ::"r"(b->buf) : "memory");
}

static void op_pread(struct bench *b, uint64_t len)
{
	if (pread(b->mem_fd, b->buf, len, (off_t)(uintptr_t)b->program) !=
	    (ssize_t)len)
		check(-EIO, "pread");
}

static void bench_table(struct bench *b)
{
	static const uint64_t present[] = {1, 1000, 60000};

	printf("  \"map_unmap_4k_ns\": {");
	for (size_t i = 0; i < sizeof(present) / sizeof(present[0]); i++) {
		for (; b->n_mapped < present[i]; b->n_mapped++)
			map_at(b, b->file, 0, 2 * b->n_mapped * PAGE, PAGE);
		printf("%s\"%llu\": %.0f", i ? ", " : "",
		       (unsigned long long)present[i],
		       median_ns(b, op_map_unmap, PAGE, 2000));
	}
	printf("},\n");
}

static void bench_copies(struct bench *b)
{
	static const struct {
		const char *name;
		bench_op op;
	} row[] = {
		{"memcpy", op_memcpy},	       {"file_read", op_file_read},
		{"file_write", op_file_write}, {"pread", op_pread},
		{"mm_read", op_mm_read},       {"mm_write", op_mm_write},
	};
	static const uint64_t len[] = {16, PAGE, BIG};

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		printf("  \"%s_ns\": {", row[i].name);
		for (size_t k = 0; k < sizeof(len) / sizeof(len[0]); k++)
			printf("%s\"%llu\": %.0f", k ? ", " : "",
			       (unsigned long long)len[k],
			       median_ns(b, row[i].op, len[k], 1000));
		printf("},\n");
	}
}

static void unmap_the_rest(struct bench *b)
{
	uint64_t start = clock_ns(), n;

	check(type1_unmap(b->type1, true, 0, 0, &n), "unmap all");
	printf("  \"unmap_all_60002_ns\": %llu\n",
	       (unsigned long long)(clock_ns() - start));
}

static void setup(struct bench *b)
{
	static const struct mm_id self = {{1, 2}};
	int fd = memfd_create("bench", MFD_CLOEXEC);

	b->program = mmap(NULL, BIG, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	b->buf = malloc(BIG);
	if (fd < 0 || b->program == MAP_FAILED || !b->buf ||
	    ftruncate(fd, (off_t)BIG) < 0)
		check(-ENOMEM, "memory");
	memset(b->program, 1, BIG);
	memset(b->buf, 2, BIG);
	check(mem_guard_init(), "mem_guard_init");
	b->type1 = rig_type1(TYPE1_V2, TYPE1_ENTRY_LIMIT);
	check(b->type1 ? 0 : -ENOMEM, "type1_new");
	check(mem_file(getpid(), fd, true, BIG, &b->file), "mem_file");
	b->mem_fd = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	check(mem_mm(getpid(), &self, b->mem_fd, &b->mm), "mem_mm");
	map_at(b, b->file, 0, FILE_IOVA, BIG);
	map_at(b, b->mm, (uintptr_t)b->program, MM_IOVA, BIG);
	close(fd);
}

int main(void)
{
	struct bench b = {0};

	setup(&b);
	printf("{\n");
	bench_table(&b);
	bench_copies(&b);
	unmap_the_rest(&b);
	printf("}\n");
	type1_put(b.type1);
	mem_put(b.file);
	mem_put(b.mm);
	close(b.mem_fd);
	munmap(b.program, BIG);
	free(b.buf);
	return 0;
}
