#include "guard.h"

#include "base/check.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

void guard_init(struct guard *g, size_t room)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t inner = (room + page - 1) / page * page;
	char *map = mmap(NULL, inner + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(map != MAP_FAILED);
	CHECK(mprotect(map + page, inner, PROT_READ | PROT_WRITE) == 0);
	*g = (struct guard){ .map = map, .map_bytes = inner + 2 * page, .page_bytes = page };
}

void guard_finish(struct guard *g)
{
	munmap(g->map, g->map_bytes);
	g->map = NULL;
}

static char *put(struct guard *g, char *at, const char *bytes, size_t len)
{
	CHECK(len <= g->map_bytes - 2 * g->page_bytes);
	if (len)
		memcpy(at, bytes, len);
	return at;
}

char *guard_at_end(struct guard *g, const char *bytes, size_t len)
{
	return put(g, g->map + g->map_bytes - g->page_bytes - len, bytes, len);
}

char *guard_at_start(struct guard *g, const char *bytes, size_t len)
{
	return put(g, g->map + g->page_bytes, bytes, len);
}
