/* SPDX-License-Identifier: BSD-3-Clause */
/* The thread's last refusal: set by refuse(), taken once by the front end. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/refuse.h"

static __thread int refused;
static __thread char reason[REFUSAL_MAX];

int refuse(int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(reason, sizeof(reason), fmt, ap);
	va_end(ap);
	refused = err;
	return -err;
}

int refusal_take(char text[REFUSAL_MAX])
{
	int err = refused;

	if (err)
		memcpy(text, reason, REFUSAL_MAX);
	refused = 0;
	return err;
}
