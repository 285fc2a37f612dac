/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * PCI addresses, and giving each function one: what firmware and the IOMMU
 * driver do on a real machine.
 */
#include <errno.h>
#include <string.h>

#include "daemon/conf_dev.h"

#define BUS_FIRST	 1u
#define BUSES_PER_DOMAIN 255u /* bus 0 is the root bus */
#define FUNCTIONS	 8u

/* Exactly @digits hex digits, then @end. Returns what follows, or NULL. */
static const char *take_hex(const char *text, unsigned int digits, char end,
			    unsigned int *ret_val)
{
	static const char hex[] = "0123456789abcdef";
	unsigned int val = 0;

	for (unsigned int i = 0; i < digits; i++) {
		char c = text[i];

		if (c >= 'A' && c <= 'F')
			c = (char)(c - 'A' + 'a');
		const char *digit = c ? strchr(hex, c) : NULL;

		if (!digit)
			return NULL;
		val = val << 4 | (unsigned int)(digit - hex);
	}
	if (text[digits] != end)
		return NULL;
	*ret_val = val;
	return text + digits + 1;
}

int bdf_parse(const char *text, struct bdf *ret_bdf)
{
	unsigned int domain = 0;
	unsigned int bus = 0;
	unsigned int dev = 0;
	unsigned int fn = 0;
	const char *rest = take_hex(text, 4, ':', &domain);

	rest = take_hex(rest ? rest : text, 2, ':', &bus);
	if (rest)
		rest = take_hex(rest, 2, '.', &dev);
	if (rest)
		rest = take_hex(rest, 1, '\0', &fn);
	if (!rest || dev > 31 || fn >= FUNCTIONS)
		return -EINVAL;
	*ret_bdf = (struct bdf){
		.domain = (uint16_t)domain,
		.bus = (uint8_t)bus,
		.dev = (uint8_t)dev,
		.fn = (uint8_t)fn,
	};
	return 0;
}

void bdf_format(const struct bdf *bdf, char text[BDF_TEXT_MAX])
{
	snprintf(text, BDF_TEXT_MAX, "%04x:%02x:%02x.%u", bdf->domain, bdf->bus,
		 bdf->dev & 31u, bdf->fn & 7u);
}

static bool same_bus(const struct bdf *a, const struct bdf *b)
{
	return a->domain == b->domain && a->bus == b->bus;
}

static bool same_dev(const struct bdf *a, const struct bdf *b)
{
	return same_bus(a, b) && a->dev == b->dev;
}

static bool same_slot(const struct dev_conf *a, const struct dev_conf *b)
{
	return a->slot && b->slot && !strcmp(a->slot, b->slot);
}

/* Work in progress: which functions have an address so far. */
struct placing {
	struct conf *conf;
	bool placed[CONF_DEVICES_MAX];
	char *err;
};

static int check_pair(const struct placing *p, const struct dev_conf *a,
		      const struct dev_conf *b)
{
	char at[BDF_TEXT_MAX];

	bdf_format(&b->bdf, at);
	if (same_dev(&a->bdf, &b->bdf) && a->bdf.fn == b->bdf.fn)
		return conf_refuse(p->err, -EEXIST,
				   "%s and %s are both at bdf=%s", a->ops->name,
				   b->ops->name, at);
	if (same_slot(a, b) && !same_dev(&a->bdf, &b->bdf))
		return conf_refuse(p->err, -EINVAL,
				   "%s: bdf=%s is not where the other "
				   "functions of slot=%.64s are; they differ "
				   "in the last digit only",
				   b->ops->name, at, b->slot);
	return 0;
}

static int check_given(struct placing *p)
{
	const struct conf *conf = p->conf;

	for (size_t i = 0; i < conf->n_devs; i++) {
		for (size_t j = 0; j < i && conf->devs[i].bdf_given; j++) {
			if (!conf->devs[j].bdf_given)
				continue;
			int ret = check_pair(p, &conf->devs[j], &conf->devs[i]);

			if (ret)
				return ret;
		}
		p->placed[i] = conf->devs[i].bdf_given;
	}
	return 0;
}

static bool bus_taken(const struct placing *p, const struct bdf *at)
{
	for (size_t i = 0; i < p->conf->n_devs; i++)
		if (p->placed[i] && same_bus(&p->conf->devs[i].bdf, at))
			return true;
	return false;
}

/* There are more buses than devices, so there always is one. */
static struct bdf free_bus(const struct placing *p)
{
	for (unsigned int n = 0;; n++) {
		struct bdf at = {
			.domain = (uint16_t)(n / BUSES_PER_DOMAIN),
			.bus = (uint8_t)(BUS_FIRST + n % BUSES_PER_DOMAIN),
		};

		if (!bus_taken(p, &at))
			return at;
	}
}

/* The first free function of the device at @at, FUNCTIONS when all are used. */
static unsigned int free_function(const struct placing *p, const struct bdf *at)
{
	unsigned int used = 0;
	unsigned int fn = 0;

	for (size_t i = 0; i < p->conf->n_devs; i++)
		if (p->placed[i] && same_dev(&p->conf->devs[i].bdf, at))
			used |= 1u << p->conf->devs[i].bdf.fn;
	while (used & 1u << fn)
		fn++;
	return fn;
}

static int place_address(struct placing *p, size_t i)
{
	struct dev_conf *dev = &p->conf->devs[i];
	struct bdf at = {0};
	bool found = false;

	for (size_t j = 0; j < p->conf->n_devs && !found; j++) {
		found = p->placed[j] && same_slot(dev, &p->conf->devs[j]);
		at = p->conf->devs[j].bdf;
	}
	if (!found)
		at = free_bus(p);
	unsigned int fn = free_function(p, &at);

	if (fn == FUNCTIONS)
		return conf_refuse(p->err, -EINVAL,
				   "%s: slot=%.64s already has eight functions",
				   dev->ops->name, dev->slot);
	dev->bdf = at;
	dev->bdf.fn = (uint8_t)fn;
	p->placed[i] = true;
	return 0;
}

static bool group_taken(const struct conf *conf, int group)
{
	for (size_t i = 0; i < conf->n_devs; i++)
		if (conf->devs[i].group == group)
			return true;
	return false;
}

static void place_group(struct conf *conf, struct dev_conf *dev)
{
	int group = 1;

	for (size_t i = 0; i < conf->n_devs && dev->group < 0; i++)
		if (same_slot(dev, &conf->devs[i]))
			dev->group = conf->devs[i].group;
	if (dev->group >= 0)
		return;
	while (group_taken(conf, group))
		group++;
	dev->group = group;
}

static void place_siblings(struct conf *conf, size_t i)
{
	struct dev_conf *dev = &conf->devs[i];

	for (size_t j = 0; j < conf->n_devs; j++)
		if (j != i && same_dev(&dev->bdf, &conf->devs[j].bdf))
			dev->multifunction = true;
}

int conf_place(struct conf *conf, char err[CONF_ERR_MAX])
{
	struct placing p = {.conf = conf, .err = err};
	int ret = check_given(&p);

	for (size_t i = 0; i < conf->n_devs && !ret; i++)
		if (!p.placed[i])
			ret = place_address(&p, i);
	for (size_t i = 0; i < conf->n_devs && !ret; i++) {
		place_siblings(conf, i);
		if (conf->devs[i].group < 0)
			place_group(conf, &conf->devs[i]);
	}
	return ret;
}
