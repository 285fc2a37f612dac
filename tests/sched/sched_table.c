/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What asks a table first and changes it then. limit: two map where one mapping
 * has room; never are there two. domain: memory is named by address while
 * somebody attaches to a domain; who is attached finds none that is not looked
 * up, and listeners hear of what goes before they have gone themselves.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/dma/domain.h"
#include "rig.h"

#define PAGE_LEN 4096
#define ROUNDS	 3

static struct {
	struct mem *mem;
	int fd; /* 0: not made yet */
	struct type1 *type1;
	atomic_uint inside;

	struct iopt *iopt;
	struct domain *domain;
} g;

static void get_memory(void)
{
	if (!g.fd)
		g.fd = memfd_create("table", MFD_CLOEXEC);
	sched_expect(g.fd >= 0 && ftruncate(g.fd, PAGE_LEN) == 0, "memfd");
	sched_expect(mem_file(getpid(), g.fd, true, PAGE_LEN, &g.mem) == 0,
		     "mem_file");
}

/* --- limit --- */

static void map_once(uint64_t iova)
{
	struct mem_seg seg = {mem_get(g.mem), 0, PAGE_LEN};
	uint64_t unmapped = 0;

	sched_point("request: MAP");
	int r = rig_map_one(g.type1, iova, PAGE_LEN, IOPT_READ, &seg);

	if (r < 0) {
		sched_expect(r == -ENOSPC, "map: %s", strerror(-r));
		mem_put(seg.mem);
		seen(SEEN_REFUSED);
		return;
	}
	seen(SEEN_LANDED);
	sched_expect(atomic_fetch_add(&g.inside, 1) == 0,
		     "there are more mappings than there may be");
	linger("mapped");
	atomic_fetch_sub(&g.inside, 1);
	sched_expect(type1_unmap(g.type1, false, iova, PAGE_LEN, &unmapped) ==
				     0 &&
			     unmapped == PAGE_LEN,
		     "unmap");
}

static void *map_often(void *arg)
{
	for (unsigned int i = 0; i < ROUNDS; i++)
		map_once((uintptr_t)arg);
	return NULL;
}

static void limit(void *arg)
{
	static const struct actor actors[] = {
		{"mapper1", map_often, (void *)0x10000},
		{"mapper2", map_often, (void *)0x20000},
	};

	get_memory();
	g.type1 = rig_type1(TYPE1_V2, 1);
	sched_expect(g.type1, "type1");
	rig_race(actors, sizeof(actors) / sizeof(actors[0]));
	sched_expect(type1_avail(g.type1) == 1, "no room is left");
	g.type1 = type1_put(g.type1);
	g.mem = mem_put(g.mem);
}

static void finish_limit(bool all)
{
	close(g.fd);
	if (!all)
		return;
	saw(SEEN_LANDED, "there was room");
	saw(SEEN_REFUSED, "there was none");
}

const struct scenario scenario_limit = {"limit", limit, finish_limit, 120,
					false};

/* --- domain --- */

static int find_memory(void *opaque, struct mem_seg *segs, size_t max)
{
	sched_point("look up");
	segs[0] = (struct mem_seg){mem_get(g.mem), 0, PAGE_LEN};
	return 1;
}

static const struct pages_ops found_late = {find_memory, NULL};

static void *name_memory(void *arg)
{
	uint64_t iova = (uintptr_t)arg;

	for (unsigned int i = 0; i < ROUNDS; i++) {
		struct iopt_removed removed;
		struct pages *p = NULL;

		sched_expect(pages_new_late(getpid(), 0, PAGE_LEN, &found_late,
					    NULL, &p) == 0,
			     "pages");
		sched_expect(iopt_insert(g.iopt, iova, PAGE_LEN, IOPT_READ, p,
					 0) == 0,
			     "insert");
		pages_put(p);
		linger("mapped");
		iopt_remove(g.iopt, iova, iova + PAGE_LEN - 1, &removed);
		sched_expect(iopt_drop(g.iopt, &removed) == PAGE_LEN, "drop");
	}
	return NULL;
}

static bool is_known(void *opaque, const struct iopt_area *area)
{
	seen(SEEN_LANDED);
	sched_expect(pages_pinned(area->pages, 0, PAGE_LEN) == PAGE_LEN,
		     "a domain has an area without memory");
	return true;
}

struct hearer {
	struct iopt_listener l;
	atomic_bool there;
};

static void hear(struct iopt_listener *l, struct iova_range range)
{
	struct hearer *h = (struct hearer *)l;

	seen(SEEN_A);
	sched_expect(atomic_load(&h->there), "a listener that has gone hears");
	sched_point("hear");
	sched_expect(atomic_load(&h->there), "a listener goes while it hears");
}

static void *attach_often(void *arg)
{
	struct hearer h = {.l.unmap = hear, .there = true};

	for (unsigned int i = 0; i < ROUNDS; i++) {
		atomic_store(&h.there, true);
		iopt_listen(g.iopt, &h.l);
		sched_expect(domain_attach(g.domain, &h, NULL, 0) == 0,
			     "attach");
		iopt_for_each(g.iopt, IOPT_ALL, 0, is_known, NULL);
		linger("attached");
		iopt_for_each(g.iopt, IOPT_ALL, 0, is_known, NULL);
		domain_detach(g.domain, &h);
		iopt_unlisten(g.iopt, &h.l);
		atomic_store(&h.there, false);
		linger("gone");
	}
	return NULL;
}

static void domain(void *arg)
{
	static const struct actor actors[] = {
		{"mapper1", name_memory, (void *)0x10000},
		{"mapper2", name_memory, (void *)0x20000},
		{"attacher1", attach_often, NULL},
		{"attacher2", attach_often, NULL},
	};

	get_memory();
	sched_expect(iopt_new(&g.iopt) == 0, "iopt");
	sched_expect(domain_new(g.iopt, PAGE_LEN, &g.domain) == 0, "domain");
	rig_race(actors, sizeof(actors) / sizeof(actors[0]));
	g.domain = domain_put(g.domain);
	g.iopt = iopt_put(g.iopt);
	g.mem = mem_put(g.mem);
}

static void finish_domain(bool all)
{
	close(g.fd);
	if (!all)
		return;
	saw(SEEN_LANDED, "who was attached found memory");
	saw(SEEN_A, "a listener heard of a removal");
}

const struct scenario scenario_domain = {"domain", domain, finish_domain, 250,
					 false};
