/* io_rig: a loop, a listener, and streams that note what they have seen; for tests of io.h, which run with
 * either loop.
 *
 * A test opens a net, or a pair of connected streams, and turns the loop until a counter has a value.
 */
#pragma once
#include "io/io.h"
#include "unit.h"

enum { ROOM = 1 << 16, PATIENCE_US = 20 * 1000 * 1000 };

/* A stream, and what came. */
struct end {
	struct io_stream stream;
	struct io *io;
	char bytes[ROOM]; /* the first that came */
	size_t got, connects, eofs, errors, writables;
	int err;
	void (*on_event)(struct end *e); /* after each of them; may be NULL */
	struct end *other;
};

/* A loop with a listener. */
struct net {
	struct io *io;
	struct io_listener listener;
	struct io_addr addr;
	struct end *next; /* takes the next connection; NULL refuses it */
	size_t connections, turns;
	struct io_addr peer;                  /* of the last one */
	void (*on_connection)(struct net *n); /* in place of accepting; may be NULL */
	const size_t *watched;                /* run_until's */
	size_t wanted;
	struct io_timer patience;
	bool out_of_patience;
	char dir[64];
};

/* Two ends of a connection. A test that is given to both runs over TCP and over a unix socket. */
struct pair {
	struct net net;
	struct end *client, *server;
};

extern const char *const both[2];

/* They note what comes, in the end that the stream is part of, and call its on_event. */
extern const struct io_stream_ops ops;
/* Accepts a connection as the net's next end, or calls its on_connection. */
extern const struct io_listener_ops listener_ops;
void on_eof(struct io_stream *s);
void on_error(struct io_stream *s, int err);
void on_writable(struct io_stream *s);
void on_connect(struct io_stream *s);

struct end *end_of(struct io_stream *s);
void note(struct end *e); /* calls its on_event */

/* Makes a loop; the tests fail when it cannot be had. */
void net_open(struct net *n);
/* text: an address as io_addr_parse takes it, or "unix" for a socket in a directory of the net's own. */
void net_listen(struct net *n, const char *text);
void net_close(struct net *n);

/* Turns until *counter is `wanted`; the test fails after PATIENCE_US. */
void run_until(struct net *n, const size_t *counter, size_t wanted);
/* Turns for as long as an event that must not come would have taken. */
void run_quietly(struct net *n);

struct end *end_create(struct net *n);
void end_destroy(struct end *e);
void connect_pair(struct net *n, struct end *client, struct end *server);
void pair_open(struct pair *p, const char *where);
void pair_close(struct pair *p);

struct iovec slice(const char *text);
void send_text(struct end *e, const char *text);
void assert_got(const struct end *e, const char *text);

/* Calls run with the name of each loop that can be had here, which net_open then makes; adds up what it
 * returns. */
int run_with_each_loop(int (*run)(const char *loop));
/* Whether that is the one that receives by io_uring. */
bool loop_is_uring(void);
