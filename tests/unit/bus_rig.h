/* SPDX-License-Identifier: BSD-3-Clause */
/* What a function needs around it, for tests that make one without a machine. */
#ifndef SOFTVFIO_TESTS_UNIT_BUS_RIG_H
#define SOFTVFIO_TESTS_UNIT_BUS_RIG_H

#include "core/common/watch.h"
#include "core/pci/device.h"

struct bus_rig {
	struct bus_space space;
	struct watcher *watcher;
	struct dev_set set;
};

/** bus_begin() - After cmocka.h */
static inline void bus_begin(struct bus_rig *b)
{
	b->space = (struct bus_space)BUS_SPACE_INIT;
	mutex_init(&b->set.lock, RANK_DEV_SET, "set");
	assert_int_equal(watcher_new(&b->watcher), 0);
}

/** bus_end() - And of the function that was there */
static inline void bus_end(struct bus_rig *b, struct sv_dev *dev)
{
	watcher_free(b->watcher);
	device_free(dev);
	mutex_done(&b->set.lock);
}

/** bus_host() - What device_new() is told of a function @name of this bus */
static inline struct device_host bus_host(struct bus_rig *b, const char *name,
					  const struct sv_dev_ops *ops)
{
	return (struct device_host){
		.name = name,
		.ops = ops,
		.space = &b->space,
		.watcher = b->watcher,
		.inotify = -1,
		.set = &b->set,
	};
}

#endif
