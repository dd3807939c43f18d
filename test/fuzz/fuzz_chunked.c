/* The first byte says how the rest, a chunked body, is cut; its low bit, whether the framing is a length
 * instead. */
#include "fuzz.h"

#include "base/check.h"
#include "base/rand.h"
#include "http/body.h"

#include <stdio.h>
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
	CHECK(http_body_is_done(&b) == (r.status == PARSE_OK));
	return r;
}

static void check_same(const struct result *a, const struct result *b)
{
	CHECK(a->status == b->status && a->payload_len == b->payload_len);
	CHECK(a->status == PARSE_BAD || a->used == b->used);
	CHECK(memcmp(a->payload, b->payload, a->payload_len) == 0);
}

/* The payload, put into chunks again, comes out again. */
static void check_again(struct http_body b, const struct result *r)
{
	static char text[1 << 17];
	size_t n = 0;
	for (size_t at = 0; at < r->payload_len;) {
		size_t chunk = r->payload_len - at < 100 ? r->payload_len - at : 100;
		n += (size_t)snprintf(text + n, sizeof text - n, "%zx\r\n", chunk);
		memcpy(text + n, r->payload + at, chunk);
		n += chunk;
		n += (size_t)snprintf(text + n, sizeof text - n, "\r\n");
		at += chunk;
	}
	n += (size_t)snprintf(text + n, sizeof text - n, "0\r\n\r\n");
	struct result again = feed(b, (struct str){ text, n }, 0);
	CHECK(again.status == PARSE_OK && again.used == n && again.payload_len == r->payload_len);
	CHECK(memcmp(again.payload, r->payload, r->payload_len) == 0);
	free(again.payload);
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
		check_again(b, &whole);
	free(whole.payload);
	free(cut.payload);
	return 0;
}
