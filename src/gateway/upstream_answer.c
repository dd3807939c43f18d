/* upstream_answer: answers from containers.
 *
 * When the last byte is in, the slot's next request goes out before anything else happens to the exchange at
 * hand.
 */
#include "gateway/backend.h"
#include "gateway/exchange.h"
#include "gateway/reactor.h"
#include "gateway/tunnel.h"
#include "gateway/upstream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { BOUNCES_MAX = 3 }; /* busy answers that are not passed on */

static struct reactor *reactor_of(const struct upstream *u)
{
	return u->backend->route->reactor;
}

static const struct pool_settings *settings_of(const struct upstream *u)
{
	return u->backend->route->settings;
}

void upstream_answered(struct upstream *u, bool keep, struct answer_part *part)
{
	struct reactor *r = reactor_of(u);
	struct route *route = u->backend->route;
	struct exchange *ex = upstream_detach(u);
	enum container_state before = u->slot->container->state;
	keep = keep && u->sent_all;
	bool is_service = u->slot->ticket != NULL;
	uint64_t asked_us = u->asked_us;
	if (keep) {
		u->phase = UPSTREAM_IDLE;
		u->proven = true;
	} else {
		upstream_close(u);
	}
	upstream_forget(u);
	slot_answered(u->slot, keep, r->io->now_us);
	if (u->slot->state == SLOT_DOWN && u->phase == UPSTREAM_IDLE)
		upstream_close(u);
	backend_note(u->backend, before);
	route_pump(route); /* the slot's next request first … */
	if (u->phase == UPSTREAM_IDLE)
		io_timer_stop(r->io, &u->timer);
	if (is_service)
		histogram_add(&route->metrics.service, r->io->now_us - asked_us);
	if (ex)
		exchange_answer(ex, part); /* … then the answer to this one */
}

/* The container said busy, and all of that answer is in: the request goes elsewhere, the container rests. */
static void upstream_bounced(struct upstream *u)
{
	struct route *route = u->backend->route;
	enum container_state before = u->slot->container->state;
	struct exchange *ex = upstream_detach(u);
	upstream_close(u);
	upstream_forget(u);
	(void)slot_bounced(u->slot, reactor_of(u)->io->now_us);
	backend_note(u->backend, before);
	backend_retry_later(u->backend);
	exchange_bounced(ex);
	route_pump(route);
}

/* All of the answer at hand is in. */
void upstream_answer_ended(struct upstream *u, bool keep, struct answer_part *part)
{
	if (u->probe)
		upstream_probed(u, keep);
	else if (u->bounced && u->slot->ticket)
		upstream_bounced(u);
	else
		upstream_answered(u, keep, part);
}

/* No answer will come of this. A probe's says nothing about a request that was given up: it is asked again.
 */
static void answer_lost(struct upstream *u, enum failure failure, const char *what)
{
	if (u->probe && u->slot->state == SLOT_ZOMBIE)
		upstream_ended(u, 0, what);
	else
		upstream_failed(u, failure, what);
}

/* Payload of bytes[0..n) into the part, as many slices as fit. Returns the bytes used; *ret_status as
 * http_body_feed's. */
static size_t take_body(struct upstream *u, const char *bytes, size_t n, struct answer_part *part,
	enum parse_status *ret_status)
{
	size_t used = 0;
	part->n_body = 0;
	part->body_bytes = 0;
	*ret_status = http_body_is_done(&u->body) ? PARSE_OK : PARSE_MORE;
	while (*ret_status == PARSE_MORE && used < n && part->n_body < PART_SLICES) {
		size_t k;
		struct str payload;
		*ret_status = http_body_feed(&u->body, bytes + used, n - used, &k, &payload);
		if (payload.len) {
			part->body[part->n_body++] =
				(struct iovec){ (char *)(uintptr_t)payload.ptr, payload.len };
			part->body_bytes += payload.len;
		}
		used += k;
	}
	return used;
}

/* Bytes of the body (and of nothing else: what follows an answer nobody asked for). head: with the first. */
void upstream_take_body(struct upstream *u, const struct http_head *head, const char *bytes, size_t n)
{
	struct answer_part part = { .head = head, .framing = u->body.framing };
	do {
		enum parse_status status;
		size_t used = take_body(u, bytes, n, &part, &status);
		bytes += used;
		n -= used;
		if (status == PARSE_BAD) {
			answer_lost(u, FAILURE_BAD_ANSWER, "its answer's chunks are broken");
			return;
		}
		for (int i = 0; u->probe && i < part.n_body; i++)
			upstream_probe_body(u, part.body[i].iov_base, part.body[i].iov_len);
		if (status == PARSE_OK) {
			part.end = true;
			upstream_answer_ended(u, u->keep_alive && n == 0, &part);
			return;
		}
		if (u->exchange && !u->bounced && (part.head || part.body_bytes)) {
			exchange_answer(u->exchange, &part);
			part.head = NULL;
		}
	} while (n && u->phase == UPSTREAM_BODY);
}

static enum http_method asked_method(const struct upstream *u)
{
	return u->exchange ? (enum http_method)u->exchange->method : HTTP_GET;
}

/* The pool's own way of saying 'busy'; no other answer is taken for it. */
static bool says_busy(const struct upstream *u, const struct http_head *head)
{
	const struct pool_settings *ps = settings_of(u);
	return ps->busy_status && head->status == ps->busy_status &&
		(!ps->busy_header || http_field_named(head, str_of(ps->busy_header)));
}

/* Handles one head at the beginning of bytes[0..n). Returns the bytes used, 0 when more are needed or all is
 * over. */
static size_t take_head(struct upstream *u, const char *bytes, size_t n)
{
	struct http_head *head = &reactor_of(u)->answer_head;
	switch (http_parse_response(bytes, n, HEAD_BYTES_MAX, asked_method(u), head)) {
	case PARSE_MORE:
		return 0;
	case PARSE_BAD:
		answer_lost(u, FAILURE_BAD_ANSWER, parse_error_text(head->error));
		return 0;
	case PARSE_OK:
		break;
	}
	if (head->status == 101) {
		if (u->exchange && u->exchange->upgrade)
			tunnel_start(u, head, bytes + head->bytes, n - head->bytes);
		else
			answer_lost(u, FAILURE_BAD_ANSWER, "it switches protocols without being asked to");
		return 0;
	}
	if (head->status < 200) { /* 100, 102 and 103 are between the container and Berth: it is at work */
		if (!u->zombie && !u->probe)
			upstream_set_deadline(u, settings_of(u)->timeouts.first_byte_us);
		return head->bytes;
	}
	http_body_init(&u->body, head);
	u->keep_alive = head->keep_alive;
	u->status = head->status;
	u->phase = UPSTREAM_BODY;
	u->bounced = u->exchange && says_busy(u, head) && u->exchange->bounces < BOUNCES_MAX;
	u->event_stream = http_is_event_stream(head);
	upstream_take_body(u, head, bytes + head->bytes, n - head->bytes);
	return 0;
}

/* Keeps the beginning of a head. */
static int keep_partial(struct upstream *u, const char *bytes, size_t n)
{
	char *p = realloc(u->partial, u->partial_bytes + n);
	if (!p)
		return -ENOMEM;
	memcpy(p + u->partial_bytes, bytes, n);
	u->partial = p;
	u->partial_bytes += (uint32_t)n;
	return 0;
}

void upstream_take_head(struct upstream *u, const char *bytes, size_t n)
{
	char *joined = NULL;
	if (u->partial) {
		if (keep_partial(u, bytes, n) < 0) {
			answer_lost(u, FAILURE_LOST, "out of memory for its answer");
			return;
		}
		joined = u->partial;
		bytes = joined;
		n = u->partial_bytes;
		u->partial = NULL; /* the answer's end may come, and with it the next request */
		u->partial_bytes = 0;
	}
	size_t used;
	while (u->phase == UPSTREAM_HEAD && n && (used = take_head(u, bytes, n)) > 0) {
		bytes += used;
		n -= used;
	}
	if (u->phase == UPSTREAM_HEAD && n && u->got_bytes && !u->partial && keep_partial(u, bytes, n) < 0)
		answer_lost(u, FAILURE_LOST, "out of memory for its answer");
	free(joined);
}
