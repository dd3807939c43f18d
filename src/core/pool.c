/* pool: admission, the queue and the match of tickets and slots. The invariants stand in pool.h. */
#include "core/pool.h"

#include "core/slot.h"

#include <errno.h>
#include <stdlib.h>

void pool_init(struct pool *p, const struct pool_limits *limits)
{
	*p = (struct pool){ .limits = *limits, .lowest = POOL_SLOTS_MAX, .next_number = 1 };
	order_init(&p->queue);
	list_init(&p->serving);
	list_init(&p->lacking);
	for (uint32_t i = 0; i < POOL_SLOTS_MAX; i++)
		list_init(&p->by_load[i]);
}

void pool_finish(struct pool *p)
{
	order_finish(&p->queue);
	for (uint32_t i = 0; i < p->n_containers; i++)
		free(p->containers[i]);
	free(p->containers);
	*p = (struct pool){ 0 };
}

static int make_room(struct pool *p)
{
	if (p->n_containers < p->cap_containers)
		return 0;
	uint32_t cap = p->cap_containers ? p->cap_containers * 2 : 8;
	struct container **list = realloc(p->containers, cap * sizeof *list);
	if (!list)
		return -ENOMEM;
	p->containers = list;
	p->cap_containers = cap;
	return 0;
}

struct container *pool_add(struct pool *p, uint32_t n_slots)
{
	CHECK(n_slots >= 1 && n_slots <= POOL_SLOTS_MAX);
	struct container *c = make_room(p) == 0 ? calloc(1, sizeof *c + n_slots * sizeof *c->slot) : NULL;
	if (!c)
		return NULL;
	c->pool = p;
	c->n_slots = n_slots;
	c->state = CONTAINER_STARTING;
	c->backoff_us = p->limits.backoff_min_us;
	for (int state = 0; state < SLOT_STATES; state++)
		list_init(&c->slots[state]);
	for (uint32_t i = 0; i < n_slots; i++) {
		struct slot *s = &c->slot[i];
		s->container = c;
		s->state = SLOT_DOWN;
		list_push_back(&c->slots[SLOT_DOWN], &s->node);
		list_push_back(&p->lacking, &s->pool_node);
	}
	if (n_slots > p->highest)
		p->highest = n_slots;
	c->id = ++p->next_id;
	c->rest_us = REST_MIN_US;
	c->index = p->n_containers;
	p->containers[p->n_containers++] = c;
	return c;
}

void pool_remove(struct container *c)
{
	struct pool *p = c->pool;
	CHECK(container_is_at_rest(c) && p->containers[c->index] == c);
	if (c->available)
		list_remove(&p->by_load[c->load], &c->node);
	for (uint32_t i = 0; i < c->n_slots; i++)
		list_remove(c->slot[i].serving ? &p->serving : &p->lacking, &c->slot[i].pool_node);
	p->containers[c->index] = p->containers[--p->n_containers];
	p->containers[c->index]->index = c->index;
	free(c);
}

static struct container *first_of(const struct pool *p, uint32_t load)
{
	struct list_node *n = list_first(&p->by_load[load]);
	return n ? CONTAINER_OF(n, struct container, node) : NULL;
}

/* The container with the fewest slots taken, the longest unused among equals; NULL when none is available. */
static struct container *least_busy(struct pool *p)
{
	while (p->lowest < p->highest && list_empty(&p->by_load[p->lowest]))
		p->lowest++;
	return p->lowest < p->highest ? first_of(p, p->lowest) : NULL;
}

/* 0: it has not failed this ticket, as far as that remembers; the more, the later it has. */
static uint32_t reluctance(const struct ticket *t, const struct container *c)
{
	for (uint32_t i = 0; i < t->n_avoid; i++) {
		if (t->avoid[i] == (uint16_t)c->id)
			return TICKET_AVOIDS - i;
	}
	return 0;
}

/* Likewise, but another one than have failed this ticket, if there is another; else the one that did so the
 * longest ago. */
static struct container *least_busy_for(struct pool *p, const struct ticket *t)
{
	struct container *best = least_busy(p);
	uint32_t least = best ? reluctance(t, best) : 0;
	for (uint32_t load = p->lowest; least && load < p->highest; load++) {
		list_for_each (n, &p->by_load[load]) {
			struct container *c = CONTAINER_OF(n, struct container, node);
			uint32_t reluctant = reluctance(t, c);
			if (reluctant < least) {
				best = c;
				least = reluctant;
			}
			if (!least)
				break;
		}
	}
	return best;
}

static struct slot *dispatch(struct pool *p, struct container *c, struct ticket *t, uint64_t now_us)
{
	struct list_node *n = list_first(&c->slots[SLOT_FREE]);
	CHECK(n);
	struct slot *s = CONTAINER_OF(n, struct slot, node);
	CHECK(!s->ticket && !s->probing);
	s->ticket = t;
	t->slot = s;
	t->state = TICKET_RUNNING;
	t->dispatched_us = now_us;
	if (t->attempts < UINT8_MAX)
		t->attempts++;
	c->requests++;
	p->started++;
	slot_set_state(s, s->connected ? SLOT_BUSY : SLOT_CONNECTING);
	list_remove(&p->serving, &s->pool_node);
	list_push_back(&p->serving, &s->pool_node);
	return s;
}

static struct ticket *ticket_of(struct order_entry *e)
{
	return CONTAINER_OF(e, struct ticket, entry);
}

/* True while a container is up, or may be: some have not been heard of since the start. */
static bool has_hope(const struct pool *p)
{
	if (p->serving.len)
		return true;
	for (uint32_t i = 0; i < p->n_containers; i++) {
		if (p->containers[i]->state != CONTAINER_DOWN)
			return true;
	}
	return p->expecting;
}

enum admission pool_forecast(struct pool *p, uint32_t bytes)
{
	if (order_len(&p->queue) == 0 && least_busy(p))
		return ADMIT_DISPATCH;
	if (!has_hope(p))
		return ADMIT_NO_CONTAINER;
	if (order_len(&p->queue) + p->reserved >= p->limits.queue_max || bytes > p->limits.queue_max_bytes ||
		p->queue_bytes > p->limits.queue_max_bytes - bytes)
		return ADMIT_FULL;
	return ADMIT_WAIT;
}

enum admission pool_admit(
	struct pool *p, struct ticket *t, uint32_t bytes, uint64_t now_us, struct slot **ret_slot)
{
	CHECK(t->state == TICKET_NEW);
	enum admission a = pool_forecast(p, bytes);
	if (a == ADMIT_WAIT && order_push(&p->queue, &t->entry) < 0)
		a = ADMIT_FULL;
	if (a == ADMIT_FULL || a == ADMIT_NO_CONTAINER)
		return a;
	t->pool = p;
	t->bytes = bytes;
	t->number = p->next_number++;
	t->admitted_us = now_us;
	if (a == ADMIT_DISPATCH) {
		*ret_slot = dispatch(p, least_busy(p), t, now_us);
	} else {
		t->state = TICKET_WAITING;
		p->queue_bytes += bytes;
	}
	return a;
}

enum admission pool_reserve(struct pool *p, struct ticket *t, uint32_t bytes)
{
	CHECK(t->state == TICKET_NEW && t->number == 0);
	enum admission a = pool_forecast(p, bytes);
	if (a == ADMIT_FULL || a == ADMIT_NO_CONTAINER)
		return a;
	t->pool = p;
	t->bytes = bytes;
	t->number = p->next_number++;
	p->reserved++;
	p->queue_bytes += bytes;
	return a;
}

void pool_forgo(struct ticket *t)
{
	struct pool *p = t->pool;
	CHECK(t->state == TICKET_NEW && t->number && p->reserved && p->queue_bytes >= t->bytes);
	p->reserved--;
	p->queue_bytes -= t->bytes;
	t->state = TICKET_OVER;
}

int pool_join(struct pool *p, struct ticket *t, uint64_t now_us, struct slot **ret_slot)
{
	struct order_entry *at = order_last(&p->queue), *behind = NULL;
	while (at &&
		ticket_of(at)->number > t->number) { /* few: those that came while its commit was under way */
		behind = at;
		at = order_prev(&p->queue, at);
	}
	struct container *c = at || t->unready ? NULL : least_busy(p);
	if (!c) {
		int r = order_insert_late(&p->queue, &t->entry, behind);
		if (r < 0)
			return r;
	}
	p->reserved--;
	t->admitted_us = now_us;
	*ret_slot = NULL;
	if (c) {
		p->queue_bytes -= t->bytes;
		*ret_slot = dispatch(p, c, t, now_us);
	} else {
		t->state = TICKET_WAITING;
	}
	return 0;
}

int pool_restore(struct pool *p, struct ticket *t, uint64_t number, uint32_t bytes, uint64_t now_us)
{
	CHECK(t->state == TICKET_NEW);
	int r = order_push(&p->queue, &t->entry);
	if (r < 0)
		return r;
	t->pool = p;
	t->bytes = bytes;
	pool_skip(p, number ? number - 1 : 0);
	t->number = p->next_number++;
	t->admitted_us = now_us;
	t->unready = true;
	t->state = TICKET_WAITING;
	p->queue_bytes += bytes;
	return 0;
}

void pool_skip(struct pool *p, uint64_t number)
{
	if (number >= p->next_number)
		p->next_number = number + 1;
}

static void leave_queue(struct ticket *t)
{
	struct pool *p = t->pool;
	CHECK(t->state == TICKET_WAITING && p->queue_bytes >= t->bytes);
	order_remove(&p->queue, &t->entry);
	p->queue_bytes -= t->bytes;
}

bool pool_match(struct pool *p, uint64_t now_us, struct ticket **ret_ticket, struct slot **ret_slot)
{
	struct order_entry *first = order_first(&p->queue);
	struct ticket *t = first ? ticket_of(first) : NULL;
	struct container *c = t && !t->unready ? least_busy_for(p, t) : NULL;
	if (!c)
		return false;
	leave_queue(t);
	*ret_ticket = t;
	*ret_slot = dispatch(p, c, t, now_us);
	return true;
}

void ticket_withdraw(struct ticket *t)
{
	leave_queue(t);
	t->state = TICKET_OVER;
}

void ticket_abandon(struct ticket *t, bool settle)
{
	struct slot *s = t->slot;
	CHECK(t->state == TICKET_RUNNING && s && s->ticket == t);
	s->ticket = NULL;
	t->slot = NULL;
	t->state = TICKET_OVER;
	if (s->state != SLOT_BUSY)
		return;
	slot_set_state(s, SLOT_ZOMBIE);
	if (settle)
		slot_settle(s);
}

void ticket_set_aside(struct ticket *t)
{
	struct pool *p = t->pool;
	ticket_abandon(t, false);
	t->state = TICKET_NEW;
	t->attempts--;
	p->reserved++;
	p->queue_bytes += t->bytes;
}

int ticket_requeue(struct ticket *t)
{
	struct pool *p = t->pool;
	CHECK(t->state == TICKET_RUNNING && !t->slot);
	struct order_entry *at = order_first(&p->queue);
	while (at && ticket_of(at)->number < t->number) /* only others that came back too are ahead of it */
		at = order_next(&p->queue, at);
	int r = order_insert(&p->queue, &t->entry, at);
	if (r < 0)
		return r;
	t->state = TICKET_WAITING;
	p->queue_bytes += t->bytes;
	return 0;
}

void ticket_resize(struct ticket *t, uint32_t bytes)
{
	CHECK(t->state == TICKET_WAITING && t->pool->queue_bytes >= t->bytes);
	t->pool->queue_bytes += bytes;
	t->pool->queue_bytes -= t->bytes;
	t->bytes = bytes;
}

void ticket_fail(struct ticket *t)
{
	CHECK(t->state == TICKET_RUNNING && !t->slot);
	t->state = TICKET_OVER;
}

uint32_t ticket_position(const struct ticket *t)
{
	return t->state == TICKET_WAITING ? order_rank(&t->pool->queue, &t->entry) : 0;
}

uint64_t pool_eta_us(const struct pool *p, uint32_t position)
{
	if (!p->service_mean_x16 || !p->serving.len)
		return UINT64_MAX;
	return (uint64_t)position * p->service_mean_x16 / 16 / p->serving.len;
}

/* ---- checks ---- */

/* Returns how many of its slots serve. */
static uint32_t check_container(const struct container *c, uint32_t index)
{
	uint32_t sum = 0, serving = 0;
	CHECK(c->index == index);
	for (int state = 0; state < SLOT_STATES; state++) {
		uint32_t n = 0;
		list_for_each (node, &c->slots[state]) {
			const struct slot *s = CONTAINER_OF(node, struct slot, node);
			CHECK(s->container == c && (int)s->state == state);
			CHECK(!s->ticket || s->ticket->slot == s);
			CHECK(!s->ticket || state == SLOT_BUSY || state == SLOT_CONNECTING);
			CHECK(state != SLOT_BUSY || (s->connected && !!s->ticket != s->probing));
			n++;
			serving += s->serving;
		}
		CHECK(n == c->slots[state].len);
		sum += n;
	}
	CHECK(sum == c->n_slots);
	CHECK(c->available ==
		(c->state == CONTAINER_UP && !c->draining && !c->settling && c->slots[SLOT_FREE].len > 0));
	CHECK(!c->settling || c->slots[SLOT_ZOMBIE].len);
	CHECK(c->available == list_linked(&c->node));
	return serving;
}

void pool_check(const struct pool *p)
{
	uint64_t bytes = 0, last = 0;
	uint32_t rank = 0, serving = 0;
	for (uint32_t i = 0; i < p->n_containers; i++)
		serving += check_container(p->containers[i], i);
	CHECK(serving == p->serving.len);
	for (struct order_entry *e = order_first(&p->queue); e; e = order_next(&p->queue, e)) {
		const struct ticket *t = ticket_of(e);
		CHECK(t->state == TICKET_WAITING && t->number > last && t->number < p->next_number);
		CHECK(order_rank(&p->queue, e) == ++rank);
		last = t->number;
		bytes += t->bytes;
	}
	CHECK(bytes <= p->queue_bytes && rank == order_len(&p->queue));
	CHECK(p->reserved || bytes == p->queue_bytes);
	pool_check_turn(p);
}

void pool_check_turn(const struct pool *p)
{
	struct order_entry *first = order_first(&p->queue);
	if (!first || ticket_of(first)->unready)
		return;
	for (uint32_t load = p->lowest; load < p->highest; load++)
		CHECK(list_empty(&p->by_load[load]));
}
