/* SPDX-License-Identifier: BSD-3-Clause */
/* Each program's share of every common limit: core/common/share.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <sys/resource.h>

#include "core/common/share.h"
#include "lib/lock.h"
#include "lib/refuse.h"

#define BUCKETS	  256
#define FEW	  65536 /* a quarter of these may be too little to work with */
#define MAP_COUNT 65530 /* Linux's default of vm.max_map_count */

#define TIB (1ull << 40)

static struct share_limit limits[SHARE_KINDS] = {
	[SHARE_FDS] = {"descriptors", 1u << 20, 1u << 18, ENFILE, EMFILE,
		       false},
	[SHARE_FILES] = {"open files", 16384, 4096, ENFILE, EMFILE, true},
	[SHARE_DOORS] = {"connections", 8192, 1024, ENFILE, EMFILE, true},
	[SHARE_CHANNELS] = {"channels", 1024, 16, ENFILE, EMFILE, true},
	[SHARE_CLOSING] = {"descriptors to be closed", 16384, 4096, ENFILE,
			   EMFILE, true},
	[SHARE_PARKED] = {"requests that wait for a device", 1024, 256, EBUSY,
			  EBUSY, false},
	[SHARE_WORKERS] = {"address spaces used for DMA", 1024, 16, ENOMEM,
			   ENOMEM, true},
	[SHARE_EVENTFDS] = {"eventfds", 1u << 18, 1u << 16, ENFILE, EMFILE,
			    true},
	[SHARE_BAR_MAPS] = {"mappings of BARs", 65536, 16384, ENOMEM, ENOMEM,
			    false},
	[SHARE_SEGMENTS] = {"stretches of memory mapped for DMA", 1u << 22,
			    1u << 20, ENOMEM, ENOMEM, false},
	[SHARE_MAPPED_FILES] = {"files mapped for DMA", 49152, 12288, ENOSPC,
				ENOSPC, false},
	[SHARE_MAPPED_BYTES] = {"bytes of files mapped for DMA", 64 * TIB,
				16 * TIB, ENOSPC, ENOSPC, false},
};

/* One that holds something. */
struct program {
	LIST_ENTRY(program) link;
	pid_t pid;	   /* immutable */
	uint64_t n_shares; /* those that point here */
	uint64_t held[SHARE_KINDS];
};

LIST_HEAD(programs, program);

static struct mutex lock = {PTHREAD_MUTEX_INITIALIZER, RANK_LEAF, "shares"};
static struct programs bucket[BUCKETS] GUARDED_BY(&lock);
static uint64_t used[SHARE_KINDS] GUARDED_BY(&lock); /* by all programs */

const struct share_limit *share_limit(enum share_kind kind)
{
	return &limits[kind];
}

static struct program *find_locked(pid_t pid) REQUIRES(&lock)
{
	struct program *p;

	LIST_FOREACH (p, &bucket[(unsigned int)pid % BUCKETS], link)
		if (p->pid == pid)
			break;
	return p;
}

static struct program *get_locked(pid_t pid) REQUIRES(&lock)
{
	struct program *p = find_locked(pid);

	if (p)
		return p;
	p = calloc(1, sizeof(*p));
	if (p) {
		p->pid = pid;
		LIST_INSERT_HEAD(&bucket[(unsigned int)pid % BUCKETS], p, link);
	}
	return p;
}

static void put_locked(struct program *p) REQUIRES(&lock)
{
	if (p->n_shares)
		return;
	LIST_REMOVE(p, link);
	free(p);
}

static int check_locked(const struct program *p, enum share_kind kind,
			uint64_t n) REQUIRES(&lock)
{
	const struct share_limit *l = &limits[kind];

	if (n > l->each || p->held[kind] > l->each - n)
		return refuse(l->each_err, "more than %llu %s of process %d",
			      (unsigned long long)l->each, l->what,
			      (int)p->pid);
	if (n > l->all || used[kind] > l->all - n)
		return refuse(l->all_err, "more than %llu %s in all",
			      (unsigned long long)l->all, l->what);
	return 0;
}

static void add_locked(struct program *p, enum share_kind kind, uint64_t n)
	REQUIRES(&lock)
{
	p->held[kind] += n;
	used[kind] += n;
	if (limits[kind].is_fd)
		add_locked(p, SHARE_FDS, n);
}

static void charge_locked(struct share *share, struct program *p,
			  enum share_kind kind, uint64_t n) REQUIRES(&lock)
{
	add_locked(p, kind, n);
	if (!share->program) {
		*share = (struct share){.program = p, .kind = kind};
		p->n_shares++;
	}
	share->n += n;
}

static int take_locked(struct share *share, struct program *p,
		       enum share_kind kind, uint64_t n) REQUIRES(&lock)
{
	int r = check_locked(p, kind, n);

	if (r == 0 && limits[kind].is_fd)
		r = check_locked(p, SHARE_FDS, n);
	if (r == 0)
		charge_locked(share, p, kind, n);
	return r;
}

void share_add(struct share *share, enum share_kind kind, pid_t pid, uint64_t n)
{
	mutex_lock(&lock);
	struct program *p = share->program ? share->program : get_locked(pid);

	if (p)
		charge_locked(share, p, kind, n);
	mutex_unlock(&lock);
}

/* Of the row that has less, where each costs a descriptor. */
static uint64_t less(uint64_t own, uint64_t fds, enum share_kind kind)
{
	return limits[kind].is_fd && fds < own ? fds : own;
}

static bool crowded_locked(const struct program *p, enum share_kind kind)
	REQUIRES(&lock)
{
	const struct share_limit *l = &limits[kind], *fds = &limits[SHARE_FDS];

	if (limits[kind].is_fd &&
	    (p->held[SHARE_FDS] >= fds->each || used[SHARE_FDS] >= fds->all))
		return true;
	return p->held[kind] > less(l->each, fds->each, kind) / 2 ||
	       used[kind] > less(l->all, fds->all, kind) / 2;
}

bool share_crowded(enum share_kind kind, pid_t pid)
{
	static const struct program nobody;

	mutex_lock(&lock);
	const struct program *p = find_locked(pid);
	bool crowded = crowded_locked(p ? p : &nobody, kind);

	mutex_unlock(&lock);
	return crowded;
}

int share_take(struct share *share, enum share_kind kind, pid_t pid, uint64_t n)
{
	int r = -ENOMEM;

	mutex_lock(&lock);
	struct program *p = share->program ? share->program : get_locked(pid);

	if (p) {
		r = take_locked(share, p, kind, n);
		put_locked(p);
	}
	mutex_unlock(&lock);
	return r;
}

void share_less(struct share *share, uint64_t n)
{
	mutex_lock(&lock);
	struct program *p = share->program;

	add_locked(p, share->kind, -n);
	share->n -= n;
	if (!share->n) {
		*share = (struct share){0};
		p->n_shares--;
		put_locked(p);
	}
	mutex_unlock(&lock);
}

void share_give(struct share *share)
{
	if (share->program)
		share_less(share, share->n);
}

uint64_t share_held(enum share_kind kind, pid_t pid)
{
	mutex_lock(&lock);
	const struct program *p = find_locked(pid);
	uint64_t held = p ? p->held[kind] : 0;

	mutex_unlock(&lock);
	return held;
}

void share_lower(enum share_kind kind, uint64_t all)
{
	struct share_limit *l = &limits[kind];
	uint64_t each = all < FEW ? (all + 1) / 2 : all / 4;

	if (all < l->all)
		l->all = all;
	if (each < l->each)
		l->each = each;
}

static uint64_t max_map_count(void)
{
	FILE *f = fopen("/proc/sys/vm/max_map_count", "re");
	unsigned long long n = MAP_COUNT;

	if (!f)
		return n;
	if (fscanf(f, "%llu", &n) != 1)
		n = MAP_COUNT;
	fclose(f);
	return n;
}

static uint64_t three_quarters(uint64_t n)
{
	return n - n / 4;
}

void share_init(void)
{
	struct rlimit nofile;

	if (getrlimit(RLIMIT_NOFILE, &nofile) == 0 &&
	    nofile.rlim_cur != RLIM_INFINITY)
		share_lower(SHARE_FDS, three_quarters(nofile.rlim_cur));
	share_lower(SHARE_MAPPED_FILES, three_quarters(max_map_count()));
}
