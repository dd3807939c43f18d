/* A client: hands jobs in, asks what became of those that it knows of, cancels some. It asks one thing at a
 * time; of what it asked when Berth crashed it never hears.
 */
#include "crash_world.h"
#include "own.h"
#include "talk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HEAD_BYTES = 512, TEXT_MAX = 16 * 1024, IDLE_US = 20 * 1000 };

enum asking { ASK_NOTHING, ASK_JOB, ASK_STATE, ASK_RESULT, ASK_CANCEL };

struct crash_client {
	struct list_node node;     /* on world->clients */
	struct crash_world *world; /* borrowed: the owner */
	struct wire_end *end;      /* borrowed */
	struct reader reader;
	struct outgoing out;
	struct event act;
	enum asking asking;
	struct told_job *job; /* borrowed; what it asks about */
	uint64_t asked;       /* the moment */
	/* the answer */
	int status;
	bool closes;            /* the connection ends with it */
	uint32_t delivery;      /* whose answer it is; 0: Berth's own */
	enum store_state state; /* as Berth-Job-State says; STORE_STATES: it does not */
	uint64_t got_bytes;
	uint32_t text_bytes;
	char text[TEXT_MAX];
};

static const struct wire_ops client_ops;

static uint32_t below(struct crash_world *w, uint32_t n)
{
	return (uint32_t)rand_below(&w->rand, n);
}

static uint32_t token_of(const struct crash_client *c)
{
	return (uint32_t)(c->job - c->world->told.jobs);
}

struct told_job *crash_job_of(struct crash_world *w, struct str query)
{
	uint64_t token;
	if (!str_starts(query, STR("t=")) || !str_to_u64(str_skip(query, 2), &token) || token >= w->told.n)
		return NULL;
	return &w->told.jobs[token];
}

static void think(struct crash_client *c, uint32_t most_us)
{
	struct schedule *s = &c->world->sim->schedule;
	event_set(s, &c->act, s->now_us + 1 + below(c->world, most_us + 1));
}

/* ---- asking ---- */

static void send_all(struct crash_client *c, const char *bytes, size_t n)
{
	VERIFY(c->world, outgoing_put(&c->out, bytes, n) == 0, "a client's connection breaks");
}

static void send_submission(struct crash_client *c)
{
	static const char *const lines[HANDINGS] = { "POST /new_request?t=", "POST /p?t=", "POST /p?t=" };
	static const char *const fields[HANDINGS] = { "", "Prefer: respond-async\r\n",
		"Prefer: respond-async, wait=1\r\n" };
	const struct told_job *j = c->job;
	char head[HEAD_BYTES], key[64] = "";
	if (j->keyed)
		snprintf(key, sizeof key, "Idempotency-Key: a-key-of-job-%08u\r\n", token_of(c));
	int n = snprintf(head, sizeof head,
		"%s%u HTTP/1.1\r\nHost: sim.example\r\nContent-Length: %u\r\n%s%s\r\n", lines[j->handing],
		token_of(c), j->body_bytes, fields[j->handing], key);
	char *body = malloc(j->body_bytes + 1);
	CHECK(body);
	told_fill(body, token_of(c), 0, j->body_bytes);
	send_all(c, head, (size_t)n);
	send_all(c, body, j->body_bytes);
	free(body);
}

static void hand_in(struct crash_client *c, struct told_job *j)
{
	c->asking = ASK_JOB;
	c->job = j;
	told_handed_in(c->world, j);
	TRACE(c->world, "a client hands in job %u, %u bytes", token_of(c), j->body_bytes);
	send_submission(c);
}

static struct told_job *draw_job(struct crash_world *w)
{
	const struct crash_plan *p = &w->plan;
	struct told_job *j = &w->told.jobs[w->told.n++];
	bool big = rand_chance(&w->rand, p->big_ppm);
	*j = (struct told_job){
		.handing = (enum handing)below(w, 8),
		.keyed = rand_chance(&w->rand, p->keyed_ppm),
		.body_bytes = below(w, (big ? p->big_max : p->body_max) + 1),
		.final = -1,
	};
	if (j->handing >= HANDINGS)
		j->handing = j->handing % 2 ? HAND_SUBMIT : HAND_ASYNC;
	w->tally->handed_in++;
	return j;
}

static void ask_about(struct crash_client *c, struct told_job *j)
{
	static const char *const methods[] = {
		[ASK_STATE] = "GET", [ASK_RESULT] = "GET", [ASK_CANCEL] = "DELETE"
	};
	struct crash_world *w = c->world;
	char head[HEAD_BYTES];
	bool done = j->final == STORE_DONE && !j->gone;
	c->job = j;
	c->asked = ++w->told.moment;
	c->asking = done || below(w, 4) == 0 ? ASK_RESULT : ASK_STATE;
	if (!j->cancel_sent && rand_chance(&w->rand, w->plan.cancel_ppm)) {
		c->asking = ASK_CANCEL;
		j->cancel_sent = true;
	}
	const char *what = c->asking != ASK_RESULT ? "" : below(w, 2) ? "/result" : "/result?wait=2";
	int n = snprintf(head, sizeof head, "%s /berth/jobs/%s%s HTTP/1.1\r\nHost: sim.example\r\n\r\n",
		methods[c->asking], j->id, what);
	TRACE(w, "a client asks about job %u: %s%s", token_of(c), methods[c->asking], what);
	send_all(c, head, (size_t)n);
}

/* Handed in with a key when Berth crashed, and never answered: it may be handed in again. */
static bool may_hand_in_again(const struct crash_world *w, const struct told_job *j)
{
	return j->keyed && j->pending && j->life_handed_in < w->life;
}

/* A job that something can be asked about in this life, from a random place on; NULL: none. */
static struct told_job *find_job(
	struct crash_world *w, bool (*fits)(const struct crash_world *, const struct told_job *))
{
	uint32_t n = w->told.n, from = n ? below(w, n) : 0;
	for (uint32_t i = 0; i < n; i++) {
		struct told_job *j = &w->told.jobs[(from + i) % n];
		if (fits(w, j))
			return j;
	}
	return NULL;
}

static bool is_open(const struct crash_world *w, const struct told_job *j)
{
	return told_is_job(j) && j->life_settled < w->life;
}

static void act(struct crash_client *c)
{
	struct crash_world *w = c->world;
	bool is_served = !w->draining && !w->away;
	struct told_job *again = is_served ? find_job(w, may_hand_in_again) : NULL;
	struct told_job *open = find_job(w, is_open);
	bool may_hand_in = is_served && w->told.n < w->jobs_by_now;
	if (again)
		hand_in(c, again);
	else if (may_hand_in && (!open || below(w, 2)))
		hand_in(c, draw_job(w));
	else if (open)
		ask_about(c, open);
	else
		think(c, IDLE_US);
}

/* ---- what the answer says ---- */

static void own_answer_read(struct crash_client *c, struct own_answer *own)
{
	VERIFY(c->world, own_read(c->text, c->text_bytes, own), "no JSON of Berth's: %.*s",
		(int)c->text_bytes, c->text);
}

static bool is_problem(const struct own_answer *own, const char *name)
{
	static const char prefix[] = "urn:berth:problem:";
	size_t n = sizeof prefix - 1;
	return !strncmp(own->type, prefix, n) && !strcmp(own->type + n, name);
}

/* The disk is full or fails, no container can be reached, the pool has gone, or Berth is about to end. */
static bool may_be_refused(const struct crash_client *c, const struct own_answer *own)
{
	const struct crash_world *w = c->world;
	bool may_be_away = w->plan.away_ppm && c->asking == ASK_JOB;
	return ((w->disk_fills || w->syncs_fail) && is_problem(own, "storage-full")) ||
		(w->syncs_fail && is_problem(own, "internal")) ||
		((w->plan.refuse_ppm || may_be_away) && is_problem(own, "no-container")) ||
		(may_be_away && is_problem(own, "not-found")) ||
		(w->draining && is_problem(own, "shutting-down"));
}

static void submission_answered(struct crash_client *c)
{
	struct crash_world *w = c->world;
	struct told_job *j = c->job;
	struct own_answer own;
	if (c->delivery) {
		VERIFY(w, j->handing == HAND_WAIT, "job %u is answered, and did not want to wait",
			token_of(c));
		j->pending = false;
		j->answered = true;
		return;
	}
	own_answer_read(c, &own);
	if (j->keyed && j->handing == HAND_WAIT &&
		c->state == STORE_FAILED) { /* handed in again: it is over */
		told_state(w, j, STORE_FAILED, 0);
		j->pending = false;
		j->answered = true;
		return;
	}
	if (c->status == 200 || c->status == 202 || (j->keyed && is_problem(&own, "key-in-use")))
		told_acknowledged(w, j, own.id);
	else if (w->syncs_fail && is_problem(&own, "internal"))
		TRACE(w, "job %u may have been stored", token_of(c)); /* as when its connection breaks */
	else if (may_be_refused(c, &own))
		told_refused(w, j);
	else
		VERIFY(w, false, "job %u is refused: %d %s", token_of(c), c->status, own.type);
}

static enum store_state state_named(const char *name)
{
	enum store_state s = STORE_QUEUED;
	while (s < STORE_STATES && strcmp(store_state_name(s), name) != 0)
		s++;
	return s;
}

static void state_answered(struct crash_client *c)
{
	struct crash_world *w = c->world;
	struct own_answer own;
	own_answer_read(c, &own);
	enum store_state state = state_named(own.state);
	if (is_problem(&own, "not-found")) {
		told_gone(w, c->job);
		return;
	}
	VERIFY(w, c->status == 200 && state < STORE_STATES, "job %u has the state %s, status %d", token_of(c),
		own.state, c->status);
	VERIFY(w, !strcmp(own.id, c->job->id), "job %s is shown as %s", c->job->id, own.id);
	told_state(w, c->job, state, c->asked);
}

static void result_answered(struct crash_client *c)
{
	struct crash_world *w = c->world;
	struct own_answer own;
	if (c->delivery) {
		VERIFY(w, c->state == STORE_DONE, "the result of job %u has no state", token_of(c));
		w->tally->results++;
		told_result(w, c->job, c->delivery, c->asked);
		return;
	}
	own_answer_read(c, &own);
	if (is_problem(&own, "not-found"))
		told_gone(w, c->job);
	else if (is_problem(&own, "not-ready") || c->status == 202)
		told_state(w, c->job, STORE_QUEUED, c->asked);
	else if (c->state < STORE_STATES)
		told_state(w, c->job, c->state, c->asked);
	else
		VERIFY(w, false, "the result of job %u is %d %s", token_of(c), c->status, own.type);
}

static void cancel_answered(struct crash_client *c)
{
	struct crash_world *w = c->world;
	struct own_answer own;
	if (c->status == 204 || c->status == 202) {
		told_cancelled(w, c->job, c->status, c->asked);
		return;
	}
	own_answer_read(c, &own);
	VERIFY(w, may_be_refused(c, &own), "job %u is not cancelled: %d %s", token_of(c), c->status,
		own.type);
}

static void answer_read(struct crash_client *c)
{
	struct crash_world *w = c->world;
	TRACE(w, "job %u: %d%s%.*s", token_of(c), c->status, c->delivery ? " by its container" : " ",
		(int)c->text_bytes, c->text);
	if (c->delivery)
		VERIFY(w, c->got_bytes == crash_answer_bytes(w, token_of(c), c->delivery),
			"job %u: %llu bytes of an answer of %u", token_of(c),
			(unsigned long long)c->got_bytes, crash_answer_bytes(w, token_of(c), c->delivery));
	switch (c->asking) {
	case ASK_NOTHING:
		VERIFY(w, false, "an answer to nothing");
		break;
	case ASK_JOB:
		submission_answered(c);
		break;
	case ASK_STATE:
		state_answered(c);
		break;
	case ASK_RESULT:
		result_answered(c);
		break;
	case ASK_CANCEL:
		cancel_answered(c);
		break;
	}
	c->asking = ASK_NOTHING;
	if (c->closes)
		return;
	think(c, w->plan.think_max_us);
}

/* ---- reading ---- */

/* "token-delivery": which container's answer it is. */
static uint32_t delivery_of(struct crash_client *c, struct str value)
{
	uint64_t token, delivery;
	struct crash_world *w = c->world;
	struct str first = str_cut(&value, '-');
	VERIFY(w, str_to_u64(first, &token) && str_to_u64(value, &delivery), "X-Delivery cannot be read");
	VERIFY(w, token == token_of(c), "job %u gets the answer to job %llu", token_of(c),
		(unsigned long long)token);
	VERIFY(w, delivery < TOLD_DELIVERIES && c->job->answers >> delivery & 1,
		"job %u gets an answer that no container gave", token_of(c));
	return (uint32_t)delivery;
}

static void head_read(struct crash_client *c)
{
	const struct http_head *h = c->reader.head;
	VERIFY(c->world, c->asking != ASK_NOTHING, "an answer to nothing: " STR_FMT, STR_ARG(h->start_line));
	const struct http_field *delivery = http_field_named(h, STR("X-Delivery"));
	const struct http_field *state = http_field_named(h, STR("Berth-Job-State"));
	char name[16] = "";
	if (state)
		str_copy(name, sizeof name, state->value);
	c->status = h->status;
	c->closes = !h->keep_alive;
	c->state = state_named(name);
	c->delivery = delivery ? delivery_of(c, delivery->value) : 0;
	c->got_bytes = c->text_bytes = 0;
}

static void payload_read(struct crash_client *c, struct str payload)
{
	struct crash_world *w = c->world;
	if (c->delivery) {
		VERIFY(w, told_fits(token_of(c), c->delivery, c->got_bytes, payload),
			"job %u gets other bytes than its container sent", token_of(c));
	} else {
		VERIFY(w, c->text_bytes + payload.len <= TEXT_MAX, "Berth's own answer is too long");
		memcpy(c->text + c->text_bytes, payload.ptr, payload.len);
		c->text_bytes += (uint32_t)payload.len;
	}
	c->got_bytes += payload.len;
}

static void on_bytes(struct wire_end *e, const char *bytes, size_t n)
{
	struct crash_client *c = e->owner;
	struct str in = { bytes, n }, payload;
	enum reading got;
	while ((got = reader_next(&c->reader, &in, &payload)) != READ_MORE) {
		VERIFY(c->world, got != READ_BAD, "an answer that cannot be read: %s, in %.*s",
			parse_error_text(c->reader.head->error), (int)n, bytes);
		if (got == READ_HEAD)
			head_read(c);
		else if (got == READ_PAYLOAD)
			payload_read(c, payload);
		else
			answer_read(c);
	}
}

/* ---- connections ---- */

static void client_end(struct crash_client *c)
{
	event_stop(&c->world->sim->schedule, &c->act);
	outgoing_finish(&c->out);
	reader_finish(&c->reader);
	wire_close(c->end, true);
	list_remove(&c->world->clients, &c->node);
	free(c);
}

void crash_clients_end(struct crash_world *w)
{
	struct list_node *n;
	while ((n = list_first(&w->clients)))
		client_end(CONTAINER_OF(n, struct crash_client, node));
}

static void on_act(struct event *e)
{
	act(CONTAINER_OF(e, struct crash_client, act));
}

static void on_pace(struct event *e)
{
	struct crash_client *c = CONTAINER_OF(e, struct crash_client, out.pace);
	send_all(c, NULL, 0);
}

static void on_room(struct wire_end *e)
{
	send_all(e->owner, NULL, 0);
}

static void on_open(struct wire_end *e)
{
	struct crash_client *c = e->owner;
	think(c, c->world->plan.think_max_us);
}

/* Another one comes, unless Berth takes none any more. A long result may be deleted while it is sent. */
static void lost(struct crash_client *c)
{
	struct crash_world *w = c->world;
	bool deleted = c->asking == ASK_RESULT && c->job->cancel_sent;
	VERIFY(w, w->draining || deleted || c->closes, "a connection ends, and Berth goes on");
	client_end(c);
	if (!w->draining)
		crash_client_begin(w);
}

static void on_eof(struct wire_end *e)
{
	lost(e->owner);
}

static void on_broken(struct wire_end *e, int err)
{
	CHECK(err < 0);
	lost(e->owner);
}

static const struct wire_ops client_ops = {
	.on_open = on_open,
	.on_bytes = on_bytes,
	.on_eof = on_eof,
	.on_broken = on_broken,
	.on_room = on_room,
};

void crash_client_begin(struct crash_world *w)
{
	struct crash_client *c = calloc(1, sizeof *c);
	CHECK(c);
	c->world = w;
	c->end = io_sim_connect(w->sim, CRASH_FRONT_PORT, &client_ops, c);
	c->act.fire = on_act;
	reader_init(&c->reader, &w->client_head, true);
	outgoing_init(&c->out, c->end, &w->sim->schedule, &w->rand);
	c->out.pace.fire = on_pace;
	list_push_back(&w->clients, &c->node);
}
