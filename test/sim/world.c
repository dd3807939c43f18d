#include "world.h"

#include "fake_client.h"
#include "gateway/backend.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	SECOND = 1000000,
	SCRATCH_MIN = 64 * 1024,
	AFTERWARDS_US = 2 * SECOND,
	TURNED_AWAY_US = SECOND,
};

void world_fail(const struct world *w, const char *file, int line, const char *fmt, ...)
{
	va_list ap;
	const char *base = strrchr(file, '/');
	fprintf(stderr, "seed %llu, at %.6f s, %s:%d: ", (unsigned long long)w->seed,
		(double)world_now_us(w) / SECOND, base ? base + 1 : file, line);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	abort();
}

void world_trace(const struct world *w, const char *fmt, ...)
{
	va_list ap;
	printf("%.6f ", (double)world_now_us(w) / SECOND);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

char *world_scratch(struct world *w, size_t n)
{
	if (n > w->scratch_bytes) {
		free(w->scratch);
		w->scratch_bytes = n > SCRATCH_MIN ? n : SCRATCH_MIN;
		w->scratch = sim_alloc(w->scratch_bytes);
	}
	return w->scratch;
}

/* ---- what the loop asks ---- */

static struct fake_container *container_at(struct world *w, uint16_t port)
{
	uint32_t i = port - PLAN_CONTAINER_PORT;
	CHECK(i < PLAN_POOLS * PLAN_CONTAINERS);
	return &w->containers[i / PLAN_CONTAINERS][i % PLAN_CONTAINERS];
}

static enum dial on_dial(void *owner, uint16_t port)
{
	return container_dial(container_at(owner, port));
}

static bool on_answer(void *owner, uint16_t port, struct wire_end *far)
{
	return container_answer(container_at(owner, port), far);
}

static void on_turn(void *owner)
{
	oracle_turn(owner);
}

static const struct io_sim_world world_ops = { .dial = on_dial, .answer = on_answer, .on_turn = on_turn };

/* ---- clients ---- */

static bool is_work_left(const struct world *w)
{
	return (w->exchanges_left || w->n_jobs) && !w->draining;
}

static void fill_up(struct world *w)
{
	uint32_t most = w->exchanges_left ? w->plan.client.clients : 1;
	while (is_work_left(w) && w->clients.len + w->n_turned_away < most)
		client_begin(w);
}

static void on_more_clients(struct event *e)
{
	struct world *w = CONTAINER_OF(e, struct world, more_clients);
	w->n_turned_away = 0;
	fill_up(w);
}

void world_client_gone(struct world *w, bool turned_away)
{
	if (!turned_away) {
		fill_up(w);
		return;
	}
	w->n_turned_away++;
	if (!event_is_set(&w->more_clients))
		event_set(&w->sim->schedule, &w->more_clients, world_now_us(w) + TURNED_AWAY_US);
}

/* ---- a run ---- */

static void begin(struct world *w, uint32_t exchanges)
{
	char error[256];
	const struct plan *p = &w->plan;
	rand_seed(&w->rand, w->seed);
	plan_draw(&w->plan, &w->rand);
	plan_crowd(&w->plan, w->seed);
	rand_seed(&w->reload_rand, w->seed ^ UINT64_C(0x0123456789abcdef));
	plan_vary(&w->plan, &w->reload_rand);
	source_begin(w);
	ledger_init(&w->ledger);
	list_init(&w->clients);
	w->sim = io_sim_create(&world_ops, w, &w->rand, p->grain_us);
	w->began_us = world_now_us(w);
	w->sim->client_traits = p->client_wire;
	w->sim->container_traits = p->container_wire;
	w->sim->disk.delay_min_us = p->disk_min_us;
	w->sim->disk.delay_max_us = p->disk_max_us;
	w->sim->disk.fail_ppm = p->disk_fail_ppm;
	for (uint32_t k = 0; k < p->settings.n_pools; k++) {
		for (uint32_t i = 0; i < w->source.n_fakes[k]; i++)
			container_begin(&w->containers[k][i], w, k, i);
	}
	w->reactor = reactor_create(&w->sim->io, &w->plan.settings, error, sizeof error);
	VERIFY(w, w->reactor, "%s", error);
	oracle_begin(w);
	source_tell_all(w);
	if (!p->calm)
		faults_draw(&w->sim->faults, w->seed);
	memory_follows(&w->sim->faults);
	w->exchanges_left = p->client.exchanges;
	if (exchanges && exchanges < w->exchanges_left)
		w->exchanges_left = exchanges;
	w->more_clients.fire = on_more_clients;
	fill_up(w);
}

/* The longest that anything may take without an answer. */
static uint64_t patience_us(const struct world *w)
{
	return world_now_us(w) + UINT64_C(300) * SECOND;
}

static bool is_zombie_at(const struct world *w, uint16_t port)
{
	for (uint32_t i = 0; i < w->reactor->n_routes; i++) {
		const struct pool *p = &w->reactor->routes[i]->pool;
		for (uint32_t k = 0; k < p->n_containers; k++) {
			if (p->containers[k]->slots[SLOT_ZOMBIE].len &&
				ntohs(backend_of(p->containers[k])->settings.addr.in.sin_port) == port)
				return true;
		}
	}
	return false;
}

/* Whoever takes the idle probe away sees that what Berth would have found by it alone, when it connects
 * again, is over: all but what a zombie will be asked about. */
static void end_remains(struct world *w)
{
	for (uint32_t k = 0; k < w->plan.settings.n_pools; k++) {
		for (uint32_t i = 0; i < w->source.n_fakes[k]; i++) {
			uint16_t port = (uint16_t)(PLAN_CONTAINER_PORT + k * PLAN_CONTAINERS + i);
			if (!w->reactor->settings->pools[k].idle_probe.path)
				container_end_remains(&w->containers[k][i], !is_zombie_at(w, port));
		}
	}
}

static void reload(struct world *w)
{
	char error[256];
	w->reloaded = !w->reloaded;
	TRACE(w, "the configuration is reloaded: the %s one", w->reloaded ? "other" : "first");
	bool ok = reactor_reload(
		w->reactor, w->reloaded ? &w->plan.other : &w->plan.settings, error, sizeof error);
	VERIFY(w, ok, "%s", error);
	end_remains(w);
	oracle_follow(w);
}

/* The machine does, and all clocks go on. */
static void sleep_for(struct world *w, uint64_t us)
{
	TRACE(w, "the machine sleeps for %.1f s", (double)us / SECOND);
	io_sim_sleep(w->sim, us);
	oracle_slept(w);
}

/* A request that was given up may still run somewhere. */
static bool is_any_zombie(const struct world *w)
{
	for (uint32_t i = 0; i < w->reactor->n_routes; i++) {
		const struct pool *p = &w->reactor->routes[i]->pool;
		for (uint32_t k = 0; k < p->n_containers; k++) {
			if (p->containers[k]->slots[SLOT_ZOMBIE].len)
				return true;
		}
	}
	return false;
}

/* Now and then, and rather while that may be so. */
static bool is_time_to_reload(struct world *w)
{
	if (!w->plan.reload_ppm || w->at_peace)
		return false;
	bool is_time = rand_chance(&w->rand, w->plan.reload_ppm);
	return is_time || (is_any_zombie(w) && rand_below(&w->reload_rand, 16) == 0);
}

/* What happens to the gateway itself. */
static void disturb(struct world *w, uint32_t exchanges)
{
	const struct plan *p = &w->plan;
	memory_follows(NULL); /* who changes the configuration has all that it takes */
	if (p->drain_at && exchanges >= p->drain_at && !w->draining) {
		TRACE(w, "the gateway is told to drain");
		w->draining = true;
		reactor_drain(w->reactor);
	}
	source_disturb(w);
	if (is_time_to_reload(w))
		reload(w);
	if (p->sleep_ppm && rand_chance(&w->rand, p->sleep_ppm))
		sleep_for(w, rand_below(&w->rand, UINT64_C(100) * SECOND));
	if (p->clock_jump_ppm && rand_chance(&w->rand, p->clock_jump_ppm))
		io_sim_set_clock(w->sim,
			(int64_t)rand_below(&w->rand, UINT64_C(7200) * SECOND) - INT64_C(3600) * SECOND);
	memory_follows(&w->sim->faults);
}

static void calm_containers(struct world *w)
{
	struct container_plan *c = &w->plan.container;
	w->at_peace = true;
	faults_end(&w->sim->faults);
	c->idle_close_ppm = c->close_first_ppm = c->cut_ppm = c->nonsense_ppm = c->bad_chunk_ppm = 0;
	c->extra_ppm = c->hang_ppm = c->refuse_ppm = c->hang_dial_ppm = c->unready_ppm = 0;
	for (uint32_t k = 0; k < w->plan.settings.n_pools; k++) {
		for (uint32_t i = 0; i < w->source.n_fakes[k]; i++)
			container_calm(&w->containers[k][i]);
	}
	if (w->reloaded) /* the other configuration's pauses may be long */
		reload(w);
	source_settle(w);
}

/* Until every request has its answer. The last jobs' results are waited for in peace. */
static void run_clients(struct world *w)
{
	uint32_t seen = 0;
	uint64_t until_us = patience_us(w);
	while ((w->clients.len || event_is_set(&w->more_clients)) && !w->sim->io.stopped) {
		bool goes_on = io_sim_turn(w->sim, until_us);
		VERIFY(w, goes_on || !w->at_peace, "%u clients wait and nothing happens", w->clients.len);
		if (!goes_on ||
			(!w->exchanges_left &&
				!w->at_peace)) { /* containers that die all the time do nothing */
			calm_containers(w);
			until_us = patience_us(w);
		}
		if (w->ledger.n != seen) {
			seen = w->ledger.n;
			until_us = patience_us(w);
			disturb(w, seen);
			oracle_turn(w); /* new containers have been given requests */
		}
	}
}

/* All time-outs pass that may still run. */
static uint64_t quiet_us(const struct world *w)
{
	const struct settings *s = &w->plan.settings;
	uint64_t longest = s->jobs_max_age_us;
	for (uint32_t k = 0; k < s->n_pools; k++) {
		const struct pool_settings *ps = &w->plan.pools[k];
		uint64_t us = 2 * ps->timeouts.total_us + ps->queue_max_wait_us + ps->zombie_timeout_us +
			ps->health.backoff_max_us + KEEPALIVE_US;
		if (us > longest)
			longest = us;
	}
	return longest + s->jobs_max_age_us + s->client_idle_us + s->client_send_us + 10 * SECOND;
}

/* Until nothing is left, or all time-outs have passed; and some time after it, in which nothing may come
 * back. */
static void run_to_quiet(struct world *w)
{
	uint64_t until_us = world_now_us(w) + quiet_us(w);
	TRACE(w, "all clients are gone");
	if (!w->at_peace)
		calm_containers(w);
	while (!oracle_is_quiet(w) && io_sim_turn(w->sim, until_us))
		;
	until_us = world_now_us(w) + AFTERWARDS_US;
	while (io_sim_turn(w->sim, until_us))
		;
	until_us = world_now_us(w) + AFTERWARDS_US;
	while (!oracle_is_quiet(w) && io_sim_turn(w->sim, until_us)) /* a probe may have been under way */
		;
	oracle_check_quiet(w);
}

static void end(struct world *w)
{
	memory_follows(NULL);
	w->tally->faults += w->sim->faults.struck;
	w->tally->turns += w->sim->turns;
	w->tally->simulated_us += world_now_us(w) - w->began_us;
	for (uint32_t i = 0; i < w->reactor->n_routes; i++)
		w->tally->retries += w->reactor->routes[i]->metrics.retries;
	clients_end(w);
	reactor_destroy(w->reactor);
	for (uint32_t k = 0; k < w->plan.settings.n_pools; k++) {
		for (uint32_t i = 0; i < w->source.n_fakes[k]; i++)
			container_end(&w->containers[k][i]);
	}
	io_sim_destroy(w->sim);
	ledger_finish(&w->ledger);
	free(w->scratch);
}

void world_run(uint64_t seed, uint32_t exchanges, bool verbose, struct tally *tally)
{
	struct world *w = calloc(1, sizeof *w);
	CHECK(w);
	w->seed = tally->seed = seed;
	w->verbose = verbose;
	w->tally = tally;
	begin(w, exchanges);
	run_clients(w);
	if (!w->draining)
		run_to_quiet(w);
	end(w);
	free(w);
	tally->seeds++;
}
