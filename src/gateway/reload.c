/* reload: a running reactor takes over a new configuration.
 *
 * Pools are matched by name, containers by address (members.h). What is in both is kept with its connections
 * and slots; a container whose number of slots has changed leaves and joins again. A pool that had gone and
 * is named again goes on with its queue and its order numbers: the store has them.
 */
#include "gateway/backend.h"
#include "gateway/members.h"
#include "gateway/reactor.h"

#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct pool_settings *find_pool(const struct settings *s, const char *name)
{
	for (size_t i = 0; i < s->n_pools; i++) {
		if (!strcmp(s->pools[i].name, name))
			return &s->pools[i];
	}
	return NULL;
}

static struct route *find_route(const struct reactor *r, const char *name)
{
	for (uint32_t i = 0; i < r->n_routes; i++) {
		if (!strcmp(r->routes[i]->settings->name, name))
			return r->routes[i];
	}
	return NULL;
}

static bool update_route(struct route *route, const struct pool_settings *ps)
{
	route->gone = false;
	route->settings = ps;
	route->pool.limits = route_limits(ps);
	route->retry_budget.percent = ps->retry_percent;
	route->retry_budget.least = ps->retry_min;
	for (uint32_t i = 0; i < route->pool.n_containers; i++)
		backend_follow(backend_of(route->pool.containers[i]));
	members_forgive(route);
	return discoveries_follow(route);
}

static bool add_route(struct reactor *r, const struct pool_settings *ps)
{
	bool ok = reactor_add_route(r, ps) == 0;
	if (!r->draining)
		jobs_adopt(&r->jobs, ps->name);
	return ok;
}

/* The pool is not in the configuration any more: its queue is served to its end. */
static void dismiss_route(struct route *route)
{
	route->gone = true;
	discoveries_finish(route);
	for (uint32_t i = 0; i < route->pool.n_containers; i++)
		backend_leave(backend_of(route->pool.containers[i]));
}

bool reactor_reload(struct reactor *r, const struct settings *s, char *error, size_t error_size)
{
	struct networks trusted;
	const char *bad = NULL;
	if (networks_create(&trusted, s->trusted_proxies, s->n_trusted_proxies, &bad) < 0) {
		snprintf(error, error_size,
			"trusted_proxies: \"%s\" is no address or network like 10.0.0.0/8", bad ? bad : "");
		return false;
	}
	free(r->trusted.list);
	r->trusted = trusted;
	bool ok = true;
	for (uint32_t i = 0; i < r->n_routes; i++) { /* before the old settings go: they hold the names */
		struct route *route = r->routes[i];
		if (!route->gone && !find_pool(s, route->settings->name))
			dismiss_route(route);
	}
	r->settings = s;
	reactor_set_limits(r, s);
	jobs_follow(&r->jobs, s);
	for (size_t i = 0; i < s->n_pools; i++) {
		struct route *route = find_route(r, s->pools[i].name);
		ok = (route ? update_route(route, &s->pools[i]) : add_route(r, &s->pools[i])) && ok;
	}
	reactor_sort_routes(r);
	reactor_changed(r);
	if (!members_apply(r) || !ok) /* what is missing is tried again with the next reload */
		log_error("out of memory: not all containers of the new configuration have joined");
	return true;
}

/* A request that was given up by them may still run, and its container be asked by their probe. */
static bool is_probed_by(const struct pool *p, const struct settings *s)
{
	for (uint32_t i = 0; i < p->n_containers; i++) {
		for (uint32_t k = 0; k < p->containers[i]->n_slots; k++) {
			const struct pool_settings *rules = upstream_of(&p->containers[i]->slot[k])->rules;
			if (rules >= s->pools && rules < s->pools + s->n_pools)
				return true;
		}
	}
	return false;
}

bool reactor_uses(const struct reactor *r, const struct settings *s)
{
	if (r->settings == s)
		return true;
	for (uint32_t i = 0; i < r->n_routes; i++) {
		const struct pool_settings *ps = r->routes[i]->settings;
		if ((ps >= s->pools && ps < s->pools + s->n_pools) || is_probed_by(&r->routes[i]->pool, s))
			return true;
	}
	return false;
}
