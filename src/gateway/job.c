#include "gateway/job.h"

#include "base/log.h"
#include "gateway/backend.h"
#include "gateway/exchange.h"
#include "gateway/job_parts.h"
#include "gateway/reactor.h"
#include "gateway/watch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BUCKETS_MAX = 1 << 20 };

/* ---- the table ---- */

static struct job **bucket(const struct jobs *j, const struct store_id *id)
{
	uint32_t h; /* ids are random: a piece of one is a good hash */
	memcpy(&h, id->bytes, sizeof h);
	return &j->buckets[h & (j->n_buckets - 1)];
}

struct job *jobs_find(struct jobs *j, const struct store_id *id)
{
	struct job *job = *bucket(j, id);
	while (job && (job->over || memcmp(&job->id, id, sizeof *id) != 0))
		job = job->next;
	return job;
}

void jobs_rehash(struct jobs *j)
{
	uint32_t n = j->n_buckets ? j->n_buckets * 2 : 64;
	struct job **old = j->buckets, **fresh = n <= BUCKETS_MAX ? calloc(n, sizeof *fresh) : NULL;
	if (!fresh)
		return; /* longer chains have to do */
	uint32_t old_n = j->n_buckets;
	j->buckets = fresh;
	j->n_buckets = n;
	for (uint32_t i = 0; i < old_n; i++) {
		for (struct job *job = old[i], *next; job; job = next) {
			next = job->next;
			struct job **at = bucket(j, &job->id);
			job->next = *at;
			*at = job;
		}
	}
	free(old);
}

struct job *job_add(struct jobs *j, const struct store_id *id)
{
	struct job *job = objpool_get(&j->reactor->job_pool);
	if (!job)
		return NULL;
	if (j->count >= j->n_buckets)
		jobs_rehash(j);
	job->id = *id;
	job->table = j;
	struct job **at = bucket(j, id);
	job->next = *at;
	*at = job;
	j->count++;
	return job;
}

void job_forget(struct jobs *j, struct job *job)
{
	struct job **at = bucket(j, &job->id);
	while (*at != job)
		at = &(*at)->next;
	*at = job->next;
	j->count--;
	j->n_stuck -= job->stuck;
	CHECK(!job->watches);
	job_drop_answer(job);
	objpool_put(&j->reactor->job_pool, job);
}

/* It is over; the store may still owe it an answer. */
void job_forget_when_told(struct job *job)
{
	job->over = true;
	if (!job->loading && !job->claims)
		job_forget(job->table, job);
}

/* ---- its end ---- */

/* The store has its end; or it has no such job. Everything else may pass. */
static bool is_settled(int err)
{
	return err == 0 || err == -EALREADY || err == -ENOENT;
}

static void on_ended(void *owner, const struct store_reply *reply)
{
	struct job *job = owner;
	struct jobs *j = job->table;
	if (!is_settled(reply->err)) {
		if (!job->warned)
			log_warning("a job's end cannot be stored, tried again: %s", strerror(-reply->err));
		j->n_stuck += !job->stuck;
		job->stuck = job->warned = true;
		watch_job_stuck(job);
		return;
	}
	if (reply->err == 0 || reply->err == -EALREADY) /* the first final state wins */
		job->state = (uint8_t)reply->state;
	job->changes++;
	job->over = true; /* who asks from now on, asks the store */
	watch_job_over(job);
	job_forget_when_told(job);
}

/* A result whose spool file has failed is none. */
static void check_answer(struct job *job)
{
	char reason[128];
	int err = job->state == STORE_DONE ? job_answer_error(job) : 0;
	if (err == 0)
		return;
	snprintf(reason, sizeof reason, "its result cannot be kept in a spool file: %s", strerror(-err));
	job->state = STORE_FAILED;
	job_keep_reason(job, reason);
}

static int call_store(struct job *job)
{
	struct jobs *j = job->table;
	uint64_t now_us = j->reactor->io->wall_us;
	if (job->cancelled)
		return store_cancel(j->store, &job->id, now_us, on_ended, job);
	if (job->state == STORE_EXPIRED)
		return store_expire(j->store, &job->id, now_us, on_ended, job);
	check_answer(job);
	if (job->state == STORE_FAILED)
		return store_fail(j->store, &job->id, str_of(job_answer_reason(job)), now_us, on_ended, job);
	if (job_answer_is_awaited(job))
		return 0; /* this is called again when its file has it */
	return job_answer_store(job, now_us, on_ended);
}

void job_store_end(struct job *job)
{
	struct jobs *j = job->table;
	int err = call_store(job);
	j->n_stuck -= job->stuck;
	job->stuck = err < 0;
	j->n_stuck += job->stuck;
}

void job_let_go(struct job *job)
{
	job->before = job->state;
	job->exchange->job = NULL;
	job->exchange = NULL;
}

void job_done(struct job *job)
{
	job_let_go(job);
	job->state = STORE_DONE;
	job_store_end(job);
}

void job_failed(struct job *job, const char *reason)
{
	job_let_go(job);
	job->state = STORE_FAILED;
	job_keep_reason(job, reason);
	job_store_end(job);
}

/* Those behind it in the queue need not wait for its request any more. */
void job_drop_exchange(struct exchange *ex)
{
	struct route *route = ex->route;
	exchange_drop(ex);
	route_pump(route);
}

void job_cancel(struct job *job)
{
	struct exchange *ex = job->exchange;
	if (!ex)
		return; /* another end is on its way, and wins */
	job_let_go(job);
	job->state = STORE_CANCELLED;
	job->cancelled = true;
	job_store_end(job);
	job_drop_exchange(ex);
}

/* ---- its deadline ---- */

/* By the wall clock, which may have been set. */
static bool is_too_late(const struct job *job)
{
	return job->deadline_us && job->deadline_us <= job->table->reactor->io->wall_us;
}

/* What runs is finished, or comes back to the queue. */
static void expire(struct job *job)
{
	struct exchange *ex = job->exchange;
	job_let_go(job);
	job->state = STORE_EXPIRED;
	job_store_end(job);
	exchange_drop(ex);
}

static struct job *job_of(struct order_entry *e)
{
	return CONTAINER_OF(e, struct exchange, ticket.entry)->job;
}

void jobs_expire(struct route *route)
{
	struct order_entry *e;
	while ((e = order_first(&route->pool.queue))) {
		struct job *job = job_of(e);
		if (!job || !job->committed || !is_too_late(job))
			return;
		expire(job);
	}
}

void jobs_expire_behind(struct route *route)
{
	struct order *queue = &route->pool.queue;
	for (struct order_entry *e = order_first(queue), *next; e; e = next) {
		struct job *job = job_of(e);
		next = order_next(queue, e);
		if (job && job->committed && is_too_late(job))
			expire(job);
		else if (job && job->deadline_us)
			return; /* those behind it have come later */
	}
}

/* ---- its start ---- */

/* job.retry: never. What was not sent is not sent without its start being stored: after a crash it would run
 * once more. */
void job_cannot_run(struct job *job, int err)
{
	struct exchange *ex = job->exchange;
	struct route *route = ex->route;
	ex->claiming = false;
	if (is_settled(err)) {
		job_failed(job, "its start could not be stored");
		exchange_drop(ex);
	} else {
		job_set_aside(job, err);
	}
	route_pump(route);
}

static void on_claimed(void *owner, const struct store_reply *reply)
{
	struct job *job = owner;
	struct exchange *ex = job->exchange;
	job->claims--;
	if (job->over) {
		job_forget_when_told(job);
		return;
	}
	if (!ex || !ex->claiming || job->claims) /* of several, the last one is of this attempt */
		return;
	struct route *route = ex->route;
	ex->claiming = false;
	if (ex->upstream && reply->err < 0)
		job_cannot_run(job, reply->err);
	else if (ex->upstream)
		upstream_claimed(ex->upstream);
	if (reply->err == 0)
		jobs_come_back(route);
}

struct str job_container(const struct job *job)
{
	return str_of(backend_of(job->exchange->ticket.slot->container)->settings.name);
}

void job_begins(struct job *job)
{
	job->state = STORE_RUNNING;
	job->started_us = job->table->reactor->io->wall_us;
	job->changes++;
}

int job_running(struct job *job)
{
	struct exchange *ex = job->exchange;
	bool never = ex->route->settings->job_retry == JOB_RETRY_NEVER;
	if (never && job_is_behind_one_aside(job)) {
		ex->claiming = true;
		return -EAGAIN;
	}
	job_begins(job);
	int err = store_claim(job->table->store, &job->id, exchange_runs(ex), job_container(job),
		job->started_us, never ? on_claimed : NULL, job);
	ex->claiming = never;
	if (never && err == 0)
		job->claims++;
	watch_job_news(job);
	return never ? err : 0;
}

void job_queued_again(struct job *job, const char *reason)
{
	struct jobs *j = job->table;
	job_drop_answer(job);
	job->state = STORE_QUEUED;
	job->changes++;
	if (store_requeue(j->store, &job->id, str_of(reason), NULL, NULL) < 0)
		log_warning("out of memory: a job's next attempt is not noted");
	watch_job_news(job);
}
