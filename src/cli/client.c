#include "cli/client.h"

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

static void end(struct client *c, const struct client_answer *answer, bool keep)
{
	io_timer_stop(c->io, &c->timer);
	if (!keep)
		io_close(c->io, &c->stream);
	c->busy = false;
	c->on_answer(c, answer);
}

static void fail(struct client *c, const char *why)
{
	end(c, &(struct client_answer){ .why = why }, false);
}

static void succeed(struct client *c, bool keep)
{
	/* The next request, made in on_answer, starts a new body: this one is put aside until then. */
	struct bytes body = c->body;
	struct http_head head = c->head;
	struct bytes in = c->in; /* which head's slices point into */
	struct client_answer answer = {
		.status = head.status, .head = &head, .body = { body.ptr, body.len }
	};
	c->body = (struct bytes){ 0 };
	c->in = (struct bytes){ 0 };
	end(c, &answer, keep);
	free(body.ptr);
	free(in.ptr);
}

/* ---- receiving ---- */

/* Reads a head from what is there; interim ones are dropped (RFC 9110 §15.2). */
static enum parse_status take_head(struct client *c)
{
	for (;;) {
		enum parse_status r =
			http_parse_response(c->in.ptr, c->in.len, CLIENT_HEAD_MAX, HTTP_GET, &c->head);
		if (r != PARSE_OK)
			return r;
		if (c->head.status >= 200 || c->head.status == 101)
			return PARSE_OK;
		drop_first(&c->in, c->head.bytes);
	}
}

static void take_body(struct client *c, const char *bytes, size_t n)
{
	while (n || http_body_is_done(&c->reader)) {
		size_t used;
		struct str payload;
		enum parse_status r = http_body_feed(&c->reader, bytes, n, &used, &payload);
		bytes += used;
		n -= used;
		if (r == PARSE_BAD) {
			fail(c, "the answer's body is broken");
			return;
		}
		if (c->body.len + payload.len > CLIENT_BODY_MAX || !append(&c->body, payload)) {
			fail(c, "the answer is too long");
			return;
		}
		if (r == PARSE_OK) {
			succeed(c, n == 0 && c->head.keep_alive && c->head.framing != FRAMING_CLOSE);
			return;
		}
	}
}

static void on_recv(struct io_stream *s, const char *bytes, size_t n)
{
	struct client *c = CONTAINER_OF(s, struct client, stream);
	if (!c->busy) { /* nobody asked */
		io_close(c->io, s);
		return;
	}
	if (c->head_done) {
		take_body(c, bytes, n);
		return;
	}
	if (!append(&c->in, (struct str){ bytes, n })) {
		fail(c, "out of memory");
		return;
	}
	switch (take_head(c)) {
	case PARSE_MORE:
		return;
	case PARSE_BAD:
		fail(c, parse_error_text(c->head.error));
		return;
	case PARSE_OK:
		c->head_done = true;
		http_body_init(&c->reader, &c->head);
		take_body(c, c->in.ptr + c->head.bytes, c->in.len - c->head.bytes);
		return;
	}
}

static void on_eof(struct io_stream *s)
{
	struct client *c = CONTAINER_OF(s, struct client, stream);
	if (!c->busy)
		io_close(c->io, s);
	else if (c->head_done && c->head.framing == FRAMING_CLOSE)
		succeed(c, false);
	else
		fail(c, "the connection was closed before the answer was complete");
}

static void on_error(struct io_stream *s, int err)
{
	struct client *c = CONTAINER_OF(s, struct client, stream);
	if (c->busy)
		fail(c, strerror(-err));
	else
		io_close(c->io, s);
}

static void on_timer(struct io_timer *t)
{
	struct client *c = CONTAINER_OF(t, struct client, timer);
	fail(c, c->failed ? strerror(-c->failed) : "no answer in time");
}

/* ---- sending ---- */

/* What could not be sent at once is reported by the timer, in a later turn. */
static void fail_later(struct client *c, int err)
{
	c->failed = err;
	io_timer_set(c->io, &c->timer, c->io->now_us + 1);
}

static void send_rest(struct client *c)
{
	struct iovec iov = { c->out.ptr + c->sent, c->out.len - c->sent };
	if (iov.iov_len == 0)
		return;
	ssize_t n = io_send(c->io, &c->stream, &iov, 1);
	if (n < 0)
		fail_later(c, (int)n);
	else
		c->sent += (size_t)n;
}

static void on_ready_to_send(struct io_stream *s)
{
	send_rest(CONTAINER_OF(s, struct client, stream));
}

static const struct io_stream_ops stream_ops = {
	.on_recv = on_recv,
	.on_eof = on_eof,
	.on_error = on_error,
	.on_writable = on_ready_to_send,
	.on_connect = on_ready_to_send,
};

void client_init(struct client *c, struct io *io, const struct io_addr *addr, const char *host,
	client_answer_fn *on_answer)
{
	memset(c, 0, sizeof *c);
	c->io = io;
	c->addr = *addr;
	c->host = host;
	c->on_answer = on_answer;
	c->stream.fd = -1;
	c->timer.on_timer = on_timer;
}

void client_finish(struct client *c)
{
	io_timer_stop(c->io, &c->timer);
	io_close(c->io, &c->stream);
	free(c->out.ptr);
	free(c->in.ptr);
	free(c->body.ptr);
}

static bool write_request(
	struct client *c, const char *method, const char *path, const char *content_type, struct str body)
{
	char head[2048];
	int n = snprintf(head, sizeof head,
		"%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: berth/" BERTH_VERSION "\r\n", method, path,
		c->host);
	if (n >= 0 && (size_t)n < sizeof head && content_type)
		n += snprintf(head + n, sizeof head - (size_t)n, "Content-Type: %s\r\n", content_type);
	if (n >= 0 && (size_t)n < sizeof head && strcmp(method, "GET") != 0)
		n += snprintf(head + n, sizeof head - (size_t)n, "Content-Length: %zu\r\n", body.len);
	return n >= 0 && (size_t)n < sizeof head && append(&c->out, (struct str){ head, (size_t)n }) &&
		append(&c->out, STR("\r\n")) && append(&c->out, body);
}

void client_request(struct client *c, const char *method, const char *path, const char *content_type,
	struct str body, uint64_t timeout_us)
{
	CHECK(!c->busy);
	c->busy = true;
	c->head_done = false;
	c->failed = 0;
	c->sent = c->out.len = c->in.len = c->body.len = 0;
	io_timer_set(c->io, &c->timer, c->io->now_us + timeout_us);
	if (!write_request(c, method, path, content_type, body)) {
		fail_later(c, -ENAMETOOLONG);
	} else if (io_is_open(&c->stream)) {
		send_rest(c);
	} else {
		int r = io_connect(c->io, &c->stream, &c->addr, &stream_ops);
		if (r < 0)
			fail_later(c, r);
	}
}

/* ---- one request in a loop of its own ---- */

struct single {
	struct client client;
	int status;
	char *why;
	struct bytes body;
};

static void on_single_answer(struct client *c, const struct client_answer *answer)
{
	struct single *s = CONTAINER_OF(c, struct single, client);
	s->status = answer->status;
	if (!answer->status)
		str_copy(s->why, CLIENT_WHY, str_of(answer->why));
	else if (!append(&s->body, answer->body)) {
		s->status = 0;
		str_copy(s->why, CLIENT_WHY, STR("out of memory"));
	}
	io_stop(c->io);
}

int client_get(const struct io_addr *addr, const char *path, uint64_t timeout_us, char **ret_body,
	size_t *ret_len, char why[CLIENT_WHY])
{
	char host[IO_ADDR_TEXT];
	struct single s = { .why = why };
	struct io *io = io_epoll_create();
	if (!io) {
		str_copy(why, CLIENT_WHY, str_of(strerror(errno)));
		return 0;
	}
	io_addr_print(addr, true, host);
	client_init(
		&s.client, io, addr, addr->sa.sa_family == AF_UNIX ? "localhost" : host, on_single_answer);
	client_request(&s.client, "GET", path, NULL, STR(""), timeout_us);
	int r = io_epoll_run(io);
	if (r < 0) {
		s.status = 0;
		str_copy(why, CLIENT_WHY, str_of(strerror(-r)));
	}
	client_finish(&s.client);
	io_epoll_destroy(io);
	if (s.status) {
		*ret_body = s.body.ptr;
		*ret_len = s.body.len;
	} else {
		free(s.body.ptr);
	}
	return s.status;
}
