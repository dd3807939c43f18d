/* starve: the linker puts these in the place of malloc and its kin (--wrap), where they are called from the
 * program's own objects: from the gateway, its store and its parsers. */
#include "base/objpool.h"
#include "fault.h"

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t n, size_t bytes);
void *__real_realloc(void *p, size_t bytes);
void *__real_objpool_get(struct objpool *p);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t n, size_t bytes);
void *__wrap_realloc(void *p, size_t bytes);
void *__wrap_objpool_get(struct objpool *p);

void *__wrap_malloc(size_t bytes)
{
	return memory_fails(FAULT_MEMORY) ? NULL : __real_malloc(bytes);
}

void *__wrap_calloc(size_t n, size_t bytes)
{
	return memory_fails(FAULT_MEMORY) ? NULL : __real_calloc(n, bytes);
}

void *__wrap_realloc(void *p, size_t bytes)
{
	return memory_fails(FAULT_MEMORY) ? NULL : __real_realloc(p, bytes);
}

void *__wrap_objpool_get(struct objpool *p)
{
	return memory_fails(FAULT_POOL) ? NULL : __real_objpool_get(p);
}
