/* parse: heads of HTTP/1.0 and HTTP/1.1 messages, strictly (RFC 9112), without I/O and without state.
 *
 * A head is parsed in one go from the bytes that are there: PARSE_MORE asks to come again with more of them,
 * from the same start. The strings in struct http_head are slices of those bytes, good as long as they stay.
 *
 * Never:     allocates, copies, reads past `len`, accepts what two implementations could read differently.
 *
 * Refused:   (docs/http.md has the whole list, with the sections of the RFCs)
 * - lines: a bare CR or LF in place of CRLF, obs-fold, white space around the start line's parts or before a
 *   colon, a name that is empty or no token, control bytes except HTAB in values
 * - target: what is neither origin-form, absolute-form (http, https), "*" with OPTIONS, nor authority-form
 *   with CONNECT; spaces, control bytes, '#' and bytes over 0x7e anywhere in it, a backslash in its path
 * - framing: Transfer-Encoding beside Content-Length, in a 1.0 message, or that is not "chunked" alone;
 *   Content-Length that is no number, over INT64_MAX, a list, or on two lines, even when they say the same
 * - Host: missing in a 1.1 request, on two lines, or no host (RFC 9112 §3.2)
 *
 * Accepted:  one empty line (CRLF) before a request line (RFC 9112 §2.2); bytes over 0x7f in values and
 *            reasons (obs-text); a status line that ends after its code.
 */
#pragma once
#include "base/check.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

enum parse_status { PARSE_OK, PARSE_MORE, PARSE_BAD };

/* Why a head was refused, and the status that says so to the client. */
enum parse_error {
	PARSE_ERROR_NONE,
	PARSE_ERROR_START_LINE,      /* 400 */
	PARSE_ERROR_METHOD,          /* 400: not a token, or longer than 32 bytes */
	PARSE_ERROR_TARGET,          /* 400 */
	PARSE_ERROR_VERSION,         /* 505: HTTP, but neither 1.0 nor 1.1 */
	PARSE_ERROR_STATUS_LINE,     /* responses */
	PARSE_ERROR_LINE_END,        /* 400: bare CR or LF */
	PARSE_ERROR_FIELD_NAME,      /* 400 */
	PARSE_ERROR_FIELD_VALUE,     /* 400: a control byte, or more than 32 options in Connection */
	PARSE_ERROR_FOLD,            /* 400 */
	PARSE_ERROR_HOST,            /* 400 */
	PARSE_ERROR_CONTENT_LENGTH,  /* 400 */
	PARSE_ERROR_TRANSFER_CODING, /* 400: no final chunked, in 1.0, or with Content-Length */
	PARSE_ERROR_TOO_MANY_FIELDS, /* 431 */
	PARSE_ERROR_TOO_LARGE,       /* 431: the head is longer than the limit */
	PARSE_ERROR_UNKNOWN_CODING,  /* 501: a coding that we do not know, with a final chunked */
};

/* One short sentence in English for logs and problem details: "a line does not end in CRLF". */
const char *parse_error_text(enum parse_error e);

/* 400, 431, 501 or 505. */
int parse_error_status(enum parse_error e);

enum http_method {
	HTTP_METHOD_OTHER,
	HTTP_GET,
	HTTP_HEAD,
	HTTP_POST,
	HTTP_PUT,
	HTTP_DELETE,
	HTTP_OPTIONS,
	HTTP_PATCH,
	HTTP_TRACE,
	HTTP_CONNECT,
};

/* Fields that Berth itself looks at. Others are FIELD_OTHER. */
enum http_field_id {
	FIELD_OTHER,
	FIELD_ACCEPT,
	FIELD_AUTHORIZATION,
	FIELD_BERTH_BUSY,
	FIELD_BERTH_HEARTBEAT,
	FIELD_BERTH_MAX_WAIT,
	FIELD_CONNECTION,
	FIELD_CONTENT_LENGTH,
	FIELD_CONTENT_TYPE,
	FIELD_COOKIE,
	FIELD_DATE,
	FIELD_EXPECT,
	FIELD_FORWARDED,
	FIELD_HOST,
	FIELD_HTTP2_SETTINGS,
	FIELD_IDEMPOTENCY_KEY,
	FIELD_INFERENCE_HEADER_CONTENT_LENGTH,
	FIELD_KEEP_ALIVE,
	FIELD_LAST_EVENT_ID,
	FIELD_ORIGIN,
	FIELD_PREFER,
	FIELD_PROXY_AUTHENTICATE,
	FIELD_PROXY_AUTHORIZATION,
	FIELD_PROXY_CONNECTION,
	FIELD_RETRY_AFTER,
	FIELD_SERVER_TIMING,
	FIELD_SET_COOKIE,
	FIELD_TE,
	FIELD_TRACEPARENT,
	FIELD_TRAILER,
	FIELD_TRANSFER_ENCODING,
	FIELD_UPGRADE,
	FIELD_VIA,
	FIELD_X_FORWARDED_FOR,
	FIELD_X_FORWARDED_HOST,
	FIELD_X_FORWARDED_PROTO,
	FIELD_X_REQUEST_ID,
	FIELD_COUNT,
};

#define HTTP_FIELD_BIT(id) ((uint64_t)1 << (id))

/* Fields that concern one connection, not the message (RFC 9110 §7.6.1). Trailer is among them because
 * trailers are not passed on, the proxies' own credentials because they are for this hop (§11.7), and
 * HTTP2-Settings whether Connection names it or not. */
#define HTTP_HOP_BY_HOP                                                                              \
	(HTTP_FIELD_BIT(FIELD_CONNECTION) | HTTP_FIELD_BIT(FIELD_HTTP2_SETTINGS) |                   \
		HTTP_FIELD_BIT(FIELD_KEEP_ALIVE) | HTTP_FIELD_BIT(FIELD_PROXY_AUTHENTICATE) |        \
		HTTP_FIELD_BIT(FIELD_PROXY_AUTHORIZATION) | HTTP_FIELD_BIT(FIELD_PROXY_CONNECTION) | \
		HTTP_FIELD_BIT(FIELD_TE) | HTTP_FIELD_BIT(FIELD_TRAILER) |                           \
		HTTP_FIELD_BIT(FIELD_TRANSFER_ENCODING) | HTTP_FIELD_BIT(FIELD_UPGRADE))

struct http_field {
	struct str name;
	struct str value; /* without surrounding white space */
	enum http_field_id id;
	bool hop_by_hop; /* not to be passed on: RFC 9110 §7.6.1, §11.7, or named by Connection */
};

enum { HTTP_FIELDS_MAX = 100 };

enum http_framing {
	FRAMING_NONE,   /* no body */
	FRAMING_LENGTH, /* content_length bytes, may be 0 */
	FRAMING_CHUNKED,
	FRAMING_CLOSE, /* responses only: until the connection ends */
};

struct http_head {
	size_t bytes;          /* of the whole head, CRLF CRLF included (and a skipped empty line) */
	struct str start_line; /* without CRLF */
	/* requests */
	enum http_method method;
	struct str method_name;
	struct str target; /* as sent */
	/* Of the target, undecoded, without the query. "/" when an absolute-form has none, but "*" with
	 * OPTIONS and no query either (RFC 9112 §3.2.4); empty with CONNECT. */
	struct str path;
	struct str query; /* without '?'; ptr NULL when there is none */
	/* Host's value, or an absolute-form's authority, which wins (RFC 9112 §3.2.2); port included. ptr
	 * NULL in a 1.0 request without either. */
	struct str host;
	/* responses */
	int status; /* 100..599 */
	struct str reason;
	/* both */
	uint8_t minor_version; /* 0 or 1 */
	bool keep_alive;       /* as this message alone says (RFC 9112 §9.3); false with FRAMING_CLOSE */
	bool expect_continue;  /* Expect: 100-continue in a 1.1 request */
	bool expect_other;     /* an expectation that nobody knows (RFC 9110 §10.1.1: 417) */
	bool upgrade;          /* Connection: upgrade with an Upgrade field, in 1.1 */
	enum http_framing framing;
	uint64_t content_length; /* with FRAMING_LENGTH, else 0 */
	uint64_t known; /* HTTP_FIELD_BIT(id): it has that field; the bit of FIELD_OTHER means nothing */
	uint32_t n_fields;
	struct http_field fields[HTTP_FIELDS_MAX];
	enum parse_error error; /* with PARSE_BAD */
};

/* bytes[0..len): what has come so far of a request. max_bytes: longest head that is accepted. PARSE_OK fills
 * *ret; after PARSE_MORE and PARSE_BAD it is void but for ret->error, which PARSE_BAD sets, and ret->method,
 * which is HTTP_METHOD_OTHER where the method did not come or is none. Bad bytes are refused as soon as their
 * place is known; what fields mean for the message is judged at the end of the head. A longer piece of the same
 * input never turns PARSE_BAD or PARSE_OK into something else. */
MUST_USE enum parse_status http_parse_request(
	const char *bytes, size_t len, size_t max_bytes, struct http_head *ret);

/* Likewise for a response. request_method decides on the body of the answer to HEAD and CONNECT (RFC 9112
 * §6.3). A 1xx is a head like any other, with FRAMING_NONE. Codings other than chunked are refused although
 * the RFC would read such a body to the connection's end: it could not be passed on. A 204 that announces a
 * body has keep_alive false. */
MUST_USE enum parse_status http_parse_response(const char *bytes, size_t len, size_t max_bytes,
	enum http_method request_method, struct http_head *ret);

static inline bool http_has_field(const struct http_head *head, enum http_field_id id)
{
	return head->known >> id & 1;
}

/* First field with this id, or NULL. */
const struct http_field *http_field(const struct http_head *head, enum http_field_id id);

/* First field with this name (case ignored), or NULL. */
const struct http_field *http_field_named(const struct http_head *head, struct str name);

/* True when a comma-separated list field (all of its lines) has this token (case ignored). */
bool http_list_has(const struct http_head *head, enum http_field_id id, struct str token);

/* The next element of a comma-separated list, trimmed; false at the end. Empty elements are skipped, commas
 * in quoted strings are none (RFC 9110 §5.6.1). *rest: what is left of the value. */
bool http_list_next(struct str *rest, struct str *ret_element);
