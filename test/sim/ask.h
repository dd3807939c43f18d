/* ask: draws requests and writes them down. */
#pragma once
#include "ledger.h"

#include <stdbool.h>
#include <stddef.h>

enum { ASK_HEAD_BYTES = 1024, ASK_BAD_BYTES = 24 * 1024, ASK_CHUNKS = 24 };

/* A request that is to be written. */
struct ask {
	uint32_t token;
	const char *bad;    /* ASK_BAD: its text; NULL: a head that is too long */
	const char *target; /* ASK_OWN */
	const char *id;     /* ASK_POLL to ASK_EVENTS: the job's */
	bool chunked, expect, close, keep_alive_10;
	size_t head_bytes; /* ret: where its body begins */
};

/* A new request in the ledger. may_trick: it may do what ends the connection. */
void ask_draw(struct world *w, struct ask *a, bool may_trick);

/* The most bytes that ask_write writes. */
size_t ask_room(const struct world *w, const struct ask *a);

void ask_write(struct world *w, struct ask *a, struct writer *out);
