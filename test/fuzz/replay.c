/* Runs a target on the files of the folders that it is given. Exit code 1 when a folder cannot be read or is
 * empty. */
#include "fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The file's bytes in memory of exactly that size; NULL when it cannot be read. */
static uint8_t *load(const char *path, size_t *ret_size)
{
	FILE *f = fopen(path, "rb");
	long size = f && fseek(f, 0, SEEK_END) == 0 ? ftell(f) : -1;
	uint8_t *data = size >= 0 ? malloc((size_t)size) : NULL;
	if (size > 0 && data) {
		rewind(f);
		if (fread(data, 1, (size_t)size, f) != (size_t)size) {
			free(data);
			data = NULL;
		}
	}
	if (f)
		fclose(f);
	*ret_size = data ? (size_t)size : 0;
	return data;
}

/* The number of files that were run, or -1. */
static int run_folder(const char *folder)
{
	int n = 0;
	DIR *dir = opendir(folder);
	if (!dir)
		return -1;
	for (struct dirent *e = readdir(dir); e && n >= 0; e = readdir(dir)) {
		char path[4096];
		size_t size;
		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
		uint8_t *data = load(path, &size);
		if (data) {
			LLVMFuzzerTestOneInput(data, size);
			free(data);
		}
		n = data ? n + 1 : -1;
	}
	closedir(dir);
	return n;
}

int main(int argc, char **argv)
{
	int failed = argc < 2;
	for (int i = 1; i < argc; i++) {
		int n = run_folder(argv[i]);
		printf("%s: %d inputs\n", argv[i], n);
		failed |= n <= 0;
	}
	return failed;
}
