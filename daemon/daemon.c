/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The daemon's life: build the machine and its tree, open the door, wait for
 * the owner to go, take everything down again in the opposite order.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/machine/machine.h"
#include "core/common/share.h"
#include "daemon/conf.h"
#include "daemon/daemon.h"
#include "daemon/watchdog.h"
#include "front/ipc/server.h"
#include "front/journal.h"
#include "front/sysfs/show.h"
#include "front/sysfs/tree.h"
#include "lib/cleanup.h"
#include "lib/evfd.h"
#include "lib/log.h"
#include "lib/proto.h"

#define START_SECONDS 5 /* for one device */

struct daemon {
	struct machine *machine;
	struct tree *tree;
	struct journal *journal;
	struct server *server;
	struct watchdog *watchdog;
	struct device_option *options[CONF_DEVICES_MAX];
	int door_at; /* where the door was made; -1: it was not */
};

static bool any_stuck(const struct machine *m)
{
	for (size_t i = 0; i < m->n_devs; i++)
		if (device_stuck(m->dev[i].dev))
			return true;
	return false;
}

/* False: threads are left that do not end. */
static bool daemon_stop(struct daemon *d)
{
	if (!d->watchdog)
		return true;
	if (!watchdog_end(d->watchdog))
		return false;
	return server_stop(d->server) && !any_stuck(d->machine);
}

/* Nothing that such a thread may use is freed. */
static _Noreturn void daemon_leave(struct daemon *d)
{
	tree_free(d->tree);
	unlinkat(d->door_at, SV_DOOR, 0);
	_exit(EXIT_FAILURE);
}

static void daemon_down(struct daemon *d, size_t n_devs)
{
	if (!daemon_stop(d))
		daemon_leave(d);
	d->watchdog = watchdog_free(d->watchdog);
	d->server = server_free(d->server);
	d->machine = machine_free(d->machine);
	d->journal = journal_free(d->journal);
	d->tree = tree_free(d->tree);
	for (size_t i = 0; i < n_devs; i++)
		free(d->options[i]);
	if (d->door_at >= 0)
		unlinkat(d->door_at, SV_DOOR, 0);
}

/* The model's options in the form sv_option() looks them up in. */
static struct device_option *model_options(const struct dev_conf *dc)
{
	struct device_option *o = calloc(dc->n_options + 1, sizeof(*o));

	for (size_t i = 0; o && i < dc->n_options; i++)
		o[i] = (struct device_option){dc->options[i].name,
					      dc->options[i].value};
	return o;
}

static int shape_override(void *arg, struct sv_shape *shape, char err[256])
{
	return conf_shape(arg, shape, err);
}

/* A DMA that missed is the device's refusal. */
static void note(void *opaque, const struct sv_dev *dev, int err,
		 const char *reason)
{
	journal_add(opaque, 0, dev->name, err, reason);
}

/* Whose init() is under way: nobody can ask yet, so it is said unasked. */
static char starting[96];

static void say_slow(int sig)
{
	int saved = errno;
	ssize_t n = write(STDERR_FILENO, starting, strlen(starting));

	(void)n;
	errno = saved;
}

static void watch_start(const struct dev_conf *dc, const char *name)
{
	const struct sigaction sa = {
		.sa_handler = say_slow,
		.sa_flags = SA_RESTART,
	};

	snprintf(
		starting, sizeof(starting),
		"softvfio: warning: %s: its model %.16s is stuck in init() for "
		"%d s\n",
		name, dc->ops->name, START_SECONDS);
	sigaction(SIGALRM, &sa, NULL);
	alarm(START_SECONDS);
}

static int daemon_add_device(struct daemon *d, const struct dev_conf *dc,
			     struct device_option *options)
{
	char name[BDF_TEXT_MAX], err[256] = "";
	struct device_host host = {
		.name = name,
		.ops = dc->ops,
		.options = options,
		.override = shape_override,
		.override_arg = (void *)(uintptr_t)dc,
		.note = note,
		.note_arg = d->journal,
		.left = show_left,
		.left_arg = d->tree,
	};

	bdf_format(&dc->bdf, name);
	watch_start(dc, name);
	int r = machine_add(d->machine, &host, (unsigned int)dc->group, err);

	alarm(0);
	signal(SIGALRM, SIG_DFL);
	if (r < 0)
		log_err("%s at %s: %s", dc->ops->name, name,
			err[0] ? err : strerror(-r));
	return r;
}

static int daemon_add_devices(struct daemon *d, const struct conf *conf)
{
	for (size_t i = 0; i < conf->n_devs; i++) {
		d->options[i] = model_options(&conf->devs[i]);
		if (!d->options[i])
			return -ENOMEM;

		int r = daemon_add_device(d, &conf->devs[i], d->options[i]);

		if (r < 0)
			return r;
	}
	return 0;
}

/* Once all are there: how one can be reset depends on its neighbours. */
static int daemon_show_devices(struct daemon *d)
{
	for (size_t i = 0; i < d->machine->n_devs; i++) {
		const struct sv_dev *dev = d->machine->dev[i].dev;
		int r = show_update(d->tree, dev);

		if (r < 0) {
			log_err("%s: %s", dev->name, strerror(-r));
			return r;
		}
	}
	return 0;
}

static int daemon_up(struct daemon *d, const struct daemon_conf *conf)
{
	int r = machine_new(&d->machine);

	if (r == 0)
		r = tree_new(conf->dir_fd, &d->tree);
	if (r < 0) {
		log_err("%s: %s", conf->dir, strerror(-r));
		return r;
	}
	d->journal = journal_new();
	if (!d->journal)
		return -ENOMEM;
	r = daemon_add_devices(d, conf->devices);
	if (r == 0)
		r = daemon_show_devices(d);
	if (r < 0)
		return r;

	struct front_conf sc = {
		.machine = d->machine,
		.journal = d->journal,
		.tree = d->tree,
		.name = conf->name,
		.memlock_enforce = conf->memlock_enforce,
	};

	/* bind(2) takes paths only, and any part of one may become a link */
	char door[64];

	snprintf(door, sizeof(door), "/proc/self/fd/%d/" SV_DOOR, conf->dir_fd);
	d->door_at = conf->dir_fd;
	r = server_new(&sc, door, &d->server);
	if (r < 0)
		log_err("%s/" SV_DOOR ": %s", conf->dir, strerror(-r));
	if (r == 0)
		r = watchdog_new(d->server, &d->watchdog);
	return r;
}

static void wait_hangup(int fd)
{
	struct pollfd p = {.fd = fd};

	do {
		poll(&p, 1, -1);
	} while (!(p.revents & (POLLHUP | POLLERR | POLLNVAL)));
}

/* Every client's descriptors come through here, so have all we may. */
static void raise_fd_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static int cannot(const char *do_what, const char *hint)
{
	int err = errno;

	log_err("cannot %s: %s%s", do_what, strerror(err), hint);
	return -err;
}

/* Said here by name: later it is one error of many that look the same. */
static int check_needed(void)
{
	_cleanup_(closep) int memory = memfd_create("probe", MFD_CLOEXEC);

	if (memory < 0)
		return cannot("make memory for BARs (memfd_create)", "");

	_cleanup_(closep) int watch = inotify_init1(IN_CLOEXEC);

	if (watch < 0)
		return cannot("watch BAR mappings (inotify_init1)",
			      errno == EMFILE
				      ? "; see fs.inotify.max_user_instances"
				      : "");
	if (access("/proc/self/fd", X_OK) < 0)
		return cannot("do without /proc/self/fd", "; mount /proc");
	return 0;
}

/* Can pages be held while their BAR is closed? 0 or -errno */
static int probe_vmsplice(void)
{
	char byte = 0;
	struct iovec iov = {&byte, 1};
	int p[2];

	if (pipe2(p, O_CLOEXEC) < 0)
		return 0; /* not what was asked */

	int r = vmsplice(p[1], &iov, 1, 0) < 0 ? -errno : 0;

	close(p[0]);
	close(p[1]);
	return r;
}

/* What is missing here that can be done without, and what that costs. */
static void note_missing(void)
{
	int r = probe_vmsplice();

	if (r < 0)
		log_warn("no vmsplice on this host (%s): a store to a BAR in "
			 "the instant of a reset may be lost",
			 strerror(-r));
	r = evfd_probe();
	if (r < 0)
		log_warn("no aio on this host (%s): an interrupt whose "
			 "eventfd is full is lost, and a program that fills "
			 "a blocking one can delay others",
			 strerror(-r));
}

int daemon_run(const struct daemon_conf *conf)
{
	_cleanup_(closep) int lifeline = conf->lifeline_fd;
	struct daemon d = {.door_at = -1};

	if (conf->verbose)
		log_level = LOG_DEBUG;
	raise_fd_limit();
	share_init();

	int r = check_needed();

	if (r == 0) {
		note_missing();
		r = bar_guard_init();
	}
	if (r == 0)
		r = mem_guard_init(); /* asks first, so it comes last */
	if (r == 0)
		r = daemon_up(&d, conf);
	prctl(PR_SET_PDEATHSIG, 0); /* from now on the lifeline tells */
	if (r == 0 && write(conf->ready_fd, "", 1) != 1)
		r = -EPIPE;
	close(conf->ready_fd);
	if (r == 0)
		wait_hangup(lifeline);
	daemon_down(&d, conf->devices->n_devs);
	return r;
}
