/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory, and mappings of it that must succeed; after cmocka.h. */
#ifndef SOFTVFIO_TESTS_UNIT_RAM_RIG_H
#define SOFTVFIO_TESTS_UNIT_RAM_RIG_H

#include <sys/mman.h>
#include <unistd.h>

#include "tests/unit/map_rig.h"

#define PAGE 4096ull
#define RW   (IOPT_READ | IOPT_WRITE)

/* A memfd, our own view of it, and its struct mem. */
struct ram {
	int fd;
	uint64_t len;
	uint8_t *bytes;
	struct mem *mem;
};

static inline void ram_init(struct ram *ram, uint64_t len)
{
	ram->fd = memfd_create("test", MFD_CLOEXEC);
	ram->len = len;
	assert_true(ram->fd >= 0);
	assert_int_equal(ftruncate(ram->fd, (off_t)len), 0);
	ram->bytes =
		mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, ram->fd, 0);
	assert_true(ram->bytes != MAP_FAILED);
	assert_int_equal(mem_file(getpid(), ram->fd, true, len, &ram->mem), 0);
}

static inline void ram_done(struct ram *ram)
{
	mem_put(ram->mem);
	munmap(ram->bytes, ram->len);
	close(ram->fd);
}

static inline struct type1 *new_type1(uint64_t version, uint32_t max)
{
	struct type1 *t = rig_type1(version, max);

	assert_non_null(t);
	return t;
}

/* Map to @off of @ram; vaddr is 1 GiB + off, so that it is told from iova. */
static inline int map(struct type1 *t, struct ram *ram, uint64_t iova,
		      uint64_t size, uint32_t prot, uint64_t off)
{
	const struct type1_map map = {(1ull << 30) + off, iova, size, prot};
	struct mem_seg seg = {mem_get(ram->mem), off, size};
	int r = rig_map(t, &map, &seg, 1);

	if (r < 0)
		mem_put(seg.mem);
	return r;
}

static inline uint64_t unmap(struct type1 *t, uint64_t iova, uint64_t size)
{
	uint64_t n = ~0ull;

	assert_int_equal(type1_unmap(t, false, iova, size, &n), 0);
	return n;
}

#endif
