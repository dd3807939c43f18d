/* ready: whether requests can be served, and counts of what serves them, for load balancers and for those who
 * start a fleet and wait for it. */
#include "gateway/backend.h"
#include "gateway/client.h"
#include "gateway/describe.h"
#include "gateway/discover.h"
#include "gateway/intake.h"
#include "gateway/reactor.h"

#include <stdio.h>
#include <string.h>

enum { GENERATIONS_MAX = 16, WORKERS_MAX = 256 }; /* that are shown, those that come first */

/* The containers that have something in common. */
struct group {
	const char *name; /* borrowed from a backend */
	uint32_t containers, up;
};

struct counts {
	uint32_t containers, up, draining, running, waiting;
	uint32_t sources[DISCOVERY_STATES], all_sources;
	struct group generations[GENERATIONS_MAX], workers[WORKERS_MAX];
	uint32_t n_generations, n_workers;
};

/* The group that came last is looked at first: a worker's containers stand side by side. */
static void count_in(struct group *groups, uint32_t *n, uint32_t max, const char *name, bool up)
{
	uint32_t i = *n;
	while (i > 0 && strcmp(groups[i - 1].name, name) != 0)
		i--;
	if (!*name || (i == 0 && *n == max))
		return;
	if (i == 0) {
		groups[*n] = (struct group){ .name = name };
		i = ++*n;
	}
	groups[i - 1].containers++;
	groups[i - 1].up += up;
}

static void count_route(struct counts *c, const struct route *route)
{
	for (uint32_t i = 0; i < route->pool.n_containers; i++) {
		const struct container *container = route->pool.containers[i];
		const struct backend *b = backend_of(container);
		bool up = container->state == CONTAINER_UP;
		c->containers++;
		c->up += up;
		c->draining += container->draining || b->leaving;
		c->running += container_in_flight(container);
		count_in(c->generations, &c->n_generations, GENERATIONS_MAX, b->generation, up);
		count_in(c->workers, &c->n_workers, WORKERS_MAX, b->settings.worker, up);
	}
	c->waiting += order_len(&route->pool.queue);
	for (size_t i = 0; i < route->n_discoveries; i++) {
		c->sources[route->discoveries[i].state]++;
		c->all_sources++;
	}
}

void reactor_summary(const struct reactor *r, char *text, size_t size)
{
	struct counts c = { 0 };
	for (uint32_t i = 0; i < r->n_routes; i++)
		count_route(&c, r->routes[i]);
	snprintf(text, size, "%u of %u containers are up, %u drain%s; %u requests run, %u wait", c.up,
		c.containers, c.draining, c.draining == 1 ? "s" : "", c.running, c.waiting);
}

static void key_u64(struct json *j, const char *key, uint64_t v)
{
	json_key(j, key);
	json_u64(j, v);
}

static void write_groups(struct json *j, const char *key, const struct group *groups, uint32_t n)
{
	json_key(j, key);
	json_open(j, '{');
	for (uint32_t i = 0; i < n; i++) {
		json_key(j, groups[i].name);
		json_open(j, '{');
		key_u64(j, "containers", groups[i].containers);
		key_u64(j, "up", groups[i].up);
		json_close(j, '}');
	}
	json_close(j, '}');
}

static void write_counts(struct json *j, const struct counts *c, bool ready)
{
	json_open(j, '{');
	json_key(j, "ready");
	json_bool(j, ready);
	key_u64(j, "containers", c->containers);
	key_u64(j, "up", c->up);
	key_u64(j, "down", c->containers - c->up);
	key_u64(j, "draining", c->draining);
	json_key(j, "sources");
	json_open(j, '{');
	key_u64(j, "all", c->all_sources);
	for (int s = 0; s < DISCOVERY_STATES; s++)
		key_u64(j, discovery_state_name((enum discovery_state)s), c->sources[s]);
	json_close(j, '}');
	write_groups(j, "generations", c->generations, c->n_generations);
	write_groups(j, "workers", c->workers, c->n_workers);
	json_close(j, '}');
	json_bytes(j, STR("\n"));
}

void api_readyz(struct client *c)
{
	struct reactor *r = c->reactor;
	struct counts counts = { 0 };
	for (uint32_t i = 0; i < r->n_routes; i++)
		count_route(&counts, r->routes[i]);
	bool ready = counts.up > 0 && !r->draining;
	json_reset(&r->json);
	write_counts(&r->json, &counts, ready);
	client_reply(c, ready ? 200 : 503, "application/json", STR(NO_STORE), json_str(&r->json));
}
