/* Settings that are written as a configuration are read back as the same. */
#include "cli/config_write.h"

#include "config_text.h"
#include "unit.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

static const char text[] =
	"listen: [127.0.0.1:8081, \"[::1]:8082\", unix:/run/b.sock]\n"
	"admin: off\n"
	"admin_hosts: [berth.internal, other]\n"
	"status_file: off\n"
	"access_log: stderr\n"
	"trusted_proxies: [10.0.0.0/8, \"fd00::/8\"]\n"
	"limits: {connections: 7, head: 8KiB, body: 1MiB, body_memory: 64KiB, memory: 2MiB}\n"
	"store: sqlite:jobs.db\n"
	"store_headers: [Cookie]\n"
	"half_close: wait\n"
	"pools:\n"
	"  - name: first\n"
	"    match: {host: \"*.example.org\", path_prefix: /spam}\n"
	"    submit: {path: off, forward: /run}\n"
	"    containers: [127.0.1.1:5000, unix:/run/c.sock, \"file:/var/lib/containers\", "
	"\"dns:workers:5000\"]\n"
	"    slots: 2\n"
	"    queue: {max: 3, max_bytes: 4MiB, max_wait: 5s}\n"
	"    retry: always\n"
	"  - name: second\n"
	"    containers: [\"[::1]:5000\"]\n"
	"    health: {path: /health, interval: 250ms}\n"
	"    on_leave: close\n"
	"    idle_probe: {path: /idle, expect: \"say \\\"none\\\"\"}\n";

static struct config *read_whole(const char *from)
{
	struct config *c = config_of(from);
	if (c->n_errors == 0)
		(void)config_finish(c, CONFIG_SERVE, NULL, 0);
	if (c->n_errors)
		fail_msg("%s", c->errors[0]);
	return c;
}

static void test_what_is_written_reads_back(void **state)
{
	struct config *one = read_whole(text);
	char *written = config_write(&one->settings);
	assert_non_null(written);
	struct config *other = read_whole(written);
	char *again = config_write(&other->settings);
	assert_string_equal(written, again);
	assert_int_equal(other->settings.n_pools, 2);
	assert_int_equal(other->settings.n_listen, 3);
	assert_int_equal(other->settings.pools[0].n_containers, 2);
	assert_int_equal(other->settings.pools[0].n_sources, 2);
	assert_null(other->settings.pools[0].submit_path);
	assert_string_equal(other->settings.pools[1].idle_probe.expect, "say \"none\"");
	assert_int_equal(other->settings.pools[1].health.interval_us, 250000);
	free(written);
	free(again);
	config_destroy(one);
	config_destroy(other);
}

/* The value at a path with dots. */
static const json_t *at_path(const json_t *root, const char *path)
{
	struct str rest = str_of(path);
	char name[SCHEMA_FLAG];
	while (rest.ptr)
		root = json_object_get(root, str_copy(name, sizeof name, str_cut(&rest, '.')));
	return root;
}

static void test_every_key_is_written(void **state)
{
	struct config *c = read_whole(text);
	char *written = config_write(&c->settings);
	json_t *root = json_loads(written, 0, NULL);
	size_t n;
	const struct key *keys = schema_keys(&n);
	for (size_t i = 0; i < n; i++) {
		const json_t *base = root;
		if (keys[i].scope == SCOPE_POOL)
			base = json_array_get(json_object_get(root, "pools"), 1);
		if (keys[i].scope != SCOPE_FLEET && !at_path(base, keys[i].path))
			fail_msg("%s is not written", keys[i].path);
	}
	json_decref(root);
	free(written);
	config_destroy(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_written_reads_back),
		cmocka_unit_test(test_every_key_is_written),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
