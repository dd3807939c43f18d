/* conn: a client's connection.
 *
 *           head, to the model     body, slot       end of turn              end of turn
 *   HEAD ─────────────────▶ BODY ────▶ [DELAY ▶] READY ───┬──▶ RUNNING ──┬──▶ DONE ──┐
 *    ▲ │                      │                     │      └── inline ────┘           │
 *    │ │ answered at once     │ refused             └ the client leaves ▶ LEFT ▶ CLOSED
 *    │ ▼                      ▼                                                       ▼
 *    ├─────────────────── the answer is taken ◀── SENDING ◀────────── the answer is sent
 *    └── DRAINING ◀───────────┤ part of a refused body is still to come
 *                             └──▶ LINGERING ──▶ CLOSED
 */
#include "worker/worker.h"

#include <stdio.h>
#include <stdlib.h>

#define S(state) (1u << (state))

/* Where each state may go; CLOSED is open to all but RUNNING, which has a thread at work. */
static const unsigned moves[CONN_STATES] = {
	[CONN_HEAD] = S(CONN_BODY) | S(CONN_SENDING),
	[CONN_BODY] = S(CONN_DELAY) | S(CONN_READY) | S(CONN_SENDING),
	[CONN_DELAY] = S(CONN_READY),
	[CONN_READY] = S(CONN_RUNNING) | S(CONN_DONE),
	[CONN_RUNNING] = S(CONN_DONE) | S(CONN_LEFT),
	[CONN_DONE] = S(CONN_SENDING),
	[CONN_LEFT] = 0,
	[CONN_SENDING] = S(CONN_HEAD) | S(CONN_DRAINING) | S(CONN_LINGERING),
	[CONN_DRAINING] = S(CONN_HEAD) | S(CONN_SENDING),
	[CONN_LINGERING] = 0,
	[CONN_CLOSED] = 0,
};

static struct conn *of_stream(struct io_stream *s)
{
	return CONTAINER_OF(s, struct conn, stream);
}

void conn_set_state(struct conn *c, enum conn_state state)
{
	struct worker *w = c->worker;
	if (state == CONN_CLOSED)
		CHECK(c->state != CONN_RUNNING && c->state != CONN_CLOSED && !c->slot);
	else
		CHECK(moves[c->state] & S(state));
	if (c->timer.due_us)
		io_timer_stop(w->io, &c->timer);
	list_remove(&w->conns[c->state], &c->node);
	c->state = state;
	list_push_back(&w->conns[state], &c->node);
}

void conn_close(struct conn *c)
{
	io_close(c->worker->io, &c->stream);
	if (c->state != CONN_CLOSED)
		conn_set_state(c, CONN_CLOSED);
}

/* ---- time-outs ---- */

static void on_timer(struct io_timer *t)
{
	struct conn *c = CONTAINER_OF(t, struct conn, timer);
	switch (c->state) {
	case CONN_HEAD:
		c->keep_alive = false;
		c->route = ROUTE_NONE;
		answer_refuse(c, PROBLEM_REQUEST_TIMEOUT, "", "the request's head did not come within %d s",
			HEAD_TIMEOUT_US / 1000000);
		return;
	case CONN_BODY:
	case CONN_DELAY:
		exchange_on_timer(c);
		return;
	case CONN_SENDING:
	case CONN_DRAINING:
	case CONN_LINGERING:
		conn_close(c);
		return;
	case CONN_READY:
	case CONN_RUNNING:
	case CONN_DONE:
	case CONN_LEFT:
	case CONN_CLOSED:
	case CONN_STATES:
		break;
	}
	CHECK(false); /* these states set no timer */
}

/* ---- receiving ---- */

static void refuse_head(struct conn *c, const struct http_head *head)
{
	enum problem problem = PROBLEM_BAD_REQUEST;
	switch (parse_error_status(head->error)) {
	case 431:
		problem = PROBLEM_HEAD_TOO_LARGE;
		break;
	case 501:
		problem = PROBLEM_NOT_IMPLEMENTED;
		break;
	case 505:
		problem = PROBLEM_VERSION;
		break;
	default:
		break;
	}
	c->keep_alive = false;
	c->head_only = false;
	c->route = ROUTE_NONE;
	c->framing = (struct http_body){ .framing = FRAMING_CLOSE };
	answer_refuse(c, problem, "", "%s", parse_error_text(head->error));
}

static void begin_request(struct conn *c, const struct http_head *head, bool more)
{
	const struct model *m = c->worker->model;
	http_body_init(&c->framing, head);
	c->keep_alive = head->keep_alive && !c->worker->stopping;
	c->head_only = head->method == HTTP_HEAD;
	c->http10 = head->minor_version == 0;
	c->may_continue = head->expect_continue && !more;
	c->route = route_find(head->path, m->name, m->version);
	struct str allow = route_allow(c->route);
	if (head->expect_other) {
		answer_refuse(c, PROBLEM_EXPECTATION, "", "no expectation but 100-continue can be met");
	} else if (c->route == ROUTE_V2_NO_MODEL) {
		answer_refuse(c, PROBLEM_NOT_FOUND, "",
			"no such model or version here: it is \"%s\", version \"%s\"", m->name, m->version);
	} else if (!allow.ptr) {
		answer_refuse(c, PROBLEM_NOT_FOUND, "",
			"no such path: there are /run_model, /v2, /health, /berth/idle and /metrics");
	} else if (!route_takes(c->route, head->method)) {
		char field[64];
		snprintf(field, sizeof field, "Allow: " STR_FMT "\r\n", STR_ARG(allow));
		answer_refuse(
			c, PROBLEM_METHOD_NOT_ALLOWED, field, "this path takes " STR_FMT, STR_ARG(allow));
	} else if (route_runs_model(c->route)) {
		exchange_begin(c, head, more);
	} else {
		info_answer(c);
	}
}

/* Returns the head's bytes, 0 while it is not whole. */
static size_t take_head(struct conn *c, struct str in)
{
	struct worker *w = c->worker;
	struct http_head *head = &w->parsed;
	switch (http_parse_request(in.ptr, in.len, HEAD_MAX_BYTES, head)) {
	case PARSE_OK:
		break;
	case PARSE_MORE:
		if (!c->timer.due_us)
			io_timer_set(w->io, &c->timer, w->io->now_us + HEAD_TIMEOUT_US);
		return 0;
	case PARSE_BAD:
		refuse_head(c, head);
		return in.len;
	}
	size_t bytes = head->bytes;
	begin_request(c, head, in.len > bytes);
	return bytes;
}

static size_t drain(struct conn *c, struct str in)
{
	struct worker *w = c->worker;
	struct str payload;
	size_t used;
	switch (http_body_feed(&c->framing, in.ptr, in.len, &used, &payload)) {
	case PARSE_OK:
		conn_set_state(c, CONN_HEAD);
		return used;
	case PARSE_MORE:
		io_timer_set(w->io, &c->timer, w->io->now_us + BODY_TIMEOUT_US);
		return used;
	case PARSE_BAD:
		break;
	}
	conn_close(c);
	return in.len;
}

/* Returns what has to wait: part of a head, or what follows a request that is not answered yet. */
static struct str take(struct conn *c, struct str in)
{
	while (in.len) {
		size_t used = 0;
		switch (c->state) {
		case CONN_HEAD:
			used = take_head(c, in);
			break;
		case CONN_BODY:
			used = exchange_body(c, in);
			break;
		case CONN_DRAINING:
			used = drain(c, in);
			break;
		case CONN_LINGERING:
		case CONN_CLOSED:
			return (struct str){ in.ptr, 0 };
		case CONN_DELAY:
		case CONN_READY:
		case CONN_RUNNING:
		case CONN_DONE:
		case CONN_LEFT:
		case CONN_SENDING:
		case CONN_STATES:
			return in;
		}
		if (used == 0 && c->state == CONN_HEAD)
			return in;
		in = str_skip(in, used);
	}
	return in;
}

static void pause_when_full(struct conn *c)
{
	bool full = c->state != CONN_HEAD && c->in.len > HEAD_MAX_BYTES;
	if (full == c->paused || !io_is_open(&c->stream))
		return;
	c->paused = full;
	io_recv_pause(c->worker->io, &c->stream, full);
}

void conn_resume(struct conn *c)
{
	if (c->in.len) {
		struct str rest = take(c, buffer_str(&c->in));
		buffer_consume(&c->in, c->in.len - rest.len);
	}
	pause_when_full(c);
}

static char *room(struct io_stream *s, size_t *ret_bytes)
{
	return exchange_room(of_stream(s), ret_bytes);
}

static void on_recv(struct io_stream *s, const char *bytes, size_t n)
{
	struct conn *c = of_stream(s);
	struct str in = { bytes, n };
	if (c->in.len == 0)
		in = take(c, in);
	if (in.len && !buffer_append(&c->in, in)) {
		exchange_left(c);
		return;
	}
	if (c->in.len > in.len)
		conn_resume(c);
	else
		pause_when_full(c);
}

static void on_eof(struct io_stream *s)
{
	struct conn *c = of_stream(s);
	if (c->state == CONN_SENDING)
		c->keep_alive = false; /* it has its answer on the way */
	else
		exchange_left(c);
}

static void on_error(struct io_stream *s, int err)
{
	exchange_left(of_stream(s));
}

static void on_writable(struct io_stream *s)
{
	struct conn *c = of_stream(s);
	answer_go_on(c);
	conn_resume(c);
}

const struct io_stream_ops conn_ops = {
	.room = room,
	.on_recv = on_recv,
	.on_eof = on_eof,
	.on_error = on_error,
	.on_writable = on_writable,
};

/* ---- birth and death ---- */

struct conn *conn_create(struct worker *w)
{
	struct conn *c = calloc(1, sizeof *c);
	if (!c)
		return NULL;
	c->worker = w;
	c->state = CONN_HEAD;
	c->stream.fd = -1;
	c->timer.on_timer = on_timer;
	job_init(&c->job);
	list_push_back(&w->conns[CONN_HEAD], &c->node);
	return c;
}

void conn_free_closed(struct worker *w)
{
	struct list_node *node;
	while ((node = list_pop_front(&w->conns[CONN_CLOSED]))) {
		struct conn *c = CONTAINER_OF(node, struct conn, node);
		buffer_finish(&c->in);
		buffer_finish(&c->body);
		job_finish(&c->job);
		free(c);
	}
}
