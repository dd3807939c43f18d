#include "io/timer.h"

#include "base/rand.h"
#include "unit.h"

#include <stdlib.h>
#include <unistd.h>

enum { TICK_US = 1024 };

static void clock_start(struct io *io, uint64_t now_us)
{
	*io = (struct io){ .now_us = now_us, .wheel = wheel_create(now_us) };
	assert_non_null(io->wheel);
}

static void expire_at(struct io *io, uint64_t now_us)
{
	io->now_us = now_us;
	wheel_expire(io);
}

/* ---- a random walk beside a naive model: a row of times ---- */

enum { TIMERS = 200 };

struct walk;

struct walk_timer {
	struct io_timer timer;
	struct walk *walk;
	uint64_t due_us; /* 0: not set */
	uint64_t latest_us;
};

struct walk {
	struct io io;
	struct rand rand;
	struct walk_timer timers[TIMERS];
	uint64_t longest_us; /* most that a timer is set ahead */
	uint64_t fired;
	bool expiring;
};

static uint64_t round_up(uint64_t us)
{
	return (us + TICK_US - 1) / TICK_US * TICK_US;
}

/* Short and long ones alike: evenly over the powers of two. */
static uint64_t random_span(struct walk *w, uint64_t most_us)
{
	uint64_t below = UINT64_C(2) << rand_below(&w->rand, 63);
	return rand_below(&w->rand, below < most_us ? below : most_us) + 1;
}

static void walk_set(struct walk_timer *t, uint64_t due_us)
{
	uint64_t now_tick_us = t->walk->io.now_us / TICK_US * TICK_US;
	t->due_us = due_us;
	t->latest_us = round_up(due_us) > now_tick_us + TICK_US ? round_up(due_us) : now_tick_us + TICK_US;
	io_timer_set(&t->walk->io, &t->timer, due_us);
}

static void on_walk_timer(struct io_timer *timer)
{
	struct walk_timer *t = CONTAINER_OF(timer, struct walk_timer, timer);
	struct walk *w = t->walk;
	assert_true(w->expiring);
	assert_true(t->due_us != 0);
	assert_true(t->due_us <= w->io.now_us); /* never early */
	t->due_us = 0;
	w->fired++;
	struct walk_timer *other = &w->timers[rand_below(&w->rand, TIMERS)];
	switch (rand_below(&w->rand, 6)) {
	case 0:
		walk_set(t, w->io.now_us + random_span(w, w->longest_us));
		break;
	case 1:
		walk_set(other, w->io.now_us + random_span(w, w->longest_us));
		break;
	case 2:
		other->due_us = 0;
		io_timer_stop(&w->io, &other->timer);
		break;
	case 3:
		walk_set(t, w->io.now_us); /* at once, but not for ever within one turn */
		break;
	default:
		break;
	}
}

static void walk_expire(struct walk *w, uint64_t now_us)
{
	uint64_t next_us = wheel_next_us(w->io.wheel);
	for (int i = 0; i < TIMERS; i++) {
		const struct walk_timer *t = &w->timers[i];
		assert_true(!t->due_us || next_us <= t->latest_us);
	}
	w->expiring = true;
	expire_at(&w->io, now_us);
	w->expiring = false;
	for (int i = 0; i < TIMERS; i++) {
		const struct walk_timer *t = &w->timers[i];
		assert_true(!t->due_us || t->latest_us > now_us); /* at most a tick late */
		assert_int_equal(t->timer.due_us, t->due_us);
		assert_int_equal(t->timer.node.next != NULL, t->due_us != 0);
	}
}

static void run_walk(uint64_t seed, uint64_t start_us, uint64_t longest_us, int steps)
{
	struct walk *w = calloc(1, sizeof *w);
	assert_non_null(w);
	rand_seed(&w->rand, seed);
	w->longest_us = longest_us;
	clock_start(&w->io, start_us);
	for (int i = 0; i < TIMERS; i++) {
		w->timers[i].walk = w;
		w->timers[i].timer.on_timer = on_walk_timer;
	}
	for (int i = 0; i < steps; i++) {
		struct walk_timer *t = &w->timers[rand_below(&w->rand, TIMERS)];
		uint64_t dice = rand_below(&w->rand, 10);
		if (dice < 4) {
			walk_set(t, w->io.now_us + random_span(w, longest_us));
		} else if (dice < 6 && t->due_us) { /* the common case: a time-out is moved on */
			walk_set(t, t->due_us + rand_below(&w->rand, longest_us / 8 + 1));
		} else if (dice < 7) {
			t->due_us = 0;
			io_timer_stop(&w->io, &t->timer);
		} else if (dice < 9) {
			walk_expire(w, w->io.now_us + rand_below(&w->rand, 3 * TICK_US));
		} else {
			walk_expire(w, w->io.now_us + random_span(w, longest_us / 4 + 1));
		}
	}
	assert_true(w->fired > (uint64_t)steps / 20);
	wheel_destroy(w->io.wheel);
	free(w);
}

static void test_against_a_row_of_times(void **state)
{
	static const uint64_t longest_us[] = { 1000, 70000, UINT64_C(1) << 22, UINT64_C(1) << 28,
		UINT64_C(1) << 34, UINT64_C(86400000000) * 30, UINT64_C(86400000000) * 5000 };
	/* from the start, from some uptime, and across the places at which all levels roll over */
	static const uint64_t starts_us[] = { 0, UINT64_C(123456789012), (UINT64_C(1) << 40) - 50000,
		(UINT64_C(1) << 46) - 30000000, (UINT64_C(1) << 46) - 500, (UINT64_C(1) << 58) - 1000000 };
	for (size_t l = 0; l < ARRAY_LEN(longest_us); l++) {
		for (size_t s = 0; s < ARRAY_LEN(starts_us); s++)
			run_walk(l * 10 + s + 1, starts_us[s], longest_us[l], 10000);
	}
}

/* ---- one by one ---- */

struct one {
	struct io_timer timer;
	struct io *io;
	int fired;
	uint64_t fired_us;
	uint64_t again_us;        /* set it to this when it fires */
	struct one *stops, *sets; /* what it does to others */
};

static void on_one(struct io_timer *timer)
{
	struct one *o = CONTAINER_OF(timer, struct one, timer);
	o->fired++;
	o->fired_us = o->io->now_us;
	if (o->again_us)
		io_timer_set(o->io, timer, o->again_us);
	if (o->stops)
		io_timer_stop(o->io, &o->stops->timer);
	if (o->sets)
		io_timer_set(o->io, &o->sets->timer, o->io->now_us + 1000000);
}

static struct one one_of(struct io *io)
{
	return (struct one){ .timer.on_timer = on_one, .io = io };
}

static void test_nothing_set(void **state)
{
	struct io io;
	clock_start(&io, 5000000);
	assert_true(wheel_next_us(io.wheel) == UINT64_MAX);
	expire_at(&io, 5000000000);
	assert_true(wheel_next_us(io.wheel) == UINT64_MAX);
	wheel_destroy(io.wheel);
}

static void test_fires_once(void **state)
{
	struct io io;
	clock_start(&io, 1000000);
	struct one o = one_of(&io);
	io_timer_set(&io, &o.timer, 1500000);
	expire_at(&io, 1499999);
	assert_int_equal(o.fired, 0);
	expire_at(&io, 1500000 + TICK_US);
	assert_int_equal(o.fired, 1);
	assert_int_equal(o.timer.due_us, 0);
	expire_at(&io, 900000000);
	assert_int_equal(o.fired, 1);
	wheel_destroy(io.wheel);
}

/* A time that has passed fires with the next tick, not within the call. */
static void test_past(void **state)
{
	struct io io;
	clock_start(&io, 1000000);
	struct one o = one_of(&io);
	io_timer_set(&io, &o.timer, 1);
	assert_int_equal(o.fired, 0);
	assert_true(wheel_next_us(io.wheel) <= 1000000 + TICK_US);
	expire_at(&io, 1000000 + TICK_US);
	assert_int_equal(o.fired, 1);
	wheel_destroy(io.wheel);
}

/* To a later time: it stays where it is, and fires at the later one. To an earlier one: it moves. */
static void test_later_moves_nothing(void **state)
{
	struct io io;
	clock_start(&io, 0);
	struct one o = one_of(&io);
	io_timer_set(&io, &o.timer, 10 * TICK_US);
	uint64_t tick = o.timer.tick;
	struct list_node *next = o.timer.node.next;
	for (uint64_t due = 11; due < 100000; due += 7)
		io_timer_set(&io, &o.timer, due * TICK_US);
	assert_int_equal(o.timer.tick, tick);
	assert_ptr_equal(o.timer.node.next, next);
	expire_at(&io, 50 * TICK_US);
	assert_int_equal(o.fired, 0);
	io_timer_set(&io, &o.timer, 60 * TICK_US);
	expire_at(&io, 60 * TICK_US);
	assert_int_equal(o.fired, 1);
	wheel_destroy(io.wheel);
}

static void test_set_again_in_its_callback(void **state)
{
	struct io io;
	clock_start(&io, 0);
	struct one o = one_of(&io);
	o.again_us = 500 * TICK_US;
	io_timer_set(&io, &o.timer, 100 * TICK_US);
	expire_at(&io, 300 * TICK_US);
	assert_int_equal(o.fired, 1);
	o.again_us = 0;
	expire_at(&io, 499 * TICK_US);
	assert_int_equal(o.fired, 1);
	expire_at(&io, 500 * TICK_US);
	assert_int_equal(o.fired, 2);
	assert_int_equal(o.fired_us, 500 * TICK_US);
	wheel_destroy(io.wheel);
}

/* Timers of one tick: the first stops the second, and sets the third to later. */
static void test_neighbours_change_in_a_callback(void **state)
{
	struct io io;
	clock_start(&io, 0);
	struct one stopped = one_of(&io), moved = one_of(&io), first = one_of(&io);
	first.stops = &stopped;
	first.sets = &moved;
	io_timer_set(&io, &first.timer, 100 * TICK_US);
	io_timer_set(&io, &stopped.timer, 100 * TICK_US);
	io_timer_set(&io, &moved.timer, 100 * TICK_US);
	expire_at(&io, 100 * TICK_US);
	assert_int_equal(first.fired, 1);
	assert_int_equal(stopped.fired, 0);
	assert_int_equal(moved.fired, 0);
	expire_at(&io, 100 * TICK_US + 1000000 + TICK_US);
	assert_int_equal(stopped.fired, 0);
	assert_int_equal(moved.fired, 1);
	wheel_destroy(io.wheel);
}

static void on_freed(struct io_timer *timer)
{
	free(CONTAINER_OF(timer, struct one, timer));
}

/* Its owner goes with it. */
static void test_freed_in_its_callback(void **state)
{
	struct io io;
	clock_start(&io, 0);
	for (uint64_t i = 0; i < 10; i++) {
		struct one *o = calloc(1, sizeof *o);
		assert_non_null(o);
		o->timer.on_timer = on_freed;
		io_timer_set(&io, &o->timer, (10 + i / 5) * TICK_US);
	}
	expire_at(&io, 100 * TICK_US);
	assert_true(wheel_next_us(io.wheel) == UINT64_MAX);
	wheel_destroy(io.wheel);
}

/* A time-out of a minute on a machine that has run for two years and three months: nothing spins. */
static void test_all_levels_roll_over(void **state)
{
	const uint64_t edge_us = UINT64_C(1) << 46;
	struct io io;
	alarm(20);
	clock_start(&io, edge_us - 30000000);
	struct one o = one_of(&io);
	io_timer_set(&io, &o.timer, edge_us + 30000000);
	for (uint64_t now = edge_us - 30000000; now < edge_us + 30000000; now += 100000)
		expire_at(&io, now);
	assert_int_equal(o.fired, 0);
	expire_at(&io, edge_us + 30000000 + TICK_US);
	assert_int_equal(o.fired, 1);
	wheel_destroy(io.wheel);
	alarm(0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_set),
		cmocka_unit_test(test_fires_once),
		cmocka_unit_test(test_past),
		cmocka_unit_test(test_later_moves_nothing),
		cmocka_unit_test(test_set_again_in_its_callback),
		cmocka_unit_test(test_neighbours_change_in_a_callback),
		cmocka_unit_test(test_freed_in_its_callback),
		cmocka_unit_test(test_all_levels_roll_over),
		cmocka_unit_test(test_against_a_row_of_times),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
