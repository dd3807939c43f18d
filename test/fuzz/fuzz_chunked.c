/* The first byte says how the rest, a chunked body, is cut; its low bit, whether the framing is a length
 * instead. */
#include "fuzz.h"

#include "base/check.h"
#include "base/rand.h"
#include "http/body.h"

#include <stdlib.h>

struct result {
	enum parse_status status;
	size_t used;
	char *payload; /* owned */
	size_t payload_len;
};

static void feed_piece(struct http_body *b, struct str piece, struct result *r)
{
	size_t from = 0;
	char *copy = malloc(piece.len ? piece.len : 1); /* of its own size, so that a read past it is seen */
	CHECK(copy);
	if (piece.len)
		memcpy(copy, piece.ptr, piece.len);
	do {
		size_t used;
		struct str payload;
		r->status = http_body_feed(b, copy + from, piece.len - from, &used, &payload);
		CHECK(used <= piece.len - from && payload.len <= used);
		CHECK(payload.ptr >= copy + from && payload.ptr + payload.len <= copy + from + used);
		CHECK(r->status != PARSE_MORE || used || from == piece.len);
		if (payload.len)
			memcpy(r->payload + r->payload_len, payload.ptr, payload.len);
		r->payload_len += payload.len;
		r->used += used;
		from += used;
	} while (r->status == PARSE_MORE && from < piece.len);
	free(copy);
}

/* seed 0: in one piece; otherwise cut by the numbers that follow from it. */
static struct result feed(struct http_body b, struct str in, uint64_t seed)
{
	struct result r = { PARSE_MORE, 0, malloc(in.len ? in.len : 1), 0 };
	struct rand rand;
	rand_seed(&rand, seed);
	CHECK(r.payload);
	do {
		size_t n = seed && in.len ? 1 + rand_below(&rand, in.len < 16 ? in.len : 16) : in.len;
		feed_piece(&b, (struct str){ in.ptr, n }, &r);
		in = str_skip(in, n);
	} while (r.status == PARSE_MORE && in.len);
	CHECK(http_body_is_done(&b) == (r.status == PARSE_OK) && b.left <= INT64_MAX);
	return r;
}

static void check_same(const struct result *a, const struct result *b)
{
	CHECK(a->status == b->status && a->payload_len == b->payload_len);
	CHECK(a->status == PARSE_BAD || a->used == b->used);
	CHECK(memcmp(a->payload, b->payload, a->payload_len) == 0);
}

/* The next line, without its CRLF. */
static struct str take_line(struct str *rest)
{
	const char *end = rest->len ? memchr(rest->ptr, '\n', rest->len) : NULL;
	CHECK(end && end > rest->ptr && end[-1] == '\r');
	struct str line = { rest->ptr, (size_t)(end - 1 - rest->ptr) };
	*rest = str_skip(*rest, line.len + 2);
	return line;
}

static uint64_t read_size(struct str line)
{
	uint64_t size = 0;
	struct str digits = str_cut(&line, ';');
	if (line.ptr) /* white space is allowed before an extension only */
		digits = str_trim(digits);
	CHECK(digits.len);
	for (size_t i = 0; i < digits.len; i++) {
		char c = ascii_lower(digits.ptr[i]);
		CHECK((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'));
		CHECK(size >> 59 == 0);
		size = size * 16 + (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
	}
	return size;
}

/* A body that was accepted, read once more in the plainest way. */
static void check_accepted(struct str in, const struct result *r)
{
	struct str rest = { in.ptr, r->used }, payload = { r->payload, r->payload_len };
	for (uint64_t size = read_size(take_line(&rest)); size; size = read_size(take_line(&rest))) {
		CHECK(size <= rest.len && size <= payload.len && memcmp(payload.ptr, rest.ptr, size) == 0);
		payload = str_skip(payload, size);
		rest = str_skip(rest, size);
		CHECK(take_line(&rest).len == 0);
	}
	for (struct str line = take_line(&rest); line.len; line = take_line(&rest))
		CHECK(memchr(line.ptr, ':', line.len));
	CHECK(rest.len == 0 && payload.len == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct http_head head;
	struct http_body b;
	if (size < 1 || size > 1 << 16)
		return 0;
	struct str in = { (const char *)data + 1, size - 1 };
	head.framing = data[0] & 1 ? FRAMING_LENGTH : FRAMING_CHUNKED;
	head.content_length = data[0];
	http_body_init(&b, &head);
	struct result whole = feed(b, in, 0), cut = feed(b, in, 1 + data[0]);
	check_same(&whole, &cut);
	if (head.framing == FRAMING_LENGTH)
		CHECK(whole.payload_len == (in.len < data[0] ? in.len : data[0]));
	else if (whole.status == PARSE_OK)
		check_accepted(in, &whole);
	free(whole.payload);
	free(cut.payload);
	return 0;
}
