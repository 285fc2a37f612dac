/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Runs a fuzz target over the files it is given, and those in the directories:
 * what fuzzing has found stays tested in builds without libFuzzer.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define INPUT_MAX (1u << 20)

static unsigned int replayed;

static void replay_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	uint8_t *data = malloc(INPUT_MAX);

	if (!f || !data) {
		perror(path);
		exit(1);
	}
	size_t size = fread(data, 1, INPUT_MAX, f);

	fclose(f);
	LLVMFuzzerTestOneInput(data, size);
	free(data);
	replayed++;
}

static void replay(const char *path)
{
	struct stat st;
	char name[4096];
	DIR *dir = NULL;

	if (!stat(path, &st) && S_ISDIR(st.st_mode))
		dir = opendir(path);
	if (!dir) {
		replay_file(path);
		return;
	}
	for (struct dirent *e; (e = readdir(dir));) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(name, sizeof(name), "%s/%s", path, e->d_name);
		replay(name);
	}
	closedir(dir);
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		replay(argv[i]);
	printf("%u inputs\n", replayed);
	return replayed ? 0 : 1;
}
