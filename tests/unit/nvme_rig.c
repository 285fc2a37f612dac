/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Driving the NVMe controller as a driver does; see nvme_rig.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/unit/nvme_rig.h"

uint8_t pattern(uint64_t i, uint32_t seed)
{
	return (uint8_t)((i + seed) * 2654435761u >> 13);
}

uint32_t rd(struct rig *r, uint32_t off)
{
	return (uint32_t)devhost_read(r->h, 0, off, 4);
}

void wr(struct rig *r, uint32_t off, uint32_t val)
{
	devhost_write(r->h, 0, off, val, 4);
}

void ring_sq(struct rig *r, const struct queue *q)
{
	wr(r, 0x1000 + q->id * 8u, q->tail);
}

void ring_cq(struct rig *r, const struct queue *q)
{
	wr(r, 0x1004 + q->id * 8u, q->head);
}

struct queue queue_new(uint16_t id, uint64_t sq, uint64_t cq, uint32_t size)
{
	return (struct queue){.id = id,
			      .sq = sq,
			      .cq = cq,
			      .sq_size = size,
			      .cq_size = size,
			      .phase = true};
}

uint16_t submit(struct rig *r, struct queue *q, struct nvme_sqe sqe)
{
	sqe.cid = q->cid++;
	memcpy(devhost_ram(r->h) + q->sq + q->tail * sizeof(sqe), &sqe,
	       sizeof(sqe));
	q->tail = (q->tail + 1) % q->sq_size;
	return sqe.cid;
}

bool reap(struct rig *r, struct queue *q, struct nvme_cqe *ret_cqe)
{
	struct nvme_cqe cqe;

	memcpy(&cqe, devhost_ram(r->h) + q->cq + q->head * sizeof(cqe),
	       sizeof(cqe));
	if ((cqe.status & 1) != q->phase)
		return false;
	if (++q->head == q->cq_size) {
		q->head = 0;
		q->phase = !q->phase;
	}
	*ret_cqe = cqe;
	return true;
}

struct nvme_cqe command(struct rig *r, struct queue *q, struct nvme_sqe sqe)
{
	struct nvme_cqe cqe = {0};
	uint16_t cid = submit(r, q, sqe);

	ring_sq(r, q);
	devhost_run(r->h);
	assert_true(reap(r, q, &cqe));
	ring_cq(r, q);
	devhost_run(r->h);
	assert_int_equal(cqe.cid, cid);
	assert_int_equal(cqe.sq_id, q->id);
	assert_int_equal(cqe.sq_head, q->tail);
	return cqe;
}

int status_of(struct nvme_cqe cqe)
{
	return cqe.status >> 1;
}

void enable(struct rig *r)
{
	memset(devhost_ram(r->h), 0, DATA);
	r->admin = queue_new(0, ADMIN_SQ, ADMIN_CQ, ADMIN_SIZE);
	wr(r, NVME_REG_AQA, (ADMIN_SIZE - 1) << 16 | (ADMIN_SIZE - 1));
	devhost_write(r->h, 0, NVME_REG_ASQ, ADMIN_SQ, 8);
	wr(r, NVME_REG_ACQ, ADMIN_CQ);
	wr(r, NVME_REG_ACQ + 4, 0);
	wr(r, NVME_REG_CC, ENABLE);
	devhost_run(r->h);
	assert_int_equal(rd(r, NVME_REG_CSTS), NVME_CSTS_RDY);
}

int create_cq(struct rig *r, const struct queue *q, uint32_t vector)
{
	return admin_status(r, .opcode = NVME_ADM_CREATE_CQ, .prp1 = q->cq,
			    .cdw10 = (q->cq_size - 1) << 16 | q->id,
			    .cdw11 = vector << 16 | 3);
}

int create_sq(struct rig *r, const struct queue *q)
{
	return admin_status(r, .opcode = NVME_ADM_CREATE_SQ, .prp1 = q->sq,
			    .cdw10 = (q->sq_size - 1) << 16 | q->id,
			    .cdw11 = (uint32_t)q->id << 16 | 1);
}

void make_io_queues(struct rig *r, uint32_t sq_size, uint32_t cq_size)
{
	r->io = queue_new(1, IO_SQ, IO_CQ, sq_size);
	r->io.cq_size = cq_size;
	assert_int_equal(create_cq(r, &r->io, 0), 0);
	assert_int_equal(create_sq(r, &r->io), 0);
}

void disable(struct rig *r)
{
	wr(r, NVME_REG_CC, ENABLE & ~NVME_CC_EN);
	devhost_run(r->h);
	assert_int_equal(rd(r, NVME_REG_CSTS), 0);
}

void fill_image(int fd)
{
	static uint8_t *p; /* made once: it takes longer than most tests */

	if (!p) {
		p = malloc(IMAGE_SIZE);
		assert_non_null(p);
		for (uint32_t i = 0; i < IMAGE_SIZE; i++)
			p[i] = pattern(i, 1);
	}
	assert_int_equal(pwrite(fd, p, IMAGE_SIZE, 0), IMAGE_SIZE);
}

struct rig *rig_new(const char *option)
{
	return rig_with((const char *[]){option, NULL});
}

struct rig *rig_with(const char *const *more)
{
	char file[64];
	const char *options[RIG_OPTIONS + 2] = {file};
	struct rig *r = calloc(1, sizeof(*r));

	for (size_t i = 0; more[i]; i++) {
		assert_true(i < RIG_OPTIONS);
		options[1 + i] = more[i];
	}

	assert_non_null(r);
	r->image = memfd_create("image", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_true(r->image >= 0);
	fill_image(r->image);
	assert_int_equal(ftruncate(r->image, IMAGE_SIZE + BLOCK - 1), 0);
	snprintf(file, sizeof(file), "file=/proc/self/fd/%d", r->image);
	r->h = devhost_new(&nvme_ops, options);
	assert_non_null(r->h);
	devhost_set_irq_mode(r->h, SV_IRQ_MSIX);
	return r;
}

int setup(void **state)
{
	*state = rig_new(NULL);
	return 0;
}

int setup_ready(void **state)
{
	struct rig *r = rig_new(NULL);

	*state = r;
	enable(r);
	make_io_queues(r, IO_SIZE, IO_SIZE);
	return 0;
}

int teardown(void **state)
{
	struct rig *r = *state;

	devhost_free(r->h);
	close(r->image);
	free(r);
	return 0;
}

struct rig *rig_ready(const char *const *more)
{
	struct rig *r = rig_with(more);

	enable(r);
	make_io_queues(r, IO_SIZE, IO_SIZE);
	return r;
}

uint8_t *identify(struct rig *r, uint32_t cns, uint32_t nsid)
{
	uint8_t *buf = devhost_ram(r->h) + BUF;

	memset(buf, 0xcc, PAGE);
	assert_int_equal(admin_status(r, .opcode = NVME_ADM_IDENTIFY,
				      .nsid = nsid, .prp1 = BUF, .cdw10 = cns),
			 0);
	return buf;
}

uint32_t le(const uint8_t *p, unsigned int bytes)
{
	uint32_t val = 0;

	while (bytes--)
		val = val << 8 | p[bytes];
	return val;
}

struct nvme_cqe get_feature(struct rig *r, uint32_t id, uint32_t cdw11)
{
	return command(r, &r->admin,
		       (struct nvme_sqe){.opcode = NVME_ADM_GET_FEATURES,
					 .nsid = (id & 0xff) == 5,
					 .cdw10 = id,
					 .cdw11 = cdw11});
}

uint16_t request_event(struct rig *r)
{
	uint16_t cid =
		submit(r, &r->admin,
		       (struct nvme_sqe){.opcode = NVME_ADM_ASYNC_EVENT});
	struct nvme_cqe cqe;

	ring_sq(r, &r->admin);
	devhost_run(r->h);
	assert_false(reap(r, &r->admin, &cqe));
	return cid;
}

void expect_event(struct rig *r, uint16_t cid, uint32_t result)
{
	struct nvme_cqe cqe = {0};

	devhost_run(r->h);
	assert_true(reap(r, &r->admin, &cqe));
	ring_cq(r, &r->admin);
	assert_int_equal(cqe.cid, cid);
	assert_int_equal(status_of(cqe), 0);
	assert_int_equal(cqe.result, result);
}

int set_feature(struct rig *r, uint32_t id, uint32_t cdw11)
{
	return admin_status(r, .opcode = NVME_ADM_SET_FEATURES,
			    .nsid = (id & 0xff) == 5, .cdw10 = id,
			    .cdw11 = cdw11);
}

int get_log(struct rig *r, uint32_t id, uint32_t bytes, uint64_t off)
{
	return admin_status(
		r, .opcode = NVME_ADM_GET_LOG, .nsid = NVME_NSID_ALL,
		.prp1 = BUF, .prp2 = BUF + PAGE,
		.cdw10 = id | (bytes / 4 - 1) << 16,
		.cdw11 = (bytes / 4 - 1) >> 16, .cdw12 = (uint32_t)off,
		.cdw13 = (uint32_t)(off >> 32));
}

void put_entry(struct rig *r, uint64_t at, uint64_t entry)
{
	memcpy(devhost_ram(r->h) + at, &entry, sizeof(entry));
}

void check_image(struct rig *r, uint64_t off, uint32_t len, uint32_t seed)
{
	uint8_t *p = malloc(len);

	assert_non_null(p);
	assert_int_equal(pread(r->image, p, len, (off_t)off), len);
	for (uint32_t i = 0; i < len; i++)
		if (p[i] != pattern(off + i, seed))
			fail_msg("byte %#llx", (unsigned long long)off + i);
	free(p);
}
