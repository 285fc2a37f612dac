/* SPDX-License-Identifier: BSD-3-Clause */
/* Asking instances: cli/collect.h. */
#include <string.h>

#include "cli/cli.h"
#include "cli/collect.h"
#include "cli/control.h"
#include "cli/instance.h"

struct question {
	const char *cmd;
	void (*add)(json_t *list, json_t *answer, const char *instance);
	json_t *list;
};

static int ask(const struct instance *in, const struct question *q)
{
	json_t *answer = NULL;
	int r = control_ask(in->dir, q->cmd, &answer);

	if (r) {
		cli_say("instance '%s' does not answer: %s", in->name,
			strerror(-r));
		return r;
	}
	q->add(q->list, answer, in->name);
	json_decref(answer);
	return 0;
}

static int ask_any(const struct instance *in, void *opaque)
{
	ask(in, opaque);
	return 0;
}

int collect_answers(const char *name, const char *cmd,
		    void (*add)(json_t *list, json_t *answer,
				const char *instance),
		    json_t *list)
{
	struct question q = {cmd, add, list};
	struct instance in;

	if (!name)
		return instance_each(ask_any, &q);

	int r = instance_find(name, &in);

	return r ? r : ask(&in, &q);
}
