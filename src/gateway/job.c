#include "gateway/job.h"

#include "base/log.h"
#include "gateway/backend.h"
#include "gateway/client.h"
#include "gateway/exchange.h"
#include "gateway/reactor.h"
#include "gateway/watch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	TIDY_US = 1000 * 1000,
	BUCKETS_MAX = 1 << 20,
	HEAD_MAX = 64 * 1024,
};

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

static void rehash(struct jobs *j)
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

static struct job *add_job(struct jobs *j, const struct store_id *id)
{
	struct job *job = objpool_get(&j->reactor->job_pool);
	if (!job)
		return NULL;
	if (j->count >= j->n_buckets)
		rehash(j);
	job->id = *id;
	job->table = j;
	struct job **at = bucket(j, id);
	job->next = *at;
	*at = job;
	j->count++;
	return job;
}

static void drop_answer(struct jobs *j, struct job *job)
{
	struct job_answer *a = job->answer;
	if (!a)
		return;
	j->answer_bytes -= a->body_cap + a->fields_bytes;
	j->reactor->budget.memory_used -= a->body_cap + a->fields_bytes;
	free(a->fields);
	free(a->body);
	free(a->reason);
	free(a);
	job->answer = NULL;
}

static void forget_job(struct jobs *j, struct job *job)
{
	struct job **at = bucket(j, &job->id);
	while (*at != job)
		at = &(*at)->next;
	*at = job->next;
	j->count--;
	j->n_stuck -= job->stuck;
	CHECK(!job->watches);
	drop_answer(j, job);
	free(job->submission);
	objpool_put(&j->reactor->job_pool, job);
}

/* It is over; the store may still owe it an answer. */
static void forget_when_told(struct job *job)
{
	job->over = true;
	if (!job->loading && !job->claims)
		forget_job(job->table, job);
}

static void touch(struct jobs *j);

/* ---- its end ---- */

static void store_end(struct job *job);

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
		if (!job->stuck)
			log_warning("a job's end cannot be stored, tried again: %s", strerror(-reply->err));
		j->n_stuck += !job->stuck;
		job->stuck = true;
		watch_job_stuck(job);
		return;
	}
	if (reply->err == 0 || reply->err == -EALREADY) /* the first final state wins */
		job->state = (uint8_t)reply->state;
	job->changes++;
	job->over = true; /* who asks from now on, asks the store */
	watch_job_over(job);
	forget_when_told(job);
}

static int call_store(struct job *job)
{
	struct jobs *j = job->table;
	uint64_t now_us = j->reactor->io->wall_us;
	struct job_answer *a = job->answer;
	if (job->cancelled)
		return store_cancel(j->store, &job->id, now_us, on_ended, job);
	if (job->state == STORE_EXPIRED)
		return store_expire(j->store, &job->id, now_us, on_ended, job);
	if (job->state == STORE_FAILED)
		return store_fail(
			j->store, &job->id, str_of(a ? a->reason : "failed"), now_us, on_ended, job);
	struct iovec body = { a->body, a->body_bytes };
	struct store_message answer = {
		.head = { a->fields, a->fields_bytes },
		.slices = &body,
		.n_slices = a->body_bytes ? 1 : 0,
		.fd = -1,
	};
	return store_complete(j->store, &job->id, a->status, &answer, now_us, on_ended, job);
}

static void store_end(struct job *job)
{
	struct jobs *j = job->table;
	int err = call_store(job);
	j->n_stuck -= job->stuck;
	job->stuck = err < 0;
	j->n_stuck += job->stuck;
}

static void let_go(struct job *job)
{
	job->before = job->state;
	job->exchange->job = NULL;
	job->exchange = NULL;
}

void job_done(struct job *job)
{
	let_go(job);
	job->state = STORE_DONE;
	store_end(job);
}

/* In place of what came of the answer. */
static void keep_reason(struct job *job, const char *reason)
{
	struct job_answer *a = calloc(1, sizeof *a);
	drop_answer(job->table, job);
	if (a)
		a->reason = strdup(reason);
	if (a && !a->reason) {
		free(a);
		a = NULL;
	}
	job->answer = a;
}

void job_failed(struct job *job, const char *reason)
{
	let_go(job);
	job->state = STORE_FAILED;
	keep_reason(job, reason);
	store_end(job);
}

/* Those behind it in the queue need not wait for its request any more. */
static void drop_exchange(struct exchange *ex)
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
	let_go(job);
	job->state = STORE_CANCELLED;
	job->cancelled = true;
	store_end(job);
	drop_exchange(ex);
}

void jobs_expire(struct route *route)
{
	uint64_t now_us = route->reactor->io->wall_us;
	struct order_entry *e;
	while ((e = order_first(&route->pool.queue))) {
		struct exchange *ex = CONTAINER_OF(e, struct exchange, ticket.entry);
		struct job *job = ex->job;
		if (!job || !job->committed || !job->deadline_us || job->deadline_us > now_us)
			return;
		let_go(job);
		job->state = STORE_EXPIRED;
		store_end(job);
		exchange_drop(ex);
	}
}

/* ---- its answer ---- */

static int grow(struct jobs *j, struct job_answer *a, uint64_t need)
{
	if (need > j->reactor->settings->jobs_max_result_bytes)
		return -EFBIG;
	if (need <= a->body_cap)
		return 0;
	struct budget *budget = &j->reactor->budget;
	uint64_t cap =
		a->body_cap ? need + need / 2 : need; /* exact at first: most answers come in one piece */
	if (budget->memory_used + (cap - a->body_cap) > budget->memory_max)
		cap = need;
	if (budget->memory_used + (cap - a->body_cap) > budget->memory_max) {
		budget->refused++;
		return -ENOMEM;
	}
	char *p = realloc(a->body, cap);
	if (!p)
		return -ENOMEM;
	j->answer_bytes += cap - a->body_cap;
	budget->memory_used += cap - a->body_cap;
	a->body = p;
	a->body_cap = cap;
	return 0;
}

int job_answer_head(struct job *job, uint32_t status, struct str fields)
{
	struct jobs *j = job->table;
	drop_answer(j, job);
	struct job_answer *a = calloc(1, sizeof *a);
	char *copy = a ? malloc(fields.len + 1) : NULL;
	if (!copy) {
		free(a);
		return -ENOMEM;
	}
	memcpy(copy, fields.ptr, fields.len);
	*a = (struct job_answer){ .status = status, .fields = copy, .fields_bytes = (uint32_t)fields.len };
	j->answer_bytes += fields.len;
	j->reactor->budget.memory_used += fields.len;
	job->answer = a;
	return 0;
}

int job_answer_body(struct job *job, const char *bytes, size_t n)
{
	struct job_answer *a = job->answer;
	int err = grow(job->table, a, a->body_bytes + n);
	if (err < 0)
		return err;
	memcpy(a->body + a->body_bytes, bytes, n);
	a->body_bytes += n;
	return 0;
}

/* ---- its start ---- */

/* job_retry: never. What was not sent is not sent without its start being stored: after a crash it would run
 * once more. */
static void cannot_claim(struct job *job, int err)
{
	struct exchange *ex = job->exchange;
	log_warning("a job's start cannot be stored: %s", strerror(-err));
	if (upstream_has_asked(ex->upstream))
		return; /* it ran before it became a job */
	job_failed(job, "its start could not be stored");
	drop_exchange(ex);
}

static void on_claimed(void *owner, const struct store_reply *reply)
{
	struct job *job = owner;
	struct exchange *ex = job->exchange;
	job->claims--;
	if (job->over) {
		forget_when_told(job);
		return;
	}
	if (!ex || !ex->claiming || job->claims) /* of several, the last one is of this attempt */
		return;
	ex->claiming = false;
	if (ex->upstream && reply->err < 0)
		cannot_claim(job, reply->err);
	else if (ex->upstream)
		upstream_claimed(ex->upstream);
}

bool job_running(struct job *job)
{
	struct exchange *ex = job->exchange;
	struct jobs *j = job->table;
	bool never = ex->route->settings->job_retry == JOB_RETRY_NEVER;
	struct str container = str_of(backend_of(ex->ticket.slot->container)->settings.name);
	job->state = STORE_RUNNING;
	job->started_us = j->reactor->io->wall_us;
	job->changes++;
	int err = store_claim(j->store, &job->id, ex->ticket.attempts, container, job->started_us,
		never ? on_claimed : NULL, job);
	ex->claiming = never && err == 0;
	job->claims += ex->claiming;
	watch_job_news(job, NULL);
	return !ex->claiming;
}

void job_queued_again(struct job *job, const char *reason)
{
	struct jobs *j = job->table;
	drop_answer(j, job);
	job->state = STORE_QUEUED;
	job->changes++;
	if (store_requeue(j->store, &job->id, str_of(reason), NULL, NULL) < 0)
		log_warning("out of memory: a job's next attempt is not noted");
	watch_job_news(job, "requeue");
}

/* ---- submission ---- */

static void on_enqueued(void *owner, const struct store_reply *reply)
{
	struct job *job = owner;
	struct exchange *ex = job->exchange;
	exchange_returned(job->submission->lender);
	free(job->submission);
	job->submission = NULL;
	job->committed = reply->err == 0;
	if (reply->err < 0) {
		watch_job_refused(job, reply);
		if (!ex)
			return; /* its end is on its way, and will be told */
		let_go(job);
		exchange_drop(ex);
		forget_when_told(job);
		return;
	}
	if (!ex)
		return; /* its end is on its way already */
	if (ex->ticket.state == TICKET_NEW && !exchange_join(ex)) {
		job_failed(job, "out of memory for the queue");
		exchange_drop(ex);
		return;
	}
	watch_job_committed(job);
	if (job->exchange)
		job_settle_in_queue(job);
}

/* The request's head without fields that are not to be written to a disk. */
static struct str stored_head(const struct exchange *ex, char *buf)
{
	static const struct str secrets[] = { { "Authorization:", 14 }, { "Cookie:", 7 } };
	const struct settings *s = ex->route->reactor->settings;
	struct str rest = { ex->request->text, ex->request->head_bytes };
	size_t n = 0;
	while (rest.len) {
		const char *end = memchr(rest.ptr, '\n', rest.len);
		size_t line = end ? (size_t)(end - rest.ptr) + 1 : rest.len;
		bool secret = false;
		for (size_t i = 0; i < ARRAY_LEN(secrets); i++)
			secret |= line > secrets[i].len &&
				str_eq_nocase((struct str){ rest.ptr, secrets[i].len }, secrets[i]) &&
				!settings_store_header(s, (struct str){ secrets[i].ptr, secrets[i].len - 1 });
		if (!secret) {
			memcpy(buf + n, rest.ptr, line);
			n += line;
		}
		rest = str_skip(rest, line);
	}
	return (struct str){ buf, n };
}

/* The body: slices (malloc'ed, for the caller to free), and what stands in a file. 0 or -errno. */
static int lend_body(struct exchange *ex, struct store_message *m, struct iovec **ret_slices)
{
	struct request *q = ex->request;
	uint64_t after_head = q->bytes - q->head_bytes;
	int max = q->body ? (int)(q->body->mem_end / 4096) + 64 : 1, n = 0;
	struct iovec *iov = malloc((size_t)(max + 1) * sizeof *iov);
	struct buffer_rest rest = { .fd = -1 };
	if (!iov)
		return -ENOMEM;
	if (after_head)
		iov[n++] = (struct iovec){ q->text + q->head_bytes, after_head };
	if (q->body && q->body->size) {
		int k = buffer_lend(q->body, iov + n, max, &rest);
		if (k < 0) {
			free(iov);
			return k;
		}
		n += k;
	}
	m->slices = *ret_slices = iov;
	m->n_slices = n;
	m->fd = rest.fd;
	m->file_at = rest.at;
	m->file_bytes = rest.bytes;
	return 0;
}

static int enqueue(struct job *job, const struct job_request *req)
{
	struct jobs *j = job->table;
	struct exchange *ex = job->exchange;
	const struct pool_settings *ps = ex->route->settings;
	struct store_message request = { .fd = -1 };
	struct iovec *slices = NULL;
	struct submission *sub = malloc(sizeof *sub + ex->request->head_bytes);
	int err = sub ? lend_body(ex, &request, &slices) : -ENOMEM;
	if (err < 0) {
		free(sub);
		return err;
	}
	request.head = stored_head(ex, sub->head);
	job->deadline_us = ps->job_ttl_us ? job->created_us + ps->job_ttl_us : 0;
	struct store_job sj = {
		.id = job->id,
		.pool = str_of(ps->name),
		.number = ex->ticket.number,
		.epoch = store_epoch(j->store),
		.created_us = job->created_us,
		.deadline_us = job->deadline_us,
		.flags = ex->method,
		.request = request,
	};
	if (req) {
		sj.key = req->key;
		memcpy(sj.payload_hash, req->hash, sizeof sj.payload_hash);
	}
	err = store_enqueue(j->store, &sj, on_enqueued, job);
	free(slices);
	if (err < 0) {
		free(sub);
		return err;
	}
	sub->lender = ex;
	job->submission = sub;
	exchange_lend(ex);
	return 0;
}

static void refuse(struct exchange *ex, struct watch *w, struct job *job, enum problem p, const char *detail)
{
	watch_discard(w);
	if (job) {
		job->exchange = NULL;
		forget_job(job->table, job);
	}
	if (ex->ticket.state == TICKET_NEW && ex->ticket.number)
		pool_forgo(&ex->ticket);
	exchange_problem(ex, p, detail);
}

bool job_submit(struct exchange *ex, struct watch *w, const struct job_request *req)
{
	struct reactor *r = ex->route->reactor;
	struct store_id id;
	if (ex->ticket.state == TICKET_NEW) {
		enum admission a = pool_reserve(&ex->route->pool, &ex->ticket, exchange_waiting_bytes(ex));
		if (a == ADMIT_FULL || a == ADMIT_NO_CONTAINER) {
			refuse(ex, w, NULL, a == ADMIT_FULL ? PROBLEM_QUEUE_FULL : PROBLEM_NO_CONTAINER,
				NULL);
			return false;
		}
	}
	io_random(r->io, &id, sizeof id);
	touch(&r->jobs);
	struct job *job = add_job(&r->jobs, &id);
	if (!job) {
		refuse(ex, w, NULL, PROBLEM_OVERLOADED, "as many jobs are unfinished as jobs.max allows");
		return false;
	}
	job->exchange = ex;
	job->created_us = r->io->wall_us;
	job->state = ex->ticket.state == TICKET_RUNNING ? STORE_RUNNING : STORE_QUEUED;
	int err = enqueue(job, req);
	if (err < 0) {
		refuse(ex, w, job, PROBLEM_OVERLOADED,
			err == -ENOBUFS ? "the store is behind; try again" : "out of memory");
		return false;
	}
	ex->job = job;
	ex->client->exchange = NULL;
	ex->client = NULL;
	watch_follow(w, job);
	if (ex->ticket.state == TICKET_RUNNING)
		(void)job_running(job);
	return true;
}

/* ---- requests that are read back ---- */

static void on_loaded(void *owner, const struct store_reply *reply);

/* At a limit it is tried again when its turn comes nearer, and by the timer; anything else is its end. */
static void cannot_load(struct job *job, int err)
{
	struct exchange *ex = job->exchange;
	if (err == -ENOMEM || err == -ENOSPC) {
		if (!job->delayed)
			log_warning(
				"a job's request cannot be read back yet: %s (limits.memory, limits.spool)",
				strerror(-err));
		job->delayed = true;
		exchange_unload(ex);
		return;
	}
	log_warning("a job's request cannot be read back: %s", strerror(-err));
	job_failed(job, "its request cannot be read back from the store");
	drop_exchange(ex);
}

static bool is_near(const struct exchange *ex)
{
	return ticket_position(&ex->ticket) <= 2 * pool_slots(&ex->route->pool);
}

void job_settle_in_queue(struct job *job)
{
	struct exchange *ex = job->exchange;
	if (!job->committed || ex->ticket.state != TICKET_WAITING || ex->ticket.unready || is_near(ex))
		return;
	exchange_unload(ex);
}

/* The next piece, unless the disk is to take the last one first, or there is none. */
static void load_piece(struct job *job)
{
	struct exchange *ex = job->exchange;
	uint64_t at = exchange_loaded_bytes(ex);
	const struct request *q = ex->request;
	bool has_all = q && at >= q->body_bytes;
	if (!has_all && !(q && q->body && buffer_is_behind(q->body)))
		job->loading =
			store_read(job->table->store, &job->id, at, STORE_READ_MAX, on_loaded, job) == 0;
}

static void load_more(struct job *job)
{
	struct exchange *ex = job->exchange;
	load_piece(job);
	if (exchange_loaded_bytes(ex) >= ex->request->body_bytes && exchange_is_written(ex)) {
		exchange_ready(ex);
		route_pump(ex->route);
	}
}

void job_request_ready(struct job *job)
{
	struct exchange *ex = job->exchange;
	if (!ex->request || job->loading)
		return;
	const struct buffer *body = ex->request->body;
	if (body && body->err < 0)
		cannot_load(job, body->err);
	else
		load_more(job);
}

static void on_loaded(void *owner, const struct store_reply *reply)
{
	struct job *job = owner;
	struct exchange *ex = job->exchange;
	job->loading = false;
	if (job->over) {
		forget_when_told(job);
		return;
	}
	if (!ex || !ex->ticket.unready)
		return; /* another end is on its way */
	const struct store_record *rec = reply->n_records ? reply->records : NULL;
	int err = reply->err;
	if (err == 0 && !rec)
		err = -ENOENT;
	if (err == 0)
		err = exchange_load(ex, reply->head, reply->body, rec->body_bytes);
	if (err < 0)
		cannot_load(job, err);
	else
		load_more(job);
}

void jobs_prefetch(struct route *route)
{
	struct pool *p = &route->pool;
	uint32_t window = 2 * pool_slots(p), n = 0;
	for (struct order_entry *e = order_first(&p->queue); e && n < window;
		e = order_next(&p->queue, e), n++) {
		struct exchange *ex = CONTAINER_OF(e, struct exchange, ticket.entry);
		if (ex->ticket.unready && ex->job && !ex->job->loading)
			load_piece(ex->job);
	}
}

/* ---- from one life to the next ---- */

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
};

/* Over without having been tried once more: until the store has its end, who asks is told to wait for it. */
static int end_restored(struct restoring *r, const struct store_record *rec, enum store_state state)
{
	struct job *job = add_job(r->jobs, &rec->id);
	r->no_memory = !job;
	if (!job)
		return -ENOMEM;
	job->created_us = rec->created_us;
	job->started_us = rec->started_us;
	job->before = (uint8_t)rec->state;
	job->state = (uint8_t)state;
	job->committed = true;
	if (state == STORE_FAILED)
		keep_reason(job, "interrupted");
	store_end(job);
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
	struct job *job = add_job(j, &rec->id);
	struct exchange *ex = job ? exchange_restore(route, rec->number, rec->flags) : NULL;
	if (!ex) {
		r->no_memory = true;
		return -ENOMEM;
	}
	job->exchange = ex;
	job->created_us = rec->created_us;
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
	int err = store_load(j->store, restore, &r);
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
				store_end(job);
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
	for (uint32_t i = 0; i < j->reactor->n_routes; i++)
		route_pump(j->reactor->routes[i]); /* expires, and reads back */
	if (j->n_stuck)
		try_stuck_again(j);
	if (j->used)
		(void)!store_purge(j->store, j->reactor->io->wall_us, on_purged, j);
	if (j->used)
		io_timer_set(j->reactor->io, t, j->reactor->io->now_us + TIDY_US);
}

static void touch(struct jobs *j)
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
	rehash(j);
	j->store = j->buckets ? store_open(r->settings->store, &ss, r->io, r->io->ops->post, why) : NULL;
	if (!j->store) {
		snprintf(error, error_size, "store: %s", j->buckets ? why : "out of memory");
		return false;
	}
	if (j->durable)
		touch(j);
	return restore_all(j, error, error_size);
}

void jobs_leave_queue(struct jobs *j)
{
	if (!j->durable)
		return;
	for (uint32_t i = 0; i < j->reactor->n_routes; i++) {
		struct pool *p = &j->reactor->routes[i]->pool;
		for (struct order_entry *e = order_first(&p->queue), *next; e; e = next) {
			struct exchange *ex = CONTAINER_OF(e, struct exchange, ticket.entry);
			next = order_next(&p->queue, e);
			if (!ex->job || !ex->job->committed)
				continue;
			struct job *job = ex->job;
			let_go(job);
			exchange_drop(ex);
			while (job->watches)
				client_close(job->watches->client);
			forget_when_told(job);
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
			if (job->submission)
				exchange_returned(job->submission->lender);
			forget_job(j, job);
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
