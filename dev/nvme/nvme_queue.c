/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Submission and completion queues: doorbells, fetching, posting.
 *
 * A queue entry is fetched once and never looked at in host memory again.
 * A command is only begun when its completion has a place to go, so a full
 * completion queue stops its submission queues until the host moves the head.
 */
#include <errno.h>

#include "nvme_priv.h"

uint32_t nvme_cq_free(const struct nvme_cq *cq)
{
	return cq->size - 1 - nvme_distance(cq->head, cq->tail, cq->size);
}

static void bad_doorbell(struct nvme *n, unsigned int db, uint32_t val,
			 unsigned int info)
{
	sv_driver_error(n->dev, "doorbell of %s queue %u rung with %u: %s",
			db & 1 ? "completion" : "submission", db / 2, val,
			info == NVME_EVENT_BAD_DOORBELL
				? "there is no such queue"
				: "not between its head and its tail");

	struct nvme_error error = {
		.sq_id = 0xffff, /* both: no particular command */
		.cid = 0xffff,
		.status = NVME_SC_INVALID_FIELD,
	};

	nvme_log_error(n, &error);
	nvme_event(n, NVME_EVENT_ERROR, info);
}

/* The host cannot take back what it has submitted, nor fill the queue. */
static bool sq_ring(struct nvme_sq *sq, uint32_t tail)
{
	if (tail >= sq->size ||
	    nvme_distance(sq->head, tail, sq->size) <
		    nvme_distance(sq->head, sq->tail, sq->size))
		return false;
	sq->tail = tail;
	return true;
}

/* The host cannot have taken more than was posted. */
static bool cq_ring(struct nvme_cq *cq, uint32_t head)
{
	if (head >= cq->size ||
	    nvme_distance(cq->head, head, cq->size) >
		    nvme_distance(cq->head, cq->tail, cq->size))
		return false;
	cq->head = head;
	return true;
}

void nvme_queue_ring(struct nvme *n, unsigned int db, uint32_t val)
{
	struct nvme_sq *sq = &n->c.sq[db / 2];
	struct nvme_cq *cq = &n->c.cq[db / 2];
	bool live = db & 1 ? cq->live : sq->live;

	if (!live)
		bad_doorbell(n, db, val, NVME_EVENT_BAD_DOORBELL);
	else if (!(db & 1 ? cq_ring(cq, val) : sq_ring(sq, val)))
		bad_doorbell(n, db, val, NVME_EVENT_BAD_DOORBELL_VALUE);
}

void nvme_lost_event(struct nvme *n, uint16_t sq_id)
{
	struct nvme_error error = {
		.sq_id = sq_id,
		.cid = 0xffff, /* no particular command */
		.status = NVME_SC_DATA_TRANSFER,
	};

	nvme_log_error(n, &error);
	nvme_event(n, NVME_EVENT_ERROR, NVME_EVENT_TRANSIENT);
}

static void lost(struct nvme *n, const struct nvme_sq *sq, bool *flag)
{
	if (!sq->id) {
		nvme_fatal(n);
		return;
	}
	*flag = true;
	nvme_lost_event(n, sq->id);
}

void nvme_sq_lost(struct nvme *n, struct nvme_sq *sq)
{
	lost(n, sq, &sq->lost);
}

void nvme_cq_lost(struct nvme *n, struct nvme_sq *sq)
{
	lost(n, sq, &sq->cq->lost);
}

static int cq_post(struct nvme *n, struct nvme_cq *cq, struct nvme_cqe *cqe)
{
	uint64_t addr = cq->base + cq->tail * sizeof(*cqe);

	cqe->status = htole16(cqe->status | cq->phase);
	int ret = nvme_bus_write(n, addr, cqe, sizeof(*cqe));

	if (ret)
		return ret;
	if (++cq->tail == cq->size) {
		cq->tail = 0;
		cq->phase = !cq->phase;
	}
	nvme_irq_post(n, cq, 1);
	sv_count(n->dev, NVME_COUNT_COMMANDS, 1);
	return 0;
}

int nvme_complete(struct nvme *n, struct nvme_sq *sq, uint16_t cid, int status,
		  uint32_t result)
{
	struct nvme_cqe cqe = {
		.result = htole32(result),
		.sq_head = htole16((uint16_t)sq->head),
		.sq_id = htole16(sq->id),
		.cid = htole16(cid),
		.status = (uint16_t)(status << 1),
	};
	int ret = cq_post(n, sq->cq, &cqe);

	/* errors are not made to wait for company, NVMe 1.4 5.21.1.8 */
	if (status)
		nvme_irq_hurry(n, sq->cq);
	if (ret && ret != -ECANCELED)
		nvme_cq_lost(n, sq);
	return ret;
}

struct nvme_cmd nvme_cmd_decode(struct nvme_sq *sq, const struct nvme_sqe *sqe)
{
	return (struct nvme_cmd){
		.sq = sq,
		.opcode = sqe->opcode,
		.flags = sqe->flags,
		.cid = le16toh(sqe->cid),
		.nsid = le32toh(sqe->nsid),
		.prp1 = le64toh(sqe->prp1),
		.prp2 = le64toh(sqe->prp2),
		.cdw10 = le32toh(sqe->cdw10),
		.cdw11 = le32toh(sqe->cdw11),
		.cdw12 = le32toh(sqe->cdw12),
		.cdw13 = le32toh(sqe->cdw13),
		.cdw14 = le32toh(sqe->cdw14),
		.cdw15 = le32toh(sqe->cdw15),
	};
}

static int cmd_exec(struct nvme *n, struct nvme_cmd *cmd)
{
	nvme_op *op = nvme_admin_op(cmd->opcode);

	if (!op)
		return NVME_SC_INVALID_OPCODE | NVME_SC_DNR;
	/* over PCI Express, admin commands use no SGLs; none is fused */
	if (cmd->flags & (NVME_FLAGS_FUSE | NVME_FLAGS_PSDT))
		return NVME_SC_INVALID_FIELD | NVME_SC_DNR;
	if (nvme_event_cid_held(n, cmd->cid) ||
	    nvme_format_cid_held(n, cmd->cid))
		return NVME_SC_CID_CONFLICT | NVME_SC_DNR;
	cmd->ns = nvme_ns_find(n, cmd->nsid);
	return op(n, cmd);
}

void nvme_cmd_log_error(struct nvme *n, const struct nvme_cmd *cmd, int status)
{
	struct nvme_error error = {
		.sq_id = cmd->sq->id,
		.cid = cmd->cid,
		.status = (uint16_t)status,
		.nsid = cmd->nsid,
	};

	if (cmd->sq->id)
		error.lba = (uint64_t)cmd->cdw11 << 32 | cmd->cdw10;
	nvme_log_error(n, &error);
}

static int admin_run(struct nvme *n, struct nvme_sq *sq,
		     const struct nvme_sqe *sqe)
{
	struct nvme_cmd cmd = nvme_cmd_decode(sq, sqe);
	int status = cmd_exec(n, &cmd);

	if (status < 0)
		return status;
	if (++sq->head == sq->size)
		sq->head = 0;
	if (status == NVME_HELD)
		return 0;
	if (status)
		nvme_cmd_log_error(n, &cmd, status);
	return nvme_complete(n, sq, cmd.cid, status, cmd.result);
}

/* Entries that lie in one piece and can be completed. */
static uint32_t sq_batch(const struct nvme_sq *sq, uint32_t max)
{
	uint32_t end = sq->tail >= sq->head ? sq->tail : sq->size;
	uint32_t count = nvme_min(end - sq->head, nvme_min(max, NVME_BATCH));

	return nvme_min(count, nvme_cq_free(sq->cq));
}

/* If not all can be reached, then those in the page of the first */
static int sq_fetch(struct nvme *n, struct nvme_sq *sq, uint32_t *count)
{
	const uint32_t per_page = NVME_PAGE / sizeof(n->sqe[0]);
	uint32_t in_page = per_page - sq->head % per_page;
	uint64_t addr = sq->base + sq->head * sizeof(n->sqe[0]);
	int ret = nvme_bus_read(n, addr, n->sqe, *count * sizeof(n->sqe[0]));

	if (ret == -EIO && in_page < *count) {
		*count = in_page;
		ret = nvme_bus_read(n, addr, n->sqe,
				    *count * sizeof(n->sqe[0]));
	}
	if (ret && ret != -ECANCELED)
		nvme_sq_lost(n, sq);
	return ret;
}

/* An aborted event request may have used a place of this batch. */
static int admin_batch(struct nvme *n, struct nvme_sq *sq, uint32_t count)
{
	int done = 0;

	while (done < (int)count && nvme_cq_free(sq->cq) && n->budget > 0) {
		int ret = admin_run(n, sq, &n->sqe[done]);

		if (ret)
			return ret;
		done++;
	}
	return done;
}

static int io_batch(struct nvme *n, struct nvme_sq *sq, uint32_t count)
{
	uint32_t done = 0;
	int ret = 1;

	while (ret > 0 && done < count && n->budget > 0) {
		ret = nvme_io_run(n, sq, &n->sqe[done], count - done);
		if (ret > 0)
			done += (uint32_t)ret;
	}
	if (ret >= 0)
		ret = nvme_batch_flush(n);
	else
		nvme_batch_forget(n);
	return ret ? ret : (int)done;
}

int nvme_sq_run(struct nvme *n, struct nvme_sq *sq, uint32_t max)
{
	uint32_t count = nvme_sq_runs(sq) ? sq_batch(sq, max) : 0;

	if (!count)
		return 0;
	int ret = sq_fetch(n, sq, &count);

	if (!ret)
		ret = sq->id ? io_batch(n, sq, count)
			     : admin_batch(n, sq, count);
	if (ret == -ECANCELED)
		return ret;
	nvme_irq_notify(n, sq->cq);
	/* the queue is lost, which is an event to report */
	return ret < 0 && sq->id ? 1 : ret;
}

int nvme_queues_run(struct nvme *n)
{
	n->budget = NVME_PASS_BYTES;
	int events = nvme_events_run(n);
	int admin =
		events < 0 ? events : nvme_sq_run(n, &n->c.sq[0], UINT32_MAX);
	int io = admin < 0 ? admin : nvme_arb_run(n);

	if (io == -ECANCELED)
		return io;
	/* any other error is CSTS.CFS, which is yet to be published */
	return io < 0 || events || admin || io;
}
