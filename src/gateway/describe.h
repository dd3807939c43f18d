/* describe: jobs as JSON, and the answers that Berth gives about them. */
#pragma once
#include "base/json.h"
#include "http/write.h"
#include "store/store.h"

#include <stdbool.h>

#define NO_STORE "Cache-Control: private, no-store\r\n"

struct client;
struct job;

/* One that is not over: state, position, expected wait, times, attempts, container, URLs. reason: of its
 * latest move, or NULL. */
void describe_job(struct json *j, const struct job *job, const char *reason);

/* One that the store keeps. */
void describe_record(struct json *j, const struct store_record *rec);

/* {"jobs": […], "next": "…"} */
void describe_list(struct json *j, const struct store_reply *reply);

/* Appends "eta_ms": in ms, null without an estimate. */
void describe_eta(struct json *j, uint64_t eta_us);

/* The head of a result: the container's status and fields, marked as such, and kept from acting in a browser
 * as if it came from the pool itself. */
void describe_result_head(
	struct writer *w, const struct store_record *rec, struct str fields, bool keep_alive);

/* A job that ended without an answer: a problem with its reasons. */
void reply_failure(struct client *c, const struct store_record *rec);

/* 200: where the job stands. */
void reply_status(struct client *c, const struct job *job);

/* 200 with the message, 202 with everything else. */
void reply_message(struct client *c, const struct job *job);
void reply_accepted(struct client *c, const struct job *job, bool applied);

/* 409: queued or running; or left alone in the store, for its pool is not configured. */
void reply_not_ready(struct client *c, const struct job *job);
void reply_left_alone(struct client *c, const struct store_record *rec);

/* The Idempotency-Key belongs to a job that is over: what it was told then, with what has become of it. Or to
 * one that is not: 409. */
void reply_accepted_before(struct client *c, const struct store_record *rec, bool submit, bool applied);
void reply_key_in_use(struct client *c, const struct store_record *rec);
