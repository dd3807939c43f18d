/* heads: how the tests of the parser say in one line what a head was read as, and how they feed it. */
#pragma once
#include "guard.h"
#include "http/parse.h"

enum { HEADS_MAX_BYTES = 8192 };

/* "POST /p ?q host=h HTTP/1.1 length=5 keep expect fields=3" or "HTTP/1.1 200 chunked close fields=2";
 * static. The parts: path (or "no path"), query and host where there are any; framing none, length=N, chunked
 * or until-close; keep or close; upgrade, expect, expect-other where they are set. */
const char *heads_describe(const struct http_head *h);

/* Parses a request, or with is_response the answer to `method`. */
enum parse_status heads_parse(
	bool is_response, enum http_method method, const char *bytes, size_t len, struct http_head *ret);

/* Feeds every prefix at both ends of guarded memory. `text` must be accepted, as `expected`, also with bytes
 * behind it; every shorter prefix must ask for more. */
void heads_accept(
	struct guard *g, bool is_response, enum http_method method, struct str text, const char *expected);

/* `text` must be refused with this error. A prefix must ask for more or be refused with the same error, and
 * once it is refused all longer ones must be. */
void heads_refuse(struct guard *g, bool is_response, struct str text, enum parse_error error);
