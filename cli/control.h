/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Asking a daemon about itself: the client side of SV_CONTROL.
 */
#ifndef SOFTVFIO_CLI_CONTROL_H
#define SOFTVFIO_CLI_CONTROL_H

#include <jansson.h>
#include <sys/socket.h>

/**
 * control_daemon() - Whose process listens at the door of the instance in @dir
 *
 * Return: 0; -errno as control_ask().
 */
int control_daemon(const char *dir, struct ucred *ret_cred);

/**
 * control_ask() - Send {"cmd": @cmd} to the daemon of the instance in @dir
 * control_ask_of() - Send {"cmd": @cmd, "device": @device}
 * @ret_reply: an object; the caller's reference
 *
 * Waits a few seconds at most.
 *
 * Return: 0; -ENOENT, -ECONNREFUSED no daemon there (yet, or any more);
 * -EAGAIN it did not answer in time; -EPROTO it did not answer in JSON; or
 * what the daemon answered.
 */
int control_ask(const char *dir, const char *cmd, json_t **ret_reply);
int control_ask_of(const char *dir, const char *cmd, const char *device,
		   json_t **ret_reply);

#endif
