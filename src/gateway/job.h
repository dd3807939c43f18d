/* job: exchanges whose clients do not wait on the connection, in memory.
 *
 * A job's id is 128 random bits: knowing it is the right to read it. Finished jobs are kept within limits of
 * number, bytes and age; the oldest finished go first. A job that runs or waits is never dropped: at the
 * limit of number new ones are refused. Owns:   the jobs and their results.
 */
#pragma once
#include "base/list.h"
#include "base/str.h"
#include "io/io.h"

#include <stdbool.h>
#include <stdint.h>

enum { JOB_ID_CHARS = 32 };

enum job_state { JOB_QUEUED, JOB_RUNNING, JOB_DONE, JOB_FAILED };

struct exchange;

struct job {
	struct list_node hash_node; /* in its bucket */
	struct list_node age_node;  /* in jobs->finished, oldest first, once it is over */
	char id[JOB_ID_CHARS + 1];
	enum job_state state;
	struct exchange *exchange; /* borrowed; NULL once it is over */
	char *result;              /* owned; result_bytes: the answer's body */
	uint64_t result_bytes, result_cap;
	char *fields; /* owned; fields_bytes: the answer's header lines, each with CRLF */
	uint32_t fields_bytes;
	int status; /* of the container's answer, or of the problem */
	uint64_t created_wall_us, started_wall_us, finished_wall_us; /* 0: not yet */
	uint64_t finished_us;
};

struct jobs {
	struct list *buckets; /* owned; a power of two of them */
	uint32_t n_buckets;
	uint32_t count; /* all */
	struct list finished;
	uint64_t bytes; /* of results */
	uint32_t max;
	uint64_t max_bytes, max_age_us;
	struct io *io;         /* borrowed */
	struct io_timer timer; /* for the next one to grow too old */
};

MUST_USE int jobs_init(struct jobs *j, struct io *io, uint32_t max, uint64_t max_bytes, uint64_t max_age_us);
void jobs_finish(struct jobs *j);

/* A new job, QUEUED; NULL when all places are taken by jobs that are not over, or without memory. */
MUST_USE struct job *jobs_create(struct jobs *j);

/* Takes back a job that was refused before it began. */
void jobs_discard(struct jobs *j, struct job *job);

/* NULL: no such job (any more). */
struct job *jobs_find(struct jobs *j, struct str id);

/* The answer's header lines. -ENOMEM. */
MUST_USE int job_set_fields(struct jobs *j, struct job *job, struct str fields);

/* More of the result; may drop finished jobs. -ENOMEM, -EFBIG past max_bytes with what others that run have.
 */
MUST_USE int job_append(struct jobs *j, struct job *job, const char *bytes, size_t n);

/* Drops what has been gathered of the result: the request is tried again. */
void job_reset(struct jobs *j, struct job *job);

/* Over, as DONE or FAILED; may drop older ones to keep within the limits. */
void job_end(struct jobs *j, struct job *job, enum job_state state);

const char *job_state_name(enum job_state s);
