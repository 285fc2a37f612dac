/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which table a function's DMA goes through. Where there was none it is there at
 * once; one that may be in use is taken away with the model's lock held, after
 * DMA in flight has been told to give up.
 */
#include <errno.h>

#include "core/pci/device_impl.h"
#include "lib/refuse.h"
#include "lib/sched.h"

int device_take_table(struct sv_dev *dev, struct iopt *iopt)
{
	if (!model_lock(dev))
		return -ETIMEDOUT;
	struct iopt *old = atomic_exchange(&dev->iopt, iopt);

	mutex_unlock(&dev->model);
	iopt_put(old);
	return 0;
}

/* No reset follows, so what gives up has failed (devapi.c), and says so. */
static int device_move(struct sv_dev *dev, struct iopt *iopt, const char *what)
	REQUIRES(&dev->set->lock)
{
	atomic_fetch_add(&dev->moving, 1);
	device_cancel_dma(dev);
	int r = device_take_table(dev, iopt);

	device_allow_dma(dev);
	atomic_fetch_sub(&dev->moving, 1);
	return r < 0 ? device_is_stuck(dev, EBUSY, what) : 0;
}

int device_attach(struct sv_dev *dev, struct iopt *iopt)
{
	int r = 0;

	mutex_lock(&dev->set->lock);
	struct iopt *old = atomic_load(&dev->iopt);

	if (!old)
		atomic_store(&dev->iopt, iopt_get(iopt));
	else if (old != iopt)
		r = refuse(EINVAL, "attach: %s is attached already", dev->name);
	mutex_unlock(&dev->set->lock);
	return r;
}

int device_detach(struct sv_dev *dev)
{
	int r = 0;

	mutex_lock(&dev->set->lock);
	if (atomic_load(&dev->iopt))
		r = device_move(dev, NULL, "detach");
	mutex_unlock(&dev->set->lock);
	return r;
}

int device_replace(struct sv_dev *dev, struct iopt *iopt)
{
	int r;

	iopt_get(iopt);
	mutex_lock(&dev->set->lock);
	if (atomic_load(&dev->iopt))
		r = device_move(dev, iopt, "replace");
	else
		r = refuse(EINVAL, "replace: %s is attached to nothing",
			   dev->name);
	mutex_unlock(&dev->set->lock);
	if (r < 0)
		iopt_put(iopt);
	return r;
}

bool device_attached(const struct sv_dev *dev)
{
	return atomic_load(&dev->iopt);
}
