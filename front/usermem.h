/* SPDX-License-Identifier: BSD-3-Clause */
/* What lies behind addresses of a program that makes a request. */
#ifndef SOFTVFIO_FRONT_USERMEM_H
#define SOFTVFIO_FRONT_USERMEM_H

#include <stdint.h>
#include <sys/types.h>

#include "core/dma/iopt.h"

struct call;

/**
 * struct usermem - Some of it
 * @prot: IOPT_READ and IOPT_WRITE bits: what the program itself must be allowed
 */
struct usermem {
	uint64_t addr;
	uint64_t size;
	uint32_t prot;
};

/**
 * usermem_pages() - What it is
 * @pid: whose share of segments it takes
 *
 * Files that the daemon can map are taken as files, BARs as BARs, all else by
 * way of the program's address space.
 *
 * Context: as the handler of an ioctl.
 * Return: 0; -ERESTART; -EFAULT a hole, or not permitted; as pages_new(), and
 * as mem_file() and mem_mm() where there is no other way.
 */
int usermem_pages(struct call *call, pid_t pid, const struct usermem *m,
		  struct pages **ret_pages);

#endif
