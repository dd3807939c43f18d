#include "worker/buffer.h"

#include <stdlib.h>
#include <string.h>

void buffer_finish(struct buffer *b)
{
	free(b->memory);
	*b = (struct buffer){ 0 };
}

void buffer_reset(struct buffer *b, size_t keep_bytes)
{
	if (b->cap > keep_bytes)
		buffer_finish(b);
	b->len = 0;
	b->pad = 0;
}

bool buffer_reserve(struct buffer *b, size_t more)
{
	size_t used = b->pad + b->len;
	if (b->cap - used >= more && b->memory)
		return true;
	size_t want = used + more, cap = b->cap + b->cap / 2;
	cap = cap < want ? want : cap;
	cap = cap < 512 ? 512 : cap;
	char *memory = realloc(b->memory, cap);
	if (!memory)
		return false;
	b->memory = memory;
	b->cap = cap;
	return true;
}

bool buffer_append(struct buffer *b, struct str bytes)
{
	if (!buffer_reserve(b, bytes.len))
		return false;
	if (bytes.len && bytes.ptr != buffer_end(b))
		memcpy(buffer_end(b), bytes.ptr, bytes.len);
	b->len += bytes.len;
	return true;
}

void buffer_consume(struct buffer *b, size_t n)
{
	CHECK(n <= b->len);
	b->len -= n;
	if (b->len)
		memmove(b->memory + b->pad, b->memory + b->pad + n, b->len);
}
