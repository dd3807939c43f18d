#include "core/slot.h"

#include "unit.h"

/* One container, alone in its pool. */
struct one {
	struct pool pool;
	struct container *c;
	struct ticket t[8];
};

static const struct pool_limits limits = { 100, 1 << 20, 3, 1, 1000, 16000 };

static void open_pool(struct one *o, uint32_t slots, const struct pool_limits *l)
{
	*o = (struct one){ 0 };
	pool_init(&o->pool, l);
	o->c = pool_add(&o->pool, slots);
	assert_non_null(o->c);
}

/* Up, with all its slots connected. */
static void open_up(struct one *o, uint32_t slots)
{
	open_pool(o, slots, &limits);
	struct slot *s = container_retry(o->c);
	for (; s; s = container_check(o->c))
		slot_connected(s, false, 0);
	assert_int_equal(o->c->slots[SLOT_FREE].len, slots);
}

static void close_pool(struct one *o)
{
	pool_check(&o->pool);
	pool_finish(&o->pool);
}

static struct slot *run(struct one *o, int ticket)
{
	struct slot *s = NULL;
	assert_int_equal(pool_admit(&o->pool, &o->t[ticket], 0, 0, &s), ADMIT_DISPATCH);
	return s;
}

/* The request is with its container. */
static void connect_if_cold(struct slot *s, uint64_t now_us)
{
	if (s->state == SLOT_CONNECTING)
		slot_connected(s, false, now_us);
	assert_int_equal(s->state, SLOT_BUSY);
}

static uint32_t free_slots(const struct one *o)
{
	return o->c->slots[SLOT_FREE].len;
}

/* ---- at the start ---- */

static void test_all_slots_are_there_at_the_start(void **state)
{
	for (uint32_t slots = 1; slots <= 8; slots++) {
		struct one o;
		open_pool(&o, slots, &limits);
		assert_int_equal(o.c->state, CONTAINER_STARTING);
		assert_int_equal(free_slots(&o), 0);
		struct slot *s = container_retry(o.c);
		assert_int_equal(s->state, SLOT_CONNECTING);
		assert_null(container_retry(o.c)); /* one try at a time */
		slot_connected(s, false, 0);
		assert_int_equal(o.c->state, CONTAINER_UP);
		assert_int_equal(free_slots(&o), slots);
		close_pool(&o);
	}
}

static void test_probe_first(void **state)
{
	struct one o;
	open_pool(&o, 3, &limits);
	struct slot *s = container_retry(o.c);
	slot_connected(s, true, 0);
	assert_int_equal(s->state, SLOT_BUSY);
	assert_true(s->probing);
	assert_int_equal(o.c->state, CONTAINER_STARTING);
	assert_int_equal(pool_forecast(&o.pool, 0), ADMIT_WAIT);
	slot_answered(s, true, 0);
	assert_int_equal(o.c->state, CONTAINER_UP);
	assert_int_equal(free_slots(&o), 3);
	assert_true(s->connected);
	assert_int_equal(o.pool.finished, 0); /* a probe is no request */
	assert_true(pool_eta_us(&o.pool, 1) == UINT64_MAX);
	close_pool(&o);
}

static void test_rise(void **state)
{
	static const struct pool_limits twice = { 100, 1 << 20, 3, 2, 1000, 16000 };
	struct one o;
	open_pool(&o, 2, &twice);
	slot_connected(container_retry(o.c), true, 100);
	slot_answered(&o.c->slot[0], true, 100);
	assert_int_equal(o.c->state, CONTAINER_STARTING);
	assert_int_equal(o.c->retry_at_us, 1100);
	struct slot *s = container_retry(o.c);
	slot_connected(s, true, 1100);
	(void)slot_lost(s, LOSS_FAILED, 1100); /* the row is broken */
	for (int i = 0; i < 2; i++) {
		assert_int_equal(o.c->state, CONTAINER_DOWN);
		s = container_retry(o.c);
		slot_connected(s, true, 5000);
		slot_answered(s, true, 5000);
	}
	assert_int_equal(o.c->state, CONTAINER_UP);
	close_pool(&o);
}

/* ---- failures ---- */

static void test_fall(void **state)
{
	struct one o;
	open_up(&o, 2);
	for (int i = 0; i < 2; i++) {
		struct slot *s = run(&o, i);
		connect_if_cold(s, 0);
		assert_ptr_equal(slot_lost(s, LOSS_FAILED, 0), &o.t[i]);
		ticket_fail(&o.t[i]);
		assert_int_equal(o.c->state, CONTAINER_UP);
		assert_int_equal(free_slots(&o), 2);
		assert_false(s->connected);
	}
	struct slot *good = run(&o, 2);
	slot_connected(good, false, 0);
	slot_answered(good, true, 0); /* the row is broken */
	for (int i = 3; i < 6; i++) {
		assert_int_equal(o.c->state, CONTAINER_UP);
		struct slot *s = run(&o, i);
		connect_if_cold(s, 0);
		assert_ptr_equal(slot_lost(s, LOSS_FAILED, 700), &o.t[i]);
		ticket_fail(&o.t[i]);
	}
	assert_int_equal(o.c->state, CONTAINER_DOWN);
	assert_int_equal(o.c->retry_at_us, 1700);
	assert_int_equal(free_slots(&o), 0);
	assert_int_equal(o.c->failures, 5);
	close_pool(&o);
}

static void test_stale_is_nobodys_fault(void **state)
{
	struct one o;
	open_up(&o, 1);
	for (int i = 0; i < 7; i++) {
		struct slot *s = run(&o, i);
		connect_if_cold(s, 0);
		assert_ptr_equal(slot_lost(s, LOSS_STALE, 0), &o.t[i]);
		ticket_fail(&o.t[i]);
		assert_int_equal(s->state, SLOT_FREE);
	}
	assert_int_equal(o.c->state, CONTAINER_UP);
	assert_int_equal(o.c->failures, 0);
	close_pool(&o);
}

static void test_refused_at_once(void **state)
{
	struct one o;
	open_up(&o, 2);
	struct slot *busy = run(&o, 0);
	slot_disconnected(&o.c->slot[0] == busy ? &o.c->slot[1] : &o.c->slot[0]);
	struct slot *connecting = run(&o, 1);
	assert_int_equal(connecting->state, SLOT_CONNECTING);
	assert_ptr_equal(slot_lost(connecting, LOSS_REFUSED, 50), &o.t[1]);
	ticket_fail(&o.t[1]);
	assert_int_equal(o.c->state, CONTAINER_DOWN);
	assert_int_equal(o.c->retry_at_us, 1050);
	assert_int_equal(busy->state, SLOT_BUSY);
	assert_null(container_retry(o.c)); /* it is still at an old request */
	slot_answered(busy, true, 60);     /* which may end well */
	assert_int_equal(o.t[0].state, TICKET_OVER);
	assert_int_equal(busy->state, SLOT_DOWN);
	assert_false(busy->connected);
	assert_int_equal(o.c->state, CONTAINER_DOWN); /* and says nothing about now */
	assert_non_null(container_retry(o.c));
	close_pool(&o);
}

/* Its network has broken: it may be at the request still, and is asked before it gets another. */
static void test_silent_at_once(void **state)
{
	for (int left = 0; left < 2; left++) {
		struct one o;
		open_up(&o, 2);
		struct slot *s = run(&o, 0);
		if (left)
			ticket_abandon(&o.t[0], false);
		assert_ptr_equal(slot_lost(s, LOSS_SILENT, 50), left ? NULL : &o.t[0]);
		if (!left)
			ticket_fail(&o.t[0]);
		assert_int_equal(o.c->state, CONTAINER_DOWN);
		assert_int_equal(o.c->failures, 1);
		assert_int_equal(o.c->retry_at_us, 1050);
		assert_int_equal(s->state, SLOT_DOWN);
		s = container_retry(o.c);
		slot_connected(s, true, 1050);
		assert_true(s->probing);
		slot_answered(s, true, 1060);
		assert_int_equal(o.c->state, CONTAINER_UP);
		close_pool(&o);
	}
}

/* A row of tries that fail: each pause is twice as long as the last, up to the longest. */
static void test_backoff(void **state)
{
	static const uint64_t pauses_us[] = { 1000, 2000, 4000, 8000, 16000, 16000 };
	for (int probed = 0; probed < 2; probed++) {
		struct one o;
		uint64_t now_us = 5000000;
		open_pool(&o, 2, &limits);
		for (size_t i = 0; i < ARRAY_LEN(pauses_us); i++) {
			struct slot *s = container_retry(o.c);
			assert_non_null(s);
			if (probed) { /* it can be connected, but is not ready */
				slot_connected(s, true, now_us);
				assert_null(slot_lost(s, LOSS_FAILED, now_us));
			} else {
				assert_null(slot_lost(s, LOSS_REFUSED, now_us));
			}
			assert_int_equal(o.c->state, CONTAINER_DOWN);
			assert_int_equal(o.c->retry_at_us, now_us + pauses_us[i]);
			now_us = o.c->retry_at_us;
		}
		struct slot *s = container_retry(o.c); /* a good answer ends the row */
		slot_connected(s, true, now_us);
		slot_answered(s, true, now_us);
		container_down(o.c, now_us);
		assert_int_equal(o.c->retry_at_us, now_us + 1000);
		close_pool(&o);
	}
}

/* A container that dies loses all its slots in one moment: one reason to back off, not one each. */
static void test_lost_at_once(void **state)
{
	struct one o;
	open_up(&o, 8);
	for (int i = 0; i < 8; i++)
		slot_disconnected(&o.c->slot[i]);
	for (int i = 0; i < 8; i++)
		assert_int_equal(run(&o, i)->state, SLOT_CONNECTING);
	for (int i = 0; i < 8; i++) {
		assert_ptr_equal(slot_lost(o.t[i].slot, LOSS_REFUSED, 100), &o.t[i]);
		ticket_fail(&o.t[i]);
	}
	assert_int_equal(o.c->retry_at_us, 1100);
	assert_int_equal(o.c->backoff_us, 2000);
	close_pool(&o);
}

/* It was down: its slots come back one by one, with each good answer. */
static void test_slots_come_back_one_by_one(void **state)
{
	struct one o;
	open_up(&o, 4);
	container_down(o.c, 0);
	assert_int_equal(o.c->slots[SLOT_DOWN].len, 4);
	slot_connected(container_retry(o.c), false, 0);
	assert_int_equal(free_slots(&o), 1);
	for (uint32_t i = 0; i < 3; i++) {
		struct slot *s = run(&o, (int)i);
		connect_if_cold(s, 0);
		slot_answered(s, true, 0);
		assert_int_equal(free_slots(&o), i + 2);
	}
	close_pool(&o);
}

/* The same without any traffic but probes. */
static void test_probes_bring_slots_back(void **state)
{
	struct one o;
	open_up(&o, 4);
	container_down(o.c, 0);
	struct slot *s = container_retry(o.c);
	slot_connected(s, true, 0);
	slot_answered(s, true, 0);
	for (int i = 0; i < 4 && free_slots(&o) < 4; i++) {
		s = container_probe(o.c);
		assert_non_null(s);
		connect_if_cold(s, 0);
		slot_answered(s, true, 0);
	}
	assert_int_equal(free_slots(&o), 4);
	close_pool(&o);
}

/* ---- probes and checks of a container that is up ---- */

static void test_probe_only_what_is_idle(void **state)
{
	struct one o;
	open_up(&o, 2);
	struct slot *s = run(&o, 0);
	assert_null(container_probe(o.c)); /* busy */
	ticket_abandon(&o.t[0], false);
	assert_null(container_probe(o.c)); /* a zombie */
	slot_answered(s, true, 0);
	slot_disconnected(&o.c->slot[0]);
	slot_disconnected(&o.c->slot[1]);
	struct slot *connecting = container_check(o.c);
	assert_null(container_probe(o.c)); /* connecting */
	slot_connected(connecting, true, 0);
	assert_int_equal(connecting->state, SLOT_FREE);
	struct slot *probe = container_probe(o.c);
	assert_ptr_equal(probe, connecting); /* the one that has a connection */
	assert_int_equal(probe->state, SLOT_BUSY);
	assert_null(container_probe(o.c)); /* one at a time */
	assert_null(slot_lost(probe, LOSS_FAILED, 0));
	assert_int_equal(o.c->failures_in_a_row, 1);
	assert_int_equal(o.c->state, CONTAINER_UP);
	close_pool(&o);
}

/* By a reload, while its connection was made. */
static void test_a_probe_that_is_taken_away(void **state)
{
	struct one o;
	open_up(&o, 1);
	slot_disconnected(&o.c->slot[0]);
	struct slot *s = container_probe(o.c);
	assert_int_equal(s->state, SLOT_CONNECTING);
	slot_connected(s, false, 0);
	assert_int_equal(s->state, SLOT_FREE);
	assert_true(s->connected && !s->probing);
	close_pool(&o);
}

static void test_check(void **state)
{
	struct one o;
	open_up(&o, 1);
	assert_null(container_check(o.c)); /* its connection stands */
	slot_disconnected(&o.c->slot[0]);
	struct slot *s = container_check(o.c);
	assert_int_equal(s->state, SLOT_CONNECTING);
	assert_null(slot_lost(s, LOSS_REFUSED, 0));
	assert_int_equal(o.c->state, CONTAINER_DOWN);
	assert_null(container_check(o.c));
	close_pool(&o);
}

/* A check that is under way when a request comes: the request takes another slot, or waits its turn. */
static void test_request_during_a_check(void **state)
{
	struct one o;
	struct ticket *t;
	struct slot *s;
	open_up(&o, 1);
	slot_disconnected(&o.c->slot[0]);
	struct slot *checking = container_check(o.c);
	assert_int_equal(pool_admit(&o.pool, &o.t[0], 0, 0, &s), ADMIT_WAIT);
	slot_connected(checking, false, 0);
	assert_true(pool_match(&o.pool, 0, &t, &s));
	assert_ptr_equal(s, checking);
	assert_int_equal(s->state, SLOT_BUSY);
	slot_answered(s, true, 0);
	close_pool(&o);
}

/* ---- what was given up ---- */

static void test_zombie(void **state)
{
	struct one o;
	struct ticket *t;
	struct slot *s;
	open_up(&o, 1);
	struct slot *only = run(&o, 0);
	ticket_abandon(&o.t[0], false);
	assert_int_equal(only->state, SLOT_ZOMBIE);
	assert_int_equal(container_in_flight(o.c), 1);
	assert_int_equal(pool_admit(&o.pool, &o.t[1], 0, 0, &s), ADMIT_WAIT); /* the slot stays taken */
	assert_false(pool_match(&o.pool, 0, &t, &s));
	slot_answered(only, true, 0);
	assert_true(pool_match(&o.pool, 0, &t, &s));
	assert_int_equal(s->state, SLOT_BUSY);
	assert_int_equal(o.pool.finished, 0);
	slot_answered(s, true, 0);
	close_pool(&o);
}

static void test_abandoned_while_connecting(void **state)
{
	struct one o;
	open_up(&o, 1);
	slot_disconnected(&o.c->slot[0]);
	struct slot *s = run(&o, 0);
	ticket_abandon(&o.t[0], true);
	assert_int_equal(s->state, SLOT_CONNECTING); /* nothing was sent */
	assert_false(o.c->settling);
	slot_connected(s, false, 0);
	assert_int_equal(s->state, SLOT_FREE);
	close_pool(&o);
}

/* Nobody reads the answer: the whole container waits until it is known to be idle, or its zombies are lost.
 */
static void test_settling(void **state)
{
	for (int lost = 0; lost < 2; lost++) {
		struct one o;
		struct slot *s;
		open_up(&o, 3);
		struct slot *a = run(&o, 0), *b = run(&o, 1);
		ticket_abandon(&o.t[0], true);
		assert_int_equal(free_slots(&o), 1);
		assert_int_equal(pool_admit(&o.pool, &o.t[2], 0, 0, &s), ADMIT_WAIT);
		ticket_withdraw(&o.t[2]);
		ticket_abandon(&o.t[1], true);
		slot_answered(a, true, 0);
		assert_true(o.c->settling); /* b is still there */
		if (lost)
			assert_null(slot_lost(b, LOSS_STALE, 0));
		else
			slot_answered(b, true, 0);
		assert_false(o.c->settling);
		run(&o, 3);
		slot_answered(o.t[3].slot, true, 0);
		close_pool(&o);
	}
}

/* ---- busy answers ---- */

static void test_bounced(void **state)
{
	struct one o;
	struct slot *s;
	open_up(&o, 2);
	struct slot *first = run(&o, 0);
	assert_ptr_equal(slot_bounced(first, 1000), &o.t[0]);
	assert_int_equal(o.c->state, CONTAINER_RESTING);
	assert_int_equal(o.c->retry_at_us, 1000 + REST_MIN_US);
	assert_int_equal(o.c->slots[SLOT_DOWN].len, 2);
	assert_int_equal(ticket_requeue(&o.t[0]), 0);
	assert_int_equal(pool_admit(&o.pool, &o.t[1], 0, 0, &s), ADMIT_WAIT); /* it is not down */
	container_up(o.c);
	assert_int_equal(free_slots(&o), 2); /* nor does it come back bit by bit */
	struct ticket *t;
	for (int i = 0; i < 2; i++) {
		assert_true(pool_match(&o.pool, 0, &t, &s));
		assert_ptr_equal(t, &o.t[i]);
		connect_if_cold(s, 0);
		slot_answered(s, true, 0);
	}
	close_pool(&o);
}

static void test_rests_grow(void **state)
{
	struct one o;
	uint64_t now_us = 0, pause_us = REST_MIN_US;
	open_up(&o, 1);
	for (int i = 0; i < 8; i++) {
		struct slot *s = run(&o, 0);
		connect_if_cold(s, now_us);
		assert_ptr_equal(slot_bounced(s, now_us), &o.t[0]);
		ticket_fail(&o.t[0]);
		o.t[0] = (struct ticket){ 0 };
		assert_int_equal(o.c->retry_at_us, now_us + pause_us);
		now_us = o.c->retry_at_us;
		pause_us = pause_us * 2 < REST_MAX_US ? pause_us * 2 : REST_MAX_US;
		container_up(o.c);
	}
	struct slot *s = run(&o, 1);
	slot_connected(s, false, now_us);
	slot_answered(s, true, now_us); /* a real answer ends the row */
	assert_ptr_equal(slot_bounced(run(&o, 2), now_us), &o.t[2]);
	ticket_fail(&o.t[2]);
	assert_int_equal(o.c->retry_at_us, now_us + REST_MIN_US);
	close_pool(&o);
}

/* An answer to another request means that it is not busy any more. */
static void test_answer_ends_the_rest(void **state)
{
	struct one o;
	open_up(&o, 2);
	struct slot *a = run(&o, 0), *b = run(&o, 1);
	assert_ptr_equal(slot_bounced(a, 0), &o.t[0]);
	ticket_fail(&o.t[0]);
	assert_int_equal(o.c->state, CONTAINER_RESTING);
	slot_answered(b, true, 10);
	assert_int_equal(o.c->state, CONTAINER_UP);
	assert_int_equal(free_slots(&o), 2);
	assert_true(b->connected);
	close_pool(&o);
}

static void test_refused_while_resting(void **state)
{
	struct one o;
	open_up(&o, 1);
	assert_ptr_equal(slot_bounced(run(&o, 0), 0), &o.t[0]);
	ticket_fail(&o.t[0]);
	assert_null(slot_lost(container_retry(o.c), LOSS_REFUSED, 100));
	assert_int_equal(o.c->state, CONTAINER_DOWN);
	assert_int_equal(o.c->retry_at_us, 1100);
	close_pool(&o);
}

/* ---- want of something of our own ---- */

static void test_hindered(void **state)
{
	struct one o;
	struct slot *s;
	struct ticket *t;
	open_up(&o, 2);
	slot_disconnected(&o.c->slot[0]);
	slot_disconnected(&o.c->slot[1]);
	struct slot *a = run(&o, 0), *b = run(&o, 1);
	assert_ptr_equal(slot_hindered(a, 1000), &o.t[0]);
	assert_ptr_equal(slot_hindered(b, 1000), &o.t[1]);
	assert_int_equal(o.c->state, CONTAINER_RESTING);
	assert_int_equal(o.c->failures + o.c->failures_in_a_row, 0);
	assert_int_equal(o.c->retry_at_us, 1000 + REST_MIN_US); /* both for the same reason */
	assert_int_equal(ticket_requeue(&o.t[1]), 0);
	assert_int_equal(ticket_requeue(&o.t[0]), 0);
	assert_int_equal(pool_admit(&o.pool, &o.t[2], 0, 0, &s), ADMIT_WAIT); /* it is not down */
	container_up(o.c);
	for (int i = 0; i < 3; i++) {
		assert_true(pool_match(&o.pool, 0, &t, &s));
		assert_ptr_equal(t, &o.t[i]);
		connect_if_cold(s, 0);
		slot_answered(s, true, 0);
	}
	close_pool(&o);
}

/* What needs no further connection goes on. */
static void test_hindered_beside_a_free_connection(void **state)
{
	struct one o;
	struct slot *s;
	struct ticket *t;
	open_up(&o, 2);
	slot_disconnected(&o.c->slot[1]);
	struct slot *a = run(&o, 0), *b = run(&o, 1);
	assert_int_equal(b->state, SLOT_CONNECTING);
	slot_answered(a, true, 0);
	assert_ptr_equal(slot_hindered(b, 1000), &o.t[1]);
	assert_int_equal(o.c->state, CONTAINER_UP);
	assert_int_equal(ticket_requeue(&o.t[1]), 0);
	assert_true(pool_match(&o.pool, 0, &t, &s));
	assert_ptr_equal(s, a);
	slot_answered(a, true, 0);
	close_pool(&o);
}

/* Nobody waits: not before, not while, not after it is up. */
static void test_hindered_without_a_request(void **state)
{
	struct one o;
	open_pool(&o, 1, &limits);
	assert_null(slot_hindered(container_retry(o.c), 1000));
	assert_int_equal(o.c->state, CONTAINER_STARTING);
	assert_int_equal(o.c->retry_at_us, 1000 + REST_MIN_US);
	slot_connected(container_retry(o.c), false, 0);
	slot_disconnected(&o.c->slot[0]);
	assert_null(slot_hindered(container_check(o.c), 2000));
	assert_int_equal(o.c->state, CONTAINER_UP);
	assert_null(slot_hindered(container_probe(o.c), 2000));
	assert_int_equal(o.c->state, CONTAINER_UP);
	assert_int_equal(free_slots(&o), 1);
	assert_false(o.c->slot[0].probing);
	container_down(o.c, 3000);
	assert_null(slot_hindered(container_retry(o.c), 3500));
	assert_int_equal(o.c->state, CONTAINER_DOWN);
	assert_int_equal(o.c->retry_at_us, 4000); /* no sooner than it would have been tried */
	close_pool(&o);
}

/* ---- which container a second try goes to ---- */

static void test_another_container_for_the_second_try(void **state)
{
	struct pool p;
	struct ticket t = { 0 }, neighbour = { 0 }, *matched;
	struct slot *s, *other;
	pool_init(&p, &limits);
	for (int i = 0; i < 2; i++) {
		struct container *c = pool_add(&p, 2);
		assert_non_null(c);
		slot_connected(container_retry(c), false, 0);
	}
	assert_int_equal(pool_admit(&p, &t, 0, 0, &s), ADMIT_DISPATCH);
	assert_int_equal(pool_admit(&p, &neighbour, 0, 0, &other), ADMIT_DISPATCH);
	struct container *first = s->container;
	assert_ptr_not_equal(other->container, first);
	for (int i = 0; i < 2; i++) {
		connect_if_cold(s, 0);
		assert_ptr_equal(slot_lost(s, LOSS_FAILED, 0), &t);
		assert_int_equal(ticket_requeue(&t), 0);
		assert_true(pool_match(&p, 0, &matched, &s));
		assert_int_equal(s->container != first, i == 0); /* to the busier one, and back again */
	}
	container_down(other->container, 0); /* the same again is better than none */
	connect_if_cold(s, 0);
	assert_ptr_equal(slot_lost(s, LOSS_FAILED, 0), &t);
	assert_int_equal(ticket_requeue(&t), 0);
	assert_true(pool_match(&p, 0, &matched, &s));
	assert_ptr_equal(s->container, first);
	assert_int_equal(t.attempts, 4);
	connect_if_cold(s, 0);
	slot_answered(s, false, 0);
	slot_answered(other, false, 0);
	pool_check(&p);
	pool_finish(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_slots_are_there_at_the_start),
		cmocka_unit_test(test_probe_first),
		cmocka_unit_test(test_rise),
		cmocka_unit_test(test_fall),
		cmocka_unit_test(test_stale_is_nobodys_fault),
		cmocka_unit_test(test_refused_at_once),
		cmocka_unit_test(test_silent_at_once),
		cmocka_unit_test(test_backoff),
		cmocka_unit_test(test_lost_at_once),
		cmocka_unit_test(test_slots_come_back_one_by_one),
		cmocka_unit_test(test_probes_bring_slots_back),
		cmocka_unit_test(test_probe_only_what_is_idle),
		cmocka_unit_test(test_a_probe_that_is_taken_away),
		cmocka_unit_test(test_check),
		cmocka_unit_test(test_request_during_a_check),
		cmocka_unit_test(test_zombie),
		cmocka_unit_test(test_abandoned_while_connecting),
		cmocka_unit_test(test_settling),
		cmocka_unit_test(test_bounced),
		cmocka_unit_test(test_rests_grow),
		cmocka_unit_test(test_answer_ends_the_rest),
		cmocka_unit_test(test_refused_while_resting),
		cmocka_unit_test(test_hindered),
		cmocka_unit_test(test_hindered_beside_a_free_connection),
		cmocka_unit_test(test_hindered_without_a_request),
		cmocka_unit_test(test_another_container_for_the_second_try),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
