#include "http/write.h"

#include "base/check.h"
#include "guard.h"
#include "unit.h"

#include <stdio.h>

static struct str written(const struct writer *w)
{
	return (struct str){ w->start, writer_len(w) };
}

static void test_parts(void **state)
{
	char buf[64];
	struct writer w;
	writer_init(&w, buf, sizeof buf);
	write_lit(&w, "a: ");
	write_str(&w, STR("b"));
	write_str(&w, (struct str){ NULL, 0 });
	write_u64(&w, 0);
	write_lit(&w, " ");
	write_u64(&w, UINT64_MAX);
	write_bytes(&w, "\r\n", 2);
	assert_str(written(&w), "a: b0 18446744073709551615\r\n");
	assert_false(w.overflow);
}

/* Every number of digits, at both of its ends. */
static void test_u64(void **state)
{
	char buf[32], expected[32];
	struct writer w;
	uint64_t edge = 1;
	for (int digits = 1; digits <= 20; digits++, edge *= 10) {
		uint64_t values[] = { edge - 1, edge, edge + 1 };
		for (size_t i = 0; i < ARRAY_LEN(values); i++) {
			writer_init(&w, buf, sizeof buf);
			write_u64(&w, values[i]);
			snprintf(expected, sizeof expected, "%llu", (unsigned long long)values[i]);
			assert_str(written(&w), expected);
		}
	}
}

static void test_hex(void **state)
{
	static const struct {
		uint64_t value;
		int digits;
		const char *text;
	} cases[] = {
		{ 0, 0, "0" },
		{ 0, 4, "0000" },
		{ 0xabc, 0, "abc" },
		{ 0xabc, 6, "000abc" },
		{ 0x1abc, 2, "bc" },
		{ UINT64_MAX, 0, "ffffffffffffffff" },
		{ 1, 16, "0000000000000001" },
		{ 0x0123456789abcdef, 16, "0123456789abcdef" },
		{ 0xfedcba9876543210, 0, "fedcba9876543210" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char buf[32];
		struct writer w;
		writer_init(&w, buf, sizeof buf);
		write_hex(&w, cases[i].value, cases[i].digits);
		assert_str(written(&w), cases[i].text);
	}
}

static void test_ms(void **state)
{
	static const struct {
		uint64_t us;
		const char *text;
	} cases[] = { { 0, "0.000" }, { 5, "0.005" }, { 1050, "1.050" }, { 12345678, "12345.678" } };
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char buf[32];
		struct writer w;
		writer_init(&w, buf, sizeof buf);
		write_ms(&w, cases[i].us);
		assert_str(written(&w), cases[i].text);
	}
}

/* Memory of every size that is too small: nothing behind it is touched, and it is said. */
static void test_overflow(void **state)
{
	static const char head[] = "HTTP/1.1 200 OK\r\nAge: 4711\r\n\r\n";
	struct guard g;
	guard_init(&g, 64);
	for (size_t size = 0; size <= sizeof head; size++) {
		struct writer w;
		writer_init(&w, guard_at_end(&g, NULL, 0) - size, size);
		write_lit(&w, "HTTP/1.1 200 OK\r\n");
		write_str(&w, STR("Age: "));
		write_u64(&w, 4711);
		write_bytes(&w, "\r\n\r\n", 4);
		assert_int_equal(w.overflow, size < sizeof head - 1);
		assert_true(writer_len(&w) <= size);
		if (!w.overflow)
			assert_str(written(&w), head);
	}
	guard_finish(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parts),
		cmocka_unit_test(test_u64),
		cmocka_unit_test(test_hex),
		cmocka_unit_test(test_ms),
		cmocka_unit_test(test_overflow),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
