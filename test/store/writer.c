/* store-writer: changes jobs as fast as it can, and tells each acknowledgement to its standard output, until
 * it is killed.
 *
 *   store-writer PATH RUN SEED
 */
#include "base/log.h"
#include "base/rand.h"
#include "torture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { LIVE = 200, OUTSTANDING = 100 };

struct call {
	struct writer *writer;
	uint64_t n;
	char *body; /* owned; as long as the store needs it */
};

struct writer {
	struct io *io;
	struct store *store;
	struct rand rand;
	uint64_t next, time_us;
	uint64_t live[LIVE]; /* jobs that this run may change; 0: none */
	uint32_t outstanding;
};

static void go_on(struct writer *w);

static void on_done(void *owner, const struct store_reply *reply)
{
	struct call *c = owner;
	struct writer *w = c->writer;
	struct ack ack = { c->n, reply->err, (int32_t)reply->state };
	if (reply->err && reply->err != -EALREADY) {
		fprintf(stderr, "store-writer: job %llu: %s\n", (unsigned long long)c->n,
			strerror(-reply->err));
		exit(1);
	}
	if (write(STDOUT_FILENO, &ack, sizeof ack) != sizeof ack)
		exit(1);
	free(c->body);
	free(c);
	w->outstanding--;
	go_on(w);
}

static struct call *call_create(struct writer *w, uint64_t n)
{
	struct call *c = calloc(1, sizeof *c);
	CHECK(c);
	*c = (struct call){ .writer = w, .n = n };
	w->outstanding++;
	return c;
}

/* The message of n; its memory is the call's. */
static struct store_message message_of(struct call *c, bool answer, struct iovec *slice)
{
	uint64_t bytes = torture_body_bytes(c->n, answer);
	c->body = malloc(bytes + 1);
	CHECK(c->body);
	torture_fill(c->body, c->n, answer);
	*slice = (struct iovec){ c->body, bytes };
	return (struct store_message){ .head = STR("a head"), .slices = slice, .n_slices = 1 };
}

static void enqueue(struct writer *w, uint64_t *place)
{
	struct iovec slice;
	struct call *c = call_create(w, *place = w->next++);
	struct store_job job = { .id = torture_id(c->n),
		.pool = str_of(torture_pool(c->n)),
		.number = c->n,
		.epoch = store_epoch(w->store),
		.created_us = ++w->time_us };
	job.request = message_of(c, false, &slice);
	CHECK(store_enqueue(w->store, &job, on_done, c) == 0);
}

static int end(struct writer *w, const struct store_id *id, struct call *c)
{
	struct iovec slice;
	struct store_message answer;
	switch (rand_below(&w->rand, 6)) {
	case 0:
		return store_fail(w->store, id, STR("no"), ++w->time_us, on_done, c);
	case 1:
		return store_cancel(w->store, id, ++w->time_us, on_done, c);
	case 2:
		return store_expire(w->store, id, ++w->time_us, on_done, c);
	default:
		answer = message_of(c, true, &slice);
		return store_complete(w->store, id, 200, &answer, ++w->time_us, on_done, c);
	}
}

static void change(struct writer *w, uint64_t *place)
{
	struct call *c = call_create(w, *place);
	struct store_id id = torture_id(c->n);
	switch (rand_below(&w->rand, 5)) {
	case 0:
		CHECK(store_requeue(w->store, &id, STR("again"), on_done, c) == 0);
		return;
	case 1:
	case 2:
		CHECK(store_claim(w->store, &id, 1, STR("c"), ++w->time_us, on_done, c) == 0);
		return;
	default:
		CHECK(end(w, &id, c) == 0);
		if (!rand_below(&w->rand, 4)) /* two ends at once: one of them wins */
			CHECK(end(w, &id, call_create(w, *place)) == 0);
		*place = 0;
	}
}

static void go_on(struct writer *w)
{
	while (w->outstanding < OUTSTANDING) {
		uint64_t *place = &w->live[rand_below(&w->rand, LIVE)];
		if (*place)
			change(w, place);
		else
			enqueue(w, place);
	}
}

/* Jobs of earlier runs go on in this one. */
static int on_unfinished(void *owner, const struct store_record *r)
{
	struct writer *w = owner;
	w->live[rand_below(&w->rand, LIVE)] = r->number;
	return 0;
}

int main(int argc, char **argv)
{
	if (argc != 4) {
		fprintf(stderr, "usage: store-writer PATH RUN SEED\n");
		return 2;
	}
	static struct writer w;
	char where[512], why[STORE_WHY_BYTES];
	struct store_settings settings;
	log_init("store-writer", LOG_WARNING, STDERR_FILENO);
	snprintf(where, sizeof where, "sqlite:%s", argv[1]);
	store_settings_default(&settings, where);
	settings.wal_pages = 300; /* so that the log is folded in many times */
	uint64_t run = strtoull(argv[2], NULL, 10);
	w.next = run * RUN_NUMBERS + 1;
	w.time_us = run * UINT64_C(1000000000) + 1;
	rand_seed(&w.rand, strtoull(argv[3], NULL, 10));
	w.io = io_epoll_create();
	CHECK(w.io);
	w.store = store_open(where, &settings, w.io, io_epoll_post, why);
	if (!w.store) {
		fprintf(stderr, "store-writer: %s\n", why);
		return 1;
	}
	CHECK(store_load(w.store, STR(""), on_unfinished, &w) == 0);
	go_on(&w);
	return io_epoll_run(w.io) ? 1 : 0;
}
