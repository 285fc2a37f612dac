/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_abi edu=BDF edu2=BDF nvme=BDF ram=BDF [memlock] [AREA ...]
 *
 *   edu   QEMU's educational device, one MSI vector
 *   edu2  another in the same group, with more of everything: 8 MSI and 2048
 *	   MSI-X vectors, a ROM, an I/O BAR
 *   nvme  an NVMe controller, PCI Express with FLR
 *   ram   memory behind BAR 2, no interrupts
 *
 * A function that is not given is left out with a skip. Each area runs in a
 * process of its own: what it leaves open is gone with it, and when it crashes
 * or hangs the others still report. `memlock` says that RLIMIT_MEMLOCK is
 * enforced for this process, as it is by Linux.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "tests/abi/abi.h"

#define AREA_SECONDS 120

static const struct area {
	const char *name;
	void (*run)(void);
} areas[] = {
	{"container", test_container}, {"iommu_info", test_iommu_info},
	{"group", test_group},	       {"map", test_map},
	{"unmap", test_unmap},	       {"dma", test_dma},
	{"device", test_device},       {"feature", test_feature},
	{"region", test_region},       {"mmap", test_mmap},
	{"config", test_config},       {"irq", test_irq},
	{"intx", test_intx},	       {"msi", test_msi},
	{"close", test_close},	       {"process", test_process},
	{"hotreset", test_hotreset},   {"ioeventfd", test_ioeventfd},
	{"memlock", test_memlock},     {"dirty", test_dirty},
};

/* Shared with the areas' processes. */
static struct report {
	unsigned int lines;
	unsigned int bad;
} * report;

static struct function functions[5];
static unsigned int n_functions;
const char *self_path;

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

void skip(const char *fmt, ...)
{
	char why[200];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	ok(true, "# SKIP %s", why);
}

void note(const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	dprintf(STDOUT_FILENO, "# %s\n", text);
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
	note("  got %s, expected %s", has, should);
	return false;
}

const struct function *function(const char *role)
{
	for (unsigned int i = 0; i < n_functions; i++)
		if (!strcmp(functions[i].role, role))
			return &functions[i];
	return NULL;
}

bool have(const char *role)
{
	if (function(role))
		return true;
	skip("needs %s=BDF", role);
	return false;
}

static int group_of(const char *bdf)
{
	char path[128];
	char link[256];

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group",
		 bdf);
	ssize_t n = readlink(path, link, sizeof(link) - 1);

	if (n < 0) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		exit(2);
	}
	link[n] = '\0';
	const char *slash = strrchr(link, '/');

	return atoi(slash ? slash + 1 : link);
}

/* "edu=0000:01:00.0" */
static bool take_function(const char *arg)
{
	static const char *const roles[] = {"edu", "edu2", "nvme", "ram",
					    "root"};
	const char *eq = strchr(arg, '=');

	for (size_t i = 0; i < COUNT(roles) && eq; i++) {
		struct function *f = &functions[n_functions];

		if (strlen(roles[i]) != (size_t)(eq - arg) ||
		    strncmp(arg, roles[i], strlen(roles[i])) != 0 ||
		    n_functions == COUNT(functions))
			continue;
		strcpy(f->role, roles[i]);
		snprintf(f->bdf, sizeof(f->bdf), "%s", eq + 1);
		f->group = group_of(f->bdf);
		n_functions++;
		return true;
	}
	return false;
}

static bool known_area(const char *name)
{
	for (size_t i = 0; i < COUNT(areas); i++)
		if (!strcmp(areas[i].name, name))
			return true;
	return false;
}

static void run_area(const struct area *area)
{
	note("%s", area->name);
	pid_t pid = fork();

	if (!pid) {
		alarm(AREA_SECONDS);
		area->run();
		_exit(0);
	}
	int status = wait_child(pid);

	if (status == -SIGALRM)
		ok(false, "%s: still running after %d seconds", area->name,
		   AREA_SECONDS);
	else if (status)
		ok(false, "%s: ended with %s %d", area->name,
		   status < 0 ? "signal" : "status", abs(status));
}

static bool selected(const struct area *area, char **argv)
{
	bool all = true;

	for (char **arg = argv + 1; *arg; arg++) {
		if (!strcmp(*arg, area->name))
			return true;
		if (known_area(*arg))
			all = false;
	}
	/* promises nothing unless it was told that the limit is enforced */
	return all && strcmp(area->name, "memlock") != 0;
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

int main(int argc, char **argv)
{
	self_path = argv[0];
	if (argc > 1 && !strcmp(argv[1], "--exec"))
		return exec_main(argv + 2);
	report = mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (report == MAP_FAILED)
		return 2;
	for (char **arg = argv + 1; *arg; arg++) {
		if (!take_function(*arg) && !known_area(*arg)) {
			fprintf(stderr, "%s: not ROLE=BDF and no area\n", *arg);
			return 2;
		}
	}
	raise_fd_limit();
	for (size_t i = 0; i < COUNT(areas); i++)
		if (selected(&areas[i], argv))
			run_area(&areas[i]);
	dprintf(STDOUT_FILENO, "1..%u\n", report->lines);
	return report->bad ? 1 : 0;
}
