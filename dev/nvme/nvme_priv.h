/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the files of the NVMe model share: one structure per controller, per
 * queue and per command.
 *
 * Everything runs on the device's own thread, one call at a time, so nothing
 * here is locked.
 *
 * Functions that carry out a command or a part of one return int: an NVMe
 * status (0 or positive, with NVME_SC_DNR where retrying is pointless),
 * NVME_HELD, or a negative errno after which nothing may touch the bus again
 * until the next run().
 */
#ifndef SOFTVFIO_DEV_NVME_PRIV_H
#define SOFTVFIO_DEV_NVME_PRIV_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include "softvfio/device.h"

#include "nvme_spec.h"

#define NVME_PAGE	 4096u
#define NVME_BLOCK_SHIFT 9u /* the smallest block, and the first format */
#define NVME_BLOCK	 (1u << NVME_BLOCK_SHIFT)
#define NVME_BLOCK_MAX	 4096u
#define NVME_NAMESPACES	 8u
#define NVME_LBA_FORMATS 2u
#define NVME_CTRL_ID	 0u
#define NVME_MDTS	 9u /* largest transfer, log2 of pages */
#define NVME_MAX_PAGES	 (1u << NVME_MDTS)
#define NVME_MAX_DATA	 (NVME_MAX_PAGES * NVME_PAGE)
#define NVME_MAX_SEGS	 1024u /* pieces of one command's data */

#define NVME_MAX_ENTRIES     4096u /* of any I/O queue */
#define NVME_IO_QUEUES	     64u   /* pairs beside the admin queues */
#define NVME_QUEUES	     (NVME_IO_QUEUES + 1)
#define NVME_DOORBELLS	     (NVME_QUEUES * 2)
#define NVME_ADMIN_DOORBELLS 2u /* the first of them */
#define NVME_VECTORS	     64u
#define NVME_SQES	     6u /* log2 of the size of a queue entry */
#define NVME_CQES	     4u

#define NVME_BATCH	64u	    /* entries fetched with one DMA */
#define NVME_PASS_BYTES (16u << 20) /* data moved before looking up again */

#define NVME_ARBITRATION_BURST 5u /* log2 of commands, until the host says */

#define NVME_EVENT_REQUESTS 4u
#define NVME_ERROR_ENTRIES  64u
#define NVME_FEATURES	    (NVME_FEAT_EVENTS + 1)

/* Where values of features are kept: by feature, but for these */
#define NVME_SLOT_TEMP_UNDER NVME_FEATURES
#define NVME_SLOT_NS	     (NVME_SLOT_TEMP_UNDER + 1) /* of NSID 1 */
#define NVME_SLOT_VECTOR     (NVME_SLOT_NS + NVME_NAMESPACES)
#define NVME_SLOTS	     (NVME_SLOT_VECTOR + NVME_VECTORS)

#define NVME_ABORT_LIMIT 4u

#define NVME_SERIAL_LEN	  20u
#define NVME_MODEL_LEN	  40u
#define NVME_FIRMWARE_LEN 8u
#define NVME_FIRMWARE	  "softvfio"

#define NVME_TEMPERATURE      310u /* kelvin, always */
#define NVME_TEMPERATURE_WARN 343u
#define NVME_TEMPERATURE_CRIT 373u

#define NVME_CMB_BAR 2u

/* a command that will be completed later */
#define NVME_HELD 0x10000

/** struct nvme_store - Where the blocks are kept, nvme_store.c */
struct nvme_store {
	int fd;	      /* -1: not a file */
	uint8_t *mem; /* no file: the blocks, gone with the device */
	uint64_t bytes;
	bool read_only;
};

/**
 * struct nvme_ns - A namespace, nvme_ns.c
 * @id:         1 to NVME_NAMESPACES; 0 = there is none
 * @lba_shift:  log2 of the size of a block
 * @blocks:     capacity
 * @formatting: Format NVM is at work, commands are turned away
 * @store:      where the blocks are kept
 */
struct nvme_ns {
	uint32_t id;
	bool formatting;
	unsigned int lba_shift;
	uint64_t blocks;
	struct nvme_store store;
};

/**
 * struct nvme_cq - A completion queue
 * @live:    it exists
 * @lost:    its memory cannot be reached: it has stopped, until it is deleted
 * @irq_en:  interrupts enabled
 * @phase:   phase tag of the current round
 * @vector:  interrupt vector
 * @users:   submission queues that complete here
 * @size:    entries
 * @head:    next entry the host will take
 * @tail:    next entry to be written; one stays free, so == @head is empty
 * @base:    bus address
 */
struct nvme_cq {
	bool live;
	bool lost;
	bool irq_en;
	bool phase;
	uint16_t vector;
	uint16_t users;
	uint32_t size;
	uint32_t head;
	uint32_t tail;
	uint64_t base;
};

/**
 * struct nvme_sq - A submission queue
 * @live:  it exists
 * @lost:  as of a completion queue
 * @id:    its number, 0 is the admin queue
 * @class: enum nvme_class, for weighted arbitration
 * @size:  entries
 * @head:  next entry to be carried out
 * @tail:  first entry the host has not yet submitted
 * @base:  bus address
 * @cq:    where its commands complete
 */
struct nvme_sq {
	bool live;
	bool lost;
	uint16_t id;
	uint8_t class;
	uint32_t size;
	uint32_t head;
	uint32_t tail;
	uint64_t base;
	struct nvme_cq *cq;
};

/**
 * struct nvme_vector - An interrupt vector, nvme_irq.c
 * @due:   completions posted since the host was last told
 * @now:   one of them is not to be coalesced with others
 * @since: nvme_clock() of the first, while the vector coalesces
 */
struct nvme_vector {
	uint32_t due;
	bool now;
	uint64_t since;
};

/** enum nvme_class - Priority of a submission queue, as in QPRIO */
enum nvme_class {
	NVME_CLASS_URGENT,
	NVME_CLASS_HIGH,
	NVME_CLASS_MEDIUM,
	NVME_CLASS_LOW,
	NVME_CLASSES,
};

/**
 * struct nvme_arb - Where queues take turns, nvme_arb.c
 * @turn:   by class, the I/O queue that is looked at first, from 0
 * @class:  weighted class whose turn it is, from 0 for the high one
 * @credit: commands it may still have
 * @begun:  nvme_clock() of the first command of this pass, 0 = none yet
 */
struct nvme_arb {
	unsigned int turn[NVME_CLASSES];
	unsigned int class;
	uint32_t credit;
	uint64_t begun;
};

/** struct nvme_cmd - One command, copied from its entry once, host order */
struct nvme_cmd {
	struct nvme_sq *sq;
	struct nvme_ns *ns; /* that of @nsid, NULL when it is none */
	uint8_t opcode;
	uint8_t flags;
	uint16_t cid;
	uint32_t nsid;
	uint64_t prp1;
	uint64_t prp2;
	uint32_t cdw10;
	uint32_t cdw11;
	uint32_t cdw12;
	uint32_t cdw13;
	uint32_t cdw14;
	uint32_t cdw15;
	uint32_t result; /* dword 0 of the completion */
};

/** struct nvme_seg - A piece of host memory; @drop: data that nobody wants */
struct nvme_seg {
	uint64_t addr;
	uint32_t len;
	bool drop;
};

/** struct nvme_map - Host memory of one command's data */
struct nvme_map {
	uint32_t count;
	struct nvme_seg seg[NVME_MAX_SEGS];
};

/**
 * struct nvme_formatting - Format NVM at work, nvme_format.c
 * @todo:   namespaces to go, bit 0 for NSID 1; 0 = nothing is being formatted
 * @lbaf:   LBA format they get
 * @off:    bytes of the first one that are done
 * @answer: the host waits for a completion
 * @cid:    of the command
 * @status: what it will be told
 *
 * A controller reset takes the answer away and nothing else: a namespace is
 * never left half erased.
 */
struct nvme_formatting {
	uint32_t todo;
	unsigned int lbaf;
	uint64_t off;
	bool answer;
	uint16_t cid;
	int status;
};

/** struct nvme_error - One entry of the error log */
struct nvme_error {
	uint64_t number; /* counts from 1; 0 = never used */
	uint16_t sq_id;
	uint16_t cid;
	uint16_t status; /* without phase tag */
	uint32_t nsid;
	uint64_t lba;
};

/**
 * struct nvme_cmb - Controller Memory Buffer, nvme_cmb.c
 * @cmbmsc:   the register, as last acted upon
 * @on:       addresses from @base on are its
 * @bad_base: it cannot be on, since it would end behind the last address
 * @base:     address of its first byte on the bus, as the host has set it
 * @size:     bytes, 0 = there is none
 *
 * Kept over a controller reset.
 */
struct nvme_cmb {
	uint64_t cmbmsc;
	bool on;
	bool bad_base;
	uint64_t base;
	uint64_t size;
};

/** struct nvme_stats - Counted as long as the device exists */
struct nvme_stats {
	uint64_t sectors_read; /* of 512 bytes, whatever a block is */
	uint64_t sectors_written;
	uint64_t reads;
	uint64_t writes;
	uint64_t media_errors;
	uint64_t busy_ns; /* with commands in I/O queues */
	uint64_t errors;  /* ever logged */
	struct nvme_error error[NVME_ERROR_ENTRIES]; /* by number */
};

/** struct nvme_view - A place the host writes to: as last acted upon, and now */
struct nvme_view {
	uint32_t seen;
	uint32_t now;
};

/**
 * struct nvme_dbbuf - Shadow doorbells, nvme_dbbuf.c
 * @on:        the host has configured them, and the shadow is read
 * @lost:      it cannot be read any more
 * @tells:     EventIdx is written
 * @read:      @now has been read in this pass
 * @reg_read:  and then the registers
 * @no_copy:   the host lets us read its shadow only
 * @shadow:    bus address of what the host writes
 * @event:     bus address of what the host reads
 * @now:       the shadow
 * @told:      what was last written to @event
 * @admin:     the shadow of the admin queue
 * @admin_reg: its registers
 */
struct nvme_dbbuf {
	bool on;
	bool lost;
	bool tells;
	bool read;
	bool reg_read;
	bool no_copy;
	uint64_t shadow;
	uint64_t event;
	uint32_t now[NVME_DOORBELLS];
	uint32_t told[NVME_DOORBELLS];
	struct nvme_view admin[NVME_ADMIN_DOORBELLS];
	struct nvme_view admin_reg[NVME_ADMIN_DOORBELLS];
};

/** struct nvme_ctrl - Forgotten at every controller reset */
struct nvme_ctrl {
	uint32_t cc;	/* as last acted upon */
	uint32_t csts;	/* what the host shall see */
	uint32_t intms; /* vectors masked, INTx and MSI only */
	uint32_t doorbell[NVME_DOORBELLS]; /* the last value of each */
	struct nvme_dbbuf dbbuf;
	struct nvme_sq sq[NVME_QUEUES];
	struct nvme_cq cq[NVME_QUEUES];
	struct nvme_vector vector[NVME_VECTORS];
	bool weighted;	     /* CC.AMS when it was enabled */
	bool io_queues_made; /* too late to negotiate their number */

	uint32_t feature[NVME_SLOTS];

	uint8_t event_pending[NVME_EVENT_TYPES]; /* a bit per event */
	uint8_t event_masked; /* a bit per type, until its log is read */
	uint32_t ns_changed;  /* since the host looked, bit 0 for NSID 1 */
	unsigned int event_requests;
	uint16_t event_cid[NVME_EVENT_REQUESTS];
};

/** struct nvme - One controller with its namespaces */
struct nvme {
	struct sv_dev *dev;
	bool strict; /* no command that breaks a rule most drives let pass */
	struct nvme_ns ns[NVME_NAMESPACES]; /* by id - 1 */
	char serial[NVME_SERIAL_LEN + 1];
	char model[NVME_MODEL_LEN + 1];

	uint64_t born; /* nvme_clock() of power on */
	struct nvme_stats stats;
	struct nvme_cmb cmb;
	struct nvme_formatting format;
	struct nvme_ctrl c;
	bool intx; /* level of the pin */
	struct nvme_arb arb;
	uint32_t saved[NVME_SLOTS]; /* what n->c.feature is after a reset */

	/* scratch of the command being carried out */
	uint8_t *data;	/* NVME_MAX_DATA bytes */
	int64_t budget; /* data bytes left in this pass */
	struct nvme_map map;
	struct nvme_sqe sqe[NVME_BATCH];
	uint64_t prp[NVME_PAGE / sizeof(uint64_t)];
	struct nvme_sgl sgl[NVME_PAGE / sizeof(struct nvme_sgl)];
	struct nvme_batch *batch; /* nvme_batch.h */
};

/* What the model counts: the order of names in nvme.c */
enum nvme_count {
	NVME_COUNT_COMMANDS,
	NVME_COUNT_ERRORS,
	NVME_COUNT_READ_BYTES,
	NVME_COUNT_WRITTEN_BYTES,
	NVME_COUNTS,
};

static inline uint32_t nvme_min(uint64_t a, uint32_t b)
{
	return a < b ? (uint32_t)a : b;
}

/* Fields of the structures a host reads; @p is the field's first byte. */
static inline void nvme_put16(uint8_t *p, uint16_t val)
{
	val = htole16(val);
	memcpy(p, &val, sizeof(val));
}

static inline void nvme_put32(uint8_t *p, uint32_t val)
{
	val = htole32(val);
	memcpy(p, &val, sizeof(val));
}

static inline void nvme_put64(uint8_t *p, uint64_t val)
{
	val = htole64(val);
	memcpy(p, &val, sizeof(val));
}

/** nvme_put_text() - Text as NVMe has it: padded with spaces, no NUL */
static inline void nvme_put_text(uint8_t *p, const char *text, size_t len)
{
	memset(p, ' ', len);
	memcpy(p, text, strnlen(text, len));
}

/** typedef nvme_op - Carries out one command; returns as described above */
typedef int nvme_op(struct nvme *n, struct nvme_cmd *cmd);

/* nvme.c */

/** nvme_fatal() - The controller cannot go on: CSTS.CFS */
void nvme_fatal(struct nvme *n);

/**
 * nvme_doorbell_clear() - A new queue's doorbell starts at 0
 * @db: number of the doorbell, see nvme_queue_ring()
 */
void nvme_doorbell_clear(struct nvme *n, unsigned int db);

/**
 * nvme_doorbell_set() - Have a register say what the shadow does
 * @old: what it said last; if that has changed, it is left alone
 *
 * Return: whether it is @val now.
 */
bool nvme_doorbell_set(struct nvme *n, unsigned int db, uint32_t old,
		       uint32_t val);

/* nvme_cmb.c */

/**
 * nvme_bus_read() - Read what is at a bus address
 * nvme_bus_write() - Write what is at a bus address
 *
 * All accesses go through these: the address may be in the controller's own
 * memory. Return as sv_dma_read() does.
 */
int nvme_bus_read(struct nvme *n, uint64_t addr, void *buf, size_t len);
int nvme_bus_write(struct nvme *n, uint64_t addr, const void *buf, size_t len);

/** nvme_cmb_shape() - Make the BAR that the option cmb= asks for */
int nvme_cmb_shape(struct sv_dev *dev, struct sv_shape *shape);

/** nvme_cmb_init() - Check that the BAR is still what was asked for */
int nvme_cmb_init(struct nvme *n);

/** nvme_cmb_look() - Act on the register CMBMSC; true: it has changed */
bool nvme_cmb_look(struct nvme *n, uint64_t cmbmsc);

/* Read-only registers */
uint32_t nvme_cmb_loc(const struct nvme *n);
uint32_t nvme_cmb_sz(const struct nvme *n);
uint32_t nvme_cmb_sts(const struct nvme *n);

/** nvme_cmb_straddles() - Would a queue lie in both kinds of memory? */
bool nvme_cmb_straddles(const struct nvme *n, uint64_t addr, uint64_t len);

/** nvme_cmb_hit() - Is any of it in the controller's own memory? */
bool nvme_cmb_hit(const struct nvme *n, uint64_t addr, size_t len);

/** nvme_clock() - Nanoseconds, from some point in time on */
static inline uint64_t nvme_clock(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* nvme_queue.c */

/** nvme_distance() - Entries from one place of a ring of @size to another */
static inline uint32_t nvme_distance(uint32_t from, uint32_t to, uint32_t size)
{
	return to >= from ? to - from : size - from + to;
}

/**
 * nvme_queue_ring() - A doorbell has changed
 * @db:  2 * queue for a submission tail, 2 * queue + 1 for a completion head
 * @val: what the host wrote
 *
 * Context: may be inside an sv_mmio_begin() burst.
 */
void nvme_queue_ring(struct nvme *n, unsigned int db, uint32_t val);

/**
 * nvme_queues_run() - Serve every submission queue once
 *
 * Return: 1 something was done; 0 nothing to do; -ECANCELED return from run()
 * at once.
 */
int nvme_queues_run(struct nvme *n);

/** nvme_cq_free() - Entries that can be posted before @cq is full */
uint32_t nvme_cq_free(const struct nvme_cq *cq);

/**
 * nvme_sq_lost() - Entries of @sq cannot be fetched
 * nvme_cq_lost() - Completions of @sq's commands cannot be posted
 *
 * An I/O queue stops, and all that complete in a completion queue; the host
 * hears of it by an event and the error log, and may delete them. Without the
 * admin queue nobody can be told: CSTS.CFS.
 */
void nvme_sq_lost(struct nvme *n, struct nvme_sq *sq);
void nvme_cq_lost(struct nvme *n, struct nvme_sq *sq);

/** nvme_lost_event() - Host memory @sq_id, 0xffff = of none, needs has gone */
void nvme_lost_event(struct nvme *n, uint16_t sq_id);

/** nvme_sq_runs() - Can commands of @sq be carried out? */
static inline bool nvme_sq_runs(const struct nvme_sq *sq)
{
	return sq->live && !sq->lost && !sq->cq->lost;
}

/**
 * nvme_complete() - Post the completion of a command
 * @sq: the command's queue; its completion queue must not be full
 *
 * Return: 0; negative errno.
 */
int nvme_complete(struct nvme *n, struct nvme_sq *sq, uint16_t cid, int status,
		  uint32_t result);

/**
 * nvme_sq_run() - Carry out commands of one live queue
 * @max: at most so many
 *
 * Ends early for want of completion entries or of n->budget.
 *
 * Return: how many were taken, or 1 for the queue being lost; 0 nothing to do;
 * -ECANCELED return from run() at once; another negative errno: CSTS.CFS.
 */
int nvme_sq_run(struct nvme *n, struct nvme_sq *sq, uint32_t max);

/* nvme_dbbuf.c */

/** nvme_dbbuf_config() - Doorbell Buffer Config */
int nvme_dbbuf_config(struct nvme *n, struct nvme_cmd *cmd);

/** nvme_dbbuf_clear() - A queue is new, and with it its EventIdx */
void nvme_dbbuf_clear(struct nvme *n, unsigned int db);

/**
 * nvme_dbbuf_read() - Read the shadow doorbells
 *
 * To be called before the registers are looked at, so that one of these is
 * never older than what the shadow said (nvme_dbbuf.c).
 *
 * If they cannot be, that is an event and the end of I/O queues' doorbells; the
 * admin queue's registers go on.
 *
 * Return: 0; -ECANCELED.
 */
int nvme_dbbuf_read(struct nvme *n);

/** nvme_dbbuf_reg() - What a register of the admin queue says now */
void nvme_dbbuf_reg(struct nvme *n, unsigned int db, uint32_t val);

/**
 * nvme_dbbuf_look() - Act on what was read
 *
 * Return: 1 a doorbell has changed; 0 none has; -ECANCELED.
 */
int nvme_dbbuf_look(struct nvme *n);

/**
 * nvme_dbbuf_rest() - There is nothing to do: ask the host to ring
 *
 * Return: 1 the host was told something, and a last look is due; 0;
 * -ECANCELED.
 */
int nvme_dbbuf_rest(struct nvme *n);

/* nvme_arb.c */

/** nvme_arb_run() - Serve the I/O queues; returns as nvme_sq_run() */
int nvme_arb_run(struct nvme *n);

/* nvme_irq.c */

/**
 * nvme_irq_post() - @entries were written to @cq: they deserve an interrupt
 * nvme_irq_notify() - A batch for @cq has ended: send its message if one is due
 */
void nvme_irq_post(struct nvme *n, const struct nvme_cq *cq, uint32_t entries);
void nvme_irq_notify(struct nvme *n, const struct nvme_cq *cq);

/** nvme_irq_hurry() - What was posted to @cq is not to be coalesced */
void nvme_irq_hurry(struct nvme *n, const struct nvme_cq *cq);

/**
 * nvme_irq_update() - Bring the INTx pin and unmasked messages up to date
 *
 * Return: a vector is being coalesced: ask again soon.
 */
bool nvme_irq_update(struct nvme *n);

/** nvme_cmd_decode() - A queue entry in host order */
struct nvme_cmd nvme_cmd_decode(struct nvme_sq *sq, const struct nvme_sqe *sqe);

/** nvme_cmd_log_error() - A command has failed: add it to the error log */
void nvme_cmd_log_error(struct nvme *n, const struct nvme_cmd *cmd, int status);

/* nvme_data.c */

/**
 * nvme_data_map() - Find where a command's data lies: fills n->map
 * @len:     bytes, 1 to NVME_MAX_DATA
 * @to_host: which way it goes
 */
int nvme_data_map(struct nvme *n, const struct nvme_cmd *cmd, uint32_t len,
		  bool to_host);

/** nvme_data_move() - Move what n->map says between the host and n->data */
int nvme_data_move(struct nvme *n, bool to_host);

/**
 * nvme_data_in() - Move a command's data from the host to n->data
 * nvme_data_out() - Move a command's data from n->data to the host
 * @len: bytes, at most NVME_MAX_DATA
 */
int nvme_data_in(struct nvme *n, const struct nvme_cmd *cmd, uint32_t len);
int nvme_data_out(struct nvme *n, const struct nvme_cmd *cmd, uint32_t len);

/* nvme_sgl.c */

/** nvme_sgl_map() - nvme_data_map() of a command that uses an SGL */
int nvme_sgl_map(struct nvme *n, const struct nvme_cmd *cmd, uint32_t len,
		 bool to_host);

/** nvme_map_add() - One piece more; false: there are too many */
bool nvme_map_add(struct nvme_map *map, uint64_t addr, uint32_t len, bool drop);

/* nvme_io.c */

/**
 * nvme_io_run() - Carry out commands of an I/O queue, or begin to
 * @sqe:   the next entries of @sq
 * @count: how many of them there are; one at least
 *
 * Return: entries used up; 0 wait for room in the completion queue; negative
 * errno.
 */
int nvme_io_run(struct nvme *n, struct nvme_sq *sq, const struct nvme_sqe *sqe,
		uint32_t count);

static inline uint64_t nvme_rw_lba(const struct nvme_cmd *cmd)
{
	return (uint64_t)cmd->cdw11 << 32 | cmd->cdw10;
}

static inline uint32_t nvme_rw_blocks(const struct nvme_cmd *cmd)
{
	return (cmd->cdw12 & 0xffff) + 1;
}

/* nvme_batch.c */

/** nvme_batch_new() - Return: 0; -errno, reported with sv_error() */
int nvme_batch_new(struct nvme *n);
void nvme_batch_free(struct nvme *n);

/**
 * nvme_batch_flush() - Carry out what has been begun, and complete it
 *
 * Return: 0; -ECANCELED; -EIO the completion queue is lost.
 */
int nvme_batch_flush(struct nvme *n);

/** nvme_batch_forget() - Nobody wants what has been begun any more */
void nvme_batch_forget(struct nvme *n);

/* NULL where there is no such command */
nvme_op *nvme_admin_op(uint8_t opcode); /* nvme_admin.c */

/* nvme_identify.c */
int nvme_identify(struct nvme *n, struct nvme_cmd *cmd);

/* nvme_feature.c */
void nvme_feature_power_on(struct nvme *n);
void nvme_feature_reset(struct nvme *n);
int nvme_feature_get(struct nvme *n, struct nvme_cmd *cmd);
int nvme_feature_set(struct nvme *n, struct nvme_cmd *cmd);

/** nvme_too_hot() - The temperature has crossed a threshold the host set */
bool nvme_too_hot(const struct nvme *n);

/* nvme_log.c */
int nvme_log_get(struct nvme *n, struct nvme_cmd *cmd);

/** nvme_log_forget() - A reset empties the error log; its count goes on */
void nvme_log_forget(struct nvme *n);

/** nvme_log_error() - Add to the error log */
void nvme_log_error(struct nvme *n, const struct nvme_error *error);

/* nvme_event.c */

/**
 * nvme_event() - Something happened that the host wants to hear of
 * @type: NVME_EVENT_ERROR, _SMART or _NOTICE
 * @info: number of the event within @type, NVME_EVENT_...
 *
 * An event that is already pending is not counted twice.
 */
void nvme_event(struct nvme *n, unsigned int type, unsigned int info);

/** nvme_event_ns_changed() - What Identify says of @ns has changed */
void nvme_event_ns_changed(struct nvme *n, const struct nvme_ns *ns);

/** nvme_event_seen() - The log page of @type was read: unmask the type */
void nvme_event_seen(struct nvme *n, unsigned int type);

/** nvme_events_run() - Answer held requests; returns as nvme_queues_run() */
int nvme_events_run(struct nvme *n);

/** nvme_event_request() - Asynchronous Event Request */
int nvme_event_request(struct nvme *n, struct nvme_cmd *cmd);

/** nvme_event_cid_held() - Is @cid that of a held request? */
bool nvme_event_cid_held(const struct nvme *n, uint16_t cid);

/**
 * nvme_event_abort() - Complete the held request @cid as aborted
 *
 * Return: 1 it is; 0 no such request, or no room for its completion;
 * negative errno.
 */
int nvme_event_abort(struct nvme *n, uint16_t cid);

/* nvme_ns.c */

/**
 * nvme_ns_open_all() - Make the namespaces the options name
 *
 * Return: 0; -errno, reported with sv_error(). nvme_ns_close_all() is due
 * either way.
 */
int nvme_ns_open_all(struct nvme *n);
void nvme_ns_close_all(struct nvme *n);

/** nvme_ns_find() - The namespace @nsid; NULL when there is none */
struct nvme_ns *nvme_ns_find(struct nvme *n, uint32_t nsid);

/** nvme_ns_next() - The first namespace behind @nsid, or NULL */
struct nvme_ns *nvme_ns_next(struct nvme *n, uint32_t nsid);

/* log2 of the block sizes that Format NVM knows, by LBA format */
extern const unsigned int nvme_lba_shift[NVME_LBA_FORMATS];

/** nvme_ns_format() - The LBA format in use */
unsigned int nvme_ns_format(const struct nvme_ns *ns);

/** nvme_ns_set_format() - From now on blocks are those of @format */
void nvme_ns_set_format(struct nvme_ns *ns, unsigned int format);

/** nvme_ns_is_id() - Could @nsid be a namespace, active or not? */
bool nvme_ns_is_id(const struct nvme *n, uint32_t nsid);

/** nvme_ns_last_id() - Identify Controller's NN: the highest identifier */
uint32_t nvme_ns_last_id(const struct nvme *n);

/**
 * nvme_ns_status() - What is wrong with an identifier, NVMe 1.4 6.1
 *
 * Return: 0 it is a namespace; the status for one that cannot be, or for one
 * that could but is inactive.
 */
int nvme_ns_status(struct nvme *n, uint32_t nsid);

/** nvme_ns_is_none() - Does @nsid name no namespace in particular? */
static inline bool nvme_ns_is_none(uint32_t nsid)
{
	return !nsid || nsid == NVME_NSID_ALL;
}

/* nvme_format.c */

/** nvme_format() - Format NVM: begin; it is completed by nvme_format_run() */
int nvme_format(struct nvme *n, struct nvme_cmd *cmd);

/**
 * nvme_format_run() - Go on formatting, if there is anything to format
 *
 * Return: 1 something was done; 0 nothing to do; negative errno.
 */
int nvme_format_run(struct nvme *n);

/** nvme_format_left() - Per cent of @ns that are still to be formatted */
uint8_t nvme_format_left(const struct nvme *n, const struct nvme_ns *ns);

/** nvme_format_cid_held() - Is @cid that of the Format NVM in progress? */
bool nvme_format_cid_held(const struct nvme *n, uint16_t cid);

/* nvme_store.c */

/**
 * nvme_store_open() - Open the file @path
 * nvme_store_memory() - Make @bytes of memory
 * @option: name of the user's option that asked for it, for messages
 *
 * Return: 0; -errno, reported with sv_error().
 */
int nvme_store_open(struct nvme_store *s, struct sv_dev *dev,
		    const char *option, const char *path);
int nvme_store_memory(struct nvme_store *s, struct sv_dev *dev,
		      const char *option, uint64_t bytes);
void nvme_store_close(struct nvme_store *s);

struct iovec;

/*
 * @off and @len lie within the capacity. All return 0 or -errno; what a file
 * lacks because it has become shorter is -ENODATA. @iov is used up.
 */
int nvme_store_read(struct nvme_store *s, uint64_t off, void *buf, size_t len);
int nvme_store_write(struct nvme_store *s, uint64_t off, const void *buf,
		     size_t len);
int nvme_store_readv(struct nvme_store *s, uint64_t off, struct iovec *iov,
		     size_t count);
int nvme_store_writev(struct nvme_store *s, uint64_t off, struct iovec *iov,
		      size_t count);
int nvme_store_flush(struct nvme_store *s);

/**
 * nvme_store_zero() - Make a range read as zeroes
 * @discard: its storage may be given back
 * @scratch: overwritten with zeroes to write, where the file has no better way
 * @size:    bytes in @scratch
 */
int nvme_store_zero(struct nvme_store *s, uint64_t off, uint64_t len,
		    bool discard, void *scratch, size_t size);

/** nvme_store_discard() - Give storage back; 0 where that is impossible */
int nvme_store_discard(struct nvme_store *s, uint64_t off, uint64_t len);

/* Vectors there are: the user may have asked for fewer, or more than we use. */
static inline unsigned int nvme_vectors(const struct nvme *n)
{
	unsigned int msix = sv_shape(n->dev)->msix;

	if (!msix)
		return 1;
	return msix < NVME_VECTORS ? msix : NVME_VECTORS;
}

#endif
