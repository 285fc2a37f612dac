/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_abi [AREA ...]
 *
 * On a machine with two edu in one slot, of which the second has 8 MSI and 2048
 * MSI-X vectors, and a ram on the root bus. Each area runs in a process of its
 * own: what it leaves open is gone with it, and when it crashes or hangs the
 * others still report.
 */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "tests/abi/abi.h"

#define AREA_SECONDS 120

static const struct test {
	const char *name;
	void (*run)(void);
} tests[] = {
	{"dirty", test_dirty}, {"hotreset", test_hotreset}, {"msi", test_msi},
	{"msix", test_msix},   {"process", test_process},
};

/* Shared with the areas' processes. */
static struct report {
	unsigned int lines;
	unsigned int bad;
} * report;

__attribute__((format(printf, 2, 0))) static bool vreport(bool good,
							  const char *fmt,
							  va_list ap)
{
	char name[256];

	vsnprintf(name, sizeof(name), fmt, ap);
	report->lines++;
	report->bad += !good;
	dprintf(STDOUT_FILENO, "%s %u - %s\n", good ? "ok" : "not ok",
		report->lines, name);
	return good;
}

bool ok(bool good, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vreport(good, fmt, ap);
	va_end(ap);
	return good;
}

static void print_value(char text[32], long val)
{
	const char *name =
		val < 0 && val > -200 ? strerrorname_np((int)-val) : NULL;

	if (name)
		snprintf(text, 32, "%s", name);
	else
		snprintf(text, 32, "%ld (%#lx)", val, (unsigned long)val);
}

bool want(long got, long expected, const char *fmt, ...)
{
	bool good = got == expected;
	char has[32];
	char should[32];
	va_list ap;

	va_start(ap, fmt);
	vreport(good, fmt, ap);
	va_end(ap);
	if (good)
		return true;
	print_value(has, got);
	print_value(should, expected);
	say("  got %s, expected %s", has, should);
	return false;
}

/* The runner's side of conformance.h */

__attribute__((format(printf, 1, 0))) static void vnote(const char *fmt,
							va_list ap)
{
	char text[256];

	vsnprintf(text, sizeof(text), fmt, ap);
	dprintf(STDOUT_FILENO, "# %s\n", text);
}

void say(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vnote(fmt, ap);
	va_end(ap);
}

void skip(const char *fmt, ...)
{
	char why[200];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	ok(true, "# SKIP %s", why);
	_exit(0);
}

/* Without it nothing that follows in the area means anything. */
long need(long ret, const char *what)
{
	if (ret >= 0)
		return ret;
	ok(false, "%s works (the rest of the area is left out): %s", what,
	   errno_name(errno));
	_exit(1);
}

void device_all(struct vfio *v, const char *role, unsigned int nth)
{
	vfio_open(v, role, nth, DEVICE, VFIO_TYPE1v2_IOMMU);
	command(v->device, 0, 4 | 2); /* MASTER, MEMORY */
}

int wait_child(pid_t pid)
{
	int status = 0;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return 255;
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static const struct test *test_find(const char *name)
{
	for (size_t i = 0; i < COUNT(tests); i++)
		if (!strcmp(tests[i].name, name))
			return &tests[i];
	return NULL;
}

static void run_test(const struct test *test)
{
	say("%s", test->name);
	pid_t pid = fork();

	if (!pid) {
		alarm(AREA_SECONDS);
		test->run();
		_exit(0);
	}
	int status = wait_child(pid);

	if (status == -SIGALRM)
		ok(false, "%s: still running after %d seconds", test->name,
		   AREA_SECONDS);
	else if (status)
		ok(false, "%s: ended with %s %d", test->name,
		   status < 0 ? "signal" : "status", abs(status));
}

/* 2,048 vectors with an eventfd each. */
static void raise_fd_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max < 8192 ? limit.rlim_max : 8192;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static bool known_all(char **names)
{
	for (; *names; names++)
		if (!test_find(*names)) {
			fprintf(stderr, "%s: no area\n", *names);
			return false;
		}
	return true;
}

int main(int argc, char **argv)
{
	if (!known_all(argv + 1))
		return 2;
	report = mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (report == MAP_FAILED)
		return 2;
	raise_fd_limit();
	for (char **name = argv + 1; *name; name++)
		run_test(test_find(*name));
	for (size_t i = 0; argc == 1 && i < COUNT(tests); i++)
		run_test(&tests[i]);
	dprintf(STDOUT_FILENO, "1..%u\n", report->lines);
	return report->bad ? 1 : 0;
}
