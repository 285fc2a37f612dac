/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DOC: Theory of operation
 *
 * INTx is a level, and masks itself when it is signalled:
 *
 *   unmasked           pin rises          masked, one signal
 *   masked             unmask, pin low    unmasked
 *   masked             unmask, pin high   masked, one more signal
 *
 * Virtual DisINTx masks too. While it is set, unmasking does nothing and
 * loopback is silent; clearing it unmasks, whoever had masked.
 */
#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "core/pci/irq_impl.h"
#include "core/common/watch.h"
#include "lib/evfd.h"
#include "lib/refuse.h"

/* The pin is up and nobody has been told yet: tell, and mask. */
static void intx_look_locked(struct irq *irq) REQUIRES(&irq->lock)
{
	if (irq_mode(irq) != SV_IRQ_INTX || !irq->level || irq->masked)
		return;
	irq->masked = true;
	irq->host.intx_mask(irq->opaque, true);
	irq_send_locked(irq, irq->trigger[0]);
}

/* Virtual DisINTx reaches the device's own bit also when INTx is not on. */
static void intx_mask_locked(struct irq *irq) REQUIRES(&irq->lock)
{
	if (irq_mode(irq) == SV_IRQ_INTX)
		irq->masked = true;
	irq->host.intx_mask(irq->opaque, true);
}

static void intx_unmask_locked(struct irq *irq) REQUIRES(&irq->lock)
{
	if (irq_mode(irq) != SV_IRQ_INTX) {
		irq->host.intx_mask(irq->opaque, false);
	} else if (irq->masked && !irq->disabled) {
		irq->masked = irq->level;
		irq->host.intx_mask(irq->opaque, irq->masked);
		if (irq->masked)
			irq_send_locked(irq, irq->trigger[0]);
	}
}

static void intx_unmask(struct irq *irq) REQUIRES(&irq->igate)
{
	mutex_lock(&irq->lock);
	intx_unmask_locked(irq);
	mutex_unlock(&irq->lock);
}

static void intx_mask(struct irq *irq) REQUIRES(&irq->igate)
{
	mutex_lock(&irq->lock);
	intx_mask_locked(irq);
	mutex_unlock(&irq->lock);
}

static void intx_loopback(struct irq *irq) REQUIRES(&irq->igate)
{
	mutex_lock(&irq->lock);
	if (!irq->disabled && irq->trigger[0] >= 0)
		evfd_signal(irq->trigger[0]);
	mutex_unlock(&irq->lock);
}

static void intx_enable(struct irq *irq, int fd) REQUIRES(&irq->igate)
{
	mutex_lock(&irq->lock);
	irq->trigger[0] = fd;
	irq->masked = irq->disabled;
	irq->host.intx_mask(irq->opaque, irq->masked);
	atomic_store(&irq->mode, SV_IRQ_INTX);
	intx_look_locked(irq);
	mutex_unlock(&irq->lock);
}

static void intx_unwatch(struct irq *irq) REQUIRES(&irq->igate)
{
	if (irq->unmask_fd < 0)
		return;
	irq->host.unwatch(irq->opaque, irq->unmask_set);
	close(irq->unmask_set);
	irq_drop_fd(irq, irq->unmask_fd);
	irq->unmask_set = irq->unmask_fd = NO_FD;
}

/* The device keeps its mask as it is, as in Linux. */
void irq_intx_off(struct irq *irq) REQUIRES(&irq->igate)
{
	intx_unwatch(irq);
	irq_set_mode(irq, SV_IRQ_NONE);
	irq_slot_put(irq, &irq->trigger[0], NO_FD);
}

static int intx_check_vector(const struct irq_request *req)
{
	if (req->start == 0 && req->count == 1)
		return 0;
	return refuse(EINVAL,
		      "SET_IRQS INTx: start %u, count %u; there is one, so "
		      "start 0, count 1 (or count 0 with DATA_NONE, to turn "
		      "it off, while it is on)",
		      req->start, req->count);
}

static int intx_check_on(struct irq *irq, const struct irq_request *req)
{
	if (irq_is_on(irq, req))
		return intx_check_vector(req);
	return refuse(EINVAL,
		      "SET_IRQS INTx: it is not enabled; enable it with "
		      "ACTION_TRIGGER and an eventfd first");
}

/* "None" takes the trigger away, but leaves or turns INTx on. */
static int intx_set_eventfd(struct irq *irq, const struct irq_request *req)
	REQUIRES(&irq->igate)
{
	int fd;
	int r = irq_copy_fd(irq, req, 0, &fd);

	if (r < 0)
		return r;
	if (irq_is_on(irq, req))
		irq_slot_put(irq, &irq->trigger[0], fd);
	else
		intx_enable(irq, fd);
	return 0;
}

/* Since this was last asked */
static bool unmask_signalled(struct irq *irq) REQUIRES(&irq->igate)
{
	struct epoll_event ev;

	return irq->unmask_fd >= 0 &&
	       watch_set_take(irq->unmask_set, &ev, 1) == 1;
}

static int unmask_watch(struct irq *irq, int fd, int *ret_set)
	REQUIRES(&irq->igate)
{
	int set = watch_set_new();
	int r = set < 0 ? set : watch_set_add(set, fd, 0);

	if (r == 0)
		r = irq->host.watch(irq->opaque, set);
	if (r == 0)
		*ret_set = set;
	else if (set >= 0)
		close(set);
	return r;
}

static int intx_watch_copy(struct irq *irq, int fd) REQUIRES(&irq->igate)
{
	if (irq->unmask_fd >= 0)
		return refuse(EBUSY,
			      "SET_IRQS INTx: there is an unmask eventfd "
			      "already; remove it with -1 first");

	int r = unmask_watch(irq, fd, &irq->unmask_set);

	if (r < 0)
		return refuse(-r, "SET_IRQS INTx: unmask eventfd: %s",
			      strerror(-r));
	irq->unmask_fd = fd;
	/* signalled before is as good as now, but Linux does not read it then */
	if (unmask_signalled(irq))
		intx_unmask(irq);
	return 0;
}

static int intx_watch(struct irq *irq, const struct irq_request *req)
	REQUIRES(&irq->igate)
{
	int fd;
	int r = irq_copy_fd(irq, req, 0, &fd);

	if (r < 0)
		return r;
	r = intx_watch_copy(irq, fd);
	if (r < 0)
		irq_drop_fd(irq, fd);
	return r;
}

int irq_intx_set_mask(struct irq *irq, const struct irq_request *req)
	REQUIRES(&irq->igate)
{
	int r = intx_check_on(irq, req);

	if (r < 0)
		return r;
	if (req->flags & IRQ_SET_DATA_EVENTFD)
		return refuse(ENOTTY, "SET_IRQS INTx: Linux has no masking by "
				      "eventfd; use DATA_NONE or DATA_BOOL");
	if (irq_is_asked_for(req, 0))
		intx_mask(irq);
	return 0;
}

int irq_intx_set_unmask(struct irq *irq, const struct irq_request *req)
	REQUIRES(&irq->igate)
{
	int r = intx_check_on(irq, req);

	if (r < 0)
		return r;
	if (!(req->flags & IRQ_SET_DATA_EVENTFD)) {
		if (irq_is_asked_for(req, 0))
			intx_unmask(irq);
		return 0;
	}
	if (!irq_fd_is_none(req->fds[0]))
		return intx_watch(irq, req);
	intx_unwatch(irq);
	return 0;
}

int irq_intx_set_trigger(struct irq *irq, const struct irq_request *req)
	REQUIRES(&irq->igate)
{
	if (irq_is_on(irq, req) && irq_is_turn_off(req)) {
		irq_intx_off(irq);
		return 0;
	}

	int r = irq_check_mode(irq, req);

	if (r == 0)
		r = intx_check_vector(req);
	if (r < 0)
		return r;
	if (req->flags & IRQ_SET_DATA_EVENTFD)
		return intx_set_eventfd(irq, req);
	if (!irq_is_on(irq, req))
		return irq_refuse_not_enabled(req);
	if (irq_is_asked_for(req, 0))
		intx_loopback(irq);
	return 0;
}

/* What the device and the rest of the function do. */

void irq_level(struct irq *irq, bool asserted)
{
	if (!irq->counts.intx)
		return;
	mutex_lock(&irq->lock);
	if (irq->level != asserted) {
		irq->level = asserted;
		irq->host.intx_status(irq->opaque, asserted);
		intx_look_locked(irq);
	}
	mutex_unlock(&irq->lock);
}

void irq_unmask_event(struct irq *irq)
{
	mutex_lock(&irq->igate);
	if (unmask_signalled(irq)) {
		evfd_take(irq->unmask_fd);
		intx_unmask(irq);
	}
	mutex_unlock(&irq->igate);
}

void irq_intx_disable(struct irq *irq, bool disable)
{
	mutex_lock(&irq->igate);
	mutex_lock(&irq->lock);
	if (irq->disabled != disable) {
		irq->disabled = disable;
		if (disable)
			intx_mask_locked(irq);
		else
			intx_unmask_locked(irq);
	}
	mutex_unlock(&irq->lock);
	mutex_unlock(&irq->igate);
}
