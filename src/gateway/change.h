/* change: the body of a change to a container, read from JSON. Apart, for jansson's names and base/json.h's
 * do not go together. */
#pragma once
#include "base/check.h"

#include <stdbool.h>
#include <stddef.h>

enum { CHANGE_TEXT_MAX = 128 };

struct change {
	bool has_draining, draining;
	char address[CHANGE_TEXT_MAX]; /* "" when there is none, as below */
	char pool[CHANGE_TEXT_MAX];
	char worker[CHANGE_TEXT_MAX];
};

/* False with one phrase in `error` when the body is no JSON object of these members. */
MUST_USE bool change_parse(struct change *ret, const char *body, size_t n, char *error, size_t error_size);
