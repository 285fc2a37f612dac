/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Everything there is: groups and functions, made once at start-up, and the
 * services they share. Immutable afterwards, so looking things up needs no
 * lock.
 *
 * Context, for every function unless it says otherwise: any thread, lock-free;
 * making and freeing: one thread, before and after all others.
 */
#ifndef SOFTVFIO_CORE_MACHINE_MACHINE_H
#define SOFTVFIO_CORE_MACHINE_MACHINE_H

#include <stddef.h>
#include <stdint.h>

#include "core/pci/device.h"
#include "core/vfio/group.h"
#include "core/machine/unplug.h"

#define MACHINE_OVERRIDE_MAX 64
#define MACHINE_BAR_SLOTS    4096 /* more than twice the BARs there can be */

/** struct machine_dev - A function and where it belongs */
struct machine_dev {
	struct sv_dev *dev;
	struct group *group;
	struct mutex lock; /* driver_override */
	char driver_override[MACHINE_OVERRIDE_MAX];
};

struct machine {
	uint64_t instance; /* random, in every name we bind */
	int inotify;	   /* readable when a BAR mapping has gone */
	struct watcher *watcher;
	struct unplug unplug;
	struct bus_space space;
	struct machine_dev dev[MACHINE_DEVICES_MAX];
	size_t n_devs;
	struct group *group[MACHINE_DEVICES_MAX];
	size_t n_groups;
	struct dev_set *set[MACHINE_DEVICES_MAX];
	size_t n_sets;
	/* 1 + 6 * index of the device + BAR, hashed by st_ino; 0 is empty */
	uint16_t bar_slot[MACHINE_BAR_SLOTS];
};

/**
 * machine_new() - A machine without functions
 *
 * Return: 0; -ENOMEM, -EMFILE, -ENFILE; -EAGAIN no thread; what getrandom(2)
 * said.
 */
int machine_new(struct machine **ret_machine);

/** machine_free() - With everything in it; NULL is fine */
struct machine *machine_free(struct machine *m);

/**
 * machine_add() - Make a function
 * @host:  space, watcher, instance, inotify and set are filled in here
 * @group: number of its IOMMU group
 * @err:   one line on failure
 *
 * Functions share a dev_set that one reset reaches: those of a slot (all but
 * the function number alike), and the conventional ones of a bus. The root bus
 * cannot be reset, so there each is alone.
 *
 * Return: 0; -ENOSPC too many, of the machine or of one group; -ENOMEM; or as
 * device_new(). @err says why, but for -ENOSPC and -ENOMEM.
 */
int machine_add(struct machine *m, struct device_host *host, unsigned int group,
		char err[256]);

/** machine_group(), machine_device() - By number, by address; NULL if none */
struct group *machine_group(const struct machine *m, unsigned int id);
struct machine_dev *machine_device(struct machine *m, const char *name);

/**
 * machine_override_get() - sysfs driver_override; "(null)" when not set
 * machine_override_set() - Cut to MACHINE_OVERRIDE_MAX; "" = not set
 *
 * Context: any thread; take a leaf lock.
 */
void machine_override_get(struct machine_dev *md, char *text, size_t size);
void machine_override_set(struct machine_dev *md, const char *text);

/** machine_list_bars() - machine_bar() finds those of @m->dev[@at] now */
void machine_list_bars(struct machine *m, size_t at);

/**
 * machine_bar() - Whose BAR a memfd is; NULL if none; @ret_bar its index
 *
 * As fstat() has it. All BARs are open from start to end, so that no other file
 * ever has their numbers.
 */
struct sv_dev *machine_bar(const struct machine *m, uint64_t st_dev,
			   uint64_t st_ino, unsigned int *ret_bar);

#endif
