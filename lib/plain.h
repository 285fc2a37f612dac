/* SPDX-License-Identifier: BSD-3-Clause */
/* Text that somebody else chose, for a terminal. */
#ifndef SOFTVFIO_LIB_PLAIN_H
#define SOFTVFIO_LIB_PLAIN_H

/**
 * plain_text() - Make text steer no terminal: what is a control character, of
 * ASCII or of Unicode's second set (U+0080 to U+009F), or no UTF-8, becomes
 * question marks
 *
 * Return: @text.
 */
char *plain_text(char *text);

#endif
