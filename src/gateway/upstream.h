/* upstream: a slot's kept-alive connection to its container.
 *
 * Owns:   the stream. One struct upstream for each slot, as long as its container is known.
 * Rule:   when an answer's last byte is in, the slot's next request goes out before the answer is passed on.
 */
#pragma once
#include "core/pool.h"
#include "core/retry.h"
#include "http/body.h"
#include "http/parse.h"
#include "io/io.h"

struct answer_part;
struct backend;
struct exchange;
struct pool_settings;
struct tunnel;

enum upstream_phase {
	UPSTREAM_CLOSED,
	UPSTREAM_CONNECTING,
	UPSTREAM_IDLE, /* connected, nothing asked */
	UPSTREAM_HEAD, /* asked; the answer's head is to come */
	UPSTREAM_BODY,
	UPSTREAM_TUNNEL, /* the protocol was switched: bytes pass both ways */
};

enum probe_kind {
	PROBE_NONE,
	PROBE_IDLE,   /* is nothing in flight any more? */
	PROBE_HEALTH, /* is it ready? */
};

struct upstream {
	struct io_stream stream;
	struct io_timer timer;
	struct backend *backend;   /* borrowed: the owner */
	struct slot *slot;         /* borrowed */
	struct exchange *exchange; /* borrowed; NULL when idle or probing */
	enum upstream_phase phase;
	enum probe_kind probe; /* what the answer at hand answers */
	bool sent_all;
	bool proven;     /* an answer has come over this connection */
	bool keep_alive; /* the container's word in the answer at hand */
	bool got_bytes;  /* of the answer at hand */
	bool bounced;    /* the answer at hand says busy: it is thrown away, and the request goes elsewhere */
	bool event_stream; /* the answer at hand is one: it may last */
	bool paused;       /* the client's buffer is behind */
	bool zombie;       /* given up; what comes is thrown away */
	bool overdue; /* a zombie that has taken its container out, or a health check: its time is over */
	struct http_body body;
	char *partial; /* owned; the beginning of a head, or of an idle probe's body */
	uint32_t partial_bytes;
	uint64_t sent_bytes; /* of the request */
	uint64_t asked_us;
	uint64_t zombie_us;                /* when a zombie takes its container out */
	uint64_t ask_again_us;             /* the next pause between two idle probes */
	const struct pool_settings *rules; /* borrowed: by which it is probed, or was given up; else NULL */
	int status;                        /* of the answer at hand */
	int connect_err;                   /* by which it could not be connected at once: -errno, or 0 */
	int send_err; /* < 0: the container takes no more of the request; it may have answered all the same */
	struct tunnel *tunnel; /* owned; while TUNNEL, else NULL */
};

void upstream_init(struct upstream *u, struct backend *b, struct slot *s);

/* Closes it; an exchange that is with it is buried. */
void upstream_finish(struct upstream *u);

/* The core has matched them: sends the request, or connects for it. */
void upstream_dispatch(struct upstream *u, struct exchange *ex);

/* What its exchange waited for before it could be sent has come. */
void upstream_claimed(struct upstream *u);

/* The slot is CONNECTING without an exchange: to see whether its container is there; or a ZOMBIE that is to be
 * asked. 0, or -errno of what failed at once, with which a fresh event deals. */
int upstream_connect(struct upstream *u);

/* A probe's slot (BUSY, or a ZOMBIE's) is connected: asks. In prober.c. */
void upstream_probe(struct upstream *u, enum probe_kind kind);

/* Is there an idle probe by which a zombie can be asked? A request that was given up before a reload took the
 * probe away may still run: it is asked by the last that there was. In prober.c. */
bool upstream_may_ask(struct upstream *u);

/* The health check at hand is not answered in time. In prober.c. */
void upstream_check_late(struct upstream *u);

/* The probe at hand has its whole answer. In prober.c. */
void upstream_probed(struct upstream *u, bool keep);

/* Keeps a piece of an idle probe's answer. In prober.c. */
void upstream_probe_body(struct upstream *u, const char *bytes, size_t n);

/* Asks again later whether a zombie is over; takes the container out when it is overdue. In prober.c. */
void upstream_ask_again(struct upstream *u);

/* The slot's connection is of no more use. what: for the log; NULL when it is nothing to speak of. */
void upstream_failed(struct upstream *u, enum failure failure, const char *what);

/* The slot's connection did not come to be, by this -errno. True when that says nothing about the container,
 * for it is this machine that lacks something: the request waits in its old place for another try. In
 * upstream_ask.c. */
MUST_USE bool upstream_hindered(struct upstream *u, int err);

/* The answer's last byte is in, or the probe is through; keep: the connection may be used again. part: for
 * the exchange, the last of its answer; NULL when there is none to tell. */
void upstream_answered(struct upstream *u, bool keep, struct answer_part *part);

void upstream_close(struct upstream *u);

/* ---- between upstream.c, upstream_ask.c and upstream_answer.c ---- */

extern const struct io_stream_ops upstream_stream_ops;

/* Sends the request of u->exchange over the open connection. */
void upstream_ask(struct upstream *u);

/* The file that holds the request's body has failed. The client is told, and the container is not to blame.
 */
bool upstream_request_is_lost(const struct upstream *u);
void upstream_request_lost(struct upstream *u);

/* When u's timer fires next: after_us from now, or when timeouts.total is over. */
void upstream_set_deadline(struct upstream *u, uint64_t after_us);

/* Bytes that came while the answer's head was to come. */
void upstream_take_head(struct upstream *u, const char *bytes, size_t n);

/* Bytes of the answer's body. head: with the first. */
void upstream_take_body(struct upstream *u, const struct http_head *head, const char *bytes, size_t n);

/* All of the answer at hand is in. */
void upstream_answer_ended(struct upstream *u, bool keep, struct answer_part *part);

/* The connection has ended: by the container with 0, else by an error < 0. how: for the log. */
void upstream_ended(struct upstream *u, int err, const char *how);

/* Parts u from its exchange, which is returned; NULL when it has none. */
struct exchange *upstream_detach(struct upstream *u);

/* Makes u ready for another answer. */
void upstream_forget(struct upstream *u);

/* The client's buffer is behind: nothing more is taken from the container until upstream_resume. */
void upstream_pause(struct upstream *u);

/* The client's buffer has caught up. */
void upstream_resume(struct upstream *u);

/* More of a long request's body has come back from its file. */
void upstream_send_more(struct upstream *u);

/* The exchange of u is an orphan now: no time-outs of its client's any more, but those that end the zombie.
 */
void upstream_give_up(struct upstream *u);

/* Likewise, of an exchange of which nothing was sent: its own again, which is returned. */
struct exchange *upstream_give_back(struct upstream *u);

/* Closes the connection in the middle of a request that was given up. The container may have begun to run
 * what it has of it, so the idle probe, which there must be, is asked when it is over. Twice is once. */
void upstream_break_off(struct upstream *u);
