/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Doorbell Buffer Config, NVMe 1.4 5.7: two pages of host memory laid out as
 * the doorbells are. In the first, the shadow, the host writes what it would
 * have written to a doorbell. In the second, EventIdx, the controller writes
 * the value beyond which it wants the register written, too.
 *
 * The admin queue is left to its registers, and those of I/O queues are no
 * longer looked at: a value seen there can be older than the shadow's.
 *
 * EventIdx is only written when there is nothing else to do. It is then what
 * has been seen last, so the very next command rings; a look after that finds
 * what the host wrote in between. While the controller is busy the host sees
 * an old EventIdx and writes memory only, which is what this is for.
 */
#include <errno.h>

#include "nvme_priv.h"

#define FIRST 2u /* the first doorbell of an I/O queue */

int nvme_dbbuf_config(struct nvme *n, struct nvme_cmd *cmd)
{
	if (!cmd->prp1 || !cmd->prp2 ||
	    (cmd->prp1 | cmd->prp2) & (NVME_PAGE - 1))
		return NVME_SC_INVALID_FIELD | NVME_SC_DNR;
	n->c.dbbuf = (struct nvme_dbbuf){
		.on = true,
		.shadow = cmd->prp1,
		.event = cmd->prp2,
	};
	/* no doorbell's value: each EventIdx is written at the next rest */
	memset(n->c.dbbuf.told, 0xff, sizeof(n->c.dbbuf.told));
	return 0;
}

void nvme_dbbuf_clear(struct nvme *n, unsigned int db)
{
	n->c.dbbuf.told[db] = UINT32_MAX;
}

static bool is_live(const struct nvme *n, unsigned int db)
{
	return db & 1 ? n->c.cq[db / 2].live : n->c.sq[db / 2].live;
}

/* Doorbells up to the last one that has a queue */
static unsigned int doorbells(const struct nvme *n)
{
	unsigned int db = NVME_DOORBELLS;

	while (db > FIRST && !is_live(n, db - 1))
		db--;
	return db;
}

/* Host memory that has gone is as bad as that of a queue. */
static int bus_failed(struct nvme *n, int err)
{
	if (err != -ECANCELED)
		nvme_fatal(n);
	return err;
}

int nvme_dbbuf_look(struct nvme *n)
{
	uint32_t val[NVME_DOORBELLS];
	unsigned int end = n->c.dbbuf.on ? doorbells(n) : FIRST;
	int rung = 0;

	if (end == FIRST)
		return 0;
	int ret = nvme_bus_read(n, n->c.dbbuf.shadow + FIRST * sizeof(val[0]),
				val + FIRST, (end - FIRST) * sizeof(val[0]));

	if (ret)
		return bus_failed(n, ret);
	for (unsigned int db = FIRST; db < end; db++) {
		val[db] = le32toh(val[db]);
		if (!is_live(n, db) || val[db] == n->c.doorbell[db])
			continue;
		n->c.doorbell[db] = val[db];
		nvme_queue_ring(n, db, val[db]);
		rung = 1;
	}
	return rung;
}

static int event_write(struct nvme *n, unsigned int db)
{
	uint32_t val = htole32(n->c.doorbell[db]);
	int ret = nvme_bus_write(n, n->c.dbbuf.event + db * sizeof(val), &val,
				 sizeof(val));

	if (ret)
		return bus_failed(n, ret);
	n->c.dbbuf.told[db] = n->c.doorbell[db];
	return 0;
}

int nvme_dbbuf_rest(struct nvme *n)
{
	unsigned int end = n->c.dbbuf.on ? doorbells(n) : FIRST;
	int wrote = 0;

	for (unsigned int db = FIRST; db < end; db++) {
		if (!is_live(n, db) || n->c.dbbuf.told[db] == n->c.doorbell[db])
			continue;
		int ret = event_write(n, db);

		if (ret)
			return ret;
		wrote = 1;
	}
	return wrote;
}
