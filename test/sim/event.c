#include "event.h"

#include "base/check.h"
#include "fault.h"

#include <stdlib.h>

enum { ORDER_BITS = 20 }; /* random bits below the time, which has 44: half a year of microseconds */

struct schedule_entry {
	uint64_t key; /* time << ORDER_BITS | random bits */
	struct event *event;
};

void schedule_init(struct schedule *s, struct rand *rand, uint64_t now_us, uint32_t grain_us)
{
	*s = (struct schedule){ .rand = rand, .now_us = now_us, .grain_us = grain_us };
}

void schedule_finish(struct schedule *s)
{
	free(s->heap);
	*s = (struct schedule){ 0 };
}

static void put(struct schedule_entry *heap, uint32_t at, struct schedule_entry entry)
{
	heap[at] = entry;
	entry.event->place = at;
}

static void sift_up(struct schedule_entry *heap, uint32_t at, struct schedule_entry entry)
{
	while (at > 1 && heap[at / 2].key > entry.key) {
		put(heap, at, heap[at / 2]);
		at /= 2;
	}
	put(heap, at, entry);
}

/* Puts an entry where it belongs, starting from a place that is free. */
static void settle(struct schedule *s, uint32_t at, struct schedule_entry entry)
{
	struct schedule_entry *heap = s->heap;
	uint32_t len = s->len, child;
	if (at > 1 && heap[at / 2].key > entry.key) {
		sift_up(heap, at, entry);
		return;
	}
	while ((child = at * 2) <= len) {
		if (child < len && heap[child + 1].key < heap[child].key)
			child++;
		if (heap[child].key >= entry.key)
			break;
		put(heap, at, heap[child]);
		at = child;
	}
	put(heap, at, entry);
}

void event_stop(struct schedule *s, struct event *e)
{
	uint32_t at = e->place;
	if (at == 0)
		return;
	CHECK(at <= s->len && s->heap[at].event == e);
	struct schedule_entry last = s->heap[s->len--];
	e->place = 0;
	if (last.event != e)
		settle(s, at, last);
}

void event_set(struct schedule *s, struct event *e, uint64_t at_us)
{
	if (at_us <= s->now_us)
		at_us = s->now_us + 1;
	at_us = (at_us + s->grain_us - 1) & ~(uint64_t)(s->grain_us - 1);
	struct schedule_entry entry = {
		.key = at_us << ORDER_BITS | rand_u64(s->rand) >> (64 - ORDER_BITS),
		.event = e,
	};
	if (e->place) {
		settle(s, e->place, entry);
		return;
	}
	if (s->len + 1 >= s->cap) {
		s->cap = s->cap ? s->cap * 2 : 64;
		s->heap = sim_realloc(s->heap, s->cap * sizeof *s->heap);
	}
	sift_up(s->heap, ++s->len, entry);
}

uint64_t schedule_next_us(const struct schedule *s)
{
	return s->len ? s->heap[1].key >> ORDER_BITS : UINT64_MAX;
}

struct event *schedule_pop(struct schedule *s)
{
	if (schedule_next_us(s) > s->now_us)
		return NULL;
	struct event *e = s->heap[1].event;
	event_stop(s, e);
	return e;
}
