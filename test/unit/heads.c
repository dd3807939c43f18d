#include "heads.h"

#include "unit.h"

#include <stdio.h>

static size_t add_framing(const struct http_head *h, char *out, size_t size)
{
	switch (h->framing) {
	case FRAMING_NONE:
		return (size_t)snprintf(out, size, " none");
	case FRAMING_LENGTH:
		return (size_t)snprintf(out, size, " length=%llu", (unsigned long long)h->content_length);
	case FRAMING_CHUNKED:
		return (size_t)snprintf(out, size, " chunked");
	case FRAMING_CLOSE:
		return (size_t)snprintf(out, size, " until-close");
	}
	return 0;
}

const char *heads_describe(const struct http_head *h)
{
	static char out[2 * HEADS_MAX_BYTES];
	size_t n = 0;
	if (h->method_name.ptr) {
		n += (size_t)snprintf(out, sizeof out, STR_FMT " " STR_FMT, STR_ARG(h->method_name),
			STR_ARG(h->path.len ? h->path : STR("no path")));
		if (h->query.ptr)
			n += (size_t)snprintf(out + n, sizeof out - n, " ?" STR_FMT, STR_ARG(h->query));
		if (h->host.ptr)
			n += (size_t)snprintf(out + n, sizeof out - n, " host=" STR_FMT, STR_ARG(h->host));
		n += (size_t)snprintf(out + n, sizeof out - n, " ");
	}
	n += (size_t)snprintf(out + n, sizeof out - n, "HTTP/1.%d", h->minor_version);
	if (h->status)
		n += (size_t)snprintf(out + n, sizeof out - n, " %d", h->status);
	n += add_framing(h, out + n, sizeof out - n);
	snprintf(out + n, sizeof out - n, " %s%s%s%s fields=%u", h->keep_alive ? "keep" : "close",
		h->upgrade ? " upgrade" : "", h->expect_continue ? " expect" : "",
		h->expect_other ? " expect-other" : "", h->n_fields);
	return out;
}

enum parse_status heads_parse(
	bool is_response, enum http_method method, const char *bytes, size_t len, struct http_head *ret)
{
	memset(ret, 0xa5, sizeof *ret); /* what is not set shows */
	return is_response ? http_parse_response(bytes, len, HEADS_MAX_BYTES, method, ret)
			   : http_parse_request(bytes, len, HEADS_MAX_BYTES, ret);
}

static const char *placed(struct guard *g, bool at_start, const char *bytes, size_t len)
{
	return at_start ? guard_at_start(g, bytes, len) : guard_at_end(g, bytes, len);
}

static void assert_whole(struct guard *g, bool is_response, enum http_method method, struct str text,
	size_t bytes, const char *expected)
{
	static struct http_head h;
	for (int at_start = 0; at_start < 2; at_start++) {
		const char *at = placed(g, at_start, text.ptr, text.len);
		enum parse_status s = heads_parse(is_response, method, at, text.len, &h);
		if (s != PARSE_OK)
			fail_msg("%s: " STR_FMT,
				s == PARSE_MORE ? "asks for more" : parse_error_text(h.error), STR_ARG(text));
		assert_string_equal(heads_describe(&h), expected);
		assert_int_equal(h.bytes, bytes);
		assert_int_equal(h.error, PARSE_ERROR_NONE);
	}
}

void heads_accept(
	struct guard *g, bool is_response, enum http_method method, struct str text, const char *expected)
{
	static struct http_head h;
	static char longer[HEADS_MAX_BYTES + 64];
	static const char behind[] = "GET / HTTP/1.1\r\n\r\n\0\xff\r\n: x\r\n";
	assert_whole(g, is_response, method, text, text.len, expected);
	memcpy(longer, text.ptr, text.len);
	memcpy(longer + text.len, behind, sizeof behind);
	for (size_t n = 1; n <= sizeof behind; n++)
		assert_whole(
			g, is_response, method, (struct str){ longer, text.len + n }, text.len, expected);
	for (size_t n = 0; n < text.len; n++) {
		for (int at_start = 0; at_start < 2; at_start++) {
			const char *at = placed(g, at_start, text.ptr, n);
			if (heads_parse(is_response, method, at, n, &h) != PARSE_MORE)
				fail_msg("does not ask for more: " STR_FMT, (int)n, text.ptr);
		}
	}
}

void heads_refuse(struct guard *g, bool is_response, struct str text, enum parse_error error)
{
	static struct http_head h;
	bool refused = false;
	for (size_t n = 0; n <= text.len; n++) {
		for (int at_start = 0; at_start < 2; at_start++) {
			const char *at = placed(g, at_start, text.ptr, n);
			enum parse_status s = heads_parse(is_response, HTTP_GET, at, n, &h);
			if (s == PARSE_OK || (refused && s != PARSE_BAD))
				fail_msg("%s: " STR_FMT, s == PARSE_OK ? "accepted" : "asks for more again",
					(int)n, text.ptr);
			if (s == PARSE_BAD && h.error != error)
				fail_msg("\"%s\", not \"%s\": " STR_FMT, parse_error_text(h.error),
					parse_error_text(error), (int)n, text.ptr);
			refused = refused || (s == PARSE_BAD && at_start);
		}
	}
	if (!refused)
		fail_msg("not refused: " STR_FMT, STR_ARG(text));
}
