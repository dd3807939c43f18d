#include "core/retry.h"

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
	if (rule == RETRY_NEVER || client_has_bytes || attempts >= RETRY_ATTEMPTS_MAX)
		return false;
	switch (failure) {
	case FAILURE_UNDELIVERED:
	case FAILURE_STALE:
		return true;
	case FAILURE_LOST:
	case FAILURE_BAD_ANSWER:
		return rule == RETRY_ALWAYS || http_method_is_idempotent(method);
	case FAILURE_TIMEOUT: /* the container may still be at it, and the client has waited long enough */
		return false;
	}
	return false;
}
