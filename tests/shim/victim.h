/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the victims share: programs that use a VFIO file like anybody's, to be
 * run under the shim. The first argument is the file (a path, or "fd:N" for
 * one that was inherited), the second names the test, the others are its own.
 * A failed CHECK says so on standard output and ends the program.
 */
#ifndef SOFTVFIO_TESTS_SHIM_VICTIM_H
#define SOFTVFIO_TESTS_SHIM_VICTIM_H

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHECK(cond)                                                            \
	do {                                                                   \
		if (!(cond))                                                   \
			victim_fail(__FILE__, __LINE__, #cond, errno);         \
	} while (0)

/* A call that must fail, and how. */
#define CHECK_ERRNO(call, err)                                                 \
	do {                                                                   \
		errno = 0;                                                     \
		CHECK((long)(call) == -1 && errno == (err));                   \
	} while (0)

struct victim_test {
	const char *name;
	void (*run)(int fd, char **args);
};

/* The ioctls of fake_daemon.py. */
#define IOC_SUM	      0x3bc8
#define IOC_FDS	      0x3bc9
#define IOC_VMAS      0x3bca
#define IOC_MM	      0x3bcb
#define IOC_COPY      0x3bcc
#define IOC_WAIT_READ 0x3bcd
#define IOC_DIE	      0x3bce
#define IOC_FOREVER   0x3bcf
#define IOC_NEWFD     0x3bd0
#define IOC_ARGSZ     0x3bd1
#define IOC_VALUE     0x3bd2
#define IOC_COUNT     0x3bd3
#define IOC_CHANNELS  0x3bd4
#define IOC_DOORS     0x3bd5
#define IOC_FORGET    0x3bd6
#define IOC_STALE     0x3bd7
#define IOC_SILENCE   0x3bd8
#define IOC_VMAS_MM   0x3bd9

#define DATA_MAX     (64 << 10)
#define REGION_SIZE  (3 * DATA_MAX + 100)
#define ROUND_REGION (1L << 40)
#define BAR_SIZE     (16 * 4096)
#define BAR_MIXED    (1L << 41)
#define BAR_TRAP     (1L << 42)

struct ioc_sum {
	uint32_t n, zero;
	uint64_t addr, sum;
};

struct ioc_fds {
	uint32_t n, zero;
	uint64_t addr;
};

struct ioc_mm {
	uint64_t addr, value, mm_id[2];
};

struct ioc_copy {
	uint64_t addr;
	uint32_t len, zero;
};

static inline uint8_t region_byte(size_t off)
{
	return (uint8_t)(off * 7);
}

_Noreturn void victim_fail(const char *file, int line, const char *what,
			   int err);

/** victim_main() - Run the test the arguments name */
int victim_main(int argc, char **argv, const struct victim_test *tests);

#define VICTIM_KEPT_FROM 500 /* shim/call/line.c: KEEP_FROM */

/** victim_count_fds() - How many descriptors this process has, all told but
 * for those that the shim keeps */
int victim_count_fds(void);

/** victim_count_kept() - How many the shim keeps */
int victim_count_kept(void);

/** victim_bad_page() - A page nobody may touch, behind one that is fine */
char *victim_bad_page(void);

/**
 * victim_sandbox() - Forbid what some sandboxes forbid: process_vm_readv(),
 * process_vm_writev() and PROCMAP_QUERY
 */
void victim_sandbox(void);

/** victim_drop_root() - Become nobody, when root */
void victim_drop_root(void);

#endif
