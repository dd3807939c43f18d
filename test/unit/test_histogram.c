#include "gateway/metrics.h"

#include "unit.h"

/* Upper bounds, as the header has them: both sides of each. */
static const uint64_t bounds_us[HISTOGRAM_BUCKETS - 1] = { 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000,
	250000, 500000, 1000000, 2500000, 5000000, 10000000, 30000000, 60000000, 150000000 };

static int only_bucket(uint64_t us)
{
	struct histogram h = { 0 };
	int found = -1;
	histogram_add(&h, us);
	assert_int_equal(h.sum_us, us);
	for (int i = 0; i < HISTOGRAM_BUCKETS; i++) {
		if (!h.count[i])
			continue;
		assert_int_equal(h.count[i], 1);
		assert_int_equal(found, -1);
		found = i;
	}
	return found;
}

static void test_each_bound(void **state)
{
	assert_int_equal(only_bucket(0), 0);
	for (int i = 0; i < HISTOGRAM_BUCKETS - 1; i++) {
		assert_int_equal(only_bucket(bounds_us[i] - 1), i);
		assert_int_equal(only_bucket(bounds_us[i]), i); /* "le": the bound itself is in */
		assert_int_equal(only_bucket(bounds_us[i] + 1), i + 1);
	}
	assert_int_equal(only_bucket(UINT64_MAX), HISTOGRAM_BUCKETS - 1);
}

static void test_sums(void **state)
{
	struct histogram h = { 0 };
	uint64_t sum = 0, n = 0;
	for (uint64_t us = 1; us < 400000000; us = us * 3 / 2 + 1) {
		histogram_add(&h, us);
		sum += us;
		n++;
	}
	for (int i = 0; i < HISTOGRAM_BUCKETS; i++) {
		assert_true(h.count[i] > 0);
		n -= h.count[i];
	}
	assert_int_equal(n, 0);
	assert_int_equal(h.sum_us, sum);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_bound),
		cmocka_unit_test(test_sums),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
