/* The order of judgement: bytes and lines as they are met, so that a bad head is refused early; what concerns
 * the message as a whole (Host, framing, Connection, Expect) once its last line is in.
 */
#include "http/parse.h"

#include "http/field.h"
#include "http/scan.h"
#include "http/url.h"

enum {
	METHOD_BYTES_MAX = 32,
	CONNECTION_OPTIONS_MAX = 32, /* each is looked for among all fields */
};

_Static_assert(FIELD_COUNT <= 64, "the sets of fields are bits of one word");

struct cursor {
	const char *at;
	const char *end;
};

static struct cursor cursor_over(const char *bytes, size_t len)
{
	return (struct cursor){ bytes, len ? bytes + len : bytes }; /* no bytes may be NULL */
}

/* Of the known fields of a head, http_head.known has which are there. */
struct seen {
	uint64_t again;            /* those on more than one line */
	uint8_t line[FIELD_COUNT]; /* for those that are there: the last line that has it */
};

static enum parse_status bad(struct http_head *h, enum parse_error e)
{
	h->error = e;
	return PARSE_BAD;
}

/* Steps over CRLF. `otherwise`: the error when something else than a line end stands there. */
static enum parse_status take_line_end(struct cursor *c, struct http_head *h, enum parse_error otherwise)
{
	if (LIKELY(c->end - c->at >= 2 && memcmp(c->at, "\r\n", 2) == 0)) {
		c->at += 2;
		return PARSE_OK;
	}
	if (c->at == c->end)
		return PARSE_MORE;
	if (*c->at != '\r')
		return bad(h, *c->at == '\n' ? PARSE_ERROR_LINE_END : otherwise);
	return c->end - c->at < 2 ? PARSE_MORE : bad(h, PARSE_ERROR_LINE_END);
}

/* Steps over what looks like `pattern`, in which 'D' stands for a digit. */
NOINLINE static enum parse_status take_pattern(
	struct cursor *c, struct http_head *h, const char *pattern, enum parse_error e)
{
	const char *at = c->at;
	for (; *pattern; pattern++, at++) {
		if (at == c->end)
			return PARSE_MORE;
		if (*pattern == 'D' ? *at < '0' || *at > '9' : *at != *pattern)
			return bad(h, *at == '\n' ? PARSE_ERROR_LINE_END : e);
	}
	c->at = at;
	return PARSE_OK;
}

static enum parse_status take_version(struct cursor *c, struct http_head *h, enum parse_error e)
{
	const char *from = c->at;
	if (LIKELY(c->end - from >= 8 && memcmp(from, "HTTP/1.1", 8) == 0)) {
		c->at += 8;
		h->minor_version = 1;
		return PARSE_OK;
	}
	enum parse_status s = take_pattern(c, h, "HTTP/D.D", e);
	if (s == PARSE_OK && memcmp(from, "HTTP/1.0", 8) != 0)
		return bad(h, PARSE_ERROR_VERSION);
	h->minor_version = 0;
	return s;
}

/* ---- request line: method SP request-target SP HTTP-version CRLF (RFC 9112 §3) ---- */

static enum http_method method_of(struct str s)
{
#define IS(literal) (memcmp(s.ptr, literal, sizeof(literal) - 1) == 0)
	switch (s.len) {
	case 3:
		return IS("GET") ? HTTP_GET : IS("PUT") ? HTTP_PUT : HTTP_METHOD_OTHER;
	case 4:
		return IS("POST") ? HTTP_POST : IS("HEAD") ? HTTP_HEAD : HTTP_METHOD_OTHER;
	case 5:
		return IS("PATCH") ? HTTP_PATCH : IS("TRACE") ? HTTP_TRACE : HTTP_METHOD_OTHER;
	case 6:
		return IS("DELETE") ? HTTP_DELETE : HTTP_METHOD_OTHER;
	case 7:
		return IS("OPTIONS") ? HTTP_OPTIONS : IS("CONNECT") ? HTTP_CONNECT : HTTP_METHOD_OTHER;
	default:
		return HTTP_METHOD_OTHER;
	}
#undef IS
}

static bool take_common_method(
	struct cursor *c, struct http_head *h, struct str name_and_space, enum http_method method)
{
	if ((size_t)(c->end - c->at) < name_and_space.len ||
		memcmp(c->at, name_and_space.ptr, name_and_space.len) != 0)
		return false;
	h->method = method;
	h->method_name = (struct str){ c->at, name_and_space.len - 1 };
	c->at += name_and_space.len;
	return true;
}

static enum parse_status take_method(struct cursor *c, struct http_head *h)
{
	const char *at = c->at;
	if (take_common_method(c, h, STR("GET "), HTTP_GET) ||
		take_common_method(c, h, STR("POST "), HTTP_POST))
		return PARSE_OK;
	while (at < c->end && char_is(*at, CHAR_TOKEN))
		at++;
	h->method_name = (struct str){ c->at, (size_t)(at - c->at) };
	if (h->method_name.len > METHOD_BYTES_MAX)
		return bad(h, PARSE_ERROR_METHOD);
	if (at == c->end)
		return PARSE_MORE;
	if (*at == '\r' || *at == '\n')
		return bad(h, *at == '\n' ? PARSE_ERROR_LINE_END : PARSE_ERROR_START_LINE);
	if (*at != ' ' || at == c->at)
		return bad(h, PARSE_ERROR_METHOD);
	h->method = method_of(h->method_name);
	c->at = at + 1;
	return PARSE_OK;
}

/* The target as bytes. An origin-form is taken apart on the way; the other forms are so rare that they get a
 * pass of their own. */
static enum parse_status take_target(struct cursor *c, struct http_head *h)
{
	const char *from = c->at, *at = from;
	if (at < c->end && *at == '/') {
		at = scan_to(at, c->end, STOP_PATH);
		h->path = (struct str){ from, (size_t)(at - from) };
		h->query = (struct str){ NULL, 0 };
		if (at < c->end && *at == '?') {
			const char *query = at + 1;
			at = scan_to(query, c->end, STOP_QUERY);
			h->query = (struct str){ query, (size_t)(at - query) };
		}
	} else {
		at = scan_to(at, c->end, STOP_QUERY);
	}
	if (at == c->end)
		return PARSE_MORE;
	if (*at == '\r' || *at == '\n')
		return bad(h, *at == '\n' ? PARSE_ERROR_LINE_END : PARSE_ERROR_START_LINE);
	if (*at != ' ' || at == from)
		return bad(h, PARSE_ERROR_TARGET);
	h->target = (struct str){ from, (size_t)(at - from) };
	c->at = at + 1;
	return PARSE_OK;
}

static size_t scheme_bytes(struct str target)
{
	static const struct str schemes[] = { { "http://", 7 }, { "https://", 8 } };
	for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
		size_t n = schemes[i].len;
		if (target.len > n && str_eq_nocase((struct str){ target.ptr, n }, schemes[i]))
			return n;
	}
	return 0;
}

/* "http://authority[/path][?query]", a proxy's form that every server must read (RFC 9112 §3.2.2). */
NOINLINE static bool read_absolute_form(struct http_head *h)
{
	size_t scheme = scheme_bytes(h->target), n = 0;
	struct str rest = str_skip(h->target, scheme);
	while (n < rest.len && rest.ptr[n] != '/' && rest.ptr[n] != '?')
		n++;
	h->host = (struct str){ rest.ptr, n };
	rest = str_skip(rest, n);
	h->path = str_cut(&rest, '?');
	h->query = rest;
	if (h->path.len == 0) /* OPTIONS without a path means the server itself (§3.2.4) */
		h->path = h->method == HTTP_OPTIONS && !h->query.ptr ? STR("*") : STR("/");
	return scheme && url_is_authority(h->host) && !memchr(h->path.ptr, '\\', h->path.len);
}

/* "host:port" (RFC 9112 §3.2.3); there is no default port (RFC 9110 §9.3.6). */
NOINLINE static bool read_authority_form(struct http_head *h)
{
	struct str host = url_host(h->target);
	struct str port = str_skip(h->target, host.len + 1);
	uint64_t number;
	h->path = (struct str){ h->target.ptr, 0 };
	return url_is_authority(h->target) && str_to_u64(port, &number) && number > 0;
}

/* Fills path, query and, from an absolute-form, host. */
static bool read_target(struct http_head *h)
{
	h->host = (struct str){ NULL, 0 };
	if (h->target.ptr[0] == '/' && h->method != HTTP_CONNECT)
		return true;
	h->query = (struct str){ NULL, 0 };
	if (h->method == HTTP_CONNECT)
		return read_authority_form(h);
	if (!str_eq(h->target, STR("*")))
		return read_absolute_form(h);
	h->path = h->target;
	return h->method == HTTP_OPTIONS;
}

static enum parse_status take_request_line(struct cursor *c, struct http_head *h)
{
	enum parse_status s = PARSE_OK;
	h->method = HTTP_METHOD_OTHER;        /* until it is read: *h may be that of another request */
	if (c->at < c->end && *c->at == '\r') /* an empty line before it (§2.2) */
		s = take_line_end(c, h, PARSE_ERROR_START_LINE);
	const char *from = c->at;
	if (s == PARSE_OK)
		s = take_method(c, h);
	if (s == PARSE_OK)
		s = take_target(c, h);
	if (s == PARSE_OK)
		s = take_version(c, h, PARSE_ERROR_START_LINE);
	h->start_line = (struct str){ from, (size_t)(c->at - from) };
	if (s == PARSE_OK)
		s = take_line_end(c, h, PARSE_ERROR_START_LINE);
	return s == PARSE_OK && !read_target(h) ? bad(h, PARSE_ERROR_TARGET) : s;
}

/* ---- status line: HTTP-version SP 3DIGIT [SP reason-phrase] CRLF (RFC 9112 §4) ---- */

/* The space after the code is part of the grammar even when the reason is empty; servers that leave it out
 * are understood. */
static enum parse_status take_status_line(struct cursor *c, struct http_head *h)
{
	const char *from = c->at;
	enum parse_status s = take_version(c, h, PARSE_ERROR_STATUS_LINE);
	if (s == PARSE_OK)
		s = take_pattern(c, h, " DDD", PARSE_ERROR_STATUS_LINE);
	if (s != PARSE_OK)
		return s;
	h->status = (from[9] - '0') * 100 + (from[10] - '0') * 10 + (from[11] - '0');
	if (h->status < 100 || h->status > 599)
		return bad(h, PARSE_ERROR_STATUS_LINE);
	h->reason = (struct str){ c->at, 0 };
	if (c->at < c->end && *c->at == ' ') {
		const char *reason = c->at + 1;
		c->at = scan_to(reason, c->end, STOP_VALUE);
		h->reason = (struct str){ reason, (size_t)(c->at - reason) };
	}
	h->start_line = (struct str){ from, (size_t)(c->at - from) };
	return take_line_end(c, h, PARSE_ERROR_STATUS_LINE);
}

/* ---- field lines: field-name ":" OWS field-value OWS CRLF (RFC 9112 §5) ---- */

/* Goes on at *at, where the quick scan of a name stopped at something else than a colon, to the colon. */
NOINLINE static enum parse_status finish_name(
	const char *from, const char **at_colon, const char *end, struct http_head *h)
{
	const char *at = *at_colon;
	while (at < end && char_is(*at, CHAR_TOKEN))
		at++;
	*at_colon = at;
	if (at == end)
		return PARSE_MORE;
	if (*at == '\n')
		return bad(h, PARSE_ERROR_LINE_END);
	if (at == from && char_is(*at, CHAR_BLANK))
		return bad(h, PARSE_ERROR_FOLD);
	return *at == ':' ? PARSE_OK : bad(h, PARSE_ERROR_FIELD_NAME);
}

static enum parse_status take_name(struct cursor *c, struct http_head *h, struct http_field *f)
{
	const char *from = c->at, *at = scan_to(from, c->end, STOP_NAME);
	if (UNLIKELY(at == c->end || *at != ':')) {
		const char *colon = at; /* so that `at` itself has no address and stays in a register */
		enum parse_status s = finish_name(from, &colon, c->end, h);
		if (s != PARSE_OK)
			return s;
		at = colon;
	}
	if (at == from)
		return bad(h, PARSE_ERROR_FIELD_NAME);
	f->name = (struct str){ from, (size_t)(at - from) };
	f->id = http_field_id(f->name);
	f->hop_by_hop = (HTTP_HOP_BY_HOP & HTTP_FIELD_BIT(f->id)) != 0;
	c->at = at + 1;
	return PARSE_OK;
}

static enum parse_status take_value(struct cursor *c, struct http_head *h, struct http_field *f)
{
	const char *from = c->at, *to = scan_to(from, c->end, STOP_VALUE);
	c->at = to;
	enum parse_status s = take_line_end(c, h, PARSE_ERROR_FIELD_VALUE);
	if (s != PARSE_OK)
		return s;
	while (char_is(*from, CHAR_BLANK)) /* the CR stops it at the latest */
		from++;
	while (to > from && char_is(to[-1], CHAR_BLANK))
		to--;
	f->value = (struct str){ from, (size_t)(to - from) };
	return PARSE_OK;
}

/* All field lines and the empty line after them. The local copies stay in registers. */
static enum parse_status take_fields(struct cursor *cursor, struct http_head *h, struct seen *seen)
{
	struct cursor c = *cursor;
	uint64_t once = 0, again = 0;
	uint32_t n = 0;
	for (; c.at < c.end && *c.at != '\r'; n++) {
		struct http_field *f = &h->fields[n];
		if (n == HTTP_FIELDS_MAX)
			return bad(h, PARSE_ERROR_TOO_MANY_FIELDS);
		enum parse_status s = take_name(&c, h, f);
		if (s == PARSE_OK)
			s = take_value(&c, h, f);
		if (s != PARSE_OK)
			return s;
		again |= once & HTTP_FIELD_BIT(f->id);
		once |= HTTP_FIELD_BIT(f->id);
		seen->line[f->id] = (uint8_t)n;
	}
	h->n_fields = n;
	h->known = once;
	seen->again = again;
	enum parse_status s = take_line_end(&c, h, PARSE_ERROR_LINE_END);
	*cursor = c;
	return s;
}

/* ---- the message as a whole ---- */

/* The only list of codings that is understood is one "chunked". An empty element, which other lists may have,
 * is refused here: where a message ends must not depend on how such a list is read. */
NOINLINE static enum parse_error check_codings(const struct http_head *h)
{
	uint32_t chunked = 0, others = 0;
	bool last_is_chunked = false;
	for (uint32_t i = 0; i < h->n_fields; i++) {
		if (h->fields[i].id != FIELD_TRANSFER_ENCODING)
			continue;
		struct str rest = h->fields[i].value;
		do {
			struct str coding = str_trim(str_cut(&rest, ','));
			if (coding.len == 0)
				return PARSE_ERROR_TRANSFER_CODING;
			last_is_chunked = str_eq_nocase(coding, STR("chunked"));
			chunked += last_is_chunked;
			others += !last_is_chunked;
		} while (rest.ptr);
	}
	if (!last_is_chunked || chunked != 1)
		return PARSE_ERROR_TRANSFER_CODING;
	return others ? PARSE_ERROR_UNKNOWN_CODING : PARSE_ERROR_NONE;
}

/* RFC 9112 §6.3, read as strictly as it allows: whatever two readers could frame differently is an error. */
static enum parse_error read_framing(
	struct http_head *h, const struct seen *seen, enum http_framing otherwise)
{
	h->framing = otherwise;
	h->content_length = 0;
	if (http_has_field(h, FIELD_TRANSFER_ENCODING)) {
		if (http_has_field(h, FIELD_CONTENT_LENGTH) || h->minor_version == 0)
			return PARSE_ERROR_TRANSFER_CODING;
		h->framing = FRAMING_CHUNKED;
		return check_codings(h);
	}
	if (http_has_field(h, FIELD_CONTENT_LENGTH)) {
		struct str value = h->fields[seen->line[FIELD_CONTENT_LENGTH]].value;
		if (seen->again & HTTP_FIELD_BIT(FIELD_CONTENT_LENGTH) ||
			!str_to_u64(value, &h->content_length) || h->content_length > INT64_MAX)
			return PARSE_ERROR_CONTENT_LENGTH;
		h->framing = FRAMING_LENGTH;
	}
	return PARSE_ERROR_NONE;
}

/* Marks the fields that Connection names. Host and Content-Length belong to the message, whatever Connection
 * says. */
static void nominate(struct http_head *h, struct str name)
{
	for (uint32_t i = 0; i < h->n_fields; i++) {
		struct http_field *f = &h->fields[i];
		if (f->id != FIELD_HOST && f->id != FIELD_CONTENT_LENGTH && str_eq_nocase(f->name, name))
			f->hop_by_hop = true;
	}
}

/* name: in lower case, of letters and '-'. */
static bool is_option(struct str option, const char *name)
{
	size_t len = strlen(name);
	return option.len == len && field_same(option.ptr, name, len);
}

/* Connection: keep_alive (RFC 9112 §9.3), upgrade (RFC 9110 §7.8), the fields that it names (§7.6.1). */
NOINLINE static enum parse_error read_connection(struct http_head *h)
{
	bool close = false, keep = false, upgrade = false;
	uint32_t options = 0;
	for (uint32_t i = 0; i < h->n_fields; i++) {
		struct str rest = h->fields[i].value, option;
		while (h->fields[i].id == FIELD_CONNECTION && http_list_next(&rest, &option)) {
			if (++options > CONNECTION_OPTIONS_MAX)
				return PARSE_ERROR_FIELD_VALUE;
			if (is_option(option, "keep-alive"))
				keep = true;
			else if (is_option(option, "close"))
				close = true;
			else if (is_option(option, "upgrade"))
				upgrade = true;
			else
				nominate(h, option);
		}
	}
	h->keep_alive = !close && (keep || h->minor_version == 1);
	h->upgrade = upgrade && http_has_field(h, FIELD_UPGRADE) && h->minor_version == 1;
	return PARSE_ERROR_NONE;
}

/* What the fields say about framing and connection, in requests and responses alike. */
static enum parse_error read_message(
	struct http_head *h, const struct seen *seen, enum http_framing otherwise)
{
	h->keep_alive = h->minor_version == 1;
	h->upgrade = false;
	enum parse_error e = read_framing(h, seen, otherwise);
	return !e && http_has_field(h, FIELD_CONNECTION) ? read_connection(h) : e;
}

/* Host (RFC 9112 §3.2): one in a 1.1 request, at most one in a 1.0 request. An absolute-form's authority goes
 * before it. */
static enum parse_error read_host(struct http_head *h, const struct seen *seen)
{
	if (!http_has_field(h, FIELD_HOST))
		return h->minor_version == 0 ? PARSE_ERROR_NONE : PARSE_ERROR_HOST;
	struct str host = h->fields[seen->line[FIELD_HOST]].value;
	if (seen->again & HTTP_FIELD_BIT(FIELD_HOST) || !url_is_authority(host))
		return PARSE_ERROR_HOST;
	if (!h->host.ptr)
		h->host = host;
	return PARSE_ERROR_NONE;
}

/* Expect (RFC 9110 §10.1.1); 1.0 knows no 100. */
NOINLINE static void read_expect(struct http_head *h)
{
	for (uint32_t i = 0; i < h->n_fields; i++) {
		struct str rest = h->fields[i].value, expectation;
		while (h->fields[i].id == FIELD_EXPECT && http_list_next(&rest, &expectation)) {
			if (str_eq_nocase(expectation, STR("100-continue")))
				h->expect_continue = h->minor_version == 1;
			else
				h->expect_other = true;
		}
	}
}

/* Which messages have a body whatever their fields say (RFC 9112 §6.3, 1 and 2). */
static bool response_has_no_body(const struct http_head *h, enum http_method request_method)
{
	return request_method == HTTP_HEAD || h->status < 200 || h->status == 204 || h->status == 304 ||
		(request_method == HTTP_CONNECT && h->status < 300);
}

/* Fields that belong to the other kind of message. */
static void clear_response_part(struct http_head *h)
{
	h->status = 0;
	h->reason = (struct str){ NULL, 0 };
}

static void clear_request_part(struct http_head *h)
{
	h->method = HTTP_METHOD_OTHER;
	h->method_name = h->target = h->path = h->query = h->host = (struct str){ NULL, 0 };
	h->expect_continue = h->expect_other = false;
}

static enum parse_status request_head(struct cursor *c, struct http_head *h)
{
	struct seen seen;
	enum parse_status s = take_request_line(c, h);
	if (s == PARSE_OK)
		s = take_fields(c, h, &seen);
	if (s != PARSE_OK)
		return s;
	clear_response_part(h);
	h->expect_continue = h->expect_other = false;
	if (http_has_field(h, FIELD_EXPECT))
		read_expect(h);
	enum parse_error e = read_host(h, &seen);
	if (!e)
		e = read_message(h, &seen, FRAMING_NONE);
	return e ? bad(h, e) : PARSE_OK;
}

static enum parse_status response_head(struct cursor *c, enum http_method request_method, struct http_head *h)
{
	struct seen seen;
	enum parse_status s = take_status_line(c, h);
	if (s == PARSE_OK)
		s = take_fields(c, h, &seen);
	if (s != PARSE_OK)
		return s;
	clear_request_part(h);
	enum parse_error e = read_message(h, &seen, FRAMING_CLOSE);
	if (e)
		return bad(h, e);
	if (response_has_no_body(h, request_method)) {
		/* A 204 that announces a body may be followed by one: its connection is not to be trusted
		 * again. */
		if (h->status == 204 && (h->framing == FRAMING_CHUNKED || h->content_length > 0))
			h->keep_alive = false;
		h->framing = FRAMING_NONE;
		h->content_length = 0;
	}
	if (h->framing == FRAMING_CLOSE)
		h->keep_alive = false;
	return PARSE_OK;
}

static enum parse_status conclude(enum parse_status s, const struct cursor *c, const char *bytes, size_t len,
	size_t max_bytes, struct http_head *h)
{
	if (s == PARSE_MORE && len >= max_bytes)
		return bad(h, PARSE_ERROR_TOO_LARGE);
	if (s == PARSE_OK) {
		h->bytes = (size_t)(c->at - bytes);
		h->error = PARSE_ERROR_NONE;
	}
	return s;
}

enum parse_status http_parse_request(const char *bytes, size_t len, size_t max_bytes, struct http_head *ret)
{
	struct cursor c = cursor_over(bytes, len < max_bytes ? len : max_bytes);
	enum parse_status s = request_head(&c, ret);
	return conclude(s, &c, bytes, len, max_bytes, ret);
}

enum parse_status http_parse_response(const char *bytes, size_t len, size_t max_bytes,
	enum http_method request_method, struct http_head *ret)
{
	struct cursor c = cursor_over(bytes, len < max_bytes ? len : max_bytes);
	enum parse_status s = response_head(&c, request_method, ret);
	return conclude(s, &c, bytes, len, max_bytes, ret);
}

_Static_assert(HTTP_FIELDS_MAX == 100, "parse_error_text says so");

const char *parse_error_text(enum parse_error e)
{
	switch (e) {
	case PARSE_ERROR_NONE:
		return "no error";
	case PARSE_ERROR_START_LINE:
		return "the first line is no HTTP/1 request line";
	case PARSE_ERROR_METHOD:
		return "the method is no token or too long";
	case PARSE_ERROR_TARGET:
		return "the request target is not allowed";
	case PARSE_ERROR_VERSION:
		return "the HTTP version is neither 1.0 nor 1.1";
	case PARSE_ERROR_STATUS_LINE:
		return "the first line is no HTTP/1 status line";
	case PARSE_ERROR_LINE_END:
		return "a line does not end in CRLF";
	case PARSE_ERROR_FIELD_NAME:
		return "a field name is empty, no token, or not followed by a colon at once";
	case PARSE_ERROR_FIELD_VALUE:
		return "a field value has a control byte, or Connection names too many fields";
	case PARSE_ERROR_FOLD:
		return "a field line starts with white space";
	case PARSE_ERROR_HOST:
		return "Host is missing, repeated or no host";
	case PARSE_ERROR_CONTENT_LENGTH:
		return "Content-Length is repeated or no length";
	case PARSE_ERROR_TRANSFER_CODING:
		return "Transfer-Encoding is not one final chunked, or stands beside Content-Length or in "
		       "HTTP/1.0";
	case PARSE_ERROR_TOO_MANY_FIELDS:
		return "there are more than 100 field lines";
	case PARSE_ERROR_TOO_LARGE:
		return "the head is longer than the limit";
	case PARSE_ERROR_UNKNOWN_CODING:
		return "Transfer-Encoding names a coding other than chunked";
	}
	return "";
}

int parse_error_status(enum parse_error e)
{
	switch (e) {
	case PARSE_ERROR_VERSION:
		return 505;
	case PARSE_ERROR_UNKNOWN_CODING:
		return 501;
	case PARSE_ERROR_TOO_MANY_FIELDS:
	case PARSE_ERROR_TOO_LARGE:
		return 431;
	default:
		return 400;
	}
}
