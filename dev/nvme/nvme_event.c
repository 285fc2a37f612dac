/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Asynchronous events, NVMe 1.4 5.2: the host leaves requests with the
 * controller, which completes one when something happens. A type that was
 * reported stays quiet until the host has read its log page.
 */
#include "nvme_priv.h"

/**
 * struct event_type - What the host reads and chooses, by type of event
 * @log:    log page that tells more; reading it lets the next event come
 * @wanted: bits of Asynchronous Event Configuration that ask for event 0, 1
 *	    and so on; 0 = cannot be turned off
 */
struct event_type {
	uint8_t log;
	uint32_t wanted[NVME_EVENT_TRANSIENT + 1];
};

static const struct event_type types[NVME_EVENT_TYPES] = {
	[NVME_EVENT_ERROR] = {NVME_LOG_ERROR, {0}},
	/* critical warnings: of reliability any of three, temperature, spare */
	[NVME_EVENT_SMART] = {NVME_LOG_SMART, {7u << 2, 1u << 1, 1u << 0}},
	[NVME_EVENT_NOTICE] = {NVME_LOG_CHANGED, {1u << 8}},
};

void nvme_event(struct nvme *n, unsigned int type, unsigned int info)
{
	uint32_t wanted = types[type].wanted[info];

	if (!wanted || n->c.feature[NVME_FEAT_EVENTS] & wanted)
		n->c.event_pending[type] |= (uint8_t)(1u << info);
}

void nvme_event_ns_changed(struct nvme *n, const struct nvme_ns *ns)
{
	n->c.ns_changed |= 1u << (ns->id - 1);
	nvme_event(n, NVME_EVENT_NOTICE, NVME_EVENT_NS_CHANGED);
}

void nvme_event_seen(struct nvme *n, unsigned int type)
{
	n->c.event_masked &= (uint8_t) ~(1u << type);
}

/* Takes request @i out of the held ones and completes it. */
static int request_complete(struct nvme *n, unsigned int i, int status,
			    uint32_t result)
{
	uint16_t *held = n->c.event_cid;
	uint16_t cid = held[i];

	n->c.event_requests--;
	memmove(held + i, held + i + 1,
		(n->c.event_requests - i) * sizeof(held[0]));
	return nvme_complete(n, &n->c.sq[0], cid, status, result);
}

static int event_report(struct nvme *n, unsigned int type)
{
	unsigned int info = 0;

	while (!(n->c.event_pending[type] >> info & 1))
		info++;
	n->c.event_pending[type] &= (uint8_t) ~(1u << info);
	n->c.event_masked |= (uint8_t)(1u << type);
	return request_complete(n, 0, NVME_SC_SUCCESS,
				type | info << 8 |
					(uint32_t)types[type].log << 16);
}

int nvme_events_run(struct nvme *n)
{
	int done = 0;

	for (unsigned int type = 0; type < NVME_EVENT_TYPES; type++) {
		if (!n->c.event_pending[type] || n->c.event_masked >> type & 1)
			continue;
		if (!n->c.event_requests || !nvme_cq_free(&n->c.cq[0]))
			break;
		int ret = event_report(n, type);

		if (ret)
			return ret;
		done = 1;
	}
	return done;
}

int nvme_event_request(struct nvme *n, struct nvme_cmd *cmd)
{
	if (n->c.event_requests == NVME_EVENT_REQUESTS)
		return NVME_SC_EVENT_LIMIT | NVME_SC_DNR;
	n->c.event_cid[n->c.event_requests++] = cmd->cid;
	return NVME_HELD;
}

static bool find_held(const struct nvme *n, uint16_t cid, unsigned int *ret_i)
{
	for (unsigned int i = 0; i < n->c.event_requests; i++) {
		if (n->c.event_cid[i] != cid)
			continue;
		*ret_i = i;
		return true;
	}
	return false;
}

bool nvme_event_cid_held(const struct nvme *n, uint16_t cid)
{
	unsigned int i;

	return find_held(n, cid, &i);
}

int nvme_event_abort(struct nvme *n, uint16_t cid)
{
	unsigned int i;

	/* one place for the request, one for the Abort command itself */
	if (!find_held(n, cid, &i) || nvme_cq_free(&n->c.cq[0]) < 2)
		return 0;
	int ret = request_complete(n, i, NVME_SC_ABORTED, 0);

	return ret ? ret : 1;
}
