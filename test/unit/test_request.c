#include "base/check.h"
#include "heads.h"
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>

#define T(literal)                           \
	{                                    \
		literal, sizeof(literal) - 1 \
	}
#define A_HOST "Host: a\r\n"

struct accepted {
	struct str text;
	const char *as; /* what heads_describe says */
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
		heads_accept(&g, false, HTTP_METHOD_OTHER, cases[i].text, cases[i].as);
	guard_finish(&g);
}

static void refuse_all(const struct refused *cases, size_t n)
{
	struct guard g;
	guard_init(&g, 2 * HEADS_MAX_BYTES);
	for (size_t i = 0; i < n; i++)
		heads_refuse(&g, false, cases[i].text, cases[i].error);
	guard_finish(&g);
}

static void test_request_lines(void **state)
{
	static const struct accepted good[] = {
		{ T("GET / HTTP/1.1\r\n" A_HOST "\r\n"), "GET / host=a HTTP/1.1 none keep fields=1" },
		{ T("GET / HTTP/1.0\r\n\r\n"), "GET / HTTP/1.0 none close fields=0" },
		{ T("\r\nGET / HTTP/1.0\r\n\r\n"), "GET / HTTP/1.0 none close fields=0" },
		{ T("get / HTTP/1.0\r\n\r\n"), "get / HTTP/1.0 none close fields=0" },
		{ T("!#$%&'*+-.^_`|~09azAZ / HTTP/1.0\r\n\r\n"),
			"!#$%&'*+-.^_`|~09azAZ / HTTP/1.0 none close fields=0" },
		{ T("GETGETGETGETGETGETGETGETGETGETGE / HTTP/1.0\r\n\r\n"),
			"GETGETGETGETGETGETGETGETGETGETGE / HTTP/1.0 none close fields=0" },
		{ T("DELETE /a/b?c=d?e HTTP/1.0\r\n\r\n"),
			"DELETE /a/b ?c=d?e HTTP/1.0 none close fields=0" },
		{ T("GET /? HTTP/1.0\r\n\r\n"), "GET / ? HTTP/1.0 none close fields=0" },
		{ T("GET //x HTTP/1.0\r\n\r\n"), "GET //x HTTP/1.0 none close fields=0" },
		{ T("GET /%41%zz|{}[]\"<>^`~ HTTP/1.0\r\n\r\n"),
			"GET /%41%zz|{}[]\"<>^`~ HTTP/1.0 none close fields=0" },
		{ T("GET /a?b\\c HTTP/1.0\r\n\r\n"), "GET /a ?b\\c HTTP/1.0 none close fields=0" },
		{ T("OPTIONS * HTTP/1.1\r\n" A_HOST "\r\n"), "OPTIONS * host=a HTTP/1.1 none keep fields=1" },
	};
	static const struct refused bad[] = {
		{ T(" GET / HTTP/1.1\r\n"), PARSE_ERROR_METHOD },
		{ T("\tGET / HTTP/1.1\r\n"), PARSE_ERROR_METHOD },
		{ T("GE(T / HTTP/1.1\r\n"), PARSE_ERROR_METHOD },
		{ T("GET\t/ HTTP/1.1\r\n"), PARSE_ERROR_METHOD },
		{ T("G\xc3\xa4T / HTTP/1.1\r\n"), PARSE_ERROR_METHOD },
		{ T("\0GET / HTTP/1.1\r\n"), PARSE_ERROR_METHOD },
		{ T("\x16\x03\x01\x02"), PARSE_ERROR_METHOD }, /* TLS */
		{ T("GETGETGETGETGETGETGETGETGETGETGET / HTTP/1.0\r\n"), PARSE_ERROR_METHOD },
		{ T("\r\n\r\nGET / HTTP/1.1\r\n"), PARSE_ERROR_START_LINE },
		{ T("\rGET / HTTP/1.1\r\n"), PARSE_ERROR_LINE_END },
		{ T("\nGET / HTTP/1.1\r\n"), PARSE_ERROR_LINE_END },
		{ T("GET\r\n"), PARSE_ERROR_START_LINE },
		{ T("GET /\r\n"), PARSE_ERROR_START_LINE }, /* HTTP/0.9 */
		{ T("GET /\n"), PARSE_ERROR_LINE_END },
		{ T("GET / \r\n"), PARSE_ERROR_START_LINE },
		{ T("GET  / HTTP/1.1\r\n"), PARSE_ERROR_TARGET },
		{ T("GET /  HTTP/1.1\r\n"), PARSE_ERROR_START_LINE },
		{ T("GET / HTTP/1.1 \r\n"), PARSE_ERROR_START_LINE },
		{ T("GET / HTTP/1.1\n"), PARSE_ERROR_LINE_END },
		{ T("GET / HTTP/1\n"), PARSE_ERROR_LINE_END },
		{ T("GET / HTTP/1.1\r\r\n"), PARSE_ERROR_LINE_END },
		{ T("GET / HTTP/1.1\rHost: a\r\n"), PARSE_ERROR_LINE_END },
		{ T("GET / HTTP/1.1x\r\n"), PARSE_ERROR_START_LINE },
		{ T("GET / http/1.1\r\n"), PARSE_ERROR_START_LINE },
		{ T("GET / HTTP 1.1\r\n"), PARSE_ERROR_START_LINE },
		{ T("GET / HTTP/11\r\n"), PARSE_ERROR_START_LINE },
		{ T("GET / HTTP/1.\r\n"), PARSE_ERROR_START_LINE },
		{ T("GET / HTTP/.1\r\n"), PARSE_ERROR_START_LINE },
		{ T("GET / HTTP/1,1\r\n"), PARSE_ERROR_START_LINE },
		{ T("GET / HTTP/1.10\r\n"), PARSE_ERROR_START_LINE },
		{ T("GET / HTTP/01.1\r\n"), PARSE_ERROR_START_LINE },
		{ T("GET / X\r\n\r\n"), PARSE_ERROR_START_LINE },
		{ T("GET / H\r\n"), PARSE_ERROR_START_LINE },
		{ T("GET / HTTP/1.2\r\n"), PARSE_ERROR_VERSION },
		{ T("GET / HTTP/0.9\r\n"), PARSE_ERROR_VERSION },
		{ T("GET / HTTP/2.0\r\n"), PARSE_ERROR_VERSION },
		{ T("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), PARSE_ERROR_VERSION },
	};
	accept_all(good, ARRAY_LEN(good));
	refuse_all(bad, ARRAY_LEN(bad));
}

/* RFC 9112 §3.2. */
static void test_targets(void **state)
{
	static const struct accepted good[] = {
		{ T("GET http://b HTTP/1.1\r\n" A_HOST "\r\n"), "GET / host=b HTTP/1.1 none keep fields=1" },
		{ T("GET hTTp://b:81/c?d HTTP/1.1\r\n" A_HOST "\r\n"),
			"GET /c ?d host=b:81 HTTP/1.1 none keep fields=1" },
		{ T("GET https://b?c HTTP/1.1\r\n" A_HOST "\r\n"),
			"GET / ?c host=b HTTP/1.1 none keep fields=1" },
		{ T("GET http://[::1]:81/ HTTP/1.0\r\n\r\n"),
			"GET / host=[::1]:81 HTTP/1.0 none close fields=0" },
		{ T("OPTIONS http://b HTTP/1.1\r\n" A_HOST "\r\n"),
			"OPTIONS * host=b HTTP/1.1 none keep fields=1" },
		{ T("OPTIONS http://b/ HTTP/1.1\r\n" A_HOST "\r\n"),
			"OPTIONS / host=b HTTP/1.1 none keep fields=1" },
		{ T("OPTIONS http://b?c HTTP/1.1\r\n" A_HOST "\r\n"),
			"OPTIONS / ?c host=b HTTP/1.1 none keep fields=1" },
		{ T("CONNECT b:443 HTTP/1.1\r\n" A_HOST "\r\n"),
			"CONNECT no path host=a HTTP/1.1 none keep fields=1" },
		{ T("CONNECT [::1]:443 HTTP/1.1\r\n" A_HOST "\r\n"),
			"CONNECT no path host=a HTTP/1.1 none keep fields=1" },
	};
	static const struct refused bad[] = {
		{ T("GET a HTTP/1.1\r\n" A_HOST "\r\n"), PARSE_ERROR_TARGET },
		{ T("GET * HTTP/1.1\r\n" A_HOST "\r\n"), PARSE_ERROR_TARGET },
		{ T("OPTIONS ** HTTP/1.1\r\n" A_HOST "\r\n"), PARSE_ERROR_TARGET },
		{ T("GET ?a HTTP/1.1\r\n" A_HOST "\r\n"), PARSE_ERROR_TARGET },
		{ T("GET b:80 HTTP/1.1\r\n" A_HOST "\r\n"), PARSE_ERROR_TARGET },
		{ T("GET http:/b HTTP/1.1\r\n" A_HOST "\r\n"), PARSE_ERROR_TARGET },
		{ T("GET http:// HTTP/1.1\r\n" A_HOST "\r\n"), PARSE_ERROR_TARGET },
		{ T("GET http:///c HTTP/1.1\r\n" A_HOST "\r\n"), PARSE_ERROR_TARGET },
		{ T("GET http://u@b/ HTTP/1.1\r\n" A_HOST "\r\n"), PARSE_ERROR_TARGET },
		{ T("GET http://b:x/ HTTP/1.1\r\n" A_HOST "\r\n"), PARSE_ERROR_TARGET },
		{ T("GET http://b\\c HTTP/1.1\r\n" A_HOST "\r\n"), PARSE_ERROR_TARGET },
		{ T("GET http://b/c\\d HTTP/1.1\r\n" A_HOST "\r\n"), PARSE_ERROR_TARGET },
		{ T("GET http://b/#c HTTP/1.1\r\n" A_HOST "\r\n"), PARSE_ERROR_TARGET },
		{ T("GET ftp://b/ HTTP/1.1\r\n" A_HOST "\r\n"), PARSE_ERROR_TARGET },
		{ T("GET /a#b HTTP/1.1\r\n" A_HOST "\r\n"), PARSE_ERROR_TARGET },
		{ T("GET /a?b#c HTTP/1.1\r\n" A_HOST "\r\n"), PARSE_ERROR_TARGET },
		{ T("GET /a\\b HTTP/1.1\r\n" A_HOST "\r\n"), PARSE_ERROR_TARGET },
		{ T("GET /a\tb HTTP/1.1\r\n" A_HOST "\r\n"), PARSE_ERROR_TARGET },
		{ T("GET /\x7f HTTP/1.1\r\n" A_HOST "\r\n"), PARSE_ERROR_TARGET },
		{ T("GET /\xc3\xa4 HTTP/1.1\r\n" A_HOST "\r\n"), PARSE_ERROR_TARGET },
		{ T("GET /?\x80 HTTP/1.1\r\n" A_HOST "\r\n"), PARSE_ERROR_TARGET },
		{ T("GET /\0 HTTP/1.1\r\n" A_HOST "\r\n"), PARSE_ERROR_TARGET },
		{ T("CONNECT / HTTP/1.1\r\n" A_HOST "\r\n"), PARSE_ERROR_TARGET },
		{ T("CONNECT b HTTP/1.1\r\n" A_HOST "\r\n"), PARSE_ERROR_TARGET },
		{ T("CONNECT b: HTTP/1.1\r\n" A_HOST "\r\n"), PARSE_ERROR_TARGET },
		{ T("CONNECT b:0 HTTP/1.1\r\n" A_HOST "\r\n"), PARSE_ERROR_TARGET },
		{ T("CONNECT http://b:1/ HTTP/1.1\r\n" A_HOST "\r\n"), PARSE_ERROR_TARGET },
		{ T("CONNECT :443 HTTP/1.1\r\n" A_HOST "\r\n"), PARSE_ERROR_TARGET },
	};
	accept_all(good, ARRAY_LEN(good));
	refuse_all(bad, ARRAY_LEN(bad));
}

/* RFC 9112 §5, RFC 9110 §5.5. */
static void test_field_lines(void **state)
{
	static const struct accepted good[] = {
		{ T("GET / HTTP/1.0\r\nX:\r\nY: \t \r\n!#$%&'*+-.^_`|~:z\r\n\r\n"),
			"GET / HTTP/1.0 none close fields=3" },
		{ T("GET / HTTP/1.0\r\nX: \t a\tb c \t\r\nX: \x80\xff\xc3\xa4\r\n\r\n"),
			"GET / HTTP/1.0 none close fields=2" },
		{ T("GET / HTTP/1.0\r\nX: :;\"a,b\r\n\r\n"), "GET / HTTP/1.0 none close fields=1" },
	};
	static const struct refused bad[] = {
		{ T("GET / HTTP/1.0\r\n: a\r\n\r\n"), PARSE_ERROR_FIELD_NAME },
		{ T("GET / HTTP/1.0\r\nX : a\r\n\r\n"), PARSE_ERROR_FIELD_NAME },
		{ T("GET / HTTP/1.0\r\nX\t: a\r\n\r\n"), PARSE_ERROR_FIELD_NAME },
		{ T("GET / HTTP/1.0\r\nX\r\n\r\n"), PARSE_ERROR_FIELD_NAME },
		{ T("GET / HTTP/1.0\r\nX a: b\r\n\r\n"), PARSE_ERROR_FIELD_NAME },
		{ T("GET / HTTP/1.0\r\n(X): a\r\n\r\n"), PARSE_ERROR_FIELD_NAME },
		{ T("GET / HTTP/1.0\r\nX\xc3\xa4: a\r\n\r\n"), PARSE_ERROR_FIELD_NAME },
		{ T("GET / HTTP/1.0\r\nX\0: a\r\n\r\n"), PARSE_ERROR_FIELD_NAME },
		{ T("GET / HTTP/1.0\r\nContent\rLength: 1\r\n\r\n"), PARSE_ERROR_FIELD_NAME },
		{ T("GET / HTTP/1.0\r\nX\nY: a\r\n\r\n"), PARSE_ERROR_LINE_END },
		{ T("GET / HTTP/1.0\r\n X: a\r\n\r\n"), PARSE_ERROR_FOLD },
		{ T("GET / HTTP/1.0\r\n\t\r\n\r\n"), PARSE_ERROR_FOLD },
		{ T("GET / HTTP/1.0\r\nX: a\r\n b\r\n\r\n"), PARSE_ERROR_FOLD },
		{ T("GET / HTTP/1.0\r\nX: a\r\n\tb\r\n\r\n"), PARSE_ERROR_FOLD },
		{ T("GET / HTTP/1.0\r\nX: a\r\n  : b\r\n\r\n"), PARSE_ERROR_FOLD },
		{ T("GET / HTTP/1.0\r\nX: a\n\r\n"), PARSE_ERROR_LINE_END },
		{ T("GET / HTTP/1.0\r\nX: a\rY: b\r\n\r\n"), PARSE_ERROR_LINE_END },
		{ T("GET / HTTP/1.0\r\nX: a\r\r\n\r\n"), PARSE_ERROR_LINE_END },
		{ T("GET / HTTP/1.0\r\nX: a\r\n\n"), PARSE_ERROR_LINE_END },
		{ T("GET / HTTP/1.0\r\nX: a\r\n\rX"), PARSE_ERROR_LINE_END },
		{ T("GET / HTTP/1.0\r\nX: a\0b\r\n\r\n"), PARSE_ERROR_FIELD_VALUE },
		{ T("GET / HTTP/1.0\r\nX: \x01\r\n\r\n"), PARSE_ERROR_FIELD_VALUE },
		{ T("GET / HTTP/1.0\r\nX: a\x1f\r\n\r\n"), PARSE_ERROR_FIELD_VALUE },
		{ T("GET / HTTP/1.0\r\nX: a\x7f\r\n\r\n"), PARSE_ERROR_FIELD_VALUE },
	};
	accept_all(good, ARRAY_LEN(good));
	refuse_all(bad, ARRAY_LEN(bad));
}

/* RFC 9112 §3.2. */
static void test_host(void **state)
{
	static const struct accepted good[] = {
		{ T("GET / HTTP/1.1\r\nhOST:[::1]:80\r\n\r\n"),
			"GET / host=[::1]:80 HTTP/1.1 none keep fields=1" },
		{ T("GET / HTTP/1.0\r\nHost: a\r\n\r\n"), "GET / host=a HTTP/1.0 none close fields=1" },
		{ T("GET / HTTP/1.1\r\nX: y\r\nHost:  a.b:1  \r\n\r\n"),
			"GET / host=a.b:1 HTTP/1.1 none keep fields=2" },
	};
	static const struct refused bad[] = {
		{ T("GET / HTTP/1.1\r\n\r\n"), PARSE_ERROR_HOST },
		{ T("GET / HTTP/1.1\r\nHosts: a\r\n\r\n"), PARSE_ERROR_HOST },
		{ T("GET http://a/ HTTP/1.1\r\n\r\n"), PARSE_ERROR_HOST },
		{ T("GET / HTTP/1.1\r\nHost:\r\n\r\n"), PARSE_ERROR_HOST },
		{ T("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"), PARSE_ERROR_HOST },
		{ T("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n"), PARSE_ERROR_HOST },
		{ T("GET / HTTP/1.1\r\nHost: a b\r\n\r\n"), PARSE_ERROR_HOST },
		{ T("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"), PARSE_ERROR_HOST },
		{ T("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"), PARSE_ERROR_HOST },
		{ T("GET / HTTP/1.1\r\nHost: http://a\r\n\r\n"), PARSE_ERROR_HOST },
		{ T("GET / HTTP/1.0\r\nHost: a:b\r\n\r\n"), PARSE_ERROR_HOST },
		{ T("GET http://a/ HTTP/1.1\r\nHost: b c\r\n\r\n"), PARSE_ERROR_HOST },
	};
	accept_all(good, ARRAY_LEN(good));
	refuse_all(bad, ARRAY_LEN(bad));
}

/* RFC 9112 §6. */
static void test_framing(void **state)
{
	static const struct accepted good[] = {
		{ T("POST / HTTP/1.0\r\nContent-Length: 0\r\n\r\n"),
			"POST / HTTP/1.0 length=0 close fields=1" },
		{ T("GET / HTTP/1.0\r\ncontent-LENGTH:\t42 \r\n\r\n"),
			"GET / HTTP/1.0 length=42 close fields=1" },
		{ T("POST / HTTP/1.0\r\nContent-Length: 9223372036854775807\r\n\r\n"),
			"POST / HTTP/1.0 length=9223372036854775807 close fields=1" },
		{ T("POST / HTTP/1.0\r\nContent-Length: 0000000000000000000000007\r\n\r\n"),
			"POST / HTTP/1.0 length=7 close fields=1" },
		{ T("POST / HTTP/1.1\r\n" A_HOST "Transfer-Encoding: chunked\r\n\r\n"),
			"POST / host=a HTTP/1.1 chunked keep fields=2" },
		{ T("POST / HTTP/1.1\r\n" A_HOST "TRANSFER-encoding:CHUNKed\t\r\n\r\n"),
			"POST / host=a HTTP/1.1 chunked keep fields=2" },
	};
	static const struct refused bad[] = {
		{ T("POST / HTTP/1.0\r\nContent-Length:\r\n\r\n"), PARSE_ERROR_CONTENT_LENGTH },
		{ T("POST / HTTP/1.0\r\nContent-Length: -1\r\n\r\n"), PARSE_ERROR_CONTENT_LENGTH },
		{ T("POST / HTTP/1.0\r\nContent-Length: +1\r\n\r\n"), PARSE_ERROR_CONTENT_LENGTH },
		{ T("POST / HTTP/1.0\r\nContent-Length: 0x1\r\n\r\n"), PARSE_ERROR_CONTENT_LENGTH },
		{ T("POST / HTTP/1.0\r\nContent-Length: 1 2\r\n\r\n"), PARSE_ERROR_CONTENT_LENGTH },
		{ T("POST / HTTP/1.0\r\nContent-Length: 1.\r\n\r\n"), PARSE_ERROR_CONTENT_LENGTH },
		{ T("POST / HTTP/1.0\r\nContent-Length: 9223372036854775808\r\n\r\n"),
			PARSE_ERROR_CONTENT_LENGTH },
		{ T("POST / HTTP/1.0\r\nContent-Length: 18446744073709551617\r\n\r\n"),
			PARSE_ERROR_CONTENT_LENGTH },
		{ T("POST / HTTP/1.0\r\nContent-Length: 5, 5\r\n\r\n"), PARSE_ERROR_CONTENT_LENGTH },
		{ T("POST / HTTP/1.0\r\nContent-Length: 5,\r\n\r\n"), PARSE_ERROR_CONTENT_LENGTH },
		{ T("POST / HTTP/1.0\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n"),
			PARSE_ERROR_CONTENT_LENGTH },
		{ T("POST / HTTP/1.0\r\nContent-Length: 5\r\nX: y\r\nContent-Length: 6\r\n\r\n"),
			PARSE_ERROR_CONTENT_LENGTH },
		{ T("POST / HTTP/1.1\r\n" A_HOST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"),
			PARSE_ERROR_TRANSFER_CODING },
		{ T("POST / HTTP/1.1\r\n" A_HOST
		    "Content-Length: 5\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"),
			PARSE_ERROR_TRANSFER_CODING },
		{ T("POST / HTTP/1.1\r\n" A_HOST
		    "Connection: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"),
			PARSE_ERROR_TRANSFER_CODING },
		{ T("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), PARSE_ERROR_TRANSFER_CODING },
		{ T("POST / HTTP/1.1\r\n" A_HOST "Transfer-Encoding:\r\n\r\n"), PARSE_ERROR_TRANSFER_CODING },
		{ T("POST / HTTP/1.1\r\n" A_HOST "Transfer-Encoding: identity\r\n\r\n"),
			PARSE_ERROR_TRANSFER_CODING },
		{ T("POST / HTTP/1.1\r\n" A_HOST "Transfer-Encoding: gzip\r\n\r\n"),
			PARSE_ERROR_TRANSFER_CODING },
		{ T("POST / HTTP/1.1\r\n" A_HOST "Transfer-Encoding: chunked, gzip\r\n\r\n"),
			PARSE_ERROR_TRANSFER_CODING },
		{ T("POST / HTTP/1.1\r\n" A_HOST "Transfer-Encoding: chunked, chunked\r\n\r\n"),
			PARSE_ERROR_TRANSFER_CODING },
		{ T("POST / HTTP/1.1\r\n" A_HOST
		    "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
			PARSE_ERROR_TRANSFER_CODING },
		{ T("POST / HTTP/1.1\r\n" A_HOST
		    "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n"),
			PARSE_ERROR_TRANSFER_CODING },
		{ T("POST / HTTP/1.1\r\n" A_HOST "Transfer-Encoding: chunked;q=1\r\n\r\n"),
			PARSE_ERROR_TRANSFER_CODING },
		{ T("POST / HTTP/1.1\r\n" A_HOST "Transfer-Encoding: , chunked\r\n\r\n"),
			PARSE_ERROR_TRANSFER_CODING },
		{ T("POST / HTTP/1.1\r\n" A_HOST "Transfer-Encoding: chunked,\r\n\r\n"),
			PARSE_ERROR_TRANSFER_CODING },
		{ T("POST / HTTP/1.1\r\n" A_HOST "Transfer-Encoding: xchunked\r\n\r\n"),
			PARSE_ERROR_TRANSFER_CODING },
		{ T("POST / HTTP/1.1\r\n" A_HOST "Transfer-Encoding: chunked x\r\n\r\n"),
			PARSE_ERROR_TRANSFER_CODING },
		{ T("POST / HTTP/1.1\r\n" A_HOST "Transfer-Encoding: \"chunked\"\r\n\r\n"),
			PARSE_ERROR_TRANSFER_CODING },
		{ T("POST / HTTP/1.1\r\n" A_HOST "Transfer-Encoding: \xc2\xa0"
		    "chunked\r\n\r\n"),
			PARSE_ERROR_TRANSFER_CODING },
		{ T("POST / HTTP/1.1\r\n" A_HOST "Transfer-Encoding: gzip, chunked\r\n\r\n"),
			PARSE_ERROR_UNKNOWN_CODING },
		{ T("POST / HTTP/1.1\r\n" A_HOST
		    "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"),
			PARSE_ERROR_UNKNOWN_CODING },
		{ T("POST / HTTP/1.1\r\n" A_HOST "Transfer-Encoding: identity, chunked\r\n\r\n"),
			PARSE_ERROR_UNKNOWN_CODING },
	};
	accept_all(good, ARRAY_LEN(good));
	refuse_all(bad, ARRAY_LEN(bad));
}

/* RFC 9112 §9.3, RFC 9110 §7.8 and §10.1.1. */
static void test_connection_and_expect(void **state)
{
	static const struct accepted good[] = {
		{ T("GET / HTTP/1.1\r\n" A_HOST "Connection: close\r\n\r\n"),
			"GET / host=a HTTP/1.1 none close fields=2" },
		{ T("GET / HTTP/1.1\r\n" A_HOST "Connection: x, CLOSE\r\n\r\n"),
			"GET / host=a HTTP/1.1 none close fields=2" },
		{ T("GET / HTTP/1.1\r\n" A_HOST "Connection: closed\r\n\r\n"),
			"GET / host=a HTTP/1.1 none keep fields=2" },
		{ T("GET / HTTP/1.1\r\n" A_HOST "Connection: keep-alive, close\r\n\r\n"),
			"GET / host=a HTTP/1.1 none close fields=2" },
		{ T("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"),
			"GET / HTTP/1.0 none keep fields=1" },
		{ T("GET / HTTP/1.0\r\nConnection: x\r\nConnection: Keep-Alive\r\n\r\n"),
			"GET / HTTP/1.0 none keep fields=2" },
		{ T("GET / HTTP/1.0\r\nConnection: close, keep-alive\r\n\r\n"),
			"GET / HTTP/1.0 none close fields=1" },
		{ T("GET / HTTP/1.0\r\nKeep-Alive: 5\r\nProxy-Connection: keep-alive\r\n\r\n"),
			"GET / HTTP/1.0 none close fields=2" },
		{ T("GET / HTTP/1.1\r\n" A_HOST "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"),
			"GET / host=a HTTP/1.1 none keep upgrade fields=3" },
		{ T("GET / HTTP/1.1\r\n" A_HOST
		    "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n"),
			"GET / host=a HTTP/1.1 none keep upgrade fields=3" },
		{ T("GET / HTTP/1.1\r\n" A_HOST "Upgrade: websocket\r\n\r\n"),
			"GET / host=a HTTP/1.1 none keep fields=2" },
		{ T("GET / HTTP/1.1\r\n" A_HOST "Connection: x\r\nUpgrade: websocket\r\n\r\n"),
			"GET / host=a HTTP/1.1 none keep fields=3" },
		{ T("GET / HTTP/1.1\r\n" A_HOST "Connection: upgrade\r\n\r\n"),
			"GET / host=a HTTP/1.1 none keep fields=2" },
		{ T("GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"),
			"GET / HTTP/1.0 none close fields=2" },
		{ T("PUT / HTTP/1.1\r\n" A_HOST "Expect: 100-Continue\r\nContent-Length: 3\r\n\r\n"),
			"PUT / host=a HTTP/1.1 length=3 keep expect fields=3" },
		{ T("PUT / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"),
			"PUT / HTTP/1.0 length=3 close fields=2" },
		{ T("PUT / HTTP/1.1\r\n" A_HOST "Expect: 100-continue, x\r\n\r\n"),
			"PUT / host=a HTTP/1.1 none keep expect expect-other fields=2" },
		{ T("PUT / HTTP/1.1\r\n" A_HOST "Expect: 200-ok\r\n\r\n"),
			"PUT / host=a HTTP/1.1 none keep expect-other fields=2" },
		{ T("PUT / HTTP/1.1\r\n" A_HOST "Expect:\r\n\r\n"),
			"PUT / host=a HTTP/1.1 none keep fields=2" },
	};
	accept_all(good, ARRAY_LEN(good));
}

static void test_parts(void **state)
{
	static const char text[] = "\r\nPOST /run?x HTTP/1.1\r\nHost: a\r\nX-Y:  some value \r\n\r\n";
	static struct http_head h;
	assert_int_equal(http_parse_request(text, sizeof text - 1, 4096, &h), PARSE_OK);
	assert_str(h.start_line, "POST /run?x HTTP/1.1");
	assert_int_equal(h.method, HTTP_POST);
	assert_str(h.target, "/run?x");
	assert_int_equal(h.n_fields, 2);
	assert_str(h.fields[0].name, "Host");
	assert_str(h.fields[0].value, "a");
	assert_int_equal(h.fields[0].id, FIELD_HOST);
	assert_str(h.fields[1].name, "X-Y");
	assert_str(h.fields[1].value, "some value");
	assert_int_equal(h.fields[1].id, FIELD_OTHER);
	assert_ptr_equal(h.fields[1].name.ptr, strstr(text, "X-Y"));
}

/* White space around a value is no part of it, also when there is nothing else. */
static void test_values(void **state)
{
	static const char text[] = "GET / HTTP/1.0\r\nA:\r\nB: \r\nC:\t \t\r\nD:x\r\nE: \ty z\t \r\n\r\n";
	static const char *const values[] = { "", "", "", "x", "y z" };
	static struct http_head h;
	assert_int_equal(http_parse_request(text, sizeof text - 1, 4096, &h), PARSE_OK);
	assert_int_equal(h.n_fields, ARRAY_LEN(values));
	for (size_t i = 0; i < ARRAY_LEN(values); i++)
		assert_str(h.fields[i].value, values[i]);
}

static void test_methods(void **state)
{
	static const struct {
		const char *name;
		enum http_method method;
	} methods[] = {
		{ "GET", HTTP_GET },
		{ "HEAD", HTTP_HEAD },
		{ "POST", HTTP_POST },
		{ "PUT", HTTP_PUT },
		{ "DELETE", HTTP_DELETE },
		{ "OPTIONS", HTTP_OPTIONS },
		{ "PATCH", HTTP_PATCH },
		{ "TRACE", HTTP_TRACE },
		{ "CONNECT", HTTP_CONNECT },
		{ "get", HTTP_METHOD_OTHER },
		{ "Post", HTTP_METHOD_OTHER },
		{ "PURGE", HTTP_METHOD_OTHER },
		{ "GETS", HTTP_METHOD_OTHER },
		{ "PROPFIND", HTTP_METHOD_OTHER },
		{ "X", HTTP_METHOD_OTHER },
	};
	for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
		static struct http_head h;
		char text[64];
		snprintf(text, sizeof text, "%s %s HTTP/1.0\r\n\r\n", methods[i].name,
			methods[i].method == HTTP_CONNECT ? "a:1" : "/");
		assert_int_equal(http_parse_request(text, strlen(text), 4096, &h), PARSE_OK);
		assert_int_equal(h.method, methods[i].method);
		assert_str(h.method_name, methods[i].name);
	}
}

/* The head with one byte put in at `at`: refused or accepted? */
static bool is_accepted_with(const char *text, size_t at, int byte)
{
	static struct http_head h;
	char with[128];
	size_t len = strlen(text);
	memcpy(with, text, at);
	with[at] = (char)byte;
	memcpy(with + at + 1, text + at, len - at);
	enum parse_status s = http_parse_request(with, len + 1, 4096, &h);
	assert_int_not_equal(s, PARSE_MORE);
	return s == PARSE_OK;
}

static bool is_tchar(int c)
{
	return c &&
		(strchr("!#$%&'*+-.^_`|~", c) || (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
			(c >= 'a' && c <= 'z'));
}

/* Every byte in the middle of each part of a request, beside what the grammar says of it. */
/* A head that did not come to its end tells its own method, or none: never that of the head before it. */
static void test_method_of_what_is_no_head(void **state)
{
	static const struct {
		const char *in;
		enum http_method method;
		enum parse_status status;
	} cases[] = {
		{ "", HTTP_METHOD_OTHER, PARSE_MORE }, { "\r", HTTP_METHOD_OTHER, PARSE_MORE },
		{ "HEA", HTTP_METHOD_OTHER, PARSE_MORE }, { "\x16\x03\x01", HTTP_METHOD_OTHER, PARSE_BAD },
		{ "\rGET / HTTP/1.1\r\n", HTTP_METHOD_OTHER, PARSE_BAD },
		{ "HEAD /a", HTTP_HEAD, PARSE_MORE },
		{ "HEAD / HTTP/1.1\r\n\r\n", HTTP_HEAD, PARSE_BAD }, /* without a Host */
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct http_head h = { .method = cases[i].method == HTTP_HEAD ? HTTP_GET : HTTP_HEAD };
		assert_int_equal(
			http_parse_request(cases[i].in, strlen(cases[i].in), 1000, &h), cases[i].status);
		assert_int_equal(h.method, cases[i].method);
	}
}

static void test_every_byte_in_every_part(void **state)
{
	static const char text[] = "METHOD /path-path-path-path?query HTTP/1.0\r\nName-Name-Name-Name: "
				   "value-value-value\r\n\r\n";
	for (int c = 0; c < 256; c++) {
		bool in_target = c > ' ' && c < 0x7f && c != '#';
		assert_int_equal(is_accepted_with(text, 3, c), is_tchar(c));
		assert_int_equal(is_accepted_with(text, 12, c), in_target && c != '\\');
		assert_int_equal(is_accepted_with(text, 30, c), in_target);
		assert_int_equal(is_accepted_with(text, 36, c), false); /* in HTTP/1.0 */
		assert_int_equal(is_accepted_with(text, 48, c), is_tchar(c) || c == ':');
		assert_int_equal(is_accepted_with(text, 70, c), c == '\t' || (c >= ' ' && c != 0x7f));
	}
}

static void test_field_count(void **state)
{
	static struct http_head h;
	static char text[HEADS_MAX_BYTES];
	for (int fields = HTTP_FIELDS_MAX - 1; fields <= HTTP_FIELDS_MAX + 1; fields++) {
		size_t n = (size_t)snprintf(text, sizeof text, "GET / HTTP/1.0\r\n");
		for (int i = 0; i < fields; i++)
			n += (size_t)snprintf(text + n, sizeof text - n, "X-%d: %d\r\n", i, i);
		n += (size_t)snprintf(text + n, sizeof text - n, "\r\n");
		enum parse_status s = http_parse_request(text, n, sizeof text, &h);
		if (fields > HTTP_FIELDS_MAX) {
			assert_int_equal(s, PARSE_BAD);
			assert_int_equal(h.error, PARSE_ERROR_TOO_MANY_FIELDS);
		} else {
			assert_int_equal(s, PARSE_OK);
			assert_int_equal(h.n_fields, fields);
			assert_int_equal(strtol(h.fields[fields - 1].value.ptr, NULL, 10), fields - 1);
		}
	}
}

static void test_limit(void **state)
{
	static const char text[] = "GET / HTTP/1.0\r\nX: some value\r\n\r\nbehind";
	static struct http_head h;
	size_t whole = strlen(text) - 6;
	assert_int_equal(http_parse_request(text, whole, whole, &h), PARSE_OK);
	assert_int_equal(http_parse_request(text, whole + 6, whole, &h), PARSE_OK);
	assert_int_equal(h.bytes, whole);
	for (size_t max = 0; max < whole; max++) {
		for (size_t len = 0; len <= whole + 6; len++) {
			enum parse_status s = http_parse_request(text, len, max, &h);
			assert_int_equal(s, len < max ? PARSE_MORE : PARSE_BAD);
			if (s == PARSE_BAD)
				assert_int_equal(h.error, PARSE_ERROR_TOO_LARGE);
		}
	}
	assert_int_equal(http_parse_request(NULL, 0, 100, &h), PARSE_MORE);
}

static void test_error_texts(void **state)
{
	for (int e = PARSE_ERROR_NONE; e <= PARSE_ERROR_UNKNOWN_CODING; e++)
		assert_true(strlen(parse_error_text((enum parse_error)e)) > 5);
	assert_int_equal(parse_error_status(PARSE_ERROR_TARGET), 400);
	assert_int_equal(parse_error_status(PARSE_ERROR_TRANSFER_CODING), 400);
	assert_int_equal(parse_error_status(PARSE_ERROR_UNKNOWN_CODING), 501);
	assert_int_equal(parse_error_status(PARSE_ERROR_VERSION), 505);
	assert_int_equal(parse_error_status(PARSE_ERROR_TOO_LARGE), 431);
	assert_int_equal(parse_error_status(PARSE_ERROR_TOO_MANY_FIELDS), 431);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_request_lines),
		cmocka_unit_test(test_targets),
		cmocka_unit_test(test_field_lines),
		cmocka_unit_test(test_host),
		cmocka_unit_test(test_framing),
		cmocka_unit_test(test_connection_and_expect),
		cmocka_unit_test(test_parts),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_methods),
		cmocka_unit_test(test_method_of_what_is_no_head),
		cmocka_unit_test(test_every_byte_in_every_part),
		cmocka_unit_test(test_field_count),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_error_texts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
