/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Data between a file and host memory. Where host memory is mapped here, the
 * kernel moves it and nobody else: preadv() and pwritev() on the very pages.
 * Where it is not, it passes through n->data. A store in memory needs neither:
 * its pieces of the list lead straight to where the blocks are.
 */
#include <errno.h>
#include <sys/uio.h>

#include "nvme_batch.h"

/**
 * struct err_status - What an error of the storage means to the host
 */
struct err_status {
	int err;
	int status;
};

static int lookup(const struct err_status *table, int err, int otherwise)
{
	if (!err)
		return 0;
	for (; table->err; table++)
		if (table->err == err)
			return table->status;
	return otherwise;
}

int nvme_read_status(int err)
{
	static const struct err_status table[] = {
		{-EFAULT, NVME_SC_DATA_TRANSFER},
		{-ENOMEM, NVME_SC_INTERNAL},
		{0, 0},
	};

	return lookup(table, err, NVME_SC_READ_ERROR);
}

int nvme_write_status(int err)
{
	static const struct err_status table[] = {
		{-EFAULT, NVME_SC_DATA_TRANSFER},
		{-ENOMEM, NVME_SC_INTERNAL},
		/* no room, a quota, and RLIMIT_FSIZE */
		{-ENOSPC, NVME_SC_CAPACITY},
		{-EDQUOT, NVME_SC_CAPACITY},
		{-EFBIG, NVME_SC_CAPACITY},
		/* remounted, made immutable or sealed since it was opened */
		{-EROFS, NVME_SC_WRITE_PROTECTED | NVME_SC_DNR},
		{-EPERM, NVME_SC_WRITE_PROTECTED | NVME_SC_DNR},
		{-EACCES, NVME_SC_WRITE_PROTECTED | NVME_SC_DNR},
		{0, 0},
	};

	return lookup(table, err, NVME_SC_WRITE_FAULT);
}

static int job_status(const struct nvme_job *job, int err)
{
	return job->write ? nvme_write_status(err) : nvme_read_status(err);
}

static int move_iov(struct nvme_job *job, struct iovec *iov, size_t count)
{
	struct nvme_store *s = &job->cmd.ns->store;

	return job->write ? nvme_store_writev(s, job->off, iov, count)
			  : nvme_store_readv(s, job->off, iov, count);
}

/* Returns 1 it is done, 0 this memory is not mapped here, or -ECANCELED. */
static int move_directly(struct nvme *n, struct nvme_job *job)
{
	const struct sv_dma *part = &n->batch->part[job->first];
	struct iovec iov[NVME_MAX_SEGS];
	struct sv_dma_hold hold;

	if (job->sparse)
		return 0;
	int count = sv_dma_map(n->dev, part, job->n, iov, NVME_MAX_SEGS, &hold);

	if (count == -EIO) {
		job->status = NVME_SC_DATA_TRANSFER;
		job->moved = true;
		return 1;
	}
	if (count <= 0)
		return count;
	int err = move_iov(job, iov, (size_t)count);

	sv_dma_unmap(n->dev, &hold, err == -EFAULT);
	job->status = job_status(job, err);
	job->moved = true;
	return 1;
}

static void read_bounced(struct nvme *n, struct nvme_job *job)
{
	int err = nvme_store_read(&job->cmd.ns->store, job->off,
				  n->data + job->bounce, job->len);

	job->status = nvme_read_status(err);
	job->moved = err;
}

void nvme_move_bounced(struct nvme *n, struct nvme_job *job)
{
	int err = nvme_store_write(&job->cmd.ns->store, job->off,
				   n->data + job->bounce, job->len);

	job->status = nvme_write_status(err);
	job->moved = true;
}

/* The pieces of one job by themselves */
static int move_parts(struct nvme *n, struct nvme_job *job)
{
	size_t done;
	int ret =
		sv_dma_many(n->dev, &n->batch->part[job->first], job->n, &done);

	if (ret == -ECANCELED)
		return ret;
	if (ret)
		job->status = NVME_SC_DATA_TRANSFER;
	if (ret || !job->write || job->cmd.ns->store.mem)
		job->moved = true;
	else
		nvme_move_bounced(n, job);
	return 0;
}

int nvme_move_store(struct nvme *n, struct nvme_job *job, bool alone)
{
	int ret = job->cmd.ns->store.mem ? 0 : move_directly(n, job);

	if (ret)
		return ret < 0 ? ret : 0;
	if (!job->write && !job->cmd.ns->store.mem)
		read_bounced(n, job);
	return alone && !job->moved ? move_parts(n, job) : 0;
}
