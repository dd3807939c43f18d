/* A connection asks one or two requests (the second behind the first, without waiting), reads their answers,
 * thinks, asks again, and hangs up; unless it leaves first, at any point.
 */
#include "fake_client.h"

#include "ask.h"
#include "follow.h"
#include "own.h"
#include "talk.h"
#include "world.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	PIPELINE = 2,
	PATIENCE_US = 40 * 1000 * 1000, /* of those who wait for nothing but the gateway's time-outs */
	CONTINUE_US = 1000 * 1000,      /* then the body is sent without a 100 (RFC 9110 §10.1.1) */
	TEXT_MIN = 1000,                /* most are shorter */
	TEXT_MAX = 8 * 1024,
};

struct fake_client {
	struct list_node node; /* on world->clients */
	struct world *world;   /* borrowed: the owner */
	struct wire_end *end;  /* borrowed */
	struct reader reader;
	struct outgoing out;
	struct event act;          /* asks, or goes on without a 100 */
	struct event leave;        /* leaves, or is out of patience */
	struct event resume;       /* reads on */
	uint32_t asked[PIPELINE];  /* tokens */
	uint32_t behind[PIPELINE]; /* bytes that are sent after the request */
	uint32_t n_asked, to_ask;
	uint64_t idle_since_us; /* or before: Berth sees an answer's end when it has sent it */
	uint64_t first_byte_us; /* of the answers to what was asked; 0: none has come */
	bool open;              /* the connection stands */
	bool leave_at_answer;   /* with its first byte */
	bool left;              /* what comes is not looked at */
	bool turned_away;       /* there are too many connections */
	bool expects;           /* waits for a 100 before it sends the body */
	bool said_close;        /* one of us has said that the connection ends here */
	bool asked_close;       /* the last request says so */
	bool may_close;         /* the last request may end the connection */
	bool slow;              /* reads with pauses */
	/* the answer at hand */
	bool answering, interim, from_container, is_problem, keeps;
	bool failed_job; /* the problem is the job's */
	bool is_stream;  /* of events */
	struct follow follow;
	int status;
	uint64_t got_bytes;
	char *text; /* owned; text_bytes: of Berth's own answer */
	uint32_t text_bytes, text_cap;
};

static const struct wire_ops client_ops;

static bool chance(struct fake_client *c, uint32_t ppm)
{
	return ppm && rand_chance(&c->world->rand, ppm);
}

static const struct client_plan *plan_of(const struct fake_client *c)
{
	return &c->world->plan.client;
}

static void set(struct fake_client *c, struct event *e, uint64_t after_us)
{
	event_set(&c->world->sim->schedule, e, world_now_us(c->world) + after_us);
}

static struct record *first_asked(struct fake_client *c)
{
	return ledger_at(&c->world->ledger, c->asked[0]);
}

/* ---- the end ---- */

static void client_free(struct fake_client *c)
{
	struct schedule *s = &c->world->sim->schedule;
	event_stop(s, &c->act);
	event_stop(s, &c->leave);
	event_stop(s, &c->resume);
	outgoing_finish(&c->out);
	reader_finish(&c->reader);
	free(c->text);
	list_remove(&c->world->clients, &c->node);
	free(c);
}

static void hang_up(struct fake_client *c, bool reset)
{
	struct world *w = c->world;
	bool turned_away = c->turned_away;
	wire_close(c->end, reset);
	client_free(c);
	world_client_gone(w, turned_away);
}

static void settle(struct fake_client *c, enum fate fate)
{
	struct record *r = first_asked(c);
	TRACE(c->world, "token %u is over: fate %d", c->asked[0], fate);
	CHECK(r->fate == FATE_OPEN);
	r->fate = (uint8_t)fate;
	c->world->tally->fates[fate]++;
	c->n_asked--;
	c->asked[0] = c->asked[1];
	c->behind[0] = c->behind[1];
	if (c->n_asked)
		c->reader.asked = (enum http_method)first_asked(c)->method;
}

static void settle_all(struct fake_client *c, enum fate fate)
{
	while (c->n_asked)
		settle(c, fate);
}

/* ---- leaving ---- */

static void vanish(struct fake_client *c)
{
	struct world *w = c->world;
	TRACE(w, "a client vanishes");
	settle_all(c, FATE_LEFT);
	wire_vanish(c->end, KEEPALIVE_US);
	client_free(c);
	world_client_gone(w, false);
}

static void leave(struct fake_client *c)
{
	struct world *w = c->world;
	bool waits = w->plan.settings.half_close_waits;
	uint64_t how = rand_below(&w->rand, 3);
	if (chance(c, plan_of(c)->vanish_ppm)) {
		vanish(c);
	} else if (how < 2 || c->left) {
		TRACE(w, "a client leaves%s", how ? " with a reset" : "");
		settle_all(c, FATE_LEFT);
		hang_up(c, how);
	} else if (waits && c->n_asked == 1 && outgoing_is_done(&c->out) && !c->leave_at_answer) {
		TRACE(w, "a client sends no more, and waits");
		wire_shutdown(c->end);
		c->said_close = c->may_close = true;
	} else {
		TRACE(w, "a client sends no more");
		settle_all(c, FATE_LEFT);
		c->left = true;
		outgoing_finish(&c->out);
		event_stop(&w->sim->schedule, &c->act);
		wire_shutdown(c->end);
		set(c, &c->leave, PATIENCE_US);
	}
}

static void on_leave(struct event *e)
{
	leave(CONTAINER_OF(e, struct fake_client, leave));
}

/* ---- connecting ---- */

static void on_act(struct event *e);
static void on_pace(struct event *e);
static void on_resume(struct event *e);

void client_begin(struct world *w)
{
	struct fake_client *c = sim_alloc(sizeof *c);
	*c = (struct fake_client){ .world = w };
	c->end = io_sim_connect(w->sim, PLAN_FRONT_PORT, &client_ops, c);
	c->act.fire = on_act;
	c->leave.fire = on_leave;
	c->resume.fire = on_resume;
	c->to_ask = 1 + (uint32_t)rand_below(&w->rand, w->plan.client.per_connection_max);
	reader_init(&c->reader, &w->client_head, true);
	outgoing_init(&c->out, c->end, &w->sim->schedule, &w->rand);
	c->out.pace.fire = on_pace;
	list_push_back(&w->clients, &c->node);
}

void clients_end(struct world *w)
{
	list_for_each_safe (n, &w->clients) {
		struct fake_client *c = CONTAINER_OF(n, struct fake_client, node);
		wire_close(c->end, true);
		client_free(c);
	}
}

static void think(struct fake_client *c)
{
	set(c, &c->act, rand_below(&c->world->rand, plan_of(c)->think_max_us + 1));
}

static void on_open(struct wire_end *e)
{
	struct fake_client *c = e->owner;
	c->open = true;
	c->idle_since_us = world_now_us(c->world);
	if (!c->n_asked)
		think(c);
}

/* ---- asking ---- */

static void note_sent(struct fake_client *c)
{
	uint32_t unsent = c->out.len - c->out.at;
	for (uint32_t i = 0; i < c->n_asked; i++) {
		struct record *r = ledger_at(&c->world->ledger, c->asked[i]);
		if (r->sent_us == UINT64_MAX && unsent <= c->behind[i])
			r->sent_us = world_now_us(c->world);
	}
}

/* A send's end. A connection that is broken says so by itself, too, but for this send. */
static void sent(struct fake_client *c, int err);

/* Decides whether, when and how the client leaves this exchange. bytes: of the request. */
static void draw_leaving(struct fake_client *c, uint32_t bytes)
{
	const struct client_plan *p = plan_of(c);
	struct rand *r = &c->world->rand;
	c->slow = chance(c, p->slow_ppm);
	if (c->n_asked == 1 && chance(c, p->stall_ppm)) {
		c->out.limit = 1 + (uint32_t)rand_below(r, bytes);
		if (c->out.limit < bytes)
			first_asked(c)->stalled = true;
		set(c, &c->leave, PATIENCE_US);
	} else if (chance(c, p->leave_ppm)) {
		uint64_t point = rand_below(r, 4);
		if (point == 0)
			c->out.limit = (uint32_t)rand_below(r, bytes + 1);
		c->leave_at_answer = point == 1;
		if (point != 1)
			set(c, &c->leave, rand_below(r, point == 2 ? 1000 : 100 * 1000));
	}
}

static uint32_t draw_requests(struct fake_client *c, struct ask *asks)
{
	struct world *w = c->world;
	uint32_t n = chance(c, plan_of(c)->pipeline_ppm) ? 2 : 1;
	for (uint32_t i = 0; i < n; i++) {
		ask_draw(w, &asks[i], i + 1 == n);
		if (i + 1 < n)
			asks[i].expect = false;
		c->asked[i] = asks[i].token;
		ledger_at(&w->ledger, asks[i].token)->idled_us = world_now_us(w) - c->idle_since_us;
	}
	if (n > 1)
		asks[1].expect = false;
	return n;
}

static void ask(struct fake_client *c)
{
	struct world *w = c->world;
	struct ask asks[PIPELINE];
	struct writer out;
	uint32_t n = draw_requests(c, asks);
	size_t room = 0;
	for (uint32_t i = 0; i < n; i++)
		room += ask_room(w, &asks[i]);
	writer_init(&out, world_scratch(w, room), room);
	for (uint32_t i = 0; i < n; i++) {
		ask_write(w, &asks[i], &out);
		c->behind[i] = (uint32_t)writer_len(&out);
	}
	for (uint32_t i = 0; i < n; i++)
		c->behind[i] = (uint32_t)writer_len(&out) - c->behind[i];
	const struct record *last = ledger_at(&w->ledger, c->asked[n - 1]);
	c->n_asked = n;
	c->to_ask = c->to_ask > n ? c->to_ask - n : 0;
	c->asked_close = asks[n - 1].close;
	c->may_close = c->asked_close || last->old || last->kind == ASK_BAD;
	c->reader.asked = (enum http_method)first_asked(c)->method;
	c->expects = asks[0].expect && n == 1;
	c->out.limit = c->expects ? (uint32_t)asks[0].head_bytes : UINT32_MAX;
	draw_leaving(c, (uint32_t)writer_len(&out));
	bool drips = chance(c, plan_of(c)->drip_ppm);
	outgoing_drip(&c->out, drips ? plan_of(c)->drip_piece_max : 0, plan_of(c)->drip_pause_max_us,
		writer_len(&out));
	if (c->expects)
		set(c, &c->act, CONTINUE_US);
	TRACE(w, "a client asks token %u%s, %zu bytes", c->asked[0], n > 1 ? " and the next" : "",
		writer_len(&out));
	sent(c, outgoing_put(&c->out, out.start, writer_len(&out)));
}

static void send_body(struct fake_client *c)
{
	event_stop(&c->world->sim->schedule, &c->act);
	c->expects = false;
	if (!event_is_set(&c->leave))
		c->out.limit = UINT32_MAX;
	sent(c, outgoing_go(&c->out));
}

static void on_act(struct event *e)
{
	struct fake_client *c = CONTAINER_OF(e, struct fake_client, act);
	struct world *w = c->world;
	if (c->expects)
		send_body(c);
	else if (fault_strikes(&w->sim->faults, FAULT_CLIENT_LOST))
		vanish(c);
	else if (c->to_ask && (w->exchanges_left || w->n_jobs) && !c->said_close)
		ask(c);
	else
		hang_up(c, false);
}

static void on_pace(struct event *e)
{
	struct fake_client *c = CONTAINER_OF(e, struct fake_client, out.pace);
	sent(c, outgoing_go(&c->out));
}

static void on_room(struct wire_end *e)
{
	struct fake_client *c = e->owner;
	sent(c, outgoing_go(&c->out));
}

/* ---- an answer's head ---- */

/* "token-delivery" */
static void check_token(struct fake_client *c, uint32_t token, struct str value)
{
	struct world *w = c->world;
	uint64_t t, delivery;
	struct str rest = value, first = str_cut(&rest, '-');
	VERIFY(w, str_to_u64(first, &t) && str_to_u64(rest, &delivery), "X-Token is " STR_FMT,
		STR_ARG(value));
	VERIFY(w, t == token, "token %u gets the answer to token %llu", token, (unsigned long long)t);
	const struct record *r = ledger_at(&w->ledger, token);
	VERIFY(w, delivery == r->deliveries, "token %u gets the answer to its delivery %llu of %u", token,
		(unsigned long long)delivery, r->deliveries);
	VERIFY(w, c->reader.head->status == r->answer_status, "token %u gets status %d for %u", token,
		c->reader.head->status, r->answer_status);
}

static void check_container_head(struct fake_client *c, const struct http_field *token)
{
	struct world *w = c->world;
	const struct http_head *h = c->reader.head;
	const struct record *r = first_asked(c);
	const struct http_field *via = http_field(h, FIELD_VIA), *timing = http_field(h, FIELD_SERVER_TIMING);
	bool result = r->kind == ASK_RESULT;
	VERIFY(w, result || r->kind == ASK_PLAIN, "a container answers what is not its affair");
	VERIFY(w, !r->async || r->waits, "token %u did not want to wait, and gets the answer", c->asked[0]);
	check_token(c, result ? r->job : c->asked[0], token->value);
	VERIFY(w, !http_field_named(h, STR("X-Inner")), "a hop-by-hop field of the answer is passed on");
	if (result) {
		const struct http_field *state = http_field_named(h, STR("Berth-Job-State"));
		VERIFY(w, state && str_eq(state->value, STR("done")), "a result without its state");
		return;
	}
	VERIFY(w, r->sent_us != UINT64_MAX, "token %u is answered before it was sent", c->asked[0]);
	VERIFY(w, via && str_eq(via->value, STR("1.1 berth")), "an answer without Via");
	VERIFY(w, timing && str_starts(timing->value, STR("queue;dur=")), "an answer without Server-Timing");
}

/* There may be more connections than are allowed: one past the limit is answered at once, and closed. */
static bool may_be_one_too_many(const struct fake_client *c)
{
	int status = c->reader.head->status;
	return (status == 503 || status == 429) && judge_crowd(c->world);
}

/* A connection that could go on must. */
static void check_keep_alive(struct fake_client *c)
{
	struct world *w = c->world;
	const struct record *r = first_asked(c);
	bool refused_body = c->is_problem && (r->has_body || r->sent_us == UINT64_MAX);
	bool last = c->n_asked == 1;
	bool fair = w->draining || refused_body || r->kind == ASK_BAD || (last && c->may_close) ||
		c->status == 408 || r->old || may_be_one_too_many(c) ||
		(c->status == 503 && judge_overload(w)) || /* a part of a head could not be kept */
		(!last && judge_no_room_behind(w, c->asked[1]));
	VERIFY(w, c->keeps || fair, "token %u: the connection is closed for no reason", c->asked[0]);
	VERIFY(w, !c->keeps || !last || !c->asked_close, "token %u: Connection: close is not heard",
		c->asked[0]);
	VERIFY(w, !c->keeps || !last || r->sent_us != UINT64_MAX,
		"token %u: the connection goes on although the rest of the request is to come", c->asked[0]);
}

/* 202: the request goes on as a job. */
static void check_accepted(struct fake_client *c)
{
	struct world *w = c->world;
	const struct http_head *h = c->reader.head;
	const struct http_field *applied = http_field_named(h, STR("Preference-Applied"));
	const struct http_field *location = http_field_named(h, STR("Location"));
	VERIFY(w, first_asked(c)->async, "token %u is accepted as a job that it did not want to be",
		c->asked[0]);
	VERIFY(w, applied && str_eq(applied->value, STR("respond-async")),
		"a 202 without Preference-Applied");
	VERIFY(w, location && str_starts(location->value, STR("/berth/jobs/")), "a 202 without Location");
}

static bool is_type(const struct http_head *h, struct str type)
{
	const struct http_field *f = http_field(h, FIELD_CONTENT_TYPE);
	return f && str_eq(f->value, type);
}

/* An answer before anything was asked: there are too many connections. */
static void turned_away(struct fake_client *c)
{
	struct world *w = c->world;
	VERIFY(w, may_be_one_too_many(c), "an answer to nothing: " STR_FMT,
		STR_ARG(c->reader.head->start_line));
	c->said_close = c->left = c->turned_away = true;
}

static void check_own_head(struct fake_client *c)
{
	struct world *w = c->world;
	const struct http_head *h = c->reader.head;
	uint8_t kind = first_asked(c)->kind;
	c->is_stream = kind == ASK_EVENTS && is_type(h, STR("text/event-stream"));
	c->follow = (struct follow){ 0 };
	VERIFY(w,
		c->is_problem || c->is_stream || is_type(h, STR("application/json")) ||
			(kind == ASK_CANCEL && h->status == 204),
		"an answer of no known type: " STR_FMT, STR_ARG(h->start_line));
	if (h->status == 202 && kind != ASK_CANCEL)
		check_accepted(c);
}

static void head_read(struct fake_client *c)
{
	struct world *w = c->world;
	const struct http_head *h = c->reader.head;
	c->interim = h->status < 200;
	if (c->interim) {
		VERIFY(w, h->status == 100 && c->n_asked, "an interim answer: " STR_FMT,
			STR_ARG(h->start_line));
		return;
	}
	if (!c->n_asked) {
		turned_away(c);
		return;
	}
	const struct http_field *token = http_field_named(h, STR("X-Token"));
	const struct http_field *job_state = http_field_named(h, STR("Berth-Job-State"));
	c->answering = true;
	c->status = h->status;
	c->failed_job = job_state && !str_eq(job_state->value, STR("done"));
	c->from_container = token;
	c->is_problem = !token && is_type(h, STR("application/problem+json"));
	c->keeps = h->keep_alive;
	c->got_bytes = c->text_bytes = 0;
	TRACE(w, "token %u gets " STR_FMT, c->asked[0], STR_ARG(h->start_line));
	if (token)
		check_container_head(c, token);
	else
		check_own_head(c);
	c->turned_away = may_be_one_too_many(c) && !c->keeps;
	check_keep_alive(c);
}

/* ---- an answer's body ---- */

static void grow_text(struct fake_client *c, uint32_t least)
{
	c->text_cap = least > TEXT_MIN ? TEXT_MAX : TEXT_MIN;
	c->text = sim_realloc(c->text, c->text_cap);
}

/* Whole events are judged, and make room for the next. */
static void take_events(struct fake_client *c)
{
	struct str text = { c->text, c->text_bytes }, event;
	while ((event = follow_cut(text)).len) {
		const char *wrong = follow_event(&c->follow, event);
		VERIFY(c->world, !wrong, "an event of job %u: %s, after %s: %.*s", first_asked(c)->job, wrong,
			c->follow.id, (int)event.len, event.ptr);
		text = str_skip(text, event.len);
	}
	memmove(c->text, text.ptr, text.len);
	c->text_bytes = (uint32_t)text.len;
}

static void payload_read(struct fake_client *c, struct str payload)
{
	struct world *w = c->world;
	if (c->from_container) {
		const struct record *r = first_asked(c);
		uint32_t token = r->kind == ASK_RESULT ? r->job : c->asked[0];
		VERIFY(w, pattern_fits(&w->ledger, token, SIDE_ANSWER, c->got_bytes, payload),
			"token %u gets other bytes than its container sent", token);
	} else {
		VERIFY(w, c->text_bytes + payload.len <= TEXT_MAX, "Berth's own answer is too long");
		if (c->text_bytes + payload.len > c->text_cap)
			grow_text(c, c->text_bytes + (uint32_t)payload.len);
		memcpy(c->text + c->text_bytes, payload.ptr, payload.len);
		c->text_bytes += (uint32_t)payload.len;
		if (c->is_stream)
			take_events(c);
	}
	c->got_bytes += payload.len;
}

static enum problem problem_of(struct fake_client *c, const struct own_answer *own)
{
	static const char prefix[] = "urn:berth:problem:";
	size_t n = sizeof prefix - 1;
	for (int p = 0; p < PROBLEM_COUNT && !strncmp(own->type, prefix, n); p++) {
		if (!strcmp(own->type + n, problem_name((enum problem)p))) {
			VERIFY(c->world, own->status == problem_status((enum problem)p),
				"the problem %s says status %d", own->type, (int)own->status);
			return (enum problem)p;
		}
	}
	world_fail(c->world, __FILE__, __LINE__, "an unknown problem: %s", own->type);
}

static struct open_job *find_job(struct world *w, uint32_t token)
{
	for (uint32_t i = 0; i < w->n_jobs; i++) {
		if (w->jobs[i].token == token)
			return &w->jobs[i];
	}
	return NULL;
}

static void forget_job(struct world *w, uint32_t token)
{
	struct open_job *job = find_job(w, token);
	if (job)
		*job = w->jobs[--w->n_jobs];
}

static void keep_job(struct fake_client *c, const struct own_answer *own)
{
	struct world *w = c->world;
	char url[96];
	VERIFY(w, strlen(own->id) == WORLD_ID_CHARS, "the job's id is \"%s\"", own->id);
	snprintf(url, sizeof url, "/berth/jobs/%s", own->id);
	VERIFY(w, !strcmp(own->status_url, url), "status_url is %s", own->status_url);
	strcat(url, "/result");
	VERIFY(w, !strcmp(own->result_url, url), "result_url is %s", own->result_url);
	first_asked(c)->acknowledged = true;
	w->tally->jobs++;
	if (w->n_jobs == WORLD_JOBS)
		return;
	struct open_job *job = &w->jobs[w->n_jobs++];
	*job = (struct open_job){ .token = c->asked[0] };
	memcpy(job->id, own->id, WORLD_ID_CHARS);
}

static void check_submission(struct fake_client *c, const struct own_answer *own)
{
	struct world *w = c->world;
	struct record *r = first_asked(c);
	char expected[128];
	uint32_t n = own->position > 0 ? (uint32_t)own->position : 0;
	if (n)
		snprintf(expected, sizeof expected,
			"Request received and will be processed soon. %u process prior to yours", n);
	else
		snprintf(expected, sizeof expected, "Request received and being processed");
	VERIFY(w, !strcmp(own->message, expected), "token %u is told \"%s\"", c->asked[0], own->message);
	VERIFY(w, !r->position || r->position == n, "token %u is told place %u and has %u", c->asked[0], n,
		r->position);
	VERIFY(w, own->position >= 0 && own->has_eta, "token %u is told no place, or no eta_ms", c->asked[0]);
	keep_job(c, own);
}

static void check_poll(struct fake_client *c, const struct own_answer *own)
{
	struct world *w = c->world;
	struct open_job *job = find_job(w, first_asked(c)->job);
	bool queued = !strcmp(own->state, "queued"), running = !strcmp(own->state, "running");
	bool over = !strcmp(own->state, "done") || !strcmp(own->state, "failed") ||
		!strcmp(own->state, "expired") || !strcmp(own->state, "cancelled");
	VERIFY(w, queued || running || over, "a job is in state \"%s\"", own->state);
	bool stuck = own->position <= 0 && judge_want(w); /* its end cannot be stored: it was queued last */
	VERIFY(w, queued == (own->position > 0) || stuck, "a job in state %s has place %lld", own->state,
		(long long)own->position);
	if (job) {
		VERIFY(w, !strcmp(own->id, job->id), "the job %s is shown as %s", job->id, own->id);
		VERIFY(w, over || !job->over_us || first_asked(c)->started_us < job->over_us,
			"a job that was over is %s again", own->state);
		if (over && !job->over_us)
			job->over_us = world_now_us(w);
	}
}

/* The last event tells the job's end. */
static void check_events_end(struct fake_client *c)
{
	VERIFY(c->world, c->follow.over && !c->text_bytes, "events end before the job: %.*s",
		(int)c->text_bytes, c->text);
}

static void own_answer_read(struct fake_client *c)
{
	struct world *w = c->world;
	const struct record *r = first_asked(c);
	struct own_answer own;
	if (r->kind == ASK_CANCEL)
		forget_job(w, r->job);
	if (r->method == HTTP_HEAD || c->status == 204)
		return;
	if (c->is_stream) {
		check_events_end(c);
		return;
	}
	VERIFY(w, own_read(c->text, c->text_bytes, &own), "token %u: not the JSON that Berth writes: %.*s",
		c->asked[0], (int)c->text_bytes, c->text);
	if (c->is_problem) {
		enum problem p = problem_of(c, &own);
		VERIFY(w, own.status == c->status, "status %d with a problem of status %d", c->status,
			(int)own.status);
		judge_problem(w, c->failed_job ? r->job : c->asked[0], p);
		if (c->failed_job || ((p == PROBLEM_NOT_FOUND || p == PROBLEM_GONE) && r->kind != ASK_BAD))
			forget_job(w, r->job);
		return;
	}
	bool fair = r->kind == ASK_PLAIN || r->kind == ASK_CANCEL ? c->status == 202
		: r->kind == ASK_OWN                              ? c->status == 200 || c->status == 503
								  : c->status == 200 && r->kind != ASK_BAD;
	VERIFY(w, fair, "Berth answers token %u itself with status %d", c->asked[0], c->status);
	if (r->kind == ASK_SUBMIT)
		check_submission(c, &own);
	else if (r->kind == ASK_PLAIN)
		keep_job(c, &own);
	else if (r->kind == ASK_POLL)
		check_poll(c, &own);
}

static void container_answer_read(struct fake_client *c)
{
	struct world *w = c->world;
	const struct record *r = first_asked(c);
	uint32_t token = r->kind == ASK_RESULT ? r->job : c->asked[0];
	const struct record *of = ledger_at(&w->ledger, token);
	VERIFY(w, of->answered, "token %u gets an answer that its container did not finish", token);
	VERIFY(w, c->got_bytes == (of->answer_empty ? 0 : of->answer_bytes), "token %u gets %llu bytes of %u",
		token, (unsigned long long)c->got_bytes, of->answer_bytes);
	if (r->kind == ASK_RESULT)
		forget_job(w, token);
}

static void answer_read(struct fake_client *c)
{
	c->answering = false;
	if (c->from_container)
		container_answer_read(c);
	else
		own_answer_read(c);
	bool head_unseen = c->status == 408 || c->turned_away;
	settle(c, c->is_problem ? FATE_PROBLEM : FATE_ANSWERED);
	if (!c->keeps) { /* what was sent behind it is asked in vain */
		c->said_close = true;
		settle_all(c, FATE_CUT);
		c->left = head_unseen; /* Berth did not know whether a HEAD was asked, and sent a body */
	}
	if (c->n_asked)
		return;
	event_stop(&c->world->sim->schedule, &c->leave);
	c->expects = c->leave_at_answer = false;
	outgoing_finish(&c->out);
	c->out.limit = UINT32_MAX;
	c->idle_since_us = c->first_byte_us;
	c->first_byte_us = 0;
	think(c);
}

/* ---- receiving ---- */

static void slow_down(struct fake_client *c)
{
	const struct client_plan *p = plan_of(c);
	if (c->left || !c->end->open)
		return;
	if (chance(c, p->stuck_ppm)) {
		settle_all(c, FATE_LEFT);
		c->left = true;
		wire_pause(c->end, true);
		event_stop(&c->world->sim->schedule, &c->act);
		set(c, &c->leave, PATIENCE_US);
	} else if (c->slow) {
		wire_pause(c->end, true);
		set(c, &c->resume, 1 + rand_below(&c->world->rand, p->slow_pause_max_us));
	}
}

static void on_resume(struct event *e)
{
	struct fake_client *c = CONTAINER_OF(e, struct fake_client, resume);
	wire_pause(c->end, false);
}

static void on_bytes(struct wire_end *e, const char *bytes, size_t n)
{
	struct fake_client *c = e->owner;
	struct str in = { bytes, n }, payload;
	bool go_on = false;
	if (!c->first_byte_us)
		c->first_byte_us = world_now_us(c->world);
	if (c->leave_at_answer && !c->left) {
		leave(c);
		return;
	}
	while (!c->left) {
		enum reading got = reader_next(&c->reader, &in, &payload);
		if (got == READ_BAD && c->is_problem && c->said_close && !c->n_asked && in.len &&
			*in.ptr == '{')
			return; /* the refusal of a HEAD of which not even the method had come has a body */
		VERIFY(c->world, got != READ_BAD, "an answer that cannot be read: %s",
			parse_error_text(c->reader.head->error));
		if (got == READ_MORE)
			break;
		if (got == READ_HEAD)
			head_read(c);
		else if (got == READ_PAYLOAD)
			payload_read(c, payload);
		else if (c->interim)
			go_on = c->expects;
		else
			answer_read(c);
	}
	slow_down(c);
	if (go_on)
		send_body(c);
}

/* The connection has ended without our doing. reset: some of an answer may have been lost on the way. */
static void ended(struct fake_client *c, bool reset)
{
	struct world *w = c->world;
	if (c->n_asked) {
		TRACE(w, "token %u: the connection ends", c->asked[0]);
		bool some_answer = reset || c->answering || reader_is_inside(&c->reader);
		bool fair = judge_cut(w, c->asked[0], some_answer) ||
			(reset && c->n_asked > 1 && /* both are lost */
				(judge_cut(w, c->asked[1], true) || first_asked(c)->old));
		VERIFY(w, fair, "token %u: the connection ends without %s answer", c->asked[0],
			some_answer ? "the whole" : "an");
		settle_all(c, FATE_CUT);
	}
	hang_up(c, false);
}

static void on_eof(struct wire_end *e)
{
	struct fake_client *c = e->owner;
	if (c->left) {
		hang_up(c, false);
		return;
	}
	if (reader_eof(&c->reader))
		answer_read(c);
	ended(c, false);
}

static void on_broken(struct wire_end *e, int err)
{
	struct fake_client *c = e->owner;
	struct world *w = c->world;
	if (!c->open)
		VERIFY(w, w->draining || judge_crowd(w), "a connection is refused: %s", strerror(-err));
	c->turned_away |= !c->n_asked && judge_crowd(w);
	if (c->left)
		hang_up(c, false);
	else
		ended(c, true);
}

static void sent(struct fake_client *c, int err)
{
	if (err == 0)
		note_sent(c);
	else if (c->left)
		hang_up(c, false);
	else
		ended(c, true);
}

static const struct wire_ops client_ops = {
	.on_open = on_open,
	.on_bytes = on_bytes,
	.on_eof = on_eof,
	.on_broken = on_broken,
	.on_room = on_room,
};
