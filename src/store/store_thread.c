#include "store/store_thread.h"

#include <signal.h>

static void *thread_main(void *arg)
{
	struct store_thread *t = arg;
	pthread_mutex_lock(&t->lock);
	for (;;) {
		while (!t->first && !t->stopping)
			pthread_cond_wait(&t->wake, &t->lock);
		struct store_op *ops = t->first;
		if (!ops)
			break;
		t->first = NULL;
		t->last = &t->first;
		pthread_mutex_unlock(&t->lock);
		t->work(t->owner, ops);
		pthread_mutex_lock(&t->lock);
	}
	pthread_mutex_unlock(&t->lock);
	return NULL;
}

int store_thread_start(struct store_thread *t, store_work_fn *work, void *owner)
{
	*t = (struct store_thread){ .work = work, .owner = owner };
	t->last = &t->first;
	pthread_mutex_init(&t->lock, NULL);
	pthread_cond_init(&t->wake, NULL);
	sigset_t all, before; /* signals are the loop's */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int err = pthread_create(&t->thread, NULL, thread_main, t);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (err) {
		pthread_cond_destroy(&t->wake);
		pthread_mutex_destroy(&t->lock);
	}
	t->running = !err;
	return -err;
}

void store_thread_submit(struct store_thread *t, struct store_op *op)
{
	op->next = NULL;
	pthread_mutex_lock(&t->lock);
	bool idle = !t->first;
	*t->last = op;
	t->last = &op->next;
	pthread_mutex_unlock(&t->lock);
	if (idle)
		pthread_cond_signal(&t->wake);
}

void store_thread_stop(struct store_thread *t)
{
	if (!t->running)
		return;
	pthread_mutex_lock(&t->lock);
	t->stopping = true;
	pthread_cond_signal(&t->wake);
	pthread_mutex_unlock(&t->lock);
	pthread_join(t->thread, NULL);
	t->running = false;
	pthread_cond_destroy(&t->wake);
	pthread_mutex_destroy(&t->lock);
}
