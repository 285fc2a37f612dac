/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Log lines go to stderr, one write each, prefixed "softvfio: ". Library code
 * returns errors instead of logging them; whoever handles an error logs once.
 * Never log with a lock held.
 */
#ifndef SOFTVFIO_LIB_LOG_H
#define SOFTVFIO_LIB_LOG_H

enum log_level { LOG_ERR, LOG_WARN, LOG_INFO, LOG_DEBUG };

extern enum log_level log_level; /* set once, before threads start */

/**
 * log_line() - Write a line, if @level is to be seen; use the macros below
 *
 * Context: any thread, no lock; may block on whoever reads stderr.
 */
void log_line(enum log_level level, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

#define log_err(...)   log_line(LOG_ERR, __VA_ARGS__)
#define log_warn(...)  log_line(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)

#endif
