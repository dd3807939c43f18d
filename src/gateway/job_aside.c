/* job_aside: jobs whose start cannot be stored (job.retry: never) wait outside of their queues, in which others would
 * wait behind them. One is tried again each time that the store is tidied; when that goes well, all come back. */
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
	if (list_empty(&j->aside))
		log_warning("jobs wait until their start can be stored: %s", strerror(-err));
	job->state = STORE_QUEUED;
	job->changes++;
	exchange_set_aside(ex);
	insert(&j->aside, ex);
	if (j->reactor->draining && j->durable)
		job_leave(job);
}

static void come_back(struct jobs *j, struct exchange *ex)
{
	struct route *route = ex->route;
	list_remove(&j->aside, &ex->ticket.entry.node);
	if (!exchange_join(ex)) {
		job_failed(ex->job, "out of memory for the queue");
		exchange_drop(ex);
	}
	route_pump(route);
}

void jobs_try_aside(struct jobs *j)
{
	if (!list_empty(&j->aside))
		come_back(j, exchange_at(list_first(&j->aside)));
}

void jobs_come_back(struct jobs *j)
{
	if (list_empty(&j->aside))
		return;
	log_info("jobs' starts can be stored again");
	for (uint32_t n = j->aside.len; n && !list_empty(&j->aside); n--) /* some may be set aside anew */
		come_back(j, exchange_at(list_first(&j->aside)));
}

void jobs_leave_aside(struct jobs *j)
{
	while (!list_empty(&j->aside))
		job_leave(exchange_at(list_first(&j->aside))->job);
}
