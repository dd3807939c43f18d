#include "config_text.h"
#include "unit.h"

#define POOL "pools:\n  - containers: [127.0.0.1:5000]\n"

/* ---- what is taken ---- */

/* A configuration without an error, finished. */
static struct config *read_good(const char *text, enum config_use use)
{
	struct config *c = config_of(text);
	if (c->n_errors == 0)
		(void)config_finish(c, use, NULL, 0);
	if (c->n_errors)
		fail_msg("%s", c->errors[0]);
	return c;
}

static void assert_addr(const struct io_addr *addr, const char *expected)
{
	char text[IO_ADDR_TEXT];
	assert_string_equal(io_addr_print(addr, true, text), expected);
}

static const char everything[] =
	"listen: [127.0.0.1:8081, \"[::1]:8082\", unix:/run/b.sock]\n"
	"admin: unix:/run/admin.sock\n"
	"admin_hosts: [berth.internal]\n"
	"status_file: status.json\n"
	"access_log: stderr\n"
	"trusted_proxies: [10.0.0.0/8]\n"
	"limits: {connections: 7, connections_per_address: 3, head: 8KiB, body: 1MiB, body_memory: 64KiB, "
	"memory: "
	"2MiB, spool: 1GiB}\n"
	"client_timeouts: {head: 1s, body: 2s, idle: 3s, send: 4s, body_rate: 5, send_rate: 6KiB}\n"
	"store: sqlite:jobs.db\n"
	"store_headers: [Cookie]\n"
	"jobs: {max: 5, max_records: 6, max_bytes: 2MiB, max_result_bytes: 7KiB, max_age: 6m, record_age: "
	"8m, key_age: 7m}\n"
	"drain_timeout: 7s\n"
	"half_close: wait\n"
	"pools:\n"
	"  - name: spam\n"
	"    match: {host: \"*.example.org\", path_prefix: /spam}\n"
	"    submit: {path: /submit, forward: /run}\n"
	"    containers: [127.0.1.1:5000, \"127.0.1.1:5001\", unix:/run/c.sock]\n"
	"    slots: 2\n"
	"    queue: {max: 3, max_bytes: 4MiB, max_wait: 5s}\n"
	"    retry: always\n"
	"    on_leave: close\n"
	"    idle_probe: {path: /idle, expect: yes}\n"
	"    zombie_timeout: 9s\n"
	"    retry_budget: {percent: 7, min: 8}\n"
	"    retry_buffer: 1KiB\n"
	"    busy_status: 503\n"
	"    busy_header: Berth-Busy\n"
	"    health: {path: /h, interval: 1s, timeout: 2s, fall: 4, rise: 5, backoff_min: "
	"10ms, backoff_max: 20ms}\n"
	"    timeouts: {connect: 1s, first_byte: 2s, idle: 3s, total: 4s, tunnel: 5s}\n"
	"  - name: rest\n"
	"    submit: {path: off}\n"
	"    containers: 127.0.1.2:5000\n";

static void test_every_setting(void **state)
{
	struct config *c = read_good(everything, CONFIG_SERVE);
	const struct settings *s = &c->settings;
	assert_int_equal(s->n_listen, 3);
	assert_addr(&s->listen[0], "127.0.0.1:8081");
	assert_addr(&s->listen[1], "[::1]:8082");
	assert_addr(&s->listen[2], "unix:/run/b.sock");
	assert_addr(&s->admin, "unix:/run/admin.sock");
	assert_int_equal(s->n_admin_hosts, 1);
	assert_string_equal(s->admin_hosts[0], "berth.internal");
	assert_string_equal(s->status_file, "status.json");
	assert_string_equal(s->access_log, "stderr");
	assert_int_equal(s->n_trusted_proxies, 1);
	assert_string_equal(s->trusted_proxies[0], "10.0.0.0/8");
	assert_int_equal(s->max_connections, 7);
	assert_int_equal(s->max_connections_per_address, 3);
	assert_int_equal(s->max_head_bytes, 8192);
	assert_int_equal(s->max_body_bytes, 1 << 20);
	assert_int_equal(s->body_memory_bytes, 65536);
	assert_int_equal(s->memory_limit_bytes, 2 << 20);
	assert_int_equal(s->spool_max_bytes, 1 << 30);
	assert_int_equal(s->client_head_us, 1000000);
	assert_int_equal(s->client_body_us, 2000000);
	assert_int_equal(s->client_idle_us, 3000000);
	assert_int_equal(s->client_send_us, 4000000);
	assert_int_equal(s->client_body_rate, 5);
	assert_int_equal(s->client_send_rate, 6144);
	assert_int_equal(s->jobs_max, 5);
	assert_int_equal(s->jobs_max_bytes, 2 << 20);
	assert_int_equal(s->jobs_max_age_us, 360000000);
	assert_string_equal(s->store, "sqlite:jobs.db");
	assert_int_equal(s->n_store_headers, 1);
	assert_string_equal(s->store_headers[0], "Cookie");
	assert_int_equal(s->jobs_max_records, 6);
	assert_int_equal(s->jobs_max_result_bytes, 7168);
	assert_int_equal(s->jobs_record_age_us, 480000000);
	assert_int_equal(s->jobs_key_age_us, 420000000);
	assert_int_equal(s->drain_timeout_us, 7000000);
	assert_true(s->half_close_waits);
	assert_int_equal(s->n_pools, 2);
	config_destroy(c);
}

static void test_every_setting_of_a_pool(void **state)
{
	struct config *c = read_good(everything, CONFIG_SERVE);
	const struct settings *s = &c->settings;
	const struct pool_settings *p = &s->pools[0];
	assert_string_equal(p->name, "spam");
	assert_string_equal(p->host, "*.example.org");
	assert_string_equal(p->path_prefix, "/spam");
	assert_string_equal(p->submit_path, "/submit");
	assert_string_equal(p->submit_forward, "/run");
	assert_int_equal(p->n_containers, 3);
	assert_addr(&p->containers[2].addr, "unix:/run/c.sock");
	assert_string_equal(p->containers[0].name, "container1");
	assert_string_equal(p->containers[0].worker, "");
	assert_int_equal(p->slots, 2);
	assert_int_equal(p->queue_max, 3);
	assert_int_equal(p->queue_max_bytes, 4 << 20);
	assert_int_equal(p->queue_max_wait_us, 5000000);
	assert_int_equal(p->retry, RETRY_ALWAYS);
	assert_int_equal(p->on_leave, LEAVE_CLOSE);
	assert_string_equal(p->idle_probe.path, "/idle");
	assert_string_equal(p->idle_probe.expect, "yes");
	assert_int_equal(p->zombie_timeout_us, 9000000);
	assert_int_equal(p->retry_percent, 7);
	assert_int_equal(p->retry_min, 8);
	assert_int_equal(p->retry_buffer_bytes, 1024);
	assert_int_equal(p->busy_status, 503);
	assert_string_equal(p->busy_header, "Berth-Busy");
	assert_string_equal(p->health.path, "/h");
	assert_int_equal(p->health.interval_us, 1000000);
	assert_int_equal(p->health.timeout_us, 2000000);
	assert_int_equal(p->health.fall, 4);
	assert_int_equal(p->health.rise, 5);
	assert_int_equal(p->health.backoff_min_us, 10000);
	assert_int_equal(p->health.backoff_max_us, 20000);
	assert_int_equal(p->timeouts.connect_us, 1000000);
	assert_int_equal(p->timeouts.first_byte_us, 2000000);
	assert_int_equal(p->timeouts.idle_us, 3000000);
	assert_int_equal(p->timeouts.total_us, 4000000);
	assert_int_equal(p->timeouts.tunnel_us, 5000000);

	assert_string_equal(s->pools[1].containers[0].name, "container4");
	assert_null(s->pools[1].submit_path);
	assert_int_equal(s->pools[1].slots, 1);
	config_destroy(c);
}

static void test_defaults(void **state)
{
	struct config *c = read_good(POOL, CONFIG_SERVE);
	struct settings s;
	settings_default(&s);
	assert_addr(&c->settings.listen[0], "127.0.0.1:8080");
	assert_addr(&c->settings.admin, "127.0.0.1:9091");
	assert_int_equal(c->settings.n_listen, 1);
	assert_int_equal(c->settings.max_body_bytes, s.max_body_bytes);
	assert_null(c->settings.status_file);
	assert_string_equal(c->settings.pools[0].submit_path, "/new_request");
	config_destroy(c);
}

static void test_an_empty_file_is_a_fleet_of_eight(void **state)
{
	struct config *c = read_good("", CONFIG_UP);
	assert_int_equal(c->settings.n_pools, 1);
	assert_int_equal(c->fleet_pool, 0);
	assert_int_equal(c->fleet.workers * c->fleet.containers, 8);
	assert_string_equal(c->settings.pools[0].health.path, "/v2/health/ready");
	assert_int_equal(c->settings.pools[0].busy_status, 503);
	assert_string_equal(c->settings.pools[0].busy_header, "Berth-Busy");
	config_destroy(c);
}

static void test_a_fleet_knows_how_its_containers_tell_that_they_are_idle(void **state)
{
	struct config *c = read_good("pools: [{on_leave: close}]\n", CONFIG_UP);
	assert_string_equal(c->settings.pools[0].idle_probe.path, "/berth/idle");
	assert_string_equal(c->settings.pools[0].idle_probe.expect, "\"in_flight\":0}");
	config_destroy(c);
}

static void test_the_fleet_gets_the_pool_without_containers(void **state)
{
	struct config *c = read_good(
		"pools:\n"
		"  - {name: a, match: {path_prefix: /a}, containers: [127.0.0.1:5000]}\n"
		"  - {name: b, slots: 3}\n"
		"fleet: {workers: 2, containers: 3, model: m.onnx, base_port: 0, delay_ms: 5, name: blue}\n",
		CONFIG_UP);
	assert_int_equal(c->fleet_pool, 1);
	assert_int_equal(c->fleet.slots, 3);
	assert_string_equal(c->fleet.model, "m.onnx");
	assert_string_equal(c->fleet.name, "blue");
	assert_int_equal(c->fleet.base_port, 0);
	assert_int_equal(c->fleet.delay_ms, 5);
	assert_string_equal(c->settings.pools[0].containers[0].name, "container7");
	assert_null(c->settings.pools[0].health.path);
	config_destroy(c);
}

static void test_listening_sockets_replace_the_default_only(void **state)
{
	static const int fds[] = { 3 };
	struct config *c = config_of(POOL);
	assert_true(config_finish(c, CONFIG_SERVE, fds, 1));
	assert_int_equal(c->settings.n_listen, 0);
	assert_int_equal(c->settings.n_listen_fds, 1);
	config_destroy(c);
	c = config_of("listen: 127.0.0.1:8080\n" POOL);
	assert_true(config_finish(c, CONFIG_SERVE, fds, 1));
	assert_int_equal(c->settings.n_listen, 1);
	config_destroy(c);
}

/* ---- flags ---- */

static const struct key *top(const char *path)
{
	return schema_key(SCOPE_TOP, str_of(path));
}

static const struct key *pool(const char *path)
{
	return schema_key(SCOPE_POOL, str_of(path));
}

static void test_flags_win(void **state)
{
	struct config *c = config_create();
	config_flag(c, top("listen"), "127.0.0.1:1, 127.0.0.1:2");
	config_flag(c, top("listen"), "127.0.0.1:3");
	config_flag(c, pool("queue.max"), "5");
	config_flag(c, pool("queue.max"), "6");
	assert_true(config_read_text(
		c, "berth.yaml", "listen: 127.0.0.1:9\n" POOL, strlen("listen: 127.0.0.1:9\n" POOL)));
	assert_true(config_finish(c, CONFIG_SERVE, NULL, 0));
	assert_int_equal(c->settings.n_listen, 3);
	assert_addr(&c->settings.listen[2], "127.0.0.1:3");
	assert_int_equal(c->settings.pools[0].queue_max, 6);
	config_destroy(c);
}

static void test_flags_make_a_pool(void **state)
{
	struct config *c = config_create();
	config_flag(c, pool("containers"), "127.0.0.1:5000,[::1]:5001");
	assert_true(config_finish(c, CONFIG_SERVE, NULL, 0));
	assert_int_equal(c->settings.n_pools, 1);
	assert_int_equal(c->settings.pools[0].n_containers, 2);
	assert_string_equal(c->settings.pools[0].name, "default");
	config_destroy(c);
}

/* Addresses and sources stand in one list, and become two. */
static void test_sources_of_containers(void **state)
{
	struct config *c =
		read_good("pools:\n"
			  "  - containers: [dns:workers.internal:5000, 127.0.0.1:5000, file:/run/list, "
			  "unix:/run/c.sock]\n"
			  "  - {name: b, match: {path_prefix: /b}, containers: \"dns:b:1\"}\n"
			  "dns: {server: \"[fd00::1]:53\", ttl_min: 2s, ttl_max: 3s, timeout: 4s, grace: "
			  "0s}\n"
			  "discovery: {max_containers: 7}\n",
			CONFIG_SERVE);
	const struct settings *s = &c->settings;
	assert_int_equal(s->pools[0].n_containers, 2);
	assert_addr(&s->pools[0].containers[1].addr, "unix:/run/c.sock");
	assert_string_equal(s->pools[0].containers[1].name, "container2");
	assert_int_equal(s->pools[0].n_sources, 2);
	assert_string_equal(s->pools[0].sources[0], "dns:workers.internal:5000");
	assert_string_equal(s->pools[0].sources[1], "file:/run/list");
	assert_int_equal(s->pools[1].n_containers, 0);
	assert_string_equal(s->pools[1].sources[0], "dns:b:1");
	assert_addr(&s->sources.dns_server, "[fd00::1]:53");
	assert_int_equal(s->sources.dns_ttl_min_us, 2000000);
	assert_int_equal(s->sources.dns_ttl_max_us, 3000000);
	assert_int_equal(s->sources.dns_timeout_us, 4000000);
	assert_int_equal(s->sources.dns_grace_us, 0);
	assert_int_equal(s->sources.containers_max, 7);
	config_destroy(c);
}

static void test_errors_of_flags_name_the_flag(void **state)
{
	static const struct {
		const char *path, *value, *error;
	} cases[] = {
		{ "queue.max", "many", "--queue-max: expected a number, found \"many\"" },
		{ "containers", "127.0.0.1:5000,host:1",
			"--containers: \"host:1\": for the addresses of a host name write dns:host:1" },
		{ "containers", "127.0.0.1:5000,dns:host",
			"--containers: \"dns:host\": expected dns:NAME:PORT, as in "
			"dns:workers.internal:5000" },
		{ "containers", "127.0.0.1:5000,", "--containers: \"\": expected an address, found nothing" },
		{ "containers", "169.254.169.254:80",
			"--containers: 169.254.169.254:80: link-local and metadata addresses are no "
			"containers" },
		{ "match.path_prefix", "x", "--match-path-prefix: \"x\": a path begins with '/'" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct config *c = config_of(POOL);
		config_flag(c, pool(cases[i].path), cases[i].value);
		assert_false(config_finish(c, CONFIG_SERVE, NULL, 0));
		assert_int_equal(c->n_errors, 1);
		assert_string_equal(c->errors[0], cases[i].error);
		config_destroy(c);
	}
}

static void test_flags_of_a_pool_need_one_pool(void **state)
{
	struct config *c = config_of("pools: [{name: a}, {name: b}]\n");
	config_flag(c, pool("slots"), "2");
	assert_false(config_finish(c, CONFIG_SERVE, NULL, 0));
	assert_string_equal(c->errors[0], "--slots: berth.yaml has 2 pools: say there which one is meant");
	config_destroy(c);
}

/* ---- the table itself ---- */

static void test_no_two_keys_have_the_same_flag(void **state)
{
	size_t n;
	char a[SCHEMA_FLAG], b[SCHEMA_FLAG];
	const struct key *keys = schema_keys(&n);
	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < i; k++) {
			if (keys[i].scope == SCOPE_FLEET || keys[k].scope == SCOPE_FLEET)
				continue; /* they come first with berth up, and are none with berth serve */
			assert_string_not_equal(schema_flag(&keys[i], a), schema_flag(&keys[k], b));
		}
	}
}

static void test_defaults_are_values_that_are_taken(void **state)
{
	size_t n;
	const struct key *keys = schema_keys(&n);
	for (size_t i = 0; i < n; i++) {
		struct config *c = config_create();
		struct pool_settings p;
		char text[300], again[300], complaint[SCHEMA_COMPLAINT];
		size_t bad;
		pool_settings_default(&p);
		void *base = keys[i].scope == SCOPE_TOP ? (void *)&c->settings
			: keys[i].scope == SCOPE_POOL   ? (void *)&p
							: (void *)&c->fleet;
		struct str value = str_of(schema_print(&keys[i], base, text, sizeof text));
		if (value.len && !schema_set(&keys[i], base, &value, 1, &c->arena, complaint, &bad))
			fail_msg("%s: %s", keys[i].path, complaint);
		assert_string_equal(schema_print(&keys[i], base, again, sizeof again), text);
		config_destroy(c);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_setting),
		cmocka_unit_test(test_every_setting_of_a_pool),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_an_empty_file_is_a_fleet_of_eight),
		cmocka_unit_test(test_a_fleet_knows_how_its_containers_tell_that_they_are_idle),
		cmocka_unit_test(test_the_fleet_gets_the_pool_without_containers),
		cmocka_unit_test(test_listening_sockets_replace_the_default_only),
		cmocka_unit_test(test_flags_win),
		cmocka_unit_test(test_flags_make_a_pool),
		cmocka_unit_test(test_sources_of_containers),
		cmocka_unit_test(test_errors_of_flags_name_the_flag),
		cmocka_unit_test(test_flags_of_a_pool_need_one_pool),
		cmocka_unit_test(test_no_two_keys_have_the_same_flag),
		cmocka_unit_test(test_defaults_are_values_that_are_taken),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
