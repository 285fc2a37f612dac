/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The NVMe controller: how data is described and moved, in each of the ways
 * there are: host memory that is mapped or not, a file or memory behind the
 * namespace, one thread or several.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/unit/nvme_rig.h"

/* The image's file, which fails when told to */

static _Atomic int fail_read, fail_write, fail_sync;
static _Atomic unsigned int syncs;

ssize_t __real_preadv64(int fd, const struct iovec *iov, int n, off_t off);
ssize_t __real_pwritev64(int fd, const struct iovec *iov, int n, off_t off);
int __real_fdatasync(int fd);
ssize_t __wrap_preadv(int fd, const struct iovec *iov, int n, off_t off);
ssize_t __wrap_preadv64(int fd, const struct iovec *iov, int n, off_t off);
ssize_t __wrap_pwritev(int fd, const struct iovec *iov, int n, off_t off);
ssize_t __wrap_pwritev64(int fd, const struct iovec *iov, int n, off_t off);
int __wrap_fdatasync(int fd);

static ssize_t failing(int err)
{
	errno = err;
	return -1;
}

ssize_t __wrap_preadv64(int fd, const struct iovec *iov, int n, off_t off)
{
	return fail_read ? failing(fail_read)
			 : __real_preadv64(fd, iov, n, off);
}

ssize_t __wrap_preadv(int fd, const struct iovec *iov, int n, off_t off)
{
	return __wrap_preadv64(fd, iov, n, off);
}

/* Short, as a file may always be: never more than a page and a bit */
ssize_t __wrap_pwritev64(int fd, const struct iovec *iov, int n, off_t off)
{
	if (fail_write)
		return failing(fail_write);
	if (iov->iov_len <= PAGE)
		return __real_pwritev64(fd, iov, n, off);
	struct iovec part = {iov->iov_base, PAGE + 3};

	return __real_pwritev64(fd, &part, 1, off);
}

ssize_t __wrap_pwritev(int fd, const struct iovec *iov, int n, off_t off)
{
	return __wrap_pwritev64(fd, iov, n, off);
}

int __wrap_fdatasync(int fd)
{
	syncs++;
	return fail_sync ? (int)failing(fail_sync) : __real_fdatasync(fd);
}

/* The ways data may go */

/** struct way - @option NULL: a file; @no_map: host memory is not mapped */
struct way {
	const char *name;
	const char *option;
	bool memory;
	bool no_map;
};

static const struct way ways[] = {
	{"file", NULL, false, false},
	{"file, not mapped", NULL, false, true},
	{"file, threads", "threads=4", false, false},
	{"file, threads, not mapped", "threads=4", false, true},
	{"memory", NULL, true, false},
	{"memory, threads", "threads=3", true, false},
};
#define N_WAYS (sizeof(ways) / sizeof(ways[0]))

static struct rig *memory_rig(const char *option)
{
	const char *options[] = {"size=8M", option, NULL};
	struct rig *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	r->image = -1;
	r->h = devhost_new(&nvme_ops, options);
	assert_non_null(r->h);
	devhost_set_irq_mode(r->h, SV_IRQ_MSIX);
	return r;
}

static struct rig *way_open(const struct way *w)
{
	struct rig *r = w->memory ? memory_rig(w->option) : rig_new(w->option);

	devhost_refuse_map(r->h, w->no_map);
	enable(r);
	make_io_queues(r, IO_SIZE, IO_SIZE);
	return r;
}

static void way_close(struct rig *r)
{
	void *p = r;

	teardown(&p);
}

/* For each way */
#define each_way(r)                                                            \
	for (size_t way_ = 0; way_ < N_WAYS; way_++)                           \
		for (struct rig *r = way_open(&ways[way_]); r;                 \
		     way_close(r), r = NULL)

/* pattern() of seed 0: that of another seed begins further on */
static uint8_t all_patterns[MAX_DATA + PAGE];

static void put_pattern(struct rig *r, uint64_t at, uint32_t len, uint32_t seed)
{
	memcpy(devhost_ram(r->h) + at, all_patterns + seed, len);
}

static void check_pattern(struct rig *r, uint64_t at, uint32_t from,
			  uint32_t len, uint32_t seed)
{
	assert_memory_equal(devhost_ram(r->h) + at, all_patterns + from + seed,
			    len);
}

/* Blocks in one piece, through PRP entries */
static int rw(struct rig *r, uint8_t op, uint64_t at, uint32_t lba, uint32_t n)
{
	uint32_t pages = (n * BLOCK + PAGE - 1) / PAGE;

	for (uint32_t i = 1; i < pages; i++)
		put_entry(r, LIST + i * 8, at + i * PAGE);
	return io_status(r, .opcode = op, .prp1 = at,
			 .prp2 = pages > 2 ? LIST + 8 : at + PAGE, .cdw10 = lba,
			 .cdw12 = n - 1);
}

/* SGLs */

#define SGL_AT 0x090000u

enum { DATA_BLOCK = 0x00, BUCKET = 0x10, SEGMENT = 0x20, LAST = 0x30 };

static void put_sgl(struct rig *r, uint64_t at, uint8_t id, uint64_t addr,
		    uint32_t len)
{
	struct nvme_sgl d = {.addr = addr, .len = len, .id = id};

	memcpy(devhost_ram(r->h) + at, &d, sizeof(d));
}

/* SGL1 goes where the PRP entries go. */
static int sgl_rw(struct rig *r, uint8_t op, uint8_t id, uint64_t addr,
		  uint32_t len, uint32_t blocks)
{
	return io_status(r, .opcode = op, .flags = 0x40, .prp1 = addr,
			 .prp2 = (uint64_t)id << 56 | len, .cdw12 = blocks - 1);
}

/* A list of three segments: 100 bytes, none, 412, 512 and more than is left */
static void put_long_list(struct rig *r)
{
	put_sgl(r, SGL_AT, DATA_BLOCK, BUF, 100);
	put_sgl(r, SGL_AT + 16, SEGMENT, SGL_AT + 0x100, 48);
	put_sgl(r, SGL_AT + 0x100, DATA_BLOCK, 0xfffff000000, 0);
	put_sgl(r, SGL_AT + 0x110, DATA_BLOCK, BUF + 0x1003, 412);
	put_sgl(r, SGL_AT + 0x120, LAST, SGL_AT + 0x208, 32);
	put_sgl(r, SGL_AT + 0x208, DATA_BLOCK, BUF + 0x2000, 512);
	put_sgl(r, SGL_AT + 0x218, DATA_BLOCK, BUF + 0x3000, 4096);
}

static void check_long_list(struct rig *r)
{
	check_pattern(r, BUF, 0, 100, 7);
	check_pattern(r, BUF + 0x1003, 100, 412, 7);
	check_pattern(r, BUF + 0x2000, 512, 512, 7);
	check_pattern(r, BUF + 0x3000, 1024, 512, 7);
	assert_int_equal(devhost_ram(r->h)[BUF + 0x3000 + 512], 0xcc);
}

static void sgl_segments_reach_every_piece(void **state)
{
	each_way(r)
	{
		put_long_list(r);
		put_pattern(r, DATA, 3 * BLOCK, 7);
		assert_int_equal(rw(r, NVME_IO_WRITE, DATA, 0, 3), 0);
		memset(devhost_ram(r->h) + BUF, 0xcc, 8 * PAGE);
		assert_int_equal(
			sgl_rw(r, NVME_IO_READ, SEGMENT, SGL_AT, 32, 3), 0);
		check_long_list(r);
		/* and back, to other blocks */
		assert_int_equal(io_status(r, .opcode = NVME_IO_WRITE,
					   .flags = 0x80, .prp1 = SGL_AT,
					   .prp2 = (uint64_t)SEGMENT << 56 | 32,
					   .cdw10 = 100, .cdw12 = 2),
				 0);
		assert_int_equal(rw(r, NVME_IO_READ, DATA + PAGE, 100, 3), 0);
		check_pattern(r, DATA + PAGE, 0, 3 * BLOCK, 7);
	}
}

static void sgl_bit_bucket_takes_what_is_read_and_gives_nothing(void **state)
{
	each_way(r)
	{
		put_pattern(r, DATA, 2 * BLOCK, 7);
		assert_int_equal(rw(r, NVME_IO_WRITE, DATA, 0, 2), 0);
		put_sgl(r, SGL_AT, DATA_BLOCK, BUF, 10);
		put_sgl(r, SGL_AT + 16, BUCKET, 0, 600);
		put_sgl(r, SGL_AT + 32, DATA_BLOCK, BUF + PAGE, 414);
		memset(devhost_ram(r->h) + BUF, 0xcc, 2 * PAGE);
		assert_int_equal(sgl_rw(r, NVME_IO_READ, LAST, SGL_AT, 48, 2),
				 0);
		check_pattern(r, BUF, 0, 10, 7);
		assert_int_equal(devhost_ram(r->h)[BUF + 10], 0xcc);
		check_pattern(r, BUF + PAGE, 610, 414, 7);
		assert_int_equal(devhost_ram(r->h)[BUF + PAGE + 414], 0xcc);
		/* all of it */
		assert_int_equal(sgl_rw(r, NVME_IO_READ, BUCKET, 0, 512, 1), 0);
		/* a write cannot come from there */
		assert_int_equal(sgl_rw(r, NVME_IO_WRITE, LAST, SGL_AT, 48, 2),
				 NVME_SC_SGL_LENGTH | DNR);
	}
}

/** struct bad_list - SGL1, and the descriptors at SGL_AT it leads to */
struct bad_list {
	int status;
	uint8_t id;
	uint32_t len;
	struct {
		uint8_t id;
		uint32_t addr;
		uint32_t len;
	} d[3];
};

static const struct bad_list bad_lists[] = {
	/* too short */
	{NVME_SC_SGL_LENGTH, DATA_BLOCK, 511, {{0, 0, 0}}},
	{NVME_SC_SGL_LENGTH, LAST, 16, {{DATA_BLOCK, BUF, 256}}},
	/* keyed, transport, vendor's, reserved; an offset instead of an address */
	{NVME_SC_SGL_TYPE, 0x40, 512, {{0, 0, 0}}},
	{NVME_SC_SGL_TYPE, 0x50, 512, {{0, 0, 0}}},
	{NVME_SC_SGL_TYPE, 0xf0, 512, {{0, 0, 0}}},
	{NVME_SC_SGL_TYPE, 0x60, 512, {{0, 0, 0}}},
	{NVME_SC_SGL_TYPE, 0x01, 512, {{0, 0, 0}}},
	{NVME_SC_SGL_TYPE, 0x21, 16, {{0, 0, 0}}},
	{NVME_SC_SGL_TYPE, LAST, 16, {{0x41, BUF, 512}}},
	/* the length of a segment */
	{NVME_SC_SGL_SEGMENT, LAST, 0, {{DATA_BLOCK, BUF, 512}}},
	{NVME_SC_SGL_SEGMENT, LAST, 24, {{DATA_BLOCK, BUF, 512}}},
	{NVME_SC_SGL_SEGMENT, SEGMENT, 1, {{DATA_BLOCK, BUF, 512}}},
	{NVME_SC_SGL_COUNT, LAST, 0xfffffff0, {{DATA_BLOCK, BUF, 512}}},
	/* where it leads: not aligned, behind the last, in the middle, nowhere */
	{NVME_SC_SGL_SEGMENT, SEGMENT, 16, {{LAST, SGL_AT + 4, 16}}},
	{NVME_SC_SGL_SEGMENT, LAST, 16, {{LAST, SGL_AT, 16}}},
	{NVME_SC_SGL_SEGMENT,
	 LAST,
	 32,
	 {{SEGMENT, SGL_AT, 16}, {DATA_BLOCK, BUF, 512}}},
	{NVME_SC_SGL_COUNT,
	 SEGMENT,
	 32,
	 {{SEGMENT, SGL_AT, 16}, {LAST, SGL_AT, 16}}},
	{NVME_SC_SGL_SEGMENT, SEGMENT, 16, {{DATA_BLOCK, BUF, 512}}},
	/* round and round */
	{NVME_SC_SGL_COUNT, SEGMENT, 16, {{SEGMENT, SGL_AT, 16}}},
};

static void bad_sgl(void **state)
{
	struct rig *r = *state;

	memset(devhost_ram(r->h) + BUF, 0xcc, PAGE);
	for (size_t i = 0; i < sizeof(bad_lists) / sizeof(bad_lists[0]); i++) {
		const struct bad_list *b = &bad_lists[i];

		for (size_t k = 0; k < 3; k++)
			put_sgl(r, SGL_AT + k * 16, b->d[k].id, b->d[k].addr,
				b->d[k].len);
		for (uint8_t op = NVME_IO_WRITE; op <= NVME_IO_READ; op++)
			assert_int_equal(
				sgl_rw(r, op, b->id, SGL_AT, b->len, 1),
				b->status | DNR);
	}
	assert_int_equal(devhost_ram(r->h)[BUF], 0xcc);
	/* both PSDT bits; a list that cannot be read; too many pieces */
	assert_int_equal(io_status(r, .opcode = NVME_IO_READ, .flags = 0xc0),
			 NVME_SC_INVALID_FIELD | DNR);
	assert_int_equal(sgl_rw(r, NVME_IO_READ, LAST, 1ull << 40, 16, 1),
			 NVME_SC_DATA_TRANSFER);
	for (uint32_t i = 0; i < 2048; i++)
		put_sgl(r, DATA + i * 16, DATA_BLOCK, BUF + 2 * i, 1);
	assert_int_equal(sgl_rw(r, NVME_IO_READ, LAST, DATA, 2048 * 16, 4),
			 NVME_SC_SGL_COUNT | DNR);
	assert_int_equal(sgl_rw(r, NVME_IO_READ, LAST, DATA, 1024 * 16, 2), 0);
}

/* Commands */

static void compare_tells_what_differs(void **state)
{
	each_way(r)
	{
		put_pattern(r, DATA, 8 * PAGE, 3);
		assert_int_equal(rw(r, NVME_IO_WRITE, DATA, 40, 64), 0);
		assert_int_equal(rw(r, NVME_IO_COMPARE, DATA, 40, 64), 0);
		devhost_ram(r->h)[DATA + 8 * PAGE - 1] ^= 1;
		assert_int_equal(rw(r, NVME_IO_COMPARE, DATA, 40, 64),
				 NVME_SC_COMPARE_FAILURE | DNR);
		assert_int_equal(rw(r, NVME_IO_COMPARE, DATA, 40, 63), 0);
	}
}

static void verify_reads_all_of_it(void **state)
{
	struct rig *r = *state;
	const uint32_t all = IMAGE_SIZE / BLOCK;

	assert_int_equal(
		io_status(r, .opcode = NVME_IO_VERIFY, .cdw12 = all - 1), 0);
	assert_int_equal(io_status(r, .opcode = NVME_IO_VERIFY, .cdw12 = all),
			 NVME_SC_LBA_RANGE | DNR);
	assert_int_equal(ftruncate(r->image, IMAGE_SIZE - 1), 0);
	assert_int_equal(
		io_status(r, .opcode = NVME_IO_VERIFY, .cdw12 = all - 2), 0);
	assert_int_equal(
		io_status(r, .opcode = NVME_IO_VERIFY, .cdw12 = all - 1),
		NVME_SC_READ_ERROR);
}

static void protection_and_directives_are_refused(void **state)
{
	static const uint8_t ops[] = {NVME_IO_WRITE, NVME_IO_READ,
				      NVME_IO_COMPARE, NVME_IO_WRITE_ZEROES,
				      NVME_IO_VERIFY};
	struct rig *r = *state;

	for (size_t i = 0; i < sizeof(ops); i++)
		for (uint32_t bit = 26; bit < 30; bit++)
			assert_int_equal(io_status(r, .opcode = ops[i],
						   .prp1 = BUF,
						   .cdw12 = 1u << bit),
					 NVME_SC_PRINFO | DNR);
	assert_int_equal(io_status(r, .opcode = NVME_IO_WRITE, .prp1 = BUF,
				   .cdw12 = 1u << 20),
			 NVME_SC_INVALID_FIELD | DNR);
	/* limited retry: there is only one way to try */
	assert_int_equal(io_status(r, .opcode = NVME_IO_READ, .prp1 = BUF,
				   .cdw12 = 1u << 31),
			 0);
}

/* Compare and Write of one block at @lba, in one doorbell */
static void fused(struct rig *r, uint32_t lba, uint8_t first, uint8_t second,
		  int status[2])
{
	struct nvme_sqe sqe = {.opcode = NVME_IO_COMPARE,
			       .flags = first,
			       .nsid = 1,
			       .prp1 = BUF,
			       .cdw10 = lba};
	struct nvme_cqe cqe;

	submit(r, &r->io, sqe);
	sqe.opcode = NVME_IO_WRITE;
	sqe.flags = second;
	sqe.prp1 = BUF + PAGE;
	submit(r, &r->io, sqe);
	ring_sq(r, &r->io);
	devhost_run(r->h);
	for (int i = 0; i < 2; i++) {
		assert_true(reap(r, &r->io, &cqe));
		status[i] = status_of(cqe);
	}
	assert_int_equal(cqe.sq_head, r->io.tail);
	ring_cq(r, &r->io);
	devhost_run(r->h);
}

static void fused_write_depends_on_the_compare(void **state)
{
	int status[2];

	each_way(r)
	{
		put_pattern(r, BUF, BLOCK, 1);
		put_pattern(r, BUF + PAGE, BLOCK, 2);
		assert_int_equal(rw(r, NVME_IO_WRITE, BUF, 9, 1), 0);
		/* twice around the ring, so the pair is torn by its end */
		for (unsigned int i = 0; i < IO_SIZE + 1; i++) {
			assert_int_equal(rw(r, NVME_IO_WRITE, BUF, 9, 1), 0);
			fused(r, 9, 1, 2, status);
			assert_int_equal(status[0], 0);
			assert_int_equal(status[1], 0);
		}
		fused(r, 9, 1, 2, status); /* it is something else now */
		assert_int_equal(status[0], NVME_SC_COMPARE_FAILURE | DNR);
		assert_int_equal(status[1], NVME_SC_FAILED_FUSED);
		assert_int_equal(rw(r, NVME_IO_READ, DATA, 9, 1), 0);
		check_pattern(r, DATA, 0, BLOCK, 2);
	}
}

static void half_a_fused_pair_is_aborted(void **state)
{
	struct rig *r = *state;
	int status[2];

	put_pattern(r, BUF, BLOCK, 1);
	assert_int_equal(rw(r, NVME_IO_WRITE, BUF, 9, 1), 0);
	fused(r, 9, 1, 0, status);
	assert_int_equal(status[0], NVME_SC_MISSING_FUSED | DNR);
	assert_int_equal(status[1], 0);
	fused(r, 9, 0, 2, status);
	assert_int_equal(status[1], NVME_SC_MISSING_FUSED | DNR);
	fused(r, 9, 3, 3, status);
	assert_int_equal(status[0], NVME_SC_INVALID_FIELD | DNR);
	assert_int_equal(status[1], NVME_SC_INVALID_FIELD | DNR);
	assert_int_equal(io_status(r, .opcode = NVME_IO_COMPARE, .flags = 1,
				   .prp1 = BUF),
			 NVME_SC_MISSING_FUSED | DNR);
	fused(r, IMAGE_SIZE / BLOCK, 1, 2, status);
	assert_int_equal(status[0], NVME_SC_LBA_RANGE | DNR);
	assert_int_equal(status[1], NVME_SC_FAILED_FUSED);
}

/* Storage that fails */

static void errors_of_the_file_become_status_codes(void **state)
{
	static const struct {
		int err;
		int read;
		int write;
	} errors[] = {
		{EIO, NVME_SC_READ_ERROR, NVME_SC_WRITE_FAULT},
		{ENOSPC, NVME_SC_READ_ERROR, NVME_SC_CAPACITY},
		{EDQUOT, NVME_SC_READ_ERROR, NVME_SC_CAPACITY},
		{EFBIG, NVME_SC_READ_ERROR, NVME_SC_CAPACITY},
		{EROFS, NVME_SC_READ_ERROR, NVME_SC_WRITE_PROTECTED | DNR},
		{EPERM, NVME_SC_READ_ERROR, NVME_SC_WRITE_PROTECTED | DNR},
		{ENOMEM, NVME_SC_INTERNAL, NVME_SC_INTERNAL},
		{EFAULT, NVME_SC_DATA_TRANSFER, NVME_SC_DATA_TRANSFER},
	};

	each_way(r)
	{
		if (ways[way_].memory)
			continue;
		for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]);
		     i++) {
			fail_read = fail_write = errors[i].err;
			int got = rw(r, NVME_IO_READ, BUF, 0, 1);
			int put = rw(r, NVME_IO_WRITE, BUF, 0, 1);

			fail_read = fail_write = 0;
			assert_int_equal(got, errors[i].read);
			assert_int_equal(put, errors[i].write);
		}
		fail_sync = EIO;
		int put = io_status(r, .opcode = NVME_IO_WRITE, .prp1 = BUF,
				    .cdw12 = NVME_RW_FUA);
		int flush = io_status(r, .opcode = NVME_IO_FLUSH);

		fail_sync = 0;
		assert_int_equal(put, NVME_SC_WRITE_FAULT);
		assert_int_equal(flush, NVME_SC_WRITE_FAULT);
	}
}

/* Batches */

static void submit_rw(struct rig *r, uint8_t op, uint64_t at, uint32_t lba,
		      uint32_t flags)
{
	submit(r, &r->io,
	       (struct nvme_sqe){.opcode = op,
				 .nsid = 1,
				 .prp1 = at,
				 .prp2 = at + PAGE,
				 .cdw10 = lba,
				 .cdw12 = 15 | flags});
}

/* @n completions in the order of submission; status of each in @status */
static void reap_all(struct rig *r, unsigned int n, int *status)
{
	uint16_t first = (uint16_t)(r->io.cid - n);
	struct nvme_cqe cqe;

	ring_sq(r, &r->io);
	devhost_run(r->h);
	for (unsigned int i = 0; i < n; i++) {
		assert_true(reap(r, &r->io, &cqe));
		assert_int_equal(cqe.cid, (uint16_t)(first + i));
		status[i] = status_of(cqe);
	}
	assert_false(reap(r, &r->io, &cqe));
	ring_cq(r, &r->io);
	devhost_run(r->h);
}

#define AT(i) (DATA + (i)*2 * PAGE)

static void one_that_fails_takes_no_other_along(void **state)
{
	int status[IO_SIZE];

	each_way(r)
	{
		const unsigned int n = 40, bad = 17;

		for (int round = 0; round < 4; round++) {
			uint8_t op = round & 1 ? NVME_IO_READ : NVME_IO_WRITE;

			for (uint32_t i = 0; i < n; i++) {
				if (op == NVME_IO_WRITE)
					put_pattern(r, AT(i), 2 * PAGE, i);
				else
					memset(devhost_ram(r->h) + AT(i), 0,
					       2 * PAGE);
				submit_rw(r, op, AT(i), i * 16, 0);
			}
			/* its second page; only in the latter two rounds */
			if (round >= 2)
				devhost_fail_dma(r->h, AT(bad) + PAGE,
						 AT(bad) + PAGE);
			reap_all(r, n, status);
			devhost_fail_dma(r->h, UINT64_MAX, 0);
			for (uint32_t i = 0; i < n; i++) {
				bool fails = round >= 2 && i == bad;

				assert_int_equal(status[i],
						 fails ? NVME_SC_DATA_TRANSFER
						       : 0);
				if (!fails)
					check_pattern(r, AT(i), 0, 2 * PAGE, i);
			}
		}
	}
}

static void what_is_written_is_read_behind_it(void **state)
{
	int status[IO_SIZE];

	each_way(r)
	{
		for (uint32_t i = 0; i < 20; i++) {
			put_pattern(r, AT(2 * i), 2 * PAGE, i);
			submit_rw(r, NVME_IO_WRITE, AT(2 * i), 0, 0);
			submit(r, &r->io, (struct nvme_sqe){.nsid = 1});
			submit_rw(r, NVME_IO_READ, AT(2 * i + 1), 0, 0);
		}
		reap_all(r, 60, status);
		for (uint32_t i = 0; i < 20; i++)
			check_pattern(r, AT(2 * i + 1), 0, 2 * PAGE, i);
	}
}

static void one_sync_for_all_forced_writes_of_a_batch(void **state)
{
	struct rig *r = *state;
	int status[IO_SIZE];

	syncs = 0;
	for (uint32_t i = 0; i < 8; i++)
		submit_rw(r, NVME_IO_WRITE, AT(i), i * 16,
			  i & 1 ? NVME_RW_FUA : 0);
	reap_all(r, 8, status);
	assert_int_equal(syncs, 1);
	for (uint32_t i = 0; i < 8; i++)
		submit_rw(r, NVME_IO_WRITE, AT(i), i * 16, 0);
	reap_all(r, 8, status);
	assert_int_equal(syncs, 1);
}

static void large_commands_fill_more_than_a_batch(void **state)
{
	each_way(r)
	{
		struct nvme_cqe cqe;

		for (uint32_t i = 1; i < MAX_DATA / PAGE; i++)
			put_entry(r, LIST + i * 8, DATA + i * PAGE);
		put_pattern(r, DATA, MAX_DATA, 5);
		for (uint32_t i = 0; i < 4; i++)
			submit(r, &r->io,
			       (struct nvme_sqe){.opcode = NVME_IO_WRITE,
						 .nsid = 1,
						 .prp1 = DATA,
						 .prp2 = LIST + 8,
						 .cdw10 = i * MAX_DATA / BLOCK,
						 .cdw12 =
							 MAX_DATA / BLOCK - 1});
		ring_sq(r, &r->io);
		devhost_run(r->h);
		for (int i = 0; i < 4; i++) {
			assert_true(reap(r, &r->io, &cqe));
			assert_int_equal(status_of(cqe), 0);
		}
		ring_cq(r, &r->io);
		memset(devhost_ram(r->h) + DATA, 0, MAX_DATA);
		assert_int_equal(rw(r, NVME_IO_READ, DATA, 3 * MAX_DATA / BLOCK,
				    MAX_DATA / BLOCK),
				 0);
		check_pattern(r, DATA, 0, MAX_DATA, 5);
	}
}

static void zeroes_and_discard_in_memory(void **state)
{
	struct rig *r = memory_rig(NULL);
	struct nvme_dsm_range range = {.blocks = 29, .lba = 3};

	enable(r);
	make_io_queues(r, IO_SIZE, IO_SIZE);
	for (uint8_t op = NVME_IO_WRITE_ZEROES; op <= NVME_IO_DSM; op++) {
		put_pattern(r, DATA, 40 * BLOCK, 9);
		assert_int_equal(rw(r, NVME_IO_WRITE, DATA, 0, 40), 0);
		memcpy(devhost_ram(r->h) + BUF, &range, sizeof(range));
		assert_int_equal(op == NVME_IO_DSM
					 ? io_status(r, .opcode = op,
						     .prp1 = BUF,
						     .cdw11 = NVME_DSM_DISCARD)
					 : io_status(r, .opcode = op,
						     .cdw10 = 3, .cdw12 = 28),
				 0);
		assert_int_equal(rw(r, NVME_IO_READ, DATA, 0, 40), 0);
		check_pattern(r, DATA, 0, 3 * BLOCK, 9);
		for (uint32_t i = 3 * BLOCK; i < 32 * BLOCK; i++)
			assert_int_equal(devhost_ram(r->h)[DATA + i], 0);
		check_pattern(r, DATA + 32 * BLOCK, 32 * BLOCK, 8 * BLOCK, 9);
	}
	way_close(r);
}

static void what_was_done_is_counted(void **state)
{
	struct rig *r = *state;
	uint64_t before = devhost_counter(r->h, "commands");

	assert_int_equal(rw(r, NVME_IO_READ, BUF, 0, 3), 0);
	assert_int_equal(rw(r, NVME_IO_WRITE, BUF, 0, 5), 0);
	assert_int_not_equal(rw(r, NVME_IO_READ, BUF, IMAGE_SIZE / BLOCK, 1),
			     0);
	assert_int_equal(devhost_counter(r->h, "commands"), before + 3);
	assert_int_equal(devhost_counter(r->h, "errors"), 1);
	assert_int_equal(devhost_counter(r->h, "read_bytes"), 3 * BLOCK);
	assert_int_equal(devhost_counter(r->h, "written_bytes"), 5 * BLOCK);
}

static void threads_are_a_number_from_1_to_16(void **state)
{
	static const char *const bad[] = {"threads=0", "threads=17",
					  "threads=", "threads=2x",
					  "threads=-1"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const char *options[] = {bad[i], NULL};

		assert_null(devhost_new(&nvme_ops, options));
		assert_non_null(strstr(devhost_error(), "1 to 16"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sgl_segments_reach_every_piece),
		cmocka_unit_test(
			sgl_bit_bucket_takes_what_is_read_and_gives_nothing),
		with_ready(bad_sgl),
		cmocka_unit_test(compare_tells_what_differs),
		with_ready(verify_reads_all_of_it),
		with_ready(protection_and_directives_are_refused),
		cmocka_unit_test(fused_write_depends_on_the_compare),
		with_ready(half_a_fused_pair_is_aborted),
		cmocka_unit_test(errors_of_the_file_become_status_codes),
		cmocka_unit_test(one_that_fails_takes_no_other_along),
		cmocka_unit_test(what_is_written_is_read_behind_it),
		with_ready(one_sync_for_all_forced_writes_of_a_batch),
		cmocka_unit_test(large_commands_fill_more_than_a_batch),
		cmocka_unit_test(zeroes_and_discard_in_memory),
		with_ready(what_was_done_is_counted),
		cmocka_unit_test(threads_are_a_number_from_1_to_16),
	};

	for (uint32_t i = 0; i < sizeof(all_patterns); i++)
		all_patterns[i] = pattern(i, 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
