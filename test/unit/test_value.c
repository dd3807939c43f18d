#include "cli/suggest.h"
#include "cli/value.h"
#include "unit.h"

#include <arpa/inet.h>

static void test_durations(void **state)
{
	static const struct {
		const char *text;
		uint64_t us;
	} good[] = {
		{ "0", 0 },
		{ "250ms", 250000 },
		{ "1s", 1000000 },
		{ "10m", 600000000 },
		{ "1h", 3600000000 },
		{ "2d", 172800000000 },
		{ "7us", 7 },
	};
	static const char *const bad[] = { "", "10", "s", "1.5s", "-1s", " 1s", "1s ", "1 s", "1S", "1min",
		"99999999999999999999s", "18446744073709551615h" };
	char text[VALUE_TEXT];
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		uint64_t us = 1;
		assert_true(value_duration(str_of(good[i].text), &us));
		assert_int_equal(us, good[i].us);
		assert_string_equal(value_duration_print(us, text), good[i].text);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		uint64_t us = 42;
		assert_false(value_duration(str_of(bad[i]), &us));
		assert_int_equal(us, 42);
	}
}

static void test_bytes(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes;
		const char *printed;
	} good[] = {
		{ "0", 0, "0" },
		{ "512", 512, "512B" },
		{ "512B", 512, "512B" },
		{ "64KiB", 65536, "64KiB" },
		{ "1MiB", 1048576, "1MiB" },
		{ "1024KiB", 1048576, "1MiB" },
		{ "10MB", 10000000, "10MB" },
		{ "3kB", 3000, "3kB" },
		{ "4GiB", 4ull << 30, "4GiB" },
		{ "2TiB", 2ull << 40, "2TiB" },
	};
	static const char *const bad[] = { "", "MiB", "1.5MiB", "1 MiB", "1mib", "-1", "1Mi",
		"99999999999TiB" };
	char text[VALUE_TEXT];
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		uint64_t bytes = 1;
		assert_true(value_bytes(str_of(good[i].text), &bytes));
		assert_int_equal(bytes, good[i].bytes);
		assert_string_equal(value_bytes_print(bytes, text), good[i].printed);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		uint64_t bytes = 42;
		assert_false(value_bytes(str_of(bad[i]), &bytes));
		assert_int_equal(bytes, 42);
	}
}

static void test_addresses(void **state)
{
	static const struct {
		const char *text, *complaint; /* NULL: none; else a part of it */
	} cases[] = {
		{ "127.0.0.1:5000", NULL },
		{ "[::1]:5000", NULL },
		{ ":80", NULL },
		{ "unix:/run/berth.sock", NULL },
		{ "", "found nothing" },
		{ "127.0.0.1", "port is missing" },
		{ "[::1]", "port is missing" },
		{ "127.0.0.1:", "a number from 0 to 65535" },
		{ "127.0.0.1:65536", "a number from 0 to 65535" },
		{ "127.0.0.1:http", "a number from 0 to 65535" },
		{ "::1:5000", "in brackets" },
		{ "model-1:5000", "host names are not resolved" },
		{ "localhost:5000", "host names are not resolved" },
		{ "999.0.0.1:5000", "host names are not resolved" },
		{ "unix:", "unix socket" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct io_addr addr = { 0 };
		const char *complaint = value_addr(str_of(cases[i].text), &addr);
		if (!cases[i].complaint) {
			assert_null(complaint);
			assert_true(addr.len > 0);
		} else {
			if (!complaint || !strstr(complaint, cases[i].complaint))
				fail_msg("\"%s\": %s", cases[i].text, complaint ? complaint : "was taken");
			assert_int_equal(addr.len, 0);
		}
	}
}

static void test_an_address_with_a_nul_is_none(void **state)
{
	struct io_addr addr;
	assert_non_null(value_addr(STR("127.0.0.1:80\0"), &addr));
}

static void test_networks(void **state)
{
	static const char *const good[] = { "10.0.0.1", "10.0.0.0/8", "0.0.0.0/0", "10.0.0.1/32", "::1",
		"fd00::/8", "::/128" };
	static const char *const bad[] = { "", "10.0.0", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/x", "::/129",
		"host", "10.0.0.0/8/8" };
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_true(value_is_network(str_of(good[i])));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(value_is_network(str_of(bad[i])));
}

static void test_suggestions(void **state)
{
	static const char *const names[] = { "listen", "queue", NULL, "queue-max", "health-path", "slots" };
	static const struct {
		const char *word, *near;
	} cases[] = {
		{ "quue", "queue" },
		{ "qeuue", "queue" },
		{ "QUEUE", "queue" },
		{ "lisen", "listen" },
		{ "slot", "slots" },
		{ "queuemax", "queue-max" },
		{ "heatlh-path", "health-path" },
		{ "banana", NULL },
		{ "", NULL },
		{ "xy", NULL },
		{ "a-word-that-is-longer-than-any-name-that-there-could-ever-be", NULL },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *near = suggest(str_of(cases[i].word), names, ARRAY_LEN(names));
		assert_str(str_of(near), cases[i].near);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_durations),
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_an_address_with_a_nul_is_none),
		cmocka_unit_test(test_networks),
		cmocka_unit_test(test_suggestions),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
