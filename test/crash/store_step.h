/* store_step: the store's threads as events of the simulation.
 *
 * It stands in the place of store_thread.c when the program is linked: what is submitted waits until an event
 * comes for it, and is worked off there in one go. So a seed decides which changes go into one commit, and
 * what happens before it.
 */
#pragma once
#include "event.h"

/* schedule and rand: borrowed until store_steps_end. Each step comes up to delay_max_us after the first call
 * that it works off. wal_pages: of the stores that are opened from now on. */
void store_steps_begin(
	struct schedule *schedule, struct rand *rand, uint32_t delay_max_us, uint32_t wal_pages);

/* All stores are closed. */
void store_steps_end(void);
