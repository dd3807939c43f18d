#include "io_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

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

/* Its kernel takes bytes again, and there are some to receive. */
static void make_both_ways_ready(struct pair *p)
{
	static char bytes[ROOM];
	struct iovec iov = { bytes, sizeof bytes };
	struct pollfd client = { .fd = p->client->stream.fd, .events = POLLIN | POLLOUT };
	while (io_send(p->net.io, &p->client->stream, &iov, 1) == sizeof bytes)
		;
	send_text(p->server, "to the first");
	while (poll(&client, 1, 0) >= 0 && client.revents != client.events)
		(void)!recv(p->server->stream.fd, bytes, sizeof bytes, MSG_DONTWAIT);
}

static int other_listener;
static int other_server;

static void connect_to_the_other(struct end *e)
{
	static const char early[] = "early";
	int fd = e->stream.fd;
	if (!e->writables)
		return;
	e->on_event = NULL;
	e->got = 0;
	io_close(e->io, &e->stream);
	assert_int_equal(io_connect(e->io, &e->stream, &reused_in->addr, &ops), 0);
	assert_int_equal(e->stream.fd, fd);
	struct pollfd listener = { .fd = other_listener, .events = POLLIN };
	assert_int_equal(poll(&listener, 1, PATIENCE_US / 1000), 1);
	other_server = accept(other_listener, NULL, NULL);
	assert_true(other_server >= 0);
	assert_int_equal(send(other_server, early, 5, 0), 5);
}

/* Likewise within on_writable, while the old connection has something to receive: the new one, whose server is
 * quick to speak, is connected before it receives. */
static void test_connect_anew_within_on_writable(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(both); i++) {
		struct pair p;
		pair_open(&p, both[i]);
		reused_in = &p.net;
		other_listener = p.net.listener.fd;
		io_listen_pause(p.net.io, &p.net.listener, true); /* this test accepts */
		io_recv_pause(p.net.io, &p.server->stream, true);
		make_both_ways_ready(&p);
		p.client->connects = 0;
		p.client->on_event = connect_to_the_other;
		run_until(&p.net, &p.client->got, 5);
		assert_int_equal(p.client->connects, 1);
		assert_got(p.client, "early");
		close(other_server);
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
	assert_int_equal(io_listen(n.io, &n.listener, &addr, &listener_ops), -ENOTSOCK);
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

/* A socket file that somebody else has made, who may listen on it again, outlives the listener. */
static void test_listen_fd_leaves_the_path(void **state)
{
	struct net n;
	struct io_addr addr;
	char text[100];
	struct stat st;
	net_open(&n);
	snprintf(text, sizeof text, "unix:%s/socket", n.dir);
	assert_true(io_addr_parse(&addr, text));
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, &addr.sa, addr.len), 0);
	assert_int_equal(listen(fd, 5), 0);
	n.listener.owns_path = true; /* memory that was another listener's */
	assert_int_equal(io_listen_fd(n.io, &n.listener, fd, &listener_ops), 0);
	io_unlisten(n.io, &n.listener);
	assert_int_equal(lstat(text + 5, &st), 0);
	assert_int_equal(unlink(text + 5), 0);
	net_close(&n);
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
	n.turns = 0;
	run_quietly(&n);
	assert_int_equal(n.connections + other.connections, 0);
	assert_true(n.turns < 20);
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

static int run(const char *loop)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_no_such_unix_socket),
		cmocka_unit_test(test_close_while_connecting),
		cmocka_unit_test(test_close_another_of_the_batch),
		cmocka_unit_test(test_free_another_of_the_batch),
		cmocka_unit_test(test_connect_anew_within_a_callback),
		cmocka_unit_test(test_connect_anew_within_on_writable),
		cmocka_unit_test(test_close_with_a_copy_elsewhere),
		cmocka_unit_test(test_refuse_a_connection),
		cmocka_unit_test(test_listener_pause),
		cmocka_unit_test(test_unlisten_within_on_connection),
		cmocka_unit_test(test_address_in_use),
		cmocka_unit_test(test_unix_leftovers),
		cmocka_unit_test(test_listen_fd),
		cmocka_unit_test(test_listen_fd_leaves_the_path),
		cmocka_unit_test(test_out_of_descriptors),
	};
	return cmocka_run_group_tests_name(loop, tests, NULL, NULL);
}

int main(void)
{
	return run_with_each_loop(run);
}
