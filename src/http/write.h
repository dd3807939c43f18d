/* write: puts text into memory of a fixed size, for heads. Quiet when it is full: `overflow` says so at the
 * end. */
#pragma once
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

struct writer {
	char *start, *at, *end; /* borrowed */
	bool overflow;
};

static inline void writer_init(struct writer *w, char *buf, size_t size)
{
	*w = (struct writer){ .start = buf, .at = buf, .end = buf + size };
}

static inline size_t writer_len(const struct writer *w)
{
	return (size_t)(w->at - w->start);
}

static inline void write_bytes(struct writer *w, const char *p, size_t n)
{
	if ((size_t)(w->end - w->at) < n) {
		w->overflow = true;
		return;
	}
	memcpy(w->at, p, n);
	w->at += n;
}

static inline void write_str(struct writer *w, struct str s)
{
	if (s.len)
		write_bytes(w, s.ptr, s.len);
}

/* A string literal. */
#define write_lit(w, literal) write_bytes(w, literal, sizeof(literal) - 1)

void write_u64(struct writer *w, uint64_t v); /* decimal */
void write_hex(
	struct writer *w, uint64_t v, int digits); /* lower case, exactly `digits`; 0: as many as it takes */
void write_ms(struct writer *w, uint64_t us);      /* microseconds as milliseconds: "12.345" */

enum { HEX_U64 = 16 };
void hex_u64(char into[HEX_U64], uint64_t v); /* all digits, in lower case */
