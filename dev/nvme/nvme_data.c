/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where a command's data lies in host memory, NVMe 1.4 4.3, and moving it.
 *
 * PRP entries become a list of segments first, neighbours joined, so that a
 * bad entry moves nothing and a large transfer is few DMAs. SGLs fill the same
 * list (nvme_sgl.c).
 */
#include <errno.h>

#include "nvme_priv.h"

#define PAGE_MASK (NVME_PAGE - 1)

static int dma_status(int ret)
{
	return ret && ret != -ECANCELED ? NVME_SC_DATA_TRANSFER : ret;
}

bool nvme_map_add(struct nvme_map *map, uint64_t addr, uint32_t len, bool drop)
{
	struct nvme_seg *last = map->count ? &map->seg[map->count - 1] : NULL;

	if (last && last->drop == drop &&
	    /* address 0 does not follow the last byte of the address space */
	    (drop || (addr && last->addr + last->len == addr))) {
		last->len += len;
		return true;
	}
	if (map->count == NVME_MAX_SEGS)
		return false;
	map->seg[map->count++] = (struct nvme_seg){addr, len, drop};
	return true;
}

/* A PRP list cannot have more entries than there is room for. */
static void prp_add(struct nvme *n, uint64_t addr, uint32_t len)
{
	nvme_map_add(&n->map, addr, len, false);
}
static_assert(NVME_MAX_SEGS > NVME_MAX_PAGES, "an unaligned transfer fits");

/*
 * One page of a PRP list: @count entries at @list, of which the last leads to
 * the next page of the list when @len bytes need more entries than there are.
 */
static int prp_list_page(struct nvme *n, uint64_t list, uint32_t count,
			 uint32_t *len)
{
	int ret = nvme_bus_read(n, list, n->prp, count * sizeof(n->prp[0]));

	if (ret)
		return dma_status(ret);
	for (uint32_t i = 0; i < count; i++) {
		n->prp[i] = le64toh(n->prp[i]);
		if (n->prp[i] & PAGE_MASK)
			return NVME_SC_PRP_OFFSET | NVME_SC_DNR;
	}
	if (count < (*len + PAGE_MASK) / NVME_PAGE)
		count--;
	for (uint32_t i = 0; i < count; i++) {
		uint32_t part = nvme_min(*len, NVME_PAGE);

		prp_add(n, n->prp[i], part);
		*len -= part;
	}
	return 0;
}

/*
 * Only the first page of a list may begin in its middle, all others bring at
 * least 511 entries: a list that leads to itself ends with the transfer.
 */
static int prp_list(struct nvme *n, uint64_t list, uint32_t len)
{
	if (list & 7)
		return NVME_SC_PRP_OFFSET | NVME_SC_DNR;
	while (len) {
		uint32_t room = (NVME_PAGE - (list & PAGE_MASK)) / 8;
		uint32_t count = nvme_min((len + PAGE_MASK) / NVME_PAGE, room);
		int ret = prp_list_page(n, list, count, &len);

		if (ret)
			return ret;
		list = n->prp[count - 1];
	}
	return 0;
}

static int prp_map(struct nvme *n, const struct nvme_cmd *cmd, uint32_t len)
{
	uint32_t first = nvme_min(len, NVME_PAGE - (cmd->prp1 & PAGE_MASK));

	if (cmd->prp1 & 3)
		return NVME_SC_PRP_OFFSET | NVME_SC_DNR;
	prp_add(n, cmd->prp1, first);
	len -= first;
	if (len > NVME_PAGE)
		return prp_list(n, cmd->prp2, len);
	if (!len)
		return 0;
	if (cmd->prp2 & PAGE_MASK)
		return NVME_SC_PRP_OFFSET | NVME_SC_DNR;
	prp_add(n, cmd->prp2, len);
	return 0;
}

int nvme_data_map(struct nvme *n, const struct nvme_cmd *cmd, uint32_t len,
		  bool to_host)
{
	n->map.count = 0;
	if (cmd->flags & NVME_FLAGS_PSDT)
		return nvme_sgl_map(n, cmd, len, to_host);
	return prp_map(n, cmd, len);
}

int nvme_data_move(struct nvme *n, bool to_host)
{
	uint8_t *at = n->data;
	int ret = 0;

	for (uint32_t i = 0; i < n->map.count && !ret; i++) {
		const struct nvme_seg *seg = &n->map.seg[i];

		if (!seg->drop)
			ret = to_host ? nvme_bus_write(n, seg->addr, at,
						       seg->len)
				      : nvme_bus_read(n, seg->addr, at,
						      seg->len);
		at += seg->len;
		n->budget -= seg->len;
	}
	return dma_status(ret);
}

int nvme_data_in(struct nvme *n, const struct nvme_cmd *cmd, uint32_t len)
{
	int ret = nvme_data_map(n, cmd, len, false);

	return ret ? ret : nvme_data_move(n, false);
}

int nvme_data_out(struct nvme *n, const struct nvme_cmd *cmd, uint32_t len)
{
	int ret = nvme_data_map(n, cmd, len, true);

	return ret ? ret : nvme_data_move(n, true);
}
