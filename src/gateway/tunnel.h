/* tunnel: a connection whose protocol was switched (WebSocket, RFC 9110 §7.8): bytes pass both ways until one
 * side ends it, and the slot is held until the container does.
 *
 * Owns:   what the container has yet to take: up to limits.body_memory of it, then the client is not read from.
 *         What the client has yet to take is the client's outbox.
 */
#pragma once
#include "http/parse.h"

#include <stddef.h>

struct client;
struct upstream;

/* The container has answered 101 to u's exchange; bytes[0..n) came behind it. */
void tunnel_start(struct upstream *u, const struct http_head *head, const char *bytes, size_t n);

void tunnel_from_upstream(struct upstream *u, const char *bytes, size_t n);
void tunnel_from_client(struct client *c, const char *bytes, size_t n);
void tunnel_upstream_writable(struct upstream *u);

/* The client sends no more: the container is told so behind what it has yet to take. */
void tunnel_client_ended(struct upstream *u);

/* The client has left: likewise, and what still comes is thrown away. The slot is a ZOMBIE until the
 * container's end of it. */
void tunnel_give_up(struct upstream *u);

/* Nothing has passed for too long, or a zombie has not come to its end. */
void tunnel_timer(struct upstream *u);

/* The container has ended it: the slot is free, and the client, if it is still there, gets what is left. */
void tunnel_end(struct upstream *u);

void tunnel_free(struct upstream *u);
