/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the schedules share: functions with a model that can be told what to
 * do, a program that maps their BARs and takes real SIGBUS, and the record of
 * whether memory decode is on, off, or just being changed, against which every
 * access is checked.
 */
#ifndef SOFTVFIO_TESTS_SCHED_RIG_H
#define SOFTVFIO_TESTS_SCHED_RIG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/pci/device.h"
#include "lib/proto.h"
#include "lib/sched.h"
#include "lib/thread.h"
#include "tests/unit/map_rig.h"

#define RIG_DEVS 2
#define RIG_IRQS 4

enum rig_bar {
	BAR_TRAP,	/* calls the model */
	BAR_DIRECT,	/* memory */
	BAR_PERSISTENT, /* memory that keeps its contents over resets */
};

/* As few pages as will do: most of a schedule's time goes into page faults. */
#define BAR_LEN	       0x2000
#define PERSISTENT_LEN 0x1000

/* Registers of BAR_TRAP; all others are storage. */
enum rig_reg {
	REG_DMA = 0x20,	  /* written: DMA write of rig_dma to that address */
	REG_RAISE = 0x28, /* written: raise that vector */
	REG_LEVEL = 0x30, /* written: the INTx pin */
	REG_BURST = 0x38, /* written: run() touches BAR_DIRECT */
	REG_COUNT = 0x40, /* written: counted */
	REG_STORE = 0x48,
};

/* Positions in a device file. */
#define CONFIG(pos) ((uint64_t)REGION_CONFIG << REGION_SHIFT | (pos))
#define BAR(bar)    ((uint64_t)(bar) << REGION_SHIFT)

#define BURST_SLOT 0x1800 /* in BAR_DIRECT, where run() counts */

struct rig;
struct client;

/** struct rig_dev - A function, and what its model has been through */
struct rig_dev {
	struct rig *rig;
	struct sv_dev *dev;
	bool open;

	/*
	 * Memory decode as whoever changes it knows it: what is asked for
	 * between gate_begin() and gate_end() is in force after gate_end().
	 */
	atomic_uint epoch;    /* of both */
	atomic_uint changing; /* so many are at it */
	atomic_int off;	      /* so many reasons for it to be off */

	atomic_uint resets;
	atomic_bool burst;
	atomic_uint counted;
	_Atomic int dma_result; /* of the last REG_DMA */
	atomic_uint dma_done;
};

struct rig {
	bool made;
	struct bus_space space;
	struct dev_set set;
	struct type1 *type1;
	struct watcher *watcher; /* of this schedule, or NULL */
	uint64_t instance; /* in the names of sockets, which are the host's */
	int inotify;	   /* told of mappings that go; 0: nobody is */
	struct rig_dev dev[RIG_DEVS];
	unsigned int n_devs;
};

/**
 * rig_prepare() - Functions, for somebody else to open
 * rig_begin() - Functions with memory and bus mastering on, open
 * rig_end() - Closed again, for the next schedule to begin the same way
 * rig_free() - After the last schedule
 * @n_devs: how many; the same in each schedule
 */
void rig_prepare(struct rig *rig, unsigned int n_devs);
void rig_begin(struct rig *rig, unsigned int n_devs);
void rig_end(struct rig *rig);
void rig_free(struct rig *rig);

/** rig_open(), rig_close() - First open and last close, decode on in between */
void rig_open(struct rig_dev *rd);
void rig_close(struct rig_dev *rd);

/** struct actor - A thread of the race */
struct actor {
	const char *name;
	void *(*fn)(void *arg);
	void *arg;
};

/** rig_race() - All of them at once, to their ends */
void rig_race(const struct actor *actors, size_t n);

/** rig_watch() - Functions have a watcher until rig_end(); after rig_begin() */
void rig_watch(struct rig *rig);

/**
 * linger() - Give others the time to do what they must not, now that @what
 *
 * Half of the time it takes until they have ended or wait for something.
 */
void linger(const char *what);

/** gate_begin(), gate_end() - Around what changes decode; @off: +1, -1, or 0 */
void gate_begin(struct rig_dev *rd);
void gate_end(struct rig_dev *rd, int off);

/** struct gate_view - What was known when an access began */
struct gate_view {
	unsigned int epoch;
	unsigned int changing;
	int off;
};

struct gate_view gate_look(struct rig_dev *rd);

/** gate_check() - Was it right that an access that began then @landed? */
void gate_check(struct rig_dev *rd, const struct gate_view *before, bool landed,
		const char *what);

/** gate_check_quiet() - Nobody changes anything: is the gate as it should? */
void gate_check_quiet(struct rig_dev *rd);

/** command(), power() - Configuration writes of the program */
void command(struct rig_dev *rd, bool memory);
void power(struct rig_dev *rd, unsigned int state);
void flr(struct rig_dev *rd);
void intx_disable(struct rig_dev *rd, bool disable);

/** struct prog - A program's mapping of a BAR; @client: who asks, or NULL */
struct prog {
	struct rig_dev *rd;
	struct client *client;
	unsigned int bar;
	uint8_t *p;
	size_t len;
};

/** prog_catch_sigbus() - Once, before there are programs */
void prog_catch_sigbus(void);

void prog_map(struct prog *prog, struct rig_dev *rd, unsigned int bar,
	      uint64_t owner);
void prog_unmap(struct prog *prog);

/** prog_map_file() - By a request on a device file, and so are its faults */
void prog_map_file(struct prog *prog, struct rig_dev *rd, unsigned int bar,
		   struct client *client, int fd);

/**
 * prog_store(), prog_load() - As CPU and shim do it: SIGBUS asks the daemon
 *
 * Return: whether it was done; false: the program gets SIGBUS.
 */
bool prog_store(struct prog *prog, uint64_t off, uint32_t val);
bool prog_load(struct prog *prog, uint64_t off, uint32_t *ret_val);

/** rig_trap() - A trapped access of a program; whether it was done */
bool rig_trap(struct rig_dev *rd, uint64_t off, bool write, uint64_t *val);

/**
 * gate_store(), gate_trap() - One access that is as memory decode says
 * gate_stores(), gate_traps() - Actors: three of them; a struct prog, rig_dev
 */
void gate_store(struct prog *prog, uint64_t off, uint32_t val);
void gate_trap(struct rig_dev *rd, uint64_t off, bool write);
void *gate_stores(void *prog);
void *gate_traps(void *rig_dev);

/** rig_pread(), rig_pwrite() - 4 bytes by read(2) or write(2); 4 or -errno */
int64_t rig_pread(struct rig_dev *rd, unsigned int bar, uint64_t off,
		  uint32_t *ret_val);
int64_t rig_pwrite(struct rig_dev *rd, unsigned int bar, uint64_t off,
		   uint32_t val);

/** bar_id() - What requests call it by */
struct sv_bar_id bar_id(const struct rig_dev *rd, unsigned int bar);

/** rig_contents() - A word of a BAR as its device sees it */
uint32_t rig_contents(struct rig_dev *rd, unsigned int bar, uint64_t off);

/** struct scenario - A race and what has to hold in it */
struct scenario {
	const char *name;
	void (*fn)(void *arg);	  /* as sched_run() wants it */
	void (*finish)(bool all); /* after the last; @all: of all of them */
	unsigned int steps;	  /* about how long the race is */
	bool timeouts;
};

/** seen() - Count that something happened; finish() wants to know */
enum rig_seen {
	SEEN_LANDED,
	SEEN_REFUSED,
	SEEN_FAULT_RETRIED,
	SEEN_A,
	SEEN_B,
	SEEN_NUM,
};

void seen(enum rig_seen what);

/** saw() - Did it happen at all? A race that never gets there tests nothing */
void saw(enum rig_seen what, const char *text);

/* All there are; tests/sched/meson.build has them too. */
#define SCENARIOS(X)                                                           \
	X(gate)                                                                \
	X(gate_reset)                                                          \
	X(reset)                                                               \
	X(d3hot)                                                               \
	X(writers)                                                             \
	X(low_power)                                                           \
	X(wake)                                                                \
	X(close)                                                               \
	X(peers)                                                               \
	X(unmap)                                                               \
	X(unmap_mm)                                                            \
	X(replace)                                                             \
	X(limit)                                                               \
	X(domain)                                                              \
	X(msi)                                                                 \
	X(intx)                                                                \
	X(hot_reset)                                                           \
	X(ioeventfd)                                                           \
	X(unplug)                                                              \
	X(hangup)                                                              \
	X(fault)                                                               \
	X(map)

#define DECLARED(name) extern const struct scenario scenario_##name;
SCENARIOS(DECLARED)
#undef DECLARED

#endif
