#include "http/field.h"

/* Lower case: the fold below takes bit 0x40 for the mark of a letter. */
static const char names[FIELD_COUNT][32] = {
	[FIELD_ACCEPT] = "accept",
	[FIELD_AUTHORIZATION] = "authorization",
	[FIELD_BERTH_BUSY] = "berth-busy",
	[FIELD_BERTH_MAX_WAIT] = "berth-max-wait",
	[FIELD_CONNECTION] = "connection",
	[FIELD_CONTENT_LENGTH] = "content-length",
	[FIELD_CONTENT_TYPE] = "content-type",
	[FIELD_COOKIE] = "cookie",
	[FIELD_DATE] = "date",
	[FIELD_EXPECT] = "expect",
	[FIELD_FORWARDED] = "forwarded",
	[FIELD_HOST] = "host",
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

/* Length and first letter tell the names apart; these factors are the smallest that put no two into one slot. */
#define SLOT(len, first) (((len) * 5u + ((unsigned)(first) & 31) * 3u) & 127)
#define ENTRY(name, first, id) [SLOT(sizeof(name) - 1, first)] = { id, sizeof(name) - 1 }

static const struct {
	uint8_t id; /* enum http_field_id; FIELD_OTHER where the slot is empty */
	uint8_t len;
} slots[128] = {
	ENTRY("accept", 'a', FIELD_ACCEPT),
	ENTRY("authorization", 'a', FIELD_AUTHORIZATION),
	ENTRY("berth-busy", 'b', FIELD_BERTH_BUSY),
	ENTRY("berth-max-wait", 'b', FIELD_BERTH_MAX_WAIT),
	ENTRY("connection", 'c', FIELD_CONNECTION),
	ENTRY("content-length", 'c', FIELD_CONTENT_LENGTH),
	ENTRY("content-type", 'c', FIELD_CONTENT_TYPE),
	ENTRY("cookie", 'c', FIELD_COOKIE),
	ENTRY("date", 'd', FIELD_DATE),
	ENTRY("expect", 'e', FIELD_EXPECT),
	ENTRY("forwarded", 'f', FIELD_FORWARDED),
	ENTRY("host", 'h', FIELD_HOST),
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

/* True when the eight bytes at `in` are those at `name`, but for the case of letters. Letters alone have bit 0x40 in our names. */
static bool same_8(const char *in, const char *name)
{
	uint64_t a, b;
	memcpy(&a, in, sizeof a);
	memcpy(&b, name, sizeof b);
	return (a | ((b & 0x4040404040404040u) >> 1)) == b;
}

static bool same(const char *in, const char *name, size_t len)
{
	if (len < 8) {
		for (size_t i = 0; i < len; i++) {
			if ((in[i] | ((name[i] & 0x40) >> 1)) != name[i])
				return false;
		}
		return true;
	}
	for (size_t i = 0; i + 8 < len; i += 8) {
		if (!same_8(in + i, name + i))
			return false;
	}
	return same_8(in + len - 8, name + len - 8);
}

enum http_field_id http_field_id(struct str name)
{
	if (name.len == 0)
		return FIELD_OTHER;
	unsigned slot = SLOT((unsigned)name.len, (unsigned char)name.ptr[0]);
	enum http_field_id id = slots[slot].id;
	return slots[slot].len == name.len && same(name.ptr, names[id], name.len) ? id : FIELD_OTHER;
}

const char *http_field_id_name(enum http_field_id id)
{
	return names[id];
}

const struct http_field *http_field(const struct http_head *head, enum http_field_id id)
{
	for (uint32_t i = 0; i < head->n_fields; i++) {
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

bool http_list_next(struct str *rest, struct str *ret_element)
{
	while (rest->len) {
		bool quoted = false;
		size_t n = 0;
		for (; n < rest->len && (quoted || rest->ptr[n] != ','); n++) {
			if (rest->ptr[n] == '"')
				quoted = !quoted;
			else if (quoted && rest->ptr[n] == '\\' && n + 1 < rest->len)
				n++;
		}
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
	for (uint32_t i = 0; i < head->n_fields; i++) {
		struct str rest = head->fields[i].value, element;
		while (head->fields[i].id == id && http_list_next(&rest, &element)) {
			if (str_eq_nocase(element, token))
				return true;
		}
	}
	return false;
}
