/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Format NVM, NVMe 1.4 5.23: erase one namespace or all, and choose the size
 * of its blocks.
 *
 * The work is done a piece per run(), so that a large image holds up neither
 * other commands nor a reset. Until its end the namespace turns I/O commands
 * away (nvme_queue.c) and has the old format.
 *
 * Whatever the secure erase setting, every byte reads as zero afterwards and
 * its storage has been given back where the file system can do that.
 */
#include <errno.h>

#include "nvme_priv.h"

#define FORMAT_LBAF(dw) ((dw)&15) /* cdw10 */
#define FORMAT_PI(dw)	((dw) >> 5 & 7)
#define FORMAT_SES(dw)	((dw) >> 9 & 7)

#define SES_NONE      0u
#define SES_USER_DATA 1u

#define PIECE (16u << 20)

static uint32_t ns_bit(const struct nvme_ns *ns)
{
	return 1u << (ns->id - 1);
}

static int check_ns(struct nvme *n, const struct nvme_ns *ns)
{
	if (n->format.todo || n->format.answer)
		return NVME_SC_FORMATTING;
	if (ns->store.read_only)
		return NVME_SC_WRITE_PROTECTED | NVME_SC_DNR;
	return 0;
}

/* Which namespaces are meant, NVMe 1.4 figure 327; FNA is all zeroes. */
static int choose(struct nvme *n, const struct nvme_cmd *cmd,
		  uint32_t *ret_todo)
{
	struct nvme_ns *ns = cmd->ns;
	bool all = cmd->nsid == NVME_NSID_ALL;
	int ret = all ? 0 : nvme_ns_status(n, cmd->nsid);
	uint32_t todo = 0;

	if (all)
		ns = nvme_ns_next(n, 0);
	while (!ret && ns) {
		ret = check_ns(n, ns);
		todo |= ns_bit(ns);
		ns = all ? nvme_ns_next(n, ns->id) : NULL;
	}
	if (!ret)
		*ret_todo = todo;
	return ret;
}

int nvme_format(struct nvme *n, struct nvme_cmd *cmd)
{
	uint32_t todo;
	int ret = choose(n, cmd, &todo);

	if (ret)
		return ret;
	if (FORMAT_LBAF(cmd->cdw10) >= NVME_LBA_FORMATS ||
	    FORMAT_PI(cmd->cdw10))
		return NVME_SC_INVALID_FORMAT | NVME_SC_DNR;
	if (FORMAT_SES(cmd->cdw10) > SES_USER_DATA)
		return NVME_SC_INVALID_FIELD | NVME_SC_DNR;
	n->format = (struct nvme_formatting){
		.todo = todo,
		.lbaf = FORMAT_LBAF(cmd->cdw10),
		.answer = true,
		.cid = cmd->cid,
	};
	for (uint32_t i = 0; i < NVME_NAMESPACES; i++)
		n->ns[i].formatting = todo >> i & 1;
	return NVME_HELD;
}

static uint32_t job_nsid(const struct nvme *n)
{
	return (uint32_t)__builtin_ctz(n->format.todo) + 1;
}

static void ns_finish(struct nvme *n, struct nvme_ns *ns, bool erased)
{
	unsigned int old = nvme_ns_format(ns);

	n->format.todo &= ~ns_bit(ns);
	n->format.off = 0;
	ns->formatting = false;
	if (!erased || old == n->format.lbaf)
		return;
	nvme_ns_set_format(ns, n->format.lbaf);
	nvme_event_ns_changed(n, ns);
}

/* One that fails does not keep the others from being erased. */
static void piece_run(struct nvme *n)
{
	struct nvme_formatting *job = &n->format;
	struct nvme_ns *ns = nvme_ns_find(n, job_nsid(n));
	uint32_t len = nvme_min(ns->store.bytes - job->off, PIECE);
	int err = nvme_store_zero(&ns->store, job->off, len, true, n->data,
				  NVME_MAX_DATA);

	job->off += len;
	if (err) {
		n->stats.media_errors++;
		job->status = NVME_SC_WRITE_FAULT;
	}
	if (err || job->off == ns->store.bytes)
		ns_finish(n, ns, !err);
}

static int answer(struct nvme *n)
{
	struct nvme_formatting *job = &n->format;

	if (!nvme_cq_free(&n->c.cq[0]))
		return 0;
	if (job->status) {
		struct nvme_error error = {
			.cid = job->cid,
			.status = (uint16_t)job->status,
		};

		nvme_log_error(n, &error);
	}
	job->answer = false;
	int ret = nvme_complete(n, &n->c.sq[0], job->cid, job->status, 0);

	return ret ? ret : 1;
}

int nvme_format_run(struct nvme *n)
{
	bool worked = n->format.todo;

	if (worked)
		piece_run(n);
	if (n->format.todo || !n->format.answer || n->c.csts != NVME_CSTS_RDY)
		return worked;
	int ret = answer(n);

	return ret ? ret : worked;
}

uint8_t nvme_format_left(const struct nvme *n, const struct nvme_ns *ns)
{
	if (!ns->formatting)
		return 0;
	if (ns->id != job_nsid(n))
		return 100;
	return (uint8_t)(100 - n->format.off / (ns->store.bytes / 100 + 1));
}

bool nvme_format_cid_held(const struct nvme *n, uint16_t cid)
{
	return n->format.answer && n->format.cid == cid;
}
