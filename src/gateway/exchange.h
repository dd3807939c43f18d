/* exchange: one client request and its answer, from the first byte of its head to the last of its answer; a
 * job's likewise.
 *
 *   RECEIVING ──admit──▶ QUEUED ──match──▶ RUNNING ──answer's last byte──▶ OVER
 *       │ refused           │ left, waited     │ left: orphan, until the container has finished
 *       └───────────────────┴──▶ OVER          │ (the slot is a zombie)
 *                                              └ failed: back to QUEUED, or OVER with a problem
 *
 * Owns:  the request as it goes to the container (head and body), until the container's answer has ended; a
 *        job's only while its turn is near.
 * Ends:  in exactly one of exchange_answer (with its last part), exchange_problem, exchange_leave.
 */
#pragma once
#include "core/pool.h"
#include "core/retry.h"
#include "gateway/buffer.h"
#include "gateway/forward.h"
#include "http/body.h"
#include "http/parse.h"
#include "http/problem.h"

#include <sys/uio.h>

struct client;
struct fingerprint;
struct job;
struct reactor;
struct route;
struct upstream;

enum {
	PART_SLICES = 12,
	HEAD_ALLOWANCE = 16 * 1024, /* what a held answer's head may take beside retry_buffer */
};

/* A piece of an answer on its way from the container to the client; slices are good for the callback only. */
struct answer_part {
	const struct http_head *head;   /* with the first piece of each answer, else NULL */
	enum http_framing framing;      /* of the container's answer */
	struct iovec body[PART_SLICES]; /* payload, without chunk framing */
	int n_body;
	size_t body_bytes;
	bool end;
};

/* The request, and what its client wants: all that an exchange does not need while it only waits. A job whose
 * turn is far has none, and gets it back from the store. */
struct request {
	struct buffer *body;             /* owned; the rest of a long or chunked body, else NULL */
	struct held *held;               /* owned; NULL while nothing of the answer is held back */
	char *key;                       /* owned; its Idempotency-Key, or NULL */
	struct fingerprint *fingerprint; /* owned; with a key: of what has come so far */
	uint64_t queued_us;              /* since when it waits: for the first time, or again */
	uint64_t wait_until_us;          /* of the loop's clock; 0: none */
	uint64_t answer_bytes;           /* of the answer's body so far */
	uint64_t body_bytes;             /* of a job's body, while that is read back */
	uint32_t bytes, cap;             /* of text */
	uint32_t head_bytes;             /* of text: where the body begins */
	uint16_t heartbeat_s;            /* 0: no heartbeats were asked for */
	char text[];                     /* the head as the container gets it, and a short body */
};

/* A million jobs may wait: what they do not need is in struct request. */
struct exchange {
	struct ticket ticket;      /* its node: in the queue, or in the graveyard */
	struct route *route;       /* borrowed */
	struct client *client;     /* borrowed; NULL for a job, and once it has left */
	struct job *job;           /* borrowed; NULL when there is none */
	struct upstream *upstream; /* borrowed; while RUNNING */
	struct request *request;   /* owned; NULL for a job that waits far back in the queue */
	uint16_t status;           /* of the answer, for the access log; 0: none */
	uint8_t method;            /* enum http_method, as the container is asked */
	uint8_t bounces;           /* busy answers so far */
	uint8_t undelivered;       /* of the ticket's attempts, those that never reached a container */
	uint8_t minor_version;     /* the client's */
	bool keep_alive : 1;       /* the client's wish */
	bool head_open : 1;        /* the request's head lacks its end: the body's length is not known yet */
	bool answering : 1;        /* bytes of the final answer have gone to the client */
	bool chunked_answer : 1;   /* the client gets it chunked */
	bool holding : 1;          /* the answer is held back until it is whole */
	bool beating : 1;          /* an event stream was begun while it waited */
	bool upgrade : 1;          /* it asks to switch protocols */
	bool submit : 1;           /* becomes a job: 200 with the message, at once */
	bool respond_async : 1;    /* becomes a job: 202, at wait_until_us at the latest */
	bool wants_events : 1;     /* … and its events */
	bool claiming : 1;         /* its start is being committed: nothing may be sent before */
	bool submitting : 1;       /* it becomes a job as soon as its body's file is written */
	bool lent : 1;             /* the store is reading its request, which stays until it has */
	bool discarded : 1;        /* … and then it is freed */
};

/* Attempts that a container may have run. */
static inline uint32_t exchange_runs(const struct exchange *ex)
{
	return (uint32_t)ex->ticket.attempts - ex->undelivered - ex->bounces;
}

/* Of a job whose start cannot be stored: on its route's list aside. */
static inline bool exchange_is_aside(const struct exchange *ex)
{
	return ex->ticket.state == TICKET_NEW && list_linked(&ex->ticket.entry.node);
}

/* ---- its request; in request.c ---- */

/* A new exchange in RECEIVING with its head serialised; NULL at a limit. method and path: what the container
 * is asked for. */
MUST_USE struct exchange *exchange_create(struct route *route, struct client *c, const struct http_head *head,
	enum http_method method, struct str method_name, struct str path, bool durable);

/* More of the body. 0 or -errno at a limit (answer with PROBLEM_OVERLOADED). */
MUST_USE int exchange_receive(struct exchange *ex, struct str payload);

/* All of the body is here: a chunked request goes on with the length that it turned out to have. -ENOMEM. */
MUST_USE int exchange_received(struct exchange *ex);

/* All of the request is in memory or in its file. */
bool exchange_is_written(const struct exchange *ex);

/* Memory that it takes while it waits: what is in a spool file does not count. */
uint32_t exchange_waiting_bytes(const struct exchange *ex);

/* A job's request is given up while it waits, and read back later: in pieces, the head with the first.
 * -ENOMEM. */
void exchange_drop_request(struct exchange *ex);
MUST_USE int exchange_load(struct exchange *ex, struct str head, struct str piece, uint64_t body_bytes);

/* Of the body, so far. */
uint64_t exchange_loaded_bytes(const struct exchange *ex);

/* ---- its way ---- */

/* Would it be refused if it were complete now? PROBLEM_COUNT: no. */
enum problem exchange_precheck(struct exchange *ex, const struct http_head *head);

/* The request is complete: it runs, waits, or is refused, which has been answered then (and false is
 * returned). */
bool exchange_admit(struct exchange *ex);

/* The client has left, or gave up: an exchange that waits or is received is over, one that runs becomes an
 * orphan. */
void exchange_leave(struct exchange *ex);

/* Over with one of Berth's own answers. Cuts the connection when part of an answer has gone already. */
void exchange_problem(struct exchange *ex, enum problem p, const char *detail);

/* From the container. The last part ends the exchange. In answer.c. */
void exchange_answer(struct exchange *ex, const struct answer_part *part);

/* The container failed it, and its ticket has no slot any more: tried again, or over. */
void exchange_failed(struct exchange *ex, enum failure failure);

/* The container said busy; the ticket has no slot any more: back into the queue. */
void exchange_bounced(struct exchange *ex);

/* It could not be sent for want of something of Berth's own; likewise. */
void exchange_hindered(struct exchange *ex);

/* A sign of life for a client whose event stream waits in the queue. In answer.c. */
void exchange_beat(struct exchange *ex);

/* Ends an event stream that was begun so with an event. In answer.c. */
void exchange_problem_event(struct client *c, enum problem p, const char *detail);

/* Forgets what was held back of an answer. In answer.c. */
void exchange_drop_held(struct exchange *ex);

/* Its reserved place is taken: it runs or waits. False without memory. */
bool exchange_join(struct exchange *ex);

/* Over without an answer to anybody: its job has ended some other way. */
void exchange_drop(struct exchange *ex);

/* Over before it was admitted, its client being answered by somebody else. */
void exchange_forget(struct exchange *ex);

/* The store reads the request, from another thread, until exchange_returned: which frees the exchange if it
 * has been given up meanwhile. */
void exchange_lend(struct exchange *ex);
void exchange_returned(struct exchange *ex);

/* A job that waits gives its request up. */
void exchange_unload(struct exchange *ex);

/* A job that runs, and of which nothing was sent, gives its slot and its request back: ticket_set_aside. */
void exchange_set_aside(struct exchange *ex);
/* All of it is in memory again, or nobody needs it any more. */
void exchange_ready(struct exchange *ex);

/* A job's exchange of an earlier life, without its request. NULL without memory. */
struct exchange *exchange_restore(struct route *route, uint64_t number, uint32_t method);

/* What an orphan or an ended exchange kept is given back at the end of the turn. */
void exchange_bury(struct exchange *ex);
void exchange_free(struct exchange *ex);

/* Sends waiting requests to free slots until one of the two has run out. */
void route_pump(struct route *route);

/* Retry-After for a newcomer. */
uint32_t route_retry_after_s(struct route *route);
