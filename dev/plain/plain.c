/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A function that does nothing: all it has comes from options that every device
 * takes. For programs that look at the outside of a device (ids, BARs,
 * capabilities, interrupts) and need one of a certain shape.
 */
#include "plain.h"

static void plain_reset(struct sv_dev *dev, enum sv_reset why)
{
	(void)dev;
	(void)why;
}

const struct sv_dev_ops plain_ops = {
	.api = SV_API,
	.name = "plain",
	.summary = "a function that is nothing but its options",
	.shape =
		{
			.vendor = 0x1234,
			.device = 0x0001,
			.class_code = 0xff0000,
		},
	.reset = plain_reset,
};
