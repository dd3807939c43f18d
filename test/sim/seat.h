/* seat: one connection of a simulated container, and the answers that are written there (fake_answer.c). */
#pragma once
#include "fake_container.h"

#include "talk.h"
#include "world.h"

struct writer;

enum seat_state { SEAT_IDLE, SEAT_READING, SEAT_WORKING, SEAT_ANSWERING, SEAT_HUNG };

/* What is wrong with an answer. */
enum slip {
	SLIP_NONE,
	SLIP_BUSY,
	SLIP_CLOSE_FIRST,
	SLIP_CUT,
	SLIP_NONSENSE,
	SLIP_BAD_CHUNK,
	SLIP_EXTRA,
	SLIP_HANG
};

enum { NO_TOKEN = UINT32_MAX };

struct seat {
	struct list_node node;            /* on container->seats */
	struct fake_container *container; /* borrowed: the owner */
	struct wire_end *end;             /* borrowed */
	struct reader reader;
	struct outgoing out;
	struct event act; /* the work is done; or an idle connection is closed */
	enum seat_state state;
	uint32_t token;    /* of the request at hand; NO_TOKEN: a probe */
	uint64_t began_us; /* its first byte */
	uint64_t read_bytes;
	uint32_t answers; /* over this connection */
	bool reading;     /* the request's end is to come */
	bool counted;     /* among those in flight */
	bool gone;        /* the connection has ended, and the container works on */
	bool vanished;    /* … in the network, which no end has told Berth */
	bool idle_probe;  /* the request at hand asks whether anything is in flight … */
	bool by_status;   /* … and the status shall tell */
	bool head_only;   /* it is a HEAD */
	bool close;       /* after this answer */
	bool babbled;     /* what it said too much may be taken for the next answer */
	bool late;        /* Berth had given the request up before it came: it may be elsewhere by now */
	enum slip slip;
};

static inline struct rand *rand_of(struct fake_container *c)
{
	return &c->world->rand;
}

static inline const struct container_plan *plan_of(const struct fake_container *c)
{
	return &c->world->plan.container;
}

static inline bool chance(struct fake_container *c, uint32_t ppm)
{
	return ppm && rand_chance(rand_of(c), ppm);
}

/* ---- fake_answer.c ---- */

int answer_draw_status(struct fake_container *c);
uint32_t answer_draw_length(struct fake_container *c);

/* Of an answer with a body of so many bytes, at most. */
size_t answer_room(uint32_t bytes);

/* The whole answer, as it should be but for a bad chunk. */
void answer_write(struct seat *s, struct writer *w, struct record *r);
