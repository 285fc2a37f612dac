/* SPDX-License-Identifier: BSD-3-Clause */
/* The kinds of SV_NEED, for the files that serve them: need*.c. */
#ifndef SOFTVFIO_SHIM_CALL_NEED_IMPL_H
#define SOFTVFIO_SHIM_CALL_NEED_IMPL_H

#include "shim/call/need.h"

/** need_fds() - SV_NEED_FDS. Return: 0; -ENOMEM; -EIO */
int need_fds(struct needed *n, const int32_t *numbers, uint64_t count);

/** need_vmas() - SV_NEED_VMAS. Return: 0; -ENOMEM; -errno of /proc */
int need_vmas(struct needed *n, const struct sv_need *need);

/** need_mm() - SV_NEED_MM. Return: 0; -ENOMEM it cannot be had; -EMFILE, -ENFILE */
int need_mm(struct needed *n);

/**
 * need_bits() - SV_NEED_BITS. Return: 0, also when it cannot be written; -EIO
 * need_bits_begin() - A round with this mark; another than the last counts anew
 */
int need_bits(struct needed *n, const struct sv_need *need);
void need_bits_begin(struct needed *n, uint64_t mark);

#endif
