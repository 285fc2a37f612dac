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
		sched_expect(count_fds() == fds,
			     "%s (call %u, %p) failed: %d descriptors, %d "
			     "before",
			     in.call, n, in.from, count_fds(), fds);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_start_that_fails_leaves_nothing),
		cmocka_unit_test(test_a_start_without_means_leaves_nothing),
	};

	inject_spare_me();
	inject_json();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
