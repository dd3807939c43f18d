/* upstream: a slot's kept-alive connection to its container.
 *
 * Owns:   the stream. One struct upstream for each slot, as long as its container is known.
 * Rule:   when an answer's last byte is in, the slot's next request goes out before the answer is passed on.
 */
#pragma once
#include "core/pool.h"
#include "http/body.h"
#include "http/parse.h"
#include "io/io.h"

struct backend;
struct exchange;

enum upstream_phase {
	UPSTREAM_CLOSED,
	UPSTREAM_CONNECTING,
	UPSTREAM_IDLE, /* connected, nothing asked */
	UPSTREAM_HEAD, /* asked; the answer's head is to come */
	UPSTREAM_BODY,
};

struct upstream {
	struct io_stream stream;
	struct io_timer timer;
	struct backend *backend;   /* borrowed: the owner */
	struct slot *slot;         /* borrowed */
	struct exchange *exchange; /* borrowed; NULL when idle or probing */
	enum upstream_phase phase;
	uint64_t sent_bytes; /* of the request */
	bool sent_all;
	bool proven;     /* an answer has come over this connection */
	bool keep_alive; /* the container's word in the answer at hand */
	bool got_bytes;  /* of the answer at hand */
	bool paused;     /* the client's buffer is behind */
	bool zombie;     /* given up; what comes is thrown away */
	struct http_body body;
	char *partial; /* owned; the beginning of a head */
	uint32_t partial_bytes;
	uint64_t asked_us;
	int status; /* of the answer at hand */
};

void upstream_init(struct upstream *u, struct backend *b, struct slot *s);

/* Closes it; an exchange that is with it is buried. */
void upstream_finish(struct upstream *u);

/* The core has matched them: sends the request, or connects for it. */
void upstream_dispatch(struct upstream *u, struct exchange *ex);

/* The slot is CONNECTING without an exchange: to see whether its container is there. */
void upstream_connect(struct upstream *u);

/* The slot is BUSY with a probe, connected: asks. */
void upstream_probe(struct upstream *u);

/* The client's buffer is behind: nothing more is taken from the container until upstream_resume. */
void upstream_pause(struct upstream *u);

/* The client's buffer has caught up. */
void upstream_resume(struct upstream *u);

/* More of a long request's body has come back from its file. */
void upstream_send_more(struct upstream *u);

/* The exchange of u is an orphan now: no time-outs of its client's any more, but those that end the zombie.
 */
void upstream_give_up(struct upstream *u);
