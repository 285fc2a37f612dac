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

static int check_ns(const struct nvme_cmd *cmd)
{
	return cmd->nsid == 1 ? 0 : NVME_SC_INVALID_NS | NVME_SC_DNR;
}

static int check_range(const struct nvme *n, uint64_t lba, uint64_t blocks)
{
	if (lba > n->blocks || blocks > n->blocks - lba)
		return NVME_SC_LBA_RANGE | NVME_SC_DNR;
	return 0;
}

static int check_writable(const struct nvme *n)
{
	if (n->store.read_only)
		return NVME_SC_WRITE_PROTECTED | NVME_SC_DNR;
	return 0;
}

/* Read and Write, before anything moves */
static int check_rw(const struct nvme *n, const struct nvme_cmd *cmd)
{
	int ret = check_ns(cmd);

	if (ret)
		return ret;
	if (rw_blocks(cmd) > NVME_MAX_DATA / NVME_BLOCK)
		return NVME_SC_INVALID_FIELD | NVME_SC_DNR;
	return check_range(n, rw_lba(cmd), rw_blocks(cmd));
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

static int flush_store(struct nvme *n)
{
	return store_status(n, nvme_store_flush(&n->store),
			    NVME_SC_WRITE_FAULT);
}

/* What a write that changed the storage still owes the host */
static int write_done(struct nvme *n, const struct nvme_cmd *cmd, int err)
{
	int ret = store_status(n, err, NVME_SC_WRITE_FAULT);
	bool cached = n->c.feature[NVME_FEAT_WRITE_CACHE] & 1;

	if (ret || (cached && !(cmd->cdw12 & NVME_RW_FUA)))
		return ret;
	return flush_store(n);
}

static int io_flush(struct nvme *n, struct nvme_cmd *cmd)
{
	int ret = cmd->nsid == NVME_NSID_ALL ? 0 : check_ns(cmd);

	return ret ? ret : flush_store(n);
}

static int io_write(struct nvme *n, struct nvme_cmd *cmd)
{
	uint32_t len = rw_blocks(cmd) << NVME_BLOCK_SHIFT;
	int ret = check_rw(n, cmd);

	if (!ret)
		ret = check_writable(n);
	if (!ret)
		ret = nvme_data_in(n, cmd, len);
	if (ret)
		return ret;
	n->stats.writes++;
	n->stats.blocks_written += rw_blocks(cmd);
	int err = nvme_store_write(&n->store, rw_lba(cmd) << NVME_BLOCK_SHIFT,
				   n->data, len);

	return write_done(n, cmd, err);
}

static int io_read(struct nvme *n, struct nvme_cmd *cmd)
{
	uint32_t len = rw_blocks(cmd) << NVME_BLOCK_SHIFT;
	int ret = check_rw(n, cmd);

	/* what is read has to be durable: the cache goes first */
	if (!ret && cmd->cdw12 & NVME_RW_FUA)
		ret = flush_store(n);
	if (ret)
		return ret;
	int err = nvme_store_read(&n->store, rw_lba(cmd) << NVME_BLOCK_SHIFT,
				  n->data, len);

	if (err)
		return store_status(n, err, NVME_SC_READ_ERROR);
	n->stats.reads++;
	n->stats.blocks_read += rw_blocks(cmd);
	return nvme_data_out(n, cmd, len);
}

static int io_write_zeroes(struct nvme *n, struct nvme_cmd *cmd)
{
	uint64_t off = rw_lba(cmd) << NVME_BLOCK_SHIFT;
	uint64_t len = (uint64_t)rw_blocks(cmd) << NVME_BLOCK_SHIFT;
	int ret = check_ns(cmd);

	if (!ret)
		ret = check_range(n, rw_lba(cmd), rw_blocks(cmd));
	if (!ret)
		ret = check_writable(n);
	if (ret)
		return ret;
	n->budget -= (int64_t)len;
	int err = nvme_store_zero(&n->store, off, len,
				  cmd->cdw12 & NVME_ZEROES_DEAC, n->data,
				  NVME_MAX_DATA);

	return write_done(n, cmd, err);
}

static int dsm_check(struct nvme *n, const struct nvme_dsm_range *range,
		     uint32_t count)
{
	int ret = 0;

	for (uint32_t i = 0; i < count && !ret; i++)
		ret = check_range(n, le64toh(range[i].lba),
				  le32toh(range[i].blocks));
	return ret;
}

static int dsm_discard(struct nvme *n, const struct nvme_dsm_range *range,
		       uint32_t count)
{
	int err = 0;

	for (uint32_t i = 0; i < count && !err; i++)
		err = nvme_store_discard(
			&n->store, le64toh(range[i].lba) << NVME_BLOCK_SHIFT,
			(uint64_t)le32toh(range[i].blocks) << NVME_BLOCK_SHIFT);
	return store_status(n, err, NVME_SC_WRITE_FAULT);
}

/* All ranges are checked before the first is given back. */
static int io_dsm(struct nvme *n, struct nvme_cmd *cmd)
{
	struct nvme_dsm_range range[DSM_RANGES_MAX];
	uint32_t count = (cmd->cdw10 & 0xff) + 1;
	uint32_t len = count * (uint32_t)sizeof(range[0]);
	bool discard = cmd->cdw11 & NVME_DSM_DISCARD;
	int ret = check_ns(cmd);

	if (!ret && discard)
		ret = check_writable(n);
	if (!ret)
		ret = nvme_data_in(n, cmd, len);
	if (ret)
		return ret;
	memcpy(range, n->data, len);
	ret = dsm_check(n, range, count);
	return ret || !discard ? ret : dsm_discard(n, range, count);
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
