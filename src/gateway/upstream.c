/* upstream: requests to containers and the answers from them.
 *
 *   CLOSED ──connect──▶ CONNECTING ──▶ IDLE ──ask──▶ HEAD ──▶ BODY ──last byte──▶ IDLE, or CLOSED
 *
 * An event ends in one of two ways: upstream_answered (the core's slot_answered) or upstream_failed
 * (slot_lost). Both let the next request out before anything else happens to the exchange at hand.
 */
#include "gateway/upstream.h"

#include "base/log.h"
#include "gateway/backend.h"
#include "gateway/exchange.h"
#include "gateway/reactor.h"
#include "gateway/tunnel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	UNPROVEN_IDLE_US = 2 * 1000 * 1000, /* a server that serves one connection at a time must not be kept
					       waiting by an idle one */
	PARTIAL_MAX = 64 * 1024,            /* longest head of an answer */
};

static const struct io_stream_ops upstream_ops;

enum { BOUNCES_MAX = 3 }; /* busy answers that are not passed on */

static struct reactor *reactor_of(const struct upstream *u)
{
	return u->backend->route->reactor;
}

static const struct pool_settings *settings_of(const struct upstream *u)
{
	return u->backend->route->settings;
}

static void forget_answer(struct upstream *u)
{
	free(u->partial);
	u->partial = NULL;
	u->partial_bytes = 0;
	u->sent_bytes = 0;
	u->sent_all = u->got_bytes = u->bounced = u->event_stream = u->zombie = u->overdue = false;
	u->probe = PROBE_NONE;
	u->status = 0;
	if (u->paused) {
		u->paused = false;
		if (io_is_open(&u->stream))
			io_recv_pause(reactor_of(u)->io, &u->stream, false);
	}
}

void upstream_close(struct upstream *u)
{
	io_close(reactor_of(u)->io, &u->stream);
	u->phase = UPSTREAM_CLOSED;
	u->proven = false;
	io_timer_stop(reactor_of(u)->io, &u->timer);
}

static struct exchange *detach(struct upstream *u)
{
	struct exchange *ex = u->exchange;
	u->exchange = NULL;
	if (ex)
		ex->upstream = NULL;
	return ex;
}

static int slot_loss_of(enum failure failure)
{
	switch (failure) {
	case FAILURE_UNDELIVERED:
		return LOSS_REFUSED;
	case FAILURE_STALE:
		return LOSS_STALE;
	case FAILURE_LOST:
	case FAILURE_BAD_ANSWER:
	case FAILURE_TIMEOUT:
		return LOSS_FAILED;
	}
	return LOSS_FAILED;
}

void upstream_failed(struct upstream *u, enum failure failure, const char *what)
{
	struct route *route = u->backend->route;
	enum container_state before = u->slot->container->state;
	if (what && before == CONTAINER_UP)
		log_warning("%s: %s", u->backend->settings.name, what);
	upstream_close(u);
	forget_answer(u);
	struct exchange *ex = detach(u);
	struct ticket *t =
		slot_lost(u->slot, (enum slot_loss)slot_loss_of(failure), reactor_of(u)->io->now_us);
	backend_note(u->backend, before);
	backend_retry_later(u->backend);
	if (t)
		exchange_failed(ex, failure); /* back in the queue, if it may be */
	else if (ex)
		exchange_bury(ex); /* an orphan */
	route_pump(route);
}

/* ---- asking ---- */

/* An event stream may last: only silence ends it. */
static void set_deadline(struct upstream *u, uint64_t after_us)
{
	struct reactor *r = reactor_of(u);
	uint64_t due = r->io->now_us + after_us, last = u->asked_us + settings_of(u)->timeouts.total_us;
	io_timer_set(r->io, &u->timer, due < last || u->event_stream ? due : last);
}

/* Slices of the request from sent_bytes on. 0: all is sent, or the rest is being read from its file
 * (*ret_waiting). */
static int request_slices(struct upstream *u, struct iovec *iov, int max, bool *ret_waiting)
{
	const struct exchange *ex = u->exchange;
	int n = 0;
	*ret_waiting = false;
	if (u->sent_bytes < ex->request_bytes)
		iov[n++] = (struct iovec){ ex->request + u->sent_bytes, ex->request_bytes - u->sent_bytes };
	if (!ex->body)
		return n;
	uint64_t at = u->sent_bytes > ex->request_bytes ? u->sent_bytes - ex->request_bytes : 0;
	if (at == ex->body->size)
		return n;
	int k = buffer_peek(ex->body, at, iov + n, max - n);
	if (k < 0)
		return k;
	*ret_waiting = k == 0;
	return n + k;
}

/* Sends what can be sent. 0, or -errno when the connection (or the spool file) is broken. */
static int send_request(struct upstream *u)
{
	for (;;) {
		struct iovec iov[8];
		bool waiting;
		int n = request_slices(u, iov, 8, &waiting);
		if (n <= 0) {
			u->sent_all = n == 0 && !waiting;
			return n;
		}
		size_t want = 0;
		for (int i = 0; i < n; i++)
			want += iov[i].iov_len;
		ssize_t sent = io_send(reactor_of(u)->io, &u->stream, iov, n);
		if (sent < 0)
			return (int)sent;
		u->sent_bytes += (uint64_t)sent;
		if ((size_t)sent < want)
			return 0; /* on_writable follows */
		if (!u->exchange->body) {
			u->sent_all = true;
			return 0;
		}
	}
}

/* A send that failed on a connection that had idled is as good as never sent; its error is dealt with in a
 * fresh event, for callers are in the middle of theirs. */
static void ask(struct upstream *u)
{
	struct reactor *r = reactor_of(u);
	u->phase = UPSTREAM_HEAD;
	u->asked_us = r->io->now_us;
	set_deadline(u, settings_of(u)->timeouts.first_byte_us);
	if (send_request(u) < 0) {
		u->got_bytes = false;
		io_timer_set(r->io, &u->timer, r->io->now_us); /* on_timer sees that nothing was sent */
		u->phase = UPSTREAM_CLOSED;
		io_close(r->io, &u->stream);
	}
}

static void start_connect(struct upstream *u)
{
	struct reactor *r = reactor_of(u);
	const struct container_settings *cs = &u->backend->settings;
	u->phase = UPSTREAM_CONNECTING;
	u->proven = false;
	u->asked_us = r->io->now_us;
	int err = io_connect(r->io, &u->stream, &cs->addr, &upstream_ops);
	if (err < 0) { /* likewise: in a fresh event */
		u->phase = UPSTREAM_CLOSED;
		io_timer_set(r->io, &u->timer, r->io->now_us);
		return;
	}
	io_timer_set(r->io, &u->timer, r->io->now_us + settings_of(u)->timeouts.connect_us);
}

void upstream_dispatch(struct upstream *u, struct exchange *ex)
{
	CHECK(!u->exchange);
	u->exchange = ex;
	ex->upstream = u;
	reactor_changed(reactor_of(u));
	if (u->slot->state == SLOT_BUSY)
		ask(u);
	else
		start_connect(u);
}

void upstream_connect(struct upstream *u)
{
	start_connect(u);
}

/* ---- answering ---- */

void upstream_answered(struct upstream *u, bool keep, struct answer_part *part)
{
	struct reactor *r = reactor_of(u);
	struct route *route = u->backend->route;
	struct exchange *ex = detach(u);
	enum container_state before = u->slot->container->state;
	keep = keep && u->sent_all;
	if (keep) {
		u->phase = UPSTREAM_IDLE;
		u->proven = true;
		io_timer_stop(r->io, &u->timer);
	} else {
		upstream_close(u);
	}
	if (u->slot->ticket)
		histogram_add(&route->metrics.service, r->io->now_us - u->asked_us);
	forget_answer(u);
	slot_answered(u->slot, keep, r->io->now_us);
	if (u->slot->state == SLOT_DOWN && u->phase == UPSTREAM_IDLE)
		upstream_close(u);
	backend_note(u->backend, before);
	route_pump(route); /* the slot's next request first … */
	if (ex)
		exchange_answer(ex, part); /* … then the answer to this one */
}

/* The container said busy, and all of that answer is in: the request goes elsewhere, the container rests. */
static void upstream_bounced(struct upstream *u)
{
	struct route *route = u->backend->route;
	enum container_state before = u->slot->container->state;
	struct exchange *ex = detach(u);
	upstream_close(u);
	forget_answer(u);
	(void)slot_bounced(u->slot, reactor_of(u)->io->now_us);
	backend_note(u->backend, before);
	backend_retry_later(u->backend);
	exchange_bounced(ex);
	route_pump(route);
}

/* All of the answer at hand is in. */
static void answer_ended(struct upstream *u, bool keep, struct answer_part *part)
{
	if (u->probe)
		upstream_probed(u, keep);
	else if (u->bounced && u->slot->ticket)
		upstream_bounced(u);
	else
		upstream_answered(u, keep, part);
}

/* Payload of bytes[0..n) into the part, as many slices as fit. Returns the bytes used; *ret_status as
 * http_body_feed's. */
static size_t take_body(struct upstream *u, const char *bytes, size_t n, struct answer_part *part,
	enum parse_status *ret_status)
{
	size_t used = 0;
	part->n_body = 0;
	part->body_bytes = 0;
	*ret_status = http_body_is_done(&u->body) ? PARSE_OK : PARSE_MORE;
	while (*ret_status == PARSE_MORE && used < n && part->n_body < PART_SLICES) {
		size_t k;
		struct str payload;
		*ret_status = http_body_feed(&u->body, bytes + used, n - used, &k, &payload);
		if (payload.len) {
			part->body[part->n_body++] =
				(struct iovec){ (char *)(uintptr_t)payload.ptr, payload.len };
			part->body_bytes += payload.len;
		}
		used += k;
	}
	return used;
}

/* Bytes of the body (and of nothing else: what follows an answer nobody asked for). head: with the first. */
static void take_answer(struct upstream *u, const struct http_head *head, const char *bytes, size_t n)
{
	struct answer_part part = { .head = head, .framing = u->body.framing };
	do {
		enum parse_status status;
		size_t used = take_body(u, bytes, n, &part, &status);
		bytes += used;
		n -= used;
		if (status == PARSE_BAD) {
			upstream_failed(u, FAILURE_BAD_ANSWER, "its answer's chunks are broken");
			return;
		}
		for (int i = 0; u->probe && i < part.n_body; i++)
			upstream_probe_body(u, part.body[i].iov_base, part.body[i].iov_len);
		if (status == PARSE_OK) {
			part.end = true;
			answer_ended(u, u->keep_alive && n == 0, &part);
			return;
		}
		if (u->exchange && !u->bounced && (part.head || part.body_bytes)) {
			exchange_answer(u->exchange, &part);
			part.head = NULL;
		}
	} while (n && u->phase == UPSTREAM_BODY);
}

static enum http_method asked_method(const struct upstream *u)
{
	return u->exchange ? (enum http_method)u->exchange->method : HTTP_GET;
}

/* The pool's own way of saying 'busy'; no other answer is taken for it. */
static bool says_busy(const struct upstream *u, const struct http_head *head)
{
	const struct pool_settings *ps = settings_of(u);
	return ps->busy_status && head->status == ps->busy_status &&
		(!ps->busy_header || http_field_named(head, str_of(ps->busy_header)));
}

/* Handles one head at the beginning of bytes[0..n). Returns the bytes used, 0 when more are needed or all is
 * over. */
static size_t take_head(struct upstream *u, const char *bytes, size_t n)
{
	struct http_head *head = &reactor_of(u)->answer_head;
	switch (http_parse_response(bytes, n, PARTIAL_MAX, asked_method(u), head)) {
	case PARSE_MORE:
		return 0;
	case PARSE_BAD:
		upstream_failed(u, FAILURE_BAD_ANSWER, parse_error_text(head->error));
		return 0;
	case PARSE_OK:
		break;
	}
	if (head->status == 101) {
		if (u->exchange && u->exchange->upgrade && !u->zombie)
			tunnel_start(u, head, bytes + head->bytes, n - head->bytes);
		else
			upstream_failed(
				u, FAILURE_BAD_ANSWER, "it switches protocols without being asked to");
		return 0;
	}
	if (head->status < 200)
		return head->bytes; /* 100 and 103 are between the container and Berth */
	http_body_init(&u->body, head);
	u->keep_alive = head->keep_alive;
	u->status = head->status;
	u->phase = UPSTREAM_BODY;
	u->bounced = u->exchange && says_busy(u, head) && u->exchange->bounces < BOUNCES_MAX;
	u->event_stream = http_is_event_stream(head);
	take_answer(u, head, bytes + head->bytes, n - head->bytes);
	return 0;
}

/* Keeps the beginning of a head. */
static int keep_partial(struct upstream *u, const char *bytes, size_t n)
{
	char *p = realloc(u->partial, u->partial_bytes + n);
	if (!p)
		return -ENOMEM;
	memcpy(p + u->partial_bytes, bytes, n);
	u->partial = p;
	u->partial_bytes += (uint32_t)n;
	return 0;
}

static void receive_head(struct upstream *u, const char *bytes, size_t n)
{
	char *joined = NULL;
	if (u->partial) {
		if (keep_partial(u, bytes, n) < 0) {
			upstream_failed(u, FAILURE_LOST, "out of memory for its answer");
			return;
		}
		joined = u->partial;
		bytes = joined;
		n = u->partial_bytes;
		u->partial = NULL; /* the answer's end may come, and with it the next request */
		u->partial_bytes = 0;
	}
	size_t used;
	while (u->phase == UPSTREAM_HEAD && n && (used = take_head(u, bytes, n)) > 0) {
		bytes += used;
		n -= used;
	}
	if (u->phase == UPSTREAM_HEAD && n && u->got_bytes && !u->partial && keep_partial(u, bytes, n) < 0)
		upstream_failed(u, FAILURE_LOST, "out of memory for its answer");
	free(joined);
}

static struct upstream *of(struct io_stream *s)
{
	return CONTAINER_OF(s, struct upstream, stream);
}

/* An idle connection has ended: is the container still there? A zombie's is only between two idle probes. */
static void idle_ended(struct upstream *u)
{
	upstream_close(u);
	if (u->slot->state == SLOT_ZOMBIE) {
		upstream_ask_again(u);
		return;
	}
	slot_disconnected(u->slot);
	backend_check_soon(u->backend);
}

static void on_recv(struct io_stream *s, const char *bytes, size_t n)
{
	struct upstream *u = of(s);
	switch (u->phase) {
	case UPSTREAM_HEAD:
		u->got_bytes = true;
		receive_head(u, bytes, n);
		break;
	case UPSTREAM_BODY:
		take_answer(u, NULL, bytes, n);
		break;
	case UPSTREAM_TUNNEL:
		tunnel_from_upstream(u, bytes, n);
		return;
	case UPSTREAM_IDLE: /* an answer to nothing */
		log_warning("%s: sent bytes that nobody asked for", u->backend->settings.name);
		idle_ended(u);
		return;
	case UPSTREAM_CLOSED:
	case UPSTREAM_CONNECTING:
		CHECK(!"bytes without a connection");
	}
	if ((u->phase == UPSTREAM_HEAD || u->phase == UPSTREAM_BODY) && u->got_bytes && !u->zombie &&
		!u->probe)
		set_deadline(u, settings_of(u)->timeouts.idle_us);
}

static void ended(struct upstream *u, const char *how)
{
	switch (u->phase) {
	case UPSTREAM_IDLE:
		idle_ended(u);
		return;
	case UPSTREAM_CONNECTING: /* also a zombie's: who does not listen runs nothing */
		upstream_failed(u, FAILURE_UNDELIVERED, how);
		return;
	case UPSTREAM_HEAD:
	case UPSTREAM_BODY:
		if (u->probe && u->slot->state == SLOT_ZOMBIE) { /* a probe is no proof */
			upstream_close(u);
			upstream_ask_again(u);
		} else if (u->proven && !u->got_bytes) {
			upstream_failed(u, FAILURE_STALE, NULL);
		} else {
			upstream_failed(u, FAILURE_LOST, how);
		}
		return;
	case UPSTREAM_TUNNEL:
		tunnel_end(u);
		return;
	case UPSTREAM_CLOSED:
		return;
	}
}

static void on_eof(struct io_stream *s)
{
	struct upstream *u = of(s);
	if (u->phase == UPSTREAM_BODY && u->body.framing == FRAMING_CLOSE) {
		struct answer_part part = { .framing = FRAMING_CLOSE, .end = true };
		answer_ended(u, false, &part);
		return;
	}
	ended(u, "closed the connection in the middle of a request");
}

static void on_error(struct io_stream *s, int err)
{
	ended(of(s),
		of(s)->phase == UPSTREAM_CONNECTING ? strerror(-err)
						    : "the connection broke in the middle of a request");
}

static void on_writable(struct io_stream *s)
{
	struct upstream *u = of(s);
	if (u->phase == UPSTREAM_TUNNEL)
		tunnel_upstream_writable(u);
	else if (u->exchange && !u->sent_all && send_request(u) < 0)
		ended(u, "the connection broke while the request was sent");
}

static bool is_probed_first(const struct pool_settings *ps)
{
	return ps->health.path || ps->idle_probe.path;
}

static void on_connect(struct io_stream *s)
{
	struct upstream *u = of(s);
	struct reactor *r = reactor_of(u);
	const struct pool_settings *ps = settings_of(u);
	enum container_state before = u->slot->container->state;
	u->phase = UPSTREAM_IDLE;
	if (u->slot->state == SLOT_ZOMBIE) {
		upstream_probe(u, PROBE_IDLE);
		return;
	}
	slot_connected(u->slot, is_probed_first(ps), r->io->now_us);
	io_timer_set(r->io, &u->timer, r->io->now_us + UNPROVEN_IDLE_US);
	if (u->slot->ticket)
		ask(u);
	else if (u->slot->probing)
		upstream_probe(u, before != CONTAINER_UP && ps->idle_probe.path ? PROBE_IDLE : PROBE_HEALTH);
	backend_note(u->backend, before);
	route_pump(u->backend->route);
}

/* A connect or a send that failed at once. */
static void closed_timer(struct upstream *u)
{
	switch (u->slot->state) {
	case SLOT_CONNECTING:
		upstream_failed(u, FAILURE_UNDELIVERED, "cannot be connected");
		return;
	case SLOT_BUSY:
		upstream_failed(u, FAILURE_STALE, NULL);
		return;
	case SLOT_ZOMBIE:
		if (settings_of(u)->idle_probe.path)
			start_connect(u);
		if (u->phase == UPSTREAM_CLOSED)
			upstream_failed(u, FAILURE_UNDELIVERED, "cannot be connected");
		return;
	case SLOT_FREE:
	case SLOT_DOWN:
	case SLOT_STATES:
		return;
	}
}

static void idle_timer(struct upstream *u)
{
	if (u->slot->state == SLOT_ZOMBIE) {
		upstream_probe(u, PROBE_IDLE);
	} else if (!u->proven) {
		upstream_close(u);
		slot_disconnected(u->slot);
	}
}

static void too_slow(struct upstream *u)
{
	bool whole = reactor_of(u)->io->now_us >= u->asked_us + settings_of(u)->timeouts.total_us &&
		!u->event_stream;
	enum container_state before = u->slot->container->state;
	const char *detail = whole ? "the answer is not complete (timeouts.total is over)"
		: u->phase == UPSTREAM_HEAD
		? "the container has not begun to answer (timeouts.first_byte is over)"
		: "the container has stopped in the middle of its answer (timeouts.idle is over)";
	if (!u->exchange)
		return;
	exchange_problem(u->exchange, PROBLEM_UPSTREAM_TIMEOUT, detail); /* and the slot is a zombie's */
	container_failed(u->slot->container, reactor_of(u)->io->now_us);
	backend_note(u->backend, before);
}

static void on_timer(struct io_timer *t)
{
	struct upstream *u = CONTAINER_OF(t, struct upstream, timer);
	switch (u->phase) {
	case UPSTREAM_CLOSED:
		closed_timer(u);
		return;
	case UPSTREAM_IDLE:
		idle_timer(u);
		return;
	case UPSTREAM_CONNECTING:
		upstream_failed(
			u, FAILURE_UNDELIVERED, "does not accept connections (timeouts.connect is over)");
		return;
	case UPSTREAM_TUNNEL:
		tunnel_end(u);
		return;
	case UPSTREAM_HEAD:
	case UPSTREAM_BODY:
		break;
	}
	if (u->zombie) {
		upstream_ask_again(u);
	} else if (u->probe) {
		upstream_failed(
			u, FAILURE_TIMEOUT, "its health check is not answered (health.timeout is over)");
	} else {
		too_slow(u);
	}
}

void upstream_give_up(struct upstream *u)
{
	struct reactor *r = reactor_of(u);
	const struct pool_settings *ps = settings_of(u);
	reactor_changed(r);
	if (u->phase == UPSTREAM_CONNECTING || u->phase == UPSTREAM_CLOSED) { /* nothing was sent */
		exchange_bury(detach(u));
		return;
	}
	if (u->phase == UPSTREAM_TUNNEL) {
		tunnel_end(u);
		return;
	}
	upstream_resume(u);
	u->zombie = true;
	u->zombie_us = r->io->now_us + ps->zombie_timeout_us;
	if (ps->on_leave == LEAVE_CLOSE && ps->idle_probe.path) {
		exchange_bury(detach(u));
		upstream_close(u);
		free(u->partial);
		u->partial = NULL;
		u->partial_bytes = 0;
		u->ask_again_us = 0;
		upstream_ask_again(u);
	} else {
		io_timer_set(r->io, &u->timer, u->zombie_us);
	}
}

void upstream_pause(struct upstream *u)
{
	if (u->paused || (u->phase != UPSTREAM_BODY && u->phase != UPSTREAM_TUNNEL))
		return;
	u->paused = true;
	io_recv_pause(reactor_of(u)->io, &u->stream, true);
}

void upstream_resume(struct upstream *u)
{
	if (!u->paused)
		return;
	u->paused = false;
	io_recv_pause(reactor_of(u)->io, &u->stream, false);
}

void upstream_send_more(struct upstream *u)
{
	if ((u->phase == UPSTREAM_HEAD || u->phase == UPSTREAM_BODY) && !u->sent_all && send_request(u) < 0)
		ended(u, "the connection broke while the request was sent");
}

static const struct io_stream_ops upstream_ops = {
	.on_recv = on_recv,
	.on_eof = on_eof,
	.on_error = on_error,
	.on_writable = on_writable,
	.on_connect = on_connect,
};

void upstream_init(struct upstream *u, struct backend *b, struct slot *s)
{
	*u = (struct upstream){ .stream = { .fd = -1 }, .backend = b, .slot = s };
	u->timer.on_timer = on_timer;
}

void upstream_finish(struct upstream *u)
{
	tunnel_free(u);
	upstream_close(u);
	forget_answer(u);
	if (u->exchange)
		exchange_bury(detach(u));
}
