/* SPDX-License-Identifier: BSD-3-Clause */
/* A server and what its programs do first: served.h. */
#include <errno.h>
#include <linux/pci_regs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/random.h>
#include <unistd.h>

#include "front/alive.h"
#include "front/file.h"
#include "front/sysfs/show.h"
#include "served.h"
#include "uapi/vfio.h"

/* --- the server --- */

static void make_group(struct served *s, unsigned int i)
{
	struct machine_dev *md = &s->machine.dev[i];

	md->dev = s->rig.dev[i].dev;
	mutex_init(&md->lock, RANK_LEAF, "driver_override");
	sched_expect(group_new(i, &md->group) == 0 &&
			     group_add(md->group, md->dev) == 0,
		     "group");
	md->dev->left = show_left;
	md->dev->left_arg = served_tree();
	s->machine.group[i] = md->group;
	machine_list_bars(&s->machine, i);
	show_update(served_tree(), md->dev);
}

static void make(struct served *s, unsigned int n_devs)
{
	const char *tmp = getenv("TMPDIR");

	s->rig.inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	sched_expect(getrandom(&s->rig.instance, sizeof(s->rig.instance), 0) ==
			     sizeof(s->rig.instance),
		     "getrandom");
	s->machine.instance = s->rig.instance;
	rig_prepare(&s->rig, n_devs);
	snprintf(s->dir, sizeof(s->dir), "%s/schedules-XXXXXX",
		 tmp ? tmp : "/dev/shm");
	sched_expect(mkdtemp(s->dir), "%s: %s", s->dir, strerror(errno));
	snprintf(s->door, sizeof(s->door), "%.48s/door", s->dir);
	s->journal = journal_new();
	s->machine.inotify = s->rig.inotify;
	s->machine.n_devs = s->machine.n_groups = n_devs;
	for (unsigned int i = 0; i < n_devs; i++)
		make_group(s, i);
}

/* Told of what the last schedule did. */
static void drain_inotify(const struct served *s)
{
	char events[4096];

	while (read(s->rig.inotify, events, sizeof(events)) > 0)
		;
}

void served_begin(struct served *s, unsigned int n_devs)
{
	if (!s->machine.n_devs)
		make(s, n_devs);
	rig_prepare(&s->rig, n_devs);
	rig_watch(&s->rig);
	s->machine.watcher = s->rig.watcher;
	sched_expect(unplug_init(&s->machine) == 0, "unplug");
	drain_inotify(s);

	const struct front_conf conf = {
		.machine = &s->machine,
		.journal = s->journal,
		.tree = served_tree(),
		.name = "schedules",
	};
	int r = server_new(&conf, s->door, &s->server);

	sched_expect(r == 0, "server: %s", strerror(-r));
}

bool served_idle(struct served *s)
{
	size_t n;

	alive_settle(s->server);

	struct file **files = file_list(s->server, &n);

	sched_expect(files, "memory");
	for (size_t i = 0; i < n; i++)
		file_put(files[i]);
	free(files);
	return !n;
}

void served_end(struct served *s)
{
	s->server = server_free(s->server);
	unlink(s->door);
	rig_end(&s->rig);
	unplug_done(&s->machine);
}

void served_free(struct served *s)
{
	rig_free(&s->rig);
	for (size_t i = 0; i < s->machine.n_devs; i++)
		group_free(s->machine.dev[i].group);
	journal_free(s->journal);
	close(s->machine.inotify);
	rmdir(s->dir);
}

/* --- programs --- */

void files_open_rest(struct client *c, struct rig_dev *rd, struct files *f)
{
	char name[DEVICE_NAME_MAX];
	int32_t container = f->container;

	/* both may have been done already, for another group */
	sched_expect(client_ioctl(c, f->group, "SET_CONTAINER",
				  VFIO_GROUP_SET_CONTAINER, &container,
				  sizeof(container), &f->container, 1) == 0,
		     "SET_CONTAINER");
	client_ioctl_val(c, f->container, "SET_IOMMU", VFIO_SET_IOMMU,
			 VFIO_TYPE1v2_IOMMU);
	snprintf(name, sizeof(name), "%s", rd->dev->name);
	f->device = (int)client_ioctl(c, f->group, "GET_DEVICE_FD",
				      VFIO_GROUP_GET_DEVICE_FD, name,
				      sizeof(name), NULL, 0);
	sched_expect(f->device >= 0, "GET_DEVICE_FD: %s", strerror(-f->device));
	sched_expect(ask_command(c, f->device, true) == 2, "COMMAND");
}

void files_open_in(struct client *c, struct rig_dev *rd, struct files *f,
		   int container)
{
	char path[32];

	snprintf(path, sizeof(path), "/dev/vfio/%u", rd->dev->group_id);
	f->container = container;
	f->group = client_open(c, path);
	sched_expect(f->group >= 0, "%s: %s", path, strerror(-f->group));
	files_open_rest(c, rd, f);
}

void files_open(struct client *c, struct rig_dev *rd, struct files *f)
{
	int container = client_open(c, "/dev/vfio/vfio");

	sched_expect(container >= 0, "container: %s", strerror(-container));
	files_open_in(c, rd, f, container);
}

void file_close(int *fd)
{
	if (*fd < 0)
		return;
	sched_point("close");
	close(*fd);
	*fd = -1;
	sched_point("closed");
}

void files_close(struct files *f)
{
	file_close(&f->device);
	file_close(&f->group);
	file_close(&f->container);
}

int64_t ask_command(struct client *c, int device, bool memory)
{
	uint16_t val = PCI_COMMAND_MASTER | (memory ? PCI_COMMAND_MEMORY : 0);

	return client_write(c, device, CONFIG(PCI_COMMAND), &val, sizeof(val));
}

int64_t ask_reset(struct client *c, int device)
{
	return client_ioctl_val(c, device, "RESET", VFIO_DEVICE_RESET, 0);
}

int64_t ask_irq(struct client *c, int device, uint32_t index, int eventfd)
{
	/* struct vfio_irq_set, with its one descriptor behind it */
	struct {
		uint32_t argsz, flags, index, start, count;
		int32_t fd;
	} arg = {
		.argsz = sizeof(arg),
		.flags =
			VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
		.index = index,
		.count = 1,
		.fd = eventfd,
	};

	return client_ioctl(c, device, "SET_IRQS", VFIO_DEVICE_SET_IRQS, &arg,
			    sizeof(arg), &eventfd, 1);
}
