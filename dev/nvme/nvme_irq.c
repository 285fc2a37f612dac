/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Interrupts, NVMe 1.4 7.5: which vector has completions that the host has not
 * been told of, and telling it by message or by pin.
 *
 * Coalescing, 5.21.1.8: of I/O completions the host may want to be told only
 * when there are several, or when the first has waited for some time. A vector
 * that waits for either keeps run() busy, which is how the time is noticed.
 */
#include "nvme_priv.h"

#define COALESCE_ENTRIES(feature) (((feature)&0xff) + 1)
#define COALESCE_TIME_NS(feature) (((feature) >> 8 & 0xff) * 100000ull)
#define COALESCE_OFF		  (1u << 16)

static bool is_message(enum sv_irq_mode mode)
{
	return mode == SV_IRQ_MSI || mode == SV_IRQ_MSIX;
}

/* INTMS and INTMC have no meaning with MSI-X. */
static bool is_masked(const struct nvme *n, unsigned int vector,
		      enum sv_irq_mode mode)
{
	return mode != SV_IRQ_MSIX && vector < 32 && n->c.intms >> vector & 1;
}

/* No time, no waiting; and one entry is always enough for a threshold of 1. */
static bool coalesces(const struct nvme *n, unsigned int vector)
{
	uint32_t feature = n->c.feature[NVME_FEAT_COALESCING];

	return COALESCE_TIME_NS(feature) > 0 && COALESCE_ENTRIES(feature) > 1 &&
	       !(n->c.feature[NVME_SLOT_VECTOR + vector] & COALESCE_OFF);
}

void nvme_irq_post(struct nvme *n, const struct nvme_cq *cq, uint32_t entries)
{
	struct nvme_vector *v = &n->c.vector[cq->vector];

	if (!cq->irq_en)
		return;
	if (!v->due && coalesces(n, cq->vector))
		v->since = nvme_clock();
	v->due += entries;
	/* the admin queue is never made to wait */
	v->now |= cq == &n->c.cq[0];
}

void nvme_irq_hurry(struct nvme *n, const struct nvme_cq *cq)
{
	n->c.vector[cq->vector].now |= cq->irq_en;
}

/* Is it better to wait for more before the host is told? */
static bool vector_waits(const struct nvme *n, unsigned int vector)
{
	const struct nvme_vector *v = &n->c.vector[vector];
	uint32_t feature = n->c.feature[NVME_FEAT_COALESCING];

	if (!v->due || v->now || !coalesces(n, vector))
		return false;
	return v->due < COALESCE_ENTRIES(feature) &&
	       nvme_clock() - v->since < COALESCE_TIME_NS(feature);
}

/* A message held back by INTMS is sent when the mask goes. */
static void vector_notify(struct nvme *n, unsigned int vector,
			  enum sv_irq_mode mode)
{
	struct nvme_vector *v = &n->c.vector[vector];

	if (!v->due || (is_message(mode) && is_masked(n, vector, mode)))
		return;
	v->due = 0;
	v->now = false;
	if (is_message(mode))
		sv_irq_raise(n->dev, vector);
}

void nvme_irq_notify(struct nvme *n, const struct nvme_cq *cq)
{
	enum sv_irq_mode mode = sv_irq_mode(n->dev);

	if (cq->irq_en && is_message(mode) && !vector_waits(n, cq->vector))
		vector_notify(n, cq->vector, mode);
}

static bool pin_wanted(const struct nvme *n, enum sv_irq_mode mode)
{
	for (unsigned int i = 0; i < NVME_QUEUES; i++) {
		const struct nvme_cq *cq = &n->c.cq[i];

		if (cq->live && cq->irq_en && cq->head != cq->tail &&
		    !is_masked(n, cq->vector, mode))
			return true;
	}
	return false;
}

static void pin_set(struct nvme *n, bool level)
{
	if (level == n->intx)
		return;
	n->intx = level;
	sv_irq_level(n->dev, level);
}

bool nvme_irq_update(struct nvme *n)
{
	enum sv_irq_mode mode = sv_irq_mode(n->dev);
	bool waits = false;

	for (unsigned int i = 0; i < NVME_VECTORS; i++) {
		if (vector_waits(n, i))
			waits = true;
		else
			vector_notify(n, i, mode);
	}
	if (is_message(mode))
		pin_set(n, false);
	else if (n->intx || !waits)
		pin_set(n, pin_wanted(n, mode));
	return waits;
}
