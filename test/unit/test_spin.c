#include "core/spin.h"

#include "unit.h"

#include <stdlib.h>

static const struct pool_limits roomy = { 100, 1 << 20, 3, 1, 100000, 5000000 };

enum { CONTAINERS = 2 };

/* Two containers of one slot, which have both just been given a request, and one that waits. */
struct scene {
	struct pool pool;
	struct ticket ticket[16];
	int n;
};

static struct ticket *next_ticket(struct scene *s)
{
	assert_true(s->n < (int)ARRAY_LEN(s->ticket));
	return &s->ticket[s->n++];
}

static void admit(struct scene *s, uint64_t now_us)
{
	struct slot *slot;
	enum admission a = pool_admit(&s->pool, next_ticket(s), 10, now_us, &slot);
	assert_true(a == ADMIT_DISPATCH || a == ADMIT_WAIT);
}

/* The slot's request is answered, and the next one that waits goes out. */
static void answer(struct scene *s, int container, uint64_t now_us)
{
	struct ticket *t;
	struct slot *slot;
	slot_answered(&s->pool.containers[container]->slot[0], true, now_us);
	if (pool_match(&s->pool, now_us, &t, &slot))
		assert_ptr_equal(slot, &s->pool.containers[container]->slot[0]);
}

static void scene_start(struct scene *s)
{
	*s = (struct scene){ 0 };
	pool_init(&s->pool, &roomy);
	for (int i = 0; i < CONTAINERS; i++) {
		struct container *c = pool_add(&s->pool, 1);
		assert_non_null(c);
		slot_connected(container_retry(c), false, 0);
	}
}

static void scene_finish(struct scene *s)
{
	for (int i = 0; i < s->n; i++) {
		if (s->ticket[i].state == TICKET_WAITING)
			ticket_withdraw(&s->ticket[i]);
	}
	for (int i = 0; i < CONTAINERS; i++) {
		if (s->pool.containers[i]->slot[0].state == SLOT_BUSY)
			slot_answered(&s->pool.containers[i]->slot[0], true, 0);
	}
	pool_finish(&s->pool);
}

static void test_due(void **state)
{
	struct scene s;
	scene_start(&s);
	admit(&s, 1000);
	admit(&s, 1300);
	admit(&s, 1400);
	assert_true(spin_due_us(&s.pool, 1500) == UINT64_MAX); /* no service time is known */
	answer(&s, 0, 2000);                                   /* took 1000 us, and no deviation is known */
	assert_true(spin_due_us(&s.pool, 2000) == UINT64_MAX); /* nothing waits any more */
	admit(&s, 2100);
	assert_int_equal(spin_due_us(&s.pool, 2100), 2300); /* the second request's, which began at 1300 */
	assert_int_equal(spin_due_us(&s.pool, 2300), 2300);
	assert_int_equal(spin_due_us(&s.pool, 2301), 3000); /* it is late: who knows when; the third one's */
	answer(&s, 1, 2940); /* took 640 us longer: a deviation of 40 us, and a mean that is 40 us longer */
	admit(&s, 2940);
	assert_int_equal(spin_due_us(&s.pool, 2940), 2000 + 1040 - 80);
	assert_int_equal(spin_due_us(&s.pool, 3000), 3000); /* within the deviation: now */
	scene_finish(&s);
}

/* Service times that differ by more than they last may be over at any time. */
static void test_wild(void **state)
{
	struct scene s;
	scene_start(&s);
	for (int i = 0; i < 3; i++)
		admit(&s, 1000);
	s.pool.service_mean_x16 = 16 * 100;
	s.pool.service_deviation_x16 = 16 * 1000;
	assert_int_equal(spin_due_us(&s.pool, 1000), 1000);
	scene_finish(&s);
}

/* More late slots than are looked at: nothing is known, and the look stays short. */
static void test_many_late(void **state)
{
	struct pool p;
	struct ticket t[10] = { 0 }, waiting = { 0 };
	struct slot *slot;
	pool_init(&p, &roomy);
	struct container *c = pool_add(&p, ARRAY_LEN(t));
	slot_connected(container_retry(c), false, 0);
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		assert_int_equal(pool_admit(&p, &t[i], 10, 0, &slot), ADMIT_DISPATCH);
	assert_int_equal(pool_admit(&p, &waiting, 10, 0, &slot), ADMIT_WAIT);
	p.service_mean_x16 = 16 * 100;
	assert_true(spin_due_us(&p, 1000) == UINT64_MAX);
	t[8].dispatched_us = 990;
	assert_true(spin_due_us(&p, 1000) == UINT64_MAX);
	t[7].dispatched_us = 990;
	assert_int_equal(spin_due_us(&p, 1000), 1090);
	ticket_withdraw(&waiting);
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		ticket_abandon(&t[i], false);
	pool_finish(&p);
}

/* Polls away all that it is given for `us`; returns how long that was. */
static uint64_t poll_for(struct spin *s, uint32_t share, uint64_t *now_us, uint64_t us)
{
	uint64_t polled_us = 0, end_us = *now_us + us;
	while (*now_us < end_us) {
		struct spin_window w = spin_next(s, *now_us, share, *now_us);
		uint64_t took_us = w.until_us ? w.until_us - *now_us : 0;
		assert_true(w.until_us == 0 || (w.from_us == *now_us && took_us <= 1000));
		spin_spend(s, took_us, 0);
		polled_us += took_us;
		*now_us += took_us ? took_us : 50;
	}
	return polled_us;
}

static void test_share(void **state)
{
	static const uint32_t shares[] = { 1, 10, 50, 99, 100 };
	for (size_t i = 0; i < ARRAY_LEN(shares); i++) {
		uint64_t now_us = 5000000, saved_us = shares[i] * 1000; /* of 100 ms */
		struct spin s = { .at_us = now_us };
		uint64_t polled_us = poll_for(&s, shares[i], &now_us, 10000000);
		assert_true(polled_us <= shares[i] * 100000);
		assert_true(polled_us >= shares[i] * 100000 - shares[i] * 1000);
		now_us += 3600000000; /* an hour without anything to do is saved up as 100 ms */
		polled_us = poll_for(&s, shares[i], &now_us, 1000);
		assert_true(polled_us <= 2000);
		polled_us += poll_for(&s, shares[i], &now_us, 200000);
		assert_true(polled_us <= saved_us + shares[i] * 2100);
	}
}

/* What has come within the time that a sleep would have cost is free. */
static void test_hits(void **state)
{
	struct spin s = { .credit = 100000 };
	spin_spend(&s, 50, 2);
	assert_int_equal(s.credit, 100000);
	spin_spend(&s, 51, 2);
	assert_int_equal(s.credit, 99900);
	spin_spend(&s, 5000, 0);
	assert_int_equal(s.credit, 0);
}

static void test_sleeps(void **state)
{
	struct spin s = { .at_us = 1000 };
	struct spin_window w = spin_next(&s, 1000, 10, 1000 + 19000); /* too little is saved */
	assert_int_equal(w.until_us, 0);
	w = spin_next(&s, UINT64_MAX, 10, 1000 + 21000); /* enough, but nothing is due */
	assert_int_equal(w.until_us, 0);
	w = spin_next(&s, 30000, 10, 1000 + 21000); /* something is, later: until then it sleeps */
	assert_int_equal(w.from_us, 30000);
	assert_int_equal(w.until_us, 31000);
	spin_spend(&s, 1500, 0); /* of 2100 us; what is left is used to its end */
	w = spin_next(&s, 22000, 10, 22000);
	assert_int_equal(w.until_us, 22600);
	spin_spend(&s, 600, 0);
	w = spin_next(&s, 23000, 10, 23000 - 995);
	assert_int_equal(w.until_us, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_due),
		cmocka_unit_test(test_wild),
		cmocka_unit_test(test_many_late),
		cmocka_unit_test(test_share),
		cmocka_unit_test(test_hits),
		cmocka_unit_test(test_sleeps),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
