/* SPDX-License-Identifier: BSD-3-Clause */
/* RLIMIT_MEMLOCK for DMA mappings: front/vfio/account.h. */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/resource.h>

#include "core/vfio/type1.h"
#include "front/vfio/account.h"
#include "front/call.h"
#include "lib/refuse.h"

#define CAP_IPC_LOCK 14

static bool may_lock_all(pid_t pid)
{
	char path[32], line[128];
	uint64_t caps = 0;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	FILE *f = fopen(path, "re");

	if (!f)
		return false;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "CapEff: %" SCNx64, &caps) == 1)
			break;
	fclose(f);
	return caps >> CAP_IPC_LOCK & 1;
}

int account_check(struct call *call, struct type1 *type1, uint64_t size)
{
	struct rlimit limit;

	if (!size || !call->conf->memlock_enforce || may_lock_all(call->pid) ||
	    prlimit(call->pid, RLIMIT_MEMLOCK, NULL, &limit) < 0)
		return 0;

	uint64_t locked = type1_pinned(type1);

	if (size <= limit.rlim_cur && locked <= limit.rlim_cur - size)
		return 0;
	return refuse(ENOMEM,
		      "MAP_DMA: %" PRIu64 " bytes mapped and %" PRIu64
		      " more exceed RLIMIT_MEMLOCK of %" PRIu64,
		      locked, size, (uint64_t)limit.rlim_cur);
}
