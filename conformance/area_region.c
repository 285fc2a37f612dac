/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * read and write of a device file: which bytes of which region, in what
 * pieces, what a short or impossible one returns, and where the position is
 * after it.
 *
 * The registers are those whose reads have no side effects; what a region
 * holds is looked at where it is memory (ram).
 */
#include <linux/pci_regs.h>
#include <stdlib.h>
#include <sys/uio.h>

#include "conformance/device.h"

static struct vfio v;

/* Bounds of each region */

struct span {
	uint32_t region;
	bool from_end; /* the position counts from the end of the region */
	int64_t pos;
	size_t size;
	bool write; /* what was read there, if it could be */
};

static void span(const void *arg)
{
	const struct span *s = arg;
	uint64_t size = s->region < VFIO_PCI_VGA_REGION_INDEX
				? region_size(v.device, s->region)
				: 0;
	uint64_t pos = REGION(s->region) + (uint64_t)s->pos;
	uint8_t buf[64];

	if (s->from_end)
		pos += size;
	memset(buf, FILL, sizeof(buf));
	long ret = pread(v.device, buf, s->size, (off_t)pos);

	if (s->write)
		ret = pwrite(v.device, buf, s->size, (off_t)pos);
	say_ret(ret);
	if (!s->write && ret < (long)s->size)
		say("rest_kept=%d", buf[s->size - 1] == FILL);
}

static void run_span(const char *role, struct span *s)
{
	const char *from = s->from_end ? "end" : "start";
	const char *sign = s->pos < 0 ? "minus" : "plus";

	for (int write = 0; write <= 1; write++) {
		s->write = write;
		run(span, s, "%s.%s.%u.%s_%s_%" PRId64 ".%zu", role,
		    write ? "pwrite" : "pread", s->region, from, sign,
		    s->pos < 0 ? -s->pos : s->pos, s->size);
	}
}

static void each_bound(const char *role)
{
	static const struct {
		bool from_end;
		int64_t pos;
		size_t size;
	} bounds[] = {
		{false, 0, 0},	 {true, -4, 4},		{true, -4, 8},
		{true, -4, 64},	 {true, -1, 1},		{true, -1, 2},
		{true, 0, 0},	 {true, 0, 1},		{true, 0, 4},
		{true, 4096, 4}, {false, 1ll << 39, 4},
	};
	struct span s;

	for (s.region = 0; s.region <= 9; s.region++) {
		if (s.region == VFIO_PCI_CONFIG_REGION_INDEX)
			continue; /* an area of its own */
		for (size_t i = 0; i < COUNT(bounds); i++) {
			s.from_end = bounds[i].from_end;
			s.pos = bounds[i].pos;
			s.size = bounds[i].size;
			run_span(role, &s);
		}
	}
}

/* Regions that no device has */
static void far(const void *arg)
{
	const uint64_t *pos = arg;
	uint32_t val = 0;

	say_step("pread", pread(v.device, &val, 4, (off_t)*pos));
	say_step("pwrite", pwrite(v.device, &val, 4, (off_t)*pos));
	say_step("nothing", pread(v.device, &val, 0, (off_t)*pos));
}

static void each_far(void)
{
	static const struct {
		const char *name;
		uint64_t pos;
	} fars[] = {
		{"region_10", REGION(10)},
		{"region_1000", REGION(1000)},
		{"highest", INT64_MAX},
		{"highest_aligned", INT64_MAX - 3},
		{"negative", UINT64_MAX - 3},
		{"lowest", 1ull << 63},
	};

	for (size_t i = 0; i < COUNT(fars); i++)
		run(far, &fars[i].pos, "far.%s", fars[i].name);
}

/* Memory that is not there */

struct buffer {
	uint64_t pos;
	size_t room;
	size_t size;
};

static void buffer_end(const void *arg)
{
	const struct buffer *b = arg;
	uint8_t *p = edge(b->room);

	say_step("pread", pread(v.device, p, b->size, (off_t)b->pos));
	say_step("pwrite", pwrite(v.device, p, b->size, (off_t)b->pos));
}

static void buffer_bad(const void *arg)
{
	const uint64_t *pos = arg;
	void *volatile null = NULL; /* the compiler would not have it */
	void *read_only =
		mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	say_step("null_read", pread(v.device, null, 4, (off_t)*pos));
	say_step("null_write", pwrite(v.device, null, 4, (off_t)*pos));
	say_step("none_read", pread(v.device, nowhere(), 4, (off_t)*pos));
	say_step("none_write", pwrite(v.device, nowhere(), 4, (off_t)*pos));
	say_step("nothing", pread(v.device, nowhere(), 0, (off_t)*pos));
	say_step("read_only", pread(v.device, read_only, 4, (off_t)*pos));
	say_step("kernel_read",
		 pread(v.device, (void *)(1ull << 63), 4, (off_t)*pos));
	say_step("kernel_write",
		 pwrite(v.device, (void *)(1ull << 63), 4, (off_t)*pos));
}

static void each_buffer(const char *role, uint32_t bar)
{
	const uint64_t places[] = {
		REGION(bar), REGION(bar) + 0x100000, REGION(1), ROM_REGION,
		CONFIG,	     CONFIG + 0x1000,	     REGION(9)};
	static const char *const names[] = {"bar",   "bar_end", "absent",
					    "rom",   "config",	"config_end",
					    "beyond"};

	for (size_t i = 0; i < COUNT(places); i++) {
		run(buffer_bad, &places[i], "%s.buffer.%s.bad", role, names[i]);
		for (size_t room = 0; room < 4; room++) {
			const struct buffer b = {places[i], room, 4};

			run(buffer_end, &b, "%s.buffer.%s.room_%zu", role,
			    names[i], room);
		}
	}
}

/* What is done before the memory ends stays done. */
static void partial_write(const void *arg)
{
	const uint64_t bar = REGION(2);
	uint64_t words[4] = {0};
	uint8_t *p = edge(20);

	need(pwrite(v.device, words, 32, (off_t)bar), "clear");
	say_ret(pwrite(v.device, p, 32, (off_t)bar));
	need(pread(v.device, words, 32, (off_t)bar), "read");
	for (size_t i = 0; i < 4; i++)
		say("word%zu=%#" PRIx64, i, words[i]);
}

static void partial_read(const void *arg)
{
	const uint64_t bar = REGION(2);
	uint8_t ones[32];
	uint8_t *p = edge(20);

	memset(ones, 0x11, sizeof(ones));
	need(pwrite(v.device, ones, 32, (off_t)bar), "fill");
	say_ret(pread(v.device, p, 32, (off_t)bar));
	for (size_t i = 0; i < 20; i += 4)
		say("byte%zu=%#x", i, p[i]);
}

/* Every size at every alignment against memory that keeps what it is given */

struct piece {
	uint64_t at;
	size_t size;
};

static void piece(const void *arg)
{
	const struct piece *p = arg;
	const uint64_t base = REGION(2) + 0x100;
	uint8_t in[64];
	uint8_t out[64];
	bool around = true;

	for (size_t i = 0; i < sizeof(in); i++)
		in[i] = (uint8_t)(0x11 + i * 5);
	need(pwrite(v.device, (uint8_t[64]){0}, 64, (off_t)base), "clear");
	say_step("pwrite",
		 pwrite(v.device, in, p->size, (off_t)(base + p->at)));
	need(pread(v.device, out, 64, (off_t)base), "read");
	say("written=%d", !memcmp(out + p->at, in, p->size));
	for (size_t i = 0; i < sizeof(out); i++)
		if (i < p->at || i >= p->at + p->size)
			around &= !out[i];
	say("around=%d", around);
	memset(out, FILL, sizeof(out));
	say_step("pread", pread(v.device, out, p->size, (off_t)(base + p->at)));
	say("read=%d beside=%#x", !memcmp(out, in, p->size), out[p->size]);
}

static void each_piece(void)
{
	static const size_t sizes[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 16, 31};
	struct piece p;

	for (size_t i = 0; i < COUNT(sizes); i++)
		for (p.at = 0; p.at < 8; p.at++) {
			p.size = sizes[i];
			run(piece, &p, "ram.piece.%zu_at_%" PRIu64, p.size,
			    p.at);
		}
}

static void large(const void *arg)
{
	const size_t *size = arg;
	uint8_t *in = anon(*size);
	uint8_t *out = anon(*size);

	for (size_t i = 0; i < *size; i++)
		in[i] = (uint8_t)(i * 13 + (i >> 12));
	say_step("pwrite", pwrite(v.device, in, *size, REGION(2) + 3));
	say_step("pread", pread(v.device, out, *size, REGION(2) + 3));
	say("same=%d", !memcmp(in, out, *size));
}

/* read and write without an offset: a position of the file's own */

static void position_plain(const void *arg)
{
	uint32_t val = 0;
	const uint32_t live = 0x5a5a5a5a;

	need(pwrite(v.device, &live, 4, 4), "write of a register");
	say_step("read", read(v.device, &val, 4));
	say("val=%#x", val);
	say_step("pread", pread(v.device, &val, 4, 0));
	say_step("read", read(v.device, &val, 4));
	say("val=%#x", val);
	say_step("write", write(v.device, &val, 4));
	say_step("nothing", read(v.device, &val, 0));
}

/* Failures do not move it. The files are the case's own, so it starts at 0. */
static void position_failed(const void *arg)
{
	int d = (int)need(device_open(v.group, v.function), "second open");
	uint32_t val = 0;

	say_step("bad_memory", read(d, nowhere(), 4));
	command(d, PCI_COMMAND_MEMORY, 0);
	say_step("disabled", read(d, &val, 4));
	command(d, 0, PCI_COMMAND_MEMORY);
	say_step("read", read(d, &val, 4));
	say("val=%#x", val);
}

static void position_shared(const void *arg)
{
	int d = (int)need(device_open(v.group, v.function), "second open");
	int copy = dup(d);
	uint32_t val = 0;

	say_step("read", read(d, &val, 4));
	say("val=%#x", val);
	need(pwrite(d, &(uint32_t){0x01020304}, 4, 4), "write of a register");
	say_step("copy", read(copy, &val, 4));
	say("val=%#x", val);
	int other = (int)need(device_open(v.group, v.function), "third open");

	say_step("other", read(other, &val, 4));
	say("val=%#x", val);
}

static void position_vectors(const void *arg)
{
	int d = (int)need(device_open(v.group, v.function), "second open");
	uint32_t a = 0;
	uint32_t b = 0;
	const struct iovec vec[] = {{&a, 4}, {&b, 4}};

	need(pwrite(d, &(uint32_t){0x0f0f0f0f}, 4, 4), "write of a register");
	say_step("preadv", preadv(d, vec, 2, 0));
	say("a=%#x b=%#x", a, b);
	say_step("readv", readv(d, vec, 2));
	say("a=%#x b=%#x", a, b);
	a = b = 0x11111111;
	say_step("pwritev", pwritev(d, vec, 2, 0));
	say("live=%#x", rd32(d, 4));
	say_step("config", preadv(d, vec, 2, CONFIG));
	say_step("none", preadv(d, vec, 0, 0));
	say_step("flags", preadv2(d, vec, 2, 0, RWF_NOWAIT));
	say_step("append", pwritev2(d, vec, 2, 0, RWF_APPEND));
}

/* An element that can't be read stops it: what was done counts. */
static void vectors_partial(const void *arg)
{
	uint32_t a = 0;
	const struct iovec vec[] = {{&a, 4}, {nowhere(), 4}};
	const struct iovec first[] = {{nowhere(), 4}, {&a, 4}};

	say_step("second_bad", preadv(v.device, vec, 2, 0));
	say_step("first_bad", preadv(v.device, first, 2, 0));
	say_step("second_bad_write", pwritev(v.device, vec, 2, 4));
	say_step("end", preadv(v.device, (struct iovec[]){{&a, 4}, {&a, 4}}, 2,
			       (1 << 20) - 4));
}

/* Memory disabled: BARs and ROM are gated, config and bounds are not. */
static void disabled(const void *arg)
{
	const uint32_t *region = arg;
	uint64_t size = region_size(v.device, *region);
	uint64_t end = REGION(*region) + size;
	uint32_t val = 0;

	command(v.device, PCI_COMMAND_MEMORY, 0);
	say_step("pread", pread(v.device, &val, 4, (off_t)REGION(*region)));
	say_step("nothing", pread(v.device, &val, 0, (off_t)REGION(*region)));
	say_step("end", pread(v.device, &val, 4, (off_t)end));
	say_step("last", pread(v.device, &val, 4, (off_t)(end - 4)));
	say_step("bad_memory",
		 pread(v.device, nowhere(), 4, (off_t)REGION(*region)));
	if (size)
		say_step("pwrite", pwrite(v.device, nowhere(), 4,
					  (off_t)REGION(*region)));
	command(v.device, 0, PCI_COMMAND_MEMORY);
	say_step("enabled", pread(v.device, &val, 4, (off_t)REGION(*region)));
}

/* The MSI-X table is not the program's. */

static uint64_t msix_table(uint64_t *ret_end)
{
	unsigned int cap = cap_need(v.device, PCI_CAP_ID_MSIX);
	uint32_t place = cfg(v.device, cap + PCI_MSIX_TABLE, 4);
	uint32_t n = (cfg(v.device, cap + PCI_MSIX_FLAGS, 2) &
		      PCI_MSIX_FLAGS_QSIZE) +
		     1;
	uint64_t table = REGION(place & PCI_MSIX_TABLE_BIR) +
			 (place & PCI_MSIX_TABLE_OFFSET);

	*ret_end = table + n * PCI_MSIX_ENTRY_SIZE;
	return table;
}

static void msix_access(const void *arg)
{
	const struct piece *p = arg;
	uint64_t end;
	uint64_t pos = msix_table(&end) + p->at;
	uint8_t buf[64] = {0};
	uint8_t all = 0xff;

	say_step("pwrite", pwrite(v.device, buf, p->size, (off_t)pos));
	say_step("pread", pread(v.device, buf, p->size, (off_t)pos));
	for (size_t i = 0; i < p->size; i++)
		all &= buf[i];
	say("all=%#x beside=%#x", all, buf[p->size]);
}

static void msix_end(const void *arg)
{
	uint64_t end;
	uint8_t buf[16] = {0};

	msix_table(&end);
	say_step("last", pread(v.device, buf, 16, (off_t)(end - 16)));
	say("first=%#x last=%#x", buf[0], buf[15]);
}

/* It stays so with an interrupt set up, and with memory disabled. */
static void msix_states(const void *arg)
{
	uint64_t end;
	uint64_t table = msix_table(&end);
	uint32_t val = 0;

	irq_trigger(v.device, MSIX, 0, event_new());
	say_step("on", pread(v.device, &val, 4, (off_t)table));
	say("val=%#x", val);
	irq_off(v.device, MSIX);
	command(v.device, PCI_COMMAND_MEMORY, 0);
	say_step("disabled", pread(v.device, &val, 4, (off_t)table));
	say_step("disabled_write", pwrite(v.device, &val, 4, (off_t)table));
}

static void each_msix(const char *role)
{
	static const struct piece pieces[] = {
		{0, 4}, {0, 1},	 {0, 2},  {0, 8},  {0, 16},
		{5, 3}, {12, 4}, {12, 8}, {0, 32}, {3, 9},
	};

	for (size_t i = 0; i < COUNT(pieces); i++)
		run(msix_access, &pieces[i], "%s.msix_table.%zu_at_%" PRIu64,
		    role, pieces[i].size, pieces[i].at);
	run(msix_end, NULL, "%s.msix_table.end", role);
	run(msix_states, NULL, "%s.msix_table.states", role);
}

/* A ROM: read only, ones behind its image */
static void rom(const void *arg)
{
	uint64_t size = region_size(v.device, VFIO_PCI_ROM_REGION_INDEX);
	uint8_t buf[4] = {0};

	if (!size)
		skip("no ROM");
	say_step("pread", pread(v.device, buf, 4, ROM_REGION));
	say("signature=%02x%02x", buf[0], buf[1]);
	say_step("last",
		 pread(v.device, buf, 4, (off_t)(ROM_REGION + size - 2)));
	say_step("pwrite", pwrite(v.device, buf, 4, ROM_REGION));
	say_step("nothing", pwrite(v.device, buf, 0, ROM_REGION));
}

/* The image is as long as it says. */
static void rom_image(const void *arg)
{
	uint64_t size = region_size(v.device, VFIO_PCI_ROM_REGION_INDEX);
	bool ones = true;

	if (!size)
		skip("no ROM");
	uint8_t *buf = anon(size);

	say_ret(pread(v.device, buf, size, ROM_REGION));
	for (size_t i = buf[2] * 512u; i < size; i++)
		ones &= buf[i] == 0xff;
	say("length=%u last=%#x ones=%d", buf[2] * 512u, buf[buf[2] * 512u - 1],
	    ones);
}

static void after(void)
{
	if (v.device >= 0)
		device_quiet(v.device);
}

static void of_role(const char *role)
{
	static const uint32_t regions[] = {0, 1, 2, 3, 4, 5, 6};

	each_bound(role);
	for (size_t i = 0; i < COUNT(regions); i++)
		run(disabled, &regions[i], "%s.disabled.%u", role, regions[i]);
	each_msix(role);
	run(rom, NULL, "%s.rom", role);
	run(rom_image, NULL, "%s.rom_image", role);
}

static void on_edu(void)
{
	each_far();
	each_buffer("edu", 0);
	run(position_plain, NULL, "position.plain");
	run(position_failed, NULL, "position.failed");
	run(position_shared, NULL, "position.shared");
	run(position_vectors, NULL, "position.vectors");
	run(vectors_partial, NULL, "vectors.partial");
}

static void on_ram(void)
{
	static const size_t sizes[] = {4096, 65536, 1 << 20, (1 << 22) - 3,
				       1 << 22};

	each_piece();
	run(partial_write, NULL, "ram.partial.write");
	run(partial_read, NULL, "ram.partial.read");
	for (size_t i = 0; i < COUNT(sizes); i++)
		run(large, &sizes[i], "ram.large.%zu", sizes[i]);
}

void area_region(void)
{
	run_after(after);
	for (size_t i = 0; i < ROLES; i++) {
		fixture_open(&v, roles_all[i].name, 0, DEVICE,
			     VFIO_TYPE1v2_IOMMU);
		of_role(roles_all[i].name);
		if (!strcmp(roles_all[i].name, "edu"))
			on_edu();
		if (!strcmp(roles_all[i].name, "ram"))
			on_ram();
		fixture_close(&v);
	}
}
