/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Taking fields out of a daemon's answer for a table. What is missing, empty
 * or of another type shows as "-": a table must not fail. Names of programs
 * are the programs' choice, so nothing in them may steer a terminal.
 */
#ifndef SOFTVFIO_CLI_TEXT_H
#define SOFTVFIO_CLI_TEXT_H

#include <jansson.h>
#include <stdio.h>

#define FIELD_MAX 128

/**
 * text_field() - One field as text that can be printed
 * @field: receives it, cut to what fits; FIELD_MAX bytes
 *
 * Return: @field.
 */
const char *text_field(const json_t *object, const char *key, char *field);

/** text_print() - A whole string of any length; "-" if @value is none */
void text_print(FILE *out, const json_t *value);

/** text_print_list() - {@key: @list} as JSON to stdout */
void text_print_list(const char *key, json_t *list);

/**
 * text_program() - "qemu-img[123]"; "device" for pid 0, which is none's
 *
 * Return: @field.
 */
const char *text_program(const json_t *object, char *field);

#endif
