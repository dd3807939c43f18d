#include "base/json.h"

#include "base/rand.h"
#include "reader.h"
#include "unit.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static void test_shapes(void **state)
{
	struct json j;
	json_init(&j);
	json_open(&j, '{');
	json_key(&j, "a");
	json_u64(&j, UINT64_MAX);
	json_key(&j, "b");
	json_open(&j, '[');
	json_i64(&j, INT64_MIN);
	json_bool(&j, true);
	json_bool(&j, false);
	json_null(&j);
	json_open(&j, '[');
	json_close(&j, ']');
	json_open(&j, '{');
	json_close(&j, '}');
	json_raw(&j, STR("{\"x\":1}"));
	json_close(&j, ']');
	json_key(&j, "c");
	json_string(&j, STR("d"));
	json_close(&j, '}');
	json_bytes(&j, STR("\n"));
	assert_str(json_str(&j),
		"{\"a\":18446744073709551615,\"b\":[-9223372036854775808,true,false,null,[],{},"
		"{\"x\":1}],\"c\":\"d\"}\n");
	json_reset(&j);
	json_open(&j, '[');
	json_raw(&j, (struct str){ NULL, 0 });
	json_close(&j, ']');
	assert_str(json_str(&j), "[]");
	json_finish(&j);
}

static void test_strings(void **state)
{
	static const struct {
		struct str in;
		const char *out;
	} cases[] = {
		{ { "", 0 }, "\"\"" },
		{ { NULL, 0 }, "\"\"" },
		{ { "\"\\/", 3 }, "\"\\\"\\\\/\"" },
		{ { "\b\t\n\f\r", 5 }, "\"\\b\\t\\n\\f\\r\"" },
		{ { "\0\x01\x1f\x7f", 4 }, "\"\\u0000\\u0001\\u001f\x7f\"" },
		{ { "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", 9 }, "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\"" },
		{ { "a\xff"
		    "b",
			  3 },
			"\"a\xef\xbf\xbd"
			"b\"" },
		{ { "\xc0\x80", 2 }, "\"\xef\xbf\xbd\xef\xbf\xbd\"" },                 /* overlong NUL */
		{ { "\xed\xa0\x80", 3 }, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" }, /* a surrogate */
		{ { "\xf4\x90\x80\x80", 4 },
			"\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" }, /* over U+10FFFF */
		{ { "\xe2\x82", 2 }, "\"\xef\xbf\xbd\xef\xbf\xbd\"" },            /* cut off */
		{ { "\xe2\"x", 3 }, "\"\xef\xbf\xbd\\\"x\"" },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct json j;
		json_init(&j);
		json_string(&j, cases[i].in);
		assert_str(json_str(&j), cases[i].out);
		json_finish(&j);
	}
}

static void test_any_bytes_parse(void **state)
{
	struct rand r;
	struct json j;
	rand_seed(&r, 11);
	json_init(&j);
	for (int i = 0; i < 5000; i++) {
		char bytes[40];
		size_t len = rand_below(&r, sizeof bytes);
		bool ascii = rand_chance(&r, 300000);
		for (size_t k = 0; k < len; k++)
			bytes[k] = (char)rand_below(&r, ascii ? 128 : 256);
		json_reset(&j);
		json_string(&j, (struct str){ bytes, len });
		assert_true(reader_accepts(json_str(&j)));
		if (ascii)
			assert_true(reader_is_string(json_str(&j), (struct str){ bytes, len }));
	}
	json_finish(&j);
}

/* Long strings are looked at in pieces: each byte is seen at each place. */
static void test_every_byte_at_every_place(void **state)
{
	struct json j, one;
	json_init(&j);
	json_init(&one);
	for (size_t len = 1; len <= 26; len++) {
		for (size_t at = 0; at < len; at++) {
			for (int byte = 0; byte < 256; byte++) {
				char bytes[26], expected[64];
				memset(bytes, 'a', len);
				bytes[at] = (char)byte;
				json_reset(&one); /* by itself it has a way of its own */
				json_string(&one, (struct str){ bytes + at, 1 });
				json_reset(&j);
				json_string(&j, (struct str){ bytes, len });
				struct str quoted = json_str(&one);
				snprintf(expected, sizeof expected, "\"%.*s%.*s%.*s\"", (int)at, bytes,
					(int)quoted.len - 2, quoted.ptr + 1, (int)(len - at - 1),
					bytes + at + 1);
				assert_str(json_str(&j), expected);
			}
		}
	}
	json_finish(&one);
	json_finish(&j);
}

static void test_numbers(void **state)
{
	static const struct {
		uint64_t thousandths;
		const char *text;
	} cases[] = { { 0, "0" }, { 1, "0.001" }, { 10, "0.01" }, { 100, "0.1" }, { 1000, "1" },
		{ 1500, "1.5" }, { 1700000000070, "1700000000.07" },
		{ UINT64_MAX, "18446744073709551.615" } };
	struct json j;
	json_init(&j);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		json_reset(&j);
		json_thousandths(&j, cases[i].thousandths);
		assert_str(json_str(&j), cases[i].text);
	}
	json_reset(&j);
	json_open(&j, '[');
	json_i64(&j, 0);
	json_i64(&j, -1);
	json_i64(&j, INT64_MAX);
	json_u64(&j, 10);
	json_close(&j, ']');
	assert_str(json_str(&j), "[0,-1,9223372036854775807,10]");
	json_finish(&j);
}

static double written(struct json *j, double v)
{
	json_reset(j);
	json_double(j, v);
	return reader_number(json_str(j));
}

static void test_doubles_read_back(void **state)
{
	static const struct {
		double value;
		const char *text;
	} exact[] = { { 0, "0" }, { -0.0, "-0" }, { 1, "1" }, { 0.1, "0.1" }, { 1e100, "1e+100" },
		{ -2.5, "-2.5" }, { 1.0 / 3, "0.3333333333333333" }, { INFINITY, "null" },
		{ -INFINITY, "null" }, { NAN, "null" } };
	struct rand r;
	struct json j;
	json_init(&j);
	for (size_t i = 0; i < sizeof exact / sizeof *exact; i++) {
		json_reset(&j);
		json_double(&j, exact[i].value);
		assert_str(json_str(&j), exact[i].text);
	}
	rand_seed(&r, 12);
	assert_true(written(&j, DBL_MAX) == DBL_MAX);
	assert_true(written(&j, DBL_MIN) == DBL_MIN);
	assert_true(written(&j, 5e-324) == 5e-324);
	for (int i = 0; i < 20000; i++) {
		uint64_t bits = rand_u64(&r);
		double v;
		memcpy(&v, &bits, sizeof v);
		if (isfinite(v))
			assert_true(written(&j, v) == v);
	}
	json_finish(&j);
}

static void test_floats_read_back(void **state)
{
	struct rand r;
	struct json j;
	json_init(&j);
	json_float(&j, 0.1f);
	assert_str(json_str(&j), "0.1");
	json_reset(&j);
	json_float(&j, NAN);
	assert_str(json_str(&j), "null");
	rand_seed(&r, 13);
	for (int i = 0; i < 20000; i++) {
		uint32_t bits = (uint32_t)rand_u64(&r);
		float v;
		memcpy(&v, &bits, sizeof v);
		if (!isfinite(v))
			continue;
		json_reset(&j);
		json_float(&j, v);
		json_bytes(&j, STR("\0"));
		assert_true(strtof(json_str(&j).ptr, NULL) == v);
		assert_true(json_str(&j).len <= sizeof "-1.00000000e-38");
	}
	json_finish(&j);
}

static void test_grows(void **state)
{
	struct json j;
	json_init(&j);
	json_open(&j, '[');
	for (uint64_t i = 0; i < 100000; i++)
		json_u64(&j, i);
	json_close(&j, ']');
	assert_int_equal(reader_size(json_str(&j)), 100000);
	json_finish(&j);
}

static void test_without_memory_it_goes_quiet(void **state)
{
	if (UNIT_SANITIZED) {
		print_message("the sanitizer's allocator aborts in place of returning NULL\n");
		skip();
	}
	struct json j;
	json_init(&j);
	json_open(&j, '[');
	json_raw(&j, (struct str){ "", SIZE_MAX / 4 });
	assert_true(json_failed(&j));
	json_u64(&j, 1);
	json_close(&j, ']');
	assert_true(json_failed(&j));
	json_reset(&j);
	json_null(&j);
	assert_false(json_failed(&j));
	assert_str(json_str(&j), "null");
	json_finish(&j);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shapes),
		cmocka_unit_test(test_strings),
		cmocka_unit_test(test_any_bytes_parse),
		cmocka_unit_test(test_every_byte_at_every_place),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_doubles_read_back),
		cmocka_unit_test(test_floats_read_back),
		cmocka_unit_test(test_grows),
		cmocka_unit_test(test_without_memory_it_goes_quiet),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
