#include "gateway/forward.h"

#include "base/rand.h"
#include "unit.h"

#include <stdio.h>

/* Ids that are there are kept, so that an expected head can be written down. */
#define IDS "X-Request-Id: r1\r\ntraceparent: 00-1-2-00\r\n"
#define FORWARDED(ip, host) \
	"X-Forwarded-For: " ip "\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: " host "\r\n"

static struct http_head request_head, answer_head;
static char out[64 * 1024];

static struct http_head *parse_request(const char *text)
{
	if (http_parse_request(text, strlen(text), 16384, &request_head) != PARSE_OK)
		fail_msg("%s: %s", text, parse_error_text(request_head.error));
	return &request_head;
}

static struct http_head *parse_answer(const char *text, enum http_method method)
{
	if (http_parse_response(text, strlen(text), 16384, method, &answer_head) != PARSE_OK)
		fail_msg("%s: %s", text, parse_error_text(answer_head.error));
	return &answer_head;
}

static struct str request_to(const char *text, bool trusted, const char *path, struct rand *rand)
{
	const struct http_head *head = parse_request(text);
	struct forward_from from = {
		.client_ip = STR("192.0.2.7"),
		.trusted = trusted,
		.default_host = STR("localhost"),
		.method = path ? STR("POST") : head->method_name,
		.path = path ? str_of(path) : head->path,
		.rand = rand,
		.upgrade = forward_upgrade(head),
	};
	struct writer w;
	writer_init(&w, out, sizeof out);
	forward_request(&w, head, &from);
	assert_false(w.overflow);
	return (struct str){ out, writer_len(&w) };
}

/* ---- requests ---- */

static void test_requests(void **state)
{
	static const struct {
		const char *in, *out;
		bool trusted;
		const char *path; /* another one is asked for, with POST */
	} cases[] = {
		{ "GET /a?b=c&d HTTP/1.1\r\nHost: h.example\r\n" IDS "\r\n",
			"GET /a?b=c&d HTTP/1.1\r\nHost: h.example\r\n" IDS FORWARDED(
				"192.0.2.7", "h.example") "Via: 1.1 berth\r\n" },
		/* fields that are kept stay as they are: case, order, inner space, several lines, odd bytes
		 */
		{ "GET / HTTP/1.1\r\nX-One:  a  b\r\nhost: h\r\n" IDS
		  "x-one: \xe4\xff\r\nAccept:\r\nCookie: a=b; c=d\r\n"
		  "\r\n",
			"GET / HTTP/1.1\r\nX-One:  a  b\r\nhost: h\r\n" IDS
			"x-one: \xe4\xff\r\nAccept:\r\nCookie: a=b; c=d\r\n" FORWARDED(
				"192.0.2.7", "h") "Via: 1.1 berth\r\n" },
		/* hop by hop, and what Connection names (RFC 9110 §7.6.1) */
		{ "GET / HTTP/1.1\r\nConnection: keep-alive, X-Private , close\r\nHost: h\r\nX-Private: 1\r\n"
		  "Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nTE: trailers\r\nX-Public: 2\r\n"
		  "Trailer: x\r\nUpgrade: foo\r\nProxy-Authorization: Basic eA==\r\nx-private: 3\r\n"
		  "HTTP2-Settings: AAMAAABk\r\n" IDS "\r\n",
			"GET / HTTP/1.1\r\nHost: h\r\nX-Public: 2\r\n" IDS FORWARDED(
				"192.0.2.7", "h") "Via: 1.1 berth\r\n" },
		/* Authorization is the container's to see */
		{ "GET / HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer x\r\n" IDS "\r\n",
			"GET / HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer x\r\n" IDS FORWARDED(
				"192.0.2.7", "h") "Via: 1.1 berth\r\n" },
		/* what Berth deals with itself */
		{ "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n"
		  "Berth-Max-Wait: 3\r\nContent-Type: text/plain\r\n" IDS "\r\n",
			"POST / HTTP/1.1\r\nHost: h\r\nContent-Type: text/plain\r\n" IDS FORWARDED(
				"192.0.2.7", "h") "Via: 1.1 berth\r\n" },
		{ "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n" IDS "\r\n",
			"POST / HTTP/1.1\r\nHost: h\r\n" IDS FORWARDED(
				"192.0.2.7", "h") "Via: 1.1 berth\r\n" },
		/* nobody's word but a trusted proxy's counts for where a request comes from */
		{ "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Proto: https\r\n"
		  "X-Forwarded-Host: evil\r\nForwarded: for=1.1.1.1\r\n" IDS "\r\n",
			"GET / HTTP/1.1\r\nHost: h\r\n" IDS FORWARDED(
				"192.0.2.7", "h") "Via: 1.1 berth\r\n" },
		{ "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Proto: https\r\n"
		  "X-Forwarded-Host: good\r\nForwarded: for=1.1.1.1\r\nX-Forwarded-For: 2.2.2.2, "
		  "3.3.3.3\r\n" IDS "\r\n",
			"GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: good\r\n"
			"Forwarded: for=1.1.1.1\r\n" IDS
			"X-Forwarded-For: 1.1.1.1, 2.2.2.2, 3.3.3.3, 192.0.2.7\r\nVia: 1.1 berth\r\n",
			true },
		{ "GET / HTTP/1.1\r\nHost: h\r\n" IDS "\r\n",
			"GET / HTTP/1.1\r\nHost: h\r\n" IDS FORWARDED("192.0.2.7", "h") "Via: 1.1 berth\r\n",
			true },
		/* an absolute-form's host wins (RFC 9112 §3.2.2) */
		{ "GET http://h.example:81/p?q HTTP/1.1\r\nHost: other\r\n" IDS "\r\n",
			"GET /p?q HTTP/1.1\r\nHost: h.example:81\r\n" IDS FORWARDED(
				"192.0.2.7", "h.example:81") "Via: 1.1 berth\r\n" },
		{ "GET http://h.example HTTP/1.1\r\nHost: h.example\r\n" IDS "\r\n",
			"GET / HTTP/1.1\r\nHost: h.example\r\n" IDS FORWARDED(
				"192.0.2.7", "h.example") "Via: 1.1 berth\r\n" },
		{ "OPTIONS * HTTP/1.1\r\nHost: h\r\n" IDS "\r\n",
			"OPTIONS * HTTP/1.1\r\nHost: h\r\n" IDS FORWARDED(
				"192.0.2.7", "h") "Via: 1.1 berth\r\n" },
		/* 1.0: a Host for the container, and the version that it came with */
		{ "GET / HTTP/1.0\r\n" IDS "\r\n",
			"GET / HTTP/1.1\r\nHost: localhost\r\n" IDS FORWARDED(
				"192.0.2.7", "localhost") "Via: 1.0 berth\r\n" },
		{ "GET / HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n" IDS "\r\n",
			"GET / HTTP/1.1\r\nHost: h\r\n" IDS FORWARDED(
				"192.0.2.7", "h") "Via: 1.0 berth\r\n" },
		/* earlier proxies stay in Via */
		{ "GET / HTTP/1.1\r\nHost: h\r\nVia: 1.1 before\r\n" IDS "\r\n",
			"GET / HTTP/1.1\r\nHost: h\r\nVia: 1.1 before\r\n" IDS FORWARDED(
				"192.0.2.7", "h") "Via: 1.1 berth\r\n" },
		/* another path and method, the same query */
		{ "GET /new_request?text=x HTTP/1.1\r\nHost: h\r\n" IDS "\r\n",
			"POST /run_model?text=x HTTP/1.1\r\nHost: h\r\n" IDS FORWARDED(
				"192.0.2.7", "h") "Via: 1.1 berth\r\n",
			false, "/run_model" },
		{ "BREW /pot HTTP/1.1\r\nHost: h\r\n" IDS "\r\n",
			"BREW /pot HTTP/1.1\r\nHost: h\r\n" IDS FORWARDED(
				"192.0.2.7", "h") "Via: 1.1 berth\r\n" },
		/* a request to switch protocols, but for those that would hide requests */
		{ "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, X\r\nUpgrade: websocket\r\nX: 1\r\n"
		  "Sec-WebSocket-Key: k\r\n" IDS "\r\n",
			"GET / HTTP/1.1\r\nHost: h\r\nSec-WebSocket-Key: k\r\n" IDS FORWARDED("192.0.2.7",
				"h") "Connection: Upgrade\r\nUpgrade: websocket\r\nVia: 1.1 berth\r\n" },
		{ "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
		  "HTTP2-Settings: x\r\n" IDS "\r\n",
			"GET / HTTP/1.1\r\nHost: h\r\n" IDS FORWARDED(
				"192.0.2.7", "h") "Via: 1.1 berth\r\n" },
		/* the last line's trailing space goes */
		{ "GET / HTTP/1.1\r\nHost: h\r\n" IDS "X-Last: a \t \r\n\r\n",
			"GET / HTTP/1.1\r\nHost: h\r\n" IDS
			"X-Last: a\r\n" FORWARDED("192.0.2.7", "h") "Via: 1.1 berth\r\n" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_str(request_to(cases[i].in, cases[i].trusted, cases[i].path, NULL), cases[i].out);
}

static struct str value_in(struct str head, const char *name)
{
	const char *at = memmem(head.ptr, head.len, name, strlen(name));
	assert_non_null(at);
	struct str rest = str_skip(head, (size_t)(at - head.ptr) + strlen(name));
	return str_cut(&rest, '\r');
}

static bool is_hex(struct str s)
{
	for (size_t i = 0; i < s.len; i++) {
		if (!strchr("0123456789abcdef", s.ptr[i]))
			return false;
	}
	return true;
}

/* Where there are none, both ids are made (W3C Trace Context §3.2.2). */
static void test_ids(void **state)
{
	struct rand r;
	char seen[100][32];
	rand_seed(&r, 7);
	for (int i = 0; i < 100; i++) {
		struct str head = request_to("GET / HTTP/1.1\r\nHost: h\r\n\r\n", false, NULL, &r);
		struct str id = value_in(head, "\r\nX-Request-Id: "),
			   trace = value_in(head, "\r\ntraceparent: ");
		assert_int_equal(id.len, 32);
		assert_true(is_hex(id));
		struct str rest = trace, version = str_cut(&rest, '-'), trace_id = str_cut(&rest, '-'),
			   parent = str_cut(&rest, '-');
		assert_str(version, "00");
		assert_int_equal(trace_id.len, 32);
		assert_int_equal(parent.len, 16);
		assert_true(is_hex(trace_id) && is_hex(parent));
		assert_str(rest, "00");
		memcpy(seen[i], id.ptr, 32);
		for (int k = 0; k < i; k++)
			assert_memory_not_equal(seen[i], seen[k], 32);
	}
}

static void test_one_id_only(void **state)
{
	struct rand r;
	rand_seed(&r, 7);
	struct str head =
		request_to("GET / HTTP/1.1\r\nHost: h\r\nX-Request-Id: mine\r\n\r\n", false, NULL, &r);
	assert_str(value_in(head, "\r\nX-Request-Id: "), "mine");
	assert_int_equal(value_in(head, "\r\ntraceparent: ").len, 55);
	head = request_to("GET / HTTP/1.1\r\nHost: h\r\nTraceparent: 00-a-b-01\r\n\r\n", false, NULL, &r);
	assert_str(value_in(head, "\r\nTraceparent: "), "00-a-b-01");
	assert_int_equal(value_in(head, "\r\nX-Request-Id: ").len, 32);
	assert_null(memmem(head.ptr, head.len, "\r\ntraceparent: ", 15));
}

static void test_request_end(void **state)
{
	struct writer w;
	writer_init(&w, out, sizeof out);
	forward_request_end(&w, false, 0);
	forward_request_end(&w, true, 0);
	forward_request_end(&w, true, UINT64_C(12345678901));
	assert_str(((struct str){ out, writer_len(&w) }),
		"\r\nContent-Length: 0\r\n\r\nContent-Length: 12345678901\r\n\r\n");
}

static void test_no_room(void **state)
{
	struct writer w;
	char little[40];
	const struct http_head *head = parse_request("GET / HTTP/1.1\r\nHost: h\r\n" IDS "\r\n");
	writer_init(&w, little, sizeof little);
	forward_request(&w, head,
		&(struct forward_from){ .client_ip = STR("::1"),
			.default_host = STR("h"),
			.method = STR("GET"),
			.path = STR("/") });
	assert_true(w.overflow);
}

/* ---- answers ---- */

#define SEEN "Via: 1.1 berth\r\nServer-Timing: queue;dur=1.500, upstream;dur=20.007"

static void test_answers(void **state)
{
	static const struct {
		const char *in, *out;
		enum http_method method;
		enum answer_framing framing;
		uint64_t bytes;
		bool keep_alive;
		uint8_t minor;
	} cases[] = {
		{ "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: y\r\n\r\n",
			"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: y\r\n" SEEN "\r\n\r\n", HTTP_GET,
			ANSWER_LENGTH, 5, true, 1 },
		/* one that came in chunks, and is all there */
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX: y\r\n\r\n",
			"HTTP/1.1 200 OK\r\nX: y\r\nContent-Length: 5\r\n" SEEN "\r\n\r\n", HTTP_GET,
			ANSWER_LENGTH, 5, true, 1 },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
			"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n" SEEN "\r\nConnection: close\r\n\r\n",
			HTTP_GET, ANSWER_LENGTH, 5, false, 1 },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
			"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n" SEEN "\r\nConnection: keep-alive\r\n\r\n",
			HTTP_GET, ANSWER_LENGTH, 5, true, 0 },
		/* whatever the container speaks, the answer is Berth's 1.1 (RFC 9110 §6.2) */
		{ "HTTP/1.0 404 Not Here\r\nServer: old\r\n\r\n",
			"HTTP/1.1 404 Not Here\r\nServer: old\r\nTransfer-Encoding: chunked\r\n" SEEN
			"\r\n\r\n",
			HTTP_GET, ANSWER_CHUNKED, 0, true, 1 },
		{ "HTTP/1.0 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\n" SEEN "\r\nConnection: close\r\n\r\n",
			HTTP_GET, ANSWER_CLOSE, 0, false, 0 },
		{ "HTTP/1.1 299\r\nContent-Length: 0\r\n\r\n",
			"HTTP/1.1 299 \r\nContent-Length: 0\r\n" SEEN "\r\n\r\n", HTTP_GET, ANSWER_LENGTH, 0,
			true, 1 },
		/* hop by hop */
		{ "HTTP/1.1 200 OK\r\nConnection: X-Mine\r\nKeep-Alive: timeout=1\r\nX-Mine: 1\r\n"
		  "Transfer-Encoding: chunked\r\nTrailer: T\r\nProxy-Authenticate: Basic\r\nSet-Cookie: "
		  "a=b\r\n\r\n",
			"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nTransfer-Encoding: chunked\r\n" SEEN
			"\r\n\r\n",
			HTTP_GET, ANSWER_CHUNKED, 0, true, 1 },
		/* the length that a GET would have had may stand */
		{ "HTTP/1.1 200 OK\r\nContent-Length: 77\r\nETag: x\r\n\r\n",
			"HTTP/1.1 200 OK\r\nContent-Length: 77\r\nETag: x\r\n" SEEN "\r\n\r\n", HTTP_HEAD,
			ANSWER_NO_BODY, 0, true, 1 },
		{ "HTTP/1.1 304 Not Modified\r\nContent-Length: 77\r\n\r\n",
			"HTTP/1.1 304 Not Modified\r\nContent-Length: 77\r\n" SEEN "\r\n\r\n", HTTP_GET,
			ANSWER_NO_BODY, 0, true, 1 },
		/* but not with a 204 (RFC 9110 §8.6) */
		{ "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\nX: y\r\n\r\n",
			"HTTP/1.1 204 No Content\r\nX: y\r\n" SEEN "\r\n\r\n", HTTP_GET, ANSWER_NO_BODY, 0,
			true, 1 },
		{ "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
			"HTTP/1.1 204 No Content\r\n" SEEN "\r\n\r\n", HTTP_HEAD, ANSWER_NO_BODY, 0, true,
			1 },
		/* timings and proxies of the container's own stay */
		{ "HTTP/1.1 200 OK\r\nServer-Timing: db;dur=1\r\nVia: 1.1 inner\r\nContent-Length: 0\r\n\r\n",
			"HTTP/1.1 200 OK\r\nServer-Timing: db;dur=1\r\nVia: 1.1 inner\r\nContent-Length: "
			"0\r\n" SEEN "\r\n\r\n",
			HTTP_GET, ANSWER_LENGTH, 0, true, 1 },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct writer w;
		writer_init(&w, out, sizeof out);
		forward_answer(&w, parse_answer(cases[i].in, cases[i].method), cases[i].framing,
			cases[i].bytes, cases[i].keep_alive, cases[i].minor, 1500, 20007);
		assert_false(w.overflow);
		assert_str(((struct str){ out, writer_len(&w) }), cases[i].out);
	}
}

static void test_result_fields(void **state)
{
	struct writer w;
	writer_init(&w, out, sizeof out);
	forward_result_fields(&w,
		parse_answer(
			"HTTP/1.1 200 OK\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\nContent-Type: "
			"text/html\r\n"
			"Set-Cookie: a=b\r\nAlt-Svc: h3\r\nStrict-Transport-Security: max-age=1\r\n"
			"Access-Control-Allow-Origin: *\r\naccess-control-max-age: 5\r\nContent-Length: 3\r\n"
			"Connection: X-Mine\r\nX-Mine: 1\r\nCache-Control: public\r\n"
			"Content-Security-Policy: none\r\nX-Content-Type-Options: x\r\nETag: \"t\"\r\n"
			"Access-Control: kept\r\nset-cookie: c=d\r\n\r\n",
			HTTP_POST));
	assert_str(((struct str){ out, writer_len(&w) }),
		"Content-Type: text/html\r\nETag: \"t\"\r\nAccess-Control: kept\r\n");
}

static void test_switch(void **state)
{
	struct writer w;
	writer_init(&w, out, sizeof out);
	forward_switch(&w,
		parse_answer(
			"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade, X\r\nUpgrade: websocket\r\n"
			"X: 1\r\nSec-WebSocket-Accept: y\r\n\r\n",
			HTTP_GET));
	assert_str(((struct str){ out, writer_len(&w) }),
		"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: y\r\nVia: 1.1 berth\r\n"
		"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
}

static void test_upgrade(void **state)
{
	static const struct {
		const char *in, *protocol; /* NULL: none */
	} cases[] = {
		{ "GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
			"websocket" },
		{ "GET / HTTP/1.1\r\nHost: h\r\n\r\n", NULL },
		{ "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n\r\n", NULL }, /* not by Connection */
		{ "GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\n\r\n", NULL },
		{ "GET / HTTP/1.0\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", NULL },
		{ "GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: H2C\r\n\r\n", NULL },
		{ "GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket, h2c\r\n\r\n",
			NULL },
		{ "GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: a/1.0, ,b\r\n\r\n",
			"a/1.0, ,b" },
		/* what only some readers take for a quoted string hides nothing */
		{ "GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: \", h2c\r\n\r\n", NULL },
		{ "GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: \"\r\n\r\n", NULL },
		{ "GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: a\r\nUpgrade: h2c\r\n\r\n",
			NULL },
		{ "GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: h2c/1\r\n\r\n", NULL },
		{ "GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: a b\r\n\r\n", NULL },
		{ "GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: /1\r\n\r\n", NULL },
		{ "GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: a/\r\n\r\n", NULL },
		{ "GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: a/1/h2c\r\n\r\n", NULL },
		{ "POST / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: "
		  "websocket\r\nContent-Length: 3\r\n\r\n",
			NULL }, /* with a body */
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct str protocol = forward_upgrade(parse_request(cases[i].in));
		if (cases[i].protocol)
			assert_str(protocol, cases[i].protocol);
		else
			assert_null(protocol.ptr);
	}
}

static void test_event_stream(void **state)
{
	static const struct {
		const char *type;
		bool is;
	} cases[] = {
		{ "text/event-stream", true },
		{ "Text/Event-Stream; charset=utf-8", true },
		{ "text/event-stream;charset=utf-8", true },
		{ "text/event-streams", false },
		{ "text/plain", false },
		{ "", false },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char text[200];
		snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\nContent-Type: %s\r\n\r\n", cases[i].type);
		if (http_is_event_stream(parse_answer(text, HTTP_GET)) != cases[i].is)
			fail_msg("\"%s\"", cases[i].type);
	}
	assert_false(http_is_event_stream(parse_answer("HTTP/1.1 200 OK\r\n\r\n", HTTP_GET)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_ids),
		cmocka_unit_test(test_one_id_only),
		cmocka_unit_test(test_request_end),
		cmocka_unit_test(test_no_room),
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_result_fields),
		cmocka_unit_test(test_switch),
		cmocka_unit_test(test_upgrade),
		cmocka_unit_test(test_event_stream),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
