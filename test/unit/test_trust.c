#include "gateway/trust.h"

#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>

/* In the form that the gateway keeps its peers' addresses in. */
static void ip_of(const char *text, uint8_t ip[16])
{
	memset(ip, 0, 16);
	if (inet_pton(AF_INET, text, ip + 12) == 1)
		ip[10] = ip[11] = 0xff;
	else
		assert_int_equal(inet_pton(AF_INET6, text, ip), 1);
}

static bool has(const char *network, const char *address)
{
	struct network one;
	uint8_t ip[16];
	assert_true(network_parse(&one, network));
	ip_of(address, ip);
	return networks_have(&(struct networks){ &one, 1 }, ip);
}

static void test_members(void **state)
{
	static const struct {
		const char *network, *address;
		bool member;
	} cases[] = {
		{ "10.0.0.0/8", "10.0.0.0", true },
		{ "10.0.0.0/8", "10.255.255.255", true },
		{ "10.0.0.0/8", "11.0.0.0", false },
		{ "10.0.0.0/8", "9.255.255.255", false },
		{ "10.1.2.3/8", "10.9.9.9", true }, /* bits past the length do not count */
		{ "192.168.4.0/22", "192.168.7.255", true },
		{ "192.168.4.0/22", "192.168.8.0", false },
		{ "192.168.4.0/22", "192.168.3.255", false },
		{ "127.0.0.1", "127.0.0.1", true },
		{ "127.0.0.1", "127.0.0.2", false },
		{ "127.0.0.1/32", "127.0.0.1", true },
		{ "127.0.0.0/31", "127.0.0.1", true },
		{ "127.0.0.0/31", "127.0.0.2", false },
		{ "0.0.0.0/0", "203.0.113.9", true },
		{ "0.0.0.0/0", "2001:db8::1", false }, /* all of IPv4, and nothing else */
		{ "::/0", "2001:db8::1", true },
		{ "::/0", "203.0.113.9", true },
		{ "2001:db8::/32", "2001:db8:ffff::1", true },
		{ "2001:db8::/32", "2001:db9::1", false },
		{ "2001:db8::/33", "2001:db8:7fff::1", true },
		{ "2001:db8::/33", "2001:db8:8000::1", false },
		{ "::1", "::1", true },
		{ "::1", "::2", false },
		{ "::1", "0.0.0.1", false },
		{ "::ffff:10.0.0.0/104", "10.1.1.1", true },
		{ "::ffff:10.0.0.0/104", "11.1.1.1", false },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		if (has(cases[i].network, cases[i].address) != cases[i].member)
			fail_msg("%s in %s: not as it should be", cases[i].address, cases[i].network);
	}
}

static void test_bad(void **state)
{
	static const char *const bad[] = {
		"",
		"/8",
		"10.0.0.0/",
		"10.0.0.0/33",
		"10.0.0.0/-1",
		"10.0.0.0/8/8",
		"10.0.0.0/ 8",
		"10.0.0/8",
		"10.0.0.0/99999999999999999999",
		"::/129",
		"[::1]",
		"localhost",
		"*",
		"10.0.0.0 ",
		"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
	};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct network n = { .bits = 77 };
		if (network_parse(&n, bad[i]))
			fail_msg("\"%s\" was taken for a network", bad[i]);
		assert_int_equal(n.bits, 77);
	}
}

static void test_any_of_several(void **state)
{
	struct network list[3];
	struct networks ns = { list, 3 };
	uint8_t ip[16];
	assert_true(network_parse(&list[0], "10.0.0.0/8"));
	assert_true(network_parse(&list[1], "::1"));
	assert_true(network_parse(&list[2], "192.168.0.0/16"));
	ip_of("192.168.77.1", ip);
	assert_true(networks_have(&ns, ip));
	ip_of("172.16.0.1", ip);
	assert_false(networks_have(&ns, ip));
	ip_of("10.0.0.1", ip);
	assert_false(networks_have(&(struct networks){ NULL, 0 }, ip));
}

static void test_create(void **state)
{
	static const char *const good[] = { "10.0.0.0/8", "::1" },
				 *const mixed[] = { "10.0.0.0/8", "x", "y" };
	struct networks ns;
	const char *wrong = NULL;
	uint8_t ip[16];
	assert_int_equal(networks_create(&ns, good, 2, &wrong), 0);
	ip_of("10.9.8.7", ip);
	assert_true(networks_have(&ns, ip));
	free(ns.list);
	assert_int_equal(networks_create(&ns, mixed, 3, &wrong), -EINVAL);
	assert_ptr_equal(wrong, mixed[1]);
	assert_false(networks_have(&ns, ip));
	assert_int_equal(networks_create(&ns, NULL, 0, &wrong), 0);
	assert_false(networks_have(&ns, ip));
	free(ns.list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_members),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_any_of_several),
		cmocka_unit_test(test_create),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
