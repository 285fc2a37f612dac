/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Topology files. JSON ends here: every member of a device becomes the text of
 * an option, and goes the way of the command line.
 */
#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "daemon/conf_dev.h"
#include "lib/cleanup.h"

#define FILE_MAX (1u << 20)

/* The file being read, and which of its devices; for error lines. */
struct source {
	const char *path;
	const char *text;
	size_t len;
	size_t device;
};

static void fclosep(FILE **f)
{
	if (*f)
		fclose(*f);
}

static int read_file(const char *path, char **ret_text, size_t *ret_len,
		     char err[CONF_ERR_MAX])
{
	_cleanup_(fclosep) FILE *f = fopen(path, "re");

	if (!f)
		return conf_refuse(err, -errno, "%.128s: %s", path,
				   strerror(errno));
	_cleanup_(freep) char *text = malloc(FILE_MAX + 1);

	if (!text)
		return conf_refuse(err, -ENOMEM, "out of memory");
	errno = 0;
	size_t len = fread(text, 1, FILE_MAX + 1, f);

	if (ferror(f))
		return conf_refuse(err, errno ? -errno : -EIO, "%.128s: %s",
				   path, strerror(errno));
	if (len > FILE_MAX)
		return conf_refuse(err, -EINVAL, "%.128s: longer than %u bytes",
				   path, FILE_MAX);
	*ret_text = TAKE_PTR(text);
	*ret_len = len;
	return 0;
}

/*
 * jansson forgets where a value came from. The text is known to be valid, and
 * to be one array in one object: devices are what commas at depth 2 separate.
 */
static unsigned int device_line(const struct source *src)
{
	unsigned int line = 1;
	unsigned int depth = 0;
	size_t device = 0;
	bool in_string = false;

	for (size_t i = 0; i < src->len; i++) {
		char c = src->text[i];

		if (c == '\n')
			line++;
		else if (depth == 2 && device == src->device &&
			 !strchr(" \t\r,", c))
			break;
		else if (in_string && c == '\\')
			i++;
		else if (c == '"')
			in_string = !in_string;
		else if (in_string)
			continue;
		else if (c == '[' || c == '{')
			depth++;
		else if (c == ']' || c == '}')
			depth--;
		else if (c == ',' && depth == 2)
			device++;
	}
	return line;
}

/* Puts file, line and device in front of what @err says. */
static int refuse_at(const struct source *src, int ret, char err[CONF_ERR_MAX])
{
	char reason[CONF_ERR_MAX];

	memcpy(reason, err, sizeof(reason));
	reason[sizeof(reason) - 1] = '\0';
	return conf_refuse(err, ret, "%.96s:%u: device %zu: %s", src->path,
			   device_line(src), src->device + 1, reason);
}

/* The option's text; NULL when this type stands for nothing. */
static char *value_text(const json_t *value)
{
	if (json_is_true(value))
		return strdup("");
	if (json_is_string(value))
		return strdup(json_string_value(value));
	if (json_is_number(value))
		return json_dumps(value, JSON_ENCODE_ANY);
	return NULL;
}

static int add_member(struct dev_conf *dev, const char *name,
		      const json_t *value, char err[CONF_ERR_MAX])
{
	if (!json_is_true(value) && !json_is_string(value) &&
	    !json_is_number(value))
		return conf_refuse(err, -EINVAL,
				   "%s: '%.64s' is neither text, nor a number, "
				   "nor true",
				   dev->ops->name, name);
	_cleanup_(freep) char *text = value_text(value);

	if (!text)
		return conf_refuse(err, -ENOMEM, "out of memory");
	return conf_dev_option(dev, name, text, err);
}

static int add_members(struct dev_conf *dev, json_t *object,
		       char err[CONF_ERR_MAX])
{
	const char *name = NULL;
	json_t *value = NULL;

	json_object_foreach(object, name, value)
	{
		if (!strcmp(name, "model"))
			continue;
		int ret = add_member(dev, name, value, err);

		if (ret)
			return ret;
	}
	return 0;
}

static int add_device(struct conf *conf, json_t *object, char err[CONF_ERR_MAX])
{
	const char *model = json_string_value(json_object_get(object, "model"));
	struct dev_conf dev;

	if (!model)
		return conf_refuse(err, -EINVAL,
				   "not an object with a \"model\", such as "
				   "{\"model\": \"edu\"}");
	int ret = conf_dev_start(model, &dev, err);

	if (ret)
		return ret;
	ret = add_members(&dev, object, err);
	if (!ret)
		ret = conf_add(conf, &dev, err);
	if (ret)
		conf_dev_done(&dev);
	return ret;
}

static int add_devices(struct conf *conf, struct source *src,
		       const json_t *devices, char err[CONF_ERR_MAX])
{
	size_t before = conf->n_devs;

	for (src->device = 0; src->device < json_array_size(devices);
	     src->device++) {
		json_t *object = json_array_get(devices, src->device);
		int ret = add_device(conf, object, err);

		if (!ret)
			continue;
		while (conf->n_devs > before)
			conf_dev_done(&conf->devs[--conf->n_devs]);
		return refuse_at(src, ret, err);
	}
	return 0;
}

int conf_add_json(struct conf *conf, const char *path, char err[CONF_ERR_MAX])
{
	_cleanup_(freep) char *text = NULL;
	struct source src = {.path = path};
	json_error_t wrong;
	int ret = read_file(path, &text, &src.len, err);

	if (ret)
		return ret;
	src.text = text;
	_cleanup_(json_decrefp) json_t *top =
		json_loadb(text, src.len, JSON_REJECT_DUPLICATES, &wrong);

	if (!top)
		return conf_refuse(err, -EINVAL, "%.96s:%d: %s", path,
				   wrong.line, wrong.text);
	const json_t *devices = json_object_get(top, "devices");

	if (!json_is_array(devices) || json_object_size(top) != 1)
		return conf_refuse(err, -EINVAL,
				   "%.96s:1: not of the form "
				   "{\"devices\": [{\"model\": ...}, ...]}",
				   path);
	return add_devices(conf, &src, devices, err);
}
