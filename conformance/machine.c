/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Finding the functions that vfio-pci has, and opening them. A function is
 * known by what it is, not by where: its role, and its place among those of
 * the same role by address.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "conformance/conformance.h"

#define MAX_FUNCTIONS 64
#define LINK_SIZE     256

static const struct {
	const char *role;
	unsigned int vendor;
	unsigned int device;
} roles[] = {
	{"edu", 0x1234, 0x11e8},
	{"nvme", 0x1b36, 0x0010},
	{"ram", 0x1af4, 0x1110},
	{"nic", 0x8086, 0x10d3},
};

static struct function functions[MAX_FUNCTIONS];
static unsigned int n_functions;
static bool scanned;

static unsigned int read_hex(const char *bdf, const char *file)
{
	char path[128];
	unsigned int val = 0;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/%s", bdf, file);
	FILE *f = fopen(path, "re");

	if (!f)
		return 0;
	if (fscanf(f, "%x", &val) != 1)
		val = 0;
	fclose(f);
	return val;
}

/* The last part of what the link @file of a function leads to. */
static bool read_link(const char *bdf, const char *file, char name[LINK_SIZE])
{
	char path[128];
	char link[LINK_SIZE];

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/%s", bdf, file);
	ssize_t n = readlink(path, link, sizeof(link) - 1);

	if (n < 0)
		return false;
	link[n] = '\0';
	const char *slash = strrchr(link, '/');

	snprintf(name, LINK_SIZE, "%s", slash ? slash + 1 : link);
	return true;
}

static const char *role_of(const char *bdf)
{
	unsigned int vendor = read_hex(bdf, "vendor");
	unsigned int device = read_hex(bdf, "device");

	for (size_t i = 0; i < COUNT(roles); i++)
		if (roles[i].vendor == vendor && roles[i].device == device)
			return roles[i].role;
	return "";
}

static void add(const char *bdf)
{
	struct function *f = &functions[n_functions];
	char name[LINK_SIZE];

	if (n_functions == MAX_FUNCTIONS || strlen(bdf) >= sizeof(f->bdf) ||
	    !read_link(bdf, "driver", name) || strcmp(name, "vfio-pci") != 0 ||
	    !read_link(bdf, "iommu_group", name))
		return;
	f->role = role_of(bdf);
	f->group = atoi(name);
	strcpy(f->bdf, bdf);
	n_functions++;
}

static int by_bdf(const void *a, const void *b)
{
	const struct function *x = a;
	const struct function *y = b;

	return strcmp(x->bdf, y->bdf);
}

static void scan(void)
{
	DIR *dir = scanned ? NULL : opendir("/sys/bus/pci/devices");
	struct dirent *entry;

	scanned = true;
	if (!dir)
		return;
	while ((entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			add(entry->d_name);
	closedir(dir);
	qsort(functions, n_functions, sizeof(functions[0]), by_bdf);
}

const struct function *function_find(const char *role, unsigned int nth)
{
	scan();
	for (unsigned int i = 0; i < n_functions; i++)
		if (!strcmp(functions[i].role, role) && !nth--)
			return &functions[i];
	return NULL;
}

const struct function *function_need(const char *role, unsigned int nth)
{
	const struct function *f = function_find(role, nth);

	if (!f)
		skip("no %s %u", role, nth);
	return f;
}

const struct function *function_sibling(const struct function *f)
{
	for (unsigned int i = 0; i < n_functions; i++)
		if (functions[i].group == f->group && &functions[i] != f)
			return &functions[i];
	return NULL;
}

const struct function *function_elsewhere(const struct function *f)
{
	for (unsigned int i = 0; i < n_functions; i++)
		if (functions[i].group != f->group)
			return &functions[i];
	return NULL;
}

int container_open(void)
{
	return open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
}

int group_open(const struct function *f, int flags)
{
	char path[32];

	snprintf(path, sizeof(path), "/dev/vfio/%d", f->group);
	return open(path, flags | O_CLOEXEC);
}

void say_reopen(const char *key, const struct function *f)
{
	int fd = group_open(f, O_RDWR);

	say_step(key, fd < 0 ? -1 : 0);
	if (fd >= 0)
		close(fd);
}

int group_join(int group, int container)
{
	return ioctl(group, VFIO_GROUP_SET_CONTAINER, &container);
}

int device_open(int group, const struct function *f)
{
	return ioctl(group, VFIO_GROUP_GET_DEVICE_FD, f->bdf);
}

void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void vfio_close(struct vfio *v)
{
	close_fd(&v->device);
	close_fd(&v->group);
	close_fd(&v->container);
}

const char *vfio_open_to(struct vfio *v, enum depth depth, unsigned long type)
{
	v->container = container_open();
	if (v->container < 0)
		return "open of the container";
	if (depth >= GROUP)
		v->group = group_open(v->function, O_RDWR);
	if (depth >= GROUP && v->group < 0)
		return "open of the group";
	if (depth >= ATTACHED && group_join(v->group, v->container))
		return "SET_CONTAINER";
	if (depth >= IOMMU && ioctl(v->container, VFIO_SET_IOMMU, type))
		return "SET_IOMMU";
	if (depth >= DEVICE)
		v->device = device_open(v->group, v->function);
	return depth >= DEVICE && v->device < 0 ? "GET_DEVICE_FD" : NULL;
}

bool vfio_find(struct vfio *v, const char *role, unsigned int nth)
{
	*v = (struct vfio){
		.function = function_find(role, nth),
		.container = -1,
		.group = -1,
		.device = -1,
	};
	return v->function;
}

void vfio_open(struct vfio *v, const char *role, unsigned int nth,
	       enum depth depth, unsigned long type)
{
	if (!vfio_find(v, role, nth) && depth > CONTAINER)
		skip("no %s %u", role, nth);
	const char *failed = vfio_open_to(v, depth, type);

	if (failed)
		need(-1, failed);
}
