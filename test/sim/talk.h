/* talk: what fake clients and fake containers have in common: reading messages, and sending bytes in pieces.
 */
#pragma once
#include "base/rand.h"
#include "event.h"
#include "http/body.h"
#include "http/parse.h"
#include "wire.h"

enum reading {
	READ_MORE, /* all that was there is used up */
	READ_HEAD, /* reader->head is good until the next call with READ_MORE's fresh bytes */
	READ_PAYLOAD,
	READ_END, /* the message is whole */
	READ_BAD,
};

/* Takes messages from bytes as they come, strictly. */
struct reader {
	struct http_head *head; /* borrowed, shared by all readers of a world */
	struct http_body body;
	char *partial; /* owned; the beginning of a head */
	uint32_t partial_bytes, partial_cap;
	bool in_body;
	bool responses;         /* it reads answers, not requests */
	enum http_method asked; /* what they answer */
};

void reader_init(struct reader *r, struct http_head *head, bool responses);
void reader_finish(struct reader *r);

/* The next part of the message; *in moves past it. Call until READ_MORE or READ_BAD. */
enum reading reader_next(struct reader *r, struct str *in, struct str *ret_payload);

/* The connection has ended: true when that was the message's end. */
bool reader_eof(struct reader *r);

/* Some bytes of a message have come, but not its last. */
static inline bool reader_is_inside(const struct reader *r)
{
	return r->in_body || r->partial_bytes;
}

/* Bytes that an end has yet to send. */
struct outgoing {
	struct wire_end *end;      /* borrowed */
	struct schedule *schedule; /* borrowed */
	struct rand *rand;         /* borrowed */
	struct event pace;         /* the next piece; fire is the owner's, and calls outgoing_go */
	char *bytes;               /* owned */
	uint32_t at, len, cap;
	uint32_t limit;        /* nothing from here on is sent for now; UINT32_MAX: none */
	uint32_t piece_max;    /* 0: as much as there is room for */
	uint32_t pause_max_us; /* between two pieces */
};

void outgoing_init(struct outgoing *o, struct wire_end *end, struct schedule *schedule, struct rand *rand);
void outgoing_finish(struct outgoing *o);

/* The next n bytes go in pieces with pauses, or (piece_max 0) at once; in a few hundred pieces at most. */
void outgoing_drip(struct outgoing *o, uint32_t piece_max, uint32_t pause_max_us, size_t n);

/* More to send; sends what may be sent. 0, or -errno when the connection is broken. */
MUST_USE int outgoing_put(struct outgoing *o, const char *bytes, size_t n);

/* Sends what may be sent: after on_room, after pace, after a change of limit. */
MUST_USE int outgoing_go(struct outgoing *o);

static inline bool outgoing_is_done(const struct outgoing *o)
{
	return o->at == o->len;
}
