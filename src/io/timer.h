/* timer: a hierarchical timer wheel (Varghese and Lauck, 1987) of 1,024 us ticks, used by every loop.
 *
 * Owns:   the wheel; the timers are embedded in their owners'.
 * Note:   a timer that is set to a later time than it stands at stays where it is and is moved when that time
 * comes: the time-outs of a request that goes well cost two stores.
 */
#pragma once
#include "io/io.h"

struct io_wheel *wheel_create(uint64_t now_us);
void wheel_destroy(struct io_wheel *w);

/* Fires what is due at io->now_us. */
void wheel_expire(struct io *io);

/* When wheel_expire has something to do next, as a time on the loop's clock; UINT64_MAX: never. May be early,
 * is never late. */
uint64_t wheel_next_us(const struct io_wheel *w);
