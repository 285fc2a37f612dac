/* SPDX-License-Identifier: BSD-3-Clause */
/* What benchmarks that are VFIO programs share. */
#ifndef SOFTVFIO_TESTS_BENCH_DEVICE_H
#define SOFTVFIO_TESTS_BENCH_DEVICE_H

/** die() - End the program, saying why @what failed (errno) */
_Noreturn void die(const char *what);

/**
 * device_open() - A device's file, in a container of its own
 * @ret_container: type1 v2
 */
int device_open(const char *bdf, int *ret_container);

#endif
