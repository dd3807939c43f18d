#include "gateway/discover.h"

#include "base/log.h"
#include "gateway/members.h"
#include "gateway/reactor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *discovery_state_name(enum discovery_state state)
{
	static const char *const names[DISCOVERY_STATES] = { "unheard", "heard", "unreachable" };
	return names[state];
}

/* ---- the sources that there are ---- */

static struct discovery *find_source(const struct route *route, const char *source)
{
	for (size_t i = 0; i < route->n_discoveries; i++) {
		if (!strcmp(route->discoveries[i].source, source))
			return &route->discoveries[i];
	}
	return NULL;
}

/* What comes waits for the first word of each source, good or bad. */
static void update_expectation(struct route *route)
{
	route->pool.expecting = false;
	for (size_t i = 0; i < route->n_discoveries; i++)
		route->pool.expecting |= route->discoveries[i].state == DISCOVERY_UNHEARD;
}

bool discoveries_follow(struct route *route)
{
	const struct pool_settings *ps = route->settings;
	struct discovery *list = calloc(ps->n_sources ? ps->n_sources : 1, sizeof *list);
	if (!list)
		return false;
	for (size_t i = 0; i < ps->n_sources; i++) {
		struct discovery *before = find_source(route, ps->sources[i]);
		if (before) {
			list[i] = *before;
			before->members = NULL;
		}
		str_copy(list[i].source, sizeof list[i].source, str_of(ps->sources[i]));
	}
	discoveries_finish(route);
	route->discoveries = list;
	route->n_discoveries = ps->n_sources;
	update_expectation(route);
	return true;
}

void discoveries_finish(struct route *route)
{
	for (size_t i = 0; i < route->n_discoveries; i++)
		free(route->discoveries[i].members);
	free(route->discoveries);
	route->discoveries = NULL;
	route->n_discoveries = 0;
	update_expectation(route);
}

static int compare_members(const void *a, const void *b)
{
	const struct member *x = a, *y = b;
	return io_addr_compare(&x->told.addr, &y->told.addr);
}

struct member *discoveries_find(const struct route *route, const struct io_addr *addr)
{
	const struct member wanted = { .told.addr = *addr };
	for (size_t i = 0; i < route->n_discoveries; i++) {
		const struct discovery *d = &route->discoveries[i];
		struct member *m =
			d->n ? bsearch(&wanted, d->members, d->n, sizeof wanted, compare_members) : NULL;
		if (m)
			return m;
	}
	return NULL;
}

bool discoveries_are_incomplete(const struct route *route)
{
	for (size_t i = 0; i < route->n_discoveries; i++) {
		if (!route->discoveries[i].known)
			return true;
	}
	return false;
}

static void set_state(struct route *route, struct discovery *d, enum discovery_state state)
{
	d->state = state;
	d->known |= state == DISCOVERY_HEARD;
	update_expectation(route);
}

/* ---- what they tell ---- */

static struct discovery *find(
	struct reactor *r, const char *pool, const char *source, struct route **ret_route)
{
	for (uint32_t i = 0; i < r->n_routes; i++) {
		struct route *route = r->routes[i];
		if (route->gone || strcmp(route->settings->name, pool) != 0)
			continue;
		*ret_route = route;
		return find_source(route, source);
	}
	return NULL;
}

/* The containers of a list by address, each once, without those that cannot be; at most so many as there may
 * be of one source. Their number. */
static size_t sift(const struct reactor *r, const char *source, const struct source_container *list, size_t n,
	struct member *into)
{
	char text[IO_ADDR_TEXT];
	size_t kept = 0, apart = 0, max = r->settings->sources.containers_max;
	for (size_t i = 0; i < n; i++) {
		into[kept] = (struct member){ .told = list[i] };
		if (container_addr_is_allowed(&list[i].addr))
			kept++;
		else
			log_warning("%s: %s is left out: port 0, link-local and metadata addresses are no "
				    "containers",
				source, io_addr_print(&list[i].addr, true, text));
	}
	if (kept)
		qsort(into, kept, sizeof *into, compare_members);
	for (size_t i = 0; i < kept; i++) {
		if (!apart || compare_members(&into[apart - 1], &into[i]) != 0)
			into[apart++] = into[i];
	}
	if (apart <= max)
		return apart;
	log_error("%s: %zu containers are more than discovery.max_containers (%zu): the rest is left out",
		source, apart, max);
	return max;
}

static bool is_same(const struct member *a, const struct member *b)
{
	return compare_members(a, b) == 0 && !strcmp(a->told.name, b->told.name) &&
		!strcmp(a->told.worker, b->told.worker) && !strcmp(a->told.generation, b->told.generation) &&
		io_addr_compare(&a->told.near, &b->told.near) == 0 && a->told.draining == b->told.draining;
}

/* The new list takes the place of the old one. False when they are the same. */
static bool replace(struct discovery *d, struct member *members, size_t n)
{
	bool same = d->known && n == d->n;
	for (size_t i = 0; i < n; i++) {
		const struct member *before = d->n
			? bsearch(&members[i], d->members, d->n, sizeof *members, compare_members)
			: NULL;
		members[i].clashes = before && before->clashes;
		same = same && before && is_same(before, &members[i]);
	}
	free(d->members);
	d->members = members;
	d->n = n;
	return !same;
}

void reactor_discover(struct reactor *r, const char *pool, const char *source,
	const struct source_container *list, size_t n)
{
	struct route *route;
	struct discovery *d = find(r, pool, source, &route);
	struct member *members = d ? malloc((n + 1) * sizeof *members) : NULL;
	if (!members) {
		if (d)
			reactor_lose_sight(r, pool, source, "out of memory");
		return;
	}
	bool changed = replace(d, members, sift(r, source, list, n, members));
	if (changed)
		log_info("%s: %zu container%s", source, d->n, d->n == 1 ? "" : "s");
	else if (d->state == DISCOVERY_UNREACHABLE)
		log_info("%s: in reach again, nothing has changed", source);
	set_state(route, d, DISCOVERY_HEARD);
	if (changed && !members_apply(r))
		log_error("%s: out of memory: not all of its containers have joined", source);
}

void reactor_lose_sight(struct reactor *r, const char *pool, const char *source, const char *why)
{
	struct route *route;
	struct discovery *d = find(r, pool, source, &route);
	if (!d || (d->state == DISCOVERY_UNREACHABLE && !strcmp(d->why, why)))
		return;
	set_state(route, d, DISCOVERY_UNREACHABLE);
	snprintf(d->why, sizeof d->why, "%s", why);
	log_warning("%s: %s; what is known of it stays (%zu container%s)", source, why, d->n,
		d->n == 1 ? "" : "s");
}
