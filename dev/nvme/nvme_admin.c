/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Admin commands: the table of all, and those that make and delete queues.
 */
#include "nvme_priv.h"

static uint16_t queue_id(const struct nvme_cmd *cmd)
{
	return cmd->cdw10 & 0xffff;
}

static bool is_io_queue(uint16_t id)
{
	return id && id < NVME_QUEUES;
}

/* What creating both kinds of queue has in common, NVMe 1.4 5.3 and 5.4 */
static int check_new_queue(const struct nvme *n, const struct nvme_cmd *cmd,
			   bool exists, uint32_t entry_log, uint32_t want_log)
{
	uint32_t entries = (cmd->cdw10 >> 16) + 1;

	if (!is_io_queue(queue_id(cmd)) || exists)
		return NVME_SC_QUEUE_ID | NVME_SC_DNR;
	if (entries < 2 || entries > NVME_MAX_ENTRIES || entry_log != want_log)
		return NVME_SC_QUEUE_SIZE | NVME_SC_DNR;
	/* CAP.CQR: physically contiguous only */
	if (!(cmd->cdw11 & 1))
		return NVME_SC_INVALID_FIELD | NVME_SC_DNR;
	if (cmd->prp1 & (NVME_PAGE - 1))
		return NVME_SC_PRP_OFFSET | NVME_SC_DNR;
	if (nvme_cmb_straddles(n, cmd->prp1, (uint64_t)entries << want_log))
		return NVME_SC_CMB_USE | NVME_SC_DNR;
	return 0;
}

/*
 * INTx and MSI have one vector. A host that has enabled nothing may still
 * enable MSI-X.
 */
static bool is_vector(struct nvme *n, uint32_t vector)
{
	enum sv_irq_mode mode = sv_irq_mode(n->dev);

	if (mode == SV_IRQ_INTX || mode == SV_IRQ_MSI)
		return !vector;
	return vector < nvme_vectors(n);
}

static int create_cq(struct nvme *n, struct nvme_cmd *cmd)
{
	uint16_t id = queue_id(cmd);
	uint32_t vector = cmd->cdw11 >> 16;
	bool exists = is_io_queue(id) && n->c.cq[id].live;
	int ret = check_new_queue(n, cmd, exists, NVME_CC_IOCQES(n->c.cc),
				  NVME_CQES);

	if (ret)
		return ret;
	if (!is_vector(n, vector))
		return NVME_SC_VECTOR | NVME_SC_DNR;
	n->c.cq[id] = (struct nvme_cq){
		.live = true,
		.irq_en = cmd->cdw11 & 2,
		.phase = true,
		.vector = (uint16_t)vector,
		.size = (cmd->cdw10 >> 16) + 1,
		.base = cmd->prp1,
	};
	n->c.io_queues_made = true;
	nvme_doorbell_clear(n, 2u * id + 1);
	return 0;
}

static int delete_cq(struct nvme *n, struct nvme_cmd *cmd)
{
	uint16_t id = queue_id(cmd);

	if (!is_io_queue(id) || !n->c.cq[id].live)
		return NVME_SC_QUEUE_ID | NVME_SC_DNR;
	if (n->c.cq[id].users)
		return NVME_SC_QUEUE_DELETION | NVME_SC_DNR;
	n->c.cq[id] = (struct nvme_cq){.live = false};
	return 0;
}

static int create_sq(struct nvme *n, struct nvme_cmd *cmd)
{
	uint16_t id = queue_id(cmd);
	uint16_t cq_id = (uint16_t)(cmd->cdw11 >> 16);
	bool exists = is_io_queue(id) && n->c.sq[id].live;
	int ret = check_new_queue(n, cmd, exists, NVME_CC_IOSQES(n->c.cc),
				  NVME_SQES);

	if (ret)
		return ret;
	if (!is_io_queue(cq_id))
		return NVME_SC_QUEUE_ID | NVME_SC_DNR;
	if (!n->c.cq[cq_id].live)
		return NVME_SC_CQ_INVALID | NVME_SC_DNR;
	n->c.sq[id] = (struct nvme_sq){
		.live = true,
		.id = id,
		.class = cmd->cdw11 >> 1 & 3,
		.size = (cmd->cdw10 >> 16) + 1,
		.base = cmd->prp1,
		.cq = &n->c.cq[cq_id],
	};
	n->c.cq[cq_id].users++;
	n->c.io_queues_made = true;
	nvme_doorbell_clear(n, 2u * id);
	return 0;
}

/* Nothing of it can be in progress: commands end before the next begins. */
static int delete_sq(struct nvme *n, struct nvme_cmd *cmd)
{
	uint16_t id = queue_id(cmd);

	if (!is_io_queue(id) || !n->c.sq[id].live)
		return NVME_SC_QUEUE_ID | NVME_SC_DNR;
	n->c.sq[id].cq->users--;
	n->c.sq[id] = (struct nvme_sq){.live = false};
	return 0;
}

/* Held event requests are all that there is to abort. */
static int abort_cmd(struct nvme *n, struct nvme_cmd *cmd)
{
	uint16_t cid = (uint16_t)(cmd->cdw10 >> 16);
	int ret = queue_id(cmd) ? 0 : nvme_event_abort(n, cid);

	if (ret < 0)
		return ret;
	cmd->result = !ret;
	return 0;
}

static nvme_op *const admin_ops[] = {
	[NVME_ADM_DELETE_SQ] = delete_sq,
	[NVME_ADM_CREATE_SQ] = create_sq,
	[NVME_ADM_GET_LOG] = nvme_log_get,
	[NVME_ADM_DELETE_CQ] = delete_cq,
	[NVME_ADM_CREATE_CQ] = create_cq,
	[NVME_ADM_IDENTIFY] = nvme_identify,
	[NVME_ADM_ABORT] = abort_cmd,
	[NVME_ADM_SET_FEATURES] = nvme_feature_set,
	[NVME_ADM_GET_FEATURES] = nvme_feature_get,
	[NVME_ADM_ASYNC_EVENT] = nvme_event_request,
	[NVME_ADM_FORMAT] = nvme_format,
	[NVME_ADM_DBBUF] = nvme_dbbuf_config,
};

nvme_op *nvme_admin_op(uint8_t opcode)
{
	if (opcode >= sizeof(admin_ops) / sizeof(admin_ops[0]))
		return NULL;
	return admin_ops[opcode];
}
