/* spin: when the loop polls instead of sleeping.
 *
 * Who sleeps has to be woken, which is half of the time that a slot lies idle between two requests. So the
 * loop stays awake, but only while requests wait and the service times say that a slot is about to become
 * free, and only for a set share of a core: what is not used of it is saved up for a while, and used in one
 * piece. What falling asleep and waking up would have cost does not count.
 * Never:  reads the clock; costs anything while nothing waits.
 */
#pragma once
#include "core/pool.h"

#include <stdint.h>

struct spin {
	uint64_t credit; /* in 1/100 us: what may be polled away */
	uint64_t at_us;  /* when it was last added to */
	bool awake;      /* it was enough, and is not used up yet */
};

struct spin_window {
	uint64_t from_us, until_us; /* 0, 0: sleep */
};

/* When the pool's next request may be answered at the earliest, going by the mean of the service times and
 * their deviation; now_us when that time has come. UINT64_MAX when nothing waits or nothing is known. */
uint64_t spin_due_us(const struct pool *p, uint64_t now_us);

/* So long was polled since the last call, and so many times something came meanwhile. */
void spin_spend(struct spin *s, uint64_t polled_us, uint64_t hits);

/* When to poll next. due_us: the earliest of all pools'; share_percent: 1 to 100 of a core. */
struct spin_window spin_next(struct spin *s, uint64_t due_us, uint32_t share_percent, uint64_t now_us);
