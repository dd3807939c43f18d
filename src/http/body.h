/* body: takes a message's body apart as it comes (RFC 9112 §6, §7.1).
 *
 * Never:  allocates or copies: payload comes out as slices of what went in.
 *
 * Chunk extensions and trailers are checked, bounded and dropped.
 */
#pragma once
#include "base/check.h"
#include "base/str.h"
#include "http/parse.h"

#include <stdint.h>

struct http_body {
	enum http_framing framing;
	uint8_t state;       /* of the chunked reader */
	uint16_t line_bytes; /* of the chunk-size line or of the trailers so far, which are limited */
	uint64_t left; /* bytes left of the body (FRAMING_LENGTH) or of this chunk; with FRAMING_CLOSE void */
};

void http_body_init(struct http_body *b, const struct http_head *head);

/* Reads from in[0..len). *ret_used: bytes consumed, framing included. *ret_payload: the payload within them,
 * one slice a call (may be empty).
 * PARSE_OK: the body has ended (bytes after it are not touched, later calls say the same).
 * PARSE_MORE: call again with the rest or with more, also when bytes are left.
 * PARSE_BAD: the framing is broken, and stays so; a payload given with it was read before that.
 * With FRAMING_CLOSE it is always PARSE_MORE: the end is the connection's.
 * Chunk sizes: 1*HEXDIG up to INT64_MAX. Their line, extensions included: up to 256 bytes. Trailers, which
 * follow the rules of field lines: up to 4096 bytes. A bare CR or LF is refused. */
MUST_USE enum parse_status http_body_feed(
	struct http_body *b, const char *in, size_t len, size_t *ret_used, struct str *ret_payload);

/* Nothing more is to come: the body has ended, or there is none (FRAMING_NONE, length 0). */
bool http_body_is_done(const struct http_body *b);
