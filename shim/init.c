/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Finding out, once, whether this program belongs to an instance, and where
 * the functions are that the shim stands in front of. A wrapper may run before
 * the constructor (another library's constructor opens a file), so both also
 * happen on first use.
 */
#include "shim/shim.h"

#include <dlfcn.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DIR_MAX 4096

enum { INIT_NOT_YET, INIT_RUNNING, INIT_DONE };

static atomic_int init_state = INIT_NOT_YET;
static bool active;
static char dir[DIR_MAX];
static struct shim_daemon who;

static long does_not_exist(void)
{
	errno = ENOSYS;
	return -1;
}

void *shim_next(struct shim_next *next)
{
	void *fn = __atomic_load_n(&next->fn, __ATOMIC_RELAXED);

	if (fn)
		return fn;
	fn = dlsym(RTLD_NEXT, next->name);
	if (!fn)
		fn = (void *)does_not_exist;
	__atomic_store_n(&next->fn, fn, __ATOMIC_RELAXED);
	return fn;
}

/* Writes the prefix that makes a relative path absolute. False: no room. */
static bool absolute_prefix(size_t len)
{
	long n = SYS(getcwd, dir, sizeof(dir));

	/* the kernel counts the NUL, which the slash replaces */
	if (n <= 0 || dir[0] != '/' || (size_t)n + len >= sizeof(dir))
		return false;
	dir[n - 1] = '/';
	dir[n] = '\0';
	return true;
}

static bool find_dir(void)
{
	const char *env = getenv(SV_ENV_DIR);

	if (!env || !*env)
		return false;

	size_t len = strlen(env);
	if (len >= sizeof(dir))
		return false;
	if (*env != '/' && !absolute_prefix(len))
		return false;

	size_t at = strlen(dir);
	memcpy(dir + at, env, len + 1);
	return true;
}

/* A decimal number; *@p is behind it and its colon. 0 = there was none */
static uint64_t take_number(const char **p)
{
	uint64_t value = 0;

	for (; **p >= '0' && **p <= '9'; ++*p)
		value = value * 10 + (uint64_t)(**p - '0');
	*p += **p == ':';
	return value;
}

static void find_daemon(void)
{
	const char *p = getenv(SV_ENV_DAEMON);

	if (!p)
		return;
	who.pid = (pid_t)take_number(&p);
	who.start = take_number(&p);
	who.uid = (uid_t)take_number(&p);
	if (!who.start) /* which is what cannot be read */
		who.pid = 0;
}

static void init_once(void)
{
	int not_yet = INIT_NOT_YET;

	/* a sanitizer starts before libc does: the answer has to wait */
	if (!environ)
		return;
	if (!atomic_compare_exchange_strong(&init_state, &not_yet,
					    INIT_RUNNING))
		return;

	int saved = errno;
	active = find_dir();
	find_daemon();
	atomic_store(&init_state, INIT_DONE);
	if (active)
		shim_signal_init();
	errno = saved;
}

__attribute__((constructor)) static void shim_init(void)
{
	init_once();
}

bool shim_active(void)
{
	/* A signal handler or thread that comes in the middle sees "no". */
	if (atomic_load_explicit(&init_state, memory_order_acquire) !=
	    INIT_DONE)
		init_once();
	return atomic_load_explicit(&init_state, memory_order_acquire) ==
		       INIT_DONE &&
	       active;
}

const char *shim_dir(void)
{
	return shim_active() ? dir : "";
}

const struct shim_daemon *shim_daemon(void)
{
	return &who;
}
