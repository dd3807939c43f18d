#include "gateway/probe.h"

#include "base/log.h"
#include "base/rand.h"
#include "gateway/exchange.h"
#include "gateway/reactor.h"
#include "gateway/upstream.h"
#include "http/write.h"

const struct container_settings *watcher_container(const struct watcher *w)
{
	return &w->route->settings->containers[w->container->index];
}

static struct upstream *upstream_of(const struct watcher *w, const struct slot *s)
{
	return &w->route->upstreams[s->index];
}

/* The interval with ±10 % of jitter, so that containers are not probed in step. */
static uint64_t next_probe_us(const struct watcher *w)
{
	uint64_t interval = w->route->settings->health.interval_us;
	return interval - interval / 10 + rand_below(&w->route->reactor->rand, interval / 5 + 1);
}

static void arm(struct watcher *w, uint64_t due_us)
{
	io_timer_set(w->route->reactor->io, &w->timer, due_us);
}

static void probe_idle(struct watcher *w)
{
	bool check = w->check;
	w->check = false;
	if (w->route->settings->health.path) {
		struct slot *s = container_probe(w->container);
		if (s && s->state == SLOT_BUSY)
			upstream_probe(upstream_of(w, s));
		else if (s)
			upstream_connect(upstream_of(w, s));
	} else if (check) {
		struct slot *s = container_check(w->container);
		if (s)
			upstream_connect(upstream_of(w, s));
	}
}

static void on_watch(struct io_timer *t)
{
	struct watcher *w = CONTAINER_OF(t, struct watcher, timer);
	uint64_t now_us = w->route->reactor->io->now_us;
	if (w->container->state == CONTAINER_UP) {
		probe_idle(w);
		if (w->route->settings->health.path)
			arm(w, now_us + next_probe_us(w));
		return;
	}
	if (w->container->state == CONTAINER_DOWN && w->container->retry_at_us > now_us) {
		arm(w, w->container->retry_at_us);
		return;
	}
	struct slot *s = container_retry(w->container);
	if (s)
		upstream_connect(upstream_of(w, s));
	else /* one is being tried, or still at an old request: look again */
		arm(w, now_us + w->route->settings->health.backoff_min_us);
}

void watcher_start(struct watcher *w, struct route *route, struct container *c)
{
	*w = (struct watcher){ .route = route, .container = c };
	w->timer.on_timer = on_watch;
	arm(w, route->reactor->io->now_us);
}

void watcher_state_changed(struct watcher *w, enum container_state before)
{
	const struct container *c = w->container;
	if (c->state == CONTAINER_UP) {
		if (before == CONTAINER_DOWN)
			log_info("%s: up again", watcher_container(w)->name);
		if (w->route->settings->health.path)
			arm(w, w->route->reactor->io->now_us + next_probe_us(w));
	} else if (c->state == CONTAINER_DOWN) {
		if (before == CONTAINER_UP)
			log_warning("%s: down, tried again in %llu ms", watcher_container(w)->name,
				(unsigned long long)(c->retry_at_us - w->route->reactor->io->now_us) / 1000);
	}
	watcher_retry_later(w);
}

void watcher_retry_later(struct watcher *w)
{
	if (w->container->state == CONTAINER_DOWN)
		arm(w, w->container->retry_at_us);
}

void watcher_probed(struct watcher *w, int status)
{
	if (status < 300 || w->warned)
		return;
	w->warned = true;
	log_warning("%s: answers %d to its health check %s; it counts as alive", watcher_container(w)->name,
		status, w->route->settings->health.path);
}

void watcher_check_soon(struct watcher *w)
{
	w->check = true;
	if (w->container->state == CONTAINER_UP)
		arm(w, w->route->reactor->io->now_us);
}

struct str watcher_probe_text(const struct watcher *w, char *buf, size_t size)
{
	struct writer text;
	char host[IO_ADDR_TEXT];
	const struct container_settings *cs = watcher_container(w);
	io_addr_print(&cs->addr, true, host);
	writer_init(&text, buf, size);
	write_lit(&text, "GET ");
	write_str(&text, str_of(w->route->settings->health.path));
	write_lit(&text, " HTTP/1.1\r\nHost: ");
	write_str(&text, cs->addr.sa.sa_family == AF_UNIX ? STR("localhost") : str_of(host));
	write_lit(&text, "\r\nUser-Agent: berth/" BERTH_VERSION "\r\n\r\n");
	CHECK(!text.overflow);
	return (struct str){ buf, writer_len(&text) };
}
