/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DOC: Theory of operation
 *
 * threads=N: the model's thread fetches and completes, and it and N - 1 more
 * move the data of the commands in between. The others only run between
 * nvme_pool_run()'s start and its end, which the model's thread waits for: so
 * the model's state has one writer at a time, and a reset finds nobody at work.
 * A job is taken by counting up; what it is, and where its data goes, is its
 * own. There is a lock, but it is taken once per batch and thread.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "nvme_batch.h"

struct nvme_pool {
	pthread_mutex_t lock; /* round, n, working, stop */
	pthread_cond_t start;
	pthread_cond_t end;
	unsigned int round;
	unsigned int working;
	bool stop;
	struct nvme *n; /* of this round */

	_Atomic uint32_t next; /* job */
	_Atomic int result;

	unsigned int n_threads;
	pthread_t thread[NVME_THREADS_MAX];
};

static void run_jobs(struct nvme_pool *p, struct nvme *n)
{
	struct nvme_batch *b = n->batch;

	for (;;) {
		uint32_t j = atomic_fetch_add(&p->next, 1);

		if (j >= b->n_jobs)
			return;
		int ret = nvme_move_store(n, &b->job[j], true);

		if (ret)
			atomic_store(&p->result, ret);
	}
}

static void *pool_main(void *arg)
{
	struct nvme_pool *p = arg;
	unsigned int seen = 0;

	pthread_mutex_lock(&p->lock);
	for (;;) {
		while (p->round == seen && !p->stop)
			pthread_cond_wait(&p->start, &p->lock);
		if (p->stop)
			break;
		seen = p->round;
		struct nvme *n = p->n;

		pthread_mutex_unlock(&p->lock);
		run_jobs(p, n);
		pthread_mutex_lock(&p->lock);
		if (!--p->working)
			pthread_cond_signal(&p->end);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

int nvme_pool_run(struct nvme_pool *p, struct nvme *n)
{
	atomic_store(&p->next, 0);
	atomic_store(&p->result, 0);
	pthread_mutex_lock(&p->lock);
	p->n = n;
	p->working = p->n_threads;
	p->round++;
	pthread_cond_broadcast(&p->start);
	pthread_mutex_unlock(&p->lock);

	run_jobs(p, n);
	pthread_mutex_lock(&p->lock);
	while (p->working)
		pthread_cond_wait(&p->end, &p->lock);
	pthread_mutex_unlock(&p->lock);
	return atomic_load(&p->result);
}

/*
 * Signals are for the threads that were there before; but not SIGBUS, which is
 * how a copy learns that the program has cut off its file.
 */
static int start_one(struct nvme_pool *p)
{
	sigset_t most, before;

	sigfillset(&most);
	sigdelset(&most, SIGBUS);
	sigdelset(&most, SIGSEGV);
	pthread_sigmask(SIG_SETMASK, &most, &before);
	int err = pthread_create(&p->thread[p->n_threads], NULL, pool_main, p);

	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (err)
		return -EAGAIN;
	pthread_setname_np(p->thread[p->n_threads], "nvme-data");
	p->n_threads++;
	return 0;
}

int nvme_pool_new(unsigned int threads, struct nvme_pool **ret_pool)
{
	struct nvme_pool *p = calloc(1, sizeof(*p));
	int ret = 0;

	if (!p)
		return -ENOMEM;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->start, NULL);
	pthread_cond_init(&p->end, NULL);
	*ret_pool = p;
	for (unsigned int i = 1; i < threads && !ret; i++)
		ret = start_one(p);
	return ret;
}

struct nvme_pool *nvme_pool_free(struct nvme_pool *p)
{
	if (!p)
		return NULL;
	pthread_mutex_lock(&p->lock);
	p->stop = true;
	pthread_cond_broadcast(&p->start);
	pthread_mutex_unlock(&p->lock);
	for (unsigned int i = 0; i < p->n_threads; i++)
		pthread_join(p->thread[i], NULL);
	pthread_cond_destroy(&p->end);
	pthread_cond_destroy(&p->start);
	pthread_mutex_destroy(&p->lock);
	free(p);
	return NULL;
}
