/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Refusals explain themselves. Wherever a request is turned down, the code
 * says `return refuse(EINVAL, "map: iova %#llx is not aligned to %#x", ...)`:
 * the program gets the errno, and the front end that called in takes the
 * reason with refusal_take() and keeps it for `softvfio why`.
 *
 * The reason lives in the thread until taken, so refuse() may be used under
 * any lock: it allocates nothing, takes nothing and writes nowhere.
 */
#ifndef SOFTVFIO_LIB_REFUSE_H
#define SOFTVFIO_LIB_REFUSE_H

#include <stdbool.h>

#define REFUSAL_MAX 256

/**
 * refuse() - Turn a request down and say why
 * @err: a positive errno value
 * @fmt: the reason: what was wrong, with which value, what would be right
 *
 * Context: any thread, any lock.
 * Return: -@err, to be returned to the caller.
 */
int refuse(int err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/**
 * refusal_take() - Take this thread's last refusal, if there is one
 * @text: receives the reason, REFUSAL_MAX bytes
 *
 * Return: the errno that was refused with, or 0 when nothing was refused
 * since the last call (@text is then untouched).
 */
int refusal_take(char text[REFUSAL_MAX]);

#endif
