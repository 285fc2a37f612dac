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

unsigned long long proc_start(pid_t pid)
{
	unsigned long long start = 0;
	char path[32], text[512];

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	FILE *f = fopen(path, "re");

	if (!f)
		return 0;
	text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
	fclose(f);

	/* field 22; the second is a name, which may hold anything */
	const char *behind = strrchr(text, ')');

	if (!behind ||
	    sscanf(behind,
		   ") %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s "
		   "%*s %*s %*s %*s %*s %llu",
		   &start) != 1)
		return 0;
	return start;
}
