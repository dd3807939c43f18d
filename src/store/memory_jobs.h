/* memory_jobs: the jobs of the memory engine, by id, by idempotency key, by age and by end.
 *
 * Owns:       the jobs, their messages and strings.
 * Invariant:  a job is in ids and on by_age; it is in keys while it has a key; once it is final, it is on
 *             with_answer or on without, as `held` says. The lists' lengths are the only counts.
 */
#pragma once
#include "base/list.h"
#include "store/store.h"

struct memory_job {
	struct list_node id_node, key_node; /* in their buckets */
	struct list_node age_node;          /* on by_age */
	struct list_node end_node;          /* on with_answer or without, once it is final */
	uint64_t seq;                       /* of arrival */
	struct store_record record;         /* its strings are those below */
	char *message;                      /* owned; head and body, while held */
	char *container, *reasons;          /* owned; NULL: none */
	char pool_and_key[];
};

struct memory_jobs {
	const struct store_settings *limits; /* borrowed */
	struct list *ids, *keys;             /* owned: buckets */
	uint32_t n_buckets;                  /* of each; a power of two */
	struct list by_age;                  /* oldest first, by creation and arrival */
	struct list with_answer, without;    /* oldest end first */
	uint64_t bytes;                      /* of the messages held */
	uint64_t unfinished_bytes;           /* of those: what never gives way */
	uint64_t next_seq;
};

/* 0 or -ENOMEM. limits stay the caller's. */
MUST_USE int memory_jobs_init(struct memory_jobs *m, const struct store_settings *limits);
void memory_jobs_finish(struct memory_jobs *m);

/* NULL: there is none. */
struct memory_job *memory_jobs_find(struct memory_jobs *m, const struct store_id *id);

/* The job that holds this key; a key past its age is forgotten. */
struct memory_job *memory_jobs_find_key(
	struct memory_jobs *m, struct str pool, struct str key, uint64_t now_us);

/* A new QUEUED job that is not there yet, with a message (malloc'ed) that becomes its own. NULL without
 * memory. */
MUST_USE struct memory_job *memory_jobs_add(
	struct memory_jobs *m, const struct store_job *from, char *message, uint64_t body_bytes);

/* The answer, which becomes the job's own, takes the request's place. */
void memory_jobs_set_message(
	struct memory_jobs *m, struct memory_job *j, char *message, size_t head_bytes, uint64_t body_bytes);

/* Into a final state. What is not DONE keeps no message. */
void memory_jobs_end(struct memory_jobs *m, struct memory_job *j, enum store_state state, uint64_t now_us);

void memory_jobs_remove(struct memory_jobs *m, struct memory_job *j);

/* The oldest finished give way to a new job of so many bytes. 0; -EDQUOT when even all of them would not be
 * enough: then none does. */
MUST_USE int memory_jobs_make_room(struct memory_jobs *m, uint64_t bytes);

/* Removes one record or answer that is past its age or over a limit; false when there is none. */
bool memory_jobs_purge_one(struct memory_jobs *m, uint64_t now_us);
