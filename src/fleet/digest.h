/* digest: SHA-256, as text. */
#pragma once
#include "base/check.h"
#include "base/str.h"

#include <stdbool.h>

enum { DIGEST_TEXT = 65 }; /* 64 hexadecimal digits and a NUL */

void digest_bytes(struct str bytes, char ret[DIGEST_TEXT]);

/* Of a file's bytes, from its start; *ret_bytes: how many. False with errno. */
MUST_USE bool digest_file(int fd, char ret[DIGEST_TEXT], uint64_t *ret_bytes);
