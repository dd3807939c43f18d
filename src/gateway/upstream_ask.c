/* upstream_ask: connects to containers, and sends them requests. */
#include "base/log.h"
#include "gateway/backend.h"
#include "gateway/exchange.h"
#include "gateway/reactor.h"
#include "gateway/upstream.h"

#include <errno.h>
#include <string.h>

enum {
	LAST_WORD_US = 1000 * 1000, /* for the answer of a container that takes no more of its request */
	LACK_TOLD_US = 10 * 1000 * 1000
};

static struct reactor *reactor_of(const struct upstream *u)
{
	return u->backend->route->reactor;
}

static const struct pool_settings *settings_of(const struct upstream *u)
{
	return u->backend->route->settings;
}

/* An event stream may last: only silence ends it. */
void upstream_set_deadline(struct upstream *u, uint64_t after_us)
{
	struct reactor *r = reactor_of(u);
	uint64_t due = r->io->now_us + after_us, last = u->asked_us + settings_of(u)->timeouts.total_us;
	io_timer_set(r->io, &u->timer, due < last || u->event_stream ? due : last);
}

/* Slices of the request from sent_bytes on. 0: all is sent, or the rest is being read from its file
 * (*ret_waiting). */
static int request_slices(struct upstream *u, struct iovec *iov, int max, bool *ret_waiting)
{
	struct request *q = u->exchange->request;
	int n = 0;
	*ret_waiting = false;
	if (u->sent_bytes < q->bytes)
		iov[n++] = (struct iovec){ q->text + u->sent_bytes, q->bytes - u->sent_bytes };
	if (!q->body)
		return n;
	uint64_t at = u->sent_bytes > q->bytes ? u->sent_bytes - q->bytes : 0;
	if (at == q->body->size)
		return n;
	int k = buffer_peek(q->body, at, iov + n, max - n);
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
		if (!u->exchange->request->body) {
			u->sent_all = true;
			return 0;
		}
	}
}

/* A container may answer before it has read all of a request (413, 401), and close: the reset overtakes what
 * it has sent, which is still received, and then the end. True: that decides, in later turns. */
static bool is_left_to_the_answer(struct upstream *u, int err)
{
	struct io *io = reactor_of(u)->io;
	uint64_t due_us = io->now_us + LAST_WORD_US;
	if (!u->sent_bytes || (err != -ECONNRESET && err != -EPIPE) || upstream_request_is_lost(u))
		return false;
	u->send_err = err;
	if (u->phase == UPSTREAM_HEAD && !u->zombie && due_us < u->timer.due_us)
		io_timer_set(io, &u->timer, due_us);
	return true;
}

/* A send that failed on a connection that had idled is as good as never sent; its error is dealt with in a
 * fresh event, for callers are in the middle of theirs. */
void upstream_ask(struct upstream *u)
{
	struct reactor *r = reactor_of(u);
	if (u->exchange->claiming) { /* upstream_claimed comes */
		u->phase = UPSTREAM_IDLE;
		io_timer_stop(r->io, &u->timer);
		return;
	}
	u->phase = UPSTREAM_HEAD;
	u->asked_us = r->io->now_us;
	upstream_set_deadline(u, settings_of(u)->timeouts.first_byte_us);
	int err = send_request(u);
	if (err < 0 && !is_left_to_the_answer(u, err)) {
		u->got_bytes = false;
		io_timer_set(r->io, &u->timer, r->io->now_us); /* on_timer sees that nothing was sent */
		u->phase = UPSTREAM_CLOSED;
		io_close(r->io, &u->stream);
	}
}

/* By the socket on this machine, or where that does not take connections, by the address. */
static int connect_to(struct io *io, struct upstream *u, const struct container_settings *cs)
{
	if (cs->near.len && io_connect(io, &u->stream, &cs->near, &upstream_stream_ops) == 0)
		return 0;
	return io_connect(io, &u->stream, &cs->addr, &upstream_stream_ops);
}

/* One line in LACK_TOLD_US, for all connections fail of the same cause. */
static void tell_lack(struct upstream *u, int err)
{
	struct reactor *r = reactor_of(u);
	if (r->lack_told_us && r->io->now_us < r->lack_told_us + LACK_TOLD_US)
		return;
	r->lack_told_us = r->io->now_us;
	log_warning("%s: cannot be connected for now: %s (%s)", u->backend->settings.name, strerror(-err),
		err == -EADDRNOTAVAIL ? "no local port is free towards it: widen net.ipv4.ip_local_port_range"
			: err == -EMFILE ? "raise the limit of open files: ulimit -n"
			: err == -ENFILE ? "raise the machine's limit of open files: fs.file-max"
					 : "this machine has too little memory for its sockets");
}

/* This machine has no descriptor, port or memory left. */
static bool is_own_lack(int err)
{
	return err == -EMFILE || err == -ENFILE || err == -EADDRNOTAVAIL || err == -ENOBUFS || err == -ENOMEM;
}

bool upstream_hindered(struct upstream *u, int err)
{
	struct backend *b = u->backend;
	enum container_state before = u->slot->container->state;
	if (!is_own_lack(err))
		return false;
	upstream_close(u);
	upstream_forget(u);
	struct exchange *ex = upstream_detach(u);
	struct ticket *t = slot_hindered(u->slot, reactor_of(u)->io->now_us);
	backend_note(b, before);
	backend_retry_later(b);
	if (t)
		exchange_hindered(ex);
	else if (ex)
		exchange_bury(ex); /* an orphan */
	route_pump(b->route);
	return true;
}

int upstream_connect(struct upstream *u)
{
	struct reactor *r = reactor_of(u);
	u->phase = UPSTREAM_CONNECTING;
	u->proven = false;
	u->asked_us = r->io->now_us;
	int err = connect_to(r->io, u, &u->backend->settings);
	u->connect_err = err;
	if (is_own_lack(err))
		tell_lack(u, err);
	if (err < 0) { /* likewise: in a fresh event */
		u->phase = UPSTREAM_CLOSED;
		io_timer_set(r->io, &u->timer, r->io->now_us);
		return err;
	}
	io_timer_set(r->io, &u->timer, r->io->now_us + settings_of(u)->timeouts.connect_us);
	return 0;
}

void upstream_dispatch(struct upstream *u, struct exchange *ex)
{
	CHECK(!u->exchange);
	u->exchange = ex;
	ex->upstream = u;
	reactor_changed(reactor_of(u));
	if (u->slot->state == SLOT_BUSY)
		upstream_ask(u);
	else
		(void)upstream_connect(u);
}

bool upstream_request_is_lost(const struct upstream *u)
{
	const struct buffer *body = u->exchange ? u->exchange->request->body : NULL;
	return body && body->err < 0;
}

void upstream_request_lost(struct upstream *u)
{
	if (u->slot->ticket)
		exchange_problem(u->exchange, PROBLEM_OVERLOADED,
			"the request's body cannot be read back from its spool file");
	if (u->slot->state == SLOT_ZOMBIE && u->sent_bytes && settings_of(u)->idle_probe.path) {
		slot_settle(u->slot);
		upstream_break_off(u);
	} else { /* nothing was sent, or it notices that its client is gone, as all do that cannot be asked */
		upstream_failed(u, FAILURE_STALE, NULL);
	}
}

void upstream_send_more(struct upstream *u)
{
	if ((u->phase != UPSTREAM_HEAD && u->phase != UPSTREAM_BODY) || u->sent_all || u->send_err ||
		u->probe) /* one that did not fit at once is over in a fresh event */
		return;
	int err = send_request(u);
	if (err == 0 || is_left_to_the_answer(u, err))
		return;
	if (upstream_request_is_lost(u))
		upstream_request_lost(u);
	else
		upstream_ended(u, err, "the connection broke while the request was sent");
}

void upstream_claimed(struct upstream *u)
{
	if (u->phase == UPSTREAM_IDLE)
		upstream_ask(u);
}
