/* answer: heads of answers, and sending at the pace of the peer. */
#include "worker/oip_write.h"
#include "worker/worker.h"

#include "http/status.h"

#include <stdarg.h>
#include <stdio.h>

static const char *date(struct worker *w)
{
	uint64_t now_s = w->io->wall_us / 1000000;
	if (now_s != w->date_s) {
		w->date_s = now_s;
		http_date(w->date, now_s);
	}
	return w->date;
}

/* ---- sending ---- */

static bool body_has_come(const struct conn *c)
{
	return http_body_is_done(&c->framing);
}

/* A body that was refused is read to its end when that is near, else the connection ends. */
static bool can_drain(const struct conn *c)
{
	return c->keep_alive && !c->may_continue && c->framing.framing == FRAMING_LENGTH &&
		c->framing.left <= DRAIN_MAX_BYTES;
}

/* The peer has taken the whole answer. */
static void answered(struct conn *c)
{
	struct worker *w = c->worker;
	bool large = c->body.cap > LARGE_BYTES || c->job.out.cap > LARGE_BYTES;
	if (c->job.out.cap > KEPT_BYTES)
		json_finish(&c->job.out);
	buffer_reset(&c->body, KEPT_BYTES);
	if (large)
		io_timer_set(w->io, &w->trim, w->io->now_us + TRIM_AFTER_US);
	if (c->keep_alive && body_has_come(c)) {
		conn_set_state(c, CONN_HEAD);
	} else if (can_drain(c)) {
		conn_set_state(c, CONN_DRAINING);
		io_timer_set(w->io, &c->timer, w->io->now_us + BODY_TIMEOUT_US);
	} else {
		/* To close while bytes are unread would reset the connection, and the answer might be lost.
		 */
		conn_set_state(c, CONN_LINGERING);
		io_shutdown(w->io, &c->stream);
		io_timer_set(w->io, &c->timer, w->io->now_us + LINGER_US);
	}
}

void answer_go_on(struct conn *c)
{
	struct worker *w = c->worker;
	struct str body = c->head_only ? (struct str){ NULL, 0 } : json_str(&c->job.out);
	size_t total = c->head_bytes + body.len;
	size_t head_sent = c->sent < c->head_bytes ? c->sent : c->head_bytes;
	struct str rest = str_skip(body, c->sent - head_sent);
	struct iovec iov[] = {
		{ c->head + head_sent, c->head_bytes - head_sent },
		{ (void *)(uintptr_t)rest.ptr, rest.len },
	};
	ssize_t n = io_send(w->io, &c->stream, iov, rest.len ? 2 : 1);
	if (n < 0) {
		conn_close(c);
		return;
	}
	c->sent += (size_t)n;
	if (c->sent == total)
		answered(c);
	else
		io_timer_set(w->io, &c->timer, w->io->now_us + SEND_TIMEOUT_US);
}

static void send_answer(
	struct conn *c, int status, const char *content_type, size_t json_bytes, const char *extra)
{
	char length[64] = "";
	bool close = !(c->keep_alive && (body_has_come(c) || can_drain(c)));
	c->keep_alive = !close;
	if (json_bytes)
		snprintf(length, sizeof length, "Inference-Header-Content-Length: %zu\r\n", json_bytes);
	int n = snprintf(c->head, sizeof c->head,
		"HTTP/1.1 %d %s\r\nDate: %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n%s%s%s\r\n", status,
		http_status_reason(status), date(c->worker), content_type, json_str(&c->job.out).len, length,
		extra,
		close               ? "Connection: close\r\n"
			: c->http10 ? "Connection: keep-alive\r\n"
				    : "");
	CHECK(n > 0 && (size_t)n < sizeof c->head);
	c->head_bytes = (size_t)n;
	c->sent = 0;
	conn_set_state(c, CONN_SENDING);
	answer_go_on(c);
}

void answer_send(struct conn *c, int status, const char *content_type, size_t json_bytes)
{
	send_answer(c, status, content_type, json_bytes, "");
}

/* ---- refusals ---- */

void answer_refuse(struct conn *c, enum problem problem, const char *extra, const char *fmt, ...)
{
	struct why detail;
	char text[sizeof detail.text];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	why_set(&detail, "%s", text);
	json_reset(&c->job.out);
	if (route_is_v2(c->route)) {
		oip_write_error(&c->job.out, str_of(detail.text));
	} else {
		problem_write(&c->job.out, problem, str_of(detail.text), false);
	}
	const char *type = route_is_v2(c->route) ? "application/json" : "application/problem+json";
	send_answer(c, problem_status(problem), type, 0, extra);
}
