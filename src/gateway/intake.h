/* intake: from bytes of clients to requests: what is refused, what Berth answers itself, what goes to a pool.
 */
#pragma once
#include "http/parse.h"

struct client;

/* Berth's own resources on the front, /berth/…. In api.c. */
void api_handle(struct client *c, const struct http_head *head);

/* The request of the client's exchange is whole and admitted; it shall go on as a job, and the client gets
 * its place. In api.c. */
void api_submit(struct client *c);

/* Ready or not, and counts: on both listeners. In api.c. */
void api_readyz(struct client *c);

/* The admin listener's. In admin.c. */
void admin_handle(struct client *c, const struct http_head *head);
