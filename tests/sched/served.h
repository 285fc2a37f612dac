/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The rig's functions behind a real server: its threads, sockets and files are
 * made anew for each schedule and take part in it. Functions are in groups of
 * their own, number 0 in /dev/vfio/0.
 */
#ifndef SOFTVFIO_TESTS_SCHED_SERVED_H
#define SOFTVFIO_TESTS_SCHED_SERVED_H

#include "client.h"
#include "core/machine/machine.h"
#include "front/ipc/server.h"
#include "front/journal.h"
#include "front/sysfs/tree.h"
#include "rig.h"

#define SERVED_PATH_MAX 64

struct served {
	struct rig rig;
	struct machine machine; /* as much of one as anybody looks at */
	struct journal *journal;
	struct server *server;
	char dir[SERVED_PATH_MAX];
	char door[SERVED_PATH_MAX];
};

/**
 * served_begin() - A server that answers; functions are closed
 * served_end() - Nobody has a file any more, whoever did not close it
 * served_free() - After the last schedule
 */
void served_begin(struct served *s, unsigned int n_devs);
void served_end(struct served *s);
void served_free(struct served *s);

/** served_tree() - The tree of paths; served_shows() - is it in there? */
struct tree *served_tree(void);
bool served_shows(const struct rig_dev *rd);

/** struct files - What a program has open to drive a function; -1: not */
struct files {
	int container;
	int group;
	int device;
};

/** served_idle() - No program holds any file, nor is one left that it held */
bool served_idle(struct served *s);

/**
 * files_open() - All three, memory decode on
 * files_open_in() - The same in a container there is
 * files_open_rest() - When the group is open
 */
void files_open(struct client *c, struct rig_dev *rd, struct files *f);
void files_open_in(struct client *c, struct rig_dev *rd, struct files *f,
		   int container);
void files_open_rest(struct client *c, struct rig_dev *rd, struct files *f);

/** file_close() - Of one; -1 is fine */
void file_close(int *fd);

/** files_close() - Device, group, container */
void files_close(struct files *f);

/** ask_command(), ask_reset() - COMMAND by pwrite, VFIO_DEVICE_RESET. The
 * answer */
int64_t ask_command(struct client *c, int device, bool memory);
int64_t ask_reset(struct client *c, int device);

/** ask_irq() - SET_IRQS of a first vector's eventfd. The answer */
int64_t ask_irq(struct client *c, int device, uint32_t index, int eventfd);

#endif
