/* client: one connection of a client, on the front or on the admin listener.
 *
 *   IDLE ─▶ HEAD ─▶ BODY ─▶ WAITING ─▶ ANSWERING ─▶ IDLE        (one exchange at a time; bytes that come
 * early wait) └───────┴───────┴─────────┴── refused ──┴──▶ LINGERING ─▶ closed
 *
 * Owns:   the stream, what came early, and what the client has not taken yet of its answer.
 */
#pragma once
#include "gateway/buffer.h"
#include "http/body.h"
#include "http/parse.h"
#include "http/problem.h"
#include "io/io.h"

#include <sys/uio.h>

struct exchange;
struct front;
struct reactor;
struct upstream;
struct watch;

enum client_phase {
	CLIENT_IDLE,
	CLIENT_HEAD, /* part of a head is here */
	CLIENT_BODY,
	CLIENT_WAITING,   /* the request is whole; queued or running */
	CLIENT_ANSWERING, /* the answer is whole; the client has yet to take it */
	CLIENT_TUNNEL,    /* the protocol was switched */
	CLIENT_LINGERING, /* refused: what still comes is thrown away, so that the answer is not lost to a
			     reset */
	CLIENT_DEAD,      /* in the graveyard */
};

/* Bytes that came early: the beginning of a head, or the next requests. */
struct early {
	char *ptr; /* owned */
	uint32_t len, cap;
};

struct client {
	struct io_stream stream;
	struct io_timer timer;
	struct list_node node;     /* on reactor->clients or ->operators, or in the graveyard */
	struct reactor *reactor;   /* borrowed: the owner */
	struct exchange *exchange; /* borrowed; from its head until its answer is whole */
	struct watch *watch;       /* borrowed; while it waits for something about a job */
	struct outbox *out;        /* owned; NULL while the client takes all at once */
	struct upload *upload;     /* owned; while BODY */
	struct early early;
	uint8_t ip[16]; /* IPv6, or IPv4 mapped into it; zero for a unix socket */
	uint8_t phase;  /* enum client_phase */
	bool admin : 1;
	bool counted : 1; /* among its address's connections */
	bool unix_peer : 1;
	bool keep_alive : 1; /* after the answer at hand */
	bool processing : 1; /* client_recv is on the stack */
	bool recv_paused : 1;
	bool must_linger : 1;  /* a body was not read: close slowly */
	bool head_only : 1;    /* the request at hand is a HEAD */
	uint8_t minor_version; /* of the request at hand */
	bool peer_closed : 1;  /* half closed, with half_close: wait */
	bool deaf : 1;         /* more came early than there was room for: its connection ends with the
				  answer at hand */
};

/* What the client has yet to take. */
struct outbox {
	struct buffer buffer;
	struct client *client; /* borrowed: the owner */
	uint64_t taken;        /* of it when the time-out was set */
};

/* A body on its way in. */
struct upload {
	struct http_body body;
	uint64_t received;           /* payload bytes */
	uint64_t seen, since_us;     /* how many, and when, as its rate was last judged */
	struct admin_request *admin; /* owned; on the admin listener, else NULL */
};

void client_accept(struct front *f, struct io_listener *l, const struct io_addr *peer);

/* "192.0.2.1", "2001:db8::1", or "unix:" into text; returns it. */
struct str client_ip(const struct client *c, char text[48]);

/* Bytes of an answer. False when that ended the connection: the client's exchange has been left then. */
bool client_send(struct client *c, const struct iovec *iov, int n);

/* The answer is whole. Its exchange is not the client's any more. */
void client_answered(struct client *c, bool keep_alive);

/* The answer cannot be finished: cuts the connection so that the client does not take it for whole. */
void client_abort(struct client *c);

/* An answer of Berth's own, with a body. extra: header lines with CRLF, or empty. A request whose body has
 * not been read ends the connection. */
void client_reply(struct client *c, int status, const char *type, struct str extra, struct str body);

/* Likewise, with header lines of up to 16 KiB that name the body's type themselves. */
void client_reply_long(struct client *c, int status, struct str lines, struct str body);

/* An answer without a body. */
void client_reply_empty(struct client *c, int status);

/* A problem as an answer. retry_after_s: 0 for no Retry-After. extra: further header lines. */
void client_problem(
	struct client *c, enum problem p, const char *detail, uint32_t retry_after_s, struct str extra);

/* The client's request waits in the queue: until max_wait. */
void client_watch_wait(struct client *c);

/* The protocol was switched: what comes goes to the container. */
void client_tunnel(struct client *c);

/* While paused, nothing more is received. */
void client_pause(struct client *c, bool paused);

/* The file that a long upload goes to has caught up, or failed. */
void client_upload_ready(struct client *c);

/* Takes requests from bytes[0..n) as far as may be; returns how many bytes it used. In intake.c. */
size_t client_take(struct client *c, const char *bytes, size_t n);

/* The connection ends with the answer to the request at hand. */
void client_is_last(struct client *c);

/* Sets the time-out of the client's phase. */
void client_set_timer(struct client *c, uint64_t after_us);

/* Closes at once; the exchange is left. */
void client_close(struct client *c);
void client_free(struct client *c);
