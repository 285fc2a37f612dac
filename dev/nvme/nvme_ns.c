/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The namespaces: which there are, from the options, and finding one. Each is
 * attached to the controller from start to end.
 */
#include <errno.h>
#include <stdio.h>

#include "nvme_priv.h"

#define DEFAULT_SIZE (64ull << 20)

const unsigned int nvme_lba_shift[NVME_LBA_FORMATS] = {NVME_BLOCK_SHIFT, 12};

unsigned int nvme_ns_format(const struct nvme_ns *ns)
{
	unsigned int format = 0;

	while (nvme_lba_shift[format] != ns->lba_shift)
		format++;
	return format;
}

void nvme_ns_set_format(struct nvme_ns *ns, unsigned int format)
{
	ns->lba_shift = nvme_lba_shift[format];
	ns->blocks = ns->store.bytes >> ns->lba_shift;
}

struct nvme_ns *nvme_ns_find(struct nvme *n, uint32_t nsid)
{
	if (nsid - 1 >= NVME_NAMESPACES || !n->ns[nsid - 1].id)
		return NULL;
	return &n->ns[nsid - 1];
}

struct nvme_ns *nvme_ns_next(struct nvme *n, uint32_t nsid)
{
	for (; nsid < NVME_NAMESPACES; nsid++)
		if (n->ns[nsid].id)
			return &n->ns[nsid];
	return NULL;
}

uint32_t nvme_ns_last_id(const struct nvme *n)
{
	uint32_t last = NVME_NAMESPACES;

	while (last && !n->ns[last - 1].id)
		last--;
	return last;
}

bool nvme_ns_is_id(const struct nvme *n, uint32_t nsid)
{
	return nsid && nsid <= nvme_ns_last_id(n);
}

int nvme_ns_status(struct nvme *n, uint32_t nsid)
{
	if (!nvme_ns_is_id(n, nsid))
		return NVME_SC_INVALID_NS | NVME_SC_DNR;
	if (!nvme_ns_find(n, nsid))
		return NVME_SC_INVALID_FIELD | NVME_SC_DNR;
	return 0;
}

/* Namespace 1 always exists: file=, or memory of size=. */
static int first_open(struct nvme *n, struct nvme_store *s)
{
	const char *path = sv_option(n->dev, "file");
	uint64_t bytes = DEFAULT_SIZE;

	if (path && sv_option(n->dev, "size")) {
		sv_error(n->dev,
			 "size= is for memory; file=%s has its own size", path);
		return -EINVAL;
	}
	if (path)
		return nvme_store_open(s, n->dev, "file", path);
	int ret = sv_option_size(n->dev, "size", &bytes);

	return ret ? ret : nvme_store_memory(s, n->dev, "size", bytes);
}

/* What reads as a size is one; a file of such a name is ./64M. */
static int other_open(struct nvme *n, struct nvme_store *s, const char *option,
		      const char *text)
{
	uint64_t bytes = 0;

	if (!sv_option_size(n->dev, option, &bytes))
		return nvme_store_memory(s, n->dev, option, bytes);
	return nvme_store_open(s, n->dev, option, text);
}

static int take_format(struct nvme *n, unsigned int *ret_format)
{
	uint64_t bytes = NVME_BLOCK;
	int ret = sv_option_size(n->dev, "block", &bytes);

	if (ret)
		return ret;
	for (unsigned int i = 0; i < NVME_LBA_FORMATS; i++) {
		if (bytes != 1u << nvme_lba_shift[i])
			continue;
		*ret_format = i;
		return 0;
	}
	sv_error(n->dev, "block=%llu: has to be 512 or 4096",
		 (unsigned long long)bytes);
	return -EINVAL;
}

static int ns_open(struct nvme *n, uint32_t id, unsigned int format)
{
	struct nvme_ns *ns = &n->ns[id - 1];
	char option[8];

	snprintf(option, sizeof(option), "ns%u", id);
	const char *text = sv_option(n->dev, option);

	if (id > 1 && !text)
		return 0;
	ns->store.read_only = sv_option(n->dev, "ro");
	int ret = id > 1 ? other_open(n, &ns->store, option, text)
			 : first_open(n, &ns->store);

	if (ret)
		return ret;
	ns->id = id;
	nvme_ns_set_format(ns, format);
	return 0;
}

int nvme_ns_open_all(struct nvme *n)
{
	unsigned int format = 0;

	for (uint32_t i = 0; i < NVME_NAMESPACES; i++)
		n->ns[i].store.fd = -1;
	int ret = take_format(n, &format);

	for (uint32_t id = 1; id <= NVME_NAMESPACES && !ret; id++)
		ret = ns_open(n, id, format);
	return ret;
}

void nvme_ns_close_all(struct nvme *n)
{
	for (uint32_t i = 0; i < NVME_NAMESPACES; i++)
		nvme_store_close(&n->ns[i].store);
}
