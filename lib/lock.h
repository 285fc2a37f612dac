/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Mutexes and read-write locks that know their place in the lock order.
 *
 * Every lock has a rank (docs/LOCKING.md). A thread may only take a lock whose
 * rank is higher than that of every lock it holds; a build with
 * -Dlock_ranks=true stops with both names when one does not. trylock is exempt,
 * since it cannot deadlock. clang's thread-safety analysis sees the same locks
 * as capabilities.
 *
 * The read-write lock prefers writers: glibc's default starves them for
 * seconds under a steady stream of readers.
 */
#ifndef SOFTVFIO_LIB_LOCK_H
#define SOFTVFIO_LIB_LOCK_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#if defined(__clang__)
#define TSA(x) __attribute__((x))
#else
#define TSA(x)
#endif

/* clang before 19 rejects guarded_by on members of a C struct */
#if defined(__clang_major__) && __clang_major__ >= 19
#define GUARDED_BY(x) TSA(guarded_by(x))
#else
#define GUARDED_BY(x)
#endif

#define CAPABILITY(x)	     TSA(capability(x))
#define ACQUIRES(...)	     TSA(acquire_capability(__VA_ARGS__))
#define ACQUIRES_SHARED(...) TSA(acquire_shared_capability(__VA_ARGS__))
#define RELEASES(...)	     TSA(release_capability(__VA_ARGS__))
#define RELEASES_SHARED(...) TSA(release_shared_capability(__VA_ARGS__))
#define TRY_ACQUIRES(...)    TSA(try_acquire_capability(__VA_ARGS__))
#define REQUIRES(...)	     TSA(requires_capability(__VA_ARGS__))
#define REQUIRES_SHARED(...) TSA(requires_shared_capability(__VA_ARGS__))
#define EXCLUDES(...)	     TSA(locks_excluded(__VA_ARGS__))
#define NO_TSA		     TSA(no_thread_safety_analysis)

/*
 * Ranks, outermost first. Gaps are for what is to come; docs/LOCKING.md says
 * what each lock protects.
 */
enum lock_rank {
	RANK_HANDOVER = 10,  /* descriptors being given away */
	RANK_RELEASE = 20,   /* releases of files, one at a time */
	RANK_TREE = 25,	     /* the tree of paths being changed */
	RANK_GROUP = 30,     /* one IOMMU group */
	RANK_DEV_SET = 40,   /* devices that are reset together */
	RANK_CONTAINER = 50, /* one container */
	RANK_TYPE1 = 52,     /* the type1 IOMMU of one container */
	RANK_RESET = 55,     /* a function is being reset */
	RANK_MODEL = 60,     /* a device model's own state */
	RANK_ACCESS = 65,    /* one trapped access, while it is in the model */
	RANK_IOEVENTFD = 67, /* the ioeventfds of one device */
	RANK_IGATE = 70,     /* interrupt setup of one device */
	RANK_MEMORY = 80,    /* memory_lock: may BARs be touched */
	RANK_BAR = 90,	     /* one BAR's mappings */
	RANK_DOMAIN = 98,    /* who is attached to one domain */
	RANK_IOPT = 100,     /* one IOVA table */
	RANK_PAGES = 105,    /* memory of a mapping being looked up */
	RANK_MM = 110,	     /* one address space and its copy queue */
	RANK_IRQ = 120,	     /* vector state, taken to raise an interrupt */
	RANK_CONFIG = 130,   /* bytes of configuration space */
	RANK_THREAD = 140,   /* a device thread's wake-up state */
	RANK_ANSWER = 145,   /* who answers what a thread serves */
	RANK_FILE = 150,     /* state of one open file */
	RANK_LEAF = 200,     /* journals, counters: nothing is taken inside */
};

struct CAPABILITY("mutex") mutex {
	pthread_mutex_t m;
	enum lock_rank rank;
	const char *name;
};

struct CAPABILITY("rwlock") rwlock {
	pthread_rwlock_t l;
	enum lock_rank rank;
	const char *name;
};

/*
 * Context, for all locks: any thread that holds no lock of this rank or a
 * higher one (trylock excepted); unlocked by the thread that has locked.
 * Nothing here fails; a ranks build ends the program where the order is broken.
 */
void mutex_init(struct mutex *m, enum lock_rank rank, const char *name);
void mutex_done(struct mutex *m);
void mutex_lock(struct mutex *m) ACQUIRES(m);
bool mutex_trylock(struct mutex *m) TRY_ACQUIRES(true, m);
void mutex_unlock(struct mutex *m) RELEASES(m);

/**
 * mutex_lock_until() - Wait for it, but not beyond a deadline
 * rwlock_read_until() - The same
 * @deadline_ns: on the monotonic clock, see clock_ns()
 *
 * Also for a lock of a rank that is held already: it cannot deadlock, only
 * fail.
 */
bool mutex_lock_until(struct mutex *m, uint64_t deadline_ns)
	TRY_ACQUIRES(true, m);

/* Is a lock still worth waiting for? */
typedef bool (*lock_wait_fn)(void *arg);

/**
 * mutex_lock_while() - Wait for it as long as @wait says so
 * rwlock_read_while(), rwlock_write_while() - The same
 *
 * It is asked every now and then, and not at all when there is no wait.
 *
 * Return: true; false @wait said no.
 */
bool mutex_lock_while(struct mutex *m, lock_wait_fn wait, void *arg)
	TRY_ACQUIRES(true, m);

void rwlock_init(struct rwlock *l, enum lock_rank rank, const char *name);
void rwlock_done(struct rwlock *l);
void rwlock_read(struct rwlock *l) ACQUIRES_SHARED(l);
bool rwlock_tryread(struct rwlock *l)
	TSA(try_acquire_shared_capability(true, l));
bool rwlock_read_until(struct rwlock *l, uint64_t deadline_ns)
	TSA(try_acquire_shared_capability(true, l));
bool rwlock_read_while(struct rwlock *l, lock_wait_fn wait, void *arg)
	TSA(try_acquire_shared_capability(true, l));
void rwlock_unread(struct rwlock *l) RELEASES_SHARED(l);
void rwlock_write(struct rwlock *l) ACQUIRES(l);
bool rwlock_trywrite(struct rwlock *l) TRY_ACQUIRES(true, l);
bool rwlock_write_while(struct rwlock *l, lock_wait_fn wait, void *arg)
	TRY_ACQUIRES(true, l);
void rwlock_unwrite(struct rwlock *l) RELEASES(l);

/* A condition variable on the monotonic clock, used with a struct mutex. */
struct cond {
	pthread_cond_t c;
};

void cond_init(struct cond *c);
void cond_done(struct cond *c);
void cond_signal(struct cond *c);
void cond_broadcast(struct cond *c);
void cond_wait(struct cond *c, struct mutex *m) REQUIRES(m);

/**
 * cond_wait_until() - Wait, but not beyond a deadline
 * @deadline_ns: on the monotonic clock, see clock_ns()
 *
 * Return: true when woken (or spuriously), false once the deadline passed.
 */
bool cond_wait_until(struct cond *c, struct mutex *m, uint64_t deadline_ns)
	REQUIRES(m);

/**
 * cond_wait_while() - Wait as long as @wait says so, asked now and then
 *
 * Return: true when woken, spuriously, or to be asked again; false once @wait
 * said no.
 */
bool cond_wait_while(struct cond *c, struct mutex *m, lock_wait_fn wait,
		     void *arg) REQUIRES(m);

/** clock_ns() - CLOCK_MONOTONIC in nanoseconds */
uint64_t clock_ns(void);

/**
 * lock_assert_none_held() - Stop a ranks build if this thread holds a lock
 *
 * For places that may block on the outside world. Does nothing otherwise.
 */
void lock_assert_none_held(const char *where);

#endif
