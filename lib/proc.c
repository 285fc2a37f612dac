/* SPDX-License-Identifier: BSD-3-Clause */
/* Files below /proc/PID: lib/proc.h. */
#include <stdio.h>
#include <string.h>

#include "lib/proc.h"

void proc_name(pid_t pid, char name[PROC_NAME_MAX])
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	FILE *f = fopen(path, "re");

	name[0] = '\0';
	if (!f)
		return;
	if (fgets(name, PROC_NAME_MAX, f))
		name[strcspn(name, "\n")] = '\0';
	fclose(f);
}
