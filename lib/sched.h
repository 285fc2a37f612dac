/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Schedules: the same code, its threads taking turns.
 *
 * In a build with SOFTVFIO_SCHED (the libraries tests/sched/ links, no others)
 * every operation on a lock, every thread, every wait for events and every
 * sched_point() asks a scheduler who goes on. One thread runs at a time; who it
 * is follows from a seed, so a seed that fails fails again in the same way. In
 * every other build a point is nothing.
 *
 * A thread that would block is not run. When none can be run, that is a
 * deadlock; the report names what everybody waits for and holds. Time is the
 * scheduler's too: a timed wait ends when nobody else can go on, or, if the
 * schedule allows time-outs, whenever the seed says so.
 *
 * Threads that sched_run() has not started behave as in any other build.
 */
#ifndef SOFTVFIO_LIB_SCHED_H
#define SOFTVFIO_LIB_SCHED_H

#ifdef SOFTVFIO_SCHED

#include <stdbool.h>
#include <stdint.h>

/**
 * sched_point() - Somebody else may go on here
 * @where: a string literal: shown in reports, part of the trace
 *
 * Context: any thread, any lock. Not in a signal handler.
 */
void sched_point(const char *where);

/**
 * struct sched_conf - One schedule
 * @name:     of what is being run, for reports
 * @seed:     decides everything
 * @steps:    about how many points the race has: change points lie within
 * @changes:  at most so many change points (the d of PCT, less one)
 * @timeouts: timed waits may also end while others can go on
 * @verbose:  print every change of thread to stderr
 */
struct sched_conf {
	const char *name;
	uint64_t seed;
	unsigned int steps;
	unsigned int changes;
	bool timeouts;
	bool verbose;
};

/** struct sched_result - What a schedule was like */
struct sched_result {
	unsigned int steps;    /* of the race */
	unsigned int switches; /* from one thread to another */
	uint64_t trace;	       /* a hash of who passed which point, in order */
};

/**
 * sched_run() - Run @fn(@arg), and what it starts, as one schedule
 *
 * Returns when @fn has, and when every thread that has been started since has
 * ended. When something is wrong it does not return: sched_fail().
 *
 * Context: one at a time in the process.
 */
void sched_run(const struct sched_conf *conf, void (*fn)(void *arg), void *arg,
	       struct sched_result *ret_result);

/**
 * sched_race() - Threads take turns from here on, or only where one blocks
 *
 * A schedule begins with @on false, so that preparing and clearing up are
 * always the same.
 */
void sched_race(bool on);

/** sched_rest() - The others first, as if this one slept. Context: a test */
void sched_rest(void);

/**
 * sched_wait_readable() - Wait until poll(2) has something to say about @fd
 * @name: a string literal, for reports
 *
 * A host's descriptor changes only by what threads of the schedule do: nobody
 * else may have its other end.
 */
void sched_wait_readable(int fd, const char *name);

/** sched_random() - The next number of the seed's, for choices of a test */
uint64_t sched_random(void);

/**
 * sched_fail() - Say what is wrong, how to see it again, where everybody is;
 * end the process with status 1
 */
void sched_fail(const char *fmt, ...)
	__attribute__((format(printf, 1, 2), noreturn));

/**
 * sched_expect() - sched_fail() unless @ok
 */
#define sched_expect(ok, ...)                                                  \
	do {                                                                   \
		if (!(ok))                                                     \
			sched_fail(__VA_ARGS__);                               \
	} while (0)

#else

static inline void sched_point(const char *where)
{
	(void)where;
}

#endif

#endif
