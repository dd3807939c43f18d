#include "http/body.h"

#include "base/rand.h"
#include "guard.h"
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>

#define T(literal)                           \
	{                                    \
		literal, sizeof(literal) - 1 \
	}

enum { MAX_BYTES = 32768 };

static struct http_body body_with(enum http_framing framing, uint64_t content_length)
{
	static struct http_head head;
	struct http_body b;
	head.framing = framing;
	head.content_length = content_length;
	http_body_init(&b, &head);
	return b;
}

/* What came out of feeding a whole input piece by piece. */
struct result {
	enum parse_status status;
	size_t used;
	char payload[MAX_BYTES];
	size_t payload_len;
};

/* Feeds one piece, which cannot be read past, until it is used up or the body is over or broken. */
static void feed_piece(
	struct guard *g, struct http_body *b, struct str piece, bool at_start, struct result *r)
{
	const char *at =
		at_start ? guard_at_start(g, piece.ptr, piece.len) : guard_at_end(g, piece.ptr, piece.len);
	size_t from = 0;
	do {
		size_t used;
		struct str payload;
		r->status = http_body_feed(b, at + from, piece.len - from, &used, &payload);
		assert_true(used <= piece.len - from && payload.len <= used);
		assert_true(payload.ptr >= at + from && payload.ptr + payload.len <= at + from + used);
		assert_true(used || from == piece.len || r->status != PARSE_MORE); /* it gets on */
		memcpy(r->payload + r->payload_len, payload.ptr, payload.len);
		r->payload_len += payload.len;
		r->used += used;
		from += used;
	} while (r->status == PARSE_MORE && from < piece.len);
}

/* Feeds text in pieces: one of `first` bytes, which may be none, then `step` bytes each. */
static const struct result *feed(
	struct guard *g, struct http_body b, struct str text, size_t first, size_t step)
{
	static struct result r;
	r.status = PARSE_MORE;
	r.used = r.payload_len = 0;
	struct str rest = text;
	size_t len = first;
	do {
		struct str piece = { rest.ptr, len < rest.len ? len : rest.len };
		feed_piece(g, &b, piece, step % 2, &r);
		rest = str_skip(rest, piece.len);
		len = step;
	} while (r.status == PARSE_MORE && rest.len);
	assert_int_equal(http_body_is_done(&b), r.status == PARSE_OK);
	return &r;
}

/* Every cut in two, and steps of every small length: each time the same. payload NULL: refused. */
static void assert_body(
	struct guard *g, struct http_body b, struct str text, const char *payload, size_t used)
{
	for (size_t first = 0; first <= text.len; first++) {
		for (size_t step = 1; step <= 7; step += first ? MAX_BYTES : 1) {
			const struct result *r = feed(g, b, text, first, first ? text.len : step);
			if (r->status != (payload ? PARSE_OK : PARSE_BAD))
				fail_msg("%d, cut at %zu, step %zu: " STR_FMT, (int)r->status, first, step,
					STR_ARG(text));
			if (!payload)
				continue;
			assert_str(((struct str){ r->payload, r->payload_len }), payload);
			assert_int_equal(r->used, used);
		}
	}
}

static void test_length(void **state)
{
	struct guard g;
	struct str payload;
	size_t used;
	guard_init(&g, MAX_BYTES);
	assert_body(&g, body_with(FRAMING_LENGTH, 5), STR("hello"), "hello", 5);
	assert_body(&g, body_with(FRAMING_LENGTH, 5), STR("helloGET /"), "hello", 5);
	assert_body(&g, body_with(FRAMING_LENGTH, 0), STR("GET /"), "", 0);
	struct http_body b = body_with(FRAMING_LENGTH, 5);
	assert_false(http_body_is_done(&b));
	assert_int_equal(http_body_feed(&b, "hell", 4, &used, &payload), PARSE_MORE);
	assert_int_equal(http_body_feed(&b, NULL, 0, &used, &payload), PARSE_MORE);
	assert_int_equal(b.left, 1);
	b = body_with(FRAMING_LENGTH, INT64_MAX);
	assert_int_equal(http_body_feed(&b, "hell", 4, &used, &payload), PARSE_MORE);
	assert_true(b.left == INT64_MAX - 4);
	guard_finish(&g);
}

static void test_none_and_close(void **state)
{
	struct str payload;
	size_t used;
	struct http_body b = body_with(FRAMING_NONE, 0);
	assert_true(http_body_is_done(&b));
	assert_int_equal(http_body_feed(&b, "GET /", 5, &used, &payload), PARSE_OK);
	assert_int_equal(used, 0);
	assert_int_equal(payload.len, 0);
	b = body_with(FRAMING_CLOSE, 0);
	for (int i = 0; i < 3; i++) {
		assert_false(http_body_is_done(&b));
		assert_int_equal(http_body_feed(&b, "hello", 5, &used, &payload), PARSE_MORE);
		assert_int_equal(used, 5);
		assert_str(payload, "hello");
	}
}

static void test_chunked(void **state)
{
	static const struct {
		struct str text;
		const char *payload;
	} cases[] = {
		{ T("0\r\n\r\n"), "" },
		{ T("5\r\nhello\r\n0\r\n\r\n"), "hello" },
		{ T("5\r\nhello\r\n1\r\n \r\n6\r\nworld!\r\n0\r\n\r\n"), "hello world!" },
		{ T("A\r\n0123456789\r\na\r\nabcdefghij\r\n00\r\n\r\n"), "0123456789abcdefghij" },
		{ T("0000000000000000000000000003\r\nabc\r\n000\r\n\r\n"), "abc" },
		{ T("4\r\n\r\n\r\n\r\n0\r\n\r\n"), "\r\n\r\n" },
		/* extensions (RFC 9112 §7.1.1) */
		{ T("3;a\r\nabc\r\n0;b=c\r\n\r\n"), "abc" },
		{ T("3;a=\"b;\\\" c\"\r\nabc\r\n0\r\n\r\n"), "abc" },
		{ T("3 \t ; a = b\r\nabc\r\n0\r\n\r\n"), "abc" },
		{ T("3;\r\nabc\r\n0;\t\xff\r\n\r\n"), "abc" },
		/* trailers (RFC 9112 §7.1.2) */
		{ T("0\r\nX: y\r\n\r\n"), "" },
		{ T("1\r\nz\r\n0\r\nX:\r\nContent-Length: 5\r\nY: \t\xe4 \r\n\r\n"), "z" },
	};
	struct guard g;
	guard_init(&g, MAX_BYTES);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char with_more[256];
		int n = snprintf(
			with_more, sizeof with_more, STR_FMT "GET / HTTP/1.1\r\n", STR_ARG(cases[i].text));
		assert_body(&g, body_with(FRAMING_CHUNKED, 0), cases[i].text, cases[i].payload,
			cases[i].text.len);
		assert_body(&g, body_with(FRAMING_CHUNKED, 0), (struct str){ with_more, (size_t)n },
			cases[i].payload, cases[i].text.len);
	}
	guard_finish(&g);
}

static void test_chunked_refused(void **state)
{
	static const struct str cases[] = {
		T("\r\n"),
		T("\n"),
		T(" 5\r\n"),
		T("x\r\n"),
		T("-1\r\n"),
		T("+1\r\n"),
		T("0x5\r\n"),
		T("5h\r\n"),
		T(";a\r\n"),
		T("5 \r\n"),
		T("5\t\r\n"),
		T("5 5\r\n"),
		T("5 ;\n"),
		T("5\n"),
		T("5\r\r\n"),
		T("5\rhello"),
		T("5;a\n"),
		T("5;a\rb\r\n"),
		T("5;a\0\r\n"),
		T("5;a\x7f\r\n"),
		T("5\r\nhello\n"),
		T("5\r\nhello\r0"),
		T("5\r\nhello!"),
		T("5\r\nhello0\r\n\r\n"),
		T("5\r\nhello\r\n\r\n"),
		T("8000000000000000\r\n"),
		T("7fffffffffffffff0\r\n"),
		T("ffffffffffffffff\r\n"),
		T("10000000000000000\r\n"),
		T("100000000000000000000005\r\n"),
		T("0\r\n\n"),
		T("0\r\n\rX"),
		T("0\r\nX\r\n\r\n"),
		T("0\r\n: y\r\n\r\n"),
		T("0\r\n X: y\r\n\r\n"),
		T("0\r\nX : y\r\n\r\n"),
		T("0\r\nX: y\r\n z\r\n\r\n"),
		T("0\r\nX: y\n\r\n"),
		T("0\r\nX: \x01\r\n\r\n"),
		T("0\r\nX: y\rz\r\n\r\n"),
		T("0\r\n\xe4: y\r\n\r\n"),
		T("0\r\nX: y\r\n\n"),
	};
	struct guard g;
	guard_init(&g, MAX_BYTES);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_body(&g, body_with(FRAMING_CHUNKED, 0), cases[i], NULL, 0);
	guard_finish(&g);
}

/* A refused body stays refused; nothing of what comes later is taken for payload. */
static void test_broken_stays_broken(void **state)
{
	struct http_body b = body_with(FRAMING_CHUNKED, 0);
	struct str payload;
	size_t used;
	assert_int_equal(http_body_feed(&b, "x", 1, &used, &payload), PARSE_BAD);
	assert_int_equal(http_body_feed(&b, "5\r\nhello\r\n", 10, &used, &payload), PARSE_BAD);
	assert_int_equal(payload.len, 0);
	assert_false(http_body_is_done(&b));
}

static void test_largest_chunk(void **state)
{
	struct http_body b = body_with(FRAMING_CHUNKED, 0);
	struct str payload;
	size_t used;
	assert_int_equal(http_body_feed(&b, "7fffFFFFffffffff\r\nabc", 21, &used, &payload), PARSE_MORE);
	assert_int_equal(used, 21);
	assert_str(payload, "abc");
	assert_true(b.left == INT64_MAX - 3);
}

/* text, filled with `fill` in the place of '@' so that it is `bytes` long: accepted or not? */
static bool is_accepted_at(const char *text, char fill, size_t bytes)
{
	static char out[MAX_BYTES];
	struct http_body b = body_with(FRAMING_CHUNKED, 0);
	struct str payload;
	size_t used, before = (size_t)(strchr(text, '@') - text), after = strlen(text) - before - 1;
	memcpy(out, text, before);
	memset(out + before, fill, bytes - before - after);
	memcpy(out + bytes - after, text + before + 1, after);
	enum parse_status s = http_body_feed(&b, out, bytes, &used, &payload);
	assert_int_not_equal(s, PARSE_MORE);
	return s == PARSE_OK;
}

static void test_limits(void **state)
{
	enum { SIZE_LINE = 256, TRAILERS = 4096 }; /* bytes without the LFs */
	assert_true(is_accepted_at("0;@\r\n\r\n", 'x', SIZE_LINE + 3));
	assert_false(is_accepted_at("0;@\r\n\r\n", 'x', SIZE_LINE + 4));
	assert_true(is_accepted_at("@\r\n\r\n", '0', SIZE_LINE + 3));
	assert_false(is_accepted_at("@\r\n\r\n", '0', SIZE_LINE + 4));
	assert_true(is_accepted_at("0\r\nX: @\r\n\r\n", 'x', 3 + TRAILERS + 2));
	assert_false(is_accepted_at("0\r\nX: @\r\n\r\n", 'x', 3 + TRAILERS + 3));
	assert_true(is_accepted_at("0\r\n@: x\r\n\r\n", 'x', 3 + TRAILERS + 2));
	assert_false(is_accepted_at("0\r\n@: x\r\n\r\n", 'x', 3 + TRAILERS + 3));
	/* of all lines together */
	assert_true(is_accepted_at("0\r\nX: y\r\nX: @\r\n\r\n", 'x', 3 + TRAILERS + 3));
	assert_false(is_accepted_at("0\r\nX: y\r\nX: @\r\n\r\n", 'x', 3 + TRAILERS + 4));
}

/* Encodes payload in chunks of any length, with zeroes in front and extensions; returns the bytes written. */
static size_t encode(struct rand *r, const char *payload, size_t len, char *out)
{
	static const char *const extensions[] = { "", "", ";a", " ;b=\"c\"" };
	size_t n = 0;
	while (len) {
		size_t chunk = 1 + rand_below(r, len < 40 ? len : 40);
		n += (size_t)sprintf(out + n, rand_chance(r, 500000) ? "%0*zx%s\r\n" : "%0*zX%s\r\n",
			(int)rand_below(r, 5), chunk, extensions[rand_below(r, 4)]);
		memcpy(out + n, payload, chunk);
		n += chunk;
		n += (size_t)sprintf(out + n, "\r\n");
		payload += chunk;
		len -= chunk;
	}
	return n + (size_t)sprintf(out + n, rand_chance(r, 500000) ? "0\r\n\r\n" : "0\r\nX: y\r\n\r\n");
}

static void test_what_is_encoded_comes_back(void **state)
{
	static char payload[1000], encoded[MAX_BYTES];
	struct guard g;
	struct rand r;
	rand_seed(&r, 41);
	guard_init(&g, MAX_BYTES);
	for (int i = 0; i < 2000; i++) {
		size_t len = rand_below(&r, sizeof payload);
		for (size_t k = 0; k < len; k++)
			payload[k] = (char)rand_below(&r, 256);
		size_t bytes = encode(&r, payload, len, encoded);
		struct http_body b = body_with(FRAMING_CHUNKED, 0);
		static struct result out;
		out.status = PARSE_MORE;
		out.used = out.payload_len = 0;
		for (struct str rest = { encoded, bytes }; rest.len;) {
			size_t piece = 1 + rand_below(&r, rest.len);
			assert_int_equal(out.status, PARSE_MORE);
			feed_piece(&g, &b, (struct str){ rest.ptr, piece }, i % 2, &out);
			rest = str_skip(rest, piece);
		}
		assert_int_equal(out.status, PARSE_OK);
		assert_int_equal(out.used, bytes);
		assert_int_equal(out.payload_len, len);
		assert_memory_equal(out.payload, payload, len);
	}
	guard_finish(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_length),
		cmocka_unit_test(test_none_and_close),
		cmocka_unit_test(test_chunked),
		cmocka_unit_test(test_chunked_refused),
		cmocka_unit_test(test_broken_stays_broken),
		cmocka_unit_test(test_largest_chunk),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_what_is_encoded_comes_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
