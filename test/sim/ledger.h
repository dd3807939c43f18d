/* ledger: every request of a run, what became of it on both sides, and whether that was right.
 *
 * A request's token is its number here; it travels in the query, and comes back in the answer's X-Token with
 * the number of the delivery that was answered. Bodies are a pattern that token and direction decide, so that
 * neither side keeps them and a byte of another request shows.
 */
#pragma once
#include "base/rand.h"
#include "http/parse.h"
#include "http/problem.h"
#include "http/write.h"

#include <stdbool.h>
#include <stdint.h>

struct world;

enum ask_kind {
	ASK_PLAIN,  /* goes to a container */
	ASK_SUBMIT, /* becomes a job */
	ASK_POLL,   /* a job's state */
	ASK_RESULT, /* a job's result */
	ASK_CANCEL, /* a job's end */
	ASK_EVENTS, /* what becomes of a job, as it comes */
	ASK_OWN,    /* another resource of Berth's */
	ASK_BAD,    /* breaks a rule; nothing of it reaches a container */
};

enum fate {
	FATE_OPEN,
	FATE_ANSWERED, /* by a container; or by Berth, as it was asked to */
	FATE_PROBLEM,
	FATE_LEFT, /* its client left */
	FATE_CUT,  /* the connection ended before the whole answer, for a reason */
	FATES,
};

struct record {
	uint64_t started_us; /* when its client began to send it */
	uint64_t sent_us;    /* when the last byte had left the client; UINT64_MAX: not yet */
	uint64_t idled_us;   /* its connection, before it */
	uint32_t body_bytes; /* of the request */
	uint32_t job;        /* ASK_POLL to ASK_EVENTS: the token of the job's own request */
	uint16_t status;     /* ASK_OWN, ASK_BAD: what must be answered */
	uint8_t kind;        /* enum ask_kind */
	uint8_t method;      /* enum http_method, as the client sends it */
	uint8_t pool;
	uint8_t fate;      /* enum fate; of a job's request: of its 200 */
	uint8_t job_fate;  /* ASK_SUBMIT: of the job, once its result has been read */
	bool old;          /* HTTP/1.0 */
	bool has_body;     /* which may be empty, if it is chunked */
	bool stalled;      /* its client stops sending it */
	bool max_wait;     /* it sets a limit to its wait */
	bool async;        /* ASK_PLAIN: it may become a job */
	bool waits;        /* … if the answer is not there within a second */
	bool cancelled;    /* as a job */
	bool acknowledged; /* ASK_SUBMIT: the client has its 200 */
	/* of its last delivery */
	uint64_t delivered_us; /* 0: there was none */
	uint8_t deliveries;    /* heads of it that containers have read */
	uint8_t bounces;       /* … to which they said busy */
	bool whole;            /* the container has read all of it */
	bool answered;         /* the container has sent a whole answer that keeps the rules */
	bool harmed;           /* the container did something that may cost the answer */
	bool bounced;          /* the container has said busy */
	bool maybe_stale;      /* it ended so that Berth may think that it never arrived */
	bool answer_empty;     /* 204, 304 or to a HEAD */
	uint16_t answer_status;
	uint32_t answer_bytes;
	uint32_t position; /* ASK_SUBMIT: the place in the queue that it must be told; 0: not known */
};

enum { PATTERN_BYTES = 4096 };

struct ledger {
	struct record *records; /* owned */
	uint32_t n, cap;
	char pattern[PATTERN_BYTES * 2]; /* twice the same, so that any piece is contiguous */
};

enum side { SIDE_REQUEST, SIDE_ANSWER };

void ledger_init(struct ledger *l);
void ledger_finish(struct ledger *l);

/* The new record's token. */
uint32_t ledger_add(struct ledger *l, struct record r);

static inline struct record *ledger_at(struct ledger *l, uint32_t token)
{
	return &l->records[token];
}

/* Bytes [from, from + n) of a body. */
void pattern_write(
	const struct ledger *l, struct writer *w, uint32_t token, enum side side, uint64_t from, size_t n);
bool pattern_fits(const struct ledger *l, uint32_t token, enum side side, uint64_t from, struct str bytes);

/* The value of t= in a query; UINT32_MAX when there is none that the ledger knows. */
uint32_t ledger_token(const struct ledger *l, struct str query);

/* ---- judgements: each fails the run when it does not hold ---- */

/* Berth has answered the request (or ended the job) with this problem. */
void judge_problem(struct world *w, uint32_t token, enum problem p);

/* There were more connections than are allowed, not long ago. */
bool judge_crowd(struct world *w);

/* There was no room for something not long ago. */
bool judge_overload(struct world *w);

/* May what was sent behind another request have met no room for it? */
bool judge_no_room_behind(struct world *w, uint32_t token);

/* The machine did not give something not long ago. */
bool judge_want(struct world *w);

/* May the connection end without the whole answer? some_answer: its head has come. */
bool judge_cut(struct world *w, uint32_t token, bool some_answer);

/* A container has read the head of the request. */
void judge_delivery(struct world *w, uint32_t token);
