/* follow: what a job's stream of events may say, however often its client comes back to it: states go forward
 * and places fall, but for a requeue, which the event names; ids rise; the end is the last.
 */
#pragma once
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

enum { FOLLOW_ID_BYTES = 64 };

/* Zeroes: nothing was told yet. */
struct follow {
	char id[FOLLOW_ID_BYTES]; /* of the last event; empty: none */
	char state[16];           /* as it told */
	uint64_t epoch, changes;  /* of its id */
	int64_t place;            /* 0: running, or over */
	bool over;
};

/* The first whole event or comment in it, with the empty line behind it. Empty: more is to come. */
struct str follow_cut(struct str text);

/* What is wrong with the next event; NULL: nothing. */
const char *follow_event(struct follow *f, struct str event);
