#include "gateway/tunnel.h"

#include "gateway/backend.h"
#include "gateway/buffer.h"
#include "gateway/client.h"
#include "gateway/exchange.h"
#include "gateway/reactor.h"
#include "gateway/upstream.h"

#include <stdlib.h>

struct tunnel {
	struct buffer out;         /* to the container */
	uint64_t out_most;         /* bytes there at which the client is paused */
	bool ending;               /* nothing more comes from the client */
	bool shut;                 /* … and the container has been told */
	struct upstream *upstream; /* borrowed: the owner */
};

static struct reactor *reactor_of(const struct upstream *u)
{
	return u->backend->route->reactor;
}

static void touch(struct upstream *u)
{
	struct io *io = reactor_of(u)->io;
	io_timer_set(io, &u->timer, io->now_us + u->backend->route->settings->timeouts.tunnel_us);
}

static void on_out_ready(struct buffer *b)
{
	tunnel_upstream_writable(CONTAINER_OF(b, struct tunnel, out)->upstream);
}

void tunnel_start(struct upstream *u, const struct http_head *head, const char *bytes, size_t n)
{
	struct reactor *r = reactor_of(u);
	struct exchange *ex = u->exchange;
	struct client *c = ex->client;
	struct tunnel *t = malloc(sizeof *t);
	if (!t) {
		upstream_failed(u, FAILURE_LOST, "out of memory for a tunnel");
		return;
	}
	*t = (struct tunnel){ .out_most = r->settings->body_memory_bytes, .upstream = u };
	buffer_init(&t->out, r->io, &r->budget, UINT64_MAX, on_out_ready);
	t->out.must_take = true; /* it is the pause that keeps it short */
	u->tunnel = t;
	u->phase = UPSTREAM_TUNNEL;
	if (u->zombie) { /* its client has left before this */
		tunnel_give_up(u);
		return;
	}
	ex->answering = true;
	ex->status = 101;
	ex->keep_alive = false;
	touch(u);
	struct writer w;
	writer_init(&w, r->scratch, sizeof r->scratch);
	forward_switch(&w, head);
	CHECK(!w.overflow);
	struct iovec iov[2] = { { w.start, writer_len(&w) }, { (char *)(uintptr_t)bytes, n } };
	if (client_send(c, iov, n ? 2 : 1))
		client_tunnel(c);
}

void tunnel_from_upstream(struct upstream *u, const char *bytes, size_t n)
{
	if (u->zombie)
		return;
	struct client *c = u->exchange->client;
	struct iovec iov = { (char *)(uintptr_t)bytes, n };
	u->exchange->request->answer_bytes += n;
	touch(u);
	if (client_send(c, &iov, 1) && c->out && buffer_is_behind(&c->out->buffer))
		upstream_pause(u);
}

/* What the container is slow to take stays with the client: a tunnel may last, and would fill a file. */
static bool is_full(const struct tunnel *t)
{
	return buffer_left(&t->out) > t->out_most || buffer_is_behind(&t->out);
}

/* A file, which is used where memory is tight, gives nothing back before all of it has been read. */
static bool has_room_again(const struct tunnel *t)
{
	return buffer_left(&t->out) <= (t->out.spool ? 0 : t->out_most / 2) && !buffer_is_behind(&t->out);
}

void tunnel_from_client(struct client *c, const char *bytes, size_t n)
{
	struct upstream *u = c->exchange->upstream;
	struct buffer *b = &u->tunnel->out;
	ssize_t sent = 0;
	touch(u);
	if (buffer_left(b) == 0) {
		struct iovec iov = { (char *)(uintptr_t)bytes, n };
		sent = io_send(reactor_of(u)->io, &u->stream, &iov, 1);
	}
	if (sent < 0)
		upstream_ended(u, (int)sent, "the connection broke after a switch of protocols");
	else if ((size_t)sent < n && buffer_append(b, bytes + sent, n - (size_t)sent) < 0)
		client_abort(c); /* part of what it sent is lost */
	else if (is_full(u->tunnel))
		client_pause(c, true);
}

/* Once all has gone to the container; what its file has lost will not. */
static void shut_when_sent(struct upstream *u)
{
	struct tunnel *t = u->tunnel;
	if (!t->ending || t->shut || (buffer_left(&t->out) && !t->out.err))
		return;
	t->shut = true;
	io_shutdown(reactor_of(u)->io, &u->stream);
}

void tunnel_client_ended(struct upstream *u)
{
	u->tunnel->ending = true;
	shut_when_sent(u);
}

void tunnel_give_up(struct upstream *u)
{
	exchange_bury(upstream_detach(u));
	tunnel_client_ended(u);
}

void tunnel_timer(struct upstream *u)
{
	if (u->zombie)
		upstream_failed(u, FAILURE_SILENT,
			"does not end a switched connection whose client has left (zombie_timeout is over)");
	else
		client_close(u->exchange->client);
}

void tunnel_upstream_writable(struct upstream *u)
{
	struct buffer *b = &u->tunnel->out;
	struct iovec iov[8];
	int n;
	while ((n = buffer_peek(b, b->base, iov, 8)) > 0) {
		size_t want = 0;
		for (int i = 0; i < n; i++)
			want += iov[i].iov_len;
		ssize_t sent = io_send(reactor_of(u)->io, &u->stream, iov, n);
		if (sent < 0) {
			upstream_ended(u, (int)sent, "the connection broke after a switch of protocols");
			return;
		}
		if (sent && !u->zombie)
			touch(u);
		buffer_consume(b, b->base + (uint64_t)sent);
		if ((size_t)sent < want)
			break;
	}
	if (u->exchange && n < 0)
		client_abort(u->exchange->client); /* as above */
	else if (u->exchange && has_room_again(u->tunnel))
		client_pause(u->exchange->client, false);
	if (u->tunnel)
		shut_when_sent(u);
}

void tunnel_free(struct upstream *u)
{
	if (!u->tunnel)
		return;
	buffer_finish(&u->tunnel->out);
	free(u->tunnel);
	u->tunnel = NULL;
}

void tunnel_end(struct upstream *u)
{
	struct answer_part last = { .end = true };
	upstream_answered(u, false, &last);
}
