/* load_check: is what Berth tells of a job true? Each returns NULL, or one phrase that says what is not. */
#pragma once
#include "base/check.h"
#include "base/str.h"

#include <jansson.h>

struct http_head;

/* The answer to a request with Prefer: respond-async (RFC 7240 §4.1): a 202 that says so, and where the job
 * is. */
MUST_USE const char *acceptance_is_true(int status, const struct http_head *head, const json_t *body);

/* A job's whole stream of events: places fall but for a re-queue, states go forward likewise, ids rise, one
 * end. */
MUST_USE const char *events_are_true(struct str stream);
