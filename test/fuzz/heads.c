#include "heads.h"

#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>

enum { MAX_BYTES = 16384 };

static enum parse_status parse(
	const struct heads_parser *p, const char *bytes, size_t len, struct http_head *ret)
{
	return p->is_response ? http_parse_response(bytes, len, MAX_BYTES, p->method, ret)
			      : http_parse_request(bytes, len, MAX_BYTES, ret);
}

/* A prefix in memory of its own size, so that a read past it is seen. */
static enum parse_status parse_prefix(
	const struct heads_parser *p, const char *bytes, size_t len, struct http_head *ret)
{
	char *copy = malloc(len ? len : 1);
	CHECK(copy);
	if (len)
		memcpy(copy, bytes, len);
	enum parse_status s = parse(p, copy, len, ret);
	free(copy);
	return s;
}

static void check_prefixes(const struct heads_parser *p, const char *bytes, size_t len,
	enum parse_status whole, const struct http_head *head)
{
	static struct http_head h;
	bool refused = false;
	size_t step = len / 256 + 1;
	for (size_t n = 0; n < len; n += step) {
		enum parse_status s = parse_prefix(p, bytes, n, &h);
		if (s == PARSE_BAD) {
			CHECK(whole == PARSE_BAD && h.error == head->error);
			refused = true;
		} else if (s == PARSE_OK) {
			CHECK(whole == PARSE_OK && h.bytes == head->bytes && n >= h.bytes);
		} else {
			CHECK(!refused && !(whole == PARSE_OK && n >= head->bytes));
		}
	}
	if (whole == PARSE_OK) { /* the last byte counts, and those behind it do not */
		CHECK(parse_prefix(p, bytes, head->bytes - 1, &h) == PARSE_MORE);
		CHECK(parse_prefix(p, bytes, head->bytes, &h) == PARSE_OK && h.bytes == head->bytes);
	}
}

static bool is_within(struct str s, const char *bytes, size_t len)
{
	return s.ptr >= bytes && s.ptr + s.len <= bytes + len;
}

static void check_bytes(const char *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)bytes[i];
		if (c == '\r')
			CHECK(i + 1 < len && bytes[i + 1] == '\n');
		else if (c == '\n')
			CHECK(i > 0 && bytes[i - 1] == '\r');
		else
			CHECK(c >= ' ' || c == '\t');
		CHECK(c != 0x7f);
	}
	CHECK(len >= 4 && memcmp(bytes + len - 4, "\r\n\r\n", 4) == 0);
}

static void check_parts(const struct heads_parser *p, const char *bytes, const struct http_head *h)
{
	CHECK(h->error == PARSE_ERROR_NONE);
	CHECK(h->minor_version <= 1 && h->n_fields <= HTTP_FIELDS_MAX);
	CHECK(is_within(h->start_line, bytes, h->bytes));
	if (p->is_response) {
		CHECK(h->status >= 100 && h->status <= 599 && is_within(h->reason, bytes, h->bytes));
		CHECK(h->framing != FRAMING_CLOSE || !h->keep_alive);
		CHECK(h->framing == FRAMING_NONE || (p->method != HTTP_HEAD && h->status >= 200));
		CHECK(h->framing == FRAMING_NONE || (h->status != 204 && h->status != 304));
	} else {
		CHECK(is_within(h->target, bytes, h->bytes) && h->target.len);
		CHECK(is_within(h->method_name, bytes, h->bytes) && h->method_name.len &&
			h->method_name.len <= 32);
		CHECK(h->host.ptr ? h->host.len > 0 : h->minor_version == 0);
		CHECK(h->framing != FRAMING_CLOSE);
		CHECK(h->path.len ? h->path.ptr[0] == '/' || h->path.ptr[0] == '*'
				  : h->method == HTTP_CONNECT);
		for (size_t i = 0; i < h->target.len; i++)
			CHECK(h->target.ptr[i] > ' ' && h->target.ptr[i] < 0x7f && h->target.ptr[i] != '#');
	}
	CHECK(h->framing == FRAMING_LENGTH || h->content_length == 0);
	CHECK(h->content_length <= INT64_MAX);
	for (uint32_t i = 0; i < h->n_fields; i++) {
		const struct http_field *f = &h->fields[i];
		CHECK(is_within(f->name, bytes, h->bytes) && f->name.len && f->name.ptr[-1] == '\n');
		CHECK(f->name.ptr[f->name.len] == ':' && f->id < FIELD_COUNT);
		CHECK(!memchr(f->name.ptr, ' ', f->name.len) && !memchr(f->name.ptr, '\t', f->name.len));
		CHECK(is_within(f->value, bytes, h->bytes));
		CHECK(str_eq(str_trim(f->value), f->value));
		CHECK(!memchr(f->value.ptr, '\r', f->value.len) && !memchr(f->value.ptr, '\n', f->value.len));
	}
}

/* Writes the head again from its parts, in the plainest way. */
static size_t write_again(const struct heads_parser *p, const struct http_head *h, char *out, size_t size)
{
	int n;
	if (p->is_response)
		n = snprintf(out, size, "HTTP/1.%d %d ", h->minor_version, h->status);
	else
		n = snprintf(out, size, STR_FMT " " STR_FMT " HTTP/1.%d", STR_ARG(h->method_name),
			STR_ARG(h->target), h->minor_version);
	size_t at = (size_t)n;
	if (p->is_response) {
		memcpy(out + at, h->reason.ptr, h->reason.len); /* may have any byte over 0x7f */
		at += h->reason.len;
	}
	for (uint32_t i = 0; i < h->n_fields; i++) {
		const struct http_field *f = &h->fields[i];
		at += (size_t)snprintf(out + at, size - at, "\r\n" STR_FMT ":", STR_ARG(f->name));
		memcpy(out + at, f->value.ptr, f->value.len);
		at += f->value.len;
	}
	return at + (size_t)snprintf(out + at, size - at, "\r\n\r\n");
}

static void check_same(const struct http_head *a, const struct http_head *b)
{
	CHECK(a->method == b->method && str_eq(a->method_name, b->method_name));
	CHECK(str_eq(a->target, b->target) && str_eq(a->path, b->path) && str_eq(a->query, b->query));
	CHECK(!a->query.ptr == !b->query.ptr && !a->host.ptr == !b->host.ptr && str_eq(a->host, b->host));
	CHECK(a->status == b->status && str_eq(a->reason, b->reason));
	CHECK(a->minor_version == b->minor_version && a->keep_alive == b->keep_alive &&
		a->upgrade == b->upgrade);
	CHECK(a->expect_continue == b->expect_continue && a->expect_other == b->expect_other);
	CHECK(a->framing == b->framing && a->content_length == b->content_length &&
		a->n_fields == b->n_fields);
	for (uint32_t i = 0; i < a->n_fields; i++) {
		const struct http_field *f = &a->fields[i], *g = &b->fields[i];
		CHECK(str_eq(f->name, g->name) && str_eq(f->value, g->value));
		CHECK(f->id == g->id && f->hop_by_hop == g->hop_by_hop);
	}
}

void heads_check(const struct heads_parser *p, const char *bytes, size_t len)
{
	static struct http_head h, again;
	static char written[2 * MAX_BYTES];
	enum parse_status s = parse(p, bytes, len, &h);
	CHECK(s != PARSE_MORE || len < MAX_BYTES);
	CHECK(s != PARSE_BAD || (h.error != PARSE_ERROR_NONE && parse_error_text(h.error)[0]));
	check_prefixes(p, bytes, len, s, &h);
	if (s != PARSE_OK)
		return;
	size_t skipped = (size_t)(h.start_line.ptr - bytes); /* an empty line before it */
	CHECK(skipped == 0 || (skipped == 2 && !p->is_response));
	check_bytes(bytes + skipped, h.bytes - skipped);
	check_parts(p, bytes, &h);
	size_t n = write_again(p, &h, written, sizeof written);
	CHECK(parse(p, written, n, &again) == PARSE_OK && again.bytes == n);
	check_same(&h, &again);
}
