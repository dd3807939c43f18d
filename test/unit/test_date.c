#include "http/date.h"

#include "base/rand.h"
#include "unit.h"

#include <time.h>

static void assert_date(uint64_t seconds, const char *expected)
{
	char out[HTTP_DATE_BYTES + 1];
	http_date(out, seconds);
	assert_string_equal(out, expected);
}

static void test_known(void **state)
{
	assert_date(0, "Thu, 01 Jan 1970 00:00:00 GMT");
	assert_date(784111777, "Sun, 06 Nov 1994 08:49:37 GMT"); /* RFC 9110 §5.6.7 */
	assert_date(951782399, "Mon, 28 Feb 2000 23:59:59 GMT");
	assert_date(951782400, "Tue, 29 Feb 2000 00:00:00 GMT");
	assert_date(951868800, "Wed, 01 Mar 2000 00:00:00 GMT");
	assert_date(2147483648, "Tue, 19 Jan 2038 03:14:08 GMT");
	assert_date(4107542399, "Sun, 28 Feb 2100 23:59:59 GMT"); /* no leap year */
	assert_date(4107542400, "Mon, 01 Mar 2100 00:00:00 GMT");
	assert_date(253402300799, "Fri, 31 Dec 9999 23:59:59 GMT");
}

/* The C library's calendar, which the locale C names in English. */
static void assert_like_the_library(uint64_t seconds)
{
	char expected[64];
	time_t t = (time_t)seconds;
	struct tm tm;
	assert_non_null(gmtime_r(&t, &tm));
	assert_int_equal(
		strftime(expected, sizeof expected, "%a, %d %b %Y %H:%M:%S GMT", &tm), HTTP_DATE_BYTES);
	assert_date(seconds, expected);
}

static void test_every_day_of_four_centuries(void **state)
{
	for (uint64_t day = 0; day < 400 * 366; day++)
		assert_like_the_library(day * 86400 + day % 86400);
}

static void test_any_second(void **state)
{
	struct rand r;
	rand_seed(&r, 31);
	for (int i = 0; i < 50000; i++)
		assert_like_the_library(rand_below(&r, 253402300800));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known),
		cmocka_unit_test(test_every_day_of_four_centuries),
		cmocka_unit_test(test_any_second),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
