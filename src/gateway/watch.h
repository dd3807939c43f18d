/* watch: a client that waits for something about a job: its place, news, its end, or a record from the store.
 *
 * A watch lives from the client's request until it is answered; it goes to the graveyard then, or, when the
 * store is being asked just then, once the store has answered. Until the end of the turn its client is NULL.
 */
#pragma once
#include "store/store.h"

#include <stdbool.h>
#include <stdint.h>

struct client;
struct job;
struct reactor;

enum watch_kind {
	WATCH_MESSAGE,  /* a submission: 200 with the message, once it is committed */
	WATCH_ACCEPTED, /* a submission: 202 */
	WATCH_STATUS,   /* the record, from the store */
	WATCH_RESULT,   /* the answer; waits until deadline_us for it */
	WATCH_EVENTS,   /* server-sent events until the end */
	WATCH_CANCEL,   /* DELETE */
	WATCH_LIST,     /* the admin listener's list */
	WATCH_KEY,      /* a submission whose Idempotency-Key is looked up first */
};

struct watch {
	struct client *client;   /* borrowed; NULL once it has left or been answered */
	struct reactor *reactor; /* borrowed */
	struct job *job;         /* borrowed; while on its list */
	struct watch *next;      /* on job->watches, or in the graveyard */
	struct store_id id;
	enum watch_kind kind;
	bool asking;      /* the store has yet to answer */
	bool begun;       /* the answer's head has gone */
	bool applied;     /* Prefer was, and the answer says so */
	bool then_events; /* a submission that goes on as a stream of events */
	bool accepts;     /* a submission that waits for its result: at deadline_us it is a 202 */
	uint32_t told_position, told_changes; /* UINT32_MAX: nothing yet */
	bool told_end;                        /* there is nothing more to come */
	bool ran;                             /* what is cancelled: its container is another matter */
	bool waits; /* for a result: until deadline_us; else only until an end that is on its way is stored */
	uint64_t deadline_us; /* of the loop's clock; 0: none */
	uint64_t beat_us;
	uint64_t at, total;             /* of a long answer's body */
	uint8_t hash[STORE_HASH_BYTES]; /* of a submission with a key */
};

/* The client waits from now on. NULL without memory. */
struct watch *watch_new(struct client *c, enum watch_kind kind, const struct store_id *id);

/* Likewise, and without memory the client has been told so. */
struct watch *watch_create(struct client *c, enum watch_kind kind, const struct store_id *id);

/* On the job's list: it is told what becomes of it. w may be NULL. */
void watch_follow(struct watch *w, struct job *job);

/* The client of a submission that has yet to be answered, its own again; NULL: there is none. */
struct client *watch_give_back(struct job *job);

/* Follows the job as a stream of events, until its end. */
void watch_begin_events(struct watch *w, struct job *job);

/* Nothing comes of it after all; its client is answered otherwise. w may be NULL. */
void watch_discard(struct watch *w);

/* The client is gone. */
void watch_leave(struct watch *w);

/* The client has taken all that it was sent. */
void watch_taken(struct watch *w);

/* The client's timer. */
void watch_timer(struct watch *w);

/* Asks the store for the record, the answer, … as the kind says. */
void watch_ask(struct watch *w);

/* Looks the key of the client's exchange up: it is submitted when the key is new. */
void watch_key(struct watch *w);

/* Lists jobs. */
void watch_list(struct watch *w, const struct store_filter *filter);

/* What became of the job. */
void watch_job_committed(struct job *job);
void watch_job_refused(struct job *job, const struct store_reply *reply);
void watch_job_stuck(struct job *job); /* its end cannot be stored yet */
void watch_job_news(struct job *job);
void watch_job_over(struct job *job);
void watch_job_left(struct job *job); /* in the queue, for the next start */
