/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The program started by one of its own cases.
 */
#ifndef SOFTVFIO_CONFORMANCE_PROCESS_H
#define SOFTVFIO_CONFORMANCE_PROCESS_H

#define EXEC_OPTION "--exec"
#define EXEC_FILES  4 /* descriptors: the line, container, group, device */

/** process_main() - Go on with the case's line; @argv: EXEC_FILES numbers */
int process_main(char *const *argv);

#endif
