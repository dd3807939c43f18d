#include "base/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct arena_block {
	struct arena_block *next; /* owned; older */
	size_t bytes;
	char data[];
};

#if defined(__SANITIZE_ADDRESS__)
#define BLOCK_EACH 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define BLOCK_EACH 1
#endif
#endif
#ifndef BLOCK_EACH
#define BLOCK_EACH 0
#endif

void arena_init(struct arena *a, size_t block_bytes, size_t max)
{
	*a = (struct arena){ .block_bytes = block_bytes, .max = max };
}

static void free_blocks(struct arena *a, struct arena_block *keep)
{
	while (a->blocks && a->blocks != keep) {
		struct arena_block *b = a->blocks;
		a->blocks = b->next;
		free(b);
	}
}

void arena_finish(struct arena *a)
{
	free_blocks(a, NULL);
	*a = (struct arena){ 0 };
}

void arena_reset(struct arena *a)
{
	struct arena_block *oldest = a->blocks;
	while (oldest && oldest->next)
		oldest = oldest->next;
	if (BLOCK_EACH || !oldest || oldest->bytes > a->block_bytes)
		oldest = NULL;
	free_blocks(a, oldest);
	a->at = oldest ? oldest->data : NULL;
	a->end = oldest ? oldest->data + oldest->bytes : NULL;
	a->used = 0;
}

void *arena_alloc(struct arena *a, size_t bytes)
{
	/* No bytes have an address too, for NULL means failure. */
	size_t want = bytes ? (bytes + 7) & ~(size_t)7 : 8;
	if (want < bytes || want > a->max - a->used)
		return NULL;
	if (BLOCK_EACH || (size_t)(a->end - a->at) < want) {
		size_t size = !BLOCK_EACH && want < a->block_bytes ? a->block_bytes : want;
		struct arena_block *b = malloc(sizeof *b + size);
		if (!b)
			return NULL;
		*b = (struct arena_block){ .next = a->blocks, .bytes = size };
		a->blocks = b;
		a->at = b->data;
		a->end = b->data + size;
	}
	void *p = a->at;
	a->at += want;
	a->used += want;
	return p;
}

struct str arena_str(struct arena *a, struct str s)
{
	char *p = arena_alloc(a, s.len);
	if (!p)
		return (struct str){ NULL, 0 };
	if (s.len)
		memcpy(p, s.ptr, s.len);
	return (struct str){ p, s.len };
}

struct str arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap, again;
	va_start(ap, fmt);
	va_copy(again, ap);
	int n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	char *p = n < 0 ? NULL : arena_alloc(a, (size_t)n + 1);
	if (p)
		vsnprintf(p, (size_t)n + 1, fmt, again);
	va_end(again);
	return (struct str){ p, p ? (size_t)n : 0 };
}
