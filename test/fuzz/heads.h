/* heads: properties of the parser of heads, for requests and responses alike. */
#pragma once
#include "http/parse.h"

/* How the target parses. method: of the request that a response answers. */
struct heads_parser {
	bool is_response;
	enum http_method method;
};

/* Aborts unless, for these bytes:
 * - each prefix asks for more until one is refused or accepted, and longer ones then say the same;
 * - what is accepted has no byte and no line that the grammar forbids, and slices within the head;
 * - written again from its parts, it is read as the same head. */
void heads_check(const struct heads_parser *p, const char *bytes, size_t len);
