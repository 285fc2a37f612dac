/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * VFIO_IOMMU_MAP_DMA of every kind of memory, to read, to write and for both.
 */
#include <linux/memfd.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/shm.h>

#include "conformance/device.h"
#include "conformance/type1.h"

#define HUGE  (2ul << 20)
#define READ  VFIO_DMA_MAP_FLAG_READ
#define WRITE VFIO_DMA_MAP_FLAG_WRITE
#define FOUR  (4 * PAGE)
#define ANON  (MAP_PRIVATE | MAP_ANONYMOUS)

static struct vfio v;

/** struct memory - What a case maps */
struct memory {
	void *addr;
	size_t size;
};

/** struct kind - A way to come by memory, in the case */
struct kind {
	const char *name;
	struct memory (*make)(void);
};

static void *map_fd(size_t size, int prot, int flags, int fd)
{
	void *p = mmap(NULL, size, prot, flags, fd, 0);

	need(p == MAP_FAILED ? -1 : 0, "mmap");
	return p;
}

static void protect(void *p, size_t size, int prot)
{
	need(mprotect(p, size, prot), "mprotect");
}

/* The page that holds @p. */
static struct memory page_of(const void *p)
{
	return (struct memory){(void *)((uintptr_t)p & ~(PAGE - 1)), PAGE};
}

/* Private memory */

static struct memory make_anon(void)
{
	return (struct memory){anon(FOUR), FOUR};
}

static struct memory make_touched(void)
{
	return (struct memory){memset(anon(FOUR), 1, FOUR), FOUR};
}

/* Reading maps the page of zeroes that all share. */
static struct memory make_zero_page(void)
{
	volatile uint8_t *p = anon(FOUR);

	for (size_t i = 0; i < FOUR; i += PAGE)
		(void)p[i];
	return (struct memory){(void *)p, FOUR};
}

static struct memory with_protection(int prot)
{
	void *p = memset(anon(FOUR), 1, FOUR);

	protect(p, FOUR, prot);
	return (struct memory){p, FOUR};
}

static struct memory make_read_only(void)
{
	return with_protection(PROT_READ);
}

static struct memory make_write_only(void)
{
	return with_protection(PROT_WRITE);
}

static struct memory make_none(void)
{
	return with_protection(PROT_NONE);
}

static struct memory make_exec_only(void)
{
	return with_protection(PROT_EXEC);
}

static struct memory make_all_rights(void)
{
	return with_protection(RW | PROT_EXEC);
}

static struct memory make_heap(void)
{
	return page_of((uint8_t *)memset(malloc(3 * PAGE), 1, 3 * PAGE) + PAGE);
}

static struct memory make_stack(void)
{
	volatile uint8_t here = 0;

	return page_of((void *)&here);
}

static struct memory make_text(void)
{
	return page_of((const void *)(uintptr_t)make_anon);
}

static struct memory make_rodata(void)
{
	static const char text[] = "constant";

	return page_of(text);
}

static struct memory make_bss(void)
{
	static uint8_t bss[2 * PAGE];

	bss[PAGE] = 1;
	return page_of(bss + PAGE);
}

static struct memory make_vdso(void)
{
	unsigned long addr = getauxval(AT_SYSINFO_EHDR);

	if (!addr)
		skip("no vdso");
	return page_of((void *)addr);
}

static struct memory advised(int advice)
{
	void *p = make_touched().addr;

	if (madvise(p, FOUR, advice))
		skip("no such advice");
	return (struct memory){p, FOUR};
}

static struct memory make_dontfork(void)
{
	return advised(MADV_DONTFORK);
}

static struct memory make_wipeonfork(void)
{
	return advised(MADV_WIPEONFORK);
}

static struct memory make_mergeable(void)
{
	return advised(MADV_MERGEABLE);
}

static struct memory make_dropped(void)
{
	return advised(MADV_DONTNEED);
}

static struct memory make_free(void)
{
	return advised(MADV_FREE);
}

static struct memory make_locked(void)
{
	void *p = anon(FOUR);

	if (mlock(p, FOUR))
		skip("mlock");
	return (struct memory){p, FOUR};
}

static struct memory make_noreserve(void)
{
	return (struct memory){map_fd(FOUR, RW, ANON | MAP_NORESERVE, -1),
			       FOUR};
}

static struct memory make_growsdown(void)
{
	return (struct memory){map_fd(FOUR, RW, ANON | MAP_GROWSDOWN, -1),
			       FOUR};
}

static struct memory make_large(void)
{
	return (struct memory){anon(4 * HUGE), 4 * HUGE};
}

/* Written by a child, so that it is shared copy-on-write. */
static struct memory make_forked(void)
{
	void *p = make_touched().addr;

	if (!fork()) {
		pause();
		_exit(0);
	}
	return (struct memory){p, FOUR};
}

static const struct kind private_kinds[] = {
	{"anon", make_anon},
	{"touched", make_touched},
	{"zero_page", make_zero_page},
	{"read_only", make_read_only},
	{"write_only", make_write_only},
	{"none", make_none},
	{"exec_only", make_exec_only},
	{"all_rights", make_all_rights},
	{"heap", make_heap},
	{"stack", make_stack},
	{"text", make_text},
	{"rodata", make_rodata},
	{"bss", make_bss},
	{"vdso", make_vdso},
	{"dontfork", make_dontfork},
	{"wipeonfork", make_wipeonfork},
	{"mergeable", make_mergeable},
	{"dropped", make_dropped},
	{"free", make_free},
	{"locked", make_locked},
	{"noreserve", make_noreserve},
	{"growsdown", make_growsdown},
	{"large", make_large},
	{"forked", make_forked},
};

/* Shared memory and files */

static struct memory of_file(int prot, int flags, size_t file, size_t size)
{
	return (struct memory){map_fd(size, prot, flags, memfd(file)), size};
}

static struct memory make_memfd(void)
{
	return of_file(RW, MAP_SHARED, FOUR, FOUR);
}

static struct memory make_memfd_read_only(void)
{
	return of_file(PROT_READ, MAP_SHARED, FOUR, FOUR);
}

static struct memory make_memfd_private(void)
{
	return of_file(RW, MAP_PRIVATE, FOUR, FOUR);
}

static struct memory make_memfd_private_read_only(void)
{
	return of_file(PROT_READ, MAP_PRIVATE, FOUR, FOUR);
}

static struct memory make_memfd_part(void)
{
	struct memory m = make_memfd();

	return (struct memory){(uint8_t *)m.addr + PAGE, PAGE};
}

static struct memory make_memfd_short(void)
{
	return of_file(RW, MAP_SHARED, PAGE, FOUR);
}

static struct memory make_memfd_empty(void)
{
	return of_file(RW, MAP_SHARED, 0, PAGE);
}

static struct memory make_memfd_half_page(void)
{
	return of_file(RW, MAP_SHARED, PAGE + PAGE / 2, 2 * PAGE);
}

static struct memory make_memfd_closed(void)
{
	int fd = memfd(FOUR);
	void *p = map_fd(FOUR, RW, MAP_SHARED, fd);

	close(fd);
	return (struct memory){p, FOUR};
}

static struct memory make_memfd_sealed(void)
{
	int fd = (int)need(memfd_create("sealed", MFD_ALLOW_SEALING), "memfd");

	need(ftruncate(fd, FOUR), "ftruncate");
	need(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), "seal");
	return (struct memory){map_fd(FOUR, PROT_READ, MAP_SHARED, fd), FOUR};
}

static struct memory make_memfd_sealed_size(void)
{
	int fd = (int)need(memfd_create("sealed", MFD_ALLOW_SEALING), "memfd");

	need(ftruncate(fd, FOUR), "ftruncate");
	need(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), "seal");
	return (struct memory){map_fd(FOUR, RW, MAP_SHARED, fd), FOUR};
}

static struct memory make_shared(void)
{
	return (struct memory){map_fd(FOUR, RW, MAP_SHARED | MAP_ANONYMOUS, -1),
			       FOUR};
}

static struct memory make_shared_read_only(void)
{
	struct memory m = make_shared();

	protect(m.addr, FOUR, PROT_READ);
	return m;
}

static struct memory of_zero(int flags)
{
	int fd = open("/dev/zero", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		skip("no /dev/zero");
	return (struct memory){map_fd(FOUR, RW, flags, fd), FOUR};
}

static struct memory make_zero_private(void)
{
	return of_zero(MAP_PRIVATE);
}

static struct memory make_zero_shared(void)
{
	return of_zero(MAP_SHARED);
}

static struct memory make_sysv(void)
{
	int id = shmget(IPC_PRIVATE, FOUR, IPC_CREAT | 0600);
	void *p = id < 0 ? (void *)-1 : shmat(id, NULL, 0);

	if (id >= 0)
		shmctl(id, IPC_RMID, NULL);
	if (p == (void *)-1)
		skip("no System V shared memory");
	return (struct memory){p, FOUR};
}

static struct memory of_self(int prot)
{
	int fd = (int)need(open("/proc/self/exe", O_RDONLY | O_CLOEXEC),
			   "open of the program");

	return (struct memory){map_fd(PAGE, prot, MAP_PRIVATE, fd), PAGE};
}

static struct memory make_program(void)
{
	return of_self(RW);
}

static struct memory make_program_read_only(void)
{
	return of_self(PROT_READ);
}

static const struct kind shared_kinds[] = {
	{"memfd", make_memfd},
	{"memfd_read_only", make_memfd_read_only},
	{"memfd_private", make_memfd_private},
	{"memfd_private_read_only", make_memfd_private_read_only},
	{"memfd_part", make_memfd_part},
	{"memfd_short", make_memfd_short},
	{"memfd_empty", make_memfd_empty},
	{"memfd_half_page", make_memfd_half_page},
	{"memfd_closed", make_memfd_closed},
	{"memfd_sealed", make_memfd_sealed},
	{"memfd_sealed_size", make_memfd_sealed_size},
	{"shared", make_shared},
	{"shared_read_only", make_shared_read_only},
	{"zero_private", make_zero_private},
	{"zero_shared", make_zero_shared},
	{"sysv", make_sysv},
	{"program", make_program},
	{"program_read_only", make_program_read_only},
};

/* Huge pages */

static struct memory huge_anon(void)
{
	void *p = mmap(NULL, HUGE, RW, ANON | MAP_HUGETLB, -1, 0);

	if (p == MAP_FAILED)
		skip("no free huge page");
	return (struct memory){p, HUGE};
}

static struct memory huge_part(void)
{
	struct memory m = huge_anon();

	return (struct memory){(uint8_t *)m.addr + PAGE, FOUR};
}

static struct memory huge_file(void)
{
	int fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB);

	if (fd < 0 || ftruncate(fd, HUGE))
		skip("no huge pages");
	void *p = mmap(NULL, HUGE, RW, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		skip("no free huge page");
	return (struct memory){p, HUGE};
}

static struct memory huge_transparent(void)
{
	uint8_t *p = anon(3 * HUGE);
	uint8_t *aligned = p + (HUGE - (uintptr_t)p % HUGE) % HUGE;

	if (madvise(aligned, 2 * HUGE, MADV_HUGEPAGE))
		skip("no transparent huge pages");
	return (struct memory){memset(aligned, 1, 2 * HUGE), 2 * HUGE};
}

static const struct kind huge_kinds[] = {
	{"anon", huge_anon},
	{"part", huge_part},
	{"file", huge_file},
	{"transparent", huge_transparent},
};

/* Not all of it: page @n of four is other than the rest. */

static struct memory hole_at(unsigned int n)
{
	struct memory m = make_touched();

	need(munmap((uint8_t *)m.addr + n * PAGE, PAGE), "munmap");
	return m;
}

static struct memory protected_at(unsigned int n, int prot)
{
	struct memory m = make_touched();

	protect((uint8_t *)m.addr + n * PAGE, PAGE, prot);
	return m;
}

static struct memory hole_first(void)
{
	return hole_at(0);
}

static struct memory hole_middle(void)
{
	return hole_at(2);
}

static struct memory hole_last(void)
{
	return hole_at(3);
}

static struct memory none_first(void)
{
	return protected_at(0, PROT_NONE);
}

static struct memory none_middle(void)
{
	return protected_at(1, PROT_NONE);
}

static struct memory none_last(void)
{
	return protected_at(3, PROT_NONE);
}

static struct memory read_only_first(void)
{
	return protected_at(0, PROT_READ);
}

static struct memory read_only_last(void)
{
	return protected_at(3, PROT_READ);
}

static struct memory write_only_middle(void)
{
	return protected_at(2, PROT_WRITE);
}

/* Private, a file, shared, another file. */
static struct memory several_kinds(void)
{
	uint8_t *p = anon(FOUR);
	const int fixed = MAP_SHARED | MAP_FIXED;

	mmap(p + PAGE, PAGE, RW, fixed, memfd(PAGE), 0);
	mmap(p + 2 * PAGE, PAGE, RW, fixed | MAP_ANONYMOUS, -1, 0);
	mmap(p + 3 * PAGE, PAGE, RW, fixed, memfd(PAGE), 0);
	return (struct memory){p, FOUR};
}

/* One file's pages in reverse. */
static struct memory reversed_file(void)
{
	uint8_t *p = anon(FOUR);
	int fd = memfd(FOUR);

	for (unsigned int i = 0; i < 4; i++)
		mmap(p + i * PAGE, PAGE, RW, MAP_SHARED | MAP_FIXED, fd,
		     (off_t)((3 - i) * PAGE));
	return (struct memory){p, FOUR};
}

/* One page four times. */
static struct memory repeated_file(void)
{
	uint8_t *p = anon(FOUR);
	int fd = memfd(PAGE);

	for (unsigned int i = 0; i < 4; i++)
		mmap(p + i * PAGE, PAGE, RW, MAP_SHARED | MAP_FIXED, fd, 0);
	return (struct memory){p, FOUR};
}

static const struct kind partial_kinds[] = {
	{"hole_first", hole_first},
	{"hole_middle", hole_middle},
	{"hole_last", hole_last},
	{"none_first", none_first},
	{"none_middle", none_middle},
	{"none_last", none_last},
	{"read_only_first", read_only_first},
	{"read_only_last", read_only_last},
	{"write_only_middle", write_only_middle},
	{"several", several_kinds},
	{"reversed", reversed_file},
	{"repeated", repeated_file},
};

/* A BAR of the fixture's device, with memory on or off */

static uint8_t *bar(void)
{
	const struct role *role = roles_all;

	while (strcmp(role->name, v.function->role) != 0)
		role++;
	command(v.device, 0, 2);
	return bar_map(v.device, REGION(role->bar), FOUR);
}

static uint8_t *touched_bar(void)
{
	volatile uint8_t *p = bar();

	for (size_t i = 0; i < FOUR; i += PAGE)
		(void)*(volatile uint32_t *)(p + i);
	return (uint8_t *)p;
}

static struct memory bar_touched(void)
{
	return (struct memory){touched_bar(), FOUR};
}

static struct memory bar_untouched(void)
{
	return (struct memory){bar(), FOUR};
}

static struct memory bar_part(void)
{
	return (struct memory){touched_bar() + PAGE, PAGE};
}

static struct memory bar_off(void)
{
	struct memory m = bar_touched();

	command(v.device, 2, 0);
	return m;
}

static struct memory bar_off_untouched(void)
{
	struct memory m = bar_untouched();

	command(v.device, 2, 0);
	return m;
}

static struct memory bar_off_and_on(void)
{
	struct memory m = bar_off();

	command(v.device, 0, 2);
	return m;
}

static struct memory bar_read_only(void)
{
	struct memory m = bar_touched();

	protect(m.addr, FOUR, PROT_READ);
	return m;
}

static struct memory bar_and_anon(void)
{
	struct memory m = bar_touched();

	mmap((uint8_t *)m.addr + 2 * PAGE, 2 * PAGE, RW, ANON | MAP_FIXED, -1,
	     0);
	return m;
}

static struct memory bar_unmapped_tail(void)
{
	struct memory m = bar_touched();

	need(munmap((uint8_t *)m.addr + 3 * PAGE, PAGE), "munmap");
	return m;
}

static const struct kind bar_kinds[] = {
	{"touched", bar_touched},
	{"untouched", bar_untouched},
	{"part", bar_part},
	{"off", bar_off},
	{"off_untouched", bar_off_untouched},
	{"off_and_on", bar_off_and_on},
	{"read_only", bar_read_only},
	{"and_anon", bar_and_anon},
	{"unmapped_tail", bar_unmapped_tail},
};

/* The case */

struct mapping {
	struct memory (*make)(void);
	uint32_t flags;
};

static void map_kind(const void *arg)
{
	const struct mapping *m = arg;
	struct memory memory = m->make();
	uint64_t size = memory.size;

	say_ret(dma_map(v.container, memory.addr, HUGE, memory.size, m->flags));
	say_mappings(v.container);
	say_step("unmap", dma_unmap(v.container, HUGE, &size, 0));
	say("all=%d", size == memory.size);
}

static void each_kind(const char *name, const struct kind *kinds, size_t n)
{
	static const struct {
		const char *name;
		uint32_t flags;
	} directions[] = {
		{"read", READ},
		{"write", WRITE},
		{"both", READ | WRITE},
	};

	for (size_t i = 0; i < n; i++) {
		for (size_t d = 0; d < COUNT(directions); d++) {
			const struct mapping m = {kinds[i].make,
						  directions[d].flags};

			run(map_kind, &m, "%s.%s.%s", name, kinds[i].name,
			    directions[d].name);
		}
	}
}

/* What happens to memory after it was mapped leaves the mapping alone. */

static void then_munmap(void *p)
{
	say_step("munmap", munmap(p, FOUR));
}

static void then_protect(void *p)
{
	say_step("mprotect", mprotect(p, FOUR, PROT_NONE));
}

static void then_drop(void *p)
{
	say_step("madvise", madvise(p, FOUR, MADV_DONTNEED));
}

static void then_move(void *p)
{
	void *to = map_fd(FOUR, PROT_NONE, ANON, -1);
	void *moved = mremap(p, FOUR, FOUR, MREMAP_MAYMOVE | MREMAP_FIXED, to);

	say_step("mremap", moved == MAP_FAILED ? -1 : 0);
}

static void then_replace(void *p)
{
	void *other = mmap(p, FOUR, RW, ANON | MAP_FIXED, -1, 0);

	say_step("mmap", other == MAP_FAILED ? -1 : 0);
}

static const struct {
	const char *name;
	void (*fn)(void *p);
} afterwards[] = {
	{"munmap", then_munmap},   {"mprotect", then_protect},
	{"drop", then_drop},	   {"move", then_move},
	{"replace", then_replace},
};

static void map_then(const void *arg)
{
	const size_t *which = arg;
	uint8_t *p = memset(anon(FOUR), 1, FOUR);
	uint64_t size = FOUR;

	say_step("map", dma_map(v.container, p, HUGE, FOUR, MAP_RW));
	afterwards[*which].fn(p);
	say_mappings(v.container);
	say_step("again", dma_map(v.container, p, 2 * HUGE, FOUR, MAP_RW));
	say_step("unmap", dma_unmap(v.container, HUGE, &size, 0));
	say("all=%d", size == FOUR);
}

static void unmap_all(void)
{
	dma_unmap_all(v.container);
}

static void bars_of(const char *role)
{
	char name[16] = "bar_";

	fixture_open(&v, role, 0, DEVICE, VFIO_TYPE1v2_IOMMU);
	run_after(unmap_all);
	strcat(name, role);
	each_kind(name, bar_kinds, COUNT(bar_kinds));
	run_after(NULL);
	fixture_close(&v);
}

void area_memory(void)
{
	fixture_open(&v, "edu", 0, IOMMU, VFIO_TYPE1v2_IOMMU);
	run_after(unmap_all);
	each_kind("private", private_kinds, COUNT(private_kinds));
	each_kind("shared", shared_kinds, COUNT(shared_kinds));
	each_kind("huge", huge_kinds, COUNT(huge_kinds));
	each_kind("partial", partial_kinds, COUNT(partial_kinds));
	for (size_t i = 0; i < COUNT(afterwards); i++)
		run(map_then, &i, "then.%s", afterwards[i].name);
	run_after(NULL);
	fixture_close(&v);
	bars_of("edu");
	bars_of("ram");
}
