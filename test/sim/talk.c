#include "talk.h"

#include "fault.h"

#include <stdlib.h>
#include <string.h>

enum {
	HEAD_MAX = 64 * 1024,
	PIECES_MAX = 200, /* about, of one message */
	KEPT_MIN = 512,
};

/* ---- reading ---- */

void reader_init(struct reader *r, struct http_head *head, bool responses)
{
	*r = (struct reader){ .head = head, .responses = responses, .asked = HTTP_GET };
}

void reader_finish(struct reader *r)
{
	free(r->partial);
	r->partial = NULL;
	r->partial_bytes = r->partial_cap = 0;
}

static void keep(struct reader *r, struct str in)
{
	if (r->partial_cap - r->partial_bytes < in.len) {
		r->partial_cap = (r->partial_bytes + (uint32_t)in.len) * 2;
		if (r->partial_cap < KEPT_MIN)
			r->partial_cap = KEPT_MIN;
		r->partial = sim_realloc(r->partial, r->partial_cap);
	}
	memcpy(r->partial + r->partial_bytes, in.ptr, in.len);
	r->partial_bytes += (uint32_t)in.len;
}

/* The end of a head that has been begun is in these bytes, perhaps, which stand behind `before` others. */
static bool may_end(struct str all, size_t before)
{
	static const char end[] = "\r\n\r\n";
	size_t from = before < sizeof end ? 0 : before - sizeof end;
	return all.len >= HEAD_MAX || memmem(all.ptr + from, all.len - from, end, sizeof end - 1);
}

static enum reading read_head(struct reader *r, struct str *in)
{
	size_t before = r->partial_bytes;
	struct str all = *in;
	if (in->len == 0)
		return READ_MORE;
	if (before) {
		keep(r, *in);
		all = (struct str){ r->partial, r->partial_bytes };
		if (!may_end(all, before)) {
			*in = str_skip(*in, in->len);
			return READ_MORE;
		}
	}
	enum parse_status status = r->responses
		? http_parse_response(all.ptr, all.len, HEAD_MAX, r->asked, r->head)
		: http_parse_request(all.ptr, all.len, HEAD_MAX, r->head);
	switch (status) {
	case PARSE_MORE:
		if (!before)
			keep(r, *in);
		*in = str_skip(*in, in->len);
		return READ_MORE;
	case PARSE_BAD:
		return READ_BAD;
	case PARSE_OK:
		break;
	}
	*in = str_skip(*in, r->head->bytes - before);
	r->partial_bytes = 0; /* its memory stays: the head's strings are there */
	r->in_body = true;
	http_body_init(&r->body, r->head);
	return READ_HEAD;
}

enum reading reader_next(struct reader *r, struct str *in, struct str *ret_payload)
{
	if (!r->in_body)
		return read_head(r, in);
	while (!http_body_is_done(&r->body)) {
		size_t used;
		if (in->len == 0)
			return READ_MORE;
		enum parse_status status = http_body_feed(&r->body, in->ptr, in->len, &used, ret_payload);
		*in = str_skip(*in, used);
		if (status == PARSE_BAD)
			return READ_BAD;
		if (ret_payload->len)
			return READ_PAYLOAD;
	}
	r->in_body = false;
	return READ_END;
}

bool reader_eof(struct reader *r)
{
	bool ends = r->in_body && r->body.framing == FRAMING_CLOSE;
	if (ends)
		r->in_body = false;
	return ends;
}

/* ---- sending ---- */

void outgoing_init(struct outgoing *o, struct wire_end *end, struct schedule *schedule, struct rand *rand)
{
	*o = (struct outgoing){ .end = end, .schedule = schedule, .rand = rand, .limit = UINT32_MAX };
}

void outgoing_finish(struct outgoing *o)
{
	event_stop(o->schedule, &o->pace);
	free(o->bytes);
	o->bytes = NULL;
	o->at = o->len = o->cap = 0;
}

void outgoing_drip(struct outgoing *o, uint32_t piece_max, uint32_t pause_max_us, size_t n)
{
	o->piece_max = piece_max && piece_max < n / PIECES_MAX ? (uint32_t)(n / PIECES_MAX) : piece_max;
	o->pause_max_us = pause_max_us;
}

static void keep_rest(struct outgoing *o, const char *bytes, size_t n)
{
	if (o->at == o->len)
		o->at = o->len = 0;
	if (o->cap - o->len < n) {
		o->cap = o->len + (uint32_t)n;
		o->bytes = sim_realloc(o->bytes, o->cap);
	}
	memcpy(o->bytes + o->len, bytes, n);
	o->len += (uint32_t)n;
}

int outgoing_put(struct outgoing *o, const char *bytes, size_t n)
{
	if (n && o->at == o->len && !o->piece_max && o->limit == UINT32_MAX) {
		ssize_t sent = wire_send(o->end, &(struct iovec){ (char *)(uintptr_t)bytes, n }, 1);
		if (sent < 0)
			return (int)sent;
		if ((size_t)sent < n)
			keep_rest(o, bytes + sent, n - (size_t)sent);
		return 0;
	}
	if (n)
		keep_rest(o, bytes, n);
	return outgoing_go(o);
}

/* Sends up to `most` bytes; 1 when the wire did not take all of them. */
static int send_piece(struct outgoing *o, uint32_t most)
{
	ssize_t sent = wire_send(o->end, &(struct iovec){ o->bytes + o->at, most }, 1);
	if (sent < 0)
		return (int)sent;
	o->at += (uint32_t)sent;
	return (uint32_t)sent < most;
}

int outgoing_go(struct outgoing *o)
{
	uint32_t end = o->len < o->limit ? o->len : o->limit;
	if (o->at >= end || o->end->wants_room || event_is_set(&o->pace))
		return 0;
	uint32_t most = end - o->at;
	if (o->piece_max && most > o->piece_max)
		most = 1 + (uint32_t)rand_below(o->rand, o->piece_max);
	int r = send_piece(o, most);
	if (r == 0 && o->at < end)
		event_set(o->schedule, &o->pace,
			o->schedule->now_us + 1 + rand_below(o->rand, o->pause_max_us + 1));
	return r < 0 ? r : 0;
}
