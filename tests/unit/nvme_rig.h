/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a driver of the NVMe controller needs, for its tests: registers, queues
 * and commands in the program memory of devhost.h. The image is a memfd, so
 * that every byte the controller moves can be compared with the file.
 *
 * Functions stop the test when something cannot be; what a test is about, they
 * return.
 */
#ifndef SOFTVFIO_TESTS_NVME_RIG_H
#define SOFTVFIO_TESTS_NVME_RIG_H

#include <stdbool.h>
#include <stdint.h>

#include "dev/nvme/nvme.h"
#include "dev/nvme/nvme_spec.h"
#include "tests/unit/devhost.h"

#define PAGE	   4096u
#define BLOCK	   512u
#define IMAGE_SIZE (8u << 20)
#define MAX_DATA   (2u << 20)
#define ENABLE	   (NVME_CC_EN | 6u << 16 | 4u << 20)
#define DNR	   NVME_SC_DNR

/* Program memory */
#define ADMIN_SQ   0x010000u
#define ADMIN_CQ   0x020000u
#define IO_SQ	   0x030000u
#define IO_CQ	   0x040000u
#define OTHER_RING 0x050000u
#define LIST	   0x080000u
#define BUF	   0x100000u
#define DATA	   0x200000u

#define RIG_OPTIONS 6u

#define ADMIN_SIZE 32u
#define IO_SIZE	   64u

struct queue {
	uint16_t id;
	uint32_t sq_size;
	uint32_t cq_size;
	uint64_t sq;
	uint64_t cq;
	uint32_t tail;
	uint32_t head;
	bool phase;
	uint16_t cid;
};

struct rig {
	struct devhost *h;
	int image;
	struct queue admin;
	struct queue io;
};

/** pattern() - What byte @i of a pattern is; neighbours and pages differ */
uint8_t pattern(uint64_t i, uint32_t seed);
/** rig_new() - A rig on an image of IMAGE_SIZE and a bit; @option or NULL */
struct rig *rig_new(const char *option);
/** rig_with() - The same with up to RIG_OPTIONS options, ended by NULL */
struct rig *rig_with(const char *const *more);
/** rig_ready() - And with queue pair 1 */
struct rig *rig_ready(const char *const *more);
/* For cmocka: powered on; with queue pair 1; and the end of it */
int setup(void **state);
int setup_ready(void **state);
int teardown(void **state);

/* Registers */
uint32_t rd(struct rig *r, uint32_t off);
void wr(struct rig *r, uint32_t off, uint32_t val);
/* Doorbells: what the queue has come to */
void ring_sq(struct rig *r, const struct queue *q);
void ring_cq(struct rig *r, const struct queue *q);

/* A queue pair that does not exist yet, both rings of @size entries */
struct queue queue_new(uint16_t id, uint64_t sq, uint64_t cq, uint32_t size);
/** submit() - Write an entry, ring nothing; returns its command identifier */
uint16_t submit(struct rig *r, struct queue *q, struct nvme_sqe sqe);
/** reap() - Take the next completion, if there is one; ring nothing */
bool reap(struct rig *r, struct queue *q, struct nvme_cqe *ret_cqe);
/** command() - One command from start to end, alone in its queue */
struct nvme_cqe command(struct rig *r, struct queue *q, struct nvme_sqe sqe);
/** status_of() - The status field without the phase tag */
int status_of(struct nvme_cqe cqe);

/* A command of these fields; its status */
#define admin_status(r, ...)                                                   \
	status_of(command(r, &(r)->admin, (struct nvme_sqe){__VA_ARGS__}))
#define io_status(r, ...)                                                      \
	status_of(command(r, &(r)->io,                                         \
			  (struct nvme_sqe){.nsid = 1, __VA_ARGS__}))

/** enable() - Set up the admin queues and wait for CSTS.RDY */
void enable(struct rig *r);
/** disable() - CC.EN = 0; all queues are gone */
void disable(struct rig *r);
/* These return the status of the command. */
int create_cq(struct rig *r, const struct queue *q, uint32_t vector);
int create_sq(struct rig *r, const struct queue *q);
/** make_io_queues() - r->io, as queue pair 1 */
void make_io_queues(struct rig *r, uint32_t sq_size, uint32_t cq_size);

/** identify() - Returns the data, in program memory at BUF */
uint8_t *identify(struct rig *r, uint32_t cns, uint32_t nsid);
/* These return the status of the command. */
struct nvme_cqe get_feature(struct rig *r, uint32_t id, uint32_t cdw11);
int set_feature(struct rig *r, uint32_t id, uint32_t cdw11);
int get_log(struct rig *r, uint32_t id, uint32_t bytes, uint64_t off);
/** le() - A little endian number of @bytes bytes, 4 at most */
uint32_t le(const uint8_t *p, unsigned int bytes);

/** request_event() - Leave a request; returns its command identifier */
uint16_t request_event(struct rig *r);
/** expect_event() - The request @cid is completed now, with @result */
void expect_event(struct rig *r, uint16_t cid, uint32_t result);

/** put_entry() - Write a PRP entry into program memory */
void put_entry(struct rig *r, uint64_t at, uint64_t entry);
/** fill_image() - Pattern 1 all over the image */
void fill_image(int fd);
/** check_image() - Does a part of the image hold pattern @seed? */
void check_image(struct rig *r, uint64_t off, uint32_t len, uint32_t seed);

#define with_rig(f)   cmocka_unit_test_setup_teardown(f, setup, teardown)
#define with_ready(f) cmocka_unit_test_setup_teardown(f, setup_ready, teardown)

#endif
