/* SPDX-License-Identifier: BSD-3-Clause */
/* Making them: odd_fds.h. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <unistd.h>

#include "odd_fds.h"

/* What DMA may write to: not this process, which is the daemon too. */
static pid_t victim(void)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;)
		pause();
}

static int memory_of(pid_t pid)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d/mem", (int)pid);
	return open(path, O_RDWR | O_CLOEXEC);
}

static int memfd(uint64_t len, unsigned int seals)
{
	int fd = memfd_create("odd", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (ftruncate(fd, (off_t)len) < 0 || fcntl(fd, F_ADD_SEALS, seals) < 0)
		return -1;
	return fd;
}

static int reopen(int fd, int flags)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, flags | O_CLOEXEC);
}

static int fifo(void)
{
	char path[] = "/dev/shm/softvfio-fuzz-XXXXXX";
	int fd = mkdtemp(path) && rmdir(path) == 0 && mkfifo(path, 0600) == 0
			 ? open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK)
			 : -1;

	unlink(path);
	return fd;
}

static int one_of_pair(int type)
{
	int pair[2];

	if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, pair) < 0)
		return -1;
	return pair[0]; /* the other end stays open */
}

static int listening(void)
{
	struct sockaddr_un any = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (bind(fd, (struct sockaddr *)&any, sizeof(any.sun_family)) < 0 ||
	    listen(fd, 1) < 0)
		return -1;
	return fd;
}

static int signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	return signalfd(-1, &set, SFD_CLOEXEC);
}

static void make_files(int fds[ODD_FDS])
{
	const char *own = "/proc/self/exe";

	fds[ODD_MEMFD] = memfd(ODD_MEMFD_LEN, 0);
	fds[ODD_MEMFD_EMPTY] = memfd(0, 0);
	fds[ODD_MEMFD_SEALED] = memfd(
		ODD_MEMFD_LEN, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK);
	fds[ODD_MEMFD_READ_ONLY] = reopen(fds[ODD_MEMFD], O_RDONLY);
	fds[ODD_FILE] = open(own, O_RDONLY | O_CLOEXEC);
	fds[ODD_DIRECTORY] = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fds[ODD_PATH] = open(own, O_PATH | O_CLOEXEC);
	fds[ODD_NULL] = open("/dev/null", O_RDWR | O_CLOEXEC);
	fds[ODD_FIFO] = fifo();
}

static void make_sockets(int fds[ODD_FDS])
{
	fds[ODD_SEQPACKET] = one_of_pair(SOCK_SEQPACKET);
	fds[ODD_STREAM] = one_of_pair(SOCK_STREAM);
	fds[ODD_DATAGRAM] = one_of_pair(SOCK_DGRAM);
	fds[ODD_LISTENING] = listening();
	fds[ODD_INET] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static void make_events(int fds[ODD_FDS], pid_t pid)
{
	int flags = EFD_CLOEXEC | EFD_NONBLOCK;

	fds[ODD_EVENTFD] = eventfd(0, flags);
	fds[ODD_EVENTFD_FULL] = eventfd(0, flags);
	eventfd_write(fds[ODD_EVENTFD_FULL], UINT64_MAX - 1);
	fds[ODD_EVENTFD_SEMAPHORE] = eventfd(5, flags | EFD_SEMAPHORE);
	fds[ODD_EPOLL] = epoll_create1(EPOLL_CLOEXEC);
	fds[ODD_TIMERFD] = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	fds[ODD_SIGNALFD] = signals();
	fds[ODD_INOTIFY] = inotify_init1(IN_CLOEXEC);
	fds[ODD_PIDFD] = (int)syscall(SYS_pidfd_open, pid, 0);
}

void odd_fds_make(int fds[ODD_FDS])
{
	pid_t pid = victim();
	int pipe_fds[2] = {-1, -1};

	make_files(fds);
	make_sockets(fds);
	make_events(fds, pid);
	fds[ODD_MEM] = memory_of(pid);
	if (pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK) == 0) {
		fds[ODD_PIPE_READ] = pipe_fds[0];
		fds[ODD_PIPE_WRITE] = pipe_fds[1];
	}
	/* what this host has not is nothing, in another's place */
	for (int i = 0; i < ODD_FDS; i++)
		if (fds[i] < 0)
			fds[i] = fds[ODD_NULL];
}
