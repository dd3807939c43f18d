#include "gateway/watch.h"

#include "gateway/client.h"
#include "gateway/describe.h"
#include "gateway/exchange.h"
#include "gateway/job.h"
#include "gateway/reactor.h"
#include "gateway/watch_parts.h"
#include "http/write.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	POSITION_US = 250 * 1000, /* positions are told at most so often */
	BEAT_US = 15 * 1000 * 1000,
};

static const struct str no_store = { NO_STORE, sizeof NO_STORE - 1 };

struct watch *watch_new(struct client *c, enum watch_kind kind, const struct store_id *id)
{
	struct watch *w = calloc(1, sizeof *w);
	if (!w)
		return NULL;
	w->client = c;
	w->reactor = c->reactor;
	w->kind = kind;
	w->told_position = w->told_changes = UINT32_MAX;
	if (id)
		w->id = *id;
	c->watch = w;
	return w;
}

struct watch *watch_create(struct client *c, enum watch_kind kind, const struct store_id *id)
{
	struct watch *w = watch_new(c, kind, id);
	if (!w)
		client_problem(c, PROBLEM_OVERLOADED, "out of memory", 1, no_store);
	return w;
}

void watch_follow(struct watch *w, struct job *job)
{
	if (!w)
		return;
	w->job = job;
	w->id = job->id;
	w->next = job->watches;
	job->watches = w;
}

void watch_unfollow(struct watch *w)
{
	if (!w->job)
		return;
	struct watch **at = &w->job->watches;
	while (*at != w)
		at = &(*at)->next;
	*at = w->next;
	w->job = NULL;
}

/* Nobody waits any more. */
void watch_retire(struct watch *w)
{
	struct watch **list = w->asking ? &w->reactor->jobs.unanswered : &w->reactor->dead_watches;
	watch_unfollow(w);
	w->client = NULL;
	w->next = *list;
	*list = w;
}

/* The client gets its answer now, and is its own again; returns it. */
struct client *watch_finish(struct watch *w)
{
	struct client *c = w->client;
	c->watch = NULL;
	watch_retire(w);
	return c;
}

struct client *watch_give_back(struct job *job)
{
	for (struct watch *w = job->watches; w; w = w->next) {
		if (w->client && w->kind == WATCH_ACCEPTED)
			return watch_finish(w);
	}
	return NULL;
}

void watch_discard(struct watch *w)
{
	if (w && w->client)
		(void)watch_finish(w);
}

void watch_leave(struct watch *w)
{
	if (w->client)
		watch_retire(w);
}

void watch_problem(struct watch *w, enum problem p, const char *detail)
{
	struct client *c = watch_finish(w);
	c->reactor->metrics.problems[p]++;
	client_problem(c, p, detail, p == PROBLEM_OVERLOADED || p == PROBLEM_STORAGE_FULL ? 5 : 0, no_store);
}

void watch_store_problem(struct watch *w, int err)
{
	if (w->begun) /* the rest of an answer, or the end of its events, cannot be had any more */
		client_abort(watch_finish(w));
	else if (err == -ENOENT)
		watch_problem(w, PROBLEM_NOT_FOUND,
			"no job has this id; finished jobs are forgotten after jobs.record_age");
	else if (err == -ENODATA)
		watch_problem(w, PROBLEM_GONE, "the job is over, and its result is not kept any more");
	else if (err == -ENOSPC || err == -EDQUOT)
		watch_problem(w, PROBLEM_STORAGE_FULL,
			"the store has no room for another job at the moment; synchronous requests are "
			"served as ever");
	else if (err == -ENOMEM)
		watch_problem(w, PROBLEM_OVERLOADED, "as much is kept in memory as limits.memory allows");
	else
		watch_problem(w, PROBLEM_INTERNAL, "the store does not answer");
}

/* ---- events ---- */

static void send_event(struct watch *w, const char *event, struct str id, struct str data)
{
	struct reactor *r = w->client->reactor;
	struct writer text, chunk;
	char size[16];
	if (json_failed(&r->json)) { /* there was no memory to write all of the data */
		client_abort(w->client);
		return;
	}
	writer_init(&text, r->scratch, sizeof r->scratch);
	write_lit(&text, "event: ");
	write_str(&text, str_of(event));
	write_lit(&text, "\nid: ");
	write_str(&text, id);
	write_lit(&text, "\ndata: ");
	write_str(&text, data);
	write_lit(&text, "\n\n\r\n");
	if (text.overflow)
		return;
	writer_init(&chunk, size, sizeof size);
	write_hex(&chunk, writer_len(&text) - 2, 0);
	write_lit(&chunk, "\r\n");
	struct iovec iov[2] = { { size, writer_len(&chunk) }, { text.start, writer_len(&text) } };
	w->beat_us = r->io->now_us + BEAT_US;
	(void)client_send(w->client, iov, 2);
}

/* It rises from one life of the store to the next, and with each change of state. */
static struct str event_id(uint64_t epoch, uint32_t changes, uint32_t position, char text[48])
{
	struct writer w;
	writer_init(&w, text, 48);
	write_u64(&w, epoch);
	write_lit(&w, ".");
	write_u64(&w, changes);
	write_lit(&w, ".");
	write_u64(&w, position);
	return (struct str){ text, writer_len(&w) };
}

void watch_begin_stream(struct watch *w)
{
	struct client *c = w->client;
	char head[256];
	int len = snprintf(head, sizeof head,
		"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: private, no-store\r\n"
		"X-Accel-Buffering: no\r\nTransfer-Encoding: chunked\r\n%s\r\n",
		c->keep_alive && !c->reactor->draining ? "" : "Connection: close\r\n");
	struct iovec iov = { head, (size_t)len };
	w->kind = WATCH_EVENTS;
	w->begun = true;
	w->beat_us = c->reactor->io->now_us + BEAT_US;
	client_set_timer(c, POSITION_US);
	if (client_send(c, &iov, 1) && c->head_only)
		client_answered(watch_finish(w), c->keep_alive);
}

/* Where the job stands, if that is news. What runs has place 0; a place rises only when a request is tried
 * again, this one or one before it, which may have been while nobody listened. */
static void tell_place(struct watch *w)
{
	struct job *job = w->job;
	struct reactor *r = w->client->reactor;
	if (job->exchange && exchange_is_aside(job->exchange))
		return; /* it has no place in the queue until its start can be stored */
	uint32_t position = job->exchange ? ticket_position(&job->exchange->ticket) : 0;
	char id[48];
	bool state_is_news = w->told_changes != job->changes, rises = position > w->told_position;
	if (!state_is_news && (w->told_position == position || position == 0))
		return;
	w->told_changes = job->changes;
	w->told_position = position;
	describe_job(&r->json, job, rises ? "requeue" : NULL);
	send_event(w, state_is_news ? "state" : "position",
		event_id(store_epoch(r->jobs.store), job->changes, position, id), json_str(&r->json));
}

static void end_events(struct watch *w)
{
	struct client *c = watch_finish(w);
	struct iovec iov = { (char *)(uintptr_t) "0\r\n\r\n", 5 };
	if (client_send(c, &iov, 1))
		client_answered(c, c->keep_alive);
}

void watch_begin_events(struct watch *w, struct job *job)
{
	watch_follow(w, job);
	watch_begin_stream(w);
	if (w->client)
		tell_place(w);
}

/* From a record of a job that is over. */
void watch_tell_end(struct watch *w, const struct store_record *rec)
{
	struct reactor *r = w->client->reactor;
	describe_record(&r->json, rec);
	send_event(w, rec->state == STORE_DONE ? "result" : "state", STR("end"), json_str(&r->json));
	if (w->client)
		end_events(w);
}

/* ---- what became of the job ---- */

/* Its client waits for the result, and is told where the job is when the time is up. */
static void wait_for_result(struct watch *w)
{
	uint64_t now_us = w->reactor->io->now_us;
	w->kind = WATCH_RESULT;
	w->accepts = w->waits = true;
	client_set_timer(w->client, w->deadline_us > now_us ? w->deadline_us - now_us : 0);
}

static void acknowledge(struct watch *w)
{
	struct job *job = w->job;
	if (w->then_events) {
		watch_begin_stream(w);
		if (w->client)
			tell_place(w);
		return;
	}
	if (w->deadline_us) {
		wait_for_result(w);
		return;
	}
	enum watch_kind kind = w->kind;
	bool applied = w->applied;
	struct client *c = watch_finish(w);
	if (kind == WATCH_MESSAGE)
		reply_message(c, job);
	else
		reply_accepted(c, job, applied);
}

/* Runs fn for each watch; fn may end the watch it is given. */
static void each(struct job *job, void (*fn)(struct watch *w, const void *arg), const void *arg)
{
	for (struct watch *w = job->watches, *next; w; w = next) {
		next = w->next;
		if (w->client)
			fn(w, arg);
	}
}

static void on_committed(struct watch *w, const void *arg)
{
	(void)arg;
	if (w->kind == WATCH_MESSAGE || w->kind == WATCH_ACCEPTED)
		acknowledge(w);
}

void watch_job_committed(struct job *job)
{
	each(job, on_committed, NULL);
}

static void on_refused(struct watch *w, const void *arg)
{
	const struct store_reply *reply = arg;
	if (reply->err == -EEXIST && reply->n_records) /* the same key, a moment earlier */
		watch_reply_repeat(w, reply->records);
	else
		watch_store_problem(w, reply->err);
}

void watch_job_refused(struct job *job, const struct store_reply *reply)
{
	each(job, on_refused, reply);
}

static void on_stuck(struct watch *w, const void *arg)
{
	(void)arg;
	struct job *job = w->job;
	if (w->kind == WATCH_CANCEL)
		watch_problem(w, PROBLEM_STORAGE_FULL,
			job->cancelled
				? "the job is cancelled, but the store cannot take that at the "
				  "moment; it is tried again"
				: "the job has ended, but the store cannot take that at the moment; it "
				  "is tried again");
	else if (w->kind == WATCH_STATUS)
		reply_status(watch_finish(w), job);
	else if (w->kind == WATCH_RESULT && !w->waits)
		reply_not_ready(watch_finish(w), job);
}

void watch_job_stuck(struct job *job)
{
	each(job, on_stuck, NULL);
}

static void on_news(struct watch *w, const void *arg)
{
	(void)arg;
	if (w->kind == WATCH_EVENTS && w->begun)
		tell_place(w);
}

void watch_job_news(struct job *job)
{
	each(job, on_news, NULL);
}

static void reply_cancelled(struct watch *w)
{
	struct job *job = w->job;
	bool ran = w->ran;
	struct client *c = watch_finish(w);
	if (!ran) {
		client_reply_empty(c, 204);
		return;
	}
	describe_job(&c->reactor->json, job, NULL);
	json_bytes(&c->reactor->json, STR("\n"));
	client_reply(c, 202, "application/json", no_store, json_str(&c->reactor->json));
}

static void on_over(struct watch *w, const void *arg)
{
	(void)arg;
	switch (w->kind) {
	case WATCH_MESSAGE: /* it was over before it was told */
	case WATCH_ACCEPTED:
		acknowledge(w);
		if (w->kind != WATCH_RESULT)
			return;
		watch_unfollow(w);
		watch_ask(w);
		return;
	case WATCH_EVENTS:
	case WATCH_RESULT:
		watch_unfollow(w);
		watch_ask(w);
		return;
	case WATCH_CANCEL:
		if (w->job->state == STORE_CANCELLED) {
			reply_cancelled(w);
			return;
		}
		watch_unfollow(w); /* its end was on its way already: what is over is forgotten */
		watch_ask(w);
		return;
	case WATCH_STATUS:
		watch_unfollow(w);
		watch_ask(w);
		return;
	case WATCH_LIST:
	case WATCH_KEY:
		return;
	}
}

void watch_job_over(struct job *job)
{
	each(job, on_over, NULL);
	while (job->watches)
		watch_unfollow(job->watches);
}

/* The result is not to be waited for any more: where is it now? */
static void reply_place(struct watch *w)
{
	struct job *job = w->job;
	bool accepts = w->accepts, applied = w->applied;
	struct client *c = watch_finish(w);
	if (accepts)
		reply_accepted(c, job, applied);
	else
		reply_not_ready(c, job);
}

static void on_left(struct watch *w, const void *arg)
{
	(void)arg;
	if (w->kind == WATCH_RESULT)
		reply_place(w);
	else
		end_events(w);
}

void watch_job_left(struct job *job)
{
	each(job, on_left, NULL);
}

/* ---- time ---- */

static void beat(struct watch *w)
{
	struct iovec iov = { (char *)(uintptr_t) "3\r\n:\n\n\r\n", 8 };
	w->beat_us = w->reactor->io->now_us + BEAT_US;
	(void)client_send(w->client, &iov, 1);
}

void watch_timer(struct watch *w)
{
	uint64_t now_us = w->reactor->io->now_us;
	if (w->kind == WATCH_RESULT && w->job && w->waits && now_us >= w->deadline_us) {
		reply_place(w);
		return;
	}
	if (w->kind != WATCH_EVENTS || !w->begun)
		return;
	if (w->job)
		tell_place(w);
	if (w->client && now_us >= w->beat_us)
		beat(w);
	if (w->client && !w->client->out) /* else its timer is that of sending, until watch_taken */
		client_set_timer(w->client, POSITION_US);
}
