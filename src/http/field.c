#include "http/field.h"

const char http_field_names[FIELD_COUNT][32] = {
	[FIELD_ACCEPT] = "accept",
	[FIELD_AUTHORIZATION] = "authorization",
	[FIELD_BERTH_BUSY] = "berth-busy",
	[FIELD_BERTH_HEARTBEAT] = "berth-heartbeat",
	[FIELD_BERTH_MAX_WAIT] = "berth-max-wait",
	[FIELD_CONNECTION] = "connection",
	[FIELD_CONTENT_LENGTH] = "content-length",
	[FIELD_CONTENT_TYPE] = "content-type",
	[FIELD_COOKIE] = "cookie",
	[FIELD_DATE] = "date",
	[FIELD_EXPECT] = "expect",
	[FIELD_FORWARDED] = "forwarded",
	[FIELD_HOST] = "host",
	[FIELD_HTTP2_SETTINGS] = "http2-settings",
	[FIELD_IDEMPOTENCY_KEY] = "idempotency-key",
	[FIELD_INFERENCE_HEADER_CONTENT_LENGTH] = "inference-header-content-length",
	[FIELD_KEEP_ALIVE] = "keep-alive",
	[FIELD_LAST_EVENT_ID] = "last-event-id",
	[FIELD_ORIGIN] = "origin",
	[FIELD_PREFER] = "prefer",
	[FIELD_PROXY_AUTHENTICATE] = "proxy-authenticate",
	[FIELD_PROXY_AUTHORIZATION] = "proxy-authorization",
	[FIELD_PROXY_CONNECTION] = "proxy-connection",
	[FIELD_RETRY_AFTER] = "retry-after",
	[FIELD_SERVER_TIMING] = "server-timing",
	[FIELD_SET_COOKIE] = "set-cookie",
	[FIELD_TE] = "te",
	[FIELD_TRACEPARENT] = "traceparent",
	[FIELD_TRAILER] = "trailer",
	[FIELD_TRANSFER_ENCODING] = "transfer-encoding",
	[FIELD_UPGRADE] = "upgrade",
	[FIELD_VIA] = "via",
	[FIELD_X_FORWARDED_FOR] = "x-forwarded-for",
	[FIELD_X_FORWARDED_HOST] = "x-forwarded-host",
	[FIELD_X_FORWARDED_PROTO] = "x-forwarded-proto",
	[FIELD_X_REQUEST_ID] = "x-request-id",
};

#define ENTRY(name, first, id) [HTTP_FIELD_SLOT(sizeof(name) - 1, first)] = { id, sizeof(name) - 1 }

const struct http_field_slot http_field_slots[128] = {
	ENTRY("accept", 'a', FIELD_ACCEPT),
	ENTRY("authorization", 'a', FIELD_AUTHORIZATION),
	ENTRY("berth-busy", 'b', FIELD_BERTH_BUSY),
	ENTRY("berth-heartbeat", 'b', FIELD_BERTH_HEARTBEAT),
	ENTRY("berth-max-wait", 'b', FIELD_BERTH_MAX_WAIT),
	ENTRY("connection", 'c', FIELD_CONNECTION),
	ENTRY("content-length", 'c', FIELD_CONTENT_LENGTH),
	ENTRY("content-type", 'c', FIELD_CONTENT_TYPE),
	ENTRY("cookie", 'c', FIELD_COOKIE),
	ENTRY("date", 'd', FIELD_DATE),
	ENTRY("expect", 'e', FIELD_EXPECT),
	ENTRY("forwarded", 'f', FIELD_FORWARDED),
	ENTRY("host", 'h', FIELD_HOST),
	ENTRY("http2-settings", 'h', FIELD_HTTP2_SETTINGS),
	ENTRY("idempotency-key", 'i', FIELD_IDEMPOTENCY_KEY),
	ENTRY("inference-header-content-length", 'i', FIELD_INFERENCE_HEADER_CONTENT_LENGTH),
	ENTRY("keep-alive", 'k', FIELD_KEEP_ALIVE),
	ENTRY("last-event-id", 'l', FIELD_LAST_EVENT_ID),
	ENTRY("origin", 'o', FIELD_ORIGIN),
	ENTRY("prefer", 'p', FIELD_PREFER),
	ENTRY("proxy-authenticate", 'p', FIELD_PROXY_AUTHENTICATE),
	ENTRY("proxy-authorization", 'p', FIELD_PROXY_AUTHORIZATION),
	ENTRY("proxy-connection", 'p', FIELD_PROXY_CONNECTION),
	ENTRY("retry-after", 'r', FIELD_RETRY_AFTER),
	ENTRY("server-timing", 's', FIELD_SERVER_TIMING),
	ENTRY("set-cookie", 's', FIELD_SET_COOKIE),
	ENTRY("te", 't', FIELD_TE),
	ENTRY("traceparent", 't', FIELD_TRACEPARENT),
	ENTRY("trailer", 't', FIELD_TRAILER),
	ENTRY("transfer-encoding", 't', FIELD_TRANSFER_ENCODING),
	ENTRY("upgrade", 'u', FIELD_UPGRADE),
	ENTRY("via", 'v', FIELD_VIA),
	ENTRY("x-forwarded-for", 'x', FIELD_X_FORWARDED_FOR),
	ENTRY("x-forwarded-host", 'x', FIELD_X_FORWARDED_HOST),
	ENTRY("x-forwarded-proto", 'x', FIELD_X_FORWARDED_PROTO),
	ENTRY("x-request-id", 'x', FIELD_X_REQUEST_ID),
};

const struct http_field *http_field(const struct http_head *head, enum http_field_id id)
{
	for (uint32_t i = 0; http_has_field(head, id) && i < head->n_fields; i++) {
		if (head->fields[i].id == id)
			return &head->fields[i];
	}
	return NULL;
}

const struct http_field *http_field_named(const struct http_head *head, struct str name)
{
	for (uint32_t i = 0; i < head->n_fields; i++) {
		if (str_eq_nocase(head->fields[i].name, name))
			return &head->fields[i];
	}
	return NULL;
}

/* Index after the quoted string that begins at s[at]; s.len when it does not end. */
static size_t skip_quoted(struct str s, size_t at)
{
	for (at++; at < s.len && s.ptr[at] != '"'; at++) {
		if (s.ptr[at] == '\\')
			at++;
	}
	return at < s.len ? at + 1 : s.len;
}

bool http_list_next(struct str *rest, struct str *ret_element)
{
	while (rest->len) {
		size_t n = 0;
		while (n < rest->len && rest->ptr[n] != ',')
			n = rest->ptr[n] == '"' ? skip_quoted(*rest, n) : n + 1;
		struct str element = str_trim((struct str){ rest->ptr, n });
		*rest = str_skip(*rest, n + 1);
		if (element.len) {
			*ret_element = element;
			return true;
		}
	}
	return false;
}

bool http_list_has(const struct http_head *head, enum http_field_id id, struct str token)
{
	if (!http_has_field(head, id))
		return false;
	for (uint32_t i = 0; i < head->n_fields; i++) {
		struct str rest = head->fields[i].value, element;
		while (head->fields[i].id == id && http_list_next(&rest, &element)) {
			if (str_eq_nocase(element, token))
				return true;
		}
	}
	return false;
}
