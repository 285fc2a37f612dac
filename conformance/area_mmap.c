/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Mapping BARs: which can be mapped and how, what can be done to a mapping,
 * and what a touch of it does.
 */
#include <linux/pci_regs.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "conformance/device.h"

/* newer than Debian 12's headers */
#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif

static struct vfio v;

static uint64_t bar_of(const struct role *role)
{
	return REGION(role->bar);
}

/* A mapping that is tried, and undone */

static void try_map(const char *key, void *addr, size_t size, int prot,
		    int flags, uint64_t pos)
{
	void *p = mmap(addr, size, prot, flags, v.device, (off_t)pos);

	say_step(key, p == MAP_FAILED ? -1 : 0);
	if (p != MAP_FAILED)
		munmap(p, size);
}

/* Protection by sharing */

struct kind {
	const struct role *role;
	int prot;
	int flags;
};

static void kind(const void *arg)
{
	const struct kind *k = arg;
	uint8_t *p = mmap(NULL, PAGE, k->prot, k->flags, v.device,
			  (off_t)bar_of(k->role));

	say_ret(p == MAP_FAILED ? -1 : 0);
	if (p == MAP_FAILED)
		return;
	say_touch("load", p, false);
	if (!strcmp(k->role->name, "ram"))
		say_touch("store", p, true);
}

static const struct {
	const char *name;
	int flags;
} sharings[] = {
	{"shared", MAP_SHARED},
	{"private", MAP_PRIVATE},
	{"validate", MAP_SHARED_VALIDATE},
	{"neither", 0},
	{"sync", MAP_SHARED_VALIDATE | MAP_SYNC},
	{"populate", MAP_SHARED | MAP_POPULATE},
	{"nonblock", MAP_SHARED | MAP_POPULATE | MAP_NONBLOCK},
	{"locked", MAP_SHARED | MAP_LOCKED},
	{"noreserve", MAP_SHARED | MAP_NORESERVE},
	{"hugetlb", MAP_SHARED | MAP_HUGETLB},
	{"growsdown", MAP_SHARED | MAP_GROWSDOWN},
	{"low", MAP_SHARED | MAP_32BIT},
	{"private_populate", MAP_PRIVATE | MAP_POPULATE},
};

static void each_kind(const struct role *role)
{
	static const char *const prots[] = {"none", "r",  "w",	"rw",
					    "x",    "rx", "wx", "rwx"};

	for (size_t i = 0; i < COUNT(sharings); i++)
		for (int prot = 0; prot < 8; prot++) {
			const struct kind k = {role, prot, sharings[i].flags};

			run(kind, &k, "%s.map.%s.%s", role->name,
			    sharings[i].name, prots[prot]);
		}
}

/* Which bytes of which region */

struct place {
	uint32_t region;
	bool from_end;
	int64_t pos;
	int64_t size; /* 0: nothing; negative: all but so much */
};

static void place(const void *arg)
{
	const struct place *p = arg;
	uint64_t size = p->region < VFIO_PCI_VGA_REGION_INDEX
				? region_size(v.device, p->region)
				: 0;
	uint64_t whole = (size + PAGE - 1) / PAGE * PAGE;
	uint64_t pos = REGION(p->region) + (uint64_t)p->pos +
		       (p->from_end ? whole : 0);
	uint64_t len = (uint64_t)p->size + (p->size < 0 ? whole : 0);

	try_map("shared", NULL, len, RW, MAP_SHARED, pos);
	try_map("read", NULL, len, PROT_READ, MAP_SHARED, pos);
}

static void each_place(const struct role *role)
{
	static const struct {
		const char *name;
		bool from_end;
		int64_t pos;
		int64_t size;
	} places[] = {
		{"page", false, 0, PAGE},
		{"one_byte", false, 0, 1},
		{"nothing", false, 0, 0},
		{"last_page", true, -(int64_t)PAGE, PAGE},
		{"behind", true, 0, PAGE},
		{"across_end", true, -(int64_t)PAGE, 2 * PAGE},
		{"across_end_by_a_byte", true, -(int64_t)PAGE, PAGE + 1},
		{"misaligned", false, 512, PAGE},
		{"odd", false, 1, PAGE},
		{"all_but_a_byte", false, 0, -1},
		{"far", false, 1ll << 39, PAGE},
		{"huge", false, 0, 1ll << 40},
	};

	for (uint32_t region = 0; region <= 10; region++)
		for (size_t i = 0; i < COUNT(places); i++) {
			const struct place p = {region, places[i].from_end,
						places[i].pos, places[i].size};

			run(place, &p, "%s.place.%u.%s", role->name, region,
			    places[i].name);
		}
}

/* What is asked of a mapping. Each case has one of two pages, @m. */

typedef void on_mapping(uint8_t *m, const struct role *role);

struct mapped {
	const struct role *role;
	on_mapping *fn;
};

static void mapped(const void *arg)
{
	const struct mapped *c = arg;

	c->fn(bar_map(v.device, bar_of(c->role), 2 * PAGE), c->role);
}

static void *remap(const char *key, void *old, size_t old_size, size_t size,
		   int flags, void *to)
{
	void *p = mremap(old, old_size, size, flags, to);

	say_step(key, p == MAP_FAILED ? -1 : 0);
	return p;
}

static void remap_same(uint8_t *m, const struct role *role)
{
	remap("same", m, PAGE, PAGE, 0, NULL);
	say_touch("load", m, false);
}

static void remap_grow(uint8_t *m, const struct role *role)
{
	remap("in_place", m, 2 * PAGE, 3 * PAGE, 0, NULL);
	remap("may_move", m, 2 * PAGE, 3 * PAGE, MREMAP_MAYMOVE, NULL);
	say_touch("load", m, false);
}

static void remap_shrink(uint8_t *m, const struct role *role)
{
	remap("shrink", m, 2 * PAGE, PAGE, 0, NULL);
	say_touch("first", m, false);
	say_touch("second", m + PAGE, false);
}

static void remap_duplicate(uint8_t *m, const struct role *role)
{
	remap("duplicate", m, 0, PAGE, MREMAP_MAYMOVE, NULL);
	say_touch("load", m, false);
}

static void remap_move(uint8_t *m, const struct role *role)
{
	uint8_t *to = mmap(NULL, 2 * PAGE, PROT_NONE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint8_t *p = remap("move", m, 2 * PAGE, 2 * PAGE,
			   MREMAP_MAYMOVE | MREMAP_FIXED, to);

	if (p != MAP_FAILED)
		say_touch("new", p + PAGE, false);
	say_touch("old", m, false);
}

static void remap_part(uint8_t *m, const struct role *role)
{
	uint8_t *to =
		mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint8_t *p = remap("move", m + PAGE, PAGE, PAGE,
			   MREMAP_MAYMOVE | MREMAP_FIXED, to);

	if (p != MAP_FAILED)
		say_touch("new", p, false);
	say_touch("first", m, false);
	say_touch("second", m + PAGE, false);
}

static void remap_dont_unmap(uint8_t *m, const struct role *role)
{
	uint8_t *p = remap("move", m, 2 * PAGE, 2 * PAGE,
			   MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);

	if (p != MAP_FAILED)
		say_touch("new", p, false);
	say_touch("old", m, false);
}

static void protect_none(uint8_t *m, const struct role *role)
{
	say_step("none", mprotect(m, PAGE, PROT_NONE));
	say_touch("load", m, false);
	say_touch("store", m, true);
	say_touch("beside", m + PAGE, false);
	say_step("rw", mprotect(m, PAGE, RW));
	say_touch("load", m, false);
}

static void protect_read(uint8_t *m, const struct role *role)
{
	say_step("read", mprotect(m, PAGE, PROT_READ));
	say_touch("load", m, false);
	say_touch("store", m, true);
}

static void protect_exec(uint8_t *m, const struct role *role)
{
	say_step("x", mprotect(m, PAGE, PROT_EXEC));
	say_step("rx", mprotect(m, PAGE, PROT_READ | PROT_EXEC));
	say_step("rwx", mprotect(m, PAGE, RW | PROT_EXEC));
	say_touch("load", m, false);
}

/* A mapping made read-only may become writable: the file is open for both. */
static void protect_more(uint8_t *m, const struct role *role)
{
	uint8_t *p = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, v.device,
			  (off_t)bar_of(role));

	need(p == MAP_FAILED ? -1 : 0, "mmap");
	say_step("rw", mprotect(p, PAGE, RW));
	say_touch("load", p, false);
}

/* Protection comes before the gate. */
static void protect_disabled(uint8_t *m, const struct role *role)
{
	say_step("read", mprotect(m, PAGE, PROT_READ));
	command(v.device, PCI_COMMAND_MEMORY, 0);
	say_touch("load", m, false);
	say_touch("store", m, true);
	say_step("rw", mprotect(m, PAGE, RW));
	say_touch("store", m, true);
}

static void lock(uint8_t *m, const struct role *role)
{
	say_step("mlock", mlock(m, PAGE));
	say_touch("load", m, false);
	say_step("munlock", munlock(m, PAGE));
	say_step("onfault", mlock2(m, PAGE, MLOCK_ONFAULT));
	say_step("munlock", munlock(m, PAGE));
}

static void lock_disabled(uint8_t *m, const struct role *role)
{
	command(v.device, PCI_COMMAND_MEMORY, 0);
	say_step("mlock", mlock(m, PAGE));
	say_touch("load", m, false);
	try_map("populate", NULL, PAGE, RW, MAP_SHARED | MAP_POPULATE,
		bar_of(role));
}

static void sync_memory(uint8_t *m, const struct role *role)
{
	say_step("async", msync(m, PAGE, MS_ASYNC));
	say_step("invalidate", msync(m, PAGE, MS_INVALIDATE));
	say_step("sync", msync(m, PAGE, MS_SYNC));
}

static void unmap_parts(uint8_t *m, const struct role *role)
{
	say_step("first", munmap(m, PAGE));
	say_touch("first", m, false);
	say_touch("second", m + PAGE, false);
	say_step("second", munmap(m + PAGE, PAGE));
	say_touch("second", m + PAGE, false);
	say_step("again", munmap(m + PAGE, PAGE));
}

static void map_over(uint8_t *m, const struct role *role)
{
	void *p = mmap(m, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
		       0);

	say_step("memory", p == m ? 0 : -1);
	say_touch("load", m, false);
	p = mmap(m, PAGE, RW, MAP_SHARED | MAP_FIXED, v.device,
		 (off_t)bar_of(role));
	say_step("bar", p == m ? 0 : -1);
	say_touch("load", m, false);
	p = mmap(m, PAGE, RW, MAP_SHARED | MAP_FIXED_NOREPLACE, v.device,
		 (off_t)bar_of(role));
	say_step("noreplace", p == MAP_FAILED ? -1 : 0);
}

/* A mapping that can't be made leaves what was there. */
static void map_over_failed(uint8_t *m, const struct role *role)
{
	uint8_t *memory = anon(PAGE);
	void *p;

	memory[0] = 0x77;
	p = mmap(memory, PAGE, RW, MAP_SHARED | MAP_FIXED, v.device, CONFIG);
	say_step("config", p == MAP_FAILED ? -1 : 0);
	say_touch("load", memory, false);
}

static void hint(uint8_t *m, const struct role *role)
{
	uint8_t *hole =
		mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	munmap(hole, PAGE);
	void *p =
		mmap(hole, PAGE, RW, MAP_SHARED, v.device, (off_t)bar_of(role));

	say("taken=%d", p == hole);
	try_map("odd", hole + 1, PAGE, RW, MAP_SHARED | MAP_FIXED,
		bar_of(role));
	try_map("high", (void *)(1ull << 62), PAGE, RW, MAP_SHARED | MAP_FIXED,
		bar_of(role));
}

/* Two mappings of the same bytes, in one process and in two */

static void twice(uint8_t *m, const struct role *role)
{
	uint8_t *other = bar_map(v.device, bar_of(role), PAGE);

	say("different=%d", other != m);
	say_touch("first", m, false);
	say_touch("second", other, false);
	munmap(m, 2 * PAGE);
	say_touch("second", other, false);
}

static void child(uint8_t *m, const struct role *role)
{
	pid_t pid = fork();
	int status = 0;

	if (!pid) {
		say_touch("child", m, false);
		_exit(0);
	}
	need(waitpid(pid, &status, 0), "waitpid");
	say("status=%d", status);
	say_touch("parent", m, false);
}

static void child_disabled(uint8_t *m, const struct role *role)
{
	pid_t pid;

	say_touch("before", m, false);
	command(v.device, PCI_COMMAND_MEMORY, 0);
	pid = fork();
	if (!pid) {
		say_touch("child", m, false);
		command(v.device, 0, PCI_COMMAND_MEMORY);
		say_touch("child", m, false);
		_exit(0);
	}
	need(waitpid(pid, NULL, 0), "waitpid");
	say_touch("parent", m, false);
}

static void dont_fork(uint8_t *m, const struct role *role)
{
	say_step("dontfork", madvise(m, PAGE, MADV_DONTFORK));
	pid_t pid = fork();

	if (!pid) {
		say_touch("first", m, false);
		say_touch("second", m + PAGE, false);
		_exit(0);
	}
	need(waitpid(pid, NULL, 0), "waitpid");
	say_touch("parent", m, false);
}

/* The file can go: the mapping works, and keeps the position it has. */
static void file_closed(uint8_t *m, const struct role *role)
{
	int d = (int)need(device_open(v.group, v.function), "second open");
	uint8_t *p = bar_map(d, bar_of(role), PAGE);

	close(d);
	say_touch("load", p, false);
}

/* The gate, as a mapping sees it: si_addr is the byte touched. */
static void disabled(uint8_t *m, const struct role *role)
{
	say_touch("before", m, false);
	command(v.device, PCI_COMMAND_MEMORY, 0);
	say_touch("load", m + 8, false);
	say_touch("store", m + 12, true);
	say_touch("untouched_page", m + PAGE + 4, false);
	uint8_t *late = bar_map(v.device, bar_of(role), PAGE);

	say_touch("late", late, false);
	command(v.device, 0, PCI_COMMAND_MEMORY);
	say_touch("load", m + 8, false);
	say_touch("second_page", m + PAGE + 4, false);
	say_touch("late", late, false);
}

static void disabled_upper_byte(uint8_t *m, const struct role *role)
{
	command(v.device, PCI_COMMAND_MEMORY, 0);
	cfg_set(v.device, PCI_COMMAND + 1, 1, 4);
	say_touch("off", m, false);
	command(v.device, 0, PCI_COMMAND_MEMORY);
	cfg_set(v.device, PCI_COMMAND + 1, 1, 0);
	say_touch("on", m, false);
}

/* A BAR as a system call's buffer */
static void buffer(uint8_t *m, const struct role *role)
{
	int fds[2];
	char byte[4] = "abc";

	need(pipe2(fds, O_CLOEXEC | O_NONBLOCK), "pipe");
	say_step("write", write(fds[1], m, 4));
	say_step("read", read(fds[0], byte, 4));
	command(v.device, PCI_COMMAND_MEMORY, 0);
	say_step("write_disabled", write(fds[1], m, 4));
	need(write(fds[1], byte, 4), "write");
	say_step("read_disabled", read(fds[0], m, 4));
	command(v.device, 0, PCI_COMMAND_MEMORY);
	say_step("write_enabled", write(fds[1], m, 4));
}

/* The bytes that go through it, and what is left of them. */
static void buffer_bytes(uint8_t *m, const struct role *role)
{
	int fds[2];
	char bytes[4] = {0};

	need(pipe2(fds, O_CLOEXEC | O_NONBLOCK), "pipe");
	memcpy(m, "xyz", 4);
	say_step("write", write(fds[1], m, 4));
	say_step("read", read(fds[0], bytes, 4));
	say("bytes=%s", bytes);
	command(v.device, PCI_COMMAND_MEMORY, 0);
	need(write(fds[1], "abc", 4), "write");
	say_step("read_disabled", read(fds[0], m, 4));
	command(v.device, 0, PCI_COMMAND_MEMORY);
	memcpy(bytes, m, 4);
	say("kept=%s", bytes);
}

/* What is read is the same bytes of the BAR, wherever they are mapped. */
static void same_bytes(uint8_t *m, const struct role *role)
{
	uint8_t *to = mmap(NULL, 2 * PAGE, PROT_NONE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	wr32(v.device, bar_of(role) + 4, 0x5a5a5a5a);
	say("mapped=%#x", ((volatile uint32_t *)m)[1]);
	remap("grow", m, 2 * PAGE, 3 * PAGE, MREMAP_MAYMOVE, NULL);
	remap("duplicate", m, 0, PAGE, MREMAP_MAYMOVE, NULL);
	say_step("madvise", madvise(m, PAGE, MADV_DONTNEED));
	say("refused=%#x", ((volatile uint32_t *)m)[1]);
	m = remap("move", m, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
		  to);
	need(m == MAP_FAILED ? -1 : 0, "mremap");
	say("moved=%#x", ((volatile uint32_t *)m)[1]);
	munmap(m + PAGE, PAGE);
	say("cut=%#x", ((volatile uint32_t *)m)[1]);
	pid_t pid = fork();

	if (!pid) {
		say("child=%#x", ((volatile uint32_t *)m)[1]);
		_exit(0);
	}
	need(waitpid(pid, NULL, 0), "waitpid");
}

static void own_memory_file(uint8_t *m, const struct role *role)
{
	int fd = (int)need(open("/proc/self/mem", O_RDONLY | O_CLOEXEC),
			   "open of /proc/self/mem");
	uint32_t val = 0;

	say_step("pread", pread(fd, &val, 4, (off_t)(uintptr_t)m));
}

static const struct {
	const char *name;
	on_mapping *fn;
} mapping_cases[] = {
	{"mremap.same", remap_same},
	{"mremap.grow", remap_grow},
	{"mremap.shrink", remap_shrink},
	{"mremap.duplicate", remap_duplicate},
	{"mremap.move", remap_move},
	{"mremap.part", remap_part},
	{"mremap.dont_unmap", remap_dont_unmap},
	{"mprotect.none", protect_none},
	{"mprotect.read", protect_read},
	{"mprotect.exec", protect_exec},
	{"mprotect.more", protect_more},
	{"mprotect.disabled", protect_disabled},
	{"mlock", lock},
	{"mlock_disabled", lock_disabled},
	{"msync", sync_memory},
	{"munmap.parts", unmap_parts},
	{"fixed.over", map_over},
	{"fixed.over_failed", map_over_failed},
	{"hint", hint},
	{"twice", twice},
	{"fork.child", child},
	{"fork.disabled", child_disabled},
	{"fork.dontfork", dont_fork},
	{"file_closed", file_closed},
	{"disabled.touch", disabled},
	{"disabled.upper_byte", disabled_upper_byte},
	{"proc_mem", own_memory_file},
};

/* madvise: those whose answer does not depend on the kernel's options */

struct advice {
	const struct role *role;
	int advice;
};

static void advise(const void *arg)
{
	const struct advice *a = arg;
	uint8_t *m = bar_map(v.device, bar_of(a->role), 2 * PAGE);

	say_touch("before", m, false);
	say_ret(madvise(m, PAGE, a->advice));
	say_touch("after", m, false);
}

static void each_advice(const struct role *role)
{
	static const struct {
		const char *name;
		int advice;
	} advices[] = {
		{"normal", MADV_NORMAL},
		{"random", MADV_RANDOM},
		{"sequential", MADV_SEQUENTIAL},
		{"willneed", MADV_WILLNEED},
		{"dontneed", MADV_DONTNEED},
		{"dontneed_locked", MADV_DONTNEED_LOCKED},
		{"free", MADV_FREE},
		{"remove", MADV_REMOVE},
		{"dofork", MADV_DOFORK},
		{"dontdump", MADV_DONTDUMP},
		{"dodump", MADV_DODUMP},
		{"wipeonfork", MADV_WIPEONFORK},
		{"keeponfork", MADV_KEEPONFORK},
		{"cold", MADV_COLD},
		{"pageout", MADV_PAGEOUT},
		{"populate_read", MADV_POPULATE_READ},
		{"populate_write", MADV_POPULATE_WRITE},
		{"unknown", 77},
	};

	for (size_t i = 0; i < COUNT(advices); i++) {
		const struct advice a = {role, advices[i].advice};

		run(advise, &a, "%s.madvise.%s", role->name, advices[i].name);
	}
}

/* Registers and memory are the same by load and store as by read and write. */

static void coherent(const void *arg)
{
	volatile uint32_t *m = (void *)bar_map(v.device, REGION(2), PAGE);

	m[16] = 0x11223344;
	say("stored=%#x", rd32(v.device, REGION(2) + 64));
	wr32(v.device, REGION(2) + 64, 0x55667788);
	say("loaded=%#x", m[16]);
	m[17] = 77;
	uint64_t wide = *(volatile uint64_t *)(m + 16);

	say("wide=%#" PRIx64, wide);
}

static void coherent_edu(const void *arg)
{
	volatile uint32_t *m = (void *)bar_map(v.device, REGION(0), PAGE);

	say("id=%#x", m[0]);
	m[1] = 0x01020304;
	say("stored=%#x", rd32(v.device, REGION(0) + 4));
	wr32(v.device, REGION(0) + 4, 0x55);
	say("loaded=%#x", m[1]);
}

#define EDU_SRC 0x80 /* a register of 8 bytes */

static void coherent_wide(const void *arg)
{
	volatile uint64_t *m = (void *)bar_map(v.device, REGION(0), PAGE);
	uint64_t val = 0;

	m[EDU_SRC / 8] = 0x1122334455667788;
	say("loaded=%#" PRIx64, m[EDU_SRC / 8]);
	say_step("pread", pread(v.device, &val, 8, REGION(0) + EDU_SRC));
	say("read=%#" PRIx64, val);
}

/* The page that holds the MSI-X table can be mapped as any. */
static void msix_page(const void *arg)
{
	unsigned int cap = cap_need(v.device, PCI_CAP_ID_MSIX);
	uint32_t place = cfg(v.device, cap + PCI_MSIX_TABLE, 4);
	uint64_t table = REGION(place & PCI_MSIX_TABLE_BIR) +
			 (place & PCI_MSIX_TABLE_OFFSET);

	try_map("table", NULL, PAGE, RW, MAP_SHARED, table & ~(PAGE - 1));
}

static void after(void)
{
	if (v.device >= 0)
		device_quiet(v.device);
}

static void of_role(const struct role *role)
{
	each_kind(role);
	each_place(role);
	for (size_t i = 0; i < COUNT(mapping_cases); i++) {
		const struct mapped c = {role, mapping_cases[i].fn};

		run(mapped, &c, "%s.%s", role->name, mapping_cases[i].name);
	}
	each_advice(role);
	run(msix_page, NULL, "%s.msix_page", role->name);
}

void area_mmap(void)
{
	static const struct mapped ram_buffer = {&roles_all[2], buffer};
	static const struct mapped ram_bytes = {&roles_all[2], buffer_bytes};
	static const struct mapped ram_same = {&roles_all[2], same_bytes};
	static const struct mapped edu_same = {&roles_all[0], same_bytes};

	run_after(after);
	for (size_t i = 0; i < ROLES; i++) {
		fixture_open(&v, roles_all[i].name, 0, DEVICE,
			     VFIO_TYPE1v2_IOMMU);
		of_role(&roles_all[i]);
		if (!strcmp(roles_all[i].name, "edu")) {
			run(coherent_edu, NULL, "edu.coherent");
			run(coherent_wide, NULL, "edu.coherent_wide");
			run(mapped, &edu_same, "edu.same_bytes");
		}
		if (!strcmp(roles_all[i].name, "ram")) {
			run(coherent, NULL, "ram.coherent");
			run(mapped, &ram_buffer, "ram.buffer");
			run(mapped, &ram_bytes, "ram.buffer_bytes");
			run(mapped, &ram_same, "ram.same_bytes");
		}
		fixture_close(&v);
	}
}
