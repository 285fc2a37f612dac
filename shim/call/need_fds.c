/* SPDX-License-Identifier: BSD-3-Clause */
/* Files behind descriptor numbers of the program. */
#include "shim/call/need_impl.h"

#include "shim/call/line.h"

#include <fcntl.h>
#include <string.h>

/* The slot of a number, or the free one where it belongs. */
static uint16_t *fdref_slot(struct needed *n, int32_t number)
{
	uint32_t size = sizeof(n->slots) / sizeof(n->slots[0]);
	uint32_t at = (uint32_t)number % size;

	while (n->slots[at] && n->fdrefs[n->slots[at] - 1].number != number)
		at = (at + 1) % size;
	return &n->slots[at];
}

int need_fds(struct needed *n, const int32_t *numbers, uint64_t count)
{
	if (!n->n_fdrefs)
		memset(n->slots, 0, sizeof(n->slots));
	for (uint64_t i = 0; i < count; i++) {
		int32_t number;

		memcpy(&number, &numbers[i], sizeof(number));

		uint16_t *slot = fdref_slot(n, number);

		if (*slot)
			continue;
		if (n->n_fdrefs == SV_FDREFS_MAX)
			return -ENOMEM;
		n->fdrefs[n->n_fdrefs++] = (struct sv_fdref){number, -1};
		*slot = (uint16_t)n->n_fdrefs;
	}
	return 0;
}

/*
 * An O_PATH descriptor can be sent but not used: to every system call but the
 * *at() ones it is EBADF, and so it is here.
 */
static bool fd_usable(int fd)
{
	long flags = SYS(fcntl, fd, F_GETFL);

	return flags >= 0 && !(flags & O_PATH);
}

static bool fd_own(const struct needed *n, const struct line *line, int fd)
{
	if (fd == n->mem_fd || line_owns(line, fd))
		return true;
	for (uint32_t i = 0; i < n->n_files; i++)
		if (n->fds[i] == fd)
			return true;
	return false;
}

void need_collect(struct needed *n, const struct line *line)
{
	n->n_fds = n->n_files;
	for (uint32_t i = 0; i < n->n_fdrefs; i++) {
		struct sv_fdref *ref = &n->fdrefs[i];

		ref->index = -1;
		if (!fd_usable(ref->number) || fd_own(n, line, ref->number))
			continue;
		ref->index = (int32_t)n->n_fds;
		n->fds[n->n_fds++] = ref->number;
	}
	if (n->mem_fd >= 0)
		n->fds[n->n_fds++] = n->mem_fd;
}
