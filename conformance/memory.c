/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory of the kinds that calls are given.
 */
#include "conformance/conformance.h"

static void *map(size_t size, int prot)
{
	void *p = mmap(NULL, size, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	need(p == MAP_FAILED ? -1 : 0, "mmap of memory");
	return p;
}

void *anon(size_t size)
{
	return map(size, RW);
}

void *nowhere(void)
{
	return map(PAGE, PROT_NONE);
}

void *edge(size_t size)
{
	size_t whole = (size + PAGE - 1) / PAGE * PAGE;
	uint8_t *p = anon(whole + PAGE);

	memset(p, FILL, whole);
	need(mprotect(p + whole, PAGE, PROT_NONE), "mprotect");
	return p + whole - size;
}

int memfd(size_t size)
{
	int fd = (int)need(memfd_create("conformance", MFD_CLOEXEC), "memfd");

	need(ftruncate(fd, (off_t)size), "ftruncate");
	return fd;
}
