/* SPDX-License-Identifier: BSD-3-Clause */
/* Threads of the host: lib/thread.h. A schedules build has lib/sched.c. */
#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>

#include "lib/thread.h"

#define NAME_MAX_LEN 16 /* of the host, with the end of the string */

int thread_start(struct thread *t, const char *name, void *(*fn)(void *arg),
		 void *arg)
{
	char cut[NAME_MAX_LEN];

	if (pthread_create(&t->id, NULL, fn, arg))
		return -EAGAIN;
	snprintf(cut, sizeof(cut), "%s", name);
	pthread_setname_np(t->id, cut);
	return 0;
}

void thread_join(struct thread *t)
{
	pthread_join(t->id, NULL);
}

void thread_detach(struct thread *t)
{
	pthread_detach(t->id);
}

int thread_wait_events(int epfd, struct epoll_event *events, int max)
{
	return epoll_wait(epfd, events, max, -1);
}
