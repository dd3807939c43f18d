/* objpool: objects of one size and a limit on their number, one objpool a kind.
 *
 * Owns:   the chunks that the objects live in; they are kept until objpool_finish.
 * Never:  allocates past `max`: reaching it is an ordinary answer of the caller's.
 * Under AddressSanitizer each object is a malloc of its own, so that a use after free is seen.
 */
#pragma once
#include "base/check.h"

#include <stddef.h>
#include <stdint.h>

struct objpool {
	size_t size;        /* bytes of an object */
	uint32_t max;       /* most objects alive at once */
	uint32_t used;      /* objects alive now */
	void *free_objects; /* linked through their first word */
	void *chunks;       /* owned; linked through their first word */
};

/* size: bytes of an object, at least a pointer's. max: the limit. */
void objpool_init(struct objpool *p, size_t size, uint32_t max);

/* Every object must be back. */
void objpool_finish(struct objpool *p);

/* A zeroed object, or NULL at the limit or without memory. */
MUST_USE void *objpool_get(struct objpool *p);

/* NULL is allowed. */
void objpool_put(struct objpool *p, void *obj);
