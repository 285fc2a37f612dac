/* SPDX-License-Identifier: BSD-3-Clause */
/* A descriptor of each kind the host has, to be sent where another belongs. */
#ifndef SOFTVFIO_TESTS_FUZZ_ODD_FDS_H
#define SOFTVFIO_TESTS_FUZZ_ODD_FDS_H

enum odd_fd {
	ODD_EVENTFD,
	ODD_EVENTFD_FULL,
	ODD_EVENTFD_SEMAPHORE,
	ODD_MEMFD, /* ODD_MEMFD_LEN bytes */
	ODD_MEMFD_EMPTY,
	ODD_MEMFD_SEALED,
	ODD_MEMFD_READ_ONLY,
	ODD_MEM, /* another process's memory, as /proc has it */
	ODD_FILE,
	ODD_DIRECTORY,
	ODD_PATH,
	ODD_NULL,
	ODD_FIFO,
	ODD_PIPE_READ,
	ODD_PIPE_WRITE,
	ODD_EPOLL,
	ODD_TIMERFD,
	ODD_SIGNALFD,
	ODD_INOTIFY,
	ODD_PIDFD,
	ODD_SEQPACKET,
	ODD_STREAM,
	ODD_DATAGRAM,
	ODD_LISTENING,
	ODD_INET,
	ODD_FDS
};

#define ODD_MEMFD_LEN 0x4000

/** odd_fds_make() - All of them, for the life of the process */
void odd_fds_make(int fds[ODD_FDS]);

#endif
