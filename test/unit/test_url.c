#include "http/url.h"

#include "guard.h"
#include "unit.h"

/* A slice that cannot be read past, at either end. */
static struct str at_end(struct guard *g, const char *text)
{
	return (struct str){ guard_at_end(g, text, strlen(text)), strlen(text) };
}

static struct str at_start(struct guard *g, const char *text)
{
	return (struct str){ guard_at_start(g, text, strlen(text)), strlen(text) };
}

static void test_decode(void **state)
{
	static const struct {
		const char *in;
		const char *out; /* NULL: refused */
	} cases[] = {
		{ "", "" },
		{ "plain+text/", "plain+text/" },
		{ "%41%62%2f", "Ab/" },
		{ "%C3%a4", "\xc3\xa4" },
		{ "a%20b%25", "a b%" },
		{ "%0a%09%7F", "\n\t\x7f" },
		{ "%", NULL },
		{ "%4", NULL },
		{ "abc%4", NULL },
		{ "%g1", NULL },
		{ "%1g", NULL },
		{ "%%41", NULL },
		{ "% 1", NULL },
		{ "%00", NULL },
		{ "a%00b", NULL },
	};
	struct guard g;
	guard_init(&g, 256);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char out[64];
		size_t len = 777;
		bool good = url_decode(at_end(&g, cases[i].in), out, sizeof out, &len);
		assert_int_equal(good, cases[i].out != NULL);
		if (good)
			assert_str(((struct str){ out, len }), cases[i].out);
		else
			assert_int_equal(len, 777);
	}
	char out[4];
	size_t len;
	assert_true(url_decode(STR("%41%42%43%44"), out, 4, &len));
	assert_false(url_decode(STR("%41%42%43%44"), out, 3, &len));
	assert_false(url_decode(STR("a"), out, 0, &len));
	assert_false(url_decode((struct str){ "a\0", 2 }, out, 4, &len));
	guard_finish(&g);
}

static void test_param(void **state)
{
	static const struct {
		const char *query, *name, *value; /* NULL: not there */
	} cases[] = {
		{ "a=1&b=2", "a", "1" },
		{ "a=1&b=2", "b", "2" },
		{ "a=1&a=2", "a", "1" },
		{ "aa=1&a=2", "a", "2" },
		{ "a=1&b", "b", "" },
		{ "a=1&b=", "b", "" },
		{ "a=b=c", "a", "b=c" },
		{ "a=%20+", "a", "%20+" },
		{ "&&a=1&", "a", "1" },
		{ "a=1", "b", NULL },
		{ "A=1", "a", NULL },
		{ "ab=1", "a", NULL },
		{ "", "a", NULL },
		{ "=1", "", "1" },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct str value = url_param(str_of(cases[i].query), str_of(cases[i].name));
		assert_int_equal(value.ptr != NULL, cases[i].value != NULL);
		if (cases[i].value)
			assert_str(value, cases[i].value);
	}
	assert_null(url_param((struct str){ NULL, 0 }, STR("a")).ptr);
}

static void test_authority(void **state)
{
	static const struct {
		const char *text;
		const char *host; /* NULL: refused */
	} cases[] = {
		{ "example.org", "example.org" },
		{ "example.org:80", "example.org" },
		{ "example.org:", "example.org" },
		{ "example.org:65535", "example.org" },
		{ "example.org:0", "example.org" },
		{ "EXAMPLE", "EXAMPLE" },
		{ "a_b-c.d~", "a_b-c.d~" },
		{ "127.0.0.1:8080", "127.0.0.1" },
		{ "[::1]", "[::1]" },
		{ "[::]", "[::]" },
		{ "[::1]:8080", "[::1]" },
		{ "[2001:db8::192.0.2.1]:1", "[2001:db8::192.0.2.1]" },
		{ "[1:2:3:4:5:6:7:8]", "[1:2:3:4:5:6:7:8]" },
		{ "[1111:2222:3333:4444:5555:6666:123.123.123.123]",
			"[1111:2222:3333:4444:5555:6666:123.123.123.123]" },
		{ "", NULL },
		{ ":80", NULL },
		{ "a:65536", NULL },
		{ "a:000080", NULL },
		{ "a:99999", NULL },
		{ "a:-1", NULL },
		{ "a:+1", NULL },
		{ "a:8o", NULL },
		{ "a:80:80", NULL },
		{ "a b", NULL },
		{ " a", NULL },
		{ "a\t", NULL },
		{ "user@example.org", NULL },
		{ "a/b", NULL },
		{ "a?b", NULL },
		{ "a#b", NULL },
		{ "a\\b", NULL },
		{ "a%41", NULL },
		{ "a\"b", NULL },
		{ "a<b", NULL },
		{ "a\x7f", NULL },
		{ "a\xc3\xa4", NULL },
		{ "::1", NULL },
		{ "[]", NULL },
		{ "[", NULL },
		{ "]", NULL },
		{ "[::1", NULL },
		{ "[::1]x", NULL },
		{ "[::1]80", NULL },
		{ "[::1]]", NULL },
		{ "[[::1]]", NULL },
		{ "[:::1]", NULL },
		{ "[1.2.3.4]", NULL },
		{ "[::g]", NULL },
		{ "[fe80::1%25eth0]", NULL },
		{ "[fe80::1%eth0]", NULL },
		{ "[v1.x]", NULL },
		{ "[::1]:65536", NULL },
		{ "[1111:2222:3333:4444:5555:6666:123.123.123.1234]", NULL },
		{ "[1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb]", NULL },
	};
	struct guard g;
	guard_init(&g, 256);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		if (url_is_authority(at_end(&g, cases[i].text)) != (cases[i].host != NULL))
			fail_msg("\"%s\"", cases[i].text);
		assert_int_equal(url_is_authority(at_start(&g, cases[i].text)), cases[i].host != NULL);
		if (cases[i].host)
			assert_str(url_host(at_end(&g, cases[i].text)), cases[i].host);
	}
	assert_false(url_is_authority((struct str){ "a\0b", 3 }));
	assert_false(url_is_authority((struct str){ "[::1\0]", 6 }));
	assert_false(url_is_authority((struct str){ NULL, 0 }));
	guard_finish(&g);
}

static void test_dot_segments(void **state)
{
	static const char *const with[] = { ".", "..", "/.", "/..", "/./", "/../", "/a/../b", "/a/./b",
		"/a/..", "/%2e", "/%2E%2e/", "/.%2e", "/%2e./x", "/a%2f..%2fb", "/a%2F.", "/a\\..\\b",
		"/a%5c..%5Cb", "/..;/b", "/..;x=1/b", "/.;", "/..%3bx", "/..\\", "/..%2f" };
	static const char *const without[] = { "", "/", "/a", "/a.b", "/.a", "/a.", "/...", "/..a", "/a..",
		"/%2e%2e%2e", "/.well-known/x", "/a/b.c/", "/%2ea", "/a%2fb", "/a;..", "/a;.", "/%", "/%2",
		"/.%", "/%2e%2", "/%252e", "/;", "//" };
	struct guard g;
	guard_init(&g, 64);
	for (size_t i = 0; i < sizeof with / sizeof *with; i++) {
		if (!url_has_dot_segment(at_end(&g, with[i])))
			fail_msg("\"%s\" has one", with[i]);
	}
	for (size_t i = 0; i < sizeof without / sizeof *without; i++) {
		if (url_has_dot_segment(at_end(&g, without[i])))
			fail_msg("\"%s\" has none", without[i]);
	}
	guard_finish(&g);
}

static void test_parse(void **state)
{
	static const struct {
		const char *text, *authority, *host;
		uint16_t port;
		const char *path;
	} good[] = {
		{ "http://a", "a", "a", 80, "/" },
		{ "HTTP://a/", "a", "a", 80, "/" },
		{ "http://a:8080/b/c?d=e&f", "a:8080", "a", 8080, "/b/c?d=e&f" },
		{ "http://a:/b", "a:", "a", 80, "/b" },
		{ "http://[::1]:9/x", "[::1]:9", "::1", 9, "/x" },
		{ "http://[::1]", "[::1]", "::1", 80, "/" },
		{ "http://127.0.0.1:65535//", "127.0.0.1:65535", "127.0.0.1", 65535, "//" },
	};
	static const char *const bad[] = { "", "http", "http:", "http://", "http:///", "http:///a",
		"https://a", "xttp://a", "http:/\\a", "ftp://a", "//a", "a", "http//a", "http://a b",
		"http://a/b c", "http://a/#b", "http://a#b", "http://a?b", "http://a/\r\n", "http://a/\xff",
		"http://u@a/", "http://a:0/", "http://a:65536/", "http://a:b/", "http://[::1/", " http://a" };
	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		struct url u;
		assert_true(url_parse(str_of(good[i].text), &u));
		assert_int_equal(u.scheme.len, 4);
		assert_str(u.authority, good[i].authority);
		assert_str(u.host, good[i].host);
		assert_int_equal(u.port, good[i].port);
		assert_str(u.path, good[i].path);
	}
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct url u = { .port = 4242 };
		if (url_parse(str_of(bad[i]), &u))
			fail_msg("\"%s\"", bad[i]);
		assert_int_equal(u.port, 4242);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_decode),
		cmocka_unit_test(test_param),
		cmocka_unit_test(test_authority),
		cmocka_unit_test(test_dot_segments),
		cmocka_unit_test(test_parse),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
