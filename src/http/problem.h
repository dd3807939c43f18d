/* problem: Berth's own error answers, application/problem+json (RFC 9457).
 *
 * Each kind has one status, one stable type and one title; the detail says what happened and what to do. The
 * table in problem.c is the whole list, and docs/problems.md explains each.
 */
#pragma once
#include "base/json.h"
#include "base/str.h"

enum problem {
	PROBLEM_BAD_REQUEST,        /* 400 */
	PROBLEM_NOT_FOUND,          /* 404: no pool or no such resource of Berth's */
	PROBLEM_METHOD_NOT_ALLOWED, /* 405 */
	PROBLEM_REQUEST_TIMEOUT,    /* 408: head or body did not come in time */
	PROBLEM_NOT_READY,          /* 409: the job has no result yet */
	PROBLEM_GONE,               /* 410: the result is not kept any more */
	PROBLEM_BODY_TOO_LARGE,     /* 413 */
	PROBLEM_MEDIA_TYPE,         /* 415 */
	PROBLEM_MISDIRECTED,        /* 421: the admin listener's Host or Origin guard */
	PROBLEM_HEAD_TOO_LARGE,     /* 431 */
	PROBLEM_FORBIDDEN,          /* 403 */
	PROBLEM_EXPECTATION,        /* 417 */
	PROBLEM_CLIENT_LIMIT,       /* 429: one client is over a limit of its own */
	PROBLEM_INTERNAL,           /* 500 */
	PROBLEM_NOT_IMPLEMENTED,    /* 501 */
	PROBLEM_BAD_ANSWER,         /* 502: the container's answer breaks the protocol */
	PROBLEM_CONTAINER_LOST,     /* 502: the container closed or refused */
	PROBLEM_QUEUE_FULL,         /* 503 */
	PROBLEM_QUEUE_TIMEOUT,      /* 503: waited too long */
	PROBLEM_WAIT_TOO_LONG,      /* 503: the ETA is beyond Berth-Max-Wait */
	PROBLEM_NO_CONTAINER,       /* 503: none is up */
	PROBLEM_OVERLOADED,         /* 503: a limit of Berth's own (memory, connections, spool) */
	PROBLEM_SHUTTING_DOWN,      /* 503 */
	PROBLEM_UPSTREAM_TIMEOUT,   /* 504 */
	PROBLEM_VERSION,            /* 505 */
	PROBLEM_JOB_FAILED,         /* 502: the job ended without an answer */
	PROBLEM_KEY_IN_USE,         /* 409: a job with this Idempotency-Key is not over */
	PROBLEM_KEY_MISMATCH,       /* 422: the key came with another request before */
	PROBLEM_STORAGE_FULL,       /* 507 */
	PROBLEM_COUNT,
};

int problem_status(enum problem p);
const char *problem_name(
	enum problem p); /* "queue-full": the last part of the type, and the outcome's label in metrics */
const char *problem_title(enum problem p);

/* The error that Proxy-Status names (RFC 9209 §2.3); NULL when it is none of a proxy. */
const char *problem_proxy_error(enum problem p);

/* Appends {"type": "urn:berth:problem:queue-full", "title": …, "status": 503, "detail": …} without the
 * closing brace when `open`, so that members can be added. */
void problem_write(struct json *j, enum problem p, struct str detail, bool open);
