/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdatomic.h>

#include "shim/base/peek.h"
#include "shim/shim.h"

static atomic_bool armed;

bool faults_armed(void)
{
	return atomic_load_explicit(&armed, memory_order_acquire);
}

void faults_set_armed(void)
{
	atomic_store_explicit(&armed, true, memory_order_release);
}

/* The load is the first instruction: a fault at it is one at its address. */
__asm__(".text\n"
	".globl peek_load, peek_failed\n"
	".hidden peek_load, peek_failed\n"
	".type peek_load, @function\n"
	"peek_load:\n"
	"	movzwl (%rdi), %eax\n"
	"	ret\n"
	"peek_failed:\n"
	"	xorl %eax, %eax\n"
	"	ret\n"
	".size peek_load, . - peek_load\n");

/*
 * By the cheapest call that reads eight bytes and then refuses, for no such
 * thing can be done to a mask.
 */
bool peek_readable(const char *path)
{
	const size_t set = 8, page = 4096;
	char head[2];

	if ((uintptr_t)path % page <= page - set)
		return SYS(rt_sigprocmask, -1, path, NULL, set) != -EFAULT;
	return shim_copy_in(head, path, sizeof(head)) == sizeof(head);
}
