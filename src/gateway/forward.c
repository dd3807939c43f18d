#include "gateway/forward.h"

#include "base/rand.h"
#include "gateway/settings.h"

/* Copies the fields for which drop() is false, each run of neighbours in one piece, their CRLF included. */
static void copy_fields(struct writer *w, const struct http_head *head,
	bool (*drop)(const struct http_field *f, const void *arg), const void *arg)
{
	const char *head_end = head->start_line.ptr; /* of the last field's line; set below */
	const char *run = NULL;
	for (uint32_t i = 0; i < head->n_fields; i++) {
		const struct http_field *f = &head->fields[i];
		if (drop(f, arg)) {
			if (run)
				write_bytes(w, run, (size_t)(f->name.ptr - run));
			run = NULL;
		} else if (!run) {
			run = f->name.ptr;
		}
		head_end = f->value.ptr + f->value.len;
	}
	if (run) { /* the last line's white space is left out */
		write_bytes(w, run, (size_t)(head_end - run));
		write_lit(w, "\r\n");
	}
}

/* ---- requests ---- */

struct request_fields {
	const struct forward_from *from;
	bool keep_host; /* it says the same as the target */
};

static bool drop_from_request(const struct http_field *f, const void *arg)
{
	const struct request_fields *fields = arg;
	if (f->hop_by_hop)
		return true;
	switch (f->id) {
	case FIELD_HOST:
		return !fields->keep_host;
	case FIELD_AUTHORIZATION:
	case FIELD_COOKIE:
		return fields->from->durable && !settings_store_header(fields->from->durable, f->name);
	case FIELD_CONTENT_LENGTH:
	case FIELD_EXPECT:
	case FIELD_BERTH_MAX_WAIT:
	case FIELD_X_FORWARDED_FOR: /* written anew, with the client's address at its end */
		return true;
	case FIELD_FORWARDED:
	case FIELD_X_FORWARDED_HOST:
	case FIELD_X_FORWARDED_PROTO:
		return !fields->from->trusted;
	default:
		return false;
	}
}

static void write_forwarded(
	struct writer *w, const struct http_head *head, const struct forward_from *from, struct str host)
{
	write_lit(w, "X-Forwarded-For: ");
	for (uint32_t i = 0; from->trusted && i < head->n_fields; i++) {
		if (head->fields[i].id != FIELD_X_FORWARDED_FOR)
			continue;
		write_str(w, head->fields[i].value);
		write_lit(w, ", ");
	}
	write_str(w, from->client_ip);
	if (!from->trusted || !http_field(head, FIELD_X_FORWARDED_PROTO))
		write_lit(w, "\r\nX-Forwarded-Proto: http");
	if (!from->trusted || !http_field(head, FIELD_X_FORWARDED_HOST)) {
		write_lit(w, "\r\nX-Forwarded-Host: ");
		write_str(w, host);
	}
}

/* A request without ids of its own gets both, of the same random bits (W3C Trace Context §3.2: version, trace
 * id, parent id, flags). */
static void write_ids(struct writer *w, const struct http_head *head, struct rand *rand)
{
	bool has_id = http_field(head, FIELD_X_REQUEST_ID), has_trace = http_field(head, FIELD_TRACEPARENT);
	if (has_id && has_trace)
		return;
	uint64_t a = rand_u64(rand), b = rand_u64(rand);
	if (!has_id) {
		write_lit(w, "\r\nX-Request-Id: ");
		write_hex(w, a, 16);
		write_hex(w, b, 16);
	}
	if (!has_trace) {
		write_lit(w, "\r\ntraceparent: 00-");
		write_hex(w, a | 1, 16); /* all zeroes would be invalid */
		write_hex(w, b, 16);
		write_lit(w, "-");
		write_hex(w, b | 1, 16);
		write_lit(w, "-00");
	}
}

void forward_request(struct writer *w, const struct http_head *head, const struct forward_from *from)
{
	struct str host = head->host.ptr ? head->host : from->default_host;
	const struct http_field *own_host = http_field(head, FIELD_HOST);
	struct request_fields fields = { .from = from,
		.keep_host = own_host && str_eq(own_host->value, host) };
	write_str(w, from->method);
	write_lit(w, " ");
	write_str(w, from->path);
	if (head->query.ptr) {
		write_lit(w, "?");
		write_str(w, head->query);
	}
	write_lit(w, " HTTP/1.1\r\n");
	if (!fields.keep_host) {
		write_lit(w, "Host: ");
		write_str(w, host);
		write_lit(w, "\r\n");
	}
	copy_fields(w, head, drop_from_request, &fields);
	write_forwarded(w, head, from, host);
	write_ids(w, head, from->rand);
	if (from->upgrade.ptr) {
		write_lit(w, "\r\nConnection: Upgrade\r\nUpgrade: ");
		write_str(w, from->upgrade);
	}
	if (head->minor_version == 0)
		write_lit(w, "\r\nVia: 1.0 berth\r\n");
	else
		write_lit(w, "\r\nVia: 1.1 berth\r\n");
}

void forward_request_end(struct writer *w, bool has_body, uint64_t body_bytes)
{
	if (has_body) {
		write_lit(w, "Content-Length: ");
		write_u64(w, body_bytes);
		write_lit(w, "\r\n");
	}
	write_lit(w, "\r\n");
}

/* ---- answers ---- */

static bool drop_from_answer(const struct http_field *f, const void *arg)
{
	const bool *keep_length = arg;
	return f->hop_by_hop || (f->id == FIELD_CONTENT_LENGTH && !*keep_length);
}

static void write_status_line(struct writer *w, const struct http_head *head)
{
	write_lit(w, "HTTP/1.1 "); /* Berth's own version, RFC 9110 §6.2 */
	write_bytes(w, head->start_line.ptr + 9, 3);
	write_lit(w, " ");
	write_str(w, head->reason);
	write_lit(w, "\r\n");
}

void forward_answer(struct writer *w, const struct http_head *head, enum answer_framing framing,
	uint64_t body_bytes, bool keep_alive, uint8_t client_minor_version, uint64_t queue_us,
	uint64_t upstream_us)
{
	bool keep_length = framing == ANSWER_NO_BODY && head->status != 204; /* RFC 9110 §8.6 */
	write_status_line(w, head);
	copy_fields(w, head, drop_from_answer, &keep_length);
	if (framing == ANSWER_LENGTH) {
		write_lit(w, "Content-Length: ");
		write_u64(w, body_bytes);
		write_lit(w, "\r\n");
	} else if (framing == ANSWER_CHUNKED) {
		write_lit(w, "Transfer-Encoding: chunked\r\n");
	}
	write_lit(w, "Via: 1.1 berth\r\nServer-Timing: queue;dur=");
	write_ms(w, queue_us);
	write_lit(w, ", upstream;dur=");
	write_ms(w, upstream_us);
	if (!keep_alive)
		write_lit(w, "\r\nConnection: close\r\n\r\n");
	else if (client_minor_version == 0)
		write_lit(w, "\r\nConnection: keep-alive\r\n\r\n");
	else
		write_lit(w, "\r\n\r\n");
}

static bool drop_from_result(const struct http_field *f, const void *arg)
{
	static const struct str names[] = {
		{ "alt-svc", 7 },
		{ "strict-transport-security", 25 },
		{ "content-security-policy", 23 },
		{ "x-content-type-options", 22 },
		{ "cache-control", 13 },
	};
	(void)arg;
	if (f->hop_by_hop || f->id == FIELD_CONTENT_LENGTH || f->id == FIELD_DATE ||
		f->id == FIELD_SET_COOKIE)
		return true;
	if (f->name.len > 15 && str_eq_nocase((struct str){ f->name.ptr, 15 }, STR("access-control-")))
		return true;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		if (str_eq_nocase(f->name, names[i]))
			return true;
	}
	return false;
}

void forward_result_fields(struct writer *w, const struct http_head *head)
{
	copy_fields(w, head, drop_from_result, NULL);
}

static bool drop_from_switch(const struct http_field *f, const void *arg)
{
	(void)arg;
	return f->hop_by_hop || f->id == FIELD_CONTENT_LENGTH;
}

void forward_switch(struct writer *w, const struct http_head *head)
{
	const struct http_field *upgrade = http_field(head, FIELD_UPGRADE);
	write_status_line(w, head);
	copy_fields(w, head, drop_from_switch, NULL);
	write_lit(w, "Via: 1.1 berth\r\nConnection: Upgrade\r\n");
	if (upgrade) {
		write_lit(w, "Upgrade: ");
		write_str(w, upgrade->value);
		write_lit(w, "\r\n");
	}
	write_lit(w, "\r\n");
}

struct str forward_upgrade(const struct http_head *head)
{
	const struct http_field *f =
		head->upgrade && head->framing == FRAMING_NONE ? http_field(head, FIELD_UPGRADE) : NULL;
	if (!f || http_list_has(head, FIELD_UPGRADE, STR("h2c")))
		return (struct str){ NULL, 0 };
	return f->value;
}

bool http_is_event_stream(const struct http_head *head)
{
	const struct http_field *f = http_field(head, FIELD_CONTENT_TYPE);
	struct str rest = f ? f->value : STR(""), type = str_trim(str_cut(&rest, ';'));
	return str_eq_nocase(type, STR("text/event-stream"));
}
