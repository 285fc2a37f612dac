/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * read and write of a device file: where, how much, in which pieces, and what
 * happens to the file position.
 */
#include <stdlib.h>
#include <sys/uio.h>

#include "tests/abi/abi.h"

static long get(int d, uint64_t pos, void *buf, size_t n)
{
	return R(pread(d, buf, n, (off_t)pos));
}

static long put(int d, uint64_t pos, const void *buf, size_t n)
{
	return R(pwrite(d, buf, n, (off_t)pos));
}

static void both(int d, uint64_t pos, size_t n, long result, const char *what)
{
	uint8_t buf[64] = {0};

	want(get(d, pos, buf, n), result, "pread: %s", what);
	want(put(d, pos, buf, n), result, "pwrite: %s", what);
}

static void check_bounds(int d)
{
	uint64_t end = BAR0 + region_size(d, 0);

	both(d, BAR0, 0, 0, "0 bytes");
	both(d, end, 4, -EINVAL, "at the end of a BAR is EINVAL");
	both(d, end + 4096, 4, -EINVAL, "behind the end of a BAR is EINVAL");
	both(d, end - 4, 4, 4, "the last 4 bytes of a BAR");
	both(d, end - 4, 8, 4, "across the end of a BAR is short");
	both(d, end - 4, 64, 4, "far across the end of a BAR is short");
	both(d, REGION(1), 4, -EINVAL, "of a BAR that is not there is EINVAL");
	both(d, REGION(VFIO_PCI_VGA_REGION_INDEX), 4, -EINVAL,
	     "of VGA is EINVAL");
	both(d, REGION(9), 4, -EINVAL, "of region 9 is EINVAL");
	both(d, REGION(1000), 4, -EINVAL, "of region 1000 is EINVAL");
	both(d, REGION(9), 0, 0, "0 bytes of region 9");
	both(d, ~0ull - 3, 4, -EINVAL, "of a negative offset is EINVAL");
	both(d, REGION(VFIO_PCI_ROM_REGION_INDEX), 4, -EINVAL,
	     "of a ROM that is not there is EINVAL");
}

static void check_config_bounds(const char *role, int d)
{
	uint64_t end = CONFIG + region_size(d, VFIO_PCI_CONFIG_REGION_INDEX);
	uint8_t *buf = malloc(8192);

	want(get(d, end - 4, buf, 4), 4, "pread: %s: the end of config", role);
	want(get(d, end - 4, buf, 8), -EFAULT,
	     "pread: %s: across the end of config is EFAULT", role);
	want(get(d, end, buf, 1), -EFAULT, "pread: %s: behind config is EFAULT",
	     role);
	want(put(d, end, buf, 1), -EFAULT,
	     "pwrite: %s: behind config is EFAULT", role);
	want(put(d, end - 2, buf, 4), -EFAULT,
	     "pwrite: %s: across the end of config is EFAULT", role);
	want(get(d, CONFIG, buf, end - CONFIG), (long)(end - CONFIG),
	     "pread: %s: all of config", role);
	want(get(d, CONFIG, buf, end - CONFIG + 1), -EFAULT,
	     "pread: %s: all of config and more is EFAULT", role);
	free(buf);
}

static void check_pointers(int d)
{
	want(get(d, BAR0, nowhere(), 4), -EFAULT,
	     "pread: to inaccessible memory is EFAULT");
	want(put(d, BAR0, nowhere(), 4), -EFAULT,
	     "pwrite: from inaccessible memory is EFAULT");
	want(get(d, BAR0, edge(2), 4), -EFAULT,
	     "pread: to memory that ends early is EFAULT");
	want(get(d, CONFIG, nowhere(), 4), -EFAULT,
	     "pread: of config to inaccessible memory is EFAULT");
	want(put(d, CONFIG + 0x3c, nowhere(), 1), -EFAULT,
	     "pwrite: of config from inaccessible memory is EFAULT");
	uint8_t *rom =
		mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	want(get(d, BAR0, rom, 4), -EFAULT,
	     "pread: to read-only memory is EFAULT");
	munmap(rom, PAGE);
}

static void check_disabled(int d)
{
	set_command(d, 2, 0);
	both(d, BAR0, 4, -EIO, "of a BAR with memory disabled is EIO");
	both(d, BAR0, 0, 0, "0 bytes with memory disabled");
	both(d, BAR0 + region_size(d, 0), 4, -EINVAL,
	     "behind a BAR with memory disabled is EINVAL");
	want(cfg(d, 0, 2), 0x1234, "pread: config with memory disabled");
	set_command(d, 0, 2);
	both(d, BAR0, 4, 4, "of a BAR with memory enabled again");
}

/* read() and write() go on where the last one ended. */
static void check_position(int d, int g)
{
	uint32_t val = 0;

	wr32(d, BAR0 + EDU_LIVENESS, 0x5a5a5a5a);
	want(R(read(d, &val, 4)), 4, "read: from the start");
	want(val, EDU_ID_VALUE, "read: which is BAR 0");
	set_command(d, 2, 0);
	want(R(read(d, &val, 4)), -EIO, "read: with memory disabled is EIO");
	set_command(d, 0, 2);
	want(rd32(d, BAR0), EDU_ID_VALUE, "pread: in between");
	want(R(read(d, nowhere(), 4)), -EFAULT,
	     "read: to inaccessible memory is EFAULT");
	want(R(read(d, &val, 4)), 4, "read: once more");
	want(val, (long)(uint32_t)~0x5a5a5a5au,
	     "read: only the good ones moved the position");
	int copy = dup(d);

	want(R(write(copy, &val, 4)), 4, "write: of a dup");
	want(R(read(d, &val, 4)), 4, "read: after it");
	wr32(d, BAR0 + EDU_LIVENESS, 1);
	int other = device_open(g, "edu");

	want(R(read(other, &val, 4)), 4, "read: of another open");
	want(val, EDU_ID_VALUE, "read: which has a position of its own");
	close(copy);
	close(other);
}

static void check_vectors(int d)
{
	uint32_t a = 0;
	uint32_t b = 0;
	struct iovec v[] = {{&a, 4}, {&b, 4}};

	wr32(d, BAR0 + EDU_LIVENESS, 0);
	want(R(preadv(d, v, 2, BAR0)), 8, "preadv: two registers");
	ok(a == EDU_ID_VALUE && b == UINT32_MAX, "preadv: their values");
	a = 0;
	b = 0x0f0f0f0f;
	want(R(pwritev(d, v, 2, BAR0)), 8, "pwritev: two registers");
	want(rd32(d, BAR0 + EDU_LIVENESS), (long)(uint32_t)~b,
	     "pwritev: their values");
}

/* Every size and alignment against memory that keeps what it is given. */
static void check_pieces(int d)
{
	static const size_t sizes[] = {1, 2, 3, 4, 5, 7, 8, 9, 16, 31};
	uint8_t in[64];
	uint8_t out[64];

	for (size_t i = 0; i < sizeof(in); i++)
		in[i] = (uint8_t)(0x11 + i * 5);
	for (size_t i = 0; i < COUNT(sizes); i++) {
		bool good = true;

		for (uint64_t at = 0; at < 9; at++) {
			put(d, BAR2 + 256, (uint8_t[64]){0}, 64);
			good &= put(d, BAR2 + 256 + at, in, sizes[i]) ==
				(long)sizes[i];
			get(d, BAR2 + 256, out, 64);
			good &= !memcmp(out + at, in, sizes[i]) &&
				!out[at + sizes[i]] && (!at || !out[at - 1]);
			memset(out, 0, 64);
			good &= get(d, BAR2 + 256 + at, out, sizes[i]) ==
				(long)sizes[i];
			good &= !memcmp(out, in, sizes[i]);
		}
		ok(good, "pwrite, pread: %zu bytes at any alignment", sizes[i]);
	}
}

static void check_large(int d)
{
	size_t len = 1 << 20;
	uint8_t *in = malloc(len);
	uint8_t *out = malloc(len);

	for (size_t i = 0; i < len; i++)
		in[i] = (uint8_t)(i * 13 + (i >> 12));
	want(put(d, BAR2 + 3, in, len), (long)len, "pwrite: 1 MiB in one call");
	want(get(d, BAR2 + 3, out, len), (long)len, "pread: 1 MiB in one call");
	ok(!memcmp(in, out, len), "pread: 1 MiB: what was written");
	free(in);
	free(out);
}

static void check_rom(int d)
{
	uint64_t rom = REGION(VFIO_PCI_ROM_REGION_INDEX);
	uint8_t buf[4096] = {0};

	want(get(d, rom, buf, sizeof(buf)), sizeof(buf), "rom: pread of it");
	ok(buf[0] == 0x55 && buf[1] == 0xaa, "rom: its signature");
	ok(filled(buf + 2560, sizeof(buf) - 2560, 0xff),
	   "rom: behind the image is ff");
	want(get(d, rom + 4096, buf, 1), -EINVAL, "rom: behind it is EINVAL");
	want(get(d, rom + 4094, buf, 4), 2, "rom: across its end is short");
	want(put(d, rom, buf, 4), -EINVAL, "rom: pwrite is EINVAL");
	want(put(d, rom, buf, 0), 0, "rom: pwrite of 0 bytes");
	set_command(d, 2, 0);
	want(get(d, rom, buf, 1), -ENOMEM,
	     "rom: with memory disabled is ENOMEM");
	set_command(d, 0, 2);
}

static void check_io(int d)
{
	both(d, REGION(4), 4, 4, "of an I/O BAR");
	set_command(d, 2, 0);
	both(d, REGION(4), 4, 4, "of an I/O BAR with memory disabled");
	set_command(d, 0, 2);
	both(d, REGION(4) + 64, 1, -EINVAL, "behind an I/O BAR is EINVAL");
}

static void check_msix_table(const char *role, int d)
{
	unsigned int cap = find_cap(d, 0x11);
	uint32_t place = cfg(d, cap + 4, 4);
	uint64_t table = REGION(place & 7) + (place & ~7u);
	uint64_t len = ((cfg(d, cap + 2, 2) & 0x7ff) + 1) * 16;
	uint8_t buf[64];

	memset(buf, 0, sizeof(buf));
	want(put(d, table, buf, 16), 16, "msix_table: %s: pwrite", role);
	want(get(d, table, buf, 16), 16, "msix_table: %s: pread", role);
	ok(filled(buf, 16, 0xff), "msix_table: %s: reads ff", role);
	want(get(d, table + len - 16, buf, 16), 16,
	     "msix_table: %s: the last entry", role);
	ok(filled(buf, 16, 0xff), "msix_table: %s: reads ff too", role);
	want(get(d, table + 5, buf, 3), 3, "msix_table: %s: odd bytes", role);
	ok(filled(buf, 3, 0xff), "msix_table: %s: read ff too", role);
}

void test_region(void)
{
	struct vfio v;

	if (!have("edu"))
		return;
	vfio_open(&v, "edu");
	check_bounds(v.device);
	check_config_bounds("edu", v.device);
	check_pointers(v.device);
	check_disabled(v.device);
	check_position(v.device, v.group);
	check_vectors(v.device);
	vfio_close(&v);
	if (have("edu2")) {
		vfio_open(&v, "edu2");
		check_rom(v.device);
		check_io(v.device);
		check_msix_table("edu2", v.device);
		vfio_close(&v);
	}
	if (have("nvme")) {
		vfio_open(&v, "nvme");
		check_config_bounds("nvme", v.device);
		check_msix_table("nvme", v.device);
		vfio_close(&v);
	}
	if (have("ram")) {
		vfio_open(&v, "ram");
		check_pieces(v.device);
		check_large(v.device);
		vfio_close(&v);
	}
}
