#include "store_step.h"

#include "store/store_thread.h"

enum { STEPS = 2 }; /* the committer's and the reader's */

struct step {
	struct store_thread *thread; /* borrowed; NULL: free */
	struct event event;
};

static struct {
	struct schedule *schedule; /* borrowed */
	struct rand *rand;         /* borrowed */
	uint32_t delay_max_us, wal_pages;
	struct step steps[STEPS];
} all;

void store_steps_begin(
	struct schedule *schedule, struct rand *rand, uint32_t delay_max_us, uint32_t wal_pages)
{
	all.schedule = schedule;
	all.rand = rand;
	all.delay_max_us = delay_max_us;
	all.wal_pages = wal_pages;
}

void store_steps_end(void)
{
	for (int i = 0; i < STEPS; i++)
		CHECK(!all.steps[i].thread);
}

/* ---- in the place of store_thread.c ---- */

static struct step *step_of(const struct store_thread *t)
{
	for (int i = 0; i < STEPS; i++) {
		if (all.steps[i].thread == t)
			return &all.steps[i];
	}
	CHECK(false);
	return NULL;
}

static void work_off(struct store_thread *t)
{
	struct store_op *ops = t->first;
	t->first = NULL;
	t->last = &t->first;
	if (ops)
		t->work(t->owner, ops);
}

static void on_step(struct event *e)
{
	work_off(CONTAINER_OF(e, struct step, event)->thread);
}

int store_thread_start(struct store_thread *t, store_work_fn *work, void *owner)
{
	*t = (struct store_thread){ .work = work, .owner = owner, .running = true };
	t->last = &t->first;
	struct step *s = step_of(NULL);
	s->thread = t;
	s->event = (struct event){ .fire = on_step };
	return 0;
}

void store_thread_submit(struct store_thread *t, struct store_op *op)
{
	struct step *s = step_of(t);
	op->next = NULL;
	*t->last = op;
	t->last = &op->next;
	if (!event_is_set(&s->event))
		event_set(all.schedule, &s->event,
			all.schedule->now_us + rand_below(all.rand, all.delay_max_us + 1));
}

void store_thread_stop(struct store_thread *t)
{
	if (!t->running)
		return;
	struct step *s = step_of(t);
	event_stop(all.schedule, &s->event);
	work_off(t);
	s->thread = NULL;
	t->running = false;
}

/* ---- around two of store.h's and engine.h's functions (--wrap) ---- */

struct store *__real_store_open(const char *where, const struct store_settings *settings, struct io *io,
	store_post_fn *post, char why[STORE_WHY_BYTES]);
struct store *__wrap_store_open(const char *where, const struct store_settings *settings, struct io *io,
	store_post_fn *post, char why[STORE_WHY_BYTES]);
void __wrap_store_await_callbacks(struct store *s, uint64_t most_us);

/* A short log, which is folded in often. */
struct store *__wrap_store_open(const char *where, const struct store_settings *settings, struct io *io,
	store_post_fn *post, char why[STORE_WHY_BYTES])
{
	struct store_settings s = *settings;
	s.wal_pages = all.wal_pages;
	return __real_store_open(where, &s, io, post, why);
}

/* The callbacks come in a later turn of the same thread. */
void __wrap_store_await_callbacks(struct store *s, uint64_t most_us)
{
}
