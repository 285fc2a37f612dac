/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Commands of the NVM command set, NVMe 1.4 6. Reads and Writes are only begun
 * here: nvme_batch.c moves their data and completes them. All others end the
 * batch and are carried out at once, by way of n->data; so are data in the
 * controller's own memory and fused commands.
 */
#include <errno.h>

#include "nvme_batch.h"

#define DSM_RANGES_MAX 256u
#define DNR	       NVME_SC_DNR

/* Bytes into the namespace; the block has been found to be in it. */
static uint64_t byte_offset(const struct nvme_ns *ns, uint64_t lba)
{
	return lba << ns->lba_shift;
}

static uint32_t data_len(const struct nvme_cmd *cmd)
{
	return nvme_rw_blocks(cmd) << cmd->ns->lba_shift;
}

static int check_ns(struct nvme *n, const struct nvme_cmd *cmd)
{
	return cmd->ns ? 0 : nvme_ns_status(n, cmd->nsid);
}

static int check_range(const struct nvme_ns *ns, uint64_t lba, uint64_t blocks)
{
	if (lba > ns->blocks || blocks > ns->blocks - lba)
		return NVME_SC_LBA_RANGE | DNR;
	return 0;
}

static int check_writable(const struct nvme_ns *ns)
{
	return ns->store.read_only ? NVME_SC_WRITE_PROTECTED | DNR : 0;
}

/* What all commands that name blocks have in common */
static int check_blocks(struct nvme *n, const struct nvme_cmd *cmd)
{
	int ret = check_ns(n, cmd);

	if (ret)
		return ret;
	/* no format has metadata, so there is nothing to check or to make */
	if (cmd->cdw12 & NVME_RW_PRINFO)
		return NVME_SC_PRINFO | DNR;
	return check_range(cmd->ns, nvme_rw_lba(cmd), nvme_rw_blocks(cmd));
}

/* Those that also move data: MDTS comes before the range. */
static int check_rw(struct nvme *n, const struct nvme_cmd *cmd)
{
	int ret = check_ns(n, cmd);

	if (ret)
		return ret;
	if (nvme_rw_blocks(cmd) > NVME_MAX_DATA >> cmd->ns->lba_shift)
		return NVME_SC_INVALID_FIELD | DNR;
	return check_blocks(n, cmd);
}

static int check_write(struct nvme *n, const struct nvme_cmd *cmd)
{
	int ret = check_rw(n, cmd);

	if (ret)
		return ret;
	if (cmd->cdw12 & NVME_RW_DTYPE) /* there are no directives */
		return NVME_SC_INVALID_FIELD | DNR;
	return check_writable(cmd->ns);
}

/* Counts what the storage could not do, and says what that is to the host. */
static int read_status(struct nvme *n, int err)
{
	int status = nvme_read_status(err);

	n->stats.media_errors += status == NVME_SC_READ_ERROR;
	return status;
}

static int write_status(struct nvme *n, int err)
{
	int status = nvme_write_status(err);

	n->stats.media_errors += status == NVME_SC_WRITE_FAULT;
	return status;
}

static int flush_ns(struct nvme *n, struct nvme_ns *ns)
{
	return write_status(n, nvme_store_flush(&ns->store));
}

/* What a write that changed the storage still owes the host */
static int write_done(struct nvme *n, const struct nvme_cmd *cmd, int err)
{
	bool cached = n->c.feature[NVME_FEAT_WRITE_CACHE] & 1;
	int ret = write_status(n, err);

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

/* --- Read and Write --- */

static void count_rw(struct nvme *n, uint32_t len, bool write)
{
	uint64_t sectors = len >> NVME_BLOCK_SHIFT;

	n->stats.writes += write;
	n->stats.reads += !write;
	n->stats.sectors_written += write ? sectors : 0;
	n->stats.sectors_read += write ? 0 : sectors;
	sv_count(n->dev,
		 write ? NVME_COUNT_WRITTEN_BYTES : NVME_COUNT_READ_BYTES, len);
}

/* n->map is where the data lies. */
static int write_now(struct nvme *n, struct nvme_cmd *cmd)
{
	struct nvme_store *s = &cmd->ns->store;
	uint32_t len = data_len(cmd);
	int ret = nvme_data_move(n, false);

	if (ret)
		return ret;
	int err = nvme_store_write(s, byte_offset(cmd->ns, nvme_rw_lba(cmd)),
				   n->data, len);

	ret = write_done(n, cmd, err);
	if (!ret)
		count_rw(n, len, true);
	return ret;
}

static int read_now(struct nvme *n, struct nvme_cmd *cmd)
{
	struct nvme_store *s = &cmd->ns->store;
	uint32_t len = data_len(cmd);
	int err = nvme_store_read(s, byte_offset(cmd->ns, nvme_rw_lba(cmd)),
				  n->data, len);
	int ret = err ? read_status(n, err) : nvme_data_move(n, true);

	if (!ret)
		count_rw(n, len, false);
	return ret;
}

static bool in_own_memory(const struct nvme *n)
{
	for (uint32_t i = 0; i < n->map.count; i++)
		if (nvme_cmb_hit(n, n->map.seg[i].addr, n->map.seg[i].len))
			return true;
	return false;
}

/* The map is scratch that a batch being carried out does not touch. */
static int rw_begin(struct nvme *n, struct nvme_cmd *cmd, bool write)
{
	if (!in_own_memory(n)) {
		n->budget -= data_len(cmd);
		return nvme_batch_add(n, cmd, write);
	}
	int ret = nvme_batch_flush(n);

	if (ret)
		return ret;
	return write ? write_now(n, cmd) : read_now(n, cmd);
}

static int io_write(struct nvme *n, struct nvme_cmd *cmd)
{
	int ret = check_write(n, cmd);

	if (!ret)
		ret = nvme_data_map(n, cmd, data_len(cmd), false);
	return ret ? ret : rw_begin(n, cmd, true);
}

/* With FUA, what is read has to be durable: writes before it go first. */
static int read_fua(struct nvme *n, const struct nvme_cmd *cmd)
{
	int ret = nvme_batch_flush(n);

	return ret ? ret : flush_ns(n, cmd->ns);
}

static int io_read(struct nvme *n, struct nvme_cmd *cmd)
{
	int ret = check_rw(n, cmd);

	if (!ret && cmd->cdw12 & NVME_RW_FUA)
		ret = read_fua(n, cmd);
	if (!ret)
		ret = nvme_data_map(n, cmd, data_len(cmd), true);
	return ret ? ret : rw_begin(n, cmd, false);
}

/* --- the others --- */

static int io_compare(struct nvme *n, struct nvme_cmd *cmd)
{
	int ret = check_rw(n, cmd);

	if (!ret)
		ret = nvme_data_in(n, cmd, data_len(cmd));
	if (ret)
		return ret;
	uint8_t *other = n->batch->other;
	int err = nvme_store_read(&cmd->ns->store,
				  byte_offset(cmd->ns, nvme_rw_lba(cmd)), other,
				  data_len(cmd));

	if (err)
		return read_status(n, err);
	return memcmp(n->data, other, data_len(cmd))
		       ? NVME_SC_COMPARE_FAILURE | DNR
		       : 0;
}

/* Reads for the sake of what the storage says. */
static int io_verify(struct nvme *n, struct nvme_cmd *cmd)
{
	int ret = check_blocks(n, cmd);

	if (ret)
		return ret;
	uint64_t off = byte_offset(cmd->ns, nvme_rw_lba(cmd));
	uint64_t len = (uint64_t)nvme_rw_blocks(cmd) << cmd->ns->lba_shift;

	n->budget -= (int64_t)len;
	while (len && !ret) {
		uint32_t part = nvme_min(len, NVME_MAX_DATA);

		ret = read_status(n, nvme_store_read(&cmd->ns->store, off,
						     n->data, part));
		off += part;
		len -= part;
	}
	return ret;
}

static int io_write_zeroes(struct nvme *n, struct nvme_cmd *cmd)
{
	int ret = check_blocks(n, cmd);

	if (!ret)
		ret = check_writable(cmd->ns);
	if (ret)
		return ret;
	uint64_t off = byte_offset(cmd->ns, nvme_rw_lba(cmd));
	uint64_t len = (uint64_t)nvme_rw_blocks(cmd) << cmd->ns->lba_shift;

	n->budget -= (int64_t)len;
	int err = nvme_store_zero(&cmd->ns->store, off, len,
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
	return write_status(n, err);
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

/**
 * struct io_op - An I/O command
 * @fn:	   carries it out
 * @begun: or begins to: the batch goes on
 */
struct io_op {
	nvme_op *fn;
	bool begun;
};

static const struct io_op io_ops[] = {
	[NVME_IO_FLUSH] = {io_flush, false},
	[NVME_IO_WRITE] = {io_write, true},
	[NVME_IO_READ] = {io_read, true},
	[NVME_IO_COMPARE] = {io_compare, false},
	[NVME_IO_WRITE_ZEROES] = {io_write_zeroes, false},
	[NVME_IO_DSM] = {io_dsm, false},
	[NVME_IO_VERIFY] = {io_verify, false},
};

static const struct io_op *op_find(uint8_t opcode)
{
	if (opcode >= sizeof(io_ops) / sizeof(io_ops[0]) || !io_ops[opcode].fn)
		return NULL;
	return &io_ops[opcode];
}

/* What is wrong with a command whatever it is */
static int check_cmd(struct nvme *n, struct nvme_cmd *cmd)
{
	/* both bits: reserved */
	if ((cmd->flags & NVME_FLAGS_PSDT) == NVME_FLAGS_PSDT)
		return NVME_SC_INVALID_FIELD | DNR;
	cmd->ns = nvme_ns_find(n, cmd->nsid);
	return cmd->ns && cmd->ns->formatting ? NVME_SC_FORMATTING : 0;
}

/* The head moves on once the command is begun, and its completion says so. */
static void cmd_end(struct nvme *n, const struct nvme_cmd *cmd, int status)
{
	struct nvme_sq *sq = cmd->sq;

	if (++sq->head == sq->size)
		sq->head = 0;
	nvme_batch_done(n, cmd, status);
}

static int run_one(struct nvme *n, struct nvme_cmd *cmd)
{
	const struct io_op *op = op_find(cmd->opcode);
	int ret = op && op->begun ? 0 : nvme_batch_flush(n);

	if (!ret)
		ret = op ? check_cmd(n, cmd) : NVME_SC_INVALID_OPCODE | DNR;
	if (!ret)
		ret = op->fn(n, cmd);
	if (ret < 0)
		return ret;
	cmd_end(n, cmd, ret);
	return 1;
}

/* --- fused: Compare and Write, NVMe 1.4 4.10 and 6.4 --- */

static int check_pair(struct nvme *n, struct nvme_cmd *first,
		      struct nvme_cmd *second)
{
	bool pair = first->opcode == NVME_IO_COMPARE &&
		    second->opcode == NVME_IO_WRITE;

	if (!pair || first->nsid != second->nsid ||
	    nvme_rw_lba(first) != nvme_rw_lba(second) ||
	    nvme_rw_blocks(first) != nvme_rw_blocks(second))
		return NVME_SC_INVALID_FIELD | DNR;
	int ret = check_cmd(n, first);

	return ret ? ret : check_cmd(n, second);
}

static int fused_write(struct nvme *n, struct nvme_cmd *cmd)
{
	int ret = check_write(n, cmd);

	if (!ret)
		ret = nvme_data_map(n, cmd, data_len(cmd), false);
	return ret ? ret : write_now(n, cmd);
}

static int run_pair(struct nvme *n, struct nvme_cmd *first,
		    struct nvme_cmd *second)
{
	int bad = check_pair(n, first, second);
	int ret = bad ? bad : io_compare(n, first);

	if (ret < 0)
		return ret;
	int then = bad	 ? bad
		   : ret ? NVME_SC_FAILED_FUSED
			 : fused_write(n, second);

	if (then < 0)
		return then;
	cmd_end(n, first, ret);
	cmd_end(n, second, then);
	return 2;
}

/* The entry behind the head, which lies at the ring's start or was not asked
 * for with the others. */
static int fetch_second(struct nvme *n, struct nvme_sq *sq,
			struct nvme_sqe *ret_sqe)
{
	uint32_t at = (sq->head + 1) % sq->size;
	int ret = nvme_bus_read(n, sq->base + at * sizeof(*ret_sqe), ret_sqe,
				sizeof(*ret_sqe));

	if (ret && ret != -ECANCELED)
		nvme_sq_lost(n, sq);
	return ret;
}

static int missing_fused(struct nvme *n, struct nvme_cmd *cmd)
{
	cmd_end(n, cmd, NVME_SC_MISSING_FUSED | DNR);
	return 1;
}

/* Both have to be there, so both were submitted with one doorbell. */
static int run_fused(struct nvme *n, struct nvme_cmd *first,
		     const struct nvme_sqe *next)
{
	struct nvme_sq *sq = first->sq;
	int ret = nvme_batch_flush(n);
	struct nvme_sqe second;

	if (ret)
		return ret;
	if ((first->flags & NVME_FLAGS_FUSE) != NVME_FUSE_FIRST ||
	    (sq->head + 1) % sq->size == sq->tail)
		return missing_fused(n, first);
	if (nvme_cq_free(sq->cq) < 2)
		return 0;
	if (!next) {
		ret = fetch_second(n, sq, &second);
		next = &second;
	}
	if (ret)
		return ret;
	if ((next->flags & NVME_FLAGS_FUSE) != NVME_FUSE_SECOND)
		return missing_fused(n, first);
	struct nvme_cmd cmd = nvme_cmd_decode(sq, next);

	return run_pair(n, first, &cmd);
}

int nvme_io_run(struct nvme *n, struct nvme_sq *sq, const struct nvme_sqe *sqe,
		uint32_t count)
{
	struct nvme_cmd cmd = nvme_cmd_decode(sq, sqe);
	unsigned int fuse = cmd.flags & NVME_FLAGS_FUSE;

	n->batch->sq = sq;
	if (fuse == NVME_FLAGS_FUSE) { /* reserved */
		cmd_end(n, &cmd, NVME_SC_INVALID_FIELD | DNR);
		return 1;
	}
	if (fuse)
		return run_fused(n, &cmd, count > 1 ? &sqe[1] : NULL);
	return run_one(n, &cmd);
}
