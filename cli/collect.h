/* SPDX-License-Identifier: BSD-3-Clause */
/* The same question to one instance, or to all that are running. */
#ifndef SOFTVFIO_CLI_COLLECT_H
#define SOFTVFIO_CLI_COLLECT_H

#include <jansson.h>

/**
 * collect_answers() - Ask, and add every answer to a list
 * @name: of the instance; NULL = all
 * @cmd:  what to ask, as of control_ask()
 * @add:  adds @answer, which it borrows, to @list
 *
 * One of all may be starting or ending; the others' answers are collected.
 * Return: 0; with a @name, as instance_find() and control_ask(); without, as
 * instance_each(). Reported.
 */
int collect_answers(const char *name, const char *cmd,
		    void (*add)(json_t *list, json_t *answer,
				const char *instance),
		    json_t *list);

#endif
