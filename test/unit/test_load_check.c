/* What `berth load --async` finds untrue. */
#include "cli/load_check.h"
#include "http/parse.h"
#include "unit.h"

#include <stdio.h>

struct stream {
	const char *text;
	const char *untrue; /* NULL: all is true */
};

static const struct stream streams[] = {
	{ "event: state\nid: 1.0.2\ndata: {\"state\": \"queued\", \"position\": 2}\n\n"
	  "event: position\nid: 1.0.1\ndata: {\"state\": \"queued\", \"position\": 1}\n\n"
	  ":\n\n"
	  "event: state\nid: 1.1.0\ndata: {\"state\": \"running\"}\n\n"
	  "event: result\nid: end\ndata: {\"state\": \"done\"}\n\n",
		NULL },
	{ "id: 1.1.0\ndata: {\"state\": \"running\"}\n\n"
	  "id: 1.2.7\ndata: {\"state\": \"queued\", \"position\": 7, \"reason\": \"requeue\"}\n\n"
	  "id: end\ndata: {\"state\": \"failed\"}\n\n",
		NULL },
	{ "id: end\ndata: {\"state\": \"cancelled\"}\n\n", NULL },
	{ "", "a job's events ended before the job" },
	{ ":\n\n", "a job's events ended before the job" },
	{ "id: 1.1.0\ndata: {\"state\": \"running\"}\n\n", "a job's events ended before the job" },
	{ "id: 1.0.2\ndata: {\"state\": \"queued\", \"position\": 2}\n\n"
	  "id: 1.0.3\ndata: {\"state\": \"queued\", \"position\": 3}\n\n",
		"a job's place in the queue has risen" },
	{ "id: 1.0.0\ndata: {\"state\": \"queued\"}\n\n", "a queued job's event tells no place" },
	{ "id: 1.1.0\ndata: {\"state\": \"running\"}\n\n"
	  "id: 1.1.1\ndata: {\"state\": \"queued\", \"position\": 1}\n\n",
		"a job's state went back without a word of a new attempt" },
	{ "id: end\ndata: {\"state\": \"done\"}\n\nid: end\ndata: {\"state\": \"done\"}\n\n",
		"an event came after the job's end" },
	{ "id: 1.3.0\ndata: {\"state\": \"running\"}\n\nid: 1.2.0\ndata: {\"state\": \"running\"}\n\n",
		"an event's id goes back" },
	{ "id: 2.0.1\ndata: {\"state\": \"queued\", \"position\": 1}\n\n"
	  "id: 1.4.1\ndata: {\"state\": \"queued\", \"position\": 1}\n\n",
		"an event's id goes back" },
	{ "id: 1.4.0\ndata: {\"state\": \"running\"}\n\n"
	  "id: 2.0.1\ndata: {\"state\": \"queued\", \"position\": 1, \"reason\": \"requeue\"}\n\n"
	  "id: end\ndata: {\"state\": \"done\"}\n\n",
		NULL },
	{ "id: x\ndata: {\"state\": \"running\"}\n\n", "an event's id cannot be read" },
	{ "id: 1.1.0\ndata: {\"state\"\n\n", "an event's data are no JSON" },
	{ "id: 1.1.0\ndata: {}\n\n", "an event does not tell the job's state" },
};

static void assert_phrase(const char *found, const char *wanted)
{
	if (wanted) {
		assert_non_null(found);
		assert_string_equal(found, wanted);
	} else {
		assert_null(found);
	}
}

static void test_events(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(streams); i++)
		assert_phrase(events_are_true(str_of(streams[i].text)), streams[i].untrue);
}

struct acceptance {
	const char *head, *body;
	const char *untrue;
};

#define URL     "/berth/jobs/0123456789abcdef0123456789abcdef"
#define APPLIED "Preference-Applied: respond-async\r\n"

static const struct acceptance acceptances[] = {
	{ "202 Accepted\r\n" APPLIED "Location: " URL, "{\"state\": \"queued\", \"status_url\": \"" URL "\"}",
		NULL },
	{ "200 OK\r\n" APPLIED "Location: " URL, "{}",
		"Prefer: respond-async was answered with another status than 202" },
	{ "202 Accepted\r\nLocation: " URL, "{}", "a 202 does not say that the preference was applied" },
	{ "202 Accepted\r\n" APPLIED "Location: /elsewhere", "{\"status_url\": \"" URL "\"}",
		"a 202's Location is not the job's address" },
	{ "202 Accepted\r\n" APPLIED "X: y", "{\"status_url\": \"" URL "\"}",
		"a 202's Location is not the job's address" },
	{ "202 Accepted\r\n" APPLIED "Location: " URL, "{\"status_url\": \"" URL "\"}",
		"a 202 does not tell the job's state" },
};

static void test_acceptances(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(acceptances); i++) {
		char text[512];
		struct http_head head;
		int n = snprintf(
			text, sizeof text, "HTTP/1.1 %s\r\nContent-Length: 0\r\n\r\n", acceptances[i].head);
		assert_int_equal(
			http_parse_response(text, (size_t)n, sizeof text, HTTP_GET, &head), PARSE_OK);
		json_t *body = json_loads(acceptances[i].body, 0, NULL);
		assert_non_null(body);
		assert_phrase(acceptance_is_true(head.status, &head, body), acceptances[i].untrue);
		json_decref(body);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_events),
		cmocka_unit_test(test_acceptances) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
