#include "io_rig.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { QUIET_US = 15 * 1000 };

static struct io *(*create_loop)(void) = io_epoll_create;

static void on_patience(struct io_timer *t)
{
	struct net *n = CONTAINER_OF(t, struct net, patience);
	n->out_of_patience = true;
	io_stop(n->io);
}

static void on_turn_end(struct io *io)
{
	struct net *n = io->user;
	n->turns++;
	if (n->watched && *n->watched >= n->wanted)
		io_stop(io);
}

void run_until(struct net *n, const size_t *counter, size_t wanted)
{
	if (*counter >= wanted)
		return;
	n->watched = counter;
	n->wanted = wanted;
	io_timer_set(n->io, &n->patience, n->io->now_us + PATIENCE_US);
	assert_int_equal(io_epoll_run(n->io), 0);
	io_timer_stop(n->io, &n->patience);
	n->watched = NULL;
	assert_false(n->out_of_patience);
}

void run_quietly(struct net *n)
{
	io_timer_set(n->io, &n->patience, n->io->now_us + QUIET_US);
	assert_int_equal(io_epoll_run(n->io), 0);
	assert_true(n->out_of_patience);
	n->out_of_patience = false;
}

struct end *end_of(struct io_stream *s)
{
	return CONTAINER_OF(s, struct end, stream);
}

void note(struct end *e)
{
	if (e->on_event)
		e->on_event(e);
}

static void on_recv(struct io_stream *s, const char *bytes, size_t n)
{
	struct end *e = end_of(s);
	assert_true(n > 0);
	if (e->got < ROOM)
		memcpy(e->bytes + e->got, bytes, n < ROOM - e->got ? n : ROOM - e->got);
	e->got += n;
	note(e);
}

void on_eof(struct io_stream *s)
{
	end_of(s)->eofs++;
	note(end_of(s));
}

void on_error(struct io_stream *s, int err)
{
	end_of(s)->errors++;
	end_of(s)->err = err;
	note(end_of(s));
}

void on_writable(struct io_stream *s)
{
	end_of(s)->writables++;
	note(end_of(s));
}

void on_connect(struct io_stream *s)
{
	end_of(s)->connects++;
	note(end_of(s));
}

const struct io_stream_ops ops = { on_recv, on_eof, on_error, on_writable, on_connect };

static void on_connection(struct io_listener *l, const struct io_addr *peer)

{
	struct net *n = CONTAINER_OF(l, struct net, listener);
	n->connections++;
	n->peer = *peer;
	if (n->on_connection) {
		n->on_connection(n);
	} else if (n->next) {
		struct end *e = n->next;
		n->next = NULL;
		assert_int_equal(io_accept(n->io, l, &e->stream, &ops), 0);
	}
}

const struct io_listener_ops listener_ops = { on_connection };

void net_open(struct net *n)
{
	*n = (struct net){ .io = create_loop(), .patience.on_timer = on_patience };
	assert_non_null(n->io);
	n->io->user = n;
	n->io->on_turn_end = on_turn_end;
	n->listener.fd = -1;
	snprintf(n->dir, sizeof n->dir, "/tmp/berth-test-XXXXXX");
	assert_non_null(mkdtemp(n->dir));
}

void net_listen(struct net *n, const char *text)
{
	struct io_addr addr;
	char path[100];
	snprintf(path, sizeof path, "unix:%s/socket", n->dir);
	assert_true(io_addr_parse(&addr, strcmp(text, "unix") ? text : path));
	assert_int_equal(io_listen(n->io, &n->listener, &addr, &listener_ops), 0);
	assert_int_equal(io_listen_addr(n->io, &n->listener, &n->addr), 0);
}

void net_close(struct net *n)
{
	io_unlisten(n->io, &n->listener);
	io_epoll_destroy(n->io);
	assert_int_equal(rmdir(n->dir), 0); /* no socket is left behind */
}

struct end *end_create(struct net *n)
{
	struct end *e = calloc(1, sizeof *e);
	assert_non_null(e);
	e->io = n->io;
	e->stream.fd = -1;
	return e;
}

void end_destroy(struct end *e)
{
	io_close(e->io, &e->stream);
	free(e);
}

void connect_pair(struct net *n, struct end *client, struct end *server)
{
	n->next = server;
	assert_int_equal(io_connect(n->io, &client->stream, &n->addr, &ops), 0);
	run_until(n, &client->connects, 1);
	size_t connections = n->connections;
	if (n->next)
		run_until(n, &n->connections, connections + 1);
	assert_true(io_is_open(&server->stream));
}

struct iovec slice(const char *text)
{
	return (struct iovec){ (char *)(uintptr_t)text, strlen(text) };
}

void send_text(struct end *e, const char *text)
{
	struct iovec iov = slice(text);
	assert_int_equal(io_send(e->io, &e->stream, &iov, 1), iov.iov_len);
}

void assert_got(const struct end *e, const char *text)
{
	assert_int_equal(e->got, strlen(text));
	assert_memory_equal(e->bytes, text, e->got);
}

void pair_open(struct pair *p, const char *where)
{
	net_open(&p->net);
	net_listen(&p->net, where);
	p->client = end_create(&p->net);
	p->server = end_create(&p->net);
	connect_pair(&p->net, p->client, p->server);
}

void pair_close(struct pair *p)
{
	end_destroy(p->client);
	end_destroy(p->server);
	net_close(&p->net);
}

const char *const both[2] = { "127.0.0.1:0", "unix" };

int run_with_each_loop(int (*run)(const char *loop))
{
	int failed = run("epoll");
	struct io *io = io_uring_create();
	if (!io) {
		printf("io_uring is not to be had here: %s\n", strerror(errno));
		return failed;
	}
	io_epoll_destroy(io);
	create_loop = io_uring_create;
	return failed + run("io_uring");
}

bool loop_is_uring(void)
{
	return create_loop == io_uring_create;
}
