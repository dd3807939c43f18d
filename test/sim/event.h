/* event: what happens when, in virtual time.
 *
 * Events are embedded in their owners'; the schedule is a heap of pointers to them. Those that are due at the
 * same time come in an order that the seed decides.
 */
#pragma once
#include "base/rand.h"

#include <stdbool.h>
#include <stdint.h>

struct event {
	void (*fire)(struct event *e); /* may set e again */
	uint32_t place;                /* 1-based place in the heap; 0: not set */
};

struct schedule {
	struct schedule_entry *heap; /* owned; [1..len] */
	uint32_t len, cap;
	struct rand *rand; /* borrowed */
	uint64_t now_us;
	uint32_t grain_us; /* a power of two up to 1024: times are rounded up to it, so that events meet */
};

void schedule_init(struct schedule *s, struct rand *rand, uint64_t now_us, uint32_t grain_us);

/* Events that are still set are forgotten. */
void schedule_finish(struct schedule *s);

/* Sets e, or moves it, to at_us or the next grain after now: never to the turn that runs. */
void event_set(struct schedule *s, struct event *e, uint64_t at_us);

/* e may be not set. */
void event_stop(struct schedule *s, struct event *e);

static inline bool event_is_set(const struct event *e)
{
	return e->place != 0;
}

/* When the next event is due; UINT64_MAX: none is set. */
uint64_t schedule_next_us(const struct schedule *s);

/* Takes out an event that is due at now_us or before; NULL when there is none. */
struct event *schedule_pop(struct schedule *s);
