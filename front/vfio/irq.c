/* SPDX-License-Identifier: BSD-3-Clause */
/* The layouts of interrupts: kernel-semantics 3.4, 3.5. */
#include <errno.h>
#include <stdlib.h>

#include "core/pci/device.h"
#include "front/ioctl.h"
#include "front/vfio/vfio.h"
#include "lib/cleanup.h"
#include "lib/evfd.h"
#include "lib/refuse.h"

int64_t get_irq_info(struct call *call)
{
	struct vfio_irq_info info;
	struct irq_info irq;
	int r = ioctl_copy_in(call, &info, sizeof(info));

	if (r == 0)
		r = irq_get_info(device_irq(device_file_dev(call->file)),
				 info.index, &irq);
	if (r < 0)
		return r;
	info.flags = irq.flags;
	info.count = irq.count;
	return call_copy_out(call, ioctl_arg(call), &info, sizeof(info));
}

/* A descriptor number of the program's as irq_set() takes it: enum irq_fd. */
static int irq_fd(struct call *call, int32_t number, int *ret_fd)
{
	char unused[REFUSAL_MAX];

	if (number < 0) {
		*ret_fd = number == -1 ? IRQ_FD_NONE : IRQ_FD_NEGATIVE;
		return 0;
	}

	int r = call_fd(call, number, ret_fd);

	if (r == -EBADF) {
		refusal_take(unused);
		*ret_fd = IRQ_FD_BAD;
		return 0;
	}
	if (r == 0 && evfd_check(*ret_fd) < 0)
		*ret_fd = IRQ_FD_NOT_EVENTFD;
	return r;
}

static int irq_fds(struct call *call, const int32_t *numbers, uint32_t count,
		   int *fds)
{
	int r = 0;

	/* look at all of them, so that one round asks for all */
	for (uint32_t i = 0; i < count; i++) {
		int one = irq_fd(call, numbers[i], &fds[i]);

		if (one < 0)
			r = one;
	}
	return r;
}

static int set_irqs_data(struct call *call, struct irq_request *req,
			 const uint8_t *data)
{
	_cleanup_(freep) int *fds = NULL;

	if (req->flags & VFIO_IRQ_SET_DATA_BOOL)
		req->bools = data;
	if (req->flags & VFIO_IRQ_SET_DATA_EVENTFD) {
		fds = calloc(req->count + 1, sizeof(*fds));
		if (!fds)
			return -ENOMEM;

		int r = irq_fds(call, (const void *)data, req->count, fds);

		if (r < 0)
			return r;
		req->fds = fds;
	}
	return irq_set(device_irq(device_file_dev(call->file)), req);
}

int64_t set_irqs(struct call *call)
{
	struct vfio_irq_set set = {0};
	size_t head = offsetof(struct vfio_irq_set, data), bytes;
	int r = ioctl_copy_in(call, &set, head);

	struct irq_request req = {
		.flags = set.flags,
		.index = set.index,
		.start = set.start,
		.count = set.count,
		.pid = call->pid,
	};

	if (r == 0)
		r = irq_check(device_irq(device_file_dev(call->file)), &req,
			      set.argsz - head, &bytes);
	if (r < 0)
		return r;

	_cleanup_(freep) uint8_t *data = calloc(1, bytes + 1);

	if (!data)
		return -ENOMEM;
	if (bytes)
		r = call_copy_in(call, ioctl_arg(call) + head, data, bytes);
	return r < 0 ? r : set_irqs_data(call, &req, data);
}
