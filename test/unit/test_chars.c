#include "http/chars.h"

#include "base/rand.h"
#include "guard.h"
#include "http/scan.h"
#include "unit.h"

#include <string.h>

static bool in(int c, const char *set)
{
	return c && strchr(set, c);
}

static bool is_alnum(int c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

/* The grammars' own words: RFC 9110 §5.6.2 and §5.6.3, RFC 3986 §2.2 and §2.3. */
static void test_classes(void **state)
{
	for (int c = 0; c < 256; c++) {
		bool is_target = c > ' ' && c < 0x7f && c != '#';
		assert_int_equal(char_is((char)c, CHAR_TOKEN), is_alnum(c) || in(c, "!#$%&'*+-.^_`|~"));
		assert_int_equal(char_is((char)c, CHAR_REG_NAME), is_alnum(c) || in(c, "-._~!$&'()*+,;="));
		assert_int_equal(char_is((char)c, CHAR_BLANK), c == ' ' || c == '\t');
		assert_int_equal(char_is((char)c, STOP_NAME), !is_alnum(c) && c != '-');
		assert_int_equal(char_is((char)c, STOP_VALUE), (c < ' ' && c != '\t') || c == 0x7f);
		assert_int_equal(char_is((char)c, STOP_QUERY), !is_target);
		assert_int_equal(char_is((char)c, STOP_PATH), !is_target || c == '?' || c == '\\');
	}
}

static void test_hex(void **state)
{
	for (int c = 0; c < 256; c++) {
		const char *digits = "0123456789abcdef", *upper = "0123456789ABCDEF";
		int expected = in(c, digits) ? (int)(strchr(digits, c) - digits)
			: in(c, upper)       ? (int)(strchr(upper, c) - upper)
					     : -1;
		assert_int_equal(char_hex((char)c), expected);
	}
}

static size_t plain_scan(const char *at, size_t len, enum char_class stop)
{
	size_t n = 0;
	while (n < len && !char_is(at[n], stop))
		n++;
	return n;
}

/* scan_to takes its class as a constant: so that it is one here too. */
static void assert_scan(const char *at, size_t len)
{
	assert_int_equal(scan_to(at, at + len, STOP_NAME) - at, plain_scan(at, len, STOP_NAME));
	assert_int_equal(scan_to(at, at + len, STOP_VALUE) - at, plain_scan(at, len, STOP_VALUE));
	assert_int_equal(scan_to(at, at + len, STOP_PATH) - at, plain_scan(at, len, STOP_PATH));
	assert_int_equal(scan_to(at, at + len, STOP_QUERY) - at, plain_scan(at, len, STOP_QUERY));
}

/* Every byte at every place of every length around the width of a step. */
static void test_scan_sees_every_byte(void **state)
{
	struct guard g;
	guard_init(&g, 64);
	for (size_t len = 0; len <= 40; len++) {
		char text[40];
		memset(text, 'a', sizeof text);
		for (int where = 0; where < 2; where++) {
			char *at = where ? guard_at_start(&g, text, len) : guard_at_end(&g, text, len);
			assert_scan(at, len);
			for (size_t i = 0; i < len; i++) {
				for (int c = 0; c < 256; c++) {
					at[i] = (char)c;
					assert_scan(at, len);
				}
				at[i] = 'a';
			}
		}
	}
	guard_finish(&g);
}

static void test_scan_of_any_bytes(void **state)
{
	struct guard g;
	struct rand r;
	rand_seed(&r, 21);
	guard_init(&g, 128);
	for (int i = 0; i < 50000; i++) {
		char text[100];
		size_t len = rand_below(&r, sizeof text + 1);
		for (size_t k = 0; k < len; k++)
			text[k] = (char)(rand_chance(&r, 950000) ? 'a' + rand_below(&r, 26)
								 : rand_below(&r, 256));
		assert_scan(guard_at_end(&g, text, len), len);
		assert_scan(guard_at_start(&g, text, len), len);
	}
	guard_finish(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_classes),
		cmocka_unit_test(test_hex),
		cmocka_unit_test(test_scan_sees_every_byte),
		cmocka_unit_test(test_scan_of_any_bytes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
