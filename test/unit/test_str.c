#include "unit.h"

#include <stdio.h>

static void test_eq(void **state)
{
	assert_true(str_eq(STR("abc"), STR("abc")));
	assert_false(str_eq(STR("abc"), STR("abd")));
	assert_false(str_eq(STR("abc"), STR("ab")));
	assert_true(str_eq(STR(""), (struct str){ NULL, 0 }));
	assert_true(str_eq(STR("a\0b"), STR("a\0b")));
	assert_false(str_eq(STR("a\0b"), STR("a\0c")));
}

static void test_eq_nocase(void **state)
{
	assert_true(str_eq_nocase(STR("Content-Length"), STR("cONTENT-lENGTH")));
	assert_true(str_eq_nocase(STR(""), (struct str){ NULL, 0 }));
	assert_false(str_eq_nocase(STR("abc"), STR("abcd")));
	for (int a = 0; a < 256; a++) {
		for (int b = 0; b < 256; b++) {
			char ca = (char)a, cb = (char)b;
			bool letters = (a >= 'A' && a <= 'Z' && b == a + 32) ||
				(b >= 'A' && b <= 'Z' && a == b + 32);
			assert_int_equal(str_eq_nocase((struct str){ &ca, 1 }, (struct str){ &cb, 1 }),
				a == b || letters);
		}
	}
}

static void test_of(void **state)
{
	assert_int_equal(str_of("four").len, 4);
	assert_int_equal(str_of(NULL).len, 0);
	assert_null(str_of(NULL).ptr);
}

static void test_starts(void **state)
{
	assert_true(str_starts(STR("/berth/jobs"), STR("/berth/")));
	assert_true(str_starts(STR("x"), STR("")));
	assert_true(str_starts((struct str){ NULL, 0 }, (struct str){ NULL, 0 }));
	assert_false(str_starts(STR("/bert"), STR("/berth")));
	assert_false(str_starts(STR("/Berth"), STR("/berth")));
}

static void test_skip(void **state)
{
	assert_str(str_skip(STR("abc"), 0), "abc");
	assert_str(str_skip(STR("abc"), 2), "c");
	assert_str(str_skip(STR("abc"), 3), "");
	assert_str(str_skip(STR("abc"), SIZE_MAX), "");
	assert_null(str_skip((struct str){ NULL, 0 }, 3).ptr);
}

static void test_trim(void **state)
{
	assert_str(str_trim(STR(" \t a b\t ")), "a b");
	assert_str(str_trim(STR("\r\n")), "\r\n");
	assert_str(str_trim(STR(" \t ")), "");
	assert_int_equal(str_trim((struct str){ NULL, 0 }).len, 0);
}

static void test_cut(void **state)
{
	struct str rest = STR("a,,b,");
	assert_str(str_cut(&rest, ','), "a");
	assert_str(str_cut(&rest, ','), "");
	assert_str(str_cut(&rest, ','), "b");
	assert_non_null(rest.ptr);
	assert_str(str_cut(&rest, ','), "");
	assert_null(rest.ptr);
	assert_str(str_cut(&rest, ','), "");
	assert_null(rest.ptr);
}

static void test_to_u64(void **state)
{
	static const struct {
		const char *text;
		uint64_t value;
	} good[] = {
		{ "0", 0 },
		{ "7", 7 },
		{ "0042", 42 },
		{ "9999999999999999999", 9999999999999999999u },
		{ "18446744073709551615", UINT64_MAX },
		{ "000000000000000000018446744073709551615", UINT64_MAX },
	};
	static const char *const bad[] = { "", "-1", "+1", " 1", "1 ", "0x1", "1.0", "1e3",
		"18446744073709551616", "18446744073709551620", "99999999999999999999",
		"100000000000000000000", "/", ":" };
	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		uint64_t v = 1;
		assert_true(str_to_u64(str_of(good[i].text), &v));
		assert_true(v == good[i].value);
	}
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		uint64_t v = 12345;
		assert_false(str_to_u64(str_of(bad[i]), &v));
		assert_int_equal(v, 12345);
	}
}

static void test_copy(void **state)
{
	char small[4], one[1], big[16];
	assert_string_equal(str_copy(small, sizeof small, STR("abcdef")), "abc");
	assert_string_equal(str_copy(one, sizeof one, STR("abcdef")), "");
	assert_string_equal(str_copy(big, sizeof big, STR("abcdef")), "abcdef");
	assert_string_equal(str_copy(big, sizeof big, (struct str){ NULL, 0 }), "");
}

static void test_is_name(void **state)
{
	static const char *const good[] = { "a", "Z", "0", "-", "_", "a.b", "container1", "10.0.0.7-5000",
		"123456789012345678901234567890123456789012345678901234567890123" };
	static const char *const bad[] = { "", ".", ".a", "a b", "a/b", "a:b", "a\"", "\xc3\xa4",
		"1234567890123456789012345678901234567890123456789012345678901234" };
	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		assert_true(str_is_name(str_of(good[i])));
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_false(str_is_name(str_of(bad[i])));
	assert_false(str_is_name((struct str){ "a\0b", 3 }));
	assert_false(str_is_name((struct str){ NULL, 0 }));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_eq),
		cmocka_unit_test(test_eq_nocase),
		cmocka_unit_test(test_of),
		cmocka_unit_test(test_starts),
		cmocka_unit_test(test_skip),
		cmocka_unit_test(test_trim),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_to_u64),
		cmocka_unit_test(test_copy),
		cmocka_unit_test(test_is_name),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
