/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * After these calls the paths that the shim needs may lead nowhere, or to
 * somebody else's files. A program that has mapped a BAR may have closed what
 * was opened for that case, as daemons do first of all: so it is opened again.
 */
#include "shim/base/keep.h"
#include "shim/shim.h"

#include <sched.h>
#include <unistd.h>

DEFINE_NEXT(chroot);
DEFINE_NEXT(setuid);
DEFINE_NEXT(seteuid);
DEFINE_NEXT(setreuid);
DEFINE_NEXT(setresuid);
DEFINE_NEXT(unshare);

static void before_leaving(void)
{
	if (shim_in_bars(0, SIZE_MAX))
		keep_all();
}

EXPORT int chroot(const char *path)
{
	before_leaving();
	return NEXT(chroot)(path);
}

EXPORT int setuid(uid_t uid)
{
	before_leaving();
	return NEXT(setuid)(uid);
}

EXPORT int seteuid(uid_t uid)
{
	before_leaving();
	return NEXT(seteuid)(uid);
}

EXPORT int setreuid(uid_t real, uid_t effective)
{
	before_leaving();
	return NEXT(setreuid)(real, effective);
}

EXPORT int setresuid(uid_t real, uid_t effective, uid_t saved)
{
	before_leaving();
	return NEXT(setresuid)(real, effective, saved);
}

EXPORT int unshare(int flags)
{
	before_leaving();
	return NEXT(unshare)(flags);
}
