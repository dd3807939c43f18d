/* output: where the lines of a fleet's containers go, each with its container's name before it: "container3:
 * …". */
#pragma once
#include "base/check.h"

struct output {
	const char *path; /* borrowed; NULL: standard error */
	int fd;
};

/* path: a file to append to, or "stderr". 0 or -errno. */
MUST_USE int output_open(struct output *o, const char *path);

/* The file anew, by its name: it may have been moved away. Without one, nothing. */
void output_reopen(struct output *o);
void output_write(struct output *o, const char *container, const char *line);
void output_close(struct output *o);
