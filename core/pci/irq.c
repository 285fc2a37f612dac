/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DOC: Theory of operation
 *
 * A function is in one mode at a time: none, INTx, MSI or MSI-X. Requests move
 * it between "none" and one of the others, never from one of those to another.
 * ERR and REQ are eventfds beside that, with no state of their own.
 *
 * Everything that changes mode, eventfds or virtual DisINTx holds igate, so
 * what a request found out stays true until it has acted. The irq lock inside
 * is held for a few instructions and signals that cannot block; raising takes
 * only that one. An eventfd is closed after it has been taken out of its slot
 * under the irq lock: no signal goes to a descriptor number used anew.
 *
 * Enabling MSI or MSI-X fills the slots first and changes the mode last. On
 * hardware a message between the two would stay pending behind the vector's
 * mask; here it finds the old mode, which is the same as coming too early.
 * Slots hold nothing while the mode is "none". What INTx adds: irq_intx.c.
 */
#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/pci/irq_impl.h"
#include "lib/cleanup.h"
#include "lib/evfd.h"
#include "lib/refuse.h"

const struct irq_index_info irq_indices[IRQ_NUM] = {
	[IRQ_INTX] = {.name = "INTx", .mode = SV_IRQ_INTX},
	[IRQ_MSI] = {.name = "MSI", .mode = SV_IRQ_MSI},
	[IRQ_MSIX] = {.name = "MSI-X", .mode = SV_IRQ_MSIX},
	[IRQ_ERR] = {.name = "ERR"},
	[IRQ_REQ] = {.name = "REQ"},
};

enum sv_irq_mode irq_mode(const struct irq *irq)
{
	return atomic_load(&irq->mode);
}

void irq_set_mode(struct irq *irq, enum sv_irq_mode mode) REQUIRES(&irq->igate)
{
	mutex_lock(&irq->lock);
	atomic_store(&irq->mode, mode);
	mutex_unlock(&irq->lock);
}

/* Slots */

bool irq_slot_put(struct irq *irq, int *slot, int fd) REQUIRES(&irq->igate)
{
	mutex_lock(&irq->lock);
	int old = *slot;

	*slot = fd;
	mutex_unlock(&irq->lock);
	if (old >= 0)
		irq_drop_fd(irq, old);
	return old >= 0;
}

bool irq_slot_signal(struct irq *irq, const int *slot)
{
	mutex_lock(&irq->lock);
	bool set = *slot >= 0;

	if (set)
		evfd_signal(*slot);
	mutex_unlock(&irq->lock);
	return set;
}

void irq_send_locked(struct irq *irq, int fd) REQUIRES(&irq->lock)
{
	if (fd >= 0)
		evfd_signal(fd);
	atomic_fetch_add_explicit(fd >= 0 ? &irq->raised : &irq->untaken, 1,
				  memory_order_relaxed);
}

/* What there is */

unsigned int irq_count(const struct irq *irq, uint32_t index)
{
	const unsigned int count[] = {
		[IRQ_INTX] = irq->counts.intx,
		[IRQ_MSI] = irq->counts.msi,
		[IRQ_MSIX] = irq->counts.msix,
		[IRQ_ERR] = irq->counts.pcie,
		[IRQ_REQ] = 1,
	};

	static_assert(ARRAY_SIZE(count) == IRQ_NUM, "one per index");
	return index < IRQ_NUM ? count[index] : 0;
}

int irq_get_info(const struct irq *irq, uint32_t index,
		 struct irq_info *ret_info)
{
	if (index >= IRQ_NUM)
		return refuse(EINVAL, "GET_IRQ_INFO: index %u; the last is %d",
			      index, IRQ_NUM - 1);
	if (index == IRQ_ERR && !irq->counts.pcie)
		return refuse(EINVAL, "GET_IRQ_INFO: ERR needs PCI Express, "
				      "this function has none");

	ret_info->count = irq_count(irq, index);
	ret_info->flags = IRQ_INFO_EVENTFD;
	if (index == IRQ_INTX)
		ret_info->flags |= IRQ_INFO_MASKABLE | IRQ_INFO_AUTOMASKED;
	else if (index != IRQ_MSIX || !irq->counts.msix)
		ret_info->flags |= IRQ_INFO_NORESIZE;
	return 0;
}

/* What the device and the rest of the function do. */

void irq_raise(struct irq *irq, unsigned int vector)
{
	mutex_lock(&irq->lock);
	enum sv_irq_mode mode = irq_mode(irq);
	unsigned int have = mode == SV_IRQ_MSI	  ? irq->counts.msi
			    : mode == SV_IRQ_MSIX ? irq->counts.msix
						  : 0;

	if (have)
		irq_send_locked(irq,
				vector < have ? irq->trigger[vector] : NO_FD);
	mutex_unlock(&irq->lock);
}

void irq_request_release(struct irq *irq)
{
	irq_slot_signal(irq, &irq->req);
}

void irq_get_stats(const struct irq *irq, struct irq_stats *ret_stats)
{
	ret_stats->raised =
		atomic_load_explicit(&irq->raised, memory_order_relaxed);
	ret_stats->untaken =
		atomic_load_explicit(&irq->untaken, memory_order_relaxed);
}

/* Lifetime */

static void turn_off(struct irq *irq) REQUIRES(&irq->igate)
{
	enum sv_irq_mode mode = irq_mode(irq);

	if (mode == SV_IRQ_INTX)
		irq_intx_off(irq);
	else if (mode == SV_IRQ_MSI)
		irq_msi_off(irq, IRQ_MSI);
	else if (mode == SV_IRQ_MSIX)
		irq_msi_off(irq, IRQ_MSIX);
}

void irq_close(struct irq *irq)
{
	mutex_lock(&irq->igate);
	turn_off(irq);
	irq_slot_put(irq, &irq->err, NO_FD);
	irq_slot_put(irq, &irq->req, NO_FD);
	mutex_lock(&irq->lock);
	irq->disabled = false;
	mutex_unlock(&irq->lock);
	mutex_unlock(&irq->igate);
}

static int *trigger_new(const struct irq_counts *counts)
{
	size_t n = counts->msi > counts->msix ? counts->msi : counts->msix;

	n = n ? n : 1; /* INTx */

	int *trigger = malloc(n * sizeof(*trigger));

	if (!trigger)
		return NULL;
	for (size_t i = 0; i < n; i++)
		trigger[i] = NO_FD;
	return trigger;
}

/* Nobody else knows it yet, so its locks need not be held. */
int NO_TSA irq_new(const struct irq_counts *counts, const struct irq_host *host,
		   void *opaque, struct irq **ret_irq)
{
	_cleanup_(freep) int *trigger = trigger_new(counts);
	struct irq *irq = calloc(1, sizeof(*irq));

	if (!trigger || !irq) {
		free(irq);
		return -ENOMEM;
	}
	irq->counts = *counts;
	irq->host = *host;
	irq->opaque = opaque;
	irq->unmask_set = irq->unmask_fd = irq->err = irq->req = NO_FD;
	irq->trigger = TAKE_PTR(trigger);
	mutex_init(&irq->igate, RANK_IGATE, "igate");
	mutex_init(&irq->lock, RANK_IRQ, "irq");
	*ret_irq = irq;
	return 0;
}

struct irq *irq_free(struct irq *irq)
{
	if (!irq)
		return NULL;
	irq_close(irq);
	mutex_done(&irq->lock);
	mutex_done(&irq->igate);
	free(irq->trigger);
	free(irq);
	return NULL;
}
