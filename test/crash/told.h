/* told: every job that clients handed in, what they were told about it, and what containers saw of it; and
 * whether one fits the other.
 *
 * It knows nothing of the store: what was acknowledged must be there, in one state for good once that is a
 * final one, with one result; it must run in the order of the acknowledgements, and not at all if it was
 * refused or is over.
 *
 * A job's token is its number here; it travels in the query. Bodies are patterns, which token and delivery
 * decide.
 */
#pragma once
#include "base/str.h"
#include "store/store.h"

#include <stdbool.h>
#include <stdint.h>

struct crash_world;

enum { TOLD_JOBS = 64, TOLD_DELIVERIES = 64 };

/* How a job is handed in. */
enum handing {
	HAND_SUBMIT, /* POST /new_request */
	HAND_ASYNC,  /* Prefer: respond-async */
	HAND_WAIT,   /* … with wait=1: it may be answered at once, and is no job then */
	HANDINGS,
};

struct told_job {
	enum handing handing;
	bool keyed; /* with an Idempotency-Key: it may be handed in again */
	uint32_t body_bytes;
	bool pending;            /* a client waits for the answer to its submission */
	uint32_t life_handed_in; /* the last */
	uint32_t crashes_before; /* when it was first handed in */
	uint64_t handed_in;      /* the moment; 0: not yet */
	bool handed_in_again;
	uint64_t acknowledged; /* the moment; 0: not yet */
	char id[STORE_ID_CHARS + 1];
	bool refused;               /* as its client was told */
	bool answered;              /* at once, by a container */
	int final;                  /* enum store_state, as told; -1: not yet */
	bool gone;                  /* told: it is not kept */
	uint64_t final_at, gone_at; /* the moments */
	bool cancel_sent;
	uint32_t life_settled;   /* the last in which its end was told, with its result */
	uint32_t told_delivery;  /* whose answer is the result, as told; 0: not yet */
	uint32_t deliveries;     /* to containers */
	uint64_t answers;        /* a bit each: which of these a container has answered */
	uint32_t life_delivered; /* the last */
};

struct told {
	struct told_job jobs[TOLD_JOBS];
	uint32_t n;
	uint64_t moment; /* rises with each thing that happens */
};

/* ---- bodies; delivery 0: the request's ---- */

void told_fill(char *into, uint32_t token, uint32_t delivery, size_t n);
bool told_fits(uint32_t token, uint32_t delivery, uint64_t from, struct str bytes);

/* ---- what happens; each fails the run when it does not fit ---- */

/* The next job, or the same once more. */
void told_handed_in(struct crash_world *w, struct told_job *j);
void told_acknowledged(struct crash_world *w, struct told_job *j, const char *id);
void told_refused(struct crash_world *w, struct told_job *j);

/* Its state, in whatever way. asked: the moment; what is older than it need not be known yet. */
void told_state(struct crash_world *w, struct told_job *j, enum store_state state, uint64_t asked);

/* Its whole result: the answer to this delivery. */
void told_result(struct crash_world *w, struct told_job *j, uint32_t delivery, uint64_t asked);

/* There is no such job, it says. */
void told_gone(struct crash_world *w, struct told_job *j);

/* DELETE was answered with this status. */
void told_cancelled(struct crash_world *w, struct told_job *j, int status, uint64_t asked);

/* A container has its whole request. Returns the number of the delivery. */
uint32_t told_delivered(struct crash_world *w, struct told_job *j);

static inline bool told_is_job(const struct told_job *j)
{
	return j->acknowledged != 0;
}
