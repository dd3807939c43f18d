#include "source.h"

#include "base/str.h"
#include "gateway/backend.h"
#include "gateway/members.h"
#include "world.h"

static const char *const names[PLAN_POOLS] = { "script:first", "script:second" };

/* The containers of the list that stay in the settings; the others are the source's, where they are not yet.
 */
static void share_out(struct world *w, uint32_t pool, struct pool_settings *ps, bool known[PLAN_CONTAINERS])
{
	size_t kept = 0;
	for (size_t i = 0; i < ps->n_containers; i++) {
		uint32_t index = ntohs(ps->containers[i].addr.in.sin_port) - PLAN_CONTAINER_PORT -
			pool * PLAN_CONTAINERS;
		if (rand_chance(&w->source.rand, 300000))
			ps->containers[kept++] = ps->containers[i];
		else
			known[index] = true;
	}
	ps->n_containers = kept;
	ps->sources = (const char **)(uintptr_t)&names[pool]; /* which the gateway only reads */
	ps->n_sources = 1;
}

static void take_over(struct world *w, uint32_t pool)
{
	struct scripted_source *s = &w->source;
	struct container_settings all[PLAN_CONTAINERS];
	bool known[PLAN_CONTAINERS] = { false };
	memcpy(all, w->plan.containers[pool], sizeof all);
	share_out(w, pool, &w->plan.pools[pool], known);
	share_out(w, pool, &w->plan.other_pools[pool], known);
	for (uint32_t i = 0; i < s->n_fakes[pool]; i++) {
		if (known[i])
			s->known[pool][s->n_known[pool]++] = all[i];
	}
}

void source_begin(struct world *w)
{
	struct scripted_source *s = &w->source;
	rand_seed(&s->rand, w->seed ^ UINT64_C(0x5011d5011d5011d5));
	bool is_there = rand_below(&s->rand, 4) == 0;
	for (uint32_t k = 0; k < w->plan.settings.n_pools; k++) {
		s->n_fakes[k] = (uint32_t)w->plan.pools[k].n_containers;
		if (is_there && rand_below(&s->rand, 4))
			take_over(w, k);
	}
	if (!is_there)
		return;
	s->change_ppm = (uint32_t)rand_below(&s->rand, 200000);
	if (!w->plan.calm && rand_below(&s->rand, 2))
		s->dismiss_ppm = (uint32_t)rand_below(&s->rand, 50000);
}

/* In a calm world one is there at any time. */
static void tell(struct world *w, uint32_t pool, bool all)
{
	struct scripted_source *s = &w->source;
	struct source_container list[PLAN_CONTAINERS] = { 0 };
	size_t n = 0;
	for (uint32_t i = 0; i < s->n_known[pool]; i++) {
		bool stays = all || (w->plan.calm && i == 0);
		if (!stays && rand_below(&s->rand, 4) == 0)
			continue;
		list[n].addr = s->known[pool][i].addr;
		list[n].draining = !stays && rand_below(&s->rand, 6) == 0;
		str_copy(list[n].generation, sizeof list[n].generation,
			str_of(list[n].draining ? "old" : "new"));
		n++;
	}
	TRACE(w, "the source of pool %u knows %zu containers", pool, n);
	reactor_discover(w->reactor, w->plan.pools[pool].name, names[pool], list, n);
}

/* An operator takes one out. */
static void dismiss_one(struct world *w)
{
	struct reactor *r = w->reactor;
	const struct pool *p = &r->routes[rand_below(&w->source.rand, r->n_routes)]->pool;
	if (!p->n_containers)
		return;
	struct backend *b = backend_of(p->containers[rand_below(&w->source.rand, p->n_containers)]);
	TRACE(w, "%s is taken out by hand", b->settings.name);
	bool ok = members_dismiss(b);
	VERIFY(w, ok, "out of memory");
}

void source_disturb(struct world *w)
{
	struct scripted_source *s = &w->source;
	uint32_t pool = (uint32_t)rand_below(&s->rand, w->plan.settings.n_pools);
	if (w->at_peace)
		return;
	if (s->dismiss_ppm && rand_chance(&s->rand, s->dismiss_ppm))
		dismiss_one(w);
	if (!s->n_known[pool] || !rand_chance(&s->rand, s->change_ppm))
		return;
	if (rand_below(&s->rand, 8))
		tell(w, pool, false);
	else
		reactor_lose_sight(w->reactor, w->plan.pools[pool].name, names[pool], "the script says so");
}

void source_tell_all(struct world *w)
{
	for (uint32_t k = 0; k < w->plan.settings.n_pools; k++) {
		if (w->source.n_known[k])
			tell(w, k, true);
	}
}

void source_settle(struct world *w)
{
	char error[256];
	if (w->source.dismiss_ppm) { /* what was taken out by hand is out until a reload */
		bool ok = reactor_reload(w->reactor, w->reactor->settings, error, sizeof error);
		VERIFY(w, ok, "%s", error);
	}
	source_tell_all(w);
}
