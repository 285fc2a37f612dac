/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Threads: many on one descriptor while others open and close, little stack,
 * every signal blocked, and all of that at once.
 */
#include "tests/client/victim.h"

#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/stat.h>

#define HAMMERS	    4
#define ROUNDS	    300
#define REOPENS	    40
#define SMALL_STACK (16ul << 10) /* PTHREAD_STACK_MIN */

static struct vfio edu, ram;
static atomic_bool stop;

static void open_all(void)
{
	vfio_open(&edu, EDU);
	command_set(edu.device, 6);
	vfio_open(&ram, RAM);
	command_set(ram.device, 2);
}

static void run_threads(pthread_t *threads, size_t n, void *(*fn)(void *))
{
	for (uintptr_t i = 0; i < n; i++)
		CHECK(!pthread_create(&threads[i], NULL, fn, (void *)i));
}

static void join_threads(pthread_t *threads, size_t n)
{
	for (size_t i = 0; i < n; i++)
		CHECK(!pthread_join(threads[i], NULL));
}

/* One descriptor */

static void *hammer(void *arg)
{
	off_t mine = REGION(2) + 8 * (off_t)(uintptr_t)arg;

	for (uint32_t i = 0; i < ROUNDS; i++) {
		/* anew each time: the answer asks for more room than this */
		struct vfio_iommu_type1_info info = {.argsz = sizeof(info)};

		CHECK(is_edu(edu.device));
		reg_write(ram.device, mine, i);
		CHECK(!ioctl(edu.container, VFIO_IOMMU_GET_INFO, &info));
		CHECK(reg_read(ram.device, mine) == i);
	}
	return NULL;
}

/* Another device's files, and more of the one being hammered. */
static void *reopen(void *arg)
{
	(void)arg;
	while (!atomic_load(&stop)) {
		struct vfio v;
		int again = ioctl(edu.group, VFIO_GROUP_GET_DEVICE_FD, EDU);

		vfio_open(&v, EDU2);
		CHECK(again >= 0 && is_edu(again) && is_edu(v.device));
		CHECK(group_try(EDU) == -EBUSY);
		CHECK(!close(again));
		vfio_close(&v);
	}
	return NULL;
}

static void one_descriptor(char **args)
{
	pthread_t hammers[HAMMERS], opener;

	open_all();
	CHECK(!pthread_create(&opener, NULL, reopen, NULL));
	run_threads(hammers, HAMMERS, hammer);
	join_threads(hammers, HAMMERS);
	atomic_store(&stop, true);
	join_threads(&opener, 1);
}

/* The number is used anew at once: answers go to whoever asked. */
static void *churn(void *arg)
{
	(void)arg;
	for (int i = 0; i < ROUNDS; i++) {
		int fd = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);

		CHECK(fd >= 0);
		CHECK(ioctl(fd, VFIO_GET_API_VERSION) == 0);
		CHECK(ioctl(fd, VFIO_CHECK_EXTENSION, VFIO_TYPE1_IOMMU) == 1);
		CHECK(!close(fd));
	}
	return NULL;
}

static void descriptors_come_and_go(char **args)
{
	pthread_t threads[HAMMERS];

	run_threads(threads, HAMMERS, churn);
	join_threads(threads, HAMMERS);
}

/* Every kind of call */

static void paths(void)
{
	char *real = realpath("/sys/bus/pci/devices/" EDU "/iommu_group", NULL);
	struct stat st;
	DIR *dir = opendir("/sys/bus/pci/devices");
	int n = 0;

	CHECK(!stat("/dev/vfio/vfio", &st) && S_ISCHR(st.st_mode));
	CHECK(dir);
	while (readdir(dir))
		n++;
	CHECK(!closedir(dir) && n == 5); /* with "." and ".." */
	CHECK(real && !strncmp(real, "/sys/kernel/iommu_groups/", 25));
	free(real);
	CHECK(!access("/sys/bus/pci/devices/" RAM "/vendor", R_OK));
}

static void dma(uint64_t iova)
{
	int fd = memory_file(2 * PAGE);
	void *mem[] = {anon(2 * PAGE), file_map(fd, 2 * PAGE)};

	for (size_t i = 0; i < COUNT(mem); i++) {
		CHECK(!dma_map(edu.container, mem[i], iova, 2 * PAGE));
		CHECK(!dma_unmap(edu.container, iova, 2 * PAGE));
		munmap(mem[i], 2 * PAGE);
	}
	close(fd);
}

static void files(void)
{
	int fd = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	int event = eventfd(0, EFD_CLOEXEC);
	struct stat st;

	CHECK(fd >= 0 && event >= 0);
	CHECK(!fstat(fd, &st) && S_ISCHR(st.st_mode));
	CHECK(!ioctl(fd, VFIO_GET_API_VERSION));
	CHECK(!msi_set(edu.device, event));
	close(fd);
	close(event);
}

static void bars(uintptr_t i)
{
	volatile uint32_t *id = bar_map(edu.device, 0, PAGE);
	volatile uint8_t *mem = bar_map(ram.device, 2, PAGE);
	volatile uint8_t *mine = mem + PAGE / 2 + i;

	CHECK(*id == EDU_ID);
	*mine = (uint8_t)i;
	CHECK(*mine == i);
	CHECK(!munmap((void *)id, PAGE) && !munmap((void *)mem, PAGE));
}

static void *everything(void *arg)
{
	uintptr_t i = (uintptr_t)arg;

	for (int round = 0; round < 20; round++) {
		CHECK(is_edu(edu.device));
		dma(i << 20);
		files();
		bars(i);
		paths();
	}
	return NULL;
}

static void all_at_once(char **args)
{
	pthread_t threads[HAMMERS];

	open_all();
	run_threads(threads, HAMMERS, everything);
	join_threads(threads, HAMMERS);
}

/* Little stack */

/* The program's own frames take none of the room: that is not the test. */
static void *small(void *arg)
{
	sigset_t all;

	sigfillset(&all);
	CHECK(!pthread_sigmask(SIG_BLOCK, &all, NULL));
	return everything(arg);
}

/* A stack that ends where nobody may write. */
static void start_small(pthread_t *thread, uintptr_t i)
{
	char *room = anon(PAGE + SMALL_STACK);
	pthread_attr_t attr;

	CHECK(!mprotect(room, PAGE, PROT_NONE));
	CHECK(!pthread_attr_init(&attr));
	CHECK(!pthread_attr_setstack(&attr, room + PAGE, SMALL_STACK));
	CHECK(!pthread_create(thread, &attr, small, (void *)i));
	CHECK(!pthread_attr_destroy(&attr));
}

static void small_stacks(char **args)
{
	pthread_t threads[HAMMERS];

	open_all();
	for (uintptr_t i = 0; i < HAMMERS; i++)
		start_small(&threads[i], i);
	join_threads(threads, HAMMERS);
}

/* Every signal blocked, and a device that is reset under the threads' hands */

static volatile uint32_t *regs;
static volatile uint64_t *memory;

static void *touch(void *arg)
{
	volatile uint64_t *mine = memory + 512 * (uintptr_t)arg;
	uint64_t n = 0;

	do {
		CHECK(regs[0] == EDU_ID);
		*mine = ++n;
		CHECK(*mine == n);
	} while (!atomic_load(&stop));
	return NULL;
}

static void resets_under_blocked_signals(char **args)
{
	pthread_t threads[HAMMERS];
	sigset_t all, now;

	open_all();
	regs = bar_map(edu.device, 0, PAGE);
	memory = bar_map(ram.device, 2, HAMMERS * PAGE);
	sigfillset(&all);
	CHECK(!pthread_sigmask(SIG_SETMASK, &all, NULL));
	CHECK(!pthread_sigmask(SIG_SETMASK, NULL, &now));
	CHECK(sigismember(&now, SIGBUS) && sigismember(&now, SIGSEGV));
	run_threads(threads, HAMMERS, touch);
	for (int i = 0; i < REOPENS; i++) {
		CHECK(!ioctl(ram.device, VFIO_DEVICE_RESET));
		CHECK(!ioctl(edu.device, VFIO_DEVICE_RESET));
	}
	atomic_store(&stop, true);
	join_threads(threads, HAMMERS);
}

/* Ends with all its threads in the middle of calls. */
static void exits_in_calls(char **args)
{
	pthread_t threads[2 * HAMMERS];

	open_all();
	run_threads(threads, HAMMERS, everything);
	run_threads(threads + HAMMERS, HAMMERS, hammer);
	for (int i = 0; i < 20; i++)
		CHECK(is_edu(edu.device));
	_exit(0);
}

static const struct victim_test tests[] = {
	{"one_descriptor", one_descriptor},
	{"descriptors_come_and_go", descriptors_come_and_go},
	{"all_at_once", all_at_once},
	{"small_stacks", small_stacks},
	{"resets_under_blocked_signals", resets_under_blocked_signals},
	{"exits_in_calls", exits_in_calls},
	{NULL, NULL},
};

int main(int argc, char **argv)
{
	return victim_main(argc, argv, tests);
}
