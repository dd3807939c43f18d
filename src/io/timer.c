/* timer: levels of 64 places. A timer stands in the level of the highest group of six bits in which its tick
 * differs from the wheel's; so everything on level 0 is due before anything on level 1, and in each level the
 * lowest place that is taken is the next. There are levels for all bits that a tick can have.
 */
#include "io/timer.h"

#include <stdlib.h>

enum { TICK_SHIFT = 10, GROUP_BITS = 6, PLACES = 1 << GROUP_BITS, LEVELS = 9 };

struct io_wheel {
	uint64_t tick;                           /* all timers stand after it */
	uint64_t taken[LEVELS];                  /* bit p: places[level][p] may hold a timer */
	struct list_node places[LEVELS][PLACES]; /* sentinels */
};

struct io_wheel *wheel_create(uint64_t now_us)
{
	struct io_wheel *w = calloc(1, sizeof *w);
	if (!w)
		return NULL;
	w->tick = now_us >> TICK_SHIFT;
	for (int level = 0; level < LEVELS; level++) {
		for (int p = 0; p < PLACES; p++)
			w->places[level][p] =
				(struct list_node){ &w->places[level][p], &w->places[level][p] };
	}
	return w;
}

void wheel_destroy(struct io_wheel *w)
{
	free(w);
}

static void unlink_timer(struct io_timer *t)
{
	t->node.next->prev = t->node.prev;
	t->node.prev->next = t->node.next;
	t->node = (struct list_node){ NULL, NULL };
}

static void place_timer(struct io_wheel *w, struct io_timer *t)
{
	uint64_t tick = ((t->due_us - 1) >> TICK_SHIFT) + 1;
	if (tick <= w->tick)
		tick = w->tick + 1;
	unsigned level = (unsigned)(63 - __builtin_clzll(tick ^ w->tick)) / GROUP_BITS;
	unsigned p = (unsigned)(tick >> (GROUP_BITS * level)) & (PLACES - 1);
	struct list_node *at = &w->places[level][p];
	t->tick = tick;
	t->node = (struct list_node){ .next = at, .prev = at->prev };
	at->prev->next = &t->node;
	at->prev = &t->node;
	w->taken[level] |= UINT64_C(1) << p;
}

void io_timer_set(struct io *io, struct io_timer *t, uint64_t due_us)
{
	t->due_us = due_us;
	if (t->node.next) {
		if (due_us && due_us >> TICK_SHIFT >= t->tick)
			return;
		unlink_timer(t);
	}
	if (due_us)
		place_timer(io->wheel, t);
}

/* First tick of the lowest place that is taken. */
static uint64_t next_tick(const struct io_wheel *w, int *ret_level, unsigned *ret_place)
{
	for (int level = 0; level < LEVELS; level++) {
		if (!w->taken[level])
			continue;
		unsigned p = (unsigned)__builtin_ctzll(w->taken[level]), shift = GROUP_BITS * (unsigned)level;
		uint64_t group_mask = ((UINT64_C(1) << GROUP_BITS) << shift) - 1;
		*ret_level = level;
		*ret_place = p;
		return (w->tick & ~group_mask) | ((uint64_t)p << shift);
	}
	return UINT64_MAX;
}

uint64_t wheel_next_us(const struct io_wheel *w)
{
	int level;
	unsigned place;
	uint64_t tick = next_tick(w, &level, &place);
	return tick == UINT64_MAX ? UINT64_MAX : tick << TICK_SHIFT;
}

void wheel_expire(struct io *io)
{
	struct io_wheel *w = io->wheel;
	uint64_t now_tick = io->now_us >> TICK_SHIFT, tick;
	int level;
	unsigned place;
	while ((tick = next_tick(w, &level, &place)) <= now_tick) {
		struct list_node *at = &w->places[level][place], batch;
		w->tick = tick;
		w->taken[level] &= ~(UINT64_C(1) << place);
		if (at->next == at)
			continue;
		batch = *at; /* taken off first: what fires may set timers again */
		batch.next->prev = &batch;
		batch.prev->next = &batch;
		*at = (struct list_node){ at, at };
		while (batch.next != &batch) {
			struct io_timer *t = CONTAINER_OF(batch.next, struct io_timer, node);
			unlink_timer(t);
			if (t->due_us > io->now_us) {
				place_timer(w, t);
				continue;
			}
			t->due_us = 0;
			t->on_timer(t);
		}
	}
	if (now_tick > w->tick)
		w->tick = now_tick;
}
