#include "http/problem.h"

#include "http/status.h"
#include "reader.h"
#include "unit.h"

#include <ctype.h>
#include <stdio.h>

static void test_each_has_a_line(void **state)
{
	for (int p = 0; p < PROBLEM_COUNT; p++) {
		const char *name = problem_name((enum problem)p), *title = problem_title((enum problem)p);
		assert_in_range(problem_status((enum problem)p), 400, 599);
		assert_true(*http_status_reason(problem_status((enum problem)p)));
		assert_non_null(name);
		assert_true(title && isupper((unsigned char)*title));
		for (const char *c = name; *c; c++)
			assert_true(islower((unsigned char)*c) || (*c == '-' && c != name));
		for (int q = 0; q < p; q++)
			assert_string_not_equal(name, problem_name((enum problem)q));
	}
}

/* RFC 9209 §2.3: where the queue or a container is the reason, and nowhere else. */
static void test_proxy_errors(void **state)
{
	assert_string_equal(problem_proxy_error(PROBLEM_QUEUE_FULL), "connection_limit_reached");
	assert_string_equal(problem_proxy_error(PROBLEM_QUEUE_TIMEOUT), "connection_limit_reached");
	assert_string_equal(problem_proxy_error(PROBLEM_WAIT_TOO_LONG), "connection_limit_reached");
	assert_string_equal(problem_proxy_error(PROBLEM_NO_CONTAINER), "destination_unavailable");
	assert_string_equal(problem_proxy_error(PROBLEM_CONTAINER_LOST), "connection_terminated");
	assert_string_equal(problem_proxy_error(PROBLEM_BAD_ANSWER), "http_protocol_error");
	assert_string_equal(problem_proxy_error(PROBLEM_UPSTREAM_TIMEOUT), "http_response_timeout");
	for (int p = 0; p < PROBLEM_COUNT; p++)
		assert_true(problem_status((enum problem)p) >= 502 || !problem_proxy_error((enum problem)p));
}

static void test_written(void **state)
{
	struct json j;
	json_init(&j);
	problem_write(&j, PROBLEM_QUEUE_FULL, STR("There are \"10000\" in it."), false);
	assert_str(json_str(&j),
		"{\"type\":\"urn:berth:problem:queue-full\",\"title\":\"The queue is full\","
		"\"status\":503,\"detail\":\"There are \\\"10000\\\" in it.\"}");
	json_finish(&j);
}

static void test_members_can_be_added(void **state)
{
	for (int p = 0; p < PROBLEM_COUNT; p++) {
		char type[64], status[8];
		struct json j;
		json_init(&j);
		problem_write(&j, (enum problem)p, STR("what \xff was"), true);
		json_key(&j, "retry_after_s");
		json_u64(&j, 7);
		json_close(&j, '}');
		snprintf(type, sizeof type, "urn:berth:problem:%s", problem_name((enum problem)p));
		snprintf(status, sizeof status, "%d", problem_status((enum problem)p));
		assert_int_equal(reader_size(json_str(&j)), 5);
		assert_true(reader_member_is(json_str(&j), "type", type));
		assert_true(reader_member_is(json_str(&j), "title", problem_title((enum problem)p)));
		assert_true(reader_member_is(json_str(&j), "status", status));
		assert_true(reader_member_is(json_str(&j), "detail", "what \xef\xbf\xbd was"));
		assert_true(reader_member_is(json_str(&j), "retry_after_s", "7"));
		json_finish(&j);
	}
}

static void test_reasons(void **state)
{
	assert_string_equal(http_status_reason(100), "Continue");
	assert_string_equal(http_status_reason(200), "OK");
	assert_string_equal(http_status_reason(413), "Content Too Large");
	assert_string_equal(http_status_reason(422), "Unprocessable Content");
	assert_string_equal(http_status_reason(503), "Service Unavailable");
	for (int status = -1; status < 1000; status++) {
		const char *reason = http_status_reason(status);
		assert_true(!*reason || (status >= 100 && status < 600));
		for (const char *c = reason; *c; c++)
			assert_true(isalpha((unsigned char)*c) || *c == ' ' || *c == '-');
	}
	assert_string_equal(http_status_reason(299), "");
	assert_string_equal(http_status_reason(600), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_has_a_line),
		cmocka_unit_test(test_proxy_errors),
		cmocka_unit_test(test_written),
		cmocka_unit_test(test_members_can_be_added),
		cmocka_unit_test(test_reasons),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
