#include "gateway/forward.h"

#include "base/rand.h"
#include "gateway/settings.h"
#include "http/chars.h"

static void write_slice(struct writer *w, const char *from, const char *to)
{
	write_bytes(w, from, (size_t)(to - from));
}

/* The head's lines from `run` on, as they stand but for the last one's white space. */
static void copy_rest(struct writer *w, const struct http_head *head, const char *run)
{
	const struct str *last = head->n_fields ? &head->fields[head->n_fields - 1].value : &head->start_line;
	write_slice(w, run, last->ptr + last->len);
	write_lit(w, "\r\n");
}

/* Copies the head from `run` on, which is where its start line or its first field begins, but for hop-by-hop
 * fields and those in `drop` (bits of field ids): each run of neighbours in one piece, their CRLF included.
 */
static void copy_head(struct writer *w, const struct http_head *head, const char *run, uint64_t drop)
{
	if (!(head->known & (drop | HTTP_HOP_BY_HOP))) { /* which also means that Connection names none */
		if (run < head->start_line.ptr + head->start_line.len || head->n_fields)
			copy_rest(w, head, run);
		return;
	}
	for (uint32_t i = 0; i < head->n_fields; i++) {
		const struct http_field *f = &head->fields[i];
		if (f->hop_by_hop || drop >> f->id & 1) {
			if (run)
				write_slice(w, run, f->name.ptr);
			run = NULL;
		} else if (!run) {
			run = f->name.ptr;
		}
	}
	if (run)
		copy_rest(w, head, run);
}

static const char *first_field(const struct http_head *head)
{
	return head->n_fields ? head->fields[0].name.ptr : head->start_line.ptr + head->start_line.len;
}

/* ---- requests ---- */

/* What is not the container's to see, or is written anew. */
static uint64_t dropped_from_request(const struct forward_from *from, bool keep_host)
{
	uint64_t drop = HTTP_FIELD_BIT(FIELD_CONTENT_LENGTH) | HTTP_FIELD_BIT(FIELD_EXPECT) |
		HTTP_FIELD_BIT(FIELD_BERTH_HEARTBEAT) | HTTP_FIELD_BIT(FIELD_BERTH_MAX_WAIT) |
		HTTP_FIELD_BIT(FIELD_X_FORWARDED_FOR);
	if (!keep_host)
		drop |= HTTP_FIELD_BIT(FIELD_HOST);
	if (!from->trusted)
		drop |= HTTP_FIELD_BIT(FIELD_FORWARDED) | HTTP_FIELD_BIT(FIELD_X_FORWARDED_HOST) |
			HTTP_FIELD_BIT(FIELD_X_FORWARDED_PROTO);
	/* what is not stored is not sent either: a job's container gets the same in whatever life */
	if (from->durable && !settings_store_header(from->durable, STR("Authorization")))
		drop |= HTTP_FIELD_BIT(FIELD_AUTHORIZATION);
	if (from->durable && !settings_store_header(from->durable, STR("Cookie")))
		drop |= HTTP_FIELD_BIT(FIELD_COOKIE);
	return drop;
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
	if (!from->trusted || !http_has_field(head, FIELD_X_FORWARDED_PROTO))
		write_lit(w, "\r\nX-Forwarded-Proto: http");
	if (!from->trusted || !http_has_field(head, FIELD_X_FORWARDED_HOST)) {
		write_lit(w, "\r\nX-Forwarded-Host: ");
		write_str(w, host);
	}
}

/* A request without ids of its own gets both, of the same random bits (W3C Trace Context §3.2: version, trace
 * id, parent id, flags). */
static void write_ids(struct writer *w, const struct http_head *head, struct rand *rand)
{
	bool has_id = http_has_field(head, FIELD_X_REQUEST_ID),
	     has_trace = http_has_field(head, FIELD_TRACEPARENT);
	if (has_id && has_trace)
		return;
	char id[2 * HEX_U64], *low = id + HEX_U64;
	hex_u64(id, rand_u64(rand) | 1); /* all zeroes would be invalid */
	hex_u64(low, rand_u64(rand) | 1);
	if (!has_id) {
		write_lit(w, "\r\nX-Request-Id: ");
		write_bytes(w, id, sizeof id);
	}
	if (!has_trace) {
		write_lit(w, "\r\ntraceparent: 00-");
		write_bytes(w, id, sizeof id);
		write_lit(w, "-");
		write_bytes(w, low, HEX_U64);
		write_lit(w, "-00");
	}
}

static void write_request_line(
	struct writer *w, const struct http_head *head, const struct forward_from *from)
{
	write_str(w, from->method);
	write_lit(w, " ");
	write_str(w, from->path);
	if (head->query.ptr) {
		write_lit(w, "?");
		write_str(w, head->query);
	}
	write_lit(w, " HTTP/1.1\r\n");
}

void forward_request(struct writer *w, const struct http_head *head, const struct forward_from *from)
{
	struct str host = head->host.ptr ? head->host : from->default_host;
	const struct http_field *own_host = http_field(head, FIELD_HOST);
	bool keep_host = own_host && (own_host->value.ptr == host.ptr || str_eq(own_host->value, host));
	bool keep_line = keep_host && head->minor_version == 1 && from->method.ptr == head->start_line.ptr &&
		from->path.ptr == head->target.ptr;
	if (!keep_line)
		write_request_line(w, head, from);
	if (!keep_host) {
		write_lit(w, "Host: ");
		write_str(w, host);
		write_lit(w, "\r\n");
	}
	copy_head(w, head, keep_line ? head->start_line.ptr : first_field(head),
		dropped_from_request(from, keep_host));
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

/* Writes the status line, in Berth's own version (RFC 9110 §6.2), and the fields that are not in `drop`. */
static void copy_answer(struct writer *w, const struct http_head *head, uint64_t drop)
{
	if (head->minor_version == 1 && head->reason.len) {
		copy_head(w, head, head->start_line.ptr, drop);
		return;
	}
	write_lit(w, "HTTP/1.1 ");
	write_bytes(w, head->start_line.ptr + 9, 3);
	write_lit(w, " ");
	write_str(w, head->reason);
	write_lit(w, "\r\n");
	copy_head(w, head, first_field(head), drop);
}

void forward_answer(struct writer *w, const struct http_head *head, enum answer_framing framing,
	uint64_t body_bytes, bool keep_alive, uint8_t client_minor_version, uint64_t queue_us,
	uint64_t upstream_us)
{
	bool same_length = framing == ANSWER_LENGTH && head->framing == FRAMING_LENGTH;
	bool keep_length =
		same_length || (framing == ANSWER_NO_BODY && head->status != 204); /* RFC 9110 §8.6 */
	copy_answer(w, head, keep_length ? 0 : HTTP_FIELD_BIT(FIELD_CONTENT_LENGTH));
	if (framing == ANSWER_LENGTH && !same_length) {
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

static bool is_kept_in_result(const struct http_field *f)
{
	static const struct str names[] = {
		{ "alt-svc", 7 },
		{ "strict-transport-security", 25 },
		{ "content-security-policy", 23 },
		{ "x-content-type-options", 22 },
		{ "cache-control", 13 },
	};
	if (f->hop_by_hop || f->id == FIELD_CONTENT_LENGTH || f->id == FIELD_DATE ||
		f->id == FIELD_SET_COOKIE)
		return false;
	if (f->name.len > 15 && str_eq_nocase((struct str){ f->name.ptr, 15 }, STR("access-control-")))
		return false;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		if (str_eq_nocase(f->name, names[i]))
			return false;
	}
	return true;
}

void forward_result_fields(struct writer *w, const struct http_head *head)
{
	for (uint32_t i = 0; i < head->n_fields; i++) {
		const struct http_field *f = &head->fields[i];
		if (!is_kept_in_result(f))
			continue;
		write_slice(w, f->name.ptr, f->value.ptr + f->value.len);
		write_lit(w, "\r\n");
	}
}

void forward_switch(struct writer *w, const struct http_head *head)
{
	const struct http_field *upgrade = http_field(head, FIELD_UPGRADE);
	copy_answer(w, head, HTTP_FIELD_BIT(FIELD_CONTENT_LENGTH));
	write_lit(w, "Via: 1.1 berth\r\nConnection: Upgrade\r\n");
	if (upgrade) {
		write_lit(w, "Upgrade: ");
		write_str(w, upgrade->value);
		write_lit(w, "\r\n");
	}
	write_lit(w, "\r\n");
}

static bool is_token(struct str s)
{
	size_t n = 0;
	while (n < s.len && char_is(s.ptr[n], CHAR_TOKEN))
		n++;
	return n && n == s.len;
}

/* protocol-name ["/" protocol-version] (RFC 9110 §7.8), and not HTTP/2, which would carry requests past the
 * slots. */
static bool may_switch_to(struct str protocol)
{
	struct str name = str_cut(&protocol, '/');
	return is_token(name) && (!protocol.ptr || is_token(protocol)) && !str_eq_nocase(name, STR("h2c"));
}

/* Cut at every comma: a list of tokens has no quoted ones, and what one reader takes for a quote, another
 * does not. */
static bool may_switch(const struct http_head *head)
{
	for (uint32_t i = 0; i < head->n_fields; i++) {
		struct str rest = head->fields[i].value;
		while (head->fields[i].id == FIELD_UPGRADE && rest.ptr) {
			struct str protocol = str_trim(str_cut(&rest, ','));
			if (protocol.len && !may_switch_to(protocol))
				return false;
		}
	}
	return true;
}

struct str forward_upgrade(const struct http_head *head)
{
	const struct http_field *f =
		head->upgrade && head->framing == FRAMING_NONE ? http_field(head, FIELD_UPGRADE) : NULL;
	if (!f || !may_switch(head))
		return (struct str){ NULL, 0 };
	return f->value;
}

bool http_is_event_stream(const struct http_head *head)
{
	const struct http_field *f = http_field(head, FIELD_CONTENT_TYPE);
	struct str rest = f ? f->value : STR(""), type = str_trim(str_cut(&rest, ';'));
	return str_eq_nocase(type, STR("text/event-stream"));
}
