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
	STALE_US = 10 * 1000,               /* a request's way to its container and the news back */
};

static struct reactor *reactor_of(const struct upstream *u)
{
	return u->backend->route->reactor;
}

static const struct pool_settings *settings_of(const struct upstream *u)
{
	return u->backend->route->settings;
}

void upstream_forget(struct upstream *u)
{
	free(u->partial);
	u->partial = NULL;
	u->partial_bytes = 0;
	u->sent_bytes = 0;
	u->sent_all = u->got_bytes = u->bounced = u->event_stream = u->zombie = u->overdue = false;
	u->probe = PROBE_NONE;
	u->rules = NULL;
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
	tunnel_free(u);
	u->phase = UPSTREAM_CLOSED;
	u->proven = false;
	u->send_err = 0;
	io_timer_stop(reactor_of(u)->io, &u->timer);
}

struct exchange *upstream_detach(struct upstream *u)
{
	struct exchange *ex = u->exchange;
	u->exchange = NULL;
	if (ex)
		ex->upstream = NULL;
	return ex;
}

static enum slot_loss slot_loss_of(enum failure failure)
{
	switch (failure) {
	case FAILURE_UNDELIVERED:
	case FAILURE_UNCONNECTED:
		return LOSS_REFUSED;
	case FAILURE_STALE:
		return LOSS_STALE;
	case FAILURE_SILENT:
		return LOSS_SILENT;
	case FAILURE_LOST:
	case FAILURE_BAD_ANSWER:
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
	upstream_forget(u);
	struct exchange *ex = upstream_detach(u);
	struct ticket *t = slot_lost(u->slot, slot_loss_of(failure), reactor_of(u)->io->now_us);
	backend_note(u->backend, before);
	backend_retry_later(u->backend);
	if (t)
		exchange_failed(ex, failure); /* back in the queue, if it may be */
	else if (ex)
		exchange_bury(ex); /* an orphan */
	route_pump(route);
}

static struct upstream *of(struct io_stream *s)
{
	return CONTAINER_OF(s, struct upstream, stream);
}

/* An idle connection has ended: is the container still there? A zombie's is only between two idle probes. */
static void idle_ended(struct upstream *u)
{
	if (u->exchange) { /* it waited to be sent */
		upstream_failed(u, FAILURE_STALE, NULL);
		return;
	}
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
		upstream_take_head(u, bytes, n);
		break;
	case UPSTREAM_BODY:
		upstream_take_body(u, NULL, bytes, n);
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
		CHECK(u->phase == UPSTREAM_HEAD); /* bytes without a connection */
	}
	if (u->phase == UPSTREAM_BODY && !u->zombie && !u->probe)
		upstream_set_deadline(u, settings_of(u)->timeouts.idle_us);
}

/* A kept-alive connection that the container was closing while the request was on its way to it. Later than
 * that, it may have begun to act on the request. */
static bool is_stale(const struct upstream *u)
{
	return u->proven && !u->got_bytes && u->phase == UPSTREAM_HEAD &&
		reactor_of(u)->io->now_us - u->asked_us <= STALE_US;
}

/* Neither the container nor its machine has ended the connection: nobody is known to have stopped. */
static bool is_silent(int err)
{
	return err && err != -ECONNRESET && err != -EPIPE;
}

void upstream_ended(struct upstream *u, int err, const char *how)
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
		} else if (is_silent(err)) {
			upstream_failed(u, FAILURE_SILENT, how);
		} else if (is_stale(u) || (u->probe && u->overdue)) { /* or counted already */
			upstream_failed(u, FAILURE_STALE, NULL);
		} else {
			upstream_failed(u, FAILURE_LOST, how);
		}
		return;
	case UPSTREAM_TUNNEL:
		if (is_silent(err))
			upstream_failed(u, FAILURE_SILENT, how);
		else
			tunnel_end(u);
		return;
	case UPSTREAM_CLOSED:
		return;
	}
}

/* After a reset that the sending has met, an EOF tells of the reset, before which part of the answer may have
 * been lost; -EPIPE means that the container's own end has come. */
static void on_eof(struct io_stream *s)
{
	struct upstream *u = of(s);
	if (u->phase == UPSTREAM_BODY && u->body.framing == FRAMING_CLOSE && u->send_err != -ECONNRESET) {
		struct answer_part part = { .framing = FRAMING_CLOSE, .end = true };
		upstream_answer_ended(u, false, &part);
		return;
	}
	upstream_ended(u, 0, "closed the connection in the middle of a request");
}

static void on_error(struct io_stream *s, int err)
{
	upstream_ended(of(s), err,
		of(s)->phase == UPSTREAM_CONNECTING ? strerror(-err)
						    : "the connection broke in the middle of a request");
}

static void on_writable(struct io_stream *s)
{
	struct upstream *u = of(s);
	if (u->phase == UPSTREAM_TUNNEL)
		tunnel_upstream_writable(u);
	else
		upstream_send_more(u);
}

static bool is_probed_first(const struct pool_settings *ps, enum container_state before)
{
	return ps->health.path || (ps->idle_probe.path && before != CONTAINER_UP);
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
	slot_connected(u->slot, is_probed_first(ps, before), r->io->now_us);
	if (u->slot->state == SLOT_DOWN) {
		upstream_close(u);
		return;
	}
	io_timer_set(r->io, &u->timer, r->io->now_us + UNPROVEN_IDLE_US);
	if (u->slot->ticket)
		upstream_ask(u);
	else if (u->slot->probing)
		upstream_probe(u, before != CONTAINER_UP && ps->idle_probe.path ? PROBE_IDLE : PROBE_HEALTH);
	backend_note(u->backend, before);
	route_pump(u->backend->route);
}

/* Who does not listen runs nothing; that Berth has no descriptor left, or no port, says nothing. */
static void connect_to_ask(struct upstream *u)
{
	int err = upstream_may_ask(u) ? upstream_connect(u) : 0;
	if (err == -ECONNREFUSED || err == -ENOENT) /* the latter of a unix socket */
		upstream_failed(u, FAILURE_UNDELIVERED, "cannot be connected");
	else if (err < 0)
		upstream_ask_again(u);
	else if (u->phase == UPSTREAM_CLOSED)
		upstream_failed(u, FAILURE_STALE, NULL);
}

/* A connect or a send that failed at once. */
static void closed_timer(struct upstream *u)
{
	switch (u->slot->state) {
	case SLOT_CONNECTING:
		if (!upstream_hindered(u, u->connect_err))
			upstream_failed(u, FAILURE_UNDELIVERED, strerror(-u->connect_err));
		return;
	case SLOT_BUSY:
		if (upstream_request_is_lost(u))
			upstream_request_lost(u);
		else
			upstream_failed(u, FAILURE_STALE, NULL);
		return;
	case SLOT_ZOMBIE:
		connect_to_ask(u);
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
	if (u->paused && !whole) { /* it is the client that is slow, and watched for it */
		upstream_set_deadline(u, settings_of(u)->timeouts.idle_us);
		return;
	}
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
			u, FAILURE_UNCONNECTED, "does not accept connections (timeouts.connect is over)");
		return;
	case UPSTREAM_TUNNEL:
		tunnel_timer(u);
		return;
	case UPSTREAM_HEAD:
	case UPSTREAM_BODY:
		break;
	}
	if (u->zombie) {
		upstream_ask_again(u);
	} else if (u->probe) {
		upstream_check_late(u);
	} else if (u->send_err && u->phase == UPSTREAM_HEAD) {
		upstream_ended(u, u->send_err, "takes no more of its request and does not answer");
	} else {
		too_slow(u);
	}
}

static void become_zombie(struct upstream *u)
{
	u->zombie = true;
	u->zombie_us = reactor_of(u)->io->now_us + settings_of(u)->zombie_timeout_us;
}

void upstream_break_off(struct upstream *u)
{
	struct exchange *ex = upstream_detach(u);
	if (ex)
		exchange_bury(ex);
	if (!u->zombie)
		become_zombie(u);
	upstream_close(u);
	free(u->partial);
	u->partial = NULL;
	u->partial_bytes = 0;
	u->ask_again_us = 0;
	upstream_ask_again(u);
}

struct exchange *upstream_give_back(struct upstream *u)
{
	struct exchange *ex = upstream_detach(u);
	if (u->phase != UPSTREAM_IDLE) {
		if (u->slot->state == SLOT_ZOMBIE)
			become_zombie(u);
		return ex;
	}
	enum container_state before = u->slot->container->state;
	slot_answered(u->slot, true, reactor_of(u)->io->now_us);
	if (u->slot->state == SLOT_DOWN) /* its container has left service meanwhile */
		upstream_close(u);
	backend_note(u->backend, before);
	return ex;
}

void upstream_give_up(struct upstream *u)
{
	struct reactor *r = reactor_of(u);
	const struct pool_settings *ps = settings_of(u);
	reactor_changed(r);
	u->rules = ps;
	if (u->phase == UPSTREAM_CONNECTING || u->phase == UPSTREAM_CLOSED ||
		u->phase == UPSTREAM_IDLE) { /* nothing was sent, or in vain */
		exchange_bury(upstream_give_back(u));
		route_pump(u->backend->route);
		return;
	}
	upstream_resume(u);
	become_zombie(u);
	io_timer_set(r->io, &u->timer, u->zombie_us);
	if (ps->on_leave == LEAVE_CLOSE && ps->idle_probe.path)
		upstream_break_off(u);
	else if (u->phase == UPSTREAM_TUNNEL)
		tunnel_give_up(u);
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

const struct io_stream_ops upstream_stream_ops = {
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
	upstream_close(u);
	upstream_forget(u);
	if (u->exchange)
		exchange_bury(upstream_detach(u));
}
