/* SPDX-License-Identifier: BSD-3-Clause */
/* What the files behind core/pci/bar.h share. */
#ifndef SOFTVFIO_CORE_PCI_BAR_IMPL_H
#define SOFTVFIO_CORE_PCI_BAR_IMPL_H

#include "core/pci/bar.h"

/**
 * bar_make_kept() - Where the contents are while the BAR is closed
 * bar_drop_kept() - With the BAR; half-made ones are fine
 *
 * Return: 0; -EMFILE, -ENOMEM.
 */
int bar_make_kept(struct bar *bar);
void bar_drop_kept(struct bar *bar);

/** bar_empty_kept() - What was kept is not the contents any more */
void bar_empty_kept(struct bar *bar);

/** bar_fd_path() - Where @bar->memfd can be opened once more */
void bar_fd_path(const struct bar *bar, char path[32]);

/** zap_close(), zap_open(), zap_discard() - Of struct bar_storage, by truncation */
void zap_close(struct bar *bar);
void zap_open(struct bar *bar);
void zap_discard(struct bar *bar);

/** bar_guard_add(), bar_guard_remove() - a view that may be damaged */
void bar_guard_add(struct bar *bar);
void bar_guard_remove(struct bar *bar);

/**
 * bar_mend_view() - Have the view show the memfd again, if the guard had to put
 * something else there
 *
 * Context: memory_lock held for writing.
 * Return: whether it does.
 */
bool bar_mend_view(struct bar *bar);

#endif
