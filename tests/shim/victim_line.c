/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Programs that get in the way of the sockets the shim keeps: they close them,
 * reuse their numbers, fork, jump out of requests; and daemons that do not
 * answer as they should.
 */
#include "victim.h"

#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static void works(int fd)
{
	char b[8];

	CHECK(pread(fd, b, sizeof(b), 3) == sizeof(b));
	CHECK((uint8_t)b[7] == region_byte(10));
	CHECK(ioctl(fd, IOC_VALUE, 12) == 12);
}

/* The number of one that is kept, or -1. */
static int kept_number(void)
{
	for (int fd = VICTIM_KEPT_FROM; fd < VICTIM_KEPT_FROM + 100; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			return fd;
	return -1;
}

/* A program that wants to be left with what it knows. */
static void close_kept(void)
{
	CHECK(syscall(SYS_close_range, VICTIM_KEPT_FROM, ~0U, 0) == 0);
}

static void lines_are_kept(int fd, char **args)
{
	int before = victim_count_fds();

	for (int i = 0; i < 100; i++)
		works(fd);
	CHECK(ioctl(fd, IOC_CHANNELS, 1) == 1);
	CHECK(victim_count_kept() == 1 && victim_count_fds() == before);
	CHECK(fcntl(kept_number(), F_GETFD) == FD_CLOEXEC);
	/* the program's own numbers are what they would be without us */
	CHECK(dup(0) < 10);
}

static void doors_are_kept(int fd, char **args)
{
	struct stat st;

	for (int i = 0; i < 20; i++)
		CHECK(stat("/dev/vfio/vfio", &st) == 0);
	CHECK(ioctl(fd, IOC_DOORS, 0) == 1);
}

static void program_closes_it(int fd, char **args)
{
	struct stat st;

	for (int i = 0; i < 10; i++) {
		works(fd);
		CHECK(stat("/dev/vfio/vfio", &st) == 0);
		close_kept();
		works(fd);
		CHECK(stat("/dev/vfio/vfio", &st) == 0);
		CHECK(ioctl(fd, IOC_CHANNELS, 1) == 1);
		CHECK(victim_count_kept() == 2);
	}
}

/* What the program puts in its place is neither read, written nor closed. */
static void program_reuses_its_number(int fd, char **args)
{
	char b[16] = "";
	int s[2];

	works(fd);

	int kept = kept_number();

	CHECK(kept >= 0);
	CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, s) == 0);
	CHECK(dup2(s[0], kept) == kept && close(s[0]) == 0);
	CHECK(send(s[1], "hello", 5, 0) == 5);
	for (int i = 0; i < 10; i++)
		works(fd);
	CHECK(recv(s[1], b, sizeof(b), MSG_DONTWAIT) == -1 && errno == EAGAIN);
	CHECK(recv(kept, b, sizeof(b), MSG_DONTWAIT) == 5);
	CHECK(!strcmp(b, "hello"));
	CHECK(ioctl(fd, IOC_CHANNELS, 1) == 1);
}

/* A number that only the shim uses is not open, as far as the program goes. */
static void it_is_no_descriptor_of_the_program(int fd, char **args)
{
	works(fd);

	int32_t number = kept_number();
	struct ioc_fds arg = {1, 0, (uintptr_t)&number};

	CHECK_ERRNO(ioctl(fd, IOC_FDS, &arg), EBADF);
	CHECK(dup2(eventfd(0, 0), number) == number);
	CHECK(ioctl(fd, IOC_FDS, &arg) == 1);
}

static void few_numbers_are_enough(int fd, char **args)
{
	struct rlimit lim = {64, 64};

	CHECK(setrlimit(RLIMIT_NOFILE, &lim) == 0);

	int before = victim_count_fds();

	for (int i = 0; i < 50; i++)
		works(fd);
	CHECK(victim_count_fds() == before && !victim_count_kept());
	CHECK(ioctl(fd, IOC_CHANNELS, 0) == 0);
}

static void generation(int fd, int left, int fds)
{
	int status;

	works(fd);
	CHECK(victim_count_fds() == fds && victim_count_kept() == 1);
	if (!left)
		return;

	pid_t child = fork();

	CHECK(child >= 0);
	if (!child) {
		generation(fd, left - 1, fds);
		_exit(0);
	}
	for (int i = 0; i < 20; i++)
		works(fd);
	CHECK(waitpid(child, &status, 0) == child && !status);
}

/* Every child has lines of its own, and drops what it has inherited. */
static void children_have_their_own(int fd, char **args)
{
	works(fd);
	generation(fd, 8, victim_count_fds());
	CHECK(ioctl(fd, IOC_CHANNELS, 1) == 1);
}

static void vfork_child_shares(int fd, char **args)
{
	int status;

	works(fd);
	for (int i = 0; i < 4; i++) {
		pid_t child = vfork();

		if (!child) {
			works(fd);
			_exit(0);
		}
		CHECK(waitpid(child, &status, 0) == child && !status);
		works(fd);
	}
	/* the child makes what the parent then does not have */
	close_kept();

	pid_t child = vfork();

	if (!child) {
		works(fd);
		_exit(0);
	}
	CHECK(waitpid(child, &status, 0) == child && !status);
	CHECK(victim_count_kept() == 0);
	works(fd);
	CHECK(ioctl(fd, IOC_CHANNELS, 1) == 1);
}

/* ------------------------------------------------------------------ */

static sigjmp_buf out;
static int handler_fd;
static volatile int depth;

static void jump(int sig)
{
	siglongjmp(out, 1);
}

struct interrupter {
	pthread_t target;
	int event;
};

static void *interrupt(void *arg)
{
	struct interrupter *in = arg;
	uint64_t once;

	CHECK(read(in->event, &once, sizeof(once)) == sizeof(once));
	CHECK(pthread_kill(in->target, SIGUSR1) == 0);
	return NULL;
}

static void wait_and_be_interrupted(int fd)
{
	struct interrupter in = {pthread_self(), eventfd(0, EFD_CLOEXEC)};
	pthread_t t;

	CHECK(in.event >= 0);
	CHECK(pthread_create(&t, NULL, interrupt, &in) == 0);
	if (!sigsetjmp(out, 1)) {
		ioctl(fd, IOC_WAIT_READ, in.event);
		CHECK(!"nobody jumped");
	}
	CHECK(pthread_join(t, NULL) == 0);
	CHECK(close(in.event) == 0);
}

/* More often than there are lines; the answers come when nobody waits. */
static void jumping_out_is_harmless(int fd, char **args)
{
	struct sigaction sa = {.sa_handler = jump};

	CHECK(sigaction(SIGUSR1, &sa, NULL) == 0);
	for (int i = 0; i < 12; i++) {
		wait_and_be_interrupted(fd);
		works(fd);
	}
	for (int i = 0; i < 50; i++)
		works(fd);
}

static void nest(int sig)
{
	int saved = errno;

	if (++depth < 12)
		raise(SIGUSR1);
	works(handler_fd);
	errno = saved;
}

/* Each handler interrupts another one's request, deeper than there are lines */
static void handlers_nest(int fd, char **args)
{
	struct sigaction sa = {.sa_handler = nest, .sa_flags = SA_NODEFER};
	struct interrupter in = {pthread_self(), eventfd(0, EFD_CLOEXEC)};
	pthread_t t;

	handler_fd = fd;
	CHECK(sigaction(SIGUSR1, &sa, NULL) == 0);
	CHECK(pthread_create(&t, NULL, interrupt, &in) == 0);
	CHECK(ioctl(fd, IOC_WAIT_READ, in.event) == 0);
	CHECK(depth == 12);
	CHECK(pthread_join(t, NULL) == 0);
	works(fd);
}

/* ------------------------------------------------------------------ */

static void forgotten_lines_are_made_again(int fd, char **args)
{
	works(fd);
	for (int i = 0; i < 5; i++) {
		CHECK(ioctl(fd, IOC_FORGET, 0) == 0);

		int count = ioctl(fd, IOC_COUNT, 0);

		CHECK(ioctl(fd, IOC_COUNT, 0) == count + 1);
		works(fd);
	}
	CHECK(ioctl(fd, IOC_CHANNELS, 1) == 1);
	CHECK(victim_count_kept() == 1);
}

static void others_answers_are_dropped(int fd, char **args)
{
	works(fd);

	int before = victim_count_fds();

	for (int i = 0; i < 5; i++) {
		CHECK(ioctl(fd, IOC_STALE, 0) == 5);
		works(fd);
	}
	CHECK(victim_count_fds() == before);
}

/* It may have been carried out, so it is not made twice. */
static void no_answer_is_enodev(int fd, char **args)
{
	works(fd);

	int count = ioctl(fd, IOC_COUNT, 0);

	CHECK_ERRNO(ioctl(fd, IOC_SILENCE, 0), ENODEV);
	CHECK(ioctl(fd, IOC_COUNT, 0) == count + 2);
	works(fd);
}

static void daemon_dies_with_lines_kept(int fd, char **args)
{
	struct stat st;
	char b[8];

	works(fd);
	CHECK(stat("/dev/vfio/vfio", &st) == 0);
	CHECK_ERRNO(ioctl(fd, IOC_DIE, 0), ENODEV);
	for (int i = 0; i < 3; i++) {
		CHECK_ERRNO(ioctl(fd, IOC_VALUE, 1), ENODEV);
		CHECK_ERRNO(pread(fd, b, sizeof(b), 0), ENODEV);
		CHECK_ERRNO(open("/dev/vfio/vfio", O_RDWR), ENODEV);
	}
}

#define TEST(name)                                                             \
	{                                                                      \
#name, name                                                    \
	}

static const struct victim_test tests[] = {
	TEST(lines_are_kept),
	TEST(doors_are_kept),
	TEST(program_closes_it),
	TEST(program_reuses_its_number),
	TEST(it_is_no_descriptor_of_the_program),
	TEST(few_numbers_are_enough),
	TEST(children_have_their_own),
	TEST(vfork_child_shares),
	TEST(jumping_out_is_harmless),
	TEST(handlers_nest),
	TEST(forgotten_lines_are_made_again),
	TEST(others_answers_are_dropped),
	TEST(no_answer_is_enodev),
	TEST(daemon_dies_with_lines_kept),
	{NULL, NULL},
};

int main(int argc, char **argv)
{
	return victim_main(argc, argv, tests);
}
