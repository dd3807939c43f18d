#include "guard.h"
#include "unit.h"
#include "worker/text_find.h"
#include "worker/utf8.h"

#include <string.h>

static struct guard guard;

static int set_up(void **state)
{
	guard_init(&guard, 4096);
	return 0;
}

static int tear_down(void **state)
{
	guard_finish(&guard);
	return 0;
}

static struct str guarded(struct str s)
{
	return (struct str){ guard_at_end(&guard, s.ptr, s.len), s.len };
}

static void test_utf8_good(void **state)
{
	static const char *const good[] = { "", "plain", "\x7f", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80",
		"\xed\x9f\xbf", "\xee\x80\x80", "\xef\xbf\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf",
		"caf\xc3\xa9 \xe2\x82\xac" };
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_int_equal(utf8_check(guarded(str_of(good[i]))), strlen(good[i]));
	assert_int_equal(utf8_check(guarded(STR("a\0b"))), 3);
}

static void test_utf8_bad(void **state)
{
	static const struct {
		const char *text;
		size_t at;
	} bad[] = {
		{ "\x80", 0 },             /* a continuation without a start */
		{ "ab\xc2", 2 },           /* cut off */
		{ "\xe2\x82", 0 },         /* cut off */
		{ "\xf0\x9f\x98", 0 },     /* cut off */
		{ "\xc0\xaf", 0 },         /* overlong */
		{ "\xc1\xbf", 0 },         /* overlong */
		{ "\xe0\x9f\xbf", 0 },     /* overlong */
		{ "\xf0\x8f\xbf\xbf", 0 }, /* overlong */
		{ "\xed\xa0\x80", 0 },     /* a surrogate */
		{ "\xf4\x90\x80\x80", 0 }, /* past U+10FFFF */
		{ "\xf5\x80\x80\x80", 0 },
		{ "\xff", 0 },
		{ "x\xc3(", 1 },
		{ "\xe2\x28\xa1", 0 },
	};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(utf8_check(guarded(str_of(bad[i].text))), bad[i].at);
}

static void expect_text(const char *body, enum body_type type, const char *expected)
{
	struct str text;
	struct json_t *root;
	struct why why = { "" };
	if (!text_find(guarded(str_of(body)), type, &text, &root, &why))
		fail_msg("%s: %s", body, why.text);
	if (expected)
		assert_str(text, expected);
	else
		assert_null(text.ptr);
	text_found_free(root);
}

static void test_text(void **state)
{
	expect_text("{\"text\": \"hello\"}", BODY_UNSAID, "hello");
	expect_text(" \r\n\t{\"text\":\"h\\u00e9\", \"more\": [1, {}]}", BODY_UNSAID, "h\xc3\xa9");
	expect_text("{\"text\": \"\"}", BODY_JSON, "");
	expect_text("hello {", BODY_UNSAID, "hello {");
	expect_text("{not json", BODY_PLAIN, "{not json");
	expect_text("  spaces stay  ", BODY_PLAIN, "  spaces stay  ");
	expect_text("\"quoted\"", BODY_UNSAID, "\"quoted\"");
}

static void test_no_text(void **state)
{
	expect_text("", BODY_UNSAID, NULL);
	expect_text("", BODY_JSON, NULL);
	expect_text(" \r\n", BODY_PLAIN, NULL);
	expect_text("{}", BODY_UNSAID, NULL);
	expect_text("{\"texts\": \"a\"}", BODY_UNSAID, NULL);
	expect_text("{\"text\": null}", BODY_JSON, NULL);
	expect_text("null", BODY_JSON, NULL);
}

static void test_text_with_nul(void **state)
{
	struct str text;
	struct json_t *root;
	struct why why;
	assert_true(text_find(guarded(STR("{\"text\": \"a\\u0000b\"}")), BODY_JSON, &text, &root, &why));
	assert_true(str_eq(text, STR("a\0b")));
	text_found_free(root);
}

static void test_bad_bodies(void **state)
{
	static const struct {
		struct str body;
		enum body_type type;
		const char *why; /* part of it */
	} bad[] = {
		{ { "{\"text\": 1}", 11 }, BODY_UNSAID, "\"text\" must be a string" },
		{ { "{\"text\": [\"a\"]}", 15 }, BODY_JSON, "\"text\" must be a string" },
		{ { "[\"a\"]", 5 }, BODY_JSON, "must be a JSON object" },
		{ { "\"a\"", 3 }, BODY_JSON, "must be a JSON object" },
		{ { "hello", 5 }, BODY_JSON, "not JSON" },
		{ { "{\"text\": \"a", 11 }, BODY_UNSAID, "not JSON" },
		{ { "{\"text\": \"a\"} b", 15 }, BODY_UNSAID, "not JSON" },
		{ { "{\"text\": \"a\", \"text\": \"b\"}", 26 }, BODY_UNSAID, "not JSON: duplicate" },
		{ { "{\"text\": \"\xff\"}", 13 }, BODY_UNSAID, "not JSON" },
		{ { "ab\xff", 3 }, BODY_UNSAID, "not UTF-8: byte 2 is 0xff" },
		{ { "caf\xe9", 4 }, BODY_PLAIN, "not UTF-8: byte 3 is 0xe9" },
	};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct str text;
		struct json_t *root;
		struct why why = { "" };
		assert_false(text_find(guarded(bad[i].body), bad[i].type, &text, &root, &why));
		if (!strstr(why.text, bad[i].why))
			fail_msg("\"%s\" does not say \"%s\"", why.text, bad[i].why);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_utf8_good),
		cmocka_unit_test(test_utf8_bad),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_no_text),
		cmocka_unit_test(test_text_with_nul),
		cmocka_unit_test(test_bad_bodies),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
