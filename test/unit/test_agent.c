/* The HTTP client against a server of the same loop, which answers each request with the bytes that the case
 * says. */
#include "cli/agent.h"
#include "unit.h"

#include <stdlib.h>

enum { PATIENCE_US = 10 * 1000 * 1000, SHORT_US = 20 * 1000 };

struct scene {
	struct io *io;
	struct io_listener listener;
	struct io_stream server;
	struct agent agent;
	const char *answer;
	size_t piece; /* bytes of the answer sent at once; 0: all */
	size_t sent;
	struct io_timer more;
	bool closes; /* the connection, after the answer */
	bool never_answers;
	size_t connections;
	char request[4096];
	const char *stops_at; /* ends the loop when the request ends so; there is no answer then */
	bool counts_only; /* the bytes of a request that is too long to keep, until expected_bytes have come
			   */
	size_t received_bytes, expected_bytes;
	/* what the agent said */
	int status;
	char why[AGENT_WHY], body[4096];
	size_t body_len, answers;
	size_t asks_again; /* from within on_answer */
};

static struct scene *scene_of_server(struct io_stream *s)
{
	return CONTAINER_OF(s, struct scene, server);
}

static void send_piece(struct io_timer *t)
{
	struct scene *s = CONTAINER_OF(t, struct scene, more);
	size_t left = strlen(s->answer) - s->sent, n = s->piece && s->piece < left ? s->piece : left;
	if (!io_is_open(&s->server))
		return;
	struct iovec iov = { (char *)(uintptr_t)s->answer + s->sent, n };
	if (n)
		assert_int_equal(io_send(s->io, &s->server, &iov, 1), n);
	s->sent += n;
	if (n < left)
		io_timer_set(s->io, &s->more, s->io->now_us + 1);
	else if (s->closes)
		io_close(s->io, &s->server);
}

static void on_request(struct io_stream *stream, const char *bytes, size_t n)
{
	struct scene *s = scene_of_server(stream);
	size_t len = strlen(s->request);
	s->received_bytes += n;
	if (s->counts_only) {
		if (s->received_bytes >= s->expected_bytes)
			io_stop(s->io);
		return;
	}
	assert_in_range(len + n, 0, sizeof s->request - 1);
	memcpy(s->request + len, bytes, n);
	s->request[len + n] = '\0';
	if (s->stops_at) {
		size_t end = strlen(s->stops_at);
		if (len + n >= end && !strcmp(s->request + len + n - end, s->stops_at))
			io_stop(s->io);
		return;
	}
	if (!strstr(s->request, "\r\n\r\n") || s->never_answers)
		return;
	s->sent = 0;
	send_piece(&s->more);
}

static void on_server_end(struct io_stream *stream)
{
	io_close(scene_of_server(stream)->io, stream);
}

static void on_server_error(struct io_stream *stream, int err)
{
	io_close(scene_of_server(stream)->io, stream);
}

static const struct io_stream_ops server_ops = {
	.on_recv = on_request, .on_eof = on_server_end, .on_error = on_server_error
};

static void on_connection(struct io_listener *l, const struct io_addr *peer)
{
	struct scene *s = CONTAINER_OF(l, struct scene, listener);
	s->connections++;
	io_timer_stop(s->io, &s->more); /* the rest of an answer that nobody wants */
	io_close(s->io, &s->server);
	assert_int_equal(io_accept(s->io, l, &s->server, &server_ops), 0);
}

static const struct io_listener_ops listener_ops = { .on_connection = on_connection };

static void on_answer(struct agent *a, const struct agent_answer *answer)
{
	struct scene *s = CONTAINER_OF(a, struct scene, agent);
	s->answers++;
	s->status = answer->status;
	str_copy(s->why, sizeof s->why, str_of(answer->why));
	str_copy(s->body, sizeof s->body, answer->body);
	s->body_len = answer->body.len;
	s->request[0] = '\0';
	if (s->asks_again) {
		s->asks_again--;
		agent_request(a, "GET", "/again", NULL, STR(""), PATIENCE_US);
		assert_int_equal(
			strlen(s->body), answer->body.len); /* the answer is good until on_answer returns */
		assert_memory_equal(s->body, answer->body.ptr, answer->body.len);
	} else {
		io_stop(s->io);
	}
}

static void prepare(struct scene *s, const char *answer)
{
	struct io_addr addr;
	*s = (struct scene){ .answer = answer, .server.fd = -1, .more.on_timer = send_piece };
	s->io = io_epoll_create();
	assert_non_null(s->io);
	assert_true(io_addr_parse(&addr, "127.0.0.1:0"));
	assert_int_equal(io_listen(s->io, &s->listener, &addr, &listener_ops), 0);
	assert_int_equal(io_listen_addr(s->io, &s->listener, &addr), 0);
	agent_init(&s->agent, s->io, &addr, "example.org", on_answer);
}

static void ask(struct scene *s, uint64_t timeout_us)
{
	agent_request(&s->agent, "GET", "/path", NULL, STR(""), timeout_us);
	assert_int_equal(io_epoll_run(s->io), 0);
}

static void finish(struct scene *s)
{
	agent_finish(&s->agent);
	io_timer_stop(s->io, &s->more);
	io_close(s->io, &s->server);
	io_unlisten(s->io, &s->listener);
	io_epoll_destroy(s->io);
}

/* ---- tests ---- */

static const struct {
	const char *answer;
	bool closes, kept; /* kept: a second request takes the same connection */
	int status;
	const char *body, *why;
} cases[] = {
	{ "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", false, true, 200, "hello", "" },
	{ "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", false, true, 404, "", "" },
	{ "HTTP/1.1 204 No Content\r\n\r\n", false, true, 204, "", "" },
	{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n", false,
		true, 200, "abcde", "" },
	{ "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", false,
		true, 200, "x", "" },
	{ "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx", false, false, 200, "x", "" },
	{ "HTTP/1.0 200 OK\r\n\r\nuntil the end", true, false, 200, "until the end", "" },
	{ "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", true, false, 0, "",
		"the connection was closed before the answer was complete" },
	{ "HTTP/1.1 200 OK\r\nContent-Le", true, false, 0, "",
		"the connection was closed before the answer was complete" },
	{ "", true, false, 0, "", "the connection was closed before the answer was complete" },
	{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", false, false, 0, "",
		"the answer's body is broken" },
};

static void check_case(size_t i, size_t piece)
{
	struct scene s;
	prepare(&s, cases[i].answer);
	s.closes = cases[i].closes;
	s.piece = piece;
	for (size_t round = 1; round <= 2; round++) {
		ask(&s, PATIENCE_US);
		assert_int_equal(s.answers, round);
		assert_int_equal(s.status, cases[i].status);
		assert_string_equal(s.why, cases[i].why);
		assert_string_equal(s.body, cases[i].body);
	}
	assert_int_equal(s.connections, cases[i].kept ? 1 : 2);
	finish(&s);
}

static void test_answers_at_once(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		check_case(i, 0);
}

static void test_answers_byte_by_byte(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		check_case(i, 1);
}

static void test_nonsense(void **state)
{
	struct scene s;
	prepare(&s, "220 ready for mail\r\n\r\n");
	ask(&s, PATIENCE_US);
	assert_int_equal(s.status, 0);
	assert_string_not_equal(s.why, "");
	finish(&s);
}

static void test_bytes_after_the_answer_end_the_connection(void **state)
{
	struct scene s;
	prepare(&s, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxHTTP/1.1 200 OK\r\n");
	ask(&s, PATIENCE_US);
	assert_string_equal(s.body, "x");
	ask(&s, PATIENCE_US);
	assert_string_equal(s.body, "x");
	assert_int_equal(s.connections, 2);
	finish(&s);
}

static void test_no_answer_in_time(void **state)
{
	struct scene s;
	prepare(&s, "");
	s.never_answers = true;
	ask(&s, SHORT_US);
	assert_int_equal(s.status, 0);
	assert_string_equal(s.why, "no answer in time");
	finish(&s);
}

static void test_nobody_listens(void **state)
{
	struct scene s;
	prepare(&s, "");
	io_unlisten(s.io, &s.listener);
	ask(&s, PATIENCE_US);
	assert_int_equal(s.status, 0);
	assert_string_equal(s.why, "Connection refused");
	finish(&s);
}

static void test_the_next_request_from_within_an_answer(void **state)
{
	struct scene s;
	prepare(&s, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
	s.asks_again = 3;
	ask(&s, PATIENCE_US);
	assert_int_equal(s.answers, 4);
	assert_int_equal(s.connections, 1);
	assert_string_equal(s.body, "hello");
	finish(&s);
}

static void check_what_is_sent(const char *method, const char *path, const char *content_type,
	struct str body, const char *end, const char *expected)
{
	struct scene s;
	prepare(&s, "");
	s.stops_at = end;
	agent_request(&s.agent, method, path, content_type, body, PATIENCE_US);
	assert_int_equal(io_epoll_run(s.io), 0);
	assert_string_equal(s.request, expected);
	finish(&s);
}

static void test_what_is_sent(void **state)
{
	check_what_is_sent("POST", "/run_model", "text/plain", STR("hello"), "hello",
		"POST /run_model HTTP/1.1\r\nHost: example.org\r\nUser-Agent: berth/" BERTH_VERSION
		"\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello");
	check_what_is_sent("POST", "/new_request", NULL, STR(""), "\r\n\r\n",
		"POST /new_request HTTP/1.1\r\nHost: example.org\r\nUser-Agent: berth/" BERTH_VERSION
		"\r\nContent-Length: 0\r\n\r\n");
	check_what_is_sent("GET", "/status?x", NULL, STR(""), "\r\n\r\n",
		"GET /status?x HTTP/1.1\r\nHost: example.org\r\nUser-Agent: berth/" BERTH_VERSION "\r\n\r\n");
}

/* More than the kernel takes at once: the rest is sent when there is room. */
static void test_a_long_request(void **state)
{
	struct scene s;
	size_t n = 8 << 20;
	char *text = malloc(n);
	assert_non_null(text);
	memset(text, 'x', n);
	prepare(&s, "");
	s.counts_only = true;
	agent_request(&s.agent, "POST", "/", "text/plain", (struct str){ text, n }, PATIENCE_US);
	s.expected_bytes = n;
	assert_int_equal(io_epoll_run(s.io), 0);
	assert_in_range(s.received_bytes, n, n + 200);
	free(text);
	finish(&s);
}

static void test_get_in_a_loop_of_its_own(void **state)
{
	struct io_addr addr;
	char why[AGENT_WHY] = "", *body;
	size_t len;
	assert_true(io_addr_parse(&addr, "127.0.0.1:1"));
	assert_int_equal(agent_get(&addr, "/", PATIENCE_US, &body, &len, why), 0);
	assert_string_equal(why, "Connection refused");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers_at_once),
		cmocka_unit_test(test_answers_byte_by_byte),
		cmocka_unit_test(test_nonsense),
		cmocka_unit_test(test_bytes_after_the_answer_end_the_connection),
		cmocka_unit_test(test_no_answer_in_time),
		cmocka_unit_test(test_nobody_listens),
		cmocka_unit_test(test_the_next_request_from_within_an_answer),
		cmocka_unit_test(test_what_is_sent),
		cmocka_unit_test(test_a_long_request),
		cmocka_unit_test(test_get_in_a_loop_of_its_own),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
