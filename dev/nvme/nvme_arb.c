/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which I/O queue is served next, NVMe 1.4 4.13. The admin queue has been
 * served before, and so it comes first.
 *
 * Round robin: each queue in turn, as many commands as the arbitration burst.
 *
 * Weighted round robin with urgent priority class, which the host chooses with
 * CC.AMS: urgent queues as long as they have commands, then the other classes
 * in turn, each as many commands as its weight, and its queues by round robin.
 * A pass serves one class only: between passes the registers are looked at, so
 * that an urgent command waits for one class at most.
 */
#include "nvme_priv.h"

#define BURST(feature)	       ((feature)&7)
#define BURST_NO_LIMIT	       7u
#define WEIGHT(feature, class) (((feature) >> (8 * (4 - (class))) & 0xff) + 1)

static uint32_t burst(const struct nvme *n)
{
	uint32_t log = BURST(n->c.feature[NVME_FEAT_ARBITRATION]);

	return log == BURST_NO_LIMIT ? NVME_MAX_ENTRIES : 1u << log;
}

/* Takes up to @max commands, in as many pieces as the ring makes of them. */
static int queue_run(struct nvme *n, struct nvme_sq *sq, uint32_t max)
{
	int done = 0;

	if (!n->arb.begun)
		n->arb.begun = nvme_clock();
	while (max && n->budget > 0) {
		int ret = nvme_sq_run(n, sq, max);

		if (ret < 0)
			return ret;
		if (!ret)
			break;
		done += ret;
		max -= nvme_min((uint32_t)ret, max);
	}
	return done;
}

static struct nvme_sq *queue_in(struct nvme *n, unsigned int i, int class)
{
	struct nvme_sq *sq = &n->c.sq[1 + i];

	if (!nvme_sq_runs(sq) || sq->head == sq->tail)
		return NULL;
	return class < 0 || sq->class == class ? sq : NULL;
}

/*
 * Once round the queues of a class, -1 for all: up to @max commands of each
 * and @total in all. The turn goes on where it stopped.
 */
static int class_run(struct nvme *n, int class, uint32_t max, uint32_t total)
{
	unsigned int *turn = &n->arb.turn[class < 0 ? 0 : class];
	int done = 0;

	for (unsigned int i = 0; i < NVME_IO_QUEUES; i++) {
		struct nvme_sq *sq = queue_in(n, *turn, class);
		uint32_t left = total - (uint32_t)done;
		int ret = sq ? queue_run(n, sq, nvme_min(max, left)) : 0;

		if (ret < 0)
			return ret;
		done += ret;
		*turn = (*turn + 1) % NVME_IO_QUEUES;
		if (n->budget <= 0 || (uint32_t)done >= total)
			break;
	}
	return done;
}

static uint32_t weight(const struct nvme *n, int class)
{
	return WEIGHT(n->c.feature[NVME_FEAT_ARBITRATION], class);
}

/* The class whose turn it is, until its weight or its commands are used up */
static int weighted_run(struct nvme *n)
{
	int done = 0;

	for (int tries = 0; tries < NVME_CLASS_LOW && !done; tries++) {
		struct nvme_arb *arb = &n->arb;
		int class = NVME_CLASS_HIGH + (int)arb->class;

		if (!arb->credit)
			arb->credit = weight(n, class);
		done = class_run(n, class, burst(n), arb->credit);
		if (done < 0)
			return done;
		arb->credit -= (uint32_t)done;
		if (!done)
			arb->credit = 0;
		if (!arb->credit)
			arb->class = (arb->class + 1) % NVME_CLASS_LOW;
	}
	return done;
}

static int queues_run(struct nvme *n)
{
	if (!n->c.weighted)
		return class_run(n, -1, burst(n), UINT32_MAX);
	int done = class_run(n, NVME_CLASS_URGENT, burst(n), UINT32_MAX);

	return done ? done : weighted_run(n);
}

/* Commands end before the next begins: between passes none is outstanding. */
int nvme_arb_run(struct nvme *n)
{
	n->arb.begun = 0;
	int done = queues_run(n);

	if (n->arb.begun)
		n->stats.busy_ns += nvme_clock() - n->arb.begun;
	return done;
}
