#include "base/rand.h"

#include "unit.h"

/* The sequence that the authors' reference code gives from the state 1, 2, 3, 4. */
static void test_reference_sequence(void **state)
{
	static const uint64_t expected[] = { 11520, 0, 1509978240, 1215971899390074240, 1216172134540287360,
		607988272756665600 };
	struct rand r = { { 1, 2, 3, 4 } };
	for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
		assert_true(rand_u64(&r) == expected[i]);
}

/* The state after the seed 0 is the first four numbers of splitmix64. */
static void test_seed(void **state)
{
	static const uint64_t splitmix64[] = { 0xe220a8397b1dcdaf, 0x6e789e6aa1b965f4, 0x06c45d188009454f,
		0xf88bb8a8724c81ec };
	struct rand r;
	rand_seed(&r, 0);
	assert_memory_equal(r.s, splitmix64, sizeof splitmix64);
}

static void test_below_is_even(void **state)
{
	enum { SIDES = 6, THROWS = 60000 };
	uint32_t count[SIDES] = { 0 };
	struct rand r;
	rand_seed(&r, 3);
	for (int i = 0; i < THROWS; i++) {
		uint64_t n = rand_below(&r, SIDES);
		assert_true(n < SIDES);
		count[n]++;
	}
	for (int i = 0; i < SIDES; i++)
		assert_in_range(
			count[i], THROWS / SIDES - 500, THROWS / SIDES + 500); /* 5.5 standard deviations */
	for (int i = 0; i < 100; i++)
		assert_int_equal(rand_below(&r, 1), 0);
}

static void test_chance(void **state)
{
	struct rand r;
	uint32_t hits = 0;
	rand_seed(&r, 4);
	for (int i = 0; i < 10000; i++) {
		assert_false(rand_chance(&r, 0));
		assert_true(rand_chance(&r, 1000000));
		hits += (uint32_t)rand_chance(&r, 250000);
	}
	assert_in_range(hits, 2250, 2750);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reference_sequence),
		cmocka_unit_test(test_seed),
		cmocka_unit_test(test_below_is_even),
		cmocka_unit_test(test_chance),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
