/* SPDX-License-Identifier: BSD-3-Clause */
/* Domains: core/dma/domain.h. */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "core/dma/domain.h"
#include "lib/lock.h"

struct domain {
	_Atomic unsigned int refs;
	struct iopt *iopt; /* immutable; one reference */

	struct mutex lock;
	unsigned int n GUARDED_BY(&lock); /* attachments */
	/* the table has it while there are any */
	struct iopt_demand demand GUARDED_BY(&lock);
};

int NO_TSA domain_new(struct iopt *iopt, uint64_t align,
		      struct domain **ret_domain)
{
	struct domain *d = calloc(1, sizeof(*d));

	if (!d)
		return -ENOMEM;
	d->refs = 1;
	d->iopt = iopt_get(iopt);
	d->demand.align = align;
	mutex_init(&d->lock, RANK_DOMAIN, "domain");
	*ret_domain = d;
	return 0;
}

struct domain *domain_get(struct domain *d)
{
	atomic_fetch_add(&d->refs, 1);
	return d;
}

struct domain *domain_put(struct domain *d)
{
	if (!d || atomic_fetch_sub(&d->refs, 1) != 1)
		return NULL;
	iopt_put(d->iopt);
	mutex_done(&d->lock);
	free(d);
	return NULL;
}

struct iopt *domain_iopt(const struct domain *d)
{
	return d->iopt;
}

static int join(struct domain *d)
{
	mutex_lock(&d->lock);
	int r = d->n ? 0 : iopt_demand(d->iopt, &d->demand);

	if (r == 0)
		d->n++;
	mutex_unlock(&d->lock);
	return r;
}

static void leave(struct domain *d)
{
	mutex_lock(&d->lock);
	if (--d->n == 0)
		iopt_undemand(d->iopt, &d->demand);
	mutex_unlock(&d->lock);
}

int domain_attach(struct domain *d, const void *who,
		  const struct iova_range *reserved, size_t n)
{
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++)
		r = iopt_reserve(d->iopt, reserved[i].first, reserved[i].last,
				 who);
	if (r == 0)
		r = join(d);
	if (r < 0) {
		iopt_unreserve(d->iopt, who);
		return r;
	}
	/* not of the first only: that one may be at it still */
	r = iopt_resolve(d->iopt);
	if (r < 0)
		domain_detach(d, who);
	return r;
}

void domain_detach(struct domain *d, const void *who)
{
	leave(d);
	iopt_unreserve(d->iopt, who);
}
