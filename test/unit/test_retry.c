#include "core/retry.h"

#include "unit.h"

enum { METHODS = HTTP_CONNECT + 1 };

static void test_idempotent(void **state)
{
	static const bool idempotent[METHODS] = {
		[HTTP_GET] = true,
		[HTTP_HEAD] = true,
		[HTTP_PUT] = true,
		[HTTP_DELETE] = true,
		[HTTP_OPTIONS] = true,
		[HTTP_TRACE] = true,
	};
	for (int m = 0; m < METHODS; m++)
		assert_int_equal(http_method_is_idempotent((enum http_method)m), idempotent[m]);
}

/* What each rule allows after each failure, with attempts left (which only what reached a container needs)
 * and nothing sent to the client. */
static const struct {
	enum retry_rule rule;
	enum failure failure;
	bool idempotent, other; /* methods */
} table[] = {
	{ RETRY_SAFE, FAILURE_UNDELIVERED, true, true },
	{ RETRY_SAFE, FAILURE_UNCONNECTED, true, true },
	{ RETRY_SAFE, FAILURE_STALE, true, true },
	{ RETRY_SAFE, FAILURE_LOST, true, false },
	{ RETRY_SAFE, FAILURE_SILENT, true, false },
	{ RETRY_SAFE, FAILURE_BAD_ANSWER, true, false },
	{ RETRY_ALWAYS, FAILURE_UNDELIVERED, true, true },
	{ RETRY_ALWAYS, FAILURE_UNCONNECTED, true, true },
	{ RETRY_ALWAYS, FAILURE_STALE, true, true },
	{ RETRY_ALWAYS, FAILURE_LOST, true, true },
	{ RETRY_ALWAYS, FAILURE_SILENT, true, true },
	{ RETRY_ALWAYS, FAILURE_BAD_ANSWER, true, true },
	{ RETRY_NEVER, FAILURE_UNDELIVERED, false, false },
	{ RETRY_NEVER, FAILURE_UNCONNECTED, false, false },
	{ RETRY_NEVER, FAILURE_STALE, false, false },
	{ RETRY_NEVER, FAILURE_LOST, false, false },
	{ RETRY_NEVER, FAILURE_SILENT, false, false },
	{ RETRY_NEVER, FAILURE_BAD_ANSWER, false, false },
};

static void test_table(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		for (int m = 0; m < METHODS; m++) {
			enum http_method method = (enum http_method)m;
			bool expected =
				http_method_is_idempotent(method) ? table[i].idempotent : table[i].other;
			for (uint32_t attempts = 1; attempts <= RETRY_ATTEMPTS_MAX + 1; attempts++) {
				bool left = attempts < RETRY_ATTEMPTS_MAX ||
					table[i].failure == FAILURE_UNDELIVERED ||
					table[i].failure == FAILURE_UNCONNECTED;
				assert_int_equal(
					retry_may(table[i].rule, method, table[i].failure, attempts, false),
					expected && left);
				assert_false(
					retry_may(table[i].rule, method, table[i].failure, attempts, true));
			}
		}
	}
}

/* ---- the allowance ---- */

static uint32_t take_all(struct retry_budget *b, uint64_t now_us)
{
	uint32_t taken = 0;
	while (taken < 1000 && retry_budget_take(b, now_us))
		taken++;
	return taken;
}

static void ask(struct retry_budget *b, uint64_t now_us, int requests)
{
	for (int i = 0; i < requests; i++)
		retry_budget_request(b, now_us);
}

static void test_at_least_so_many(void **state)
{
	struct retry_budget b;
	retry_budget_init(&b, 20, 10);
	assert_int_equal(take_all(&b, 77000000), 10); /* also without any request */
	ask(&b, 77500000, 40);
	assert_int_equal(take_all(&b, 77500000), 0); /* 20 % of 40 is less */
	ask(&b, 77600000, 60);
	assert_int_equal(take_all(&b, 77600000), 10); /* 20 % of 100, of which ten are gone */
}

static void test_share_only(void **state)
{
	struct retry_budget b;
	retry_budget_init(&b, 50, 0);
	assert_int_equal(take_all(&b, 5000000), 0);
	ask(&b, 5000000, 3);
	assert_int_equal(take_all(&b, 5000000), 1);
}

static void test_none(void **state)
{
	struct retry_budget b;
	retry_budget_init(&b, 0, 0);
	ask(&b, 5000000, 1000);
	assert_int_equal(take_all(&b, 5000000), 0);
}

/* Ten seconds later what was asked and what was taken are forgotten, each in its own second. */
static void test_window(void **state)
{
	struct retry_budget b;
	const uint64_t s = 1000000;
	retry_budget_init(&b, 10, 1);
	ask(&b, 100 * s, 100);
	ask(&b, 104 * s, 100);
	assert_int_equal(take_all(&b, 104 * s), 20);
	assert_int_equal(take_all(&b, 109 * s + 999999), 0);
	ask(&b, 110 * s, 50); /* the first hundred are out: 150 in the window, 20 taken */
	assert_int_equal(take_all(&b, 110 * s), 0);
	assert_int_equal(take_all(&b, 113 * s), 0);
	assert_int_equal(take_all(&b, 114 * s), 5); /* only the fifty are in, and nothing is taken */
	assert_int_equal(take_all(&b, 123 * s), 0);
	assert_int_equal(take_all(&b, 124 * s), 1); /* what was asked is out, what was taken too */
}

static void test_long_silence(void **state)
{
	struct retry_budget b;
	retry_budget_init(&b, 10, 2);
	ask(&b, 1000000, 500);
	assert_int_equal(take_all(&b, 1000000), 50);
	assert_int_equal(take_all(&b, UINT64_C(86400000000) * 365), 2);
}

/* The naive way: every request and retry with its time. */
static void test_against_a_list(void **state)
{
	enum { EVENTS = 4000 };
	static uint64_t asked_s[EVENTS], taken_s[EVENTS];
	uint32_t n_asked = 0, n_taken = 0, refused = 0;
	uint64_t now_us = 12345678, dice = 1;
	struct retry_budget b;
	retry_budget_init(&b, 20, 3);
	for (int i = 0; i < EVENTS; i++) {
		dice = dice * 6364136223846793005u + 1442695040888963407u;
		now_us += (dice >> 33) % 200 == 0 ? 30000000 : (dice >> 40) % 300000;
		uint64_t second = now_us / 1000000;
		if ((dice >> 20) % 3) {
			retry_budget_request(&b, now_us);
			asked_s[n_asked++] = second;
			continue;
		}
		uint32_t asked = 0, taken = 0;
		for (uint32_t k = 0; k < n_asked; k++)
			asked += asked_s[k] + RETRY_WINDOW_S > second;
		for (uint32_t k = 0; k < n_taken; k++)
			taken += taken_s[k] + RETRY_WINDOW_S > second;
		uint32_t share = asked * 20 / 100, allowed = share > 3 ? share : 3;
		assert_int_equal(retry_budget_take(&b, now_us), taken < allowed);
		if (taken < allowed)
			taken_s[n_taken++] = second;
		else
			refused++;
	}
	assert_true(n_taken > 100 && refused > 100);
}

/* ---- Retry-After ---- */

static void test_retry_after(void **state)
{
	static const struct {
		uint64_t eta_us;
		uint32_t least, most; /* both are met */
	} waits[] = {
		{ 0, 1, 1 }, { 1, 1, 1 }, { 700000, 1, 1 }, { 900000, 1, 2 },
		{ 2000000, 3, 3 }, /* a rounded-up 2 would be met by one in half a million */
		{ 1900000, 2, 3 }, { 2500000, 3, 4 }, { 20500000, 21, 26 },
		{ UINT64_C(3000000000), 3001, 3600 }, { UINT64_C(3600000000), 3600, 3600 },
		{ UINT64_MAX - 1, 3600, 3600 }, { UINT64_MAX, 6, 7 }, /* not known */
	};
	struct rand rand;
	rand_seed(&rand, 1);
	for (size_t i = 0; i < ARRAY_LEN(waits); i++) {
		uint32_t least = UINT32_MAX, most = 0;
		for (int k = 0; k < 20000; k++) {
			uint32_t s = retry_after_s(waits[i].eta_us, &rand);
			least = s < least ? s : least;
			most = s > most ? s : most;
		}
		assert_int_equal(least, waits[i].least);
		assert_int_equal(most, waits[i].most);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_idempotent),
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_at_least_so_many),
		cmocka_unit_test(test_share_only),
		cmocka_unit_test(test_none),
		cmocka_unit_test(test_window),
		cmocka_unit_test(test_long_silence),
		cmocka_unit_test(test_against_a_list),
		cmocka_unit_test(test_retry_after),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
