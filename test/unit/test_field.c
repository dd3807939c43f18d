#include "http/field.h"

#include "base/check.h"
#include "guard.h"
#include "unit.h"

#include <stdio.h>

static void test_every_name_is_found(void **state)
{
	assert_string_equal(http_field_names[FIELD_OTHER], "");
	for (int id = FIELD_OTHER + 1; id < FIELD_COUNT; id++) {
		char name[64];
		size_t len = strlen(http_field_names[id]);
		assert_in_range(len, 2, 31);
		for (unsigned upper = 0; upper < 4;
			upper++) { /* none, even, odd, all letters in upper case */
			for (size_t i = 0; i < len; i++) {
				char c = http_field_names[id][i];
				bool letter = c >= 'a' && c <= 'z';
				assert_true(letter || c == '-' || (c >= '0' && c <= '9'));
				name[i] = letter && (upper >> (i & 1) & 1) ? (char)(c - 32) : c;
			}
			assert_int_equal(http_field_id((struct str){ name, len }), id);
		}
	}
}

/* One byte changed, one more, one fewer: another name. */
static void test_nearly_a_name(void **state)
{
	struct guard g;
	guard_init(&g, 256);
	for (int id = FIELD_OTHER + 1; id < FIELD_COUNT; id++) {
		const char *name = http_field_names[id];
		size_t len = strlen(name);
		for (size_t i = 0; i < len; i++) {
			for (int c = 0; c < 256; c++) {
				char *other = guard_at_end(&g, name, len);
				other[i] = (char)c;
				bool same = str_eq_nocase(str_of(name), (struct str){ other, len });
				enum http_field_id found = http_field_id((struct str){ other, len });
				if (same)
					assert_int_equal(found, id);
				else
					assert_int_not_equal(found, id);
			}
		}
		char longer[40];
		snprintf(longer, sizeof longer, "%s-", name);
		assert_int_equal(http_field_id(str_of(longer)), FIELD_OTHER);
		if (len > 1)
			assert_int_not_equal(http_field_id((struct str){ name, len - 1 }), id);
	}
	guard_finish(&g);
}

static void test_lengths(void **state)
{
	char name[600];
	for (int c = 0; c < 256; c++) {
		memset(name, c, sizeof name);
		for (size_t len = 1; len <= sizeof name; len++)
			assert_int_equal(http_field_id((struct str){ name, len }), FIELD_OTHER);
	}
}

static struct http_head *parsed(const char *fields)
{
	static struct http_head h;
	static char text[2048];
	snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: a\r\n%s\r\n", fields);
	assert_int_equal(http_parse_request(text, strlen(text), sizeof text, &h), PARSE_OK);
	return &h;
}

static void test_finding(void **state)
{
	struct http_head *h = parsed("Accept: 1\r\nX-Own: 2\r\nACCEPT: 3\r\nx-own: 4\r\n");
	assert_str(http_field(h, FIELD_ACCEPT)->value, "1");
	assert_str(http_field_named(h, STR("x-OWN"))->value, "2");
	assert_str(http_field_named(h, STR("accept"))->value, "1");
	assert_null(http_field(h, FIELD_COOKIE));
	assert_null(http_field_named(h, STR("x-ow")));
	assert_null(http_field_named(h, STR("")));
}

static void test_list_elements(void **state)
{
	static const struct {
		const char *value;
		const char *elements; /* each in '<' and '>' */
	} cases[] = {
		{ "a", "<a>" },
		{ "a, b ,\tc", "<a><b><c>" },
		{ "", "" },
		{ " , ,, \t,", "" },
		{ ",a,,b,", "<a><b>" },
		{ "a b;c=d, e", "<a b;c=d><e>" },
		{ "a=\"b, c\", d", "<a=\"b, c\"><d>" },
		{ "a=\"b\\\", c\", d", "<a=\"b\\\", c\"><d>" },
		{ "a=\"b, c", "<a=\"b, c>" },
		{ "\"", "<\">" },
		{ "\"\\", "<\"\\>" },
		{ "\"\\\"", "<\"\\\">" },
		{ "a\\,b", "<a\\><b>" },
	};
	struct guard g;
	guard_init(&g, 256);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char seen[128] = "";
		size_t len = strlen(cases[i].value);
		struct str rest = { guard_at_end(&g, cases[i].value, len), len }, element;
		size_t n = 0;
		while (http_list_next(&rest, &element))
			n += (size_t)snprintf(seen + n, sizeof seen - n, "<" STR_FMT ">", STR_ARG(element));
		assert_string_equal(seen, cases[i].elements);
	}
	guard_finish(&g);
	struct str none = { NULL, 0 }, element;
	assert_false(http_list_next(&none, &element));
}

static void test_list_has(void **state)
{
	struct http_head *h =
		parsed("Prefer: wait=5, respond-async\r\nX: gone\r\nprefer: Handling=lenient\r\n");
	assert_true(http_list_has(h, FIELD_PREFER, STR("Respond-Async")));
	assert_true(http_list_has(h, FIELD_PREFER, STR("handling=lenient")));
	assert_false(http_list_has(h, FIELD_PREFER, STR("respond")));
	assert_false(http_list_has(h, FIELD_PREFER, STR("gone")));
	assert_false(http_list_has(h, FIELD_ACCEPT, STR("respond-async")));
}

/* Names of the fields that are not to be passed on, each in '<' and '>'. */
static const char *hop_by_hop(const struct http_head *h)
{
	static char names[1024];
	size_t n = 0;
	names[0] = '\0';
	for (uint32_t i = 0; i < h->n_fields; i++) {
		if (h->fields[i].hop_by_hop)
			n += (size_t)snprintf(
				names + n, sizeof names - n, "<" STR_FMT ">", STR_ARG(h->fields[i].name));
	}
	return names;
}

/* RFC 9110 §7.6.1. */
static void test_hop_by_hop(void **state)
{
	assert_string_equal(
		hop_by_hop(
			parsed("Accept: x\r\nKeep-Alive: 5\r\nTE: trailers\r\nTrailer: x\r\nUpgrade: h2c\r\n"
			       "Proxy-Connection: close\r\nProxy-Authorization: x\r\nVia: x\r\n"
			       "Transfer-Encoding: chunked\r\nProxy-Authenticate: x\r\n")),
		"<Keep-Alive><TE><Trailer><Upgrade><Proxy-Connection><Proxy-Authorization><Transfer-Encoding>"
		"<Proxy-Authenticate>");
	assert_string_equal(
		hop_by_hop(parsed("X-Own: 1\r\nConnection: x-own, close\r\nX-OWN: 2\r\nX-Other: 3\r\n")),
		"<X-Own><Connection><X-OWN>");
	assert_string_equal(hop_by_hop(parsed("Connection: a\r\nB: 1\r\nConnection: b\r\nC: 1\r\n")),
		"<Connection><B><Connection>");
	/* These two belong to the message: naming them must not take them away. */
	assert_string_equal(
		hop_by_hop(parsed(
			"Connection: Host, Content-Length, Cookie\r\nContent-Length: 1\r\nCookie: x\r\n")),
		"<Connection><Cookie>");
	assert_string_equal(
		hop_by_hop(parsed("Close: 1\r\nConnection: close, keep-alive\r\n")), "<Connection>");
}

static void test_connection_options_are_bounded(void **state)
{
	static struct http_head h;
	for (int options = 31; options <= 33; options++) {
		char text[512];
		size_t n = (size_t)snprintf(text, sizeof text, "GET / HTTP/1.0\r\nConnection: a");
		for (int i = 1; i < options; i++)
			n += (size_t)snprintf(text + n, sizeof text - n, ",%c%d", 'a' + i % 26, i);
		n += (size_t)snprintf(text + n, sizeof text - n, "\r\n\r\n");
		enum parse_status s = http_parse_request(text, n, sizeof text, &h);
		assert_int_equal(s, options > 32 ? PARSE_BAD : PARSE_OK);
	}
	assert_int_equal(h.error, PARSE_ERROR_FIELD_VALUE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_name_is_found),
		cmocka_unit_test(test_nearly_a_name),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_finding),
		cmocka_unit_test(test_list_elements),
		cmocka_unit_test(test_list_has),
		cmocka_unit_test(test_hop_by_hop),
		cmocka_unit_test(test_connection_options_are_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
