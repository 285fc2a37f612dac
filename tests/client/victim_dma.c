/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DMA into memory that is not what it was when it was mapped: gone, moved,
 * protected, cut off, or of a process that has forked, changed or died. Linux
 * pins pages, softvfio does not (docs/CONFORMANCE.md): what differs is said in
 * a comment. In no case may anything but that DMA suffer.
 */
#include "tests/client/victim.h"

#define IN  0x000000 /* IOVAs of two pages, and of another two */
#define OUT 0x100000

static struct vfio edu;

static void open_all(void)
{
	vfio_open(&edu, EDU);
	command_set(edu.device, 6);
}

/* What the device reads at @iova. Goes through a page that is sound. */
static uint8_t device_reads(uint64_t iova)
{
	static uint8_t *sound;

	if (!sound) {
		sound = anon(PAGE);
		CHECK(!dma_map(edu.container, sound, 0x800000, PAGE));
	}
	memset(sound, 0xee, 8);
	edu_fetch(edu.device, 0x800000, 8); /* so that no old byte shows */
	edu_fetch(edu.device, iova, 8);
	edu_store(edu.device, 0x800000, 8);
	return sound[0];
}

static void device_writes(uint64_t iova, uint8_t val)
{
	static uint8_t *sound;

	if (!sound) {
		sound = anon(PAGE);
		CHECK(!dma_map(edu.container, sound, 0x900000, PAGE));
	}
	memset(sound, val, 8);
	edu_fetch(edu.device, 0x900000, 8);
	edu_store(edu.device, iova, 8);
}

static void *map(void *mem, uint64_t iova)
{
	CHECK(!dma_map(edu.container, mem, iova, 2 * PAGE));
	return mem;
}

static void check_sound(void)
{
	uint8_t *mem = anon(2 * PAGE);

	map(mem, 0xa00000);
	mem[0] = 0x5a;
	CHECK(device_reads(0xa00000) == 0x5a);
	device_writes(0xa00000 + PAGE, 0xa5);
	CHECK(mem[PAGE] == 0xa5);
	CHECK(!dma_unmap(edu.container, 0xa00000, 2 * PAGE));
	munmap(mem, 2 * PAGE);
}

/* Linux: the page stays, nobody sees what is written to it. Here: lost. */
static void unmapped(char **args)
{
	open_all();
	uint8_t *mem = map(anon(2 * PAGE), IN);

	mem[0] = 1;
	CHECK(device_reads(IN) == 1);
	CHECK(!munmap(mem, 2 * PAGE));
	CHECK(device_reads(IN) == 0xee);
	device_writes(IN, 2);
	check_sound();
	CHECK(!dma_unmap(edu.container, IN, 2 * PAGE));
}

/* Linux: the old page. Here: what is there now. */
static void unmapped_and_mapped_again(char **args)
{
	open_all();
	uint8_t *mem = map(anon(2 * PAGE), IN);

	mem[0] = 1;
	CHECK(mmap(mem, 2 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
		   -1, 0) == mem);
	mem[0] = 2;
	CHECK(device_reads(IN) == 2);
	device_writes(IN + PAGE, 3);
	CHECK(mem[PAGE] == 3);
}

/* A file's memory needs no mapping of the program's: as on Linux. */
static void file_unmapped_and_closed(char **args)
{
	open_all();
	int fd = memory_file(2 * PAGE);
	uint8_t *mem = map(file_map(fd, 2 * PAGE), IN);
	uint8_t *other = file_map(fd, 2 * PAGE);

	CHECK(!munmap(mem, 2 * PAGE) && !close(fd));
	other[0] = 4;
	CHECK(device_reads(IN) == 4);
	device_writes(IN + PAGE, 5);
	CHECK(other[PAGE] == 5);
}

/* Pinned is pinned: protection is the processor's. As on Linux. */
static void protected(char **args)
{
	open_all();
	int fd = memory_file(2 * PAGE);
	uint8_t *mems[] = {map(anon(2 * PAGE), IN),
			   map(file_map(fd, 2 * PAGE), OUT)};

	for (size_t i = 0; i < COUNT(mems); i++) {
		uint64_t iova = i ? OUT : IN;

		mems[i][0] = 6;
		CHECK(!mprotect(mems[i], 2 * PAGE, PROT_READ));
		CHECK(device_reads(iova) == 6);
		device_writes(iova + PAGE, 7);
		CHECK(mems[i][PAGE] == 7);
		CHECK(!mprotect(mems[i], 2 * PAGE, PROT_NONE));
		CHECK(device_reads(iova) == 6);
		device_writes(iova, 8);
		CHECK(!mprotect(mems[i], 2 * PAGE, RW));
		CHECK(mems[i][0] == 8);
	}
}

/* Linux: the page stays until unmapped. Here: that DMA is lost. */
static void truncated(char **args)
{
	open_all();
	int fd = memory_file(2 * PAGE);
	uint8_t *mem = map(file_map(fd, 2 * PAGE), IN);

	mem[0] = mem[PAGE] = 9;
	CHECK(!ftruncate(fd, PAGE));
	CHECK(device_reads(IN + PAGE) == 0xee);
	device_writes(IN + PAGE, 10);
	CHECK(device_reads(IN) == 9); /* the rest is as good as before */
	CHECK(!ftruncate(fd, 0));
	CHECK(device_reads(IN) == 0xee);
	check_sound();
	CHECK(!ftruncate(fd, 2 * PAGE));
	CHECK(device_reads(IN + PAGE) == 0);
	mem[PAGE] = 11;
	CHECK(device_reads(IN + PAGE) == 11);
	CHECK(!dma_unmap(edu.container, IN, 2 * PAGE));
}

/* Linux: the old pages, no longer the program's. Here: the new ones. */
static void thrown_away(char **args)
{
	open_all();
	uint8_t *mem = map(anon(2 * PAGE), IN);

	mem[0] = 12;
	CHECK(!madvise(mem, 2 * PAGE, MADV_DONTNEED));
	CHECK(device_reads(IN) == 0);
	mem[0] = 13;
	CHECK(device_reads(IN) == 13);
}

/* Linux: the old page is where the mapping was. Here: nothing is. */
static void moved(char **args)
{
	open_all();
	uint8_t *mem = map(anon(2 * PAGE), IN), *room = anon(2 * PAGE);

	mem[0] = 14;
	CHECK(mremap(mem, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
		     room) == room);
	CHECK(device_reads(IN) == 0xee);
	CHECK(room[0] == 14);
	check_sound();
}

/* The device and the parent see one page, the child another: as on Linux. */
static void copied_on_write(char **args)
{
	open_all();
	uint8_t *mem = map(anon(2 * PAGE), IN);
	int up[2], down[2];
	char byte = 0;

	mem[0] = mem[PAGE] = 15;
	CHECK(!pipe2(up, O_CLOEXEC) && !pipe2(down, O_CLOEXEC));
	pid_t pid = fork();

	if (!pid) {
		mem[0] = 16;
		CHECK(write(up[1], &byte, 1) == 1);
		CHECK(read(down[0], &byte, 1) == 1);
		CHECK(mem[0] == 16 && mem[PAGE] == 15);
		_exit(0);
	}
	CHECK(read(up[0], &byte, 1) == 1);
	CHECK(device_reads(IN) == 15);
	mem[0] = 17;
	CHECK(device_reads(IN) == 17);
	device_writes(IN + PAGE, 18);
	CHECK(mem[PAGE] == 18);
	CHECK(write(down[1], &byte, 1) == 1);
	check_child(pid);
	CHECK(mem[0] == 17 && device_reads(IN) == 17);
}

/* What a child mapped is its own, and goes with it. */
static void of_a_dead_child(char **args)
{
	open_all();
	int fd = memory_file(2 * PAGE);
	uint8_t *mem = anon(2 * PAGE), *shared = file_map(fd, 2 * PAGE);

	mem[0] = 19;
	shared[0] = 20;
	pid_t pid = fork();

	if (!pid) {
		mem[0] = 21;
		map(mem, IN);
		map(shared, OUT);
		CHECK(device_reads(IN) == 21);
		CHECK(!dma_unmap(edu.container, 0x800000, PAGE));
		_exit(0);
	}
	check_child(pid);
	CHECK(device_reads(IN) == 0xee); /* Linux: 21, in pages nobody sees */
	CHECK(device_reads(OUT) == 20);
	CHECK_ERRNO(dma_map(edu.container, mem, IN, PAGE), EEXIST);
	CHECK(!dma_unmap(edu.container, IN, 2 * PAGE));
	map(mem, IN);
	CHECK(device_reads(IN) == 19);
}

/* A new program must not be written to by the old one's DMA. */
static void after_exec(char **args)
{
	if (args[0]) {
		edu.device = atoi(args[0]);
		edu.container = atoi(args[1]);
		/* where the old program had memory this one has some too */
		uint8_t *mem =
			mmap((void *)strtoul(args[2], NULL, 16), 2 * PAGE, RW,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
			     -1, 0);

		CHECK(mem != MAP_FAILED);
		CHECK(device_reads(IN) == 0xee);
		device_writes(IN, 23);
		CHECK(mem[0] == 0);
		CHECK(!dma_unmap(edu.container, IN, 2 * PAGE));
		map(mem, IN);
		mem[0] = 24;
		CHECK(device_reads(IN) == 24);
		return;
	}
	open_all();
	uint8_t *mem = map(anon(2 * PAGE), IN);
	char text[3][32];

	mem[0] = 22;
	CHECK(!fcntl(edu.device, F_SETFD, 0));
	CHECK(!fcntl(edu.container, F_SETFD, 0));
	snprintf(text[0], sizeof(text[0]), "%d", edu.device);
	snprintf(text[1], sizeof(text[1]), "%d", edu.container);
	snprintf(text[2], sizeof(text[2]), "%lx", (unsigned long)mem);
	execl("/proc/self/exe", "victim", "after_exec", text[0], text[1],
	      text[2], NULL);
	CHECK(false);
}

static const struct victim_test tests[] = {
	{"unmapped", unmapped},
	{"unmapped_and_mapped_again", unmapped_and_mapped_again},
	{"file_unmapped_and_closed", file_unmapped_and_closed},
	{"protected", protected},
	{"truncated", truncated},
	{"thrown_away", thrown_away},
	{"moved", moved},
	{"copied_on_write", copied_on_write},
	{"of_a_dead_child", of_a_dead_child},
	{"after_exec", after_exec},
	{NULL, NULL},
};

int main(int argc, char **argv)
{
	return victim_main(argc, argv, tests);
}
