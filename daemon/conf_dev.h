/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the parts of conf share: text and JSON both build a struct dev_conf
 * option by option, so that they know the same options and report the same
 * mistakes. Private to daemon/conf*.c.
 */
#ifndef SOFTVFIO_DAEMON_CONF_DEV_H
#define SOFTVFIO_DAEMON_CONF_DEV_H

#include "daemon/conf.h"

#define CONF_ERR_MAX 256

/** conf_refuse() - Write the reason to @err; returns @ret */
int conf_refuse(char err[CONF_ERR_MAX], int ret, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/**
 * conf_dev_start() - Begin a device of this model
 *
 * Return: 0; -EINVAL no such model. @ret_dev holds nothing to free yet.
 */
int conf_dev_start(const char *model, struct dev_conf *ret_dev,
		   char err[CONF_ERR_MAX]);

/**
 * conf_dev_option() - Give the device one more option
 *
 * Return: 0; -EINVAL no such option, given twice or a bad address, group or
 * slot; -ENOMEM.
 */
int conf_dev_option(struct dev_conf *dev, const char *name, const char *value,
		    char err[CONF_ERR_MAX]);

void conf_dev_done(struct dev_conf *dev);

/**
 * conf_add() - Append a device, which then belongs to @conf
 *
 * Return: 0; -ENOSPC, and the device still belongs to the caller.
 */
int conf_add(struct conf *conf, const struct dev_conf *dev,
	     char err[CONF_ERR_MAX]);

/** conf_shape_options() - names and help of shape options, ended by a NULL
 * name; "barN" stands for bar0 to bar5 */
const struct sv_option *conf_shape_options(void);

#define CONF_MSIX_MAX 2048u

/**
 * struct conf_lay - A shape being laid out
 * @model: before the user's options
 * @shape: as it is so far
 * @name:  the model's, for @err
 * @err:   CONF_ERR_MAX bytes
 * @msix_placed: the user said which BAR has the MSI-X table
 */
struct conf_lay {
	const struct sv_shape *model;
	struct sv_shape *shape;
	const char *name;
	char *err;
	bool msix_placed;
};

/**
 * conf_shape_finish() - Check a shape and complete it
 *
 * Return: 0; -EINVAL, and the shape is then half done.
 */
int conf_shape_finish(struct conf_lay *l);

/** conf_shape_option_known() - is @name one of them? */
bool conf_shape_option_known(const char *name);

#endif
