/* prober: questions to containers about themselves: ready? idle?
 *
 * Whether a given-up request is over is asked on a connection of the zombie slot's own, again and again with
 * growing pauses. Past zombie_timeout its container is out until the answer is yes, or until it refuses
 * connections, as one that is gone does.
 */
#include "base/log.h"
#include "gateway/backend.h"
#include "gateway/exchange.h"
#include "gateway/reactor.h"
#include "gateway/upstream.h"
#include "http/write.h"

#include <stdlib.h>
#include <string.h>

enum {
	ASK_MIN_US = 20 * 1000, /* the first pause between two idle probes; doubles … */
	ASK_MAX_US = 1000 * 1000,
	BODY_MAX = 4096, /* of an idle probe's answer */
};

static struct reactor *reactor_of(const struct upstream *u)
{
	return u->backend->route->reactor;
}

static const struct pool_settings *settings_of(const struct upstream *u)
{
	return u->backend->route->settings;
}

static struct str probe_text(const struct upstream *u, const char *path)
{
	struct reactor *r = reactor_of(u);
	struct writer w;
	writer_init(&w, r->scratch, sizeof r->scratch);
	write_lit(&w, "GET ");
	write_str(&w, str_of(path));
	write_lit(&w, " HTTP/1.1\r\nHost: ");
	write_str(&w, str_of(u->backend->host));
	write_lit(&w, "\r\nUser-Agent: berth/" BERTH_VERSION "\r\n\r\n");
	CHECK(!w.overflow);
	return (struct str){ w.start, writer_len(&w) };
}

bool upstream_may_ask(struct upstream *u)
{
	if (settings_of(u)->idle_probe.path)
		u->rules = settings_of(u);
	return u->rules->idle_probe.path;
}

void upstream_probe(struct upstream *u, enum probe_kind kind)
{
	struct reactor *r = reactor_of(u);
	if (u->slot->state != SLOT_ZOMBIE || settings_of(u)->idle_probe.path)
		u->rules = settings_of(u);
	const struct pool_settings *ps = u->rules;
	const char *path = kind == PROBE_IDLE ? ps->idle_probe.path : ps->health.path;
	CHECK(path);
	struct str text = probe_text(u, path);
	struct iovec iov = { (char *)(uintptr_t)text.ptr, text.len };
	u->phase = UPSTREAM_HEAD;
	u->probe = kind;
	u->got_bytes = false;
	u->asked_us = r->io->now_us;
	free(u->partial);
	u->partial = NULL;
	u->partial_bytes = 0;
	io_timer_set(r->io, &u->timer, r->io->now_us + ps->health.timeout_us);
	u->sent_all = io_send(r->io, &u->stream, &iov, 1) == (ssize_t)text.len;
	if (!u->sent_all) /* it takes a few hundred bytes, or it is broken */
		io_timer_set(r->io, &u->timer, r->io->now_us);
}

/* Each time that is over counts as a failure, and the slot stays the check's: the container may be at it.
 * Beside requests it counts once, for they keep a container from its checks, and tell more of it. */
void upstream_check_late(struct upstream *u)
{
	static const char what[] = "its health check is not answered (health.timeout is over)";
	const struct pool_settings *ps = settings_of(u);
	struct container *c = u->slot->container;
	uint64_t now_us = reactor_of(u)->io->now_us;
	if (!u->sent_all) {
		upstream_failed(u, FAILURE_LOST, "the connection broke before its health check was sent");
		return;
	}
	bool counts = !u->overdue || container_in_flight(c) == 1;
	if (!u->overdue)
		u->zombie_us = now_us + ps->zombie_timeout_us;
	if (c->state != CONTAINER_UP || now_us >= u->zombie_us ||
		(counts && c->failures_in_a_row + 1 >= c->pool->limits.fall)) {
		upstream_failed(u, FAILURE_SILENT, what);
		return;
	}
	u->overdue = true;
	if (counts) {
		log_warning("%s: %s", u->backend->settings.name, what);
		container_failed(c, now_us);
		reactor_changed(reactor_of(u));
	}
	io_timer_set(reactor_of(u)->io, &u->timer, now_us + ps->health.timeout_us);
}

void upstream_probe_body(struct upstream *u, const char *bytes, size_t n)
{
	if (u->probe != PROBE_IDLE || u->partial_bytes + n > BODY_MAX)
		return;
	char *p = realloc(u->partial, u->partial_bytes + n);
	if (!p)
		return;
	memcpy(p + u->partial_bytes, bytes, n);
	u->partial = p;
	u->partial_bytes += (uint32_t)n;
}

static bool says_ready(int status)
{
	return (status >= 200 && status < 300) || status == 404 || status == 405 || status == 501;
}

static bool says_idle(const struct upstream *u)
{
	const char *expect = u->rules->idle_probe.expect;
	if (u->status < 200 || u->status > 299)
		return false;
	return !expect || (u->partial && memmem(u->partial, u->partial_bytes, expect, strlen(expect)));
}

void upstream_ask_again(struct upstream *u)
{
	struct reactor *r = reactor_of(u);
	struct container *c = u->slot->container;
	uint64_t now_us = r->io->now_us, pause = u->ask_again_us ? u->ask_again_us : ASK_MIN_US;
	if (now_us >= u->zombie_us && !u->overdue) {
		enum container_state before = c->state;
		u->overdue = true;
		log_warning("%s: does not come to an end with a request that was given up (zombie_timeout is "
			    "over)",
			u->backend->settings.name);
		container_down(c, now_us);
		backend_note(u->backend, before);
	}
	if (!u->probe &&
		u->phase != UPSTREAM_CLOSED) { /* on_leave: finish waits for the answer, however long */
		io_timer_stop(r->io, &u->timer);
		return;
	}
	if (u->phase == UPSTREAM_HEAD || u->phase == UPSTREAM_BODY) /* the probe itself is not answered */
		upstream_close(u);
	u->ask_again_us = pause * 2 < ASK_MAX_US ? pause * 2 : ASK_MAX_US;
	io_timer_set(r->io, &u->timer, now_us + pause);
}

void upstream_probed(struct upstream *u, bool keep)
{
	bool idle_asked = u->probe == PROBE_IDLE, well = idle_asked ? says_idle(u) : says_ready(u->status);
	if (u->slot->state == SLOT_ZOMBIE && !well) {
		if (keep)
			u->phase = UPSTREAM_IDLE;
		else
			upstream_close(u);
		upstream_ask_again(u);
		return;
	}
	if (u->overdue && u->slot->state == SLOT_BUSY) { /* it has been counted as failed */
		upstream_failed(u, FAILURE_STALE, NULL);
		return;
	}
	if (!well) {
		upstream_failed(u, FAILURE_LOST,
			idle_asked ? "is still at an old request"
				   : "its health check says that it is not ready");
		return;
	}
	bool alone = container_in_flight(u->slot->container) == 1; /* else requests tell as much */
	if (idle_asked && u->slot->state == SLOT_BUSY && settings_of(u)->health.path && keep && alone) {
		u->phase = UPSTREAM_IDLE;
		upstream_probe(u, PROBE_HEALTH);
		return;
	}
	if (!idle_asked)
		backend_probed(u->backend, u->rules->health.path, u->status);
	upstream_answered(u, keep, NULL);
}
