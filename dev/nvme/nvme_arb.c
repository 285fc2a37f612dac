/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which submission queue is served next, NVMe 1.4 4.13.
 */
#include "nvme_priv.h"

/* Round robin; a pass that moved much data goes on where it stopped. */
int nvme_arb_run(struct nvme *n)
{
	int done = 0;

	for (unsigned int i = 0; i < NVME_IO_QUEUES && n->budget > 0; i++) {
		struct nvme_sq *sq = &n->c.sq[1 + n->arb.turn];
		int ret = sq->live ? nvme_sq_run(n, sq, NVME_BATCH) : 0;

		if (ret < 0)
			return ret;
		done += ret;
		n->arb.turn = (n->arb.turn + 1) % NVME_IO_QUEUES;
	}
	return done;
}
