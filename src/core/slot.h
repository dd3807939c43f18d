/* slot: the only mover of slots between states, and of containers between the pool's lists. Internal to core.
 */
#pragma once
#include "core/pool.h"

/* Pauses of a container that says that it is busy, or cannot be connected for want of something of our own:
 * doubled each time, until it answers. */
enum { REST_MIN_US = 20 * 1000, REST_MAX_US = 1000 * 1000 };

/* Checks the move against the table, then moves: the slot's lists and its container's place among the
 * available follow. */
void slot_set_state(struct slot *s, enum slot_state state);

/* After a change of the container's own state or of `draining`: files all its slots and itself anew. */
void container_refile(struct container *c);
