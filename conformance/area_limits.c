/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How many mappings there may be, and how much memory in them.
 */
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "conformance/type1.h"

#define READ VFIO_DMA_MAP_FLAG_READ

static struct vfio v;
static uint8_t *mem;

static void unmap_all(void)
{
	dma_unmap_all(v.container);
}

/* Number of mappings */

static void say_map(const char *key, uint64_t page)
{
	say_step(key, dma_map(v.container, mem, page * PAGE, PAGE, READ));
}

static void say_unmap(uint64_t page, uint64_t pages)
{
	uint64_t size = pages * PAGE;

	say_step("unmap", dma_unmap(v.container, page * PAGE, &size, 0));
	say("size=%#" PRIx64, size);
}

/* To the last one, and what then comes first. */
static void entries(const void *arg)
{
	uint64_t made = 0;

	while (made <= DMA_ENTRY_LIMIT &&
	       !dma_map(v.container, mem, (made + 1) * PAGE, PAGE, READ))
		made++;
	say("made=%" PRIu64 " errno=%s", made, errno_name(errno));
	say_mappings(v.container);
	say_map("overlap", 1);
	say_step("misaligned",
		 dma_map(v.container, mem, PAGE * 70000 + 1, PAGE, READ));
	say_step("no_memory",
		 dma_map(v.container, NULL, PAGE * 70000, PAGE, READ));
	say_step("window", dma_map(v.container, mem, 0xfee00000, PAGE, READ));
	say_step("no_flags", dma_map(v.container, mem, PAGE * 70000, PAGE, 0));
	say_unmap(5, 1);
	say_map("replaced", 5);
	say_map("one_more", 70000);
	say_unmap(1, made);
	say_mappings(v.container);
}

/* Locked memory */

static void drop_capability(void)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {0};

	need(syscall(SYS_capget, &head, data), "capget");
	data[0].effective &= ~(1u << CAP_IPC_LOCK);
	need(syscall(SYS_capset, &head, data), "capset");
}

static void limit_pages(rlim_t pages)
{
	const struct rlimit limit = {pages * PAGE, pages * PAGE};

	need(setrlimit(RLIMIT_MEMLOCK, &limit), "setrlimit");
}

static void lock_map(const char *key, uint64_t page, uint64_t pages)
{
	say_step(key,
		 dma_map(v.container, mem, page * PAGE, pages * PAGE, MAP_RW));
}

static long locked_pages(void)
{
	char text[256];
	long kib = -1;
	FILE *f = fopen("/proc/self/status", "re");

	while (f && fgets(text, sizeof(text), f))
		if (sscanf(text, "VmLck: %ld", &kib) == 1)
			break;
	if (f)
		fclose(f);
	return kib < 0 ? -1 : kib / 4;
}

static void say_locked(void)
{
	say("locked=%ld", locked_pages());
}

static void lock_over(const void *arg)
{
	drop_capability();
	limit_pages(8);
	lock_map("over", 0x100, 9);
	say_mappings(v.container);
	lock_map("exact", 0x100, 8);
	lock_map("more", 0x200, 1);
	say_mappings(v.container);
}

static void lock_none(const void *arg)
{
	drop_capability();
	limit_pages(0);
	lock_map("map", 0x100, 1);
	say_mappings(v.container);
}

static void lock_less_than_page(const void *arg)
{
	const struct rlimit limit = {2 * PAGE - 1, 2 * PAGE - 1};

	drop_capability();
	need(setrlimit(RLIMIT_MEMLOCK, &limit), "setrlimit");
	lock_map("one", 0x100, 1);
	lock_map("two", 0x200, 1);
}

/* The same pages count each time. */
static void lock_same_pages(const void *arg)
{
	drop_capability();
	limit_pages(8);
	lock_map("first", 0x100, 4);
	lock_map("second", 0x200, 4);
	lock_map("third", 0x300, 1);
	say_mappings(v.container);
}

static void lock_given_back(const void *arg)
{
	drop_capability();
	limit_pages(8);
	lock_map("map", 0x100, 8);
	lock_map("full", 0x200, 4);
	say_unmap(0x100, 8);
	lock_map("again", 0x200, 8);
}

static void lock_privileged(const void *arg)
{
	limit_pages(0);
	lock_map("map", 0x100, 16);
	say_mappings(v.container);
}

/* The capability counts when a mapping is made. */
static void lock_then_dropped(const void *arg)
{
	limit_pages(8);
	lock_map("with", 0x100, 16);
	drop_capability();
	lock_map("without", 0x200, 8);
	say_unmap(0x100, 16);
	lock_map("after_unmap", 0x200, 8);
}

static void lock_lowered(const void *arg)
{
	drop_capability();
	limit_pages(8);
	lock_map("map", 0x100, 8);
	limit_pages(2);
	lock_map("more", 0x200, 1);
	say_unmap(0x100, 8);
	lock_map("two", 0x200, 2);
	lock_map("three", 0x300, 1);
}

/* Each process has an allowance of its own. */
static void lock_in_child(const void *arg)
{
	drop_capability();
	limit_pages(8);
	lock_map("parent", 0x100, 8);
	pid_t pid = fork();

	if (!pid) {
		lock_map("child", 0x200, 8);
		lock_map("child_more", 0x300, 1);
		_exit(0);
	}
	waitpid(pid, NULL, 0);
	lock_map("parent_more", 0x400, 1);
}

/* What was locked by mlock() counts as well. */
static void lock_with_mlock(const void *arg)
{
	limit_pages(8);
	drop_capability();
	say_step("mlock", mlock(mem + 16 * PAGE, 4 * PAGE));
	lock_map("half", 0x100, 4);
	lock_map("more", 0x200, 1);
}

static void lock_large(const void *arg)
{
	void *huge = mmap(NULL, 2ul << 20, RW,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);

	if (huge == MAP_FAILED)
		skip("no free huge page");
	drop_capability();
	limit_pages(8);
	say_ret(dma_map(v.container, huge, 2ul << 20, 2ul << 20, MAP_RW));
	say_mappings(v.container);
}

static void lock_as_user(const void *arg)
{
	limit_pages(8);
	if (setresuid(65534, 65534, 65534))
		skip("cannot become another user");
	lock_map("map", 0x100, 8);
	lock_map("more", 0x200, 1);
	say_unmap(0x100, 8);
}

static void lock_counted(const void *arg)
{
	say_locked();
	lock_map("map", 0x100, 8);
	say_locked();
	lock_map("same", 0x200, 8);
	say_locked();
	lock_map("refused", 0x200, 8);
	say_locked();
	say_unmap(0x100, 8);
	say_locked();
	say_unmap(0x200, 8);
	say_locked();
}

static const struct {
	const char *name;
	case_fn *fn;
} locks[] = {
	{"over", lock_over},
	{"none", lock_none},
	{"less_than_page", lock_less_than_page},
	{"same_pages", lock_same_pages},
	{"given_back", lock_given_back},
	{"privileged", lock_privileged},
	{"then_dropped", lock_then_dropped},
	{"lowered", lock_lowered},
	{"in_child", lock_in_child},
	{"with_mlock", lock_with_mlock},
	{"huge_page", lock_large},
	{"as_user", lock_as_user},
	{"counted", lock_counted},
};

void area_limits(void)
{
	mem = anon(32 * PAGE);
	for (size_t i = 0; i < COUNT(types); i++) {
		fixture_open(&v, "edu", 0, IOMMU, types[i].type);
		run_after(unmap_all);
		for (size_t l = 0; l < COUNT(locks); l++)
			run(locks[l].fn, NULL, "%s.memlock.%s", types[i].name,
			    locks[l].name);
		run_after(NULL);
		fixture_close(&v);
	}
	fixture_open(&v, "edu", 0, IOMMU, VFIO_TYPE1v2_IOMMU);
	run(entries, NULL, "entries");
	fixture_close(&v);
}
