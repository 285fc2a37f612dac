/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The container file in each of its states: without a group, with one, with
 * an IOMMU.
 */
#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "conformance/conformance.h"

static struct vfio v;

static void say_stat(int ret, const struct stat *st)
{
	if (say_ret(ret))
		return;
	say("char=%d major=%u minor=%u mode=%#o", S_ISCHR(st->st_mode),
	    major(st->st_rdev), minor(st->st_rdev), st->st_mode & 07777);
}

static void node(const void *arg)
{
	struct stat st;

	say_stat(stat("/dev/vfio/vfio", &st), &st);
}

static void file(const void *arg)
{
	struct stat st;

	say_stat(fstat(v.container, &st), &st);
	say("accmode=%#x", fcntl(v.container, F_GETFL) & O_ACCMODE);
}

static void link_of_file(const void *arg)
{
	char path[64];
	char link[64] = {0};

	snprintf(path, sizeof(path), "/proc/self/fd/%d", v.container);
	say_ret(readlink(path, link, sizeof(link) - 1));
	say("link=%s", link);
}

/* open(2) with flags */

static const struct {
	const char *name;
	int flags;
} open_flags[] = {
	{"read", O_RDONLY},
	{"write", O_WRONLY},
	{"read_write", O_RDWR},
	{"nonblock", O_RDWR | O_NONBLOCK},
	{"path", O_PATH},
	{"create", O_RDWR | O_CREAT},
	{"exclusive", O_RDWR | O_CREAT | O_EXCL},
	{"directory", O_RDWR | O_DIRECTORY},
	{"truncate", O_RDWR | O_TRUNC},
	{"append", O_RDWR | O_APPEND},
	{"nofollow", O_RDWR | O_NOFOLLOW},
};

static void open_with(const void *arg)
{
	const int *flags = arg;

	if (access("/dev/vfio/vfio", F_OK)) /* O_CREAT must not make it */
		skip("no container");
	int fd = say_fd(open("/dev/vfio/vfio", *flags | O_CLOEXEC, 0600));

	if (fd >= 0)
		say_step("version", ioctl(fd, VFIO_GET_API_VERSION));
}

/* One ioctl with a plain argument */

struct plain {
	unsigned long cmd;
	unsigned long arg;
};

static void plain_ioctl(const void *arg)
{
	const struct plain *p = arg;

	say_ret(ioctl(v.container, p->cmd, p->arg));
}

static void run_plain(const char *state, const char *name, unsigned long cmd,
		      unsigned long arg)
{
	const struct plain p = {cmd, arg};

	run(plain_ioctl, &p, "%s.%s.%#lx", state, name, arg);
}

/* Each number of VFIO, and some of nobody, with nothing to point to. */
static void each_number(const char *state)
{
	for (unsigned int nr = 0; nr <= 24; nr++) {
		const struct plain p = {VFIO_IO(nr), 0};

		run(plain_ioctl, &p, "%s.number.%u", state, 100 + nr);
	}
	run(plain_ioctl, &(struct plain){_IO('z', 1), 0}, "%s.number.foreign",
	    state);
	run(plain_ioctl, &(struct plain){0, 0}, "%s.number.zero", state);
	run(plain_ioctl, &(struct plain){_IOWR(';', 112, int), 0},
	    "%s.number.sized", state);
}

static void each_extension(const char *state)
{
	static const unsigned long odd[] = {
		99, 0x7fffffff, 0x80000000, 0xffffffff, 0x100000001, ~0ul,
	};

	for (unsigned long ext = 0; ext <= 16; ext++)
		run_plain(state, "extension", VFIO_CHECK_EXTENSION, ext);
	for (size_t i = 0; i < COUNT(odd); i++)
		run_plain(state, "extension", VFIO_CHECK_EXTENSION, odd[i]);
}

static void version(const char *state)
{
	run_plain(state, "version", VFIO_GET_API_VERSION, 0);
	run_plain(state, "version", VFIO_GET_API_VERSION, 1);
	run_plain(state, "version", VFIO_GET_API_VERSION, ~0ul);
}

/* What else a file can be asked */

static void file_read(const void *arg)
{
	char byte = 0;

	say_step("read", read(v.container, &byte, 1));
	say_step("pread", pread(v.container, &byte, 1, 0));
}

static void file_write(const void *arg)
{
	char byte = 0;

	say_step("write", write(v.container, &byte, 1));
	say_step("pwrite", pwrite(v.container, &byte, 1, 0));
}

static void file_mmap(const void *arg)
{
	const int *flags = arg;
	void *p = mmap(NULL, PAGE, RW, *flags, v.container, 0);

	say_ret(p == MAP_FAILED ? -1 : 0);
}

static void file_poll(const void *arg)
{
	struct pollfd p = {.fd = v.container, .events = POLLIN | POLLOUT};

	say_ret(poll(&p, 1, 0));
	say("revents=%#x", p.revents);
}

static void file_seek(const void *arg)
{
	say_step("set", lseek(v.container, 0, SEEK_SET));
	say_step("cur", lseek(v.container, 8, SEEK_CUR));
	say_step("end", lseek(v.container, 0, SEEK_END));
}

static void file_truncate(const void *arg)
{
	say_ret(ftruncate(v.container, 0));
}

static void file_calls(const char *state)
{
	static const int shared = MAP_SHARED;
	static const int private = MAP_PRIVATE;

	run(file, NULL, "%s.fstat", state);
	run(link_of_file, NULL, "%s.readlink", state);
	run(file_read, NULL, "%s.read", state);
	run(file_write, NULL, "%s.write", state);
	run(file_mmap, &shared, "%s.mmap_shared", state);
	run(file_mmap, &private, "%s.mmap_private", state);
	run(file_poll, NULL, "%s.poll", state);
	run(file_seek, NULL, "%s.lseek", state);
	run(file_truncate, NULL, "%s.ftruncate", state);
}

static void in_state(const char *state)
{
	version(state);
	each_extension(state);
	each_number(state);
	file_calls(state);
}

/* SET_IOMMU: of each type, on a container of its own. */

struct set_iommu {
	enum depth depth;
	unsigned long first; /* 0: none */
	unsigned long type;
};

static void set_iommu(const void *arg)
{
	const struct set_iommu *s = arg;
	struct vfio own;

	vfio_open(&own, "edu", 0, s->depth, 0);
	if (s->first)
		say_step("first",
			 ioctl(own.container, VFIO_SET_IOMMU, s->first));
	say_ret(ioctl(own.container, VFIO_SET_IOMMU, s->type));
	say_step("again", ioctl(own.container, VFIO_SET_IOMMU, s->type));
}

static void each_type(const char *state, enum depth depth, unsigned long first)
{
	static const unsigned long types[] = {
		0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 99, 0x100000001, ~0ul,
	};

	for (size_t i = 0; i < COUNT(types); i++) {
		const struct set_iommu s = {depth, first, types[i]};

		run(set_iommu, &s, "set_iommu.%s.%#lx", state, types[i]);
	}
}

void area_container(void)
{
	run(node, NULL, "node");
	for (size_t i = 0; i < COUNT(open_flags); i++)
		run(open_with, &open_flags[i].flags, "open.%s",
		    open_flags[i].name);
	fixture_open(&v, "edu", 0, CONTAINER, 0);
	in_state("bare");
	fixture_close(&v);
	fixture_open(&v, "edu", 0, ATTACHED, 0);
	in_state("group");
	fixture_close(&v);
	fixture_open(&v, "edu", 0, IOMMU, VFIO_TYPE1_IOMMU);
	in_state("type1");
	fixture_close(&v);
	fixture_open(&v, "edu", 0, IOMMU, VFIO_TYPE1v2_IOMMU);
	in_state("type1v2");
	fixture_close(&v);
	each_type("bare", CONTAINER, 0);
	each_type("group", ATTACHED, 0);
	each_type("type1", ATTACHED, VFIO_TYPE1_IOMMU);
	each_type("type1v2", ATTACHED, VFIO_TYPE1v2_IOMMU);
}
