#include "gateway/client.h"

#include "gateway/exchange.h"
#include "gateway/intake.h"
#include "gateway/reactor.h"
#include "gateway/tunnel.h"
#include "gateway/upstream.h"
#include "gateway/watch.h"
#include "http/status.h"
#include "http/write.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { LINGER_US = 2 * 1000 * 1000, SEND_SLICES = 8 };

static const struct io_stream_ops client_ops;

static struct client *of(struct io_stream *s)
{
	return CONTAINER_OF(s, struct client, stream);
}

static void on_timer(struct io_timer *t);

static void note_peer(struct client *c, const struct io_addr *peer)
{
	if (peer->sa.sa_family == AF_INET) {
		c->ip[10] = c->ip[11] = 0xff;
		memcpy(c->ip + 12, &peer->in.sin_addr, 4);
	} else if (peer->sa.sa_family == AF_INET6) {
		memcpy(c->ip, &peer->in6.sin6_addr, 16);
	} else {
		c->unix_peer = true;
	}
}

static void refuse_connection(struct client *c, enum problem p, const char *detail)
{
	c->reactor->metrics.refused_connections++;
	c->must_linger = true;
	client_problem(c, p, detail, 1, (struct str){ NULL, 0 });
}

void client_accept(struct front *f, struct io_listener *l, const struct io_addr *peer)
{
	struct reactor *r = f->reactor;
	uint32_t limit = reactor_client_limit(r);
	bool is_told = f->admin ? r->operators.len < reactor_operator_places(r)
				: r->clients.len < limit + reactor_refused_places(r);
	struct client *c = is_told ? objpool_get(&r->client_pool) : NULL;
	if (!c) {
		r->metrics.refused_connections++;
		return;
	}
	c->reactor = r;
	c->admin = f->admin;
	c->timer.on_timer = on_timer;
	c->minor_version = 1;
	note_peer(c, peer);
	bool is_peer = !f->admin && !c->unix_peer;
	int err = is_peer ? peers_add(&r->peers, c->ip) : 0;
	c->counted = is_peer && err == 0;
	if (io_accept(r->io, l, &c->stream, &client_ops) < 0) {
		if (c->counted)
			peers_remove(&r->peers, c->ip);
		objpool_put(&r->client_pool, c);
		return;
	}
	list_push_back(c->admin ? &r->operators : &r->clients, &c->node);
	reactor_share_files(r);
	r->metrics.connections++;
	if (err == -EDQUOT)
		refuse_connection(c, PROBLEM_CLIENT_LIMIT,
			"as many connections of this address are open as limits.connections_per_address "
			"allows");
	else if (err < 0)
		refuse_connection(c, PROBLEM_OVERLOADED, "out of memory");
	else if (!f->admin && r->clients.len > limit)
		refuse_connection(c, PROBLEM_OVERLOADED,
			"as many connections are open as limits.connections, or the process's limit of open "
			"files, allows");
	else
		client_set_timer(c, r->settings->client_idle_us);
}

static char *put_octet(char *at, unsigned octet)
{
	if (octet >= 100)
		*at++ = (char)('0' + octet / 100);
	if (octet >= 10)
		*at++ = (char)('0' + octet / 10 % 10);
	*at++ = (char)('0' + octet % 10);
	return at;
}

struct str client_ip(const struct client *c, char text[48])
{
	char *at = text;
	if (c->unix_peer)
		return STR("unix:");
	if (memcmp(c->ip, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 12) != 0) {
		inet_ntop(AF_INET6, c->ip, text, 48);
		return str_of(text);
	}
	for (int i = 12; i < 16; i++) {
		at = put_octet(at, c->ip[i]);
		*at++ = '.';
	}
	return (struct str){ text, (size_t)(at - 1 - text) };
}

void client_set_timer(struct client *c, uint64_t after_us)
{
	io_timer_set(c->reactor->io, &c->timer, c->reactor->io->now_us + after_us);
}

/* ---- the end ---- */

static void close_outbox(struct client *c)
{
	if (!c->out)
		return;
	buffer_finish(&c->out->buffer);
	free(c->out);
	c->out = NULL;
}

static void bury(struct client *c, bool reset)
{
	struct reactor *r = c->reactor;
	if (c->phase == CLIENT_DEAD)
		return;
	if (reset)
		io_reset(r->io, &c->stream);
	else
		io_close(r->io, &c->stream);
	io_timer_stop(r->io, &c->timer);
	c->phase = CLIENT_DEAD;
	if (c->counted)
		peers_remove(&r->peers, c->ip);
	list_remove(c->admin ? &r->operators : &r->clients, &c->node);
	reactor_share_files(r);
	list_push_back(&r->dead_clients, &c->node);
	if (c->exchange)
		exchange_leave(c->exchange);
	if (c->watch)
		watch_leave(c->watch);
	c->watch = NULL;
}

void client_close(struct client *c)
{
	bury(c, false);
}

void client_abort(struct client *c)
{
	bury(c, true);
}

void client_free(struct client *c)
{
	close_outbox(c);
	c->reactor->budget.memory_used -= c->early.cap;
	free(c->early.ptr);
	if (c->upload)
		free(c->upload->admin);
	free(c->upload);
	objpool_put(&c->reactor->client_pool, c);
}

/* ---- sending ---- */

static void answer_taken(struct client *c);

/* Hands over what is there; false when the connection broke and is buried. */
static bool flush(struct client *c)
{
	struct buffer *b = &c->out->buffer;
	for (;;) {
		struct iovec iov[SEND_SLICES];
		size_t want = 0;
		int n = buffer_peek(b, b->base, iov, SEND_SLICES);
		if (n == 0)
			return true;
		for (int i = 0; i < n; i++)
			want += iov[i].iov_len;
		ssize_t sent = n < 0 ? n : io_send(c->reactor->io, &c->stream, iov, n);
		if (sent < 0) {
			bury(c, true);
			return false;
		}
		buffer_consume(b, b->base + (uint64_t)sent);
		if ((size_t)sent < want)
			return true;
	}
}

static void after_flush(struct client *c)
{
	struct buffer *b = &c->out->buffer;
	struct exchange *ex = c->exchange;
	if (ex && ex->upstream && !buffer_is_behind(b))
		upstream_resume(ex->upstream);
	if (buffer_left(b))
		return;
	close_outbox(c);
	if (c->phase == CLIENT_WAITING && ex && ex->ticket.state == TICKET_WAITING)
		client_watch_wait(c); /* it was the timer of sending */
	else if (c->phase == CLIENT_ANSWERING)
		answer_taken(c);
	else if (c->phase == CLIENT_LINGERING)
		io_shutdown(c->reactor->io, &c->stream);
	else if (c->watch)
		watch_taken(c->watch);
}

static void on_outbox_ready(struct buffer *b)
{
	struct client *c = CONTAINER_OF(b, struct outbox, buffer)->client;
	if (c->phase == CLIENT_DEAD)
		return; /* in this turn */
	if (flush(c))
		after_flush(c);
}

static void on_writable(struct io_stream *s)
{
	struct client *c = of(s);
	if (c->out && flush(c))
		after_flush(c);
}

/* Bytes of the outbox that have reached the client; only the difference of two is of use. */
static uint64_t taken(const struct client *c)
{
	return c->out->buffer.base - io_unacknowledged(c->reactor->io, &c->stream);
}

/* Keeps what the client did not take at once. */
static bool keep(struct client *c, const struct iovec *iov, int n, size_t skip)
{
	struct reactor *r = c->reactor;
	if (!c->out) {
		c->out = malloc(sizeof *c->out);
		if (!c->out) {
			bury(c, true);
			return false;
		}
		buffer_init(
			&c->out->buffer, r->io, &r->budget, r->settings->body_memory_bytes, on_outbox_ready);
		c->out->client = c;
		c->out->buffer.must_take = true;
		c->out->taken = taken(c);
		client_set_timer(c, r->settings->client_send_us);
	}
	for (int i = 0; i < n; i++) {
		size_t len = iov[i].iov_len;
		if (skip >= len) {
			skip -= len;
			continue;
		}
		if (buffer_append(&c->out->buffer, (const char *)iov[i].iov_base + skip, len - skip) < 0) {
			bury(c, true); /* part of the answer is lost: the client must not take it for whole */
			return false;
		}
		skip = 0;
	}
	return true;
}

bool client_send(struct client *c, const struct iovec *iov, int n)
{
	size_t want = 0;
	ssize_t sent = 0;
	for (int i = 0; i < n; i++)
		want += iov[i].iov_len;
	if (!c->out) {
		sent = io_send(c->reactor->io, &c->stream, iov, n);
		if (sent < 0) {
			bury(c, true);
			return false;
		}
	}
	return (size_t)sent == want || keep(c, iov, n, (size_t)sent);
}

/* ---- between exchanges ---- */

static void linger(struct client *c)
{
	c->phase = CLIENT_LINGERING;
	client_pause(c, false); /* unread bytes would make the close a reset */
	client_set_timer(c, LINGER_US);
	if (!c->out)
		io_shutdown(c->reactor->io, &c->stream);
}

static void run_early(struct client *c);

/* The client has the whole answer: on to its next request. */
static void answer_taken(struct client *c)
{
	struct reactor *r = c->reactor;
	if (!c->keep_alive) {
		if ((c->early.len || c->deaf) &&
			!c->peer_closed) /* more of what it sends ahead would make the close a reset */
			linger(c);
		else
			bury(c, false);
		return;
	}
	c->phase = CLIENT_IDLE;
	client_set_timer(c, r->settings->client_idle_us);
	client_pause(c, false);
	if (c->early.len && !c->processing)
		run_early(c);
}

void client_pause(struct client *c, bool paused)
{
	if (c->recv_paused == paused || c->phase == CLIENT_DEAD)
		return;
	c->recv_paused = paused;
	io_recv_pause(c->reactor->io, &c->stream, paused);
}

void client_tunnel(struct client *c)
{
	c->phase = CLIENT_TUNNEL;
	client_pause(c, false);
	if (c->early.len && !c->processing)
		run_early(c);
	if (c->phase == CLIENT_TUNNEL && c->peer_closed)
		tunnel_client_ended(c->exchange->upstream);
}

void client_answered(struct client *c, bool keep_alive)
{
	c->keep_alive = keep_alive && !(c->peer_closed && !c->early.len) && !c->reactor->draining;
	if (c->must_linger) {
		linger(c);
	} else if (c->out) {
		c->phase = CLIENT_ANSWERING;
	} else {
		answer_taken(c);
	}
}

void client_reply_long(struct client *c, int status, struct str lines, struct str body)
{
	struct reactor *r = c->reactor;
	struct writer w;
	bool keep_alive = c->keep_alive && !c->must_linger && !r->draining;
	if (body.ptr == r->json.buf && json_failed(&r->json)) {
		bury(c, true); /* there was no memory to write all of it */
		return;
	}
	writer_init(&w, r->scratch, sizeof r->scratch);
	write_lit(&w, "HTTP/1.1 ");
	write_u64(&w, (uint64_t)status);
	write_lit(&w, " ");
	write_str(&w, str_of(http_status_reason(status)));
	write_lit(&w, "\r\nContent-Length: ");
	write_u64(&w, body.len);
	write_lit(&w, "\r\n");
	write_str(&w, lines);
	if (!keep_alive)
		write_lit(&w, "Connection: close\r\n");
	else if (c->minor_version == 0)
		write_lit(&w, "Connection: keep-alive\r\n");
	write_lit(&w, "\r\n");
	CHECK(!w.overflow);
	struct iovec iov[2] = { { w.start, writer_len(&w) }, { (char *)(uintptr_t)body.ptr, body.len } };
	if (client_send(c, iov, body.len && !c->head_only ? 2 : 1))
		client_answered(c, keep_alive);
}

void client_reply(struct client *c, int status, const char *type, struct str extra, struct str body)
{
	char lines[512];
	struct writer w;
	writer_init(&w, lines, sizeof lines);
	write_lit(&w, "Content-Type: ");
	write_str(&w, str_of(type));
	write_lit(&w, "\r\n");
	write_str(&w, extra);
	CHECK(!w.overflow);
	client_reply_long(c, status, (struct str){ lines, writer_len(&w) }, body);
}

void client_reply_empty(struct client *c, int status)
{
	struct writer w;
	char head[128];
	bool keep_alive = c->keep_alive && !c->must_linger && !c->reactor->draining;
	writer_init(&w, head, sizeof head);
	write_lit(&w, "HTTP/1.1 ");
	write_u64(&w, (uint64_t)status);
	write_lit(&w, " ");
	write_str(&w, str_of(http_status_reason(status)));
	write_str(&w, keep_alive ? STR("\r\n\r\n") : STR("\r\nConnection: close\r\n\r\n"));
	struct iovec iov = { head, writer_len(&w) };
	if (client_send(c, &iov, 1))
		client_answered(c, keep_alive);
}

void client_problem(
	struct client *c, enum problem p, const char *detail, uint32_t retry_after_s, struct str extra)
{
	struct reactor *r = c->reactor;
	char lines[256];
	struct writer w;
	writer_init(&w, lines, sizeof lines);
	if (retry_after_s) {
		write_lit(&w, "Retry-After: ");
		write_u64(&w, retry_after_s);
		write_lit(&w, "\r\n");
	}
	write_str(&w, extra);
	json_reset(&r->json);
	problem_write(&r->json, p, str_of(detail), false);
	client_reply(c, problem_status(p), "application/problem+json", (struct str){ lines, writer_len(&w) },
		json_str(&r->json));
}

/* ---- receiving ---- */

static bool memory_is_full(const struct client *c, size_t more)
{
	const struct budget *b = &c->reactor->budget;
	return b->memory_used + more > b->memory_max;
}

static int keep_early(struct client *c, const char *bytes, size_t n)
{
	struct early *e = &c->early;
	if (e->len + n > e->cap) {
		uint32_t cap = (uint32_t)(e->len + n);
		char *p = realloc(e->ptr, cap);
		if (!p)
			return -1;
		c->reactor->budget.memory_used += cap - e->cap;
		e->ptr = p;
		e->cap = cap;
	}
	memcpy(e->ptr + e->len, bytes, n);
	e->len += (uint32_t)n;
	if ((c->phase == CLIENT_WAITING || c->phase == CLIENT_ANSWERING) &&
		(e->len >= c->reactor->settings->max_head_bytes || memory_is_full(c, 0)))
		client_pause(c, true);
	return 0;
}

static void drop_early(struct client *c, size_t used)
{
	struct early *e = &c->early;
	e->len -= (uint32_t)used;
	if (e->len) {
		memmove(e->ptr, e->ptr + used, e->len);
		return;
	}
	c->reactor->budget.memory_used -= e->cap;
	free(e->ptr);
	*e = (struct early){ 0 };
}

static void run_early(struct client *c)
{
	c->processing = true;
	size_t used = client_take(c, c->early.ptr, c->early.len);
	c->processing = false;
	drop_early(c, used);
	if (c->peer_closed && c->phase <= CLIENT_BODY) /* what it lacks will not come */
		bury(c, false);
}

void client_is_last(struct client *c)
{
	c->keep_alive = false;
	if (c->exchange)
		c->exchange->keep_alive = false;
}

/* At limits.memory no further part of a head is kept. What comes behind a request that is under way is not
 * taken, and the connection ends with that one's answer, so that the client knows (RFC 9112 §9.3.2); what is
 * the beginning of another protocol cannot be left out. */
static void refuse_early(struct client *c)
{
	static const char detail[] = "as much is kept in memory as limits.memory allows";
	struct exchange *ex = c->exchange;
	c->reactor->budget.refused++;
	drop_early(c, c->early.len);
	if (c->phase == CLIENT_HEAD) {
		c->must_linger = true;
		client_problem(c, PROBLEM_OVERLOADED, detail, 1, (struct str){ NULL, 0 });
		return;
	}
	c->deaf = true;
	client_is_last(c);
	client_pause(c, true);
	if (ex && ex->upgrade && !ex->answering)
		exchange_problem(ex, PROBLEM_OVERLOADED, detail);
}

/* What cannot be taken yet. False when the connection is over, or will be after an answer. */
static bool keep_or_refuse(struct client *c, const char *bytes, size_t n)
{
	if (memory_is_full(c, n)) {
		refuse_early(c);
		return false;
	}
	if (keep_early(c, bytes, n) == 0)
		return true;
	bury(c, true);
	return false;
}

static void on_recv(struct io_stream *s, const char *bytes, size_t n)
{
	struct client *c = of(s);
	if (c->phase == CLIENT_LINGERING || c->deaf)
		return;
	if (c->early.len || c->phase == CLIENT_WAITING || c->phase == CLIENT_ANSWERING) {
		if (keep_or_refuse(c, bytes, n) && c->phase <= CLIENT_BODY)
			run_early(c);
		return;
	}
	c->processing = true;
	size_t used = client_take(c, bytes, n);
	c->processing = false;
	if (used < n && c->phase != CLIENT_DEAD && c->phase != CLIENT_LINGERING)
		(void)keep_or_refuse(c, bytes + used, n - used);
}

/* It sends no more: its last request is the one at hand, or one that came early. */
static void half_closed(struct client *c)
{
	c->peer_closed = true;
	if (!c->early.len)
		client_is_last(c);
}

static void on_eof(struct io_stream *s)
{
	struct client *c = of(s);
	bool waits = c->reactor->settings->half_close_waits;
	if (waits && (c->phase == CLIENT_WAITING || c->phase == CLIENT_ANSWERING))
		half_closed(c);
	else if (waits && c->phase == CLIENT_TUNNEL)
		tunnel_client_ended(c->exchange->upstream);
	else
		bury(c, false);
}

static void on_error(struct io_stream *s, int err)
{
	(void)err;
	bury(of(s), false);
}

/* ---- time-outs ---- */

/* Who waits for an answer or a 202 is never told that the queue is too slow. */
static uint64_t wait_is_over_us(const struct exchange *ex)
{
	const struct request *q = ex->request;
	return q->wait_until_us ? q->wait_until_us : q->queued_us + ex->route->settings->queue_max_wait_us;
}

void client_watch_wait(struct client *c)
{
	const struct exchange *ex = c->exchange;
	uint64_t due_us = wait_is_over_us(ex);
	uint64_t beat_us = c->reactor->io->now_us + (uint64_t)ex->request->heartbeat_s * 1000000;
	if (ex->request->heartbeat_s && beat_us < due_us)
		due_us = beat_us;
	io_timer_set(c->reactor->io, &c->timer, due_us);
}

/* The client takes nothing of what it is sent, or next to nothing. */
static void watch_outbox(struct client *c)
{
	const struct settings *s = c->reactor->settings;
	uint64_t now = taken(c), least = s->client_send_rate * s->client_send_us / 1000000;
	if (now - c->out->taken < (least ? least : 1)) {
		bury(c, true);
		return;
	}
	c->out->taken = now;
	client_set_timer(c, s->client_send_us);
}

static void waited(struct client *c)
{
	struct exchange *ex = c->exchange;
	if (c->out) {
		watch_outbox(c);
		return;
	}
	if (c->watch)
		watch_timer(c->watch);
	bool has_answer =
		ex && (ex->answering || ex->request->held); /* its head is here: it is passed on after all */
	if (ex && ex->request->wait_until_us && c->reactor->io->now_us >= ex->request->wait_until_us &&
		!has_answer) {
		api_wait_is_over(c);
		return;
	}
	if (!ex || ex->ticket.state != TICKET_WAITING)
		return;
	if (c->reactor->io->now_us >= wait_is_over_us(ex)) {
		exchange_problem(ex, PROBLEM_QUEUE_TIMEOUT, "no container became free within queue.max_wait");
		return;
	}
	if (ex->request->heartbeat_s)
		exchange_beat(ex);
	if (c->phase == CLIENT_WAITING && !c->out)
		client_watch_wait(c);
}

static void on_timer(struct io_timer *t)
{
	struct client *c = CONTAINER_OF(t, struct client, timer);
	switch ((enum client_phase)c->phase) {
	case CLIENT_IDLE:
	case CLIENT_LINGERING:
		bury(c, false);
		return;
	case CLIENT_HEAD:
		c->must_linger = true;
		client_problem(c, PROBLEM_REQUEST_TIMEOUT,
			"the request's head did not arrive within client_timeouts.head", 0,
			(struct str){ NULL, 0 });
		return;
	case CLIENT_BODY:
		if (c->admin)
			bury(c, false);
		else if (c->recv_paused)
			exchange_problem(c->exchange, PROBLEM_OVERLOADED,
				"the disk does not take the request's body within client_timeouts.body");
		else
			exchange_problem(c->exchange, PROBLEM_REQUEST_TIMEOUT,
				"no more of the request's body arrived within client_timeouts.body");
		return;
	case CLIENT_WAITING:
	case CLIENT_ANSWERING:
	case CLIENT_TUNNEL:
		waited(c);
		return;
	case CLIENT_DEAD:
		return;
	}
}

static const struct io_stream_ops client_ops = {
	.on_recv = on_recv,
	.on_eof = on_eof,
	.on_error = on_error,
	.on_writable = on_writable,
};
