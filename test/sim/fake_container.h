/* fake_container: a container as the seed makes it: it counts what it has in flight, answers well or badly,
 * dies and comes back.
 *
 * In flight: from a request's first byte until its answer's last byte has left, or its connection has ended.
 */
#pragma once
#include "base/list.h"
#include "event.h"
#include "io_sim.h"

#include <stdbool.h>
#include <stdint.h>

struct world;

enum mood {
	MOOD_WELL,
	MOOD_DEAD,     /* refuses connections */
	MOOD_VANISHED, /* answers nothing at all */
};

struct fake_container {
	struct world *world; /* borrowed: the owner */
	struct list seats;   /* its connections */
	struct event change; /* of its mood */
	enum mood mood;
	uint8_t pool;
	uint32_t index, slots;
	uint32_t in_flight;
};

void container_begin(struct fake_container *c, struct world *w, uint32_t pool, uint32_t index);

/* From now on it lives, and does nothing wrong. */
void container_calm(struct fake_container *c);

/* What it still works at although the connection has ended is over. all: also where Berth has ended it. */
void container_end_remains(struct fake_container *c, bool all);

/* Closes everything. */
void container_end(struct fake_container *c);

enum dial container_dial(struct fake_container *c);
bool container_answer(struct fake_container *c, struct wire_end *far);
