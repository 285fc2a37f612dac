/* SPDX-License-Identifier: BSD-3-Clause */
/* Every request there is, each where it succeeds if the host does its part. */
#ifndef SOFTVFIO_TESTS_FAIL_REQUESTS_H
#define SOFTVFIO_TESTS_FAIL_REQUESTS_H

#include "lib/proto.h"
#include "prog.h"

/* The kind of file that a request is made on. */
enum on { ON_DOOR, ON_CONTAINER, ON_GROUP, ON_DEVICE, ON_SYSFS };

/* What a touch of BAR 0 finds afterwards, whatever the host failed. */
enum gate {
	GATE_ANY,
	GATE_CLOSED,
	GATE_KEPT, /* open, and STORED in it */
};

#define STORED 0x5a

/**
 * struct request_row - A request
 * @cmd:     of SV_IOCTL
 * @file:    of ON_SYSFS: its name
 * @trapped: of the function whose BAR is a model's registers
 * @prepare: after @stage, before the host fails; all of it succeeds
 * @ask:     the request itself; its answer
 * @undo:    what has to be done for the next to find things as they were
 */
struct request_row {
	const char *name;
	enum sv_op op;
	enum on on;
	unsigned int cmd;
	const char *file;
	bool trapped;
	enum stage stage;
	void (*prepare)(struct prog *p);
	int64_t (*ask)(struct prog *p);
	void (*undo)(struct prog *p);
	enum gate gate;
};

extern const struct request_row request_rows[];
extern const size_t n_request_rows;

#endif
