#include "gateway/intake.h"

#include "base/log.h"
#include "gateway/client.h"
#include "gateway/exchange.h"
#include "gateway/fingerprint.h"
#include "gateway/reactor.h"
#include "gateway/tunnel.h"
#include "http/url.h"

#include <stdlib.h>
#include <string.h>

enum {
	PREFER_WAIT_MAX_S = 3600,
	KEY_MIN = 16, /* characters: there are no credentials beside it */
};

static const struct str no_extra = { NULL, 0 };

static enum problem problem_of_status(int status)
{
	switch (status) {
	case 431:
		return PROBLEM_HEAD_TOO_LARGE;
	case 501:
		return PROBLEM_NOT_IMPLEMENTED;
	case 505:
		return PROBLEM_VERSION;
	default:
		return PROBLEM_BAD_REQUEST;
	}
}

static void note_bad_request(struct client *c, const char *why)
{
	char ip[48];
	struct str peer = client_ip(c, ip);
	c->reactor->metrics.bad_requests++;
	log_warning("bad request from " STR_FMT ": %s", STR_ARG(peer), why);
}

/* A head that cannot be trusted: nothing after it can be, either. */
static void refuse_head(struct client *c, enum parse_error e)
{
	enum problem p = problem_of_status(parse_error_status(e));
	const char *why = e == PARSE_ERROR_TOO_LARGE ? "the head is longer than limits.head allows"
						     : parse_error_text(e);
	c->reactor->metrics.problems[p]++;
	note_bad_request(c, why);
	c->must_linger = true;
	client_problem(c, p, why, 0, no_extra);
}

/* A request that goes to no pool. */
static void refuse(struct client *c, enum problem p, const char *detail)
{
	c->reactor->metrics.problems[p]++;
	client_problem(c, p, detail, problem_status(p) == 503 ? 1 : 0, no_extra);
}

/* What stands between the quotes, where there are two. */
static struct str unquoted(struct str s)
{
	bool is_quoted = s.len >= 2 && s.ptr[0] == '"' && s.ptr[s.len - 1] == '"';
	return is_quoted ? (struct str){ s.ptr + 1, s.len - 2 } : s;
}

/* Prefer: respond-async[, wait=S] (RFC 7240 §4.1, §4.3); what cannot be read is ignored (§2). */
struct preference {
	bool respond_async, has_wait;
	uint64_t wait_s;
};

static struct preference read_preference(const struct http_head *head)
{
	struct preference p = { 0 };
	struct str element;
	if (!http_has_field(head, FIELD_PREFER))
		return p;
	for (uint32_t i = 0; i < head->n_fields; i++) {
		struct str rest =
			head->fields[i].id == FIELD_PREFER ? head->fields[i].value : (struct str){ NULL, 0 };
		while (http_list_next(&rest, &element)) {
			struct str value = str_cut(&element, ';'), name = str_trim(str_cut(&value, '='));
			if (str_eq_nocase(name, STR("respond-async")))
				p.respond_async = true;
			else if (str_eq_nocase(name, STR("wait")) && value.ptr && !p.has_wait)
				p.has_wait = str_to_u64(unquoted(str_trim(value)), &p.wait_s) &&
					p.wait_s <= PREFER_WAIT_MAX_S;
		}
	}
	return p;
}

static bool accepts_events(const struct http_head *head)
{
	const struct http_field *accept = http_field(head, FIELD_ACCEPT);
	return accept && head->minor_version &&
		memmem(accept->value.ptr, accept->value.len, "text/event-stream", 17);
}

static void request_whole(struct client *c)
{
	struct exchange *ex = c->exchange;
	free(c->upload);
	c->upload = NULL;
	c->must_linger = false;
	c->phase = CLIENT_WAITING;
	if (exchange_received(ex) < 0)
		exchange_problem(ex, PROBLEM_OVERLOADED, "out of memory (limits.memory)");
	else if (ex->submit || (ex->respond_async && (!ex->request->wait_until_us || ex->request->key)))
		api_submit(c);
	else if (exchange_admit(ex) && (ex->ticket.state == TICKET_WAITING || ex->request->wait_until_us))
		client_watch_wait(c);
}

static void begin_body(struct client *c, const struct http_head *head, bool more_is_here)
{
	c->upload = malloc(sizeof *c->upload);
	if (!c->upload) {
		exchange_problem(c->exchange, PROBLEM_OVERLOADED, "out of memory");
		return;
	}
	*c->upload = (struct upload){ .since_us = c->reactor->io->now_us };
	http_body_init(&c->upload->body, head);
	c->phase = CLIENT_BODY;
	client_set_timer(c, c->reactor->settings->client_body_us);
	if (head->expect_continue && !more_is_here) {
		struct iovec iov = { (char *)(uintptr_t) "HTTP/1.1 100 Continue\r\n\r\n", 25 };
		(void)client_send(c, &iov, 1);
	}
}

static void admin_body_whole(struct client *c)
{
	struct admin_request *req = c->upload->admin;
	free(c->upload);
	c->upload = NULL;
	c->must_linger = false;
	c->phase = CLIENT_WAITING;
	admin_change(c, req);
	free(req);
}

void client_expect_change(struct client *c, const struct http_head *head, struct admin_request *req)
{
	c->upload = malloc(sizeof *c->upload);
	if (!c->upload) {
		free(req);
		refuse(c, PROBLEM_OVERLOADED, "out of memory");
		return;
	}
	*c->upload = (struct upload){ .admin = req };
	http_body_init(&c->upload->body, head);
	c->phase = CLIENT_BODY;
	client_set_timer(c, c->reactor->settings->client_body_us);
	if (http_body_is_done(&c->upload->body))
		admin_body_whole(c);
}

/* The body of a change, which is small. */
static size_t take_admin_body(struct client *c, const char *bytes, size_t n)
{
	struct admin_request *req = c->upload->admin;
	size_t used = 0;
	enum parse_status status = PARSE_MORE;
	while (status == PARSE_MORE && used < n) {
		size_t k;
		struct str payload;
		status = http_body_feed(&c->upload->body, bytes + used, n - used, &k, &payload);
		used += k;
		if (status == PARSE_BAD || payload.len > sizeof req->body - req->body_bytes) {
			refuse(c, status == PARSE_BAD ? PROBLEM_BAD_REQUEST : PROBLEM_BODY_TOO_LARGE,
				status == PARSE_BAD ? "the body's chunks are broken"
						    : "a change is described in 16 KiB at most");
			return n;
		}
		if (payload.len)
			memcpy(req->body + req->body_bytes, payload.ptr, payload.len);
		req->body_bytes += payload.len;
	}
	if (status == PARSE_OK)
		admin_body_whole(c);
	return used;
}

static bool is_submit(const struct route *route, const struct http_head *head)
{
	return route->settings->submit_path && (head->method == HTTP_GET || head->method == HTTP_POST) &&
		str_eq(head->path, str_of(route->settings->submit_path));
}

static void note_preference(struct exchange *ex, struct preference p, bool wants_events)
{
	ex->respond_async = p.respond_async && !ex->submit;
	if (ex->respond_async && p.has_wait && p.wait_s)
		ex->request->wait_until_us = ex->route->reactor->io->now_us + p.wait_s * 1000000;
	ex->wants_events = wants_events;
	if (ex->respond_async)
		ex->request->heartbeat_s = 0; /* they would be the beginning of an answer */
}

/* False when the request's Idempotency-Key is none (and the exchange has been told so). */
static bool note_key(struct exchange *ex, const struct http_head *head)
{
	if (!http_has_field(head, FIELD_IDEMPOTENCY_KEY) || !(ex->submit || ex->respond_async))
		return true;
	uint32_t n = 0;
	struct str key = { NULL, 0 };
	for (uint32_t i = 0; i < head->n_fields; i++) {
		if (head->fields[i].id == FIELD_IDEMPOTENCY_KEY) {
			key = unquoted(head->fields[i].value); /* a string (RFC 8941 §3.3.3), or the text */
			n++;
		}
	}
	if (n > 1 || key.len < KEY_MIN || key.len > STORE_KEY_MAX) {
		exchange_problem(ex, PROBLEM_BAD_REQUEST,
			n > 1 ? "a request has one Idempotency-Key"
			      : "an Idempotency-Key has 16 to 255 characters");
		return false;
	}
	struct request *q = ex->request;
	q->key = strndup(key.ptr, key.len);
	q->fingerprint = fingerprint_create((struct str){ q->text, q->bytes });
	if (!q->key || !q->fingerprint) {
		exchange_problem(ex, PROBLEM_OVERLOADED, "out of memory");
		return false;
	}
	return true;
}

static void to_pool(struct client *c, const struct http_head *head, bool more_is_here)
{
	struct reactor *r = c->reactor;
	struct route *route = reactor_route(r, head->host, head->path);
	if (!route) {
		refuse(c, PROBLEM_NOT_FOUND,
			"no pool matches this host and path (pools: match in berth.yaml)");
		return;
	}
	bool submit = is_submit(route, head);
	struct str path = submit ? str_of(route->settings->submit_forward) : head->path;
	struct preference prefer = read_preference(head);
	bool durable = submit || prefer.respond_async;
	struct exchange *ex = submit
		? exchange_create(route, c, head, HTTP_POST, STR("POST"), path, durable)
		: exchange_create(route, c, head, head->method, head->method_name, path, durable);
	if (!ex) {
		r->metrics.problems[PROBLEM_OVERLOADED]++;
		client_problem(c, PROBLEM_OVERLOADED, "as much is kept in memory as limits.memory allows",
			route_retry_after_s(route), no_extra);
		return;
	}
	ex->submit = submit;
	note_preference(ex, prefer, durable && accepts_events(head));
	c->exchange = ex;
	if (!note_key(ex, head))
		return;
	enum problem p = exchange_precheck(ex, head);
	if (p != PROBLEM_COUNT)
		exchange_problem(ex, p, NULL);
	else if (head->framing == FRAMING_NONE ||
		(head->framing == FRAMING_LENGTH && head->content_length == 0))
		request_whole(c);
	else
		begin_body(c, head, more_is_here);
}

static bool has_prefix_dir(struct str path, struct str dir)
{
	return str_starts(path, dir) && (path.len == dir.len || path.ptr[dir.len] == '/');
}

static void to_front(struct client *c, const struct http_head *head, bool more_is_here)
{
	const struct settings *s = c->reactor->settings;
	if (has_prefix_dir(head->path, STR("/berth")))
		api_handle(c, head);
	else if (head->method == HTTP_CONNECT || head->method == HTTP_TRACE)
		refuse(c, PROBLEM_NOT_IMPLEMENTED, "CONNECT and TRACE are not forwarded");
	else if (head->expect_other)
		refuse(c, PROBLEM_EXPECTATION, "only 100-continue can be expected");
	else if (url_has_dot_segment(head->path))
		refuse(c, PROBLEM_BAD_REQUEST, "the path has . or .. segments: resolve them before sending");
	else if (head->framing == FRAMING_LENGTH && head->content_length > s->max_body_bytes)
		refuse(c, PROBLEM_BODY_TOO_LARGE, "the body is longer than limits.body allows");
	else
		to_pool(c, head, more_is_here);
}

/* Takes a head at the beginning of bytes[0..n); returns its length, 0 when more is needed. */
static size_t take_head(struct client *c, const char *bytes, size_t n)
{
	struct reactor *r = c->reactor;
	struct http_head *head = &r->request_head;
	enum parse_status status = http_parse_request(bytes, n, r->settings->max_head_bytes, head);
	c->head_only = head->method == HTTP_HEAD; /* also of a head that does not come to its end */
	switch (status) {
	case PARSE_MORE:
		if (c->phase == CLIENT_IDLE) {
			c->phase = CLIENT_HEAD;
			client_set_timer(c, r->settings->client_head_us);
		}
		return 0;
	case PARSE_BAD:
		refuse_head(c, head->error);
		return n;
	case PARSE_OK:
		break;
	}
	size_t used = head->bytes;
	c->phase = CLIENT_WAITING;
	head->keep_alive &= !(c->peer_closed && n == used);
	c->keep_alive = head->keep_alive;
	c->minor_version = head->minor_version;
	/* until the body is read, an answer means that it will not be */
	c->must_linger = head->framing == FRAMING_CHUNKED ||
		(head->framing == FRAMING_LENGTH && head->content_length > 0);
	if (c->admin)
		admin_handle(c, head);
	else
		to_front(c, head, n > used);
	return used;
}

static void judge_rate_anew(struct client *c)
{
	c->upload->seen = c->upload->received;
	c->upload->since_us = c->reactor->io->now_us;
}

/* A body that comes byte by byte would hold its memory for ever. Judged when some of it comes: when nothing
 * does, the time-out is there. */
static bool is_too_slow(struct client *c)
{
	const struct settings *s = c->reactor->settings;
	uint64_t took_us = c->reactor->io->now_us - c->upload->since_us;
	uint64_t came = c->upload->received - c->upload->seen;
	if (took_us < s->client_body_us)
		return false;
	judge_rate_anew(c);
	return came < s->client_body_rate * took_us / 1000000;
}

/* Takes body bytes; returns how many it used. */
static size_t take_body(struct client *c, const char *bytes, size_t n)
{
	struct reactor *r = c->reactor;
	struct upload *up = c->upload;
	struct exchange *ex = c->exchange;
	size_t used = 0;
	enum parse_status status = PARSE_MORE;
	while (status == PARSE_MORE && used < n) {
		size_t k;
		struct str payload;
		status = http_body_feed(&up->body, bytes + used, n - used, &k, &payload);
		used += k;
		up->received += payload.len;
		if (status == PARSE_BAD) {
			note_bad_request(c, "the body's chunks are broken");
			exchange_problem(ex, PROBLEM_BAD_REQUEST, "the body's chunks are broken");
			return n;
		}
		if (up->received > r->settings->max_body_bytes) {
			exchange_problem(
				ex, PROBLEM_BODY_TOO_LARGE, "the body is longer than limits.body allows");
			return n;
		}
		if (payload.len && exchange_receive(ex, payload) < 0) {
			exchange_problem(ex, PROBLEM_OVERLOADED,
				"the body cannot be kept (limits.memory, limits.spool, the limit of open "
				"files, or the disk is full)");
			return n;
		}
	}
	client_set_timer(c, r->settings->client_body_us);
	if (status == PARSE_OK && c->peer_closed && used == n)
		client_is_last(c);
	if (status == PARSE_OK)
		request_whole(c);
	else if (is_too_slow(c))
		exchange_problem(ex, PROBLEM_REQUEST_TIMEOUT,
			"for client_timeouts.body the request's body came with fewer bytes a second than "
			"client_timeouts.body_rate");
	else if (ex->request->body && buffer_is_behind(ex->request->body))
		client_pause(c, true);
	return used;
}

void client_upload_ready(struct client *c)
{
	struct exchange *ex = c->exchange;
	const struct buffer *body = ex->request->body;
	if (body && body->err < 0 && (c->phase == CLIENT_BODY || ex->submitting)) {
		ex->submitting = false;
		exchange_problem(ex, PROBLEM_OVERLOADED, "the body cannot be written to its spool file");
		return;
	}
	if (ex->submitting) {
		ex->submitting =
			!ex->answering && !ex->request->held; /* it stays what it is once its answer begins */
		if (ex->submitting && exchange_is_written(ex))
			api_submit(c);
		return;
	}
	if (c->phase == CLIENT_BODY && !buffer_is_behind(body)) {
		judge_rate_anew(c); /* the disk's time is not the client's */
		client_pause(c, false);
	}
}

size_t client_take(struct client *c, const char *bytes, size_t n)
{
	size_t used = 0, k;
	while (used < n) {
		switch ((enum client_phase)c->phase) {
		case CLIENT_IDLE:
		case CLIENT_HEAD:
			k = take_head(c, bytes + used, n - used);
			if (k == 0)
				return used;
			used += k;
			break;
		case CLIENT_BODY:
			used += c->admin ? take_admin_body(c, bytes + used, n - used)
					 : take_body(c, bytes + used, n - used);
			break;
		case CLIENT_WAITING:
		case CLIENT_ANSWERING:
			return used;
		case CLIENT_TUNNEL:
			tunnel_from_client(c, bytes + used, n - used);
			return n;
		case CLIENT_LINGERING:
		case CLIENT_DEAD:
			return n;
		}
	}
	return used;
}
