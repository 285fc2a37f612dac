/* SPDX-License-Identifier: BSD-3-Clause */
/* QEMU's edu, for the files of its area: area_edu.c, edu_dma.c. */
#ifndef SOFTVFIO_CONFORMANCE_EDU_H
#define SOFTVFIO_CONFORMANCE_EDU_H

#include "conformance/device.h"
#include "conformance/type1.h"

enum {
	REG_ID = 0x00,
	REG_LIVENESS = 0x04,
	REG_FACTORIAL = 0x08,
	REG_STATUS = 0x20,
	REG_IRQ_STATUS = 0x24,
	REG_RAISE = 0x60,
	REG_ACK = 0x64,
	REG_SRC = 0x80,
	REG_DST = 0x88,
	REG_COUNT = 0x90,
	REG_CMD = 0x98,
};

#define BUFFER 0x40000 /* as the device addresses it */

#define STATUS_COMPUTING 0x01
#define STATUS_IRQ	 0x80
#define DMA_START	 1
#define DMA_FROM_DEVICE	 2
#define DMA_IRQ		 4
#define IRQ_OF_FACTORIAL 0x001
#define IRQ_OF_DMA	 0x100

#define IOVA  0x100000
#define MOVED 2048 /* at most */

/** edu - The one that cases are about */
extern struct vfio edu;

static inline uint32_t reg(uint32_t at)
{
	return rd32(edu.device, at);
}

static inline void reg_set(uint32_t at, uint32_t val)
{
	wr32(edu.device, at, val);
}

/** edu_msi_on() - One message may be sent. Return: its eventfd */
int edu_msi_on(void);

/**
 * edu_dma() - The cases of DMA
 * edu_dma_by_itself() - Those that open what they need
 */
void edu_dma(void);
void edu_dma_by_itself(void);

#endif
