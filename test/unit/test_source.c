/* What a source is called, and the thread of one that blocks. Files: test_source_file.c. DNS:
 * test_source_dns.c. */
#include "fleet/source_thread.h"

#include "source_rig.h"
#include "unit.h"

#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>

/* ---- texts ---- */

static void test_what_is_a_source(void **state)
{
	static const char *const sources[] = { "dns:a:1", "dns:", "file:/x", "file:" };
	static const char *const others[] = { "", "dns", "unix:/x", "127.0.0.1:1", "[::1]:1", ":80",
		"DNS:a:1", "a:dns:1" };
	for (size_t i = 0; i < ARRAY_LEN(sources); i++)
		assert_true(source_is_text(str_of(sources[i])));
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		assert_false(source_is_text(str_of(others[i])));
}

static void test_which_sources_can_be(void **state)
{
	static const struct {
		const char *text, *error; /* NULL: it is good */
	} cases[] = {
		{ "dns:workers:5000", NULL },
		{ "dns:workers.internal.:65535", NULL },
		{ "dns:_http._tcp.x-1:1", NULL },
		{ "dns:workers", "expected dns:NAME:PORT" },
		{ "dns::5000", "expected dns:NAME:PORT" },
		{ "dns:a:0", "expected dns:NAME:PORT" },
		{ "dns:a:65536", "expected dns:NAME:PORT" },
		{ "dns:a:b", "expected dns:NAME:PORT" },
		{ "dns:a b:1", "expected dns:NAME:PORT" },
		{ "dns:[::1]:1", "expected dns:NAME:PORT" },
		{ "file:relative", NULL },
		{ "file:/with space", NULL },
		{ "file:", "expected file:PATH" },
		{ "file:/directory/", "expected file:PATH" },
		{ "file:/\"x\"", "no quotes" },
		{ "file:/x\n", "no quotes, backslashes or control" },
		{ "consul:a", "no kind of source" },
	};
	char error[SOURCE_ERROR], text[SOURCE_TEXT + 1];
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		bool good = source_check(str_of(cases[i].text), error);
		if (good != !cases[i].error || (!good && !strstr(error, cases[i].error)))
			fail_msg("%s: %s", cases[i].text, good ? "is good" : error);
	}
	memset(text, 'x', sizeof text);
	memcpy(text, "file:", 5);
	assert_true(source_check((struct str){ text, SOURCE_TEXT - 1 }, error));
	assert_false(source_check((struct str){ text, SOURCE_TEXT }, error));
	assert_string_equal(error, "a source has up to 255 bytes");
}

static void test_options(void **state)
{
	struct str rest = STR(" cluster=a,,region=eu-1 flag,empty=, x=y=z"), key, value;
	static const struct {
		const char *key, *value;
	} wanted[] = { { "cluster", "a" }, { "region", "eu-1" }, { "flag", NULL }, { "empty", "" },
		{ "x", "y=z" } };
	for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
		assert_true(source_option(&rest, &key, &value));
		assert_true(str_eq(key, str_of(wanted[i].key)));
		assert_true(str_eq(value, str_of(wanted[i].value)));
		assert_true((value.ptr == NULL) == (wanted[i].value == NULL));
	}
	assert_false(source_option(&rest, &key, &value));
	rest = STR(" , ");
	assert_false(source_option(&rest, &key, &value));
}

/* ---- the thread ---- */

struct script {
	void (*run)(struct source_thread *t, struct script *s);
	atomic_int step, freed;
};

static void run_script(struct source_thread *t, void *state)
{
	struct script *s = state;
	s->run(t, s);
}

static void free_script(void *state)
{
	struct script *s = state;
	atomic_fetch_add(&s->freed, 1);
}

static const struct source_thread_ops script_ops = { .run = run_script, .free_state = free_script };

static const struct source_kind script_kind = { .name = "script", .destroy = source_thread_destroy };

static struct source *begin(struct rig *r, struct script *s)
{
	struct source base = { .kind = &script_kind, .io = r->io, .events = &rig_events, .user = r };
	return source_thread_create(&base, &script_ops, s);
}

static void await_freed(struct script *s)
{
	for (int i = 0; i < RIG_PATIENCE_MS && !atomic_load(&s->freed); i++)
		poll(NULL, 0, 1);
	assert_int_equal(atomic_load(&s->freed), 1);
}

static void tell_twice_then_fail(struct source_thread *t, struct script *s)
{
	struct source_container list[3] = { 0 };
	for (int i = 0; i < 3; i++) {
		snprintf(list[i].name, sizeof list[i].name, "c%d", i + 1);
		bool ok = io_addr_parse(&list[i].addr, "127.0.0.1:5000");
		CHECK(ok);
	}
	source_tell(t, list, 2);
	source_tell(t, list, 3); /* the loop does not run meanwhile: it gets the newest only */
	memset(list, 0, sizeof list);
	atomic_store(&s->step, 1);
	while (atomic_load(&s->step) == 1)
		poll(NULL, 0, 1);
	source_tell_unreachable(t, "gone");
	while (source_pause(t, 1000))
		;
}

static void test_what_a_thread_tells(void **state)
{
	struct rig r;
	struct script s = { .run = tell_twice_then_fail };
	rig_init(&r);
	struct source *source = begin(&r, &s);
	assert_non_null(source);
	while (atomic_load(&s.step) == 0)
		poll(NULL, 0, 1);
	rig_await_list(&r, 1);
	assert_int_equal(r.n, 3);
	assert_string_equal(r.list[2].name, "c3");
	assert_int_equal(r.lists, 1);
	atomic_store(&s.step, 2);
	rig_await_failure(&r, "gone");
	assert_int_equal(r.n, 3);
	source->kind->destroy(source);
	await_freed(&s);
	rig_finish(&r);
}

static void hold_on(struct source_thread *t, struct script *s)
{
	while (atomic_load(&s->step) == 0)
		poll(NULL, 0, 1);
	source_tell(t, NULL, 0); /* to a source that is gone */
	struct pollfd over = { .fd = source_over_fd(t), .events = POLLIN };
	CHECK(poll(&over, 1, -1) == 1);
	CHECK(source_is_over(t));
	CHECK(!source_pause(t, UINT64_C(3600) * 1000000));
}

/* The loop does not wait for a thread that is in the middle of something. */
static void test_a_thread_is_let_go_of(void **state)
{
	struct rig r;
	struct script s = { .run = hold_on };
	rig_init(&r);
	struct source *source = begin(&r, &s);
	assert_non_null(source);
	source->kind->destroy(source);
	assert_int_equal(atomic_load(&s.freed), 0);
	atomic_store(&s.step, 1);
	await_freed(&s);
	assert_int_equal(r.lists, 0);
	rig_finish(&r);
}

static void return_at_once(struct source_thread *t, struct script *s)
{
	source_tell(t, NULL, 0);
}

/* A thread that is over before its source leaves the source whole. */
static void test_a_thread_that_ends_first(void **state)
{
	struct rig r;
	struct script s = { .run = return_at_once };
	rig_init(&r);
	struct source *source = begin(&r, &s);
	assert_non_null(source);
	rig_await_list(&r, 1);
	assert_int_equal(r.n, 0);
	assert_int_equal(atomic_load(&s.freed), 0);
	source->kind->destroy(source);
	await_freed(&s);
	rig_finish(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_a_source),
		cmocka_unit_test(test_which_sources_can_be),
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_what_a_thread_tells),
		cmocka_unit_test(test_a_thread_is_let_go_of),
		cmocka_unit_test(test_a_thread_that_ends_first),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
