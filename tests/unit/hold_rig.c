/* SPDX-License-Identifier: BSD-3-Clause */
/* pread and pwrite, held up at one page: hold_rig.h. */
#include <stdint.h>
#include <unistd.h>

#include "lib/lock.h"
#include "lib/thread.h"
#include "tests/unit/hold_rig.h"
#include "tests/unit/mem_rig.h"

static struct {
	struct mutex lock;
	struct cond changed;
	uint64_t page; /* 0 = none */
	unsigned int inside;
} hold;

static void hold_up(off_t at)
{
	mutex_lock(&hold.lock);
	if (hold.page && (uint64_t)at / PAGE == hold.page / PAGE) {
		hold.inside++;
		cond_broadcast(&hold.changed);
		while (hold.page)
			cond_wait(&hold.changed, &hold.lock);
		hold.inside--;
		cond_broadcast(&hold.changed);
	}
	mutex_unlock(&hold.lock);
}

#define WRAP(name, buf_type)                                                   \
	ssize_t __real_##name(int fd, buf_type buf, size_t len, off_t at);     \
	ssize_t __wrap_##name(int fd, buf_type buf, size_t len, off_t at);     \
	ssize_t __wrap_##name(int fd, buf_type buf, size_t len, off_t at)      \
	{                                                                      \
		hold_up(at);                                                   \
		return __real_##name(fd, buf, len, at);                        \
	}

/* which of the names is used depends on _FILE_OFFSET_BITS */
WRAP(pread, void *)
WRAP(pread64, void *)
WRAP(pwrite, const void *)
WRAP(pwrite64, const void *)

void hold_init(void)
{
	mutex_init(&hold.lock, RANK_LEAF, "test.hold");
	cond_init(&hold.changed);
}

void hold_page(const void *page)
{
	mutex_lock(&hold.lock);
	hold.page = (uintptr_t)page;
	cond_broadcast(&hold.changed);
	mutex_unlock(&hold.lock);
}

void hold_wait_inside(unsigned int n)
{
	uint64_t deadline = clock_ns() + DEADLINE_NS;

	mutex_lock(&hold.lock);
	while (hold.inside != n)
		assert_true(
			cond_wait_until(&hold.changed, &hold.lock, deadline));
	mutex_unlock(&hold.lock);
}
