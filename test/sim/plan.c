#include "plan.h"

#include <arpa/inet.h>
#include <stdio.h>

enum { MS = 1000, SECOND = 1000000 };

static uint32_t between(struct rand *r, uint32_t least, uint32_t most)
{
	return least + (uint32_t)rand_below(r, most - least + 1);
}

/* Evenly over orders of magnitude. */
static uint32_t spread(struct rand *r, uint32_t least, uint32_t most)
{
	uint32_t top = least;
	for (uint64_t n = rand_below(r, 32); n && top < most; n--)
		top = top * 2 > most ? most : top * 2 + 1;
	return between(r, least, top);
}

static bool coin(struct rand *r)
{
	return rand_below(r, 2) == 0;
}

/* A chance of up to most_ppm, with even odds 0. */
static uint32_t some(struct rand *r, uint32_t most_ppm)
{
	return coin(r) ? 0 : spread(r, 1, most_ppm);
}

static struct io_addr local_addr(uint16_t port)
{
	struct io_addr a = { .len = sizeof a.in };
	a.in.sin_family = AF_INET;
	a.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	a.in.sin_port = htons(port);
	return a;
}

/* ---- settings ---- */

/* The containers know both: the first is answered 200 in any case, the second by its status. */
static void draw_idle_probe(struct pool_settings *ps, struct rand *r)
{
	ps->idle_probe = coin(r) ? (struct idle_probe_settings){ "/idle", "idle" }
				 : (struct idle_probe_settings){ "/free", NULL };
}

static void draw_pool(struct plan *p, struct rand *r, uint32_t index)
{
	struct pool_settings *ps = &p->pools[index];
	pool_settings_default(ps);
	ps->name = index ? "second" : "first";
	ps->path_prefix = index ? "/b" : "/";
	ps->submit_path = index ? "/b/new_request" : "/new_request";
	ps->submit_forward = index ? "/b/run_model" : "/run_model";
	ps->containers = p->containers[index];
	ps->n_containers = between(r, 1, PLAN_CONTAINERS);
	ps->slots = coin(r) ? 1 : between(r, 1, 4);
	for (uint32_t i = 0; i < ps->n_containers; i++) {
		struct container_settings *cs = &ps->containers[i];
		snprintf(cs->name, sizeof cs->name, "container%u", index * PLAN_CONTAINERS + i + 1);
		cs->addr = local_addr((uint16_t)(PLAN_CONTAINER_PORT + index * PLAN_CONTAINERS + i));
	}
	ps->queue_max = coin(r) ? 10000 : spread(r, 1, 64);
	ps->queue_max_bytes = coin(r) ? 256u << 20 : spread(r, 1 << 10, 1 << 20);
	ps->queue_max_wait_us = spread(r, 200 * MS, 20 * SECOND);
	ps->retry = (enum retry_rule)rand_below(r, 3);
	if (coin(r)) {
		ps->busy_status = 503;
		ps->busy_header = "Berth-Busy";
	}
	if (coin(r)) {
		ps->on_leave = coin(r) ? LEAVE_CLOSE : LEAVE_FINISH;
		draw_idle_probe(ps, r);
	}
	ps->job_retry = (enum job_retry)rand_below(r, 2);
	ps->job_attempts = between(r, 1, 5);
	ps->job_ttl_us = coin(r) ? 0 : spread(r, SECOND, 30 * SECOND);
	ps->retry_percent = between(r, 0, 100);
	ps->retry_min = between(r, 0, 20);
	ps->retry_buffer_bytes = spread(r, 0, 64 << 10);
	ps->zombie_timeout_us = spread(r, 500 * MS, 10 * SECOND);
	ps->health.path = coin(r) ? "/health" : NULL;
	ps->health.interval_us = spread(r, 20 * MS, 2 * SECOND);
	ps->health.timeout_us = spread(r, 200 * MS, SECOND);
	ps->health.fall = between(r, 1, 3);
	ps->health.backoff_min_us = spread(r, 20 * MS, 200 * MS);
	ps->health.backoff_max_us = spread(r, 500 * MS, 3 * SECOND);
	ps->timeouts.connect_us = spread(r, 50 * MS, SECOND);
	ps->timeouts.first_byte_us = spread(r, 500 * MS, 8 * SECOND);
	ps->timeouts.idle_us = spread(r, 500 * MS, 5 * SECOND);
	ps->timeouts.total_us = spread(r, 2 * SECOND, 15 * SECOND);
}

static void draw_settings(struct plan *p, struct rand *r)
{
	struct settings *s = &p->settings;
	settings_default(s);
	p->listen = local_addr(PLAN_FRONT_PORT);
	s->listen = &p->listen;
	s->n_listen = 1;
	s->pools = p->pools;
	s->n_pools = between(r, 1, PLAN_POOLS);
	for (uint32_t i = 0; i < s->n_pools; i++)
		draw_pool(p, r, i);
	s->max_connections = coin(r) ? 1000 : between(r, 1, 64);
	s->max_connections_per_address = between(r, 0, 3) ? 0 : between(r, 1, 4);
	s->max_head_bytes = spread(r, 1 << 10, 16 << 10);
	s->body_memory_bytes = spread(r, 1 << 10, 1 << 20);
	s->max_body_bytes = 8 << 20;
	s->memory_limit_bytes = coin(r) ? 1u << 30 : spread(r, 512 << 10, 16 << 20);
	s->spool_max_bytes = coin(r) ? 1u << 30 : spread(r, 64 << 10, 4 << 20);
	s->client_head_us = spread(r, 200 * MS, 5 * SECOND);
	s->client_body_us = spread(r, 200 * MS, 5 * SECOND);
	s->client_idle_us = spread(r, 500 * MS, 10 * SECOND);
	s->client_send_us = spread(r, 500 * MS, 5 * SECOND);
	s->jobs_max = coin(r) ? 10000 : between(r, 1, 50);
	s->jobs_max_records = coin(r) ? 1000 : between(r, 1, 100);
	s->jobs_max_bytes = coin(r) ? 256u << 20 : spread(r, 4 << 10, 256 << 10);
	s->jobs_max_result_bytes = coin(r) ? 64u << 20 : spread(r, 1 << 10, 256 << 10);
	s->jobs_max_age_us = spread(r, SECOND, 20 * SECOND);
	s->jobs_record_age_us = s->jobs_max_age_us + spread(r, 1, 20 * SECOND);
	s->jobs_key_age_us = s->jobs_record_age_us;
	s->drain_timeout_us = spread(r, 500 * MS, 30 * SECOND);
	s->half_close_waits = coin(r);
}

/* Limits and time-outs that a well-behaved load does not meet. */
static void calm_settings(struct plan *p)
{
	struct settings *s = &p->settings;
	s->max_connections = 1000;
	s->max_connections_per_address = 0;
	s->memory_limit_bytes = s->spool_max_bytes = 1u << 30;
	s->jobs_max = 10000;
	s->jobs_max_records = 1000; /* more than there are exchanges */
	s->jobs_max_bytes = 256u << 20;
	s->jobs_max_result_bytes = 64u << 20;
	s->jobs_max_age_us = s->jobs_record_age_us = 60 * SECOND;
	s->client_head_us = s->client_body_us = s->client_idle_us = s->client_send_us = 60 * SECOND;
	for (uint32_t i = 0; i < s->n_pools; i++) {
		struct pool_settings *ps = &p->pools[i];
		ps->queue_max = 10000;
		ps->queue_max_bytes = 256u << 20;
		ps->queue_max_wait_us = 60 * SECOND;
		ps->job_ttl_us = 0;
		ps->timeouts = (struct timeout_settings){
			.connect_us = SECOND,
			.first_byte_us = 60 * SECOND,
			.idle_us = 60 * SECOND,
			.total_us = 120 * SECOND,
		};
		ps->health.timeout_us = SECOND;
	}
}

/* ---- the network ---- */

static void draw_wire(struct wire_traits *t, struct rand *r, bool bulky)
{
	t->latency_min_us = spread(r, 1, 500);
	t->latency_max_us = t->latency_min_us + spread(r, 1, coin(r) ? 100 : 20 * MS);
	t->room_bytes = 1u << between(r, bulky ? 14 : 9, 18);
	t->piece_max = bulky || coin(r) ? 64 << 10 : spread(r, 16, 16 << 10);
	t->tear_ppm = some(r, 500000);
	t->short_send_ppm = some(r, 300000);
	t->reset_drops_ppm = coin(r) ? 0 : 500000;
}

/* ---- clients ---- */

static void draw_client(struct client_plan *c, struct rand *r, bool bulky)
{
	*c = (struct client_plan){
		.clients = spread(r, 1, 60),
		.exchanges = between(r, 50, bulky ? 80 : 350),
		.per_connection_max = spread(r, 1, 200),
		.think_max_us = spread(r, 10, 20 * MS),
		.body_ppm = (uint32_t)rand_below(r, 1000000),
		.body_max = spread(r, 16, 3000),
		.big_body_ppm = bulky ? 100000 : some(r, 20000),
		.big_body_max = bulky ? 3 << 20 : 200 << 10,
		.chunked_ppm = some(r, 500000),
		.pipeline_ppm = some(r, 300000),
		.old_ppm = some(r, 200000),
		.head_ppm = some(r, 100000),
		.expect_ppm = some(r, 300000),
		.close_ppm = some(r, 200000),
		.submit_ppm = some(r, 500000),
		.async_ppm = some(r, 300000),
		.own_ppm = some(r, 100000),
		.cancel_ppm = some(r, 200000),
		.events_ppm = some(r, 300000),
		.drip_ppm = some(r, 200000),
		.drip_piece_max = spread(r, 1, 4000),
		.drip_pause_max_us = spread(r, 10, 5 * MS),
		.slow_ppm = some(r, 200000),
		.slow_pause_max_us = spread(r, 100, 20 * MS),
	};
	if (bulky)
		c->drip_piece_max = 64 << 10;
}

static void draw_client_faults(struct client_plan *c, struct rand *r)
{
	c->max_wait_ppm = some(r, 300000);
	c->bad_ppm = some(r, 200000);
	c->stall_ppm = some(r, 50000);
	c->leave_ppm = some(r, 400000);
	c->vanish_ppm = some(r, 300000);
	c->stuck_ppm = some(r, 50000);
}

/* ---- containers ---- */

static void draw_container(struct container_plan *c, struct rand *r, bool bulky)
{
	*c = (struct container_plan){
		.service_min_us = spread(r, 1, 2 * MS),
		.answer_max = spread(r, 1, 3000),
		.big_answer_ppm = bulky ? 100000 : some(r, 20000),
		.big_answer_max = bulky ? 3 << 20 : 200 << 10,
		.chunked_ppm = some(r, 500000),
		.close_framed_ppm = some(r, 200000),
		.interim_ppm = some(r, 200000),
		.early_ppm = some(r, 100000),
		.empty_ppm = some(r, 100000),
		.status_ppm = some(r, 200000),
		.close_ppm = some(r, 200000),
		.busy_ppm = some(r, 300000),
		.drip_ppm = some(r, 200000),
		.drip_piece_max = bulky ? 64 << 10 : spread(r, 1, 4000),
		.drip_pause_max_us = spread(r, 10, 2 * MS),
	};
	c->service_max_us = c->service_min_us + spread(r, 1, coin(r) ? 3 * MS : 50 * MS);
}

static void draw_container_faults(struct container_plan *c, struct rand *r)
{
	c->idle_close_ppm = some(r, 500000);
	c->idle_close_max_us = spread(r, 1, 100 * MS);
	c->close_first_ppm = some(r, 100000);
	c->cut_ppm = some(r, 100000);
	c->nonsense_ppm = some(r, 50000);
	c->bad_chunk_ppm = some(r, 100000);
	c->extra_ppm = some(r, 100000);
	c->hang_ppm = some(r, 10000);
	c->refuse_ppm = some(r, 200000);
	c->hang_dial_ppm = some(r, 50000);
	c->death_every_us = coin(r) ? 0 : spread(r, 20 * MS, 5 * SECOND);
	c->away_max_us = spread(r, MS, 3 * SECOND);
	c->vanish_ppm = some(r, 300000);
	c->unready_ppm = some(r, 300000);
	c->probe_odd_ppm = some(r, 500000);
}

/* ---- another configuration ---- */

static void draw_other_pool(struct plan *p, struct rand *r, uint32_t index)
{
	const struct pool_settings *first = &p->pools[index];
	struct pool_settings *ps = &p->other_pools[index];
	*ps = *first;
	ps->containers = p->other_containers[index];
	ps->n_containers = 0;
	for (uint32_t i = 0; i < first->n_containers; i++) {
		if (coin(r) || (i + 1 == first->n_containers && ps->n_containers == 0))
			ps->containers[ps->n_containers++] = first->containers[i];
	}
	if (between(r, 0, 3) == 0)
		ps->slots = between(r, 1, 4);
	ps->queue_max = coin(r) ? first->queue_max : spread(r, 1, 64);
}

static void draw_other(struct plan *p, struct rand *r)
{
	p->other = p->settings;
	p->other.pools = p->other_pools;
	for (uint32_t i = 0; i < p->settings.n_pools; i++)
		draw_other_pool(p, r, i);
}

static void vary_health(struct health_settings *h, struct rand *r)
{
	static const char *const paths[] = { NULL, "/health", "/ready" };
	if (coin(r))
		h->path = paths[rand_below(r, ARRAY_LEN(paths))];
	if (coin(r))
		h->interval_us = coin(r) ? 3600 * (uint64_t)SECOND : spread(r, 20 * MS, 2 * SECOND);
	if (rand_below(r, 8) == 0) {
		h->backoff_min_us = spread(r, SECOND, 2000 * SECOND);
		h->backoff_max_us = h->backoff_min_us + spread(r, 1, 2000 * SECOND);
	}
}

static void vary_leave(struct pool_settings *ps, struct rand *r)
{
	ps->on_leave = LEAVE_FINISH;
	ps->idle_probe = (struct idle_probe_settings){ 0 };
	if (coin(r)) {
		ps->on_leave = coin(r) ? LEAVE_CLOSE : LEAVE_FINISH;
		draw_idle_probe(ps, r);
	}
}

static void vary_limits(struct plan *p, struct rand *r)
{
	struct settings *s = &p->other;
	s->max_connections = coin(r) ? 1000 : between(r, 1, 64);
	s->max_connections_per_address = between(r, 0, 3) ? 0 : between(r, 1, 4);
	s->memory_limit_bytes = coin(r) ? 1u << 30 : spread(r, 512 << 10, 16 << 20);
	s->spool_max_bytes = coin(r) ? 1u << 30 : spread(r, 64 << 10, 4 << 20);
	s->jobs_max = coin(r) ? 10000 : between(r, 1, 50);
	if (rand_below(r, 4) == 0) { /* more than may be told that there are too many */
		p->client.clients = between(r, 70, 250);
		p->client.exchanges += p->client.clients;
	}
}

/* Requests that are given up, and still run when the configuration changes. */
static void vary_pace(struct plan *p, struct rand *r)
{
	p->client.leave_ppm = between(r, 100000, 400000);
	p->container.service_max_us += spread(r, 100 * MS, 2 * SECOND);
}

void plan_vary(struct plan *p, struct rand *r)
{
	if (!p->reload_ppm)
		return;
	for (uint32_t i = 0; i < p->settings.n_pools; i++) {
		struct pool_settings *ps = &p->other_pools[i];
		vary_health(&ps->health, r);
		if (coin(r))
			vary_leave(ps, r);
		if (!p->calm && coin(r))
			ps->queue_max_bytes = coin(r) ? 256u << 20 : spread(r, 1 << 10, 1 << 20);
	}
	if (!p->calm && coin(r))
		vary_limits(p, r);
	if (!p->calm && rand_below(r, 4) == 0)
		vary_pace(p, r);
}

void plan_draw(struct plan *p, struct rand *r)
{
	bool bulky = rand_below(r, 200) == 0;
	*p = (struct plan){ .calm = rand_below(r, 4) == 0 };
	draw_settings(p, r);
	draw_wire(&p->client_wire, r, bulky);
	draw_wire(&p->container_wire, r, bulky);
	draw_client(&p->client, r, bulky);
	draw_container(&p->container, r, bulky);
	p->grain_us = 1u << between(r, 0, 8);
	p->disk_min_us = spread(r, 1, MS);
	p->disk_max_us = p->disk_min_us + spread(r, 1, 20 * MS);
	if (rand_below(r, 4) == 0)
		p->reload_ppm = spread(r, 1000, 100000);
	if (p->calm) {
		calm_settings(p);
		p->client_wire.reset_drops_ppm = p->container_wire.reset_drops_ppm = 0;
		draw_other(p, r);
		for (uint32_t i = 0; i < PLAN_POOLS; i++)
			p->other_pools[i].queue_max = 10000;
		return;
	}
	draw_other(p, r);
	if (coin(r))
		draw_client_faults(&p->client, r);
	if (coin(r))
		draw_container_faults(&p->container, r);
	p->disk_fail_ppm = some(r, 100000);
	p->clock_jump_ppm = some(r, 20000);
	p->sleep_ppm = rand_below(r, 4) ? 0 : spread(r, 1000, 20000);
	p->drain_at = rand_below(r, 10) ? 0 : between(r, 1, p->client.exchanges);
}

/* ---- many who send ahead, and little memory ---- */

static void crowd_settings(struct settings *s, struct pool_settings *pools, uint64_t memory_bytes)
{
	s->memory_limit_bytes = memory_bytes;
	s->max_connections = 1000;
	s->max_connections_per_address = 0;
	for (uint32_t i = 0; i < s->n_pools; i++) {
		pools[i].queue_max = 1000;
		pools[i].queue_max_bytes = 64 << 20;
	}
}

void plan_crowd(struct plan *p, uint64_t seed)
{
	struct client_plan *c = &p->client;
	struct rand own, *r = &own;
	rand_seed(r, seed ^ UINT64_C(0x0c80bd0c80bd0c80));
	if (p->calm || rand_below(r, 50))
		return;
	uint64_t memory_bytes = spread(r, 512 << 10, 1 << 20);
	crowd_settings(&p->settings, p->pools, memory_bytes);
	crowd_settings(&p->other, p->other_pools, memory_bytes);
	c->clients = between(r, 20, 60);
	c->pipeline_ppm = between(r, 300000, 900000);
	c->big_body_ppm = between(r, 100000, 500000);
	c->big_body_max = between(r, 50, 200) << 10;
	c->drip_ppm = c->stall_ppm = 0;
	p->client_wire.room_bytes = 1 << 18;
	p->client_wire.piece_max = 64 << 10;
}
