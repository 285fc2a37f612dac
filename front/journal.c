/* SPDX-License-Identifier: BSD-3-Clause */
/* A ring of refusals: front/journal.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "front/journal.h"
#include "lib/lock.h"

struct journal {
	struct mutex lock; /* everything */
	uint64_t total;
	struct journal_entry entry[JOURNAL_MAX];
};

struct journal *journal_new(void)
{
	struct journal *j = calloc(1, sizeof(*j));

	if (j)
		mutex_init(&j->lock, RANK_LEAF, "journal");
	return j;
}

struct journal *journal_free(struct journal *j)
{
	if (!j)
		return NULL;
	mutex_done(&j->lock);
	free(j);
	return NULL;
}

void journal_add(struct journal *j, pid_t pid, const char *call, int err,
		 const char *reason)
{
	struct journal_entry e = {.pid = pid, .err = err};

	clock_gettime(CLOCK_REALTIME, &e.when);
	if (pid)
		proc_name(pid, e.program);
	snprintf(e.call, sizeof(e.call), "%s", call);
	snprintf(e.reason, sizeof(e.reason), "%s", reason);

	mutex_lock(&j->lock);
	j->entry[j->total++ % JOURNAL_MAX] = e;
	mutex_unlock(&j->lock);
}

uint64_t journal_total(struct journal *j)
{
	mutex_lock(&j->lock);
	uint64_t total = j->total;

	mutex_unlock(&j->lock);
	return total;
}

size_t journal_copy(struct journal *j, struct journal_entry *entries,
		    size_t max)
{
	mutex_lock(&j->lock);
	size_t n = j->total < JOURNAL_MAX ? (size_t)j->total : JOURNAL_MAX;

	if (n > max)
		n = max;
	for (size_t i = 0; i < n; i++)
		entries[i] = j->entry[(j->total - n + i) % JOURNAL_MAX];
	mutex_unlock(&j->lock);
	return n;
}
