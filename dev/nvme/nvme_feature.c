/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Get and Set Features, NVMe 1.4 5.14 and 5.21. Most features only have to be
 * remembered; the table says which bits, and what is special about the others.
 */
#include "nvme_priv.h"

#define SET_SAVE    (1u << 31) /* cdw10 */
#define GET_SELECT  (7u << 8)  /* cdw10 */
#define DULBE	    (1u << 16) /* recovery: error on deallocated blocks */
#define POWER_STATE 0x1fu
#define NO_COALESCE (1u << 16)

/* Temperature threshold */
#define TEMP_SENSOR(dw) ((dw) >> 16 & 15)
#define TEMP_KIND(dw)	((dw) >> 20 & 3)
#define TEMP_OVER	0u
#define TEMP_UNDER	1u
#define TEMP_ALL	15u

/**
 * struct feature - One feature
 * @known:  it exists
 * @ns:     it belongs to the namespace
 * @first:  value after a reset
 * @mask:   bits that are remembered; others are ignored
 * @reject: bits that have to be zero
 * @set:    optional; instead of remembering
 * @get:    optional; finds what was not remembered
 */
struct feature {
	bool known;
	bool ns;
	uint32_t first;
	uint32_t mask;
	uint32_t reject;
	nvme_op *set;
	nvme_op *get;
};

bool nvme_too_hot(const struct nvme *n)
{
	return NVME_TEMPERATURE >= n->c.feature[NVME_FEAT_TEMPERATURE] ||
	       NVME_TEMPERATURE <= n->c.temp_under;
}

static int set_temperature(struct nvme *n, struct nvme_cmd *cmd)
{
	uint32_t sensor = TEMP_SENSOR(cmd->cdw11);
	uint32_t kind = TEMP_KIND(cmd->cdw11);

	if ((sensor && sensor != TEMP_ALL) || kind > TEMP_UNDER)
		return NVME_SC_INVALID_FIELD | NVME_SC_DNR;
	if (kind == TEMP_OVER)
		n->c.feature[NVME_FEAT_TEMPERATURE] = cmd->cdw11 & 0xffff;
	else
		n->c.temp_under = cmd->cdw11 & 0xffff;
	if (nvme_too_hot(n))
		nvme_event(n, NVME_EVENT_SMART, NVME_EVENT_TEMPERATURE);
	return 0;
}

static int get_temperature(struct nvme *n, struct nvme_cmd *cmd)
{
	uint32_t kind = TEMP_KIND(cmd->cdw11);

	if (TEMP_SENSOR(cmd->cdw11) || kind > TEMP_UNDER)
		return NVME_SC_INVALID_FIELD | NVME_SC_DNR;
	cmd->result = kind == TEMP_OVER ? n->c.feature[NVME_FEAT_TEMPERATURE]
					: n->c.temp_under;
	return 0;
}

static int get_queues(struct nvme *n, struct nvme_cmd *cmd)
{
	cmd->result = (NVME_IO_QUEUES - 1) << 16 | (NVME_IO_QUEUES - 1);
	return 0;
}

/* The host is told all there are, whatever it asked for. */
static int set_queues(struct nvme *n, struct nvme_cmd *cmd)
{
	if (n->c.io_queues_made)
		return NVME_SC_SEQUENCE | NVME_SC_DNR;
	if ((cmd->cdw11 & 0xffff) == 0xffff || cmd->cdw11 >> 16 == 0xffff)
		return NVME_SC_INVALID_FIELD | NVME_SC_DNR;
	return get_queues(n, cmd);
}

static int set_vector(struct nvme *n, struct nvme_cmd *cmd)
{
	uint32_t vector = cmd->cdw11 & 0xffff;

	if (vector >= nvme_vectors(n))
		return NVME_SC_INVALID_FIELD | NVME_SC_DNR;
	n->c.vec_nocoal &= ~(1ull << vector);
	if (cmd->cdw11 & NO_COALESCE)
		n->c.vec_nocoal |= 1ull << vector;
	return 0;
}

static int get_vector(struct nvme *n, struct nvme_cmd *cmd)
{
	uint32_t vector = cmd->cdw11 & 0xffff;

	if (vector >= nvme_vectors(n))
		return NVME_SC_INVALID_FIELD | NVME_SC_DNR;
	cmd->result = vector;
	if (n->c.vec_nocoal >> vector & 1)
		cmd->result |= NO_COALESCE;
	return 0;
}

static const struct feature features[NVME_FEATURES] = {
	/* a burst of 32 commands, which is NVME_BATCH */
	[NVME_FEAT_ARBITRATION] = {true, .first = 5, .mask = 0xffffff07},
	/* NPSS = 0: there is power state 0 only */
	[NVME_FEAT_POWER] = {true, .mask = 0xff, .reject = POWER_STATE},
	[NVME_FEAT_TEMPERATURE] = {true, .first = NVME_TEMPERATURE_WARN,
				   .set = set_temperature,
				   .get = get_temperature},
	[NVME_FEAT_RECOVERY] = {true, .ns = true, .mask = 0xffff,
				.reject = DULBE},
	[NVME_FEAT_WRITE_CACHE] = {true, .first = 1, .mask = 1},
	[NVME_FEAT_QUEUES] = {true, .set = set_queues, .get = get_queues},
	[NVME_FEAT_COALESCING] = {true, .mask = 0xffff},
	[NVME_FEAT_VECTOR] = {true, .set = set_vector, .get = get_vector},
	[NVME_FEAT_ATOMICITY] = {true, .mask = 1},
	/* the critical warnings; OAES says there are no optional events */
	[NVME_FEAT_EVENTS] = {true, .mask = 0xff},
};

void nvme_feature_defaults(struct nvme *n)
{
	for (unsigned int i = 0; i < NVME_FEATURES; i++)
		n->c.feature[i] = features[i].first;
}

static const struct feature *feature_find(const struct nvme_cmd *cmd)
{
	uint32_t id = cmd->cdw10 & 0xff;

	return id < NVME_FEATURES && features[id].known ? &features[id] : NULL;
}

int nvme_feature_get(struct nvme *n, struct nvme_cmd *cmd)
{
	const struct feature *feature = feature_find(cmd);

	/* ONCS: there are no saved values, and nothing to select */
	if (!feature || cmd->cdw10 & GET_SELECT)
		return NVME_SC_INVALID_FIELD | NVME_SC_DNR;
	if (feature->ns && cmd->nsid != 1)
		return NVME_SC_INVALID_NS | NVME_SC_DNR;
	if (feature->get)
		return feature->get(n, cmd);
	cmd->result = n->c.feature[cmd->cdw10 & 0xff];
	return 0;
}

static int check_nsid(const struct feature *feature, uint32_t nsid)
{
	if (nsid == NVME_NSID_ALL || (feature->ns && nsid == 1))
		return 0;
	if (feature->ns || nsid > 1)
		return NVME_SC_INVALID_NS | NVME_SC_DNR;
	return nsid ? NVME_SC_NOT_PER_NS | NVME_SC_DNR : 0;
}

int nvme_feature_set(struct nvme *n, struct nvme_cmd *cmd)
{
	const struct feature *feature = feature_find(cmd);

	if (!feature)
		return NVME_SC_INVALID_FIELD | NVME_SC_DNR;
	if (cmd->cdw10 & SET_SAVE)
		return NVME_SC_NOT_SAVEABLE | NVME_SC_DNR;
	int ret = check_nsid(feature, cmd->nsid);

	if (ret)
		return ret;
	if (cmd->cdw11 & feature->reject)
		return NVME_SC_INVALID_FIELD | NVME_SC_DNR;
	if (feature->set)
		return feature->set(n, cmd);
	n->c.feature[cmd->cdw10 & 0xff] = cmd->cdw11 & feature->mask;
	return 0;
}
