/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One PCI function: configuration space, BARs, interrupts and a device model
 * put together, with what vfio-pci does to them: open, close, region access,
 * mapping, reset. The front end translates ioctls into these calls.
 *
 * Locks, outer to inner (docs/LOCKING.md): dev_set -> resetting -> model ->
 * igate -> memory_lock -> bar. The model lock is what "one thread at a time" means.
 *
 * Context, for every function unless it says otherwise: any thread; takes the
 * model lock, igate, memory_lock or the bars' locks, so none of them may be
 * held.
 */
#ifndef SOFTVFIO_CORE_PCI_DEVICE_H
#define SOFTVFIO_CORE_PCI_DEVICE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/pci/bar.h"
#include "core/pci/busy.h"
#include "core/pci/config.h"
#include "core/pci/devthread.h"
#include "core/dma/dma.h"
#include "core/dma/domain.h"
#include "core/pci/ioeventfd.h"
#include "core/pci/irq.h"
#include "core/common/watch.h"
#include "core/pci/timer.h"
#include "lib/lock.h"
#include "softvfio/device.h"

/* linux/vfio.h: VFIO_PCI_*_REGION_INDEX */
enum region_index {
	REGION_BAR0,
	REGION_BAR5 = 5,
	REGION_ROM,
	REGION_CONFIG,
	REGION_VGA,
	REGION_NUM,
};

#define REGION_SHIFT	40
#define DEVICE_NAME_MAX 16 /* "0000:01:00.0" */

/** struct device_option - one of a model's options, for sv_option() */
struct device_option {
	const char *name;
	const char *value;
};

#define DEV_SET_MAX 256 /* functions of a bus: 32 slots of 8 */

/**
 * struct dev_set - Devices that a slot or bus reset takes along
 * @lock: open counts and presence of all of them
 * @dev:  in the order of their addresses; immutable, as the next
 * @n:	  how many
 * @at:	  which of them a hot reset is resetting now, or NULL
 */
struct dev_set {
	struct mutex lock;
	struct sv_dev *dev[DEV_SET_MAX];
	size_t n;
	struct sv_dev *_Atomic at;
};

/** enum device_presence - Is the function there, and whose is it */
enum device_presence {
	DEVICE_BOUND,	/* to vfio-pci */
	DEVICE_LEAVING, /* it is to go, but still in use: no new opens */
	DEVICE_UNBOUND, /* there, without a driver */
	DEVICE_ABSENT,	/* removed; a rescan finds it again */
};

/** struct bus_space - What the "firmware" has not given to a BAR yet */
struct bus_space {
	uint64_t io;
	uint64_t mem32;
	uint64_t mem64;
};

#define BUS_SPACE_INIT                                                         \
	{                                                                      \
		.io = 0xc000, .mem32 = 0xc0000000ull, .mem64 = 0x380000000000  \
	}

/** struct device_stats - Counted for reports; relaxed atomics */
struct device_stats {
	_Atomic uint64_t dma_reads;
	_Atomic uint64_t dma_writes;
	_Atomic uint64_t dma_bytes;
	_Atomic uint64_t dma_faults;
	_Atomic uint64_t dma_not_master;
	_Atomic uint64_t driver_errors;
};

/**
 * device_note_fn - What `softvfio why` is to show of a function
 * @err: EFAULT a DMA was aborted; EINVAL a driver has made a mistake
 */
typedef void (*device_note_fn)(void *opaque, const struct sv_dev *dev, int err,
			       const char *reason);

/**
 * struct device_host - What a function is created with
 * @name:	"0000:01:00.0"
 * @ops:	its model
 * @options:	the model's options, ended by a NULL name; borrowed for life
 * @override:	lays the user's shape over the model's; 0 or -errno with @err
 * @override_arg: passed to it
 * @space:	bus addresses are taken from here
 * @watcher:	for unmask eventfds; borrowed for life
 * @instance:	for the BARs' memfd names
 * @inotify:	told when a BAR mapping has gone
 * @set:	its reset set; borrowed for life
 * @group_id:	number of its IOMMU group
 * @note:	told about every aborted DMA and each mistake of a driver; called
 *		with no lock but the model's
 * @note_arg:	passed to it
 * @left:	a function that was to go once nobody uses it has gone
 * @left_arg:	passed to it; called with no lock of the core's
 */
struct device_host {
	const char *name;
	const struct sv_dev_ops *ops;
	const struct device_option *options;
	int (*override)(void *arg, struct sv_shape *shape, char err[256]);
	void *override_arg;
	struct bus_space *space;
	struct watcher *watcher;
	uint64_t instance;
	int inotify;
	struct dev_set *set;
	unsigned int group_id;
	device_note_fn note;
	void *note_arg;
	void (*left)(void *opaque, struct sv_dev *dev);
	void *left_arg;
};

struct sv_dev {
	/* immutable after device_new() */
	char name[DEVICE_NAME_MAX];
	const struct sv_dev_ops *ops;
	const struct device_option *options;
	struct sv_shape shape;
	struct config *config;
	struct irq *irq;
	struct bar bar[SV_NUM_BARS];
	uint64_t bar_base[7];
	uint8_t *rom;
	size_t rom_len; /* bytes of image; the BAR may be larger */
	void *state;
	struct dev_set *set;
	unsigned int group_id;
	struct devthread *thread;
	struct watcher *watcher;
	struct watch unmask;
	device_note_fn note;
	void *note_arg;
	void (*left)(void *opaque, struct sv_dev *dev);
	void *left_arg;
	bool begun;  /* its model's init() has, so that done() may follow */
	char *error; /* where sv_error() writes while starting up, or NULL */

	struct mutex
		resetting;   /* from before the model is stopped to the end */
	struct mutex model;  /* the model's state and callbacks */
	struct mutex access; /* held by a trapped access that goes ahead */
	struct callback callback; /* of the model's, that is under way */
	atomic_bool stops; /* a reset has cancelled DMA and has not the model */
	struct rwlock memory_lock; /* may BARs be touched */
	bool gate_open;		   /* memory_lock: BARs are mapped in */
	atomic_bool gate_late;	   /* that could not be changed in time */
	bool in_use; /* memory_lock: from first open to last close */
	unsigned int open_count;	       /* set->lock */
	_Atomic enum device_presence presence; /* set->lock to change */
	_Atomic bool revoked;		       /* unplugged under its users */
	bool remove;		/* set->lock: LEAVING becomes ABSENT */
	_Atomic bool low_power; /* LOW_POWER_ENTRY is in force */
	int wakeup_fd;		/* model lock; -1 = none */
	struct domain *domain;	/* set->lock; a reference, attached; or NULL */
	/* its table; set->lock to change, if there is one the model lock too */
	struct iopt *_Atomic iopt;
	struct timers timers;
	unsigned int n_readables; /* immutable after device_new() */
	struct readable readable[SV_WATCHES];
	struct dma_ctx dma;
	atomic_uint moving; /* so many of dma.cancel are no reset */
	struct ioeventfds ioeventfds;
	struct device_stats stats;
	_Atomic uint64_t counter[SV_COUNTERS]; /* the model's: relaxed */
};

/**
 * device_new() - Make a function and its model
 * @err: one line on failure
 *
 * Context: one thread; nobody else knows the function yet.
 * Return: 0; -ENOMEM, -EMFILE; -ENOSPC no bus addresses are left; -EFBIG the
 * ROM's image is no file, or larger than its BAR; as open(2) of the image; as
 * @override; as shape_up() or init() of the model.
 */
int device_new(const struct device_host *host, char err[256],
	       struct sv_dev **ret_dev);

/** device_free() - Not open, and nobody calls in any more; NULL is fine */
struct sv_dev *device_free(struct sv_dev *dev);

/**
 * device_open() - One more user; the first one resets the function
 *
 * DMA is aborted as unmapped until device_attach().
 *
 * Context: takes set->lock and what is inside.
 * Return: 0; -EAGAIN no thread could be started; -EIO its model is stuck.
 */
int device_open(struct sv_dev *dev);

/**
 * device_close() - One user less; with the last one DMA stops and is attached to
 * nothing, interrupts go, the function is reset, all before it returns
 *
 * Context: takes set->lock and what is inside; waits for the model's run(),
 * but for no program.
 * Return: 0; -EBUSY its model is stuck, and nothing is closed: try again when
 * it is not.
 */
int device_close(struct sv_dev *dev);

/**
 * device_attach() - DMA of an open function goes through @d
 * @d: one reference is taken, until it is detached, replaced or closed
 *
 * Waits for no model: whoever opens one that hangs gets it all the same.
 *
 * Context: takes set->lock, and what domain_attach() takes.
 * Return: 0, also if it is attached to @d; -EINVAL it is attached to another; as
 * domain_attach().
 */
int device_attach(struct sv_dev *dev, struct domain *d);

/**
 * device_detach() - DMA is aborted as unmapped from now on; nothing attached is
 * fine
 * device_replace() - DMA goes through @d from now on, instead of another
 * @d: one reference is taken
 *
 * When they return nothing of the model is under way that uses the table from
 * before, and each of its callbacks has seen one only. DMA that waits for a
 * program gives up, and is an abort: -EIO to the model, which goes on.
 *
 * Context: take set->lock and the model lock; wait for the model's run(), but
 * for no program.
 * Return: 0; -EBUSY its model is stuck, and nothing has changed; replace: -EINVAL
 * nothing is attached; as domain_attach().
 */
int device_detach(struct sv_dev *dev);
int device_replace(struct sv_dev *dev, struct domain *d);

/** struct device_region - VFIO_DEVICE_GET_REGION_INFO */
struct device_region {
	uint64_t size;
	bool read;
	bool write;
	bool mmap;
	bool msix; /* holds the MSI-X table: MSIX_MAPPABLE */
};

/**
 * device_region() - VFIO_DEVICE_GET_REGION_INFO
 *
 * Context: any thread, lock-free.
 * Return: 0; -EINVAL no such region.
 */
int device_region(const struct sv_dev *dev, uint32_t index,
		  struct device_region *ret_region);

/**
 * device_read() - read or pread of a device file
 * device_write() - write or pwrite
 * @pos:  region index << 40 | offset
 * @have: how many of the @count bytes to write the program's memory has
 *
 * Split at natural alignment into accesses of at most 8 bytes, each with
 * memory_lock held for reading (kernel-semantics 3.10).
 *
 * Return: bytes done, short at a region's end; -EINVAL no such region, or
 * beyond it, or a write to the ROM; -EFAULT beyond configuration space, or at
 * the first piece that @have does not cover; -EIO memory decode is off,
 * -ENOMEM when that is so of the ROM.
 */
int64_t device_read(struct sv_dev *dev, uint64_t pos, void *buf, size_t count);
int64_t device_write(struct sv_dev *dev, uint64_t pos, const void *buf,
		     size_t have, size_t count);

/**
 * struct device_map - What mmap of a device file is asked for
 * @owner:  the open file
 * @pid:    who asks
 * @pos:    region index << 40 | offset, page-aligned
 * @len:    bytes
 * @shared: MAP_SHARED
 */
struct device_map {
	uint64_t owner;
	pid_t pid;
	uint64_t pos;
	uint64_t len;
	bool shared;
};

/**
 * device_mmap() - mmap of a device file
 * @ret_fd: to map at the returned @ret_off, as device_ranges() says
 *
 * Context: takes the bar's lock.
 * Return: 0; -EINVAL not shared, a region that cannot be mapped, or beyond its
 * end (kernel-semantics 3.11); -EMFILE, -ENOMEM.
 */
int device_mmap(struct sv_dev *dev, const struct device_map *map,
		uint64_t *ret_off, int *ret_fd);

#define DEVICE_RANGES_MAX (2 * SV_BAR_STRETCHES + 1)

/** struct device_range - A stretch of a mapping: does it trap? */
struct device_range {
	uint64_t len;
	bool trap;
};

/**
 * device_ranges() - Which parts of a mapping have to trap
 * @pos: and @len are what device_mmap() has accepted
 * @ret_range: ascending, from the mapping's start to the end of its last page
 *
 * Context: any thread, lock-free. Return: how many.
 */
size_t device_ranges(const struct sv_dev *dev, uint64_t pos, uint64_t len,
		     struct device_range ret_range[DEVICE_RANGES_MAX]);

/**
 * device_mapped() - Does a mapping made through @owner live?
 *
 * Context: takes the bars' locks.
 */
bool device_mapped(struct sv_dev *dev, uint64_t owner);

/**
 * device_fault() - vfio_pci_mmap_fault(): a program touched a page that is not
 * there
 *
 * Context: takes memory_lock for reading and waits for it: a reset under way
 * is waited for and never refused.
 * Return: 0 the page is there, touch it again; -EFAULT memory decode is off,
 * in low power, or not in use: SIGBUS.
 */
int device_fault(struct sv_dev *dev, unsigned int bar, uint64_t off);

/**
 * device_access() - One load or store to a trapped page
 * @size: 1, 2, 4 or 8; @off a multiple of it
 *
 * Context: takes memory_lock for reading, or the model lock.
 * Return: 0; -EINVAL no such size; -EFAULT outside the BAR, or as
 * device_fault().
 */
int device_access(struct sv_dev *dev, unsigned int bar, uint64_t off,
		  unsigned int size, bool write, uint64_t *val);

/**
 * device_posted_write() - A write that nobody waits for (an ioeventfd's)
 * @wait: else only if it can go ahead at once; with it, the model lock is held
 *
 * Dropped when decode is off.
 *
 * Return: true; false, only without @wait: it cannot.
 */
bool device_posted_write(struct sv_dev *dev, unsigned int bar, uint64_t off,
			 const void *buf, size_t len, bool wait);

/**
 * device_msix_table() - Where in a BAR the MSI-X table is; nowhere is a range
 * beyond all offsets. Lock-free
 */
void device_msix_table(const struct sv_dev *dev, unsigned int bar,
		       uint64_t *ret_start, uint64_t *ret_end);

/** device_gone() - It was unplugged, whoever has it open: ENODEV. Lock-free */
bool device_gone(const struct sv_dev *dev);

/**
 * device_name() - "0000:01:00.0"
 * device_group_id() - Number of its IOMMU group
 * device_irq() - Its interrupts: core/pci/irq.h
 * device_bar_base() - The bus address that the "firmware" gave to a BAR, or to
 * the ROM: REGION_BAR0 to REGION_ROM
 *
 * Context: any thread, lock-free, for its life. What it is made like tells
 * sv_shape().
 */
const char *device_name(const struct sv_dev *dev);
unsigned int device_group_id(const struct sv_dev *dev);
struct irq *device_irq(const struct sv_dev *dev);
uint64_t device_bar_base(const struct sv_dev *dev, unsigned int region);

/**
 * device_presence() - Is it there, and whose is it
 *
 * Context: lock-free; what is said may be otherwise by then, unless set->lock or
 * its group's is held.
 */
enum device_presence device_presence(const struct sv_dev *dev);

/**
 * device_config_size() - Of its configuration space, in bytes
 * device_config_read(), device_config_write() - As config_raw_read() and
 * config_raw_write(): sysfs
 */
unsigned int device_config_size(const struct sv_dev *dev);
int64_t device_config_read(struct sv_dev *dev, uint64_t pos, void *buf,
			   size_t count);
int64_t device_config_write(struct sv_dev *dev, uint64_t pos, const void *buf,
			    size_t count);

/** device_has_flr() - By PCIe or AF. Lock-free */
bool device_has_flr(const struct sv_shape *shape);

/** device_on_root_bus() - Bus 00, whose functions no bus reset reaches.
 * Lock-free */
bool device_on_root_bus(const struct sv_dev *dev);

/** device_has_bus_reset() - One that reaches nothing else. Lock-free */
bool device_has_bus_reset(const struct sv_dev *dev);

/**
 * device_resettable() - Is there a way to reset it alone: FLR, through D3hot,
 * or, when nothing else is behind the same port, the bus
 *
 * Context: any thread, lock-free.
 */
bool device_resettable(const struct sv_dev *dev);

/**
 * device_reset() - VFIO_DEVICE_RESET
 *
 * Context: takes the model lock and what is inside; waits for the model's
 * run(), but for no program.
 * Return: 0; -EINVAL there is no way to reset it; -ENOTTY its model is stuck,
 * as Linux says of a function that does not become ready.
 */
int device_reset(struct sv_dev *dev);

/**
 * device_low_power() - VFIO_DEVICE_FEATURE_LOW_POWER_*
 * @enter: else exit, which is idempotent
 * @wakeup_fd: signalled when the device wakes up; taken on success; or -1
 *
 * Context: takes the model lock and memory_lock.
 * Return: 0; -EINVAL already in low power; -EIO its model is stuck.
 */
int device_low_power(struct sv_dev *dev, bool enter, int wakeup_fd);

/**
 * device_wake() - The program uses the file: a function in low power wakes up,
 * and if it was to tell of that, it does, and is in low power no longer
 */
void device_wake(struct sv_dev *dev);

/**
 * model_lock() - Wait for the model's lock
 * access_lock(), resetting_lock(), memory_read(), memory_write() - For others
 *
 * Return: true; false the function is stuck, and the lock is not held.
 */
bool model_lock(struct sv_dev *dev) TRY_ACQUIRES(true, &dev->model);
bool access_lock(struct sv_dev *dev) TRY_ACQUIRES(true, &dev->access);
bool resetting_lock(struct sv_dev *dev) TRY_ACQUIRES(true, &dev->resetting);
bool memory_read(struct sv_dev *dev)
	TSA(try_acquire_shared_capability(true, &dev->memory_lock));
bool memory_write(struct sv_dev *dev) TRY_ACQUIRES(true, &dev->memory_lock);

/** device_low_power_locked() - the same with the model lock held, core only */
void device_low_power_locked(struct sv_dev *dev, bool enter)
	REQUIRES(&dev->model);

/** device_p2p() - Peer access to a BAR's memory: struct mem_bar_ops */
extern const struct mem_bar_ops device_p2p;

#endif
