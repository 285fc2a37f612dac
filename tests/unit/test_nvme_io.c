/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The NVMe controller: data, byte by byte against the image, and queues, full
 * and failing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/unit/nvme_rig.h"

/* Data */

/**
 * struct layout - How a transfer is laid out in program memory
 * @offset:  of the data in its first page
 * @len:     bytes
 * @list:    offset of the PRP list in its first page
 * @forward: pages follow one another; else they go backwards
 */
struct layout {
	uint32_t offset;
	uint32_t len;
	uint32_t list;
	bool forward;
};

static const struct layout layouts[] = {
	{0, BLOCK, 0, false},
	{0, PAGE, 0, false},
	{PAGE - BLOCK, BLOCK, 0, false},
	{PAGE - BLOCK, 2 * BLOCK, 0, false},
	{4, PAGE, 0, false},
	{0, 2 * PAGE, 0, false},
	{PAGE - 4, PAGE, 0, true},
	{0, 3 * PAGE, 0, false},
	{0, 2 * PAGE + BLOCK, 0, true},
	{BLOCK, 2 * PAGE, 256, false},
	{0, 8 * PAGE, PAGE - 56, false}, /* just fits */
	{0, 8 * PAGE, PAGE - 48, false}, /* goes on in another page */
	{0, 3 * PAGE, PAGE - 8, false},	 /* begins with where it goes on */
	{100, 3 * PAGE, PAGE - 8, true},
	{0, MAX_DATA, 0, false},
	{0, MAX_DATA, 0, true},
	{2048, MAX_DATA, 0, false}, /* 512 entries, a whole page */
	{2048, MAX_DATA, 8, false},
	{4, MAX_DATA, PAGE - 8, false},
};

static uint64_t page_of(const struct layout *l, uint32_t i)
{
	return l->forward ? DATA + i * PAGE
			  : DATA + (MAX_DATA / PAGE - i) * PAGE * 2ull;
}

/* Address in program memory of byte @i of the data */
static uint64_t place_of(const struct layout *l, uint32_t i)
{
	i += l->offset;
	return page_of(l, i / PAGE) + i % PAGE;
}

/* Writes the entries for pages 1 on; returns PRP2. */
static uint64_t put_list(struct rig *r, const struct layout *l)
{
	uint32_t pages = (l->offset + l->len + PAGE - 1) / PAGE;
	uint64_t at = LIST + l->list;

	if (pages < 3)
		return pages == 2 ? page_of(l, 1) : 0xdeadbeef;
	for (uint32_t i = 1; i < pages; i++) {
		if (at % PAGE == PAGE - 8 && i < pages - 1) {
			uint64_t next = (at / PAGE + 2) * PAGE;

			put_entry(r, at, next);
			at = next;
		}
		put_entry(r, at, page_of(l, i));
		at += 8;
	}
	return LIST + l->list;
}

static struct nvme_sqe rw_entry(struct rig *r, const struct layout *l,
				uint8_t opcode, uint32_t lba)
{
	return (struct nvme_sqe){.opcode = opcode,
				 .nsid = 1,
				 .prp1 = page_of(l, 0) + l->offset,
				 .prp2 = put_list(r, l),
				 .cdw10 = lba,
				 .cdw12 = l->len / BLOCK - 1};
}

static void read_reaches_every_prp_layout(void **state)
{
	struct rig *r = *state;
	uint8_t *ram = devhost_ram(r->h);

	for (size_t k = 0; k < sizeof(layouts) / sizeof(layouts[0]); k++) {
		const struct layout *l = &layouts[k];
		uint32_t lba = 3 + (uint32_t)k;

		memset(ram + DATA, 0xcc, DEVHOST_RAM - DATA);
		struct nvme_cqe cqe =
			command(r, &r->io, rw_entry(r, l, NVME_IO_READ, lba));

		assert_int_equal(status_of(cqe), 0);
		for (uint32_t i = 0; i < l->len; i++) {
			uint8_t *p = &ram[place_of(l, i)];

			assert_int_equal(*p, pattern(lba * BLOCK + i, 1));
			*p = 0xcc;
		}
		/* and nothing else was written */
		for (uint32_t i = DATA; i < DEVHOST_RAM; i++)
			if (ram[i] != 0xcc)
				fail_msg("layout %zu: %#x written", k, i);
	}
}

static void write_reads_every_prp_layout(void **state)
{
	struct rig *r = *state;
	uint8_t *ram = devhost_ram(r->h);

	for (size_t k = 0; k < sizeof(layouts) / sizeof(layouts[0]); k++) {
		const struct layout *l = &layouts[k];
		uint32_t lba = 3 + (uint32_t)k;
		uint64_t end = lba * BLOCK + l->len;

		fill_image(r->image);
		for (uint32_t i = 0; i < l->len; i++)
			ram[place_of(l, i)] = pattern(lba * BLOCK + i, 2);
		struct nvme_cqe cqe =
			command(r, &r->io, rw_entry(r, l, NVME_IO_WRITE, lba));

		assert_int_equal(status_of(cqe), 0);
		check_image(r, 0, lba * BLOCK, 1);
		check_image(r, lba * BLOCK, l->len, 2);
		check_image(r, end, IMAGE_SIZE - (uint32_t)end, 1);
	}
}

static void bad_prp(void **state)
{
	static const struct {
		uint64_t prp1;
		uint64_t prp2;
		uint32_t blocks;
	} bad[] = {
		{BUF + 1, 0, 1},	    /* not a dword */
		{BUF, DATA + 4, 16},	    /* second page with an offset */
		{BUF, LIST + 4, 24},	    /* list not a qword */
		{BUF, LIST, 24},	    /* entry with an offset */
		{BUF, LIST + PAGE - 8, 24}, /* next list with an offset */
	};
	struct rig *r = *state;

	put_entry(r, LIST, DATA);
	put_entry(r, LIST + 8, DATA + 512);
	put_entry(r, LIST + PAGE - 8, LIST + 8);
	memset(devhost_ram(r->h) + DATA, 0xcc, PAGE);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		for (uint8_t op = NVME_IO_WRITE; op <= NVME_IO_READ; op++)
			assert_int_equal(io_status(r, .opcode = op,
						   .prp1 = bad[i].prp1,
						   .prp2 = bad[i].prp2,
						   .cdw12 = bad[i].blocks - 1),
					 NVME_SC_PRP_OFFSET | DNR);
	/* not even what was good of it has moved */
	assert_int_equal(devhost_ram(r->h)[DATA], 0xcc);
	check_image(r, 0, MAX_DATA, 1);
}

static void list_that_leads_to_itself_ends(void **state)
{
	struct rig *r = *state;

	for (uint32_t i = 0; i < PAGE; i += 8)
		put_entry(r, LIST + i, LIST);
	assert_int_equal(io_status(r, .opcode = NVME_IO_WRITE, .prp1 = BUF,
				   .prp2 = LIST + PAGE - 8,
				   .cdw12 = MAX_DATA / BLOCK - 1),
			 0);
}

static void bad_lba_and_length(void **state)
{
	static const struct {
		uint8_t opcode;
		uint64_t lba;
		uint32_t blocks;
		int status;
	} bad[] = {
		{NVME_IO_READ, IMAGE_SIZE / BLOCK, 1, NVME_SC_LBA_RANGE},
		{NVME_IO_READ, IMAGE_SIZE / BLOCK - 1, 2, NVME_SC_LBA_RANGE},
		{NVME_IO_READ, UINT64_MAX, 1, NVME_SC_LBA_RANGE},
		{NVME_IO_READ, 1ull << 55, 1, NVME_SC_LBA_RANGE},
		{NVME_IO_WRITE, IMAGE_SIZE / BLOCK, 1, NVME_SC_LBA_RANGE},
		{NVME_IO_WRITE, UINT64_MAX - 7, 8, NVME_SC_LBA_RANGE},
		{NVME_IO_WRITE_ZEROES, IMAGE_SIZE / BLOCK - 1, 2,
		 NVME_SC_LBA_RANGE},
		{NVME_IO_READ, 0, MAX_DATA / BLOCK + 1, NVME_SC_INVALID_FIELD},
		{NVME_IO_WRITE, 0, 65536, NVME_SC_INVALID_FIELD},
	};
	struct rig *r = *state;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(
			io_status(r, .opcode = bad[i].opcode, .prp1 = BUF,
				  .cdw10 = (uint32_t)bad[i].lba,
				  .cdw11 = (uint32_t)(bad[i].lba >> 32),
				  .cdw12 = bad[i].blocks - 1),
			bad[i].status | DNR);
	assert_int_equal(io_status(r, .opcode = NVME_IO_READ, .prp1 = BUF,
				   .cdw10 = IMAGE_SIZE / BLOCK - 1),
			 0);
}

static void bad_namespace(void **state)
{
	static const uint32_t bad[] = {0, 2, NVME_NSID_ALL};
	static const uint8_t ops[] = {0, 1, 2, 8, 9};
	struct rig *r = *state;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		for (size_t k = 0; k < sizeof(ops); k++) {
			bool flush_all = !ops[k] && bad[i] == NVME_NSID_ALL;
			struct nvme_cqe cqe =
				command(r, &r->io,
					(struct nvme_sqe){.opcode = ops[k],
							  .nsid = bad[i],
							  .prp1 = BUF});

			assert_int_equal(status_of(cqe),
					 flush_all ? 0
						   : NVME_SC_INVALID_NS | DNR);
		}
}

static void flush_and_fua(void **state)
{
	struct rig *r = *state;

	assert_int_equal(io_status(r, .opcode = NVME_IO_FLUSH), 0);
	for (uint8_t op = NVME_IO_WRITE; op <= NVME_IO_READ; op++)
		assert_int_equal(io_status(r, .opcode = op, .prp1 = BUF,
					   .cdw12 = NVME_RW_FUA),
				 0);
	assert_int_equal(set_feature(r, NVME_FEAT_WRITE_CACHE, 0), 0);
	assert_int_equal(io_status(r, .opcode = NVME_IO_WRITE, .prp1 = BUF), 0);
}

static bool image_is_zero(struct rig *r, uint64_t off, uint32_t len)
{
	uint8_t byte = 0;

	for (uint32_t i = 0; i < len && !byte; i++)
		assert_int_equal(pread(r->image, &byte, 1, (off_t)(off + i)),
				 1);
	return !byte;
}

static void write_zeroes(void **state)
{
	struct rig *r = *state;

	for (uint32_t deac = 0; deac < 2; deac++) {
		fill_image(r->image);
		assert_int_equal(io_status(r, .opcode = NVME_IO_WRITE_ZEROES,
					   .cdw10 = 5, .cdw12 = deac << 25 | 8),
				 0);
		check_image(r, 0, 5 * BLOCK, 1);
		assert_true(image_is_zero(r, 5 * BLOCK, 9 * BLOCK));
		check_image(r, 14 * BLOCK, IMAGE_SIZE - 14 * BLOCK, 1);
	}
	/* more than one buffer */
	assert_int_equal(io_status(r, .opcode = NVME_IO_WRITE_ZEROES,
				   .cdw12 = IMAGE_SIZE / BLOCK - 1),
			 0);
	assert_true(image_is_zero(r, IMAGE_SIZE - 4 * BLOCK, 4 * BLOCK));
	assert_true(image_is_zero(r, MAX_DATA - BLOCK, 2 * BLOCK));
}

static uint64_t image_blocks(struct rig *r)
{
	struct stat st;

	assert_int_equal(fstat(r->image, &st), 0);
	return (uint64_t)st.st_blocks;
}

static void deallocate_punches_holes(void **state)
{
	struct rig *r = *state;
	struct nvme_dsm_range range[2] = {
		{.blocks = 64, .lba = 64},
		{.blocks = 1024, .lba = 4096},
	};
	struct nvme_sqe dsm = {
		.opcode = NVME_IO_DSM, .nsid = 1, .prp1 = BUF, .cdw10 = 1};
	uint64_t before = image_blocks(r);

	memcpy(devhost_ram(r->h) + BUF, range, sizeof(range));
	assert_int_equal(status_of(command(r, &r->io, dsm)), 0);
	assert_int_equal(image_blocks(r), before); /* only a hint */
	dsm.cdw11 = NVME_DSM_DISCARD;
	assert_int_equal(status_of(command(r, &r->io, dsm)), 0);
	assert_int_equal(image_blocks(r), before - 64 - 1024);
	assert_true(image_is_zero(r, 64 * BLOCK, 64 * BLOCK));

	/* one bad range: nothing of it is done */
	fill_image(r->image);
	range[1].lba = IMAGE_SIZE / BLOCK;
	memcpy(devhost_ram(r->h) + BUF, range, sizeof(range));
	assert_int_equal(status_of(command(r, &r->io, dsm)),
			 NVME_SC_LBA_RANGE | DNR);
	check_image(r, 0, IMAGE_SIZE, 1);
	dsm.cdw10 = 255;
	memset(devhost_ram(r->h) + BUF, 0, PAGE);
	assert_int_equal(status_of(command(r, &r->io, dsm)), 0);
}

static void storage_errors(void **state)
{
	struct rig *r = *state;

	/* shorter than it was: what was there is lost */
	assert_int_equal(ftruncate(r->image, 2 * BLOCK + 100), 0);
	assert_int_equal(
		io_status(r, .opcode = NVME_IO_READ, .prp1 = BUF, .cdw10 = 1),
		0);
	assert_int_equal(
		io_status(r, .opcode = NVME_IO_READ, .prp1 = BUF, .cdw10 = 2),
		NVME_SC_READ_ERROR);
	/* and now it cannot be written any more */
	assert_int_equal(fcntl(r->image, F_ADD_SEALS, F_SEAL_WRITE), 0);
	assert_int_equal(io_status(r, .opcode = NVME_IO_WRITE, .prp1 = BUF),
			 NVME_SC_WRITE_PROTECTED | DNR);
	assert_int_equal(io_status(r, .opcode = NVME_IO_WRITE_ZEROES),
			 NVME_SC_WRITE_PROTECTED | DNR);
	assert_int_equal(get_log(r, NVME_LOG_SMART, 512, 0), 0);
	assert_int_equal(le(devhost_ram(r->h) + BUF + 160, 4), 1);
}

static void read_only_refuses_writes(void **state)
{
	struct rig *r = rig_new("ro");

	enable(r);
	make_io_queues(r, IO_SIZE, IO_SIZE);
	assert_int_equal(identify(r, NVME_CNS_NS, 1)[99], 1);
	assert_int_equal(io_status(r, .opcode = NVME_IO_READ, .prp1 = BUF), 0);
	assert_int_equal(io_status(r, .opcode = NVME_IO_FLUSH), 0);
	assert_int_equal(io_status(r, .opcode = NVME_IO_WRITE, .prp1 = BUF),
			 NVME_SC_WRITE_PROTECTED | DNR);
	assert_int_equal(io_status(r, .opcode = NVME_IO_WRITE_ZEROES),
			 NVME_SC_WRITE_PROTECTED | DNR);
	assert_int_equal(io_status(r, .opcode = NVME_IO_DSM, .prp1 = BUF,
				   .cdw11 = NVME_DSM_DISCARD),
			 NVME_SC_WRITE_PROTECTED | DNR);
	check_image(r, 0, IMAGE_SIZE, 1);
	void *p = r;

	teardown(&p);
}

/* Queues */

static void full_completion_queue_is_never_overrun(void **state)
{
	struct rig *r = *state;
	struct nvme_cqe cqe;
	unsigned int got = 0;

	enable(r);
	make_io_queues(r, 32, 4);
	for (int i = 0; i < 20; i++)
		submit(r, &r->io, (struct nvme_sqe){.nsid = 1});
	ring_sq(r, &r->io);
	while (got < 20) {
		unsigned int round = 0;

		devhost_run(r->h);
		assert_int_equal(devhost_run(r->h), 0); /* waits, not spins */
		while (reap(r, &r->io, &cqe)) {
			assert_int_equal(cqe.cid, got);
			got++;
			round++;
		}
		assert_int_equal(round, got == 20 ? 2 : 3);
		ring_cq(r, &r->io);
	}
}

/* As many commands under one doorbell, all completed. */
static void flush_at_once(struct rig *r, int n)
{
	struct nvme_cqe cqe;

	for (int i = 0; i < n; i++)
		submit(r, &r->io, (struct nvme_sqe){.nsid = 1});
	ring_sq(r, &r->io);
	devhost_run(r->h);
	for (int i = 0; i < n; i++)
		assert_true(reap(r, &r->io, &cqe));
	assert_false(reap(r, &r->io, &cqe));
	ring_cq(r, &r->io);
}

static void phase_turns_with_every_round(void **state)
{
	struct rig *r = *state;

	enable(r);
	make_io_queues(r, 7, 5);
	for (int i = 0; i < 100; i++)
		assert_int_equal(io_status(r, .opcode = NVME_IO_FLUSH), 0);
	/* several at once, over both ends of both rings */
	for (int i = 0; i < 50; i++)
		flush_at_once(r, 4);
}

static void largest_queue(void **state)
{
	struct rig *r = *state;

	enable(r);
	r->io = queue_new(1, DATA, DATA + 0x100000, 4096);
	assert_int_equal(create_cq(r, &r->io, 0), 0);
	assert_int_equal(create_sq(r, &r->io), 0);
	for (int round = 0; round < 3; round++)
		flush_at_once(r, 4095);
}

static void one_interrupt_for_a_batch(void **state)
{
	struct rig *r = *state;
	struct queue q = queue_new(2, OTHER_RING, OTHER_RING + PAGE, 32);

	assert_int_equal(create_cq(r, &q, 5), 0);
	assert_int_equal(create_sq(r, &q), 0);
	for (int i = 0; i < 16; i++)
		submit(r, &q, (struct nvme_sqe){.nsid = 1});
	ring_sq(r, &q);
	devhost_run(r->h);
	assert_int_equal(devhost_irqs(r->h, 5), 1);
	assert_int_equal(devhost_run(r->h), 0);
	assert_int_equal(devhost_irqs(r->h, 5), 1);
	/* a queue created without interrupts */
	q = queue_new(3, OTHER_RING + 2 * PAGE, OTHER_RING + 3 * PAGE, 16);
	assert_int_equal(admin_status(r, .opcode = NVME_ADM_CREATE_CQ,
				      .prp1 = q.cq, .cdw10 = 15u << 16 | 3,
				      .cdw11 = 6u << 16 | 1),
			 0);
	assert_int_equal(create_sq(r, &q), 0);
	command(r, &q, (struct nvme_sqe){.nsid = 1});
	assert_int_equal(devhost_irqs(r->h, 6), 0);
}

static void intx_is_high_while_there_are_completions(void **state)
{
	struct rig *r = *state;
	struct nvme_cqe cqe;

	devhost_set_irq_mode(r->h, SV_IRQ_INTX);
	submit(r, &r->io, (struct nvme_sqe){.nsid = 1});
	submit(r, &r->io, (struct nvme_sqe){.nsid = 1});
	ring_sq(r, &r->io);
	devhost_run(r->h);
	assert_true(devhost_intx(r->h));
	wr(r, NVME_REG_INTMS, 1);
	devhost_run(r->h);
	assert_false(devhost_intx(r->h));
	assert_int_equal(rd(r, NVME_REG_INTMS), 1);
	wr(r, NVME_REG_INTMC, 1);
	devhost_run(r->h);
	assert_true(devhost_intx(r->h));
	assert_int_equal(rd(r, NVME_REG_INTMS), 0);
	assert_true(reap(r, &r->io, &cqe));
	ring_cq(r, &r->io);
	devhost_run(r->h);
	assert_true(devhost_intx(r->h)); /* one is left */
	assert_true(reap(r, &r->io, &cqe));
	ring_cq(r, &r->io);
	devhost_run(r->h);
	assert_false(devhost_intx(r->h));
}

static void masked_msi_is_sent_later(void **state)
{
	struct rig *r = *state;

	devhost_set_irq_mode(r->h, SV_IRQ_MSI);
	unsigned int before = devhost_irqs(r->h, 0);

	wr(r, NVME_REG_INTMS, 1);
	assert_int_equal(io_status(r, .opcode = NVME_IO_FLUSH), 0);
	assert_int_equal(devhost_irqs(r->h, 0), before);
	wr(r, NVME_REG_INTMC, 1);
	devhost_run(r->h);
	assert_int_equal(devhost_irqs(r->h, 0), before + 1);
	devhost_run(r->h);
	assert_int_equal(devhost_irqs(r->h, 0), before + 1);
}

static void failing_dma_of_data(void **state)
{
	struct rig *r = *state;

	devhost_fail_dma(r->h, BUF, BUF + PAGE - 1);
	for (uint8_t op = NVME_IO_WRITE; op <= NVME_IO_READ; op++)
		assert_int_equal(io_status(r, .opcode = op, .prp1 = BUF),
				 NVME_SC_DATA_TRANSFER);
	assert_int_equal(admin_status(r, .opcode = NVME_ADM_IDENTIFY,
				      .prp1 = BUF, .cdw10 = 1),
			 NVME_SC_DATA_TRANSFER);
	check_image(r, 0, PAGE, 1);
	devhost_fail_dma(r->h, LIST, LIST + 7);
	assert_int_equal(io_status(r, .opcode = NVME_IO_READ, .prp1 = BUF,
				   .prp2 = LIST, .cdw12 = 31),
			 NVME_SC_DATA_TRANSFER);
	devhost_fail_dma(r->h, UINT64_MAX, 0);
	assert_int_equal(
		io_status(r, .opcode = NVME_IO_READ, .prp1 = ~0xfffull),
		NVME_SC_DATA_TRANSFER);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_ready(read_reaches_every_prp_layout),
		with_ready(write_reads_every_prp_layout),
		with_ready(bad_prp),
		with_ready(list_that_leads_to_itself_ends),
		with_ready(bad_lba_and_length),
		with_ready(bad_namespace),
		with_ready(flush_and_fua),
		with_ready(write_zeroes),
		with_ready(deallocate_punches_holes),
		with_ready(storage_errors),
		cmocka_unit_test(read_only_refuses_writes),
		with_rig(full_completion_queue_is_never_overrun),
		with_rig(phase_turns_with_every_round),
		with_rig(largest_queue),
		with_ready(one_interrupt_for_a_batch),
		with_ready(intx_is_high_while_there_are_completions),
		with_ready(masked_msi_is_sent_later),
		with_ready(failing_dma_of_data),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
