/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Running the user's program under the shim as if it had been started
 * directly: its signals, its stops and its end are passed through.
 */
#ifndef SOFTVFIO_CLI_PROGRAM_H
#define SOFTVFIO_CLI_PROGRAM_H

#include <limits.h>

/**
 * program_shim() - Find libsoftvfio.so
 *
 * $SOFTVFIO_SHIM; else in the build tree this program is in; else where it is
 * installed, seen from this program.
 *
 * Return: 0; -ENOENT, -EINVAL it cannot be named in LD_PRELOAD; reported.
 */
int program_shim(char path[PATH_MAX]);

/**
 * program_run() - Run @argv to its end
 * @dir:  the instance's directory
 * @shim: from program_shim()
 * @ret_status: as waitpid() has it
 *
 * A program that cannot be executed ends with EXIT_CANNOT_EXECUTE or
 * EXIT_NOT_FOUND, having said why.
 *
 * Context: one thread; blocks all signals, and leaves them blocked.
 * Return: 0, or why there could not be a process, reported.
 */
int program_run(char **argv, const char *dir, const char *shim,
		int *ret_status);

/**
 * program_exit() - End as the program did: with its status, or by its signal
 */
_Noreturn void program_exit(int status);

#endif
