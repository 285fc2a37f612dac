/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The models there are, the options they take, and the text form of `-d`.
 */
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <string.h>

#include "daemon/conf_dev.h"
#include "dev/edu/edu.h"
#include "dev/nvme/nvme.h"
#include "dev/plain/plain.h"
#include "dev/ram/ram.h"
#include "lib/cleanup.h"

/*
 * A new model is added here, a row of its own, and in dev/meson.build; nowhere
 * else.
 */
/* clang-format off */
static const struct sv_dev_ops *const models[] = {
	&nvme_ops,
	&edu_ops,
	&ram_ops,
	&plain_ops,
	NULL,
};
/* clang-format on */

const struct sv_dev_ops *const *conf_models(void)
{
	return models;
}

int conf_refuse(char err[CONF_ERR_MAX], int ret, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(err, CONF_ERR_MAX, fmt, args);
	va_end(args);
	return ret;
}

/* Names of options, in the order of the table. */
struct names {
	char text[CONF_ERR_MAX];
	size_t used;
};

static void names_add(struct names *names, const char *name)
{
	const char *comma = names->used ? ", " : "";
	size_t room = sizeof(names->text) - names->used;
	int n = snprintf(names->text + names->used, room, "%s%s", comma, name);

	if (n > 0)
		names->used += (size_t)n < room ? (size_t)n : room - 1;
}

static void names_add_all(struct names *names, const struct sv_option *o)
{
	for (; o && o->name; o++)
		names_add(names, o->name);
}

int conf_dev_start(const char *model, struct dev_conf *ret_dev,
		   char err[CONF_ERR_MAX])
{
	struct names names = {0};

	for (const struct sv_dev_ops *const *m = models; *m; m++) {
		if (!strcmp((*m)->name, model)) {
			*ret_dev = (struct dev_conf){.ops = *m, .group = -1};
			return 0;
		}
		names_add(&names, (*m)->name);
	}
	return conf_refuse(err, -EINVAL,
			   "no device model '%.64s'; there are: %.160s", model,
			   names.text);
}

/* Where a function goes, as opposed to what it is. */

static int set_bdf(struct dev_conf *dev, const char *value,
		   char err[CONF_ERR_MAX])
{
	if (bdf_parse(value, &dev->bdf))
		return conf_refuse(err, -EINVAL,
				   "%s: bdf=%.64s is not an address such as "
				   "0000:01:00.0",
				   dev->ops->name, value);
	dev->bdf_given = true;
	return 0;
}

static int set_group(struct dev_conf *dev, const char *value,
		     char err[CONF_ERR_MAX])
{
	char *end = NULL;
	unsigned long n = strtoul(value, &end, 10);

	if (*value < '0' || *value > '9' || *end || n > INT_MAX)
		return conf_refuse(err, -EINVAL,
				   "%s: group=%.64s is not a number from 0 "
				   "to %d",
				   dev->ops->name, value, INT_MAX);
	dev->group = (int)n;
	return 0;
}

static int set_slot(struct dev_conf *dev, const char *value,
		    char err[CONF_ERR_MAX])
{
	if (!*value)
		return conf_refuse(err, -EINVAL,
				   "%s: slot= is empty; give a name that the "
				   "functions of one device share",
				   dev->ops->name);
	dev->slot = strdup(value);
	return dev->slot ? 0 : conf_refuse(err, -ENOMEM, "out of memory");
}

static const struct sv_option place_options[] = {
	{"bdf", "ADDRESS  PCI address, such as 0000:01:00.0"},
	{"group", "N  IOMMU group"},
	{"slot", "NAME  functions with one name are one multi-function device"},
	{NULL, NULL},
};

static int (*const place_setters[])(struct dev_conf *, const char *,
				    char[CONF_ERR_MAX]) = {
	set_bdf,
	set_group,
	set_slot,
};

_Static_assert(ARRAY_SIZE(place_setters) == ARRAY_SIZE(place_options) - 1,
	       "one setter per option");

static const struct sv_option *find_option(const struct sv_option *o,
					   const char *name)
{
	for (; o && o->name; o++)
		if (!strcmp(o->name, name))
			return o;
	return NULL;
}

static int append(struct conf_option **options, size_t *n, const char *name,
		  const char *value)
{
	struct conf_option *grown =
		reallocarray(*options, *n + 1, sizeof(**options));

	if (!grown)
		return -ENOMEM;
	*options = grown;
	_cleanup_(freep) char *new_name = strdup(name);
	_cleanup_(freep) char *new_value = strdup(value);

	if (!new_name || !new_value)
		return -ENOMEM;
	grown[(*n)++] = (struct conf_option){
		.name = TAKE_PTR(new_name),
		.value = TAKE_PTR(new_value),
	};
	return 0;
}

static bool given(const struct conf_option *options, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(options[i].name, name))
			return true;
	return false;
}

static bool dev_option_given(const struct dev_conf *dev, const char *name)
{
	if (!strcmp(name, "bdf"))
		return dev->bdf_given;
	if (!strcmp(name, "group"))
		return dev->group >= 0;
	if (!strcmp(name, "slot"))
		return dev->slot;
	return given(dev->shape, dev->n_shape, name) ||
	       given(dev->options, dev->n_options, name);
}

static int refuse_unknown(const struct dev_conf *dev, const char *name,
			  char err[CONF_ERR_MAX])
{
	struct names own = {0};
	struct names all = {0};

	names_add_all(&own, dev->ops->options);
	names_add_all(&all, place_options);
	names_add_all(&all, conf_shape_options());
	return conf_refuse(err, -EINVAL,
			   "%s: no option '%.32s'; there are: %s%s%s",
			   dev->ops->name, name, own.text,
			   own.used ? "; for every device: " : "", all.text);
}

int conf_dev_option(struct dev_conf *dev, const char *name, const char *value,
		    char err[CONF_ERR_MAX])
{
	const struct sv_option *place = find_option(place_options, name);
	int ret = 0;

	if (dev_option_given(dev, name))
		return conf_refuse(err, -EINVAL,
				   "%s: option '%.64s' is given twice",
				   dev->ops->name, name);
	if (place)
		return place_setters[place - place_options](dev, value, err);
	if (conf_shape_option_known(name))
		ret = append(&dev->shape, &dev->n_shape, name, value);
	else if (find_option(dev->ops->options, name))
		ret = append(&dev->options, &dev->n_options, name, value);
	else
		return refuse_unknown(dev, name, err);
	return ret ? conf_refuse(err, ret, "out of memory") : 0;
}

static void free_options(struct conf_option *options, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(options[i].name);
		free(options[i].value);
	}
	free(options);
}

void conf_dev_done(struct dev_conf *dev)
{
	free_options(dev->shape, dev->n_shape);
	free_options(dev->options, dev->n_options);
	free(dev->slot);
	*dev = (struct dev_conf){0};
}

int conf_add(struct conf *conf, const struct dev_conf *dev,
	     char err[CONF_ERR_MAX])
{
	if (conf->n_devs == CONF_DEVICES_MAX)
		return conf_refuse(err, -ENOSPC, "more than %d devices",
				   CONF_DEVICES_MAX);
	conf->devs[conf->n_devs++] = *dev;
	return 0;
}

/*
 * The item that *@rest begins with, unescaped in place: two commas stand for
 * one that is part of the item. *@rest becomes NULL after the last one.
 */
static char *take_item(char **rest)
{
	char *item = *rest;
	char *out = item;

	for (char *in = item;; in++) {
		if (in[0] == ',' && in[1] == ',') {
			in++;
		} else if (in[0] == ',' || !in[0]) {
			*rest = in[0] ? in + 1 : NULL;
			*out = '\0';
			return item;
		}
		*out++ = *in;
	}
}

static int add_items(struct dev_conf *dev, char *rest, char err[CONF_ERR_MAX])
{
	while (rest) {
		char *name = take_item(&rest);
		char *value = strchr(name, '=');

		if (value)
			*value++ = '\0';
		if (!*name)
			return conf_refuse(err, -EINVAL,
					   "%s: an option without a name; "
					   "a comma inside a value is "
					   "written twice",
					   dev->ops->name);
		int ret = conf_dev_option(dev, name, value ? value : "", err);

		if (ret)
			return ret;
	}
	return 0;
}

int conf_add_text(struct conf *conf, const char *text, char err[CONF_ERR_MAX])
{
	_cleanup_(freep) char *copy = strdup(text);
	char *rest = copy;
	struct dev_conf dev;

	if (!copy)
		return conf_refuse(err, -ENOMEM, "out of memory");
	int ret = conf_dev_start(take_item(&rest), &dev, err);

	if (ret)
		return ret;
	ret = add_items(&dev, rest, err);
	if (!ret)
		ret = conf_add(conf, &dev, err);
	if (ret)
		conf_dev_done(&dev);
	return ret;
}

void conf_done(struct conf *conf)
{
	for (size_t i = 0; i < conf->n_devs; i++)
		conf_dev_done(&conf->devs[i]);
	conf->n_devs = 0;
}

/*
 * Help texts begin with what the value is, set off by two spaces; those of
 * options without a value do not.
 */
static void help_option(FILE *out, const struct sv_option *o)
{
	const char *gap = strstr(o->help, "  ");
	const char *text = gap ? gap + strspn(gap, " ") : o->help;
	char left[64];

	if (gap && gap != o->help)
		snprintf(left, sizeof(left), "%s=%.*s", o->name,
			 (int)(gap - o->help), o->help);
	else
		snprintf(left, sizeof(left), "%s", o->name);
	fprintf(out, "    %-22s %s\n", left, text);
}

static void help_options(FILE *out, const struct sv_option *o)
{
	for (; o && o->name; o++)
		help_option(out, o);
}

void conf_help(FILE *out)
{
	for (const struct sv_dev_ops *const *m = models; *m; m++) {
		fprintf(out, "%s: %s\n", (*m)->name, (*m)->summary);
		help_options(out, (*m)->options);
	}
	fprintf(out, "every device:\n");
	help_options(out, place_options);
	help_options(out, conf_shape_options());
}
