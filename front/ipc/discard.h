/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Closing what programs have sent. close() of some files waits for somebody
 * else: of FUSE's for the server, of TCP's for as long as it is to linger, and
 * any unix socket may have such a one in its queue. So it is done by threads
 * that nobody waits for, one for each program.
 */
#ifndef SOFTVFIO_FRONT_IPC_DISCARD_H
#define SOFTVFIO_FRONT_IPC_DISCARD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define CLOSERS_MAX 64 /* threads, stuck ones included */

/**
 * discard_fd() - Close a descriptor soon
 * @pid: the program that it came from
 *
 * It counts as one of the program's SHARE_CLOSING until it is closed. Where
 * there is no thread to be had it waits for the next one, or discard_again().
 *
 * Context: any thread, no leaf lock held; never waits.
 */
void discard_fd(pid_t pid, int fd);

/**
 * discard_again() - Try to have a thread for what is waiting without one
 *
 * For whoever comes by now and then. Context: as for discard_fd().
 */
void discard_again(void);

/**
 * discard_socket() - Close a socket of ours that @pid could send to: at once,
 * unless something of any kind may be in its queue
 *
 * Context: as for discard_fd(); nobody else may have this end. See
 * req_at_end() for what it has to be.
 */
void discard_socket(pid_t pid, int sock);

/**
 * discard_crowded() - Has @pid, or have all, so many waiting to be closed that
 * no more are to be taken from it?
 *
 * Context: any thread, no leaf lock held.
 */
bool discard_crowded(pid_t pid);

/**
 * discard_wait() - Wait until that is not so any more, or @deadline_ns has come
 *
 * Mostly they are closed in no time. Where several threads wait already it
 * returns at once.
 *
 * Context: any thread, no lock held.
 */
void discard_wait(pid_t pid, uint64_t deadline_ns);

/** discard_init() - Before all else; again does nothing */
void discard_init(void);

#endif
