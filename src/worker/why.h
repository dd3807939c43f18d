/* why: one line for people: what went wrong, where, and what to do about it. */
#pragma once
#include "base/check.h"

#include <stdbool.h>

struct why {
	char text[512];
};

/* Always false, so that a function may `return why_set(why, …)`. Control bytes become spaces: it is one line.
 */
bool why_set(struct why *why, const char *fmt, ...) PRINTF(2, 3);
