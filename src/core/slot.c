/* slot: what happens to slots and containers. The diagram stands in pool.h.
 *
 * Invariant: slot->node is on container->slots[slot->state]; slot->pool_node is on pool->serving exactly when
 * the container is up and not draining and the slot is connecting, free or busy; a container is on
 * by_load[slots taken] exactly when it is up, not draining and has a free slot.
 */
#include "core/slot.h"

#include <string.h>

static bool is_serving(const struct slot *s)
{
	const struct container *c = s->container;
	return c->state == CONTAINER_UP && !c->draining && s->state != SLOT_DOWN && s->state != SLOT_ZOMBIE;
}

static void slot_file(struct slot *s)
{
	struct pool *p = s->container->pool;
	bool serving = is_serving(s);
	if (serving == s->serving)
		return;
	list_remove(s->serving ? &p->serving : &p->lacking, &s->pool_node);
	list_push_back(serving ? &p->serving : &p->lacking, &s->pool_node);
	s->serving = serving;
}

static uint32_t taken(const struct container *c)
{
	return c->n_slots - c->slots[SLOT_FREE].len;
}

static void container_file(struct container *c)
{
	struct pool *p = c->pool;
	if (c->available)
		list_remove(&p->by_load[c->load], &c->node);
	c->available =
		c->state == CONTAINER_UP && !c->draining && !c->settling && c->slots[SLOT_FREE].len > 0;
	if (!c->available)
		return;
	c->load = taken(c);
	list_push_back(&p->by_load[c->load], &c->node);
	if (c->load < p->lowest)
		p->lowest = c->load;
}

void slot_set_state(struct slot *s, enum slot_state state)
{
	static const uint8_t allowed[SLOT_STATES] = {
		[SLOT_DOWN] = 1 << SLOT_CONNECTING | 1 << SLOT_FREE,
		[SLOT_CONNECTING] = 1 << SLOT_FREE | 1 << SLOT_BUSY | 1 << SLOT_DOWN,
		[SLOT_FREE] = 1 << SLOT_CONNECTING | 1 << SLOT_BUSY | 1 << SLOT_DOWN,
		[SLOT_BUSY] = 1 << SLOT_FREE | 1 << SLOT_ZOMBIE | 1 << SLOT_DOWN,
		[SLOT_ZOMBIE] = 1 << SLOT_FREE | 1 << SLOT_DOWN,
	};
	struct container *c = s->container;
	CHECK(allowed[s->state] >> state & 1);
	bool freeness_changes = s->state == SLOT_FREE || state == SLOT_FREE;
	list_remove(&c->slots[s->state], &s->node);
	s->state = state;
	if (state == SLOT_FREE && s->connected) /* slots with a connection are used first */
		list_push_front(&c->slots[state], &s->node);
	else
		list_push_back(&c->slots[state], &s->node);
	slot_file(s);
	if (freeness_changes)
		container_file(c);
}

void container_refile(struct container *c)
{
	for (uint32_t i = 0; i < c->n_slots; i++)
		slot_file(&c->slot[i]);
	container_file(c);
}

/* One more slot of a container that has come back. */
static void give_back(struct container *c)
{
	struct list_node *n = list_first(&c->slots[SLOT_DOWN]);
	if (n)
		slot_set_state(CONTAINER_OF(n, struct slot, node), SLOT_FREE);
	c->returning = c->slots[SLOT_DOWN].len > 0;
}

/* Weight 1/16: some dozen answers until a change of pace shows. */
static void count_service_time(struct pool *p, uint64_t took_us)
{
	uint64_t mean_us = p->service_mean_x16 / 16;
	uint64_t distance_us = took_us > mean_us ? took_us - mean_us : mean_us - took_us;
	if (p->service_mean_x16)
		p->service_deviation_x16 += distance_us - p->service_deviation_x16 / 16;
	if (p->service_mean_x16)
		p->service_mean_x16 += took_us - p->service_mean_x16 / 16;
	else
		p->service_mean_x16 = took_us * 16;
	if (p->service_mean_x16 == 0)
		p->service_mean_x16 = 1; /* 0 means that there is no sample */
}

/* The slot leaves ZOMBIE, BUSY or CONNECTING: the last zombie's end makes its container usable again. */
static void end_settling(struct container *c)
{
	if (c->settling && c->slots[SLOT_ZOMBIE].len == 0) {
		c->settling = false;
		container_refile(c);
	}
}

static void probe_answered(struct container *c, uint64_t now_us)
{
	if (++c->successes_in_a_row >= c->pool->limits.rise)
		container_up(c);
	else
		c->retry_at_us = now_us + c->pool->limits.backoff_min_us;
}

static void ticket_answered(struct ticket *t, uint64_t now_us)
{
	struct pool *p = t->pool;
	count_service_time(p, now_us - t->dispatched_us);
	p->finished++;
	t->state = TICKET_OVER;
	t->slot->ticket = NULL;
	t->slot = NULL;
}

void slot_answered(struct slot *s, bool connected, uint64_t now_us)
{
	struct container *c = s->container;
	bool was_probe = s->probing;
	CHECK(s->state == SLOT_BUSY || s->state == SLOT_ZOMBIE);
	if (s->ticket)
		ticket_answered(s->ticket, now_us);
	s->probing = false;
	c->failures_in_a_row = 0;
	c->backoff_us = c->pool->limits.backoff_min_us;
	c->rest_us = REST_MIN_US;
	if (was_probe)
		probe_answered(c, now_us);
	else if (c->state == CONTAINER_RESTING)
		container_up(c);
	s->connected = connected && c->state == CONTAINER_UP;
	slot_set_state(s, c->state == CONTAINER_UP ? SLOT_FREE : SLOT_DOWN);
	end_settling(c);
	if (c->returning && c->state == CONTAINER_UP)
		give_back(c);
}

void slot_connected(struct slot *s, bool probe_first, uint64_t now_us)
{
	struct container *c = s->container;
	CHECK(s->state == SLOT_CONNECTING);
	s->connected = true;
	if (s->probing && (!probe_first || container_in_flight(c)))
		s->probing = false; /* there is no probe any more; or requests have come, and tell as much */
	if (!s->ticket && !s->probing && c->state != CONTAINER_UP) {
		if (probe_first && container_in_flight(c)) { /* it left service meanwhile, and is at work */
			s->connected = false;
			slot_set_state(s, SLOT_DOWN);
			return;
		}
		if (probe_first)
			s->probing = true;
		else
			container_up(c);
	}
	if (s->ticket)
		s->ticket->dispatched_us = now_us;
	slot_set_state(s, s->ticket || s->probing ? SLOT_BUSY : SLOT_FREE);
}

void slot_disconnected(struct slot *s)
{
	struct container *c = s->container;
	CHECK(s->state == SLOT_FREE && s->connected);
	s->connected = false;
	list_remove(&c->slots[SLOT_FREE], &s->node);
	list_push_back(&c->slots[SLOT_FREE], &s->node);
}

/* Its next try goes elsewhere, if there is an elsewhere. */
static void avoid(struct ticket *t, const struct container *c)
{
	uint32_t at = 0;
	while (at < t->n_avoid && t->avoid[at] != (uint16_t)c->id)
		at++;
	if (at == TICKET_AVOIDS)
		at--; /* the longest ago is forgotten */
	else if (at == t->n_avoid)
		t->n_avoid++;
	memmove(t->avoid + 1, t->avoid, at * sizeof *t->avoid);
	t->avoid[0] = (uint16_t)c->id;
}

struct ticket *slot_lost(struct slot *s, enum slot_loss loss, uint64_t now_us)
{
	struct container *c = s->container;
	struct ticket *t = s->ticket;
	CHECK(s->state == SLOT_CONNECTING || s->state == SLOT_BUSY || s->state == SLOT_ZOMBIE);
	bool tried = s->state == SLOT_CONNECTING || s->probing; /* to see whether it is there */
	s->ticket = NULL;
	s->probing = false;
	s->connected = false;
	if (t) {
		t->slot = NULL;
		avoid(t, c);
	}
	if (loss != LOSS_STALE)
		c->successes_in_a_row = 0;
	slot_set_state(s, c->state == CONTAINER_UP ? SLOT_FREE : SLOT_DOWN);
	end_settling(c);
	bool up = c->state == CONTAINER_UP;
	if (up && (loss == LOSS_FAILED || loss == LOSS_SILENT))
		container_failed(c, now_us);
	if (loss == LOSS_REFUSED || loss == LOSS_SILENT || (!up && tried))
		container_down(c, now_us);
	return t;
}

static void leave_service(struct container *c, enum container_state state)
{
	c->state = state;
	container_refile(c);
	list_for_each_safe (n, &c->slots[SLOT_FREE]) {
		struct slot *s = CONTAINER_OF(n, struct slot, node);
		s->connected = false;
		slot_set_state(s, SLOT_DOWN);
	}
}

void slot_settle(struct slot *s)
{
	CHECK(s->state == SLOT_ZOMBIE);
	if (s->container->settling)
		return;
	s->container->settling = true;
	container_refile(s->container);
}

static void rest(struct container *c, uint64_t now_us)
{
	c->retry_at_us = now_us + c->rest_us;
	c->rest_us = c->rest_us * 2 < REST_MAX_US ? c->rest_us * 2 : REST_MAX_US;
	if (c->state == CONTAINER_UP)
		leave_service(c, CONTAINER_RESTING);
}

struct ticket *slot_bounced(struct slot *s, uint64_t now_us)
{
	struct container *c = s->container;
	struct ticket *t = s->ticket;
	CHECK(s->state == SLOT_BUSY && t);
	s->ticket = NULL;
	t->slot = NULL;
	avoid(t, c);
	s->connected = false;
	slot_set_state(s, SLOT_DOWN);
	rest(c, now_us);
	return t;
}

static bool has_connection_free(const struct container *c)
{
	struct list_node *n = list_first(&c->slots[SLOT_FREE]); /* connected ones stand first */
	return n && CONTAINER_OF(n, struct slot, node)->connected;
}

struct ticket *slot_hindered(struct slot *s, uint64_t now_us)
{
	struct container *c = s->container;
	struct ticket *t = s->ticket;
	CHECK(s->state == SLOT_CONNECTING);
	bool rests = c->state != CONTAINER_UP || (t && !has_connection_free(c));
	s->ticket = NULL;
	s->probing = false;
	if (t) {
		t->slot = NULL;
		avoid(t, c); /* there may be ports towards another one */
	}
	slot_set_state(s, rests ? SLOT_DOWN : SLOT_FREE);
	if (rests &&
		(c->state == CONTAINER_UP || now_us >= c->retry_at_us)) /* several at once are one reason */
		rest(c, now_us);
	return t;
}

struct slot *container_probe(struct container *c)
{
	struct list_node *n = list_first(&c->slots[SLOT_FREE]);
	if (!n || c->state != CONTAINER_UP || c->slots[SLOT_CONNECTING].len || container_in_flight(c))
		return NULL;
	struct slot *s = CONTAINER_OF(n, struct slot, node);
	s->probing = true;
	slot_set_state(s, s->connected ? SLOT_BUSY : SLOT_CONNECTING);
	return s;
}

struct slot *container_check(struct container *c)
{
	struct list_node *n = list_last(&c->slots[SLOT_FREE]); /* unconnected ones stand last */
	struct slot *s = n ? CONTAINER_OF(n, struct slot, node) : NULL;
	if (!s || s->connected || c->state != CONTAINER_UP)
		return NULL;
	slot_set_state(s, SLOT_CONNECTING);
	return s;
}

struct slot *container_retry(struct container *c)
{
	struct list_node *n = list_first(&c->slots[SLOT_DOWN]);
	if (!n || c->state == CONTAINER_UP || c->slots[SLOT_CONNECTING].len || container_in_flight(c))
		return NULL;
	struct slot *s = CONTAINER_OF(n, struct slot, node);
	slot_set_state(s, SLOT_CONNECTING);
	return s;
}

void container_up(struct container *c)
{
	if (c->state == CONTAINER_UP)
		return;
	c->returning = c->state == CONTAINER_DOWN;
	c->failures_in_a_row = 0;
	c->state = CONTAINER_UP;
	container_refile(c);
	if (c->returning)
		return;
	list_for_each_safe (n, &c->slots[SLOT_DOWN])
		slot_set_state(CONTAINER_OF(n, struct slot, node), SLOT_FREE);
}

void container_down(struct container *c, uint64_t now_us)
{
	const struct pool_limits *limits = &c->pool->limits;
	if (c->state == CONTAINER_DOWN && now_us < c->retry_at_us)
		return; /* several slots lost at once are one reason to back off */
	c->retry_at_us = now_us + c->backoff_us;
	c->backoff_us =
		c->backoff_us * 2 < limits->backoff_max_us ? c->backoff_us * 2 : limits->backoff_max_us;
	if (c->state == CONTAINER_DOWN)
		return;
	c->successes_in_a_row = 0;
	leave_service(c, CONTAINER_DOWN);
}

void container_follow(struct container *c, uint64_t now_us)
{
	uint64_t most_us = c->pool->limits.backoff_max_us;
	if (c->backoff_us > most_us)
		c->backoff_us = most_us;
	if (c->state == CONTAINER_DOWN && c->retry_at_us > now_us + most_us)
		c->retry_at_us = now_us + most_us;
}

void container_failed(struct container *c, uint64_t now_us)
{
	c->failures++;
	if (++c->failures_in_a_row >= c->pool->limits.fall && c->state == CONTAINER_UP)
		container_down(c, now_us);
}

void container_drain(struct container *c, bool draining)
{
	c->draining = draining;
	container_refile(c);
}
