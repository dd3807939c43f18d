/* answer: what comes from a container, on its way to the client or into a job's result.
 *
 * With retry: always, an answer that is no stream is held back until it is whole, so that it may be tried
 * again. With heartbeats asked for, an event stream begins while its request still waits: its head is Berth's
 * then, and of the container's answer only the body follows.
 */
#include "gateway/access_log.h"
#include "gateway/backend.h"
#include "gateway/client.h"
#include "gateway/exchange.h"
#include "gateway/reactor.h"
#include "http/write.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A body up to this length is copied behind its head: one slice costs the kernel less than two. */
enum { TOGETHER_BYTES = 2048 };

/* The beginning of an answer that has not gone to the client yet. */
struct held {
	size_t len, cap;
	char bytes[];
};

static struct reactor *reactor_of(const struct exchange *ex)
{
	return ex->route->reactor;
}

static enum answer_framing choose_framing(
	const struct exchange *ex, const struct answer_part *part, uint64_t *ret_bytes)
{
	switch (part->framing) {
	case FRAMING_NONE:
		return ANSWER_NO_BODY;
	case FRAMING_LENGTH:
		*ret_bytes = part->head->content_length;
		return ANSWER_LENGTH;
	case FRAMING_CHUNKED:
	case FRAMING_CLOSE:
		break;
	}
	if (part->end) { /* all of it is in hand */
		*ret_bytes = part->body_bytes;
		return ANSWER_LENGTH;
	}
	return ex->minor_version ? ANSWER_CHUNKED : ANSWER_CLOSE;
}

/* What flows as it comes is not held back: event streams and chunked answers; nor what is too long for it. */
static bool shall_hold(const struct exchange *ex, const struct answer_part *part)
{
	const struct pool_settings *ps = ex->route->settings;
	if (ps->retry != RETRY_ALWAYS || part->end || http_is_event_stream(part->head))
		return false;
	return part->framing == FRAMING_CLOSE ||
		(part->framing == FRAMING_LENGTH && part->head->content_length <= ps->retry_buffer_bytes);
}

static void begin_answer(struct exchange *ex, const struct answer_part *part, struct writer *w)
{
	const struct reactor *r = reactor_of(ex);
	uint64_t bytes = 0;
	enum answer_framing framing = choose_framing(ex, part, &bytes);
	ex->chunked_answer = framing == ANSWER_CHUNKED;
	ex->holding = shall_hold(ex, part);
	if (framing == ANSWER_CLOSE || r->draining)
		ex->keep_alive = false;
	ex->status = (uint16_t)part->head->status;
	forward_answer(w, part->head, framing, bytes, ex->keep_alive, ex->minor_version,
		ex->ticket.dispatched_us - ex->ticket.admitted_us, r->io->now_us - ex->ticket.dispatched_us);
}

static struct iovec slice(const char *p, size_t n)
{
	return (struct iovec){ (char *)(uintptr_t)p, n };
}

/* ---- holding back ---- */

void exchange_drop_held(struct exchange *ex)
{
	struct held *h = ex->request->held;
	if (h) {
		reactor_of(ex)->budget.memory_used -= h->cap;
		free(h);
	}
	ex->request->held = NULL;
	ex->holding = false;
}

/* False when it is too much to hold, or there is no memory: it flows from here on. */
static bool hold(struct exchange *ex, const struct iovec *iov, int n)
{
	struct budget *budget = &reactor_of(ex)->budget;
	struct held *h = ex->request->held;
	size_t have = h ? h->len : 0, more = 0;
	for (int i = 0; i < n; i++)
		more += iov[i].iov_len;
	if (have + more > (size_t)ex->route->settings->retry_buffer_bytes + HEAD_ALLOWANCE ||
		budget->memory_used + more > budget->memory_max)
		return false;
	struct held *longer = realloc(h, sizeof *h + have + more);
	if (!longer)
		return false;
	h = longer;
	budget->memory_used += more;
	h->len = h->cap = have + more;
	ex->request->held = h;
	for (int i = 0; i < n; i++) {
		memcpy(h->bytes + have, iov[i].iov_base, iov[i].iov_len);
		have += iov[i].iov_len;
	}
	return true;
}

/* ---- to a client ---- */

/* Bytes of the answer, after what was held back. False when the client is gone, and the exchange with it. */
static bool pass_on(struct exchange *ex, const struct iovec *iov, int n, bool end)
{
	struct client *c = ex->client;
	const struct held *held = ex->request->held;
	if (n == 0 && !(end && held))
		return true;
	if (ex->holding && !end && hold(ex, iov, n))
		return true;
	ex->answering = true;
	ex->holding = false;
	if (held) {
		struct iovec first = slice(held->bytes, held->len);
		if (!client_send(
			    c, &first, 1)) /* which has buried the exchange, and its held bytes go with it */
			return false;
		exchange_drop_held(ex);
	}
	return n == 0 || client_send(c, iov, n);
}

static void end_answer(struct exchange *ex)
{
	struct client *c = ex->client;
	bool keep_alive = ex->keep_alive;
	ex->route->metrics.outcomes[OUTCOME_ANSWERED]++;
	access_log_exchange(reactor_of(ex)->access_log, ex, "answered");
	exchange_bury(ex);
	client_answered(c, keep_alive);
}

/* The container's answer to a client that has been sent the head of an event stream already. */
static bool joins_stream(struct exchange *ex, const struct answer_part *part)
{
	char detail[96];
	ex->chunked_answer = true;
	if (part->head->status == 200 && http_is_event_stream(part->head)) {
		ex->status = 200;
		return true;
	}
	snprintf(detail, sizeof detail, "the container answered %d and no event stream", part->head->status);
	exchange_problem(ex, PROBLEM_BAD_ANSWER, detail);
	return false;
}

static void answer_client(struct exchange *ex, const struct answer_part *part)
{
	struct reactor *r = reactor_of(ex);
	struct client *c = ex->client;
	struct iovec iov[PART_SLICES + 2];
	struct writer w;
	int n = 0;
	writer_init(&w, r->scratch, sizeof r->scratch);
	if (part->head && !ex->beating)
		begin_answer(ex, part, &w);
	else if (part->head && !joins_stream(ex, part))
		return;
	if (ex->chunked_answer && part->body_bytes) {
		write_hex(&w, part->body_bytes, 0);
		write_lit(&w, "\r\n");
	}
	bool together = part->body_bytes <= TOGETHER_BYTES;
	for (int i = 0; i < part->n_body && together; i++)
		write_bytes(&w, part->body[i].iov_base, part->body[i].iov_len);
	CHECK(!w.overflow);
	if (writer_len(&w))
		iov[n++] = slice(w.start, writer_len(&w));
	for (int i = 0; i < part->n_body && !together; i++)
		iov[n++] = part->body[i];
	if (ex->chunked_answer && (part->body_bytes || part->end)) {
		const char *tail = part->body_bytes ? (part->end ? "\r\n0\r\n\r\n" : "\r\n") : "0\r\n\r\n";
		iov[n++] = slice(tail, strlen(tail));
	}
	ex->request->answer_bytes += part->body_bytes;
	if (!pass_on(ex, iov, n, part->end))
		return;
	if (part->end)
		end_answer(ex);
	else if (ex->upstream && c->out && buffer_is_behind(&c->out->buffer))
		upstream_pause(ex->upstream);
}

/* ---- heartbeats ---- */

void exchange_beat(struct exchange *ex)
{
	struct reactor *r = reactor_of(ex);
	uint32_t position = ticket_position(&ex->ticket);
	uint64_t eta_us = pool_eta_us(&ex->route->pool, position);
	char beat[96];
	struct writer w;
	int len = eta_us == UINT64_MAX ? snprintf(beat, sizeof beat, ": position %u\n\n", position)
				       : snprintf(beat, sizeof beat, ": position %u, eta_ms %llu\n\n",
						 position, (unsigned long long)(eta_us / 1000));
	writer_init(&w, r->scratch, sizeof r->scratch);
	if (!ex->beating)
		write_lit(&w,
			"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: "
			"no-store\r\nVia: 1.1 berth\r\n"
			"Transfer-Encoding: chunked\r\n");
	if (!ex->beating && !ex->keep_alive)
		write_lit(&w, "Connection: close\r\n");
	if (!ex->beating)
		write_lit(&w, "\r\n");
	ex->beating = true;
	write_hex(&w, (uint64_t)len, 0);
	write_lit(&w, "\r\n");
	write_bytes(&w, beat, (size_t)len);
	write_lit(&w, "\r\n");
	struct iovec iov = slice(w.start, writer_len(&w));
	(void)client_send(ex->client, &iov, 1);
}

/* A problem for a client whose event stream has begun: an event, and the end. */
void exchange_problem_event(struct client *c, enum problem p, const char *detail)
{
	struct reactor *r = c->reactor;
	struct writer w;
	json_reset(&r->json);
	json_bytes(&r->json, STR("event: problem\ndata: "));
	problem_write(&r->json, p, str_of(detail), false);
	json_bytes(&r->json, STR("\n\n"));
	struct str event = json_str(&r->json);
	if (json_failed(&r->json)) {
		client_abort(c);
		return;
	}
	writer_init(&w, r->scratch, sizeof r->scratch);
	write_hex(&w, event.len, 0);
	write_lit(&w, "\r\n");
	write_str(&w, event);
	write_lit(&w, "\r\n0\r\n\r\n");
	struct iovec iov = slice(w.start, writer_len(&w));
	if (client_send(c, &iov, 1))
		client_answered(c, c->keep_alive);
}

/* ---- to a job ---- */

/* 0, or -errno. */
static int keep_result(struct exchange *ex, const struct answer_part *part)
{
	struct reactor *r = reactor_of(ex);
	int err = 0;
	if (part->head) {
		struct writer w;
		writer_init(&w, r->scratch, sizeof r->scratch);
		forward_result_fields(&w, part->head);
		ex->status = (uint16_t)part->head->status;
		err = job_answer_head(ex->job, ex->status, (struct str){ w.start, writer_len(&w) });
	}
	for (int i = 0; i < part->n_body && err == 0; i++)
		err = job_answer_body(ex->job, part->body[i].iov_base, part->body[i].iov_len);
	ex->request->answer_bytes += part->body_bytes;
	return err;
}

static void answer_job(struct exchange *ex, const struct answer_part *part)
{
	int err = keep_result(ex, part);
	if (err < 0) {
		exchange_problem(ex, PROBLEM_OVERLOADED,
			err == -EFBIG ? "the result is larger than jobs.max_result_bytes"
				      : "the result can be kept neither in memory nor in a spool file");
		return;
	}
	if (!part->end) {
		if (job_answer_is_behind(ex->job))
			upstream_pause(ex->upstream);
		return;
	}
	ex->route->metrics.outcomes[OUTCOME_ANSWERED]++;
	access_log_exchange(reactor_of(ex)->access_log, ex, "answered");
	job_done(ex->job);
	exchange_bury(ex);
}

void exchange_answer(struct exchange *ex, const struct answer_part *part)
{
	if (ex->client)
		answer_client(ex, part);
	else if (ex->job)
		answer_job(ex, part);
	else if (part->end)
		exchange_bury(ex); /* an orphan's: thrown away */
}
