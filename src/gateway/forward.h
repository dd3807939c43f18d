/* forward: heads on their way through: what is kept, dropped and set (RFC 9110 §7.6, RFC 9112 §9.6).
 *
 * Never:  allocates. Kept fields are copied in runs, as they stand.
 */
#pragma once
#include "http/parse.h"
#include "http/write.h"

#include <stdbool.h>
#include <stdint.h>

struct rand;
struct settings;

/* What is known of a request besides its head. */
struct forward_from {
	struct str client_ip; /* "192.0.2.1", without port */
	bool trusted; /* the peer is one of trusted_proxies: its X-Forwarded-* and Forwarded are believed */
	struct str default_host; /* for a 1.0 request without Host */
	struct str method, path; /* what the container is asked for; the query follows path */
	struct rand *rand;       /* borrowed; for X-Request-Id and traceparent where the request has none */
	const struct settings
		*durable;   /* it may be written to the store: which secrets may; NULL: it will not */
	struct str upgrade; /* the protocol that it asks to switch to; ptr NULL: none */
};

/* Writes the request's head for the container, up to but without its end: forward_request_end adds that once
 * the length of the body is known. */
void forward_request(struct writer *w, const struct http_head *head, const struct forward_from *from);

/* Content-Length where the request has a body (or its method expects one), and the empty line. */
void forward_request_end(struct writer *w, bool has_body, uint64_t body_bytes);

/* How an answer's body reaches the client. */
enum answer_framing {
	ANSWER_NO_BODY, /* HEAD, 204, 304: the container's own Content-Length is passed on where it may stand
			 */
	ANSWER_LENGTH,
	ANSWER_CHUNKED,
	ANSWER_CLOSE, /* to a 1.0 client: until the connection ends */
};

/* Writes an answer's head for the client: status line, kept fields, Via, Server-Timing, framing, Connection,
 * empty line. */
void forward_answer(struct writer *w, const struct http_head *head, enum answer_framing framing,
	uint64_t body_bytes, bool keep_alive, uint8_t client_minor_version, uint64_t queue_us,
	uint64_t upstream_us);

/* Only the fields of an answer that are kept with a result for later: no hop-by-hop fields, Content-Length,
 * Date, Set-Cookie, Alt-Svc, Strict-Transport-Security or CORS fields (Access-Control-*), nor what Berth sets
 * itself (Content-Security-Policy, X-Content-Type-Options, Cache-Control). */
void forward_result_fields(struct writer *w, const struct http_head *head);

/* A 101 answer's head for the client. */
void forward_switch(struct writer *w, const struct http_head *head);

/* The protocol that a request may switch to; ptr NULL when it does not ask, or asks for one that would hide
 * requests from Berth (h2c). */
struct str forward_upgrade(const struct http_head *head);

/* text/event-stream: flows as it comes, and may last. */
bool http_is_event_stream(const struct http_head *head);
