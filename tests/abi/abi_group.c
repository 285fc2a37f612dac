/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The group file: one opener at a time, joining and leaving a container, and
 * getting a device out of it by name.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "tests/abi/abi.h"

static void check_open(void)
{
	char path[32];
	char link[64] = {0};
	struct stat st;

	snprintf(path, sizeof(path), "/dev/vfio/%d", function("edu")->group);
	ok(!stat(path, &st) && S_ISCHR(st.st_mode),
	   "group: the node is a character device");
	int g = group_open("edu");

	ok(!fstat(g, &st) && S_ISCHR(st.st_mode),
	   "group: the file is a character device");
	want(group_try("edu"), -EBUSY, "group: second open is EBUSY");
	want(R(open(path, O_RDONLY)), -EBUSY,
	     "group: second open O_RDONLY is EBUSY");
	snprintf(link, sizeof(link), "/proc/self/fd/%d", g);
	char target[64] = {0};
	ssize_t n = readlink(link, target, sizeof(target) - 1);

	target[n > 0 ? n : 0] = '\0';
	ok(!strcmp(target, path), "group: /proc/self/fd shows its name");
	int copy = dup(g);

	close(g);
	want(group_try("edu"), -EBUSY,
	     "group: open while a dup of a closed fd lives is EBUSY");
	close(copy);
	g = (int)group_try("edu");
	ok(g >= 0, "group: open after the last close");
	close(g);
	want(R(open("/dev/vfio/99999", O_RDWR)), -ENOENT,
	     "group: open of a group that is not there is ENOENT");
}

static uint32_t status(int g)
{
	struct vfio_group_status st = {.argsz = sizeof(st), .flags = ~0u};

	return ioctl(g, VFIO_GROUP_GET_STATUS, &st) ? ~0u : st.flags;
}

static void check_status(int g, int c)
{
	static const struct sweep sweep = {"group_status",
					   VFIO_GROUP_GET_STATUS, 8, 8, 0};

	argsz_rules(g, &sweep);
	want(status(g), VFIO_GROUP_FLAGS_VIABLE, "group_status: viable");
	set_container(g, c);
	want(status(g),
	     VFIO_GROUP_FLAGS_VIABLE | VFIO_GROUP_FLAGS_CONTAINER_SET,
	     "group_status: viable and container set");
	ioctl(g, VFIO_GROUP_UNSET_CONTAINER);
	want(status(g), VFIO_GROUP_FLAGS_VIABLE,
	     "group_status: viable after unset_container");
}

static void check_container_fds(int g, const char *when, long kind_error)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int event = event_fd();
	int path = open("/dev/null", O_PATH | O_CLOEXEC);
	int pipes[2];

	want(set_container(g, -1), -EBADF, "set_container: fd -1 %s is EBADF",
	     when);
	want(set_container(g, 4000000), -EBADF,
	     "set_container: an fd that is not open %s is EBADF", when);
	want(set_container(g, path), -EBADF,
	     "set_container: an O_PATH fd %s is EBADF", when);
	want(set_container(g, null), kind_error, "set_container: /dev/null %s",
	     when);
	want(set_container(g, event), kind_error,
	     "set_container: an eventfd %s", when);
	want(set_container(g, g), kind_error,
	     "set_container: the group itself %s", when);
	if (!pipe2(pipes, O_CLOEXEC)) {
		want(set_container(g, pipes[0]), kind_error,
		     "set_container: a pipe %s", when);
		close(pipes[0]);
		close(pipes[1]);
	}
	close(null);
	close(event);
	close(path);
}

static void check_set_container(int g, int c)
{
	int other = container_open();

	want(R(ioctl(g, VFIO_GROUP_SET_CONTAINER, NULL)), -EFAULT,
	     "set_container: NULL is EFAULT");
	want(R(ioctl(g, VFIO_GROUP_SET_CONTAINER, edge(3))), -EFAULT,
	     "set_container: memory that ends early is EFAULT");
	check_container_fds(g, "without container", -EBADFD);
	want(set_container(g, c), 0, "set_container: after refusals");
	want(set_container(g, c), -EINVAL, "set_container: twice is EINVAL");
	want(set_container(g, other), -EINVAL,
	     "set_container: of another container is EINVAL");
	want(R(ioctl(g, VFIO_GROUP_SET_CONTAINER, nowhere())), -EFAULT,
	     "set_container: a bad pointer is EFAULT even then");
	check_container_fds(g, "with container", -EINVAL);
	want(R(ioctl(g, VFIO_GROUP_UNSET_CONTAINER, nowhere())), 0,
	     "unset_container: ignores its argument");
	want(R(ioctl(g, VFIO_GROUP_UNSET_CONTAINER)), -EINVAL,
	     "unset_container: twice is EINVAL");
	want(set_container(g, other), 0,
	     "set_container: another one after unset_container");
	ioctl(g, VFIO_GROUP_UNSET_CONTAINER);
	close(other);
}

static void check_name(int g, const char *what, const char *tail, long err)
{
	char name[128];

	snprintf(name, sizeof(name), "%s%s", function("edu")->bdf, tail);
	long fd = device_get(g, name);

	if (err)
		want(fd, err, "get_device_fd: %s", what);
	else
		ok(fd >= 0, "get_device_fd: %s", what);
	if (fd >= 0)
		close((int)fd);
}

static void check_long_names(int g)
{
	char *name = malloc(6000);

	memset(name, 'a', 6000);
	name[5999] = '\0';
	want(device_get(g, name), -EINVAL,
	     "get_device_fd: a name of more than a page is EINVAL");
	name[4096] = '\0';
	want(device_get(g, name), -EINVAL,
	     "get_device_fd: a name of 4096 characters is EINVAL");
	name[4095] = '\0';
	want(device_get(g, name), -ENODEV,
	     "get_device_fd: an unknown one of 4095 characters is ENODEV");
	free(name);
	want(R(ioctl(g, VFIO_GROUP_GET_DEVICE_FD, NULL)), -EFAULT,
	     "get_device_fd: NULL is EFAULT");
	want(R(ioctl(g, VFIO_GROUP_GET_DEVICE_FD, edge(5))), -EFAULT,
	     "get_device_fd: a name that runs out of memory is EFAULT");
}

static void check_unknown_names(int g, const char *when)
{
	char name[16];

	want(device_get(g, ""), -ENODEV,
	     "get_device_fd: empty name %s is ENODEV", when);
	want(device_get(g, "ffff:ff:1f.7"), -ENODEV,
	     "get_device_fd: unknown name %s is ENODEV", when);
	snprintf(name, sizeof(name), "%s", function("edu")->bdf);
	name[strlen(name) - 1] = '\0';
	want(device_get(g, name), -ENODEV,
	     "get_device_fd: the start of a name %s is ENODEV", when);
	check_name(g, "a longer name is ENODEV", "x", -ENODEV);
	if (function("nvme"))
		want(device_get(g, function("nvme")->bdf), -ENODEV,
		     "get_device_fd: one of another group %s is ENODEV", when);
}

static void check_options(int g)
{
	check_name(g, "an unknown option is EINVAL", " foo=bar", -EINVAL);
	check_name(g, "a token that is not needed is EINVAL",
		   " vf_token=12345678-1234-1234-1234-123456789abc", -EINVAL);
	check_name(g, "a token that is too short is EINVAL", " vf_token=1234",
		   -EINVAL);
	check_name(g, "a token twice is EINVAL",
		   " vf_token=12345678-1234-1234-1234-123456789abc"
		   " vf_token=12345678-1234-1234-1234-123456789abc",
		   -EINVAL);
}

static void check_device_fd(int g, int c)
{
	check_unknown_names(g, "without container");
	check_name(g, "without container is EINVAL", "", -EINVAL);
	set_container(g, c);
	check_name(g, "without IOMMU is EINVAL", "", -EINVAL);
	check_unknown_names(g, "without IOMMU");
	ioctl(c, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU);
	check_unknown_names(g, "with IOMMU");
	check_options(g);
	check_long_names(g);
	check_name(g, "good name", "", 0);
	check_name(g, "one space behind the name", " ", 0);
}

static void check_device_file(int g)
{
	int a = device_open(g, "edu");
	int b = device_open(g, "edu");

	ok(a != b, "get_device_fd: may be called again");
	want(fcntl(a, F_GETFD), FD_CLOEXEC, "get_device_fd: is CLOEXEC");
	want(fcntl(a, F_GETFL) & O_ACCMODE, O_RDWR,
	     "get_device_fd: is read-write");
	set_command(a, 0, 4);
	want(cfg(b, 4, 2) & 4, 4, "get_device_fd: both see one function");
	want(R(ioctl(g, VFIO_GROUP_UNSET_CONTAINER)), -EBUSY,
	     "unset_container: with an open device is EBUSY");
	want(set_container(g, b), -EINVAL,
	     "set_container: a device, with a container set, is EINVAL");
	close(a);
	want(cfg(b, 4, 2) & 4, 4, "close: the other file still works");
	want(R(ioctl(g, VFIO_GROUP_UNSET_CONTAINER)), -EBUSY,
	     "unset_container: EBUSY until the last one is closed");
	close(b);
	want(R(ioctl(g, VFIO_GROUP_UNSET_CONTAINER)), 0,
	     "unset_container: after the last close");
}

static void check_unknown(int g)
{
	static const unsigned long cmds[] = {
		VFIO_GET_API_VERSION, VFIO_CHECK_EXTENSION, VFIO_SET_IOMMU,
		VFIO_DEVICE_GET_INFO, VFIO_DEVICE_RESET,    VFIO_IOMMU_GET_INFO,
		VFIO_IOMMU_MAP_DMA,   VFIO_DEVICE_FEATURE,  VFIO_IO(50),
		_IO('z', 1),
	};

	for (size_t i = 0; i < COUNT(cmds); i++)
		want(R(ioctl(g, cmds[i], NULL)), -ENOTTY,
		     "group: ioctl %#lx is ENOTTY", cmds[i]);
}

/* A second group joins a container that already has an IOMMU and mappings. */
static void check_two_groups(void)
{
	void *mem = anon(PAGE);
	struct vfio v;

	if (!have("nvme"))
		return;
	vfio_open(&v, "edu");
	dma_map(v.container, mem, PAGE, PAGE, MAP_RW);
	int g = group_open("nvme");

	want(set_container(g, v.container), 0,
	     "groups: the second joins after SET_IOMMU");
	int d = device_open(g, "nvme");

	close_fd(&v.device);
	want(R(ioctl(v.group, VFIO_GROUP_UNSET_CONTAINER)), 0,
	     "groups: one leaves while the other's device is open");
	want(dma_map(v.container, mem, PAGE, PAGE, MAP_RW), -EEXIST,
	     "groups: mappings stay while one is left");
	want(R(ioctl(g, VFIO_GROUP_UNSET_CONTAINER)), -EBUSY,
	     "groups: the other one's open device keeps it");
	close(d);
	want(R(ioctl(g, VFIO_GROUP_UNSET_CONTAINER)), 0,
	     "groups: the last one leaves");
	want(dma_map(v.container, mem, PAGE, PAGE, MAP_RW), -EINVAL,
	     "groups: then there is no IOMMU");
	close(g);
	vfio_close(&v);
}

/* Two functions of one group. */
static void check_shared_group(void)
{
	struct vfio v;

	if (!have("edu2"))
		return;
	if (function("edu2")->group != function("edu")->group) {
		skip("needs edu and edu2 in one group");
		return;
	}
	vfio_open(&v, "edu");
	int d = device_open(v.group, "edu2");

	ok(d >= 0, "groups: gives out both of its functions");
	close_fd(&v.device);
	want(R(ioctl(v.group, VFIO_GROUP_UNSET_CONTAINER)), -EBUSY,
	     "groups: either function keeps the group in its container");
	close(d);
	vfio_close(&v);
}

void test_group(void)
{
	if (!have("edu"))
		return;
	check_open();
	int c = container_open();
	int g = group_open("edu");

	want(R(ioctl(g, VFIO_GROUP_UNSET_CONTAINER)), -EINVAL,
	     "unset_container: without container is EINVAL");
	check_status(g, c);
	check_set_container(g, c);
	check_unknown(g);
	check_device_fd(g, c);
	check_device_file(g);
	close(g);
	close(c);
	check_two_groups();
	check_shared_group();
}
