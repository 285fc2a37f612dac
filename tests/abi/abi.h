/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Promises of softvfio's that only it can be asked for: those of its own making
 * (its messages, its threads), and of hardware that the machine of conformance/
 * has not got. What a real kernel can be asked is a case there. Both have the
 * same fixtures; here a failure of one ends the area.
 *
 * One line of TAP is one promise.
 */
#ifndef SOFTVFIO_TESTS_ABI_H
#define SOFTVFIO_TESTS_ABI_H

#include "conformance/device.h"
#include "conformance/type1.h"

/* The value of a call, or -errno: what want() compares. */
#define R(call) call_result((long)(call))

static inline long call_result(long ret)
{
	return ret == -1 ? -errno : ret;
}

/* Reporting: each prints one TAP line and returns whether it was good. */
bool ok(bool good, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool want(long got, long expected, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/** device_all() - The @nth function with @role, and all it takes to use it */
void device_all(struct vfio *v, const char *role, unsigned int nth);

/** wait_child() - Its exit status; -signal when it was killed */
int wait_child(pid_t pid);

/* The areas */
void test_dirty(void);
void test_hotreset(void);
void test_msi(void);
void test_msix(void);
void test_process(void);

#endif
