/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The daemon starts while the host fails each memory, descriptor and thread it
 * asks for, one after the other: it starts all the same and serves, or says
 * why not, and nothing is left of it.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "hosted.h"
#include "inject.h"
#include "tests/sched/client.h"
#include "tests/sched/host.h"
#include "tests/unit/fds.h"
#include "uapi/vfio.h"

static const char *const machine[] = {
	"edu,bar2=64K,msix=4",
	"nvme,size=1M,ns2=1M,threads=2,cmb=64K",
	"ram,slot=a",
	"plain,slot=a,rom=/proc/self/exe",
	NULL,
};

/* A whole program of the simplest kind. */
static void check_serves(struct host *h)
{
	struct client c;

	client_new(&c, h->door, 0);
	int container = client_open(&c, "/dev/vfio/vfio");

	sched_expect(container >= 0, "container: %s", strerror(-container));
	sched_expect(client_ioctl_val(&c, container, "CHECK_EXTENSION",
				      VFIO_CHECK_EXTENSION,
				      VFIO_TYPE1v2_IOMMU) == 1,
		     "CHECK_EXTENSION");
	close(container);
	client_done(&c);
}

static void start_and_stop(struct host *h, struct injected *ret_in)
{
	bool serves = host_start(h);
	struct injected in = inject_disarm();

	if (serves) {
		check_serves(h);
		host_stop(h);
	}
	sched_expect(serves || (in.call && h->result < 0), "status %d",
		     h->result);
	*ret_in = in;
}

static void sweep(bool lasting)
{
	struct injected in = {"", NULL};
	struct host h;

	host_begin(&h, machine);
	inject_arm(0, false);
	start_and_stop(&h, &in); /* what is made once is made */

	int fds = count_fds();

	in.call = "";
	for (unsigned int n = 1; in.call; n++) {
		inject_arm(n, lasting);
		start_and_stop(&h, &in);

		int left = host_count_fds(fds);

		sched_expect(left <= fds,
			     "%s (call %u, %p) failed: %d descriptors, %d "
			     "before",
			     in.call, n, in.from, left, fds);
		fds = left; /* one may still have been on its way */
		sched_expect(rmdir(h.dir) == 0 && mkdir(h.dir, 0700) == 0,
			     "%s (call %u, %p) failed: %s: %s", in.call, n,
			     in.from, h.dir, strerror(errno));
	}
	host_end(&h);
}

static void test_a_start_that_fails_leaves_nothing(void **state)
{
	sweep(false);
}

static void test_a_start_without_means_leaves_nothing(void **state)
{
	sweep(true);
}

static char topology[] = "/dev/shm/softvfio-fail-XXXXXX";

static int read_conf(struct conf *conf)
{
	char err[256];
	int r = 0;

	for (size_t i = 0; machine[i] && r == 0; i++)
		r = conf_add_text(conf, machine[i], err);
	if (r == 0)
		r = conf_add_json(conf, topology, err);
	return r < 0 ? r : conf_place(conf, err);
}

static void test_options_that_fail_leave_nothing(void **state)
{
	static const char text[] =
		"{\"devices\": [{\"model\": \"nvme\", \"size\": 4096, "
		"\"ro\": true, \"bdf\": \"0000:07:00.0\", \"slot\": \"b\"}]}";
	FILE *f = fdopen(mkstemp(topology), "w");
	struct injected in = {"", NULL};
	int fds;

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	fds = count_fds();
	for (unsigned int n = 1; in.call; n++) {
		struct conf conf = {0};

		inject_arm(n, false);
		inject_spare_me(false);
		int r = read_conf(&conf);

		inject_spare_me(true);
		in = inject_disarm();
		conf_done(&conf);
		sched_expect(r == 0 || in.call, "call %u: %s", n, strerror(-r));
		sched_expect(count_fds() == fds, "%s, call %u: descriptors",
			     in.call, n);
	}
	unlink(topology);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_options_that_fail_leave_nothing),
		cmocka_unit_test(test_a_start_that_fails_leaves_nothing),
		cmocka_unit_test(test_a_start_without_means_leaves_nothing),
	};

	inject_spare_me(true);
	inject_json();
	host_on_failure(inject_report);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
