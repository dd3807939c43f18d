#include "gateway/peers.h"
#include "unit.h"

#include <errno.h>
#include <string.h>

enum { MANY = 5000 };

struct ip {
	uint8_t bytes[16];
};

static struct ip v4(uint32_t host)
{
	struct ip ip = { { [10] = 0xff, [11] = 0xff, [12] = 10 } };
	for (int i = 0; i < 3; i++)
		ip.bytes[13 + i] = (uint8_t)(host >> 8 * (2 - i));
	return ip;
}

static struct ip v6(uint8_t network, uint8_t host)
{
	return (struct ip){ { 0x20, 0x01, 0x0d, 0xb8, [7] = network, [15] = host } };
}

static int add(struct peers *p, struct ip ip)
{
	return peers_add(p, ip.bytes);
}

static void drop(struct peers *p, struct ip ip)
{
	peers_remove(p, ip.bytes);
}

static void test_one_address_has_a_limit(void **state)
{
	struct peers p;
	(void)state;
	assert_int_equal(peers_init(&p, 1), 0);
	peers_set_limits(&p, 2, 10);
	assert_int_equal(add(&p, v4(1)), 0);
	assert_int_equal(add(&p, v4(1)), 0);
	assert_int_equal(add(&p, v4(1)), -EDQUOT);
	assert_int_equal(add(&p, v4(2)), 0);
	drop(&p, v4(1));
	assert_int_equal(add(&p, v4(1)), 0);
	peers_set_limits(&p, 0, 10);
	assert_int_equal(add(&p, v4(1)), 0); /* counted while there is no limit … */
	peers_set_limits(&p, 3, 10);
	assert_int_equal(add(&p, v4(1)), -EDQUOT); /* … for there may come one */
	for (int i = 0; i < 3; i++)
		drop(&p, v4(1));
	drop(&p, v4(2));
	peers_finish(&p);
}

static void test_a_network_of_ipv6_is_one_address(void **state)
{
	struct peers p;
	(void)state;
	assert_int_equal(peers_init(&p, 1), 0);
	peers_set_limits(&p, 1, 10);
	assert_int_equal(add(&p, v6(1, 1)), 0);
	assert_int_equal(add(&p, v6(1, 2)), -EDQUOT);
	assert_int_equal(add(&p, v6(2, 1)), 0);
	drop(&p, v6(1, 2));
	drop(&p, v6(2, 1));
	peers_finish(&p);
}

/* No room for another address is no fault of that address. */
static void test_more_addresses_after_a_reload(void **state)
{
	struct peers p;
	(void)state;
	assert_int_equal(peers_init(&p, 1), 0);
	peers_set_limits(&p, 0, 1);
	assert_int_equal(add(&p, v4(0)), 0);
	assert_int_equal(add(&p, v4(1)), -ENOMEM);
	assert_int_equal(add(&p, v4(0)), 0);
	peers_set_limits(&p, 2, MANY);
	for (uint32_t i = 1; i < MANY; i++)
		assert_int_equal(add(&p, v4(i)), 0);
	assert_true(p.n_buckets >= MANY / 2); /* or each would be looked for among many */
	assert_int_equal(add(&p, v4(MANY)), -ENOMEM);
	assert_int_equal(add(&p, v4(0)), -EDQUOT);
	for (uint32_t i = 0; i < MANY; i++)
		drop(&p, v4(i));
	drop(&p, v4(0));
	assert_int_equal(p.entries.used, 0);
	peers_finish(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_address_has_a_limit),
		cmocka_unit_test(test_a_network_of_ipv6_is_one_address),
		cmocka_unit_test(test_more_addresses_after_a_reload),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
