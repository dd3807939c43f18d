#include "gateway/backend.h"

#include "base/log.h"
#include "base/rand.h"
#include "gateway/exchange.h"
#include "gateway/reactor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The interval with ±10 % of jitter, so that containers are not probed in step. */
static uint64_t next_probe_us(const struct backend *b)
{
	uint64_t interval = b->route->settings->health.interval_us;
	return interval - interval / 10 + rand_below(&b->route->reactor->rand, interval / 5 + 1);
}

static void arm(struct backend *b, uint64_t due_us)
{
	io_timer_set(b->route->reactor->io, &b->timer, due_us);
}

static void probe_idle(struct backend *b)
{
	bool check = b->check;
	b->check = false;
	if (b->route->settings->health.path) {
		struct slot *s = container_probe(b->container);
		if (s && s->state == SLOT_BUSY)
			upstream_probe(upstream_of(s), PROBE_HEALTH);
		else if (s)
			(void)upstream_connect(upstream_of(s));
	} else if (check) {
		struct slot *s = container_check(b->container);
		if (s)
			(void)upstream_connect(upstream_of(s));
	}
}

static void on_watch(struct io_timer *t)
{
	struct backend *b = CONTAINER_OF(t, struct backend, timer);
	uint64_t now_us = b->route->reactor->io->now_us;
	if (b->container->state == CONTAINER_UP) {
		probe_idle(b);
		if (b->route->settings->health.path)
			arm(b, now_us + next_probe_us(b));
		return;
	}
	if (b->container->retry_at_us > now_us) {
		arm(b, b->container->retry_at_us);
		return;
	}
	if (b->container->state == CONTAINER_RESTING) {
		container_up(b->container);
		backend_note(b, CONTAINER_RESTING);
		route_pump(b->route);
		return;
	}
	bool is_over =
		b->leaving && b->container->draining; /* else the queue of a pool that is gone needs it */
	struct slot *s = is_over ? NULL : container_retry(b->container);
	if (s)
		(void)upstream_connect(upstream_of(s));
	else /* one is being tried, or still at an old request: look again */
		arm(b, now_us + b->route->settings->health.backoff_min_us);
}

struct backend *backend_add(struct route *route, const struct container_settings *settings)
{
	uint32_t slots = route->settings->slots;
	struct container *c = pool_add(&route->pool, slots);
	struct backend *b = c ? calloc(1, sizeof *b + slots * sizeof *b->upstreams) : NULL;
	if (!b) {
		if (c)
			pool_remove(c);
		return NULL;
	}
	b->settings = *settings;
	if (settings->addr.sa.sa_family == AF_UNIX)
		str_copy(b->host, sizeof b->host, STR("localhost"));
	else
		io_addr_print(&settings->addr, true, b->host);
	b->route = route;
	b->container = c;
	b->timer.on_timer = on_watch;
	c->shell = b;
	for (uint32_t i = 0; i < slots; i++) {
		upstream_init(&b->upstreams[i], b, &c->slot[i]);
		c->slot[i].shell = &b->upstreams[i];
	}
	arm(b, route->reactor->io->now_us);
	reactor_changed(route->reactor);
	return b;
}

bool backend_is_at(const struct backend *b, const struct io_addr *addr)
{
	return io_addr_compare(&b->settings.addr, addr) == 0;
}

void backend_wait(struct backend *b)
{
	b->waiting = true;
	io_timer_stop(b->route->reactor->io, &b->timer);
}

void backend_begin(struct backend *b)
{
	b->waiting = false;
	arm(b, b->route->reactor->io->now_us);
}

/* What one of those who may drain it has said has changed. In a pool that is gone it works until the queue is
 * empty.
 */
static void update_draining(struct backend *b)
{
	bool draining = (b->leaving && !b->route->gone) || b->held || b->retiring;
	if (b->container->draining != draining)
		container_drain(b->container, draining);
	reactor_changed(b->route->reactor);
	if (!draining)
		route_pump(b->route);
}

void backend_hold(struct backend *b, bool held)
{
	b->held = held;
	update_draining(b);
}

void backend_retire(struct backend *b, bool retiring)
{
	if (b->retiring == retiring)
		return;
	b->retiring = retiring;
	update_draining(b);
}

void backend_leave(struct backend *b)
{
	if (b->leaving)
		return;
	b->leaving = true;
	b->route->reactor->n_leaving++;
	update_draining(b);
}

void backend_stay(struct backend *b)
{
	if (!b->leaving)
		return;
	b->leaving = false;
	b->route->reactor->n_leaving--;
	if (b->container->state != CONTAINER_UP && !b->waiting)
		arm(b, b->route->reactor->io->now_us);
	update_draining(b);
}

static void release(struct backend *b)
{
	struct reactor *r = b->route->reactor;
	for (uint32_t i = 0; i < b->container->n_slots; i++)
		upstream_finish(&b->upstreams[i]);
	io_timer_stop(r->io, &b->timer);
	r->n_leaving -= b->leaving;
	reactor_changed(r);
}

void backend_destroy(struct backend *b)
{
	release(b);
	free(b);
}

void backend_remove(struct backend *b)
{
	log_info("%s: has left", b->settings.name);
	release(b);
	pool_remove(b->container);
	free(b);
}

/* The core took these slots out of service. */
static void close_unused(struct backend *b)
{
	for (uint32_t i = 0; i < b->container->n_slots; i++) {
		struct upstream *u = &b->upstreams[i];
		if (u->slot->state == SLOT_DOWN && u->phase == UPSTREAM_IDLE)
			upstream_close(u);
	}
}

void backend_note(struct backend *b, enum container_state before)
{
	const struct container *c = b->container;
	uint64_t now_us = b->route->reactor->io->now_us;
	reactor_changed(b->route->reactor);
	if (c->state == before)
		return;
	if (c->state != CONTAINER_UP)
		close_unused(b);
	if (c->state == CONTAINER_UP && before == CONTAINER_DOWN)
		log_info("%s: up again", b->settings.name);
	else if (c->state == CONTAINER_DOWN && before == CONTAINER_UP)
		log_warning("%s: down, tried again in %llu ms", b->settings.name,
			(unsigned long long)(c->retry_at_us - now_us) / 1000);
	if (c->state == CONTAINER_UP && b->route->settings->health.path)
		arm(b, now_us + next_probe_us(b));
	backend_retry_later(b);
}

void backend_retry_later(struct backend *b)
{
	if (b->container->state != CONTAINER_UP)
		arm(b, b->container->retry_at_us);
}

void backend_follow(struct backend *b)
{
	const struct container *c = b->container;
	uint64_t due_us = b->timer.due_us, now_us = b->route->reactor->io->now_us;
	if (b->leaving && !c->draining) /* its pool was gone and is back; whether with it is yet to be said */
		update_draining(b);
	container_follow(b->container, now_us);
	if (c->state == CONTAINER_UP && b->route->settings->health.path) {
		uint64_t next_us = now_us + next_probe_us(b);
		if (!due_us ||
			next_us < due_us) /* one that is due sooner stays: reloads keep no probe away */
			arm(b, next_us);
	} else if (c->state == CONTAINER_DOWN && due_us > c->retry_at_us) {
		arm(b, c->retry_at_us);
	}
}

void backend_probed(struct backend *b, const char *path, int status)
{
	if (status < 300 || b->warned)
		return;
	b->warned = true;
	log_warning(
		"%s: answers %d to its health check %s; it counts as alive", b->settings.name, status, path);
}

void backend_check_soon(struct backend *b)
{
	b->check = true;
	if (b->container->state == CONTAINER_UP)
		arm(b, b->route->reactor->io->now_us);
}
