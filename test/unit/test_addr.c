#include "io/io.h"

#include "unit.h"

#include <arpa/inet.h>

/* What is parsed, and how it is printed with and without its port. */
static const struct {
	const char *text, *printed, *ip;
	sa_family_t family;
} good[] = {
	{ "1.2.3.4:80", "1.2.3.4:80", "1.2.3.4", AF_INET },
	{ "0.0.0.0:0", "0.0.0.0:0", "0.0.0.0", AF_INET },
	{ "255.255.255.255:65535", "255.255.255.255:65535", "255.255.255.255", AF_INET },
	{ "127.0.0.1:08", "127.0.0.1:8", "127.0.0.1", AF_INET },
	{ ":8080", "[::]:8080", "::", AF_INET6 },
	{ "[::]:80", "[::]:80", "::", AF_INET6 },
	{ "[::1]:5000", "[::1]:5000", "::1", AF_INET6 },
	{ "[2001:DB8:0:0:0:0:0:1]:443", "[2001:db8::1]:443", "2001:db8::1", AF_INET6 },
	{ "[::ffff:10.0.0.1]:80", "10.0.0.1:80", "10.0.0.1", AF_INET6 },
	{ "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
		"[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
		AF_INET6 },
	{ "unix:/run/berth.sock", "unix:/run/berth.sock", "unix:/run/berth.sock", AF_UNIX },
	{ "unix:relative", "unix:relative", "unix:relative", AF_UNIX },
	{ "unix:/with:colon", "unix:/with:colon", "unix:/with:colon", AF_UNIX },
};

static const char *const bad[] = {
	"",
	":",
	"1.2.3.4",
	"1.2.3.4:",
	"1.2.3.4:65536",
	"1.2.3.4:-1",
	"1.2.3.4:+80",
	"1.2.3.4: 80",
	"1.2.3.4:80 ",
	" 1.2.3.4:80",
	"1.2.3:80",
	"1.2.3.4.5:80",
	"256.0.0.1:80",
	"01.2.3.4:80",
	"0x7f.0.0.1:80",
	"1.2.3.4:99999999999999999999",
	"localhost:80",
	"::1:80",
	"[::1]",
	"[::1]80",
	"[::1:80",
	"::1]:80",
	"[]:80",
	"[1.2.3.4]:80",
	"[[::1]]:80",
	"[fe80::1%eth0]:80",
	"[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:80",
	"[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:80",
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa:80",
	"unix:",
	"unix",
	"http://1.2.3.4:80",
	"1.2.3.4:80/path",
};

static void test_good(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		struct io_addr a;
		char text[IO_ADDR_TEXT];
		assert_true(io_addr_parse(&a, good[i].text));
		assert_int_equal(a.sa.sa_family, good[i].family);
		assert_string_equal(io_addr_print(&a, true, text), good[i].printed);
		assert_string_equal(io_addr_print(&a, false, text), good[i].ip);
	}
}

/* What was printed is parsed to the same again. */
static void test_there_and_back(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		struct io_addr a, b;
		char text[IO_ADDR_TEXT], again[IO_ADDR_TEXT];
		assert_true(io_addr_parse(&a, good[i].text));
		assert_true(io_addr_parse(&b, io_addr_print(&a, true, text)));
		assert_string_equal(io_addr_print(&b, true, again), text);
	}
}

static void test_bad(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct io_addr a = { .len = 77 };
		if (io_addr_parse(&a, bad[i]))
			fail_msg("\"%s\" was taken for an address", bad[i]);
		assert_int_equal(a.len, 77);
	}
}

static void test_port_and_bytes(void **state)
{
	struct io_addr a;
	assert_true(io_addr_parse(&a, "1.2.3.4:8080"));
	assert_int_equal(a.len, sizeof(struct sockaddr_in));
	assert_int_equal(ntohs(a.in.sin_port), 8080);
	assert_int_equal(ntohl(a.in.sin_addr.s_addr), 0x01020304);
	assert_true(io_addr_parse(&a, "[::1]:8080"));
	assert_int_equal(a.len, sizeof(struct sockaddr_in6));
	assert_int_equal(ntohs(a.in6.sin6_port), 8080);
	assert_true(IN6_IS_ADDR_LOOPBACK(&a.in6.sin6_addr));
}

static void test_longest_path(void **state)
{
	char text[5 + sizeof((struct sockaddr_un *)NULL)->sun_path + 1], printed[IO_ADDR_TEXT];
	struct io_addr a;
	memset(text, 'x', sizeof text);
	memcpy(text, "unix:", 5);
	text[sizeof text - 1] = '\0';
	assert_false(io_addr_parse(&a, text)); /* no room for its NUL */
	text[sizeof text - 2] = '\0';
	assert_true(io_addr_parse(&a, text));
	assert_string_equal(io_addr_print(&a, true, printed), text);
}

static void test_print_nothing(void **state)
{
	char text[IO_ADDR_TEXT];
	const struct io_addr none = { 0 };
	const struct io_addr nameless = { .un.sun_family = AF_UNIX, .len = sizeof(sa_family_t) };
	assert_string_equal(io_addr_print(&none, true, text), "-");
	assert_string_equal(io_addr_print(&nameless, true, text), "unix:"); /* a peer on a unix socket */
}

/* In their order; those on one line lead to the same place. */
static const char *const ordered[][2] = {
	{ "unix:/a", "unix:/a" },
	{ "unix:/b", "unix:/b" },
	{ "[::]:80", ":80" },
	{ "[::1]:80", "[0:0:0:0:0:0:0:1]:80" },
	{ "1.2.3.4:80", "[::ffff:1.2.3.4]:80" },
	{ "1.2.3.4:443", "[::ffff:102:304]:443" },
	{ "1.2.3.5:1", "1.2.3.5:1" },
	{ "200.0.0.1:1", "200.0.0.1:1" },
	{ "[fd00::1]:1", "[fd00::0:1]:1" },
};

static void test_compare(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(ordered); i++) {
		for (size_t k = 0; k < ARRAY_LEN(ordered); k++) {
			struct io_addr a, b;
			assert_true(io_addr_parse(&a, ordered[i][0]) && io_addr_parse(&b, ordered[k][1]));
			int order = io_addr_compare(&a, &b);
			if ((order > 0) - (order < 0) != (i > k) - (i < k))
				fail_msg("%s and %s compare as %d", ordered[i][0], ordered[k][1], order);
			assert_true((io_addr_compare(&b, &a) > 0) == (order < 0));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_there_and_back),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_port_and_bytes),
		cmocka_unit_test(test_longest_path),
		cmocka_unit_test(test_print_nothing),
		cmocka_unit_test(test_compare),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
