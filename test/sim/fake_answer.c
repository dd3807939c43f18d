/* What a simulated container says: drawn, and written as a whole. */
#include "http/write.h"
#include "seat.h"

enum { ANSWER_HEAD_BYTES = 1024, CHUNKS = 24, CHUNK_LINE_BYTES = 40 };

int answer_draw_status(struct fake_container *c)
{
	static const int others[] = { 201, 302, 400, 404, 429, 500, 503 };
	if (chance(c, plan_of(c)->empty_ppm))
		return rand_below(rand_of(c), 2) ? 204 : 304;
	if (chance(c, plan_of(c)->status_ppm))
		return others[rand_below(rand_of(c), ARRAY_LEN(others))];
	return 200;
}

uint32_t answer_draw_length(struct fake_container *c)
{
	const struct container_plan *p = plan_of(c);
	uint32_t most = chance(c, p->big_answer_ppm) ? p->big_answer_max : p->answer_max;
	return (uint32_t)rand_below(rand_of(c), most + 1);
}

size_t answer_room(uint32_t bytes)
{
	return ANSWER_HEAD_BYTES + bytes + (CHUNKS + 2) * CHUNK_LINE_BYTES;
}

/* The body in up to CHUNKS chunks. */
static void write_chunks(struct seat *s, struct writer *w, uint32_t bytes)
{
	struct fake_container *c = s->container;
	const struct ledger *l = &c->world->ledger;
	uint32_t bad_at =
		s->slip == SLIP_BAD_CHUNK ? (uint32_t)rand_below(rand_of(c), bytes + 1) : UINT32_MAX;
	for (uint32_t at = 0; at < bytes;) {
		uint32_t n = bytes / CHUNKS + 1 + (uint32_t)rand_below(rand_of(c), bytes);
		if (n > bytes - at)
			n = bytes - at;
		write_hex(w, n, 0);
		write_lit(w, "\r\n");
		pattern_write(l, w, s->token, SIDE_ANSWER, at, n);
		at += n;
		if (at >= bad_at) {
			write_lit(w, "xx\r\n");
			return;
		}
		write_lit(w, "\r\n");
	}
	write_lit(w, "0\r\n\r\n");
}

static void write_head(struct seat *s, struct writer *w, const struct record *r, enum http_framing framing)
{
	struct fake_container *c = s->container;
	if (chance(c, plan_of(c)->interim_ppm))
		write_lit(w, "HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n");
	write_lit(w, "HTTP/1.1 ");
	write_u64(w, r->answer_status);
	write_lit(w, " Said\r\nX-Token: ");
	write_u64(w, s->token);
	write_lit(w, "-");
	write_u64(w, r->deliveries);
	if (r->bounced)
		write_lit(w, "\r\nBerth-Busy: 1");
	write_lit(w, "\r\nContent-Type: application/octet-stream\r\nX-Inner: 1\r\nConnection: x-inner");
	if (s->close)
		write_lit(w, ", close");
	write_lit(w, "\r\n");
	if (framing == FRAMING_CHUNKED) {
		write_lit(w, "Transfer-Encoding: chunked\r\n");
	} else if (framing == FRAMING_LENGTH) {
		write_lit(w, "Content-Length: ");
		write_u64(w, r->answer_bytes);
		write_lit(w, "\r\n");
	}
	write_lit(w, "\r\n");
}

static enum http_framing draw_framing(struct seat *s)
{
	struct fake_container *c = s->container;
	if (s->slip == SLIP_BAD_CHUNK || chance(c, plan_of(c)->chunked_ppm))
		return FRAMING_CHUNKED;
	if (chance(c, plan_of(c)->close_framed_ppm))
		return FRAMING_CLOSE;
	return FRAMING_LENGTH;
}

void answer_write(struct seat *s, struct writer *w, struct record *r)
{
	enum http_framing framing = draw_framing(s);
	if (r->answer_empty && r->answer_status != 200)
		framing = FRAMING_NONE;
	bool must_stay = s->reading && s->container->world->plan.calm; /* what still comes would reset it */
	if (framing == FRAMING_CLOSE && (r->answer_empty || s->slip != SLIP_NONE || must_stay))
		framing = FRAMING_LENGTH; /* else what is wrong would look right */
	s->close = framing == FRAMING_CLOSE ||
		(!must_stay && chance(s->container, plan_of(s->container)->close_ppm));
	write_head(s, w, r, framing);
	if (r->answer_empty)
		return;
	if (framing == FRAMING_CHUNKED)
		write_chunks(s, w, r->answer_bytes);
	else
		pattern_write(&s->container->world->ledger, w, s->token, SIDE_ANSWER, 0, r->answer_bytes);
}
