#include "ask.h"

#include "world.h"

#include <string.h>

static const char filler[] =
	"X-Filler: 0123456789012345678901234567890123456789012345678901234567890123456789\r\n";

/* Requests that break a rule, and what they must be answered with (or a 503 before that is seen). */
static const struct {
	const char *text;
	int status;
} bad_requests[] = {
	{ NULL, 431 },
	{ "GET /p HTTP/1.1\r\n\r\n", 400 },
	{ "GET /p HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400 },
	{ "GET /p HTTP/2.0\r\nHost: a\r\n\r\n", 505 },
	{ "GET /p\r\n\r\n", 400 },
	{ "GET  /p HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
	{ "GET /p HTTP/1.1\nHost: a\n\n", 400 },
	{ "GET /p HTTP/1.1\r\nHost : a\r\n\r\n", 400 },
	{ "GET /p HTTP/1.1\r\nHost: a\r\n folded: b\r\n\r\n", 400 },
	{ "GET /a/../b HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
	{ "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		400 },
	{ "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc", 400 },
	{ "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400 },
	{ "POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n", 400 },
	{ "POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501 },
	{ "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 9000000000\r\n\r\n", 413 },
	{ "GET /p HTTP/1.1\r\nHost: a\r\nExpect: the-unexpected\r\n\r\n", 417 },
	{ "TRACE /p HTTP/1.1\r\nHost: a\r\n\r\n", 501 },
	{ "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", 501 },
	{ "GET /berth/nothing HTTP/1.1\r\nHost: a\r\n\r\n", 404 },
	{ "GET /berth/jobs/0123456789abcdef0123456789abcdef HTTP/1.1\r\nHost: a\r\n\r\n", 404 },
	{ "DELETE /berth/queue HTTP/1.1\r\nHost: a\r\n\r\n", 405 },
};

static bool chance(struct world *w, uint32_t ppm)
{
	return ppm && rand_chance(&w->rand, ppm);
}

static uint32_t below(struct world *w, uint32_t n)
{
	return (uint32_t)rand_below(&w->rand, n);
}

/* ---- drawing ---- */

static void draw_bad(struct world *w, struct ask *a, struct record *r)
{
	uint32_t i = below(w, ARRAY_LEN(bad_requests));
	r->kind = ASK_BAD;
	r->pool = 0; /* as its path says */
	r->status = (uint16_t)bad_requests[i].status;
	a->bad = bad_requests[i].text;
	r->method = HTTP_GET;
}

static void draw_own(struct world *w, struct ask *a, struct record *r)
{
	r->kind = ASK_OWN;
	r->status = 200;
	a->target = below(w, 2) ? "/berth/queue" : "/berth/readyz";
	r->method = below(w, 4) ? HTTP_GET : HTTP_HEAD;
}

static void draw_poll(struct world *w, struct ask *a, struct record *r)
{
	const struct client_plan *p = &w->plan.client;
	const struct open_job *job = &w->jobs[below(w, w->n_jobs)];
	r->kind = job->over_us || below(w, 8) == 0 ? ASK_RESULT : ASK_POLL;
	r->method = HTTP_GET;
	if (chance(w, p->events_ppm)) {
		r->kind = ASK_EVENTS;
	} else if (chance(w, p->cancel_ppm)) {
		r->kind = ASK_CANCEL;
		r->method = HTTP_DELETE;
		ledger_at(&w->ledger, job->token)->cancelled = true;
	}
	r->job = job->token;
	r->pool = ledger_at(&w->ledger, job->token)->pool;
	a->id = job->id;
}

static void draw_body(struct world *w, struct ask *a, struct record *r)
{
	const struct client_plan *p = &w->plan.client;
	r->body_bytes = below(w, (chance(w, p->big_body_ppm) ? p->big_body_max : p->body_max) + 1);
	a->chunked = !r->old && chance(w, p->chunked_ppm);
	a->expect = !r->old && chance(w, p->expect_ppm);
	r->has_body = r->body_bytes || a->chunked;
}

static void draw_plain(struct world *w, struct ask *a, struct record *r)
{
	static const uint8_t with_body[] = { HTTP_POST, HTTP_POST, HTTP_POST, HTTP_PUT, HTTP_PATCH,
		HTTP_GET };
	static const uint8_t without[] = { HTTP_GET, HTTP_GET, HTTP_GET, HTTP_DELETE, HTTP_OPTIONS,
		HTTP_POST };
	const struct client_plan *p = &w->plan.client;
	r->kind = ASK_PLAIN;
	r->old = chance(w, p->old_ppm);
	r->max_wait = chance(w, p->max_wait_ppm);
	if (chance(w, p->head_ppm)) {
		r->method = HTTP_HEAD;
	} else if (chance(w, p->body_ppm)) {
		r->method = with_body[below(w, ARRAY_LEN(with_body))];
		draw_body(w, a, r);
	} else {
		r->method = without[below(w, ARRAY_LEN(without))];
	}
	r->async = !r->old && r->method != HTTP_HEAD && chance(w, p->async_ppm);
	r->waits = r->async && below(w, 2);
}

static void draw_submit(struct world *w, struct ask *a, struct record *r)
{
	r->kind = ASK_SUBMIT;
	r->method = below(w, 4) ? HTTP_POST : HTTP_GET;
	if (r->method == HTTP_POST)
		draw_body(w, a, r);
}

void ask_draw(struct world *w, struct ask *a, bool may_trick)
{
	const struct client_plan *p = &w->plan.client;
	struct record r = { .started_us = world_now_us(w), .sent_us = UINT64_MAX };
	r.pool = (uint8_t)below(w, (uint32_t)w->plan.settings.n_pools);
	*a = (struct ask){ 0 };
	if (w->n_jobs && (!w->exchanges_left || below(w, 3) == 0))
		draw_poll(w, a, &r);
	else if (may_trick && chance(w, p->bad_ppm))
		draw_bad(w, a, &r);
	else if (chance(w, p->own_ppm))
		draw_own(w, a, &r);
	else if (chance(w, p->submit_ppm))
		draw_submit(w, a, &r);
	else
		draw_plain(w, a, &r);
	a->keep_alive_10 = r.old && below(w, 2);
	a->close = may_trick && !r.old && r.kind != ASK_BAD && chance(w, p->close_ppm);
	if (!may_trick && r.old)
		a->keep_alive_10 = true;
	a->token = ledger_add(&w->ledger, r);
	if (w->exchanges_left)
		w->exchanges_left--;
	w->tally->exchanges++;
}

/* ---- writing ---- */

size_t ask_room(const struct world *w, const struct ask *a)
{
	const struct record *r = &w->ledger.records[a->token];
	return r->kind == ASK_BAD ? ASK_BAD_BYTES : ASK_HEAD_BYTES + r->body_bytes + ASK_CHUNKS * 64;
}

static void write_bad(struct writer *out, const struct ask *a)
{
	if (a->bad) {
		write_str(out, str_of(a->bad));
		return;
	}
	write_lit(out, "GET /p HTTP/1.1\r\nHost: a\r\n");
	for (int i = 0; i < 250; i++)
		write_lit(out, filler);
	write_lit(out, "\r\n");
}

static void write_target(struct writer *out, const struct ask *a, const struct record *r)
{
	if (r->kind == ASK_OWN) {
		write_str(out, str_of(a->target));
		return;
	}
	if (a->id) {
		write_lit(out, "/berth/jobs/");
		write_str(out, str_of(a->id));
		if (r->kind == ASK_RESULT)
			write_lit(out, "/result");
		else if (r->kind == ASK_EVENTS)
			write_lit(out, "/events");
		return;
	}
	if (a->token % 8 == 0)
		write_lit(out, "http://sim.example"); /* the absolute form */
	if (r->pool)
		write_lit(out, "/b");
	if (r->kind == ASK_SUBMIT)
		write_lit(out, "/new_request?t=");
	else
		write_lit(out, "/p?t=");
	write_u64(out, a->token);
}

static void write_fields(struct writer *out, const struct ask *a, const struct record *r)
{
	write_lit(out, "Host: sim.example\r\nUser-Agent: sim\r\n");
	if (a->close)
		write_lit(out, "Connection: close, x-hop\r\nX-Hop: 1\r\n");
	else if (a->keep_alive_10)
		write_lit(out, "Connection: keep-alive\r\n");
	else if (a->token % 4 == 0 && !r->old)
		write_lit(out, "Connection: x-hop\r\nX-Hop: 1\r\n");
	if (r->waits)
		write_lit(out, "Prefer: respond-async, wait=1\r\n");
	else if (r->async)
		write_lit(out, "Prefer: respond-async\r\n");
	if (r->max_wait)
		write_lit(out, "Berth-Max-Wait: 0\r\n");
	if (a->expect)
		write_lit(out, "Expect: 100-continue\r\n");
	if (a->chunked) {
		write_lit(out, "Transfer-Encoding: chunked\r\n");
	} else if (r->body_bytes || r->method == HTTP_POST || r->method == HTTP_PUT) {
		write_lit(out, "Content-Length: ");
		write_u64(out, r->body_bytes);
		write_lit(out, "\r\n");
	}
	write_lit(out, "\r\n");
}

static void write_chunks(struct world *w, struct writer *out, uint32_t token, uint32_t bytes)
{
	for (uint32_t at = 0; at < bytes;) {
		uint32_t n = bytes / ASK_CHUNKS + 1 + below(w, bytes);
		if (n > bytes - at)
			n = bytes - at;
		write_hex(out, n, 0);
		if (below(w, 4) == 0)
			write_lit(out, ";name=value");
		write_lit(out, "\r\n");
		pattern_write(&w->ledger, out, token, SIDE_REQUEST, at, n);
		write_lit(out, "\r\n");
		at += n;
	}
	if (below(w, 4))
		write_lit(out, "0\r\n\r\n");
	else
		write_lit(out, "0\r\nX-Trailer: 1\r\n\r\n");
}

static const char *const method_names[] = {
	[HTTP_GET] = "GET",
	[HTTP_HEAD] = "HEAD",
	[HTTP_POST] = "POST",
	[HTTP_PUT] = "PUT",
	[HTTP_DELETE] = "DELETE",
	[HTTP_OPTIONS] = "OPTIONS",
	[HTTP_PATCH] = "PATCH",
};

void ask_write(struct world *w, struct ask *a, struct writer *out)
{
	const struct record *r = ledger_at(&w->ledger, a->token);
	size_t before = writer_len(out);
	if (r->kind == ASK_BAD) {
		write_bad(out, a);
	} else {
		write_str(out, str_of(method_names[r->method]));
		write_lit(out, " ");
		write_target(out, a, r);
		write_str(out, r->old ? STR(" HTTP/1.0\r\n") : STR(" HTTP/1.1\r\n"));
		write_fields(out, a, r);
		a->head_bytes = writer_len(out) - before;
		if (a->chunked)
			write_chunks(w, out, a->token, r->body_bytes);
		else
			pattern_write(&w->ledger, out, a->token, SIDE_REQUEST, 0, r->body_bytes);
	}
	CHECK(!out->overflow);
}
