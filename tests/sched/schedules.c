/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Runs schedules of a scenario: schedules SCENARIO [COUNT [FIRST]].
 * SOFTVFIO_SCHEDULES stands before COUNT. With SOFTVFIO_SEED it runs that one,
 * twice, and prints every change of thread.
 */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "rig.h"

#define COUNT 10000

#define ADDRESS(name) &scenario_##name,

static const struct scenario *const scenarios[] = {SCENARIOS(ADDRESS)};
#define N_SCENARIOS (sizeof(scenarios) / sizeof(scenarios[0]))

static _Atomic uint64_t seen_count[SEEN_NUM];

void seen(enum rig_seen what)
{
	atomic_fetch_add_explicit(&seen_count[what], 1, memory_order_relaxed);
}

void saw(enum rig_seen what, const char *text)
{
	uint64_t n = atomic_load(&seen_count[what]);

	printf("# %s: %llu times\n", text, (unsigned long long)n);
	if (n)
		return;
	printf("# that it never happens means that this tests nothing\n");
	fflush(stdout);
	exit(1);
}

static struct sched_result run_one(const struct scenario *s, uint64_t seed,
				   bool verbose)
{
	const struct sched_conf conf = {
		.name = s->name,
		.seed = seed,
		.steps = s->steps,
		.changes = 6,
		.timeouts = s->timeouts,
		.verbose = verbose,
	};
	struct sched_result result;

	sched_run(&conf, s->fn, NULL, &result);
	return result;
}

/* What failed once fails again, or a seed would be of no use. */
static void check_replay(const struct scenario *s, uint64_t seed,
			 uint64_t trace)
{
	struct sched_result again = run_one(s, seed, false);

	if (again.trace == trace)
		return;
	printf("# seed %llu was another schedule the second time\n",
	       (unsigned long long)seed);
	fflush(stdout);
	exit(1);
}

static int replay(const struct scenario *s, uint64_t seed)
{
	struct sched_result r = run_one(s, seed, true);

	check_replay(s, seed, r.trace);
	printf("ok 1 - %s, seed %llu: %u steps, %u switches, trace %016llx\n",
	       s->name, (unsigned long long)seed, r.steps, r.switches,
	       (unsigned long long)r.trace);
	s->finish(false);
	return 0;
}

static int run_all(const struct scenario *s, uint64_t count, uint64_t first)
{
	uint64_t steps = 0, switches = 0;

	for (uint64_t seed = first; seed < first + count; seed++) {
		struct sched_result r = run_one(s, seed, false);

		steps += r.steps;
		switches += r.switches;
		if (seed % 100 == 0)
			check_replay(s, seed, r.trace);
	}
	printf("# %llu schedules of %llu steps and %llu switches\n",
	       (unsigned long long)count, (unsigned long long)(steps / count),
	       (unsigned long long)(switches / count));
	s->finish(true);
	printf("ok 1 - %s\n", s->name);
	return 0;
}

/* Is another scenario there? The name is ours until the process ends. */
static bool take_core(int core)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	int sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	snprintf(name.sun_path + 1, sizeof(name.sun_path) - 1,
		 "softvfio-schedules-%d", core);
	if (bind(sock, (struct sockaddr *)&name, sizeof(name)) == 0)
		return true;
	close(sock);
	return false;
}

/*
 * One runs at a time: on one core the hand-over is cheapest, if no other
 * scenario is there.
 */
static void stay_on_one_core(void)
{
	cpu_set_t allowed, one;

	if (sched_getaffinity(0, sizeof(allowed), &allowed) < 0)
		return;
	for (int i = 0; i < CPU_SETSIZE; i++) {
		if (!CPU_ISSET(i, &allowed) || !take_core(i))
			continue;
		CPU_ZERO(&one);
		CPU_SET(i, &one);
		sched_setaffinity(0, sizeof(one), &one);
		return;
	}
}

static uint64_t how_many(const char *given)
{
	const char *wish = getenv("SOFTVFIO_SCHEDULES");

	if (wish)
		return strtoull(wish, NULL, 0);
	return given ? strtoull(given, NULL, 0) : COUNT;
}

static const struct scenario *find(const char *name)
{
	for (size_t i = 0; i < N_SCENARIOS; i++)
		if (!strcmp(name, scenarios[i]->name))
			return scenarios[i];
	return NULL;
}

int main(int argc, char **argv)
{
	const struct scenario *s = argc > 1 ? find(argv[1]) : NULL;
	const char *seed = getenv("SOFTVFIO_SEED");

	if (!s) {
		fprintf(stderr,
			"schedules SCENARIO [COUNT [FIRST]]; there are:");
		for (size_t i = 0; i < N_SCENARIOS; i++)
			fprintf(stderr, " %s", scenarios[i]->name);
		fprintf(stderr, "\n");
		return 2;
	}
	stay_on_one_core();
	printf("1..1\n");
	if (seed)
		return replay(s, strtoull(seed, NULL, 0));
	return run_all(s, how_many(argc > 2 ? argv[2] : NULL),
		       argc > 3 ? strtoull(argv[3], NULL, 0) : 1);
}
