/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Get and Set Features, NVMe 1.4 5.13 and 5.21.
 *
 * Every value lives in a slot, of which there are three sets: the default,
 * which is computed, the saved one, which lasts as long as the device, and the
 * current one, which a reset makes the saved one (7.8). Most features have one
 * slot, whose number is theirs; the table says what is special about the others.
 */
#include "nvme_priv.h"

#define SET_SAVE    (1u << 31)	    /* cdw10 */
#define GET_SEL(dw) ((dw) >> 8 & 7) /* cdw10 */
#define DULBE	    (1u << 16)	    /* error on deallocated blocks */
#define POWER_STATE 0x1fu
#define NO_COALESCE (1u << 16)
#define QUEUES_ALL  ((NVME_IO_QUEUES - 1) << 16 | (NVME_IO_QUEUES - 1))

/* What Get Features is asked for */
#define SEL_CURRENT	 0u
#define SEL_DEFAULT	 1u
#define SEL_SAVED	 2u
#define SEL_CAPABILITIES 3u

/* and the answer to the last */
#define CAP_SAVEABLE   (1u << 0)
#define CAP_PER_NS     (1u << 1)
#define CAP_CHANGEABLE (1u << 2)

/* Temperature threshold */
#define TEMP_SENSOR(dw) ((dw) >> 16 & 15)
#define TEMP_KIND(dw)	((dw) >> 20 & 3)
#define TEMP_OVER	0u
#define TEMP_UNDER	1u
#define TEMP_ALL	15u /* to Set Features only */

/**
 * struct feature - One feature
 * @known:  it exists
 * @ns:     there is one for each namespace
 * @fixed:  it cannot be saved
 * @first:  the default
 * @mask:   bits that are remembered; others are ignored
 * @reject: bits that have to be zero
 * @slot:   optional; the slot a command means
 * @set:    optional; checks a command before its value is remembered
 */
struct feature {
	bool known;
	bool ns;
	bool fixed;
	uint32_t first;
	uint32_t mask;
	uint32_t reject;
	int (*slot)(const struct nvme *n, const struct nvme_cmd *cmd,
		    uint32_t *ret_slot);
	nvme_op *set;
};

static uint32_t feature_id(const struct nvme_cmd *cmd)
{
	return cmd->cdw10 & 0xff;
}

bool nvme_too_hot(const struct nvme *n)
{
	return NVME_TEMPERATURE >= n->c.feature[NVME_FEAT_TEMPERATURE] ||
	       NVME_TEMPERATURE <= n->c.feature[NVME_SLOT_TEMP_UNDER];
}

/* There is no sensor beside the composite temperature. */
static int temperature_slot(const struct nvme *n, const struct nvme_cmd *cmd,
			    uint32_t *ret_slot)
{
	uint32_t sensor = TEMP_SENSOR(cmd->cdw11);
	uint32_t kind = TEMP_KIND(cmd->cdw11);
	bool all = sensor == TEMP_ALL && cmd->opcode == NVME_ADM_SET_FEATURES;

	if ((sensor && !all) || kind > TEMP_UNDER)
		return NVME_SC_INVALID_FIELD | NVME_SC_DNR;
	*ret_slot = kind == TEMP_OVER ? NVME_FEAT_TEMPERATURE
				      : NVME_SLOT_TEMP_UNDER;
	return 0;
}

static int vector_slot(const struct nvme *n, const struct nvme_cmd *cmd,
		       uint32_t *ret_slot)
{
	uint32_t vector = cmd->cdw11 & 0xffff;

	if (vector >= nvme_vectors(n))
		return NVME_SC_INVALID_FIELD | NVME_SC_DNR;
	*ret_slot = NVME_SLOT_VECTOR + vector;
	return 0;
}

/* The host is told all there are, whatever it asked for. */
static int set_queues(struct nvme *n, struct nvme_cmd *cmd)
{
	if (n->c.io_queues_made)
		return NVME_SC_SEQUENCE | NVME_SC_DNR;
	if ((cmd->cdw11 & 0xffff) == 0xffff || cmd->cdw11 >> 16 == 0xffff)
		return NVME_SC_INVALID_FIELD | NVME_SC_DNR;
	cmd->result = QUEUES_ALL;
	return 0;
}

static const struct feature features[NVME_FEATURES] = {
	[NVME_FEAT_ARBITRATION] = {true, .first = NVME_ARBITRATION_BURST,
				   .mask = 0xffffff07},
	/* NPSS = 0: there is power state 0 only */
	[NVME_FEAT_POWER] = {true, .mask = 0xff, .reject = POWER_STATE},
	[NVME_FEAT_TEMPERATURE] = {true, .first = NVME_TEMPERATURE_WARN,
				   .mask = 0xffff, .slot = temperature_slot},
	[NVME_FEAT_RECOVERY] = {true, .ns = true, .mask = 0xffff,
				.reject = DULBE},
	[NVME_FEAT_WRITE_CACHE] = {true, .first = 1, .mask = 1},
	[NVME_FEAT_QUEUES] = {true, .fixed = true, .first = QUEUES_ALL,
			      .set = set_queues},
	[NVME_FEAT_COALESCING] = {true, .mask = 0xffff},
	[NVME_FEAT_VECTOR] = {true, .mask = NO_COALESCE | 0xffff,
			      .slot = vector_slot},
	[NVME_FEAT_ATOMICITY] = {true, .mask = 1},
	/* the critical warnings, and what OAES names */
	[NVME_FEAT_EVENTS] = {true, .mask = 0x1ff},
};

static uint32_t slot_first(uint32_t slot)
{
	if (slot >= NVME_SLOT_VECTOR)
		return slot - NVME_SLOT_VECTOR;
	return slot < NVME_FEATURES ? features[slot].first : 0;
}

void nvme_feature_power_on(struct nvme *n)
{
	for (uint32_t slot = 0; slot < NVME_SLOTS; slot++)
		n->saved[slot] = slot_first(slot);
}

void nvme_feature_reset(struct nvme *n)
{
	memcpy(n->c.feature, n->saved, sizeof(n->saved));
}

/*
 * A feature of the whole controller, NVMe 1.4 7.8: no namespace may be named to
 * set it, and none that cannot be to get it. Drives set it all the same, for
 * all namespaces, which is what QEMU's driver counts on when it turns the write
 * cache off; and to get it they look at no identifier.
 */
static int check_ctrl_nsid(struct nvme *n, const struct nvme_cmd *cmd, bool set)
{
	if (nvme_ns_is_none(cmd->nsid) || (!set && !n->strict))
		return 0;
	int ret = nvme_ns_status(n, cmd->nsid);

	if (ret || !set || !n->strict)
		return ret;
	return NVME_SC_NOT_PER_NS | NVME_SC_DNR;
}

/* What the namespace identifier may be depends on whose feature it is. */
static int check_nsid(struct nvme *n, const struct feature *feature,
		      const struct nvme_cmd *cmd)
{
	bool set = cmd->opcode == NVME_ADM_SET_FEATURES;

	if (!feature->ns)
		return check_ctrl_nsid(n, cmd, set);
	return set && cmd->nsid == NVME_NSID_ALL ? 0
						 : nvme_ns_status(n, cmd->nsid);
}

/* What is common to both commands: the feature, and the slot that is meant */
static int feature_find(struct nvme *n, const struct nvme_cmd *cmd,
			const struct feature **ret_feature, uint32_t *ret_slot)
{
	uint32_t id = feature_id(cmd);

	if (id >= NVME_FEATURES || !features[id].known)
		return NVME_SC_INVALID_FIELD | NVME_SC_DNR;
	int ret = check_nsid(n, &features[id], cmd);

	if (ret)
		return ret;
	*ret_feature = &features[id];
	*ret_slot = features[id].ns ? NVME_SLOT_NS + cmd->nsid - 1 : id;
	return features[id].slot ? features[id].slot(n, cmd, ret_slot) : 0;
}

static uint32_t capabilities(const struct feature *feature)
{
	return (feature->fixed ? 0 : CAP_SAVEABLE) |
	       (feature->ns ? CAP_PER_NS : 0) | CAP_CHANGEABLE;
}

int nvme_feature_get(struct nvme *n, struct nvme_cmd *cmd)
{
	const struct feature *feature;
	uint32_t slot;
	int ret = feature_find(n, cmd, &feature, &slot);

	if (ret)
		return ret;
	switch (GET_SEL(cmd->cdw10)) {
	case SEL_CURRENT:
		cmd->result = n->c.feature[slot];
		return 0;
	case SEL_DEFAULT:
		cmd->result = slot_first(slot);
		return 0;
	case SEL_SAVED:
		cmd->result = n->saved[slot];
		return 0;
	case SEL_CAPABILITIES:
		cmd->result = capabilities(feature);
		return 0;
	default:
		return NVME_SC_INVALID_FIELD | NVME_SC_DNR;
	}
}

static void slot_set(struct nvme *n, uint32_t slot, uint32_t val, bool save)
{
	n->c.feature[slot] = val;
	if (save)
		n->saved[slot] = val;
}

static void feature_remember(struct nvme *n, const struct feature *feature,
			     const struct nvme_cmd *cmd, uint32_t slot)
{
	uint32_t val = cmd->cdw11 & feature->mask;
	bool save = cmd->cdw10 & SET_SAVE;

	if (!feature->ns || cmd->nsid != NVME_NSID_ALL) {
		slot_set(n, slot, val, save);
		return;
	}
	for (uint32_t i = 0; i < NVME_NAMESPACES; i++)
		slot_set(n, NVME_SLOT_NS + i, val, save);
}

int nvme_feature_set(struct nvme *n, struct nvme_cmd *cmd)
{
	const struct feature *feature;
	uint32_t slot;
	int ret = feature_find(n, cmd, &feature, &slot);

	if (ret)
		return ret;
	if (feature->fixed && cmd->cdw10 & SET_SAVE)
		return NVME_SC_NOT_SAVEABLE | NVME_SC_DNR;
	if (cmd->cdw11 & feature->reject)
		return NVME_SC_INVALID_FIELD | NVME_SC_DNR;
	if (feature->set)
		return feature->set(n, cmd);
	feature_remember(n, feature, cmd, slot);
	if (feature_id(cmd) == NVME_FEAT_TEMPERATURE && nvme_too_hot(n))
		nvme_event(n, NVME_EVENT_SMART, NVME_EVENT_TEMPERATURE);
	return 0;
}
