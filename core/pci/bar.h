/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The memory of one BAR: by default a memfd that programs map and the device
 * model reads and writes (struct bar_storage), and the record of which of those mappings still live.
 *
 * Each mapping is made through an open file description of its own, which
 * holds an OFD lock on the byte whose number is the mapping's id. The host
 * kernel keeps that description for as long as any part of the mapping exists
 * in any process, so asking for the lock tells who lives (design 3.8).
 *
 * A BAR is open or closed. Closing truncates the memfd to nothing, which is the
 * host kernel's own unmap_mapping_range() over every mapping in every process:
 * when it returns no page of it is mapped anywhere, and any later touch is
 * SIGBUS (design 3.6). The contents are kept in a file of their own meanwhile,
 * where the device model can still reach them through bar->mem. Only a direct
 * BAR has a gate: the pages of a trapped one are nobody's memory, nor are those
 * of a direct one's trapped stretches, which programs map without access.
 */
#ifndef SOFTVFIO_CORE_PCI_BAR_H
#define SOFTVFIO_CORE_PCI_BAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "core/common/share.h"
#include "lib/lock.h"
#include "lib/size.h"
#include "softvfio/device.h"

#define BAR_PIPES_MAX 64 /* MiB: what an ordinary user's pipes may hold */

/** struct bar_mapping - One mmap() of a BAR that may still be there */
struct bar_mapping {
	TAILQ_ENTRY(bar_mapping) link;
	uint64_t id;	/* the locked byte; never reused */
	uint64_t owner; /* which open file it belongs to */
	pid_t pid;	/* who made it */
	uint64_t off;
	uint64_t len;
	struct share share; /* of @pid's SHARE_BAR_MAPS */
};

struct bar;

/**
 * struct bar_storage - Where a BAR's memory is, and how it is taken from programs
 * @unmaps:  close() takes every page out of every program. Without that each
 *	     mapping traps, so that whoever touches it asks, and is refused while
 *	     the gate is closed. What programs are given is then an empty file and
 *	     not the contents, since they can map it without asking, too
 * @make:    sets memfd, which programs map, its st_dev and st_ino, view and mem;
 *	     0 or -errno
 * @drop:    undoes as much of that as there is
 * @close:   these are bar_close(), bar_open(), bar_discard() and bar_clear()
 * @map:     a description of memfd for the mapping @id alone; or -errno
 * @lives:   does anybody have it, or what was mapped with it?
 *
 * The daemon reaches the contents through bar->mem, open or closed.
 */
struct bar_storage {
	bool unmaps;
	int (*make)(struct bar *bar, const char *name);
	void (*drop)(struct bar *bar);
	void (*close)(struct bar *bar);
	void (*open)(struct bar *bar);
	void (*discard)(struct bar *bar);
	void (*clear)(struct bar *bar);
	int (*map)(const struct bar *bar, uint64_t id);
	bool (*lives)(const struct bar *bar, uint64_t id);
};

/** bar_memfd - A memfd of ours, which closing truncates: bar_memfd.c, bar_zap.c */
extern const struct bar_storage bar_memfd;

struct bar {
	/* immutable */
	const struct bar_storage *storage; /* NULL: no memory (I/O, none) */
	enum sv_bar_kind kind;
	enum sv_bar_access access;
	const struct sv_stretch *trapped; /* of a direct one; NULL: none */
	bool persistent;
	uint64_t size; /* bytes the BAR decodes */
	uint64_t len;  /* size rounded up to pages */
	int memfd;     /* -1 without memory */
	int inotify;   /* borrowed; -1 = nobody wants to know */
	uint8_t *view; /* the daemon's mapping of memfd */
	dev_t st_dev;
	ino_t st_ino;

	int kept; /* memfd of the contents while closed; -1 = no gate */
	uint8_t *kept_mem; /* mapping of it */

	/* of the guard, see bar_guard.c */
	_Atomic unsigned int repairs;
	_Atomic bool replaced; /* view is private memory */

	/* changed by bar_close() and bar_open(), memory_lock held for writing */
	bool closed;
	bool retained; /* kept has pages for all that is populated */
	uint8_t *mem;  /* the contents: view, or kept_mem while closed */
	uint8_t *seen; /* a bit for each page, all 0 but within bar_close() */

	/* what was put back at the last opening; kept has it while closed */
	struct bar_extent *known;
	size_t n_known;
	uint64_t known_pages;

	struct mutex lock; /* the fields below */
	TAILQ_HEAD(, bar_mapping) mappings GUARDED_BY(&lock);
	size_t n_mappings GUARDED_BY(&lock); /* dead ones included */
	size_t forget_at GUARDED_BY(&lock);  /* so many: look for dead ones */
	uint64_t last_id GUARDED_BY(&lock);
	int watch GUARDED_BY(&lock); /* of inotify, -1 before the first map */
};

/**
 * bar_init() - Make a BAR's memory, all zeroes; bar_init_stored() - elsewhere
 * @name:    of the memfd, see SV_BAR_NAME_FORMAT
 * @shape:   size and kind; with kind NONE nothing is made
 * @inotify: told (IN_CLOSE_WRITE) when a mapping has gone, or -1; borrowed for
 *	     life
 *
 * Context: one thread; nobody else knows the BAR yet.
 * Return: 0; -EMFILE, -ENOMEM. bar_done() is right in any case.
 */
int bar_init(struct bar *bar, const char *name, const struct sv_bar *shape,
	     int inotify);
int bar_init_stored(struct bar *bar, const struct bar_storage *storage,
		    const char *name, const struct sv_bar *shape, int inotify);

/**
 * bar_check() - Can there be a BAR like that?
 *
 * Context: any thread, lock-free. Return: what is wrong with it, or NULL.
 */
const char *bar_check(const struct sv_bar *shape);

/**
 * bar_stretch() - How far from @off on accesses go the same way
 * @len:       at most
 * @ret_model: to the model, and not to memory
 *
 * Context: any thread, lock-free. Return: bytes, not 0 unless @len is.
 */
uint64_t bar_stretch(const struct bar *bar, uint64_t off, uint64_t len,
		     bool *ret_model);

/** bar_is_model() - Does an access at @off go to the model? Lock-free */
static inline bool bar_is_model(const struct bar *bar, uint64_t off)
{
	bool model = true;

	if (bar->access == SV_ACCESS_DIRECT && !bar->trapped)
		return false;
	if (bar->access == SV_ACCESS_DIRECT)
		bar_stretch(bar, off, 1, &model);
	return model;
}

/** bar_done() - Nobody knows it any more; open mappings of programs stay */
void bar_done(struct bar *bar);

/**
 * bar_map() - A descriptor through which to map the BAR
 * @ret_fd: the caller sends it away and closes it; the mapping is listed from
 *	    now on until neither it nor any mapping made with it is left
 *
 * Context: takes bar->lock.
 * Return: 0; -ENOMEM, also beyond @pid's share of mappings, against which dead
 * ones count until they are looked for; -EMFILE; -ENOSPC
 * (fs.inotify.max_user_watches).
 */
int bar_map(struct bar *bar, uint64_t owner, pid_t pid, uint64_t off,
	    uint64_t len, int *ret_fd);

/**
 * bar_mappable() - Is there anything to map
 * bar_traps() - Of one that is: has every mapping to trap
 */
bool bar_mappable(const struct bar *bar);
bool bar_traps(const struct bar *bar);

/** bar_mapped() - Does a mapping of @owner live? Takes bar->lock */
bool bar_mapped(struct bar *bar, uint64_t owner);

/** struct bar_listed - What is told of a mapping */
struct bar_listed {
	pid_t pid;
	uint64_t off;
	uint64_t len;
};

/**
 * bar_list() - The mappings that live
 * @ret_all: to be freed; NULL if there is none
 *
 * To ask about one takes the host longer the more there are of them: this is
 * for listings, while bar_mapped() asks until it finds one.
 *
 * Context: takes bar->lock.
 * Return: 0; -ENOMEM.
 */
int bar_list(struct bar *bar, struct bar_listed **ret_all, size_t *ret_n);

/**
 * bar_close() - Unmap every page from every program, keep the contents
 * bar_open() - Have the contents back; the same addresses work again
 *
 * No store that retired before is lost, but for what a pipe cannot hold (of
 * more than BAR_PIPES_MAX MiB populated) and for the first one ever to a page
 * of a large BAR: such a store may be lost if it races with the close. Both do
 * nothing when it is so already.
 *
 * Context: memory_lock held for writing. bar_close() never fails: what it
 * cannot keep for want of memory reads as zeroes afterwards. When the host has
 * no memory for all of the contents, bar_open() leaves the BAR closed, nothing
 * of it mapped; it may be tried again.
 */
void bar_close(struct bar *bar);
void bar_open(struct bar *bar);

/**
 * bar_clear() - All zeroes again; open mappings stay and see zeroes
 * bar_discard() - bar_close() and bar_clear() in one: keeps nothing that is then
 *		   thrown away. Of a BAR without a gate it leaves everything
 *
 * Context: memory_lock held for writing.
 */
void bar_clear(struct bar *bar);
void bar_discard(struct bar *bar);

/**
 * bar_guard_init() - Survive a program that truncates a BAR's memfd under the
 * daemon (it was handed a descriptor to map): what is missing is made anew, all
 * zeroes, at the program's own loss
 *
 * Installs the process's SIGBUS handler; any other SIGBUS goes on to what was
 * installed before. Return: 0 or -errno.
 */
int bar_guard_init(void);

#endif
