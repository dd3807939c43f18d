/* store_thread: a thread that takes everything that has come and works it off in one go.
 *
 * What comes while it works is what it takes next: that makes a group commit out of a list and a lock.
 */
#pragma once
#include "store/engine.h"

#include <pthread.h>

/* On the thread. ops: a chain, in the order of submission, owned by the callee now. */
typedef void store_work_fn(void *owner, struct store_op *ops);

struct store_thread {
	store_work_fn *work;
	void *owner; /* borrowed */
	pthread_t thread;
	bool running;
	pthread_mutex_t lock; /* guards the fields below */
	pthread_cond_t wake;
	struct store_op *first, **last; /* owned */
	bool stopping;
};

/* 0 or -errno. */
MUST_USE int store_thread_start(struct store_thread *t, store_work_fn *work, void *owner);

/* Takes op. */
void store_thread_submit(struct store_thread *t, struct store_op *op);

/* Returns when everything is worked off. One that was never started is allowed, if it is all zeroes. */
void store_thread_stop(struct store_thread *t);
