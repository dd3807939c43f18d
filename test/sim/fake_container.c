/* A seat is one connection:
 *
 *   IDLE ──first byte──▶ READING ──whole, or early──▶ WORKING ──▶ ANSWERING ──last byte──▶ IDLE, or closed
 *
 * A request that is answered early goes on to be read while it is answered, and after it.
 */
#include "fake_container.h"

#include "http/write.h"
#include "seat.h"
#include "world.h"

#include <stdio.h>
#include <stdlib.h>

enum { HANG_US = 60 * 1000 * 1000, SLOW_CHECK_US = 4 * 1000 * 1000 }; /* at most */

static const struct wire_ops seat_ops;

static void set(struct fake_container *c, struct event *e, uint64_t after_us)
{
	event_set(&c->world->sim->schedule, e, world_now_us(c->world) + after_us);
}

static struct record *record_of(struct seat *s)
{
	return s->token == NO_TOKEN || s->late ? NULL : ledger_at(&s->container->world->ledger, s->token);
}

/* ---- the end of a request, and of a connection ---- */

/* Berth may have to fail this request, and may even think that it never arrived. */
static void harm(struct seat *s, bool maybe_stale)
{
	struct record *r = record_of(s);
	if (r) {
		r->harmed = true;
		r->maybe_stale = maybe_stale;
	}
	oracle_trouble(s->container->world, s->container->pool);
}

static void over(struct seat *s)
{
	if (s->counted)
		s->container->in_flight--;
	s->counted = false;
	s->state = SEAT_IDLE;
}

static void seat_free(struct seat *s)
{
	struct fake_container *c = s->container;
	over(s);
	event_stop(&c->world->sim->schedule, &s->act);
	outgoing_finish(&s->out);
	reader_finish(&s->reader);
	list_remove(&c->seats, &s->node);
	free(s);
}

static void seat_close(struct seat *s, bool reset)
{
	/* a kept-alive connection's end before an answer's first byte, as Berth sees it */
	bool silent = s->state == SEAT_READING || s->state == SEAT_WORKING || s->state == SEAT_HUNG;
	bool lost = (reset || s->reading) && wire_unread(wire_peer(s->end));
	if (s->state != SEAT_IDLE || lost)
		harm(s, s->answers > 0 && (silent || lost));
	else
		oracle_trouble(s->container->world, s->container->pool); /* a request may be on its way */
	wire_close(s->end, reset);
	seat_free(s);
}

static void on_act(struct event *e);
static void on_pace(struct event *e);

/* ---- connections ---- */

void container_end_remains(struct fake_container *c, bool all)
{
	list_for_each_safe (n, &c->seats) {
		struct seat *s = CONTAINER_OF(n, struct seat, node);
		if (s->vanished || (s->gone && all))
			seat_free(s);
	}
}

/* Berth can ask it whether anything is in flight. */
static bool is_asked(const struct fake_container *c)
{
	return c->world->reactor->settings->pools[c->pool].idle_probe.path;
}

enum dial container_dial(struct fake_container *c)
{
	enum dial dial = DIAL_TRY;
	if (c->mood == MOOD_VANISHED || chance(c, plan_of(c)->hang_dial_ppm))
		dial = DIAL_HANGS;
	else if (c->mood == MOOD_DEAD || chance(c, plan_of(c)->refuse_ppm))
		dial = rand_below(rand_of(c), 4) ? DIAL_REFUSED : DIAL_REFUSED_NOW;
	if (dial != DIAL_TRY)
		oracle_trouble(c->world, c->pool);
	if (dial != DIAL_TRY &&
		!is_asked(c)) /* who does not listen runs nothing, or is asked when it is back */
		container_end_remains(c, true);
	return dial;
}

bool container_answer(struct fake_container *c, struct wire_end *far)
{
	struct world *w = c->world;
	if (c->mood != MOOD_WELL) {
		oracle_trouble(w, c->pool);
		return false;
	}
	struct seat *s = sim_alloc(sizeof *s);
	*s = (struct seat){ .container = c, .end = far };
	s->act.fire = on_act;
	s->token = NO_TOKEN;
	reader_init(&s->reader, &w->container_head, false);
	outgoing_init(&s->out, far, &w->sim->schedule, rand_of(c));
	s->out.pace.fire = on_pace;
	wire_attach(far, &seat_ops, s);
	list_push_back(&c->seats, &s->node);
	return true;
}

/* ---- reading ---- */

/* It is at a health check. */
static bool is_checked(const struct seat *s)
{
	return s->state == SEAT_WORKING && s->token == NO_TOKEN && !s->idle_probe;
}

/* A model server does not notice that its client is gone while it is at work. Where there is no way to ask
 * it, it is one that notices. */
static bool works_on(const struct seat *s)
{
	return is_asked(s->container) && !s->idle_probe && !s->babbled &&
		(s->state == SEAT_WORKING || s->state == SEAT_HUNG);
}

/* Berth has closed the connection, which is still under way, perhaps behind the rest of a request: nobody
 * runs half a request, and who notices that its client is gone stops. */
static bool is_broken_off(const struct seat *s)
{
	return s->state != SEAT_IDLE && !s->gone && (s->end->fin || s->end->err) && !works_on(s);
}

static uint32_t broken_off(const struct fake_container *c)
{
	uint32_t n = 0;
	list_for_each (node, &c->seats)
		n += is_broken_off(CONTAINER_OF(node, struct seat, node)) &&
			CONTAINER_OF(node, struct seat, node)->counted;
	return n;
}

static void first_byte(struct seat *s)
{
	struct fake_container *c = s->container;
	VERIFY(c->world, s->state == SEAT_IDLE, "container %u gets bytes while it answers", c->index);
	event_stop(&c->world->sim->schedule, &s->act);
	s->state = SEAT_READING;
	s->reading = true;
	s->token = NO_TOKEN;
	s->began_us = world_now_us(c->world);
	s->read_bytes = 0;
	s->slip = SLIP_NONE;
	s->close = s->idle_probe = s->late = false;
}

/* I2: all but the question whether anything is in flight counts. */
static void count(struct seat *s)
{
	struct fake_container *c = s->container;
	s->counted = true;
	c->in_flight++;
	VERIFY(c->world, c->in_flight <= c->slots || c->in_flight - broken_off(c) <= c->slots,
		"I2: container %u of pool %u has %u requests in flight", c->index, c->pool, c->in_flight);
}

static void check_fields(struct seat *s, const struct record *r)
{
	struct world *w = s->container->world;
	const struct http_head *h = s->reader.head;
	const struct http_field *via = http_field(h, FIELD_VIA);
	VERIFY(w, via && str_starts(via->value, r->old ? STR("1.0 berth") : STR("1.1 berth")), "no Via");
	VERIFY(w, http_field(h, FIELD_X_FORWARDED_FOR), "no X-Forwarded-For");
	VERIFY(w, http_field(h, FIELD_X_REQUEST_ID), "no X-Request-Id");
	VERIFY(w, http_field(h, FIELD_TRACEPARENT), "no traceparent");
	VERIFY(w, !http_field(h, FIELD_EXPECT) && !http_field(h, FIELD_BERTH_MAX_WAIT),
		"a field for Berth was passed on");
	VERIFY(w, !http_field_named(h, STR("X-Hop")), "a hop-by-hop field was passed on");
	VERIFY(w, str_eq(h->host, STR("sim.example")), "Host is " STR_FMT, STR_ARG(h->host));
	VERIFY(w, h->minor_version == 1 && h->framing != FRAMING_CHUNKED, "not the form that Berth sends");
}

static void check_request(struct seat *s)
{
	struct fake_container *c = s->container;
	struct world *w = c->world;
	const struct http_head *h = s->reader.head;
	s->token = ledger_token(&w->ledger, h->query);
	VERIFY(w, s->token != NO_TOKEN, "container %u gets " STR_FMT, c->index, STR_ARG(h->start_line));
	struct record *r = ledger_at(&w->ledger, s->token);
	bool submit = r->kind == ASK_SUBMIT;
	struct str path = submit ? STR("/run_model") : STR("/p");
	VERIFY(w, r->kind == ASK_PLAIN || submit, "a request that is for Berth itself reaches a container");
	VERIFY(w, r->pool == c->pool, "token %u is of pool %u and comes to pool %u", s->token, r->pool,
		c->pool);
	VERIFY(w, str_eq(str_skip(h->path, c->pool ? 2 : 0), path), "its path is " STR_FMT, STR_ARG(h->path));
	VERIFY(w, h->method == (submit ? HTTP_POST : (enum http_method)r->method), "its method is " STR_FMT,
		STR_ARG(h->method_name));
	VERIFY(w, h->content_length == r->body_bytes, "token %u: %llu bytes announced for %u", s->token,
		(unsigned long long)h->content_length, r->body_bytes);
	check_fields(s, r);
	s->late = s->end->fin || s->end->err;
	if (s->late)
		return;
	judge_delivery(w, s->token);
	r->deliveries++;
	r->delivered_us = world_now_us(w);
	r->whole = r->answered = r->maybe_stale = r->bounced = false;
	r->harmed = s->babbled;
	w->tally->deliveries++;
	TRACE(w, "container %u.%u reads token %u, delivery %u, %u in flight", c->pool, c->index, s->token,
		r->deliveries, c->in_flight);
}

/* It says so, whatever Berth thinks. */
static bool is_busy(struct fake_container *c)
{
	return c->world->plan.pools[c->pool].busy_status && chance(c, plan_of(c)->busy_ppm);
}

static enum slip draw_slip(struct fake_container *c)
{
	const struct container_plan *p = plan_of(c);
	if (chance(c, p->close_first_ppm))
		return SLIP_CLOSE_FIRST;
	if (chance(c, p->cut_ppm))
		return SLIP_CUT;
	if (chance(c, p->nonsense_ppm))
		return SLIP_NONSENSE;
	if (chance(c, p->bad_chunk_ppm))
		return SLIP_BAD_CHUNK;
	if (chance(c, p->extra_ppm))
		return SLIP_EXTRA;
	return chance(c, p->hang_ppm) ? SLIP_HANG : SLIP_NONE;
}

static void work(struct seat *s)
{
	struct fake_container *c = s->container;
	const struct container_plan *p = plan_of(c);
	s->state = SEAT_WORKING;
	if (s->slip == SLIP_HANG) {
		s->state = SEAT_HUNG;
		harm(s, false);
		set(c, &s->act, 1 + rand_below(rand_of(c), HANG_US));
		return;
	}
	struct faults *f = &c->world->sim->faults;
	if (is_checked(s) && fault_strikes(f, FAULT_SLOW_CHECK)) {
		oracle_trouble(c->world, c->pool);
		set(c, &s->act, 1 + rand_below(&f->rand, SLOW_CHECK_US));
		return;
	}
	uint64_t range_us = s->token == NO_TOKEN ? 0 : p->service_max_us - p->service_min_us;
	set(c, &s->act, p->service_min_us + rand_below(rand_of(c), range_us + 1));
}

/* A probe is sent only while no request is in flight; one that was sent after it may overtake it. */
static void check_probe(struct seat *s)
{
	struct fake_container *c = s->container;
	const struct plan *p = &c->world->plan;
	uint64_t slack_us = p->container_wire.latency_max_us + p->grain_us;
	list_for_each (node, &c->seats) {
		const struct seat *other = CONTAINER_OF(node, struct seat, node);
		bool overtaken = other->began_us + slack_us >= s->began_us ||
			other->began_us <= c->world->oracle.slept_us; /* a probe may have slept on its way */
		bool unasked =
			other->gone && !is_asked(c); /* a reload has taken away the probe that asks first */
		VERIFY(c->world,
			other == s || other->state == SEAT_IDLE || is_broken_off(other) || overtaken ||
				unasked,
			"container %u is probed while it is busy", c->index);
	}
}

static void head_read(struct seat *s)
{
	struct fake_container *c = s->container;
	const struct http_head *h = s->reader.head;
	s->head_only = h->method == HTTP_HEAD;
	s->by_status = str_eq(h->path, STR("/free"));
	if (s->by_status || str_eq(h->path, STR("/idle"))) {
		s->idle_probe = true;
		return;
	}
	count(s);
	if (str_eq(h->path, STR("/health")) || str_eq(h->path, STR("/ready"))) {
		check_probe(s);
		return;
	}
	check_request(s);
	s->slip = is_busy(c) ? SLIP_BUSY : draw_slip(c);
	if (h->content_length && chance(c, plan_of(c)->early_ppm))
		work(s);
}

static void request_read(struct seat *s)
{
	struct record *r = record_of(s);
	s->reading = false;
	if (r) {
		VERIFY(s->container->world, s->read_bytes == r->body_bytes, "token %u: %llu bytes for %u",
			s->token, (unsigned long long)s->read_bytes, r->body_bytes);
		r->whole = true;
	}
	if (s->state == SEAT_READING)
		work(s);
}

static void on_bytes(struct wire_end *e, const char *bytes, size_t n)
{
	struct seat *s = e->owner;
	struct world *w = s->container->world;
	struct str in = { bytes, n }, payload;
	while (in.len) {
		if (!s->reading)
			first_byte(s);
		enum reading got = reader_next(&s->reader, &in, &payload);
		while (got != READ_MORE) {
			VERIFY(w, got != READ_BAD, "container %u gets what is no request",
				s->container->index);
			if (got == READ_HEAD) {
				head_read(s);
			} else if (got == READ_PAYLOAD) {
				VERIFY(w,
					pattern_fits(
						&w->ledger, s->token, SIDE_REQUEST, s->read_bytes, payload),
					"token %u: another body came", s->token);
				s->read_bytes += payload.len;
			} else if (got == READ_END) {
				request_read(s);
				break;
			}
			got = reader_next(&s->reader, &in, &payload);
		}
	}
}

/* ---- answering ---- */

/* Bytes behind the answer that nobody has asked for. */
static void babble(struct seat *s)
{
	static const char text[] = "and this is not HTTP\r\n\r\n";
	oracle_trouble(s->container->world, s->container->pool);
	s->babbled = true;
	(void)!wire_send(s->end, &(struct iovec){ (char *)(uintptr_t)text, sizeof text - 1 }, 1);
}

/* What stands between the two has forgotten the connection: Berth hears nothing any more, and what works on
 * may do so for longer than that takes to be noticed. */
static void seat_vanish(struct seat *s, uint64_t missed_us)
{
	struct fake_container *c = s->container;
	TRACE(c->world, "container %u.%u: a connection is lost on the way", c->pool, c->index);
	harm(s, false);
	c->world->oracle.pools[c->pool].forgotten = true;
	wire_vanish(s->end, missed_us);
	if (!works_on(s)) {
		seat_free(s);
		return;
	}
	s->gone = s->vanished = true;
	s->end = NULL;
	s->state = SEAT_HUNG;
	if (!event_is_set(&s->act))
		set(c, &s->act, 1 + rand_below(rand_of(c), HANG_US));
}

static bool is_lost(struct seat *s)
{
	struct faults *f = &s->container->world->sim->faults;
	if (!fault_strikes(f, FAULT_SEAT_LOST))
		return false;
	seat_vanish(s, 1 + rand_below(&f->rand, KEEPALIVE_US));
	return true;
}

static void answered(struct seat *s)
{
	struct fake_container *c = s->container;
	const struct container_plan *p = plan_of(c);
	if (s->slip == SLIP_CUT || s->slip == SLIP_BAD_CHUNK ||
		(s->slip == SLIP_NONSENSE && rand_below(rand_of(c), 2))) {
		seat_close(s, rand_below(rand_of(c), 2));
		return;
	}
	if (s->close && s->reading)
		harm(s, s->answers > 0); /* what still comes resets the connection */
	s->answers++;
	over(s);
	if (s->slip == SLIP_EXTRA)
		babble(s);
	if (s->close) {
		wire_close(s->end, false);
		seat_free(s);
	} else if (!is_lost(s) && chance(c, p->idle_close_ppm)) {
		set(c, &s->act, rand_below(rand_of(c), p->idle_close_max_us + 1));
	}
}

/* Sends what goes; sees to the end when all has gone. */
static void go_on(struct seat *s, int err)
{
	if (err < 0) { /* Berth has closed it */
		wire_close(s->end, false);
		seat_free(s);
		return;
	}
	if (s->state == SEAT_ANSWERING && outgoing_is_done(&s->out))
		answered(s);
}

static void on_pace(struct event *e)
{
	struct seat *s = CONTAINER_OF(e, struct seat, out.pace);
	go_on(s, outgoing_go(&s->out));
}

static void on_room(struct wire_end *e)
{
	struct seat *s = e->owner;
	go_on(s, outgoing_go(&s->out));
}

static void send_answer(struct seat *s, const char *bytes, size_t n)
{
	struct fake_container *c = s->container;
	const struct container_plan *p = plan_of(c);
	bool drips = s->token != NO_TOKEN && chance(c, p->drip_ppm);
	s->state = SEAT_ANSWERING;
	outgoing_drip(&s->out, drips ? p->drip_piece_max : 0, p->drip_pause_max_us, n);
	go_on(s, outgoing_put(&s->out, bytes, n));
}

static void answer_request(struct seat *s)
{
	struct fake_container *c = s->container;
	struct world *w = c->world;
	struct record *r = record_of(s);
	struct writer out;
	r->answer_status = s->slip == SLIP_BUSY ? 503 : (uint16_t)answer_draw_status(c);
	r->bounced = s->slip == SLIP_BUSY;
	r->bounces += r->bounced;
	r->harmed |= r->bounced; /* it goes elsewhere, where it may fail */
	r->answer_bytes = answer_draw_length(c);
	r->answer_empty = s->head_only || r->answer_status == 204 || r->answer_status == 304;
	if ((r->answer_empty || !r->answer_bytes) && s->slip == SLIP_BAD_CHUNK)
		s->slip = SLIP_NONE;
	size_t room = answer_room(r->answer_bytes);
	writer_init(&out, world_scratch(w, room), room);
	answer_write(s, &out, r);
	CHECK(!out.overflow);
	size_t n = writer_len(&out);
	if (s->slip == SLIP_CUT)
		n = 1 + rand_below(rand_of(c), n - 1);
	r->answered = s->slip == SLIP_NONE || s->slip == SLIP_EXTRA || s->slip == SLIP_BUSY;
	if (!r->answered)
		harm(s, false);
	TRACE(w, "container %u.%u answers token %u: %u, %u bytes%s", c->pool, c->index, s->token,
		r->answer_status, r->answer_bytes, r->answered ? "" : ", badly");
	send_answer(s, out.start, n);
}

/* Is anything else in flight? */
static void answer_idle_probe(struct seat *s)
{
	struct fake_container *c = s->container;
	struct str text = STR("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nidle");
	if (c->in_flight && !s->by_status)
		text = STR("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbusy");
	else if (c->in_flight)
		text = STR("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n");
	send_answer(s, text.ptr, text.len);
}

static void answer_probe(struct seat *s)
{
	struct fake_container *c = s->container;
	struct str text = STR("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
	if (chance(c, plan_of(c)->unready_ppm)) {
		oracle_trouble(c->world, c->pool);
		text = STR("HTTP/1.1 503 Not Yet\r\nContent-Length: 0\r\n\r\n");
	} else if (chance(c, plan_of(c)->probe_odd_ppm)) {
		text = STR("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
	}
	send_answer(s, text.ptr, text.len);
}

static void on_act(struct event *e)
{
	struct seat *s = CONTAINER_OF(e, struct seat, act);
	struct fake_container *c = s->container;
	if (s->gone) {
		seat_free(s);
	} else if (is_lost(s)) {
		return;
	} else if (s->state == SEAT_HUNG) { /* somebody has restarted it */
		seat_close(s, true);
	} else if (s->state == SEAT_IDLE) {
		TRACE(c->world, "container %u.%u closes an idle connection", c->pool, c->index);
		seat_close(s, rand_below(rand_of(c), 4) == 0);
	} else if (s->idle_probe) {
		answer_idle_probe(s);
	} else if (s->token == NO_TOKEN) {
		answer_probe(s);
	} else if (s->slip == SLIP_CLOSE_FIRST || s->late) {
		seat_close(s, rand_below(rand_of(c), 2));
	} else if (s->slip == SLIP_NONSENSE) {
		harm(s, false);
		send_answer(s, "SSH-2.0-OpenSSH_9.2\r\n", 21);
	} else {
		answer_request(s);
	}
}

/* ---- what Berth does to a connection ---- */

static void on_eof(struct wire_end *e)
{
	struct seat *s = e->owner;
	wire_close(e, false);
	if (works_on(s)) {
		s->gone = true;
		s->end = NULL;
	} else {
		seat_free(s);
	}
}

static void on_broken(struct wire_end *e, int err)
{
	(void)err;
	on_eof(e);
}

static const struct wire_ops seat_ops = {
	.on_bytes = on_bytes,
	.on_eof = on_eof,
	.on_broken = on_broken,
	.on_room = on_room,
};

/* ---- moods ---- */

static void die(struct fake_container *c)
{
	bool vanish = chance(c, plan_of(c)->vanish_ppm);
	c->mood = vanish ? MOOD_VANISHED : MOOD_DEAD;
	c->world->tally->deaths++;
	oracle_trouble(c->world, c->pool);
	TRACE(c->world, "container %u.%u %s", c->pool, c->index, vanish ? "vanishes" : "dies");
	list_for_each_safe (n, &c->seats) {
		struct seat *s = CONTAINER_OF(n, struct seat, node);
		if (s->gone) { /* without its network it works on */
			if (!vanish)
				seat_free(s);
			continue;
		}
		if (!vanish) {
			bool reset = rand_below(rand_of(c), 2);
			seat_close(s, reset || s->close); /* an answer that ends with the connection would
							     look whole */
			continue;
		}
		seat_vanish(s, KEEPALIVE_US);
	}
}

static void arm_change(struct fake_container *c)
{
	const struct container_plan *p = plan_of(c);
	if (c->mood != MOOD_WELL)
		set(c, &c->change, 1 + rand_below(rand_of(c), p->away_max_us));
	else if (p->death_every_us)
		set(c, &c->change, 1 + rand_below(rand_of(c), 2 * (uint64_t)p->death_every_us));
}

static void on_change(struct event *e)
{
	struct fake_container *c = CONTAINER_OF(e, struct fake_container, change);
	if (c->mood == MOOD_WELL) {
		die(c);
	} else {
		c->mood = MOOD_WELL;
		TRACE(c->world, "container %u.%u is back", c->pool, c->index);
	}
	arm_change(c);
}

void container_begin(struct fake_container *c, struct world *w, uint32_t pool, uint32_t index)
{
	uint32_t slots = w->plan.pools[pool].slots, other = w->plan.other_pools[pool].slots;
	*c = (struct fake_container){
		.world = w,
		.pool = (uint8_t)pool,
		.index = index,
		.slots = slots > other ? slots : other,
	};
	list_init(&c->seats);
	c->change.fire = on_change;
	arm_change(c);
}

void container_calm(struct fake_container *c)
{
	event_stop(&c->world->sim->schedule, &c->change);
	c->mood = MOOD_WELL;
	list_for_each_safe (n, &c->seats) {
		struct seat *s = CONTAINER_OF(n, struct seat, node);
		if (s->state == SEAT_HUNG && s->gone)
			seat_free(s);
		else if (s->state == SEAT_HUNG) /* restarted by whoever minds it */
			seat_close(s, true);
		else if (is_checked(s))
			set(c, &s->act, 1);
	}
}

void container_end(struct fake_container *c)
{
	event_stop(&c->world->sim->schedule, &c->change);
	list_for_each_safe (n, &c->seats) {
		struct seat *s = CONTAINER_OF(n, struct seat, node);
		if (!s->gone)
			wire_close(s->end, false);
		seat_free(s);
	}
}
