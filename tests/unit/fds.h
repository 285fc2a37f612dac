/* SPDX-License-Identifier: BSD-3-Clause */
/* Leaks of descriptors: their number before and after. */
#ifndef SOFTVFIO_TESTS_FDS_H
#define SOFTVFIO_TESTS_FDS_H

#include <dirent.h>

static inline int count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	while (dir && readdir(dir))
		n++;
	closedir(dir);
	return n;
}

#endif
