/* arena: bytes that are all given back at once.
 *
 * Owns:   its blocks. The first is kept by arena_reset, so that a steady load allocates nothing.
 * Under AddressSanitizer each allocation is a block of its own.
 */
#pragma once
#include "base/check.h"
#include "base/str.h"

#include <stddef.h>

struct arena_block;

struct arena {
	struct arena_block *blocks; /* owned; newest first */
	char *at;                   /* next free byte of the newest block */
	char *end;
	size_t block_bytes;
	size_t used; /* bytes handed out since the last reset */
	size_t max;  /* limit on `used` */
};

/* block_bytes: least size of a block. max: most bytes between two resets. Allocates nothing yet. */
void arena_init(struct arena *a, size_t block_bytes, size_t max);
void arena_finish(struct arena *a);

/* Everything handed out is void after this. */
void arena_reset(struct arena *a);

/* Aligned to 8, also for 0 bytes; NULL past the limit or without memory. */
MUST_USE void *arena_alloc(struct arena *a, size_t bytes);

/* A copy of s in the arena; ptr is NULL on failure. */
MUST_USE struct str arena_str(struct arena *a, struct str s);

/* A formatted string in the arena, NUL-terminated (the NUL is not counted); ptr is NULL on failure. */
MUST_USE struct str arena_printf(struct arena *a, const char *fmt, ...) PRINTF(2, 3);
