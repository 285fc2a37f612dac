/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A program is handed a BAR's memfd to map, and could truncate it. The daemon's
 * next touch of a page that is gone would be its end; instead the SIGBUS
 * handler gives the file its length back, which takes no memory and no mapping,
 * so nothing that programs use up can be in its way. The program has damaged
 * its own device; nobody else's daemon dies of it.
 *
 * A program that goes on truncating could have the same touch fail again and
 * again, and so does a host without a page to give. After REPAIRS_MAX the whole
 * view becomes private memory of the daemon, one mapping in the place of one,
 * until the BAR is next opened or cleared.
 *
 * Whoever touches a view holds memory_lock, so no gate is opened by this.
 */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/pci/bar_impl.h"
#include "core/common/share.h"

#define GUARDED_MAX (MACHINE_DEVICES_MAX * SV_NUM_BARS)
#define REPAIRS_MAX 1000 /* since the BAR was opened or cleared */

/* Every view there is; slots are filled and emptied atomically. */
static struct {
	_Atomic(uint8_t *) start;
	_Atomic(struct bar *) bar;
	_Atomic uint64_t len; /* set last, unset first */
} guarded[GUARDED_MAX];

static struct sigaction guard_next;

void bar_guard_add(struct bar *bar)
{
	for (size_t i = 0; i < GUARDED_MAX; i++) {
		uint8_t *empty = NULL;

		if (!atomic_compare_exchange_strong(&guarded[i].start, &empty,
						    bar->view))
			continue;
		atomic_store(&guarded[i].bar, bar);
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

static struct bar *guard_find(const uint8_t *addr)
{
	for (size_t i = 0; i < GUARDED_MAX; i++) {
		const uint8_t *start = atomic_load(&guarded[i].start);

		if (start && addr >= start &&
		    addr < start + atomic_load(&guarded[i].len))
			return atomic_load(&guarded[i].bar);
	}
	return NULL;
}

static bool guard_replace(struct bar *bar)
{
	atomic_store(&bar->replaced, true);
	return mmap(bar->view, bar->len, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1,
		    0) != MAP_FAILED;
}

static bool guard_repair(struct bar *bar)
{
	if (atomic_fetch_add(&bar->repairs, 1) < REPAIRS_MAX && !bar->closed &&
	    ftruncate(bar->memfd, (off_t)bar->len) == 0)
		return true;
	return guard_replace(bar);
}

bool bar_mend_view(struct bar *bar)
{
	atomic_store(&bar->repairs, 0);
	if (!atomic_load(&bar->replaced))
		return true;
	if (mmap(bar->view, bar->len, PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_NORESERVE | MAP_FIXED, bar->memfd,
		 0) == MAP_FAILED)
		return false;
	atomic_store(&bar->replaced, false);
	return true;
}

static void guard_signal(int sig, siginfo_t *info, void *ucontext)
{
	int err = errno;
	struct bar *bar = guard_find(info->si_addr);
	bool repaired = bar && guard_repair(bar);

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
