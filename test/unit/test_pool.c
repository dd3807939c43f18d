#include "core/pool.h"

#include "unit.h"

#include <stdlib.h>

static const struct pool_limits roomy = { 100, 1 << 20, 3, 1, 100000, 5000000 };

/* A pool whose containers are up and whose slots are connected. */
static void pool_start(struct pool *p, uint32_t containers, uint32_t slots, const struct pool_limits *limits)
{
	pool_init(p, limits);
	for (uint32_t i = 0; i < containers; i++) {
		struct container *c = pool_add(p, slots);
		assert_non_null(c);
		struct slot *s = container_retry(c);
		for (; s; s = container_check(c))
			slot_connected(s, false, 0);
	}
	pool_check(p);
	assert_int_equal(p->serving.len, containers * slots);
}

static struct slot *admit_running(struct pool *p, struct ticket *t)
{
	struct slot *s = NULL;
	assert_int_equal(pool_admit(p, t, 10, 0, &s), ADMIT_DISPATCH);
	assert_ptr_equal(s->ticket, t);
	return s;
}

static void admit_waiting(struct pool *p, struct ticket *t)
{
	struct slot *s;
	assert_int_equal(pool_admit(p, t, 10, 0, &s), ADMIT_WAIT);
}

/* A container that is down is tried, and there. */
static void come_back(struct container *c)
{
	struct slot *s = container_retry(c);
	assert_non_null(s);
	slot_connected(s, false, 0);
}

/* All that waits or runs is answered. */
static void finish_all(struct pool *p)
{
	struct ticket *t;
	struct slot *s;
	do {
		for (uint32_t c = 0; c < p->n_containers; c++) {
			for (uint32_t i = 0; i < p->containers[c]->n_slots; i++) {
				s = &p->containers[c]->slot[i];
				if (s->state == SLOT_CONNECTING)
					slot_connected(s, false, 0);
				if (s->state == SLOT_BUSY)
					slot_answered(s, true, 0);
			}
		}
	} while (pool_match(p, 0, &t, &s));
	assert_int_equal(order_len(&p->queue), 0);
	pool_finish(p);
}

static void test_before_the_first_container_is_heard_of(void **state)
{
	struct pool p;
	struct ticket t = { 0 }, *matched;
	struct slot *s;
	pool_init(&p, &roomy);
	struct container *first = pool_add(&p, 1), *second = pool_add(&p, 1);
	assert_true(first && second);
	admit_waiting(&p, &t); /* they may be there */
	assert_false(pool_match(&p, 0, &matched, &s));
	assert_true(pool_eta_us(&p, 1) == UINT64_MAX);
	slot_connected(container_retry(second), false, 5);
	assert_true(pool_match(&p, 7, &matched, &s));
	assert_ptr_equal(matched, &t);
	assert_ptr_equal(s->container, second);
	assert_int_equal(s->state, SLOT_BUSY);
	assert_int_equal(t.dispatched_us, 7);
	finish_all(&p);
}

static void test_no_container(void **state)
{
	struct pool p;
	struct ticket t = { 0 };
	struct slot *s;
	pool_init(&p, &roomy);
	assert_int_equal(pool_admit(&p, &t, 10, 0, &s), ADMIT_NO_CONTAINER);
	p.expecting = true;
	assert_int_equal(pool_admit(&p, &t, 10, 0, &s), ADMIT_WAIT);
	p.expecting = false;
	assert_int_equal(pool_forecast(&p, 0), ADMIT_NO_CONTAINER);
	ticket_withdraw(&t);
	pool_finish(&p);

	t = (struct ticket){ 0 };
	pool_start(&p, 2, 1, &roomy);
	container_down(p.containers[0], 0);
	assert_int_equal(pool_forecast(&p, 0), ADMIT_DISPATCH);
	container_down(p.containers[1], 0);
	assert_int_equal(pool_admit(&p, &t, 10, 0, &s), ADMIT_NO_CONTAINER);
	assert_int_equal(t.state, TICKET_NEW);
	pool_finish(&p);
}

static void test_limits_of_the_queue(void **state)
{
	static const struct pool_limits limits = { 3, 100, 3, 1, 100000, 5000000 };
	struct pool p;
	struct ticket t[6] = { 0 };
	struct slot *s;
	pool_start(&p, 1, 1, &limits);
	admit_running(&p, &t[0]);
	assert_int_equal(pool_admit(&p, &t[1], 60, 0, &s), ADMIT_WAIT);
	assert_int_equal(pool_admit(&p, &t[2], 41, 0, &s), ADMIT_FULL); /* bytes */
	assert_int_equal(pool_admit(&p, &t[2], UINT32_MAX, 0, &s), ADMIT_FULL);
	assert_int_equal(pool_admit(&p, &t[2], 40, 0, &s), ADMIT_WAIT);
	assert_int_equal(pool_admit(&p, &t[3], 0, 0, &s), ADMIT_WAIT);
	assert_int_equal(pool_admit(&p, &t[4], 0, 0, &s), ADMIT_FULL); /* number */
	assert_int_equal(t[4].state, TICKET_NEW);
	ticket_withdraw(&t[1]);
	assert_int_equal(pool_admit(&p, &t[4], 60, 0, &s), ADMIT_WAIT);
	assert_int_equal(t[4].number, 5); /* refusals take no number */
	finish_all(&p);
}

static void test_an_empty_queue_is_no_way_past_the_byte_limit(void **state)
{
	static const struct pool_limits limits = { 3, 100, 3, 1, 100000, 5000000 };
	struct pool p;
	struct ticket t[2] = { 0 };
	struct slot *s;
	pool_start(&p, 1, 1, &limits);
	assert_int_equal(pool_admit(&p, &t[0], 5000, 0, &s), ADMIT_DISPATCH); /* it does not wait */
	assert_int_equal(pool_admit(&p, &t[1], 101, 0, &s), ADMIT_FULL);
	finish_all(&p);
}

static void test_nobody_overtakes(void **state)
{
	struct pool p;
	struct ticket t[4] = { 0 }, *matched;
	struct slot *s;
	pool_start(&p, 1, 1, &roomy);
	struct slot *only = admit_running(&p, &t[0]);
	admit_waiting(&p, &t[1]);
	slot_answered(only, true, 0);
	admit_waiting(&p, &t[2]); /* a slot is free, but somebody was first */
	assert_true(pool_match(&p, 0, &matched, &s));
	assert_ptr_equal(matched, &t[1]);
	finish_all(&p);
}

static void test_positions_follow_those_who_leave(void **state)
{
	enum { WAITING = 300 };
	struct pool p;
	struct ticket first = { 0 }, *t = calloc(WAITING, sizeof *t);
	struct pool_limits limits = roomy;
	limits.queue_max = WAITING;
	assert_non_null(t);
	pool_start(&p, 1, 1, &limits);
	admit_running(&p, &first);
	assert_int_equal(ticket_position(&first), 0);
	for (uint32_t i = 0; i < WAITING; i++) {
		admit_waiting(&p, &t[i]);
		assert_int_equal(ticket_position(&t[i]), i + 1);
	}
	for (uint32_t i = 0; i < WAITING; i += 3)
		ticket_withdraw(&t[i]);
	for (uint32_t i = 0; i < WAITING; i++)
		assert_int_equal(ticket_position(&t[i]), i % 3 == 0 ? 0 : i - i / 3);
	finish_all(&p);
	free(t);
}

/* What comes back goes to its old place, however many came back before it and in whatever order. */
static void test_requeued_tickets_keep_their_turn(void **state)
{
	enum { SLOTS = 4, WAITING = 3 };
	static const uint32_t orders[][SLOTS] = { { 0, 1, 2, 3 }, { 3, 2, 1, 0 }, { 2, 0, 3, 1 } };
	for (size_t o = 0; o < ARRAY_LEN(orders); o++) {
		struct pool p;
		struct ticket t[SLOTS + WAITING] = { 0 };
		struct slot *s[SLOTS];
		pool_start(&p, SLOTS, 1, &roomy);
		for (int i = 0; i < SLOTS; i++)
			s[i] = admit_running(&p, &t[i]);
		for (int i = SLOTS; i < SLOTS + WAITING; i++)
			admit_waiting(&p, &t[i]);
		for (int i = 0; i < SLOTS; i++) {
			uint32_t k = orders[o][i];
			container_down(s[k]->container, 0);
			assert_ptr_equal(slot_lost(s[k], LOSS_FAILED, 0), &t[k]);
			assert_int_equal(ticket_requeue(&t[k]), 0);
		}
		pool_check(&p);
		for (uint32_t i = 0; i < SLOTS + WAITING; i++)
			assert_int_equal(ticket_position(&t[i]), i + 1);
		for (int i = 0; i < SLOTS; i++)
			come_back(p.containers[i]);
		finish_all(&p);
		assert_int_equal(t[0].attempts, 2);
		assert_int_equal(t[SLOTS].attempts, 1);
	}
}

static void test_what_is_set_aside_keeps_its_turn(void **state)
{
	struct pool p;
	struct ticket t[3] = { 0 }, *next;
	struct slot *again;
	pool_start(&p, 1, 1, &roomy);
	struct slot *s = admit_running(&p, &t[0]);
	admit_waiting(&p, &t[1]);
	ticket_set_aside(&t[0]);
	assert_int_equal(t[0].attempts, 0);
	assert_int_equal(p.reserved, 1);
	slot_answered(s, true, 1);
	assert_true(pool_match(&p, 1, &next, &s)); /* nobody waits behind it */
	pool_check(&p);
	assert_ptr_equal(next, &t[1]);
	admit_waiting(&p, &t[2]);
	assert_int_equal(pool_join(&p, &t[0], 2, &again), 0);
	assert_null(again);
	assert_int_equal(ticket_position(&t[0]), 1);
	slot_answered(s, true, 3);
	assert_true(pool_match(&p, 3, &next, &s));
	assert_ptr_equal(next, &t[0]);
	assert_int_equal(t[0].attempts, 1);
	ticket_set_aside(&t[0]);
	pool_forgo(&t[0]);
	assert_int_equal(p.reserved, 0);
	slot_answered(s, true, 4);
	finish_all(&p);
	assert_int_equal(t[2].attempts, 1);
}

/* A full queue takes back what it had let in. */
static void test_requeue_into_a_full_queue(void **state)
{
	static const struct pool_limits limits = { 2, 20, 3, 1, 100000, 5000000 };
	struct pool p;
	struct ticket t[4] = { 0 };
	struct slot *s;
	pool_start(&p, 1, 1, &limits);
	struct slot *only = admit_running(&p, &t[0]);
	admit_waiting(&p, &t[1]);
	admit_waiting(&p, &t[2]);
	assert_int_equal(pool_admit(&p, &t[3], 10, 0, &s), ADMIT_FULL);
	container_down(only->container, 0);
	assert_ptr_equal(slot_lost(only, LOSS_FAILED, 0), &t[0]);
	assert_int_equal(ticket_requeue(&t[0]), 0);
	pool_check(&p);
	assert_int_equal(ticket_position(&t[0]), 1);
	assert_int_equal(p.queue_bytes, 30);
	assert_int_equal(pool_forecast(&p, 0), ADMIT_NO_CONTAINER);
	come_back(only->container);
	assert_int_equal(pool_forecast(&p, 0), ADMIT_FULL);
	finish_all(&p);
}

/* More may wait than the limit lets in: those that came back, then their container goes for good; or the
 * limit itself is lowered. Newcomers are refused, and that is all. */
static void test_queue_above_its_limit(void **state)
{
	static const struct pool_limits limits = { 2, 1 << 20, 3, 1, 100000, 5000000 };
	struct pool p;
	struct ticket t[6] = { 0 };
	struct slot *s;
	pool_start(&p, 1, 3, &limits);
	for (int i = 0; i < 3; i++)
		admit_running(&p, &t[i]);
	admit_waiting(&p, &t[3]);
	admit_waiting(&p, &t[4]);
	container_down(p.containers[0], 0);
	for (int i = 0; i < 3; i++) {
		assert_ptr_equal(slot_lost(t[i].slot, LOSS_FAILED, 0), &t[i]);
		assert_int_equal(ticket_requeue(&t[i]), 0);
	}
	assert_non_null(pool_add(&p, 1));
	pool_remove(p.containers[0]);
	pool_check(&p);
	p.limits.queue_max = 0;
	pool_check(&p);
	assert_int_equal(pool_admit(&p, &t[5], 0, 0, &s), ADMIT_FULL);
	assert_int_equal(ticket_position(&t[4]), 5);
	come_back(p.containers[0]);
	finish_all(&p);
}

static void test_add_and_remove(void **state)
{
	struct pool p;
	struct ticket t[4] = { 0 };
	pool_start(&p, 3, 2, &roomy);
	struct container *last = p.containers[2];
	uint32_t id = last->id;
	pool_remove(p.containers[0]);
	assert_int_equal(p.n_containers, 2);
	assert_int_equal(pool_slots(&p), 4);
	assert_ptr_equal(p.containers[last->index], last);
	struct container *added = pool_add(&p, 5);
	assert_non_null(added);
	assert_true(added->id > id); /* ids are not used again */
	assert_int_equal(added->state, CONTAINER_STARTING);
	pool_check(&p);
	for (int i = 0; i < 4; i++)
		assert_true(admit_running(&p, &t[i])->container != added);
	assert_false(container_is_at_rest(last));
	finish_all(&p);
}

static void test_eta(void **state)
{
	struct pool p;
	struct ticket t[8] = { 0 };
	pool_start(&p, 2, 2, &roomy);
	assert_true(pool_eta_us(&p, 1) == UINT64_MAX); /* no sample */
	slot_answered(admit_running(&p, &t[0]), true, 800);
	assert_int_equal(pool_eta_us(&p, 1), 200); /* 800 us over four slots */
	assert_int_equal(pool_eta_us(&p, 10), 2000);
	slot_answered(admit_running(&p, &t[1]), true, 2400);
	assert_int_equal(pool_eta_us(&p, 4), 900); /* 800 + (2400 - 800) / 16 */
	container_drain(p.containers[0], true);
	assert_int_equal(pool_eta_us(&p, 4), 1800); /* two slots */
	struct slot *s = admit_running(&p, &t[2]);
	assert_int_equal(pool_eta_us(&p, 4), 1800); /* a busy one comes back */
	ticket_abandon(&t[2], false);
	assert_int_equal(pool_eta_us(&p, 4), 3600); /* nobody knows when a zombie does */
	slot_answered(s, true, 1000000);
	assert_int_equal(pool_eta_us(&p, 4), 1800); /* and its time is no sample */
	container_down(p.containers[1], 0);
	assert_true(pool_eta_us(&p, 1) == UINT64_MAX); /* no slot */
	pool_finish(&p);
}

static void test_service_time_of_nothing(void **state)
{
	struct pool p;
	struct ticket t[40] = { 0 };
	pool_start(&p, 1, 1, &roomy);
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		slot_answered(admit_running(&p, &t[i]), true, i == 0 ? 10 : 0);
	assert_true(pool_eta_us(&p, 1) <= 10); /* a known, short time, not an unknown one */
	pool_finish(&p);
}

/* The service time runs from the moment that the request can be sent. */
static void test_connecting_is_no_service_time(void **state)
{
	struct pool p;
	struct ticket t = { 0 };
	pool_start(&p, 1, 1, &roomy);
	slot_disconnected(&p.containers[0]->slot[0]);
	struct slot *s = admit_running(&p, &t);
	assert_int_equal(s->state, SLOT_CONNECTING);
	slot_connected(s, false, 5000);
	assert_int_equal(s->state, SLOT_BUSY);
	slot_answered(s, true, 5100);
	assert_int_equal(pool_eta_us(&p, 1), 100);
	pool_finish(&p);
}

/* Requests spread over the least busy containers, and round among equals. */
static void test_least_busy_then_longest_unused(void **state)
{
	struct pool p;
	struct ticket t[12] = { 0 };
	struct slot *s[12];
	pool_start(&p, 3, 3, &roomy);
	for (uint32_t i = 0; i < 9; i++) {
		s[i] = admit_running(&p, &t[i]);
		assert_int_equal(s[i]->container->index, i % 3);
	}
	assert_int_equal(pool_forecast(&p, 0), ADMIT_WAIT);
	slot_answered(s[4], true, 0); /* container 1 */
	slot_answered(s[3], true, 0); /* container 0 */
	slot_answered(s[7], true, 0); /* container 1: now it has the fewest */
	assert_int_equal(admit_running(&p, &t[9])->container->index, 1);
	assert_int_equal(admit_running(&p, &t[10])->container->index, 0); /* unused for longer than 1 */
	assert_int_equal(admit_running(&p, &t[11])->container->index, 1);
	finish_all(&p);
}

/* The ticket's slot is lost, it comes back, and runs again: where? */
static uint32_t fail_over(struct pool *p, struct ticket *t)
{
	struct ticket *matched;
	struct slot *s;
	assert_ptr_equal(slot_lost(t->slot, LOSS_STALE, 0), t);
	assert_int_equal(ticket_requeue(t), 0);
	assert_true(pool_match(p, 0, &matched, &s));
	assert_ptr_equal(matched, t);
	return s->container->index;
}

/* Not twice to one container while there is another that is free, be it the busiest; else to the one that
 * failed it the longest ago. */
static void test_what_failed_is_tried_elsewhere_first(void **state)
{
	struct pool p;
	struct ticket t = { 0 }, others[7] = { 0 };
	pool_start(&p, 3, 4, &roomy);
	for (uint32_t i = 0; i < 7; i++) /* 0 has three, 1 and 2 have two */
		admit_running(&p, &others[i]);
	assert_int_equal(admit_running(&p, &t)->container->index, 1);
	assert_int_equal(fail_over(&p, &t), 2);
	assert_int_equal(fail_over(&p, &t), 0);
	assert_int_equal(fail_over(&p, &t), 1);
	assert_int_equal(fail_over(&p, &t), 2);
	finish_all(&p);
}

static void test_connected_slots_first(void **state)
{
	struct pool p;
	struct ticket t[3] = { 0 };
	pool_start(&p, 1, 3, &roomy);
	slot_disconnected(&p.containers[0]->slot[1]);
	assert_int_equal(admit_running(&p, &t[0])->state, SLOT_BUSY);
	assert_int_equal(admit_running(&p, &t[1])->state, SLOT_BUSY);
	assert_int_equal(admit_running(&p, &t[2])->state, SLOT_CONNECTING);
	finish_all(&p);
}

static void test_drain(void **state)
{
	struct pool p;
	struct ticket t[4] = { 0 }, *matched;
	struct slot *s;
	pool_start(&p, 2, 1, &roomy);
	struct slot *first = admit_running(&p, &t[0]);
	container_drain(first->container, true);
	assert_int_equal(p.serving.len, 1);
	admit_running(&p, &t[1]);
	admit_waiting(&p, &t[2]);
	slot_answered(first, true, 0); /* what ran is finished, and nothing new comes */
	assert_false(pool_match(&p, 0, &matched, &s));
	pool_check(&p);
	container_drain(first->container, false);
	assert_true(pool_match(&p, 0, &matched, &s));
	assert_ptr_equal(matched, &t[2]);
	assert_ptr_equal(s, first);
	finish_all(&p);
}

/* While everything drains, requests wait: it is meant to come back. */
static void test_all_drain(void **state)
{
	struct pool p;
	struct ticket t = { 0 };
	pool_start(&p, 1, 1, &roomy);
	container_drain(p.containers[0], true);
	assert_int_equal(pool_forecast(&p, 0), ADMIT_WAIT);
	admit_waiting(&p, &t);
	ticket_withdraw(&t);
	pool_finish(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_before_the_first_container_is_heard_of),
		cmocka_unit_test(test_no_container),
		cmocka_unit_test(test_limits_of_the_queue),
		cmocka_unit_test(test_an_empty_queue_is_no_way_past_the_byte_limit),
		cmocka_unit_test(test_nobody_overtakes),
		cmocka_unit_test(test_positions_follow_those_who_leave),
		cmocka_unit_test(test_requeued_tickets_keep_their_turn),
		cmocka_unit_test(test_what_is_set_aside_keeps_its_turn),
		cmocka_unit_test(test_requeue_into_a_full_queue),
		cmocka_unit_test(test_queue_above_its_limit),
		cmocka_unit_test(test_add_and_remove),
		cmocka_unit_test(test_eta),
		cmocka_unit_test(test_service_time_of_nothing),
		cmocka_unit_test(test_connecting_is_no_service_time),
		cmocka_unit_test(test_least_busy_then_longest_unused),
		cmocka_unit_test(test_what_failed_is_tried_elsewhere_first),
		cmocka_unit_test(test_connected_slots_first),
		cmocka_unit_test(test_drain),
		cmocka_unit_test(test_all_drain),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
