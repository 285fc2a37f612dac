/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A program's accesses to the regions of a function: pread and pwrite, mmap,
 * faults, trapped loads and stores, and a peer device's DMA into a BAR.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/pci/device.h"
#include "lib/evfd.h"
#include "lib/refuse.h"
#include "lib/sched.h"
#include "lib/size.h"

/* How long a peer's DMA tries for a model that is busy: a completion time-out.
 * Waiting without end could deadlock two devices writing to each other. */
#define PEER_TIMEOUT_NS 10000000
#define PEER_ANSWER_NS	1000000000 /* and for its answer */

#define MEMORY_OFF "%s BAR%u: touched with memory decode off"

/*
 * Memory BARs are gated by COMMAND.MEMORY. Linux lets every access to an I/O
 * BAR through; with COMMAND.IO off it is the function that does not answer.
 */
static bool bar_decodes(const struct sv_dev *dev, const struct bar *bar)
{
	if (device_gone(dev))
		return false;
	return bar->kind == SV_BAR_IO || config_memory_enabled(dev->config);
}

/* One access, as a bus makes it: others are at the same memory meanwhile. */
static void memory_access(uint8_t *p, unsigned int size, bool write,
			  uint64_t *val)
{
	switch (size) {
	case 1:
		if (write)
			__atomic_store_n((volatile uint8_t *)p, (uint8_t)*val,
					 __ATOMIC_RELAXED);
		else
			*val = __atomic_load_n((volatile uint8_t *)p,
					       __ATOMIC_RELAXED);
		break;
	case 2:
		if (write)
			__atomic_store_n((volatile uint16_t *)p, (uint16_t)*val,
					 __ATOMIC_RELAXED);
		else
			*val = __atomic_load_n((volatile uint16_t *)p,
					       __ATOMIC_RELAXED);
		break;
	case 4:
		if (write)
			__atomic_store_n((volatile uint32_t *)p, (uint32_t)*val,
					 __ATOMIC_RELAXED);
		else
			*val = __atomic_load_n((volatile uint32_t *)p,
					       __ATOMIC_RELAXED);
		break;
	default:
		if (write)
			__atomic_store_n((volatile uint64_t *)p, *val,
					 __ATOMIC_RELAXED);
		else
			*val = __atomic_load_n((volatile uint64_t *)p,
					       __ATOMIC_RELAXED);
	}
}

static void model_access(struct sv_dev *dev, unsigned int index, uint64_t off,
			 unsigned int size, bool write, uint64_t *val)
	REQUIRES(&dev->model, &dev->access)
{
	bool answers = dev->bar[index].kind != SV_BAR_IO ||
		       config_io_enabled(dev->config);

	if (write && answers && dev->ops->write) {
		callback_begin(dev, "write");
		dev->ops->write(dev, index, off, *val, size);
		callback_end(dev);
	} else if (!write && answers && dev->ops->read) {
		callback_begin(dev, "read");
		*val = dev->ops->read(dev, index, off, size);
		callback_end(dev);
	} else if (!write) {
		*val = UINT64_MAX;
	}
}

/* May a program's load or store go ahead? Waits for who is changing that; of
 * one that is stuck in reset() nobody knows. */
static bool device_gate_open(struct sv_dev *dev)
{
	if (!memory_read(dev))
		return false;
	bool open = dev->gate_open;

	rwlock_unread(&dev->memory_lock);
	return open;
}

/* A completion time-out: reads are ones, writes have been posted. */
static int no_answer(bool write, uint64_t *val)
{
	if (!write)
		*val = UINT64_MAX;
	return 0;
}

/* One naturally aligned access of a program; @mapped: by a mapping of it. */
struct touch {
	unsigned int index;
	unsigned int size;
	uint64_t off;
	bool write;
	bool mapped;
};

/*
 * -EIO when decode is off, or @mapped and the gate closed. That is asked with the
 * locks held that whoever turns either off waits for: an answer from before
 * might be from before a close.
 */
static int bar_access(struct sv_dev *dev, const struct touch *t, uint64_t *val)
{
	struct bar *bar = &dev->bar[t->index];
	int r = 0;

	if (bar_is_model(bar, t->off)) {
		if (!model_lock(dev))
			return no_answer(t->write, val);
		mutex_lock(&dev->access);
		if (t->mapped ? device_gate_open(dev) : bar_decodes(dev, bar))
			model_access(dev, t->index, t->off, t->size, t->write,
				     val);
		else
			r = -EIO;
		mutex_unlock(&dev->access);
		mutex_unlock(&dev->model);
		return r;
	}
	if (!memory_read(dev))
		return no_answer(t->write, val);
	if (t->mapped ? dev->gate_open : bar_decodes(dev, bar))
		memory_access(bar->mem + t->off, t->size, t->write, val);
	else
		r = -EIO;
	rwlock_unread(&dev->memory_lock);
	return r;
}

static unsigned int access_size(uint64_t off, uint64_t room, unsigned int max)
{
	unsigned int size = max;

	while (size > room || off & (size - 1))
		size /= 2;
	return size;
}

/* The MSI-X table is not the program's: reads are ones, writes are dropped. */
void device_msix_table(const struct sv_dev *dev, unsigned int index,
		       uint64_t *ret_start, uint64_t *ret_end)
{
	*ret_start = *ret_end = UINT64_MAX;
	if (!dev->shape.msix || dev->shape.msix_bar != index)
		return;
	*ret_start = dev->shape.msix_table;
	*ret_end = *ret_start + 16 * (uint64_t)dev->shape.msix;
}

/* Of a write only @have bytes are there: the piece that needs more fails. */
struct transfer {
	unsigned int index;
	uint64_t off;
	uint8_t *buf;
	size_t have;
	size_t count;
	bool write;
};

/* The table's bytes at @off, at most @room; 0: it is not there. */
static uint64_t table_bytes(const struct sv_dev *dev, unsigned int index,
			    uint64_t off, uint64_t *room)
{
	uint64_t start, end;

	device_msix_table(dev, index, &start, &end);
	if (off >= start && off < end)
		return *room < end - off ? *room : end - off;
	if (off<start && * room> start - off)
		*room = start - off;
	return 0;
}

/* Of the transfer, @done bytes in. Return: bytes; -EFAULT, -EIO */
static int64_t bar_rw_one(struct sv_dev *dev, const struct transfer *x,
			  size_t done, uint64_t room)
{
	unsigned int max = dev->bar[x->index].kind == SV_BAR_IO ? 4 : 8;
	uint64_t off = x->off + done, val = 0;
	const struct touch t = {x->index, access_size(off, room, max), off,
				x->write, false};

	if (x->write && (done > x->have || t.size > x->have - done))
		return refuse(EFAULT,
			      "%s BAR%u: the program's buffer "
			      "ends after %zu bytes of %zu",
			      dev->name, x->index, x->have, x->count);
	if (x->write)
		memcpy(&val, x->buf + done, t.size);
	if (bar_access(dev, &t, &val) < 0)
		return refuse(EIO, "%s BAR%u: memory decode is off", dev->name,
			      x->index);
	if (!x->write)
		memcpy(x->buf + done, &val, t.size);
	return t.size;
}

static int64_t bar_rw(struct sv_dev *dev, const struct transfer *x)
{
	size_t done = 0;

	while (done < x->count) {
		uint64_t room = x->count - done;
		uint64_t n = table_bytes(dev, x->index, x->off + done, &room);

		if (n && !x->write)
			memset(x->buf + done, 0xff, n);
		if (!n) {
			int64_t r = bar_rw_one(dev, x, done, room);

			if (r < 0)
				return r;
			n = (uint64_t)r;
		}
		done += n;
	}
	return (int64_t)done;
}

static void posted_direct(struct sv_dev *dev, const struct bar *bar,
			  uint64_t off, const uint8_t *buf, size_t len)
	REQUIRES_SHARED(&dev->memory_lock)
{
	for (size_t done = 0; done < len && bar_decodes(dev, bar);) {
		unsigned int size = access_size(off + done, len - done, 8);
		uint64_t val = 0;

		memcpy(&val, buf + done, size);
		memory_access(bar->mem + off + done, size, true, &val);
		done += size;
	}
}

static void posted_trapped(struct sv_dev *dev, unsigned int index, uint64_t off,
			   const uint8_t *buf, size_t len) REQUIRES(&dev->model)
{
	unsigned int max = dev->bar[index].kind == SV_BAR_IO ? 4 : 8;

	mutex_lock(&dev->access);
	for (size_t done = 0;
	     done < len && bar_decodes(dev, &dev->bar[index]);) {
		unsigned int size = access_size(off + done, len - done, max);
		uint64_t val = 0;

		memcpy(&val, buf + done, size);
		model_access(dev, index, off + done, size, true, &val);
		done += size;
	}
	mutex_unlock(&dev->access);
}

/* The lock that @wait says is held is not one the analysis could follow. */
bool NO_TSA device_posted_write(struct sv_dev *dev, unsigned int index,
				uint64_t off, const void *buf, size_t len,
				bool wait)
{
	const struct bar *bar = &dev->bar[index];

	if (bar_is_model(bar, off)) {
		if (wait)
			posted_trapped(dev, index, off, buf, len);
		return wait;
	}
	if (wait)
		rwlock_read(&dev->memory_lock);
	else if (!rwlock_tryread(&dev->memory_lock))
		return false;
	posted_direct(dev, bar, off, buf, len);
	rwlock_unread(&dev->memory_lock);
	return true;
}

static int64_t rom_read(struct sv_dev *dev, uint64_t off, uint8_t *buf,
			size_t count)
{
	size_t have = off < dev->rom_len ? dev->rom_len - off : 0;

	bool on = memory_read(dev);

	if (on) {
		on = config_memory_enabled(dev->config);
		rwlock_unread(&dev->memory_lock);
	}
	/* Linux looks for the image then, and finds none */
	if (!on)
		return refuse(ENOMEM, "%s ROM: memory decode is off",
			      dev->name);
	if (have > count)
		have = count;
	memset(buf, 0xff, count);
	if (have)
		memcpy(buf, dev->rom + off, have);
	return (int64_t)count;
}

void device_wake(struct sv_dev *dev)
{
	sched_point("wake");
	if (!atomic_load(&dev->low_power) || !model_lock(dev))
		return;
	if (dev->wakeup_fd >= 0) {
		evfd_signal(dev->wakeup_fd);
		close(dev->wakeup_fd);
		dev->wakeup_fd = -1;
		device_low_power_locked(dev, false);
	}
	mutex_unlock(&dev->model);
}

static uint64_t region_len(const struct sv_dev *dev, unsigned int index)
{
	return index == REGION_ROM ? (dev->rom_len ? dev->shape.rom_size : 0)
				   : dev->bar[index].size;
}

static int64_t config_write_some(struct sv_dev *dev, uint64_t off,
				 const void *buf, size_t have, size_t count)
{
	if (have < count)
		return refuse(EFAULT,
			      "%s config: the program's buffer ends "
			      "after %zu bytes of %zu",
			      dev->name, have, count);
	return config_write(dev->config, off, buf, count);
}

static int64_t region_rw(struct sv_dev *dev, uint64_t pos, void *buf,
			 size_t have, size_t count, bool write)
{
	uint64_t index = pos >> REGION_SHIFT;
	uint64_t off = pos & ((1ull << REGION_SHIFT) - 1);

	if (count == 0)
		return 0;
	device_wake(dev);
	if (index == REGION_CONFIG)
		return write ? config_write_some(dev, off, buf, have, count)
			     : config_read(dev->config, off, buf, count);
	if (index >= REGION_VGA)
		return refuse(EINVAL, "%s: no region %llu", dev->name,
			      (unsigned long long)index);
	if (index == REGION_ROM && write)
		return refuse(EINVAL, "%s: the ROM is read-only", dev->name);

	uint64_t len = region_len(dev, (unsigned int)index);

	if (off >= len)
		return refuse(EINVAL,
			      "%s region %llu: offset %#llx is beyond its "
			      "%#llx bytes",
			      dev->name, (unsigned long long)index,
			      (unsigned long long)off, (unsigned long long)len);
	if (count > len - off)
		count = len - off;
	if (index == REGION_ROM)
		return rom_read(dev, off, buf, count);

	const struct transfer x = {
		.index = (unsigned int)index,
		.off = off,
		.buf = buf,
		.have = have,
		.count = count,
		.write = write,
	};

	return bar_rw(dev, &x);
}

int64_t device_read(struct sv_dev *dev, uint64_t pos, void *buf, size_t count)
{
	return region_rw(dev, pos, buf, count, count, false);
}

int64_t device_write(struct sv_dev *dev, uint64_t pos, const void *buf,
		     size_t have, size_t count)
{
	/* bar_rw() only reads from the buffer when writing */
	return region_rw(dev, pos, (void *)(uintptr_t)buf, have, count, true);
}

int device_region(const struct sv_dev *dev, uint32_t index,
		  struct device_region *ret_region)
{
	struct device_region region = {0};

	if (index >= REGION_VGA)
		return refuse(EINVAL, "%s: no region %u%s", dev->name, index,
			      index == REGION_VGA ? " (not a VGA device)" : "");
	if (index == REGION_CONFIG) {
		region.size = config_size(dev->config);
		region.read = region.write = true;
	} else {
		region.size = region_len(dev, index);
		region.read = region.size;
		region.write = region.size && index != REGION_ROM;
		region.mmap =
			index != REGION_ROM && bar_mappable(&dev->bar[index]);
		region.msix = region.mmap && dev->shape.msix &&
			      dev->shape.msix_bar == index;
	}
	*ret_region = region;
	return 0;
}

int device_mmap(struct sv_dev *dev, const struct device_map *map,
		uint64_t *ret_off, int *ret_fd)
{
	uint64_t index = map->pos >> REGION_SHIFT, len = size_pages(map->len);
	uint64_t off = map->pos & ((1ull << REGION_SHIFT) - 1);

	if (!map->shared)
		return refuse(EINVAL,
			      "%s mmap: MAP_PRIVATE; a BAR can only be "
			      "mapped MAP_SHARED",
			      dev->name);
	if (index >= REGION_ROM || !bar_mappable(&dev->bar[index]))
		return refuse(EINVAL, "%s mmap: region %llu cannot be mapped",
			      dev->name, (unsigned long long)index);

	struct bar *bar = &dev->bar[index];

	if (off > bar->len || len > bar->len - off)
		return refuse(EINVAL,
			      "%s mmap: %#llx bytes at %#llx leave BAR%llu of "
			      "%#llx bytes",
			      dev->name, (unsigned long long)len,
			      (unsigned long long)off,
			      (unsigned long long)index,
			      (unsigned long long)bar->len);
	*ret_off = off;
	return bar_map(bar, map->owner, map->pid, off, len, ret_fd);
}

size_t device_ranges(const struct sv_dev *dev, uint64_t pos, uint64_t len,
		     struct device_range ret_range[DEVICE_RANGES_MAX])
{
	const struct bar *bar = &dev->bar[pos >> REGION_SHIFT];
	uint64_t off = pos & ((1ull << REGION_SHIFT) - 1);
	size_t n = 0;

	for (len = size_pages(len); len; n++) {
		struct device_range *r = &ret_range[n];

		r->len = bar_stretch(bar, off, len, &r->trap);
		r->trap |= bar_traps(bar);
		off += r->len;
		len -= r->len;
	}
	return n;
}

bool device_mapped(struct sv_dev *dev, uint64_t owner)
{
	for (unsigned int i = 0; i < SV_NUM_BARS; i++)
		if (bar_mapped(&dev->bar[i], owner))
			return true;
	return false;
}

/* A BAR may have stayed closed for want of memory: then it is tried again. */
static bool bar_filled(struct sv_dev *dev, struct bar *bar)
{
	if (!memory_read(dev))
		return false;
	bool filled = !bar->closed;

	rwlock_unread(&dev->memory_lock);
	if (filled)
		return true;
	if (!memory_write(dev))
		return false;
	if (dev->gate_open)
		bar_open(bar);
	filled = !bar->closed;
	rwlock_unwrite(&dev->memory_lock);
	return filled;
}

int device_fault(struct sv_dev *dev, unsigned int bar, uint64_t off)
{
	if (bar >= SV_NUM_BARS || off >= dev->bar[bar].len)
		return refuse(EFAULT, "%s: fault outside BAR%u", dev->name,
			      bar);
	if (!device_gate_open(dev))
		return refuse(EFAULT, MEMORY_OFF, dev->name, bar);
	if (!bar_filled(dev, &dev->bar[bar]))
		return refuse(EFAULT,
			      "%s BAR%u: touched, and there is no "
			      "memory for its contents",
			      dev->name, bar);
	return 0;
}

int device_access(struct sv_dev *dev, unsigned int bar, uint64_t off,
		  unsigned int size, bool write, uint64_t *val)
{
	if (size != 1 && size != 2 && size != 4 && size != 8)
		return refuse(EINVAL, "%s BAR%u: access of %u bytes", dev->name,
			      bar, size);
	if (bar >= SV_NUM_BARS || off & (size - 1) ||
	    off >= dev->bar[bar].len || size > dev->bar[bar].len - off)
		return refuse(EFAULT, "%s: access outside BAR%u", dev->name,
			      bar);
	if (!device_gate_open(dev))
		return refuse(EFAULT, MEMORY_OFF, dev->name, bar);
	/* the rest of a sub-page BAR's page decodes nothing */
	if (off >= dev->bar[bar].size) {
		*val = UINT64_MAX;
		return 0;
	}

	const struct touch t = {bar, size, off, write, true};

	return bar_access(dev, &t, val) < 0
		       ? refuse(EFAULT, MEMORY_OFF, dev->name, bar)
		       : 0;
}

/* What a peer wants of a model. Who asks may have left before it is done. */
struct peer_access {
	atomic_int refs;
	struct sv_dev *dev;
	unsigned int index;
	uint64_t off;
	size_t len;
	bool write;
	uint64_t begin_ns;
	uint8_t buf[];
};

static void peer_put(struct peer_access *p)
{
	if (atomic_fetch_sub(&p->refs, 1) == 1)
		free(p);
}

static int peer_words(struct peer_access *p)
	REQUIRES(&p->dev->model, &p->dev->access)
{
	if (!bar_decodes(p->dev, &p->dev->bar[p->index]))
		return -EIO;
	for (size_t done = 0; done < p->len;) {
		unsigned int size =
			access_size(p->off + done, p->len - done, 8);
		uint64_t val = 0;

		memcpy(&val, p->buf + done, size);
		model_access(p->dev, p->index, p->off + done, size, p->write,
			     &val);
		memcpy(p->buf + done, &val, size);
		done += size;
	}
	return 0;
}

/* On the thread of the device that is accessed: if its model does not return,
 * that of the one which accesses it does. */
static int peer_job(void *arg)
{
	struct peer_access *p = arg;
	int r = -EIO;

	if (mutex_lock_until(&p->dev->model, p->begin_ns)) {
		if (mutex_lock_until(&p->dev->access, p->begin_ns)) {
			r = peer_words(p);
			mutex_unlock(&p->dev->access);
		}
		mutex_unlock(&p->dev->model);
	}
	peer_put(p);
	return r;
}

/* What is begun of a write is posted, what is begun of a read is not read. */
static int peer_ask(struct peer_access *p, void *buf)
{
	int r = devthread_do_until(p->dev->thread, peer_job, p, p->begin_ns,
				   p->begin_ns + PEER_ANSWER_NS);

	if (r == 0 && !p->write)
		memcpy(buf, p->buf, p->len);
	if (r == -ETIMEDOUT)
		peer_put(p); /* the job's */
	return r == 0 || (r == -EINPROGRESS && p->write) ? 0 : -EIO;
}

static int peer_trapped(struct sv_dev *dev, unsigned int index, uint64_t off,
			void *buf, size_t len, bool write)
{
	if (device_stuck(dev))
		return -EIO;

	struct peer_access *p = malloc(sizeof(*p) + len);

	if (!p)
		return -EIO;
	*p = (struct peer_access){
		.refs = 2,
		.dev = dev,
		.index = index,
		.off = off,
		.len = len,
		.write = write,
		.begin_ns = clock_ns() + PEER_TIMEOUT_NS,
	};
	if (write)
		memcpy(p->buf, buf, len);

	int r = peer_ask(p, buf);

	peer_put(p);
	return r;
}

static int peer_direct(struct sv_dev *dev, const struct bar *bar, uint64_t off,
		       void *buf, size_t len, bool write)
{
	if (!rwlock_read_until(&dev->memory_lock, clock_ns() + PEER_TIMEOUT_NS))
		return -EIO;
	bool on = bar_decodes(dev, bar);

	if (on && write)
		memcpy(bar->mem + off, buf, len);
	else if (on)
		memcpy(buf, bar->mem + off, len);
	rwlock_unread(&dev->memory_lock);
	return on ? 0 : -EIO;
}

static int peer_access(void *opaque, unsigned int index, uint64_t off,
		       void *buf, size_t len, bool write)
{
	struct sv_dev *dev = opaque;
	struct bar *bar = &dev->bar[index];

	int r = 0;

	if (off > bar->size || len > bar->size - off)
		return -EIO;
	while (len && r == 0) {
		bool trap;
		uint64_t n = bar_stretch(bar, off, len, &trap);

		r = trap ? peer_trapped(dev, index, off, buf, n, write)
			 : peer_direct(dev, bar, off, buf, n, write);
		off += n;
		buf = (uint8_t *)buf + n;
		len -= n;
	}
	return r;
}

const struct mem_bar_ops device_p2p = {.access = peer_access};
