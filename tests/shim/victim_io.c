/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reads and writes a VFIO file in all the ways libc has. Built twice, plainly
 * and with _FORTIFY_SOURCE=2, where read() and pread() have other names.
 */
#include "victim.h"

#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

static char buf[REGION_SIZE + 4096];

static bool is_region(const char *data, size_t len, size_t off)
{
	for (size_t i = 0; i < len; i++)
		if ((uint8_t)data[i] != region_byte(off + i))
			return false;
	return true;
}

/* A size the compiler cannot know, so that fortified calls stay checked. */
static size_t some(size_t n)
{
	volatile size_t v = n;

	return v;
}

static void pread_works(int fd, char **args)
{
	char small[64];

	errno = 1234;
	CHECK(pread(fd, small, some(sizeof(small)), 5) == sizeof(small));
	CHECK(errno == 1234);
	CHECK(is_region(small, sizeof(small), 5));
	CHECK(pread64(fd, small, some(8), 9) == 8 && is_region(small, 8, 9));
}

static void pread_is_split_and_short_at_the_end(int fd, char **args)
{
	CHECK(pread(fd, buf, sizeof(buf), 0) == REGION_SIZE);
	CHECK(is_region(buf, REGION_SIZE, 0));
	CHECK(pread(fd, buf, 200, REGION_SIZE - 10) == 10);
	CHECK_ERRNO(pread(fd, buf, 8, REGION_SIZE), EINVAL);
	/* the region's end at the end of a chunk */
	CHECK(pread(fd, buf, sizeof(buf), ROUND_REGION) == 2 * DATA_MAX);
	CHECK(pwrite(fd, buf, sizeof(buf), ROUND_REGION) == 2 * DATA_MAX);
	CHECK_ERRNO(pread(fd, buf, 8, ROUND_REGION + 2 * DATA_MAX), EINVAL);
}

static void pwrite_reads_back(int fd, char **args)
{
	char in[100], out[100];

	memset(in, 0x77, sizeof(in));
	CHECK(pwrite(fd, in, sizeof(in), 1000) == sizeof(in));
	CHECK(pwrite64(fd, in, 10, 1100) == 10);
	CHECK(pread(fd, out, sizeof(out), 1010) == sizeof(out));
	CHECK(!memcmp(in, out, sizeof(in)));
}

static void bad_arguments_are_linux_errors(int fd, char **args)
{
	char *bad = victim_bad_page();
	struct iovec iov = {buf, 8}, neg = {buf, (size_t)1 << 63};

	CHECK_ERRNO(pread(fd, buf, 8, -1), EINVAL);
	CHECK_ERRNO(pwrite(fd, buf, 8, -1), EINVAL);
	CHECK_ERRNO(pread(fd, buf, 8, LONG_MAX), EINVAL);
	CHECK_ERRNO(pread(fd, (void *)some((size_t)1 << 63), 8, 0), EFAULT);
	CHECK_ERRNO(pread(fd, bad, 8, 0), EFAULT);
	CHECK_ERRNO(pread(fd, bad - 4, 8, 0), EFAULT);
	CHECK_ERRNO(pwrite(fd, bad, 8, 0), EFAULT);
	CHECK_ERRNO(pwrite(fd, bad - 4, 8, 0), EFAULT);
	CHECK_ERRNO(read(fd, bad, some(8)), EFAULT);
	CHECK_ERRNO(write(fd, bad, 8), EFAULT);
	CHECK_ERRNO(preadv(fd, (struct iovec *)bad, 1, 0), EFAULT);
	CHECK_ERRNO(preadv(fd, &neg, 1, 0), EINVAL);
	CHECK_ERRNO(preadv(fd, &iov, (int)some(-1), 0), EINVAL);
	CHECK_ERRNO(preadv(fd, &iov, (int)some(IOV_MAX + 1), 0), EINVAL);
	CHECK_ERRNO(preadv2(fd, &iov, 1, 0, RWF_NOWAIT), EOPNOTSUPP);
	CHECK(preadv(fd, &iov, 0, 0) == 0);
	CHECK(pread(fd, bad, 0, 0) == 0);
}

static void vectors_are_one_read_each(int fd, char **args)
{
	char a[16], b[32], *bad = victim_bad_page();
	struct iovec iov[] = {{a, sizeof(a)}, {NULL, 0}, {b, sizeof(b)}};
	struct iovec many[40], half[] = {{a, sizeof(a)}, {bad, 4}};

	CHECK(preadv(fd, iov, 3, 100) == 48);
	CHECK(is_region(a, 16, 100) && is_region(b, 32, 116));
	CHECK(preadv2(fd, iov, 3, 200, RWF_HIPRI) == 48);
	CHECK(is_region(a, 16, 200) && is_region(b, 32, 216));
	CHECK(preadv64(fd, iov, 3, REGION_SIZE - 20) == 20);
	CHECK(preadv(fd, half, 2, 0) == 16);
	CHECK(pwritev(fd, iov, 3, 300) == 48);
	CHECK(pwritev2(fd, iov, 3, 400, 0) == 48);
	for (int i = 0; i < 40; i++)
		many[i] = (struct iovec){buf + 10 * i, 10};
	CHECK(preadv(fd, many, 40, 1000) == 400 && is_region(buf, 400, 1000));
}

static void position_moves(int fd, char **args)
{
	char a[8], b[8];
	struct iovec iov[] = {{a, 8}, {b, 8}};

	CHECK(read(fd, a, some(8)) == 8 && is_region(a, 8, 0));
	CHECK(readv(fd, iov, 2) == 16);
	CHECK(is_region(a, 8, 8) && is_region(b, 8, 16));
	CHECK(preadv2(fd, iov, 2, -1, 0) == 16 && is_region(b, 8, 32));
	CHECK(read(fd, a, some(0)) == 0);
	CHECK(write(fd, a, 8) == 8);
	CHECK(writev(fd, iov, 2) == 16);
	CHECK(pwritev2(fd, iov, 2, -1, 0) == 16);
	CHECK(read(fd, a, some(8)) == 8 && is_region(a, 8, 80));
}

static void other_files_are_untouched(int fd, char **args)
{
	int p[2], s[2];
	char b[16] = "";
	struct iovec iov = {b, sizeof(b)};

	CHECK(pipe(p) == 0 && write(p[1], "hello", 5) == 5);
	CHECK(read(p[0], b, some(sizeof(b))) == 5 && !strcmp(b, "hello"));
	CHECK_ERRNO(pread(p[0], b, 1, 0), ESPIPE);
	CHECK_ERRNO(ioctl(p[0], IOC_VALUE, 7), ENOTTY);
	CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, s) == 0);
	CHECK_ERRNO(read(s[0], b, some(4)), EAGAIN);
	CHECK_ERRNO(readv(s[0], &iov, 1), EAGAIN);
	CHECK(write(s[0], "x", 1) == 1 && read(s[1], b, some(4)) == 1);
	CHECK_ERRNO(ioctl(s[0], IOC_VALUE, 7), ENOTTY);
	CHECK_ERRNO(pwrite(s[0], b, 1, 0), ESPIPE);
	close(s[1]);
	CHECK(read(s[0], b, some(4)) == 0);
	CHECK_ERRNO(read(-1, b, some(4)), EBADF);
	CHECK_ERRNO(write(-1, b, 4), EBADF);
	CHECK_ERRNO(ioctl(-1, IOC_VALUE, 7), EBADF);
}

static void raw_system_calls_reach_the_file(int fd, char **args)
{
	char a[16];
	struct iovec iov = {a, sizeof(a)};

	CHECK(syscall(SYS_pread64, fd, a, 16, 32) == 16 &&
	      is_region(a, 16, 32));
	CHECK(syscall(SYS_preadv, fd, &iov, 1, 48, 0) == 16);
	CHECK(is_region(a, 16, 48));
	CHECK(syscall(SYS_preadv2, fd, &iov, 1, 64, 0, 0) == 16);
	CHECK(is_region(a, 16, 64));
	CHECK(syscall(SYS_read, fd, a, 16) == 16 && is_region(a, 16, 0));
	CHECK(syscall(SYS_write, fd, a, 16) == 16);
	CHECK(syscall(SYS_pwritev2, fd, &iov, 1, -1L, -1L, 0) == 16);
	CHECK(syscall(SYS_readv, fd, &iov, 1) == 16 && is_region(a, 16, 48));
	CHECK(syscall(SYS_pwrite64, fd, a, 16, 500) == 16);
	CHECK(syscall(SYS_ioctl, fd, IOC_VALUE, 41L) == 41);
	CHECK(syscall(SYS_getpid) == getpid());
	CHECK_ERRNO(syscall(SYS_close, -1), EBADF);
	CHECK_ERRNO(syscall(SYS_ioctl, fd, 1, 0), ENOTTY);

	long p = syscall(SYS_mmap, NULL, 4096L, 3L, 0x22L, -1L, 0L);
	CHECK(p != -1);
	*(char *)p = 1; /* the sixth argument counts: it is no file's page */
}

/* ------------------------------------------------------------------ */

static void *reader(void *arg)
{
	int fd = *(int *)arg;

	for (unsigned int i = 0; i < 200; i++) {
		char b[300];
		size_t off = i * 971 % (REGION_SIZE - sizeof(b));

		CHECK(pread(fd, b, some(sizeof(b)), off) == sizeof(b));
		CHECK(is_region(b, sizeof(b), off));
		CHECK(ioctl(fd, IOC_VALUE, i) == (int)i);
	}
	return NULL;
}

static void storm(int fd, int n)
{
	pthread_t t[16];

	for (int i = 0; i < n; i++)
		CHECK(pthread_create(&t[i], NULL, reader, &fd) == 0);
	for (int i = 0; i < n; i++)
		CHECK(pthread_join(t[i], NULL) == 0);
}

static void threads_do_not_mix(int fd, char **args)
{
	int before = victim_count_fds();

	storm(fd, 16);
	CHECK(victim_count_fds() == before);
}

static void forked_children_do_not_mix(int fd, char **args)
{
	pid_t child[4];

	for (int i = 0; i < 4; i++) {
		child[i] = fork();
		CHECK(child[i] >= 0);
		if (!child[i]) {
			storm(fd, 2);
			_exit(0);
		}
	}
	storm(fd, 2);
	for (int i = 0; i < 4; i++) {
		int status;

		CHECK(waitpid(child[i], &status, 0) == child[i] && !status);
	}
}

static int signal_fd;
static volatile sig_atomic_t handled;

static void on_signal(int sig)
{
	char b[32];
	int saved = errno;

	CHECK(pread(signal_fd, b, some(sizeof(b)), 64) == sizeof(b));
	CHECK(is_region(b, sizeof(b), 64));
	handled = 1;
	errno = saved;
}

static void *interrupter(void *arg)
{
	pthread_t *target = arg;
	uint64_t once;

	CHECK(read(*(int *)(target + 1), &once, some(8)) == 8);
	CHECK(pthread_kill(*target, SIGUSR1) == 0);
	return NULL;
}

/*
 * The reply to the ioctl comes only once the handler, on the same thread and
 * file, has read something.
 */
static void handler_reads_during_an_ioctl(int fd, char **args)
{
	struct sigaction sa = {.sa_handler = on_signal}; /* no SA_RESTART */
	struct {
		pthread_t target;
		int event;
	} arg = {pthread_self(), eventfd(0, EFD_CLOEXEC)};
	pthread_t t;

	signal_fd = fd;
	CHECK(arg.event >= 0 && sigaction(SIGUSR1, &sa, NULL) == 0);
	CHECK(pthread_create(&t, NULL, interrupter, &arg) == 0);
	CHECK(ioctl(fd, IOC_WAIT_READ, arg.event) == 0);
	CHECK(handled);
	CHECK(pthread_join(t, NULL) == 0);
}

static void closing_everything_else_is_harmless(int fd, char **args)
{
	char b[8];

	CHECK(dup2(fd, 3) == 3);
	CHECK(syscall(SYS_close_range, 4, ~0U, 0) == 0);
	CHECK(pread(3, b, some(8), 8) == 8 && is_region(b, 8, 8));
	CHECK(ioctl(3, IOC_VALUE, 9) == 9);
	CHECK(close(3) == 0);
	CHECK_ERRNO(pread(3, b, some(8), 8), EBADF);
}

static void nothing_leaks(int fd, char **args)
{
	int before = victim_count_fds();
	char *bad = victim_bad_page();

	for (int i = 0; i < 50; i++) {
		char b[8];

		CHECK(pread(fd, b, some(8), 0) == 8);
		CHECK_ERRNO(pread(fd, bad, 8, 0), EFAULT);
		CHECK_ERRNO(pwrite(fd, bad, 8, 0), EFAULT);
		CHECK_ERRNO(ioctl(fd, 1, 0), ENOTTY);
		CHECK_ERRNO(ioctl(fd, IOC_FOREVER, 0), EIO);
	}
	CHECK(victim_count_fds() == before);
}

static void daemon_dies_during_a_request(int fd, char **args)
{
	char b[8];

	CHECK_ERRNO(ioctl(fd, IOC_DIE, 0), ENODEV);
	CHECK_ERRNO(ioctl(fd, IOC_VALUE, 1), ENODEV);
	CHECK_ERRNO(pread(fd, b, 8, 0), ENODEV);
	CHECK_ERRNO(pwrite(fd, b, 8, 0), ENODEV);
	CHECK_ERRNO(read(fd, b, some(8)), ENODEV);
	CHECK_ERRNO(write(fd, b, 8), ENODEV);
}

static void *waiter(void *arg)
{
	int *a = arg;

	CHECK_ERRNO(ioctl(a[0], IOC_WAIT_READ, a[1]), ENODEV);
	return NULL;
}

static void daemon_dies_under_waiting_threads(int fd, char **args)
{
	int arg[2] = {fd, eventfd(0, EFD_SEMAPHORE)};
	pthread_t t[4];
	uint64_t once;

	for (int i = 0; i < 4; i++)
		CHECK(pthread_create(&t[i], NULL, waiter, arg) == 0);
	for (int i = 0; i < 4; i++)
		CHECK(read(arg[1], &once, some(8)) == 8);
	CHECK_ERRNO(ioctl(fd, IOC_DIE, 0), ENODEV);
	for (int i = 0; i < 4; i++)
		CHECK(pthread_join(t[i], NULL) == 0);
}

#define TEST(name)                                                             \
	{                                                                      \
#name, name                                                    \
	}

static const struct victim_test tests[] = {
	TEST(pread_works),
	TEST(pread_is_split_and_short_at_the_end),
	TEST(pwrite_reads_back),
	TEST(bad_arguments_are_linux_errors),
	TEST(vectors_are_one_read_each),
	TEST(position_moves),
	TEST(other_files_are_untouched),
	TEST(raw_system_calls_reach_the_file),
	TEST(threads_do_not_mix),
	TEST(forked_children_do_not_mix),
	TEST(handler_reads_during_an_ioctl),
	TEST(closing_everything_else_is_harmless),
	TEST(nothing_leaks),
	TEST(daemon_dies_during_a_request),
	TEST(daemon_dies_under_waiting_threads),
	{NULL, NULL},
};

int main(int argc, char **argv)
{
	return victim_main(argc, argv, tests);
}
