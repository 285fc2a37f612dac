/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An NVMe 1.4 controller. This file has the registers, the controller's states
 * and the device's description; the namespaces are in nvme_ns.c, the queues in
 * nvme_queue.c, the commands in nvme_admin.c and nvme_io.c.
 *
 * DOC: Theory of operation
 *
 * The registers are plain memory, since every NVMe driver waits for a value
 * that differs from the one it wrote. Once per run() the model looks at what
 * the host may have changed, acts on it, and puts read-only registers back as
 * they were. AQA, ASQ and ACQ only matter at the moment CC.EN is set, so it
 * does not matter whether they were written in one piece.
 *
 *   disabled       CSTS 0          CC.EN=1 leads to ready or, with a CC or
 *                                  AQA that cannot be, to fatal
 *   ready          RDY             carries out commands; CC.SHN leads to
 *                                  shutting down, memory of the admin queue
 *                                  that cannot be reached to fatal
 *   shutting down  RDY, SHST busy  ends by itself
 *   shut down      RDY, SHST done
 *   fatal          CFS
 *
 * CC.EN=0 leads from everywhere to disabled, where all but AQA, ASQ, ACQ and
 * CC itself is forgotten. A shutdown is also possible without RDY.
 *
 * The state is n->c.csts; commands are carried out when it is exactly RDY. A
 * command that changes it changes only that, and the next look shows it to the
 * host.
 *
 * Two things differ from the specification. INTMC reads as zero and not as the
 * mask, since a write of what memory already shows cannot be seen. CMBLOC and
 * CMBSZ do not wait for CMBMSC.CRE, since drivers read them right behind the
 * write that sets it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "nvme.h"
#include "nvme_priv.h"

#define BAR	   0
#define BAR_SIZE   0x4000u
#define READY_TIME 30u /* CAP.TO, in units of 500 ms */

/* CAP: contiguous queues, weighted arbitration, the NVM command set; memory
 * pages are 4 KiB only */
#define CAP_CQR	    (1ull << 16)
#define CAP_AMS_WRR (1ull << 17)
#define CAP_CSS_NVM (1ull << 37)
#define CAP_CMBS    (1ull << 57)
#define CAP                                                                    \
	((NVME_MAX_ENTRIES - 1) | CAP_CQR | CAP_AMS_WRR |                      \
	 (uint64_t)READY_TIME << 24 | CAP_CSS_NVM)
#define VERSION 0x00010400u

static uint32_t reg_get(const uint8_t *regs, uint32_t off)
{
	const void *p = regs + off;

	return le32toh(__atomic_load_n((const uint32_t *)p, __ATOMIC_ACQUIRE));
}

static void reg_set(uint8_t *regs, uint32_t off, uint32_t val)
{
	void *p = regs + off;

	__atomic_store_n((uint32_t *)p, htole32(val), __ATOMIC_RELEASE);
}

/* Replaces @old only: the host's next write must not get lost. */
static bool reg_replace(uint8_t *regs, uint32_t off, uint32_t old, uint32_t val)
{
	void *p = regs + off;

	old = htole32(old);
	return __atomic_compare_exchange_n((uint32_t *)p, &old, htole32(val),
					   false, __ATOMIC_ACQ_REL,
					   __ATOMIC_RELAXED);
}

static uint64_t reg_get64(const uint8_t *regs, uint32_t off)
{
	return (uint64_t)reg_get(regs, off + 4) << 32 | reg_get(regs, off);
}

static uint64_t reg_get_page(const uint8_t *regs, uint32_t off)
{
	return reg_get64(regs, off) & ~(uint64_t)(NVME_PAGE - 1);
}

static uint32_t doorbell_reg(unsigned int db)
{
	return NVME_REG_DOORBELL + db * (uint32_t)sizeof(uint32_t);
}

/* Makes read-only registers what they should be, whoever changed them. */
static void regs_publish(const struct nvme *n, uint8_t *regs)
{
	uint64_t cap = CAP | (n->cmb.size ? CAP_CMBS : 0);
	const struct {
		uint32_t off;
		uint32_t val;
	} fixed[] = {
		{NVME_REG_CAP, (uint32_t)cap},
		{NVME_REG_CAP + 4, (uint32_t)(cap >> 32)},
		{NVME_REG_VS, VERSION},
		{NVME_REG_CSTS, n->c.csts},
		{NVME_REG_NSSR, 0},
		{NVME_REG_CMBLOC, nvme_cmb_loc(n)},
		{NVME_REG_CMBSZ, nvme_cmb_sz(n)},
		{NVME_REG_CMBSTS, nvme_cmb_sts(n)},
	};

	for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
		if (reg_get(regs, fixed[i].off) != fixed[i].val)
			reg_set(regs, fixed[i].off, fixed[i].val);
}

void nvme_fatal(struct nvme *n)
{
	n->c.csts |= NVME_CSTS_CFS;
}

static void doorbells_clear(struct nvme *n, uint8_t *regs)
{
	for (unsigned int db = 0; db < NVME_DOORBELLS; db++) {
		n->c.doorbell[db] = 0;
		reg_set(regs, doorbell_reg(db), 0);
	}
}

void nvme_doorbell_clear(struct nvme *n, unsigned int db)
{
	nvme_dbbuf_clear(n, db);
	/* While memory decode is off the old value stays, as if unwritten. */
	if (!sv_mmio_begin(n->dev))
		return;
	n->c.doorbell[db] = 0;
	reg_set(sv_bar_memory(n->dev, BAR), doorbell_reg(db), 0);
	sv_mmio_end(n->dev);
}

bool nvme_doorbell_set(struct nvme *n, unsigned int db, uint32_t old,
		       uint32_t val)
{
	if (!sv_mmio_begin(n->dev))
		return false;
	bool set = reg_replace(sv_bar_memory(n->dev, BAR), doorbell_reg(db),
			       old, val);

	sv_mmio_end(n->dev);
	return set;
}

static void ctrl_forget(struct nvme *n)
{
	memset(&n->c, 0, sizeof(n->c));
	n->format.answer = false;
	nvme_log_forget(n);
	nvme_feature_reset(n);
}

static void ctrl_disable(struct nvme *n, uint8_t *regs)
{
	ctrl_forget(n);
	doorbells_clear(n, regs);
	reg_set(regs, NVME_REG_INTMS, 0);
	reg_set(regs, NVME_REG_INTMC, 0);
}

static bool cc_supported(uint32_t cc)
{
	return !NVME_CC_CSS(cc) && !NVME_CC_MPS(cc) &&
	       NVME_CC_AMS(cc) <= NVME_AMS_WEIGHTED;
}

static void ctrl_enable(struct nvme *n, uint8_t *regs, uint32_t cc)
{
	uint32_t aqa = reg_get(regs, NVME_REG_AQA);
	uint32_t sq_size = (aqa & 0xfff) + 1;
	uint32_t cq_size = (aqa >> 16 & 0xfff) + 1;

	if (!cc_supported(cc) || sq_size < 2 || cq_size < 2) {
		n->c.csts = NVME_CSTS_CFS;
		return;
	}
	doorbells_clear(n, regs);
	n->c.cq[0] = (struct nvme_cq){
		.live = true,
		.irq_en = true,
		.phase = true,
		.users = 1,
		.size = cq_size,
		.base = reg_get_page(regs, NVME_REG_ACQ),
	};
	n->c.sq[0] = (struct nvme_sq){
		.live = true,
		.size = sq_size,
		.base = reg_get_page(regs, NVME_REG_ASQ),
		.cq = &n->c.cq[0],
	};
	n->c.weighted = NVME_CC_AMS(cc) == NVME_AMS_WEIGHTED;
	n->c.csts = NVME_CSTS_RDY;
}

static void shutdown_start(struct nvme *n, uint32_t old, uint32_t cc)
{
	uint32_t shn = NVME_CC_SHN(cc);

	if (shn == NVME_CC_SHN(old) || n->c.csts & NVME_CSTS_SHST)
		return;
	if (shn == NVME_SHN_NORMAL || shn == NVME_SHN_ABRUPT)
		n->c.csts |= NVME_CSTS_SHST_BUSY;
}

/* Runs after the host could see that the shutdown has begun. */
static void shutdown_finish(struct nvme *n)
{
	struct nvme_ns *ns = NULL;

	while ((ns = nvme_ns_next(n, ns ? ns->id : 0)))
		if (nvme_store_flush(&ns->store))
			n->stats.media_errors++;
	n->c.csts &= ~NVME_CSTS_SHST;
	n->c.csts |= NVME_CSTS_SHST_DONE;
}

static bool cc_look(struct nvme *n, uint8_t *regs)
{
	uint32_t cc = reg_get(regs, NVME_REG_CC);
	uint32_t old = n->c.cc;

	if (cc == old)
		return false;
	if (old & ~cc & NVME_CC_EN)
		ctrl_disable(n, regs);
	if (cc & ~old & NVME_CC_EN)
		ctrl_enable(n, regs, cc);
	shutdown_start(n, old, cc);
	n->c.cc = cc;
	return true;
}

static void masks_look(struct nvme *n, uint8_t *regs)
{
	uint32_t set = reg_get(regs, NVME_REG_INTMS);
	uint32_t clear = reg_get(regs, NVME_REG_INTMC);

	n->c.intms = (n->c.intms | set) & ~clear;
	if (set != n->c.intms)
		reg_replace(regs, NVME_REG_INTMS, set, n->c.intms);
	if (clear)
		reg_replace(regs, NVME_REG_INTMC, clear, 0);
}

static bool doorbells_look(struct nvme *n, const uint8_t *regs)
{
	/* those of I/O queues are out of date behind a shadow */
	unsigned int end =
		n->c.dbbuf.lost ? NVME_ADMIN_DOORBELLS : NVME_DOORBELLS;
	bool rung = false;

	for (unsigned int db = 0; db < end; db++) {
		uint32_t val = reg_get(regs, doorbell_reg(db));

		if (val == n->c.doorbell[db])
			continue;
		n->c.doorbell[db] = val;
		nvme_queue_ring(n, db, val);
		rung = true;
	}
	return rung;
}

/* Of the others memory tells. */
static void admin_doorbells_look(struct nvme *n, const uint8_t *regs)
{
	for (unsigned int db = 0; db < NVME_ADMIN_DOORBELLS; db++)
		nvme_dbbuf_reg(n, db, reg_get(regs, doorbell_reg(db)));
}

static bool regs_look(struct nvme *n)
{
	if (!sv_mmio_begin(n->dev))
		return false;
	uint8_t *regs = sv_bar_memory(n->dev, BAR);
	bool busy = cc_look(n, regs);

	regs_publish(n, regs);
	masks_look(n, regs);
	if (n->c.dbbuf.on)
		admin_doorbells_look(n, regs);
	else if (n->c.csts & NVME_CSTS_RDY)
		busy |= doorbells_look(n, regs);
	/* after the doorbells: what was written before them is in force */
	busy |= nvme_cmb_look(n, reg_get64(regs, NVME_REG_CMBMSC));
	sv_mmio_end(n->dev);
	return busy;
}

/* Returns as nvme_queues_run(). Any other error is CSTS.CFS, not shown yet. */
static int commands_run(struct nvme *n)
{
	int rung = nvme_dbbuf_look(n);
	int done = rung < 0 ? rung : nvme_queues_run(n);

	if (!rung && !done)
		done = nvme_dbbuf_rest(n);
	return done ? done : rung;
}

static bool nvme_run(struct sv_dev *dev)
{
	struct nvme *n = sv_state(dev);
	int ret = nvme_dbbuf_read(n);

	if (ret == -ECANCELED)
		return false;
	bool busy = regs_look(n);

	ret = 0;
	if ((n->c.csts & NVME_CSTS_SHST) == NVME_CSTS_SHST_BUSY) {
		shutdown_finish(n);
		busy = true;
	}
	if (n->c.csts == NVME_CSTS_RDY)
		ret = commands_run(n);
	if (ret >= 0)
		busy |= nvme_format_run(n) > 0;
	if (ret == -ECANCELED)
		return false;
	busy |= nvme_irq_update(n);
	return busy || ret;
}

static void nvme_reset(struct sv_dev *dev, enum sv_reset why)
{
	struct nvme *n = sv_state(dev);

	ctrl_forget(n);
	nvme_batch_forget(n);
	nvme_cmb_look(n, 0);
	n->arb = (struct nvme_arb){0};
	n->intx = false;
	sv_irq_level(dev, false);
	regs_publish(n, sv_bar_memory(dev, BAR));
}

static bool is_printable(const char *text)
{
	for (; *text; text++)
		if (*text < ' ' || *text > '~')
			return false;
	return true;
}

/* A text the user did not give stays. */
static int take_text(struct nvme *n, const char *name, char *text, size_t max)
{
	const char *given = sv_option(n->dev, name);

	if (!given)
		return 0;
	if (!*given || strlen(given) > max || !is_printable(given)) {
		sv_error(n->dev, "%s=%s: has to be 1 to %zu ASCII characters",
			 name, given, max);
		return -EINVAL;
	}
	strcpy(text, given);
	return 0;
}

/*
 * Hosts reject a second controller of the same name, so each gets a number;
 * counting gives the same numbers in every run.
 */
static int take_names(struct nvme *n)
{
	static unsigned int count;
	unsigned int number = __atomic_add_fetch(&count, 1, __ATOMIC_RELAXED);

	snprintf(n->serial, sizeof(n->serial), "SV%08u", number);
	snprintf(n->model, sizeof(n->model), "softvfio NVMe");
	int ret = take_text(n, "serial", n->serial, NVME_SERIAL_LEN);

	return ret ? ret : take_text(n, "mn", n->model, NVME_MODEL_LEN);
}

static int nvme_init(struct sv_dev *dev)
{
	struct nvme *n = sv_state(dev);

	n->dev = dev;
	n->strict = sv_option(dev, "strict");
	n->born = nvme_clock();
	nvme_feature_power_on(n);
	int ret = nvme_ns_open_all(n);

	if (!ret)
		ret = nvme_cmb_init(n);
	if (!ret)
		ret = take_names(n);
	if (ret)
		return ret;
	n->data = malloc(NVME_MAX_DATA);
	if (!n->data) {
		sv_error(dev, "no memory for %u bytes of buffer",
			 NVME_MAX_DATA);
		return -ENOMEM;
	}
	return nvme_batch_new(n);
}

static void nvme_done(struct sv_dev *dev)
{
	struct nvme *n = sv_state(dev);

	nvme_batch_free(n);
	nvme_ns_close_all(n);
	free(n->data);
	n->data = NULL;
}

static const struct sv_option nvme_options[] = {
	{"file", "FILE  storage, a raw image or a block device"},
	{"size", "SIZE  without file: this much memory, 64M by default"},
	{"ns2", "FILE|SIZE  a second namespace; ./64M is a file"},
	{"ns3", "FILE|SIZE  a third, and so on up to ns8"},
	{"ns4", "FILE|SIZE  another"},
	{"ns5", "FILE|SIZE  another"},
	{"ns6", "FILE|SIZE  another"},
	{"ns7", "FILE|SIZE  another"},
	{"ns8", "FILE|SIZE  another"},
	{"block", "SIZE  of a block at first, 512 or 4096; 512"},
	{"cmb", "SIZE  a Controller Memory Buffer in BAR 2"},
	{"ro", "  refuse writes"},
	{"strict", "  refuse what NVMe 1.4 does and most drives do not"},
	{"threads", "N  threads that move data, 1 to 16; 1"},
	{"serial", "TEXT  serial number, 20 characters at most"},
	{"mn", "TEXT  model number, 40 characters at most"},
	{NULL, NULL},
};

static const char *const nvme_counters[] = {
	[NVME_COUNT_COMMANDS] = "commands",
	[NVME_COUNT_ERRORS] = "errors",
	[NVME_COUNT_READ_BYTES] = "read_bytes",
	[NVME_COUNT_WRITTEN_BYTES] = "written_bytes",
	[NVME_COUNTS] = NULL,
};

/* The ids are those of QEMU's controller: lspci and drivers know them. */
const struct sv_dev_ops nvme_ops = {
	.api = SV_API,
	.name = "nvme",
	.summary = "NVMe 1.4 controller",
	.options = nvme_options,
	.counters = nvme_counters,
	.shape =
		{
			.vendor = 0x1b36,
			.device = 0x0010,
			.subsys_vendor = 0x1af4,
			.subsys_device = 0x1100,
			.class_code = 0x010802,
			.revision = 2,
			.bar[BAR] =
				{
					.size = BAR_SIZE,
					.kind = SV_BAR_MEM64,
					.access = SV_ACCESS_DIRECT,
				},
			.msi = 1,
			.msix = NVME_VECTORS,
			.msix_bar = 4,
		},
	.state_size = sizeof(struct nvme),
	.polled = true,
	.shape_up = nvme_cmb_shape,
	.init = nvme_init,
	.done = nvme_done,
	.reset = nvme_reset,
	.run = nvme_run,
};
