/* request: what an exchange asks a container, from the client or back from the store: the head serialised as
 * the container gets it, with a short body behind it in one piece; a longer body in a buffer.
 */
#include "gateway/client.h"
#include "gateway/exchange.h"
#include "gateway/fingerprint.h"
#include "gateway/job.h"
#include "gateway/reactor.h"
#include "gateway/upstream.h"
#include "http/write.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	SMALL_BODY = 64 * 1024, /* a body up to this length stands behind its head, in one piece */
	END_BYTES = 64,         /* "Content-Length: …" and the empty line */
	HEARTBEAT_MAX_S = 300,
};

static struct reactor *reactor_of(const struct exchange *ex)
{
	return ex->route->reactor;
}

/* ---- the body, when it is long ---- */

static void on_body_ready(struct buffer *b);
struct request_buffer {
	struct buffer buffer;
	struct exchange *exchange; /* borrowed: the owner */
};

/* memory_max: what is longer goes to a spool file. */
static int open_body(struct exchange *ex, uint64_t memory_max)
{
	struct reactor *r = reactor_of(ex);
	struct request_buffer *b = malloc(sizeof *b);
	if (!b)
		return -ENOMEM;
	buffer_init(&b->buffer, r->io, &r->budget, memory_max, on_body_ready);
	b->exchange = ex;
	ex->request->body = &b->buffer;
	return 0;
}

static void close_body(struct request *q)
{
	if (!q->body)
		return;
	buffer_finish(q->body);
	free(CONTAINER_OF(q->body, struct request_buffer, buffer));
}

static void on_body_ready(struct buffer *b)
{
	struct exchange *ex = CONTAINER_OF(b, struct request_buffer, buffer)->exchange;
	if (ex->client && (ex->submitting || !ex->upstream))
		client_upload_ready(ex->client);
	else if (ex->ticket.unready && ex->job)
		job_request_ready(ex->job);
	if (ex->upstream)
		upstream_send_more(ex->upstream);
}

/* Of a body in memory. What is kept in memory anyway needs no file on the way there. */
static uint64_t body_memory_bytes(const struct reactor *r, bool durable)
{
	return durable && !r->jobs.durable ? UINT64_MAX : r->settings->body_memory_bytes;
}

/* ---- from the client ---- */

/* With room for `cap` bytes of text, of which the head is written. -ENOMEM. */
static int make_request(struct exchange *ex, struct str head, size_t cap)
{
	struct request *q = malloc(sizeof *q + cap);
	if (!q)
		return -ENOMEM;
	*q = (struct request){
		.bytes = (uint32_t)head.len,
		.cap = (uint32_t)cap,
		.head_bytes = (uint32_t)head.len,
	};
	memcpy(q->text, head.ptr, head.len);
	reactor_of(ex)->budget.memory_used += cap;
	ex->request = q;
	return 0;
}

/* In one exact piece, or with its body elsewhere. */
static int store_request(
	struct exchange *ex, const struct writer *w, const struct http_head *head, bool durable)
{
	struct budget *budget = &reactor_of(ex)->budget;
	struct str text = { w->start, writer_len(w) };
	bool small = head->framing == FRAMING_LENGTH && head->content_length <= SMALL_BODY;
	size_t cap = text.len + (small ? head->content_length : 0);
	if (budget->memory_used + cap > budget->memory_max) {
		budget->refused++;
		return -ENOMEM;
	}
	int err = make_request(ex, text, cap);
	if (err == 0 && !small && head->framing != FRAMING_NONE)
		err = open_body(ex, body_memory_bytes(reactor_of(ex), durable));
	return err;
}

static bool expects_body(enum http_method m)
{
	return m == HTTP_POST || m == HTTP_PUT || m == HTTP_PATCH;
}

/* Berth-Heartbeat: S, from a 1.1 client that reads event streams; 0: none. The head of an answer of Berth's goes
 * before them, which a switch of protocols cannot follow. */
static uint16_t heartbeat_s(const struct http_head *head)
{
	const struct http_field *beat = http_field(head, FIELD_BERTH_HEARTBEAT);
	const struct http_field *accept = http_field(head, FIELD_ACCEPT);
	uint64_t s;
	bool asked = beat && accept && head->minor_version && head->method != HTTP_HEAD &&
		str_to_u64(beat->value, &s) && s >= 1 && s <= HEARTBEAT_MAX_S &&
		memmem(accept->value.ptr, accept->value.len, "text/event-stream", 17);
	return asked ? (uint16_t)s : 0;
}

struct exchange *exchange_create(struct route *route, struct client *c, const struct http_head *head,
	enum http_method method, struct str method_name, struct str path, bool durable)
{
	struct reactor *r = route->reactor;
	struct exchange *ex = objpool_get(&r->exchange_pool);
	if (!ex)
		return NULL;
	ex->route = route;
	ex->client = c;
	ex->method = (uint8_t)method;
	ex->minor_version = head->minor_version;
	ex->keep_alive = head->keep_alive;
	ex->head_open = head->framing == FRAMING_CHUNKED;

	char ip[48];
	struct writer w;
	struct forward_from from = {
		.client_ip = client_ip(c, ip),
		.trusted = !c->unix_peer && networks_have(&r->trusted, c->ip),
		.default_host = STR("localhost"),
		.method = method_name,
		.path = path,
		.rand = &r->rand,
		.upgrade = durable ? (struct str){ NULL, 0 } : forward_upgrade(head),
		.durable = durable ? r->settings : NULL,
	};
	ex->upgrade = from.upgrade.ptr != NULL;
	writer_init(&w, r->scratch, sizeof r->scratch);
	forward_request(&w, head, &from);
	if (!ex->head_open)
		forward_request_end(
			&w, head->framing == FRAMING_LENGTH || expects_body(method), head->content_length);
	if (w.overflow || store_request(ex, &w, head, durable) < 0) {
		exchange_free(ex);
		return NULL;
	}
	ex->request->heartbeat_s = ex->upgrade ? 0 : heartbeat_s(head);
	return ex;
}

int exchange_receive(struct exchange *ex, struct str payload)
{
	struct request *q = ex->request;
	if (q->fingerprint)
		fingerprint_add(q->fingerprint, payload);
	if (q->body)
		return buffer_append(q->body, payload.ptr, payload.len);
	CHECK(payload.len <= q->cap - q->bytes);
	memcpy(q->text + q->bytes, payload.ptr, payload.len);
	q->bytes += (uint32_t)payload.len;
	return 0;
}

int exchange_received(struct exchange *ex)
{
	char end[END_BYTES];
	struct writer w;
	struct request *q = ex->request;
	if (!ex->head_open)
		return 0;
	writer_init(&w, end, sizeof end);
	forward_request_end(&w, true, q->body ? q->body->size : 0);
	q = realloc(q, sizeof *q + q->bytes + writer_len(&w));
	if (!q)
		return -ENOMEM;
	memcpy(q->text + q->bytes, end, writer_len(&w));
	q->bytes += (uint32_t)writer_len(&w);
	reactor_of(ex)->budget.memory_used += q->bytes - q->cap;
	q->cap = q->head_bytes = q->bytes;
	ex->request = q;
	ex->head_open = false;
	return 0;
}

bool exchange_is_written(const struct exchange *ex)
{
	return !ex->request->body || buffer_is_written(ex->request->body);
}

uint32_t exchange_waiting_bytes(const struct exchange *ex)
{
	const struct request *q = ex->request;
	uint64_t bytes = sizeof *ex;
	if (q)
		bytes += sizeof *q + q->cap;
	if (q && q->body)
		bytes += q->body->mem_end - q->body->base;
	return bytes > UINT32_MAX ? UINT32_MAX : (uint32_t)bytes;
}

void exchange_drop_request(struct exchange *ex)
{
	struct request *q = ex->request;
	if (!q)
		return;
	close_body(q);
	exchange_drop_held(ex);
	reactor_of(ex)->budget.memory_used -= q->cap;
	free(q->key);
	fingerprint_destroy(q->fingerprint);
	free(q);
	ex->request = NULL;
}

/* ---- back from the store ---- */

uint64_t exchange_loaded_bytes(const struct exchange *ex)
{
	const struct request *q = ex->request;
	if (!q)
		return 0;
	return (q->bytes - q->head_bytes) + (q->body ? q->body->size : 0);
}

int exchange_load(struct exchange *ex, struct str head, struct str piece, uint64_t body_bytes)
{
	bool begins = !ex->request, small = body_bytes <= SMALL_BODY;
	int err = begins ? make_request(ex, head, head.len + (small ? body_bytes : 0)) : 0;
	if (err == 0 && begins && !small)
		err = open_body(ex, body_memory_bytes(reactor_of(ex), true));
	if (err < 0)
		return err;
	if (ex->request->body)
		ex->request->body->must_take = true; /* it was accepted long ago, and others wait behind it */
	ex->request->body_bytes = body_bytes;
	err = exchange_receive(ex, piece);
	if (err == 0 && ex->ticket.state == TICKET_WAITING)
		ticket_resize(&ex->ticket, exchange_waiting_bytes(ex));
	return err;
}
