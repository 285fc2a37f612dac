/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The container file in each of its states: without a group, with one, with
 * an IOMMU.
 */
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "conformance/conformance.h"

static struct vfio v;

static void node(const void *arg)
{
	struct stat st;

	if (say_ret(stat("/dev/vfio/vfio", &st)))
		return;
	say("type=%#o mode=%#o major=%u minor=%u", st.st_mode & S_IFMT,
	    st.st_mode & 07777, major(st.st_rdev), minor(st.st_rdev));
}

static void link_of_file(const void *arg)
{
	char path[64];
	char link[64];

	memset(link, FILL, sizeof(link));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", v.container);
	long n = say_ret(readlink(path, link, sizeof(link) - 1));

	say("link=%.*s behind=%#x", n > 0 ? (int)n : 0, link,
	    n > 0 ? (uint8_t)link[n] : 0);
}

static void node_of_file(const void *arg)
{
	struct stat st;

	if (!say_ret(fstat(v.container, &st)))
		say("type=%#o major=%u minor=%u", st.st_mode & S_IFMT,
		    major(st.st_rdev), minor(st.st_rdev));
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

static void each_extension(const char *state)
{
	static const unsigned long odd[] = {
		99, 0x7fffffff, 0x80000000, 0xffffffff, 0x100000001, ~0ul,
	};

	char name[32];

	snprintf(name, sizeof(name), "%s.extension", state);
	for (unsigned long ext = 0; ext <= 16; ext++)
		run_ioctl(&v.container, VFIO_CHECK_EXTENSION, ext, name);
	for (size_t i = 0; i < COUNT(odd); i++)
		run_ioctl(&v.container, VFIO_CHECK_EXTENSION, odd[i], name);
}

static void version(const char *state)
{
	char name[32];

	snprintf(name, sizeof(name), "%s.version", state);
	run_ioctl(&v.container, VFIO_GET_API_VERSION, 0, name);
	run_ioctl(&v.container, VFIO_GET_API_VERSION, 1, name);
	run_ioctl(&v.container, VFIO_GET_API_VERSION, ~0ul, name);
}

static void in_state(const char *state)
{
	version(state);
	each_extension(state);
	sweep_numbers(state, &v.container);
	sweep_file(state, &v.container);
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

/* A refusal leaves the choice open. */
static void set_iommu_after_refusals(const void *arg)
{
	struct vfio own;

	vfio_open(&own, "edu", 0, ATTACHED, 0);
	say_step("unknown", ioctl(own.container, VFIO_SET_IOMMU, 99));
	say_step("none", ioctl(own.container, VFIO_SET_IOMMU, 0));
	say_ret(ioctl(own.container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU));
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
	fixture_open(&v, "edu", 0, CONTAINER, 0);
	run(link_of_file, NULL, "readlink");
	run(node_of_file, NULL, "fstat");
	fixture_close(&v);
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
	run(set_iommu_after_refusals, NULL, "set_iommu.after_refusals");
}
