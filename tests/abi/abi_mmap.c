/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Mapping BARs: what can be mapped, what can be done to a mapping, and what a
 * touch does while memory is disabled.
 */
#include "tests/abi/abi.h"

/* mmap that is to fail, or is undone */
static long try_map(int d, uint64_t pos, size_t len, int prot, int flags)
{
	void *p = mmap(NULL, len, prot, flags, d, (off_t)pos);

	if (p == MAP_FAILED)
		return -errno;
	munmap(p, len);
	return 0;
}

static void check_refused(int d)
{
	uint64_t size = region_size(d, 0);
	const uint64_t rom = REGION(VFIO_PCI_ROM_REGION_INDEX);

	want(try_map(d, BAR0, PAGE, RW, MAP_PRIVATE), -EINVAL,
	     "mmap: MAP_PRIVATE is EINVAL");
	want(try_map(d, BAR0, PAGE, PROT_READ, MAP_PRIVATE), -EINVAL,
	     "mmap: MAP_PRIVATE read-only is EINVAL");
	want(try_map(d, BAR0 + 512, PAGE, RW, MAP_SHARED), -EINVAL,
	     "mmap: a misaligned offset is EINVAL");
	want(try_map(d, BAR0, 0, RW, MAP_SHARED), -EINVAL,
	     "mmap: length 0 is EINVAL");
	want(try_map(d, BAR0 + size, PAGE, RW, MAP_SHARED), -EINVAL,
	     "mmap: behind the BAR is EINVAL");
	want(try_map(d, BAR0, size + PAGE, RW, MAP_SHARED), -EINVAL,
	     "mmap: more than the BAR is EINVAL");
	want(try_map(d, BAR0 + size - PAGE, 2 * PAGE, RW, MAP_SHARED), -EINVAL,
	     "mmap: across the end of the BAR is EINVAL");
	want(try_map(d, REGION(1), PAGE, RW, MAP_SHARED), -EINVAL,
	     "mmap: a BAR that is not there is EINVAL");
	want(try_map(d, CONFIG, PAGE, RW, MAP_SHARED), -EINVAL,
	     "mmap: config is EINVAL");
	want(try_map(d, rom, PAGE, PROT_READ, MAP_SHARED), -EINVAL,
	     "mmap: a ROM is EINVAL");
	want(try_map(d, REGION(VFIO_PCI_VGA_REGION_INDEX), PAGE, RW,
		     MAP_SHARED),
	     -EINVAL, "mmap: VGA is EINVAL");
	want(try_map(d, REGION(9), PAGE, RW, MAP_SHARED), -EINVAL,
	     "mmap: region 9 is EINVAL");
	want(try_map(d, BAR0, PAGE, RW | PROT_EXEC, MAP_SHARED), -EPERM,
	     "mmap: PROT_EXEC is EPERM");
}

static void check_allowed(const char *role, int d, uint64_t bar, size_t size)
{
	want(try_map(d, bar, size, RW, MAP_SHARED), 0, "mmap: %s: all of it",
	     role);
	want(try_map(d, bar, PAGE, RW, MAP_SHARED), 0, "mmap: %s: a page",
	     role);
	want(try_map(d, bar + size - PAGE, PAGE, RW, MAP_SHARED), 0,
	     "mmap: %s: the last page", role);
	want(try_map(d, bar, 100, RW, MAP_SHARED), 0,
	     "mmap: %s: 100 bytes are a page", role);
	want(try_map(d, bar, PAGE, RW, MAP_SHARED | MAP_POPULATE), 0,
	     "mmap: %s: MAP_POPULATE", role);
	want(try_map(d, bar, PAGE, RW, MAP_SHARED | MAP_LOCKED), 0,
	     "mmap: %s: MAP_LOCKED", role);
	want(try_map(d, bar, PAGE, PROT_NONE, MAP_SHARED), 0,
	     "mmap: %s: PROT_NONE", role);
}

static void check_moves(const char *role, int d, uint64_t bar)
{
	volatile uint32_t *p =
		mmap(NULL, 4 * PAGE, RW, MAP_SHARED, d, (off_t)bar);
	void *m = (void *)p;
	uint32_t val = *p;
	void *room = anon(8 * PAGE);

	want(R(mremap(m, 4 * PAGE, 8 * PAGE, MREMAP_MAYMOVE)), -EFAULT,
	     "mremap: %s: to grow is EFAULT", role);
	want(R(mremap(m, 0, 4 * PAGE, MREMAP_MAYMOVE)), -EFAULT,
	     "mremap: %s: to duplicate is EFAULT", role);
	want(*p, val, "mremap: %s: the mapping is as before", role);
	p = mremap(m, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, room);
	ok(p == room && *p == val, "mremap: %s: to move", role);
	munmap(room, 8 * PAGE);
}

static void check_attributes(const char *role, int d, uint64_t bar)
{
	void *m = mmap(NULL, 2 * PAGE, RW, MAP_SHARED, d, (off_t)bar);
	uint32_t val = *(volatile uint32_t *)m;

	want(R(mprotect(m, PAGE, RW | PROT_EXEC)), -EACCES,
	     "mprotect: %s: PROT_EXEC is EACCES", role);
	want(R(madvise(m, PAGE, MADV_DONTNEED)), -EINVAL,
	     "madvise: %s: DONTNEED is EINVAL", role);
	want(R(mlock(m, PAGE)), 0, "mlock: %s", role);
	want(R(munlock(m, PAGE)), 0, "munlock: %s", role);
	want(*(volatile uint32_t *)m, val, "madvise: %s: harmless", role);
	want(R(mprotect(m, PAGE, PROT_READ)), 0, "mprotect: %s: read-only",
	     role);
	want(touch(m, true).signal, SIGSEGV,
	     "mprotect: %s: then a store is SIGSEGV", role);
	want(touch(m, false).signal, 0, "mprotect: %s: and a load works", role);
	want(R(mprotect(m, PAGE, PROT_NONE)), 0, "mprotect: %s: none", role);
	want(touch(m, false).signal, SIGSEGV,
	     "mprotect: %s: then a load is SIGSEGV", role);
	want(R(mprotect(m, PAGE, RW)), 0, "mprotect: %s: read-write", role);
	want(touch(m, false).signal, 0, "mprotect: %s: works again", role);
	want(R(munmap(m, PAGE)), 0, "munmap: %s: the first page", role);
	want(touch((uint8_t *)m + PAGE, false).signal, 0,
	     "munmap: %s: the second is still there", role);
	munmap((uint8_t *)m + PAGE, PAGE);
	m = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, d, (off_t)bar);
	want(touch(m, true).signal, SIGSEGV,
	     "mmap: %s: a store to a read-only mapping is SIGSEGV", role);
	set_command(d, 2, 0);
	want(touch(m, true).signal, SIGSEGV,
	     "mmap: %s: also with memory disabled", role);
	set_command(d, 0, 2);
	munmap(m, PAGE);
}

static void is_sigbus(uint8_t *addr, bool write, const char *role,
		      const char *what)
{
	struct fault f = touch(addr, write);

	want(f.signal, SIGBUS, "mmap: %s: %s is SIGBUS", role, what);
	want(f.code, BUS_ADRERR, "mmap: %s: %s: BUS_ADRERR", role, what);
	ok(f.addr == addr, "mmap: %s: %s: si_addr is the byte", role, what);
}

static void check_disabled(const char *role, int d, uint64_t bar)
{
	uint8_t *m = mmap(NULL, 2 * PAGE, RW, MAP_SHARED, d, (off_t)bar);

	want(touch(m, false).signal, 0, "mmap: %s: a load", role);
	set_command(d, 2, 0);
	is_sigbus(m + 8, false, role, "a load with memory disabled");
	is_sigbus(m + 12, true, role, "a store with memory disabled");
	is_sigbus(m + PAGE + 4, false, role, "a page not touched before");
	uint8_t *late = mmap(NULL, PAGE, RW, MAP_SHARED, d, (off_t)bar);

	ok(late != MAP_FAILED, "mmap: %s: works with memory disabled", role);
	is_sigbus(late, false, role, "a mapping made with memory disabled");
	set_command(d, 0, 2);
	want(touch(m + 8, false).signal, 0,
	     "mmap: %s: works when memory is enabled again", role);
	want(touch(m + PAGE + 4, false).signal, 0,
	     "mmap: %s: also the second page", role);
	want(touch(late, false).signal, 0, "mmap: %s: also the late mapping",
	     role);
	cfg_set(d, 5, 1, 4);
	want(touch(m, false).signal, 0,
	     "mmap: %s: writing COMMAND's upper byte changes nothing", role);
	cfg_set(d, 5, 1, 0);
	munmap(m, 2 * PAGE);
	munmap(late, PAGE);
}

static int child_reads(void *arg)
{
	volatile uint32_t *word = arg;

	return *word == EDU_ID_VALUE ? 0 : 1;
}

/* Registers through the mapping: what pread and pwrite see too. */
static void check_registers(int d)
{
	volatile uint32_t *m = mmap(NULL, PAGE, RW, MAP_SHARED, d, (off_t)BAR0);

	want(m[EDU_ID / 4], EDU_ID_VALUE, "mmap: edu: a register");
	m[EDU_LIVENESS / 4] = 0x01020304;
	want(rd32(d, BAR0 + EDU_LIVENESS), (long)(uint32_t)~0x01020304u,
	     "mmap: edu: a store is seen by pread");
	wr32(d, BAR0 + EDU_LIVENESS, 0x55);
	want(m[EDU_LIVENESS / 4], (long)(uint32_t)~0x55u,
	     "mmap: edu: pwrite is seen by a load");
	volatile uint64_t *wide = (volatile uint64_t *)(m + EDU_SRC / 4);

	*wide = 0x1122334455667788;
	want((long)*wide, 0x1122334455667788, "mmap: edu: 8 bytes");
	want((long)rd64(d, BAR0 + EDU_SRC), 0x1122334455667788,
	     "mmap: edu: 8 bytes by pread");
	want(run_child(child_reads, (void *)m), 0,
	     "mmap: edu: a child of fork uses the mapping");
	munmap((void *)m, PAGE);
}

/* Other system calls on BAR memory. */
static void check_buffer(int d)
{
	uint8_t *m = mmap(NULL, PAGE, RW, MAP_SHARED, d, (off_t)BAR2);
	int pipes[2];
	char byte[4] = "abc";

	if (pipe2(pipes, O_CLOEXEC))
		return;
	memcpy(m, "xyz", 4);
	want(R(write(pipes[1], m, 4)), 4, "write: from a BAR");
	want(R(read(pipes[0], byte, 4)), 4, "write: through a pipe");
	ok(!strcmp(byte, "xyz"), "write: its bytes");
	set_command(d, 2, 0);
	want(R(write(pipes[1], m, 4)), -EFAULT,
	     "write: from a BAR with memory disabled is EFAULT");
	write(pipes[1], byte, 4);
	want(R(read(pipes[0], m, 4)), -EFAULT,
	     "read: to a BAR with memory disabled is EFAULT");
	set_command(d, 0, 2);
	ok(!memcmp(m, "xyz", 4), "mmap: ram: keeps its contents");
	close(pipes[0]);
	close(pipes[1]);
	munmap(m, PAGE);
}

static void check_ram(void)
{
	struct vfio v;
	uint32_t in = 0xfeedbeef;

	vfio_open(&v, "ram");
	int d = v.device;
	size_t size = region_size(d, 2);

	set_command(d, 0, 2);
	check_allowed("ram", d, BAR2, size);
	wr32(d, BAR2, in);
	check_moves("ram", d, BAR2);
	check_attributes("ram", d, BAR2);
	check_disabled("ram", d, BAR2);
	check_buffer(d);
	volatile uint32_t *m = mmap(NULL, size, RW, MAP_SHARED, d, (off_t)BAR2);

	wr32(d, BAR2 + 64, in);
	want(m[16], in, "mmap: ram: pwrite is seen by a load");
	m[size / 4 - 1] = 77;
	want(rd32(d, BAR2 + size - 4), 77,
	     "mmap: ram: a store is seen by pread");
	if (region_flags(d, 0) & VFIO_REGION_INFO_FLAG_MMAP)
		want(try_map(d, BAR0, PAGE, RW, MAP_SHARED), 0,
		     "mmap: ram: a BAR of less than a page");
	else
		want(try_map(d, BAR0, PAGE, RW, MAP_SHARED), -EINVAL,
		     "mmap: ram: a BAR of less than a page, not announced");
	vfio_close(&v);
	want(m[16], in, "mmap: ram: works after every fd is closed");
	munmap((void *)m, size);
}

void test_mmap(void)
{
	struct vfio v;

	if (!have("edu"))
		return;
	vfio_open(&v, "edu");
	set_command(v.device, 0, 2);
	check_refused(v.device);
	check_allowed("edu", v.device, BAR0, region_size(v.device, 0));
	check_moves("edu", v.device, BAR0);
	check_attributes("edu", v.device, BAR0);
	check_disabled("edu", v.device, BAR0);
	check_registers(v.device);
	vfio_close(&v);
	if (have("edu2")) {
		vfio_open(&v, "edu2");
		unsigned int cap = find_cap(v.device, 0x11);

		want(try_map(v.device, REGION(4), PAGE, RW, MAP_SHARED),
		     -EINVAL, "mmap: an I/O BAR is EINVAL");
		want(try_map(v.device, REGION(VFIO_PCI_ROM_REGION_INDEX), PAGE,
			     PROT_READ, MAP_SHARED),
		     -EINVAL, "mmap: a ROM that is there is EINVAL");
		want(try_map(v.device, REGION(cfg(v.device, cap + 4, 4) & 7),
			     PAGE, RW, MAP_SHARED),
		     0, "mmap: the MSI-X table");
		vfio_close(&v);
	}
	if (have("ram"))
		check_ram();
}
