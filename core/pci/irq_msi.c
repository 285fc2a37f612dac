/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * MSI and MSI-X: eventfds for vectors. Which vectors there are is decided when
 * the mode is turned on; for MSI the number enabled then is final, MSI-X gets
 * more as they are asked for. Theory of operation: irq.c.
 */
#include <errno.h>

#include "core/pci/irq_impl.h"
#include "lib/refuse.h"
#include "lib/size.h"

static void msi_tell_host(struct irq *irq, enum irq_index index,
			  unsigned int vectors) REQUIRES(&irq->igate)
{
	bool on = vectors > 0;

	if (index == IRQ_MSIX)
		irq->host.msix(irq->opaque, on);
	else
		irq->host.msi(irq->opaque,
			      on ? (unsigned int)size_pow2(vectors, 1) : 0);
	/* Linux's PCI core does, whatever virtual DisINTx says */
	irq->host.intx_mask(irq->opaque, on);
}

static void msi_tear_down(struct irq *irq, uint32_t start, uint32_t count)
	REQUIRES(&irq->igate)
{
	for (uint32_t i = 0; i < count; i++)
		irq_slot_put(irq, &irq->trigger[start + i], NO_FD);
}

void irq_msi_off(struct irq *irq, enum irq_index index) REQUIRES(&irq->igate)
{
	irq_set_mode(irq, SV_IRQ_NONE);
	msi_tear_down(irq, 0,
		      index == IRQ_MSI ? irq->counts.msi : irq->counts.msix);
	msi_tell_host(irq, index, 0);
}

/* MSI-X vectors are allocated as they come, MSI's all at once. */
static int msi_check_allocated(struct irq *irq, const struct irq_request *req,
			       uint32_t i) REQUIRES(&irq->igate)
{
	if (req->index == IRQ_MSIX || req->start + i < irq->msi_allocated)
		return 0;
	return refuse(EINVAL,
		      "SET_IRQS MSI: vector %u, but it was enabled with %u; "
		      "disable MSI and enable it with more",
		      req->start + i, irq->msi_allocated);
}

static int msi_set_vector(struct irq *irq, const struct irq_request *req,
			  uint32_t i) REQUIRES(&irq->igate)
{
	int fd = NO_FD;
	int r = 0;

	if (!irq_fd_is_none(req->fds[i]))
		r = msi_check_allocated(irq, req, i);
	if (r == 0)
		r = irq_copy_fd(irq, req, i, &fd);
	if (r == 0)
		irq_slot_put(irq, &irq->trigger[req->start + i], fd);
	return r;
}

/* An error costs every vector from the first up to the failing one. */
static int msi_set_vectors(struct irq *irq, const struct irq_request *req)
	REQUIRES(&irq->igate)
{
	for (uint32_t i = 0; i < req->count; i++) {
		int r = msi_set_vector(irq, req, i);

		if (r < 0) {
			msi_tear_down(irq, req->start, i + 1);
			return r;
		}
	}
	return 0;
}

static int msi_enable(struct irq *irq, const struct irq_request *req)
	REQUIRES(&irq->igate)
{
	unsigned int vectors = req->start + req->count;

	if (vectors == 0)
		return refuse(ERANGE,
			      "SET_IRQS %s: start 0, count 0 would enable no "
			      "vector; count 1 or more",
			      irq_indices[req->index].name);
	if (!irq->host.awake(irq->opaque))
		return refuse(EINVAL,
			      "SET_IRQS %s: the function is in D3hot; wake it "
			      "(PMCSR) before interrupts are enabled",
			      irq_indices[req->index].name);
	irq->msi_allocated = vectors;

	int r = msi_set_vectors(irq, req);

	if (r < 0)
		return r;
	msi_tell_host(irq, req->index, vectors);
	irq_set_mode(irq, irq_indices[req->index].mode);
	return 0;
}

int irq_msi_set_trigger(struct irq *irq, const struct irq_request *req)
	REQUIRES(&irq->igate)
{
	if (irq_is_on(irq, req) && irq_is_turn_off(req)) {
		irq_msi_off(irq, req->index);
		return 0;
	}

	int r = irq_check_mode(irq, req);

	if (r < 0)
		return r;
	if (req->flags & IRQ_SET_DATA_EVENTFD)
		return irq_is_on(irq, req) ? msi_set_vectors(irq, req)
					   : msi_enable(irq, req);
	if (!irq_is_on(irq, req))
		return irq_refuse_not_enabled(req);
	for (uint32_t i = 0; i < req->count; i++)
		if (irq_is_asked_for(req, i))
			irq_slot_signal(irq, &irq->trigger[req->start + i]);
	return 0;
}
