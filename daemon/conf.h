/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the user asked for, as text (`-d nvme,file=disk.img,bdf=...`) or JSON
 * (`-c topology.json`), turned into a checked list of functions to create. A
 * wrong option names itself and the ones that exist.
 */
#ifndef SOFTVFIO_DAEMON_CONF_H
#define SOFTVFIO_DAEMON_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "softvfio/device.h"

#define CONF_DEVICES_MAX 256

/** struct bdf - A PCI address */
struct bdf {
	uint16_t domain;
	uint8_t bus;
	uint8_t dev; /* 0..31 */
	uint8_t fn;  /* 0..7 */
};

#define BDF_TEXT_MAX 16 /* "0000:01:00.0" and a NUL fit */

/** bdf_parse() - "0000:01:00.0" or "01:00.0"; 0 or -EINVAL */
int bdf_parse(const char *text, struct bdf *ret_bdf);
void bdf_format(const struct bdf *bdf, char text[BDF_TEXT_MAX]);

/** struct conf_option - "name=value"; @value is "" when there was no '=' */
struct conf_option {
	char *name;
	char *value;
};

/**
 * struct dev_conf - One function to create
 * @ops:       its model
 * @bdf:       its address, given or assigned by conf_place()
 * @group:     its IOMMU group, given or assigned by conf_place()
 * @slot:      slot name shared by functions of one device, or NULL
 * @shape:     options that every device has, in order (id, subsys, class,
 *	       bar0..bar5, msi, msix, nointx, noflr, nopcie, nopm, af, nosoftrst,
 *	       rom): see
 *	       conf_shape()
 * @options:   the model's own
 */
struct dev_conf {
	const struct sv_dev_ops *ops;
	struct bdf bdf;
	bool bdf_given;
	int group; /* -1 until placed */
	char *slot;
	bool multifunction; /* others are in its slot; set when placed */
	struct conf_option *shape;
	size_t n_shape;
	struct conf_option *options;
	size_t n_options;
};

/** struct conf - Everything to create; zero-initialised is empty */
struct conf {
	struct dev_conf devs[CONF_DEVICES_MAX];
	size_t n_devs;
};

/** conf_models() - every model there is, ended by NULL: one explicit table */
const struct sv_dev_ops *const *conf_models(void);

/**
 * conf_add_text() - Add a device from "model,option=value,..."
 * @err: receives one line on failure
 *
 * A comma inside a value is written twice. An option may be given once.
 *
 * Return: 0; -EINVAL; -ENOSPC too many devices; -ENOMEM.
 */
int conf_add_text(struct conf *conf, const char *text, char err[256]);

/**
 * conf_add_json() - Add the devices of a topology file:
 * {"devices": [{"model": "nvme", "file": "disk.img", "bdf": "0000:01:00.0"}]}
 *
 * The same options as text; true stands for an option without a value, and
 * numbers for their decimal text. Errors name file, line and device; either
 * all devices of the file are added or none.
 *
 * Return: as conf_add_text(), or the errno of opening the file.
 */
int conf_add_json(struct conf *conf, const char *path, char err[256]);

/**
 * conf_place() - Give every function an address and a group
 *
 * Without bdf=: bus 1, 2, ... device 0, as if each sat behind a root port of
 * its own; functions with one slot= share bus and device and get functions 0,
 * 1, ... A slot with a bdf= among its functions is where that says. Groups
 * count from 1; functions of one slot share a group unless group= says
 * otherwise. Two functions at one address, or a slot with nine, are errors.
 *
 * Return: 0; -EINVAL, -EEXIST with @err set.
 */
int conf_place(struct conf *conf, char err[256]);

/**
 * conf_shape() - Lay the user's shape options over a model's shape, check and
 * complete it (MSI-X table placement, sizes rounded up to what PCI can decode)
 * @shape: the model's, after its shape_up(); changed on success only. Its
 *	   rom_file belongs to @dev afterwards.
 *
 * bar0=..bar5= take "[io:|mem32:|mem64:]SIZE[:prefetch]". A BAR that the model
 * has can only grow and change between mem32 and mem64. One that it does not
 * have is direct memory, or I/O that its read() and write() are asked for.
 *
 * Return: 0; -EINVAL with @err set.
 */
int conf_shape(const struct dev_conf *dev, struct sv_shape *shape,
	       char err[256]);

/** conf_help() - models, their options and everybody's options, to @out */
void conf_help(FILE *out);

void conf_done(struct conf *conf);

#endif
