/* source_rig: a loop, and what a source on it has told. */
#pragma once
#include "fleet/source.h"

enum { RIG_PATIENCE_MS = 20000, RIG_CONTAINERS = 64 };

struct rig {
	struct io *io;                                /* owned */
	struct source_container list[RIG_CONTAINERS]; /* the newest */
	size_t n;
	unsigned lists;         /* how often one was told */
	unsigned failures;      /* how often it could not be reached … */
	char why[SOURCE_ERROR]; /* … and why, at last */
	struct io_timer tick;
	bool (*is_met)(struct rig *r); /* what is waited for */
	unsigned wanted;
	const char *wanted_why;
	const char *const *wanted_addrs;
	unsigned ticks;
};

extern const struct source_events rig_events; /* user is a rig */

void rig_init(struct rig *r);
void rig_finish(struct rig *r);

/* Runs the loop until is_met says so; fails the test when that does not come. */
void rig_await(struct rig *r, bool (*is_met)(struct rig *r));

/* So many times 2 ms, in which something may happen. */
void rig_await_ticks(struct rig *r, unsigned ticks);

/* Until so many lists have been told in all. */
void rig_await_list(struct rig *r, unsigned lists);

/* Until it has said so. */
void rig_await_failure(struct rig *r, const char *why);

/* Until the newest list has exactly these addresses, in any order; NULL stands behind them. */
void rig_await_addrs(struct rig *r, const char *const *addrs);
