/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What was refused in the last private run, kept for `softvfio why` when the
 * daemon that refused it has gone.
 */
#ifndef SOFTVFIO_CLI_RECORD_H
#define SOFTVFIO_CLI_RECORD_H

#include <jansson.h>

/** record_save() - Replace the record by a daemon's answer to "report" */
void record_save(const json_t *report);

/** record_load() - The record, a new reference; NULL when there is none */
json_t *record_load(void);

#endif
