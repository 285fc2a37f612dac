/* SPDX-License-Identifier: BSD-3-Clause */
/* A program that opens as much as it is told to, and closes it again. */
#ifndef SOFTVFIO_TESTS_FAIL_PROG_H
#define SOFTVFIO_TESTS_FAIL_PROG_H

#include <stdint.h>

#include "hosted.h"
#include "tests/sched/client.h"

/* Positions in a device's file, and in its configuration space. */
#define REGION(index) ((uint64_t)(index) << 40)
#define CONFIG_REGION 7

#define FILES_MAX 8

/* How far a program is; each is in addition to those before. */
enum stage {
	CONNECTED,
	CONTAINER,
	GROUP,
	ATTACHED, /* the group to the container */
	IOMMU,
	DEVICE,
	DECODES, /* memory decode and bus mastering are on */
};

struct prog {
	struct host *host;
	struct client c;
	const char *bdf;
	unsigned int number; /* of the group */
	int container;
	int group;
	int device;
	int other[FILES_MAX]; /* whatever else is open; -1 */
	void *map;	      /* of a BAR, MAP_LEN bytes */
	void *memory;	      /* the program's own, MAP_LEN bytes */
	int memfd;	      /* or shared, behind it */
};

#define MAP_LEN 0x2000

/** prog_begin() - Connect and open as far as @stage; all of it succeeds */
void prog_begin(struct prog *p, struct host *h, const char *bdf,
		unsigned int number, enum stage stage);

/** prog_end() - Close everything */
void prog_end(struct prog *p);

/** prog_connect() - Anew: nobody answered on the old connection */
void prog_connect(struct prog *p);

/** prog_keep() - @fd is open until prog_end(), if it is one. Returns it */
int64_t prog_keep(struct prog *p, int64_t fd);

/** prog_share() - The program's memory is a memfd */
void prog_share(struct prog *p);

/** prog_eventfd() - A new one, until prog_end() */
int prog_eventfd(struct prog *p);

/** The steps; the answer, with what they open kept in @p */
int64_t prog_open_container(struct prog *p);
int64_t prog_open_group(struct prog *p);
int64_t prog_set_container(struct prog *p);
int64_t prog_set_iommu(struct prog *p);
int64_t prog_open_device(struct prog *p);
int64_t prog_command(struct prog *p, uint16_t command);

/** prog_open_sysfs() - A live file of the device's, or with "/" in front any.
 * A descriptor, for prog_keep(), or -errno */
int64_t prog_open_sysfs(struct prog *p, const char *name);

/** prog_write_text() - To such a file, opened for that: what write() says */
int64_t prog_write_text(struct prog *p, const char *name, const char *text);

/** prog_map_bar() - @p->map becomes the start of that BAR */
int64_t prog_map_bar(struct prog *p, unsigned int bar);

/** prog_bar_id() - Of a BAR of its function's */
struct sv_bar_id prog_bar_id(const struct prog *p, unsigned int bar);

#endif
