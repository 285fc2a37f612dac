/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * VFIO_DEVICE_SET_IRQS: what a request may say, which handler it goes to, and
 * ERR and REQ, which are no more than an eventfd each. Theory of operation:
 * irq.c.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "core/pci/irq_impl.h"
#include "lib/cleanup.h"
#include "lib/refuse.h"

#define COPY_MIN 3 /* copies stay clear of the standard descriptors */

/* Reading a request */

bool irq_is_on(const struct irq *irq, const struct irq_request *req)
{
	return irq_mode(irq) == irq_indices[req->index].mode;
}

bool irq_is_turn_off(const struct irq_request *req)
{
	return req->count == 0 && req->flags & IRQ_SET_DATA_NONE;
}

bool irq_is_asked_for(const struct irq_request *req, uint32_t i)
{
	return !(req->flags & IRQ_SET_DATA_BOOL) || req->bools[i];
}

bool irq_fd_is_none(int given)
{
	return given == IRQ_FD_NONE || given == IRQ_FD_NEGATIVE;
}

int irq_copy_fd(struct irq *irq, const struct irq_request *req, uint32_t i,
		int *ret_fd) REQUIRES(&irq->igate)
{
	const char *name = irq_indices[req->index].name;
	uint32_t vector = req->start + i;
	int given = req->fds[i];

	if (irq_fd_is_none(given)) {
		*ret_fd = NO_FD;
		return 0;
	}
	if (given == IRQ_FD_BAD)
		return refuse(EBADF,
			      "SET_IRQS %s: the descriptor for vector %u is "
			      "not open; pass an eventfd, or -1 for none",
			      name, vector);
	if (given == IRQ_FD_NOT_EVENTFD)
		return refuse(EINVAL,
			      "SET_IRQS %s: the descriptor for vector %u is "
			      "not an eventfd; make one with eventfd(2)",
			      name, vector);

	int r = share_take(&irq->share, SHARE_EVENTFDS, req->pid, 1);

	if (r < 0)
		return r;
	*ret_fd = fcntl(given, F_DUPFD_CLOEXEC, COPY_MIN);
	if (*ret_fd >= 0)
		return 0;
	r = refuse(errno, "SET_IRQS %s: vector %u: %s", name, vector,
		   strerror(errno));
	share_less(&irq->share, 1);
	return r;
}

void irq_drop_fd(struct irq *irq, int fd) REQUIRES(&irq->igate)
{
	close(fd);
	share_less(&irq->share, 1);
}

static const char *mode_name(enum sv_irq_mode mode)
{
	size_t i = 0;

	while (irq_indices[i].mode != mode)
		i++;
	return irq_indices[i].name;
}

int irq_check_mode(struct irq *irq, const struct irq_request *req)
{
	enum sv_irq_mode mode = irq_mode(irq);

	if (mode == SV_IRQ_NONE || irq_is_on(irq, req))
		return 0;
	return refuse(EINVAL,
		      "SET_IRQS %s: %s is enabled; disable that first (count "
		      "0, DATA_NONE, ACTION_TRIGGER)",
		      irq_indices[req->index].name, mode_name(mode));
}

int irq_refuse_not_enabled(const struct irq_request *req)
{
	return refuse(EINVAL,
		      "SET_IRQS %s: not enabled, so there is nothing to "
		      "signal or to disable; enable it with DATA_EVENTFD",
		      irq_indices[req->index].name);
}

/* ERR and REQ */

static int single_none(struct irq *irq, const struct irq_request *req,
		       int *slot) REQUIRES(&irq->igate)
{
	bool set = req->count ? irq_slot_signal(irq, slot)
			      : irq_slot_put(irq, slot, NO_FD);

	if (set)
		return 0;
	return refuse(EINVAL,
		      "SET_IRQS %s: no eventfd is set, so there is nothing to "
		      "signal or to remove",
		      irq_indices[req->index].name);
}

static int single_eventfd(struct irq *irq, const struct irq_request *req,
			  int *slot) REQUIRES(&irq->igate)
{
	int fd;

	/* -1 and nothing else means "none" here */
	if (req->fds[0] == IRQ_FD_NEGATIVE)
		return refuse(EINVAL,
			      "SET_IRQS %s: a negative descriptor other than "
			      "-1; pass an eventfd, or -1 to remove it",
			      irq_indices[req->index].name);

	int r = irq_copy_fd(irq, req, 0, &fd);

	if (r == 0)
		irq_slot_put(irq, slot, fd);
	return r;
}

static int set_single(struct irq *irq, const struct irq_request *req, int *slot)
	REQUIRES(&irq->igate)
{
	if (req->flags & IRQ_SET_DATA_NONE)
		return single_none(irq, req, slot);
	if (req->count == 0)
		return refuse(EINVAL,
			      "SET_IRQS %s: count 0 goes with DATA_NONE only; "
			      "count 1",
			      irq_indices[req->index].name);
	if (req->flags & IRQ_SET_DATA_EVENTFD)
		return single_eventfd(irq, req, slot);
	if (irq_is_asked_for(req, 0))
		irq_slot_signal(irq, slot);
	return 0;
}

static int set_err_trigger(struct irq *irq, const struct irq_request *req)
	REQUIRES(&irq->igate)
{
	return set_single(irq, req, &irq->err);
}

static int set_req_trigger(struct irq *irq, const struct irq_request *req)
	REQUIRES(&irq->igate)
{
	return set_single(irq, req, &irq->req);
}

/* SET_IRQS */

typedef int irq_handler(struct irq *irq, const struct irq_request *req);

static const struct {
	irq_handler *mask;
	irq_handler *unmask;
	irq_handler *trigger;
} handlers[] = {
	[IRQ_INTX] = {irq_intx_set_mask, irq_intx_set_unmask,
		      irq_intx_set_trigger},
	[IRQ_MSI] = {.trigger = irq_msi_set_trigger},
	[IRQ_MSIX] = {.trigger = irq_msi_set_trigger},
	[IRQ_ERR] = {.trigger = set_err_trigger},
	[IRQ_REQ] = {.trigger = set_req_trigger},
};
static_assert(ARRAY_SIZE(handlers) == IRQ_NUM, "one row per index");

static irq_handler *find_handler(const struct irq_request *req)
{
	switch (req->flags & IRQ_SET_ACTIONS) {
	case IRQ_SET_ACTION_MASK:
		return handlers[req->index].mask;
	case IRQ_SET_ACTION_UNMASK:
		return handlers[req->index].unmask;
	case IRQ_SET_ACTION_TRIGGER:
		return handlers[req->index].trigger;
	default:
		return NULL;
	}
}

int irq_set(struct irq *irq, const struct irq_request *req)
{
	irq_handler *handler = find_handler(req);

	if (!handler)
		return refuse(ENOTTY,
			      "SET_IRQS %s: flags %#x name no action there is; "
			      "exactly one of MASK, UNMASK (INTx only) and "
			      "TRIGGER",
			      irq_indices[req->index].name, req->flags);

	mutex_lock(&irq->igate);
	int r = handler(irq, req);

	mutex_unlock(&irq->igate);
	return r;
}

static int check_range(const struct irq *irq, uint32_t index, uint32_t start,
		       uint32_t count)
{
	unsigned int have = irq_count(irq, index);

	/* the sum does not overflow: checked before */
	if (start < have && start + count <= have)
		return 0;
	return refuse(EINVAL,
		      "SET_IRQS %s: start %u, count %u, but there are %u here",
		      irq_indices[index].name, start, count, have);
}

static int data_unit(uint32_t flags, size_t *ret_unit)
{
	switch (flags & IRQ_SET_DATA_MASK) {
	case IRQ_SET_DATA_NONE:
		*ret_unit = 0;
		return 0;
	case IRQ_SET_DATA_BOOL:
		*ret_unit = sizeof(uint8_t);
		return 0;
	case IRQ_SET_DATA_EVENTFD:
		*ret_unit = sizeof(int32_t);
		return 0;
	default:
		return refuse(EINVAL,
			      "SET_IRQS: flags %#x; exactly one of DATA_NONE, "
			      "DATA_BOOL and DATA_EVENTFD",
			      flags);
	}
}

static int check_header(uint32_t flags, uint32_t index, uint32_t start,
			uint32_t count)
{
	if (index >= IRQ_NUM)
		return refuse(EINVAL, "SET_IRQS: index %u; the last one is %d",
			      index, IRQ_NUM - 1);
	if (count >= UINT32_MAX - start)
		return refuse(EINVAL,
			      "SET_IRQS %s: start %u and count %u overflow",
			      irq_indices[index].name, start, count);
	if (flags & ~(uint32_t)(IRQ_SET_DATA_MASK | IRQ_SET_ACTIONS))
		return refuse(EINVAL, "SET_IRQS %s: unknown bits in flags %#x",
			      irq_indices[index].name, flags);
	return 0;
}

int irq_check(const struct irq *irq, const struct irq_request *req,
	      size_t data_size, size_t *ret_bytes)
{
	uint32_t count = req->count;
	size_t unit = 0;
	int r = check_header(req->flags, req->index, req->start, count);

	if (r == 0)
		r = check_range(irq, req->index, req->start, count);
	if (r == 0)
		r = data_unit(req->flags, &unit);
	if (r < 0)
		return r;
	if (data_size < count * unit)
		return refuse(EINVAL,
			      "SET_IRQS %s: argsz leaves %zu bytes of data, "
			      "count %u needs %zu",
			      irq_indices[req->index].name, data_size, count,
			      count * unit);
	*ret_bytes = count * unit;
	return 0;
}
