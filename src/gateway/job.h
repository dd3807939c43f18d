/* job: exchanges whose clients do not wait on the connection. What was acknowledged is in the store.
 *
 *   submitted ──committed──▶ QUEUED ──▶ RUNNING ──▶ its end is on its way to the store ──committed──▶ gone
 *
 * In memory are only the jobs that are not over; the store has them all. The order number is given at
 * admission; the job joins the queue, and its place is told, when its commit is through. Of the jobs that
 * wait, the first 2 × slots have their requests in memory; the others' are read back when their turn comes
 * near, so that a slot never waits for the disk. Ids are 128 random bits: knowing one is the right to read
 * the job.
 * Owns:  the jobs, the store, and the answers that are on their way to it.
 */
#pragma once
#include "base/str.h"
#include "io/io.h"
#include "store/store.h"

#include <stdbool.h>
#include <stdint.h>

struct exchange;
struct job_answer;
struct reactor;
struct route;
struct settings;
struct watch;

struct job {
	struct job *next;   /* in its bucket */
	struct jobs *table; /* borrowed: the owner */
	struct store_id id;
	struct exchange *exchange;       /* borrowed; NULL once its end is on its way to the store */
	struct exchange *lender;         /* borrowed; until it is committed: the store reads its request */
	struct watch *watches;           /* borrowed: clients that wait for news */
	struct job_answer *answer;       /* owned; NULL until it begins */
	uint64_t created_us, started_us; /* wall clock; 0: not yet */
	uint64_t deadline_us;            /* wall clock; 0: none */
	uint32_t changes;                /* of state; part of the events' ids */
	uint8_t state;                   /* enum store_state; the end's while it is on its way */
	uint8_t before;                  /* … and then, the one before */
	uint8_t claims;                  /* of its start that the store has not answered */
	bool committed : 1;
	bool loading : 1;   /* a piece of its request is being read back */
	bool delayed : 1;   /* … which a limit has stopped, and a warning was written */
	bool over : 1;      /* it goes once these have come */
	bool stuck : 1;     /* its end could not be stored: tried again */
	bool warned : 1;    /* … and a warning was written */
	bool cancelled : 1; /* the end that is on its way is a client's wish */
};

struct jobs {
	struct reactor *reactor; /* borrowed: the owner */
	struct store *store;     /* owned */
	struct job **buckets;    /* owned; a power of two of them */
	uint32_t n_buckets;
	uint32_t count; /* in memory: not over */
	uint32_t n_stuck;
	uint32_t n_unready;       /* that wait without their requests in memory */
	uint64_t answer_bytes;    /* of answers on their way to the store, in memory or in files */
	uint64_t asked_bytes;     /* of results that the store is reading for clients, at most */
	struct watch *unanswered; /* owned: their clients have left, and the store has yet to answer */
	bool durable;
	bool used;                  /* there has been a job: the store is tidied */
	struct io_timer tidy_timer; /* purges, expires, tries again */
};

/* Opens the store and takes its unfinished jobs back into their queues. False with one line in `error`. */
MUST_USE bool jobs_init(struct jobs *j, struct reactor *r, char *error, size_t error_size);

/* A pool that has joined takes its jobs of an earlier run back; those that there is no room for keep their
 * places for the next start. */
void jobs_adopt(struct jobs *j, const char *pool);

/* Takes the limits and ages of other settings over; the store stays the one that it is. */
void jobs_follow(struct jobs *j, const struct settings *s);

/* Carries out what was called and closes the store. The jobs' exchanges must be there still. */
void jobs_close(struct jobs *j);
void jobs_finish(struct jobs *j);

/* The job with this id that is not over; NULL: the store knows. */
struct job *jobs_find(struct jobs *j, const struct store_id *id);

/* Its end is on its way to the store: a moment later there is more to say. */
static inline bool job_is_ending(const struct job *job)
{
	return !job->exchange && !job->over && !job->stuck;
}

struct job_request {
	struct str key; /* Idempotency-Key; empty: none */
	uint8_t hash[STORE_HASH_BYTES];
};

/* The exchange goes on as a job: its client is let go, and `w` (may be NULL) is told when it is committed, or
 * refused. A whole request that has not been admitted (its place is reserved here), or one that waits or
 * runs. False when it is refused, and the client has been told so. */
bool job_submit(struct exchange *ex, struct watch *w, const struct job_request *req);

/* One that waits until its start can be stored: its place among those, from 1. */
uint32_t job_position_aside(const struct job *job);

/* ---- what happens to its exchange ---- */

/* It has a slot. With job.retry: never that is committed before the request is sent; where it cannot even be handed to
 * the store (-errno), job_cannot_run sets the job aside once the slot's connection has its exchange. */
MUST_USE int job_running(struct job *job);
void job_cannot_run(struct job *job, int err);
void job_queued_again(struct job *job, const char *reason);

/* A piece of the answer: -EFBIG past jobs.max_result_bytes, or what buffer_append says. In job_answer.c. */
MUST_USE int job_answer_head(struct job *job, uint32_t status, struct str fields);
MUST_USE int job_answer_body(struct job *job, const char *bytes, size_t n);

/* The disk is slower than the container, which shall pause: it is resumed. */
bool job_answer_is_behind(const struct job *job);

/* The answer is whole, or it failed. The exchange is not the job's any more. */
void job_done(struct job *job);
void job_failed(struct job *job, const char *reason);

/* By its client's wish; `w` is told. */
void job_cancel(struct job *job);

/* Those at the front of the queue whose deadline has passed are over, and do not run. */
void jobs_expire(struct route *route);

/* Reads the requests back of jobs whose turn comes near. */
void jobs_prefetch(struct route *route);

/* The file of a request that is read back has taken what it was given. */
void job_request_ready(struct job *job);

/* Gives up the request's memory if the job's turn is far. */
void job_settle_in_queue(struct job *job);

/* While draining with a durable store: what waits is left for the next start. */
void jobs_leave_queue(struct jobs *j);
