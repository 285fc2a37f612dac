/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Calls that no socket has brought: a transport of the test's own, which has a
 * page of the program's memory, a file that is mapped, and a bitmap.
 */
#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "core/machine/machine.h"
#include "front/vfio/vfio.h"
#include "lib/cleanup.h"
#include "lib/size.h"
#include "tests/unit/map_rig.h"

#define ARG    0x10000ull	 /* where the ioctl's structure lies */
#define BUFFER 0x7f0000000000ull /* what is mapped for DMA */
#define BITMAP 0x20000ull
#define RUNS   4

struct run {
	uint64_t first;
	uint64_t count;
};

struct program {
	struct call call;
	struct type1 *type1;
	uint64_t arg[2];
	uint8_t memory[256]; /* at ARG */
	bool looked;	     /* it knows what is mapped */
	int fd;
	struct sv_vma vma;
	struct call_bits bits;
	struct run run[RUNS]; /* asked for in the last round */
	uint64_t mark;
	size_t n_runs;
};

static struct program *program_of(const struct call *call)
{
	return container_of(call, struct program, call);
}

static int copy_in(struct call *call, uint64_t addr, void *buf, size_t len)
{
	if (addr < ARG || addr - ARG > sizeof(program_of(call)->memory) - len)
		return -EFAULT;
	memcpy(buf, program_of(call)->memory + (addr - ARG), len);
	return 0;
}

static int vmas(struct call *call, uint64_t addr, uint64_t len,
		const struct sv_vma **ret_vma, uint32_t *ret_n)
{
	*ret_vma = &program_of(call)->vma;
	*ret_n = 1;
	return program_of(call)->looked ? 0 : -ERESTART;
}

static int vma_fd(const struct call *call, const struct sv_vma *vma)
{
	return program_of(call)->fd;
}

static struct call_bits bits(const struct call *call)
{
	return program_of(call)->bits;
}

static int set_bits(struct call *call, uint64_t mark, uint64_t bitmap,
		    uint64_t first, uint64_t count)
{
	struct program *p = program_of(call);

	assert_int_equal(bitmap, BITMAP);
	assert_in_range(p->n_runs, 0, RUNS - 1);
	p->mark = mark;
	p->run[p->n_runs++] = (struct run){first, count};
	return -ERESTART;
}

static const uint8_t *data(const struct call *call, size_t *ret_len,
			   size_t *ret_want)
{
	*ret_len = *ret_want = program_of(call)->arg[0];
	return program_of(call)->memory;
}

static const struct call_ops ops = {
	.data = data,
	.copy_in = copy_in,
	.vmas = vmas,
	.vma_fd = vma_fd,
	.bits = bits,
	.set_bits = set_bits,
};

static int begin(void **state)
{
	static struct machine machine;
	static const struct front_conf conf = {.machine = &machine};
	struct program *p = calloc(1, sizeof(*p));

	if (!p)
		return -1;
	p->call.ops = &ops;
	p->call.conf = &conf;
	p->call.arg = p->arg;
	p->call.pid = getpid();
	p->type1 = rig_type1(TYPE1_V2, TYPE1_ENTRY_LIMIT);
	p->fd = memfd_create("buffer", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	p->vma = (struct sv_vma){
		.start = BUFFER,
		.end = BUFFER + 2ull * PAGE,
		.prot = PROT_READ | PROT_WRITE,
		.kind = SV_VMA_FILE,
	};
	*state = p;
	return p->type1 && ftruncate(p->fd, 2ull * PAGE) == 0 ? 0 : -1;
}

static int end(void **state)
{
	struct program *p = *state;

	type1_put(p->type1);
	close(p->fd);
	free(p);
	return 0;
}

static int64_t ask(struct program *p, unsigned int cmd, const void *arg,
		   size_t len)
{
	p->arg[0] = cmd;
	p->arg[1] = ARG;
	memcpy(p->memory, arg, len);
	p->call.n_copies = p->call.n_out = p->n_runs = 0;
	return iommu_ioctl(&p->call, p->type1);
}

static int64_t map(struct program *p, uint64_t iova)
{
	const struct vfio_iommu_type1_dma_map m = {
		.argsz = sizeof(m),
		.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.vaddr = BUFFER,
		.iova = iova,
		.size = PAGE,
	};

	return ask(p, VFIO_IOMMU_MAP_DMA, &m, sizeof(m));
}

static void an_answer_says_where_each_part_goes(void **state)
{
	struct program *p = *state;
	struct vfio_iommu_type1_info info = {.argsz = sizeof(p->memory)};

	assert_int_equal(ask(p, VFIO_IOMMU_GET_INFO, &info, sizeof(info)), 0);
	assert_string_equal(p->call.name, "VFIO_IOMMU_GET_INFO");
	assert_int_equal(p->call.n_copies, 2);
	assert_int_equal(p->call.copy[0].addr, ARG + sizeof(info));
	assert_int_equal(p->call.copy[1].addr, ARG);
	assert_int_equal(p->call.copy[1].len, sizeof(info));
	memcpy(&info, p->call.out + p->call.copy[0].len, sizeof(info));
	assert_int_equal(info.iova_pgsizes, TYPE1_PAGE_SIZES);
}

static void what_is_not_at_hand_changes_nothing(void **state)
{
	struct program *p = *state;

	assert_int_equal(map(p, PAGE), -ERESTART);
	assert_int_equal(type1_mapped(p->type1), 0);
	assert_int_equal(p->call.n_copies, 0);
	p->looked = true;
	assert_int_equal(map(p, PAGE), 0);
	assert_int_equal(type1_mapped(p->type1), PAGE);
}

static int64_t ask_dirty(struct program *p)
{
	const struct vfio_iommu_type1_dirty_bitmap head = {
		.argsz = sizeof(p->memory),
		.flags = VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP,
	};
	const struct vfio_iommu_type1_dirty_bitmap_get get = {
		.iova = PAGE,
		.size = 64ull * PAGE,
		.bitmap = {PAGE, 8, BITMAP},
	};
	uint8_t arg[sizeof(head) + sizeof(get)];

	memcpy(arg, &head, sizeof(head));
	memcpy(arg + sizeof(head), &get, sizeof(get));
	return ask(p, VFIO_IOMMU_DIRTY_PAGES, arg, sizeof(arg));
}

static void map_two_and_track(struct program *p)
{
	const struct vfio_iommu_type1_dirty_bitmap start = {
		.argsz = sizeof(start),
		.flags = VFIO_IOMMU_DIRTY_PAGES_FLAG_START,
	};

	p->looked = true;
	assert_int_equal(map(p, PAGE), 0);
	assert_int_equal(map(p, 4 * PAGE), 0);
	assert_int_equal(ask(p, VFIO_IOMMU_DIRTY_PAGES, &start, sizeof(start)),
			 0);
}

static void a_bitmap_goes_on_behind_what_is_written(void **state)
{
	struct program *p = *state;

	map_two_and_track(p);
	assert_int_equal(ask_dirty(p), -ERESTART);
	assert_int_equal(p->n_runs, 2);
	assert_int_equal(p->run[0].first, 0);
	assert_int_equal(p->run[1].first, 3);
	assert_int_equal(p->run[1].count, 1);
	assert_int_not_equal(p->mark, 0);

	p->bits = (struct call_bits){.mark = p->mark, .done = 1};
	assert_int_equal(ask_dirty(p), -ERESTART);
	assert_int_equal(p->n_runs, 1);
	assert_int_equal(p->run[0].first, 3);

	p->bits.done = 2;
	assert_int_equal(ask_dirty(p), 0);
	assert_int_equal(p->n_runs, 0);
}

static void a_bitmap_begins_again_when_the_table_has_changed(void **state)
{
	struct program *p = *state;

	map_two_and_track(p);
	assert_int_equal(ask_dirty(p), -ERESTART);
	p->bits = (struct call_bits){.mark = p->mark, .done = 2};
	assert_int_equal(map(p, 8 * PAGE), 0);
	assert_int_equal(ask_dirty(p), -ERESTART);
	assert_int_equal(p->n_runs, 3);
	assert_int_not_equal(p->mark, p->bits.mark);
}

/* Of an older table it was, and what it was about begins again. */
static void a_fault_counts_for_the_table_it_was_made_with(void **state)
{
	struct program *p = *state;

	map_two_and_track(p);
	assert_int_equal(ask_dirty(p), -ERESTART);
	p->bits = (struct call_bits){.mark = p->mark, .fault = true};
	assert_int_equal(ask_dirty(p), -EFAULT);
	assert_int_equal(map(p, 8 * PAGE), 0);
	assert_int_equal(ask_dirty(p), -ERESTART);
}

static void a_path_is_text_without_a_hole(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		int result;
	} rows[] = {
		{"/dev", 4, 0},	      {"/dev\0\0", 6, 0},
		{"", 0, -EINVAL},     {"\0", 1, -EINVAL},
		{"a\0b", 3, -EINVAL}, {"/long/path", 10, -EINVAL},
	};
	struct program *p = *state;
	char path[8];

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		memcpy(p->memory, rows[i].bytes, rows[i].len);
		p->arg[0] = rows[i].len;
		assert_int_equal(call_path(&p->call, path, sizeof(path)),
				 rows[i].result);
		if (rows[i].result == 0)
			assert_string_equal(path, "/dev");
	}
}

static void an_answer_holds_so_much_and_no_more(void **state)
{
	struct program *p = *state;
	static const uint8_t bytes[SV_MSG_MAX];

	for (size_t i = 0; i < SV_COPIES_MAX; i++)
		assert_int_equal(call_copy_out(&p->call, ARG, bytes, 1), 0);
	assert_int_equal(call_copy_out(&p->call, ARG, bytes, 1), -ENOMEM);
	assert_int_equal(p->call.n_out, SV_COPIES_MAX);
	assert_int_equal(call_out(&p->call, bytes, SV_MSG_MAX), -ENOMEM);
	assert_int_equal(call_out(&p->call, bytes, SV_MSG_MAX - SV_COPIES_MAX),
			 0);
	assert_int_equal(call_out(&p->call, bytes, 1), -ENOMEM);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_answer_says_where_each_part_goes),
		TEST(what_is_not_at_hand_changes_nothing),
		TEST(a_bitmap_goes_on_behind_what_is_written),
		TEST(a_bitmap_begins_again_when_the_table_has_changed),
		TEST(a_fault_counts_for_the_table_it_was_made_with),
		TEST(a_path_is_text_without_a_hole),
		TEST(an_answer_holds_so_much_and_no_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
