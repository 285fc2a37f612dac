/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Numbers and layouts of the NVM Express Base Specification 1.4, as far as the
 * model and its tests use them. Nothing here is a choice of the model's.
 */
#ifndef SOFTVFIO_DEV_NVME_SPEC_H
#define SOFTVFIO_DEV_NVME_SPEC_H

#include <assert.h>
#include <stdint.h>

/* Controller registers, NVMe 1.4 3.1 */
enum nvme_reg {
	NVME_REG_CAP = 0x00,
	NVME_REG_VS = 0x08,
	NVME_REG_INTMS = 0x0c,
	NVME_REG_INTMC = 0x10,
	NVME_REG_CC = 0x14,
	NVME_REG_CSTS = 0x1c,
	NVME_REG_NSSR = 0x20,
	NVME_REG_AQA = 0x24,
	NVME_REG_ASQ = 0x28,
	NVME_REG_ACQ = 0x30,
	NVME_REG_CMBLOC = 0x38,
	NVME_REG_CMBSZ = 0x3c,
	NVME_REG_CMBMSC = 0x50,
	NVME_REG_CMBSTS = 0x58,
	NVME_REG_DOORBELL = 0x1000,
};

#define NVME_CC_EN	   (1u << 0)
#define NVME_CC_CSS(cc)	   ((cc) >> 4 & 7)
#define NVME_CC_MPS(cc)	   ((cc) >> 7 & 15)
#define NVME_CC_AMS(cc)	   ((cc) >> 11 & 7)
#define NVME_CC_SHN(cc)	   ((cc) >> 14 & 3)
#define NVME_CC_IOSQES(cc) ((cc) >> 16 & 15)
#define NVME_CC_IOCQES(cc) ((cc) >> 20 & 15)

#define NVME_AMS_WEIGHTED 1u

#define NVME_SHN_NORMAL 1u
#define NVME_SHN_ABRUPT 2u

#define NVME_CSTS_RDY	    (1u << 0)
#define NVME_CSTS_CFS	    (1u << 1)
#define NVME_CSTS_SHST	    (3u << 2)
#define NVME_CSTS_SHST_BUSY (1u << 2)
#define NVME_CSTS_SHST_DONE (2u << 2)

/* Submission queue entry, 4.2 */
struct nvme_sqe {
	uint8_t opcode;
	uint8_t flags;
	uint16_t cid;
	uint32_t nsid;
	uint32_t cdw2;
	uint32_t cdw3;
	uint64_t mptr;
	uint64_t prp1;
	uint64_t prp2;
	uint32_t cdw10;
	uint32_t cdw11;
	uint32_t cdw12;
	uint32_t cdw13;
	uint32_t cdw14;
	uint32_t cdw15;
};
static_assert(sizeof(struct nvme_sqe) == 64, "a queue entry is 64 bytes");

#define NVME_FLAGS_FUSE	 0x03u
#define NVME_FUSE_FIRST	 0x01u
#define NVME_FUSE_SECOND 0x02u
#define NVME_FLAGS_PSDT	 0xc0u

/* SGL descriptor, 4.4. Type in bits 7:4 of @id, subtype in 3:0 */
struct nvme_sgl {
	uint64_t addr;
	uint32_t len;
	uint8_t reserved[3];
	uint8_t id;
};
static_assert(sizeof(struct nvme_sgl) == 16, "a descriptor is 16 bytes");

enum nvme_sgl_type {
	NVME_SGL_DATA = 0x0,
	NVME_SGL_BUCKET = 0x1,
	NVME_SGL_SEGMENT = 0x2,
	NVME_SGL_LAST_SEGMENT = 0x3,
	NVME_SGL_KEYED = 0x4,
};

/* Completion queue entry, 4.6. Bit 0 of @status is the phase tag. */
struct nvme_cqe {
	uint32_t result;
	uint32_t reserved;
	uint16_t sq_head;
	uint16_t sq_id;
	uint16_t cid;
	uint16_t status;
};
static_assert(sizeof(struct nvme_cqe) == 16, "a completion is 16 bytes");

/* Status field without the phase tag: type in bits 10:8, code in 7:0 */
enum nvme_status {
	NVME_SC_SUCCESS = 0x000,
	NVME_SC_INVALID_OPCODE = 0x001,
	NVME_SC_INVALID_FIELD = 0x002,
	NVME_SC_CID_CONFLICT = 0x003,
	NVME_SC_DATA_TRANSFER = 0x004,
	NVME_SC_INTERNAL = 0x006,
	NVME_SC_ABORTED = 0x007,
	NVME_SC_FAILED_FUSED = 0x009,
	NVME_SC_MISSING_FUSED = 0x00a,
	NVME_SC_INVALID_NS = 0x00b,
	NVME_SC_SEQUENCE = 0x00c,
	NVME_SC_SGL_SEGMENT = 0x00d,
	NVME_SC_SGL_COUNT = 0x00e,
	NVME_SC_SGL_LENGTH = 0x00f,
	NVME_SC_SGL_TYPE = 0x011,
	NVME_SC_CMB_USE = 0x012,
	NVME_SC_PRP_OFFSET = 0x013,
	NVME_SC_WRITE_PROTECTED = 0x020,
	NVME_SC_LBA_RANGE = 0x080,
	NVME_SC_CAPACITY = 0x081,
	NVME_SC_FORMATTING = 0x084,
	NVME_SC_CQ_INVALID = 0x100,
	NVME_SC_QUEUE_ID = 0x101,
	NVME_SC_QUEUE_SIZE = 0x102,
	NVME_SC_EVENT_LIMIT = 0x105,
	NVME_SC_VECTOR = 0x108,
	NVME_SC_LOG_PAGE = 0x109,
	NVME_SC_INVALID_FORMAT = 0x10a,
	NVME_SC_QUEUE_DELETION = 0x10c,
	NVME_SC_NOT_SAVEABLE = 0x10d,
	NVME_SC_NOT_PER_NS = 0x10f,
	NVME_SC_PRINFO = 0x181,
	NVME_SC_WRITE_FAULT = 0x280,
	NVME_SC_READ_ERROR = 0x281,
	NVME_SC_COMPARE_FAILURE = 0x285,
	NVME_SC_DNR = 0x4000, /* do not retry, or'ed to the above */
};

enum nvme_admin_opcode {
	NVME_ADM_DELETE_SQ = 0x00,
	NVME_ADM_CREATE_SQ = 0x01,
	NVME_ADM_GET_LOG = 0x02,
	NVME_ADM_DELETE_CQ = 0x04,
	NVME_ADM_CREATE_CQ = 0x05,
	NVME_ADM_IDENTIFY = 0x06,
	NVME_ADM_ABORT = 0x08,
	NVME_ADM_SET_FEATURES = 0x09,
	NVME_ADM_GET_FEATURES = 0x0a,
	NVME_ADM_ASYNC_EVENT = 0x0c,
	NVME_ADM_DBBUF = 0x7c,
	NVME_ADM_FORMAT = 0x80,
};

enum nvme_io_opcode {
	NVME_IO_FLUSH = 0x00,
	NVME_IO_WRITE = 0x01,
	NVME_IO_READ = 0x02,
	NVME_IO_COMPARE = 0x05,
	NVME_IO_WRITE_ZEROES = 0x08,
	NVME_IO_DSM = 0x09,
	NVME_IO_VERIFY = 0x0c,
};

enum nvme_identify {
	NVME_CNS_NS = 0x00,
	NVME_CNS_CTRL = 0x01,
	NVME_CNS_NS_LIST = 0x02,
	NVME_CNS_NS_DESC = 0x03,
	NVME_CNS_ALLOCATED_LIST = 0x10,
	NVME_CNS_ALLOCATED = 0x11,
	NVME_CNS_NS_CTRLS = 0x12,
	NVME_CNS_CTRLS = 0x13,
};

enum nvme_feature {
	NVME_FEAT_ARBITRATION = 0x01,
	NVME_FEAT_POWER = 0x02,
	NVME_FEAT_TEMPERATURE = 0x04,
	NVME_FEAT_RECOVERY = 0x05,
	NVME_FEAT_WRITE_CACHE = 0x06,
	NVME_FEAT_QUEUES = 0x07,
	NVME_FEAT_COALESCING = 0x08,
	NVME_FEAT_VECTOR = 0x09,
	NVME_FEAT_ATOMICITY = 0x0a,
	NVME_FEAT_EVENTS = 0x0b,
};

enum nvme_log {
	NVME_LOG_ERROR = 0x01,
	NVME_LOG_SMART = 0x02,
	NVME_LOG_FIRMWARE = 0x03,
	NVME_LOG_CHANGED = 0x04,
	NVME_LOG_EFFECTS = 0x05,
};

/* Asynchronous events, 5.2 */
#define NVME_EVENT_ERROR  0u
#define NVME_EVENT_SMART  1u
#define NVME_EVENT_NOTICE 2u
#define NVME_EVENT_TYPES  3u

#define NVME_EVENT_BAD_DOORBELL	      0u
#define NVME_EVENT_BAD_DOORBELL_VALUE 1u
#define NVME_EVENT_TRANSIENT	      4u /* internal error, the rest goes on */
#define NVME_EVENT_TEMPERATURE	      1u
#define NVME_EVENT_NS_CHANGED	      0u

#define NVME_NSID_ALL 0xffffffffu

/* Command dwords of the I/O commands */
#define NVME_RW_FUA	 (1u << 30)  /* cdw12 */
#define NVME_RW_PRINFO	 (15u << 26) /* cdw12 */
#define NVME_RW_DTYPE	 (15u << 20) /* cdw12 of Write */
#define NVME_ZEROES_DEAC (1u << 25)  /* cdw12 */
#define NVME_DSM_DISCARD (1u << 2)   /* cdw11 */

/* One range of Dataset Management, 6.7 */
struct nvme_dsm_range {
	uint32_t attributes;
	uint32_t blocks;
	uint64_t lba;
};
static_assert(sizeof(struct nvme_dsm_range) == 16, "a range is 16 bytes");

#endif
