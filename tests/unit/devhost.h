/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A device model under test, without core or daemon: this file implements the
 * device API (include/softvfio/device.h) over plain memory, so that a model
 * can be driven register by register.
 */
#ifndef SOFTVFIO_TESTS_DEVHOST_H
#define SOFTVFIO_TESTS_DEVHOST_H

#include "softvfio/device.h"

#define DEVHOST_RAM (16u << 20) /* program memory, at bus address 0 */

struct devhost;

/** devhost_new() - @options: "name=value" texts, ended by NULL; NULL = none.
 * Runs shape_up, init and reset(SV_RESET_OPEN); bus mastering is on. Returns
 * NULL when shape_up or init refused; the reason is in devhost_error(). */
struct devhost *devhost_new(const struct sv_dev_ops *ops,
			    const char *const *options);
void devhost_free(struct devhost *h);
const char *devhost_error(void);

struct sv_dev *devhost_dev(struct devhost *h);
const struct sv_shape *devhost_shape(struct devhost *h);
uint8_t *devhost_ram(struct devhost *h);

/* The program's accesses: a trapped BAR calls the model, a direct one is
 * memory. */
uint64_t devhost_read(struct devhost *h, unsigned int bar, uint64_t off,
		      unsigned int size);
void devhost_write(struct devhost *h, unsigned int bar, uint64_t off,
		   uint64_t val, unsigned int size);

/** devhost_run() - call run() until it reports nothing to do (at most
 * 1,000,000 times); returns how often it had something to do. A model that is
 * not polled and did not sv_kick() is left alone, as in the daemon. */
unsigned int devhost_run(struct devhost *h);

void devhost_reset(struct devhost *h, enum sv_reset why);
void devhost_set_irq_mode(struct devhost *h, enum sv_irq_mode mode);
unsigned int devhost_irqs(struct devhost *h, unsigned int vector);
bool devhost_intx(struct devhost *h);

/** devhost_fail_dma() - accesses touching [first, last] return -EIO; none do
 * when first > last */
void devhost_fail_dma(struct devhost *h, uint64_t first, uint64_t last);

/** devhost_set_decode() - memory decode: off, the model reaches no BAR */
void devhost_set_decode(struct devhost *h, bool on);

/** devhost_refuse_map() - sv_dma_map() answers 0, as for private memory */
void devhost_refuse_map(struct devhost *h, bool refuse);

/** devhost_counter() - what the model has counted under @name */
uint64_t devhost_counter(struct devhost *h, const char *name);

/** devhost_driver_errors() - How many sv_driver_error() has counted */
unsigned int devhost_driver_errors(struct devhost *h);

#endif
