/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Commands of the NVM command set, NVMe 1.4 6. Data goes through n->data, one
 * command at a time: a write moves nothing to the storage before all of it has
 * arrived from the host.
 */
#include <errno.h>

#include "nvme_priv.h"

#define DSM_RANGES_MAX 256u

static uint64_t rw_lba(const struct nvme_cmd *cmd)
{
	return (uint64_t)cmd->cdw11 << 32 | cmd->cdw10;
}

static uint32_t rw_blocks(const struct nvme_cmd *cmd)
{
	return (cmd->cdw12 & 0xffff) + 1;
}

/* Bytes into the namespace; the block has been found to be in it. */
static uint64_t byte_offset(const struct nvme_ns *ns, uint64_t lba)
{
	return lba << ns->lba_shift;
}

static int check_ns(struct nvme *n, const struct nvme_cmd *cmd)
{
	return cmd->ns ? 0 : nvme_ns_status(n, cmd->nsid);
}

static int check_range(const struct nvme_ns *ns, uint64_t lba, uint64_t blocks)
{
	if (lba > ns->blocks || blocks > ns->blocks - lba)
		return NVME_SC_LBA_RANGE | NVME_SC_DNR;
	return 0;
}

static int check_writable(const struct nvme_ns *ns)
{
	if (ns->store.read_only)
		return NVME_SC_WRITE_PROTECTED | NVME_SC_DNR;
	return 0;
}

/* Read and Write, before anything moves */
static int check_rw(struct nvme *n, const struct nvme_cmd *cmd)
{
	int ret = check_ns(n, cmd);

	if (ret)
		return ret;
	if (rw_blocks(cmd) > NVME_MAX_DATA >> cmd->ns->lba_shift)
		return NVME_SC_INVALID_FIELD | NVME_SC_DNR;
	return check_range(cmd->ns, rw_lba(cmd), rw_blocks(cmd));
}

/* @err is what the storage said, @status what that means to the host. */
static int store_status(struct nvme *n, int err, int status)
{
	if (!err)
		return 0;
	if (err == -ENOSPC || err == -EDQUOT || err == -EFBIG)
		return NVME_SC_CAPACITY;
	n->stats.media_errors++;
	return status;
}

static int flush_ns(struct nvme *n, struct nvme_ns *ns)
{
	return store_status(n, nvme_store_flush(&ns->store),
			    NVME_SC_WRITE_FAULT);
}

/* What a write that changed the storage still owes the host */
static int write_done(struct nvme *n, const struct nvme_cmd *cmd, int err)
{
	int ret = store_status(n, err, NVME_SC_WRITE_FAULT);
	bool cached = n->c.feature[NVME_FEAT_WRITE_CACHE] & 1;

	if (ret || (cached && !(cmd->cdw12 & NVME_RW_FUA)))
		return ret;
	return flush_ns(n, cmd->ns);
}

static int flush_all(struct nvme *n)
{
	struct nvme_ns *ns = NULL;
	int ret = 0;

	while (!ret && (ns = nvme_ns_next(n, ns ? ns->id : 0)))
		ret = flush_ns(n, ns);
	return ret;
}

static int io_flush(struct nvme *n, struct nvme_cmd *cmd)
{
	if (cmd->nsid == NVME_NSID_ALL)
		return flush_all(n);
	int ret = check_ns(n, cmd);

	return ret ? ret : flush_ns(n, cmd->ns);
}

static int io_write(struct nvme *n, struct nvme_cmd *cmd)
{
	struct nvme_ns *ns = cmd->ns;
	int ret = check_rw(n, cmd);

	if (!ret)
		ret = check_writable(ns);
	if (ret)
		return ret;
	uint32_t len = rw_blocks(cmd) << ns->lba_shift;

	ret = nvme_data_in(n, cmd, len);
	if (ret)
		return ret;
	n->stats.writes++;
	n->stats.sectors_written += len >> NVME_BLOCK_SHIFT;
	int err = nvme_store_write(&ns->store, byte_offset(ns, rw_lba(cmd)),
				   n->data, len);

	return write_done(n, cmd, err);
}

static int io_read(struct nvme *n, struct nvme_cmd *cmd)
{
	struct nvme_ns *ns = cmd->ns;
	int ret = check_rw(n, cmd);

	/* what is read has to be durable: the cache goes first */
	if (!ret && cmd->cdw12 & NVME_RW_FUA)
		ret = flush_ns(n, cmd->ns);
	if (ret)
		return ret;
	uint32_t len = rw_blocks(cmd) << ns->lba_shift;
	int err = nvme_store_read(&ns->store, byte_offset(ns, rw_lba(cmd)),
				  n->data, len);

	if (err)
		return store_status(n, err, NVME_SC_READ_ERROR);
	n->stats.reads++;
	n->stats.sectors_read += len >> NVME_BLOCK_SHIFT;
	return nvme_data_out(n, cmd, len);
}

static int io_write_zeroes(struct nvme *n, struct nvme_cmd *cmd)
{
	struct nvme_ns *ns = cmd->ns;
	int ret = check_ns(n, cmd);

	if (!ret)
		ret = check_range(ns, rw_lba(cmd), rw_blocks(cmd));
	if (!ret)
		ret = check_writable(ns);
	if (ret)
		return ret;
	uint64_t len = (uint64_t)rw_blocks(cmd) << ns->lba_shift;

	n->budget -= (int64_t)len;
	int err = nvme_store_zero(&ns->store, byte_offset(ns, rw_lba(cmd)), len,
				  cmd->cdw12 & NVME_ZEROES_DEAC, n->data,
				  NVME_MAX_DATA);

	return write_done(n, cmd, err);
}

static int dsm_check(const struct nvme_ns *ns,
		     const struct nvme_dsm_range *range, uint32_t count)
{
	int ret = 0;

	for (uint32_t i = 0; i < count && !ret; i++)
		ret = check_range(ns, le64toh(range[i].lba),
				  le32toh(range[i].blocks));
	return ret;
}

static int dsm_discard(struct nvme *n, struct nvme_ns *ns,
		       const struct nvme_dsm_range *range, uint32_t count)
{
	int err = 0;

	for (uint32_t i = 0; i < count && !err; i++)
		err = nvme_store_discard(
			&ns->store, byte_offset(ns, le64toh(range[i].lba)),
			(uint64_t)le32toh(range[i].blocks) << ns->lba_shift);
	return store_status(n, err, NVME_SC_WRITE_FAULT);
}

/* All ranges are checked before the first is given back. */
static int io_dsm(struct nvme *n, struct nvme_cmd *cmd)
{
	struct nvme_dsm_range range[DSM_RANGES_MAX];
	uint32_t count = (cmd->cdw10 & 0xff) + 1;
	uint32_t len = count * (uint32_t)sizeof(range[0]);
	bool discard = cmd->cdw11 & NVME_DSM_DISCARD;
	int ret = check_ns(n, cmd);

	if (!ret && discard)
		ret = check_writable(cmd->ns);
	if (!ret)
		ret = nvme_data_in(n, cmd, len);
	if (ret)
		return ret;
	memcpy(range, n->data, len);
	ret = dsm_check(cmd->ns, range, count);
	return ret || !discard ? ret : dsm_discard(n, cmd->ns, range, count);
}

static nvme_op *const io_ops[] = {
	[NVME_IO_FLUSH] = io_flush, [NVME_IO_WRITE] = io_write,
	[NVME_IO_READ] = io_read,   [NVME_IO_WRITE_ZEROES] = io_write_zeroes,
	[NVME_IO_DSM] = io_dsm,
};

nvme_op *nvme_io_op(uint8_t opcode)
{
	if (opcode >= sizeof(io_ops) / sizeof(io_ops[0]))
		return NULL;
	return io_ops[opcode];
}
