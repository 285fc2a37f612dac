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

/* A function has no range of its own that must not be mapped. */
static int join(struct sv_dev *dev, struct domain *d)
{
	int r = domain_attach(d, dev, NULL, 0);

	if (r < 0)
		return refuse(-r, "attach: %s: what is mapped does not suit it",
			      dev->name);
	domain_get(d);
	return 0;
}

static void leave(struct sv_dev *dev, struct domain *d)
{
	if (d)
		domain_detach(d, dev);
	domain_put(d);
}

static void set_domain(struct sv_dev *dev, struct domain *d)
	REQUIRES(&dev->set->lock)
{
	dev->domain = d;
	atomic_store(&dev->iopt, d ? domain_iopt(d) : NULL);
}

int device_take_domain(struct sv_dev *dev, struct domain *d)
{
	struct domain *old = dev->domain;

	if (!model_lock(dev))
		return -ETIMEDOUT;
	set_domain(dev, d);
	mutex_unlock(&dev->model);
	leave(dev, old);
	return 0;
}

/* No reset follows, so what gives up has failed (devapi.c), and says so. */
static int device_move(struct sv_dev *dev, struct domain *d, const char *what)
	REQUIRES(&dev->set->lock)
{
	atomic_fetch_add(&dev->moving, 1);
	device_cancel_dma(dev);
	int r = device_take_domain(dev, d);

	device_allow_dma(dev);
	atomic_fetch_sub(&dev->moving, 1);
	return r < 0 ? device_is_stuck(dev, EBUSY, what) : 0;
}

int device_attach(struct sv_dev *dev, struct domain *d)
{
	int r = 0;

	mutex_lock(&dev->set->lock);
	if (!dev->domain) {
		r = join(dev, d);
		if (r == 0)
			set_domain(dev, d);
	} else if (dev->domain != d) {
		r = refuse(EINVAL, "attach: %s is attached already", dev->name);
	}
	mutex_unlock(&dev->set->lock);
	return r;
}

int device_detach(struct sv_dev *dev)
{
	int r = 0;

	mutex_lock(&dev->set->lock);
	if (dev->domain)
		r = device_move(dev, NULL, "detach");
	mutex_unlock(&dev->set->lock);
	return r;
}

static int replace_locked(struct sv_dev *dev, struct domain *d)
	REQUIRES(&dev->set->lock)
{
	if (!dev->domain)
		return refuse(EINVAL, "replace: %s is attached to nothing",
			      dev->name);
	if (dev->domain == d)
		return 0;

	int r = join(dev, d);

	if (r < 0)
		return r;
	r = device_move(dev, d, "replace");
	if (r < 0)
		leave(dev, d);
	return r;
}

int device_replace(struct sv_dev *dev, struct domain *d)
{
	mutex_lock(&dev->set->lock);
	int r = replace_locked(dev, d);

	mutex_unlock(&dev->set->lock);
	return r;
}
