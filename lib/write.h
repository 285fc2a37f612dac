/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef SOFTVFIO_LIB_WRITE_H
#define SOFTVFIO_LIB_WRITE_H

/**
 * write_all() - A short text to a file on a disk
 *
 * Return: 0; -ENOSPC it fits in part; other errnos of write(2).
 */
int write_all(int fd, const char *text);

#endif
