/* SPDX-License-Identifier: BSD-3-Clause */
/* What the host says about a process. */
#ifndef SOFTVFIO_LIB_PROC_H
#define SOFTVFIO_LIB_PROC_H

#include <stdbool.h>
#include <sys/types.h>

#define PROC_NAME_MAX 16 /* Linux cuts names to 15 bytes */

/**
 * proc_name() - What /proc/PID/comm says; empty when the process has gone
 *
 * Context: any thread; blocks on the file system, so no lock may be held.
 */
void proc_name(pid_t pid, char name[PROC_NAME_MAX]);

/**
 * proc_start() - When a process began, in the unit of /proc/PID/stat, which
 * with its id tells it from all others
 *
 * Context: as proc_name().
 * Return: 0 if that cannot be seen.
 */
unsigned long long proc_start(pid_t pid);

/**
 * proc_is_mem() - Is @fd the memory of a process, /proc/PID/mem?
 * @pid: who sent it, perhaps from a mount namespace with a /proc of its own
 *
 * Any file can be called so, but not be of a proc file system. Nothing that the
 * file's own server would have to answer is asked.
 *
 * Context: any thread; reads /proc.
 */
bool proc_is_mem(pid_t pid, int fd);

#endif
