#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>

void check_failed(const char *file, int line, const char *func, const char *cond)
{
	fprintf(stderr, "berth: bug at %s:%d in %s: CHECK(%s) failed\n", file, line, func, cond);
	fflush(stderr);
	abort();
}
