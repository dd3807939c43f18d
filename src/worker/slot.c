#include "worker/slot.h"

#include <stdlib.h>

static void on_message(struct io_message *m)
{
	struct slot *slot = CONTAINER_OF(m, struct slot, done);
	slot->on_done(slot);
}

static struct job *wait_for_job(struct slot *slot)
{
	pthread_mutex_lock(&slot->lock);
	while (!slot->job && !slot->quit)
		pthread_cond_wait(&slot->changed, &slot->lock);
	struct job *job = slot->job;
	slot->job = NULL;
	pthread_mutex_unlock(&slot->lock);
	return job;
}

static void *thread_main(void *arg)
{
	struct slot *slot = arg;
	struct job *job;
	while ((job = wait_for_job(slot))) {
		job_do(job, &slot->run);
		io_epoll_post(slot->io, &slot->done);
	}
	return NULL;
}

bool slots_init(struct slots *s, uint32_t n, const struct model *m, struct io *io,
	void (*on_done)(struct slot *slot), struct why *why)
{
	*s = (struct slots){ 0 };
	list_init(&s->free);
	s->all = calloc(n, sizeof *s->all);
	if (!s->all)
		return why_set(why, "no memory for %u slots", n);
	for (; s->n < n; s->n++) {
		struct slot *slot = &s->all[s->n];
		slot->io = io;
		slot->on_done = on_done;
		slot->done.on_message = on_message;
		if (!model_run_init(&slot->run, m, why)) {
			slots_finish(s);
			return false;
		}
		pthread_mutex_init(&slot->lock, NULL);
		pthread_cond_init(&slot->changed, NULL);
		list_push_back(&s->free, &slot->node);
	}
	return true;
}

static void stop_thread(struct slot *slot)
{
	if (!slot->has_thread)
		return;
	pthread_mutex_lock(&slot->lock);
	slot->quit = true;
	pthread_cond_signal(&slot->changed);
	pthread_mutex_unlock(&slot->lock);
	pthread_join(slot->thread, NULL);
}

void slots_finish(struct slots *s)
{
	CHECK(slots_taken(s) == 0);
	for (uint32_t i = 0; i < s->n; i++) {
		stop_thread(&s->all[i]);
		pthread_cond_destroy(&s->all[i].changed);
		pthread_mutex_destroy(&s->all[i].lock);
		model_run_finish(&s->all[i].run);
	}
	free(s->all);
	*s = (struct slots){ 0 };
}

struct slot *slot_take(struct slots *s, void *taker)
{
	struct list_node *node = list_pop_front(&s->free);
	if (!node)
		return NULL;
	struct slot *slot = CONTAINER_OF(node, struct slot, node);
	slot->taker = taker;
	return slot;
}

void slot_give(struct slots *s, struct slot *slot)
{
	slot->taker = NULL;
	list_push_front(&s->free, &slot->node); /* the one used last is the one whose memory is warm */
}

bool slot_start(struct slot *slot, struct job *job)
{
	if (!slot->has_thread)
		slot->has_thread = pthread_create(&slot->thread, NULL, thread_main, slot) == 0;
	if (!slot->has_thread)
		return false;
	pthread_mutex_lock(&slot->lock);
	slot->job = job;
	pthread_cond_signal(&slot->changed);
	pthread_mutex_unlock(&slot->lock);
	return true;
}
