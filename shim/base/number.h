/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef SOFTVFIO_SHIM_BASE_NUMBER_H
#define SOFTVFIO_SHIM_BASE_NUMBER_H

/** put_number() - Append a number and a NUL; returns where the NUL is */
char *put_number(char *p, unsigned int n);

#endif
