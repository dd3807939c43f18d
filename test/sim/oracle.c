#include "oracle.h"

#include "gateway/backend.h"
#include "gateway/client.h"
#include "gateway/exchange.h"
#include "gateway/job_parts.h"
#include "gateway/watch.h"
#include "world.h"

#include <string.h>

enum {
	HEAD_BYTES = 4 * 1024,     /* the longest head of an answer here */
	WINDOW_BYTES = 256 * 1024, /* of a spool file, in memory */
	RESULT_BYTES = 256 * 1024, /* of a job's result that are read at once */
	SEGMENT_BYTES = 16 * 1024, /* the least that a buffer takes for more bytes */
	HEAD_END_BYTES = 64,       /* behind the head of a request whose length was not known */
	TIMER_US = 5000,           /* a timer's grain, and the clock's */
};

void oracle_begin(struct world *w)
{
	for (uint32_t k = 0; k < w->plan.settings.n_pools; k++)
		w->oracle.pools[k].pulse.next_number = 1;
	oracle_follow(w);
}

void oracle_follow(struct world *w)
{
	const struct settings *s = w->reactor->settings;
	for (uint32_t k = 0; k < s->n_pools; k++) {
		w->oracle.pools[k].n_returned = 0; /* they may have run since the last turn */
		for (uint32_t i = 0; i < w->reactor->n_routes; i++) {
			if (w->reactor->routes[i]->settings == &s->pools[k])
				w->oracle.pools[k].route = w->reactor->routes[i];
		}
	}
}

void oracle_slept(struct world *w)
{
	struct oracle *o = &w->oracle;
	uint64_t now_us = world_now_us(w);
	o->slept_us = now_us;
	for (uint32_t k = 0; k < PLAN_POOLS; k++) {
		struct pool_watch *pw = &o->pools[k];
		pw->full_us = pw->full_us ? now_us : 0;
		for (uint32_t i = 0; i < pw->n_containers; i++)
			pw->containers[i].probe_due_us = UINT64_MAX;
		pw->hopeless_us = pw->trouble_us =
			now_us; /* its time-outs are over, whatever containers do */
	}
	o->refused_us = o->refused_us ? now_us : 0;
	o->turned_away_us = o->turned_away_us ? now_us : 0;
	o->struck_us = o->struck_us ? now_us : 0;
}

void oracle_trouble(struct world *w, uint32_t pool)
{
	w->oracle.pools[pool].trouble_us = world_now_us(w);
}

/* ---- I4 ---- */

static struct ticket *ticket_of(struct order_entry *e)
{
	return CONTAINER_OF(e, struct ticket, entry);
}

/* The lowest number among those that have waited all through this turn. */
static uint64_t first_patient(const struct pool_watch *pw, const struct pool *p, uint64_t now_us)
{
	uint64_t first = UINT64_MAX;
	for (struct order_entry *e = order_first(&p->queue); e && first == UINT64_MAX;
		e = order_next(&p->queue, e)) {
		const struct ticket *t = ticket_of(e);
		if (t->attempts == 0 && t->admitted_us < now_us)
			first = t->number;
	}
	for (uint32_t i = 0; i < pw->n_returned; i++) {
		struct order_entry *e = order_first(&p->queue);
		while (e && ticket_of(e)->number < pw->returned[i])
			e = order_next(&p->queue, e);
		if (e && ticket_of(e)->number == pw->returned[i] && pw->returned[i] < first &&
			ticket_of(e)->dispatched_us < now_us) /* else it ran in this turn, and failed */
			first = pw->returned[i];
	}
	return first;
}

/* Containers have come or gone: each keeps its watch, which has the container's place in the pool. */
static void follow_containers(struct pool_watch *pw, const struct pool *p)
{
	struct container_watch kept[ORACLE_CONTAINERS];
	CHECK(p->n_containers <= ORACLE_CONTAINERS);
	for (uint32_t i = 0; i < p->n_containers; i++) {
		kept[i] = (struct container_watch){ .id = p->containers[i]->id, .probe_due_us = UINT64_MAX };
		for (uint32_t k = 0; k < pw->n_containers; k++) {
			if (pw->containers[k].id == kept[i].id)
				kept[i] = pw->containers[k];
		}
	}
	memcpy(pw->containers, kept, p->n_containers * sizeof *kept);
	pw->n_containers = p->n_containers;
	pw->next_id = p->next_id;
}

/* Free all through this turn, as far as anybody can tell at its end. */
static bool was_available(const struct container *c, const struct container_watch *cw)
{
	return c->available && cw->available && c->requests == cw->requests &&
		c->retry_at_us == cw->retry_at_us; /* it has not begun to rest */
}

static bool has_been_at(const struct tries *tries, uint32_t id)
{
	for (uint32_t i = 0; i < tries->n; i++) {
		if (tries->ids[i] == id)
			return true;
	}
	return false;
}

/* The ticket may have been given to c in this turn. */
static void check_tries(
	struct world *w, struct pool_watch *pw, const struct pool *p, const struct ticket *t, uint32_t id)
{
	struct tries *tries = &pw->tries[t->number % ORACLE_TRIES];
	if (tries->number != t->number)
		*tries = (struct tries){ .number = t->number };
	if (tries->n && t->attempts == tries->n)
		tries->ids[tries->n - 1] = id; /* another one, if it was set aside in between */
	if (t->attempts != tries->n + 1 || tries->n > TICKET_AVOIDS)
		return; /* nothing new; or too much, for not all of its tries are known */
	for (uint32_t i = 0; i < p->n_containers && has_been_at(tries, id); i++) {
		const struct container *other = p->containers[i];
		VERIFY(w, !was_available(other, &pw->containers[i]) || has_been_at(tries, other->id),
			"number %llu is tried on container %u again while %u is free",
			(unsigned long long)t->number, id, other->id);
	}
	tries->ids[tries->n++] = id;
}

static void check_order(struct world *w, struct pool_watch *pw, const struct pool *p)
{
	uint64_t patient = order_len(&p->queue) ? first_patient(pw, p, world_now_us(w)) : UINT64_MAX;
	for (uint32_t i = 0; i < p->n_containers; i++) {
		struct container *c = p->containers[i];
		struct container_watch *cw = &pw->containers[i];
		for (uint32_t k = 0; k < c->n_slots; k++) {
			const struct ticket *t = c->slot[k].ticket;
			uint64_t number = t ? t->number : 0;
			if (t)
				check_tries(w, pw, p, t, c->id);
			if (number == cw->on_slot[k])
				continue;
			VERIFY(w, number < patient, "I4: number %llu runs while %llu waits",
				(unsigned long long)number, (unsigned long long)patient);
			cw->on_slot[k] = number;
		}
	}
	pw->n_returned = 0;
	for (struct order_entry *e = order_first(&p->queue); e && pw->n_returned < ORACLE_RETURNED;
		e = order_next(&p->queue, e)) {
		if (ticket_of(e)->attempts == 0)
			break; /* those that came back stand first, but for what was admitted before them */
		pw->returned[pw->n_returned++] = ticket_of(e)->number;
	}
}

/* The token of the request that an exchange carries; UINT32_MAX when it has given it up. */
static uint32_t token_of(struct world *w, const struct exchange *ex)
{
	const struct request *q = ex->request;
	struct str line = q ? (struct str){ q->text, q->head_bytes } : STR("");
	(void)str_cut(&line, '?');
	return ledger_token(&w->ledger, str_cut(&line, ' '));
}

/* A job that has entered the queue in this turn must be told this place, if nothing else moved. */
static void note_position(
	struct world *w, const struct pool_pulse *before, const struct pool_pulse *now, const struct pool *p)
{
	struct ticket *entered = NULL;
	uint32_t n = 0, rank = 0, at = 0;
	if (now->reserved + 1 != before->reserved || now->started != before->started ||
		now->next_number != before->next_number || now->retries != before->retries ||
		now->waiting != before->waiting)
		return;
	for (struct order_entry *e = order_first(&p->queue); e; e = order_next(&p->queue, e)) {
		at++;
		if (ticket_of(e)->admitted_us != world_now_us(w) || ticket_of(e)->attempts)
			continue;
		entered = ticket_of(e);
		rank = at;
		n++;
	}
	uint32_t token = n == 1 ? token_of(w, CONTAINER_OF(entered, struct exchange, ticket)) : UINT32_MAX;
	if (token != UINT32_MAX)
		ledger_at(&w->ledger, token)->position = rank;
}

/* ---- reasons for refusals ---- */

/* Whatever was sent there in an earlier turn, and is not over. A job whose start is being committed has yet
 * to be sent. */
static bool is_at_work(const struct slot *s, uint64_t now_us)
{
	const struct upstream *u = upstream_of(s);
	bool sent = s->state == SLOT_ZOMBIE || (s->state == SLOT_BUSY && u->phase != UPSTREAM_IDLE);
	return sent && u->asked_us < now_us;
}

/* A health check is sent only where nothing is in flight. */
static void check_probes(const struct world *w, const struct container *c)
{
	uint64_t now_us = world_now_us(w);
	for (uint32_t i = 0; i < c->n_slots; i++) {
		const struct upstream *u = upstream_of(&c->slot[i]);
		if (c->slot[i].state != SLOT_BUSY || u->probe != PROBE_HEALTH || u->asked_us != now_us)
			continue;
		for (uint32_t k = 0; k < c->n_slots; k++)
			VERIFY(w, k == i || !is_at_work(&c->slot[k], now_us),
				"container %u is sent a health check while it is busy", c->id);
	}
}

/* A container that lies idle is sent one within the interval and its jitter, also where a reload has brought
 * health checks or shorter intervals meanwhile. */
static void check_due(const struct world *w, const struct pool_watch *pw, struct container_watch *cw,
	const struct container *c)
{
	const struct health_settings *h = &pw->route->settings->health;
	uint64_t now_us = world_now_us(w), due_us = now_us + h->interval_us + h->interval_us / 10 + TIMER_US;
	if (!h->path || c->state != CONTAINER_UP || !c->slots[SLOT_FREE].len ||
		c->slots[SLOT_CONNECTING].len || container_in_flight(c)) {
		cw->probe_due_us = UINT64_MAX;
		return;
	}
	bool struck = w->sim->faults.struck != w->oracle.struck || w->oracle.struck_us == now_us;
	if (c->failures != cw->failures || struck) /* a check that could not be sent may be the reason */
		cw->probe_due_us = due_us;
	cw->failures = c->failures;
	VERIFY(w, now_us <= cw->probe_due_us, "container %u is not sent the health check that is due", c->id);
	if (due_us < cw->probe_due_us)
		cw->probe_due_us = due_us;
}

static void note_reasons(
	struct world *w, struct pool_watch *pw, const struct pool_pulse *now, const struct pool *p)
{
	const struct pool_limits *l = &p->limits;
	const struct pool_pulse *before = &pw->pulse;
	uint64_t now_us = world_now_us(w), admitted = now->next_number - before->next_number;
	uint64_t returned = now->retries - before->retries;
	/* as many may have waited in the course of the turn; a request is told off for its head's sake too */
	if (before->waiting + admitted + returned >= l->queue_max || now->waiting >= l->queue_max ||
		l->queue_max_bytes <= 1 << 20)
		pw->full_us = now_us;
	/* each is down now, or was at the end of the last turn: all may have been at once */
	bool hopeless = true;
	for (uint32_t i = 0; i < p->n_containers; i++) {
		struct container_watch *cw = &pw->containers[i];
		bool down = p->containers[i]->state == CONTAINER_DOWN;
		if (container_in_flight(p->containers[i]) > 1)
			check_probes(w, p->containers[i]);
		check_due(w, pw, cw, p->containers[i]);
		hopeless &= down || cw->down;
		cw->down = down;
		cw->available = p->containers[i]->available;
		cw->requests = p->containers[i]->requests;
		cw->retry_at_us = p->containers[i]->retry_at_us;
	}
	if (hopeless)
		pw->hopeless_us = now_us;
}

/* Something that the machine did not give may be the reason of whatever a want can be the reason of. */
static void note_faults(struct world *w)
{
	struct oracle *o = &w->oracle;
	o->struck = w->sim->faults.struck;
	o->struck_us = o->refused_us = o->turned_away_us = world_now_us(w);
	for (uint32_t k = 0; k < PLAN_POOLS; k++)
		o->pools[k].full_us = o->pools[k].trouble_us = world_now_us(w);
}

/* There are more clients than may be, or may have been in the course of this turn. */
static bool is_crowded(const struct world *w)
{
	const struct reactor *r = w->reactor;
	uint64_t most = w->oracle.clients + r->metrics.connections - w->oracle.connections;
	return most > r->settings->max_connections || r->settings->max_connections_per_address;
}

void oracle_note_refusals(struct world *w)
{
	struct oracle *o = &w->oracle;
	uint64_t refused = w->reactor->budget.refused, failures = w->sim->disk.failures;
	if (w->sim->faults.struck != o->struck)
		note_faults(w);
	if (refused != o->refused || failures != o->disk_failures)
		o->refused_us = world_now_us(w);
	if (w->reactor->metrics.refused_connections != o->turned_away && is_crowded(w))
		o->turned_away_us = world_now_us(w);
	o->turned_away = w->reactor->metrics.refused_connections;
	o->clients = w->reactor->clients.len;
	o->connections = w->reactor->metrics.connections;
	o->refused = refused;
	o->disk_failures = failures;
}

/* ---- I7 ---- */

/* Of jobs' answers, what is on its way to their files. */
static uint64_t answers_under_way_bytes(const struct reactor *r)
{
	uint64_t bytes = 0;
	for (uint32_t i = 0; i < r->jobs.n_buckets; i++) {
		for (const struct job *job = r->jobs.buckets[i]; job; job = job->next)
			bytes += job->answer ? job->answer->body.size - job->answer->body.written : 0;
	}
	return bytes;
}

/* Of a job's request, what memory is not asked for: a short one, and what of a long one is on its way to its
 * file. A container may run one on that nobody waits for any more. */
static uint64_t read_back_bytes(const struct exchange *ex)
{
	const struct request *q = ex->request;
	bool may_be_jobs = ex->job || !ex->client;
	if (!may_be_jobs || !q)
		return 0;
	return q->cap + (q->body ? q->body->size - q->body->written : 0);
}

/* Of requests of jobs that wait. */
static uint64_t waiting_read_back_bytes(const struct reactor *r)
{
	uint64_t bytes = 0;
	for (uint32_t i = 0; i < r->n_routes; i++) {
		const struct order *queue = &r->routes[i]->pool.queue;
		for (struct order_entry *e = order_first(queue); e; e = order_next(queue, e))
			bytes += read_back_bytes(CONTAINER_OF(e, struct exchange, ticket.entry));
	}
	return bytes;
}

/* What may be kept past memory_limit, so that what has begun can go on: windows into spool files, what jobs need
 * to run and to end, and for each slot a piece of an answer with its head. */
static uint64_t memory_allowance(const struct reactor *r, uint32_t piece_bytes)
{
	uint64_t bytes = answers_under_way_bytes(r) + waiting_read_back_bytes(r);
	list_for_each (n, &r->clients) {
		const struct client *c = CONTAINER_OF(n, struct client, node);
		bytes += c->out && c->out->buffer.window ? WINDOW_BYTES : 0;
		bytes += c->watch && c->watch->begun ? RESULT_BYTES : 0;
	}
	for (uint32_t i = 0; i < r->n_routes; i++) {
		const struct pool *p = &r->routes[i]->pool;
		for (uint32_t k = 0; k < p->n_containers; k++) {
			for (uint32_t s = 0; s < p->containers[k]->n_slots; s++) {
				const struct exchange *ex = upstream_of(&p->containers[k]->slot[s])->exchange;
				bytes += piece_bytes + HEAD_BYTES + (ex ? read_back_bytes(ex) : 0);
				const struct buffer *body = ex ? ex->request->body : NULL;
				bytes += body && body->window ? WINDOW_BYTES : 0;
			}
		}
	}
	return bytes;
}

/* Of what is kept, that for which limits.memory is not asked: bytes on their way to clients (a segment is
 * given back as a whole) or from containers to spool files, windows into such files, requests that were read
 * back from the store. */
static uint64_t unasked_bytes(const struct reactor *r, uint32_t piece_bytes)
{
	uint64_t bytes = (uint64_t)r->exchange_pool.used * HEAD_END_BYTES + answers_under_way_bytes(r) +
		waiting_read_back_bytes(r);
	list_for_each (n, &r->clients) {
		const struct client *c = CONTAINER_OF(n, struct client, node);
		if (c->out)
			bytes += buffer_left(&c->out->buffer) + c->out->buffer.window_cap + SEGMENT_BYTES +
				piece_bytes;
	}
	for (uint32_t i = 0; i < r->n_routes; i++) {
		const struct pool *p = &r->routes[i]->pool;
		for (uint32_t k = 0; k < p->n_containers; k++) {
			for (uint32_t s = 0; s < p->containers[k]->n_slots; s++) {
				const struct exchange *ex = upstream_of(&p->containers[k]->slot[s])->exchange;
				const struct request *q = ex ? ex->request : NULL;
				bytes += HEAD_BYTES + (ex ? read_back_bytes(ex) : 0);
				bytes += q && q->body ? q->body->window_cap : 0;
			}
		}
	}
	return bytes;
}

/* Results whose beginning is being read for clients: they are read when there is room for them. */
static uint64_t results_begun_bytes(const struct reactor *r)
{
	uint64_t bytes = 0;
	list_for_each (n, &r->clients) {
		const struct watch *watch = CONTAINER_OF(n, struct client, node)->watch;
		if (watch && watch->kind == WATCH_RESULT && watch->asking && !watch->begun)
			bytes += RESULT_BYTES;
	}
	return bytes;
}

static void check_memory(const struct world *w)
{
	const struct reactor *r = w->reactor;
	uint64_t used = r->budget.memory_used,
		 limit = plan_larger(w->plan.settings.memory_limit_bytes, w->plan.other.memory_limit_bytes);
	uint32_t piece_bytes = w->plan.container_wire.piece_max;
	if (used > limit) {
		VERIFY(w, used <= limit + memory_allowance(r, piece_bytes), "I7: %llu bytes in memory",
			(unsigned long long)used);
		VERIFY(w, used <= limit + unasked_bytes(r, piece_bytes),
			"I7: %llu bytes in memory, of which %llu needed no room", (unsigned long long)used,
			(unsigned long long)unasked_bytes(r, piece_bytes));
	}
	if (r->jobs.asked_bytes > limit)
		VERIFY(w, results_begun_bytes(r) <= limit, "I7: %llu bytes of results are asked for",
			(unsigned long long)results_begun_bytes(r));
}

/* Of jobs: requests that were read back, and answers. */
static uint64_t job_file_bytes(const struct reactor *r)
{
	uint64_t bytes = 0;
	for (uint32_t i = 0; i < r->jobs.n_buckets; i++) {
		for (const struct job *job = r->jobs.buckets[i]; job; job = job->next) {
			const struct request *q = job->exchange ? job->exchange->request : NULL;
			bytes += q && q->body ? q->body->size : 0;
			bytes += job->answer ? job->answer->body.size : 0;
		}
	}
	return bytes;
}

static void check_limits(struct world *w)
{
	const struct reactor *r = w->reactor;
	const struct settings *s = &w->plan.settings, *other = &w->plan.other;
	const struct budget *b = &r->budget;
	uint64_t spool_max = plan_larger(s->spool_max_bytes, other->spool_max_bytes);
	uint64_t clients_max = plan_larger(s->max_connections, other->max_connections) + REFUSED_CLIENTS;
	uint32_t piece_bytes = w->plan.container_wire.piece_max;
	check_memory(w);
	/* an answer that runs when the limit is met brings another piece before it is paused; jobs are old work */
	VERIFY(w,
		b->spool_used <= spool_max ||
			b->spool_used <= spool_max + memory_allowance(r, piece_bytes) + job_file_bytes(r) +
					r->clients.len * RESULT_BYTES,
		"I7: spool files hold %llu bytes", (unsigned long long)b->spool_used);
	VERIFY(w, r->jobs.count <= plan_larger(s->jobs_max, other->jobs_max), "I7: %u jobs", r->jobs.count);
	VERIFY(w, r->clients.len <= clients_max, "I7: %u clients", r->clients.len);
}

static struct pool_pulse pulse_of(const struct route *route)
{
	const struct pool *p = &route->pool;
	return (struct pool_pulse){
		.next_number = p->next_number,
		.started = p->started,
		.finished = p->finished,
		.retries = route->metrics.retries,
		.reserved = p->reserved,
		.waiting = order_len(&p->queue) + p->reserved,
		.serving = p->serving.len,
		.lacking = p->lacking.len,
	};
}

/* Its slots and its queue are walked when something has moved, and from time to time. */
static void watch_pool(struct world *w, struct pool_watch *pw)
{
	const struct pool *p = &pw->route->pool;
	struct pool_pulse now = pulse_of(pw->route);
	if (p->n_containers != pw->n_containers || p->next_id != pw->next_id)
		follow_containers(pw, p);
	if (memcmp(&now, &pw->pulse, sizeof now) || w->sim->turns % ORACLE_TURNS == 0) {
		check_order(w, pw, p);
		pool_check(p);
		note_position(w, &pw->pulse, &now, p);
	}
	note_reasons(w, pw, &now, p);
	pw->pulse = now;
}

void oracle_turn(struct world *w)
{
	for (uint32_t k = 0; k < w->plan.settings.n_pools; k++)
		watch_pool(w, &w->oracle.pools[k]);
	oracle_note_refusals(w);
	check_limits(w);
}

/* ---- I8 ---- */

/* Up, and nothing is done there but a health check perhaps. */
static bool is_idle(const struct container *c)
{
	uint32_t checks = 0;
	for (uint32_t i = 0; i < c->n_slots; i++)
		checks += c->slot[i].probing;
	return c->state == CONTAINER_UP &&
		c->slots[SLOT_FREE].len + c->slots[SLOT_DOWN].len + checks == c->n_slots;
}

bool oracle_is_quiet(const struct world *w)
{
	const struct reactor *r = w->reactor;
	if (r->exchange_pool.used || r->client_pool.used || r->jobs.count || r->budget.memory_used ||
		r->budget.spool_used)
		return false;
	for (uint32_t i = 0; i < r->n_routes; i++) {
		const struct pool *p = &r->routes[i]->pool;
		for (uint32_t k = 0; k < p->n_containers; k++) {
			if (!is_idle(p->containers[k]))
				return false;
		}
	}
	return true;
}

void oracle_check_quiet(struct world *w)
{
	const struct reactor *r = w->reactor;
	VERIFY(w, r->exchange_pool.used == 0, "I8: %u exchanges are left", r->exchange_pool.used);
	VERIFY(w, r->clients.len == 0 && r->client_pool.used == 0, "I8: %u clients are left", r->clients.len);
	VERIFY(w, r->budget.memory_used == 0, "I8: %llu bytes are left in memory",
		(unsigned long long)r->budget.memory_used);
	VERIFY(w, r->budget.spool_used == 0, "I8: %llu bytes are left in files",
		(unsigned long long)r->budget.spool_used);
	VERIFY(w, r->jobs.count == 0 && r->jobs.answer_bytes == 0, "I8: %u jobs are left", r->jobs.count);
	for (uint32_t k = 0; k < w->plan.settings.n_pools; k++) {
		const struct pool *p = &w->oracle.pools[k].route->pool;
		VERIFY(w, order_len(&p->queue) == 0 && p->queue_bytes == 0, "I8: %u wait",
			order_len(&p->queue));
		for (uint32_t i = 0; i < p->n_containers; i++) {
			const struct container *c = p->containers[i];
			VERIFY(w, is_idle(c),
				"I8: container %u is in state %d with %u busy, %u zombie, %u connecting", i,
				c->state, c->slots[SLOT_BUSY].len, c->slots[SLOT_ZOMBIE].len,
				c->slots[SLOT_CONNECTING].len);
		}
	}
}
