/* api: Berth's own resources on the front, and the hand-over of a request to a job. */
#include "gateway/client.h"
#include "gateway/describe.h"
#include "gateway/exchange.h"
#include "gateway/intake.h"
#include "gateway/job.h"
#include "gateway/reactor.h"
#include "gateway/watch.h"
#include "http/url.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WAIT_MAX_S = 3600 };

static const struct str no_store = { NO_STORE, sizeof NO_STORE - 1 };
static const char json_type[] = "application/json";

static void key_u64(struct json *j, const char *key, uint64_t v)
{
	json_key(j, key);
	json_u64(j, v);
}

static void key_str(struct json *j, const char *key, struct str v)
{
	json_key(j, key);
	json_string(j, v);
}

static void reply_json(struct client *c, int status, struct str extra)
{
	client_reply(c, status, json_type, extra, json_str(&c->reactor->json));
}

static void problem(struct client *c, enum problem p, const char *detail, struct str extra)
{
	c->reactor->metrics.problems[p]++;
	client_problem(c, p, detail, 0, extra);
}

/* ---- submission ---- */

void api_submit(struct client *c)
{
	struct exchange *ex = c->exchange;
	ex->submitting = !exchange_is_written(ex); /* the store reads the body's file: then it goes on */
	if (ex->submitting)
		return;
	struct watch *w = watch_new(c, ex->submit ? WATCH_MESSAGE : WATCH_ACCEPTED, NULL);
	if (!w) {
		if (ex->ticket.state == TICKET_NEW)
			exchange_problem(ex, PROBLEM_OVERLOADED, "out of memory");
		else if (ex->ticket.state == TICKET_WAITING) /* it goes on without becoming a job */
			client_watch_wait(c);
		return;
	}
	w->applied = ex->respond_async;
	w->then_events = ex->wants_events;
	if (ex->request->key) {
		w->deadline_us = ex->request->wait_until_us;
		w->kind = WATCH_KEY;
		watch_key(w);
		return;
	}
	(void)job_submit(ex, w, NULL);
}

void api_wait_is_over(struct client *c)
{
	struct exchange *ex = c->exchange;
	ex->request->wait_until_us = 0;
	api_submit(c);
}

/* ---- jobs ---- */

static void handle_status(struct client *c, struct job *job, const struct store_id *id)
{
	if (job && !job_is_ending(job)) {
		reply_status(c, job);
		return;
	}
	struct watch *w = watch_create(c, WATCH_STATUS, id);
	if (w && job)
		watch_follow(w, job);
	else if (w)
		watch_ask(w);
}

/* ?wait=S: so long for the end. */
static uint64_t wait_us(const struct http_head *head)
{
	uint64_t s;
	struct str wait = url_param(head->query, STR("wait"));
	return wait.ptr && str_to_u64(wait, &s) ? (s < WAIT_MAX_S ? s : WAIT_MAX_S) * 1000000 : 0;
}

static void handle_result(
	struct client *c, struct job *job, const struct store_id *id, const struct http_head *head)
{
	uint64_t for_us = wait_us(head);
	if (job && !for_us && !job_is_ending(job)) {
		reply_not_ready(c, job);
		return;
	}
	struct watch *w = watch_create(c, WATCH_RESULT, id);
	if (!w)
		return;
	if (!job) {
		watch_ask(w);
		return;
	}
	watch_follow(w, job);
	w->waits = for_us;
	if (for_us) {
		w->deadline_us = c->reactor->io->now_us + for_us;
		client_set_timer(c, for_us);
	}
}

/* Last-Event-ID: "1.4.17", or "end" (§9.2.4 of HTML): what was told then is not told again. Of what an
 * earlier life told, the place alone says something. */
static void note_last_event(struct watch *w, const struct http_head *head)
{
	const struct http_field *f = http_field(head, FIELD_LAST_EVENT_ID);
	struct str position = f ? f->value : (struct str){ NULL, 0 };
	struct str epoch = str_cut(&position, '.'), changes = str_cut(&position, '.');
	uint64_t told_epoch, told_changes, told_position;
	w->told_end = f && str_eq(f->value, STR("end"));
	if (!str_to_u64(epoch, &told_epoch) || !str_to_u64(changes, &told_changes) ||
		!str_to_u64(position, &told_position) || told_changes > UINT32_MAX ||
		told_position > UINT32_MAX)
		return;
	w->told_position = (uint32_t)told_position;
	if (told_epoch == store_epoch(w->reactor->jobs.store))
		w->told_changes = (uint32_t)told_changes;
}

static void handle_events(
	struct client *c, struct job *job, const struct store_id *id, const struct http_head *head)
{
	if (c->minor_version == 0) { /* which knows no chunks */
		problem(c, PROBLEM_VERSION, "events are sent over HTTP/1.1", no_store);
		return;
	}
	struct watch *w = watch_create(c, WATCH_EVENTS, id);
	if (!w)
		return;
	note_last_event(w, head);
	if (job)
		watch_begin_events(w, job);
	else
		watch_ask(w);
}

static void handle_delete(struct client *c, struct job *job, const struct store_id *id)
{
	struct watch *w = watch_create(c, WATCH_CANCEL, id);
	if (!w)
		return;
	if (job) {
		watch_follow(w, job);
		w->ran = job->exchange && job->state == STORE_RUNNING;
		job_cancel(job);
	} else {
		watch_ask(w);
	}
}

static void handle_job(struct client *c, struct str rest, const struct http_head *head)
{
	struct store_id id;
	if (!store_id_parse(str_cut(&rest, '/'), &id)) {
		problem(c, PROBLEM_NOT_FOUND, "no job has this id; an id has 32 hexadecimal digits",
			no_store);
		return;
	}
	struct job *job = jobs_find(&c->reactor->jobs, &id);
	if (head->method == HTTP_DELETE && !rest.ptr)
		handle_delete(c, job, &id);
	else if (head->method == HTTP_DELETE)
		problem(c, PROBLEM_METHOD_NOT_ALLOWED,
			"a job is cancelled or purged with DELETE /berth/jobs/{id}",
			STR("Allow: GET, HEAD\r\n"));
	else if (!rest.ptr)
		handle_status(c, job, &id);
	else if (str_eq(rest, STR("result")))
		handle_result(c, job, &id, head);
	else if (str_eq(rest, STR("events")))
		handle_events(c, job, &id, head);
	else
		problem(c, PROBLEM_NOT_FOUND, "a job has /berth/jobs/{id}, …/result and …/events", no_store);
}

/* ---- counts ---- */

static void handle_queue(struct client *c)
{
	struct reactor *r = c->reactor;
	struct json *j = &r->json;
	json_reset(j);
	json_open(j, '{');
	json_key(j, "pools");
	json_open(j, '[');
	for (uint32_t i = 0; i < r->n_routes; i++) {
		struct pool *p = &r->routes[i]->pool;
		uint32_t waiting = order_len(&p->queue), busy = 0;
		if (route_is_over(r->routes[i]))
			continue;
		for (uint32_t k = 0; k < p->n_containers; k++)
			busy += container_in_flight(p->containers[k]);
		json_open(j, '{');
		key_str(j, "name", str_of(r->routes[i]->settings->name));
		key_u64(j, "waiting", waiting);
		key_u64(j, "slots", pool_slots(p));
		key_u64(j, "busy", busy);
		describe_eta(j, pool_forecast(p, 0) == ADMIT_DISPATCH ? 0 : pool_eta_us(p, waiting + 1));
		json_close(j, '}');
	}
	json_close(j, ']');
	json_close(j, '}');
	json_bytes(j, STR("\n"));
	reply_json(c, 200, no_store);
}

/* Or is it something of one, such as its result? */
static bool names_job(struct str path)
{
	const struct str jobs = STR("/berth/jobs/");
	struct store_id id;
	return str_starts(path, jobs) && store_id_parse(str_skip(path, jobs.len), &id);
}

void api_handle(struct client *c, const struct http_head *head)
{
	struct str path = head->path;
	bool is_job = str_starts(path, STR("/berth/jobs/"));
	if (head->method != HTTP_GET && head->method != HTTP_HEAD && !(is_job && head->method == HTTP_DELETE))
		problem(c, PROBLEM_METHOD_NOT_ALLOWED, "resources under /berth/ can be read with GET",
			names_job(path) ? STR("Allow: GET, HEAD, DELETE\r\n") : STR("Allow: GET, HEAD\r\n"));
	else if (str_eq(path, STR("/berth/readyz")))
		api_readyz(c);
	else if (str_eq(path, STR("/berth/queue")))
		handle_queue(c);
	else if (is_job)
		handle_job(c, str_skip(path, sizeof "/berth/jobs/" - 1), head);
	else
		problem(c, PROBLEM_NOT_FOUND,
			"Berth has /berth/readyz, /berth/queue and /berth/jobs/{id} here", no_store);
}
