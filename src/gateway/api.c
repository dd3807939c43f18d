/* api: Berth's own resources on the front, and the hand-over of a request to a job. */
#include "gateway/client.h"
#include "gateway/exchange.h"
#include "gateway/intake.h"
#include "gateway/reactor.h"
#include "http/write.h"

#include <stdio.h>
#include <string.h>

#define NO_STORE "Cache-Control: private, no-store\r\n"

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

/* In ms; null without an estimate. */
static void key_eta(struct json *j, uint64_t eta_us)
{
	json_key(j, "eta_ms");
	if (eta_us == UINT64_MAX)
		json_null(j);
	else
		json_u64(j, eta_us / 1000);
}

static void key_time(struct json *j, const char *key, uint64_t wall_us)
{
	json_key(j, key);
	if (wall_us)
		json_double(j, (double)(wall_us / 1000) / 1000);
	else
		json_null(j);
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

static struct str job_url(const struct job *job, const char *suffix, char text[96])
{
	snprintf(text, 96, "/berth/jobs/%s%s", job->id, suffix);
	return str_of(text);
}

static void describe_submission(struct json *j, const struct job *job, uint32_t position, uint64_t eta_us)
{
	char text[128], url[96];
	json_reset(j);
	json_open(j, '{');
	if (position == 0) {
		key_str(j, "message", STR("Request received and being processed"));
	} else {
		snprintf(text, sizeof text,
			"Request received and will be processed soon. %u process prior to yours", position);
		key_str(j, "message", str_of(text));
	}
	key_str(j, "id", str_of(job->id));
	if (position) {
		key_u64(j, "position", position);
		key_eta(j, eta_us);
	}
	key_str(j, "status_url", job_url(job, "", url));
	key_str(j, "result_url", job_url(job, "/result", url));
	json_close(j, '}');
	json_bytes(j, STR("\n"));
}

void api_submit(struct client *c)
{
	struct exchange *ex = c->exchange;
	struct reactor *r = c->reactor;
	struct job *job = jobs_create(&r->jobs);
	if (!job) {
		exchange_problem(ex, PROBLEM_OVERLOADED, "as many jobs are unfinished as jobs.max allows");
		return;
	}
	if (!exchange_admit(ex)) { /* and the client has been told so */
		jobs_discard(&r->jobs, job);
		return;
	}
	bool waits = ex->ticket.state == TICKET_WAITING;
	uint32_t position = ticket_position(&ex->ticket);
	ex->job = job;
	ex->client = NULL;
	c->exchange = NULL;
	job->exchange = ex;
	job->state = waits ? JOB_QUEUED : JOB_RUNNING;
	job->started_wall_us = waits ? 0 : r->io->wall_us;
	describe_submission(&r->json, job, position, pool_eta_us(&ex->route->pool, position));
	reply_json(c, 200, no_store);
}

/* ---- jobs ---- */

static void describe_job(struct json *j, const struct job *job)
{
	char url[96];
	const struct exchange *ex = job->exchange;
	json_reset(j);
	json_open(j, '{');
	key_str(j, "id", str_of(job->id));
	key_str(j, "state", str_of(job_state_name(job->state)));
	if (job->state == JOB_QUEUED && ex) {
		uint32_t position = ticket_position(&ex->ticket);
		key_u64(j, "position", position);
		key_eta(j, pool_eta_us(&ex->route->pool, position));
	}
	key_time(j, "created", job->created_wall_us);
	key_time(j, "started", job->started_wall_us);
	key_time(j, "finished", job->finished_wall_us);
	if (ex) {
		key_u64(j, "attempts", ex->ticket.attempts);
		if (ex->ticket.slot)
			key_str(j, "container",
				str_of(ex->route->settings->containers[ex->ticket.slot->container->index]
						.name));
	} else {
		key_u64(j, "status", (uint64_t)job->status);
	}
	key_str(j, "status_url", job_url(job, "", url));
	key_str(j, "result_url", job_url(job, "/result", url));
	json_close(j, '}');
	json_bytes(j, STR("\n"));
}

/* The container's answer, marked as such, and kept from acting in a browser as if it came from the pool
 * itself. */
static void reply_result(struct client *c, const struct job *job)
{
	char extra[16 * 1024];
	struct writer w;
	writer_init(&w, extra, sizeof extra);
	write_lit(&w, "Berth-Job-State: ");
	write_str(&w, str_of(job_state_name(job->state)));
	write_lit(&w,
		"\r\n" NO_STORE "X-Content-Type-Options: nosniff\r\nContent-Security-Policy: sandbox\r\n");
	write_bytes(&w, job->fields, job->fields_bytes);
	client_reply_long(c, job->status, (struct str){ extra, writer_len(&w) },
		(struct str){ job->result, job->result_bytes });
}

static void result_not_ready(struct client *c, const struct job *job)
{
	struct json *j = &c->reactor->json;
	char extra[128];
	const struct exchange *ex = job->exchange;
	uint32_t position = ticket_position(&ex->ticket);
	uint64_t eta_us = pool_eta_us(&ex->route->pool, position + 1);
	unsigned after_s =
		eta_us == UINT64_MAX || eta_us < 1000000 ? 1 : (unsigned)((eta_us + 999999) / 1000000);
	snprintf(extra, sizeof extra, NO_STORE "Retry-After: %u\r\n", after_s);
	json_reset(j);
	problem_write(j, PROBLEM_NOT_READY,
		STR("the job is queued or running; ask again, or look at its status_url"), true);
	key_str(j, "state", str_of(job_state_name(job->state)));
	if (position) {
		key_u64(j, "position", position);
		key_eta(j, eta_us);
	}
	json_close(j, '}');
	c->reactor->metrics.problems[PROBLEM_NOT_READY]++;
	client_reply(c, 409, "application/problem+json", str_of(extra), json_str(j));
}

static void handle_job(struct client *c, struct str rest)
{
	struct job *job = jobs_find(&c->reactor->jobs, str_cut(&rest, '/'));
	if (!job) {
		problem(c, PROBLEM_NOT_FOUND,
			"no job has this id; finished jobs are forgotten after jobs.max_age", no_store);
	} else if (!rest.ptr) {
		describe_job(&c->reactor->json, job);
		reply_json(c, 200, no_store);
	} else if (!str_eq(rest, STR("result"))) {
		problem(c, PROBLEM_NOT_FOUND, "a job has /berth/jobs/{id} and /berth/jobs/{id}/result",
			no_store);
	} else if (job->exchange) {
		result_not_ready(c, job);
	} else {
		reply_result(c, job);
	}
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
		for (uint32_t k = 0; k < p->n_containers; k++)
			busy += container_in_flight(p->containers[k]);
		json_open(j, '{');
		key_str(j, "name", str_of(r->routes[i]->settings->name));
		key_u64(j, "waiting", waiting);
		key_u64(j, "slots", pool_slots(p));
		key_u64(j, "busy", busy);
		key_eta(j, pool_forecast(p, 0) == ADMIT_DISPATCH ? 0 : pool_eta_us(p, waiting + 1));
		json_close(j, '}');
	}
	json_close(j, ']');
	json_close(j, '}');
	json_bytes(j, STR("\n"));
	reply_json(c, 200, no_store);
}

void api_readyz(struct client *c)
{
	struct reactor *r = c->reactor;
	struct json *j = &r->json;
	uint32_t up = 0, all = 0, draining = 0;
	for (uint32_t i = 0; i < r->n_routes; i++) {
		const struct pool *p = &r->routes[i]->pool;
		all += p->n_containers;
		for (uint32_t k = 0; k < p->n_containers; k++) {
			up += p->containers[k]->state == CONTAINER_UP;
			draining += p->containers[k]->draining;
		}
	}
	bool ready = up > 0 && !r->draining;
	json_reset(j);
	json_open(j, '{');
	json_key(j, "ready");
	json_bool(j, ready);
	key_u64(j, "up", up);
	key_u64(j, "containers", all);
	key_u64(j, "draining", draining);
	json_close(j, '}');
	json_bytes(j, STR("\n"));
	reply_json(c, ready ? 200 : 503, no_store);
}

void api_handle(struct client *c, const struct http_head *head)
{
	struct str path = head->path;
	if (head->method != HTTP_GET && head->method != HTTP_HEAD)
		problem(c, PROBLEM_METHOD_NOT_ALLOWED, "resources under /berth/ can be read with GET",
			STR("Allow: GET, HEAD\r\n"));
	else if (str_eq(path, STR("/berth/readyz")))
		api_readyz(c);
	else if (str_eq(path, STR("/berth/queue")))
		handle_queue(c);
	else if (str_starts(path, STR("/berth/jobs/")))
		handle_job(c, str_skip(path, sizeof "/berth/jobs/" - 1));
	else
		problem(c, PROBLEM_NOT_FOUND,
			"Berth has /berth/readyz, /berth/queue and /berth/jobs/{id} here", no_store);
}
