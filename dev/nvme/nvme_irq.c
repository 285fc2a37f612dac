/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Interrupts, NVMe 1.4 7.5: which vector has completions that the host has not
 * been told of, and telling it by message or by pin.
 */
#include "nvme_priv.h"

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

void nvme_irq_post(struct nvme *n, const struct nvme_cq *cq, uint32_t entries)
{
	if (cq->irq_en)
		n->c.vector[cq->vector].due += entries;
}

/* A message held back by INTMS is sent when the mask goes. */
static void vector_notify(struct nvme *n, unsigned int vector,
			  enum sv_irq_mode mode)
{
	struct nvme_vector *v = &n->c.vector[vector];

	if (!v->due || (is_message(mode) && is_masked(n, vector, mode)))
		return;
	v->due = 0;
	if (is_message(mode))
		sv_irq_raise(n->dev, vector);
}

void nvme_irq_notify(struct nvme *n, const struct nvme_cq *cq)
{
	if (cq->irq_en)
		vector_notify(n, cq->vector, sv_irq_mode(n->dev));
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

void nvme_irq_update(struct nvme *n)
{
	enum sv_irq_mode mode = sv_irq_mode(n->dev);
	bool level = !is_message(mode) && pin_wanted(n, mode);

	for (unsigned int i = 0; i < NVME_VECTORS; i++)
		vector_notify(n, i, mode);
	if (level == n->intx)
		return;
	n->intx = level;
	sv_irq_level(n->dev, level);
}
