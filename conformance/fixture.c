/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the cases of an area share, and what becomes of them without it.
 */
#include <stdio.h>

#include "conformance/case.h"
#include "conformance/conformance.h"

void fixture_open(struct vfio *v, const char *role, unsigned int nth,
		  enum depth depth, unsigned long type)
{
	static char why[128];
	const char *failed;

	why[0] = '\0';
	if (!vfio_find(v, role, nth) && depth > CONTAINER)
		snprintf(why, sizeof(why), "no %s %u", role, nth);
	else if (!case_listing() && (failed = vfio_open_to(v, depth, type)))
		snprintf(why, sizeof(why), "%s: %s", failed, errno_name(errno));
	case_skip(why[0] && !case_listing() ? why : NULL);
}

void fixture_close(struct vfio *v)
{
	vfio_close(v);
	case_skip(NULL);
}
