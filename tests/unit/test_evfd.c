/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Signalling and draining eventfds that belong to somebody else: every signal
 * counts, and no counter, full or empty, holds the caller up. An alarm ends
 * the program if one does.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>
#include <cmocka.h>

#include "lib/evfd.h"
#include "tests/unit/fds.h"
#include "tests/unit/skip.h"

#define NEARLY_FULL 0xfffffffffffffffeull
#define DEADLINE    60 /* seconds, for everything */

/* Exit statuses of a child of ours. */
enum { CHILD_OK, CHILD_BAD, CHILD_CANNOT = 77 };

static int efd(int flags)
{
	int fd = eventfd(0, EFD_CLOEXEC | flags);

	assert_true(fd >= 0);
	return fd;
}

/* The counter, which is zero afterwards. */
static uint64_t take(int fd)
{
	eventfd_t val = 0;
	int flags = fcntl(fd, F_GETFL);

	fcntl(fd, F_SETFL, flags | O_NONBLOCK);
	eventfd_read(fd, &val);
	fcntl(fd, F_SETFL, flags);
	return val;
}

static void signal_adds_one(void **state)
{
	int fd = efd(0);

	errno = ENOTTY;
	evfd_signal(fd);
	assert_int_equal(errno, ENOTTY);
	assert_int_equal(take(fd), 1);
	evfd_signal(fd);
	evfd_signal(fd);
	assert_int_equal(take(fd), 2);
	close(fd);
}

/* The ring of completions is full of unread ones several times over. */
static void many_signals_all_count(void **state)
{
	int fd = efd(0);

	for (int i = 0; i < 5000; i++)
		evfd_signal(fd);
	assert_int_equal(take(fd), 5000);
	close(fd);
}

static void full_counter_of_a_blocking_eventfd_saturates(void **state)
{
	int fd = efd(0);

	assert_int_equal(eventfd_write(fd, NEARLY_FULL), 0);
	for (int i = 0; i < 1000; i++)
		evfd_signal(fd);
	assert_true(take(fd) == UINT64_MAX);
	evfd_signal(fd);
	assert_int_equal(take(fd), 1);
	close(fd);
}

static void *signal_often(void *arg)
{
	for (int i = 0; i < 2000; i++)
		evfd_signal(*(int *)arg);
	return NULL;
}

static void signals_of_all_threads_count(void **state)
{
	pthread_t thread[4];
	int fd = efd(EFD_NONBLOCK);

	for (int i = 0; i < 4; i++)
		assert_int_equal(
			pthread_create(&thread[i], NULL, signal_often, &fd), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(thread[i], NULL);
	assert_int_equal(take(fd), 4 * 2000);
	close(fd);
}

static void closed_descriptor_is_harmless(void **state)
{
	int fd = efd(0);

	close(fd);
	evfd_signal(fd);
	evfd_signal(-1);
	assert_false(evfd_take(fd));
	assert_false(evfd_take(-1));
}

static void drain_takes_everything(void **state)
{
	int fd = efd(0);

	errno = ENOTTY;
	assert_false(evfd_take(fd));
	assert_int_equal(errno, ENOTTY);
	assert_int_equal(eventfd_write(fd, 5), 0);
	assert_true(evfd_take(fd));
	assert_false(evfd_take(fd));
	assert_int_equal(eventfd_write(fd, NEARLY_FULL), 0);
	assert_true(evfd_take(fd));
	assert_int_equal(take(fd), 0);
	close(fd);
}

static void drain_takes_one_from_a_semaphore(void **state)
{
	int fd = efd(EFD_SEMAPHORE);

	assert_int_equal(eventfd_write(fd, 2), 0);
	assert_true(evfd_take(fd));
	assert_true(evfd_take(fd));
	assert_false(evfd_take(fd));
	close(fd);
}

static void check_knows_an_eventfd(void **state)
{
	int fd = efd(EFD_SEMAPHORE | EFD_NONBLOCK);

	assert_int_equal(evfd_check(fd), 0);
	assert_int_equal(take(fd), 0); /* asking changes nothing */
	close(fd);
	assert_int_equal(evfd_check(fd), -EBADF);
	assert_int_equal(evfd_check(-1), -EBADF);
}

static void check_refuses_other_files(void **state)
{
	int fd[] = {
		timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC),
		open("/dev/null", O_RDWR | O_CLOEXEC),
		open("/proc/self/exe", O_PATH | O_CLOEXEC),
		-1,
		-1,
	};

	assert_int_equal(pipe2(&fd[3], O_CLOEXEC), 0);
	for (size_t i = 0; i < sizeof(fd) / sizeof(fd[0]); i++) {
		assert_true(fd[i] >= 0);
		assert_int_equal(evfd_check(fd[i]), -EINVAL);
		close(fd[i]);
	}
}

static int child_status(pid_t pid)
{
	int status;

	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* An aio context does not survive fork. */
static void forked_child_signals_too(void **state)
{
	int fd = efd(0);

	evfd_signal(fd);

	pid_t pid = fork();

	if (pid == 0) {
		evfd_signal(fd);
		_exit(CHILD_OK);
	}
	assert_int_equal(child_status(pid), CHILD_OK);
	assert_int_equal(take(fd), 2);
	close(fd);
}

static volatile sig_atomic_t setups;

static void refuse_setup(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;

	setups++;
	uc->uc_mcontext.gregs[REG_RAX] = -EPERM;
}

static int forbid_aio(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_setup, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = {sizeof(code) / sizeof(code[0]), code};
	struct sigaction sa = {.sa_sigaction = refuse_setup,
			       .sa_flags = SA_SIGINFO};

	if (sigaction(SIGSYS, &sa, NULL) < 0 ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -1;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog);
}

/* This program, run again so that aio has not been set up yet. */
static int main_without_aio(void)
{
	int fd = eventfd(0, EFD_CLOEXEC);

	if (fd < 0 || forbid_aio() < 0)
		return CHILD_CANNOT;
	alarm(DEADLINE);
	for (int i = 0; i < 1000; i++)
		evfd_signal(fd);
	if (take(fd) != 1000 || setups != 1)
		return CHILD_BAD;
	if (eventfd_write(fd, NEARLY_FULL) < 0)
		return CHILD_CANNOT;
	for (int i = 0; i < 1000; i++)
		evfd_signal(fd);
	return take(fd) == NEARLY_FULL && setups == 1 ? CHILD_OK : CHILD_BAD;
}

static void aio_is_asked_for_once_and_done_without(void **state)
{
	pid_t pid = fork();

	if (pid == 0) {
		execl("/proc/self/exe", "test_evfd", "without-aio",
		      (char *)NULL);
		_exit(CHILD_CANNOT);
	}

	int status = child_status(pid);

	if (status == CHILD_CANNOT)
		skip_because("aio can't be forbidden here (seccomp)");
	assert_int_equal(status, CHILD_OK);
}

static int fds_before;

static int setup(void **state)
{
	fds_before = count_fds();
	return 0;
}

static int no_descriptor_is_left_open(void **state)
{
	return count_fds() == fds_before ? 0 : -1;
}

#define TEST(name)                                                             \
	cmocka_unit_test_setup_teardown(name, setup, no_descriptor_is_left_open)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(signal_adds_one),
		TEST(many_signals_all_count),
		TEST(full_counter_of_a_blocking_eventfd_saturates),
		TEST(signals_of_all_threads_count),
		TEST(closed_descriptor_is_harmless),
		TEST(drain_takes_everything),
		TEST(drain_takes_one_from_a_semaphore),
		TEST(check_knows_an_eventfd),
		TEST(check_refuses_other_files),
		TEST(forked_child_signals_too),
		TEST(aio_is_asked_for_once_and_done_without),
	};

	if (argc > 1 && !strcmp(argv[1], "without-aio"))
		return main_without_aio();
	alarm(DEADLINE);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
