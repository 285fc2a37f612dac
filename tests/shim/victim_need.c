/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ioctls whose answer takes more than the bytes at the argument: program
 * memory, descriptors, mappings, /proc/self/mem; and bad pointers everywhere.
 */
#include "victim.h"

#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define MANY 2048

enum { KIND_MM, KIND_FILE, KIND_BAR };

struct ioc_vmas {
	uint64_t start, len;
	uint32_t n, zero;
	struct {
		uint64_t start, end, off, dev, ino;
		uint32_t prot;
		uint16_t kind;
		int16_t index;
		uint64_t head;
	} vma[16];
};

static void bytes_are_fetched(int fd, char **args)
{
	size_t size = 40000;
	uint8_t *data = malloc(size);
	uint64_t sum = 0;

	for (size_t i = 0; i < size; i++)
		sum += data[i] = (uint8_t)(i * 13);

	struct ioc_sum arg = {(uint32_t)size, 0, (uintptr_t)data, 0};

	errno = 77;
	CHECK(ioctl(fd, IOC_SUM, &arg) == 0 && arg.sum == sum && errno == 77);
	free(data);
}

static void bad_pointers_are_efault(int fd, char **args)
{
	char *bad = victim_bad_page();
	struct ioc_sum *edge = (void *)(bad - 16);
	struct ioc_sum arg = {100, 0, (uintptr_t)bad - 50, 0};
	struct ioc_copy copy = {(uintptr_t)bad - 50, 100, 0};

	CHECK_ERRNO(ioctl(fd, IOC_SUM, bad), EFAULT);
	CHECK_ERRNO(ioctl(fd, IOC_SUM, NULL), EFAULT);
	CHECK_ERRNO(ioctl(fd, IOC_SUM, bad - 8), EFAULT);
	CHECK_ERRNO(ioctl(fd, IOC_SUM, &arg), EFAULT);
	CHECK_ERRNO(ioctl(fd, IOC_COPY, &copy), EFAULT);

	/* the argument is there, the room for the answer is not */
	edge->n = 16;
	edge->addr = (uintptr_t)edge;
	CHECK_ERRNO(ioctl(fd, IOC_SUM, edge), EFAULT);

	/* read-only memory can be read and not written */
	CHECK(mprotect(bad, 4096, PROT_READ) == 0);
	arg.addr = (uintptr_t)bad;
	CHECK(ioctl(fd, IOC_SUM, &arg) == 0 && arg.sum == 0);
	CHECK_ERRNO(ioctl(fd, IOC_COPY, &copy), EFAULT);
}

static void structures_of_any_size(int fd, char **args)
{
	struct {
		uint32_t argsz;
		uint8_t b[60000];
	} *arg = malloc(sizeof(*arg));
	const uint32_t sizes[] = {8, 255, 256, 257, 5000, 60004};

	for (int i = 0; i < 6; i++) {
		memset(arg, 0x0f, sizeof(*arg));
		arg->argsz = sizes[i];
		CHECK(ioctl(fd, IOC_ARGSZ, arg) == 0);
		CHECK(arg->b[0] == 0xf0 && arg->b[sizes[i] - 5] == 0xf0);
		CHECK(sizes[i] == 60004 || arg->b[sizes[i] - 4] == 0x0f);
	}
	free(arg);
}

static void copies_of_any_size(int fd, char **args)
{
	static char room[100000];
	struct ioc_copy copy = {(uintptr_t)room + 1, sizeof(room) - 2, 0};

	CHECK(ioctl(fd, IOC_COPY, &copy) == 5);
	CHECK(!room[0] && room[1] == 0x5a && !room[sizeof(room) - 1]);
	CHECK(room[sizeof(room) - 2] == 0x5a);
}

static void check_counts(const int *fds, int n)
{
	for (int i = 0; i < n; i++) {
		uint64_t value;

		CHECK(read(fds[i], &value, sizeof(value)) == sizeof(value));
		CHECK(value == (uint64_t)i + 1);
	}
}

static void descriptors_are_sent(int fd, char **args)
{
	struct rlimit lim = {MANY + 200, MANY + 200};
	static const int counts[] = {1, 249, 250, 499, 500, MANY};
	int before = victim_count_fds();
	int *fds = calloc(MANY, sizeof(*fds));

	CHECK(setrlimit(RLIMIT_NOFILE, &lim) == 0);
	for (int i = 0; i < MANY; i++) {
		fds[i] = eventfd(0, EFD_NONBLOCK);
		CHECK(fds[i] >= 0);
	}
	for (int i = 0; i < 6; i++) {
		struct ioc_fds arg = {(uint32_t)counts[i], 0, (uintptr_t)fds};

		CHECK(ioctl(fd, IOC_FDS, &arg) == counts[i]);
		check_counts(fds, counts[i]);
	}
	CHECK(victim_count_fds() == before + MANY);
	free(fds);
}

static void same_descriptor_is_sent_once(int fd, char **args)
{
	int event = eventfd(0, 0), fds[100];
	struct ioc_fds arg = {100, 0, (uintptr_t)fds};
	uint64_t value;

	for (int i = 0; i < 100; i++)
		fds[i] = event;
	CHECK(ioctl(fd, IOC_FDS, &arg) == 1);
	CHECK(read(event, &value, sizeof(value)) == 8 && value == 5050);
}

static void bad_descriptors_are_known(int fd, char **args)
{
	int fds[3] = {eventfd(0, EFD_NONBLOCK), 1 << 20, eventfd(0, 0)};
	int path = open("/", O_PATH);
	struct ioc_fds arg = {3, 0, (uintptr_t)fds};
	uint64_t value;

	CHECK_ERRNO(ioctl(fd, IOC_FDS, &arg), EBADF);
	fds[1] = -1;
	CHECK_ERRNO(ioctl(fd, IOC_FDS, &arg), EBADF);
	CHECK(path >= 0);
	fds[1] = path; /* no file to any call but the *at() ones */
	CHECK_ERRNO(ioctl(fd, IOC_FDS, &arg), EBADF);
	CHECK_ERRNO(read(fds[0], &value, sizeof(value)), EAGAIN);

	/* the lowest free numbers are those the shim itself is using */
	fds[1] = dup(fds[0]);
	fds[2] = dup(fds[0]);
	CHECK(close(fds[1]) == 0 && close(fds[2]) == 0);
	for (int i = 0; i < 2; i++) {
		CHECK_ERRNO(ioctl(fd, IOC_FDS, &arg), EBADF);
		fds[1] = fds[2];
	}
}

static void results_are_descriptors(int fd, char **args)
{
	int a = ioctl(fd, IOC_NEWFD, 0), b = ioctl(fd, IOC_NEWFD, 1);

	CHECK(a >= 0 && fcntl(a, F_GETFD) == 0);
	CHECK(b >= 0 && fcntl(b, F_GETFD) == FD_CLOEXEC);
	CHECK(ioctl(a, IOC_VALUE, 3) == 3);
	close(a);
	CHECK(ioctl(b, IOC_VALUE, 4) == 4);
	close(b);

	/* the host has no number left for it */
	struct rlimit was, few;

	CHECK(getrlimit(RLIMIT_NOFILE, &was) == 0);
	few = (struct rlimit){(rlim_t)fd + 3, was.rlim_max};
	CHECK(setrlimit(RLIMIT_NOFILE, &few) == 0);
	while (dup(fd) >= 0)
		;
	CHECK_ERRNO(ioctl(fd, IOC_NEWFD, 0), EMFILE);
	CHECK(setrlimit(RLIMIT_NOFILE, &was) == 0);
}

/* ------------------------------------------------------------------ */

static void *map(size_t len, int flags, int fd)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, flags, fd, 0);

	CHECK(p != MAP_FAILED);
	return p;
}

static void describe(int fd, struct ioc_vmas *arg, const void *start,
		     size_t len)
{
	memset(arg, 0, sizeof(*arg));
	arg->start = (uintptr_t)start;
	arg->len = len;
	CHECK(ioctl(fd, IOC_VMAS, arg) == 0);
}

/* A hole, private memory of two kinds, and nothing behind it. */
static void private_memory_is_mm(int fd, char **args)
{
	char *p = map(8 * 4096, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	struct ioc_vmas arg;

	CHECK(munmap(p, 4096) == 0 && munmap(p + 7 * 4096, 4096) == 0);
	CHECK(mprotect(p + 3 * 4096, 4096, PROT_READ) == 0);
	CHECK(mprotect(p + 5 * 4096, 4096, PROT_NONE) == 0);
	describe(fd, &arg, p + 100, 7 * 4096);
	CHECK(arg.n == 5);
	CHECK(arg.vma[0].start == (uintptr_t)p + 4096);
	CHECK(arg.vma[0].end == (uintptr_t)p + 3 * 4096);
	CHECK(arg.vma[0].kind == KIND_MM && arg.vma[0].prot == 3);
	CHECK(arg.vma[1].prot == PROT_READ && arg.vma[3].prot == PROT_NONE);
	CHECK(arg.vma[4].end == (uintptr_t)p + 7 * 4096);

	describe(fd, &arg, p + 4096 + 8, 16);
	CHECK(arg.n == 1 && arg.vma[0].end - arg.vma[0].start == 16);
}

static void check_file(int fd, int file, uint32_t prot)
{
	struct ioc_vmas arg;
	char *p;

	CHECK(pwrite(file, "software", 8, 4096) == 8);
	p = mmap(NULL, 3 * 4096, (int)prot, MAP_SHARED, file, 0);
	CHECK(p != MAP_FAILED);
	describe(fd, &arg, p + 4096, 4096);
	CHECK(arg.n == 1 && arg.vma[0].kind == KIND_FILE);
	CHECK(arg.vma[0].off == 4096 && arg.vma[0].prot == prot);
	CHECK(!memcmp(&arg.vma[0].head, "software", 8));
	CHECK(munmap(p, 3 * 4096) == 0);
}

static int new_memfd(void)
{
	int file = memfd_create("victim", 0);

	CHECK(file >= 0 && ftruncate(file, 3 * 4096) == 0);
	return file;
}

static void shared_files_are_sent(int fd, char **args)
{
	int before, file = new_memfd();

	before = victim_count_fds();
	check_file(fd, file, PROT_READ | PROT_WRITE);
	check_file(fd, file, PROT_READ);
	CHECK(victim_count_fds() == before);
}

/* What the daemon would have to ask for next comes along, and nothing else. */
static void mm_comes_with_private_memory(int fd, char **args)
{
	int before, file = new_memfd();
	char *p = map(2 * 4096, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	struct {
		uint64_t start, len;
	} arg = {(uintptr_t)p, 4096};

	before = victim_count_fds();
	CHECK(ioctl(fd, IOC_VMAS_MM, &arg) == 1);
	CHECK(mmap(p, 4096, PROT_READ, MAP_SHARED | MAP_FIXED, file, 0) == p);
	CHECK(ioctl(fd, IOC_VMAS_MM, &arg) == 0);
	arg.len = 2 * 4096;
	CHECK(ioctl(fd, IOC_VMAS_MM, &arg) == 1);
	CHECK(munmap(p, 2 * 4096) == 0 && ioctl(fd, IOC_VMAS_MM, &arg) == 0);
	CHECK(victim_count_fds() == before);
}

/* Nobody but root may use /proc/self/map_files. */
static void shared_files_are_found_without_root(int fd, char **args)
{
	victim_drop_root();
	shared_files_are_sent(fd, args);
}

/* The descriptor is gone; the path still leads to the file. */
static void shared_files_are_found_by_path(int fd, char **args)
{
	char name[] = "/dev/shm/softvfio-victim-XXXXXX";
	struct ioc_vmas arg;

	victim_drop_root();

	int file = mkstemp(name);
	CHECK(file >= 0 && ftruncate(file, 4096) == 0);
	CHECK(pwrite(file, "software", 8, 0) == 8);

	char *p = map(4096, MAP_SHARED, file);
	close(file);
	describe(fd, &arg, p, 4096);
	unlink(name);
	CHECK(arg.n == 1 && arg.vma[0].kind == KIND_FILE);
	CHECK(!memcmp(&arg.vma[0].head, "software", 8));

	/* and now nothing leads there */
	describe(fd, &arg, p, 4096);
	CHECK(arg.n == 1 && arg.vma[0].kind == KIND_MM);
}

/* A disk's, or a server's who may let whoever has it wait: it is not sent. */
static void only_memory_is_sent_as_files(int fd, char **args)
{
	char name[] = "/var/tmp/softvfio-victim-XXXXXX";
	int before = victim_count_fds(), file = mkstemp(name);
	bool memory = fcntl(file, F_GET_SEALS) >= 0;
	struct ioc_vmas arg;

	CHECK(file >= 0 && ftruncate(file, 4096) == 0);
	describe(fd, &arg, map(4096, MAP_SHARED, file), 4096);
	unlink(name);
	CHECK(arg.n == 1);
	CHECK(arg.vma[0].kind == (memory ? KIND_FILE : KIND_MM));
	close(file);
	CHECK(victim_count_fds() == before);
}

static void one_file_is_sent_once(int fd, char **args)
{
	int file = new_memfd();
	char *p = map(3 * 4096, MAP_SHARED, file);
	struct ioc_vmas arg;

	/* two mappings of it with a hole; parts that merge back into one */
	CHECK(munmap(p + 4096, 4096) == 0);
	describe(fd, &arg, p, 3 * 4096);
	CHECK(arg.n == 2 && arg.vma[0].index == 0 && arg.vma[1].index == 0);
}

static void too_many_mappings_are_enomem(int fd, char **args)
{
	size_t len = 2200 * 4096;
	char *p = map(len, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	struct ioc_vmas arg = {(uintptr_t)p, len, 0, 0, {{0}}};

	for (size_t at = 0; at < len; at += 8192)
		CHECK(mprotect(p + at, 4096, PROT_READ) == 0);
	CHECK_ERRNO(ioctl(fd, IOC_VMAS, &arg), ENOMEM);
	arg.len = 1000 * 4096;
	CHECK(ioctl(fd, IOC_VMAS, &arg) == 0 && arg.n == 1000);
}

/* ------------------------------------------------------------------ */

static void mm_is_sent(int fd, char **args)
{
	uint64_t target = 1;
	struct ioc_mm arg = {(uintptr_t)&target, 4711, {0, 0}};

	CHECK(ioctl(fd, IOC_MM, &arg) == 0);
	CHECK(*(volatile uint64_t *)&target == 4711);
}

static void *mm_of_thread(void *arg)
{
	struct ioc_mm *mm = arg;

	mm->addr = (uintptr_t)&mm->value;
	mm->value = 5;
	CHECK(ioctl((int)mm->mm_id[0], IOC_MM, mm) == 0);
	return NULL;
}

static void mm_ids_name_address_spaces(int fd, char **args)
{
	struct ioc_mm *mm = map(4096, MAP_SHARED | MAP_ANONYMOUS, -1);
	pthread_t t[4];
	int status;

	for (int i = 0; i < 4; i++) {
		mm[i].mm_id[0] = (uint64_t)fd;
		CHECK(!pthread_create(&t[i], NULL, mm_of_thread, &mm[i]));
	}
	for (int i = 0; i < 4; i++)
		CHECK(pthread_join(t[i], NULL) == 0);
	for (int i = 1; i < 4; i++)
		CHECK(!memcmp(mm[0].mm_id, mm[i].mm_id, 16));
	CHECK(mm[0].mm_id[0] && mm[0].mm_id[1]);

	/* a forked child has another, and keeps it */
	mm[4].mm_id[0] = mm[5].mm_id[0] = (uint64_t)fd;
	if (!fork()) {
		mm_of_thread(&mm[4]);
		mm_of_thread(&mm[5]);
		_exit(0);
	}
	CHECK(wait(&status) > 0 && !status);
	CHECK(mm[4].mm_id[0] != mm[0].mm_id[0]);
	CHECK(mm[4].mm_id[1] != mm[0].mm_id[1]);
	CHECK(!memcmp(mm[4].mm_id, mm[5].mm_id, 16));

	/* one by vfork shares the address space and the name */
	mm[6].mm_id[0] = (uint64_t)fd;
	if (!vfork()) {
		mm_of_thread(&mm[6]);
		_exit(0);
	}
	CHECK(wait(&status) > 0 && !status);
	CHECK(!memcmp(mm[0].mm_id, mm[6].mm_id, 16));
}

/* The main thread ends; /proc/self then shows no memory. */
static void *without_leader(void *arg)
{
	int fd = *(int *)arg;
	char state[512];
	char *paren;

	do {
		int stat = open("/proc/self/stat", O_RDONLY);
		ssize_t n = read(stat, state, sizeof(state) - 1);

		CHECK(n > 0);
		state[n] = '\0';
		close(stat);
		paren = strrchr(state, ')');
	} while (paren[2] != 'Z');
	bytes_are_fetched(fd, NULL);
	private_memory_is_mm(fd, NULL);
	mm_is_sent(fd, NULL);
	_exit(0);
}

static void leader_may_be_gone(int fd, char **args)
{
	static int its_fd;
	pthread_t t;

	its_fd = fd;
	CHECK(pthread_create(&t, NULL, without_leader, &its_fd) == 0);
	pthread_exit(NULL);
}

/* ------------------------------------------------------------------ */

static void *on_small_stack(void *arg)
{
	int fd = *(int *)arg, event = eventfd(0, 0);
	struct ioc_fds fds = {1, 0, (uintptr_t)&event};
	struct ioc_vmas *vmas = malloc(sizeof(*vmas));
	char b[64];

	CHECK(ioctl(fd, IOC_FDS, &fds) == 1);
	CHECK(pread(fd, b, sizeof(b), 0) == sizeof(b));
	describe(fd, vmas, b, sizeof(b));
	mm_is_sent(fd, NULL);
	copies_of_any_size(fd, NULL);

	void *bar = mmap(NULL, BAR_SIZE, PROT_READ, MAP_SHARED, fd, BAR_MIXED);
	CHECK(bar != MAP_FAILED);
	describe(fd, vmas, bar, BAR_SIZE);
	CHECK(mprotect(bar, BAR_SIZE, PROT_READ | PROT_WRITE) == 0);
	CHECK(syscall(16 /* SYS_ioctl */, fd, IOC_VALUE, 8) == 8);
	free(vmas);
	return NULL;
}

static void small_stacks_are_enough(int fd, char **args)
{
	pthread_attr_t attr;
	pthread_t t;

	CHECK(pthread_attr_init(&attr) == 0);
	CHECK(pthread_attr_setstacksize(&attr, 16384) == 0);
	CHECK(pthread_create(&t, &attr, on_small_stack, &fd) == 0);
	CHECK(pthread_join(t, NULL) == 0);
}

#define TEST(name)                                                             \
	{                                                                      \
#name, name                                                    \
	}

static const struct victim_test tests[] = {
	TEST(bytes_are_fetched),
	TEST(bad_pointers_are_efault),
	TEST(structures_of_any_size),
	TEST(copies_of_any_size),
	TEST(descriptors_are_sent),
	TEST(same_descriptor_is_sent_once),
	TEST(bad_descriptors_are_known),
	TEST(results_are_descriptors),
	TEST(private_memory_is_mm),
	TEST(shared_files_are_sent),
	TEST(mm_comes_with_private_memory),
	TEST(shared_files_are_found_without_root),
	TEST(shared_files_are_found_by_path),
	TEST(only_memory_is_sent_as_files),
	TEST(one_file_is_sent_once),
	TEST(too_many_mappings_are_enomem),
	TEST(mm_is_sent),
	TEST(mm_ids_name_address_spaces),
	TEST(leader_may_be_gone),
	TEST(small_stacks_are_enough),
	{NULL, NULL},
};

int main(int argc, char **argv)
{
	return victim_main(argc, argv, tests);
}
