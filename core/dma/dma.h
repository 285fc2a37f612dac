/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a device reads and writes goes through the table of its address space:
 * one access, many, and memory it asks to be kept where it is.
 */
#ifndef SOFTVFIO_CORE_DMA_DMA_H
#define SOFTVFIO_CORE_DMA_DMA_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "core/dma/iopt.h"
#include "softvfio/device.h"

/**
 * struct dma_ctx - One requester: a device thread's identity
 * @cancel: how many want waiting copies to give up; raised before mem_wake()
 */
struct dma_ctx {
	_Atomic unsigned int cancel;
};

/**
 * dma_read() - The device reads program memory
 * dma_write() - The device writes program memory
 * @iopt: NULL, as in all of these: nothing is mapped
 *
 * Every byte's mapping and permission is checked before anything is copied.
 *
 * Context: any thread; holds iopt->lock for reading while it looks up, none
 * while it copies. May wait for a copy worker (core/dma/mem.h), bounded by
 * MEM_TIMEOUT_NS for each 64 KiB, and for pages_resolve(). Locks as for
 * mem_read().
 * Return: 0; -EFAULT not mapped or not permitted (an IOMMU fault); -EIO the
 * memory behind it has gone, cannot be looked up or did not answer in time;
 * -ECANCELED @ctx->cancel, or the range was unmapped while the copy waited. On
 * error other than -EFAULT part may have been copied.
 */
int dma_read(struct iopt *iopt, struct dma_ctx *ctx, uint64_t iova, void *buf,
	     size_t len);
int dma_write(struct iopt *iopt, struct dma_ctx *ctx, uint64_t iova,
	      const void *buf, size_t len);

/**
 * dma_many() - Several accesses, in order, until one fails
 * @ret_done: on error, how many were made before; those behind the one that
 *	      failed were not begun
 *
 * Context, Return: as for dma_read(), for each access by itself.
 */
int dma_many(struct iopt *iopt, struct dma_ctx *ctx, const struct sv_dma *list,
	     size_t n, size_t *ret_done);

/**
 * dma_hold() - Find memory that is mapped in this process and keep it there
 * @iov: filled; @max entries
 *
 * Context: takes iopt->lock for reading. An unmap of any of it waits until
 * dma_release(), which is due after a positive return.
 * Return: entries of @iov; 0 some of it is not mapped here, or it takes more
 * entries or areas than there is room for; -EFAULT not mapped by the program,
 * or not permitted.
 */
int dma_hold(struct iopt *iopt, const struct sv_dma *list, size_t n,
	     struct iovec *iov, size_t max, struct sv_dma_hold *hold);
void dma_release(struct iopt *iopt, struct sv_dma_hold *hold);

#endif
