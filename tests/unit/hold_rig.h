/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Copies of a program's memory that are held up. The host kernel has no way to
 * hold up /proc/PID/mem that a test may use everywhere (userfaultfd does not,
 * FUSE needs privilege), so who uses this is linked with pread and pwrite
 * wrapped, and holds them up by itself.
 */
#ifndef SOFTVFIO_TESTS_HOLD_RIG_H
#define SOFTVFIO_TESTS_HOLD_RIG_H

/** hold_init() - Before the first of them */
void hold_init(void);

/** hold_page() - From now on copies of that page are held up; NULL: let go */
void hold_page(const void *page);

/** hold_wait_inside() - Until @n copies are held up, or have all got away (0) */
void hold_wait_inside(unsigned int n);

#endif
