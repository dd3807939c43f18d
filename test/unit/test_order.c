#include "base/order.h"

#include "base/rand.h"
#include "unit.h"

#include <stdlib.h>

static void assert_tree(const struct order *o)
{
	uint32_t last = 0, sum = 0;
	for (struct order_entry *e = order_first(o); e; e = order_next(o, e)) {
		assert_true(e->place > last && e->place < o->next);
		last = e->place;
	}
	for (uint32_t i = o->cap; i; i -= i & -i)
		sum += o->tree[i];
	assert_int_equal(sum, order_len(o));
}

/* The naive model: an array in the order of the queue. */
struct model {
	struct order_entry **entries;
	uint32_t len;
};

static void model_insert(struct model *m, uint32_t at, struct order_entry *e)
{
	memmove(m->entries + at + 1, m->entries + at, (m->len - at) * sizeof *m->entries);
	m->entries[at] = e;
	m->len++;
}

static struct order_entry *model_remove(struct model *m, uint32_t at)
{
	struct order_entry *e = m->entries[at];
	m->len--;
	memmove(m->entries + at, m->entries + at + 1, (m->len - at) * sizeof *m->entries);
	return e;
}

static void assert_same(const struct order *o, const struct model *m)
{
	assert_int_equal(order_len(o), m->len);
	uint32_t i = 0;
	for (struct order_entry *e = order_first(o); e; e = order_next(o, e), i++) {
		assert_ptr_equal(e, m->entries[i]);
		assert_int_equal(order_rank(o, e), i + 1);
	}
	assert_int_equal(i, m->len);
	assert_tree(o);
}

/* How the random walk chooses, in percent: push, insert, the rest removes; and how full it may get. */
struct mix {
	uint64_t seed;
	uint32_t push, insert, entries, steps;
};

static void walk(const struct mix *mix)
{
	struct order o;
	struct rand r;
	struct order_entry *all = calloc(mix->entries, sizeof *all);
	struct order_entry **unused = calloc(mix->entries, sizeof *unused);
	struct model m = { calloc(mix->entries, sizeof *m.entries), 0 };
	uint32_t n_unused = mix->entries;
	assert_true(all && unused && m.entries);
	for (uint32_t i = 0; i < mix->entries; i++)
		unused[i] = &all[i];
	rand_seed(&r, mix->seed);
	order_init(&o);
	for (uint32_t step = 0; step < mix->steps; step++) {
		uint32_t dice = (uint32_t)rand_below(&r, 100);
		if (dice < mix->push && n_unused) {
			struct order_entry *e = unused[--n_unused];
			assert_int_equal(order_push(&o, e), 0);
			model_insert(&m, m.len, e);
		} else if (dice < mix->push + mix->insert && n_unused) {
			struct order_entry *e = unused[--n_unused];
			uint32_t at = (uint32_t)rand_below(&r, m.len + 1);
			assert_int_equal(order_insert(&o, e, at < m.len ? m.entries[at] : NULL), 0);
			model_insert(&m, at, e);
		} else if (m.len) {
			uint32_t at = rand_chance(&r, 500000) ? 0 : (uint32_t)rand_below(&r, m.len);
			struct order_entry *e = model_remove(&m, at);
			order_remove(&o, e);
			unused[n_unused++] = e;
		}
		if (m.len < 100 || step % 97 == 0)
			assert_same(&o, &m);
	}
	assert_same(&o, &m);
	while (m.len)
		order_remove(&o, model_remove(&m, m.len - 1));
	order_finish(&o);
	free(all);
	free(unused);
	free(m.entries);
}

static void test_against_an_array(void **state)
{
	static const struct mix mixes[] = {
		{ 1, 50, 0, 50, 20000 },    /* a short queue for ever: numbered anew again and again */
		{ 2, 45, 5, 200, 20000 },   /* some that come back */
		{ 3, 10, 45, 100, 20000 },  /* mostly that */
		{ 4, 60, 0, 3000, 20000 },  /* grows */
		{ 5, 30, 30, 3000, 20000 }, /* grows at both ends */
		{ 6, 1, 60, 700, 10000 },   /* grows in front only */
		{ 7, 48, 4, 65, 20000 },    /* around the first capacity */
		{ 8, 100, 0, 64, 200 },     /* up to it */
		{ 9, 100, 0, 65, 200 },     /* and past it */
	};
	for (size_t i = 0; i < sizeof mixes / sizeof *mixes; i++)
		walk(&mixes[i]);
}

static void test_insert_before_each(void **state)
{
	enum { ENTRIES = 200 };
	for (uint32_t at = 0; at < ENTRIES; at += 13) {
		struct order o;
		struct order_entry e[ENTRIES] = { 0 }, late = { 0 };
		order_init(&o);
		for (uint32_t i = 0; i < ENTRIES; i++)
			assert_int_equal(order_push(&o, &e[i]), 0);
		assert_int_equal(order_insert(&o, &late, &e[at]), 0);
		assert_int_equal(order_rank(&o, &late), at + 1);
		for (uint32_t i = 0; i < ENTRIES; i++)
			assert_int_equal(order_rank(&o, &e[i]), i + 1 + (i >= at));
		order_remove(&o, &late);
		for (uint32_t i = 0; i < ENTRIES; i++)
			order_remove(&o, &e[i]);
		order_finish(&o);
	}
}

/* A queue that never holds many entries never needs many places, however long it lives. */
static void test_places_are_used_again(void **state)
{
	struct order o;
	struct order_entry e[10] = { 0 };
	order_init(&o);
	for (uint32_t i = 0; i < 10000; i++) {
		struct order_entry *one = &e[i % 10];
		if (i >= 10)
			order_remove(&o, one);
		assert_int_equal(order_push(&o, one), 0);
		assert_int_equal(order_rank(&o, one), i < 10 ? i + 1 : 10);
	}
	assert_int_equal(o.cap, 64);
	while (order_first(&o))
		order_remove(&o, order_first(&o));
	order_finish(&o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_against_an_array),
		cmocka_unit_test(test_insert_before_each),
		cmocka_unit_test(test_places_are_used_again),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
