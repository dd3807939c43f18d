#include "fleet/source_thread.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* What the loop and the thread share; who lets go last frees it. */
struct source_thread {
	const struct source_thread_ops *ops; /* borrowed, static */
	void *state;                         /* owned; the thread's own */
	int over_fd, news_fd;                /* eventfds, owned */
	pthread_mutex_t lock;                /* guards the fields below */
	unsigned holders;
	bool over;
	bool has_list, has_why;        /* news that the loop has not taken yet */
	struct source_container *list; /* owned */
	size_t n;
	char why[SOURCE_ERROR];
};

/* The loop's side. */
struct threaded {
	struct source source;
	struct io_watch watch;
	struct source_thread *thread;
};

static void let_go(struct source_thread *t)
{
	pthread_mutex_lock(&t->lock);
	bool last = --t->holders == 0;
	pthread_mutex_unlock(&t->lock);
	if (!last)
		return;
	t->ops->free_state(t->state);
	pthread_mutex_destroy(&t->lock);
	close(t->over_fd);
	close(t->news_fd);
	free(t->list);
	free(t);
}

static void ring(int fd)
{
	(void)!write(fd, &(uint64_t){ 1 }, sizeof(uint64_t));
}

/* ---- on the loop ---- */

static void on_news(struct io_watch *w)
{
	struct threaded *s = CONTAINER_OF(w, struct threaded, watch);
	struct source_thread *t = s->thread;
	char why[SOURCE_ERROR];
	uint64_t count;
	(void)!read(t->news_fd, &count, sizeof count);
	pthread_mutex_lock(&t->lock);
	bool has_list = t->has_list, has_why = t->has_why;
	struct source_container *list = t->list;
	size_t n = t->n;
	memcpy(why, t->why, sizeof why);
	t->list = NULL;
	t->has_list = t->has_why = false;
	pthread_mutex_unlock(&t->lock);
	if (has_list)
		s->source.events->on_list(s->source.user, list, n);
	if (has_why)
		s->source.events->on_unreachable(s->source.user, why);
	free(list);
}

static void *thread_main(void *arg)
{
	struct source_thread *t = arg;
	t->ops->run(t, t->state);
	let_go(t);
	return NULL;
}

/* Detached, for nobody waits for it. Signals are the loop's. */
static int start(struct source_thread *t)
{
	pthread_attr_t attr;
	pthread_t id;
	sigset_t all, before;
	int err = pthread_attr_init(&attr);
	if (err)
		return err;
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	t->holders = 2;
	err = pthread_create(&id, &attr, thread_main, t);
	if (err)
		t->holders = 1;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	return err;
}

static struct source_thread *thread_create(const struct source_thread_ops *ops, void *state)
{
	struct source_thread *t = calloc(1, sizeof *t);
	if (!t) {
		ops->free_state(state);
		return NULL;
	}
	t->ops = ops;
	t->state = state;
	t->holders = 1;
	pthread_mutex_init(&t->lock, NULL);
	t->over_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	t->news_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (t->over_fd >= 0 && t->news_fd >= 0)
		return t;
	let_go(t);
	errno = EMFILE;
	return NULL;
}

struct source *source_thread_create(
	const struct source *base, const struct source_thread_ops *ops, void *state)
{
	struct source_thread *t = thread_create(ops, state);
	if (!t)
		return NULL;
	struct threaded *s = calloc(1, sizeof *s);
	int err = s ? 0 : ENOMEM;
	if (s) {
		*s = (struct threaded){ .source = *base, .thread = t };
		s->watch = (struct io_watch){ .fd = t->news_fd, .on_ready = on_news };
		err = -io_epoll_watch(base->io, &s->watch);
	}
	if (!err) {
		err = start(t);
		if (err)
			io_epoll_unwatch(base->io, &s->watch);
	}
	if (!err)
		return &s->source;
	let_go(t);
	free(s);
	errno = err;
	return NULL;
}

void source_thread_destroy(struct source *source)
{
	struct threaded *s = CONTAINER_OF(source, struct threaded, source);
	struct source_thread *t = s->thread;
	io_epoll_unwatch(source->io, &s->watch);
	pthread_mutex_lock(&t->lock);
	t->over = true;
	pthread_mutex_unlock(&t->lock);
	ring(t->over_fd);
	let_go(t);
	free(s);
}

/* ---- on the thread ---- */

void source_tell(struct source_thread *t, const struct source_container *list, size_t n)
{
	struct source_container *copy = malloc((n ? n : 1) * sizeof *copy);
	if (!copy) {
		source_tell_unreachable(t, "out of memory");
		return;
	}
	if (n)
		memcpy(copy, list, n * sizeof *copy);
	pthread_mutex_lock(&t->lock);
	free(t->list);
	t->list = copy;
	t->n = n;
	t->has_list = true;
	t->has_why = false;
	pthread_mutex_unlock(&t->lock);
	ring(t->news_fd);
}

void source_tell_unreachable(struct source_thread *t, const char *why)
{
	pthread_mutex_lock(&t->lock);
	snprintf(t->why, sizeof t->why, "%s", why);
	t->has_why = true;
	pthread_mutex_unlock(&t->lock);
	ring(t->news_fd);
}

bool source_pause(struct source_thread *t, uint64_t us)
{
	struct pollfd over = { .fd = t->over_fd, .events = POLLIN };
	struct timespec pause = { .tv_sec = (time_t)(us / 1000000), .tv_nsec = (long)(us % 1000000) * 1000 };
	(void)ppoll(&over, 1, &pause, NULL);
	return !source_is_over(t);
}

bool source_is_over(struct source_thread *t)
{
	pthread_mutex_lock(&t->lock);
	bool over = t->over;
	pthread_mutex_unlock(&t->lock);
	return over;
}

int source_over_fd(const struct source_thread *t)
{
	return t->over_fd;
}
