/* SPDX-License-Identifier: BSD-3-Clause */
/* A program with memory of its own, for the tests of core/dma/mem*.c. */
#ifndef SOFTVFIO_TESTS_MEM_RIG_H
#define SOFTVFIO_TESTS_MEM_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <cmocka.h>

#include "core/dma/mem.h"
#include "lib/cleanup.h"
#include "lib/size.h"

#define DEADLINE_NS 10000000000ull

/* A program: its heap, four anonymous pages, and no page behind those. */
struct program {
	pid_t pid;
	struct mm_id id;
	int mem_fd;
	int go; /* closing it lets the program check and exit */
	uint8_t *heap;
	uint8_t *pages;
};

#define HEAP_SAYS   "heap of the child"
#define PAGES_SAY   "pages of the child"
#define DEVICE_SAYS "from the device"

void program_start(struct program *p);

/** program_end() - Its exit status: 0 when it found what the device wrote */
int program_end(struct program *p);
void program_done(struct program *p);
struct mem *program_mem(struct program *p);

static inline uint64_t va(const void *p)
{
	return (uintptr_t)p;
}

/** count_from_now() - Before all tests, for the one that comes last */
void count_from_now(void);
void nothing_is_left_behind(void **state);

#endif
