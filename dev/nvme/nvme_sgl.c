/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Scatter gather lists, NVMe 1.4 4.4: descriptors become the same list of
 * segments as PRP entries do.
 *
 * What is supported is what Identify's SGLS field says: no alignment is asked
 * of data, bit buckets, and lists longer than the data. A command may have
 * NVME_SGL_MAX descriptors and NVME_MAX_SEGS pieces of data; the first is also
 * what ends a list that leads to itself.
 */
#include <errno.h>

#include "nvme_priv.h"

#define NVME_SGL_MAX 4096u
#define DNR	     NVME_SC_DNR

/**
 * struct walk - Where a list has come to
 * @left:    bytes of data that have no place yet
 * @budget:  descriptors that may still follow
 * @to_host: a bit bucket takes data; else it is ignored
 * @last:    the segment being read is the last one
 * @next:    descriptor of the segment that follows
 */
struct walk {
	uint32_t left;
	uint32_t budget;
	bool to_host;
	bool last;
	struct nvme_sgl next;
};

static unsigned int type_of(const struct nvme_sgl *d)
{
	return d->id >> 4;
}

static bool is_segment(const struct nvme_sgl *d)
{
	return type_of(d) == NVME_SGL_SEGMENT ||
	       type_of(d) == NVME_SGL_LAST_SEGMENT;
}

/* Subtype 0, an address, is the only one of PCI Express. */
static bool type_ok(const struct nvme_sgl *d)
{
	return type_of(d) <= NVME_SGL_LAST_SEGMENT && !(d->id & 15);
}

/* A data block or a bit bucket */
static int add_piece(struct nvme *n, const struct nvme_sgl *d, struct walk *w)
{
	bool drop = type_of(d) == NVME_SGL_BUCKET;
	uint32_t len = nvme_min(le32toh(d->len), w->left);

	if (!len || (drop && !w->to_host))
		return 0;
	if (!nvme_map_add(&n->map, le64toh(d->addr), len, drop))
		return NVME_SC_SGL_COUNT | DNR;
	w->left -= len;
	return 0;
}

/* One descriptor of a segment; @end: its last one */
static int add_descriptor(struct nvme *n, const struct nvme_sgl *d, bool end,
			  struct walk *w)
{
	if (!type_ok(d))
		return NVME_SC_SGL_TYPE | DNR;
	if (!is_segment(d))
		return add_piece(n, d, w);
	if (w->last)
		return NVME_SC_SGL_SEGMENT | DNR;
	if (!end)
		return NVME_SC_SGL_COUNT | DNR;
	w->next = *d;
	return 0;
}

static int segment_check(const struct nvme_sgl *d, const struct walk *w)
{
	uint32_t len = le32toh(d->len);

	if (!len || len % sizeof(*d) || le64toh(d->addr) & 7)
		return NVME_SC_SGL_SEGMENT | DNR;
	if (len / sizeof(*d) > w->budget)
		return NVME_SC_SGL_COUNT | DNR;
	return 0;
}

static int segment_part(struct nvme *n, uint64_t addr, uint32_t count,
			bool to_end, struct walk *w)
{
	int ret = nvme_bus_read(n, addr, n->sgl, count * sizeof(n->sgl[0]));

	if (ret)
		return ret == -ECANCELED ? ret : NVME_SC_DATA_TRANSFER;
	for (uint32_t i = 0; i < count && !ret; i++)
		ret = add_descriptor(n, &n->sgl[i], to_end && i == count - 1,
				     w);
	return ret;
}

/* The segment that w->next describes, read a page at a time */
static int add_segment(struct nvme *n, struct walk *w)
{
	const struct nvme_sgl d = w->next;
	uint32_t left = le32toh(d.len) / (uint32_t)sizeof(d);
	uint64_t addr = le64toh(d.addr);
	int ret = segment_check(&d, w);

	w->last = type_of(&d) == NVME_SGL_LAST_SEGMENT;
	w->next = (struct nvme_sgl){0};
	if (!ret)
		w->budget -= left;
	while (left && !ret) {
		uint32_t count = nvme_min(left, NVME_PAGE / sizeof(d));

		left -= count;
		ret = segment_part(n, addr, count, !left, w);
		addr += count * sizeof(d);
	}
	/* a segment that is not the last leads to another */
	if (!ret && !w->last && !is_segment(&w->next))
		ret = NVME_SC_SGL_SEGMENT | DNR;
	return ret;
}

int nvme_sgl_map(struct nvme *n, const struct nvme_cmd *cmd, uint32_t len,
		 bool to_host)
{
	struct walk w = {
		.left = len, .budget = NVME_SGL_MAX, .to_host = to_host};
	/* the two PRP entries are where the first descriptor is */
	const struct nvme_sgl first = {
		.addr = htole64(cmd->prp1),
		.len = htole32((uint32_t)cmd->prp2),
		.id = (uint8_t)(cmd->prp2 >> 56),
	};
	int ret = add_descriptor(n, &first, true, &w);

	while (!ret && is_segment(&w.next))
		ret = add_segment(n, &w);
	if (!ret && w.left)
		ret = NVME_SC_SGL_LENGTH | DNR;
	return ret;
}
