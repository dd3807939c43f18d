/* job_parts: what the files about jobs have of each other. */
#pragma once
#include "gateway/job.h"

/* A new job in the table. NULL at jobs.max, or without memory. */
struct job *job_add(struct jobs *j, const struct store_id *id);

/* Out of the table, with all that it owns. */
void job_forget(struct jobs *j, struct job *job);

/* It is over; the store may still owe it an answer. */
void job_forget_when_told(struct job *job);

/* More buckets for the table, which keeps those that it has without memory. */
void jobs_rehash(struct jobs *j);

/* From now on the store is tidied. */
void jobs_touch(struct jobs *j);

/* Its exchange goes on, or ends, without it. */
void job_let_go(struct job *job);

/* A failure's reason, in place of what came of the answer. */
void job_keep_reason(struct job *job, const char *reason);

/* Sends its end to the store, as state, cancelled and answer say. */
void job_store_end(struct job *job);

/* Its exchange is over, which those behind it in the queue need not wait for any more. */
void job_drop_exchange(struct exchange *ex);
