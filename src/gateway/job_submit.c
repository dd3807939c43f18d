/* job_submit: an exchange becomes a job: its place is reserved, and its request goes to the store. */
#include "gateway/client.h"
#include "gateway/exchange.h"
#include "gateway/job_parts.h"
#include "gateway/reactor.h"
#include "gateway/upstream.h"
#include "gateway/watch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* It waits or runs, because its client chose to wait for a while: where it cannot become a job, it stays what it is. */
static bool may_stay(const struct exchange *ex)
{
	return ex->ticket.state == TICKET_WAITING || ex->ticket.state == TICKET_RUNNING;
}

static void stay(struct exchange *ex)
{
	if (ex->ticket.state == TICKET_WAITING)
		client_watch_wait(ex->client);
}

/* Back to its client, unless some of its answer has gone the job's way. */
static bool give_back(struct job *job)
{
	struct exchange *ex = job->exchange;
	struct client *c = ex && may_stay(ex) && !job->answer ? watch_give_back(job) : NULL;
	if (!c)
		return false;
	job_let_go(job);
	ex->client = c;
	c->exchange = ex;
	stay(ex);
	job_forget_when_told(job);
	if (ex->claiming) { /* of what is no job any more there is no start to be stored */
		ex->claiming = false;
		upstream_claimed(ex->upstream);
	}
	return true;
}

static void on_enqueued(void *owner, const struct store_reply *reply)
{
	struct job *job = owner;
	struct exchange *ex = job->exchange;
	exchange_returned(job->lender);
	job->lender = NULL;
	job->committed = reply->err == 0;
	if (reply->err < 0) {
		if (give_back(job))
			return;
		watch_job_refused(job, reply);
		if (!ex)
			return; /* its end is on its way, and will be told */
		job_let_go(job);
		exchange_drop(ex);
		job_forget_when_told(job);
		return;
	}
	if (!ex) { /* its end is on its way already */
		watch_job_committed(job);
		return;
	}
	if (ex->ticket.state == TICKET_NEW && !exchange_is_aside(ex) && !exchange_join(ex)) {
		job_failed(job, "out of memory for the queue");
		exchange_drop(ex);
		return;
	}
	watch_job_committed(job);
	if (job->exchange)
		job_settle_in_queue(job);
}

/* The body: slices (malloc'ed, for the caller to free), and what stands in a file. 0 or -errno. */
static int lend_body(struct exchange *ex, struct store_message *m, struct iovec **ret_slices)
{
	struct request *q = ex->request;
	uint64_t after_head = q->bytes - q->head_bytes;
	int max = q->body ? buffer_slices(q->body) : 0, n = 0;
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
	int err = lend_body(ex, &request, &slices);
	if (err < 0)
		return err;
	request.head = (struct str){ ex->request->text, ex->request->head_bytes };
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
	if (ex->ticket.state == TICKET_RUNNING) {
		job_begins(job);
		sj.attempt = exchange_runs(ex);
		sj.container = job_container(job);
		sj.started_us = job->started_us;
	}
	if (req) {
		sj.key = req->key;
		memcpy(sj.payload_hash, req->hash, sizeof sj.payload_hash);
	}
	err = store_enqueue(j->store, &sj, on_enqueued, job);
	free(slices);
	if (err < 0)
		return err;
	job->lender = ex;
	exchange_lend(ex);
	return 0;
}

static void refuse(struct exchange *ex, struct watch *w, struct job *job, enum problem p, const char *detail)
{
	watch_discard(w);
	if (job) {
		job->exchange = NULL;
		job_forget(job->table, job);
	}
	if (may_stay(ex)) {
		stay(ex);
		return;
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
	jobs_touch(&r->jobs);
	struct job *job = job_add(&r->jobs, &id);
	if (!job) {
		refuse(ex, w, NULL, PROBLEM_OVERLOADED, "as many jobs are unfinished as jobs.max allows");
		return false;
	}
	job->exchange = ex;
	job->created_us = r->io->wall_us;
	job->state = STORE_QUEUED;
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
	return true;
}
