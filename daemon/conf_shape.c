/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Options that every device has: they change what its configuration space
 * looks like, so that a program can be tried on another id, a bigger BAR or a
 * function without FLR. What comes out goes through conf_check.c.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "daemon/conf_dev.h"
#include "lib/cleanup.h"
#include "lib/size.h"

#define MSI_MAX 32u

static int wrong_value(const struct conf_lay *l, const struct conf_option *o,
		       const char *right)
{
	return conf_refuse(l->err, -EINVAL, "%s: %s=%.64s is not %s", l->name,
			   o->name, o->value, right);
}

static bool parse_number(const char *text, int base, unsigned long max,
			 unsigned long *ret_val)
{
	char *end = NULL;

	if (!*text || strchr("+- \t\n", *text))
		return false;
	errno = 0;
	unsigned long val = strtoul(text, &end, base);

	if (errno || *end || val > max)
		return false;
	*ret_val = val;
	return true;
}

/* "1234:11e8" */
static bool parse_ids(const char *text, uint16_t *ret_first,
		      uint16_t *ret_second)
{
	const char *colon = strchr(text, ':');
	unsigned long first = 0;
	unsigned long second = 0;
	char left[8];

	if (!colon || (size_t)(colon - text) >= sizeof(left))
		return false;
	snprintf(left, sizeof(left), "%.*s", (int)(colon - text), text);
	if (!parse_number(left, 16, UINT16_MAX, &first) ||
	    !parse_number(colon + 1, 16, UINT16_MAX, &second))
		return false;
	*ret_first = (uint16_t)first;
	*ret_second = (uint16_t)second;
	return true;
}

static int set_id(struct conf_lay *l, const struct conf_option *o)
{
	if (parse_ids(o->value, &l->shape->vendor, &l->shape->device))
		return 0;
	return wrong_value(l, o, "VENDOR:DEVICE in hex, such as 1234:11e8");
}

static int set_subsys(struct conf_lay *l, const struct conf_option *o)
{
	if (parse_ids(o->value, &l->shape->subsys_vendor,
		      &l->shape->subsys_device))
		return 0;
	return wrong_value(l, o, "VENDOR:DEVICE in hex, such as 1af4:1100");
}

static int set_class(struct conf_lay *l, const struct conf_option *o)
{
	unsigned long class_code = 0;

	if (!parse_number(o->value, 16, 0xffffff, &class_code))
		return wrong_value(l, o, "24 bits in hex, such as 010802");
	l->shape->class_code = (uint32_t)class_code;
	return 0;
}

static bool is_memory(enum sv_bar_kind kind)
{
	return kind == SV_BAR_MEM32 || kind == SV_BAR_MEM64;
}

static const char *const kind_names[] = {
	[SV_BAR_NONE] = "none",
	[SV_BAR_IO] = "io",
	[SV_BAR_MEM32] = "mem32",
	[SV_BAR_MEM64] = "mem64",
};

_Static_assert(ARRAY_SIZE(kind_names) == SV_BAR_MEM64 + 1,
	       "one name per kind of BAR");

/* The text after "mem64:", and the kind; @text itself when it has none. */
static const char *take_kind(const char *text, enum sv_bar_kind *kind)
{
	for (size_t i = SV_BAR_IO; i < ARRAY_SIZE(kind_names); i++) {
		size_t len = strlen(kind_names[i]);

		if (strncmp(text, kind_names[i], len) || text[len] != ':')
			continue;
		*kind = (enum sv_bar_kind)i;
		return text + len + 1;
	}
	return text;
}

/* "[KIND:]SIZE[:prefetch]" over what @bar was */
static bool parse_bar(const char *text, struct sv_bar *bar)
{
	const char *size = take_kind(text, &bar->kind);
	const char *flag = strchrnul(size, ':');
	char left[32];

	if ((size_t)(flag - size) >= sizeof(left))
		return false;
	snprintf(left, sizeof(left), "%.*s", (int)(flag - size), size);
	if (size_parse(left, &bar->size) || !bar->size)
		return false;
	if (!*flag)
		return true;
	bar->prefetch = true;
	return !strcmp(flag, ":prefetch") && bar->kind != SV_BAR_IO;
}

/*
 * A model may rely on the BARs it has: they can become larger and change the
 * width of their address, nothing else. Others are memory of nobody's, or I/O
 * that the model answers as it does any register it does not have.
 */
static int set_bar(struct conf_lay *l, const struct conf_option *o)
{
	unsigned int i = (unsigned int)(o->name[3] - '0');
	const struct sv_bar *model = &l->model->bar[i];
	struct sv_bar bar = *model;

	if (bar.kind == SV_BAR_NONE)
		bar = (struct sv_bar){.kind = SV_BAR_MEM32};
	if (!parse_bar(o->value, &bar))
		return wrong_value(l, o,
				   "[io:|mem32:|mem64:]SIZE[:prefetch], such "
				   "as mem64:1G");
	if (model->kind == SV_BAR_NONE)
		bar.access =
			is_memory(bar.kind) ? SV_ACCESS_DIRECT : SV_ACCESS_TRAP;
	else if (is_memory(model->kind) != is_memory(bar.kind))
		return wrong_value(l, o, "what the model's own BAR can be");
	else if (bar.size < model->size)
		return conf_refuse(l->err, -EINVAL,
				   "%s: %s=%.64s is smaller than the %" PRIu64
				   " bytes the model needs",
				   l->name, o->name, o->value, model->size);
	l->shape->bar[i] = bar;
	return 0;
}

static int set_msi(struct conf_lay *l, const struct conf_option *o)
{
	unsigned long n = 0;

	if (!parse_number(o->value, 10, MSI_MAX, &n) || n & (n - 1))
		return wrong_value(l, o, "0, 1, 2, 4, 8, 16 or 32 vectors");
	l->shape->msi = (unsigned int)n;
	return 0;
}

/* "N", or "N@BAR" to say where the table is */
static int set_msix(struct conf_lay *l, const struct conf_option *o)
{
	const char *at = strchrnul(o->value, '@');
	unsigned long bar = 0;
	unsigned long n = 0;
	char left[8];

	snprintf(left, sizeof(left), "%.*s", (int)(at - o->value), o->value);
	if (at - o->value >= (int)sizeof(left) ||
	    !parse_number(left, 10, CONF_MSIX_MAX, &n))
		return wrong_value(l, o, "0 to 2048 vectors");
	l->shape->msix = (unsigned int)n;
	if (!*at)
		return 0;
	if (!parse_number(at + 1, 10, SV_NUM_BARS - 1, &bar) ||
	    l->model->msix || l->model->bar[bar].kind != SV_BAR_NONE)
		return wrong_value(l, o,
				   "vectors @ a BAR from 0 to 5 that the model "
				   "leaves free, without a table of its own");
	l->shape->msix_bar = (unsigned int)bar;
	l->msix_placed = true;
	return 0;
}

static int set_flag(struct conf_lay *l, const struct conf_option *o, bool *flag)
{
	if (*o->value)
		return conf_refuse(l->err, -EINVAL,
				   "%s: %s=%.64s: %s takes no value", l->name,
				   o->name, o->value, o->name);
	*flag = true;
	return 0;
}

static int set_nointx(struct conf_lay *l, const struct conf_option *o)
{
	return set_flag(l, o, &l->shape->no_intx);
}

static int set_noflr(struct conf_lay *l, const struct conf_option *o)
{
	return set_flag(l, o, &l->shape->no_flr);
}

static int set_nopcie(struct conf_lay *l, const struct conf_option *o)
{
	return set_flag(l, o, &l->shape->no_pcie);
}

static int set_nopm(struct conf_lay *l, const struct conf_option *o)
{
	return set_flag(l, o, &l->shape->no_pm);
}

static int set_af(struct conf_lay *l, const struct conf_option *o)
{
	l->shape->no_pcie = true;
	return set_flag(l, o, &l->shape->af_flr);
}

static int set_nosoftrst(struct conf_lay *l, const struct conf_option *o)
{
	return set_flag(l, o, &l->shape->no_soft_reset);
}

static int set_rom(struct conf_lay *l, const struct conf_option *o)
{
	if (!*o->value)
		return wrong_value(l, o, "the name of a ROM image");
	l->shape->rom_file = o->value;
	l->shape->rom_size = 0;
	return 0;
}

static const struct sv_option options[] = {
	{"id", "VENDOR:DEVICE  PCI ids in hex"},
	{"subsys", "VENDOR:DEVICE  subsystem ids in hex"},
	{"class", "CODE  24-bit class code in hex, such as 010802"},
	{"barN", "[KIND:]SIZE[:prefetch]  bar0 to bar5; io, mem32 or mem64"},
	{"msi", "N  MSI vectors: 0, 1, 2, 4, 8, 16 or 32"},
	{"msix", "N[@BAR]  MSI-X vectors, up to 2048; the table's BAR"},
	{"nointx", "no interrupt pin"},
	{"noflr", "no function level reset"},
	{"nopcie", "conventional PCI"},
	{"nopm", "no power management"},
	{"af", "conventional PCI with FLR through Advanced Features"},
	{"nosoftrst", "leaving D3hot keeps the function's state"},
	{"rom", "FILE  expansion ROM image"},
	{NULL, NULL},
};

static int (*const setters[])(struct conf_lay *, const struct conf_option *) = {
	set_id,	  set_subsys,	 set_class, set_bar,	set_msi,
	set_msix, set_nointx,	 set_noflr, set_nopcie, set_nopm,
	set_af,	  set_nosoftrst, set_rom,
};

_Static_assert(ARRAY_SIZE(setters) == ARRAY_SIZE(options) - 1,
	       "one setter per option");

const struct sv_option *conf_shape_options(void)
{
	return options;
}

/* Index of the option, or the number of options. */
static size_t option_index(const char *name)
{
	bool bar = !strncmp(name, "bar", 3) && name[3] >= '0' &&
		   name[3] < '0' + SV_NUM_BARS && !name[4];
	size_t i = 0;

	while (i < ARRAY_SIZE(setters) &&
	       strcmp(options[i].name, bar ? "barN" : name) != 0)
		i++;
	return i;
}

bool conf_shape_option_known(const char *name)
{
	return strcmp(name, "barN") && option_index(name) < ARRAY_SIZE(setters);
}

int conf_shape(const struct dev_conf *dev, struct sv_shape *shape,
	       char err[CONF_ERR_MAX])
{
	const struct sv_shape model = *shape;
	struct sv_shape laid = *shape;
	struct conf_lay l = {
		.model = &model,
		.shape = &laid,
		.name = dev->ops->name,
		.err = err,
	};

	for (size_t i = 0; i < dev->n_shape; i++) {
		const struct conf_option *o = &dev->shape[i];
		int ret = setters[option_index(o->name)](&l, o);

		if (ret)
			return ret;
	}
	laid.multifunction = dev->multifunction;
	int ret = conf_shape_finish(&l);

	if (!ret)
		*shape = laid;
	return ret;
}
