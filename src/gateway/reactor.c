#include "gateway/reactor.h"

#include "base/log.h"
#include "gateway/access_log.h"
#include "gateway/backend.h"
#include "gateway/client.h"
#include "gateway/exchange.h"
#include "gateway/members.h"
#include "gateway/status_file.h"
#include "gateway/watch.h"
#include "http/url.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	FILES_KEPT = 64, /* descriptors of the process itself: listeners, loop, logs, store */
	LOG_AGAIN_US = 50 * 1000,
};

static void on_connection(struct io_listener *l, const struct io_addr *peer)
{
	client_accept(CONTAINER_OF(l, struct front, listener), l, peer);
}

static const struct io_listener_ops front_ops = { .on_connection = on_connection };

void reactor_changed(struct reactor *r)
{
	if (r->status_file)
		status_file_touch(r->status_file);
}

/* ---- routes ---- */

/* host: with or without port. */
static bool host_fits(struct str pattern, struct str host)
{
	if (pattern.len == 1 && pattern.ptr[0] == '*')
		return true;
	host = url_host(host);
	if (!str_starts(pattern, STR("*.")))
		return str_eq_nocase(pattern, host);
	struct str suffix = str_skip(pattern, 1); /* ".example.org" */
	return host.len > suffix.len &&
		str_eq_nocase((struct str){ host.ptr + host.len - suffix.len, suffix.len }, suffix);
}

/* A prefix covers whole segments: /a covers /a and /a/b, not /ab. */
static bool path_fits(struct str prefix, struct str path)
{
	if (!str_starts(path, prefix))
		return false;
	return prefix.ptr[prefix.len - 1] == '/' || path.len == prefix.len || path.ptr[prefix.len] == '/';
}

struct route *reactor_route(struct reactor *r, struct str host, struct str path)
{
	for (uint32_t i = 0; i < r->n_routes; i++) {
		const struct pool_settings *ps = r->routes[i]->settings;
		if (!r->routes[i]->gone && host_fits(str_of(ps->host), host) &&
			path_fits(str_of(ps->path_prefix), path))
			return r->routes[i];
	}
	return NULL;
}

/* The longest prefix first; among equals, the more exact host; those that are gone last. */
static int by_prefix(const void *a, const void *b)
{
	const struct route *p = *(struct route *const *)a, *q = *(struct route *const *)b;
	if (p->gone || q->gone)
		return p->gone - q->gone;
	const struct pool_settings *x = p->settings, *y = q->settings;
	size_t nx = strlen(x->path_prefix), ny = strlen(y->path_prefix);
	if (nx != ny)
		return nx < ny ? 1 : -1;
	bool any_x = x->host[0] == '*', any_y = y->host[0] == '*';
	if (any_x != any_y)
		return any_x ? 1 : -1;
	nx = strlen(x->host);
	ny = strlen(y->host);
	return nx == ny ? 0 : nx < ny ? 1 : -1;
}

void reactor_sort_routes(struct reactor *r)
{
	qsort(r->routes, r->n_routes, sizeof *r->routes, by_prefix);
}

struct pool_limits route_limits(const struct pool_settings *ps)
{
	return (struct pool_limits){
		.queue_max = ps->queue_max,
		.queue_max_bytes = ps->queue_max_bytes,
		.fall = ps->health.fall,
		.rise = ps->health.rise,
		.backoff_min_us = ps->health.backoff_min_us,
		.backoff_max_us = ps->health.backoff_max_us,
	};
}

int reactor_add_route(struct reactor *r, const struct pool_settings *ps)
{
	struct route **list = realloc(r->routes, (r->n_routes + 1) * sizeof *list);
	if (!list)
		return -ENOMEM;
	r->routes = list;
	struct route *route = calloc(1, sizeof *route);
	if (!route)
		return -ENOMEM;
	struct pool_limits limits = route_limits(ps);
	route->reactor = r;
	route->settings = ps;
	pool_init(&route->pool, &limits);
	list_init(&route->aside);
	retry_budget_init(&route->retry_budget, ps->retry_percent, ps->retry_min);
	r->routes[r->n_routes++] = route;
	return discoveries_follow(route) ? 0 : -ENOMEM;
}

static int routes_create(struct reactor *r)
{
	int err = 0;
	for (size_t i = 0; i < r->settings->n_pools && err == 0; i++)
		err = reactor_add_route(r, &r->settings->pools[i]);
	if (r->n_routes)
		reactor_sort_routes(r);
	return err == 0 && !members_apply(r) ? -ENOMEM : err;
}

/* ---- turns ---- */

static void empty_graveyards(struct reactor *r)
{
	while (r->dead_watches) {
		struct watch *w = r->dead_watches;
		r->dead_watches = w->next;
		free(w);
	}
	struct list_node *n;
	while ((n = list_pop_front(&r->dead_exchanges)))
		exchange_free(CONTAINER_OF(n, struct exchange, ticket.entry.node));
	while ((n = list_pop_front(&r->dead_clients)))
		client_free(CONTAINER_OF(n, struct client, node));
}

static bool any_sends(const struct list *clients)
{
	list_for_each (n, clients) {
		const struct client *c = CONTAINER_OF(n, struct client, node);
		if (c->out || c->phase == CLIENT_LINGERING)
			return true;
	}
	return false;
}

/* The pool is gone, and b works on for those who wait, or whose jobs are being committed. It gets what comes
 * back to the queue as well, and so is not drained before it goes. */
static bool is_needed(const struct backend *b)
{
	const struct pool *p = &b->route->pool;
	bool works_on = !b->container->draining || b->held || b->retiring;
	return b->route->gone && works_on && order_len(&p->queue) + p->reserved;
}

/* Backends that leave go when nothing is in flight there any more; those of a pool that is gone stay until
 * its queue is empty. */
static void remove_leaving(struct reactor *r)
{
	uint32_t before = r->n_leaving;
	for (uint32_t i = 0; i < r->n_routes; i++) {
		struct pool *p = &r->routes[i]->pool;
		for (uint32_t k = p->n_containers; k-- > 0;) {
			struct backend *b = backend_of(p->containers[k]);
			if (!b->leaving || is_needed(b))
				continue;
			if (container_is_at_rest(b->container))
				backend_remove(b);
		}
	}
	if (r->n_leaving < before)
		members_begin_waiting(r);
}

static void plan_polling(struct reactor *r)
{
	struct io *io = r->io;
	uint64_t due_us = UINT64_MAX;
	io->poll_until_us = 0;
	if (!r->settings->spin)
		return;
	for (uint32_t i = 0; i < r->n_routes; i++) {
		uint64_t own_us = spin_due_us(&r->routes[i]->pool, io->now_us);
		due_us = own_us < due_us ? own_us : due_us;
	}
	spin_spend(&r->spin, io->polled.us - r->polled.us, io->polled.hits - r->polled.hits);
	r->polled = io->polled;
	struct spin_window w = spin_next(&r->spin, due_us, r->settings->spin_share, io->now_us);
	io->poll_from_us = w.from_us;
	io->poll_until_us = w.until_us;
}

/* What the readers of the logs have not taken yet is tried again, also when nothing else happens. */
static void flush_logs(struct reactor *r)
{
	bool is_taken = access_log_flush(r->access_log);
	if (!(log_flush() && is_taken) && !r->log_timer.due_us)
		io_timer_set(r->io, &r->log_timer, r->io->now_us + LOG_AGAIN_US);
}

static void on_log_again(struct io_timer *t)
{
	flush_logs(CONTAINER_OF(t, struct reactor, log_timer));
}

static void on_turn_end(struct io *io)
{
	struct reactor *r = io->user;
	for (uint32_t i = 0; i < r->n_routes; i++)
		pool_check_turn(&r->routes[i]->pool);
	if (!list_empty(&r->dead_clients) || !list_empty(&r->dead_exchanges) || r->dead_watches)
		empty_graveyards(r);
	if (r->n_leaving)
		remove_leaving(r);
	flush_logs(r);
	plan_polling(r);
	if (r->draining && r->exchange_pool.used == 0 && r->jobs.count == 0 && !any_sends(&r->clients) &&
		!any_sends(&r->operators))
		io_stop(io);
}

/* ---- life ---- */

static struct reactor *fail(struct reactor *r, char *error, size_t error_size, const char *fmt, ...)
	PRINTF(4, 5);
static struct reactor *fail(struct reactor *r, char *error, size_t error_size, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(error, error_size, fmt, ap);
	va_end(ap);
	reactor_destroy(r);
	return NULL;
}

static const char *listen_hint(int err)
{
	switch (err) {
	case -EADDRINUSE:
		return "; another program listens there: stop it or choose another address";
	case -EACCES:
		return "; ports below 1024 need root or CAP_NET_BIND_SERVICE";
	case -EADDRNOTAVAIL:
		return "; this machine has no such address";
	case -ENOTSOCK:
		return "; something else has this path: choose another";
	case -ENOENT:
		return "; the directory must be there";
	default:
		return "";
	}
}

static int open_front(struct reactor *r, const struct io_addr *addr, int fd, bool admin)
{
	struct front *f = &r->fronts[r->n_fronts];
	*f = (struct front){ .reactor = r, .admin = admin };
	int err = addr ? io_listen(r->io, &f->listener, addr, &front_ops)
		       : io_listen_fd(r->io, &f->listener, fd, &front_ops);
	if (err == 0)
		r->n_fronts++;
	return err;
}

static uint32_t places(const struct reactor *r, uint32_t most)
{
	uint32_t files = r->io->max_files;
	return files && files / 16 < most ? files / 16 : most;
}

uint32_t reactor_refused_places(const struct reactor *r)
{
	return places(r, REFUSED_CLIENTS);
}

uint32_t reactor_operator_places(const struct reactor *r)
{
	return places(r, ADMIN_CLIENTS);
}

/* Descriptors that clients and spool files share. */
static uint32_t shared_files(const struct reactor *r)
{
	uint32_t files = r->io->max_files;
	uint64_t kept = FILES_KEPT + reactor_refused_places(r) + reactor_operator_places(r);
	for (uint32_t i = 0; i < r->n_routes; i++)
		kept += pool_slots(&r->routes[i]->pool);
	return files > kept ? (uint32_t)(files - kept) : 0;
}

static uint32_t larger(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

void reactor_share_files(struct reactor *r)
{
	uint32_t files = r->io->max_files, shared = shared_files(r);
	uint32_t left = shared > r->clients.len ? shared - r->clients.len : 0;
	r->budget.spool_files_max = files ? larger(left, larger(files / 16, 1)) : 0;
}

uint32_t reactor_client_limit(const struct reactor *r)
{
	uint32_t most = r->settings->max_connections, files = r->io->max_files, shared = shared_files(r);
	uint32_t spools = larger(r->budget.spool_files, files / 16);
	uint32_t left = shared > spools ? shared - spools : 1;
	return files && left < most ? left : most;
}

void reactor_set_limits(struct reactor *r, const struct settings *s)
{
	uint64_t patience_ms = s->client_send_us / 1000;
	r->io->closed_patience_ms = patience_ms < INT_MAX ? (uint32_t)patience_ms : INT_MAX;
	r->client_pool.max = s->max_connections + REFUSED_CLIENTS + ADMIN_CLIENTS;
	r->job_pool.max = s->jobs_max;
	/* never fewer than before: who was let in by a higher limit goes on asking */
	r->exchange_pool.max =
		larger(r->exchange_pool.max, s->max_connections + s->jobs_max + REFUSED_CLIENTS);
	r->budget.memory_max = s->memory_limit_bytes;
	r->budget.spool_max = s->spool_max_bytes;
	peers_set_limits(&r->peers, s->max_connections_per_address, s->max_connections + REFUSED_CLIENTS);
}

static int parts_create(struct reactor *r)
{
	const struct settings *s = r->settings;
	uint64_t seed;
	io_random(r->io, &seed, sizeof seed);
	rand_seed(&r->rand, seed);
	list_init(&r->clients);
	list_init(&r->operators);
	list_init(&r->dead_clients);
	list_init(&r->dead_exchanges);
	json_init(&r->json);
	objpool_init(&r->client_pool, sizeof(struct client), 0);
	objpool_init(&r->exchange_pool, sizeof(struct exchange), 0);
	objpool_init(&r->job_pool, sizeof(struct job), 0);
	r->fronts = calloc(s->n_listen + s->n_listen_fds + 1, sizeof *r->fronts);
	if (peers_init(&r->peers, rand_u64(&r->rand)) < 0)
		return -ENOMEM;
	reactor_set_limits(r, s);
	return r->fronts ? routes_create(r) : -ENOMEM;
}

static void on_drained_too_long(struct io_timer *t)
{
	struct reactor *r = CONTAINER_OF(t, struct reactor, drain_timer);
	log_warning("drain_timeout is over: %u requests are cut off", r->exchange_pool.used);
	io_stop(r->io);
}

struct reactor *reactor_create(struct io *io, const struct settings *settings, char *error, size_t error_size)
{
	char text[IO_ADDR_TEXT];
	const char *bad = NULL;
	struct reactor *r = calloc(1, sizeof *r);
	if (!r) {
		snprintf(error, error_size, "out of memory");
		return NULL;
	}
	r->io = io;
	r->settings = settings;
	r->started_us = io->now_us;
	r->drain_timer.on_timer = on_drained_too_long;
	r->log_timer.on_timer = on_log_again;
	io->user = r;
	io->on_turn_end = on_turn_end;
	if (parts_create(r) < 0)
		return fail(r, error, error_size, "out of memory");
	if (networks_create(&r->trusted, settings->trusted_proxies, settings->n_trusted_proxies, &bad) < 0)
		return fail(r, error, error_size,
			"trusted_proxies: \"%s\" is no address or network like 10.0.0.0/8", bad ? bad : "");
	if (settings->access_log && !(r->access_log = access_log_create(settings->access_log)))
		return fail(r, error, error_size, "access_log: cannot open %s: %s", settings->access_log,
			strerror(errno));
	if (!jobs_init(&r->jobs, r, error, error_size)) {
		reactor_destroy(r);
		return NULL;
	}
	for (size_t i = 0; i < settings->n_listen_fds; i++) {
		int err = open_front(r, NULL, settings->listen_fds[i], false);
		if (err < 0)
			return fail(r, error, error_size, "cannot use the socket that was handed over: %s",
				strerror(-err));
	}
	for (size_t i = 0; i < settings->n_listen; i++) {
		int err = open_front(r, &settings->listen[i], -1, false);
		if (err < 0)
			return fail(r, error, error_size, "listen: cannot listen on %s: %s%s",
				io_addr_print(&settings->listen[i], true, text), strerror(-err),
				listen_hint(err));
	}
	if (settings->admin.len) {
		int err = open_front(r, &settings->admin, -1, true);
		if (err < 0)
			return fail(r, error, error_size, "admin: cannot listen on %s: %s%s",
				io_addr_print(&settings->admin, true, text), strerror(-err),
				listen_hint(err));
	}
	if (settings->status_file && !(r->status_file = status_file_create(r, settings->status_file)))
		return fail(r, error, error_size, "out of memory");
	return r;
}

void reactor_drain(struct reactor *r)
{
	if (r->draining) {
		io_stop(r->io);
		return;
	}
	r->draining = true;
	for (uint32_t i = 0; i < r->n_fronts; i++) {
		if (!r->fronts[i].admin)
			io_unlisten(r->io, &r->fronts[i].listener);
	}
	list_for_each_safe (n, &r->clients) {
		struct client *c = CONTAINER_OF(n, struct client, node);
		if (c->phase == CLIENT_IDLE)
			client_close(c);
	}
	jobs_leave_queue(&r->jobs);
	io_timer_set(r->io, &r->drain_timer, r->io->now_us + r->settings->drain_timeout_us);
}

static void routes_destroy(struct reactor *r)
{
	for (uint32_t i = 0; i < r->n_routes; i++) {
		struct pool *p = &r->routes[i]->pool;
		struct order_entry *e;
		while ((e = order_first(&p->queue))) { /* jobs: no client ends them */
			struct exchange *ex = CONTAINER_OF(e, struct exchange, ticket.entry);
			ticket_withdraw(&ex->ticket);
			exchange_bury(ex);
		}
		for (uint32_t k = 0; k < p->n_containers; k++)
			backend_destroy(backend_of(p->containers[k]));
	}
	empty_graveyards(r);
	for (uint32_t i = 0; i < r->n_routes; i++) {
		pool_finish(&r->routes[i]->pool);
		discoveries_finish(r->routes[i]);
		free(r->routes[i]->dismissed);
		free(r->routes[i]);
	}
	free(r->routes);
}

void reactor_destroy(struct reactor *r)
{
	if (!r)
		return;
	struct list_node *n;
	status_file_destroy(r->status_file);
	r->status_file = NULL;
	for (uint32_t i = 0; i < r->n_fronts; i++)
		io_unlisten(r->io, &r->fronts[i].listener);
	while ((n = list_first(&r->clients)) || (n = list_first(&r->operators)))
		client_close(CONTAINER_OF(n, struct client, node));
	jobs_close(&r->jobs);
	jobs_finish(&r->jobs); /* while their exchanges are there to be told */
	routes_destroy(r);
	io_timer_stop(r->io, &r->drain_timer);
	io_timer_stop(r->io, &r->log_timer);
	access_log_destroy(r->access_log);
	peers_finish(&r->peers);
	objpool_finish(&r->client_pool);
	objpool_finish(&r->exchange_pool);
	objpool_finish(&r->job_pool);
	CHECK(r->budget.memory_used == 0 && r->budget.spool_used == 0);
	json_finish(&r->json);
	free(r->trusted.list);
	free(r->fronts);
	r->io->on_turn_end = NULL;
	free(r);
}

void reactor_reopen_log(struct reactor *r)
{
	access_log_reopen(r->access_log);
}

static bool front_addr(const struct reactor *r, size_t index, bool admin, struct io_addr *ret_addr)
{
	for (uint32_t i = 0; i < r->n_fronts; i++) {
		struct front *f = &r->fronts[i];
		if (f->admin == admin && index-- == 0)
			return io_listen_addr(r->io, &f->listener, ret_addr) == 0;
	}
	return false;
}

bool reactor_front_addr(const struct reactor *r, size_t index, struct io_addr *ret_addr)
{
	return front_addr(r, index, false, ret_addr);
}

bool reactor_admin_addr(const struct reactor *r, struct io_addr *ret_addr)
{
	return front_addr(r, 0, true, ret_addr);
}
