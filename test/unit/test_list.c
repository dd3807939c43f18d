#include "base/list.h"

#include "base/rand.h"
#include "unit.h"

struct thing {
	struct list_node node;
	int number;
};

static int number_of(const struct list_node *n)
{
	return CONTAINER_OF((struct list_node *)(uintptr_t)n, struct thing, node)->number;
}

/* The list and the numbers say the same, forwards and backwards. */
static void assert_list(const struct list *l, const int *numbers, uint32_t len)
{
	assert_int_equal(l->len, len);
	assert_int_equal(list_empty(l), len == 0);
	uint32_t i = 0;
	list_for_each (n, l)
		assert_int_equal(number_of(n), numbers[i++]);
	assert_int_equal(i, len);
	for (const struct list_node *n = l->head.prev; n != &l->head; n = n->prev)
		assert_int_equal(number_of(n), numbers[--i]);
	assert_int_equal(i, 0);
	assert_ptr_equal(list_first(l), len ? l->head.next : NULL);
	assert_ptr_equal(list_last(l), len ? l->head.prev : NULL);
}

static void test_push_and_pop(void **state)
{
	struct list l;
	struct thing t[3] = { { .number = 1 }, { .number = 2 }, { .number = 3 } };
	list_init(&l);
	assert_null(list_pop_front(&l));
	list_push_back(&l, &t[1].node);
	list_push_back(&l, &t[2].node);
	list_push_front(&l, &t[0].node);
	assert_list(&l, (int[]){ 1, 2, 3 }, 3);
	assert_ptr_equal(list_pop_front(&l), &t[0].node);
	assert_false(list_linked(&t[0].node));
	assert_true(list_linked(&t[1].node));
	list_insert_before(&l, &t[2].node, &t[0].node);
	assert_list(&l, (int[]){ 2, 1, 3 }, 3);
	list_insert_before(&l, &l.head, (list_remove(&l, &t[1].node), &t[1].node));
	assert_list(&l, (int[]){ 1, 3, 2 }, 3);
}

static void test_remove_while_walking(void **state)
{
	struct list l;
	struct thing t[10] = { 0 };
	list_init(&l);
	for (int i = 0; i < 10; i++) {
		t[i].number = i;
		list_push_back(&l, &t[i].node);
	}
	list_for_each_safe (n, &l) {
		if (number_of(n) % 3 != 1)
			list_remove(&l, n);
	}
	assert_list(&l, (int[]){ 1, 4, 7 }, 3);
	list_for_each_safe (n, &l)
		list_remove(&l, n);
	assert_list(&l, NULL, 0);
}

static void test_against_an_array(void **state)
{
	enum { THINGS = 40, STEPS = 20000 };
	struct list l;
	struct thing t[THINGS] = { 0 };
	int model[THINGS];
	uint32_t len = 0;
	struct rand r;
	rand_seed(&r, 7);
	list_init(&l);
	for (int i = 0; i < THINGS; i++)
		t[i].number = i;
	for (int step = 0; step < STEPS; step++) {
		struct thing *one = &t[rand_below(&r, THINGS)];
		uint32_t at = 0;
		if (list_linked(&one->node)) {
			while (model[at] != one->number)
				at++;
			list_remove(&l, &one->node);
			memmove(model + at, model + at + 1, (--len - at) * sizeof *model);
		} else {
			at = (uint32_t)rand_below(&r, len + 1);
			list_insert_before(&l, at < len ? &t[model[at]].node : &l.head, &one->node);
			memmove(model + at + 1, model + at, (len++ - at) * sizeof *model);
			model[at] = one->number;
		}
		assert_list(&l, model, len);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_push_and_pop),
		cmocka_unit_test(test_remove_while_walking),
		cmocka_unit_test(test_against_an_array),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
