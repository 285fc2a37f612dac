/* SPDX-License-Identifier: BSD-3-Clause */
/* Starting and ending a daemon: hosted.h. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "daemon/daemon.h"
#include "hosted.h"
#include "lib/log.h"
#include "tests/sched/host.h"
#include "tests/unit/fds.h"

#define DEADLINE_S 20

static unsigned long now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (unsigned long)t.tv_sec * 1000 +
	       (unsigned long)t.tv_nsec / 1000000;
}

unsigned long host_deadline(void)
{
	const char *slow = getenv("SOFTVFIO_SLOW");

	return now_ms() +
	       DEADLINE_S * 1000 * strtoul(slow ? slow : "1", NULL, 10);
}

bool host_is_late(unsigned long deadline)
{
	return now_ms() > deadline;
}

static void (*on_failure)(void);

void host_on_failure(void (*fn)(void))
{
	on_failure = fn;
}

void sched_fail(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	if (on_failure)
		on_failure();
	abort();
}

int host_count_fds(int max)
{
	unsigned long deadline = host_deadline();
	int n;

	do
		n = count_fds();
	while (n > max && !host_is_late(deadline));
	return n;
}

void sched_wait_readable(int fd, const char *name)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	unsigned long deadline = host_deadline();
	int n;

	do { /* a fuzzer has an alarm of its own */
		long left = (long)(deadline - now_ms());

		n = poll(&p, 1, left > 0 ? (int)left : 0);
	} while (n < 0 && errno == EINTR);
	sched_expect(n == 1, "%s: no answer in time", name);
}

void host_begin(struct host *h, const char *const *devices)
{
	char err[256];

	*h = (struct host){.lifeline = -1, .ready = -1};
	for (; *devices; devices++)
		sched_expect(conf_add_text(&h->conf, *devices, err) == 0, "%s",
			     err);
	sched_expect(conf_place(&h->conf, err) == 0, "%s", err);
	strcpy(h->dir, "/dev/shm/softvfio-fail-XXXXXX");
	sched_expect(mkdtemp(h->dir), "%s: %s", h->dir, strerror(errno));
	snprintf(h->door, sizeof(h->door), "%s/door", h->dir);
}

/* Nothing that is said is news: it is told to fail. */
void __wrap_log_line(enum log_level level, const char *fmt, ...);

void __wrap_log_line(enum log_level level, const char *fmt, ...)
{
}

struct start {
	struct host *host;
	int ready;
	int lifeline;
};

static void *host_main(void *arg)
{
	struct start *start = arg;
	struct daemon_conf conf = {
		.dir = start->host->dir,
		.dir_fd = start->host->dir_fd,
		.name = "fail",
		.devices = &start->host->conf,
		.ready_fd = start->ready,
		.lifeline_fd = start->lifeline,
	};

	start->host->result = daemon_run(&conf);
	free(start);
	return NULL;
}

bool host_start(struct host *h)
{
	struct start *start = malloc(sizeof(*start));
	int ready[2], lifeline[2];
	char byte;

	h->dir_fd = open(h->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	sched_expect(h->dir_fd >= 0, "%s: %s", h->dir, strerror(errno));
	sched_expect(start && pipe2(ready, O_CLOEXEC) == 0 &&
			     pipe2(lifeline, O_CLOEXEC) == 0,
		     "pipe: %s", strerror(errno));
	*start = (struct start){h, ready[1], lifeline[0]};
	h->ready = ready[0];
	h->lifeline = lifeline[1];
	sched_expect(thread_start(&h->thread, "daemon", host_main, start) == 0,
		     "thread");
	sched_wait_readable(h->ready, "the daemon");
	if (read(h->ready, &byte, 1) == 1)
		return true;
	host_stop(h);
	return false;
}

static void learn_bar(struct host *h, int dir, const char *fd)
{
	char name[64] = "", bdf[16];
	unsigned int bar;
	struct stat st;

	if (readlinkat(dir, fd, name, sizeof(name) - 1) < 0 ||
	    sscanf(name, "/memfd:softvfio:%*16[0-9a-f]:%12[0-9a-f:.]:%u", bdf,
		   &bar) != 2)
		return;
	sched_expect(h->n_bars < HOST_BARS_MAX && fstat(atoi(fd), &st) == 0,
		     "%s", name);
	snprintf(h->bar_name[h->n_bars], sizeof(h->bar_name[0]), "%s:%u", bdf,
		 bar);
	h->bar[h->n_bars++] = (struct sv_bar_id){st.st_dev, st.st_ino};
}

void host_learn_bars(struct host *h)
{
	DIR *dir = opendir("/proc/self/fd");

	sched_expect(dir, "/proc/self/fd");
	for (struct dirent *d; (d = readdir(dir));)
		learn_bar(h, dirfd(dir), d->d_name);
	closedir(dir);
	sched_expect(h->n_bars, "no BARs");
}

void host_stop(struct host *h)
{
	close(h->lifeline);
	thread_join(&h->thread);
	close(h->ready);
	close(h->dir_fd);
}

void host_end(struct host *h)
{
	sched_expect(rmdir(h->dir) == 0, "%s: %s", h->dir, strerror(errno));
	conf_done(&h->conf);
}
