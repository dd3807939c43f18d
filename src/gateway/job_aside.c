/* job_aside: jobs whose start cannot be stored (job.retry: never) wait outside of their queue, in which others would
 * wait behind them, and so do the jobs behind them, for their order. The first is tried again each time that the store
 * is tidied; when that goes well, all come back. */
#include "base/log.h"
#include "gateway/exchange.h"
#include "gateway/job_parts.h"
#include "gateway/reactor.h"

#include <string.h>

static struct exchange *exchange_at(struct list_node *n)
{
	return CONTAINER_OF(n, struct exchange, ticket.entry.node);
}

/* By order number: one that was tried again was the first, and others fail in the order in which they started. */
static void insert(struct list *aside, struct exchange *ex)
{
	struct list_node *after = list_first(aside), *n = &ex->ticket.entry.node;
	if (!after || exchange_at(list_last(aside))->ticket.number < ex->ticket.number) {
		list_push_back(aside, n);
		return;
	}
	while (after && exchange_at(after)->ticket.number < ex->ticket.number)
		after = list_next(aside, after);
	list_insert_before(aside, after, n);
}

void job_set_aside(struct job *job, int err)
{
	struct jobs *j = job->table;
	struct exchange *ex = job->exchange;
	struct list *aside = &ex->route->aside;
	if (list_empty(aside))
		log_warning("pool %s: jobs wait until their start can be stored: %s",
			ex->route->settings->name, strerror(-err));
	job->state = STORE_QUEUED;
	job->changes++;
	exchange_set_aside(ex);
	insert(aside, ex);
	if (j->reactor->draining && j->durable)
		job_leave(job);
}

bool job_is_behind_one_aside(const struct job *job)
{
	struct list_node *first = list_first(&job->exchange->route->aside);
	return first && exchange_at(first)->ticket.number < job->exchange->ticket.number;
}

uint32_t job_position_aside(const struct job *job)
{
	const struct list *aside = &job->exchange->route->aside;
	const struct list_node *own = &job->exchange->ticket.entry.node;
	uint32_t place = 1;
	for (struct list_node *n = list_first(aside); n && n != own; n = list_next(aside, n))
		place++;
	return place;
}

static void come_back(struct exchange *ex)
{
	struct route *route = ex->route;
	list_remove(&route->aside, &ex->ticket.entry.node);
	if (!exchange_join(ex)) {
		job_failed(ex->job, "out of memory for the queue");
		exchange_drop(ex);
	}
	route_pump(route);
}

void jobs_try_aside(struct route *route)
{
	if (!list_empty(&route->aside))
		come_back(exchange_at(list_first(&route->aside)));
}

void jobs_come_back(struct route *route)
{
	if (list_empty(&route->aside))
		return;
	log_info("pool %s: jobs' starts can be stored again", route->settings->name);
	for (uint32_t n = route->aside.len; n && !list_empty(&route->aside);
		n--) /* some may be set aside anew */
		come_back(exchange_at(list_first(&route->aside)));
}

void jobs_leave_aside(struct route *route)
{
	while (!list_empty(&route->aside))
		job_leave(exchange_at(list_first(&route->aside))->job);
}
