/* slot: the right to run one request, and the thread that may run it.
 *
 * Owns:       what a run reuses, and a thread that is started when the slot first needs it.
 * Invariant:  a slot is on the free list, or it is its taker's.
 * A run that is short costs less than handing it to a thread and back; so the taker decides which it shall
 * be.
 */
#pragma once
#include "base/list.h"
#include "io/io.h"
#include "worker/job.h"

#include <pthread.h>

struct slot {
	struct list_node node; /* while free */
	struct model_run run;  /* owned */
	struct io *io;         /* borrowed */
	struct io_message done;
	void (*on_done)(struct slot *slot);
	void *taker; /* the taker's own affair */
	pthread_t thread;
	bool has_thread;
	pthread_mutex_t lock; /* guards the two below */
	pthread_cond_t changed;
	struct job *job; /* borrowed; NULL: nothing to do */
	bool quit;
};

struct slots {
	struct slot *all; /* owned */
	uint32_t n;
	struct list free;
};

/* on_done: called on the loop's thread when what slot_start has started is done. */
MUST_USE bool slots_init(struct slots *s, uint32_t n, const struct model *m, struct io *io,
	void (*on_done)(struct slot *slot), struct why *why);

/* Joins the threads: nothing may be running any more. */
void slots_finish(struct slots *s);

/* NULL when all are taken. */
MUST_USE struct slot *slot_take(struct slots *s, void *taker);
void slot_give(struct slots *s, struct slot *slot);

static inline uint32_t slots_taken(const struct slots *s)
{
	return s->n - s->free.len;
}

/* Does the job on the slot's thread; on_done follows. False when there is no thread to be had. */
MUST_USE bool slot_start(struct slot *slot, struct job *job);
