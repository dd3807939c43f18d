/* guard: memory between two pages that cannot be touched, so that a read past either end of an input is a
 * crash. */
#pragma once
#include <stddef.h>

struct guard {
	char *map; /* owned: a forbidden page, the room, a forbidden page */
	size_t map_bytes;
	size_t page_bytes;
};

/* room: most bytes of an input. Aborts when there is no memory. */
void guard_init(struct guard *g, size_t room);
void guard_finish(struct guard *g);

/* A copy of the bytes whose end touches the page after it, or whose start touches the page before it; void
 * with the next. */
char *guard_at_end(struct guard *g, const char *bytes, size_t len);
char *guard_at_start(struct guard *g, const char *bytes, size_t len);
