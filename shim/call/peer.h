/* SPDX-License-Identifier: BSD-3-Clause */
/* Who made a socket: what makes it ours, and the door's. See peer.c. */
#ifndef SOFTVFIO_SHIM_CALL_PEER_H
#define SOFTVFIO_SHIM_CALL_PEER_H

#include "shim/shim.h"

#include <sys/socket.h>

/** peer_credentials() - Who made a pair, or listens. False: not known */
bool peer_credentials(int fd, struct ucred *ret_cred);

/**
 * peer_is_daemon() - Is it the process that `run` named, and still the same
 *
 * False also where that cannot be seen: without /proc, or if process ids are
 * of another namespace.
 */
bool peer_is_daemon(const struct ucred *cred);

/** peer_learn() - A descriptor has come from the daemon: it is a file's */
void peer_learn(int fd);

#endif
