#include "gateway/members.h"

#include "base/log.h"
#include "gateway/backend.h"
#include "gateway/discover.h"
#include "gateway/reactor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	NAME_BYTES = sizeof((struct container_settings *)NULL)->name,
	NAME_SUFFIX = 8, /* "-123456" */
	NAMES_ALIKE_MAX = 1000000,
};

/* ---- who is there ---- */

static struct backend *backend_at(const struct route *route, const struct io_addr *addr, bool leaving)
{
	for (uint32_t i = 0; i < route->pool.n_containers; i++) {
		struct backend *b = backend_of(route->pool.containers[i]);
		if (b->leaving == leaving && backend_is_at(b, addr))
			return b;
	}
	return NULL;
}

static struct backend *find_at(const struct reactor *r, const struct io_addr *addr, bool leaving)
{
	for (uint32_t i = 0; i < r->n_routes; i++) {
		struct backend *b = backend_at(r->routes[i], addr, leaving);
		if (b)
			return b;
	}
	return NULL;
}

struct backend *members_at(const struct reactor *r, const struct io_addr *addr)
{
	return find_at(r, addr, false);
}

static bool is_being_left(const struct reactor *r, const struct io_addr *addr)
{
	return find_at(r, addr, true) != NULL;
}

void members_begin_waiting(struct reactor *r)
{
	for (uint32_t i = 0; i < r->n_routes; i++) {
		struct pool *p = &r->routes[i]->pool;
		for (uint32_t k = 0; k < p->n_containers; k++) {
			struct backend *b = backend_of(p->containers[k]);
			if (b->waiting && !is_being_left(r, &b->settings.addr))
				backend_begin(b);
		}
	}
}

/* ---- names ---- */

static bool name_is_taken(const struct reactor *r, const char *name, const struct backend *but)
{
	for (uint32_t i = 0; i < r->n_routes; i++) {
		const struct pool *p = &r->routes[i]->pool;
		for (uint32_t k = 0; k < p->n_containers; k++) {
			const struct backend *b = backend_of(p->containers[k]);
			if (b != but && !strcmp(b->settings.name, name))
				return true;
		}
	}
	return false;
}

/* "10.0.0.7-5000": what the source calls it, or else its address, in letters that a name may have. */
static void proposed_name(const struct source_container *told, char name[NAME_BYTES])
{
	char text[IO_ADDR_TEXT];
	const char *from = told->name[0] ? told->name : io_addr_print(&told->addr, true, text);
	size_t n = 0;
	for (; *from && n < NAME_BYTES - NAME_SUFFIX; from++) {
		bool fits = str_is_name((struct str){ from, 1 }) || (*from == '.' && n > 0);
		if (fits)
			name[n++] = *from;
		else if (*from != '[' && *from != ']')
			name[n++] = '-';
	}
	name[n] = '\0';
}

/* Metrics, and requests to change a container, need a name that no other has. */
static void name_backend(struct backend *b, const struct source_container *told)
{
	const struct reactor *r = b->route->reactor;
	char base[NAME_BYTES], name[NAME_BYTES + 16];
	proposed_name(told, base);
	size_t n = strlen(base);
	snprintf(name, sizeof name, "%s", base);
	if (name_is_taken(r, name, b) && !strncmp(b->settings.name, base, n) && b->settings.name[n] == '-')
		return; /* its number has been found before */
	for (unsigned i = 2; name_is_taken(r, name, b) && i < NAMES_ALIKE_MAX; i++)
		snprintf(name, sizeof name, "%s-%u", base, i);
	str_copy(b->settings.name, sizeof b->settings.name, str_of(name));
}

/* ---- who shall be there ---- */

static const struct container_settings *find_setting(const struct route *route, const struct io_addr *addr)
{
	const struct pool_settings *ps = route->settings;
	for (size_t i = 0; i < ps->n_containers; i++) {
		if (io_addr_compare(&ps->containers[i].addr, addr) == 0)
			return &ps->containers[i];
	}
	return NULL;
}

static bool is_set_elsewhere(const struct route *route, const struct io_addr *addr)
{
	const struct reactor *r = route->reactor;
	for (uint32_t i = 0; i < r->n_routes; i++) {
		if (r->routes[i] != route && !r->routes[i]->gone && find_setting(r->routes[i], addr))
			return true;
	}
	return false;
}

static bool is_dismissed(const struct route *route, const struct io_addr *addr)
{
	for (uint32_t i = 0; i < route->n_dismissed; i++) {
		if (io_addr_compare(&route->dismissed[i], addr) == 0)
			return true;
	}
	return false;
}

/* What nobody names any more needs no note that it was dismissed. */
static void forget_dismissed(struct route *route)
{
	uint32_t kept = 0;
	for (uint32_t i = 0; i < route->n_dismissed; i++) {
		const struct io_addr *addr = &route->dismissed[i];
		if (find_setting(route, addr) || discoveries_find(route, addr))
			route->dismissed[kept++] = *addr;
	}
	route->n_dismissed = kept;
}

/* ---- those that are there ---- */

static void keep_set(struct backend *b, const struct container_settings *cs)
{
	b->settings = *cs; /* its name may be another */
	b->generation[0] = '\0';
	backend_retire(b, false);
	backend_stay(b);
}

static void keep_told(struct backend *b, const struct source_container *told)
{
	name_backend(b, told);
	str_copy(b->settings.worker, sizeof b->settings.worker, str_of(told->worker));
	b->settings.near = told->near;
	str_copy(b->generation, sizeof b->generation, str_of(told->generation));
	backend_retire(b, told->draining);
	backend_stay(b);
}

static void keep_or_leave(struct backend *b)
{
	const struct route *route = b->route;
	const struct io_addr *addr = &b->settings.addr;
	const struct container_settings *cs = find_setting(route, addr);
	const struct member *m = cs ? NULL : discoveries_find(route, addr);
	bool fits = b->container->n_slots == route->settings->slots;
	if (is_dismissed(route, addr) || (!cs && is_set_elsewhere(route, addr)))
		backend_leave(b);
	else if (cs && fits)
		keep_set(b, cs);
	else if (m && fits)
		keep_told(b, &m->told);
	else if (cs || m || !discoveries_are_incomplete(route)) /* else a new source may come to name it */
		backend_leave(b);
}

static void keep_or_leave_all(struct route *route)
{
	for (uint32_t i = 0; i < route->pool.n_containers; i++) {
		struct backend *b = backend_of(route->pool.containers[i]);
		if (!b->by_hand)
			keep_or_leave(b);
	}
}

/* ---- those that are missing ---- */

static struct backend *join(struct route *route, const struct container_settings *cs)
{
	struct backend *b = backend_add(route, cs);
	if (b && is_being_left(route->reactor, &cs->addr))
		backend_wait(b);
	return b;
}

static bool join_set(struct route *route)
{
	bool ok = true;
	for (size_t i = 0; i < route->settings->n_containers; i++) {
		const struct container_settings *cs = &route->settings->containers[i];
		if (is_dismissed(route, &cs->addr))
			continue;
		const struct backend *there = members_at(route->reactor, &cs->addr);
		if (!there)
			ok = join(route, cs) && ok;
		else if (there->route != route)
			log_error("%s is left out of the pool %s: an operator has added it to the pool %s",
				cs->name, route->settings->name, there->route->settings->name);
	}
	return ok;
}

/* Two pools would give it twice its slots. */
static void tell_clash(const struct route *route, struct member *m)
{
	char text[IO_ADDR_TEXT];
	if (!m->clashes)
		log_error("%s is left out of the pool %s: it is a container of another pool",
			io_addr_print(&m->told.addr, true, text), route->settings->name);
	m->clashes = true;
}

static bool join_told(struct route *route, struct member *m)
{
	struct container_settings cs = { .addr = m->told.addr };
	const struct backend *there = members_at(route->reactor, &m->told.addr);
	if ((there && there->route != route) || is_set_elsewhere(route, &m->told.addr)) {
		tell_clash(route, m);
		return true;
	}
	m->clashes = false;
	if (there || is_dismissed(route, &m->told.addr))
		return true;
	struct backend *b = join(route, &cs);
	if (b)
		keep_told(b, &m->told);
	return b;
}

static bool join_discovered(struct route *route)
{
	bool ok = true;
	for (size_t i = 0; i < route->n_discoveries; i++) {
		struct discovery *d = &route->discoveries[i];
		for (size_t k = 0; k < d->n; k++)
			ok = join_told(route, &d->members[k]) && ok;
	}
	return ok;
}

static bool each_route(struct reactor *r, bool (*what)(struct route *route))
{
	bool ok = true;
	for (uint32_t i = 0; i < r->n_routes; i++)
		ok = (r->routes[i]->gone || what(r->routes[i])) && ok;
	return ok;
}

bool members_apply(struct reactor *r)
{
	for (uint32_t i = 0; i < r->n_routes; i++) {
		if (r->routes[i]->gone)
			continue;
		forget_dismissed(r->routes[i]);
		keep_or_leave_all(r->routes[i]);
	}
	bool set = each_route(r, join_set);
	return each_route(r, join_discovered) && set;
}

/* ---- by hand ---- */

struct backend *members_add(struct route *route, const struct container_settings *cs)
{
	struct backend *b = join(route, cs);
	if (b)
		b->by_hand = true;
	return b;
}

bool members_dismiss(struct backend *b)
{
	struct route *route = b->route;
	if (!is_dismissed(route, &b->settings.addr)) {
		struct io_addr *list =
			realloc(route->dismissed, (route->n_dismissed + 1) * sizeof *route->dismissed);
		if (!list)
			return false;
		route->dismissed = list;
		route->dismissed[route->n_dismissed++] = b->settings.addr;
	}
	backend_leave(b);
	if (!members_apply(route->reactor)) /* another pool may have waited for it */
		log_error("out of memory: not all containers have joined");
	return true;
}

void members_forgive(struct route *route)
{
	free(route->dismissed);
	route->dismissed = NULL;
	route->n_dismissed = 0;
}
