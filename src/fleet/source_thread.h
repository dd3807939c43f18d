/* source_thread: a source that asks its authority by calls that block, on a thread of its own.
 *
 * `run` is the thread's whole life. It asks, tells what it has found, pauses, and asks again, until the
 *source is over:
 *
 *	static void run(struct source_thread *t, void *state)
 *	{
 *		do {
 *			if (ask(state, …) == 0)
 *				source_tell(t, list, n);
 *			else
 *				source_tell_unreachable(t, why);
 *		} while (source_pause(t, INTERVAL_US));
 *	}
 *
 * The loop does not wait for the thread: source_destroy tells it that it is over and lets go of it, and the
 * thread frees `state` when it returns from run. So run touches nothing but `state` and these calls. It looks
 * at source_is_over at least every few seconds (libcurl: in its progress callback), and returns soon then.
 */
#pragma once
#include "fleet/source.h"

struct source_thread;

struct source_thread_ops {
	void (*run)(struct source_thread *t, void *state);
	void (*free_state)(void *state); /* on whichever thread lets go last */
};

/* From a kind's `create`: makes the source and starts its thread, with all signals blocked. Takes state, also
 * when it fails: NULL with errno. */
MUST_USE struct source *source_thread_create(
	const struct source *base, const struct source_thread_ops *ops, void *state);

/* A kind's `destroy`. */
void source_thread_destroy(struct source *s);

/* ---- on the thread ---- */

/* These are all the containers. list is copied. The same may be told again, and does nothing then; when the
 * loop is slow, it gets the newest only. */
void source_tell(struct source_thread *t, const struct source_container *list, size_t n);

/* What is known stays; why: one phrase, cut at SOURCE_ERROR. */
void source_tell_unreachable(struct source_thread *t, const char *why);

/* Waits; false at once when the source is over. */
MUST_USE bool source_pause(struct source_thread *t, uint64_t us);

bool source_is_over(struct source_thread *t);

/* A descriptor that can be read once the source is over, for who waits with poll(2). Not to be read or
 * closed. */
int source_over_fd(const struct source_thread *t);
