/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Questions that are put to every ioctl whose argument is a structure which
 * begins with its size and flags.
 */
#include <stdlib.h>

#include "conformance/conformance.h"

#define ROOM 1024 /* for what a call may write behind the structure */

/* One case: the call with another size, flags or place. */
struct variant {
	const struct request *r;
	uint32_t value;
};

static void (*plain)(void *arg, size_t size);

void sweep_plain(void (*fn)(void *arg, size_t size))
{
	plain = fn;
}

/* What the call wrote, in words that are the same on every machine. */
static void say_written(const void *before, void *after, size_t size)
{
	if (plain)
		plain(after, size);
	say_changes(before, after, size);
}

long say_ioctl(const struct request *r, const void *arg, size_t size)
{
	uint8_t before[ROOM];
	uint8_t after[ROOM];

	memset(before, FILL, sizeof(before));
	memcpy(before, arg, size);
	memcpy(after, before, sizeof(before));
	long ret = say_ret(ioctl(*r->fd, r->cmd, after));

	say_written(before, after, sizeof(before));
	if (r->then)
		r->then();
	return ret;
}

/*
 * The good argument with another size. What an answer may not reach is filled,
 * so that zeroes written there are seen.
 */
static void with_argsz(const void *arg)
{
	const struct variant *v = arg;
	uint8_t bytes[ROOM];

	memcpy(bytes, v->r->arg, v->r->size);
	if (v->value >= v->r->min && v->value < v->r->size)
		memset(bytes + v->value, FILL, v->r->size - v->value);
	memcpy(bytes, &v->value, sizeof(v->value));
	say_ioctl(v->r, bytes, v->r->size);
}

static void with_flags(const void *arg)
{
	const struct variant *v = arg;
	uint8_t bytes[ROOM];

	memcpy(bytes, v->r->arg, v->r->size);
	memcpy(bytes + sizeof(v->value), &v->value, sizeof(v->value));
	say_ioctl(v->r, bytes, v->r->size);
}

static void run_argsz(const struct request *r, uint32_t argsz)
{
	const struct variant v = {r, argsz};

	run(with_argsz, &v, "%s.argsz.%u", r->name, argsz);
}

void sweep_argsz(const struct request *r)
{
	const uint32_t odd[] = {1, r->min - 1, r->min + 1, r->size + 1};
	static const uint32_t far[] = {ROOM, PAGE, INT32_MAX, UINT32_MAX};

	for (uint32_t argsz = 0; argsz <= r->size + 8; argsz += 4)
		run_argsz(r, argsz);
	for (size_t i = 0; i < COUNT(odd); i++)
		if (!i || odd[i] != odd[i - 1])
			run_argsz(r, odd[i]);
	for (size_t i = 0; i < COUNT(far); i++)
		run_argsz(r, far[i]);
}

void sweep_all(const struct request *r)
{
	sweep_argsz(r);
	sweep_flags(r);
	sweep_pointers(r);
}

static uint32_t good_flags(const struct request *r)
{
	uint32_t flags;

	memcpy(&flags, (const uint8_t *)r->arg + 4, sizeof(flags));
	return flags;
}

void sweep_flags(const struct request *r)
{
	uint32_t good = good_flags(r);

	for (unsigned int bit = 0; bit < 32; bit++) {
		struct variant alone = {r, 1u << bit};
		struct variant added = {r, good | 1u << bit};

		run(with_flags, &alone, "%s.flag.%02u", r->name, bit);
		if (good && !(good >> bit & 1))
			run(with_flags, &added, "%s.flag_added.%02u", r->name,
			    bit);
	}
	run(with_flags, &(struct variant){r, 0}, "%s.flags_none", r->name);
	run(with_flags, &(struct variant){r, UINT32_MAX}, "%s.flags_all",
	    r->name);
}

static void say_at(const struct request *r, void *p)
{
	say_ret(ioctl(*r->fd, r->cmd, p));
	if (r->then)
		r->then();
}

static void at_address(const void *arg)
{
	const struct variant *v = arg;
	static const uint64_t addresses[] = {
		0,
		8,
		0x7ffffffff000,
		0x800000000000,
		0xffff800000000000,
		UINT64_MAX,
	};

	say_at(v->r, (void *)addresses[v->value]);
}

static void at_nowhere(const void *arg)
{
	const struct variant *v = arg;

	say_at(v->r, nowhere());
}

static void at_read_only(const void *arg)
{
	const struct variant *v = arg;
	uint8_t *p = anon(PAGE);

	memcpy(p, v->r->arg, v->r->size);
	need(mprotect(p, PAGE, PROT_READ), "mprotect");
	say_at(v->r, p);
}

static void at_odd_address(const void *arg)
{
	const struct variant *v = arg;
	uint8_t *p = anon(PAGE);

	memcpy(p + 1, v->r->arg, v->r->size);
	say_at(v->r, p + 1);
	say_written(v->r->arg, p + 1, v->r->size);
}

static void at_page_end(const void *arg)
{
	const struct variant *v = arg;
	uint8_t *p = edge(v->value);

	memcpy(p, v->r->arg, v->value);
	say_at(v->r, p);
	say_written(v->r->arg, p, v->value);
}

/* Across two pages that are both there. */
static void at_straddle(const void *arg)
{
	const struct variant *v = arg;
	uint8_t *p = (uint8_t *)anon(2 * PAGE) + PAGE - v->value;

	memcpy(p, v->r->arg, v->r->size);
	say_at(v->r, p);
	say_written(v->r->arg, p, v->r->size);
}

/* The second of two pages can't be written. */
static void at_read_only_tail(const void *arg)
{
	const struct variant *v = arg;
	uint8_t *base = anon(2 * PAGE);
	uint8_t *p = base + PAGE - v->value;

	memcpy(p, v->r->arg, v->r->size);
	need(mprotect(base + PAGE, PAGE, PROT_READ), "mprotect");
	say_at(v->r, p);
	say_written(v->r->arg, p, v->r->size);
}

void sweep_pointers(const struct request *r)
{
	static const char *const names[] = {
		"null", "low", "top_of_user", "not_canonical", "kernel", "last",
	};
	struct variant v = {r, 0};

	for (v.value = 0; v.value < COUNT(names); v.value++)
		run(at_address, &v, "%s.at.%s", r->name, names[v.value]);
	run(at_nowhere, &v, "%s.at.prot_none", r->name);
	run(at_read_only, &v, "%s.at.read_only", r->name);
	run(at_odd_address, &v, "%s.at.odd", r->name);
	for (v.value = 0; v.value <= r->size; v.value += 4)
		run(at_page_end, &v, "%s.cut.%u", r->name, v.value);
	v.value = r->min - 1;
	run(at_page_end, &v, "%s.cut.%u", r->name, v.value);
	for (v.value = 4; v.value < r->size; v.value += 4)
		run(at_straddle, &v, "%s.straddle.%u", r->name, v.value);
	for (v.value = 4; v.value < r->size; v.value += 4)
		run(at_read_only_tail, &v, "%s.read_only_tail.%u", r->name,
		    v.value);
}

void sweep_whole(const char *name, const int *fd, unsigned long cmd,
		 const void *arg, uint32_t size, void (*then)(void))
{
	const struct request r = {
		.name = name,
		.fd = fd,
		.cmd = cmd,
		.arg = arg,
		.size = size,
		.min = size,
		.then = then,
	};

	sweep_all(&r);
}
