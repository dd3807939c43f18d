#include "gateway/exchange.h"

#include "base/rand.h"
#include "gateway/access_log.h"
#include "gateway/backend.h"
#include "gateway/client.h"
#include "gateway/job.h"
#include "gateway/reactor.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct reactor *reactor_of(const struct exchange *ex)
{
	return ex->route->reactor;
}

void exchange_lend(struct exchange *ex)
{
	ex->lent = true;
}

void exchange_returned(struct exchange *ex)
{
	ex->lent = false;
	if (ex->discarded)
		exchange_free(ex);
}

void exchange_free(struct exchange *ex)
{
	struct objpool *pool = &reactor_of(ex)->exchange_pool;
	if (ex->lent) {
		ex->discarded = true;
		return;
	}
	exchange_drop_request(ex);
	objpool_put(pool, ex);
}

void exchange_bury(struct exchange *ex)
{
	CHECK(!ex->upstream && ex->ticket.state != TICKET_WAITING);
	if (ex->client)
		ex->client->exchange = NULL;
	ex->client = NULL;
	list_push_back(&reactor_of(ex)->dead_exchanges, &ex->ticket.entry.node);
}

/* ---- admission ---- */

uint32_t route_retry_after_s(struct route *route)
{
	struct pool *p = &route->pool;
	return retry_after_s(pool_eta_us(p, order_len(&p->queue) + 1), &route->reactor->rand);
}

enum problem exchange_precheck(struct exchange *ex, const struct http_head *head)
{
	const struct reactor *r = reactor_of(ex);
	struct pool *p = &ex->route->pool;
	const struct http_field *max_wait = http_field(head, FIELD_BERTH_MAX_WAIT);
	uint64_t max_wait_s, eta_us = pool_eta_us(p, order_len(&p->queue) + 1);
	if (r->draining)
		return PROBLEM_SHUTTING_DOWN;
	if (max_wait && str_to_u64(max_wait->value, &max_wait_s) && max_wait_s < 1u << 30 &&
		eta_us != UINT64_MAX && eta_us > max_wait_s * 1000000 &&
		pool_forecast(p, ex->request->cap) == ADMIT_WAIT)
		return PROBLEM_WAIT_TOO_LONG;
	switch (pool_forecast(p, ex->request->cap)) {
	case ADMIT_FULL:
		return PROBLEM_QUEUE_FULL;
	case ADMIT_NO_CONTAINER:
		return PROBLEM_NO_CONTAINER;
	case ADMIT_DISPATCH:
	case ADMIT_WAIT:
		break;
	}
	return PROBLEM_COUNT;
}

static const char *refusal_detail(enum problem p)
{
	switch (p) {
	case PROBLEM_QUEUE_FULL:
		return "as many requests wait as queue.max or queue.max_bytes allows; try again later";
	case PROBLEM_NO_CONTAINER:
		return "none of the pool's containers answers at the moment; they are tried again all the "
		       "time";
	case PROBLEM_WAIT_TOO_LONG:
		return "the expected wait is longer than this request's Berth-Max-Wait";
	case PROBLEM_SHUTTING_DOWN:
		return "this Berth is being stopped and takes no new requests";
	default:
		return NULL;
	}
}

static void begin_running(struct exchange *ex, struct slot *s)
{
	struct reactor *r = reactor_of(ex);
	int err = ex->job ? job_running(ex->job) : 0;
	upstream_dispatch(upstream_of(s), ex);
	if (err < 0) {
		job_cannot_run(ex->job, err);
		return;
	}
	if (ex->ticket.attempts == 1)
		retry_budget_request(&ex->route->retry_budget, r->io->now_us);
	histogram_add(&ex->route->metrics.wait, r->io->now_us - ex->ticket.admitted_us);
}

bool exchange_admit(struct exchange *ex)
{
	struct slot *s;
	uint64_t now_us = reactor_of(ex)->io->now_us;
	ex->request->queued_us = now_us;
	switch (pool_admit(&ex->route->pool, &ex->ticket, exchange_waiting_bytes(ex), now_us, &s)) {
	case ADMIT_DISPATCH:
		begin_running(ex, s);
		return true;
	case ADMIT_WAIT:
		return true;
	case ADMIT_FULL:
		exchange_problem(ex, PROBLEM_QUEUE_FULL, NULL);
		return false;
	case ADMIT_NO_CONTAINER:
		exchange_problem(ex, PROBLEM_NO_CONTAINER, NULL);
		return false;
	}
	return false;
}

void route_pump(struct route *route)
{
	struct ticket *t;
	struct slot *s;
	jobs_expire(route);
	while (pool_match(&route->pool, route->reactor->io->now_us, &t, &s)) {
		begin_running(CONTAINER_OF(t, struct exchange, ticket), s);
		jobs_expire(route);
	}
	if (route->reactor->jobs.n_unready)
		jobs_prefetch(route);
}

/* ---- other ends than an answer ---- */

static void count(struct exchange *ex, enum outcome outcome)
{
	ex->route->metrics.outcomes[outcome]++;
}

/* Lets go of the ticket. True when the exchange lives on as an orphan: its slot is not free before the
 * container has finished. */
static bool release_ticket(struct exchange *ex)
{
	const struct pool_settings *ps = ex->route->settings;
	switch ((enum ticket_state)ex->ticket.state) {
	case TICKET_NEW:
	case TICKET_OVER:
		return false;
	case TICKET_WAITING:
		ticket_withdraw(&ex->ticket);
		return false;
	case TICKET_RUNNING:
		break;
	}
	if (!ex->upstream) {
		ticket_fail(&ex->ticket);
		return false;
	}
	ticket_abandon(&ex->ticket, ps->on_leave == LEAVE_CLOSE && ps->idle_probe.path);
	upstream_give_up(ex->upstream); /* buries it when nothing was sent yet */
	return true;
}

void exchange_leave(struct exchange *ex)
{
	struct reactor *r = reactor_of(ex);
	count(ex, OUTCOME_LEFT);
	access_log_exchange(r->access_log, ex, "left");
	ex->client->exchange = NULL;
	ex->client = NULL;
	if (!release_ticket(ex))
		exchange_bury(ex);
}

static bool may_come_back(enum problem p)
{
	return problem_status(p) == 503;
}

/* RFC 9209 */
static struct str proxy_status(enum problem p, char line[96])
{
	const char *error = problem_proxy_error(p);
	if (!error)
		return (struct str){ NULL, 0 };
	snprintf(line, 96, "Proxy-Status: berth; error=%s\r\n", error);
	return str_of(line);
}

void exchange_problem(struct exchange *ex, enum problem p, const char *detail)
{
	char line[96];
	struct reactor *r = reactor_of(ex);
	struct client *c = ex->client;
	if (!detail)
		detail = refusal_detail(p);
	count(ex, OUTCOME_PROBLEM);
	ex->route->metrics.problems[p]++;
	ex->status = (uint16_t)problem_status(p);
	access_log_exchange(r->access_log, ex, problem_name(p));
	if (ex->job)
		job_failed(ex->job, detail ? detail : problem_title(p));
	ex->client = NULL;
	bool answering = ex->answering, beating = ex->beating;
	if (!release_ticket(ex))
		exchange_bury(ex);
	if (!c)
		return;
	c->exchange = NULL;
	if (answering)
		client_abort(c);
	else if (beating)
		exchange_problem_event(c, p, detail);
	else
		client_problem(c, p, detail, may_come_back(p) ? route_retry_after_s(ex->route) : 0,
			proxy_status(p, line));
}

/* Back to its old place. queued_us: from when on queue.max_wait counts. False without memory. */
static bool queue_again(struct exchange *ex, const char *reason, uint64_t queued_us)
{
	if (ticket_requeue(&ex->ticket) < 0)
		return false;
	ex->route->metrics.retries++;
	exchange_drop_held(ex);
	if (ex->job) {
		job_queued_again(ex->job, reason);
	} else {
		ex->request->queued_us = queued_us;
		client_watch_wait(ex->client);
	}
	return true;
}

static const char *failure_text(enum failure failure)
{
	switch (failure) {
	case FAILURE_UNDELIVERED:
		return "the container could not be connected";
	case FAILURE_UNCONNECTED:
		return "the container does not accept connections (timeouts.connect is over)";
	case FAILURE_STALE:
		return "the connection had ended before the request was sent";
	case FAILURE_SILENT:
		return "the container could not be reached any more before its answer was complete";
	case FAILURE_LOST:
		return "the container closed the connection before its answer was complete";
	case FAILURE_BAD_ANSWER:
		return "the container's answer cannot be understood";
	}
	return "";
}

/* A job is tried again by its own rule: it was accepted to run at least once, or at most once. */
static bool may_try_again(const struct exchange *ex, enum failure failure)
{
	const struct pool_settings *ps = ex->route->settings;
	enum http_method method = (enum http_method)ex->method;
	uint32_t attempts = exchange_runs(ex);
	if (!ex->job)
		return retry_may(ps->retry, method, failure, attempts, ex->answering);
	if (ps->job_retry == JOB_RETRY_NEVER)
		return failure_is_undelivered(failure);
	return attempts < ps->job_attempts || failure_is_undelivered(failure);
}

/* What most likely never reached a container needs no room in the budget; nor does a job, whose attempts are
 * counted. */
static bool has_room_to_try(const struct exchange *ex, enum failure failure)
{
	struct route *route = ex->route;
	return ex->job || failure_is_undelivered(failure) || failure == FAILURE_STALE ||
		retry_budget_take(&route->retry_budget, route->reactor->io->now_us);
}

void exchange_failed(struct exchange *ex, enum failure failure)
{
	if (failure_is_undelivered(failure) && exchange_runs(ex))
		ex->undelivered++;
	if (may_try_again(ex, failure) && has_room_to_try(ex, failure) &&
		queue_again(ex, failure_text(failure), reactor_of(ex)->io->now_us))
		return;
	exchange_problem(ex, failure == FAILURE_BAD_ANSWER ? PROBLEM_BAD_ANSWER : PROBLEM_CONTAINER_LOST,
		failure_text(failure));
}

static const char no_memory[] = "out of memory for the queue";

void exchange_bounced(struct exchange *ex)
{
	ex->bounces++;
	if (!queue_again(ex, "the container was busy", reactor_of(ex)->io->now_us))
		exchange_problem(ex, PROBLEM_OVERLOADED, no_memory);
}

/* As long as the want lasts it is tried again and again: all of that is one wait. */
void exchange_hindered(struct exchange *ex)
{
	if (exchange_runs(ex))
		ex->undelivered++;
	if (!queue_again(ex, "Berth could not connect to the container", ex->request->queued_us))
		exchange_problem(ex, PROBLEM_OVERLOADED, no_memory);
}

/* ---- jobs ---- */

bool exchange_join(struct exchange *ex)
{
	struct slot *s;
	if (pool_join(&ex->route->pool, &ex->ticket, reactor_of(ex)->io->now_us, &s) < 0) {
		pool_forgo(&ex->ticket);
		return false;
	}
	if (s)
		begin_running(ex, s);
	return true;
}

void exchange_ready(struct exchange *ex)
{
	if (ex->ticket.unready)
		reactor_of(ex)->jobs.n_unready--;
	ex->ticket.unready = false;
}

void exchange_drop(struct exchange *ex)
{
	exchange_ready(ex);
	if (ex->ticket.state == TICKET_NEW && ex->ticket.number) {
		if (exchange_is_aside(ex))
			list_remove(&ex->route->aside, &ex->ticket.entry.node);
		pool_forgo(&ex->ticket);
	}
	if (!release_ticket(ex))
		exchange_bury(ex);
}

void exchange_forget(struct exchange *ex)
{
	ex->client->exchange = NULL;
	ex->client = NULL;
	exchange_bury(ex);
}

void exchange_unload(struct exchange *ex)
{
	exchange_drop_request(ex);
	reactor_of(ex)->jobs.n_unready += !ex->ticket.unready;
	ex->ticket.unready = true;
	ticket_resize(&ex->ticket, exchange_waiting_bytes(ex));
}

void exchange_set_aside(struct exchange *ex)
{
	if (!ex->lent) { /* else the store is reading its request, which it has not committed yet */
		exchange_drop_request(ex);
		reactor_of(ex)->jobs.n_unready += !ex->ticket.unready;
		ex->ticket.unready = true;
	}
	ex->ticket.bytes = exchange_waiting_bytes(ex);
	ticket_set_aside(&ex->ticket);
	(void)upstream_give_back(ex->upstream);
}

struct exchange *exchange_restore(struct route *route, uint64_t number, uint32_t method)
{
	struct reactor *r = route->reactor;
	struct exchange *ex = objpool_get(&r->exchange_pool);
	if (!ex)
		return NULL;
	ex->route = route;
	ex->method = (uint8_t)method;
	if (pool_restore(&route->pool, &ex->ticket, number, sizeof *ex, r->io->now_us) < 0) {
		objpool_put(&r->exchange_pool, ex);
		return NULL;
	}
	r->jobs.n_unready++;
	return ex;
}
