/* intake: from bytes of clients to requests: what is refused, what Berth answers itself, what goes to a pool.
 */
#pragma once
#include "http/parse.h"

#include <stddef.h>

struct client;

/* Berth's own resources on the front, /berth/…. In api.c. */
void api_handle(struct client *c, const struct http_head *head);

/* The request of the client's exchange is whole and admitted; it shall go on as a job, and the client gets
 * its place. In api.c. */
void api_submit(struct client *c);

/* The client's Prefer: wait is over: its exchange goes on as a job. In api.c. */
void api_wait_is_over(struct client *c);

/* Ready or not, and counts: on both listeners. In api.c. */
void api_readyz(struct client *c);

/* The admin listener's. In admin.c. */
void admin_handle(struct client *c, const struct http_head *head);

/* A change, whose body may be still to come: what is known of it by then. */
enum { ADMIN_BODY_MAX = 16 * 1024, ADMIN_PATH_MAX = 256 };

struct admin_request {
	enum http_method method;
	char path[ADMIN_PATH_MAX];
	size_t body_bytes;
	char body[ADMIN_BODY_MAX];
};

/* Carries it out. In admin_change.c. */
void admin_change(struct client *c, const struct admin_request *req);

/* Waits for the body of a change, then calls admin_change; takes over req (malloc'ed). */
void client_expect_change(struct client *c, const struct http_head *head, struct admin_request *req);
