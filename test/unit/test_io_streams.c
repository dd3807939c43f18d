#include "io_rig.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>

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

/* The peer has answered and closed without reading all: what it sent is received although sends fail, and then
 * comes the end: an EOF, for the error was told by the send, or an error, or both. */
static void test_receive_after_a_send_that_failed(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(both); i++) {
		struct pair p;
		struct iovec iov = slice("more");
		struct pollfd broken = { .events = POLLIN };
		pair_open(&p, both[i]);
		send_text(p.client, "unread");
		send_text(p.server, "answer");
		io_close(p.net.io, &p.server->stream);
		broken.fd = p.client->stream.fd;
		while (!(broken.revents & POLLHUP))
			assert_int_equal(poll(&broken, 1, 10), 1);
		assert_true(io_send(p.net.io, &p.client->stream, &iov, 1) < 0);
		assert_true(io_send(p.net.io, &p.client->stream, &iov, 1) < 0);
		assert_int_equal(p.client->got + p.client->eofs + p.client->errors, 0);
		run_until(&p.net, &p.client->got, 6);
		assert_got(p.client, "answer");
		run_quietly(&p.net);
		assert_in_range(p.client->eofs + p.client->errors, 1, 2);
		assert_true(p.client->eofs < 2 && p.client->errors < 2);
		pair_close(&p);
	}
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

static char *make_long_bytes(void)
{
	char *bytes = malloc(LONG_BYTES);
	assert_non_null(bytes);
	for (size_t i = 0; i < LONG_BYTES; i++)
		bytes[i] = byte_at(i);
	return bytes;
}

/* A pair whose client sends `bytes` as long as it can, and whose server compares what comes. */
static void long_open(struct pair *p, const char *where, char *bytes)
{
	pair_open(p, where);
	long_received = 0;
	sending = (struct long_send){ .bytes = bytes };
	p->server->stream.ops = &long_ops;
	p->client->on_event = go_on_sending;
}

static void test_short_sends(void **state)
{
	char *bytes = make_long_bytes();
	for (size_t i = 0; i < ARRAY_LEN(both); i++) {
		struct pair p;
		long_open(&p, both[i], bytes);
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
	char *bytes = make_long_bytes();
	for (size_t i = 0; i < ARRAY_LEN(both); i++) {
		struct pair p;
		long_open(&p, both[i], bytes);
		resume_timer.on_timer = on_resume;
		p.server->on_event = pause_for_a_while;
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
	bool asks = !loop_is_uring();
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

static int run(const char *loop)
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
		cmocka_unit_test(test_receive_after_a_send_that_failed),
		cmocka_unit_test(test_short_sends),
		cmocka_unit_test(test_pause),
		cmocka_unit_test(test_pauses_in_a_long_transfer),
		cmocka_unit_test(test_peer_closes_during_a_pause),
		cmocka_unit_test(test_errors_come_during_a_pause),
		cmocka_unit_test(test_pause_within_on_recv),
		cmocka_unit_test(test_room),
	};
	return cmocka_run_group_tests_name(loop, tests, NULL, NULL);
}

int main(void)
{
	return run_with_each_loop(run);
}
