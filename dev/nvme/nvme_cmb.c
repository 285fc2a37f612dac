/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Every access of the controller to memory: the host's, or its own that the
 * host can also see, the Controller Memory Buffer of NVMe 1.4 4.7.
 */
#include <errno.h>

#include "nvme_priv.h"

bool nvme_cmb_hit(const struct nvme *n, uint64_t addr, size_t len)
{
	const struct nvme_cmb *cmb = &n->cmb;

	if (!cmb->on || !len)
		return false;
	return addr < cmb->base + cmb->size && addr + (len - 1) >= cmb->base;
}

/* Up to the next border between the two kinds of memory */
static size_t part_of(const struct nvme_cmb *cmb, uint64_t addr, size_t len,
		      bool *ret_own)
{
	uint64_t border = cmb->base;

	*ret_own = addr - cmb->base < cmb->size;
	if (*ret_own)
		border = cmb->base + cmb->size;
	return border - addr < len ? (size_t)(border - addr) : len;
}

static int cmb_copy(struct nvme *n, uint64_t addr, void *buf, size_t len,
		    bool write)
{
	if (!sv_mmio_begin(n->dev))
		return -EIO;
	uint8_t *mem =
		sv_bar_memory(n->dev, NVME_CMB_BAR) + (addr - n->cmb.base);

	if (write)
		memcpy(mem, buf, len);
	else
		memcpy(buf, mem, len);
	sv_mmio_end(n->dev);
	return 0;
}

static int bus_part(struct nvme *n, uint64_t addr, void *buf, size_t len,
		    bool own, bool write)
{
	if (own)
		return cmb_copy(n, addr, buf, len, write);
	return write ? sv_dma_write(n->dev, addr, buf, len)
		     : sv_dma_read(n->dev, addr, buf, len);
}

static int bus_copy(struct nvme *n, uint64_t addr, void *buf, size_t len,
		    bool write)
{
	uint8_t *p = buf;
	int ret = 0;

	while (len && !ret) {
		bool own;
		size_t part = part_of(&n->cmb, addr, len, &own);

		ret = bus_part(n, addr, p, part, own, write);
		addr += part;
		p += part;
		len -= part;
	}
	return ret;
}

int nvme_bus_read(struct nvme *n, uint64_t addr, void *buf, size_t len)
{
	if (!nvme_cmb_hit(n, addr, len))
		return sv_dma_read(n->dev, addr, buf, len);
	return bus_copy(n, addr, buf, len, false);
}

int nvme_bus_write(struct nvme *n, uint64_t addr, const void *buf, size_t len)
{
	if (!nvme_cmb_hit(n, addr, len))
		return sv_dma_write(n->dev, addr, buf, len);
	return bus_copy(n, addr, (void *)(uintptr_t)buf, len, true);
}
