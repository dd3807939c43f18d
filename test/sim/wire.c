#include "wire.h"

#include "fault.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	BUFFER_MIN = 512,
};

/* With AddressSanitizer nothing is used twice, so that a use of it afterwards is seen. */
#if defined(__SANITIZE_ADDRESS__)
#define FRESH 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FRESH 1
#endif
#endif
#ifndef FRESH
#define FRESH 0
#endif

static void on_arrival(struct event *ev);
static void on_room(struct event *ev);

void net_init(struct net *n, struct schedule *schedule, struct rand *rand)
{
	n->schedule = schedule;
	n->rand = rand;
	list_init(&n->wires);
	list_init(&n->dead);
	list_init(&n->spare);
}

static void wire_free(struct wire *w)
{
	for (int i = 0; i < 2; i++) {
		CHECK(!event_is_set(&w->end[i].arrival) && !event_is_set(&w->end[i].room));
		free(w->end[i].bytes);
	}
	CHECK(!event_is_set(&w->later));
	free(w);
}

static void free_all(struct list *wires)
{
	struct list_node *node;
	while ((node = list_pop_front(wires)))
		wire_free(CONTAINER_OF(node, struct wire, node));
}

void net_sweep(struct net *n)
{
	struct list_node *node;
	if (FRESH) {
		free_all(&n->dead);
		return;
	}
	while ((node = list_pop_front(&n->dead)))
		list_push_back(&n->spare, node);
}

void net_finish(struct net *n)
{
	list_for_each_safe (node, &n->wires) {
		struct wire *w = CONTAINER_OF(node, struct wire, node);
		wire_close(&w->end[0], false);
		wire_close(&w->end[1], false);
	}
	free_all(&n->dead);
	free_all(&n->spare);
}

/* ---- opening ---- */

static uint64_t latency_us(const struct wire *w)
{
	const struct wire_traits *t = w->traits;
	return t->latency_min_us + rand_below(w->net->rand, t->latency_max_us - t->latency_min_us + 1);
}

static void soon(struct wire *w, struct event *ev, uint64_t after_us)
{
	struct schedule *s = w->net->schedule;
	event_set(s, ev, s->now_us + after_us);
}

/* Something is on its way to e. */
static void arrive(struct wire_end *e)
{
	if (e->open && !event_is_set(&e->arrival))
		soon(e->wire, &e->arrival, latency_us(e->wire));
}

static void later_fires(struct event *ev)
{
	struct wire *w = CONTAINER_OF(ev, struct wire, later);
	w->on_later(w);
}

/* Memory for one, with the buffers that it had. */
static struct wire *wire_new(struct net *n)
{
	struct list_node *node = list_pop_front(&n->spare);
	struct wire *w = node ? CONTAINER_OF(node, struct wire, node) : sim_alloc(sizeof *w);
	struct wire_end kept[2] = { { 0 } };
	if (node)
		memcpy(kept, w->end, sizeof kept);
	*w = (struct wire){ .net = n };
	for (int i = 0; i < 2; i++) {
		struct wire_end *e = &w->end[i];
		e->wire = w;
		e->bytes = kept[i].bytes;
		e->cap = kept[i].cap;
		e->arrival.fire = on_arrival;
		e->room.fire = on_room;
	}
	return w;
}

struct wire *wire_create(struct net *n, const struct wire_traits *traits, const struct wire_ops *ops,
	void *owner, void (*on_opening)(struct wire *w))
{
	struct wire *w = wire_new(n);
	w->traits = traits;
	w->on_later = on_opening;
	w->later.fire = later_fires;
	list_push_back(&n->wires, &w->node);
	wire_attach(&w->end[0], ops, owner);
	w->end[0].told_open = false;
	if (on_opening)
		soon(w, &w->later, latency_us(w));
	return w;
}

void wire_attach(struct wire_end *e, const struct wire_ops *ops, void *owner)
{
	CHECK(!e->open);
	e->ops = ops;
	e->owner = owner;
	e->open = e->told_open = true;
}

void wire_opened(struct wire *w)
{
	arrive(&w->end[0]);
}

/* The connection is broken for e: what is on its way to it may be lost. */
static void break_end(struct wire_end *e, int err)
{
	if (!e->open || e->err)
		return;
	e->err = err;
	if (rand_chance(e->wire->net->rand, e->wire->traits->reset_drops_ppm))
		e->start = e->end = 0;
	arrive(e);
}

void wire_refuse(struct wire *w, int err)
{
	break_end(&w->end[0], err);
}

/* ---- sending ---- */

static void append(struct wire_end *e, const char *bytes, size_t n)
{
	if (e->start == e->end)
		e->start = e->end = 0;
	if (e->cap - e->end < n && e->start) {
		memmove(e->bytes, e->bytes + e->start, wire_unread(e));
		e->end -= e->start;
		e->start = 0;
	}
	if (e->cap - e->end < n) {
		uint32_t cap = e->cap ? e->cap : BUFFER_MIN;
		while (cap - e->end < n)
			cap *= 2;
		e->bytes = sim_realloc(e->bytes, cap);
		e->cap = cap;
	}
	memcpy(e->bytes + e->end, bytes, n);
	e->end += (uint32_t)n;
}

static void append_some(struct wire_end *e, const struct iovec *iov, int n, size_t limit)
{
	for (int i = 0; i < n && limit; i++) {
		size_t k = iov[i].iov_len < limit ? iov[i].iov_len : limit;
		if (k)
			append(e, iov[i].iov_base, k);
		limit -= k;
	}
}

/* How many bytes a send of `want` takes. As in any kernel, a few hundred go into a pipe that is empty. */
static size_t room_for(const struct wire_end *to, size_t want)
{
	const struct wire *w = to->wire;
	uint32_t unread = wire_unread(to);
	size_t room = unread < w->traits->room_bytes ? w->traits->room_bytes - unread : 0;
	if (want < room)
		room = want;
	if (w->traits->short_send_ppm && unread + want > BUFFER_MIN &&
		rand_chance(w->net->rand, w->traits->short_send_ppm))
		room = rand_below(w->net->rand, room + 1);
	return room;
}

static bool has_room(const struct wire_end *to)
{
	return !to->vanished && wire_unread(to) <= to->wire->traits->room_bytes / 2;
}

static void offer_room(struct wire_end *e)
{
	if (e->open && e->wants_room && !event_is_set(&e->room) && has_room(wire_peer(e)))
		soon(e->wire, &e->room, latency_us(e->wire));
}

ssize_t wire_send(struct wire_end *e, const struct iovec *iov, int n)
{
	struct wire_end *to = wire_peer(e);
	size_t want = 0;
	CHECK(e->open && e->told_open);
	if (e->told_broken || e->send_failed)
		return e->err;
	if (e->err && rand_chance(e->wire->net->rand, 500000)) {
		e->send_failed = true;
		e->err_is_read = rand_chance(e->wire->net->rand, 500000);
		return e->err;
	}
	for (int i = 0; i < n; i++)
		want += iov[i].iov_len;
	if (!to->open && !to->vanished) { /* nobody is there any more: a reset comes back */
		break_end(e, -ECONNRESET);
		return (ssize_t)want;
	}
	size_t take = room_for(to, want);
	append_some(to, iov, n, take);
	if (take && !to->vanished)
		arrive(to);
	if (take < want) {
		e->wants_room = true;
		offer_room(e);
	}
	return (ssize_t)take;
}

static void on_room(struct event *ev)
{
	struct wire_end *e = CONTAINER_OF(ev, struct wire_end, room);
	e->wants_room = false;
	if (!e->told_broken)
		e->ops->on_room(e);
}

void wire_shutdown(struct wire_end *e)
{
	struct wire_end *to = wire_peer(e);
	CHECK(e->open);
	to->fin = true;
	arrive(to);
}

/* ---- receiving ---- */

/* How much of what is there comes at once. */
static uint32_t piece(const struct wire_end *e)
{
	const struct wire_traits *t = e->wire->traits;
	uint32_t n = wire_unread(e);
	if (n > t->piece_max)
		n = t->piece_max;
	if (t->tear_ppm && rand_chance(e->wire->net->rand, t->tear_ppm))
		n = 1 + (uint32_t)rand_below(e->wire->net->rand, n);
	return n;
}

/* The rest, an EOF or an error come in a turn of their own. */
static void come_again(struct wire_end *e)
{
	if (wire_unread(e) || e->fin || e->err)
		soon(e->wire, &e->arrival, 1);
}

static void deliver(struct wire_end *e)
{
	uint32_t n = piece(e);
	const char *bytes = e->bytes + e->start;
	e->start += n;
	come_again(e);
	offer_room(wire_peer(e));
	if (!FRESH) {
		e->ops->on_bytes(e, bytes, n);
		return;
	}
	char *fresh = sim_alloc(n);
	memcpy(fresh, bytes, n);
	e->ops->on_bytes(e, fresh, n);
	free(fresh);
}

static void on_arrival(struct event *ev)
{
	struct wire_end *e = CONTAINER_OF(ev, struct wire_end, arrival);
	CHECK(e->open);
	if (!e->told_open && !e->err) {
		e->told_open = true;
		come_again(e);
		e->ops->on_open(e);
	} else if (wire_unread(e) && !e->paused) {
		deliver(e);
	} else if (e->err && !e->err_is_read) { /* also while it is paused */
		e->told_broken = true;
		e->ops->on_broken(e, e->err);
	} else if (e->err && !e->told_broken && !e->paused) {
		e->told_broken = e->told_eof = true;
		e->ops->on_eof(e);
	} else if (!e->err && e->fin && !e->told_eof && !e->paused) {
		e->told_eof = true;
		e->ops->on_eof(e);
	}
}

void wire_pause(struct wire_end *e, bool paused)
{
	CHECK(e->open);
	if (e->paused == paused)
		return;
	e->paused = paused;
	if (!paused && !event_is_set(&e->arrival) && !e->told_broken)
		come_again(e);
}

/* ---- the end ---- */

static void shut(struct wire_end *e)
{
	struct schedule *s = e->wire->net->schedule;
	event_stop(s, &e->arrival);
	event_stop(s, &e->room);
	event_stop(s, &e->wire->later);
	e->open = false;
}

static void bury(struct wire *w)
{
	list_remove(&w->net->wires, &w->node);
	list_push_back(&w->net->dead, &w->node);
}

void wire_close(struct wire_end *e, bool reset)
{
	struct wire_end *to = wire_peer(e);
	if (!e->open)
		return;
	shut(e);
	if (!to->open) {
		bury(e->wire);
	} else if (reset || wire_unread(e)) {
		break_end(to, -ECONNRESET);
	} else if (!to->fin) {
		to->fin = true;
		arrive(to);
	}
}

static void miss_peer(struct wire *w)
{
	for (int i = 0; i < 2; i++)
		break_end(&w->end[i], -ETIMEDOUT);
}

void wire_vanish(struct wire_end *e, uint64_t missed_us)
{
	struct wire *w = e->wire;
	if (!e->open)
		return;
	shut(e);
	e->vanished = true;
	if (!wire_peer(e)->open) {
		bury(w);
		return;
	}
	w->on_later = miss_peer;
	soon(w, &w->later, missed_us);
}
