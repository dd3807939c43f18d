/* buffer: bytes that grow.
 *
 * `pad` bytes stand before the first, so that something inside can be put on an aligned address: the memory
 * itself is aligned for every element type.
 */
#pragma once
#include "base/check.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>

struct buffer {
	char *memory; /* owned */
	size_t cap;   /* bytes of memory */
	size_t pad;   /* set while len is 0 */
	size_t len;
};

void buffer_finish(struct buffer *b);

/* Empties it; keeps the memory unless it is larger than keep_bytes. */
void buffer_reset(struct buffer *b, size_t keep_bytes);

/* Room for `more` further bytes; false without memory. */
MUST_USE bool buffer_reserve(struct buffer *b, size_t more);

/* Bytes that stand at buffer_end already are not copied. */
MUST_USE bool buffer_append(struct buffer *b, struct str bytes);

/* Takes the first n bytes away. */
void buffer_consume(struct buffer *b, size_t n);

/* Where the next byte goes, once there is room for it. */
static inline char *buffer_end(const struct buffer *b)
{
	return b->memory + b->pad + b->len;
}

static inline struct str buffer_str(const struct buffer *b)
{
	return b->len ? (struct str){ b->memory + b->pad, b->len } : (struct str){ "", 0 };
}
