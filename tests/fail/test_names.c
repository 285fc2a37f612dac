/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Names of files that somebody else has taken: another try is made with another
 * name, so often and no more, and nothing is left of a file that got none.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "hosted.h"
#include "inject.h"
#include "tests/sched/client.h"
#include "tests/sched/host.h"
#include "tests/unit/fds.h"

#define TRIES 16

int __real_bind(int fd, const struct sockaddr *addr, socklen_t len);
int __wrap_bind(int fd, const struct sockaddr *addr, socklen_t len);

static atomic_uint taken; /* of the names that are asked for next */
static atomic_uint tries;
static char names[2 * TRIES][sizeof(struct sockaddr_un)];

int __wrap_bind(int fd, const struct sockaddr *addr, socklen_t len)
{
	const struct sockaddr_un *sun = (const struct sockaddr_un *)addr;

	if (addr->sa_family != AF_UNIX || sun->sun_path[0])
		return __real_bind(fd, addr, len);
	memcpy(names[atomic_fetch_add(&tries, 1) % (2 * TRIES)], addr, len);
	if (!atomic_load(&taken))
		return __real_bind(fd, addr, len);
	atomic_fetch_sub(&taken, 1);
	errno = EADDRINUSE;
	return -1;
}

static void expect_open(struct host *h, unsigned int n_taken, int result)
{
	struct client c;

	atomic_store(&taken, n_taken);
	atomic_store(&tries, 0);
	client_new(&c, h->door, 0);
	int fd = client_open(&c, "/dev/vfio/vfio");

	sched_expect(result < 0 ? fd == result : fd >= 0, "%u names taken: %s",
		     n_taken, strerror(fd < 0 ? -fd : 0));
	if (fd >= 0)
		close(fd);
	client_done(&c);
	atomic_store(&taken, 0);
}

static void test_a_taken_name_costs_another_try(void **state)
{
	static const char *const machine[] = {"edu", NULL};
	struct host h;

	(void)state;
	host_begin(&h, machine);
	sched_expect(host_start(&h), "start");
	expect_open(&h, 0, 0);

	int fds = count_fds();

	for (unsigned int n = 1; n < TRIES; n++) {
		expect_open(&h, n, 0);
		sched_expect(atomic_load(&tries) == n + 1, "%u tries",
			     atomic_load(&tries));
		for (unsigned int i = 0; i < n; i++)
			sched_expect(memcmp(names[i], names[n],
					    sizeof(names[n])) != 0,
				     "the same name again");
	}
	expect_open(&h, 2 * TRIES, -EADDRINUSE);
	sched_expect(atomic_load(&tries) == TRIES, "%u tries",
		     atomic_load(&tries));
	expect_open(&h, 0, 0);
	sched_expect(host_count_fds(fds) <= fds, "%d descriptors, %d before",
		     count_fds(), fds);
	host_stop(&h);
	host_end(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_taken_name_costs_another_try),
	};

	inject_spare_me(true);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
