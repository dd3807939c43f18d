/* worker: HTTP in front of one model, on one loop.
 *
 * Owns:       the listeners, the connections, the slots.
 * Invariants: a connection is on exactly one list, the one that conn->state names; it holds a slot in the
 * states from CONN_DELAY to CONN_LEFT and in no other. Answers go out at the end of the turn after the one in
 * which a run ended, or of the same turn when a thread ran it: so every request that had come by then was
 * seen while the slot was still taken, and was refused if all were.
 */
#pragma once
#include "base/rand.h"
#include "http/body.h"
#include "http/date.h"
#include "io/io.h"
#include "worker/buffer.h"
#include "worker/metrics.h"
#include "worker/options.h"
#include "worker/route.h"
#include "worker/slot.h"

enum {
	HEAD_MAX_BYTES = 16 * 1024,
	CONNECTIONS_MAX = 1024,
	OTHER_FILES = 32,       /* that the process has open */
	KEPT_BYTES = 16 * 1024, /* of each buffer of a connection between two requests */
	LARGE_BYTES = 256 * 1024,
	TRIM_AFTER_US = 1000000,
	DRAIN_MAX_BYTES = 1024 * 1024,  /* of a refused body that are read, so that the connection stays */
	HEAD_TIMEOUT_US = 10 * 1000000, /* for the whole head */
	BODY_TIMEOUT_US = 10 * 1000000, /* without a byte */
	SEND_TIMEOUT_US = 30 * 1000000, /* without the peer taking a byte */
	LINGER_US = 2 * 1000000,
	ROOM_MIN_BYTES = 16 * 1024, /* of a body that are received where they shall be */
	BODIES_MAX = 8,             /* half-received bodies at once, besides one a slot */
	INLINE_MAX_BYTES = 16 * 1024,
	INLINE_MAX_US = 1000,
};

enum conn_state {
	CONN_HEAD,      /* waits for a head, or for the rest of one */
	CONN_BODY,      /* of a request to the model */
	CONN_DELAY,     /* --delay-ms */
	CONN_READY,     /* runs at the end of this turn */
	CONN_RUNNING,   /* on its slot's thread */
	CONN_DONE,      /* its answer waits for the end of the turn */
	CONN_LEFT,      /* the client left while it ran: the slot stays taken until that is over */
	CONN_SENDING,   /* the peer has yet to take the rest of the answer */
	CONN_DRAINING,  /* the rest of a refused body */
	CONN_LINGERING, /* nothing more is sent; waits until the peer has read the answer */
	CONN_CLOSED,    /* freed at the end of the turn */
	CONN_STATES,
};

struct worker;

struct conn {
	struct worker *worker; /* borrowed */
	struct list_node node;
	enum conn_state state;
	struct io_stream stream;
	struct io_timer timer; /* of the state */
	struct buffer in;      /* bytes of the next head, and what comes while it waits for this answer */
	bool paused;           /* receiving, for `in` is full */
	/* The request. */
	enum route route;
	bool keep_alive, head_only, http10, may_continue;
	struct http_body framing;
	struct buffer body;
	struct job job; /* owned */
	struct slot *slot;
	/* The answer. */
	char head[512];
	size_t head_bytes, sent;
};

struct worker {
	struct io *io;                 /* borrowed */
	const struct options *options; /* borrowed */
	const struct model *model;     /* borrowed */
	struct worker_listener {
		struct io_listener listener;
		struct worker *worker; /* borrowed: the owner */
	} listeners[LISTEN_MAX];
	uint32_t connections_max;
	struct slots slots;
	struct metrics metrics;
	struct list conns[CONN_STATES];
	bool stopping;
	uint64_t mean_us;     /* decaying, of short jobs; UINT64_MAX before the first */
	struct io_timer trim; /* gives memory back when the last large request is a while ago */
	struct rand rand;
	uint64_t date_s;
	char date[HTTP_DATE_BYTES + 1];
	struct http_head parsed; /* good while one head is dealt with */
};

/* ---- worker.c ---- */

/* Listens. options and model must outlive it. */
MUST_USE bool worker_init(struct worker *w, struct io *io, const struct options *options,
	const struct model *model, struct why *why);
void worker_finish(struct worker *w);

/* Takes no new request; the loop stops when what runs has been answered. */
void worker_stop(struct worker *w);

/* Requests to the model whose head has come and whose answer has not gone. */
uint32_t worker_in_flight(const struct worker *w);
uint32_t worker_connections(const struct worker *w);

/* ---- conn.c ---- */

/* NULL without memory. */
MUST_USE struct conn *conn_create(struct worker *w);
extern const struct io_stream_ops conn_ops;

/* The only way to change c->state. Stands the timer down. */
void conn_set_state(struct conn *c, enum conn_state state);
void conn_close(struct conn *c);

/* Deals with what came while the connection waited for its answer. */
void conn_resume(struct conn *c);

/* Frees what was closed. */
void conn_free_closed(struct worker *w);

/* ---- exchange.c: requests to the model ---- */

/* The head of a request to the model has come; `more`: bytes of its body are there. */
void exchange_begin(struct conn *c, const struct http_head *head, bool more);

/* Where the rest of a body of known length is to be received; NULL: anywhere. */
char *exchange_room(struct conn *c, size_t *ret_bytes);

/* Takes bytes of the body; returns how many. */
size_t exchange_body(struct conn *c, struct str in);

void exchange_on_timer(struct conn *c);
void exchange_on_run(struct slot *slot);

/* The client has gone. */
void exchange_left(struct conn *c);

void exchange_answer_done(struct worker *w);
void exchange_run_ready(struct worker *w);

/* ---- answer.c ---- */

/* Sends c->job.out. json_bytes: as in struct job. */
void answer_send(struct conn *c, int status, const char *content_type, size_t json_bytes);

/* Refuses in the form of the route: {"error": …} under /v2, else problem+json. extra: further fields, each
 * with its CRLF; static. */
void answer_refuse(struct conn *c, enum problem problem, const char *extra, const char *fmt, ...)
	PRINTF(4, 5);

/* Sends what the peer has not taken yet. */
void answer_go_on(struct conn *c);

/* ---- info.c: requests that need no slot ---- */

void info_answer(struct conn *c);
