/* SPDX-License-Identifier: BSD-3-Clause */
/* Opening and closing: prog.h. */
#include <errno.h>
#include <linux/pci_regs.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/proto.h"
#include "prog.h"
#include "tests/sched/host.h"
#include "uapi/vfio.h"

int64_t prog_keep(struct prog *p, int64_t fd)
{
	unsigned int i = 0;

	if (fd < 0)
		return fd;
	while (i < FILES_MAX && p->other[i] >= 0)
		i++;
	sched_expect(i < FILES_MAX, "too many files");
	p->other[i] = (int)fd;
	return fd;
}

int64_t prog_open_container(struct prog *p)
{
	p->container = client_open(&p->c, "/dev/vfio/vfio");
	return p->container;
}

int64_t prog_open_group(struct prog *p)
{
	char path[32];

	snprintf(path, sizeof(path), "/dev/vfio/%u", p->number);
	p->group = client_open(&p->c, path);
	return p->group;
}

int64_t prog_set_container(struct prog *p)
{
	int32_t number = p->container;

	return client_ioctl(&p->c, p->group, "SET_CONTAINER",
			    VFIO_GROUP_SET_CONTAINER, &number, sizeof(number),
			    &p->container, 1);
}

int64_t prog_set_iommu(struct prog *p)
{
	return client_ioctl_val(&p->c, p->container, "SET_IOMMU",
				VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU);
}

int64_t prog_open_device(struct prog *p)
{
	char name[32] = "";

	strcpy(name, p->bdf);
	p->device = (int)client_ioctl(&p->c, p->group, "GET_DEVICE_FD",
				      VFIO_GROUP_GET_DEVICE_FD, name,
				      sizeof(name), NULL, 0);
	return p->device;
}

int64_t prog_command(struct prog *p, uint16_t command)
{
	return client_write(&p->c, p->device,
			    REGION(CONFIG_REGION) + PCI_COMMAND, &command,
			    sizeof(command));
}

static int64_t command_on(struct prog *p)
{
	return prog_command(p, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}

int64_t prog_open_sysfs(struct prog *p, const char *name)
{
	char path[96];

	if (name[0] == '/')
		snprintf(path, sizeof(path), "%s", name);
	else
		snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/%s",
			 p->bdf, name);
	return client_open(&p->c, path);
}

int64_t prog_write_text(struct prog *p, const char *name, const char *text)
{
	int64_t fd = prog_open_sysfs(p, name);

	if (fd < 0)
		return fd;

	int64_t r = client_write(&p->c, (int)fd, SV_POS, text, strlen(text));

	close((int)fd);
	return r;
}

int64_t prog_map_bar(struct prog *p, unsigned int bar)
{
	int64_t r;

	p->map = client_mmap(&p->c, p->device, REGION(bar), MAP_LEN, &r);
	return r;
}

struct sv_bar_id prog_bar_id(const struct prog *p, unsigned int bar)
{
	char name[24];
	size_t i = 0;

	snprintf(name, sizeof(name), "%s:%u", p->bdf, bar);
	while (i < p->host->n_bars && strcmp(p->host->bar_name[i], name))
		i++;
	sched_expect(i < p->host->n_bars, "no BAR %s", name);
	return p->host->bar[i];
}

void prog_share(struct prog *p)
{
	munmap(p->memory, MAP_LEN);
	p->memfd = memfd_create("memory", MFD_CLOEXEC);
	sched_expect(p->memfd >= 0 && ftruncate(p->memfd, MAP_LEN) == 0,
		     "memfd");
	p->memory = mmap(NULL, MAP_LEN, PROT_READ | PROT_WRITE, MAP_SHARED,
			 p->memfd, 0);
}

int prog_eventfd(struct prog *p)
{
	return (int)prog_keep(p, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
}

/* What connect() says is the host's word only. */
static void expect_accepted(struct prog *p)
{
	int fd = client_open(&p->c, "/dev/vfio/vfio");

	sched_expect(fd >= 0, "open: %s", strerror(-fd));
	close(fd);
}

static void begin_client(struct prog *p)
{
	static unsigned int programs;

	client_new(&p->c, p->host->door, programs++);
	p->c.unsure = true;
	expect_accepted(p);
}

void prog_connect(struct prog *p)
{
	client_done(&p->c);
	begin_client(p);
}

void prog_begin(struct prog *p, struct host *h, const char *bdf,
		unsigned int number, enum stage stage)
{
	static int64_t (*const steps[])(struct prog * p) = {
		[CONTAINER] = prog_open_container, [GROUP] = prog_open_group,
		[ATTACHED] = prog_set_container,   [IOMMU] = prog_set_iommu,
		[DEVICE] = prog_open_device,	   [DECODES] = command_on,
	};
	*p = (struct prog){
		.host = h,
		.bdf = bdf,
		.number = number,
		.container = -1,
		.group = -1,
		.device = -1,
		.memory = mmap(NULL, MAP_LEN, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
		.memfd = -1,
	};
	memset(p->other, -1, sizeof(p->other));
	begin_client(p);
	for (unsigned int i = CONTAINER; i <= stage; i++) {
		int64_t r = steps[i](p);

		sched_expect(r >= 0, "%s: step %u: %s", bdf, i,
			     strerror((int)-r));
	}
}

void prog_end(struct prog *p)
{
	const int fds[] = {p->device, p->group, p->container, p->memfd};

	if (p->map)
		munmap(p->map, MAP_LEN);
	munmap(p->memory, MAP_LEN);
	for (unsigned int i = 0; i < 4; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	for (unsigned int i = 0; i < FILES_MAX; i++)
		if (p->other[i] >= 0)
			close(p->other[i]);
	client_done(&p->c);
}
