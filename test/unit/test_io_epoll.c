#include "io/io.h"

#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATIENCE_US = 20 * 1000 * 1000, QUIET_US = 15 * 1000, ROOM = 1 << 16 };

/* All tests run with either loop. */
static struct io *(*create_loop)(void) = io_epoll_create;

/* ---- a loop, a listener, and what its streams have seen ---- */

struct end {
	struct io_stream stream;
	struct io *io;
	char bytes[ROOM]; /* the first that came */
	size_t got, connects, eofs, errors, writables;
	int err;
	void (*on_event)(struct end *e); /* after each of them; may be NULL */
	struct end *other;
};

struct net {
	struct io *io;
	struct io_listener listener;
	struct io_addr addr;
	struct end *next; /* takes the next connection; NULL refuses it */
	size_t connections;
	struct io_addr peer;                  /* of the last one */
	void (*on_connection)(struct net *n); /* in place of accepting; may be NULL */
	const size_t *watched;                /* run_until's */
	size_t wanted;
	struct io_timer patience;
	bool out_of_patience;
	char dir[64];
};

static void on_patience(struct io_timer *t)
{
	struct net *n = CONTAINER_OF(t, struct net, patience);
	n->out_of_patience = true;
	io_stop(n->io);
}

static void on_turn_end(struct io *io)
{
	struct net *n = io->user;
	if (n->watched && *n->watched >= n->wanted)
		io_stop(io);
}

/* Turns until *counter is `wanted`. */
static void run_until(struct net *n, const size_t *counter, size_t wanted)
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

/* Turns for as long as an event that must not come would have taken. */
static void run_quietly(struct net *n)
{
	io_timer_set(n->io, &n->patience, n->io->now_us + QUIET_US);
	assert_int_equal(io_epoll_run(n->io), 0);
	assert_true(n->out_of_patience);
	n->out_of_patience = false;
}

static struct end *end_of(struct io_stream *s)
{
	return CONTAINER_OF(s, struct end, stream);
}

static void note(struct end *e)
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

static void on_eof(struct io_stream *s)
{
	end_of(s)->eofs++;
	note(end_of(s));
}

static void on_error(struct io_stream *s, int err)
{
	end_of(s)->errors++;
	end_of(s)->err = err;
	note(end_of(s));
}

static void on_writable(struct io_stream *s)
{
	end_of(s)->writables++;
	note(end_of(s));
}

static void on_connect(struct io_stream *s)
{
	end_of(s)->connects++;
	note(end_of(s));
}

static const struct io_stream_ops ops = { on_recv, on_eof, on_error, on_writable, on_connect };

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

static const struct io_listener_ops listener_ops = { on_connection };

static void net_open(struct net *n)
{
	*n = (struct net){ .io = create_loop(), .patience.on_timer = on_patience };
	assert_non_null(n->io);
	n->io->user = n;
	n->io->on_turn_end = on_turn_end;
	n->listener.fd = -1;
	snprintf(n->dir, sizeof n->dir, "/tmp/berth-test-XXXXXX");
	assert_non_null(mkdtemp(n->dir));
}

static void net_listen(struct net *n, const char *text)
{
	struct io_addr addr;
	char path[100];
	snprintf(path, sizeof path, "unix:%s/socket", n->dir);
	assert_true(io_addr_parse(&addr, strcmp(text, "unix") ? text : path));
	assert_int_equal(io_listen(n->io, &n->listener, &addr, &listener_ops), 0);
	assert_int_equal(io_listen_addr(n->io, &n->listener, &n->addr), 0);
}

static void net_close(struct net *n)
{
	io_unlisten(n->io, &n->listener);
	io_epoll_destroy(n->io);
	assert_int_equal(rmdir(n->dir), 0); /* no socket is left behind */
}

static struct end *end_create(struct net *n)
{
	struct end *e = calloc(1, sizeof *e);
	assert_non_null(e);
	e->io = n->io;
	e->stream.fd = -1;
	return e;
}

static void end_destroy(struct end *e)
{
	io_close(e->io, &e->stream);
	free(e);
}

static void connect_pair(struct net *n, struct end *client, struct end *server)
{
	n->next = server;
	assert_int_equal(io_connect(n->io, &client->stream, &n->addr, &ops), 0);
	run_until(n, &client->connects, 1);
	size_t connections = n->connections;
	if (n->next)
		run_until(n, &n->connections, connections + 1);
	assert_true(io_is_open(&server->stream));
}

static struct iovec slice(const char *text)
{
	return (struct iovec){ (char *)(uintptr_t)text, strlen(text) };
}

static void send_text(struct end *e, const char *text)
{
	struct iovec iov = slice(text);
	assert_int_equal(io_send(e->io, &e->stream, &iov, 1), iov.iov_len);
}

static void assert_got(const struct end *e, const char *text)
{
	assert_int_equal(e->got, strlen(text));
	assert_memory_equal(e->bytes, text, e->got);
}

/* Each test that is given to both runs over TCP and over a unix socket. */
struct pair {
	struct net net;
	struct end *client, *server;
};

static void pair_open(struct pair *p, const char *where)
{
	net_open(&p->net);
	net_listen(&p->net, where);
	p->client = end_create(&p->net);
	p->server = end_create(&p->net);
	connect_pair(&p->net, p->client, p->server);
}

static void pair_close(struct pair *p)
{
	end_destroy(p->client);
	end_destroy(p->server);
	net_close(&p->net);
}

static const char *const both[] = { "127.0.0.1:0", "unix" };

/* ---- bytes ---- */

static void exchange_over(const char *where)
{
	struct pair p;
	pair_open(&p, where);
	send_text(p.client, "there");
	run_until(&p.net, &p.server->got, 5);
	assert_got(p.server, "there");
	struct iovec iov[3] = { slice("and "), slice(""), slice("back") };
	assert_int_equal(io_send(p.net.io, &p.server->stream, iov, 3), 8);
	run_until(&p.net, &p.client->got, 8);
	assert_got(p.client, "and back");
	assert_int_equal(p.client->connects, 1);
	assert_int_equal(p.server->connects + p.server->writables + p.client->writables, 0);
	pair_close(&p);
}

static void test_exchange(void **state)
{
	exchange_over("127.0.0.1:0");
	exchange_over("unix");
}

/* A container that has vanished is missed after half a minute, whether something is on its way to it or not;
 * a client may be slow to read for as long as its time-out says. */
static void test_peers_that_vanish(void **state)
{
	struct pair p;
	int client_ms = 0, server_ms = -1, probes_s = 0;
	socklen_t len = sizeof(int);
	pair_open(&p, "127.0.0.1:0");
	assert_int_equal(getsockopt(p.client->stream.fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &client_ms, &len), 0);
	assert_int_equal(client_ms, 30 * 1000);
	assert_int_equal(getsockopt(p.client->stream.fd, IPPROTO_TCP, TCP_KEEPIDLE, &probes_s, &len), 0);
	assert_int_equal(probes_s, 15);
	assert_int_equal(getsockopt(p.server->stream.fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &server_ms, &len), 0);
	assert_int_equal(server_ms, 0);
	pair_close(&p);
}

static void test_ipv6(void **state)
{
	struct net n;
	struct io_addr addr;
	net_open(&n);
	assert_true(io_addr_parse(&addr, "[::1]:0"));
	int r = io_listen(n.io, &n.listener, &addr, &listener_ops);
	net_close(&n);
	if (r == -EADDRNOTAVAIL || r == -EAFNOSUPPORT) {
		print_message("this machine has no IPv6\n");
		skip();
	}
	assert_int_equal(r, 0);
	exchange_over("[::1]:0");
}

static void test_addresses(void **state)
{
	struct pair p;
	char text[IO_ADDR_TEXT];
	pair_open(&p, "127.0.0.1:0");
	assert_true(ntohs(p.net.addr.in.sin_port) > 0);
	assert_string_equal(io_addr_print(&p.net.peer, false, text), "127.0.0.1");
	pair_close(&p);
	pair_open(&p, "unix");
	assert_int_equal(p.net.peer.sa.sa_family, AF_UNIX);
	assert_int_equal(strncmp(io_addr_print(&p.net.addr, true, text), "unix:/tmp/", 10), 0);
	pair_close(&p);
}

/* The end comes once, after the last bytes, and the other way stays open. */
static void test_eof(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(both); i++) {
		struct pair p;
		pair_open(&p, both[i]);
		send_text(p.client, "last");
		io_shutdown(p.net.io, &p.client->stream);
		run_until(&p.net, &p.server->eofs, 1);
		assert_got(p.server, "last");
		run_quietly(&p.net);
		assert_int_equal(p.server->eofs, 1);
		assert_int_equal(p.server->errors, 0);
		send_text(p.server, "answer");
		run_until(&p.net, &p.client->got, 6);
		assert_got(p.client, "answer");
		pair_close(&p);
	}
}

/* What was taken is delivered although the sender has closed. */
static void test_close_delivers(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(both); i++) {
		struct pair p;
		pair_open(&p, both[i]);
		send_text(p.client, "farewell");
		io_close(p.net.io, &p.client->stream);
		assert_false(io_is_open(&p.client->stream));
		io_close(p.net.io, &p.client->stream); /* once more is nothing */
		run_until(&p.net, &p.server->eofs, 1);
		assert_got(p.server, "farewell");
		pair_close(&p);
	}
}

static void test_reset(void **state)
{
	struct pair p;
	pair_open(&p, "127.0.0.1:0");
	send_text(p.client, "half of it");
	io_reset(p.net.io, &p.client->stream);
	run_until(&p.net, &p.server->errors, 1);
	assert_int_equal(p.server->err, -ECONNRESET);
	assert_int_equal(p.server->eofs, 0);
	run_quietly(&p.net);
	assert_int_equal(p.server->errors, 1); /* and nothing after it */
	pair_close(&p);
}

static void test_send_to_nobody(void **state)
{
	struct pair p;
	pair_open(&p, "127.0.0.1:0");
	io_reset(p.net.io, &p.server->stream);
	run_until(&p.net, &p.client->errors, 1);
	struct iovec iov = slice("x");
	assert_true(io_send(p.net.io, &p.client->stream, &iov, 1) < 0); /* and no SIGPIPE */
	pair_close(&p);
}

/* ---- more than the kernel takes ---- */

enum { LONG_BYTES = 1024 * 1024 };

struct long_send {
	char *bytes;
	size_t sent, shorts;
};

static struct long_send sending;

static void go_on_sending(struct end *e)
{
	while (sending.sent < LONG_BYTES) {
		size_t left = LONG_BYTES - sending.sent, first = left / 3;
		struct iovec iov[2] = { { sending.bytes + sending.sent, first },
			{ sending.bytes + sending.sent + first, left - first } };
		ssize_t k = io_send(e->io, &e->stream, iov, 2);
		assert_true(k >= 0);
		sending.sent += (size_t)k;
		if ((size_t)k < left) {
			sending.shorts++;
			return;
		}
	}
}

static size_t long_received;

static char byte_at(size_t i)
{
	return (char)(i * 2654435761u >> 13);
}

static void on_long_recv(struct io_stream *s, const char *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (bytes[i] != byte_at(long_received + i))
			fail_msg("byte %zu is another", long_received + i);
	}
	long_received += n;
	end_of(s)->got += n;
	note(end_of(s));
}

static const struct io_stream_ops long_ops = { on_long_recv, on_eof, on_error, on_writable, on_connect };

static void test_short_sends(void **state)
{
	char *bytes = malloc(LONG_BYTES);
	assert_non_null(bytes);
	for (size_t i = 0; i < LONG_BYTES; i++)
		bytes[i] = byte_at(i);
	for (size_t i = 0; i < ARRAY_LEN(both); i++) {
		struct pair p;
		pair_open(&p, both[i]);
		long_received = 0;
		sending = (struct long_send){ .bytes = bytes };
		p.server->stream.ops = &long_ops;
		p.client->on_event = go_on_sending;
		assert_int_equal(
			setsockopt(p.client->stream.fd, SOL_SOCKET, SO_SNDBUF, &(int){ 4096 }, sizeof(int)),
			0);
		io_recv_pause(p.net.io, &p.server->stream, true);
		go_on_sending(p.client);
		assert_true(sending.sent < LONG_BYTES);
		run_quietly(&p.net); /* nobody takes it: the sender is not called but when there is room */
		assert_int_equal(p.server->got, 0);
		io_recv_pause(p.net.io, &p.server->stream, false);
		run_until(&p.net, &p.server->got, LONG_BYTES);
		assert_int_equal(sending.sent, LONG_BYTES);
		assert_int_equal(p.client->writables, sending.shorts); /* one for each */
		assert_true(sending.shorts > 10);
		run_quietly(&p.net);
		assert_int_equal(p.client->writables, sending.shorts);
		pair_close(&p);
	}
	free(bytes);
}

/* ---- pauses ---- */

static struct io_timer resume_timer;
static struct end *to_resume;

static void on_resume(struct io_timer *t)
{
	io_recv_pause(to_resume->io, &to_resume->stream, false);
}

static void pause_for_a_while(struct end *e)
{
	io_recv_pause(e->io, &e->stream, true);
	to_resume = e;
	io_timer_set(e->io, &resume_timer, e->io->now_us + 1);
}

/* With a pause after each piece nothing is lost, and all comes in its order. */
static void test_pauses_in_a_long_transfer(void **state)
{
	char *bytes = malloc(LONG_BYTES);
	assert_non_null(bytes);
	for (size_t i = 0; i < LONG_BYTES; i++)
		bytes[i] = byte_at(i);
	for (size_t i = 0; i < ARRAY_LEN(both); i++) {
		struct pair p;
		pair_open(&p, both[i]);
		long_received = 0;
		sending = (struct long_send){ .bytes = bytes };
		resume_timer.on_timer = on_resume;
		p.server->stream.ops = &long_ops;
		p.server->on_event = pause_for_a_while;
		p.client->on_event = go_on_sending;
		go_on_sending(p.client);
		run_until(&p.net, &p.server->got, LONG_BYTES);
		io_shutdown(p.net.io, &p.client->stream);
		run_until(&p.net, &p.server->eofs, 1);
		assert_int_equal(p.server->got, LONG_BYTES);
		io_timer_stop(p.net.io, &resume_timer);
		pair_close(&p);
	}
	free(bytes);
}

static void test_pause(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(both); i++) {
		struct pair p;
		pair_open(&p, both[i]);
		io_recv_pause(p.net.io, &p.server->stream, true);
		send_text(p.client, "unseen");
		io_shutdown(p.net.io, &p.client->stream);
		run_quietly(&p.net);
		assert_int_equal(p.server->got + p.server->eofs + p.server->errors, 0);
		io_recv_pause(p.net.io, &p.server->stream, false);
		run_until(&p.net, &p.server->eofs, 1);
		assert_got(p.server, "unseen");
		pair_close(&p);
	}
}

/* The peer is wholly gone while nobody receives: what it sent is still to be had. */
static void test_peer_closes_during_a_pause(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(both); i++) {
		struct pair p;
		pair_open(&p, both[i]);
		io_recv_pause(p.net.io, &p.server->stream, true);
		send_text(p.client, "all of it");
		io_close(p.net.io, &p.client->stream);
		run_quietly(&p.net);
		assert_int_equal(p.server->got + p.server->eofs + p.server->errors, 0);
		io_recv_pause(p.net.io, &p.server->stream, false);
		run_until(&p.net, &p.server->eofs, 1);
		assert_got(p.server, "all of it");
		assert_int_equal(p.server->errors, 0);
		pair_close(&p);
	}
}

static void test_errors_come_during_a_pause(void **state)
{
	struct pair p;
	pair_open(&p, "127.0.0.1:0");
	io_recv_pause(p.net.io, &p.server->stream, true);
	io_reset(p.net.io, &p.client->stream);
	run_until(&p.net, &p.server->errors, 1);
	assert_int_equal(p.server->err, -ECONNRESET);
	pair_close(&p);
}

static void pause_itself(struct end *e)
{
	io_recv_pause(e->io, &e->stream, true);
}

static void test_pause_within_on_recv(void **state)
{
	struct pair p;
	pair_open(&p, "127.0.0.1:0");
	p.server->on_event = pause_itself;
	send_text(p.client, "one");
	run_until(&p.net, &p.server->got, 3);
	send_text(p.client, "two");
	run_quietly(&p.net);
	assert_got(p.server, "one");
	io_recv_pause(p.net.io, &p.server->stream, false);
	run_until(&p.net, &p.server->got, 6);
	pair_close(&p);
}

/* ---- receiving into the owner's memory ---- */

/* Two bytes at a time of the first six, then nowhere in particular. */
static char *room_for_six(struct io_stream *s, size_t *ret_bytes)
{
	struct end *e = end_of(s);
	if (e->got >= 6)
		return NULL;
	*ret_bytes = 2;
	return e->bytes + e->got;
}

static void on_recv_in_room(struct io_stream *s, const char *bytes, size_t n)
{
	struct end *e = end_of(s);
	bool asks = create_loop == io_epoll_create;
	if (asks && e->got < 6) {
		assert_ptr_equal(bytes, e->bytes + e->got);
		assert_int_equal(n, 2);
	} else {
		memcpy(e->bytes + e->got, bytes, n);
	}
	e->got += n;
}

static void test_room(void **state)
{
	static const struct io_stream_ops with_room = { .on_recv = on_recv_in_room, .room = room_for_six };
	struct pair p;
	pair_open(&p, "127.0.0.1:0");
	p.server->stream.ops = &with_room;
	send_text(p.client, "one two three");
	run_until(&p.net, &p.server->got, 13);
	assert_got(p.server, "one two three");
	pair_close(&p);
}

/* ---- connecting ---- */

static void test_refused(void **state)
{
	struct net n;
	net_open(&n);
	net_listen(&n, "127.0.0.1:0");
	io_unlisten(n.io, &n.listener); /* now nobody is there */
	struct end *e = end_create(&n);
	int r = io_connect(n.io, &e->stream, &n.addr, &ops);
	if (r == 0) {
		assert_int_equal(e->errors, 0); /* not from within io_connect */
		run_until(&n, &e->errors, 1);
		r = e->err;
		run_quietly(&n);
		assert_int_equal(e->errors, 1);
	}
	assert_int_equal(r, -ECONNREFUSED);
	assert_int_equal(e->connects + e->eofs + e->got, 0);
	end_destroy(e);
	net_close(&n);
}

static void test_no_such_unix_socket(void **state)
{
	struct net n;
	struct io_addr addr;
	char text[100];
	net_open(&n);
	snprintf(text, sizeof text, "unix:%s/nothing", n.dir);
	assert_true(io_addr_parse(&addr, text));
	struct end *e = end_create(&n);
	assert_int_equal(io_connect(n.io, &e->stream, &addr, &ops), -ENOENT);
	assert_false(io_is_open(&e->stream));
	end_destroy(e);
	net_close(&n);
}

static void test_close_while_connecting(void **state)
{
	struct net n;
	net_open(&n);
	net_listen(&n, "127.0.0.1:0");
	struct end *e = end_create(&n);
	assert_int_equal(io_connect(n.io, &e->stream, &n.addr, &ops), 0);
	io_close(n.io, &e->stream);
	run_quietly(&n);
	assert_int_equal(e->connects + e->errors + e->eofs, 0);
	end_destroy(e);
	net_close(&n);
}

/* ---- closing within callbacks ---- */

static void close_other(struct end *e)
{
	io_close(e->io, &e->other->stream);
}

/* Both have bytes in one batch; the first to be called closes the second, which is not called then. */
static void test_close_another_of_the_batch(void **state)
{
	struct net n;
	net_open(&n);
	net_listen(&n, "127.0.0.1:0");
	struct end *client[2], *server[2];
	for (int i = 0; i < 2; i++) {
		client[i] = end_create(&n);
		server[i] = end_create(&n);
		connect_pair(&n, client[i], server[i]);
		server[i]->on_event = close_other;
	}
	server[0]->other = server[1];
	server[1]->other = server[0];
	send_text(client[0], "a");
	send_text(client[1], "b");
	run_quietly(&n);
	assert_int_equal(server[0]->got + server[1]->got, 1);
	assert_int_equal(server[0]->eofs + server[1]->eofs + server[0]->errors + server[1]->errors, 0);
	for (int i = 0; i < 2; i++) {
		end_destroy(client[i]);
		end_destroy(server[i]);
	}
	net_close(&n);
}

static struct end *survivor;

static void free_other(struct end *e)
{
	assert_null(survivor);
	survivor = e;
	end_destroy(e->other);
}

/* Likewise, and its memory goes at once. */
static void test_free_another_of_the_batch(void **state)
{
	struct net n;
	net_open(&n);
	net_listen(&n, "127.0.0.1:0");
	struct end *client[2], *server[2];
	for (int i = 0; i < 2; i++) {
		client[i] = end_create(&n);
		server[i] = end_create(&n);
		connect_pair(&n, client[i], server[i]);
		server[i]->on_event = free_other;
	}
	server[0]->other = server[1];
	server[1]->other = server[0];
	survivor = NULL;
	send_text(client[0], "a");
	send_text(client[1], "b");
	run_quietly(&n);
	assert_non_null(survivor);
	survivor->on_event = NULL;
	end_destroy(survivor);
	end_destroy(client[0]);
	end_destroy(client[1]);
	net_close(&n);
}

static struct net *reused_in;

static void connect_anew(struct end *e)
{
	if (!e->got && !e->writables)
		return;
	e->on_event = NULL;
	e->got = e->writables = 0;
	io_close(e->io, &e->stream);
	assert_int_equal(io_connect(e->io, &e->stream, &reused_in->addr, &ops), 0);
}

/* Closed and connected anew within its own callback, most likely on the same descriptor: the old connection's
 * events are not the new one's. */
static void test_connect_anew_within_a_callback(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(both); i++) {
		struct pair p;
		pair_open(&p, both[i]);
		struct end *second = end_create(&p.net);
		reused_in = &p.net;
		p.net.next = second;
		p.client->connects = 0;
		p.client->on_event = connect_anew;
		send_text(p.server, "to the first");
		io_close(p.net.io, &p.server->stream);
		run_until(&p.net, &p.client->connects, 1);
		run_quietly(&p.net);
		assert_int_equal(p.client->got + p.client->eofs + p.client->errors, 0);
		send_text(second, "to the second");
		run_until(&p.net, &p.client->got, 13);
		assert_got(p.client, "to the second");
		end_destroy(second);
		pair_close(&p);
	}
}

/* A child process that has not come to its exec yet holds a copy of each descriptor: a stream that is closed
 * is over all the same. */
static void test_close_with_a_copy_elsewhere(void **state)
{
	struct pair p;
	pair_open(&p, "127.0.0.1:0");
	int copy = dup(p.server->stream.fd);
	assert_true(copy >= 0);
	io_close(p.net.io, &p.server->stream);
	send_text(p.client, "is anybody there");
	run_quietly(&p.net);
	assert_int_equal(p.server->got + p.server->eofs + p.server->errors, 0);
	close(copy);
	pair_close(&p);
}

/* ---- listeners ---- */

static void test_refuse_a_connection(void **state)
{
	struct net n;
	net_open(&n);
	net_listen(&n, "127.0.0.1:0");
	struct end *e = end_create(&n);
	assert_int_equal(io_connect(n.io, &e->stream, &n.addr, &ops), 0);
	run_until(&n, &n.connections, 1);
	run_until(&n, &e->eofs, 1);
	end_destroy(e);
	net_close(&n);
}

static void test_listener_pause(void **state)
{
	struct net n;
	net_open(&n);
	net_listen(&n, "127.0.0.1:0");
	struct end *client = end_create(&n), *server = end_create(&n);
	io_listen_pause(n.io, &n.listener, true);
	n.next = server;
	assert_int_equal(io_connect(n.io, &client->stream, &n.addr, &ops), 0);
	run_until(&n, &client->connects, 1); /* the kernel's backlog takes it */
	run_quietly(&n);
	assert_int_equal(n.connections, 0);
	io_listen_pause(n.io, &n.listener, false);
	run_until(&n, &n.connections, 1);
	end_destroy(client);
	end_destroy(server);
	net_close(&n);
}

static void stop_listening(struct net *n)
{
	io_unlisten(n->io, &n->listener);
}

static void test_unlisten_within_on_connection(void **state)
{
	struct net n;
	net_open(&n);
	net_listen(&n, "unix");
	n.on_connection = stop_listening;
	struct end *e[2] = { end_create(&n), end_create(&n) };
	for (int i = 0; i < 2; i++)
		assert_int_equal(io_connect(n.io, &e[i]->stream, &n.addr, &ops), 0);
	run_quietly(&n);
	assert_int_equal(n.connections, 1);
	end_destroy(e[0]);
	end_destroy(e[1]);
	net_close(&n);
}

static void test_address_in_use(void **state)
{
	struct net n;
	struct io_listener second;
	for (size_t i = 0; i < ARRAY_LEN(both); i++) {
		net_open(&n);
		net_listen(&n, both[i]);
		assert_int_equal(io_listen(n.io, &second, &n.addr, &listener_ops), -EADDRINUSE);
		assert_int_equal(second.fd, -1);
		struct end *client = end_create(&n), *server = end_create(&n);
		connect_pair(&n, client, server); /* the first is none the worse for it */
		end_destroy(client);
		end_destroy(server);
		net_close(&n);
	}
}

/* A socket file of a process that is gone is replaced; a file that is no socket is left alone. */
static void test_unix_leftovers(void **state)
{
	struct net n;
	struct io_addr addr;
	char text[100];
	struct stat st;
	net_open(&n);
	snprintf(text, sizeof text, "unix:%s/socket", n.dir);
	assert_true(io_addr_parse(&addr, text));
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, &addr.sa, addr.len), 0);
	close(fd);
	net_listen(&n, "unix");
	io_unlisten(n.io, &n.listener);
	assert_int_equal(lstat(text + 5, &st), -1);

	fd = open(text + 5, O_CREAT | O_WRONLY, 0600);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(io_listen(n.io, &n.listener, &addr, &listener_ops), -EADDRINUSE);
	assert_int_equal(unlink(text + 5), 0);
	net_close(&n);
}

static void test_listen_fd(void **state)
{
	struct net n;
	struct io_addr addr;
	net_open(&n);
	assert_true(io_addr_parse(&addr, "127.0.0.1:0"));
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, &addr.sa, addr.len), 0);
	assert_int_equal(listen(fd, 5), 0);
	assert_int_equal(io_listen_fd(n.io, &n.listener, fd, &listener_ops), 0);
	assert_int_equal(io_listen_addr(n.io, &n.listener, &n.addr), 0);
	struct end *client = end_create(&n), *server = end_create(&n);
	connect_pair(&n, client, server);
	end_destroy(client);
	end_destroy(server);
	net_close(&n);
}

static size_t turns;

static void count_turn(struct io *io)
{
	turns++;
	on_turn_end(io);
}

/* Without descriptors, connections wait until there are some again, and the loop sleeps meanwhile. */
static void test_out_of_descriptors(void **state)
{
	struct net n, other;
	struct rlimit before, none;
	net_open(&n);
	net_listen(&n, "127.0.0.1:0");
	other = (struct net){ .io = n.io };
	net_listen(&other, "127.0.0.1:0");
	struct end *client = end_create(&n), *second = end_create(&n), *server = end_create(&n);
	n.next = server;
	assert_int_equal(io_connect(n.io, &client->stream, &n.addr, &ops), 0);
	assert_int_equal(io_connect(n.io, &second->stream, &other.addr, &ops), 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = (struct rlimit){ (rlim_t)client->stream.fd, before.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	turns = 0;
	n.io->on_turn_end = count_turn;
	run_quietly(&n);
	assert_int_equal(n.connections + other.connections, 0);
	assert_true(turns < 20);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	run_until(&n, &n.connections, 1);
	run_until(&n, &other.connections, 1);
	assert_true(io_is_open(&server->stream));
	end_destroy(client);
	end_destroy(second);
	end_destroy(server);
	io_unlisten(n.io, &other.listener);
	net_close(&n);
}

/* ---- other threads, other descriptors ---- */

enum { THREADS = 4, POSTS = 2000 };

struct post {
	struct io_message message;
	int thread, index;
	struct net *net;
};

static size_t posts_seen;
static int next_of[THREADS];
static pthread_t loop_thread;

static void on_post(struct io_message *m)
{
	struct post *p = CONTAINER_OF(m, struct post, message);
	assert_true(pthread_equal(pthread_self(), loop_thread));
	assert_int_equal(p->index, next_of[p->thread]++); /* in the order of the calls of its thread */
	posts_seen++;
}

static void *post_all(void *arg)
{
	struct post *posts = arg;
	for (int i = 0; i < POSTS; i++)
		io_epoll_post(posts[i].net->io, &posts[i].message);
	return NULL;
}

static void test_post(void **state)
{
	struct net n;
	pthread_t threads[THREADS];
	struct post *posts = calloc(THREADS * POSTS, sizeof *posts);
	assert_non_null(posts);
	net_open(&n);
	loop_thread = pthread_self();
	posts_seen = 0;
	for (int t = 0; t < THREADS; t++) {
		next_of[t] = 0;
		for (int i = 0; i < POSTS; i++)
			posts[t * POSTS + i] = (struct post){ { .on_message = on_post }, t, i, &n };
		assert_int_equal(pthread_create(&threads[t], NULL, post_all, posts + t * POSTS), 0);
	}
	run_until(&n, &posts_seen, THREADS * POSTS);
	for (int t = 0; t < THREADS; t++)
		pthread_join(threads[t], NULL);
	free(posts);
	net_close(&n);
}

static size_t rounds;

static void post_again(struct io_message *m)
{
	struct post *p = CONTAINER_OF(m, struct post, message);
	if (++rounds < 100)
		io_epoll_post(p->net->io, m);
}

static void test_post_within_a_message(void **state)
{
	struct net n;
	net_open(&n);
	struct post p = { { .on_message = post_again }, 0, 0, &n };
	rounds = 0;
	io_epoll_post(n.io, &p.message);
	run_until(&n, &rounds, 100);
	net_close(&n);
}

struct counter {
	struct io_watch watch;
	struct counter *ends; /* unwatched when this one is ready */
	struct io *io;
	size_t ready;
	uint64_t count;
	bool reads;
};

static void on_ready(struct io_watch *w)
{
	struct counter *c = CONTAINER_OF(w, struct counter, watch);
	c->ready++;
	if (c->reads)
		assert_int_equal(read(w->fd, &c->count, sizeof c->count), sizeof c->count);
	if (c->ends)
		io_epoll_unwatch(c->io, &c->ends->watch);
}

static struct counter counter_of(struct net *n)
{
	return (struct counter){
		.watch = { eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), on_ready }, .io = n->io, .reads = true
	};
}

static void ring(const struct counter *c)
{
	assert_int_equal(write(c->watch.fd, &(uint64_t){ 7 }, sizeof(uint64_t)), sizeof(uint64_t));
}

static void test_watch(void **state)
{
	struct net n;
	net_open(&n);
	struct counter c = counter_of(&n);
	assert_int_equal(io_epoll_watch(n.io, &c.watch), 0);
	run_quietly(&n);
	assert_int_equal(c.ready, 0);
	ring(&c);
	run_until(&n, &c.ready, 1);
	assert_int_equal(c.count, 7);
	c.reads = false; /* then it is ready at every turn */
	ring(&c);
	run_until(&n, &c.ready, 5);
	io_epoll_unwatch(n.io, &c.watch);
	size_t ready = c.ready;
	run_quietly(&n);
	assert_int_equal(c.ready, ready);
	close(c.watch.fd);
	net_close(&n);
}

static void test_unwatch_another_of_the_batch(void **state)
{
	struct net n;
	net_open(&n);
	struct counter a = counter_of(&n), b = counter_of(&n);
	a.ends = &b;
	b.ends = &a;
	assert_int_equal(io_epoll_watch(n.io, &a.watch), 0);
	assert_int_equal(io_epoll_watch(n.io, &b.watch), 0);
	ring(&a);
	ring(&b);
	run_quietly(&n);
	assert_int_equal(a.ready + b.ready, 1);
	close(a.watch.fd);
	close(b.watch.fd);
	net_close(&n);
}

/* ---- the rest ---- */

struct work {
	struct io_task task;
	size_t *done;
	pthread_t worked_on;
	size_t order;
};

static void work(struct io_task *t)
{
	CONTAINER_OF(t, struct work, task)->worked_on = pthread_self();
}

static void worked(struct io_task *t)
{
	struct work *w = CONTAINER_OF(t, struct work, task);
	assert_true(pthread_equal(pthread_self(), loop_thread));
	w->order = ++*w->done;
}

static void test_offload(void **state)
{
	struct net n;
	struct work w[20];
	size_t done = 0;
	net_open(&n);
	loop_thread = pthread_self();
	for (size_t i = 0; i < ARRAY_LEN(w); i++) {
		w[i] = (struct work){ .task = { .work = work, .done = worked }, .done = &done };
		assert_int_equal(io_offload(n.io, &w[i].task), 0);
		assert_int_equal(done, 0); /* not within the call */
	}
	run_until(&n, &done, ARRAY_LEN(w));
	for (size_t i = 0; i < ARRAY_LEN(w); i++) {
		assert_int_equal(w[i].order, i + 1);
		assert_false(pthread_equal(w[i].worked_on, loop_thread));
	}
	net_close(&n);
}

struct alarm_clock {
	struct io_timer timer;
	struct io *io;
	size_t rang;
	uint64_t at_us;
};

static void on_alarm(struct io_timer *t)
{
	struct alarm_clock *a = CONTAINER_OF(t, struct alarm_clock, timer);
	a->rang++;
	a->at_us = a->io->now_us;
}

static void test_timer(void **state)
{
	struct net n;
	net_open(&n);
	struct alarm_clock a = { .timer.on_timer = on_alarm, .io = n.io };
	uint64_t due_us = n.io->now_us + 30000;
	turns = 0;
	n.io->on_turn_end = count_turn;
	io_timer_set(n.io, &a.timer, due_us);
	run_until(&n, &a.rang, 1);
	assert_true(a.at_us >= due_us);
	assert_true(turns < 20); /* it sleeps meanwhile */
	net_close(&n);
}

/* While it polls, events come and timers fire as when it sleeps; and it counts what it polls. */
static void test_polling(void **state)
{
	struct pair p;
	pair_open(&p, "127.0.0.1:0");
	struct io *io = p.net.io;
	struct alarm_clock a = { .timer.on_timer = on_alarm, .io = io };
	io->poll_from_us = 1;
	io->poll_until_us = io->now_us + PATIENCE_US;
	send_text(p.client, "hello");
	run_until(&p.net, &p.server->got, 5);
	assert_int_equal(io->polled.hits, 1);
	io_timer_set(io, &a.timer, io->now_us + 3000);
	run_until(&p.net, &a.rang, 1);
	assert_true(io->polled.us > 0);
	assert_int_equal(io->polled.hits, 1);
	io->poll_from_us = io->now_us + 2000; /* first it sleeps, and is woken by what comes */
	send_text(p.client, "again");
	run_until(&p.net, &p.server->got, 10);
	assert_int_equal(io->polled.hits, 1);
	io->poll_until_us = 0;
	pair_close(&p);
}

static void test_random(void **state)
{
	struct net n;
	unsigned char seen[300][16];
	net_open(&n);
	for (size_t i = 0; i < ARRAY_LEN(seen); i++) {
		io_random(n.io, seen[i], sizeof seen[i]);
		for (size_t k = 0; k < i; k++)
			assert_memory_not_equal(seen[i], seen[k], sizeof seen[i]);
	}
	unsigned char most[256] = { 0 }, zero[16] = { 0 };
	io_random(n.io, most, sizeof most);
	for (size_t i = 0; i < sizeof most; i += sizeof zero)
		assert_memory_not_equal(most + i, zero, sizeof zero);
	net_close(&n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exchange),
		cmocka_unit_test(test_peers_that_vanish),
		cmocka_unit_test(test_ipv6),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_eof),
		cmocka_unit_test(test_close_delivers),
		cmocka_unit_test(test_reset),
		cmocka_unit_test(test_send_to_nobody),
		cmocka_unit_test(test_short_sends),
		cmocka_unit_test(test_pause),
		cmocka_unit_test(test_pauses_in_a_long_transfer),
		cmocka_unit_test(test_peer_closes_during_a_pause),
		cmocka_unit_test(test_errors_come_during_a_pause),
		cmocka_unit_test(test_pause_within_on_recv),
		cmocka_unit_test(test_room),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_no_such_unix_socket),
		cmocka_unit_test(test_close_while_connecting),
		cmocka_unit_test(test_close_another_of_the_batch),
		cmocka_unit_test(test_free_another_of_the_batch),
		cmocka_unit_test(test_connect_anew_within_a_callback),
		cmocka_unit_test(test_close_with_a_copy_elsewhere),
		cmocka_unit_test(test_refuse_a_connection),
		cmocka_unit_test(test_listener_pause),
		cmocka_unit_test(test_unlisten_within_on_connection),
		cmocka_unit_test(test_address_in_use),
		cmocka_unit_test(test_unix_leftovers),
		cmocka_unit_test(test_listen_fd),
		cmocka_unit_test(test_out_of_descriptors),
		cmocka_unit_test(test_post),
		cmocka_unit_test(test_post_within_a_message),
		cmocka_unit_test(test_watch),
		cmocka_unit_test(test_unwatch_another_of_the_batch),
		cmocka_unit_test(test_offload),
		cmocka_unit_test(test_timer),
		cmocka_unit_test(test_polling),
		cmocka_unit_test(test_random),
	};
	int failed = cmocka_run_group_tests_name("epoll", tests, NULL, NULL);
	struct io *io = io_uring_create();
	if (!io) {
		printf("io_uring is not to be had here: %s\n", strerror(errno));
		return failed;
	}
	io_epoll_destroy(io);
	create_loop = io_uring_create;
	return failed + cmocka_run_group_tests_name("io_uring", tests, NULL, NULL);
}
