/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Locked-memory accounting of DMA mappings against RLIMIT_MEMLOCK, as
 * vfio_iommu_type1 charges locked_vm: every mapping counts in full, the same
 * page mapped twice counts twice. BARs are not locked and do not count.
 *
 * Enforced only with --memlock=enforce: programs that use VFIO run as root on
 * real systems, or with the limit raised, and the usual 8 MiB would stop them.
 */
#ifndef SOFTVFIO_FRONT_VFIO_ACCOUNT_H
#define SOFTVFIO_FRONT_VFIO_ACCOUNT_H

#include <stdint.h>

struct type1;
struct call;

/**
 * account_check() - May the program lock @size bytes more; none it always may
 *
 * Context: takes the lock of the table for reading; reads /proc.
 * Return: 0; -ENOMEM beyond the caller's RLIMIT_MEMLOCK, enforcement is on and
 * the caller lacks CAP_IPC_LOCK.
 */
int account_check(struct call *call, struct type1 *type1, uint64_t size);

#endif
