#include "gateway/describe.h"

#include "gateway/backend.h"
#include "gateway/client.h"
#include "gateway/exchange.h"
#include "gateway/job.h"
#include "gateway/reactor.h"
#include "http/status.h"
#include "http/write.h"

#include <stdio.h>
#include <string.h>

enum {
	LEFT_ALONE_S = 60, /* until a pool may be configured again */
	EXTRA_BYTES = 160, /* of fields */
};

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

void describe_eta(struct json *j, uint64_t eta_us)
{
	json_key(j, "eta_ms");
	if (eta_us == UINT64_MAX)
		json_null(j);
	else
		json_u64(j, eta_us / 1000);
}

/* Seconds since the epoch; null: not yet. */
static void key_time(struct json *j, const char *key, uint64_t wall_us)
{
	json_key(j, key);
	if (wall_us)
		json_thousandths(j, wall_us / 1000);
	else
		json_null(j);
}

/* rest: what follows the job's own URL. */
static void key_url(struct json *j, const char *key, const char hex[STORE_ID_CHARS + 1], struct str rest)
{
	char url[96];
	struct writer w;
	writer_init(&w, url, sizeof url);
	write_lit(&w, "/berth/jobs/");
	write_bytes(&w, hex, STORE_ID_CHARS);
	write_str(&w, rest);
	key_str(j, key, (struct str){ url, writer_len(&w) });
}

static void key_id(struct json *j, const struct store_id *id)
{
	char hex[STORE_ID_CHARS + 1];
	key_str(j, "id", str_of(store_id_print(id, hex)));
}

static void key_urls(struct json *j, const struct store_id *id)
{
	char hex[STORE_ID_CHARS + 1];
	store_id_print(id, hex);
	key_url(j, "status_url", hex, STR(""));
	key_url(j, "result_url", hex, STR("/result"));
	key_url(j, "events_url", hex, STR("/events"));
	key_url(j, "cancel_url", hex, STR(""));
}

static uint32_t position_of(const struct job *job)
{
	const struct exchange *ex = job->exchange;
	if (ex && exchange_is_aside(ex))
		return job_position_aside(job);
	return ex ? ticket_position(&ex->ticket) : 0;
}

/* Of what runs: 0, and no wait. */
static void key_place(struct json *j, const struct job *job)
{
	uint32_t position = position_of(job);
	key_u64(j, "position", position);
	describe_eta(j, position ? pool_eta_us(&job->exchange->route->pool, position) : 0);
}

/* An end that is on its way to the store is none yet. */
static enum store_state told_state(const struct job *job)
{
	return (enum store_state)(job->exchange || job->over ? job->state : job->before);
}

void describe_job(struct json *j, const struct job *job, const char *reason)
{
	const struct exchange *ex = job->exchange;
	json_reset(j);
	json_open(j, '{');
	key_id(j, &job->id);
	key_str(j, "state", str_of(store_state_name(told_state(job))));
	if (ex)
		key_str(j, "pool", str_of(ex->route->settings->name));
	key_place(j, job);
	if (reason)
		key_str(j, "reason", str_of(reason));
	key_time(j, "created", job->created_us);
	key_time(j, "started", job->started_us);
	key_time(j, "finished", 0);
	if (ex) {
		key_u64(j, "attempts", exchange_runs(ex));
		if (ex->ticket.slot)
			key_str(j, "container",
				str_of(backend_of(ex->ticket.slot->container)->settings.name));
	}
	key_urls(j, &job->id);
	json_close(j, '}');
}

static void record_members(struct json *j, const struct store_record *rec)
{
	key_id(j, &rec->id);
	key_str(j, "state", str_of(store_state_name(rec->state)));
	key_str(j, "pool", rec->pool);
	key_time(j, "created", rec->created_us);
	key_time(j, "started", rec->started_us);
	key_time(j, "finished", rec->finished_us);
	key_u64(j, "attempts", rec->attempts);
	if (rec->container.len)
		key_str(j, "container", rec->container);
	if (rec->status)
		key_u64(j, "status", rec->status);
	if (rec->reasons.len)
		key_str(j, "reasons", rec->reasons);
	if (rec->state == STORE_DONE) {
		key_u64(j, "result_bytes", rec->body_bytes);
		json_key(j, "result_kept");
		json_bool(j, rec->held);
	}
	key_urls(j, &rec->id);
}

void describe_record(struct json *j, const struct store_record *rec)
{
	json_reset(j);
	json_open(j, '{');
	record_members(j, rec);
	json_close(j, '}');
}

void describe_list(struct json *j, const struct store_reply *reply)
{
	char next[64];
	json_reset(j);
	json_open(j, '{');
	json_key(j, "jobs");
	json_open(j, '[');
	for (uint32_t i = 0; i < reply->n_records; i++) {
		json_open(j, '{');
		record_members(j, &reply->records[i]);
		json_close(j, '}');
	}
	json_close(j, ']');
	json_key(j, "next");
	if (reply->more) {
		snprintf(next, sizeof next, "%llu-%llu", (unsigned long long)reply->next.created_us,
			(unsigned long long)reply->next.seq);
		json_string(j, str_of(next));
	} else {
		json_null(j);
	}
	json_close(j, '}');
	json_bytes(j, STR("\n"));
}

void describe_result_head(
	struct writer *w, const struct store_record *rec, struct str fields, bool keep_alive)
{
	write_lit(w, "HTTP/1.1 ");
	write_u64(w, rec->status);
	write_lit(w, " ");
	write_str(w, str_of(http_status_reason((int)rec->status)));
	if (rec->status != 204) { /* RFC 9110 §8.6 */
		write_lit(w, "\r\nContent-Length: ");
		write_u64(w, rec->body_bytes);
	}
	write_lit(w,
		"\r\nBerth-Job-State: done\r\n" NO_STORE
		"X-Content-Type-Options: nosniff\r\nContent-Security-Policy: sandbox\r\n");
	write_str(w, fields);
	if (!keep_alive)
		write_lit(w, "Connection: close\r\n");
	write_lit(w, "\r\n");
	CHECK(!w->overflow);
}

void reply_failure(struct client *c, const struct store_record *rec)
{
	struct json *j = &c->reactor->json;
	char extra[128];
	bool cancelled = rec->state == STORE_CANCELLED;
	enum problem p = cancelled ? PROBLEM_GONE : PROBLEM_JOB_FAILED;
	snprintf(extra, sizeof extra, NO_STORE "Berth-Job-State: %s\r\n", store_state_name(rec->state));
	json_reset(j);
	problem_write(j, p,
		cancelled ? STR("the job was cancelled; there is no result")
			  : STR("the job ended without an answer; reasons says why"),
		true);
	key_str(j, "state", str_of(store_state_name(rec->state)));
	key_str(j, "reasons", rec->reasons);
	json_close(j, '}');
	client_reply(c, problem_status(p), "application/problem+json", str_of(extra), json_str(j));
}

void reply_message(struct client *c, const struct job *job)
{
	struct json *j = &c->reactor->json;
	char text[128];
	uint32_t position = position_of(job);
	json_reset(j);
	json_open(j, '{');
	if (position == 0)
		snprintf(text, sizeof text, "Request received and being processed");
	else
		snprintf(text, sizeof text,
			"Request received and will be processed soon. %u process prior to yours", position);
	key_str(j, "message", str_of(text));
	key_id(j, &job->id);
	key_place(j, job);
	key_urls(j, &job->id);
	json_close(j, '}');
	json_bytes(j, STR("\n"));
	client_reply(c, 200, "application/json", STR(NO_STORE), json_str(j));
}

void reply_status(struct client *c, const struct job *job)
{
	struct json *j = &c->reactor->json;
	describe_job(j, job, NULL);
	json_bytes(j, STR("\n"));
	client_reply(c, 200, "application/json", STR(NO_STORE), json_str(j));
}

static void write_location(char extra[EXTRA_BYTES], const struct store_id *id, bool applied)
{
	char hex[STORE_ID_CHARS + 1];
	snprintf(extra, EXTRA_BYTES, NO_STORE "Location: /berth/jobs/%s\r\n%s", store_id_print(id, hex),
		applied ? "Preference-Applied: respond-async\r\n" : "");
}

void reply_accepted(struct client *c, const struct job *job, bool applied)
{
	struct json *j = &c->reactor->json;
	char extra[EXTRA_BYTES];
	write_location(extra, &job->id, applied);
	describe_job(j, job, NULL);
	json_bytes(j, STR("\n"));
	client_reply(c, 202, "application/json", str_of(extra), json_str(j));
}

/* job: NULL where the record is all that there is. */
static void not_ready(struct client *c, const struct job *job, enum store_state state, unsigned after_s)
{
	struct json *j = &c->reactor->json;
	char extra[128];
	snprintf(extra, sizeof extra, NO_STORE "Retry-After: %u\r\n", after_s);
	json_reset(j);
	problem_write(j, PROBLEM_NOT_READY,
		STR("the job is queued or running; ask again, or wait for it with ?wait=SECONDS"), true);
	key_str(j, "state", str_of(store_state_name(state)));
	if (job)
		key_place(j, job);
	json_close(j, '}');
	c->reactor->metrics.problems[PROBLEM_NOT_READY]++;
	client_reply(c, 409, "application/problem+json", str_of(extra), json_str(j));
}

void reply_not_ready(struct client *c, const struct job *job)
{
	const struct exchange *ex = job->exchange;
	uint64_t eta_us = ex ? pool_eta_us(&ex->route->pool, position_of(job) + 1) : 0;
	unsigned after_s =
		eta_us == UINT64_MAX || eta_us < 1000000 ? 1 : (unsigned)((eta_us + 999999) / 1000000);
	not_ready(c, job, told_state(job), after_s);
}

void reply_left_alone(struct client *c, const struct store_record *rec)
{
	not_ready(c, NULL, rec->state, LEFT_ALONE_S);
}

void reply_accepted_before(struct client *c, const struct store_record *rec, bool submit, bool applied)
{
	struct json *j = &c->reactor->json;
	char extra[EXTRA_BYTES];
	write_location(extra, &rec->id, applied);
	json_reset(j);
	json_open(j, '{');
	if (submit)
		key_str(j, "message", STR("Request received and being processed"));
	record_members(j, rec);
	json_close(j, '}');
	json_bytes(j, STR("\n"));
	client_reply(c, submit ? 200 : 202, "application/json", str_of(extra), json_str(j));
}

void reply_key_in_use(struct client *c, const struct store_record *rec)
{
	struct json *j = &c->reactor->json;
	char extra[EXTRA_BYTES];
	write_location(extra, &rec->id, false);
	json_reset(j);
	problem_write(j, PROBLEM_KEY_IN_USE,
		STR("the job that came with this Idempotency-Key is not over; follow it"), true);
	key_id(j, &rec->id);
	key_urls(j, &rec->id);
	json_close(j, '}');
	c->reactor->metrics.problems[PROBLEM_KEY_IN_USE]++;
	client_reply(c, 409, "application/problem+json", str_of(extra), json_str(j));
}
