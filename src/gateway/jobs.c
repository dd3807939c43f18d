/* jobs: from one life of the process to the next: what is taken back, left, tidied and closed. */
#include "base/log.h"
#include "gateway/client.h"
#include "gateway/exchange.h"
#include "gateway/job_parts.h"
#include "gateway/reactor.h"
#include "gateway/watch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TIDY_US = 1000 * 1000 };

static struct route *route_named(struct reactor *r, struct str pool)
{
	for (uint32_t i = 0; i < r->n_routes; i++) {
		if (!r->routes[i]->gone && str_eq(str_of(r->routes[i]->settings->name), pool))
			return r->routes[i];
	}
	return NULL;
}

struct restoring {
	struct jobs *jobs;
	uint32_t waiting, interrupted, expired, strangers;
	bool no_memory;
	uint32_t left; /* for the next start: jobs_adopt had no memory for them */
};

/* Over without having been tried once more: until the store has its end, who asks is told to wait for it. */
static int end_restored(struct restoring *r, const struct store_record *rec, enum store_state state)
{
	struct job *job = job_add(r->jobs, &rec->id);
	r->no_memory = !job;
	if (!job)
		return -ENOMEM;
	job->created_us = rec->created_us;
	job->started_us = rec->started_us;
	job->before = (uint8_t)rec->state;
	job->state = (uint8_t)state;
	job->committed = true;
	if (state == STORE_FAILED)
		job_keep_reason(job, "interrupted");
	job_store_end(job);
	return 0;
}

static int restore(void *owner, const struct store_record *rec)
{
	struct restoring *r = owner;
	struct jobs *j = r->jobs;
	struct route *route = route_named(j->reactor, rec->pool);
	if (!route) {
		r->strangers++;
		return 0;
	}
	const struct pool_settings *ps = route->settings;
	uint64_t now_us = j->reactor->io->wall_us;
	if (rec->deadline_us && rec->deadline_us <= now_us) {
		r->expired++;
		return end_restored(r, rec, STORE_EXPIRED);
	}
	if (rec->state == STORE_RUNNING &&
		(ps->job_retry == JOB_RETRY_NEVER || rec->attempts >= ps->job_attempts)) {
		r->interrupted++;
		return end_restored(r, rec, STORE_FAILED);
	}
	struct job *job = job_add(j, &rec->id);
	struct exchange *ex = job ? exchange_restore(route, rec->number, rec->flags) : NULL;
	if (!ex) {
		r->no_memory = true;
		return -ENOMEM;
	}
	job->exchange = ex;
	job->created_us = rec->created_us;
	job->started_us = rec->started_us;
	job->deadline_us = rec->deadline_us;
	job->state = STORE_QUEUED;
	job->committed = true;
	ex->job = job;
	ex->ticket.attempts = (uint8_t)(rec->attempts < UINT8_MAX ? rec->attempts : UINT8_MAX);
	if (rec->state == STORE_RUNNING &&
		store_requeue(j->store, &rec->id, STR("interrupted"), NULL, NULL) < 0)
		log_warning("out of memory: a job's interruption is not noted");
	r->waiting++;
	return 0;
}

static bool restore_all(struct jobs *j, char *error, size_t error_size)
{
	struct restoring r = { .jobs = j };
	int err = store_load(j->store, STR(""), restore, &r);
	if (r.waiting || r.interrupted || r.expired || r.strangers)
		log_info("%u jobs of an earlier run wait again, %u were interrupted for good, %u have "
			 "expired, %u belong "
			 "to pools that are not configured and are left alone",
			r.waiting, r.interrupted, r.expired, r.strangers);
	if (err == 0)
		return true;
	snprintf(error, error_size, "store: cannot take its jobs back: %s",
		r.no_memory ? "more than jobs.max, or out of memory" : strerror(-err));
	return false;
}

static int restore_or_leave(void *owner, const struct store_record *rec)
{
	struct restoring *r = owner;
	if (restore(r, rec) == 0)
		return 0;
	r->left++;
	pool_skip(&route_named(r->jobs->reactor, rec->pool)->pool, rec->number);
	return 0;
}

void jobs_adopt(struct jobs *j, const char *pool)
{
	struct restoring r = { .jobs = j };
	int err = store_load(j->store, str_of(pool), restore_or_leave, &r);
	if (r.waiting || r.interrupted || r.expired)
		log_info("pool %s: %u jobs of an earlier run wait again, %u were interrupted for good, %u "
			 "have expired",
			pool, r.waiting, r.interrupted, r.expired);
	if (r.left)
		log_error("pool %s: %u jobs of an earlier run are left for the next start: more than "
			  "jobs.max, or out of memory",
			pool, r.left);
	if (err < 0)
		log_error(
			"pool %s: its jobs of an earlier run cannot be taken back: %s", pool, strerror(-err));
}

static void settings_for_store(struct store_settings *to, const struct settings *s)
{
	store_settings_default(to, s->store);
	to->max_records = s->jobs_max_records;
	to->max_bytes = s->jobs_max_bytes;
	to->result_age_us = s->jobs_max_age_us;
	to->record_age_us = s->jobs_record_age_us;
	to->key_age_us = s->jobs_key_age_us;
}

static void try_stuck_again(struct jobs *j)
{
	for (uint32_t i = 0; i < j->n_buckets; i++) {
		for (struct job *job = j->buckets[i], *next; job; job = next) {
			next = job->next;
			if (job->stuck)
				job_store_end(job);
		}
	}
}

static void on_purged(void *owner, const struct store_reply *reply)
{
	struct jobs *j = owner;
	if (reply->err == 0 && reply->more)
		(void)!store_purge(j->store, j->reactor->io->wall_us, on_purged, j);
}

static void on_tidy(struct io_timer *t)
{
	struct jobs *j = CONTAINER_OF(t, struct jobs, tidy_timer);
	for (uint32_t i = 0; i < j->reactor->n_routes; i++) {
		struct route *route = j->reactor->routes[i];
		if (route->settings->job_ttl_us)
			jobs_expire_behind(route);
		route_pump(route); /* expires, and reads back */
		jobs_try_aside(route);
	}
	if (j->n_stuck)
		try_stuck_again(j);
	if (j->used)
		(void)!store_purge(j->store, j->reactor->io->wall_us, on_purged, j);
	if (j->used)
		io_timer_set(j->reactor->io, t, j->reactor->io->now_us + TIDY_US);
}

void jobs_touch(struct jobs *j)
{
	j->used = true;
	if (!j->tidy_timer.due_us)
		io_timer_set(j->reactor->io, &j->tidy_timer, j->reactor->io->now_us + TIDY_US);
}

bool jobs_init(struct jobs *j, struct reactor *r, char *error, size_t error_size)
{
	struct store_settings ss;
	char why[STORE_WHY_BYTES];
	*j = (struct jobs){ .reactor = r, .durable = strcmp(r->settings->store, "memory") != 0 };
	j->tidy_timer.on_timer = on_tidy;
	settings_for_store(&ss, r->settings);
	jobs_rehash(j);
	j->store = j->buckets ? store_open(r->settings->store, &ss, r->io, r->io->ops->post, why) : NULL;
	if (!j->store) {
		snprintf(error, error_size, "%s", j->buckets ? why : "store: out of memory");
		return false;
	}
	if (j->durable)
		jobs_touch(j);
	return restore_all(j, error, error_size);
}

void jobs_follow(struct jobs *j, const struct settings *s)
{
	struct store_settings ss;
	settings_for_store(&ss, s);
	store_set_limits(j->store, &ss);
}

/* It waits for the next start. */
void job_leave(struct job *job)
{
	struct exchange *ex = job->exchange;
	watch_job_left(job);
	job_let_go(job);
	exchange_drop(ex);
	job_forget_when_told(job);
}

void jobs_leave_queue(struct jobs *j)
{
	if (!j->durable)
		return;
	for (uint32_t i = 0; i < j->reactor->n_routes; i++) {
		jobs_leave_aside(j->reactor->routes[i]);
		struct pool *p = &j->reactor->routes[i]->pool;
		for (struct order_entry *e = order_first(&p->queue), *next; e; e = next) {
			struct exchange *ex = CONTAINER_OF(e, struct exchange, ticket.entry);
			next = order_next(&p->queue, e);
			if (!ex->job || !ex->job->committed)
				continue;
			job_leave(ex->job);
		}
		route_pump(j->reactor->routes[i]);
	}
}

void jobs_close(struct jobs *j)
{
	store_close(j->store);
	j->store = NULL;
	if (j->reactor)
		io_timer_stop(j->reactor->io, &j->tidy_timer);
}

void jobs_finish(struct jobs *j)
{
	for (uint32_t i = 0; i < j->n_buckets; i++) {
		while (j->buckets[i]) {
			struct job *job = j->buckets[i];
			struct exchange *ex = job->exchange;
			if (job->lender)
				exchange_returned(job->lender);
			job_forget(j, job);
			if (ex)
				ex->job = NULL;
			if (ex && ex->ticket.state == TICKET_NEW) /* on its way to the queue */
				exchange_drop(ex);
		}
	}
	while (j->unanswered) {
		struct watch *w = j->unanswered;
		j->unanswered = w->next;
		free(w);
	}
	free(j->buckets);
	j->buckets = NULL;
	j->n_buckets = 0;
}
