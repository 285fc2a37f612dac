/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The tree against what Linux shows: texts, links and their targets, and that
 * it takes away what it made and nothing else.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "front/sysfs/tree.h"

#define BDF  "0000:01:00.0"
#define HOME "/sys/devices/pci0000:01/" BDF

struct fixture {
	char dir[64];
	int at; /* a descriptor of it */
	struct tree *tree;
};

static const struct tree_dev nvme = {
	.bdf = BDF,
	.vendor = 0x1b36,
	.device = 0x0010,
	.subsys_vendor = 0x1af4,
	.subsys_device = 0x1100,
	.class_code = 0x010802,
	.revision = 0x02,
	.irq = 11,
	.resources = {{0xfe000000, 0xfe003fff, 0x140204}},
	.link_speed = 3,
	.link_width = 4,
	.reset_methods = "flr pm",
	.group = 1,
	.bound = true,
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	strcpy(f->dir, "/tmp/test_tree.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	f->at = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(f->at >= 0);
	assert_int_equal(tree_new(f->at, &f->tree), 0);
	*state = f;
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int flag,
		      struct FTW *ftw)
{
	return remove(path);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	tree_free(f->tree);
	close(f->at);
	nftw(f->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(f);
	return 0;
}

/* Where a path of the program really is. */
static const char *real(const struct fixture *f, const char *path)
{
	static char buf[PATH_MAX];

	snprintf(buf, sizeof(buf), "%s/root%s", f->dir, path);
	return buf;
}

static void assert_text(const struct fixture *f, const char *path,
			const char *want)
{
	char buf[2048] = "";
	int fd = open(real(f, path), O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_true(read(fd, buf, sizeof(buf) - 1) >= 0);
	close(fd);
	assert_string_equal(buf, want);
}

static void assert_link(const struct fixture *f, const char *path,
			const char *want)
{
	char buf[PATH_MAX] = "";

	assert_true(readlink(real(f, path), buf, sizeof(buf) - 1) > 0);
	assert_string_equal(buf, want);
	assert_int_equal(access(real(f, path), F_OK), 0); /* leads somewhere */
}

static void assert_mode(const struct fixture *f, const char *path, mode_t want)
{
	struct stat st;

	assert_int_equal(lstat(real(f, path), &st), 0);
	assert_int_equal(st.st_mode, want);
}

static bool there(const struct fixture *f, const char *path)
{
	struct stat st;

	return !lstat(real(f, path), &st);
}

static unsigned int entries(const struct fixture *f, const char *path)
{
	DIR *dir = opendir(real(f, path));
	unsigned int n = 0;

	assert_non_null(dir);
	for (struct dirent *d; (d = readdir(dir));)
		n += d->d_name[0] != '.';
	closedir(dir);
	return n;
}

static void empty_machine_has_the_vfio_modules(void **state)
{
	struct fixture *f = *state;

	assert_mode(f, "/dev/vfio/vfio", S_IFSOCK | 0666);
	assert_mode(f, "/sys/bus/pci/drivers/vfio-pci/bind", S_IFSOCK | 0200);
	assert_mode(f, "/sys/bus/pci/rescan", S_IFSOCK | 0200);
	assert_mode(f, "/sys/class/vfio-dev", S_IFDIR | 0755);
	assert_text(f, "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode",
		    "N\n");
	assert_text(f,
		    "/sys/module/vfio_iommu_type1/parameters/dma_entry_limit",
		    "65535\n");
	assert_link(f, "/sys/bus/pci/drivers/vfio-pci/module",
		    "../../../../module/vfio_pci");
	assert_link(f, "/sys/module/vfio_pci/drivers/pci:vfio-pci",
		    "../../../bus/pci/drivers/vfio-pci");
	assert_int_equal(entries(f, "/sys/bus/pci/devices"), 0);
	assert_int_equal(entries(f, "/sys/kernel/iommu_groups"), 0);
	assert_int_equal(entries(f, "/sys/class/vfio-dev"), 0);
}

static void attributes_read_as_on_linux(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(tree_add(f->tree, &nvme), 0);
	assert_text(f, HOME "/vendor", "0x1b36\n");
	assert_text(f, HOME "/device", "0x0010\n");
	assert_text(f, HOME "/subsystem_vendor", "0x1af4\n");
	assert_text(f, HOME "/subsystem_device", "0x1100\n");
	assert_text(f, HOME "/class", "0x010802\n");
	assert_text(f, HOME "/revision", "0x02\n");
	assert_text(f, HOME "/irq", "11\n");
	assert_text(f, HOME "/numa_node", "-1\n");
	assert_text(f, HOME "/reset_method", "flr pm\n");
	assert_text(f, HOME "/max_link_speed", "8.0 GT/s PCIe\n");
	assert_text(f, HOME "/current_link_width", "4\n");
	assert_text(f, HOME "/modalias",
		    "pci:v00001B36d00000010sv00001AF4sd00001100"
		    "bc01sc08i02\n");
	assert_text(f, HOME "/uevent",
		    "DRIVER=vfio-pci\nPCI_CLASS=10802\nPCI_ID=1B36:0010\n"
		    "PCI_SUBSYS_ID=1AF4:1100\nPCI_SLOT_NAME=0000:01:00.0\n"
		    "MODALIAS=pci:v00001B36d00000010sv00001AF4sd00001100"
		    "bc01sc08i02\n");
	assert_mode(f, HOME "/vendor", S_IFREG | 0444);
	assert_mode(f, HOME "/config", S_IFSOCK | 0644);
	assert_mode(f, HOME "/reset", S_IFSOCK | 0200);
}

static void resource_has_13_lines(void **state)
{
	struct fixture *f = *state;
	char want[13 * 57 + 1];
	char *p = want;

	p += sprintf(p, "0x00000000fe000000 0x00000000fe003fff "
			"0x0000000000140204\n");
	for (unsigned int i = 1; i < 13; i++)
		p += sprintf(p, "0x%016x 0x%016x 0x%016x\n", 0, 0, 0);
	assert_int_equal(tree_add(f->tree, &nvme), 0);
	assert_text(f, HOME "/resource", want);
}

static void links_are_relative_and_lead_where_linux_has_them(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(tree_add(f->tree, &nvme), 0);
	assert_link(f, "/sys/bus/pci/devices/" BDF,
		    "../../../devices/pci0000:01/" BDF);
	assert_link(f, HOME "/driver", "../../../bus/pci/drivers/vfio-pci");
	assert_link(f, HOME "/subsystem", "../../../bus/pci");
	assert_link(f, HOME "/iommu_group", "../../../kernel/iommu_groups/1");
	assert_link(f, "/sys/kernel/iommu_groups/1/devices/" BDF,
		    "../../../../devices/pci0000:01/" BDF);
	assert_link(f, "/sys/bus/pci/drivers/vfio-pci/" BDF,
		    "../../../../devices/pci0000:01/" BDF);
	assert_text(f, "/sys/kernel/iommu_groups/1/type", "DMA-FQ\n");
	assert_mode(f, "/dev/vfio/1", S_IFSOCK | 0600);
}

static void conventional_pci_without_reset_has_neither(void **state)
{
	struct fixture *f = *state;
	struct tree_dev dev = nvme;

	dev.link_speed = 0;
	dev.reset_methods = NULL;
	assert_int_equal(tree_add(f->tree, &dev), 0);
	assert_false(there(f, HOME "/max_link_speed"));
	assert_false(there(f, HOME "/current_link_width"));
	assert_false(there(f, HOME "/reset_method"));
	assert_false(there(f, HOME "/reset"));
	assert_true(there(f, HOME "/rescan"));
}

static void driver_comes_and_goes(void **state)
{
	struct fixture *f = *state;
	struct tree_dev dev = nvme;

	dev.bound = false;
	assert_int_equal(tree_add(f->tree, &dev), 0);
	assert_false(there(f, HOME "/driver"));
	assert_false(there(f, "/dev/vfio/1"));

	assert_int_equal(tree_set_driver(f->tree, BDF, true), 0);
	assert_int_equal(tree_set_driver(f->tree, BDF, true), 0);
	assert_true(there(f, HOME "/driver"));
	assert_true(there(f, "/dev/vfio/1"));
	assert_true(there(f, "/sys/bus/pci/drivers/vfio-pci/" BDF));

	assert_int_equal(tree_set_driver(f->tree, BDF, false), 0);
	assert_false(there(f, HOME "/driver"));
	assert_false(there(f, "/dev/vfio/1"));
	assert_text(f, HOME "/uevent",
		    "PCI_CLASS=10802\nPCI_ID=1B36:0010\n"
		    "PCI_SUBSYS_ID=1AF4:1100\nPCI_SLOT_NAME=0000:01:00.0\n"
		    "MODALIAS=pci:v00001B36d00000010sv00001AF4sd00001100"
		    "bc01sc08i02\n");
	assert_int_equal(tree_set_driver(f->tree, "0000:09:00.0", true),
			 -ENOENT);
}

static void group_node_stays_while_any_function_is_bound(void **state)
{
	struct fixture *f = *state;
	struct tree_dev other = nvme;

	other.bdf = "0000:01:00.1";
	assert_int_equal(tree_add(f->tree, &nvme), 0);
	assert_int_equal(tree_add(f->tree, &other), 0);
	assert_int_equal(entries(f, "/sys/kernel/iommu_groups/1/devices"), 2);

	assert_int_equal(tree_set_driver(f->tree, BDF, false), 0);
	assert_true(there(f, "/dev/vfio/1"));
	assert_int_equal(tree_remove(f->tree, other.bdf), 0);
	assert_false(there(f, "/dev/vfio/1"));
	assert_true(there(f, "/sys/kernel/iommu_groups/1/type"));
	assert_int_equal(tree_remove(f->tree, BDF), 0);
	assert_int_equal(entries(f, "/sys/kernel/iommu_groups"), 0);
	assert_int_equal(entries(f, "/sys/devices"), 0);
	assert_int_equal(tree_remove(f->tree, BDF), -ENOENT);
}

static void refuses_what_it_cannot_show(void **state)
{
	static const char *const bad[] = {
		"",
		"01:00.0",
		"0000:01:00.8",
		"0000:01:20.0",
		"0000:01:00.00",
		"0000:0G:00.0",
		"../../../../x",
		"0000:0A:00.0",
	};
	struct fixture *f = *state;
	struct tree_dev dev = nvme;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		dev.bdf = bad[i];
		assert_int_equal(tree_add(f->tree, &dev), -EINVAL);
	}
	assert_int_equal(tree_add(f->tree, &nvme), 0);
	assert_int_equal(tree_add(f->tree, &nvme), -EEXIST);
}

static void failed_add_leaves_nothing_and_touches_nothing(void **state)
{
	struct fixture *f = *state;

	/* somebody else's file is where the last link would go */
	int fd = open(real(f, "/sys/bus/pci/devices/" BDF),
		      O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(tree_add(f->tree, &nvme), -EEXIST);
	assert_int_equal(entries(f, "/sys/devices"), 0);
	assert_int_equal(entries(f, "/sys/kernel/iommu_groups"), 0);
	assert_false(there(f, "/dev/vfio/1"));
	assert_true(there(f, "/sys/bus/pci/devices/" BDF));
}

static void free_removes_its_own_and_only_that(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(tree_add(f->tree, &nvme), 0);
	f->tree = tree_free(f->tree);
	assert_false(there(f, ""));

	assert_int_equal(tree_new(f->at, &f->tree), 0);
	int fd = open(real(f, "/sys/module/mine"),
		      O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	close(fd);
	f->tree = tree_free(f->tree);
	assert_true(there(f, "/sys/module/mine"));
	assert_false(there(f, "/sys/module/vfio"));
	assert_false(there(f, "/dev"));
}

static void second_tree_in_one_directory_is_refused(void **state)
{
	struct fixture *f = *state;
	struct tree *second = NULL;

	assert_int_equal(tree_new(f->at, &second), -EEXIST);
	assert_null(second);
	assert_true(there(f, "/dev/vfio/vfio"));
	assert_int_equal(tree_new(-1, &second), -EBADF);
}

static void modes_do_not_depend_on_the_umask(void **state)
{
	struct fixture *f = *state;
	mode_t old = umask(0777);
	int r = tree_add(f->tree, &nvme);

	umask(old);
	assert_int_equal(r, 0);
	assert_mode(f, HOME, S_IFDIR | 0755);
	assert_mode(f, HOME "/vendor", S_IFREG | 0444);
	assert_mode(f, HOME "/config", S_IFSOCK | 0644);
}

static void resolve_follows_links_inside(void **state)
{
	static const struct {
		const char *path;
		const char *want;
	} cases[] = {
		{"/", "/"},
		{"/dev/vfio/vfio", "/dev/vfio/vfio"},
		{"//dev/./vfio//1", "/dev/vfio/1"},
		{"/sys/bus/pci/devices/" BDF "/config", HOME "/config"},
		{"/sys/bus/pci/devices/" BDF "/", HOME},
		{"/sys/bus/pci/devices/" BDF "/iommu_group",
		 "/sys/kernel/iommu_groups/1"},
		{HOME "/driver/" BDF "/driver/unbind",
		 "/sys/bus/pci/drivers/vfio-pci/unbind"},
		{"/sys/bus/pci/devices/" BDF "/../..", "/sys/devices"},
		{"/../../../sys/../dev/vfio", "/dev/vfio"},
	};
	struct fixture *f = *state;
	char out[PATH_MAX];

	assert_int_equal(tree_add(f->tree, &nvme), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(tree_resolve(f->tree, cases[i].path, out), 0);
		assert_string_equal(out, cases[i].want);
	}
}

static void resolve_never_leaves_the_root(void **state)
{
	struct fixture *f = *state;
	char out[PATH_MAX] = "untouched";

	assert_int_equal(symlink("/etc/passwd", real(f, "/sys/absolute")), 0);
	assert_int_equal(symlink("../../../../../../../etc/passwd",
				 real(f, "/sys/relative")),
			 0);
	assert_int_equal(symlink("loop", real(f, "/sys/loop")), 0);
	assert_int_equal(tree_resolve(f->tree, "/etc/passwd", out), -ENOENT);
	assert_int_equal(tree_resolve(f->tree, "/../etc/passwd", out), -ENOENT);
	assert_int_equal(tree_resolve(f->tree, "/sys/absolute", out), -ENOENT);
	assert_int_equal(tree_resolve(f->tree, "/sys/relative", out), -ENOENT);
	assert_int_equal(tree_resolve(f->tree, "/sys/loop", out), -ELOOP);
	assert_int_equal(tree_resolve(f->tree, "/dev/vfio/99", out), -ENOENT);
	assert_int_equal(tree_resolve(f->tree, "/dev/vfio/vfio/x", out),
			 -ENOTDIR);
	assert_int_equal(tree_resolve(f->tree, "/dev/vfio/vfio/", out),
			 -ENOTDIR);
	assert_int_equal(tree_resolve(f->tree, "/dev/vfio/vfio/..", out),
			 -ENOTDIR);
	assert_int_equal(tree_resolve(f->tree, "dev/vfio", out), -EINVAL);
	assert_int_equal(tree_resolve(f->tree, "", out), -EINVAL);
	assert_string_equal(out, "untouched");
}

static void resolve_bounds_its_input(void **state)
{
	struct fixture *f = *state;
	char out[PATH_MAX];
	char path[2 * PATH_MAX];

	memset(path, '/', sizeof(path));
	path[PATH_MAX - 1] = '\0';
	assert_int_equal(tree_resolve(f->tree, path, out), 0);
	path[PATH_MAX - 1] = '/';
	path[PATH_MAX] = '\0';
	assert_int_equal(tree_resolve(f->tree, path, out), -ENAMETOOLONG);
	memset(path + 1, 'a', NAME_MAX + 1);
	path[NAME_MAX + 2] = '\0';
	assert_int_equal(tree_resolve(f->tree, path, out), -ENAMETOOLONG);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(empty_machine_has_the_vfio_modules),
		TEST(attributes_read_as_on_linux),
		TEST(resource_has_13_lines),
		TEST(links_are_relative_and_lead_where_linux_has_them),
		TEST(conventional_pci_without_reset_has_neither),
		TEST(driver_comes_and_goes),
		TEST(group_node_stays_while_any_function_is_bound),
		TEST(refuses_what_it_cannot_show),
		TEST(failed_add_leaves_nothing_and_touches_nothing),
		TEST(free_removes_its_own_and_only_that),
		TEST(second_tree_in_one_directory_is_refused),
		TEST(modes_do_not_depend_on_the_umask),
		TEST(resolve_follows_links_inside),
		TEST(resolve_never_leaves_the_root),
		TEST(resolve_bounds_its_input),
	};

	return cmocka_run_group_tests_name("tree", tests, NULL, NULL);
}
