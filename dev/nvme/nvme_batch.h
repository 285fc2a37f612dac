/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reads and writes on their way: commands of one submission queue that have
 * been checked, whose data is moved and whose completions are written together.
 */
#ifndef SOFTVFIO_DEV_NVME_BATCH_H
#define SOFTVFIO_DEV_NVME_BATCH_H

#include "nvme_priv.h"

#define NVME_BATCH_BYTES (256u << 10) /* of data: then it is time to move it */
#define NVME_PARTS	 2048u	      /* pieces of host memory */
#define NVME_THREADS_MAX 16u

/* A piece of the list that belongs to no job: a completion */
#define NVME_NO_JOB 0xff

/**
 * struct nvme_job - A Read or Write whose data is still to be moved
 * @cmd:    the command
 * @off:    byte offset in the store of cmd.ns
 * @len:    bytes
 * @write:  to the store
 * @sync:   and to stable storage
 * @sparse: part of a read is for nobody (SGL bit bucket)
 * @moved:  nothing is left to be done
 * @first:  first of its pieces of host memory
 * @n:	    how many
 * @bounce: its place in n->data, if a copy in between is needed
 * @done:   its completion
 * @status: what has come of it
 */
struct nvme_job {
	struct nvme_cmd cmd;
	uint64_t off;
	uint32_t len;
	bool write;
	bool sync;
	bool sparse;
	bool moved;
	uint32_t first;
	uint32_t n;
	uint32_t bounce;
	uint32_t done;
	int status;
};

/** struct nvme_done - A completion to be written */
struct nvme_done {
	uint32_t result;
	uint16_t sq_head;
	uint16_t cid;
	int status;
};

struct nvme_pool;

/**
 * struct nvme_batch - What is going on for one submission queue
 * @sq:    the queue
 * @bytes: of data of all jobs
 * @part:  host memory of all jobs
 * @list:  accesses to be made in one go
 * @owner: the job each of them is for, or NVME_NO_JOB
 * @cqe:   as the host will see them, in the order they were carried out
 * @pool:  threads that move data, or NULL
 *
 * The rest is scratch.
 */
struct nvme_batch {
	struct nvme_sq *sq;
	uint32_t n_jobs;
	uint32_t n_parts;
	uint32_t n_done;
	uint32_t n_list;
	uint32_t bytes;
	struct nvme_job job[NVME_BATCH];
	struct nvme_done done[NVME_BATCH + 1]; /* a fused pair may end it */
	struct nvme_cqe cqe[NVME_BATCH + 1];
	struct sv_dma part[NVME_PARTS];
	struct sv_dma list[NVME_PARTS + 3];
	uint8_t owner[NVME_PARTS + 4]; /* and an end */
	struct nvme_pool *pool;
	uint8_t *other;	  /* NVME_MAX_DATA bytes, to compare n->data with */
	uint64_t read;	  /* bytes, of the jobs being counted */
	uint64_t written; /* likewise */
};
static_assert(NVME_BATCH < NVME_NO_JOB, "a job's number fits an owner");

/* nvme_batch.c */

/**
 * nvme_batch_add() - A Read or Write has been checked
 * @write: to the store
 *
 * Return: NVME_HELD it will be completed with the batch; a status; or as
 * nvme_batch_flush().
 */
int nvme_batch_add(struct nvme *n, struct nvme_cmd *cmd, bool write);

/** nvme_batch_done() - A command has been carried out: note its completion */
void nvme_batch_done(struct nvme *n, const struct nvme_cmd *cmd, int status);

/* nvme_move.c */

/**
 * nvme_move_store() - The part of a job that has to come before the list
 * @n:   for its devices and namespaces; not changed
 * @job: moved when there is nothing left for the list
 * @alone: all of it, the list will not be made
 *
 * Context: the model's thread, or one of the pool while that waits.
 * Return: 0, see job->status; -ECANCELED.
 */
int nvme_move_store(struct nvme *n, struct nvme_job *job, bool alone);

/** nvme_move_bounced() - Data of a write has come to its place in n->data */
void nvme_move_bounced(struct nvme *n, struct nvme_job *job);

/** nvme_read_status() - What an error of the store means to the host */
int nvme_read_status(int err);
int nvme_write_status(int err);

/* nvme_pool.c */

/**
 * nvme_pool_new() - @threads that move data, this one included
 *
 * Return: 0; -EAGAIN, -ENOMEM.
 */
int nvme_pool_new(unsigned int threads, struct nvme_pool **ret_pool);
struct nvme_pool *nvme_pool_free(struct nvme_pool *p);

/**
 * nvme_pool_run() - Move the data of all jobs of a batch, on all threads
 *
 * Return: 0; -ECANCELED.
 */
int nvme_pool_run(struct nvme_pool *p, struct nvme *n);

#endif
