/* SPDX-License-Identifier: BSD-3-Clause */
/* The last refusals: front/journal.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "front/journal.h"
#include "lib/lock.h"

struct journal {
	struct mutex lock; /* everything */
	uint64_t total;
	struct slot {
		uint64_t nr;	   /* which one it was, from 1 on; 0 = empty */
		unsigned int held; /* how many are of the same process */
		struct journal_entry entry;
	} slot[JOURNAL_MAX];
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

static unsigned int held_locked(const struct journal *j, pid_t pid)
	REQUIRES(&j->lock)
{
	unsigned int n = 0;

	for (size_t i = 0; i < JOURNAL_MAX; i++)
		n += j->slot[i].nr && j->slot[i].entry.pid == pid;
	return n;
}

static void set_held_locked(struct journal *j, pid_t pid, unsigned int held)
	REQUIRES(&j->lock)
{
	for (size_t i = 0; i < JOURNAL_MAX; i++)
		if (j->slot[i].nr && j->slot[i].entry.pid == pid)
			j->slot[i].held = held;
}

/* When an entry goes: first the older ones of a process that has more than its
 * share, then the older ones. */
static uint64_t rank_locked(const struct journal *j, const struct slot *s)
	REQUIRES(&j->lock)
{
	return s->nr + (s->held <= JOURNAL_EACH ? j->total : 0);
}

/* One that is refused all day leaves the others' reasons alone. */
static struct slot *slot_for_locked(struct journal *j, pid_t pid)
	REQUIRES(&j->lock)
{
	struct slot *first = NULL;
	uint64_t lowest = UINT64_MAX;

	if (j->total < JOURNAL_MAX)
		return &j->slot[j->total];

	bool own = held_locked(j, pid) >= JOURNAL_EACH;

	for (struct slot *s = j->slot; s < j->slot + JOURNAL_MAX; s++) {
		if (own && s->entry.pid != pid)
			continue;

		uint64_t rank = rank_locked(j, s);

		if (rank < lowest) {
			first = s;
			lowest = rank;
		}
	}
	return first;
}

static void insert_locked(struct journal *j, const struct journal_entry *e)
	REQUIRES(&j->lock)
{
	struct slot *s = slot_for_locked(j, e->pid);

	if (s->nr)
		set_held_locked(j, s->entry.pid, s->held - 1);
	*s = (struct slot){.nr = ++j->total, .entry = *e};
	set_held_locked(j, e->pid, held_locked(j, e->pid));
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
	insert_locked(j, &e);
	mutex_unlock(&j->lock);
}

uint64_t journal_total(struct journal *j)
{
	mutex_lock(&j->lock);
	uint64_t total = j->total;

	mutex_unlock(&j->lock);
	return total;
}

static int by_age(const void *a, const void *b)
{
	const struct slot *const *x = a, *const *y = b;

	return ((*x)->nr > (*y)->nr) - ((*x)->nr < (*y)->nr);
}

size_t journal_copy(struct journal *j, struct journal_entry *entries,
		    size_t max)
{
	const struct slot *slot[JOURNAL_MAX];
	size_t n = 0;

	mutex_lock(&j->lock);
	for (size_t i = 0; i < JOURNAL_MAX; i++)
		if (j->slot[i].nr)
			slot[n++] = &j->slot[i];
	qsort(slot, n, sizeof(slot[0]), by_age);
	if (max > n)
		max = n;
	for (size_t i = 0; i < max; i++)
		entries[i] = slot[n - max + i]->entry;
	mutex_unlock(&j->lock);
	return max;
}
