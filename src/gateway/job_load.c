/* job_load: requests of jobs whose turn is far are given up, and read back from the store in pieces. */
#include "base/log.h"
#include "gateway/exchange.h"
#include "gateway/job_parts.h"
#include "gateway/reactor.h"

#include <errno.h>
#include <string.h>

enum { READ_TIGHT = 64 * 1024 }; /* a piece, near limits.memory */

static bool is_tight(const struct reactor *r)
{
	return memory_is_tight(&r->budget, 0);
}

static void on_loaded(void *owner, const struct store_reply *reply);

/* Without memory, or room in a file, it is tried again when its turn comes nearer, and by the timer; anything
 * else is its end. */
static void cannot_load(struct job *job, int err)
{
	struct exchange *ex = job->exchange;
	if (err == -ENOMEM || err == -ENOSPC || err == -ENFILE) {
		if (!job->delayed)
			log_warning("a job's request cannot be read back yet: %s", strerror(-err));
		job->delayed = true;
		exchange_unload(ex);
		return;
	}
	log_warning("a job's request cannot be read back: %s", strerror(-err));
	job_failed(job, "its request cannot be read back from the store");
	job_drop_exchange(ex);
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
	uint32_t max = is_tight(job->table->reactor) ? READ_TIGHT : STORE_READ_MAX;
	const struct request *q = ex->request;
	bool has_all = q && at >= q->body_bytes;
	if (!has_all && !(q && q->body && buffer_is_under_way(q->body)))
		job->loading = store_read(job->table->store, &job->id, at, max, on_loaded, job) == 0;
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
		job_forget_when_told(job);
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
	uint32_t window = is_tight(route->reactor) ? 1 : 2 * pool_slots(p), n = 0;
	for (struct order_entry *e = order_first(&p->queue); e && n < window;
		e = order_next(&p->queue, e), n++) {
		struct exchange *ex = CONTAINER_OF(e, struct exchange, ticket.entry);
		if (ex->ticket.unready && ex->job && !ex->job->loading)
			load_piece(ex->job);
	}
}
