/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Signalling a program's eventfd without ever waiting for the program: its
 * counter may be full and its descriptor blocking.
 */
#ifndef SOFTVFIO_LIB_EVFD_H
#define SOFTVFIO_LIB_EVFD_H

#include <stdbool.h>
#include <stdint.h>

/**
 * evfd_signal() - Add one to an eventfd's counter
 * @fd: an eventfd, see evfd_check()
 *
 * Saturates as the kernel's own signals do: a full counter goes to its very
 * end and stays there. Where the host offers no aio, a signal to a full
 * counter is dropped instead, and a program that fills the counter of a
 * blocking descriptor at the wrong instant could hold the caller up.
 *
 * Context: any thread, any lock; never blocks; leaves errno alone.
 */
void evfd_signal(int fd);

/**
 * evfd_probe() - Can signals here be what evfd_signal() promises?
 *
 * Context: any thread, no lock; for whoever tells the user, once.
 * Return: 0, also when it cannot tell; -errno: the host offers no aio, and full
 * counters lose signals.
 */
int evfd_probe(void);

/**
 * evfd_take() - Take from an eventfd's counter without blocking
 * @fd: an eventfd
 *
 * Takes all of it, or one from an EFD_SEMAPHORE eventfd, as a read would. The
 * program says how much is in it, so nobody takes until it is empty: a signal
 * is taken once, as in Linux.
 *
 * Context: any thread, any lock; never blocks; leaves errno alone.
 * Return: true when the counter was not zero.
 */
bool evfd_take(int fd);

/**
 * evfd_check() - Is @fd an eventfd?
 *
 * Return: 0; -EBADF no such descriptor; -EINVAL some other kind of file.
 */
int evfd_check(int fd);

/**
 * evfd_id() - Two descriptors with one id are one eventfd
 *
 * Return: the host's number for it; 0 when it does not tell.
 */
uint64_t evfd_id(int fd);

#endif
