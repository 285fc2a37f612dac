/* SPDX-License-Identifier: BSD-3-Clause */
/* What a machine can't do: a skip that says why. */
#ifndef SOFTVFIO_TESTS_SKIP_H
#define SOFTVFIO_TESTS_SKIP_H

/*
 * skip_because("userfaultfd: %s", strerror(errno)): ends the test that runs as
 * one that could not be done here. Its line of TAP is "ok N - NAME # SKIP
 * REASON". Call it in a test function, not in a set-up, instead of skip().
 */
void skip_because(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
