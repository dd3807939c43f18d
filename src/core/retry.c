#include "core/retry.h"

enum { RETRY_AFTER_MAX_S = 3600, SECOND_US = 1000000, UNKNOWN_WAIT_US = 5 * SECOND_US };

bool http_method_is_idempotent(enum http_method m)
{
	switch (m) {
	case HTTP_GET:
	case HTTP_HEAD:
	case HTTP_PUT:
	case HTTP_DELETE:
	case HTTP_OPTIONS:
	case HTTP_TRACE:
		return true;
	case HTTP_METHOD_OTHER:
	case HTTP_POST:
	case HTTP_PATCH:
	case HTTP_CONNECT:
		return false;
	}
	return false;
}

bool retry_may(enum retry_rule rule, enum http_method method, enum failure failure, uint32_t attempts,
	bool client_has_bytes)
{
	bool exhausted = attempts >= RETRY_ATTEMPTS_MAX && !failure_is_undelivered(failure);
	if (rule == RETRY_NEVER || client_has_bytes || exhausted)
		return false;
	switch (failure) {
	case FAILURE_UNDELIVERED:
	case FAILURE_UNCONNECTED:
	case FAILURE_STALE:
		return true;
	case FAILURE_LOST:
	case FAILURE_SILENT:
	case FAILURE_BAD_ANSWER:
		return rule == RETRY_ALWAYS || http_method_is_idempotent(method);
	}
	return false;
}

void retry_budget_init(struct retry_budget *b, uint32_t percent, uint32_t least)
{
	*b = (struct retry_budget){ .percent = percent, .least = least };
}

/* The ring's place for this second; those of the seconds that have passed since are emptied. */
static uint32_t place(struct retry_budget *b, uint64_t now_us)
{
	uint64_t second = now_us / 1000000;
	uint64_t passed = second > b->second ? second - b->second : 0;
	for (uint64_t i = 0; i < passed && i < RETRY_WINDOW_S; i++) {
		b->requests[(second - i) % RETRY_WINDOW_S] = 0;
		b->retries[(second - i) % RETRY_WINDOW_S] = 0;
	}
	b->second += passed;
	return (uint32_t)(b->second % RETRY_WINDOW_S);
}

void retry_budget_request(struct retry_budget *b, uint64_t now_us)
{
	b->requests[place(b, now_us)]++;
}

bool retry_budget_take(struct retry_budget *b, uint64_t now_us)
{
	uint64_t requests = 0, retries = 0;
	uint32_t now = place(b, now_us);
	for (int i = 0; i < RETRY_WINDOW_S; i++) {
		requests += b->requests[i];
		retries += b->retries[i];
	}
	uint64_t share = requests * b->percent / 100;
	if (retries >= (share > b->least ? share : b->least))
		return false;
	b->retries[now]++;
	return true;
}

uint32_t retry_after_s(uint64_t eta_us, struct rand *rand)
{
	if (eta_us == UINT64_MAX)
		eta_us = UNKNOWN_WAIT_US;
	if (eta_us >= (uint64_t)RETRY_AFTER_MAX_S * SECOND_US)
		return RETRY_AFTER_MAX_S;
	eta_us += rand_below(rand, eta_us / 4 + 1); /* before it is rounded, or short waits would have none */
	uint64_t s = (eta_us + SECOND_US - 1) / SECOND_US;
	return s < 1 ? 1 : s > RETRY_AFTER_MAX_S ? RETRY_AFTER_MAX_S : (uint32_t)s;
}
