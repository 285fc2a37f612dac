/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The device API: everything a device model may include and call.
 *
 * A model is one folder with one `const struct sv_dev_ops`. The core owns the
 * PCI function around it (configuration space, BAR memory, interrupts, DMA
 * translation, open and close); the model owns registers and behaviour. A
 * model knows no client, no ioctl and no address of the program's memory.
 * docs/howto-device.md builds one step by step.
 *
 * Context, for every callback and every function here unless it says
 * otherwise: one thread at a time per device, not always the same thread; no
 * memory_lock held. A callback may block only in the sv_dma calls. These may
 * also be made by threads of the model's own while a callback waits for them.
 * A callback that does not return within five seconds makes its function one
 * that does not answer, to everybody else, until it does.
 */
#ifndef SOFTVFIO_DEVICE_H
#define SOFTVFIO_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SV_NUM_BARS 6
#define SV_COUNTERS 16

struct sv_dev; /* one function, owned by the core */

/** enum sv_bar_kind - What a base address register decodes */
enum sv_bar_kind {
	SV_BAR_NONE,
	SV_BAR_IO,
	SV_BAR_MEM32,
	SV_BAR_MEM64, /* takes this BAR and the next one */
};

/** enum sv_bar_access - How a program's loads and stores reach the model */
enum sv_bar_access {
	/* read() and write() are called for each access */
	SV_ACCESS_TRAP,
	/* plain memory that the model looks at from run(): sv_bar_memory() */
	SV_ACCESS_DIRECT,
};

#define SV_BAR_STRETCHES 6 /* of one BAR that differ from the rest of it */

/** struct sv_stretch - Some pages of a BAR; both a multiple of 4096 bytes */
struct sv_stretch {
	uint64_t off;
	uint64_t len;
};

/**
 * struct sv_bar - Shape of one BAR
 * @size:     bytes, a power of two (memory >= 16, I/O 4 to 256); 0 with NONE
 * @kind:     what it decodes
 * @access:   how accesses reach the model; I/O BARs are always trapped
 * @prefetch: the prefetchable bit of a memory BAR
 * @persistent: direct memory that keeps its contents over resets, as RAM on a
 *	      board does
 * @trapped:  stretches of a direct memory BAR that are trapped all the same, at
 *	      most SV_BAR_STRETCHES, ascending and apart, ended by a length of
 *	      0; or NULL. Of what sv_bar_memory() has there no program sees
 *	      anything.
 */
struct sv_bar {
	uint64_t size;
	enum sv_bar_kind kind;
	enum sv_bar_access access;
	bool prefetch;
	bool persistent;
	const struct sv_stretch *trapped;
};

/**
 * struct sv_shape - What a function looks like from its configuration space
 * @vendor:        vendor id
 * @device:        device id
 * @subsys_vendor: subsystem vendor id, 0 = same as @vendor
 * @subsys_device: subsystem id
 * @class_code:    24-bit class, e.g. 0x010802 for NVMe
 * @revision:      revision id
 * @bar:           the six BARs
 * @rom_file:      expansion ROM image, or NULL
 * @rom_size:      size of the ROM BAR in bytes, a power of two; 0 = no ROM
 * @no_intx:       the function has no INTx pin
 * @msi:           MSI vectors, 0 or a power of two up to 32
 * @msi_maskable:  MSI has per-vector masks
 * @msix:          MSI-X vectors, 0 to 2048
 * @msix_bar:      BAR of the MSI-X table and pending bits
 * @msix_table:    offset of the table, 8-aligned
 * @msix_pba:      offset of the pending bit array, 8-aligned
 * @no_pcie:       conventional PCI: 256 bytes of configuration space, no FLR
 * @no_pm:         no power management capability
 * @no_flr:        PCIe without function level reset
 * @af_flr:        conventional PCI with function level reset through the
 *		   Advanced Features capability; of no effect with PCIe
 * @no_soft_reset: PMCSR.NoSoftRst: D3hot to D0 keeps state
 * @multifunction: other functions share the slot; for the core to say
 *
 * An MSI-X table that overlaps nothing may be left to the core: with @msix set
 * and @msix_bar naming a BAR of kind NONE, the core makes that BAR a memory
 * BAR of the right size.
 */
struct sv_shape {
	uint16_t vendor;
	uint16_t device;
	uint16_t subsys_vendor;
	uint16_t subsys_device;
	uint32_t class_code;
	uint8_t revision;
	struct sv_bar bar[SV_NUM_BARS];
	const char *rom_file;
	uint32_t rom_size;
	bool no_intx;
	unsigned int msi;
	bool msi_maskable;
	unsigned int msix;
	unsigned int msix_bar;
	uint32_t msix_table;
	uint32_t msix_pba;
	bool no_pcie;
	bool no_pm;
	bool no_flr;
	bool af_flr;
	bool no_soft_reset;
	bool multifunction;
};

/** struct sv_option - One option of a model, beside those of every device */
struct sv_option {
	const char *name;
	const char *help; /* one line, e.g. "FILE  storage, a raw image" */
};

/** enum sv_reset - Why a model is being reset */
enum sv_reset {
	SV_RESET_OPEN,	   /* first open */
	SV_RESET_FUNCTION, /* FLR, VFIO_DEVICE_RESET, D3hot to D0 */
	SV_RESET_CLOSE,	   /* last close: nobody is using it any more */
};

#define SV_API                                                                 \
	1 /* of what is in this file; counts up when a model must change */

/**
 * struct sv_dev_ops - A device model
 * @api:        SV_API, as the model was built for; another one is refused
 * @name:       as in `-d name,option=value`
 * @summary:    one line for `softvfio devices`
 * @options:    the model's own options, ended by a NULL name; or NULL
 * @shape:      default shape; the user's options are laid over it
 * @counters:   names of what the model counts with sv_count(), at most
 *		SV_COUNTERS, ended by NULL; or NULL. `softvfio ls --stats`
 *		shows them.
 * @state_size: bytes of zeroed state, see sv_state()
 * @polled:     run() has to look at BAR memory even when nobody kicked it
 *
 * @shape_up:   optional; change the shape from the options (a BAR's size)
 *              before the function exists. Only sv_state() is not yet there.
 * @init:       optional; options to state, open files. Return 0 or -errno;
 *              say why with sv_error() first.
 * @done:       optional; also called after a failed @init
 * @reset:      back to power-on state. Direct BAR memory has been zeroed
 *              (unless persistent) and may be touched without sv_mmio_begin().
 * @read:       trapped read; @size is 1, 2, 4 or 8 and @off a multiple of it.
 *              Return the value, little endian in host order.
 * @write:      trapped write
 * @run:        optional; does what there is to do and returns whether there
 *              was anything. Called on the device's own thread after
 *              sv_kick(), and again and again while it returns true; with
 *              @polled also on its own at a growing interval. Bus accesses are
 *              fine here.
 */
struct sv_dev_ops {
	unsigned int api;
	const char *name;
	const char *summary;
	const struct sv_option *options;
	struct sv_shape shape;
	const char *const *counters;
	size_t state_size;
	bool polled;

	int (*shape_up)(struct sv_dev *dev, struct sv_shape *shape);
	int (*init)(struct sv_dev *dev);
	void (*done)(struct sv_dev *dev);
	void (*reset)(struct sv_dev *dev, enum sv_reset why);
	uint64_t (*read)(struct sv_dev *dev, unsigned int bar, uint64_t off,
			 unsigned int size);
	void (*write)(struct sv_dev *dev, unsigned int bar, uint64_t off,
		      uint64_t val, unsigned int size);
	bool (*run)(struct sv_dev *dev);
};

/** sv_state() - The model's zero-initialised state */
void *sv_state(struct sv_dev *dev);

/** sv_shape() - The function's shape, the user's options laid over it */
const struct sv_shape *sv_shape(const struct sv_dev *dev);

/**
 * sv_option() - Value of one of the model's options
 *
 * Return: the text after '=', "" when given without one, NULL when not given.
 * Belongs to @dev.
 */
const char *sv_option(const struct sv_dev *dev, const char *name);

/**
 * sv_option_size() - An option that is a number of bytes: 4096, 64K, 1G
 * @ret_bytes: written on success; left alone when the option is not given
 *
 * Return: 0; -EINVAL not a size (already reported with sv_error()).
 */
int sv_option_size(struct sv_dev *dev, const char *name, uint64_t *ret_bytes);

/** sv_error() - Report why @shape_up or @init fails; one line, no newline */
void sv_error(struct sv_dev *dev, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/** enum sv_log - How much it matters; the last is seen with `-v` only */
enum sv_log { SV_LOG_ERROR, SV_LOG_WARN, SV_LOG_INFO, SV_LOG_DEBUG };

/**
 * sv_log() - A line for whoever runs the daemon; no newline
 *
 * It bears the function's name. What a program can cause again and again is for
 * SV_LOG_DEBUG, or for sv_driver_error().
 *
 * Context: any thread; may wait for whoever reads the log.
 */
void sv_log(struct sv_dev *dev, enum sv_log level, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/**
 * sv_driver_error() - The driver does what the specification forbids
 *
 * Said to its author by `softvfio why` and counted for `softvfio ls --stats` and
 * the report of `softvfio run`; the model goes on as its hardware would. One line,
 * no newline: what was done, with which value, and what would be right.
 *
 * Context: any thread; no lock that sv_*() take.
 */
void sv_driver_error(struct sv_dev *dev, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/**
 * sv_clock() - Nanoseconds that have passed for the device, from any start
 *
 * The one clock of a model, and of sv_timer: what drives it may be the host's
 * monotonic clock, or a schedule.
 *
 * Context: any thread.
 */
uint64_t sv_clock(struct sv_dev *dev);

/**
 * struct sv_timer - Something to be done later; lies in the model's state
 * @fn:   called once, at @at or soon after
 * @at:   on sv_clock()
 * @next: the core's
 * @set:  the core's
 */
struct sv_timer {
	void (*fn)(struct sv_dev *dev, struct sv_timer *timer);
	uint64_t at;
	struct sv_timer *next;
	bool set;
};

/**
 * sv_timer_set() - Have timer->fn called at @at, instead of when it was set for
 * sv_timer_cancel() - Not at all; may be done when it is not set
 *
 * @fn is called as run() is, on the device's own thread, and may do all that
 * run() may, so also set the timer again. A reset, of whatever kind, cancels all
 * timers before the model's reset() is called, and none is called while nobody
 * has the device open.
 *
 * Context: a callback of the model, done() excepted.
 */
void sv_timer_set(struct sv_dev *dev, struct sv_timer *timer, uint64_t at);
void sv_timer_cancel(struct sv_dev *dev, struct sv_timer *timer);

#define SV_WATCHES 4 /* descriptors that a model may wait for */

/**
 * sv_watch_fd() - Have @readable called when there is something to read
 * @fd: the model's own, O_NONBLOCK, until done(); a socket, a pipe, a terminal,
 *	an eventfd
 *
 * @readable is called as run() is; it has to read until there is no more
 * (EAGAIN), since it is called for news only. What comes while nobody has the
 * device open is told of when somebody has.
 *
 * Context: init().
 * Return: 0; -ENOSPC SV_WATCHES are in use; -EPERM of a kind that nobody can wait
 * for; -EBADF; -EMFILE, -ENOMEM.
 */
int sv_watch_fd(struct sv_dev *dev, int fd,
		void (*readable)(struct sv_dev *dev, int fd));

/**
 * sv_bar_memory() - Memory of a direct BAR
 *
 * Touch it only between sv_mmio_begin() and sv_mmio_end(), except in reset().
 *
 * Return: the first byte; the program's mappings show the same pages.
 */
uint8_t *sv_bar_memory(struct sv_dev *dev, unsigned int bar);

/**
 * sv_mmio_begin() - Start a burst of accesses to the device's own BAR memory
 *
 * Holds memory_lock for reading: keep bursts short, no DMA and no interrupt
 * inside.
 *
 * Return: true; false when memory decode is off or the device is in reset, and
 * then sv_mmio_end() must not be called.
 */
bool sv_mmio_begin(struct sv_dev *dev);
void sv_mmio_end(struct sv_dev *dev);

/**
 * sv_dma_read() - Read program memory as a bus master, by SV_PASID_NONE
 * sv_dma_write() - Write program memory as a bus master, likewise
 * @iova: bus address
 * @len:  bytes; 0 is a no-op
 *
 * Return: 0; -EIO the access was aborted (bus mastering is off, something in
 * the range is not mapped or lacks the permission, the memory has gone), of a
 * failing write any prefix may have been written; -ECANCELED a reset or the
 * last close is waiting: return from the callback without further accesses.
 */
int sv_dma_read(struct sv_dev *dev, uint64_t iova, void *buf, size_t len);
int sv_dma_write(struct sv_dev *dev, uint64_t iova, const void *buf,
		 size_t len);

/**
 * struct sv_dma - One bus access of several
 * @iova:  bus address
 * @buf:   the model's side
 * @len:   bytes; 0 is a no-op
 * @write: program memory is written; else read
 * @pasid: whose address space it is; SV_PASID_NONE: the function's own. An access
 *	   by another is aborted unless that is attached, as behind an IOMMU.
 */
struct sv_dma {
	uint64_t iova;
	void *buf;
	size_t len;
	bool write;
	uint32_t pasid;
};

#define SV_PASID_NONE                                                          \
	0 /* no access bears it: Linux keeps 0 for those without */

/**
 * sv_dma_many() - Several accesses, in this order
 * @list:     the accesses; what one of them writes, later ones find
 * @ret_done: on -EIO, how many were made before the one that failed; those
 *	      behind it were not begun
 *
 * Cheaper than one call for each: the program's mappings are looked up
 * together, and private memory is reached with one hand-over for up to 64 KiB.
 *
 * A program sees what is written by one access only after what was written by
 * those before it, so a completion may follow its data in one list.
 *
 * Return: as sv_dma_read() and sv_dma_write().
 */
int sv_dma_many(struct sv_dev *dev, const struct sv_dma *list, size_t n,
		size_t *ret_done);

#define SV_DMA_HOLD 8 /* mappings of the program that one transfer may touch */

/** struct sv_dma_hold - Program memory being held, see sv_dma_map() */
struct sv_dma_hold {
	void *opaque[SV_DMA_HOLD];
	unsigned int n;
};

struct iovec;

/**
 * sv_dma_map() - Hold program memory for system calls that move data to or from
 * it without a copy in between
 * @list: addresses and lengths, none 0; all in the same direction, and @buf
 *	  is not looked at
 * @iov:  room for @max; filled from the start
 * @hold: to be released with sv_dma_unmap() after a positive return
 *
 * Checked and counted like any other access. The pages stay where they are
 * until they are released, and an unmap by the program waits for that, so keep
 * it to one transfer. They are for the kernel alone: a program may cut off its
 * file at any moment, which a system call answers with EFAULT and a load or
 * store of our own with a crash.
 *
 * Return: how many entries of @iov were filled; 0 this memory cannot be
 * pointed at, use sv_dma_many(); -EIO as sv_dma_read().
 */
int sv_dma_map(struct sv_dev *dev, const struct sv_dma *list, size_t n,
	       struct iovec *iov, size_t max, struct sv_dma_hold *hold);

/**
 * sv_dma_unmap() - The transfer has ended
 * @gone: a system call said EFAULT: counted and reported as a DMA that missed
 */
void sv_dma_unmap(struct sv_dev *dev, struct sv_dma_hold *hold, bool gone);

/** enum sv_irq_mode - Which kind of interrupt the program has enabled */
enum sv_irq_mode { SV_IRQ_NONE, SV_IRQ_INTX, SV_IRQ_MSI, SV_IRQ_MSIX };

/** sv_irq_mode() - Context: any thread */
enum sv_irq_mode sv_irq_mode(struct sv_dev *dev);

/**
 * sv_irq_raise() - Send MSI or MSI-X message @vector
 *
 * Does nothing while neither is enabled, as bus mastering off does.
 * Context: any thread; never blocks.
 */
void sv_irq_raise(struct sv_dev *dev, unsigned int vector);

/**
 * sv_irq_level() - Drive the INTx pin
 *
 * The level is remembered: masked or not yet enabled, it is seen later.
 * Context: any thread; never blocks.
 */
void sv_irq_level(struct sv_dev *dev, bool asserted);

/**
 * sv_count() - Add to a counter of the model's, see struct sv_dev_ops
 * @counter: its place in the list of their names
 */
void sv_count(struct sv_dev *dev, unsigned int counter, uint64_t n);

/** sv_kick() - Have run() called soon. Context: any thread; never blocks. */
void sv_kick(struct sv_dev *dev);

#endif
