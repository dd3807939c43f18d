#include "cli/agent.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- bytes ---- */

static bool append(struct bytes *b, struct str s)
{
	if (b->cap - b->len < s.len) {
		size_t cap = b->cap ? b->cap : 1024;
		while (cap - b->len < s.len)
			cap *= 2;
		char *ptr = realloc(b->ptr, cap);
		if (!ptr)
			return false;
		b->ptr = ptr;
		b->cap = cap;
	}
	if (s.len)
		memcpy(b->ptr + b->len, s.ptr, s.len);
	b->len += s.len;
	return true;
}

static void drop_first(struct bytes *b, size_t n)
{
	memmove(b->ptr, b->ptr + n, b->len - n);
	b->len -= n;
}

/* ---- the end of a request ---- */

static void end(struct agent *a, const struct agent_answer *answer, bool keep)
{
	io_timer_stop(a->io, &a->timer);
	if (!keep)
		io_close(a->io, &a->stream);
	a->busy = false;
	a->on_answer(a, answer);
}

static void fail(struct agent *a, const char *why)
{
	end(a, &(struct agent_answer){ .why = why }, false);
}

static void succeed(struct agent *a, bool keep)
{
	/* The next request, made in on_answer, starts a new body: this one is put aside until then. */
	struct bytes body = a->body;
	struct http_head head = a->head;
	struct bytes in = a->in; /* which head's slices point into */
	struct agent_answer answer = { .status = head.status, .head = &head, .body = { body.ptr, body.len } };
	a->body = (struct bytes){ 0 };
	a->in = (struct bytes){ 0 };
	end(a, &answer, keep);
	free(body.ptr);
	free(in.ptr);
}

/* ---- receiving ---- */

/* Reads a head from what is there; interim ones are dropped (RFC 9110 §15.2). */
static enum parse_status take_head(struct agent *a)
{
	for (;;) {
		enum parse_status r =
			http_parse_response(a->in.ptr, a->in.len, AGENT_HEAD_MAX, HTTP_GET, &a->head);
		if (r != PARSE_OK)
			return r;
		if (a->head.status >= 200 || a->head.status == 101)
			return PARSE_OK;
		drop_first(&a->in, a->head.bytes);
	}
}

static void take_body(struct agent *a, const char *bytes, size_t n)
{
	while (n || http_body_is_done(&a->reader)) {
		size_t used;
		struct str payload;
		enum parse_status r = http_body_feed(&a->reader, bytes, n, &used, &payload);
		bytes += used;
		n -= used;
		if (r == PARSE_BAD) {
			fail(a, "the answer's body is broken");
			return;
		}
		if (a->body.len + payload.len > AGENT_BODY_MAX || !append(&a->body, payload)) {
			fail(a, "the answer is too long");
			return;
		}
		if (r == PARSE_OK) {
			succeed(a, n == 0 && a->head.keep_alive && a->head.framing != FRAMING_CLOSE);
			return;
		}
	}
}

static void on_recv(struct io_stream *s, const char *bytes, size_t n)
{
	struct agent *a = CONTAINER_OF(s, struct agent, stream);
	if (!a->busy) { /* nobody asked */
		io_close(a->io, s);
		return;
	}
	if (a->head_done) {
		take_body(a, bytes, n);
		return;
	}
	if (!append(&a->in, (struct str){ bytes, n })) {
		fail(a, "out of memory");
		return;
	}
	switch (take_head(a)) {
	case PARSE_MORE:
		return;
	case PARSE_BAD:
		fail(a, parse_error_text(a->head.error));
		return;
	case PARSE_OK:
		a->head_done = true;
		http_body_init(&a->reader, &a->head);
		take_body(a, a->in.ptr + a->head.bytes, a->in.len - a->head.bytes);
		return;
	}
}

static void on_eof(struct io_stream *s)
{
	struct agent *a = CONTAINER_OF(s, struct agent, stream);
	if (!a->busy)
		io_close(a->io, s);
	else if (a->head_done && a->head.framing == FRAMING_CLOSE)
		succeed(a, false);
	else
		fail(a, "the connection was closed before the answer was complete");
}

static void on_error(struct io_stream *s, int err)
{
	struct agent *a = CONTAINER_OF(s, struct agent, stream);
	if (a->busy)
		fail(a, strerror(-err));
	else
		io_close(a->io, s);
}

static void on_timer(struct io_timer *t)
{
	struct agent *a = CONTAINER_OF(t, struct agent, timer);
	fail(a, a->failed ? strerror(-a->failed) : "no answer in time");
}

/* ---- sending ---- */

/* What could not be sent at once is reported by the timer, in a later turn. */
static void fail_later(struct agent *a, int err)
{
	a->failed = err;
	io_timer_set(a->io, &a->timer, a->io->now_us + 1);
}

static void send_rest(struct agent *a)
{
	struct iovec iov = { a->out.ptr + a->sent, a->out.len - a->sent };
	if (iov.iov_len == 0)
		return;
	ssize_t n = io_send(a->io, &a->stream, &iov, 1);
	if (n < 0)
		fail_later(a, (int)n);
	else
		a->sent += (size_t)n;
}

static void on_ready_to_send(struct io_stream *s)
{
	send_rest(CONTAINER_OF(s, struct agent, stream));
}

static const struct io_stream_ops stream_ops = {
	.on_recv = on_recv,
	.on_eof = on_eof,
	.on_error = on_error,
	.on_writable = on_ready_to_send,
	.on_connect = on_ready_to_send,
};

void agent_init(struct agent *a, struct io *io, const struct io_addr *addr, const char *host,
	agent_answer_fn *on_answer)
{
	memset(a, 0, sizeof *a);
	a->io = io;
	a->addr = *addr;
	a->host = host;
	a->on_answer = on_answer;
	a->stream.fd = -1;
	a->timer.on_timer = on_timer;
}

void agent_finish(struct agent *a)
{
	io_timer_stop(a->io, &a->timer);
	io_close(a->io, &a->stream);
	free(a->out.ptr);
	free(a->in.ptr);
	free(a->body.ptr);
}

static bool write_request(
	struct agent *a, const char *method, const char *path, const char *content_type, struct str body)
{
	char head[2048];
	int n = snprintf(head, sizeof head,
		"%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: berth/" BERTH_VERSION "\r\n", method, path,
		a->host);
	if (n >= 0 && (size_t)n < sizeof head && content_type)
		n += snprintf(head + n, sizeof head - (size_t)n, "Content-Type: %s\r\n", content_type);
	if (n >= 0 && (size_t)n < sizeof head && strcmp(method, "GET") != 0)
		n += snprintf(head + n, sizeof head - (size_t)n, "Content-Length: %zu\r\n", body.len);
	return n >= 0 && (size_t)n < sizeof head && append(&a->out, (struct str){ head, (size_t)n }) &&
		append(&a->out, str_of(a->fields ? a->fields : "")) && append(&a->out, STR("\r\n")) &&
		append(&a->out, body);
}

void agent_request(struct agent *a, const char *method, const char *path, const char *content_type,
	struct str body, uint64_t timeout_us)
{
	CHECK(!a->busy);
	a->busy = true;
	a->head_done = false;
	a->failed = 0;
	a->sent = a->out.len = a->in.len = a->body.len = 0;
	io_timer_set(a->io, &a->timer, a->io->now_us + timeout_us);
	if (!write_request(a, method, path, content_type, body)) {
		fail_later(a, -ENAMETOOLONG);
	} else if (io_is_open(&a->stream)) {
		send_rest(a);
	} else {
		int r = io_connect(a->io, &a->stream, &a->addr, &stream_ops);
		if (r < 0)
			fail_later(a, r);
	}
}

/* ---- one request in a loop of its own ---- */

struct single {
	struct agent agent;
	const char *field; /* borrowed */
	struct agent_reply *reply;
};

static void no_reply(struct agent_reply *reply, const char *why)
{
	free(reply->body);
	*reply = (struct agent_reply){ 0 };
	str_copy(reply->why, AGENT_WHY, str_of(why));
}

static void on_single_answer(struct agent *a, const struct agent_answer *answer)
{
	struct single *s = CONTAINER_OF(a, struct single, agent);
	struct bytes body = { 0 };
	io_stop(a->io);
	if (!answer->status) {
		no_reply(s->reply, answer->why);
		return;
	}
	if (!append(&body, answer->body)) {
		no_reply(s->reply, "out of memory");
		return;
	}
	*s->reply = (struct agent_reply){ .status = answer->status, .body = body.ptr, .len = body.len };
	const struct http_field *f = s->field ? http_field_named(answer->head, str_of(s->field)) : NULL;
	if (f)
		str_copy(s->reply->field, sizeof s->reply->field, f->value);
}

void agent_ask(const struct io_addr *addr, const char *method, const char *path, const char *field,
	uint64_t timeout_us, struct agent_reply *ret)
{
	char host[IO_ADDR_TEXT];
	struct single s = { .field = field, .reply = ret };
	struct io *io = io_epoll_create();
	*ret = (struct agent_reply){ 0 };
	if (!io) {
		no_reply(ret, strerror(errno));
		return;
	}
	io_addr_print(addr, true, host);
	agent_init(&s.agent, io, addr, addr->sa.sa_family == AF_UNIX ? "localhost" : host, on_single_answer);
	agent_request(&s.agent, method, path, NULL, STR(""), timeout_us);
	int r = io_epoll_run(io);
	if (r < 0)
		no_reply(ret, strerror(-r));
	agent_finish(&s.agent);
	io_epoll_destroy(io);
}

int agent_get(const struct io_addr *addr, const char *path, uint64_t timeout_us, char **ret_body,
	size_t *ret_len, char why[AGENT_WHY])
{
	struct agent_reply reply;
	agent_ask(addr, "GET", path, NULL, timeout_us, &reply);
	if (reply.status) {
		*ret_body = reply.body;
		*ret_len = reply.len;
	} else {
		str_copy(why, AGENT_WHY, str_of(reply.why));
	}
	return reply.status;
}
