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
	buffer_init(&t->out, r->io, &r->budget, r->settings->body_memory_bytes, on_out_ready);
	t->upstream = u;
	u->tunnel = t;
	u->phase = UPSTREAM_TUNNEL;
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
	struct client *c = u->exchange->client;
	struct iovec iov = { (char *)(uintptr_t)bytes, n };
	u->exchange->request->answer_bytes += n;
	touch(u);
	if (client_send(c, &iov, 1) && c->out && buffer_is_behind(&c->out->buffer))
		upstream_pause(u);
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
	if (sent < 0 || ((size_t)sent < n && buffer_append(b, bytes + sent, n - (size_t)sent) < 0))
		tunnel_end(u);
	else if (buffer_is_behind(b))
		client_pause(c, true);
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
			tunnel_end(u);
			return;
		}
		buffer_consume(b, b->base + (uint64_t)sent);
		if ((size_t)sent < want)
			break;
	}
	if (n < 0)
		tunnel_end(u);
	else if (!buffer_is_behind(b))
		client_pause(u->exchange->client, false);
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
	tunnel_free(u);
	upstream_answered(u, false, &last);
}
