#include "io_rig.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* ---- other threads, other descriptors ---- */

enum { THREADS = 4, POSTS = 2000 };

struct post {
	struct io_message message;
	int thread, index;
	struct net *net;
};

static size_t posts_seen;
static int next_of[THREADS];
static pthread_t loop_thread;

static void on_post(struct io_message *m)
{
	struct post *p = CONTAINER_OF(m, struct post, message);
	assert_true(pthread_equal(pthread_self(), loop_thread));
	assert_int_equal(p->index, next_of[p->thread]++); /* in the order of the calls of its thread */
	posts_seen++;
}

static void *post_all(void *arg)
{
	struct post *posts = arg;
	for (int i = 0; i < POSTS; i++)
		io_epoll_post(posts[i].net->io, &posts[i].message);
	return NULL;
}

static void test_post(void **state)
{
	struct net n;
	pthread_t threads[THREADS];
	struct post *posts = calloc(THREADS * POSTS, sizeof *posts);
	assert_non_null(posts);
	net_open(&n);
	loop_thread = pthread_self();
	posts_seen = 0;
	for (int t = 0; t < THREADS; t++) {
		next_of[t] = 0;
		for (int i = 0; i < POSTS; i++)
			posts[t * POSTS + i] = (struct post){ { .on_message = on_post }, t, i, &n };
		assert_int_equal(pthread_create(&threads[t], NULL, post_all, posts + t * POSTS), 0);
	}
	run_until(&n, &posts_seen, THREADS * POSTS);
	for (int t = 0; t < THREADS; t++)
		pthread_join(threads[t], NULL);
	free(posts);
	net_close(&n);
}

static size_t rounds;

static void post_again(struct io_message *m)
{
	struct post *p = CONTAINER_OF(m, struct post, message);
	if (++rounds < 100)
		io_epoll_post(p->net->io, m);
}

static void test_post_within_a_message(void **state)
{
	struct net n;
	net_open(&n);
	struct post p = { { .on_message = post_again }, 0, 0, &n };
	rounds = 0;
	io_epoll_post(n.io, &p.message);
	run_until(&n, &rounds, 100);
	net_close(&n);
}

struct counter {
	struct io_watch watch;
	struct counter *ends; /* unwatched when this one is ready */
	struct io *io;
	size_t ready;
	uint64_t count;
	bool reads;
};

static void on_ready(struct io_watch *w)
{
	struct counter *c = CONTAINER_OF(w, struct counter, watch);
	c->ready++;
	if (c->reads)
		assert_int_equal(read(w->fd, &c->count, sizeof c->count), sizeof c->count);
	if (c->ends)
		io_epoll_unwatch(c->io, &c->ends->watch);
}

static struct counter counter_of(struct net *n)
{
	return (struct counter){
		.watch = { eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), on_ready }, .io = n->io, .reads = true
	};
}

static void ring(const struct counter *c)
{
	assert_int_equal(write(c->watch.fd, &(uint64_t){ 7 }, sizeof(uint64_t)), sizeof(uint64_t));
}

static void test_watch(void **state)
{
	struct net n;
	net_open(&n);
	struct counter c = counter_of(&n);
	assert_int_equal(io_epoll_watch(n.io, &c.watch), 0);
	run_quietly(&n);
	assert_int_equal(c.ready, 0);
	ring(&c);
	run_until(&n, &c.ready, 1);
	assert_int_equal(c.count, 7);
	c.reads = false; /* then it is ready at every turn */
	ring(&c);
	run_until(&n, &c.ready, 5);
	io_epoll_unwatch(n.io, &c.watch);
	size_t ready = c.ready;
	run_quietly(&n);
	assert_int_equal(c.ready, ready);
	close(c.watch.fd);
	net_close(&n);
}

static void test_unwatch_another_of_the_batch(void **state)
{
	struct net n;
	net_open(&n);
	struct counter a = counter_of(&n), b = counter_of(&n);
	a.ends = &b;
	b.ends = &a;
	assert_int_equal(io_epoll_watch(n.io, &a.watch), 0);
	assert_int_equal(io_epoll_watch(n.io, &b.watch), 0);
	ring(&a);
	ring(&b);
	run_quietly(&n);
	assert_int_equal(a.ready + b.ready, 1);
	close(a.watch.fd);
	close(b.watch.fd);
	net_close(&n);
}

/* ---- the rest ---- */

struct work {
	struct io_task task;
	size_t *done;
	pthread_t worked_on;
	size_t order;
};

static void work(struct io_task *t)
{
	CONTAINER_OF(t, struct work, task)->worked_on = pthread_self();
}

static void worked(struct io_task *t)
{
	struct work *w = CONTAINER_OF(t, struct work, task);
	assert_true(pthread_equal(pthread_self(), loop_thread));
	w->order = ++*w->done;
}

static void test_offload(void **state)
{
	struct net n;
	struct work w[20];
	size_t done = 0;
	net_open(&n);
	loop_thread = pthread_self();
	for (size_t i = 0; i < ARRAY_LEN(w); i++) {
		w[i] = (struct work){ .task = { .work = work, .done = worked }, .done = &done };
		assert_int_equal(io_offload(n.io, &w[i].task), 0);
		assert_int_equal(done, 0); /* not within the call */
	}
	run_until(&n, &done, ARRAY_LEN(w));
	for (size_t i = 0; i < ARRAY_LEN(w); i++) {
		assert_int_equal(w[i].order, i + 1);
		assert_false(pthread_equal(w[i].worked_on, loop_thread));
	}
	net_close(&n);
}

struct alarm_clock {
	struct io_timer timer;
	struct io *io;
	size_t rang;
	uint64_t at_us;
};

static void on_alarm(struct io_timer *t)
{
	struct alarm_clock *a = CONTAINER_OF(t, struct alarm_clock, timer);
	a->rang++;
	a->at_us = a->io->now_us;
}

static void test_timer(void **state)
{
	struct net n;
	net_open(&n);
	struct alarm_clock a = { .timer.on_timer = on_alarm, .io = n.io };
	uint64_t due_us = n.io->now_us + 30000;
	n.turns = 0;
	io_timer_set(n.io, &a.timer, due_us);
	run_until(&n, &a.rang, 1);
	assert_true(a.at_us >= due_us);
	assert_true(n.turns < 20); /* it sleeps meanwhile */
	net_close(&n);
}

/* While it polls, events come and timers fire as when it sleeps; and it counts what it polls. */
static void test_polling(void **state)
{
	struct pair p;
	pair_open(&p, "127.0.0.1:0");
	struct io *io = p.net.io;
	struct alarm_clock a = { .timer.on_timer = on_alarm, .io = io };
	io->poll_from_us = 1;
	io->poll_until_us = io->now_us + PATIENCE_US;
	send_text(p.client, "hello");
	run_until(&p.net, &p.server->got, 5);
	assert_int_equal(io->polled.hits, 1);
	io_timer_set(io, &a.timer, io->now_us + 3000);
	run_until(&p.net, &a.rang, 1);
	assert_true(io->polled.us > 0);
	assert_int_equal(io->polled.hits, 1);
	io->poll_from_us = io->now_us + 2000; /* first it sleeps, and is woken by what comes */
	send_text(p.client, "again");
	run_until(&p.net, &p.server->got, 10);
	assert_int_equal(io->polled.hits, 1);
	io->poll_until_us = 0;
	pair_close(&p);
}

static void test_random(void **state)
{
	struct net n;
	unsigned char seen[300][16];
	net_open(&n);
	for (size_t i = 0; i < ARRAY_LEN(seen); i++) {
		io_random(n.io, seen[i], sizeof seen[i]);
		for (size_t k = 0; k < i; k++)
			assert_memory_not_equal(seen[i], seen[k], sizeof seen[i]);
	}
	unsigned char most[256] = { 0 }, zero[16] = { 0 };
	io_random(n.io, most, sizeof most);
	for (size_t i = 0; i < sizeof most; i += sizeof zero)
		assert_memory_not_equal(most + i, zero, sizeof zero);
	net_close(&n);
}

static int run(const char *loop)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_post),
		cmocka_unit_test(test_post_within_a_message),
		cmocka_unit_test(test_watch),
		cmocka_unit_test(test_unwatch_another_of_the_batch),
		cmocka_unit_test(test_offload),
		cmocka_unit_test(test_timer),
		cmocka_unit_test(test_polling),
		cmocka_unit_test(test_random),
	};
	return cmocka_run_group_tests_name(loop, tests, NULL, NULL);
}

int main(void)
{
	return run_with_each_loop(run);
}
