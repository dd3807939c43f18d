#include "base/check.h"
#include "heads.h"
#include "unit.h"

#include <stdio.h>

#define T(literal)                           \
	{                                    \
		literal, sizeof(literal) - 1 \
	}

struct accepted {
	struct str text;
	enum http_method method; /* of the request that it answers */
	const char *as;          /* what heads_describe says */
};

struct refused {
	struct str text;
	enum parse_error error;
};

static void accept_all(const struct accepted *cases, size_t n)
{
	struct guard g;
	guard_init(&g, 2 * HEADS_MAX_BYTES);
	for (size_t i = 0; i < n; i++)
		heads_accept(&g, true, cases[i].method, cases[i].text, cases[i].as);
	guard_finish(&g);
}

static void refuse_all(const struct refused *cases, size_t n)
{
	struct guard g;
	guard_init(&g, 2 * HEADS_MAX_BYTES);
	for (size_t i = 0; i < n; i++)
		heads_refuse(&g, true, cases[i].text, cases[i].error);
	guard_finish(&g);
}

static void test_status_lines(void **state)
{
	static const struct accepted good[] = {
		{ T("HTTP/1.1 200 OK\r\n\r\n"), HTTP_GET, "HTTP/1.1 200 until-close close fields=0" },
		{ T("HTTP/1.1 200 \r\n\r\n"), HTTP_GET, "HTTP/1.1 200 until-close close fields=0" },
		{ T("HTTP/1.1 200\r\n\r\n"), HTTP_GET, "HTTP/1.1 200 until-close close fields=0" },
		{ T("HTTP/1.0 599 a\tb \xc3\xa4\r\n\r\n"), HTTP_GET,
			"HTTP/1.0 599 until-close close fields=0" },
		{ T("HTTP/1.1 404  Not: Found\r\nContent-Length: 2\r\n\r\n"), HTTP_GET,
			"HTTP/1.1 404 length=2 keep fields=1" },
	};
	static const struct refused bad[] = {
		{ T("\r\nHTTP/1.1 200 OK\r\n\r\n"), PARSE_ERROR_STATUS_LINE },
		{ T(" HTTP/1.1 200 OK\r\n\r\n"), PARSE_ERROR_STATUS_LINE },
		{ T("HTTP/1.1  200 OK\r\n\r\n"), PARSE_ERROR_STATUS_LINE },
		{ T("HTTP/1.1\t200 OK\r\n\r\n"), PARSE_ERROR_STATUS_LINE },
		{ T("HTTP/1.1 200\tOK\r\n\r\n"), PARSE_ERROR_STATUS_LINE },
		{ T("HTTP/1.1 20 OK\r\n\r\n"), PARSE_ERROR_STATUS_LINE },
		{ T("HTTP/1.1 2000 OK\r\n\r\n"), PARSE_ERROR_STATUS_LINE },
		{ T("HTTP/1.1 2x0 OK\r\n\r\n"), PARSE_ERROR_STATUS_LINE },
		{ T("HTTP/1.1 099 OK\r\n\r\n"), PARSE_ERROR_STATUS_LINE },
		{ T("HTTP/1.1 600 OK\r\n\r\n"), PARSE_ERROR_STATUS_LINE },
		{ T("HTTP/1.1 000 OK\r\n\r\n"), PARSE_ERROR_STATUS_LINE },
		{ T("HTTP/1.1 -20 OK\r\n\r\n"), PARSE_ERROR_STATUS_LINE },
		{ T("HTTP/1.1 200OK\r\n\r\n"), PARSE_ERROR_STATUS_LINE },
		{ T("HTTP/1.1\r\n\r\n"), PARSE_ERROR_STATUS_LINE },
		{ T("ICY 200 OK\r\n\r\n"), PARSE_ERROR_STATUS_LINE },
		{ T("http/1.1 200 OK\r\n\r\n"), PARSE_ERROR_STATUS_LINE },
		{ T("<html>\r\n"), PARSE_ERROR_STATUS_LINE },
		{ T("\0"), PARSE_ERROR_STATUS_LINE },
		{ T("HTTP/1.1 200 O\0K\r\n\r\n"), PARSE_ERROR_STATUS_LINE },
		{ T("HTTP/1.1 200 O\x7fK\r\n\r\n"), PARSE_ERROR_STATUS_LINE },
		{ T("HTTP/1.2 200 OK\r\n\r\n"), PARSE_ERROR_VERSION },
		{ T("HTTP/2.0 200 OK\r\n\r\n"), PARSE_ERROR_VERSION },
		{ T("HTTP/1.1 200 OK\n\r\n"), PARSE_ERROR_LINE_END },
		{ T("HTTP/1.1 200\n\r\n"), PARSE_ERROR_LINE_END },
		{ T("HTTP/1.1 200 OK\rX\r\n\r\n"), PARSE_ERROR_LINE_END },
		{ T("HTTP/1.1 200 OK\r\n\n"), PARSE_ERROR_LINE_END },
		{ T("HTTP/1.1 200 OK\r\nX: y\n\r\n"), PARSE_ERROR_LINE_END },
		{ T("HTTP/1.1 200 OK\r\nX: y\r\n z\r\n\r\n"), PARSE_ERROR_FOLD },
		{ T("HTTP/1.1 200 OK\r\nX : y\r\n\r\n"), PARSE_ERROR_FIELD_NAME },
		{ T("HTTP/1.1 200 OK\r\nX: \x02\r\n\r\n"), PARSE_ERROR_FIELD_VALUE },
	};
	accept_all(good, ARRAY_LEN(good));
	refuse_all(bad, ARRAY_LEN(bad));
}

/* RFC 9112 §6.3. */
static void test_framing(void **state)
{
	static const struct accepted good[] = {
		{ T("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n"), HTTP_POST,
			"HTTP/1.1 200 length=7 keep fields=1" },
		{ T("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), HTTP_POST,
			"HTTP/1.1 200 chunked keep fields=1" },
		{ T("HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n\r\n"), HTTP_POST,
			"HTTP/1.1 200 until-close close fields=1" },
		{ T("HTTP/1.1 200 OK\r\nContent-Length: 7\r\nConnection: close\r\n\r\n"), HTTP_POST,
			"HTTP/1.1 200 length=7 close fields=2" },
		{ T("HTTP/1.0 200 OK\r\nContent-Length: 7\r\n\r\n"), HTTP_GET,
			"HTTP/1.0 200 length=7 close fields=1" },
		{ T("HTTP/1.0 200 OK\r\nContent-Length: 7\r\nConnection: Keep-Alive\r\n\r\n"), HTTP_GET,
			"HTTP/1.0 200 length=7 keep fields=2" },
		/* HEAD: as GET would have, without the body */
		{ T("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n"), HTTP_HEAD,
			"HTTP/1.1 200 none keep fields=1" },
		{ T("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), HTTP_HEAD,
			"HTTP/1.1 200 none keep fields=1" },
		{ T("HTTP/1.1 200 OK\r\n\r\n"), HTTP_HEAD, "HTTP/1.1 200 none keep fields=0" },
		/* 1xx, 204, 304 */
		{ T("HTTP/1.1 100 Continue\r\n\r\n"), HTTP_POST, "HTTP/1.1 100 none keep fields=0" },
		{ T("HTTP/1.1 103 Early Hints\r\nLink: x\r\nContent-Length: 4\r\n\r\n"), HTTP_GET,
			"HTTP/1.1 103 none keep fields=2" },
		{ T("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"),
			HTTP_GET, "HTTP/1.1 101 none keep upgrade fields=2" },
		{ T("HTTP/1.1 204 No Content\r\n\r\n"), HTTP_DELETE, "HTTP/1.1 204 none keep fields=0" },
		{ T("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"), HTTP_DELETE,
			"HTTP/1.1 204 none keep fields=1" },
		{ T("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n"), HTTP_DELETE,
			"HTTP/1.1 204 none close fields=1" },
		{ T("HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n"), HTTP_DELETE,
			"HTTP/1.1 204 none close fields=1" },
		{ T("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"), HTTP_GET,
			"HTTP/1.1 304 none keep fields=1" },
		{ T("HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n"), HTTP_GET,
			"HTTP/1.1 304 none keep fields=1" },
		/* CONNECT: a tunnel after 2xx, an ordinary answer otherwise */
		{ T("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n"), HTTP_CONNECT,
			"HTTP/1.1 200 none keep fields=1" },
		{ T("HTTP/1.1 300 No\r\nContent-Length: 7\r\n\r\n"), HTTP_CONNECT,
			"HTTP/1.1 300 length=7 keep fields=1" },
		{ T("HTTP/1.1 407 No\r\nContent-Length: 7\r\n\r\n"), HTTP_CONNECT,
			"HTTP/1.1 407 length=7 keep fields=1" },
		/* a response has no use for Host */
		{ T("HTTP/1.1 200 OK\r\nHost: a b\r\nHost:\r\nContent-Length: 1\r\nExpect: x\r\n\r\n"),
			HTTP_GET, "HTTP/1.1 200 length=1 keep fields=4" },
	};
	static const struct refused bad[] = {
		{ T("HTTP/1.1 200 OK\r\nContent-Length: 7\r\nContent-Length: 7\r\n\r\n"),
			PARSE_ERROR_CONTENT_LENGTH },
		{ T("HTTP/1.1 200 OK\r\nContent-Length: 7, 7\r\n\r\n"), PARSE_ERROR_CONTENT_LENGTH },
		{ T("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"), PARSE_ERROR_CONTENT_LENGTH },
		{ T("HTTP/1.1 204 OK\r\nContent-Length: x\r\n\r\n"), PARSE_ERROR_CONTENT_LENGTH },
		{ T("HTTP/1.1 200 OK\r\nContent-Length: 7\r\nTransfer-Encoding: chunked\r\n\r\n"),
			PARSE_ERROR_TRANSFER_CODING },
		{ T("HTTP/1.1 304 OK\r\nContent-Length: 7\r\nTransfer-Encoding: chunked\r\n\r\n"),
			PARSE_ERROR_TRANSFER_CODING },
		{ T("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), PARSE_ERROR_TRANSFER_CODING },
		{ T("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n"), PARSE_ERROR_TRANSFER_CODING },
		{ T("HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n"), PARSE_ERROR_TRANSFER_CODING },
		{ T("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, identity\r\n\r\n"),
			PARSE_ERROR_TRANSFER_CODING },
		{ T("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"),
			PARSE_ERROR_UNKNOWN_CODING },
	};
	accept_all(good, ARRAY_LEN(good));
	refuse_all(bad, ARRAY_LEN(bad));
}

static void test_parts(void **state)
{
	static const struct {
		const char *text, *line, *reason;
	} cases[] = {
		{ "HTTP/1.1 404 Not  Found \r\n\r\n", "HTTP/1.1 404 Not  Found ", "Not  Found " },
		{ "HTTP/1.1 404 \r\n\r\n", "HTTP/1.1 404 ", "" },
		{ "HTTP/1.1 404\r\n\r\n", "HTTP/1.1 404", "" },
	};
	static struct http_head h;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(
			http_parse_response(cases[i].text, strlen(cases[i].text), 4096, HTTP_GET, &h),
			PARSE_OK);
		assert_int_equal(h.status, 404);
		assert_str(h.start_line, cases[i].line);
		assert_str(h.reason, cases[i].reason);
		assert_non_null(h.reason.ptr);
		assert_int_equal(h.method, HTTP_METHOD_OTHER);
		assert_null(h.path.ptr);
		assert_null(h.host.ptr);
	}
}

static void test_limit(void **state)
{
	static const char text[] = "HTTP/1.1 200 OK\r\nX: y\r\n\r\n";
	static struct http_head h;
	size_t whole = strlen(text);
	assert_int_equal(http_parse_response(text, whole, whole, HTTP_GET, &h), PARSE_OK);
	assert_int_equal(http_parse_response(text, whole, whole - 1, HTTP_GET, &h), PARSE_BAD);
	assert_int_equal(h.error, PARSE_ERROR_TOO_LARGE);
	assert_int_equal(http_parse_response(text, whole - 2, whole - 1, HTTP_GET, &h), PARSE_MORE);
	assert_int_equal(http_parse_response(NULL, 0, 100, HTTP_GET, &h), PARSE_MORE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_status_lines),
		cmocka_unit_test(test_framing),
		cmocka_unit_test(test_parts),
		cmocka_unit_test(test_limit),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
