/* retry: whether a request that failed on one container may be tried on another (RFC 9110 §9.2.2).
 *
 * Never: counts or waits; it only decides.
 */
#pragma once
#include "http/parse.h"

#include <stdbool.h>
#include <stdint.h>

enum retry_rule { RETRY_SAFE, RETRY_ALWAYS, RETRY_NEVER };

enum failure {
	FAILURE_UNDELIVERED, /* the connection was refused: no byte reached the container */
	FAILURE_STALE,       /* a kept-alive connection was closed before the answer's first byte */
	FAILURE_LOST,        /* the connection broke later than that */
	FAILURE_BAD_ANSWER,  /* the answer broke the protocol */
	FAILURE_TIMEOUT,
};

enum { RETRY_ATTEMPTS_MAX = 5 }; /* dispatches of one request, the first included */

/* client_has_bytes: some of an answer has gone to the client already, which rules a second try out. */
bool retry_may(enum retry_rule rule, enum http_method method, enum failure failure, uint32_t attempts,
	bool client_has_bytes);

/* RFC 9110 §9.2.2 */
bool http_method_is_idempotent(enum http_method m);
