/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Running areas and cases, each in a process of its own with a deadline, and
 * printing what a case has said.
 */
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "conformance/case.h"
#include "conformance/conformance.h"

#define CASE_MS 300000
#define AREA_MS 600000

/* Shared with the process of the case: what it said survives its crash. */
static struct line {
	size_t len;
	char text[65536];
} * line;
static int line_fd = -1;

static struct selection selected;
static const char *area_name;
static const char *skip_why;
static void (*after)(void);

/* Until it ends or its time is over, which is then true. */
static bool wait_over(pid_t pid, int ms)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct pollfd p = {.fd = fd, .events = POLLIN};
	int n;

	do
		n = poll(&p, 1, ms);
	while (n < 0 && errno == EINTR);
	close(fd);
	return n == 0;
}

struct outcome {
	bool late;
	int status; /* as from waitpid() */
};

/* @fn in a new process; when this returns, no descendant is left. */
static struct outcome isolate(case_fn *fn, const void *arg, int ms)
{
	struct outcome outcome = {0};

	fflush(stdout);
	pid_t pid = fork();

	if (!pid) {
		setpgid(0, 0);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		prctl(PR_SET_CHILD_SUBREAPER, 1);
		fn(arg);
		fflush(stdout);
		_exit(0);
	}
	setpgid(pid, pid);
	outcome.late = wait_over(pid, ms);
	kill(-pid, SIGKILL);
	waitpid(pid, &outcome.status, 0);
	while (waitpid(-1, NULL, 0) > 0)
		;
	return outcome;
}

__attribute__((format(printf, 1, 0))) static void vsay(const char *fmt,
						       va_list ap)
{
	size_t room = sizeof(line->text) - line->len;
	int n = vsnprintf(line->text + line->len, room, fmt, ap);

	if (n > 0 && (size_t)n < room)
		line->len += (size_t)n;
}

void say(const char *fmt, ...)
{
	va_list ap;

	line->text[line->len++] = ' ';
	va_start(ap, fmt);
	vsay(fmt, ap);
	va_end(ap);
}

void skip(const char *fmt, ...)
{
	char why[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	line->len = 0;
	say("skip=\"%s\"", why);
	_exit(0);
}

long need(long ret, const char *what)
{
	if (ret >= 0)
		return ret;
	say("broken=\"%s: %s\"", what, errno_name(errno));
	_exit(0);
}

static void say_outcome(const struct outcome *o)
{
	if (o->late)
		say("deadline=passed");
	else if (WIFSIGNALED(o->status))
		say_signal("killed", WTERMSIG(o->status));
	else if (WEXITSTATUS(o->status))
		say("exit=%d", WEXITSTATUS(o->status));
}

static void run_isolated(case_fn *fn, const void *arg)
{
	struct outcome outcome = isolate(fn, arg, CASE_MS);

	say_outcome(&outcome);
	if (after)
		after();
}

void run(case_fn *fn, const void *arg, const char *fmt, ...)
{
	char name[128];
	int n = snprintf(name, sizeof(name), "%s.", area_name);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(name + n, sizeof(name) - (size_t)n, fmt, ap);
	va_end(ap);
	if (selected.prefix &&
	    strncmp(name, selected.prefix, strlen(selected.prefix)) != 0)
		return;
	line->len = 0;
	line->text[0] = '\0';
	if (skip_why)
		say("skip=\"%s\"", skip_why);
	else if (!selected.list)
		run_isolated(fn, arg);
	printf("%s%.*s\n", name, (int)line->len, line->text);
}

void run_after(void (*fn)(void))
{
	after = fn;
}

void case_skip(const char *why)
{
	skip_why = why;
}

bool case_listing(void)
{
	return selected.list;
}

static void run_cases_of(const void *arg)
{
	const struct area *area = arg;

	area_name = area->name;
	area->cases();
}

static void say_area(const struct area *area, const struct outcome *outcome)
{
	line->len = 0;
	line->text[0] = '\0';
	say_outcome(outcome);
	if (line->len)
		printf("%s%s\n", area->name, line->text);
}

int case_line(void)
{
	return line_fd;
}

bool case_adopt_line(int fd)
{
	line_fd = fd;
	line = mmap(NULL, sizeof(*line), RW, MAP_SHARED, fd, 0);
	return line != MAP_FAILED;
}

bool case_init(const struct selection *selection)
{
	int fd = memfd_create("line", MFD_CLOEXEC);

	selected = *selection;
	return fd >= 0 && !ftruncate(fd, sizeof(*line)) &&
	       case_adopt_line(fd) && !prctl(PR_SET_CHILD_SUBREAPER, 1);
}

void case_run_area(const struct area *area)
{
	struct outcome outcome = isolate(run_cases_of, area, AREA_MS);

	say_area(area, &outcome);
}
