/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Results of calls as words that are the same on every machine.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "conformance/conformance.h"

const char *errno_name(int err)
{
	static char number[16];
	const char *name = strerrorname_np(err);

	if (name)
		return name;
	snprintf(number, sizeof(number), "%d", err);
	return number;
}

long say_ret(long ret)
{
	if (ret == -1)
		say("ret=-1 errno=%s", errno_name(errno));
	else
		say("ret=%#lx", ret);
	return ret;
}

int say_fd(int fd)
{
	if (fd < 0)
		say_ret(fd);
	else
		say("ret=fd");
	return fd;
}

long say_step(const char *key, long ret)
{
	if (ret == -1)
		say("%s=%s", key, errno_name(errno));
	else
		say("%s=%#lx", key, ret);
	return ret;
}

void say_changes(const void *before, const void *after, size_t size)
{
	const uint8_t *b = before;
	const uint8_t *a = after;

	for (size_t i = 0; i < size; i += 4) {
		size_t n = size - i < 4 ? size - i : 4;
		uint32_t word = 0;

		if (!memcmp(b + i, a + i, n))
			continue;
		memcpy(&word, a + i, n);
		say("w%zu=%#x", i, word);
	}
}

void say_signal(const char *key, int signal)
{
	const char *name = signal ? sigabbrev_np(signal) : "none";

	if (name)
		say("%s=%s%s", key, signal ? "SIG" : "", name);
	else
		say("%s=%d", key, signal);
}
