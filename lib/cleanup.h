/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Scope-bound ownership: a resource is declared and acquired in one
 * statement, released when its scope ends, and handed on with TAKE_PTR() or
 * TAKE_FD(). Never mix this with goto-style unwinding in one function.
 */
#ifndef SOFTVFIO_LIB_CLEANUP_H
#define SOFTVFIO_LIB_CLEANUP_H

#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(f) __attribute__((cleanup(f)))

static inline void freep(void *p)
{
	free(*(void **)p);
}

static inline void closep(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

#define TAKE_PTR(p)                                                            \
	({                                                                     \
		__typeof__(p) taken_ = (p);                                    \
		(p) = NULL;                                                    \
		taken_;                                                        \
	})

#define TAKE_FD(fd)                                                            \
	({                                                                     \
		int taken_ = (fd);                                             \
		(fd) = -1;                                                     \
		taken_;                                                        \
	})

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#define container_of(ptr, type, member)                                        \
	((type *)((char *)(ptr)-offsetof(type, member)))

#endif
