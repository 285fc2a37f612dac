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
 * Slots hold nothing while the mode is "none".
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
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/irq.h"
#include "lib/cleanup.h"
#include "lib/evfd.h"
#include "lib/refuse.h"

#define NO_FD	 -1
#define COPY_MIN 3 /* copies stay clear of the standard descriptors */

struct irq {
	/* immutable */
	struct irq_counts counts;
	struct irq_host host;
	void *opaque;

	struct mutex igate;			       /* setup */
	int unmask_fd GUARDED_BY(&igate);	       /* watched, or -1 */
	unsigned int msi_allocated GUARDED_BY(&igate); /* while in MSI mode */

	struct mutex lock; /* taken to signal; slots are -1 or our own copy */
	int *trigger;	   /* contents: lock; per vector, the first is INTx's */
	int err GUARDED_BY(&lock);
	int req GUARDED_BY(&lock);
	bool level GUARDED_BY(&lock);	 /* of the INTx pin */
	bool masked GUARDED_BY(&lock);	 /* INTx, while in that mode */
	bool disabled GUARDED_BY(&lock); /* virtual DisINTx; written in igate */

	_Atomic enum sv_irq_mode mode; /* written with both locks held */
	_Atomic uint64_t raised;
	_Atomic uint64_t untaken;
};

static const struct {
	const char *name;
	enum sv_irq_mode mode;
} indices[] = {
	[IRQ_INTX] = {.name = "INTx", .mode = SV_IRQ_INTX},
	[IRQ_MSI] = {.name = "MSI", .mode = SV_IRQ_MSI},
	[IRQ_MSIX] = {.name = "MSI-X", .mode = SV_IRQ_MSIX},
	[IRQ_ERR] = {.name = "ERR"},
	[IRQ_REQ] = {.name = "REQ"},
};
static_assert(ARRAY_SIZE(indices) == IRQ_NUM, "one row per index");

enum sv_irq_mode irq_mode(const struct irq *irq)
{
	return atomic_load(&irq->mode);
}

static void set_mode(struct irq *irq, enum sv_irq_mode mode)
	REQUIRES(&irq->igate)
{
	mutex_lock(&irq->lock);
	atomic_store(&irq->mode, mode);
	mutex_unlock(&irq->lock);
}

static bool is_on(const struct irq *irq, const struct irq_request *req)
{
	return irq_mode(irq) == indices[req->index].mode;
}

/* Slots. Both functions return whether there was an eventfd. */

static bool slot_put(struct irq *irq, int *slot, int fd)
{
	mutex_lock(&irq->lock);
	int old = *slot;

	*slot = fd;
	mutex_unlock(&irq->lock);
	if (old >= 0)
		close(old);
	return old >= 0;
}

/* A signal the program asked for. */
static bool slot_signal(struct irq *irq, const int *slot)
{
	mutex_lock(&irq->lock);
	bool set = *slot >= 0;

	if (set)
		evfd_signal(*slot);
	mutex_unlock(&irq->lock);
	return set;
}

/* A signal of the device. */
static void send_locked(struct irq *irq, int fd) REQUIRES(&irq->lock)
{
	if (fd >= 0)
		evfd_signal(fd);
	atomic_fetch_add_explicit(fd >= 0 ? &irq->raised : &irq->untaken, 1,
				  memory_order_relaxed);
}

static bool fd_is_none(int given)
{
	return given == NO_FD || given == IRQ_FD_NEGATIVE;
}

/* Our own copy of what the program passed; "none" stays "none". */
static int copy_fd(const struct irq_request *req, uint32_t i, int *ret_fd)
{
	const char *name = indices[req->index].name;
	uint32_t vector = req->start + i;
	int given = req->fds[i];

	if (fd_is_none(given)) {
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

	int fd = fcntl(given, F_DUPFD_CLOEXEC, COPY_MIN);

	if (fd < 0)
		return refuse(errno, "SET_IRQS %s: vector %u: %s", name, vector,
			      strerror(errno));
	*ret_fd = fd;
	return 0;
}

/* Does DATA_NONE or DATA_BOOL ask for something to be done to this one? */
static bool is_asked_for(const struct irq_request *req, uint32_t i)
{
	return !(req->flags & IRQ_SET_DATA_BOOL) || req->bools[i];
}

static bool is_turn_off(const struct irq_request *req)
{
	return req->count == 0 && req->flags & IRQ_SET_DATA_NONE;
}

/* INTx */

/* The pin is up and nobody has been told yet: tell, and mask. */
static void intx_look_locked(struct irq *irq) REQUIRES(&irq->lock)
{
	if (irq_mode(irq) != SV_IRQ_INTX || !irq->level || irq->masked)
		return;
	irq->masked = true;
	irq->host.intx_mask(irq->opaque, true);
	send_locked(irq, irq->trigger[0]);
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
			send_locked(irq, irq->trigger[0]);
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
	irq->host.unwatch(irq->opaque, irq->unmask_fd);
	close(irq->unmask_fd);
	irq->unmask_fd = NO_FD;
}

/* The device keeps its mask as it is, as in Linux. */
static void intx_off(struct irq *irq) REQUIRES(&irq->igate)
{
	intx_unwatch(irq);
	set_mode(irq, SV_IRQ_NONE);
	slot_put(irq, &irq->trigger[0], NO_FD);
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
	if (is_on(irq, req))
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
	int r = copy_fd(req, 0, &fd);

	if (r < 0)
		return r;
	if (is_on(irq, req))
		slot_put(irq, &irq->trigger[0], fd);
	else
		intx_enable(irq, fd);
	return 0;
}

static void unmask_if_signalled(struct irq *irq) REQUIRES(&irq->igate)
{
	if (irq->unmask_fd >= 0 && evfd_drain(irq->unmask_fd))
		intx_unmask(irq);
}

static int intx_watch_copy(struct irq *irq, int fd) REQUIRES(&irq->igate)
{
	if (irq->unmask_fd >= 0)
		return refuse(EBUSY,
			      "SET_IRQS INTx: there is an unmask eventfd "
			      "already; remove it with -1 first");

	int r = irq->host.watch(irq->opaque, fd);

	if (r < 0)
		return refuse(-r, "SET_IRQS INTx: unmask eventfd: %s",
			      strerror(-r));
	irq->unmask_fd = fd;
	/* one that was signalled before is as good as one signalled now */
	unmask_if_signalled(irq);
	return 0;
}

static int intx_watch(struct irq *irq, const struct irq_request *req)
	REQUIRES(&irq->igate)
{
	int fd;
	int r = copy_fd(req, 0, &fd);

	if (r < 0)
		return r;
	r = intx_watch_copy(irq, fd);
	if (r < 0)
		close(fd);
	return r;
}

static int set_intx_mask(struct irq *irq, const struct irq_request *req)
	REQUIRES(&irq->igate)
{
	int r = intx_check_on(irq, req);

	if (r < 0)
		return r;
	if (req->flags & IRQ_SET_DATA_EVENTFD)
		return refuse(ENOTTY, "SET_IRQS INTx: Linux has no masking by "
				      "eventfd; use DATA_NONE or DATA_BOOL");
	if (is_asked_for(req, 0))
		intx_mask(irq);
	return 0;
}

static int set_intx_unmask(struct irq *irq, const struct irq_request *req)
	REQUIRES(&irq->igate)
{
	int r = intx_check_on(irq, req);

	if (r < 0)
		return r;
	if (!(req->flags & IRQ_SET_DATA_EVENTFD)) {
		if (is_asked_for(req, 0))
			intx_unmask(irq);
		return 0;
	}
	if (!fd_is_none(req->fds[0]))
		return intx_watch(irq, req);
	intx_unwatch(irq);
	return 0;
}

/* Only one of INTx, MSI and MSI-X may be on. */
static int check_mode(struct irq *irq, const struct irq_request *req)
{
	static const char *const names[] = {
		[SV_IRQ_NONE] = "none",
		[SV_IRQ_INTX] = "INTx",
		[SV_IRQ_MSI] = "MSI",
		[SV_IRQ_MSIX] = "MSI-X",
	};
	enum sv_irq_mode mode = irq_mode(irq);

	if (mode == SV_IRQ_NONE || is_on(irq, req))
		return 0;
	return refuse(EINVAL,
		      "SET_IRQS %s: %s is enabled; disable that first (count "
		      "0, DATA_NONE, ACTION_TRIGGER)",
		      indices[req->index].name, names[mode]);
}

static int refuse_not_enabled(const struct irq_request *req)
{
	return refuse(EINVAL,
		      "SET_IRQS %s: not enabled, so there is nothing to "
		      "signal or to disable; enable it with DATA_EVENTFD",
		      indices[req->index].name);
}

static int set_intx_trigger(struct irq *irq, const struct irq_request *req)
	REQUIRES(&irq->igate)
{
	if (is_on(irq, req) && is_turn_off(req)) {
		intx_off(irq);
		return 0;
	}

	int r = check_mode(irq, req);

	if (r == 0)
		r = intx_check_vector(req);
	if (r < 0)
		return r;
	if (req->flags & IRQ_SET_DATA_EVENTFD)
		return intx_set_eventfd(irq, req);
	if (!is_on(irq, req))
		return refuse_not_enabled(req);
	if (is_asked_for(req, 0))
		intx_loopback(irq);
	return 0;
}

/* MSI and MSI-X */

static unsigned int round_up_pow2(unsigned int n)
{
	unsigned int pow = 1;

	while (pow < n)
		pow <<= 1;
	return pow;
}

static void msi_tell_host(struct irq *irq, enum irq_index index,
			  unsigned int vectors) REQUIRES(&irq->igate)
{
	bool on = vectors > 0;

	if (index == IRQ_MSIX)
		irq->host.msix(irq->opaque, on);
	else
		irq->host.msi(irq->opaque, on ? round_up_pow2(vectors) : 0);
	/* Linux's PCI core does, whatever virtual DisINTx says */
	irq->host.intx_mask(irq->opaque, on);
}

static void msi_tear_down(struct irq *irq, uint32_t start, uint32_t count)
	REQUIRES(&irq->igate)
{
	for (uint32_t i = 0; i < count; i++)
		slot_put(irq, &irq->trigger[start + i], NO_FD);
}

static void msi_off(struct irq *irq, enum irq_index index) REQUIRES(&irq->igate)
{
	set_mode(irq, SV_IRQ_NONE);
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

	if (!fd_is_none(req->fds[i]))
		r = msi_check_allocated(irq, req, i);
	if (r == 0)
		r = copy_fd(req, i, &fd);
	if (r == 0)
		slot_put(irq, &irq->trigger[req->start + i], fd);
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
			      indices[req->index].name);
	irq->msi_allocated = vectors;

	int r = msi_set_vectors(irq, req);

	if (r < 0)
		return r;
	msi_tell_host(irq, req->index, vectors);
	set_mode(irq, indices[req->index].mode);
	return 0;
}

static int set_msi_trigger(struct irq *irq, const struct irq_request *req)
	REQUIRES(&irq->igate)
{
	if (is_on(irq, req) && is_turn_off(req)) {
		msi_off(irq, req->index);
		return 0;
	}

	int r = check_mode(irq, req);

	if (r < 0)
		return r;
	if (req->flags & IRQ_SET_DATA_EVENTFD)
		return is_on(irq, req) ? msi_set_vectors(irq, req)
				       : msi_enable(irq, req);
	if (!is_on(irq, req))
		return refuse_not_enabled(req);
	for (uint32_t i = 0; i < req->count; i++)
		if (is_asked_for(req, i))
			slot_signal(irq, &irq->trigger[req->start + i]);
	return 0;
}

/* ERR and REQ */

static int single_none(struct irq *irq, const struct irq_request *req,
		       int *slot) REQUIRES(&irq->igate)
{
	bool set = req->count ? slot_signal(irq, slot)
			      : slot_put(irq, slot, NO_FD);

	if (set)
		return 0;
	return refuse(EINVAL,
		      "SET_IRQS %s: no eventfd is set, so there is nothing to "
		      "signal or to remove",
		      indices[req->index].name);
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
			      indices[req->index].name);

	int r = copy_fd(req, 0, &fd);

	if (r == 0)
		slot_put(irq, slot, fd);
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
			      indices[req->index].name);
	if (req->flags & IRQ_SET_DATA_EVENTFD)
		return single_eventfd(irq, req, slot);
	if (is_asked_for(req, 0))
		slot_signal(irq, slot);
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
	[IRQ_INTX] = {set_intx_mask, set_intx_unmask, set_intx_trigger},
	[IRQ_MSI] = {.trigger = set_msi_trigger},
	[IRQ_MSIX] = {.trigger = set_msi_trigger},
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
			      indices[req->index].name, req->flags);

	mutex_lock(&irq->igate);
	int r = handler(irq, req);

	mutex_unlock(&irq->igate);
	return r;
}

static unsigned int irq_count(const struct irq *irq, uint32_t index)
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

static int check_range(const struct irq *irq, uint32_t index, uint32_t start,
		       uint32_t count)
{
	unsigned int have = irq_count(irq, index);

	/* the sum does not overflow: checked before */
	if (start < have && start + count <= have)
		return 0;
	return refuse(EINVAL,
		      "SET_IRQS %s: start %u, count %u, but there are %u here",
		      indices[index].name, start, count, have);
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
			      indices[index].name, start, count);
	if (flags & ~(uint32_t)(IRQ_SET_DATA_MASK | IRQ_SET_ACTIONS))
		return refuse(EINVAL, "SET_IRQS %s: unknown bits in flags %#x",
			      indices[index].name, flags);
	return 0;
}

int irq_check(const struct irq *irq, uint32_t flags, uint32_t index,
	      uint32_t start, uint32_t count, size_t data_size,
	      size_t *ret_bytes)
{
	size_t unit = 0;
	int r = check_header(flags, index, start, count);

	if (r == 0)
		r = check_range(irq, index, start, count);
	if (r == 0)
		r = data_unit(flags, &unit);
	if (r < 0)
		return r;
	if (data_size < count * unit)
		return refuse(EINVAL,
			      "SET_IRQS %s: argsz leaves %zu bytes of data, "
			      "count %u needs %zu",
			      indices[index].name, data_size, count,
			      count * unit);
	*ret_bytes = count * unit;
	return 0;
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
		send_locked(irq, vector < have ? irq->trigger[vector] : NO_FD);
	mutex_unlock(&irq->lock);
}

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
	unmask_if_signalled(irq);
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

void irq_request_release(struct irq *irq)
{
	slot_signal(irq, &irq->req);
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
		intx_off(irq);
	else if (mode == SV_IRQ_MSI)
		msi_off(irq, IRQ_MSI);
	else if (mode == SV_IRQ_MSIX)
		msi_off(irq, IRQ_MSIX);
}

void irq_close(struct irq *irq)
{
	mutex_lock(&irq->igate);
	turn_off(irq);
	slot_put(irq, &irq->err, NO_FD);
	slot_put(irq, &irq->req, NO_FD);
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
	irq->unmask_fd = irq->err = irq->req = NO_FD;
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
