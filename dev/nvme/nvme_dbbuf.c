/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Doorbell Buffer Config, NVMe 1.4 5.7: two pages of host memory laid out as
 * the doorbells are. In the first, the shadow, the host writes what it would
 * have written to a doorbell. In the second, EventIdx, the controller writes
 * the value beyond which it wants the register written, too.
 *
 * The registers of I/O queues are no longer looked at: a value seen there can
 * be older than the shadow's. For the admin queue hosts differ. Some, Linux
 * among them, write its registers only, others its shadow, and the registers
 * when EventIdx says so. So both count, and the later one is the newest:
 *
 * - The shadow is read first. A host writes it before the register, so a
 *   register is never older than what was read of the shadow; what is older
 *   than a new shadow has been seen with it or before it.
 * - A new shadow beside a register that is not goes there, too, since what is
 *   written to it next would not be seen if it were the same.
 * - With memory decode off the registers cannot be read, and both wait.
 * - If both are new, the one further ahead of the queue is the later.
 * - A register that is new beside a shadow that is not means that the host does
 *   not write the shadow. Then the value is copied there, as if it had, so that
 *   a host which begins to use the shadow finds it right. Looked at once more:
 *   if it has become new meanwhile it is the host's, and left alone.
 *
 * EventIdx is only written when there is nothing else to do. It is then what
 * has been seen last, so the very next command rings; a look after that finds
 * what the host wrote in between. While the controller is busy the host sees
 * an old EventIdx and writes memory only, which is what this is for.
 */
#include <errno.h>

#include "nvme_priv.h"

static uint64_t shadow_at(const struct nvme *n, unsigned int db)
{
	return n->c.dbbuf.shadow + db * sizeof(uint32_t);
}

/* A shadow that cannot be written is the host's business. */
static int shadow_copy(struct nvme *n, unsigned int db, uint32_t val)
{
	struct nvme_dbbuf *d = &n->c.dbbuf;
	uint32_t word = htole32(val);

	if (d->no_copy || d->admin[db].seen == val)
		return 0;
	int ret = nvme_bus_write(n, shadow_at(n, db), &word, sizeof(word));

	if (ret == -ECANCELED)
		return ret;
	if (ret)
		d->no_copy = true;
	else
		d->admin[db].seen = val;
	return 0;
}

static int shadow_read(struct nvme *n, unsigned int db, uint32_t *ret_val)
{
	uint32_t word;
	int ret = nvme_bus_read(n, shadow_at(n, db), &word, sizeof(word));

	if (!ret)
		*ret_val = le32toh(word);
	return ret;
}

/* Until now the registers counted, whatever the host has put in its pages. */
static int admin_begin(struct nvme *n, unsigned int db)
{
	struct nvme_dbbuf *d = &n->c.dbbuf;
	uint32_t val = n->c.doorbell[db];
	int ret = shadow_read(n, db, &d->admin[db].seen);

	d->admin_reg[db] = (struct nvme_view){val, val};
	return ret ? ret : shadow_copy(n, db, val);
}

int nvme_dbbuf_config(struct nvme *n, struct nvme_cmd *cmd)
{
	struct nvme_dbbuf old = n->c.dbbuf;
	int ret = 0;

	if (!cmd->prp1 || !cmd->prp2 ||
	    (cmd->prp1 | cmd->prp2) & (NVME_PAGE - 1))
		return NVME_SC_INVALID_FIELD | NVME_SC_DNR;
	n->c.dbbuf = (struct nvme_dbbuf){
		.on = true,
		.tells = true,
		.shadow = cmd->prp1,
		.event = cmd->prp2,
	};
	/* no doorbell's value: each EventIdx is written at the next rest */
	memset(n->c.dbbuf.told, 0xff, sizeof(n->c.dbbuf.told));
	for (unsigned int db = 0; db < NVME_ADMIN_DOORBELLS && !ret; db++)
		ret = admin_begin(n, db);
	if (!ret || ret == -ECANCELED)
		return ret;
	n->c.dbbuf = old;
	return NVME_SC_DATA_TRANSFER;
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

	while (db && !is_live(n, db - 1))
		db--;
	return db;
}

/*
 * A page cannot be reached: nothing more is had from it, or said there, until
 * the host gives another one. Of I/O queues that is all; the admin queue has
 * its registers.
 */
static int page_lost(struct nvme *n, int err, bool shadow)
{
	struct nvme_dbbuf *d = &n->c.dbbuf;

	if (err == -ECANCELED)
		return err;
	if (shadow) {
		d->on = false;
		d->lost = true;
	} else {
		d->tells = false;
	}
	nvme_lost_event(n, 0xffff);
	return 0;
}

int nvme_dbbuf_read(struct nvme *n)
{
	struct nvme_dbbuf *d = &n->c.dbbuf;

	d->read = d->reg_read = false;
	if (!d->on || n->c.csts != NVME_CSTS_RDY)
		return 0;
	unsigned int end = doorbells(n);
	int ret = nvme_bus_read(n, d->shadow, d->now, end * sizeof(d->now[0]));

	if (ret)
		return page_lost(n, ret, true);
	for (unsigned int db = 0; db < end; db++)
		d->now[db] = le32toh(d->now[db]);
	d->read = true;
	/* what is read of registers is read after this */
	__sync_synchronize();
	return 0;
}

void nvme_dbbuf_reg(struct nvme *n, unsigned int db, uint32_t val)
{
	n->c.dbbuf.reg_read = true;
	n->c.dbbuf.admin_reg[db].now = val;
}

static int ring(struct nvme *n, unsigned int db, uint32_t val)
{
	if (val == n->c.doorbell[db])
		return 0;
	n->c.doorbell[db] = val;
	nvme_queue_ring(n, db, val);
	return 1;
}

/* True if @a is further ahead than @b of where the queue is. */
static bool is_later(const struct nvme *n, unsigned int db, uint32_t a,
		     uint32_t b)
{
	const struct nvme_sq *sq = &n->c.sq[db / 2];
	const struct nvme_cq *cq = &n->c.cq[db / 2];
	uint32_t from = db & 1 ? cq->head : sq->tail;
	uint32_t size = db & 1 ? cq->size : sq->size;

	return nvme_distance(from, a, size) > nvme_distance(from, b, size);
}

static bool view_changed(struct nvme_view *view)
{
	bool changed = view->seen != view->now;

	view->seen = view->now;
	return changed;
}

/* The register is newer than a shadow that the host has not written. */
static int admin_copy(struct nvme *n, unsigned int db, uint32_t val)
{
	const struct nvme_dbbuf *d = &n->c.dbbuf;
	uint32_t again = 0;

	if (d->no_copy || d->admin[db].seen == val)
		return 0;
	int ret = shadow_read(n, db, &again);

	if (ret)
		return page_lost(n, ret, true);
	return again == d->admin[db].seen ? shadow_copy(n, db, val) : 0;
}

/* The register follows: writing what it has already could not be seen. */
static int ring_by_shadow(struct nvme *n, unsigned int db, uint32_t val)
{
	struct nvme_view *reg = &n->c.dbbuf.admin_reg[db];

	if (reg->seen != val && nvme_doorbell_set(n, db, reg->seen, val))
		reg->seen = val;
	return ring(n, db, val);
}

static int admin_look(struct nvme *n, unsigned int db)
{
	struct nvme_view *shadow = &n->c.dbbuf.admin[db];
	struct nvme_view *reg = &n->c.dbbuf.admin_reg[db];

	/* decode is off: neither, as one without the other is not dated */
	if (!n->c.dbbuf.reg_read)
		return 0;
	shadow->now = n->c.dbbuf.now[db];
	bool by_shadow = view_changed(shadow);
	bool by_reg = view_changed(reg);

	if (by_shadow && by_reg && is_later(n, db, reg->now, shadow->now))
		return ring(n, db, reg->now);
	if (by_shadow)
		return ring_by_shadow(n, db, shadow->now);
	if (!by_reg)
		return 0;
	int ret = admin_copy(n, db, reg->now);

	return ret ? ret : ring(n, db, reg->now);
}

int nvme_dbbuf_look(struct nvme *n)
{
	unsigned int end = n->c.dbbuf.read ? doorbells(n) : 0;
	int rung = 0;

	for (unsigned int db = 0; db < end; db++) {
		if (!is_live(n, db))
			continue;
		int ret = db < NVME_ADMIN_DOORBELLS
				  ? admin_look(n, db)
				  : ring(n, db, n->c.dbbuf.now[db]);

		if (ret < 0)
			return ret;
		rung |= ret;
	}
	return rung;
}

static int event_write(struct nvme *n, unsigned int db)
{
	uint32_t val = htole32(n->c.doorbell[db]);
	int ret = nvme_bus_write(n, n->c.dbbuf.event + db * sizeof(val), &val,
				 sizeof(val));

	if (!ret)
		n->c.dbbuf.told[db] = n->c.doorbell[db];
	return ret;
}

int nvme_dbbuf_rest(struct nvme *n)
{
	unsigned int end = doorbells(n);
	int wrote = 0;

	for (unsigned int db = 0; db < end && n->c.dbbuf.tells; db++) {
		if (!is_live(n, db) || n->c.dbbuf.told[db] == n->c.doorbell[db])
			continue;
		int ret = event_write(n, db);

		if (ret)
			ret = page_lost(n, ret, false);
		if (ret)
			return ret;
		wrote = 1;
	}
	return wrote;
}
