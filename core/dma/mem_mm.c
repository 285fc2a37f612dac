/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DOC: Theory of operation
 *
 * Memory that is a program's address space, read and written through its
 * /proc/self/mem. A program can make its pages wait for it (FUSE), and with
 * them whoever copies; so one worker thread per address space does the
 * copying, in a buffer of the job's own, and a requester that has waited long
 * enough walks away from the job:
 *
 *   QUEUED     in mm->queue. To RUNNING by the worker, under mm->lock;
 *		or taken out by a requester that gives up, under mm->lock.
 *   RUNNING    the worker's alone but for the state. To DONE by the worker,
 *		to ABANDONED by a requester that gives up: whichever exchanges
 *		the state first.
 *   DONE       the requester's; the worker does not touch the job again.
 *   ABANDONED  the worker's, which recycles it when it comes back.
 *
 * A job is a list of copies, made one after the other until one fails: a
 * hand-over costs more than a copy, so what a requester knows beforehand goes
 * in one.
 *
 * A wait has three ends besides DONE: the time-out, mem_stop.cancel and
 * mem_stop.revoked. The latter two let a write that is RUNNING finish if it can
 * (MEM_GRACE_NS). Behind a stuck job other jobs stay QUEUED until their own
 * requesters give up.
 *
 * Both sides look for a moment before they sleep, since waking a thread costs
 * many times the copy (40 us against 1.3 us for 4 KiB); not so when there is
 * only one core to run on. A short moment alone has no way back: once both
 * sleep, every copy takes a wake-up, and none ends within the moment. So it
 * doubles with each copy that did, up to what a wake-up costs, falls back when
 * one did not (the cores are taken), and every 32nd of those tries again.
 * 4 KiB took 1.9 us instead of 20 to 45 with a core free, and 17 instead of 14
 * with none. Nor does either side look while the other one waits for the very
 * core it would be looking from.
 *
 * The worker is detached and owns struct mm: the last put only tells it to
 * quit, so putting never waits, and a stuck worker frees everything when it
 * comes back.
 *
 * The copy is the host kernel's. It moves aligned words of up to 8 bytes whole
 * (a doorbell, a phase word); a 16-byte completion entry was never seen torn,
 * but nothing promises it.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/dma/mem_impl.h"
#include "core/common/share.h"
#include "lib/cleanup.h"
#include "lib/sched.h"
#include "lib/thread.h"

#define CHUNK	 (64u << 10) /* bytes of one job */
#define PIECES	 64	     /* copies of one job */
#define POOL_MAX 8	     /* idle jobs kept for the next copy */

/* How long either side looks before it sleeps: see the theory above. */
#define SPIN_MIN_NS  2000u
#define SPIN_MAX_NS  64000u
#define SPIN_RETRIES 32u

enum job_state { JOB_QUEUED, JOB_RUNNING, JOB_DONE, JOB_ABANDONED };

/* A stretch of memory; the bytes of a job's follow one another in its buffer. */
struct piece {
	uint64_t off;
	uint32_t len;
	bool write;
};

struct job {
	STAILQ_ENTRY(job) link; /* mm->lock: in the queue, or in the pool */
	_Atomic int state;
	_Atomic size_t done; /* bytes; the worker's progress */
	/* by the requester until queued, then the worker's until done */
	bool writes; /* any of them */
	size_t n;
	size_t len;
	int result;
	struct piece piece[PIECES];
	uint8_t buf[CHUNK];
};

STAILQ_HEAD(job_list, job);

struct mm {
	struct mem mem;
	/* immutable */
	int fd;
	bool spin;

	struct mutex lock; /* the fields up to quit */
	struct job_list queue GUARDED_BY(&lock);
	struct job_list pool GUARDED_BY(&lock);
	unsigned int n_pool GUARDED_BY(&lock);
	bool worker_asleep GUARDED_BY(&lock);
	bool quit GUARDED_BY(&lock);
	/* given back at the end, of a stuck worker when that has ended */
	struct share share GUARDED_BY(&lock);
	struct cond work; /* the queue has grown, or quit */
	struct cond done; /* a job is done, or look at your mem_stop */

	_Atomic bool copying;	    /* the worker, for somebody or nobody */
	_Atomic int worker_cpu;	    /* where it last looked for work, a hint */
	_Atomic int asker_cpu;	    /* where it was last asked, likewise */
	_Atomic uint32_t spin_ns;   /* a hint: updates may get lost */
	_Atomic uint32_t n_sleeps;  /* copies that spinning did not see done */
	_Atomic uint32_t n_queued;  /* read without the lock while spinning */
	_Atomic uint32_t n_waiting; /* requesters asleep: worth a broadcast */
};

static void relax(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#endif
}

/* --- jobs --- */

static struct job *job_get(struct mm *mm)
{
	mutex_lock(&mm->lock);
	struct job *job = STAILQ_FIRST(&mm->pool);

	if (job) {
		STAILQ_REMOVE_HEAD(&mm->pool, link);
		mm->n_pool--;
	}
	mutex_unlock(&mm->lock);
	return job ? job : malloc(sizeof(*job));
}

static void job_put_locked(struct mm *mm, struct job *job) REQUIRES(&mm->lock)
{
	if (mm->n_pool == POOL_MAX) {
		free(job);
		return;
	}
	STAILQ_INSERT_HEAD(&mm->pool, job, link);
	mm->n_pool++;
}

static void job_put(struct mm *mm, struct job *job)
{
	mutex_lock(&mm->lock);
	job_put_locked(mm, job);
	mutex_unlock(&mm->lock);
}

static void job_submit(struct mm *mm, struct job *job)
{
	atomic_store_explicit(&mm->asker_cpu, sched_getcpu(),
			      memory_order_relaxed);
	atomic_store(&job->state, JOB_QUEUED);
	mutex_lock(&mm->lock);
	STAILQ_INSERT_TAIL(&mm->queue, job, link);
	atomic_fetch_add(&mm->n_queued, 1);
	if (mm->worker_asleep)
		cond_signal(&mm->work);
	mutex_unlock(&mm->lock);
}

/* --- the worker --- */

/*
 * The kernel stops short at the first page that is not there; 0 means that
 * the address space itself has gone (exec, exit).
 */
static int piece_copy(int fd, struct job *job, const struct piece *piece,
		      size_t from)
{
	uint8_t *buf = job->buf + from;
	size_t done = 0;

	while (done < piece->len) {
		off_t at = (off_t)(piece->off + done);
		size_t left = piece->len - done;
		ssize_t n = piece->write ? pwrite(fd, buf + done, left, at)
					 : pread(fd, buf + done, left, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -EIO;
		done += (size_t)n;
		atomic_store(&job->done, from + done);
	}
	return 0;
}

/* Whoever abandons the job looks how far it has come: nothing goes on then. */
static int job_copy(int fd, struct job *job)
{
	size_t from = 0;
	int r = 0;

	for (size_t i = 0; i < job->n && r == 0; i++) {
		if (atomic_load(&job->state) == JOB_ABANDONED)
			return -ECANCELED;
		sched_point("copy");
		r = piece_copy(fd, job, &job->piece[i], from);
		from += job->piece[i].len;
	}
	return r;
}

static void job_run(struct mm *mm, struct job *job)
{
	int expected = JOB_RUNNING;

	job->result = job_copy(mm->fd, job);
	atomic_store(&mm->copying, false);
	sched_point("copied");
	if (!atomic_compare_exchange_strong(&job->state, &expected, JOB_DONE)) {
		job_put(mm, job);
		return;
	}
	/* a requester counts itself before it looks at the state again */
	sched_point("job done");
	if (atomic_load(&mm->n_waiting)) {
		mutex_lock(&mm->lock);
		cond_broadcast(&mm->done);
		mutex_unlock(&mm->lock);
	}
}

static void worker_spin(struct mm *mm)
{
	uint64_t until = clock_ns() + atomic_load(&mm->spin_ns);

	while (!atomic_load(&mm->n_queued) && clock_ns() < until)
		relax();
}

/* The next job; NULL: quit, with nothing left to do. */
static struct job *worker_next(struct mm *mm)
{
	int cpu = sched_getcpu();

	atomic_store_explicit(&mm->worker_cpu, cpu, memory_order_relaxed);
	if (mm->spin &&
	    cpu != atomic_load_explicit(&mm->asker_cpu, memory_order_relaxed))
		worker_spin(mm);
	mutex_lock(&mm->lock);
	mm->worker_asleep = true;
	while (STAILQ_EMPTY(&mm->queue) && !mm->quit)
		cond_wait(&mm->work, &mm->lock);
	mm->worker_asleep = false;

	struct job *job = STAILQ_FIRST(&mm->queue);

	if (job) {
		STAILQ_REMOVE_HEAD(&mm->queue, link);
		atomic_fetch_sub(&mm->n_queued, 1);
		atomic_store(&mm->copying, true);
		atomic_store(&job->state, JOB_RUNNING);
	}
	mutex_unlock(&mm->lock);
	return job;
}

static void mm_destroy(struct mm *mm)
{
	struct job *job;

	while ((job = STAILQ_FIRST(&mm->pool))) {
		STAILQ_REMOVE_HEAD(&mm->pool, link);
		free(job);
	}
	if (mm->fd >= 0)
		close(mm->fd);
	share_give(&mm->share);
	cond_done(&mm->work);
	cond_done(&mm->done);
	mutex_done(&mm->lock);
	free(mm);
}

static void *worker_main(void *arg)
{
	struct mm *mm = arg;
	struct job *job;

	while ((job = worker_next(mm)))
		job_run(mm, job);
	mm_destroy(mm);
	return NULL;
}

/* --- the requester --- */

/*
 * A place in a list of copies. A copy may be larger than a job, and a job may
 * hold many copies.
 */
struct cursor {
	const struct mem_io *io;
	size_t n;
	size_t i;
	size_t skip; /* bytes of io[i] */
};

/* The next piece, of at most @room bytes; 0: there is none. */
static size_t cursor_next(struct cursor *c, size_t room, struct mem_io *ret_io)
{
	if (c->i == c->n || !room)
		return 0;
	*ret_io = c->io[c->i];
	ret_io->off += c->skip;
	ret_io->buf = (uint8_t *)ret_io->buf + c->skip;
	ret_io->len -= c->skip;
	if (ret_io->len <= room) {
		c->i++;
		c->skip = 0;
	} else {
		ret_io->len = room;
		c->skip += room;
	}
	return ret_io->len;
}

/* Neighbours are one stretch: it is the calls that cost. */
static bool job_extend(struct job *job, const struct mem_io *io)
{
	struct piece *last = job->n ? &job->piece[job->n - 1] : NULL;

	if (!last || last->write != io->write ||
	    last->off + last->len != io->off)
		return false;
	last->len += (uint32_t)io->len;
	return true;
}

static void job_fill(struct job *job, struct cursor *c)
{
	struct mem_io io = {0};
	size_t len;

	job->n = job->len = 0;
	job->writes = false;
	atomic_store_explicit(&job->done, 0, memory_order_relaxed);
	while (job->n < PIECES &&
	       (len = cursor_next(c, CHUNK - job->len, &io))) {
		if (!job_extend(job, &io))
			job->piece[job->n++] =
				(struct piece){io.off, (uint32_t)len, io.write};
		job->writes |= io.write;
		if (io.write)
			memcpy(job->buf + job->len, io.buf, len);
		job->len += len;
	}
}

/* What was read; @c is where it was before it filled the job. */
static void job_deliver(const struct job *job, struct cursor *c)
{
	size_t done = atomic_load(&job->done), at = 0;
	struct mem_io io = {0};

	for (;;) {
		struct cursor before = *c;
		size_t len = cursor_next(c, job->len - at, &io);

		if (!len || at + len > done) {
			*c = before;
			return;
		}
		if (!io.write)
			memcpy(io.buf, job->buf + at, len);
		at += len;
	}
}

static bool stopped(const struct mem_stop *stop)
{
	if (!stop)
		return false;
	for (size_t i = 0; i < stop->n_also; i++)
		if (atomic_load(stop->also[i]))
			return true;
	return (stop->cancel && atomic_load(stop->cancel)) ||
	       (stop->revoked && atomic_load(stop->revoked));
}

/*
 * Walk away, with what is done already. Return: @err, and the job is not ours
 * any more; or 0 when it has been done just now.
 */
static int job_abandon_locked(struct mm *mm, struct job *job, struct cursor *c,
			      int err) REQUIRES(&mm->lock)
{
	int state = JOB_RUNNING;

	sched_point("abandon");
	if (atomic_load(&job->state) == JOB_QUEUED) {
		STAILQ_REMOVE(&mm->queue, job, job, link);
		atomic_fetch_sub(&mm->n_queued, 1);
		job_put_locked(mm, job);
		return err;
	}
	if (!atomic_compare_exchange_strong(&job->state, &state, JOB_ABANDONED))
		return 0;
	job_deliver(job, c); /* the worker needs the lock to recycle it */
	return err;
}

/* Would the program's memory change after it has been told otherwise? */
static bool job_may_land(const struct job *job)
{
	return job->writes && atomic_load(&job->state) != JOB_QUEUED;
}

static int job_sleep_locked(struct mm *mm, struct job *job,
			    const struct mem_stop *stop, struct cursor *c)
	REQUIRES(&mm->lock)
{
	uint64_t deadline = clock_ns() + MEM_TIMEOUT_NS;
	bool late = false, stopping = false;

	while (atomic_load(&job->state) != JOB_DONE) {
		if (!stopping && stopped(stop)) {
			uint64_t grace = clock_ns() + MEM_GRACE_NS;

			stopping = true;
			if (grace < deadline)
				deadline = grace;
		}
		if (stopping && (late || !job_may_land(job)))
			return job_abandon_locked(mm, job, c, -ECANCELED);
		if (late)
			return job_abandon_locked(mm, job, c, -EIO);
		late = !cond_wait_until(&mm->done, &mm->lock, deadline);
	}
	return 0;
}

static bool job_spin(const struct job *job, uint64_t until)
{
	do {
		if (atomic_load(&job->state) == JOB_DONE)
			return true;
		relax();
	} while (clock_ns() < until);
	return false;
}

static bool job_spin_learning(struct mm *mm, const struct job *job)
{
	uint32_t spin = atomic_load(&mm->spin_ns);

	if (job_spin(job, clock_ns() + spin)) {
		if (spin < SPIN_MAX_NS)
			atomic_store(&mm->spin_ns, 2 * spin);
		return true;
	}
	uint32_t n = atomic_fetch_add(&mm->n_sleeps, 1) + 1;

	atomic_store(&mm->spin_ns,
		     n % SPIN_RETRIES ? SPIN_MIN_NS : SPIN_MAX_NS);
	return false;
}

static bool elsewhere(struct mm *mm)
{
	return atomic_load_explicit(&mm->worker_cpu, memory_order_relaxed) !=
	       atomic_load_explicit(&mm->asker_cpu, memory_order_relaxed);
}

/* Return: 0 done, or an error and the job is not ours any more. */
static int job_wait(struct mm *mm, struct job *job, const struct mem_stop *stop,
		    struct cursor *c)
{
	if (mm->spin && elsewhere(mm) && job_spin_learning(mm, job))
		return 0;
	mutex_lock(&mm->lock);
	atomic_fetch_add(&mm->n_waiting, 1);
	int r = job_sleep_locked(mm, job, stop, c);

	atomic_fetch_sub(&mm->n_waiting, 1);
	mutex_unlock(&mm->lock);
	return r;
}

/* One job of as much as fits; moves @c to where it came to. */
static int mm_round(struct mm *mm, const struct mem_stop *stop,
		    struct cursor *c)
{
	struct cursor filled = *c;

	if (stopped(stop))
		return -ECANCELED;
	sched_point("job");

	struct job *job = job_get(mm);

	if (!job)
		return -EIO;
	job_fill(job, &filled);
	job_submit(mm, job);

	int r = job_wait(mm, job, stop, c);

	if (r < 0)
		return r;
	r = job->result;
	job_deliver(job, c);
	job_put(mm, job);
	return r;
}

static int mm_many(struct mem *mem, const struct mem_stop *stop,
		   const struct mem_io *io, size_t n, size_t *ret_done)
{
	struct mm *mm = container_of(mem, struct mm, mem);
	struct cursor c = {.io = io, .n = n};
	int r = 0;

	while (c.i < n && r == 0)
		r = mm_round(mm, stop, &c);
	if (r < 0)
		*ret_done = c.i;
	return r;
}

static int mm_copy(struct mem *mem, const struct mem_stop *stop, uint64_t off,
		   void *buf, size_t len, bool write)
{
	const struct mem_io io = {off, buf, len, write};
	size_t done;

	return len ? mm_many(mem, stop, &io, 1, &done) : 0;
}

static void mm_wake(struct mem *mem)
{
	struct mm *mm = container_of(mem, struct mm, mem);

	mutex_lock(&mm->lock);
	cond_broadcast(&mm->done);
	mutex_unlock(&mm->lock);
}

/* --- life --- */

static void mm_quit(struct mem *mem)
{
	struct mm *mm = container_of(mem, struct mm, mem);

	mutex_lock(&mm->lock);
	assert(STAILQ_EMPTY(&mm->queue)); /* requesters hold references */
	mm->quit = true;
	if (!atomic_load(&mm->copying))
		share_give(&mm->share);
	cond_signal(&mm->work);
	mutex_unlock(&mm->lock);
}

static const struct mem_ops mm_mem_ops = {
	.copy = mm_copy,
	.many = mm_many,
	.wake = mm_wake,
	.free = mm_quit,
};

/* Is there a second core that the other side could be running on? */
static bool worth_spinning(void)
{
	cpu_set_t cpus;

	return sched_getaffinity(0, sizeof(cpus), &cpus) == 0 &&
	       CPU_COUNT(&cpus) > 1;
}

static struct mm *mm_alloc(void)
{
	struct mm *mm = calloc(1, sizeof(*mm));

	if (!mm)
		return NULL;
	mem_init(&mm->mem, &mm_mem_ops);
	mm->fd = -1;
	mm->spin = worth_spinning();
	mm->spin_ns = SPIN_MIN_NS;
	mutex_init(&mm->lock, RANK_MM_QUEUE, "mm");
	cond_init(&mm->work);
	cond_init(&mm->done);
	STAILQ_INIT(&mm->queue);
	STAILQ_INIT(&mm->pool);
	return mm;
}

/* The worker takes no signal: those are for threads that know what to do. */
static int worker_start(struct mm *mm)
{
	sigset_t all, before;
	struct thread thread;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int r = thread_start(&thread, "softvfio-copy", worker_main, mm);

	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (r == 0)
		thread_detach(&thread);
	return r;
}

static int mm_start(struct mm *mm, pid_t pid, int mem_fd)
{
	int r = share_take(&mm->share, SHARE_WORKERS, pid, 1);

	if (r < 0)
		return r;
	mm->fd = fcntl(mem_fd, F_DUPFD_CLOEXEC, 0);
	return mm->fd < 0 ? -errno : worker_start(mm);
}

static int mm_new(pid_t pid, int mem_fd, struct mm **ret_mm)
{
	struct mm *mm = mm_alloc();

	if (!mm)
		return -ENOMEM;

	int r = mm_start(mm, pid, mem_fd);

	if (r < 0) {
		mm_destroy(mm);
		return r;
	}
	*ret_mm = mm;
	return 0;
}

static int mm_get_locked(pid_t pid, const struct mm_id *id, int mem_fd,
			 struct mem **ret_mem) REQUIRES(&mem_registry)
{
	struct mem_key key = {{id->w[0], id->w[1], 0}};
	struct mem *mem = mem_find_locked(&mm_mem_ops, &key);
	struct mm *mm;

	if (mem) {
		*ret_mem = mem;
		return 0;
	}
	if (mem_fd < 0)
		return -ENOENT;

	int r = mm_new(pid, mem_fd, &mm);

	if (r < 0)
		return r;
	mem_add_locked(&mm->mem, &key);
	*ret_mem = &mm->mem;
	return 0;
}

int mem_mm(pid_t pid, const struct mm_id *id, int mem_fd, struct mem **ret_mem)
{
	mutex_lock(&mem_registry);
	int r = mm_get_locked(pid, id, mem_fd, ret_mem);

	mutex_unlock(&mem_registry);
	return r;
}
