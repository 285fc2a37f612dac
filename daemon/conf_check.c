/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Is a shape something PCI can express? Checked whether the model or the user
 * got it wrong, and completed: sizes, the place of the MSI-X table, the size
 * of the ROM.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/conf_dev.h"
#include "lib/size.h"

#define MEM_BAR_MIN   16ull
#define IO_BAR_MIN    4ull
#define IO_BAR_MAX    256ull
#define MEM32_BAR_MAX (2ull << 30)
#define MEM64_BAR_MAX (1ull << 40) /* a VFIO region holds no more */
#define ROM_MIN	      2048ull
#define ROM_MAX	      (16ull << 20)
#define MSIX_ENTRY    16u

static bool is_memory(enum sv_bar_kind kind)
{
	return kind == SV_BAR_MEM32 || kind == SV_BAR_MEM64;
}

static uint64_t bar_max(enum sv_bar_kind kind)
{
	if (kind == SV_BAR_IO)
		return IO_BAR_MAX;
	return kind == SV_BAR_MEM32 ? MEM32_BAR_MAX : MEM64_BAR_MAX;
}

static bool upper_half(const struct sv_shape *shape, unsigned int bar)
{
	return bar > 0 && shape->bar[bar - 1].kind == SV_BAR_MEM64;
}

static int finish_bar(struct conf_lay *l, unsigned int i)
{
	struct sv_bar *bar = &l->shape->bar[i];

	if (bar->kind == SV_BAR_NONE)
		return 0;
	if (upper_half(l->shape, i))
		return conf_refuse(l->err, -EINVAL,
				   "%s: bar%u holds the upper half of the "
				   "64-bit bar%u and cannot be one of its own",
				   l->name, i, i - 1);
	if (bar->kind == SV_BAR_MEM64 && i == SV_NUM_BARS - 1)
		return conf_refuse(l->err, -EINVAL,
				   "%s: bar%u is the last and has no upper "
				   "half; mem64 fits bar0 to bar4",
				   l->name, i);
	if (bar->size > bar_max(bar->kind))
		return conf_refuse(
			l->err, -EINVAL,
			"%s: bar%u of %" PRIu64
			" bytes; %s goes up to %" PRIu64,
			l->name, i, bar->size,
			bar->kind == SV_BAR_IO ? "I/O" : "memory of this kind",
			bar_max(bar->kind));
	bar->size = size_pow2(bar->size, bar->kind == SV_BAR_IO ? IO_BAR_MIN
								: MEM_BAR_MIN);
	return 0;
}

/* A BAR that is free for the MSI-X table of a model that has none. */
static int find_msix_bar(struct conf_lay *l)
{
	for (unsigned int i = 0; i < SV_NUM_BARS; i++) {
		if (l->shape->bar[i].kind != SV_BAR_NONE ||
		    upper_half(l->shape, i))
			continue;
		l->shape->msix_bar = i;
		return 0;
	}
	return conf_refuse(l->err, -EINVAL,
			   "%s: msix=%u needs a free BAR for the table, and "
			   "all six are in use",
			   l->name, l->shape->msix);
}

static uint64_t table_bytes(const struct sv_shape *shape)
{
	return (uint64_t)shape->msix * MSIX_ENTRY;
}

static uint64_t pba_bytes(const struct sv_shape *shape)
{
	return (shape->msix + 63) / 64 * 8;
}

/*
 * A BAR of their own: a page at least, or the size the user gave it; the
 * pending bits in its upper half.
 */
static void make_msix_bar(struct sv_shape *shape)
{
	struct sv_bar *bar = &shape->bar[shape->msix_bar];
	uint64_t half = size_pow2(table_bytes(shape), 2048);

	if (bar->kind == SV_BAR_NONE)
		*bar = (struct sv_bar){
			.size = size_pow2(half + pba_bytes(shape), 4096),
			.kind = SV_BAR_MEM32,
			.access = SV_ACCESS_DIRECT,
		};
	shape->msix_table = 0;
	shape->msix_pba = (uint32_t)(bar->size / 2);
}

static int check_msix(const struct conf_lay *l)
{
	const struct sv_shape *s = l->shape;
	const struct sv_bar *bar = &s->bar[s->msix_bar];
	uint64_t table_end = s->msix_table + table_bytes(s);
	uint64_t pba_end = s->msix_pba + pba_bytes(s);

	if (!is_memory(bar->kind) || (s->msix_table | s->msix_pba) & 7)
		return conf_refuse(l->err, -EINVAL,
				   "%s: MSI-X in bar%u, table at %#x, pending "
				   "bits at %#x: not 8-aligned in a memory BAR",
				   l->name, s->msix_bar, s->msix_table,
				   s->msix_pba);
	if (table_end > bar->size || pba_end > bar->size ||
	    (table_end > s->msix_pba && pba_end > s->msix_table))
		return conf_refuse(l->err, -EINVAL,
				   "%s: msix=%u does not fit into bar%u with "
				   "the table at %#x and pending bits at %#x; "
				   "the model has %u vectors",
				   l->name, s->msix, s->msix_bar, s->msix_table,
				   s->msix_pba, l->model->msix);
	return 0;
}

static int finish_msix(struct conf_lay *l)
{
	struct sv_shape *shape = l->shape;
	int ret = 0;

	if (!shape->msix)
		return 0;
	if (!l->model->msix && !l->msix_placed)
		ret = find_msix_bar(l);
	if (ret)
		return ret;
	if (shape->msix > CONF_MSIX_MAX || shape->msix_bar >= SV_NUM_BARS ||
	    upper_half(shape, shape->msix_bar))
		return conf_refuse(l->err, -EINVAL,
				   "%s: %u MSI-X vectors in bar%u; up to %u, "
				   "in a BAR that is no upper half, would do",
				   l->name, shape->msix, shape->msix_bar,
				   CONF_MSIX_MAX);
	if (l->msix_placed || shape->bar[shape->msix_bar].kind == SV_BAR_NONE)
		make_msix_bar(shape);
	return check_msix(l);
}

static int finish_rom(struct conf_lay *l)
{
	struct sv_shape *shape = l->shape;
	struct stat st;

	if (!shape->rom_file || shape->rom_size)
		return 0;
	if (stat(shape->rom_file, &st))
		return conf_refuse(l->err, -EINVAL, "%s: rom=%.128s: %s",
				   l->name, shape->rom_file, strerror(errno));
	if (!S_ISREG(st.st_mode) || st.st_size <= 0 ||
	    (uint64_t)st.st_size > ROM_MAX)
		return conf_refuse(l->err, -EINVAL,
				   "%s: rom=%.128s is not a file of 1 to %llu "
				   "bytes",
				   l->name, shape->rom_file, ROM_MAX);
	shape->rom_size = (uint32_t)size_pow2((uint64_t)st.st_size, ROM_MIN);
	return 0;
}

int conf_shape_finish(struct conf_lay *l)
{
	int ret = 0;

	for (unsigned int i = 0; i < SV_NUM_BARS && !ret; i++)
		ret = finish_bar(l, i);
	if (!ret)
		ret = finish_msix(l);
	return ret ? ret : finish_rom(l);
}
