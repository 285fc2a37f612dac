/* SPDX-License-Identifier: BSD-3-Clause */
/* One write(2) a line, so that lines of several threads do not mix. */
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/log.h"
#include "lib/plain.h"

enum log_level log_level = LOG_INFO;

void log_line(enum log_level level, const char *fmt, ...)
{
	static const char *const prefix[] = {
		[LOG_ERR] = "softvfio: error: ",
		[LOG_WARN] = "softvfio: warning: ",
		[LOG_INFO] = "softvfio: ",
		[LOG_DEBUG] = "softvfio: debug: ",
	};
	char line[512];
	va_list ap;

	if (level > log_level)
		return;

	int n = snprintf(line, sizeof(line), "%s", prefix[level]);

	va_start(ap, fmt);
	int m = vsnprintf(line + n, sizeof(line) - (size_t)n - 1, fmt, ap);
	va_end(ap);
	if (m < 0)
		return;

	size_t len = (size_t)n + (size_t)m;

	if (len > sizeof(line) - 2)
		len = sizeof(line) - 2;
	plain_text(line);
	line[len++] = '\n';
	ssize_t w = write(STDERR_FILENO, line, len);
	(void)w;
}
