#include "http/problem.h"

#include "base/check.h"

#include <stdio.h>

static const struct {
	int status;
	const char *name;
	const char *title;
	const char *proxy_error; /* or NULL */
} problems[] = {
	[PROBLEM_BAD_REQUEST] = { 400, "bad-request", "The request cannot be understood" },
	[PROBLEM_NOT_FOUND] = { 404, "not-found", "There is nothing here" },
	[PROBLEM_METHOD_NOT_ALLOWED] = { 405, "method-not-allowed", "The method is not allowed here" },
	[PROBLEM_REQUEST_TIMEOUT] = { 408, "request-timeout", "The request did not arrive in time" },
	[PROBLEM_NOT_READY] = { 409, "not-ready", "The job has no result yet" },
	[PROBLEM_GONE] = { 410, "gone", "The result is not kept any more" },
	[PROBLEM_BODY_TOO_LARGE] = { 413, "body-too-large", "The body is larger than the limit" },
	[PROBLEM_MEDIA_TYPE] = { 415, "media-type", "The media type is not supported" },
	[PROBLEM_MISDIRECTED] = { 421, "misdirected",
		"This listener does not answer for that host or origin" },
	[PROBLEM_HEAD_TOO_LARGE] = { 431, "head-too-large", "The request head is larger than the limit" },
	[PROBLEM_FORBIDDEN] = { 403, "forbidden", "This is not allowed" },
	[PROBLEM_EXPECTATION] = { 417, "expectation", "The expectation cannot be met" },
	[PROBLEM_CLIENT_LIMIT] = { 429, "client-limit", "The client is over its limit" },
	[PROBLEM_INTERNAL] = { 500, "internal", "Something went wrong inside" },
	[PROBLEM_NOT_IMPLEMENTED] = { 501, "not-implemented", "The request needs what is not implemented" },
	[PROBLEM_BAD_ANSWER] = { 502, "bad-answer", "The container's answer breaks the protocol",
		"http_protocol_error" },
	[PROBLEM_CONTAINER_LOST] = { 502, "container-lost", "The container refused or closed the connection",
		"connection_terminated" },
	[PROBLEM_QUEUE_FULL] = { 503, "queue-full", "The queue is full", "connection_limit_reached" },
	[PROBLEM_QUEUE_TIMEOUT] = { 503, "queue-timeout", "The wait in the queue is over",
		"connection_limit_reached" },
	[PROBLEM_WAIT_TOO_LONG] = { 503, "wait-too-long",
		"The expected wait is longer than the request allows", "connection_limit_reached" },
	[PROBLEM_NO_CONTAINER] = { 503, "no-container", "No container is up", "destination_unavailable" },
	[PROBLEM_OVERLOADED] = { 503, "overloaded", "A limit of the server is reached" },
	[PROBLEM_SHUTTING_DOWN] = { 503, "shutting-down", "The server is shutting down" },
	[PROBLEM_UPSTREAM_TIMEOUT] = { 504, "upstream-timeout", "The container did not answer in time",
		"http_response_timeout" },
	[PROBLEM_JOB_FAILED] = { 502, "job-failed", "The job ended without an answer" },
	[PROBLEM_KEY_IN_USE] = { 409, "key-in-use", "A job with this key is not over" },
	[PROBLEM_KEY_MISMATCH] = { 422, "key-mismatch", "The key came with another request before" },
	[PROBLEM_STORAGE_FULL] = { 507, "storage-full", "The store has no room" },
	[PROBLEM_VERSION] = { 505, "version", "The HTTP version is not supported" },
};

_Static_assert(ARRAY_LEN(problems) == PROBLEM_COUNT, "each problem has its line");

int problem_status(enum problem p)
{
	return problems[p].status;
}

const char *problem_name(enum problem p)
{
	return problems[p].name;
}

const char *problem_title(enum problem p)
{
	return problems[p].title;
}

const char *problem_proxy_error(enum problem p)
{
	return problems[p].proxy_error;
}

void problem_write(struct json *j, enum problem p, struct str detail, bool open)
{
	char type[64];
	snprintf(type, sizeof type, "urn:berth:problem:%s", problems[p].name);
	json_open(j, '{');
	json_key(j, "type");
	json_string(j, str_of(type));
	json_key(j, "title");
	json_string(j, str_of(problems[p].title));
	json_key(j, "status");
	json_i64(j, problems[p].status);
	json_key(j, "detail");
	json_string(j, detail);
	if (!open)
		json_close(j, '}');
}
