/* SPDX-License-Identifier: BSD-3-Clause */
/* What is served, through whichever door. */
#ifndef SOFTVFIO_FRONT_CONF_H
#define SOFTVFIO_FRONT_CONF_H

#include <stdbool.h>

struct journal;
struct machine;
struct tree;

/** struct front_conf - What is served; borrowed for life */
struct front_conf {
	struct machine *machine;
	struct journal *journal;
	struct tree *tree;
	const char *name; /* of the instance */
	bool memlock_enforce;
};

#endif
