/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DOC: Theory of operation
 *
 * Commands of one queue are carried out in batches, since what an access to
 * the host costs depends little on how much it moves. The entries come with
 * one access (nvme_queue.c). Reads and Writes are checked one by one and become
 * jobs; every other command ends the batch first, so that commands take effect
 * in the order they were submitted. Then:
 *
 *   1. What can go between file and host memory without us in between does
 *      (nvme_move.c); what else a file is to give or take goes through n->data.
 *   2. All other pieces, and behind them the completions, are one list of
 *      accesses, made in order. If a piece fails, its command has failed: the
 *      completion is changed and the list goes on behind the job.
 *   3. One interrupt, by nvme_queue.c.
 *
 * A host polls the entry at the head, so of several completions the first is
 * written last: when it is there, all are. The phase tag is in its last bytes.
 *
 * With threads=N, the pool does steps 1 and 2 of each job and the list is
 * only completions. Two jobs of a batch that touch the same blocks are then
 * kept apart, for a block is written as one.
 */
#include <errno.h>
#include <stdlib.h>

#include "nvme_batch.h"

#define POOL_BYTES (64u << 10) /* less is not worth waking anybody */

static struct nvme_cqe make_cqe(const struct nvme_sq *sq,
				const struct nvme_done *d, bool phase)
{
	return (struct nvme_cqe){
		.result = htole32(d->result),
		.sq_head = htole16(d->sq_head),
		.sq_id = htole16(sq->id),
		.cid = htole16(d->cid),
		.status = htole16((uint16_t)(d->status << 1 | phase)),
	};
}

/* The phase tag of an entry, the batch's @i-th */
static bool phase_of(const struct nvme_cq *cq, uint32_t i)
{
	return cq->phase ^ (cq->tail + i >= cq->size);
}

static void set_cqe(struct nvme_batch *b, uint32_t i)
{
	b->cqe[i] = make_cqe(b->sq, &b->done[i], phase_of(b->sq->cq, i));
}

void nvme_batch_done(struct nvme *n, const struct nvme_cmd *cmd, int status)
{
	struct nvme_batch *b = n->batch;

	b->done[b->n_done++] = (struct nvme_done){
		.result = cmd->result,
		.sq_head = (uint16_t)cmd->sq->head,
		.cid = cmd->cid,
		.status = status == NVME_HELD ? 0 : status,
	};
	if (status && status != NVME_HELD) {
		sv_count(n->dev, NVME_COUNT_ERRORS, 1);
		nvme_cmd_log_error(n, cmd, status);
	}
}

/* --- the list of accesses --- */

static void list_add(struct nvme_batch *b, struct sv_dma access, uint8_t owner)
{
	b->list[b->n_list] = access;
	b->owner[b->n_list++] = owner;
}

static void list_add_job(struct nvme_batch *b, uint32_t j)
{
	const struct nvme_job *job = &b->job[j];

	for (uint32_t i = 0; i < job->n; i++)
		list_add(b, b->part[job->first + i], (uint8_t)j);
}

/* The job whose access failed goes on no further. Returns where to go on. */
static uint32_t list_fail(struct nvme_batch *b, uint32_t at)
{
	uint8_t owner = b->owner[at];

	b->job[owner].status = NVME_SC_DATA_TRANSFER;
	b->job[owner].moved = true;
	b->done[b->job[owner].done].status = NVME_SC_DATA_TRANSFER;
	set_cqe(b, b->job[owner].done);
	while (b->owner[at] == owner)
		at++;
	return at;
}

/* Returns 0; -ECANCELED; -EIO a completion cannot be written. */
static int list_run(struct nvme *n)
{
	struct nvme_batch *b = n->batch;
	uint32_t at = 0, end = b->n_list;
	int ret = 0;

	b->owner[end] = NVME_NO_JOB;
	b->n_list = 0;
	while (at < end) {
		size_t done = 0;

		ret = sv_dma_many(n->dev, &b->list[at], end - at, &done);
		at += (uint32_t)done;
		if (ret != -EIO || b->owner[at] == NVME_NO_JOB)
			break;
		at = list_fail(b, at);
		ret = 0;
	}
	return ret;
}

/* --- completions --- */

/* @count entries from the batch's @i-th on, in one piece of the ring */
static void list_add_cqes(struct nvme_batch *b, uint32_t i, uint32_t count)
{
	const struct nvme_cq *cq = b->sq->cq;
	uint32_t at = (cq->tail + i) % cq->size;

	if (count)
		list_add(b,
			 (struct sv_dma){
				 .iova = cq->base + at * sizeof(b->cqe[0]),
				 .buf = &b->cqe[i],
				 .len = count * sizeof(b->cqe[0]),
				 .write = true,
			 },
			 NVME_NO_JOB);
}

static void list_add_completions(struct nvme_batch *b)
{
	const struct nvme_cq *cq = b->sq->cq;
	uint32_t whole = nvme_min(b->n_done, cq->size - cq->tail);

	list_add_cqes(b, 1, whole - 1);
	list_add_cqes(b, whole, b->n_done - whole);
	list_add_cqes(b, 0, 1);
}

/* Queues in the controller's own memory are no access to the bus. */
static int post_to_cmb(struct nvme *n)
{
	struct nvme_batch *b = n->batch;
	const struct nvme_cq *cq = b->sq->cq;
	int ret = 0;

	for (uint32_t i = b->n_done; i-- && !ret;) {
		uint32_t at = (cq->tail + i) % cq->size;

		ret = nvme_bus_write(n, cq->base + at * sizeof(b->cqe[0]),
				     &b->cqe[i], sizeof(b->cqe[0]));
	}
	return ret;
}

/* Not all can be written: the host gets those before the first that cannot. */
static int post_some(struct nvme *n)
{
	struct nvme_batch *b = n->batch;
	const struct nvme_cq *cq = b->sq->cq;
	uint32_t i = 0;
	int ret = 0;

	while (i < b->n_done && !ret) {
		uint32_t at = (cq->tail + i) % cq->size;

		ret = nvme_bus_write(n, cq->base + at * sizeof(b->cqe[0]),
				     &b->cqe[i], sizeof(b->cqe[0]));
		i += !ret;
	}
	b->n_done = i;
	return ret == -ECANCELED ? ret : 0;
}

static void posted(struct nvme *n)
{
	struct nvme_batch *b = n->batch;
	struct nvme_cq *cq = b->sq->cq;

	cq->tail += b->n_done;
	if (cq->tail >= cq->size) {
		cq->tail -= cq->size;
		cq->phase = !cq->phase;
	}
	nvme_irq_post(n, cq, b->n_done);
	/* errors are not made to wait for company, NVMe 1.4 5.21.1.8 */
	for (uint32_t i = 0; i < b->n_done; i++)
		if (b->done[i].status)
			nvme_irq_hurry(n, cq);
	b->n_done = 0;
}

/* --- the batch --- */

static void count_job(struct nvme *n, const struct nvme_job *job)
{
	if (job->status == NVME_SC_READ_ERROR ||
	    job->status == NVME_SC_WRITE_FAULT)
		n->stats.media_errors++;
	if (job->status) {
		sv_count(n->dev, NVME_COUNT_ERRORS, 1);
		nvme_cmd_log_error(n, &job->cmd, job->status);
		return;
	}
	if (job->write) {
		n->stats.writes++;
		n->stats.sectors_written += job->len >> NVME_BLOCK_SHIFT;
		n->batch->written += job->len;
	} else {
		n->stats.reads++;
		n->stats.sectors_read += job->len >> NVME_BLOCK_SHIFT;
		n->batch->read += job->len;
	}
}

static void count_jobs(struct nvme *n)
{
	struct nvme_batch *b = n->batch;

	for (uint32_t j = 0; j < b->n_jobs; j++)
		count_job(n, &b->job[j]);
	sv_count(n->dev, NVME_COUNT_READ_BYTES, n->batch->read);
	sv_count(n->dev, NVME_COUNT_WRITTEN_BYTES, n->batch->written);
	n->batch->read = n->batch->written = 0;
}

/* Data of writes that comes by way of n->data, all of it in one list */
static int bounce_writes(struct nvme *n)
{
	struct nvme_batch *b = n->batch;

	for (uint32_t j = 0; j < b->n_jobs; j++)
		if (b->job[j].write && !b->job[j].moved &&
		    !b->job[j].cmd.ns->store.mem)
			list_add_job(b, j);
	if (!b->n_list)
		return 0;
	int ret = list_run(n);

	for (uint32_t j = 0; j < b->n_jobs && !ret; j++)
		if (b->job[j].write && !b->job[j].moved &&
		    !b->job[j].cmd.ns->store.mem)
			nvme_move_bounced(n, &b->job[j]);
	return ret;
}

static int move_here(struct nvme *n)
{
	struct nvme_batch *b = n->batch;
	int ret = 0;

	for (uint32_t j = 0; j < b->n_jobs && !ret; j++)
		ret = nvme_move_store(n, &b->job[j], false);
	return ret ? ret : bounce_writes(n);
}

/* One flush for all that have to be on stable storage */
static int sync_jobs(struct nvme *n)
{
	struct nvme_batch *b = n->batch;
	const struct nvme_ns *synced = NULL;
	int err = 0;

	for (uint32_t j = 0; j < b->n_jobs; j++) {
		struct nvme_job *job = &b->job[j];

		if (!job->sync || job->status)
			continue;
		if (job->cmd.ns != synced)
			err = nvme_store_flush(&job->cmd.ns->store);
		synced = job->cmd.ns;
		job->status = nvme_write_status(err);
	}
	return 0;
}

static bool use_pool(const struct nvme_batch *b)
{
	if (!b->pool || b->n_jobs < 2)
		return false;
	return b->bytes >= POOL_BYTES || !b->job[0].cmd.ns->store.mem;
}

static int move_all(struct nvme *n)
{
	struct nvme_batch *b = n->batch;
	int ret = use_pool(b) ? nvme_pool_run(b->pool, n) : move_here(n);

	return ret ? ret : sync_jobs(n);
}

static int batch_post(struct nvme *n)
{
	struct nvme_batch *b = n->batch;
	const struct nvme_cq *cq = b->sq->cq;
	bool cmb = nvme_cmb_hit(n, cq->base, cq->size * sizeof(b->cqe[0]));

	for (uint32_t j = 0; j < b->n_jobs; j++)
		b->done[b->job[j].done].status = b->job[j].status;
	for (uint32_t i = 0; i < b->n_done; i++)
		set_cqe(b, i);
	for (uint32_t j = 0; j < b->n_jobs; j++)
		if (!b->job[j].moved)
			list_add_job(b, j);
	if (!cmb)
		list_add_completions(b);
	int ret = b->n_list ? list_run(n) : 0;

	return ret || !cmb ? ret : post_to_cmb(n);
}

void nvme_batch_forget(struct nvme *n)
{
	struct nvme_batch *b = n->batch;

	b->n_jobs = b->n_parts = b->n_done = b->n_list = b->bytes = 0;
	b->sq = NULL;
}

int nvme_batch_flush(struct nvme *n)
{
	struct nvme_batch *b = n->batch;

	if (!b->n_done)
		return 0;
	int ret = b->n_jobs ? move_all(n) : 0;

	if (!ret)
		ret = batch_post(n);
	bool lost = ret == -EIO;

	if (lost)
		ret = post_some(n);
	if (ret) {
		nvme_batch_forget(n);
		return ret;
	}
	count_jobs(n);
	sv_count(n->dev, NVME_COUNT_COMMANDS, b->n_done);
	posted(n);
	if (lost)
		nvme_cq_lost(n, b->sq);
	b->n_jobs = b->n_parts = b->bytes = 0;
	return lost ? -EIO : 0;
}

/* --- adding --- */

static bool jobs_clash(const struct nvme_batch *b, const struct nvme_cmd *cmd,
		       uint64_t off, uint32_t len, bool write)
{
	for (uint32_t j = 0; j < b->n_jobs; j++) {
		const struct nvme_job *job = &b->job[j];

		if (job->cmd.ns == cmd->ns && (write || job->write) &&
		    off < job->off + job->len && job->off < off + len)
			return true;
	}
	return false;
}

static bool batch_is_full(const struct nvme *n, uint32_t len)
{
	const struct nvme_batch *b = n->batch;

	return b->bytes >= NVME_BATCH_BYTES || b->n_jobs == NVME_BATCH ||
	       b->bytes + len > NVME_MAX_DATA ||
	       b->n_parts + n->map.count > NVME_PARTS;
}

/* Where the model's side of a job's data is */
static uint8_t *data_of(struct nvme *n, const struct nvme_job *job)
{
	const struct nvme_store *s = &job->cmd.ns->store;

	return s->mem ? s->mem + job->off : n->data + job->bounce;
}

static void job_set_parts(struct nvme *n, struct nvme_job *job)
{
	struct nvme_batch *b = n->batch;
	uint8_t *at = data_of(n, job);

	for (uint32_t i = 0; i < n->map.count; i++) {
		const struct nvme_seg *seg = &n->map.seg[i];

		if (seg->drop)
			job->sparse = true;
		else
			b->part[b->n_parts++] = (struct sv_dma){
				.iova = seg->addr,
				.buf = at,
				.len = seg->len,
				.write = !job->write,
			};
		at += seg->len;
	}
	job->n = b->n_parts - job->first;
}

static bool needs_sync(const struct nvme *n, const struct nvme_cmd *cmd)
{
	return cmd->cdw12 & NVME_RW_FUA ||
	       !(n->c.feature[NVME_FEAT_WRITE_CACHE] & 1);
}

int nvme_batch_add(struct nvme *n, struct nvme_cmd *cmd, bool write)
{
	struct nvme_batch *b = n->batch;
	uint64_t off = nvme_rw_lba(cmd) << cmd->ns->lba_shift;
	uint32_t len = nvme_rw_blocks(cmd) << cmd->ns->lba_shift;
	int ret = 0;

	if (batch_is_full(n, len) ||
	    (b->pool && jobs_clash(b, cmd, off, len, write)))
		ret = nvme_batch_flush(n);
	if (ret)
		return ret;
	struct nvme_job *job = &b->job[b->n_jobs++];

	*job = (struct nvme_job){
		.cmd = *cmd,
		.off = off,
		.len = len,
		.write = write,
		.sync = write && needs_sync(n, cmd),
		.first = b->n_parts,
		.bounce = b->bytes,
		.done = b->n_done,
	};
	job_set_parts(n, job);
	b->bytes += len;
	return NVME_HELD;
}

/* --- life --- */

static int take_threads(struct nvme *n, unsigned int *ret_threads)
{
	const char *text = sv_option(n->dev, "threads");
	char *end = NULL;

	*ret_threads = 1;
	if (!text)
		return 0;
	unsigned long val = strtoul(text, &end, 10);

	if (*text >= '1' && *text <= '9' && !*end && val <= NVME_THREADS_MAX) {
		*ret_threads = (unsigned int)val;
		return 0;
	}
	sv_error(n->dev, "threads=%s: has to be 1 to %u", text,
		 NVME_THREADS_MAX);
	return -EINVAL;
}

int nvme_batch_new(struct nvme *n)
{
	unsigned int threads;
	int ret = take_threads(n, &threads);

	if (ret)
		return ret;
	n->batch = calloc(1, sizeof(*n->batch));
	if (n->batch)
		n->batch->other = malloc(NVME_MAX_DATA);
	if (!n->batch || !n->batch->other) {
		sv_error(n->dev, "no memory for commands");
		return -ENOMEM;
	}
	if (threads == 1)
		return 0;
	ret = nvme_pool_new(threads, &n->batch->pool);
	if (ret)
		sv_error(n->dev, "threads=%u: %s", threads, strerror(-ret));
	return ret;
}

void nvme_batch_free(struct nvme *n)
{
	if (n->batch) {
		nvme_pool_free(n->batch->pool);
		free(n->batch->other);
	}
	free(n->batch);
	n->batch = NULL;
}
