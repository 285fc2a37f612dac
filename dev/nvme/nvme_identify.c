/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Identify, NVMe 1.4 5.15: what the controller and its namespace are. Offsets
 * are those of the specification's figures; fields left out are zero.
 */
#include <stdio.h>

#include "nvme.h"
#include "nvme_priv.h"

#define DATA_SIZE 4096u

#define FPI_SUPPORTED	    0x80u
#define OACS_FORMAT	    (1u << 1)
#define OACS_DBBUF	    (1u << 8)
#define OAES_NS_ATTR	    (1u << 8)
#define ONCS_COMPARE	    (1u << 0)
#define ONCS_VERIFY	    (1u << 7)
#define FUSES_COMPARE_WRITE (1u << 0)
#define SGLS_SUPPORTED	    (1u << 0)
#define SGLS_BIT_BUCKET	    (1u << 16)
#define SGLS_LONGER	    (1u << 18) /* than the data */
#define ONCS_DSM	    (1u << 2)
#define ONCS_WRITE_ZEROES   (1u << 3)
#define ONCS_SAVE	    (1u << 4) /* Save and Select of features */
#define VWC_PRESENT	    (1u << 0)
#define VWC_FLUSH_ALL	    (3u << 1) /* Flush takes NSID ffffffffh */
#define FRMW_SLOT1_RO	    (1u << 0)
#define FRMW_ONE_SLOT	    (1u << 1)
#define LPA_EFFECTS	    (1u << 1)
#define LPA_OFFSET	    (1u << 2) /* Get Log Page has an offset */
#define CNTRLTYPE_IO	    1u
#define DLFEAT_READ_ZERO    (1u << 0)
#define DLFEAT_DEAC	    (1u << 3)
#define NSATTR_READ_ONLY    (1u << 0)
#define DESC_UUID	    3u
#define UUID_LEN	    16u

static void ctrl_names(const struct nvme *n, uint8_t *id)
{
	nvme_put16(id + 0, nvme_ops.shape.vendor);
	nvme_put16(id + 2, nvme_ops.shape.subsys_vendor);
	nvme_put_text(id + 4, n->serial, NVME_SERIAL_LEN);
	nvme_put_text(id + 24, n->model, NVME_MODEL_LEN);
	nvme_put_text(id + 64, NVME_FIRMWARE, NVME_FIRMWARE_LEN);
	snprintf((char *)id + 768, 256, "nqn.2014-08.org.nvmexpress:%s:%s",
		 "softvfio", n->serial);
}

static void ctrl_abilities(const struct nvme *n, uint8_t *id)
{
	id[72] = NVME_ARBITRATION_BURST;
	id[77] = NVME_MDTS;
	nvme_put16(id + 78, NVME_CTRL_ID);
	nvme_put32(id + 80, 0x00010400); /* VER */
	nvme_put32(id + 92, OAES_NS_ATTR);
	id[111] = CNTRLTYPE_IO;
	nvme_put16(id + 256, OACS_FORMAT | OACS_DBBUF);
	id[258] = NVME_ABORT_LIMIT - 1;
	id[259] = NVME_EVENT_REQUESTS - 1;
	id[260] = FRMW_SLOT1_RO | FRMW_ONE_SLOT;
	id[261] = LPA_EFFECTS | LPA_OFFSET;
	id[262] = NVME_ERROR_ENTRIES - 1;
	nvme_put16(id + 266, NVME_TEMPERATURE_WARN);
	nvme_put16(id + 268, NVME_TEMPERATURE_CRIT);
	id[512] = NVME_SQES << 4 | NVME_SQES;
	id[513] = NVME_CQES << 4 | NVME_CQES;
	nvme_put32(id + 516, nvme_ns_last_id(n)); /* NN */
	nvme_put16(id + 520, ONCS_COMPARE | ONCS_DSM | ONCS_WRITE_ZEROES |
				     ONCS_SAVE | ONCS_VERIFY);
	nvme_put16(id + 522, FUSES_COMPARE_WRITE);
	id[525] = VWC_PRESENT | VWC_FLUSH_ALL;
	nvme_put32(id + 536, SGLS_SUPPORTED | SGLS_BIT_BUCKET | SGLS_LONGER);
	nvme_put16(id + 2048, 2500); /* PSD0.MP: 25 W */
}

static int identify_ctrl(struct nvme *n, const struct nvme_cmd *cmd)
{
	ctrl_names(n, n->data);
	ctrl_abilities(n, n->data);
	return 0;
}

/* Both formats, NVMe 1.4 5.15.2.1: blocks of a size, without metadata */
static void put_formats(const struct nvme_ns *ns, uint8_t *id)
{
	id[25] = NVME_LBA_FORMATS - 1;
	id[26] = (uint8_t)nvme_ns_format(ns);
	for (unsigned int i = 0; i < NVME_LBA_FORMATS; i++)
		id[128 + 4 * i + 2] = (uint8_t)nvme_lba_shift[i];
}

/* An inactive namespace is all zeroes. */
static int identify_ns(struct nvme *n, const struct nvme_cmd *cmd)
{
	const struct nvme_ns *ns = cmd->ns;
	uint8_t *id = n->data;

	if (!ns)
		return nvme_ns_is_id(n, cmd->nsid)
			       ? 0
			       : NVME_SC_INVALID_NS | NVME_SC_DNR;
	nvme_put64(id + 0, ns->blocks);	 /* NSZE */
	nvme_put64(id + 8, ns->blocks);	 /* NCAP */
	nvme_put64(id + 16, ns->blocks); /* NUSE */
	put_formats(ns, id);
	id[32] = FPI_SUPPORTED | nvme_format_left(n, ns);
	id[33] = DLFEAT_READ_ZERO | DLFEAT_DEAC;
	id[99] = ns->store.read_only ? NSATTR_READ_ONLY : 0;
	return 0;
}

static int identify_list(struct nvme *n, const struct nvme_cmd *cmd)
{
	if (cmd->nsid >= NVME_NSID_ALL - 1)
		return NVME_SC_INVALID_NS | NVME_SC_DNR;
	const struct nvme_ns *ns = nvme_ns_next(n, cmd->nsid);

	for (uint8_t *id = n->data; ns; id += 4, ns = nvme_ns_next(n, ns->id))
		nvme_put32(id, ns->id);
	return 0;
}

/* The list of the one controller there is, from an identifier on */
static int identify_ctrl_list(struct nvme *n, const struct nvme_cmd *cmd)
{
	if (cmd->cdw10 >> 16 <= NVME_CTRL_ID) {
		nvme_put16(n->data, 1);
		nvme_put16(n->data + 2, NVME_CTRL_ID);
	}
	return 0;
}

static int identify_ns_ctrls(struct nvme *n, const struct nvme_cmd *cmd)
{
	if (cmd->nsid == NVME_NSID_ALL)
		return NVME_SC_INVALID_FIELD | NVME_SC_DNR;
	int ret = nvme_ns_status(n, cmd->nsid);

	return ret ? ret : identify_ctrl_list(n, cmd);
}

/* FNV-1a, good enough to keep names apart */
static uint64_t hash_text(uint64_t seed, const char *text)
{
	uint64_t hash = 0xcbf29ce484222325ull ^ seed;

	for (; *text; text++)
		hash = (hash ^ (uint8_t)*text) * 0x100000001b3ull;
	return hash;
}

/* From the names: the same in every run. Version 8 of RFC 9562. */
static void put_uuid(const struct nvme *n, const struct nvme_ns *ns,
		     uint8_t *uuid)
{
	uint64_t seed = hash_text(ns->id - 1, n->model);
	uint64_t hash = hash_text(seed, n->serial);

	nvme_put64(uuid, hash);
	nvme_put64(uuid + 8, hash_text(hash, n->serial));
	uuid[6] = (uuid[6] & 0x0f) | 0x80;
	uuid[8] = (uuid[8] & 0x3f) | 0x80;
}

static int identify_desc(struct nvme *n, const struct nvme_cmd *cmd)
{
	if (!cmd->ns)
		return NVME_SC_INVALID_NS | NVME_SC_DNR;
	n->data[0] = DESC_UUID;
	n->data[1] = UUID_LEN;
	put_uuid(n, cmd->ns, n->data + 4);
	return 0;
}

int nvme_identify(struct nvme *n, struct nvme_cmd *cmd)
{
	static int (*const fill[])(struct nvme *, const struct nvme_cmd *) = {
		[NVME_CNS_NS] = identify_ns,
		[NVME_CNS_CTRL] = identify_ctrl,
		[NVME_CNS_NS_LIST] = identify_list,
		[NVME_CNS_NS_DESC] = identify_desc,
		/* allocated is the same as attached here */
		[NVME_CNS_ALLOCATED_LIST] = identify_list,
		[NVME_CNS_ALLOCATED] = identify_ns,
		[NVME_CNS_NS_CTRLS] = identify_ns_ctrls,
		[NVME_CNS_CTRLS] = identify_ctrl_list,
	};
	uint32_t cns = cmd->cdw10 & 0xff;

	if (cns >= sizeof(fill) / sizeof(fill[0]) || !fill[cns])
		return NVME_SC_INVALID_FIELD | NVME_SC_DNR;
	memset(n->data, 0, DATA_SIZE);
	int ret = fill[cns](n, cmd);

	return ret ? ret : nvme_data_out(n, cmd, DATA_SIZE);
}
