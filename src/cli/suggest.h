/* suggest: "did you mean …?" for a mistyped word. */
#pragma once
#include "base/str.h"

#include <stddef.h>

/* The name nearest to `word`, when it is near enough to be meant: at most a third of its letters are wrong,
 * left out, added or swapped with their neighbour. NULL otherwise. names: NULL entries are skipped. */
const char *suggest(struct str word, const char *const *names, size_t n);
