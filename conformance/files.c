/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Questions to a file of any kind, and files of other kinds to give to a call
 * that wants a certain one.
 */
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>

#include "conformance/conformance.h"

/* Descriptors: the caller's process ends soon, so what is not used leaks. */

static int kind_minus_one(void)
{
	return -1;
}

static int kind_minimum(void)
{
	return INT32_MIN;
}

static int kind_at_fdcwd(void)
{
	return AT_FDCWD;
}

static int kind_not_open(void)
{
	return 4000000;
}

static int kind_closed(void)
{
	int fd = (int)need(open("/", O_RDONLY | O_CLOEXEC), "open of /");

	close(fd);
	return fd;
}

static int kind_null(void)
{
	return open("/dev/null", O_RDWR | O_CLOEXEC);
}

static int kind_directory(void)
{
	return open("/", O_RDONLY | O_CLOEXEC);
}

static int kind_path(void)
{
	return open("/dev/null", O_PATH | O_CLOEXEC);
}

static int kind_pipe(void)
{
	int ends[2];

	return pipe2(ends, O_CLOEXEC) ? -1 : ends[0];
}

static int kind_eventfd(void)
{
	return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

static int kind_timerfd(void)
{
	return timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
}

static int kind_epoll(void)
{
	return epoll_create1(EPOLL_CLOEXEC);
}

static int kind_inotify(void)
{
	return inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
}

static int kind_socket(void)
{
	int ends[2];

	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends)
		       ? -1
		       : ends[0];
}

static int kind_memfd(void)
{
	return memfd(PAGE);
}

static int kind_container_path(void)
{
	return open("/dev/vfio/vfio", O_PATH | O_CLOEXEC);
}

const struct foreign_fd foreign_fds[] = {
	{"minus_one", kind_minus_one},
	{"minimum", kind_minimum},
	{"at_fdcwd", kind_at_fdcwd},
	{"not_open", kind_not_open},
	{"closed", kind_closed},
	{"null", kind_null},
	{"directory", kind_directory},
	{"path", kind_path},
	{"pipe", kind_pipe},
	{"eventfd", kind_eventfd},
	{"timerfd", kind_timerfd},
	{"epoll", kind_epoll},
	{"inotify", kind_inotify},
	{"socket", kind_socket},
	{"memfd", kind_memfd},
	{"container", container_open},
	{"container_path", kind_container_path},
	{NULL, NULL},
};

/* ioctl numbers */

struct number {
	const int *fd;
	unsigned long cmd;
	unsigned long arg;
};

static void with_number(const void *arg)
{
	const struct number *n = arg;

	say_ret(ioctl(*n->fd, n->cmd, n->arg));
}

void run_ioctl(const int *fd, unsigned long cmd, unsigned long arg,
	       const char *name)
{
	run(with_number, &(struct number){fd, cmd, arg}, "%s.%#lx", name, arg);
}

void sweep_numbers(const char *name, const int *fd)
{
	static const struct {
		const char *name;
		unsigned long cmd;
	} foreign[] = {
		{"zero", 0},
		{"other_type", _IO('z', 100)},
		{"with_size", _IOWR(';', 112, int)},
		{"below", _IO(';', 99)},
		{"iommufd", _IO(';', 0x81)},
		{"unknown", _IO(';', 150)},
		{"past_32_bits", 1ul << 32 | VFIO_GET_API_VERSION},
	};

	for (unsigned int nr = 0; nr <= 24; nr++)
		run(with_number, &(struct number){fd, VFIO_IO(nr), 0},
		    "%s.number.%u", name, 100 + nr);
	for (size_t i = 0; i < COUNT(foreign); i++)
		run(with_number, &(struct number){fd, foreign[i].cmd, 0},
		    "%s.number.%s", name, foreign[i].name);
}

/* What else a file can be asked */

static void file_stat(const void *arg)
{
	const int *fd = arg;
	struct stat st;

	if (say_ret(fstat(*fd, &st)))
		return;
	say("type=%#o nlink=%lu size=%#lx", st.st_mode & S_IFMT,
	    (unsigned long)st.st_nlink, (unsigned long)st.st_size);
	say("accmode=%#x cloexec=%d", fcntl(*fd, F_GETFL) & O_ACCMODE,
	    fcntl(*fd, F_GETFD) & FD_CLOEXEC);
}

static void file_read(const void *arg)
{
	const int *fd = arg;
	char byte = 0;

	say_step("read", read(*fd, &byte, 1));
	say_step("pread", pread(*fd, &byte, 1, 0));
	say_step("read_none", read(*fd, &byte, 0));
}

static void file_write(const void *arg)
{
	const int *fd = arg;
	char byte = 0;

	say_step("write", write(*fd, &byte, 1));
	say_step("pwrite", pwrite(*fd, &byte, 1, 0));
}

static void file_mmap(const void *arg)
{
	static const struct {
		const char *name;
		int flags;
	} kinds[] = {{"shared", MAP_SHARED}, {"private", MAP_PRIVATE}};
	const int *fd = arg;

	for (size_t i = 0; i < COUNT(kinds); i++) {
		void *p = mmap(NULL, PAGE, RW, kinds[i].flags, *fd, 0);

		say_step(kinds[i].name, p == MAP_FAILED ? -1 : 0);
	}
}

static void file_poll(const void *arg)
{
	const int *fd = arg;
	struct pollfd p = {.fd = *fd, .events = POLLIN | POLLOUT | POLLPRI};

	say_ret(poll(&p, 1, 0));
	say("revents=%#x", p.revents);
}

static void file_seek(const void *arg)
{
	const int *fd = arg;

	say_step("set", lseek(*fd, 0, SEEK_SET));
	say_step("cur", lseek(*fd, 8, SEEK_CUR));
	say_step("end", lseek(*fd, 0, SEEK_END));
}

static void file_resize(const void *arg)
{
	const int *fd = arg;

	say_step("ftruncate", ftruncate(*fd, 0));
	say_step("fallocate", fallocate(*fd, 0, 0, PAGE));
	say_step("fsync", fsync(*fd));
}

void sweep_file(const char *name, const int *fd)
{
	run(file_stat, fd, "%s.file.stat", name);
	run(file_read, fd, "%s.file.read", name);
	run(file_write, fd, "%s.file.write", name);
	run(file_mmap, fd, "%s.file.mmap", name);
	run(file_poll, fd, "%s.file.poll", name);
	run(file_seek, fd, "%s.file.lseek", name);
	run(file_resize, fd, "%s.file.resize", name);
}
