/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The device API over plain memory. Needs nothing but libc and the API's own
 * header, so that a model written outside this tree can be tested with it too.
 *
 * It is stricter than the daemon where that finds mistakes: run() is not
 * called unless the model asked for it, and DMA or an interrupt inside an
 * sv_mmio_begin() burst stops the test.
 */
#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include "devhost.h"

#define VECTORS	    2048
#define OPTIONS_MAX 16
#define RUNS_MAX    1000000
#define ERROR_MAX   256

/* The API's handle and the test's handle are the same object. */
struct sv_dev {
	const struct sv_dev_ops *ops;
	struct sv_shape shape;
	void *state;
	char *option[OPTIONS_MAX]; /* "name=value" */
	size_t n_options;
	uint8_t *bar[SV_NUM_BARS]; /* direct BARs only */
	uint8_t *ram;
	uint64_t fail_first; /* no DMA fails while first > last */
	uint64_t fail_last;
	bool in_burst;
	_Atomic unsigned int driver_errors;
	uint64_t clock; /* nobody moves it yet */
	bool no_map;
	bool no_decode;
	uint64_t counter[SV_COUNTERS];
	atomic_uint held; /* by sv_dma_map() */
	/* any thread may raise an interrupt or kick */
	atomic_int irq_mode;
	atomic_uint irqs[VECTORS];
	atomic_bool intx;
	atomic_bool kicked;
};

struct devhost {
	struct sv_dev dev;
};

static char last_error[ERROR_MAX];

const char *devhost_error(void)
{
	return last_error;
}

/* What the models call */

void *sv_state(struct sv_dev *dev)
{
	return dev->state;
}

const struct sv_shape *sv_shape(const struct sv_dev *dev)
{
	return &dev->shape;
}

/* The text after "name", NULL when @text is another option. */
static const char *option_match(const char *text, const char *name)
{
	size_t len = strlen(name);

	if (strncmp(text, name, len))
		return NULL;
	if (text[len] == '=')
		return text + len + 1;
	return text[len] ? NULL : text + len;
}

const char *sv_option(const struct sv_dev *dev, const char *name)
{
	for (size_t i = 0; i < dev->n_options; i++) {
		const char *value = option_match(dev->option[i], name);

		if (value)
			return value;
	}
	return NULL;
}

static int parse_size(const char *text, uint64_t *ret_bytes)
{
	static const char units[] = "KMGT";
	char *end = NULL;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	uint64_t n = strtoull(text, &end, 0);
	const char *unit = *end ? strchr(units, *end) : NULL;
	unsigned int shift = unit ? 10 * (unsigned int)(unit - units + 1) : 0;

	if (errno || end[unit ? 1 : 0] || n > UINT64_MAX >> shift)
		return -EINVAL;
	*ret_bytes = n << shift;
	return 0;
}

int sv_option_size(struct sv_dev *dev, const char *name, uint64_t *ret_bytes)
{
	const char *text = sv_option(dev, name);

	if (!text)
		return 0;
	if (!parse_size(text, ret_bytes))
		return 0;
	sv_error(dev, "%s=%s is not a size", name, text);
	return -EINVAL;
}

void sv_error(struct sv_dev *dev, const char *fmt, ...)
{
	va_list args;

	(void)dev;
	va_start(args, fmt);
	vsnprintf(last_error, sizeof(last_error), fmt, args);
	va_end(args);
}

uint8_t *sv_bar_memory(struct sv_dev *dev, unsigned int bar)
{
	assert(bar < SV_NUM_BARS && dev->bar[bar]);
	return dev->bar[bar];
}

bool sv_mmio_begin(struct sv_dev *dev)
{
	assert(!dev->in_burst);
	dev->in_burst = !dev->no_decode;
	return dev->in_burst;
}

void sv_mmio_end(struct sv_dev *dev)
{
	assert(dev->in_burst);
	dev->in_burst = false;
}

/* Memory for a DMA of @len bytes, or NULL when it has to fail. */
static uint8_t *dma_target(struct sv_dev *dev, uint64_t iova, size_t len)
{
	assert(!dev->in_burst);
	if (len > DEVHOST_RAM || iova > DEVHOST_RAM - len)
		return NULL;
	uint64_t last = iova + len - 1;

	if (dev->fail_first <= dev->fail_last && iova <= dev->fail_last &&
	    last >= dev->fail_first)
		return NULL;
	return dev->ram + iova;
}

int sv_dma_read(struct sv_dev *dev, uint64_t iova, void *buf, size_t len)
{
	if (!len)
		return 0;
	const uint8_t *from = dma_target(dev, iova, len);

	if (!from)
		return -EIO;
	memcpy(buf, from, len);
	return 0;
}

int sv_dma_write(struct sv_dev *dev, uint64_t iova, const void *buf, size_t len)
{
	if (!len)
		return 0;
	uint8_t *to = dma_target(dev, iova, len);

	if (!to)
		return -EIO;
	memcpy(to, buf, len);
	return 0;
}

int sv_dma_many(struct sv_dev *dev, const struct sv_dma *list, size_t n,
		size_t *ret_done)
{
	for (size_t i = 0; i < n; i++) {
		const struct sv_dma *d = &list[i];
		int ret = d->write ? sv_dma_write(dev, d->iova, d->buf, d->len)
				   : sv_dma_read(dev, d->iova, d->buf, d->len);

		if (ret) {
			*ret_done = i;
			return ret;
		}
	}
	return 0;
}

int sv_dma_map(struct sv_dev *dev, const struct sv_dma *list, size_t n,
	       struct iovec *iov, size_t max, struct sv_dma_hold *hold)
{
	if (dev->no_map || n > max)
		return 0;
	for (size_t i = 0; i < n; i++) {
		assert(list[i].len && list[i].write == list[0].write);
		iov[i].iov_base = dma_target(dev, list[i].iova, list[i].len);
		iov[i].iov_len = list[i].len;
		if (!iov[i].iov_base)
			return -EIO;
	}
	hold->n = 1;
	atomic_fetch_add(&dev->held, 1);
	return (int)n;
}

void sv_dma_unmap(struct sv_dev *dev, struct sv_dma_hold *hold, bool gone)
{
	(void)gone;
	assert(hold->n == 1);
	hold->n = 0;
	atomic_fetch_sub(&dev->held, 1);
}

void sv_count(struct sv_dev *dev, unsigned int counter, uint64_t n)
{
	assert(counter < SV_COUNTERS && dev->ops->counters);
	dev->counter[counter] += n;
}

enum sv_irq_mode sv_irq_mode(struct sv_dev *dev)
{
	return (enum sv_irq_mode)atomic_load(&dev->irq_mode);
}

void sv_irq_raise(struct sv_dev *dev, unsigned int vector)
{
	enum sv_irq_mode mode = sv_irq_mode(dev);

	assert(!dev->in_burst && vector < VECTORS);
	if (mode == SV_IRQ_MSI || mode == SV_IRQ_MSIX)
		atomic_fetch_add(&dev->irqs[vector], 1);
}

void sv_irq_level(struct sv_dev *dev, bool asserted)
{
	assert(!dev->in_burst);
	atomic_store(&dev->intx, asserted);
}

void sv_kick(struct sv_dev *dev)
{
	atomic_store(&dev->kicked, true);
}

/* What the tests call */

static bool option_known(const struct sv_dev_ops *ops, const char *text)
{
	const struct sv_option *o = ops->options;

	for (; o && o->name; o++)
		if (option_match(text, o->name))
			return true;
	return false;
}

static int take_options(struct sv_dev *dev, const char *const *options)
{
	for (; options && *options; options++) {
		assert(dev->n_options < OPTIONS_MAX);
		if (!option_known(dev->ops, *options)) {
			sv_error(dev, "no such option: %s", *options);
			return -EINVAL;
		}
		char *copy = strdup(*options);

		if (!copy)
			return -ENOMEM;
		dev->option[dev->n_options++] = copy;
	}
	return 0;
}

/* Address space only, so that a BAR of a terabyte costs what is touched. */
static uint8_t *reserve(uint64_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static bool is_direct(const struct sv_bar *bar)
{
	return bar->access == SV_ACCESS_DIRECT &&
	       (bar->kind == SV_BAR_MEM32 || bar->kind == SV_BAR_MEM64);
}

static int make_memory(struct sv_dev *dev)
{
	for (unsigned int i = 0; i < SV_NUM_BARS; i++) {
		const struct sv_bar *bar = &dev->shape.bar[i];

		if (!is_direct(bar))
			continue;
		dev->bar[i] = reserve(bar->size);
		if (!dev->bar[i])
			return -ENOMEM;
	}
	dev->ram = reserve(DEVHOST_RAM);
	dev->state = calloc(1, dev->ops->state_size ? dev->ops->state_size : 1);
	return dev->ram && dev->state ? 0 : -ENOMEM;
}

static void drop_memory(struct sv_dev *dev)
{
	for (unsigned int i = 0; i < SV_NUM_BARS; i++)
		if (dev->bar[i])
			munmap(dev->bar[i], dev->shape.bar[i].size);
	if (dev->ram)
		munmap(dev->ram, DEVHOST_RAM);
	for (size_t i = 0; i < dev->n_options; i++)
		free(dev->option[i]);
	free(dev->state);
}

static int start(struct sv_dev *dev, const char *const *options)
{
	int ret = take_options(dev, options);

	dev->shape = dev->ops->shape;
	if (!ret && dev->ops->shape_up)
		ret = dev->ops->shape_up(dev, &dev->shape);
	if (!ret)
		ret = make_memory(dev);
	if (ret)
		return ret;
	if (dev->ops->init)
		ret = dev->ops->init(dev);
	if (ret && dev->ops->done)
		dev->ops->done(dev);
	return ret;
}

struct devhost *devhost_new(const struct sv_dev_ops *ops,
			    const char *const *options)
{
	struct devhost *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	last_error[0] = '\0';
	h->dev.ops = ops;
	h->dev.fail_first = UINT64_MAX;
	if (start(&h->dev, options)) {
		drop_memory(&h->dev);
		free(h);
		return NULL;
	}
	devhost_reset(h, SV_RESET_OPEN);
	return h;
}

void devhost_free(struct devhost *h)
{
	if (!h)
		return;
	devhost_reset(h, SV_RESET_CLOSE);
	if (h->dev.ops->done)
		h->dev.ops->done(&h->dev);
	drop_memory(&h->dev);
	free(h);
}

struct sv_dev *devhost_dev(struct devhost *h)
{
	return &h->dev;
}

const struct sv_shape *devhost_shape(struct devhost *h)
{
	return &h->dev.shape;
}

uint8_t *devhost_ram(struct devhost *h)
{
	return h->dev.ram;
}

/* The model's side of an access; NULL: its read() or write() */
static uint8_t *memory_at(struct devhost *h, unsigned int bar, uint64_t off)
{
	const struct sv_stretch *s = h->dev.shape.bar[bar].trapped;

	for (; s && s->len; s++)
		if (off >= s->off && off - s->off < s->len)
			return NULL;
	return h->dev.bar[bar] ? h->dev.bar[bar] + off : NULL;
}

static void check_access(struct devhost *h, unsigned int bar, uint64_t off,
			 unsigned int size)
{
	assert(bar < SV_NUM_BARS);
	assert(size == 1 || size == 2 || size == 4 || size == 8);
	assert(off % size == 0 && off < h->dev.shape.bar[bar].size);
}

uint64_t devhost_read(struct devhost *h, unsigned int bar, uint64_t off,
		      unsigned int size)
{
	uint64_t val = 0;

	check_access(h, bar, off, size);
	const uint8_t *memory = memory_at(h, bar, off);

	if (memory)
		memcpy(&val, memory, size);
	else
		val = h->dev.ops->read(&h->dev, bar, off, size);
	return val;
}

void devhost_write(struct devhost *h, unsigned int bar, uint64_t off,
		   uint64_t val, unsigned int size)
{
	check_access(h, bar, off, size);
	uint8_t *memory = memory_at(h, bar, off);

	if (memory)
		memcpy(memory, &val, size);
	else
		h->dev.ops->write(&h->dev, bar, off, val, size);
}

unsigned int devhost_run(struct devhost *h)
{
	struct sv_dev *dev = &h->dev;
	unsigned int busy = 0;

	if (!dev->ops->run)
		return 0;
	bool wanted = atomic_exchange(&dev->kicked, false) || dev->ops->polled;

	while (wanted && busy < RUNS_MAX) {
		bool more = dev->ops->run(dev);

		assert(!dev->in_burst && !atomic_load(&dev->held));
		busy += more;
		wanted = atomic_exchange(&dev->kicked, false) || more;
	}
	return busy;
}

void devhost_reset(struct devhost *h, enum sv_reset why)
{
	for (unsigned int i = 0; i < SV_NUM_BARS; i++)
		if (h->dev.bar[i])
			madvise(h->dev.bar[i], h->dev.shape.bar[i].size,
				MADV_DONTNEED);
	if (h->dev.ops->reset)
		h->dev.ops->reset(&h->dev, why);
}

void devhost_set_irq_mode(struct devhost *h, enum sv_irq_mode mode)
{
	atomic_store(&h->dev.irq_mode, mode);
}

unsigned int devhost_irqs(struct devhost *h, unsigned int vector)
{
	assert(vector < VECTORS);
	return atomic_load(&h->dev.irqs[vector]);
}

bool devhost_intx(struct devhost *h)
{
	return atomic_load(&h->dev.intx);
}

void devhost_fail_dma(struct devhost *h, uint64_t first, uint64_t last)
{
	h->dev.fail_first = first;
	h->dev.fail_last = last;
}

void devhost_set_decode(struct devhost *h, bool on)
{
	h->dev.no_decode = !on;
}

void devhost_refuse_map(struct devhost *h, bool refuse)
{
	h->dev.no_map = refuse;
}

uint64_t devhost_counter(struct devhost *h, const char *name)
{
	const char *const *names = h->dev.ops->counters;

	for (unsigned int i = 0; names && names[i]; i++)
		if (!strcmp(names[i], name))
			return h->dev.counter[i];
	assert(!"no such counter");
	return 0;
}

void sv_log(struct sv_dev *dev, enum sv_log level, const char *fmt, ...)
{
	(void)dev;
	(void)level;
	(void)fmt;
}

void sv_driver_error(struct sv_dev *dev, const char *fmt, ...)
{
	(void)fmt;
	dev->driver_errors++;
}

uint64_t sv_clock(struct sv_dev *dev)
{
	return dev->clock;
}

unsigned int devhost_driver_errors(struct devhost *h)
{
	return atomic_load(&h->dev.driver_errors);
}
