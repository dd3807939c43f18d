#include "crash_world.h"

#include "store_step.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MS = 1000, SECOND = 1000000, PATIENCE_US = 600 * SECOND };

static const char where[] = "sqlite:" PLATTER "/berth.db";

void crash_fail(const struct crash_world *w, const char *file, int line, const char *fmt, ...)
{
	va_list ap;
	const char *base = strrchr(file, '/');
	fprintf(stderr, "seed %llu, life %u, %s:%d: ", (unsigned long long)w->seed, w->life,
		base ? base + 1 : file, line);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	abort();
}

void crash_trace(const struct crash_world *w, const char *fmt, ...)
{
	va_list ap;
	printf("%u %.6f ", w->life, w->sim ? (double)w->sim->io.now_us / SECOND : 0.0);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

/* ---- the plan ---- */

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

static void draw_plan(struct crash_plan *p, struct rand *r)
{
	bool big = rand_below(r, 12) == 0;
	*p = (struct crash_plan){
		.lives = between(r, 2, 7),
		.jobs = between(r, 2, big ? 12 : 32),
		.clients = between(r, 1, 6),
		.think_max_us = spread(r, 100, 20 * MS),
		.body_max = spread(r, 16, 8 << 10),
		.answer_max = spread(r, 16, 8 << 10),
		.big_ppm = big ? 600000 : 0,
		.big_max = 600 << 10,
		.service_max_us = spread(r, 10, 20 * MS),
		.commit_max_us = spread(r, 1, 5 * MS),
		.wal_pages = spread(r, 1, 100),
		.keyed_ppm = coin(r) ? 0 : 500000,
		.cancel_ppm = coin(r) ? 0 : spread(r, 1000, 200000),
		.full_ppm = rand_below(r, 6) ? 0 : spread(r, 1000, 200000),
		.refuse_ppm = rand_below(r, 4) ? 0 : spread(r, 10000, 500000),
		.away_ppm = rand_below(r, 4) ? 0 : between(r, 100000, 900000),
		.sync_ppm = rand_below(r, 4) ? 0 : spread(r, 10000, 500000),
	};
	struct wire_traits *t = &p->wire;
	t->latency_min_us = spread(r, 1, 500);
	t->latency_max_us = t->latency_min_us + spread(r, 1, MS);
	t->room_bytes = 1 << 18;
	t->piece_max = 64 << 10;
}

static struct io_addr local_addr(uint16_t port)
{
	struct io_addr a = { .len = sizeof a.in };
	a.in.sin_family = AF_INET;
	a.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	a.in.sin_port = htons(port);
	return a;
}

static void draw_settings(struct crash_world *w)
{
	struct rand *r = &w->rand;
	settings_default(&w->settings);
	pool_settings_default(&w->pool);
	w->listen = local_addr(CRASH_FRONT_PORT);
	w->settings.listen = &w->listen;
	w->settings.n_listen = 1;
	w->settings.pools = &w->pool;
	w->settings.n_pools = 1;
	w->settings.store = where;
	w->settings.max_connections = 100;
	w->settings.body_memory_bytes = spread(r, 1 << 10, 1 << 20);
	w->pool.name = "model";
	w->pool.path_prefix = "/";
	w->pool.containers = w->container_settings;
	w->pool.n_containers = coin(r) ? 1 : between(r, 1, CRASH_CONTAINERS);
	w->pool.slots = coin(r) ? 1 : between(r, 1, 3);
	w->pool.job_retry = coin(r) ? JOB_RETRY_NEVER : JOB_RETRY_ALWAYS;
	w->pool.job_attempts = between(r, 1, 5);
	for (uint16_t i = 0; i < CRASH_CONTAINERS; i++) {
		struct container_settings *cs = &w->container_settings[i];
		snprintf(cs->name, sizeof cs->name, "container%d", i + 1);
		cs->addr = local_addr((uint16_t)(CRASH_CONTAINER_PORT + i));
	}
	pool_settings_default(&w->pool_else);
	w->pool_else.name = "else";
	w->pool_else.path_prefix = "/else";
	w->settings_away = w->settings;
	w->settings_away.pools = &w->pool_else;
}

uint32_t crash_answer_bytes(const struct crash_world *w, uint32_t token, uint32_t delivery)
{
	struct rand r;
	rand_seed(&r, w->seed << 20 | token << 8 | delivery);
	bool big = rand_chance(&r, w->plan.big_ppm);
	return (uint32_t)rand_below(&r, (big ? w->plan.big_max : w->plan.answer_max) + 1);
}

/* ---- what the loop asks ---- */

static struct crash_container *container_at(struct crash_world *w, uint16_t port)
{
	uint32_t i = port - CRASH_CONTAINER_PORT;
	CHECK(i < w->pool.n_containers);
	return &w->containers[i];
}

static enum dial on_dial(void *owner, uint16_t port)
{
	struct crash_world *w = owner;
	(void)container_at(w, port);
	if (!rand_chance(&w->rand, w->plan.refuse_ppm))
		return DIAL_TRY;
	return coin(&w->rand) ? DIAL_REFUSED : DIAL_REFUSED_NOW;
}

static bool on_answer(void *owner, uint16_t port, struct wire_end *far)
{
	crash_container_answer(container_at(owner, port), far);
	return true;
}

static void on_turn(void *owner)
{
	const struct crash_world *w = owner;
	for (uint32_t i = 0; w->reactor && i < w->reactor->n_routes; i++)
		pool_check(&w->reactor->routes[i]->pool);
}

static const struct io_sim_world loop_world = { .dial = on_dial, .answer = on_answer, .on_turn = on_turn };

/* ---- a life ---- */

enum ending {
	END_KILL,  /* the process dies */
	END_POWER, /* the machine does */
	END_DRAIN, /* Berth is told to end */
};

static struct platter_faults draw_faults(struct crash_world *w, enum ending ending)
{
	struct platter_faults f = { .full_ppm = w->disk_fills ? w->plan.full_ppm : 0,
		.sync_ppm = w->syncs_fail ? w->plan.sync_ppm : 0 };
	if (crash_is_last_life(w))
		return (struct platter_faults){ 0 };
	if (ending != END_DRAIN || rand_below(&w->rand, 4) == 0)
		f.off_at = spread(&w->rand, 1, 4000);
	if (w->plan.big_ppm && f.off_at && coin(&w->rand)) /* bodies in files, one of which has just gone */
		f.off_at_removal = between(&w->rand, 1, 8);
	return f;
}

/* False when it does not start, for which there is a reason. */
static bool start(struct crash_world *w)
{
	char error[STORE_WHY_BYTES + 64];
	const struct crash_plan *p = &w->plan;
	w->sim = io_sim_create(&loop_world, w, &w->rand, 1);
	w->began_us = w->sim->io.now_us;
	io_sim_sleep(w->sim, w->passed_us);
	w->sim->client_traits = w->sim->container_traits = p->wire;
	w->sim->disk.delay_max_us = p->commit_max_us;
	store_steps_begin(&w->sim->schedule, &w->rand, p->commit_max_us, p->wal_pages);
	list_init(&w->clients);
	for (uint32_t i = 0; i < w->pool.n_containers; i++)
		crash_container_begin(&w->containers[i], w);
	w->away = !crash_is_last_life(w) && rand_chance(&w->rand, p->away_ppm);
	w->reactor =
		reactor_create(&w->sim->io, w->away ? &w->settings_away : &w->settings, error, sizeof error);
	VERIFY(w, w->reactor || platter_is_off() || w->disk_fills || w->syncs_fail,
		"Berth does not start: %s", error);
	for (uint32_t i = 0; w->reactor && i < p->clients; i++)
		crash_client_begin(w);
	return w->reactor;
}

static bool is_all_over(const struct crash_world *w)
{
	if (w->told.n < w->plan.jobs || w->reactor->jobs.count || w->reactor->exchange_pool.used)
		return false;
	for (uint32_t i = 0; i < w->told.n; i++) {
		const struct told_job *j = &w->told.jobs[i];
		if ((told_is_job(j) && j->life_settled < w->life) || (j->keyed && j->pending))
			return false;
	}
	return true;
}

/* The pool goes, or comes back. */
static void reload(struct crash_world *w)
{
	char error[STORE_WHY_BYTES];
	w->away = !w->away;
	TRACE(w, "the pool %s", w->away ? "goes" : "comes back");
	VERIFY(w, reactor_reload(w->reactor, w->away ? &w->settings_away : &w->settings, error, sizeof error),
		"a reload fails: %s", error);
}

static void go_on_until(struct crash_world *w, uint64_t until_us)
{
	while (!platter_is_off() && !w->sim->io.stopped && io_sim_turn(w->sim, until_us)) {
		if (!w->draining && crash_is_last_life(w) && is_all_over(w))
			return;
	}
}

/* Everything that was told is asked for once more. */
static void live_to_the_end(struct crash_world *w)
{
	go_on_until(w, w->sim->io.now_us + PATIENCE_US);
	for (uint32_t i = 0; i < w->told.n; i++) {
		const struct told_job *j = &w->told.jobs[i];
		VERIFY(w, !told_is_job(j) || j->life_settled == w->life, "job %u does not come to its end",
			i);
	}
	VERIFY(w, is_all_over(w), "what was handed in does not come to its end");
}

/* For some time, with reloads on the way. */
static void live_on(struct crash_world *w)
{
	while (!platter_is_off() && rand_chance(&w->rand, w->plan.away_ppm)) {
		go_on_until(w, w->sim->io.now_us + spread(&w->rand, 100, 50 * MS));
		if (!platter_is_off())
			reload(w);
	}
	go_on_until(w, w->sim->io.now_us + spread(&w->rand, MS, 2 * SECOND));
}

static void drain(struct crash_world *w)
{
	TRACE(w, "Berth is told to end");
	w->draining = true;
	reactor_drain(w->reactor);
	go_on_until(w, w->sim->io.now_us + PATIENCE_US);
	VERIFY(w, platter_is_off() || w->sim->io.stopped, "Berth does not end");
}

static void bury(struct crash_world *w)
{
	w->passed_us = w->sim->io.now_us - w->began_us + rand_below(&w->rand, 2 * SECOND);
	crash_clients_end(w);
	reactor_destroy(w->reactor);
	w->reactor = NULL;
	for (uint32_t i = 0; i < w->pool.n_containers; i++)
		crash_container_end(&w->containers[i]);
	store_steps_end();
	io_sim_destroy(w->sim);
	w->sim = NULL;
}

static enum ending draw_ending(struct crash_world *w)
{
	static const enum ending endings[] = { END_POWER, END_POWER, END_POWER, END_KILL, END_DRAIN };
	return crash_is_last_life(w) ? END_DRAIN : endings[rand_below(&w->rand, ARRAY_LEN(endings))];
}

static void live(struct crash_world *w)
{
	enum ending ending = draw_ending(w);
	w->draining = false;
	w->disk_fills = !crash_is_last_life(w) && w->plan.full_ppm;
	w->syncs_fail = !crash_is_last_life(w) && w->plan.sync_ppm;
	w->jobs_by_now = w->plan.jobs * w->life / w->plan.lives;
	struct platter_faults faults = draw_faults(w, ending);
	platter_switch_on(&faults);
	bool started = start(w);
	if (started && crash_is_last_life(w))
		live_to_the_end(w);
	else if (started)
		live_on(w);
	if (started && ending == END_DRAIN && !platter_is_off())
		drain(w);
	if (ending != END_DRAIN)
		platter_switch_off();
	bury(w);
	bool crashed = platter_is_off(), power_lost = crashed && ending != END_KILL;
	w->tally->changes += platter_changes();
	w->tally->lives++;
	w->tally->starts_cut += !started;
	w->tally->kills += crashed && !power_lost;
	w->tally->power_losses += power_lost;
	w->tally->ends += !crashed;
	w->crashes += crashed;
	platter_restart(power_lost);
}

/* ---- what is left ---- */

static void on_fault(void *owner, struct str line)
{
	fprintf(stderr, "store check: " STR_FMT "\n", STR_ARG(line));
}

static void no_line(void *owner, struct str line)
{
}

struct census {
	struct crash_world *world; /* borrowed */
	bool found[TOLD_JOBS];
	uint32_t strangers;
};

/* A record, as store_export writes it. */
static void count_record(void *owner, struct str line)
{
	struct census *c = owner;
	for (uint32_t i = 0; i < c->world->told.n; i++) {
		const struct told_job *j = &c->world->told.jobs[i];
		if (told_is_job(j) && memmem(line.ptr, line.len, j->id, STORE_ID_CHARS)) {
			c->found[i] = true;
			return;
		}
	}
	c->strangers++;
}

/* The store is whole, and keeps what was acknowledged, and nothing that was not handed in. */
static void take_stock(struct crash_world *w)
{
	char why[STORE_WHY_BYTES];
	struct census c = { .world = w };
	uint32_t unnamed = 0;
	platter_switch_on(&(struct platter_faults){ 0 });
	if (store_check(where, no_line, NULL, why))
		VERIFY(w, store_check(where, on_fault, NULL, why) == 0, "the store is damaged");
	VERIFY(w, store_export(where, count_record, &c, why) == 0, "the store cannot be read");
	for (uint32_t i = 0; i < w->told.n; i++) {
		const struct told_job *j = &w->told.jobs[i];
		bool may_go = j->gone || (j->cancel_sent && j->final != STORE_CANCELLED);
		VERIFY(w, !told_is_job(j) || c.found[i] || may_go, "job %u is not kept", i);
		VERIFY(w, !j->gone || !c.found[i], "job %u is kept, and was gone", i);
		unnamed += j->pending || j->answered; /* it may be a job whose id nobody was told */
	}
	VERIFY(w, c.strangers <= unnamed, "%u jobs are kept that nobody knows, and there may be %u",
		c.strangers, unnamed);
	platter_restart(false);
}

void crash_world_run(uint64_t seed, bool verbose, struct crash_tally *tally)
{
	struct crash_world *w = calloc(1, sizeof *w);
	CHECK(w);
	w->seed = tally->seed = seed;
	w->verbose = verbose;
	w->tally = tally;
	rand_seed(&w->rand, seed);
	draw_plan(&w->plan, &w->rand);
	draw_settings(w);
	platter_begin(&w->rand);
	for (w->life = 1; w->life <= w->plan.lives; w->life++)
		live(w);
	w->life = w->plan.lives;
	take_stock(w);
	platter_end();
	free(w);
	tally->seeds++;
}
