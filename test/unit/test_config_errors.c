#include "config_text.h"
#include "unit.h"

#include <stdio.h>

#define POOL "pools:\n  - containers: [127.0.0.1:5000]\n"

struct bad {
	const char *text, *error;
};

static void check_bad(const struct bad *cases, size_t n, enum config_use use)
{
	for (size_t i = 0; i < n; i++) {
		struct config *c = config_of(cases[i].text);
		if (c->n_errors == 0)
			(void)config_finish(c, use, NULL, 0);
		if (c->n_errors != 1 || strcmp(c->errors[0], cases[i].error) != 0)
			fail_msg("case %zu: %zu errors: %s\nexpected: %s", i, c->n_errors,
				c->n_errors ? c->errors[0] : "", cases[i].error);
		config_destroy(c);
	}
}

static void test_values_of_the_wrong_kind(void **state)
{
	static const struct bad cases[] = {
		{ "pools:\n  - queue:\n      max: many\n",
			"berth.yaml:3:12: queue.max: expected a number, found \"many\"" },
		{ "pools:\n  - slots: 0\n", "berth.yaml:2:12: slots: expected 1 to 1024, found \"0\"" },
		{ "pools:\n  - slots: -1\n", "berth.yaml:2:12: slots: expected a number, found \"-1\"" },
		{ "pools:\n  - slots: [1]\n",
			"berth.yaml:2:12: slots: expected a single value, found a list" },
		{ "pools:\n  - slots:\n", "berth.yaml:2:11: slots: expected a number, found nothing" },
		{ "drain_timeout: 10\n",
			"berth.yaml:1:16: drain_timeout: expected a time with a unit (250ms, 10s, 5m, 1h), "
			"found \"10\"" },
		{ "drain_timeout: 2d\n", "berth.yaml:1:16: drain_timeout: expected 0 to 1d, found \"2d\"" },
		{ "limits: {body: 1MEG}\n",
			"berth.yaml:1:16: limits.body: expected a size (64KiB, 10MB, 512), found \"1MEG\"" },
		{ "limits: {head: 5}\n",
			"berth.yaml:1:16: limits.head: expected 1KiB to 64KiB, found \"5\"" },
		{ "limits: 5\n", "berth.yaml:1:9: limits: expected a mapping, found \"5\"" },
		{ "limits: [a]\n", "berth.yaml:1:9: limits: expected a mapping, found a list" },
		{ "half_close: no\n", "berth.yaml:1:13: half_close: expected leave or wait, found \"no\"" },
		{ "pools:\n  - retry: sometimes\n",
			"berth.yaml:2:12: retry: expected safe or always or never, found \"sometimes\"" },
		{ "listen: {a: b}\n", "berth.yaml:1:9: listen: expected a list, found a mapping" },
		{ "listen: [a, [b]]\n", "berth.yaml:1:13: listen: expected a text, found a list" },
		{ "listen: [127.0.0.1:80, 127.0.0.1]\n",
			"berth.yaml:1:24: listen: \"127.0.0.1\": the port is missing" },
		{ "trusted_proxies: [10.0.0.0/99]\n",
			"berth.yaml:1:19: trusted_proxies: expected an address or a network (10.0.0.0/8), "
			"found \"10.0.0.0/99\"" },
		{ "pools: 5\n", "berth.yaml:1:8: pools: expected a list, found \"5\"" },
		{ "pools: [5]\n", "berth.yaml:1:9: pools: expected a mapping, found \"5\"" },
		{ "fleet: 5\n", "berth.yaml:1:8: fleet: expected a mapping, found \"5\"" },
		{ "fleet: {on: mars}\n",
			"berth.yaml:1:13: fleet.on: expected local or docker or aws, found \"mars\"" },
		{ "- a\n", "berth.yaml:1:1: expected a mapping (listen: …), found a list" },
		{ "just words\n", "berth.yaml:1:1: expected a mapping (listen: …), found \"just words\"" },
	};
	check_bad(cases, ARRAY_LEN(cases), CONFIG_CHECK);
}

static void test_keys(void **state)
{
	static const struct bad cases[] = {
		{ "pools:\n  - quue: {max: 3}\n",
			"berth.yaml:2:5: unknown key 'quue': did you mean 'queue'?" },
		{ "pools:\n  - queue: {maxx: 3}\n",
			"berth.yaml:2:13: unknown key 'maxx': did you mean 'max'?" },
		{ "pool: []\n", "berth.yaml:1:1: unknown key 'pool': did you mean 'pools'?" },
		{ "banana: 1\n", "berth.yaml:1:1: unknown key 'banana'" },
		{ "containers: [127.0.0.1:80]\n",
			"berth.yaml:1:1: unknown key 'containers': it belongs to one of the pools" },
		{ "queue: {max: 1}\n",
			"berth.yaml:1:1: unknown key 'queue': it belongs to one of the pools" },
		{ "fleet: {worker: 1}\n", "berth.yaml:1:9: unknown key 'worker': did you mean 'workers'?" },
		{ "admin: off\nadmin: off\n", "berth.yaml:2:1: admin: stands here a second time" },
		{ "[a]: b\n", "berth.yaml:1:1: expected the name of a setting, found a list" },
		{ "\"admin\\0x\": off\n", "berth.yaml:1:1: expected the name of a setting, found \"admin\"" },
		{ "limits: &l {<<: *l}\n", "berth.yaml:1:13: unknown key '<<'" },
	};
	check_bad(cases, ARRAY_LEN(cases), CONFIG_CHECK);
}

static void test_what_is_no_yaml(void **state)
{
	static const struct bad cases[] = {
		{ "listen: [a\n",
			"berth.yaml:2:1: not YAML: did not find expected ',' or ']' while parsing a flow "
			"sequence" },
		{ "a: 1\n b: 2\n",
			"berth.yaml:2:3: not YAML: mapping values are not allowed in this context" },
		{ "a: \"\xff\"\n", "berth.yaml:1:5: not YAML: invalid leading UTF-8 octet" },
		{ "a: *b\n", "berth.yaml:1:4: not YAML: found undefined alias" },
		{ "admin: off\n---\nadmin: off\n",
			"berth.yaml:3:1: a second document: there can be only one" },
	};
	check_bad(cases, ARRAY_LEN(cases), CONFIG_CHECK);
}

static void test_values_that_do_not_fit_together(void **state)
{
	static const struct bad cases[] = {
		{ "listen: []\n" POOL, "berth.yaml:1:9: listen: at least one address is needed" },
		{ "listen: [\":80\", \":80\"]\n" POOL,
			"berth.yaml:1:17: listen: [::]:80 stands here a second time" },
		{ "listen: 127.0.0.1:9091\n" POOL,
			"berth.yaml:1:9: listen: 127.0.0.1:9091 is the admin listener's address too" },
		{ "admin: 0.0.0.0:9091\n" POOL,
			"berth.yaml:1:8: admin: 0.0.0.0:9091 is open to other machines: only loopback "
			"(127.0.0.1:9091) or unix:/path" },
		{ "jobs: {record_age: 2h, max_age: 3h, key_age: 2h}\n" POOL,
			"berth.yaml:1:33: jobs.max_age: must not be above jobs.record_age: a result goes "
			"with "
			"its record" },
		{ "jobs: {record_age: 2h}\n" POOL,
			"berth.yaml:1:7: jobs.key_age: must not be above jobs.record_age: a key holds only "
			"while its record "
			"is kept" },
		{ "limits: {body_memory: 2MiB, memory: 1MiB}\n" POOL,
			"berth.yaml:1:23: limits.body_memory: must not be above limits.memory" },
		{ "limits: {spool: 1MiB}\n" POOL,
			"berth.yaml:1:9: limits.body: a body so long fits neither limits.body_memory nor "
			"limits.spool" },
		{ POOL "    name: a/b\n",
			"berth.yaml:3:11: name: \"a/b\": a name has 1 to 63 letters, digits, '-', '_' and "
			"'.'" },
		{ POOL "    match: {path_prefix: spam}\n",
			"berth.yaml:3:26: match.path_prefix: \"spam\": a path begins with '/'" },
		{ POOL "    match: {path_prefix: /berth/x}\n",
			"berth.yaml:3:26: match.path_prefix: /berth/ is Berth's own" },
		{ POOL "    match: {path_prefix: /a/../b}\n",
			"berth.yaml:3:26: match.path_prefix: \"/a/../b\": a path has no spaces, '?', '#' or "
			"dot segments here" },
		{ POOL "    match: {host: \"a b\"}\n",
			"berth.yaml:3:19: match.host: \"a b\": expected a host name, *.example.org or *" },
		{ POOL "    submit: {path: new}\n",
			"berth.yaml:3:20: submit.path: \"new\": a path begins with '/'" },
		{ POOL "    health: {path: \"/h?a\"}\n",
			"berth.yaml:3:20: health.path: \"/h?a\": a path has no spaces, '?', '#' or dot "
			"segments here" },
		{ POOL "    health: {backoff_min: 6s}\n",
			"berth.yaml:3:27: health.backoff_min: must not be above health.backoff_max" },
		{ POOL "    timeouts: {total: 10ms}\n",
			"berth.yaml:3:15: timeouts.connect: must not be above timeouts.total" },
		{ "store: sqlit:a.db\n" POOL,
			"berth.yaml:1:8: store: expected auto, memory or sqlite:PATH, found \"sqlit:a.db\"" },
		{ "store: \"sqlite:\"\n" POOL,
			"berth.yaml:1:8: store: expected auto, memory or sqlite:PATH, found \"sqlite:\"" },
		{ POOL "    on_leave: close\n",
			"berth.yaml:3:15: on_leave: close needs idle_probe.path: only a probe tells when the "
			"container is idle again" },
		{ POOL "    idle_probe: {expect: x}\n",
			"berth.yaml:3:26: idle_probe.expect: means nothing without idle_probe.path" },
		{ POOL "    idle_probe: {path: x}\n",
			"berth.yaml:3:24: idle_probe.path: \"x\": a path begins with '/'" },
		{ POOL "    busy_status: 200\n",
			"berth.yaml:3:18: busy_status: expected 400 to 599, or 0 for none, found 200" },
		{ POOL "    busy_header: X\n",
			"berth.yaml:3:18: busy_header: means nothing without busy_status" },
		{ POOL "    busy_status: 503\n    busy_header: \"a b\"\n",
			"berth.yaml:4:18: busy_header: \"a b\" is no name of a field" },
		{ POOL "  - containers: [127.0.0.1:5001]\n    name: b\n",
			"berth.yaml:3:5: match: the pool \"default\" matches the same requests" },
		{ POOL "  - containers: [127.0.0.1:5001]\n    match: {path_prefix: /b}\n",
			"berth.yaml:3:5: name: two pools are called \"default\"" },
		{ POOL "  - containers: [127.0.0.1:5001, 127.0.0.1:5000]\n    name: b\n    match: "
		       "{path_prefix: /b}\n",
			"berth.yaml:3:34: containers: 127.0.0.1:5000 is a container already" },
		{ "pools:\n  - containers: [dns:a:1, 127.0.0.1:5001, 127.0.0.1:5001]\n",
			"berth.yaml:2:43: containers: 127.0.0.1:5001 is a container already" },
		{ POOL "dns: {server: \"10.0.0.1:0\"}\n",
			"berth.yaml:3:15: dns.server: a DNS server has a port, 53 as a rule, not 0" },
		{ POOL "dns: {server: \"unix:/x\"}\n",
			"berth.yaml:3:15: dns.server: a DNS server has an address like 10.0.0.2:53" },
		{ POOL "dns: {ttl_min: 2m}\n",
			"berth.yaml:3:16: dns.ttl_min: must not be above dns.ttl_max" },
		{ "pools:\n  - containers: [file:/a, dns:a:1, \"file:\"]\n",
			"berth.yaml:2:36: containers: \"file:\": expected file:PATH" },
		{ "pools:\n  - containers: [dns:a:1, dns:a:1]\n",
			"berth.yaml:2:17: containers: dns:a:1 stands here a second time: each container "
			"would get twice its slots" },
		{ "pools:\n  - name: a\n",
			"berth.yaml:2:5: containers: the pool \"a\" has none: name their addresses, or start "
			"a fleet with berth up" },
	};
	check_bad(cases, ARRAY_LEN(cases), CONFIG_SERVE);
}

static void test_what_is_no_container(void **state)
{
	static const char *const link_local[] = { "169.254.169.254:80", "169.254.0.1:80",
		"100.100.100.200:80", "[fe80::1]:80", "[fd00:ec2::254]:80", "[::ffff:169.254.169.254]:80" };
	static const char *const other[] = { "127.0.0.1:0", "0.0.0.0:80", "[::]:80", ":80",
		"[::ffff:0.0.0.0]:80" };
	static const char *const good[] = { "169.253.0.1:80", "100.100.100.201:80", "[fd00:ec2::253]:80",
		"[fec0::1]:80", "unix:/a" };
	char text[200];
	for (size_t i = 0; i < ARRAY_LEN(link_local) + ARRAY_LEN(other) + ARRAY_LEN(good); i++) {
		bool is_link_local = i < ARRAY_LEN(link_local),
		     is_good = i >= ARRAY_LEN(link_local) + ARRAY_LEN(other);
		const char *addr = is_link_local ? link_local[i]
			: is_good                ? good[i - ARRAY_LEN(link_local) - ARRAY_LEN(other)]
						 : other[i - ARRAY_LEN(link_local)];
		snprintf(text, sizeof text, "pools:\n  - containers: [\"%s\"]\n", addr);
		struct config *c = config_of(text);
		assert_int_equal(c->n_errors, 0);
		(void)config_finish(c, CONFIG_SERVE, NULL, 0);
		if (c->n_errors != (is_good ? 0 : 1))
			fail_msg("%s: %zu errors", addr, c->n_errors);
		if (!is_good) {
			assert_non_null(strstr(
				c->errors[0], is_link_local ? "link-local and metadata" : "of its own, not"));
			assert_non_null(strstr(c->errors[0], "berth.yaml:2:18: containers: "));
		}
		config_destroy(c);
	}
}

static void test_fleets_that_cannot_be(void **state)
{
	static const struct bad cases[] = {
		{ POOL,
			"berth.yaml:1:1: fleet: every pool names containers of its own, none is left for the "
			"fleet: use berth serve" },
		{ "pools: [{name: a}, {name: b, match: {path_prefix: /b}}]\n",
			"berth.yaml:1:20: containers: the pool \"b\" has none: name their addresses" },
		{ "fleet: {workers: 250, containers: 5}\n",
			"berth.yaml:1:35: fleet.containers: 250 workers with 5 containers each are more than "
			"1000 "
			"in all" },
		{ "fleet: {base_port: 65535}\n",
			"berth.yaml:1:20: fleet.base_port: 2 containers do not fit above port 65535" },
		{ "fleet: {name: ../x}\n",
			"berth.yaml:1:15: fleet.name: \"../x\": a name has 1 to 63 letters, digits, '-', '_' "
			"and "
			"'.'" },
		{ "admin: off\n",
			"berth.yaml:1:8: admin: a fleet needs the admin listener: berth status asks it" },
	};
	check_bad(cases, ARRAY_LEN(cases), CONFIG_UP);
}

static void test_all_errors_are_told(void **state)
{
	struct config *c = config_of("admin: x\nbanana: 1\npools:\n  - slots: many\n    retry: maybe\n");
	assert_int_equal(c->n_errors, 4);
	assert_non_null(strstr(c->errors[3], "berth.yaml:5:12: retry:"));
	config_destroy(c);
}

static void test_more_errors_than_fit_are_counted(void **state)
{
	char text[40 * 16] = "";
	for (int i = 0; i < 40; i++)
		snprintf(text + strlen(text), sizeof text - strlen(text), "banana%d: 1\n", i);
	struct config *c = config_of(text);
	assert_int_equal(c->n_errors, 40);
	config_destroy(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values_of_the_wrong_kind),
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_what_is_no_yaml),
		cmocka_unit_test(test_values_that_do_not_fit_together),
		cmocka_unit_test(test_what_is_no_container),
		cmocka_unit_test(test_fleets_that_cannot_be),
		cmocka_unit_test(test_all_errors_are_told),
		cmocka_unit_test(test_more_errors_than_fit_are_counted),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
