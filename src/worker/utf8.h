/* utf8: checks text (RFC 3629 §4). */
#pragma once
#include "base/str.h"

/* Offset of the first byte that starts no valid sequence; s.len when all is well. */
size_t utf8_check(struct str s);
