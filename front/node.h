/* SPDX-License-Identifier: BSD-3-Clause */
/* Calls on a path of the tree: what opening it makes, what stat shows. */
#ifndef SOFTVFIO_FRONT_NODE_H
#define SOFTVFIO_FRONT_NODE_H

#include <stdint.h>

struct call;

/**
 * node_open() - SV_OPEN
 * node_stat() - SV_STAT, open or not
 *
 * Context: any thread, no lock held.
 * Return: as whose node it is says; -EINVAL no path; -ENOENT nothing is there.
 */
int64_t node_open(struct call *call);
int64_t node_stat(struct call *call);

#endif
