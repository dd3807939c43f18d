/* client: an HTTP client of the loop's: one connection that is kept, one request at a time.
 *
 *         client_request            head and body
 *   IDLE ────────────────▶ BUSY ──────────────────▶ on_answer ─▶ IDLE
 *                            └ error, time-out ─────────▲
 * Never:  calls back from inside client_request; retries.
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

enum { CLIENT_HEAD_MAX = 64 << 10, CLIENT_BODY_MAX = 64 << 20, CLIENT_WHY = 120 };

/* An answer, or why there is none. Good within on_answer. */
struct client_answer {
	int status;                   /* 0: there is none */
	const char *why;              /* with status 0: one phrase */
	const struct http_head *head; /* NULL with status 0 */
	struct str body;
};

struct client;
typedef void client_answer_fn(struct client *c, const struct client_answer *answer);

struct bytes {
	char *ptr; /* owned */
	size_t len, cap;
};

struct client {
	struct io *io;               /* borrowed */
	client_answer_fn *on_answer; /* may make the next request, but not finish the client */
	struct io_addr addr;
	const char *host; /* borrowed: the Host field's value */
	struct io_stream stream;
	struct io_timer timer; /* the time-out; also reports what failed at once */
	bool busy, head_done;
	int failed;                 /* what io_connect said, to be reported; else 0 */
	struct bytes out, in, body; /* the request; the answer's head; its body */
	size_t sent;
	struct http_head head;
	struct http_body reader;
};

/* host is borrowed for the client's life. */
void client_init(struct client *c, struct io *io, const struct io_addr *addr, const char *host,
	client_answer_fn *on_answer);
void client_finish(struct client *c);

/* The client must be idle. content_type: NULL without a body. timeout_us: for the whole answer. */
void client_request(struct client *c, const char *method, const char *path, const char *content_type,
	struct str body, uint64_t timeout_us);

/* GET in a loop of its own: for commands that ask one thing. Fills ret_body (to be freed) and returns the
 * status; 0 with one phrase in why. */
MUST_USE int client_get(const struct io_addr *addr, const char *path, uint64_t timeout_us, char **ret_body,
	size_t *ret_len, char why[CLIENT_WHY]);
