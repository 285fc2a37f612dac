/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cmocka 1.1.5 prints a skipped test as "not ok N # SKIP NAME", which whoever
 * reads TAP takes for a failure. This print_message() stands before the
 * library's, for its own calls too.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "skip.h"

static char reason[256];

void skip_because(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(reason, sizeof(reason), fmt, ap);
	va_end(ap);
	skip();
}

void print_message(const char *const format, ...)
{
	va_list ap;

	va_start(ap, format);
	if (strstr(format, "ok %u # SKIP %s")) {
		unsigned int number = va_arg(ap, unsigned int);
		const char *name = va_arg(ap, const char *);

		printf("ok %u - %s # SKIP %s\n", number, name, reason);
	} else {
		vprint_message(format, ap);
	}
	va_end(ap);
}
