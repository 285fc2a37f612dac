/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Get Log Page, NVMe 1.4 5.14: errors, health, firmware slots, changed
 * namespaces, effects of commands. Offsets are those of the specification's
 * figures; fields left out are zero.
 */
#include "nvme_priv.h"

#define RETAIN_EVENT   (1u << 15) /* cdw10 */
#define ERROR_SIZE     64u
#define SMART_SIZE     512u
#define FIRMWARE_SIZE  512u
#define CHANGED_SIZE   4096u
#define EFFECTS_SIZE   4096u
#define EFFECTS_IO     1024u /* where those of I/O commands begin */
#define SMART_WARN_HOT (1u << 1)
#define DATA_UNIT      1000u /* of 512 bytes */
#define NS_PER_MINUTE  60000000000ull
#define NS_PER_HOUR    (60 * NS_PER_MINUTE)

/* Effects of a command, figure 202 */
#define CSUPP	(1u << 0)  /* it is supported */
#define LBCC	(1u << 1)  /* changes contents of blocks */
#define NCC	(1u << 2)  /* changes what a namespace can do */
#define CSE_ONE (1u << 16) /* no other command for that namespace meanwhile */

/**
 * struct log - One log page
 * @size:  bytes
 * @event: type of event that reading it unmasks, or -1
 * @fill:  writes what is not zero
 */
struct log {
	uint32_t size;
	int event;
	void (*fill)(const struct nvme *n, uint8_t *page);
};

void nvme_log_error(struct nvme *n, const struct nvme_error *error)
{
	uint64_t number = ++n->stats.errors;
	struct nvme_error *entry = &n->stats.error[number % NVME_ERROR_ENTRIES];

	*entry = *error;
	entry->number = number;
}

void nvme_log_forget(struct nvme *n)
{
	memset(n->stats.error, 0, sizeof(n->stats.error));
}

static void fill_error(const struct nvme *n, uint8_t *page)
{
	for (uint64_t number = n->stats.errors; number; number--) {
		const struct nvme_error *e =
			&n->stats.error[number % NVME_ERROR_ENTRIES];

		if (e->number != number)
			break; /* overwritten, as is what is older */
		nvme_put64(page + 0, e->number);
		nvme_put16(page + 8, e->sq_id);
		nvme_put16(page + 10, e->cid);
		nvme_put16(page + 12, (uint16_t)(e->status << 1));
		nvme_put16(page + 14, 0xffff); /* location not told */
		nvme_put64(page + 16, e->lba);
		nvme_put32(page + 24, e->nsid);
		page += ERROR_SIZE;
	}
}

static uint64_t data_units(uint64_t sectors)
{
	return (sectors + DATA_UNIT - 1) / DATA_UNIT;
}

static void fill_smart(const struct nvme *n, uint8_t *page)
{
	page[0] = nvme_too_hot(n) ? SMART_WARN_HOT : 0;
	nvme_put16(page + 1, NVME_TEMPERATURE);
	page[3] = 100; /* per cent of spare blocks, and when to worry */
	page[4] = 10;
	nvme_put64(page + 32, data_units(n->stats.sectors_read));
	nvme_put64(page + 48, data_units(n->stats.sectors_written));
	nvme_put64(page + 64, n->stats.reads);
	nvme_put64(page + 80, n->stats.writes);
	nvme_put64(page + 96, n->stats.busy_ns / NS_PER_MINUTE);
	nvme_put64(page + 112, 1); /* power cycles */
	nvme_put64(page + 128, (nvme_clock() - n->born) / NS_PER_HOUR);
	nvme_put64(page + 160, n->stats.media_errors);
	nvme_put64(page + 176, n->stats.errors);
}

static void fill_firmware(const struct nvme *n, uint8_t *page)
{
	page[0] = 1; /* slot 1 is active */
	nvme_put_text(page + 8, NVME_FIRMWARE, NVME_FIRMWARE_LEN);
}

static void fill_changed(const struct nvme *n, uint8_t *page)
{
	for (uint32_t i = 0; i < NVME_NAMESPACES; i++) {
		if (!(n->c.ns_changed >> i & 1))
			continue;
		nvme_put32(page, i + 1);
		page += 4;
	}
}

static uint32_t admin_effects(uint8_t opcode)
{
	if (!nvme_admin_op(opcode))
		return 0;
	return opcode == NVME_ADM_FORMAT ? CSUPP | LBCC | NCC | CSE_ONE : CSUPP;
}

/* A test holds this against what the commands say. */
static const uint32_t io_effects[256] = {
	[NVME_IO_FLUSH] = CSUPP,      [NVME_IO_WRITE] = CSUPP | LBCC,
	[NVME_IO_READ] = CSUPP,	      [NVME_IO_WRITE_ZEROES] = CSUPP | LBCC,
	[NVME_IO_DSM] = CSUPP | LBCC, [NVME_IO_COMPARE] = CSUPP,
	[NVME_IO_VERIFY] = CSUPP,
};

static void fill_effects(const struct nvme *n, uint8_t *page)
{
	for (uint32_t op = 0; op < 256; op++) {
		nvme_put32(page + 4 * op, admin_effects((uint8_t)op));
		nvme_put32(page + EFFECTS_IO + 4 * op, io_effects[op]);
	}
}

static const struct log logs[] = {
	[NVME_LOG_ERROR] = {NVME_ERROR_ENTRIES * ERROR_SIZE, NVME_EVENT_ERROR,
			    fill_error},
	[NVME_LOG_SMART] = {SMART_SIZE, NVME_EVENT_SMART, fill_smart},
	[NVME_LOG_FIRMWARE] = {FIRMWARE_SIZE, -1, fill_firmware},
	[NVME_LOG_CHANGED] = {CHANGED_SIZE, NVME_EVENT_NOTICE, fill_changed},
	[NVME_LOG_EFFECTS] = {EFFECTS_SIZE, -1, fill_effects},
};

static const struct log *log_find(const struct nvme_cmd *cmd)
{
	uint32_t id = cmd->cdw10 & 0xff;

	if (id >= sizeof(logs) / sizeof(logs[0]) || !logs[id].fill)
		return NULL;
	return &logs[id];
}

static uint64_t log_length(const struct nvme_cmd *cmd)
{
	uint64_t dwords =
		(uint64_t)(cmd->cdw11 & 0xffff) << 16 | cmd->cdw10 >> 16;

	return (dwords + 1) * sizeof(uint32_t);
}

/*
 * All pages here are about the controller, none about a namespace. One that is
 * named should not be, NVMe 1.4 5.14; drives give the controller's page.
 */
static bool log_nsid_ok(const struct nvme *n, const struct nvme_cmd *cmd)
{
	return nvme_ns_is_none(cmd->nsid) || (cmd->ns && !n->strict);
}

static bool log_args_ok(const struct nvme *n, const struct nvme_cmd *cmd,
			const struct log *log, uint64_t off)
{
	if (!log_nsid_ok(n, cmd))
		return false;
	return log_length(cmd) <= NVME_MAX_DATA && !(off & 3) &&
	       off <= log->size;
}

/* The host knows all that the page says. */
static void log_seen(struct nvme *n, unsigned int event)
{
	if (event == NVME_EVENT_NOTICE) {
		n->c.ns_changed = 0;
		n->c.event_pending[event] = 0;
	}
	nvme_event_seen(n, event);
}

int nvme_log_get(struct nvme *n, struct nvme_cmd *cmd)
{
	const struct log *log = log_find(cmd);
	uint64_t off = (uint64_t)cmd->cdw13 << 32 | cmd->cdw12;

	if (!log)
		return NVME_SC_LOG_PAGE | NVME_SC_DNR;
	if (!log_args_ok(n, cmd, log, off))
		return NVME_SC_INVALID_FIELD | NVME_SC_DNR;
	uint32_t len = nvme_min(log_length(cmd), log->size - (uint32_t)off);

	memset(n->data, 0, log->size);
	log->fill(n, n->data);
	memmove(n->data, n->data + off, len);
	int ret = nvme_data_out(n, cmd, len);

	if (!ret && log->event >= 0 && !(cmd->cdw10 & RETAIN_EVENT))
		log_seen(n, (unsigned int)log->event);
	return ret;
}
