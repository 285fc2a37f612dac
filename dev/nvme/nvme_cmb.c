/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Every access of the controller to memory: the host's, or its own that the
 * host can also see, the Controller Memory Buffer of NVMe 1.4 4.7.
 *
 * The buffer is all of BAR 2. The host finds it in CMBLOC and CMBSZ, and says
 * with CMBMSC.CMSE and CBA at which bus addresses the controller shall take an
 * access for one to its own memory. Anything may lie there: queues, PRP lists,
 * data, one command's data in both kinds of memory.
 */
#include <errno.h>

#include "nvme_priv.h"

/* CMBLOC, NVMe 1.4 3.1.11: queues, lists and data may be mixed at will. */
#define CMBLOC_MIXED_QUEUES (1u << 3) /* CQMMS */
#define CMBLOC_MIXED_LISTS  (1u << 5) /* CDPMLS */
#define CMBLOC_LISTS_FREE   (1u << 6) /* CDPCILS */
#define CMBLOC_MIXED_DATA   (1u << 7) /* CDMMMS */
#define CMBLOC                                                                 \
	(NVME_CMB_BAR | CMBLOC_MIXED_QUEUES | CMBLOC_MIXED_LISTS |             \
	 CMBLOC_LISTS_FREE | CMBLOC_MIXED_DATA)

/* CMBSZ, 3.1.12: both kinds of queues, lists, reads and writes; 4 KiB units */
#define CMBSZ_ALL	 0x1fu
#define CMBSZ_UNIT_SHIFT 12u
#define CMBSZ_SIZE_SHIFT 12u

/* CMBMSC, 3.1.16 */
#define CMBMSC_CMSE (1u << 1)
#define CMBMSC_CBA  (~0xfffull)

#define CMBSTS_CBAI 1u

#define CMB_MIN (4ull << 10)
#define CMB_MAX (2ull << 30)

int nvme_cmb_shape(struct sv_dev *dev, struct sv_shape *shape)
{
	uint64_t size = 0;
	int ret = sv_option_size(dev, "cmb", &size);

	if (ret || !sv_option(dev, "cmb"))
		return ret;
	if (size < CMB_MIN || size > CMB_MAX || size & (size - 1)) {
		sv_error(dev, "cmb=%llu: has to be a power of two, 4K to 2G",
			 (unsigned long long)size);
		return -EINVAL;
	}
	shape->bar[NVME_CMB_BAR] = (struct sv_bar){
		.size = size,
		.kind = SV_BAR_MEM64,
		.access = SV_ACCESS_DIRECT,
		.prefetch = true,
	};
	return 0;
}

int nvme_cmb_init(struct nvme *n)
{
	const struct sv_bar *bar = &sv_shape(n->dev)->bar[NVME_CMB_BAR];

	if (!sv_option(n->dev, "cmb"))
		return 0;
	n->cmb.size = bar->size;
	if ((bar->kind == SV_BAR_MEM32 || bar->kind == SV_BAR_MEM64) &&
	    bar->access == SV_ACCESS_DIRECT)
		return 0;
	sv_error(n->dev, "cmb= is BAR %u, which has to be direct memory",
		 NVME_CMB_BAR);
	return -EINVAL;
}

bool nvme_cmb_look(struct nvme *n, uint64_t cmbmsc)
{
	struct nvme_cmb *cmb = &n->cmb;

	if (!cmb->size || cmbmsc == cmb->cmbmsc)
		return false;
	cmb->cmbmsc = cmbmsc;
	cmb->base = cmbmsc & CMBMSC_CBA;
	cmb->bad_base =
		cmbmsc & CMBMSC_CMSE && cmb->base + cmb->size < cmb->base;
	cmb->on = cmbmsc & CMBMSC_CMSE && !cmb->bad_base;
	return true;
}

uint32_t nvme_cmb_loc(const struct nvme *n)
{
	return n->cmb.size ? CMBLOC : 0;
}

uint32_t nvme_cmb_sz(const struct nvme *n)
{
	uint64_t units = n->cmb.size >> CMBSZ_UNIT_SHIFT;

	if (!units)
		return 0;
	return (uint32_t)(units << CMBSZ_SIZE_SHIFT) | CMBSZ_ALL;
}

uint32_t nvme_cmb_sts(const struct nvme *n)
{
	return n->cmb.bad_base ? CMBSTS_CBAI : 0;
}

bool nvme_cmb_straddles(const struct nvme *n, uint64_t addr, uint64_t len)
{
	const struct nvme_cmb *cmb = &n->cmb;

	return nvme_cmb_hit(n, addr, len) &&
	       (addr < cmb->base || addr - cmb->base > cmb->size - len);
}

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
