#include "fuzz.h"

#include "base/check.h"
#include "http/url.h"

#include <stdio.h>
#include <stdlib.h>

/* Without escapes, what decodes is what was there; with any, it is shorter and never has a NUL. */
static void check_decode(struct str in, char *out)
{
	size_t len = SIZE_MAX;
	if (!url_decode(in, out, in.len, &len)) {
		CHECK(len == SIZE_MAX);
		return;
	}
	CHECK(len <= in.len && (in.len - len) % 2 == 0);
	CHECK(!len || !memchr(out, '\0', len));
	CHECK(len < in.len || str_eq((struct str){ out, len }, in));
	CHECK(len == 0 || !url_decode(in, out, len - 1, &len));
}

/* A path that passes has no dot segment after it is decoded either, even when backslashes are slashes. */
static void check_dot_segments(struct str in, char *out)
{
	size_t len;
	if (url_has_dot_segment(in) || !url_decode(in, out, in.len, &len))
		return;
	for (size_t i = 0; i < len; i++)
		out[i] = out[i] == '\\' ? '/' : out[i];
	struct str rest = { out, len };
	do {
		struct str segment = str_cut(&rest, '/');
		CHECK(!str_eq(segment, STR(".")) && !str_eq(segment, STR("..")));
	} while (rest.ptr);
}

static void check_authority(struct str in)
{
	struct str host = url_host(in);
	CHECK(host.len <= in.len);
	if (!url_is_authority(in))
		return;
	CHECK(host.len > 0 && url_is_authority(host));
	for (size_t i = 0; i < in.len; i++)
		CHECK(in.ptr[i] > ' ' && in.ptr[i] < 0x7f && !strchr("/?#@\\%\"<>", in.ptr[i]));
	CHECK(host.len == in.len || in.ptr[host.len] == ':');
}

static void check_parse(struct str in)
{
	struct url u, again;
	char text[1024];
	if (!url_parse(in, &u))
		return;
	CHECK(url_is_authority(u.authority) && u.port > 0 && u.host.len > 0 && u.path.ptr[0] == '/');
	if (in.len > sizeof text / 2)
		return;
	bool six = memchr(u.host.ptr, ':', u.host.len);
	int n = snprintf(text, sizeof text,
		six ? "http://[" STR_FMT "]:%u" STR_FMT : "http://" STR_FMT ":%u" STR_FMT, STR_ARG(u.host),
		u.port, STR_ARG(u.path));
	CHECK(url_parse((struct str){ text, (size_t)n }, &again));
	CHECK(str_eq(u.host, again.host) && u.port == again.port && str_eq(u.path, again.path));
}

/* The part before the first line feed is a parameter's name, what is behind it a query. */
static void check_param(struct str in)
{
	struct str query = in, name = str_cut(&query, '\n'), value = url_param(query, name);
	if (value.ptr) {
		CHECK(value.ptr >= query.ptr && value.ptr + value.len <= query.ptr + query.len);
		CHECK(!value.len || !memchr(value.ptr, '&', value.len));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = { (const char *)data, size };
	char *out = malloc(size ? size : 1);
	CHECK(out);
	check_decode(in, out);
	check_dot_segments(in, out);
	check_authority(in);
	check_parse(in);
	check_param(in);
	free(out);
	return 0;
}
