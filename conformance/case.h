/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The runner's side that areas don't use.
 */
#ifndef SOFTVFIO_CONFORMANCE_CASE_H
#define SOFTVFIO_CONFORMANCE_CASE_H

#include <stdbool.h>

struct area;

/** struct selection - What the command line asked for */
struct selection {
	bool list;	    /* names only, nothing is opened */
	const char *prefix; /* of the names of the cases, or NULL */
};

bool case_init(const struct selection *selection);
void case_run_area(const struct area *area);
/** case_skip() - Skip the cases that follow; NULL: no longer */
void case_skip(const char *why);
bool case_listing(void);

/* The line of the case, for a program that it executes. */
int case_line(void);
bool case_adopt_line(int fd);

#endif
