#include "base/objpool.h"

#include <stdlib.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
#define PLAIN_MALLOC 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define PLAIN_MALLOC 1
#endif
#endif
#ifndef PLAIN_MALLOC
#define PLAIN_MALLOC 0
#endif

enum { CHUNK_BYTES = 64 * 1024, CHUNK_HEADER = 16 };

void objpool_init(struct objpool *p, size_t size, uint32_t max)
{
	CHECK(size >= sizeof(void *));
	*p = (struct objpool){ .size = (size + 15) & ~(size_t)15, .max = max };
}

void objpool_finish(struct objpool *p)
{
	CHECK(p->used == 0);
	while (p->chunks) {
		void *chunk = p->chunks;
		memcpy(&p->chunks, chunk, sizeof p->chunks);
		free(chunk);
	}
	p->free_objects = NULL;
}

static void push(struct objpool *p, void *obj)
{
	memcpy(obj, &p->free_objects, sizeof p->free_objects);
	p->free_objects = obj;
}

static int grow(struct objpool *p)
{
	size_t n = (CHUNK_BYTES - CHUNK_HEADER) / p->size;
	if (n == 0)
		n = 1;
	char *chunk = malloc(CHUNK_HEADER + n * p->size);
	if (!chunk)
		return -1;
	memcpy(chunk, &p->chunks, sizeof p->chunks);
	p->chunks = chunk;
	for (size_t i = n; i-- > 0;)
		push(p, chunk + CHUNK_HEADER + i * p->size);
	return 0;
}

void *objpool_get(struct objpool *p)
{
	if (p->used >= p->max)
		return NULL;
	void *obj;
	if (PLAIN_MALLOC) {
		obj = calloc(1, p->size);
		if (!obj)
			return NULL;
	} else {
		if (!p->free_objects && grow(p))
			return NULL;
		obj = p->free_objects;
		memcpy(&p->free_objects, obj, sizeof p->free_objects);
		memset(obj, 0, p->size);
	}
	p->used++;
	return obj;
}

void objpool_put(struct objpool *p, void *obj)
{
	if (!obj)
		return;
	CHECK(p->used > 0);
	p->used--;
	if (PLAIN_MALLOC)
		free(obj);
	else
		push(p, obj);
}
