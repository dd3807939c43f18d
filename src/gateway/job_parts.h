/* job_parts: what the files about jobs have of each other. */
#pragma once
#include "gateway/buffer.h"
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

/* ---- job_answer.c ---- */

/* What has come of a job's answer, or why none has. */
struct job_answer {
	struct job *job; /* borrowed: the owner */
	uint32_t status;
	uint32_t fields_bytes;
	char *fields; /* owned; header lines, each with CRLF */
	struct buffer body;
	char *reason;    /* owned; of the failure that is on its way to the store, else NULL */
	bool is_awaited; /* it is whole but for the file, and goes to the store then */
};

void job_drop_answer(struct job *job);

/* A failure's reason, in place of what came of the answer. */
void job_keep_reason(struct job *job, const char *reason);
const char *job_answer_reason(const struct job *job);

/* 0, or why its file has failed (-errno). */
int job_answer_error(const struct job *job);

/* It is not in its file yet: job_store_end is called when it is, or when that has failed. */
bool job_answer_is_awaited(struct job *job);

/* store_complete with it. */
MUST_USE int job_answer_store(struct job *job, uint64_t now_us, store_done_fn *done);

/* ---- job.c ---- */

/* It runs from now on, in its slot's container. */
void job_begins(struct job *job);
struct str job_container(const struct job *job);

/* Sends its end to the store, as state, cancelled and answer say. */
void job_store_end(struct job *job);

/* Those whose deadline has passed behind others that wait are over, too. */
void jobs_expire_behind(struct route *route);

/* Its exchange is over, which those behind it in the queue need not wait for any more. */
void job_drop_exchange(struct exchange *ex);

/* ---- jobs.c ---- */

/* It waits for the next start: Berth is being stopped. */
void job_leave(struct job *job);

/* ---- job_aside.c ---- */

/* Its start cannot be stored (-errno), and nothing of it was sent: it waits outside of its queue. */
void job_set_aside(struct job *job, int err);

/* One with a lower order number does so. */
bool job_is_behind_one_aside(const struct job *job);

/* The first that waits there goes back to its place in the queue; all do, for a start could be stored; they wait for
 * the next start of Berth. */
void jobs_try_aside(struct route *route);
void jobs_come_back(struct route *route);
void jobs_leave_aside(struct route *route);
