/* agent: an HTTP client of the loop's: one connection that is kept, one request at a time.
 *
 *         agent_request            head and body
 *   IDLE ────────────────▶ BUSY ──────────────────▶ on_answer ─▶ IDLE
 *                            └ error, time-out ─────────▲
 * Never:  calls back from inside agent_request; retries.
 */
#pragma once
#include "base/check.h"
#include "base/str.h"
#include "http/body.h"
#include "http/parse.h"
#include "io/io.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { AGENT_HEAD_MAX = 64 << 10, AGENT_BODY_MAX = 64 << 20, AGENT_WHY = 120 };

/* An answer, or why there is none. Good within on_answer. */
struct agent_answer {
	int status;                   /* 0: there is none */
	const char *why;              /* with status 0: one phrase */
	const struct http_head *head; /* NULL with status 0 */
	struct str body;
};

struct agent;
typedef void agent_answer_fn(struct agent *a, const struct agent_answer *answer);

struct bytes {
	char *ptr; /* owned */
	size_t len, cap;
};

struct agent {
	struct io *io;              /* borrowed */
	agent_answer_fn *on_answer; /* may make the next request, but not finish the agent */
	struct io_addr addr;
	const char *host;   /* borrowed: the Host field's value */
	const char *fields; /* borrowed: more header lines, each with CRLF; NULL: none */
	struct io_stream stream;
	struct io_timer timer; /* the time-out; also reports what failed at once */
	bool busy, head_done;
	int failed;                 /* what io_connect said, to be reported; else 0 */
	struct bytes out, in, body; /* the request; the answer's head; its body */
	size_t sent;
	struct http_head head;
	struct http_body reader;
};

/* host is borrowed for the agent's life. */
void agent_init(struct agent *a, struct io *io, const struct io_addr *addr, const char *host,
	agent_answer_fn *on_answer);
void agent_finish(struct agent *a);

/* The agent must be idle. content_type: NULL without a body. timeout_us: for the whole answer. */
void agent_request(struct agent *a, const char *method, const char *path, const char *content_type,
	struct str body, uint64_t timeout_us);

/* An answer that is kept. */
struct agent_reply {
	int status;          /* 0: there is none */
	char why[AGENT_WHY]; /* with status 0: one phrase */
	char *body;          /* owned, to be freed; NULL with status 0 */
	size_t len;
	char field[AGENT_WHY]; /* the field that was asked for, cut to fit; "" without it */
};

/* One request without a body in a loop of its own: for commands that ask one thing. field: the name of the
 * field of the answer's head that is wanted, or NULL. */
void agent_ask(const struct io_addr *addr, const char *method, const char *path, const char *field,
	uint64_t timeout_us, struct agent_reply *ret);

/* Likewise, GET: fills ret_body (to be freed) and returns the status; 0 with one phrase in why. */
MUST_USE int agent_get(const struct io_addr *addr, const char *path, uint64_t timeout_us, char **ret_body,
	size_t *ret_len, char why[AGENT_WHY]);
