/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A program is handed a BAR's memfd to map, and could truncate it. The daemon's
 * next touch of a page that is gone would be its end; instead the SIGBUS
 * handler puts a private page there. The program has damaged its own device;
 * nobody else's daemon dies of it.
 */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "core/bar_impl.h"

#define GUARDED_MAX 2048

/* Every view there is; slots are filled and emptied atomically. */
static struct {
	_Atomic(uint8_t *) start;
	_Atomic uint64_t len;
} guarded[GUARDED_MAX];

static struct sigaction guard_next;

void bar_guard_add(struct bar *bar)
{
	for (size_t i = 0; i < GUARDED_MAX; i++) {
		uint8_t *empty = NULL;

		if (!atomic_compare_exchange_strong(&guarded[i].start, &empty,
						    bar->view))
			continue;
		atomic_store(&guarded[i].len, bar->len);
		return;
	}
}

void bar_guard_remove(struct bar *bar)
{
	for (size_t i = 0; i < GUARDED_MAX; i++) {
		if (atomic_load(&guarded[i].start) != bar->view)
			continue;
		atomic_store(&guarded[i].len, 0);
		atomic_store(&guarded[i].start, NULL);
	}
}

static bool guard_repair(uint8_t *addr)
{
	for (size_t i = 0; i < GUARDED_MAX; i++) {
		uint8_t *start = atomic_load(&guarded[i].start);

		if (!start || addr < start ||
		    addr >= start + atomic_load(&guarded[i].len))
			continue;
		addr = (uint8_t *)((uintptr_t)addr & ~(uintptr_t)(PAGE - 1));
		return mmap(addr, PAGE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
			    0) != MAP_FAILED;
	}
	return false;
}

static void guard_signal(int sig, siginfo_t *info, void *ucontext)
{
	int err = errno;
	bool repaired = guard_repair(info->si_addr);

	errno = err;
	if (repaired)
		return;
	if (guard_next.sa_flags & SA_SIGINFO)
		guard_next.sa_sigaction(sig, info, ucontext);
	else
		sigaction(SIGBUS, &guard_next, NULL); /* happens again */
}

int bar_guard_init(void)
{
	struct sigaction sa = {
		.sa_sigaction = guard_signal,
		.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER,
	};

	return sigaction(SIGBUS, &sa, &guard_next) < 0 ? -errno : 0;
}
