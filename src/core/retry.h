/* retry: whether a request that failed on one container may be tried on another (RFC 9110 §9.2.2).
 *
 * Never: does it, or waits; it only decides.
 */
#pragma once
#include "base/rand.h"
#include "http/parse.h"

#include <stdbool.h>
#include <stdint.h>

enum retry_rule { RETRY_SAFE, RETRY_ALWAYS, RETRY_NEVER };

enum failure {
	FAILURE_UNDELIVERED, /* the connection was refused: no byte reached the container */
	FAILURE_UNCONNECTED, /* likewise: it did not stand in time */
	FAILURE_STALE,       /* a kept-alive connection was closed before the answer's first byte */
	FAILURE_LOST,        /* the connection broke later than that */
	FAILURE_SILENT,      /* likewise, and not by the container's doing, which may be at it still */
	FAILURE_BAD_ANSWER,  /* the answer broke the protocol */
};

/* No byte of the request has reached the container. */
static inline bool failure_is_undelivered(enum failure failure)
{
	return failure == FAILURE_UNDELIVERED || failure == FAILURE_UNCONNECTED;
}

enum { RETRY_ATTEMPTS_MAX = 5 }; /* times that one request may have reached a container */

/* attempts: those that may have reached a container. What was never delivered may always be tried again: it
 * comes to an end by itself, for each refused connection takes its container out. client_has_bytes: some of
 * an answer has gone to the client already, which rules a second try out. */
bool retry_may(enum retry_rule rule, enum http_method method, enum failure failure, uint32_t attempts,
	bool client_has_bytes);

/* A pool's allowance of retries, so that a failing fleet is not hit harder: in the last ten seconds, the
 * larger of a share of the requests and a number. What never reached a container is not counted. */
enum { RETRY_WINDOW_S = 10 };

struct retry_budget {
	uint32_t percent, least;
	uint64_t second; /* the newest that the ring holds */
	uint32_t requests[RETRY_WINDOW_S], retries[RETRY_WINDOW_S];
};

void retry_budget_init(struct retry_budget *b, uint32_t percent, uint32_t least);
void retry_budget_request(struct retry_budget *b, uint64_t now_us);

/* One retry, if there is room. */
bool retry_budget_take(struct retry_budget *b, uint64_t now_us);

/* Retry-After of a refusal, in seconds: the expected wait (UINT64_MAX: 5 s are taken for it) and up to a
 * quarter of jitter, rounded up; 1 at least, an hour at most. */
uint32_t retry_after_s(uint64_t eta_us, struct rand *rand);

/* RFC 9110 §9.2.2 */
bool http_method_is_idempotent(enum http_method m);
