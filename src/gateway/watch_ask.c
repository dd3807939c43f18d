/* watch_ask: what the store is asked for a client, and what is answered then. */
#include "gateway/client.h"
#include "gateway/describe.h"
#include "gateway/exchange.h"
#include "gateway/fingerprint.h"
#include "gateway/job.h"
#include "gateway/reactor.h"
#include "gateway/watch_parts.h"
#include "http/write.h"

#include <errno.h>
#include <string.h>

/* Of a result is read at once; the next when the client has taken it. */
enum { RESULT_PIECE = 256 * 1024 };

static void on_reply(void *owner, const struct store_reply *reply);

static const struct str no_store = { NO_STORE, sizeof NO_STORE - 1 };

/* The store has answered. */
static void bury_unanswered(struct watch *w)
{
	struct watch **at = &w->reactor->jobs.unanswered;
	while (*at != w)
		at = &(*at)->next;
	*at = w->next;
	watch_retire(w);
}

static void reply_record(struct watch *w, const struct store_record *rec)
{
	struct client *c = watch_finish(w);
	describe_record(&c->reactor->json, rec);
	client_reply(c, 200, "application/json", no_store, json_str(&c->reactor->json));
}

/* The first piece of an answer: its head, and what of the body came with it. */
static void begin_result(struct watch *w, const struct store_record *rec, const struct store_reply *reply)
{
	struct client *c = w->client;
	struct reactor *r = c->reactor;
	struct writer out;
	bool keep_alive = c->keep_alive && !r->draining;
	writer_init(&out, r->scratch, sizeof r->scratch);
	describe_result_head(&out, rec, reply->head, keep_alive);
	struct iovec iov[2] = { { out.start, writer_len(&out) },
		{ (char *)(uintptr_t)reply->body.ptr, reply->body.len } };
	w->begun = true;
	w->total = rec->body_bytes;
	w->at = reply->body.len;
	if (c->head_only)
		w->at = w->total;
	(void)client_send(c, iov, reply->body.len && !c->head_only ? 2 : 1);
}

static void got_result(struct watch *w, const struct store_reply *reply)
{
	const struct store_record *rec = reply->n_records ? reply->records : NULL;
	if (!w->begun && rec && rec->state != STORE_DONE) {
		struct client *c = watch_finish(w);
		if (store_is_final(rec->state))
			reply_failure(c, rec);
		else
			reply_left_alone(c, rec);
		return;
	}
	if (reply->err || !rec) {
		watch_store_problem(w, reply->err ? reply->err : -ENOENT);
		return;
	}
	if (!w->begun) {
		begin_result(w, rec, reply);
	} else {
		struct iovec iov = { (char *)(uintptr_t)reply->body.ptr, reply->body.len };
		w->at += reply->body.len;
		(void)client_send(w->client, &iov, 1);
	}
	if (!w->client)
		return; /* it left while it was sent to */
	if (w->at == w->total) {
		struct client *c = watch_finish(w);
		client_answered(c, c->keep_alive);
	} else if (!w->client->out) {
		watch_ask(w);
	}
}

void watch_taken(struct watch *w)
{
	if (w->kind == WATCH_RESULT && w->begun && !w->asking)
		watch_ask(w);
	else if (w->kind == WATCH_EVENTS && w->begun)
		watch_timer(w);
}

/* The key was used before, by a job of which this is the record. */
void watch_reply_repeat(struct watch *w, const struct store_record *rec)
{
	if (memcmp(w->hash, rec->payload_hash, sizeof w->hash) != 0) {
		watch_problem(w, PROBLEM_KEY_MISMATCH,
			"this Idempotency-Key came with another method, path or body before");
		return;
	}
	struct exchange *ex = w->client->exchange;
	bool over = store_is_final(rec->state), submit = w->kind == WATCH_MESSAGE || (ex && ex->submit);
	if (ex)
		exchange_forget(ex);
	if (over && (w->then_events || w->deadline_us)) {
		watch_unfollow(w);
		w->kind = w->then_events ? WATCH_EVENTS : WATCH_RESULT;
		w->id = rec->id;
		watch_ask(w);
		return;
	}
	bool applied = w->applied;
	struct client *c = watch_finish(w);
	if (over)
		reply_accepted_before(c, rec, submit, applied);
	else
		reply_key_in_use(c, rec);
}

static void got_key(struct watch *w, const struct store_reply *reply)
{
	struct exchange *ex = w->client->exchange;
	struct job_request req = { .key = str_of(ex->request->key) };
	if (reply->err == 0 && reply->n_records) {
		watch_reply_repeat(w, reply->records);
		return;
	}
	if (reply->err && reply->err != -ENOENT) {
		exchange_forget(ex);
		watch_store_problem(w, reply->err);
		return;
	}
	memcpy(req.hash, w->hash, sizeof req.hash);
	w->kind = ex->submit ? WATCH_MESSAGE : WATCH_ACCEPTED;
	(void)job_submit(ex, w, &req);
}

void watch_key(struct watch *w)
{
	struct exchange *ex = w->client->exchange;
	struct reactor *r = w->reactor;
	fingerprint_end(ex->request->fingerprint, w->hash);
	w->asking = true;
	int err = store_find(r->jobs.store, str_of(ex->route->settings->name), str_of(ex->request->key),
		r->io->wall_us, on_reply, w);
	if (err == 0)
		return;
	w->asking = false;
	exchange_forget(ex);
	watch_store_problem(w, err);
}

static void on_cancelled(void *owner, const struct store_reply *reply)
{
	struct watch *w = owner;
	struct job *job = jobs_find(&w->reactor->jobs, &w->id);
	if (job)
		job_cancel(job); /* its pool has come back meanwhile */
	on_reply(owner, reply);
}

/* Unfinished, and not in memory: its pool is not configured, or it is left for the next start. */
static void cancel_left_alone(struct watch *w)
{
	struct reactor *r = w->reactor;
	w->asking = true;
	int err = store_cancel(r->jobs.store, &w->id, r->io->wall_us, on_cancelled, w);
	if (err == 0)
		return;
	w->asking = false;
	watch_store_problem(w, err);
}

static void got_cancelled(struct watch *w, const struct store_reply *reply)
{
	if (reply->err == -EBUSY)
		cancel_left_alone(w);
	else if (reply->err == -EALREADY && reply->state != STORE_CANCELLED)
		watch_ask(w); /* it has ended meanwhile: what is over is forgotten */
	else if (reply->err && reply->err != -EALREADY)
		watch_store_problem(w, reply->err);
	else
		client_reply_empty(watch_finish(w), 204);
}

static void on_reply(void *owner, const struct store_reply *reply)
{
	struct watch *w = owner;
	w->asking = false;
	if (w->kind == WATCH_RESULT)
		w->reactor->jobs.asked_bytes -= RESULT_PIECE;
	if (!w->client) {
		bury_unanswered(w);
		return;
	}
	switch (w->kind) {
	case WATCH_STATUS:
		if (reply->err || !reply->n_records)
			watch_store_problem(w, reply->err ? reply->err : -ENOENT);
		else
			reply_record(w, reply->records);
		return;
	case WATCH_RESULT:
		got_result(w, reply);
		return;
	case WATCH_EVENTS:
		if (reply->err || !reply->n_records) {
			watch_store_problem(w, reply->err ? reply->err : -ENOENT);
			return;
		}
		if (!w->begun && !store_is_final(reply->records->state)) {
			reply_left_alone(watch_finish(w), reply->records);
			return;
		}
		if (!w->begun && w->told_end) {
			client_reply_empty(watch_finish(w), 204); /* which ends an EventSource's attempts */
			return;
		}
		if (!w->begun)
			watch_begin_stream(w);
		if (w->client)
			watch_tell_end(w, reply->records);
		return;
	case WATCH_CANCEL:
		got_cancelled(w, reply);
		return;
	case WATCH_LIST:
		if (reply->err) {
			watch_store_problem(w, reply->err);
		} else {
			struct client *c = watch_finish(w);
			describe_list(&c->reactor->json, reply);
			client_reply(c, 200, "application/json", no_store, json_str(&c->reactor->json));
		}
		return;
	case WATCH_KEY:
		got_key(w, reply);
		return;
	case WATCH_MESSAGE:
	case WATCH_ACCEPTED:
		return;
	}
}

/* A piece of a result, which the client is sent from memory. At memory_limit no new one is begun. */
static int ask_result(struct watch *w)
{
	struct jobs *j = &w->reactor->jobs;
	struct budget *budget = &w->reactor->budget;
	if (!w->begun && budget->memory_used + j->asked_bytes + RESULT_PIECE > budget->memory_max) {
		budget->refused++;
		return -ENOMEM;
	}
	int err = store_read(j->store, &w->id, w->at, RESULT_PIECE, on_reply, w);
	if (err == 0)
		j->asked_bytes += RESULT_PIECE;
	return err;
}

void watch_ask(struct watch *w)
{
	struct store *s = w->client->reactor->jobs.store;
	int err = 0;
	w->asking = true;
	switch (w->kind) {
	case WATCH_STATUS:
	case WATCH_EVENTS:
		err = store_get(s, &w->id, on_reply, w);
		break;
	case WATCH_RESULT:
		err = ask_result(w);
		break;
	case WATCH_CANCEL:
		err = store_remove(s, &w->id, on_reply, w);
		break;
	case WATCH_LIST:
	case WATCH_KEY:
	case WATCH_MESSAGE:
	case WATCH_ACCEPTED:
		break;
	}
	if (err == 0)
		return;
	w->asking = false;
	watch_store_problem(w, err);
}

void watch_list(struct watch *w, const struct store_filter *filter)
{
	w->asking = true;
	if (store_list(w->client->reactor->jobs.store, filter, on_reply, w) == 0)
		return;
	w->asking = false;
	watch_problem(w, PROBLEM_OVERLOADED, "out of memory");
}
