/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who is alive. A file whose last descriptor is closed has visibly nobody, but
 * is released a little later: by whoever asks first.
 */
#ifndef SOFTVFIO_FRONT_ALIVE_H
#define SOFTVFIO_FRONT_ALIVE_H

struct container;
struct group;
struct server;

/**
 * alive_settle() - Release everything that visibly nobody holds any more, and
 * wait for releases in progress
 * alive_settle_group() - Only the files of a group
 * alive_settle_container() - Only the files of the groups attached to one
 *
 * To be called before any answer that depends on who is alive, and about no
 * more than it depends on. Waits for what the dead have asked for and for
 * releases of others, but no longer than a piece of DMA may take; a last close
 * that it makes itself, until the model is stuck.
 * Context: takes lanes and what is inside; no lock held.
 */
void alive_settle(struct server *s);
void alive_settle_group(struct server *s, const struct group *g);
void alive_settle_container(struct server *s, const struct container *c);

#endif
