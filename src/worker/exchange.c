/* exchange: a request to the model, from its head to its answer. */
#include "worker/json_in.h"
#include "worker/worker.h"

#include <stddef.h>

static void count(struct conn *c, enum outcome outcome)
{
	c->worker->metrics.outcomes[outcome]++;
}

static void refuse_busy(struct conn *c)
{
	count(c, OUTCOME_BUSY);
	answer_refuse(c, PROBLEM_OVERLOADED, "Berth-Busy: 1\r\nRetry-After: 1\r\n", "all %u slots are taken",
		c->worker->options->slots);
}

#define REFUSE(c, problem, ...)                             \
	do {                                                \
		count(c, OUTCOME_REFUSED);                  \
		answer_refuse(c, problem, "", __VA_ARGS__); \
	} while (0)

/* ---- the head ---- */

static struct str media_type(const struct http_head *head)
{
	const struct http_field *f = http_field(head, FIELD_CONTENT_TYPE);
	struct str rest = f ? f->value : (struct str){ NULL, 0 };
	return str_trim(str_cut(&rest, ';'));
}

static enum body_type body_type(const struct http_head *head)
{
	struct str type = media_type(head);
	if (str_eq_nocase(type, STR("application/json")))
		return BODY_JSON;
	return str_eq_nocase(type, STR("text/plain")) ? BODY_PLAIN : BODY_UNSAID;
}

static bool is_encoded(const struct http_head *head)
{
	const struct http_field *f = http_field_named(head, STR("Content-Encoding"));
	return f && f->value.len && !str_eq_nocase(f->value, STR("identity"));
}

/* Where the JSON part ends. Puts the binary part on an aligned address. False: it was refused. */
static bool read_header_length(struct conn *c, const struct http_head *head)
{
	const struct http_field *f = http_field(head, FIELD_INFERENCE_HEADER_CONTENT_LENGTH);
	uint64_t n = SIZE_MAX; /* all of the body */
	if (c->route == ROUTE_V2_INFER && f) {
		if (!str_to_u64(f->value, &n) || n > c->worker->options->max_body) {
			REFUSE(c, PROBLEM_BAD_REQUEST,
				"Inference-Header-Content-Length is no number of bytes");
			return false;
		}
		c->body.pad = (size_t)(-n % _Alignof(max_align_t));
	}
	c->job.header_bytes = (size_t)n;
	return true;
}

static bool accept_head(struct conn *c, const struct http_head *head)
{
	const struct worker *w = c->worker;
	if (c->route == ROUTE_RUN_MODEL && !w->model->has_text) {
		const struct signature *s = &w->model->signature;
		char inputs[320];
		REFUSE(c, PROBLEM_NOT_IMPLEMENTED,
			"/run_model feeds one text, and this model takes %s: use POST /v2/models/%s/infer",
			tensor_specs_print(s->inputs, s->n_inputs, inputs, sizeof inputs), w->model->name);
		return false;
	}
	if (head->framing == FRAMING_LENGTH && head->content_length > w->options->max_body) {
		REFUSE(c, PROBLEM_BODY_TOO_LARGE,
			"the body may have %llu bytes (--max-body), and this one has %llu",
			(unsigned long long)w->options->max_body, (unsigned long long)head->content_length);
		return false;
	}
	if (is_encoded(head)) {
		REFUSE(c, PROBLEM_MEDIA_TYPE, "the body must come without a Content-Encoding");
		return false;
	}
	if (w->slots.free.len == 0 || w->conns[CONN_BODY].len >= BODIES_MAX + w->options->slots) {
		refuse_busy(c);
		return false;
	}
	return read_header_length(c, head);
}

static void admit(struct conn *c);

static void ask_for_body(struct conn *c)
{
	static const char line[] = "HTTP/1.1 100 Continue\r\n\r\n";
	const struct iovec iov = { (void *)(uintptr_t)line, sizeof line - 1 };
	/* It goes into an empty send buffer; a peer that takes not even that is gone. */
	if (io_send(c->worker->io, &c->stream, &iov, 1) != (ssize_t)iov.iov_len)
		exchange_left(c);
}

void exchange_begin(struct conn *c, const struct http_head *head, bool more)
{
	struct worker *w = c->worker;
	uint32_t in_flight = worker_in_flight(w) + 1;
	if (in_flight > w->metrics.in_flight_max)
		w->metrics.in_flight_max = in_flight;
	if (!accept_head(c, head))
		return;
	c->job.kind = c->route == ROUTE_RUN_MODEL ? JOB_TEXT : JOB_INFER;
	c->job.body_type = body_type(head);
	conn_set_state(c, CONN_BODY);
	if (http_body_is_done(&c->framing)) {
		admit(c);
		return;
	}
	io_timer_set(w->io, &c->timer, w->io->now_us + BODY_TIMEOUT_US);
	if (c->may_continue) {
		c->may_continue = false;
		ask_for_body(c);
	}
}

/* ---- the body ---- */

static void body_bad(struct conn *c)
{
	c->keep_alive = false;
	REFUSE(c, PROBLEM_BAD_REQUEST, "the body's chunked framing is broken");
}

/* All that is announced: what does not come takes no memory, for it is never touched. */
char *exchange_room(struct conn *c, size_t *ret_bytes)
{
	const struct http_body *f = &c->framing;
	if (c->state != CONN_BODY || c->in.len || f->framing != FRAMING_LENGTH || f->left < ROOM_MIN_BYTES ||
		!buffer_reserve(&c->body, (size_t)f->left))
		return NULL;
	*ret_bytes = (size_t)f->left;
	return buffer_end(&c->body);
}

size_t exchange_body(struct conn *c, struct str in)
{
	struct worker *w = c->worker;
	struct str payload;
	size_t used;
	enum parse_status status = http_body_feed(&c->framing, in.ptr, in.len, &used, &payload);
	if (status == PARSE_BAD) {
		body_bad(c);
		return in.len;
	}
	if (payload.len > w->options->max_body - c->body.len) {
		c->keep_alive = false;
		REFUSE(c, PROBLEM_BODY_TOO_LARGE, "the body may have %llu bytes (--max-body)",
			(unsigned long long)w->options->max_body);
		return in.len;
	}
	if (!buffer_append(&c->body, payload)) {
		exchange_left(c);
		return in.len;
	}
	if (status == PARSE_OK)
		admit(c);
	else
		io_timer_set(w->io, &c->timer, w->io->now_us + BODY_TIMEOUT_US);
	return used;
}

/* ---- a slot ---- */

static uint64_t delay_us(struct worker *w)
{
	uint64_t delay = w->options->delay_us, spread = delay * w->options->delay_jitter / 100;
	return spread ? delay - spread + rand_below(&w->rand, 2 * spread + 1) : delay;
}

/* The whole request is there. */
static void admit(struct conn *c)
{
	struct worker *w = c->worker;
	struct job *job = &c->job;
	job->body = buffer_str(&c->body);
	if (job->header_bytes == SIZE_MAX)
		job->header_bytes = job->body.len;
	if (job->header_bytes > job->body.len) {
		REFUSE(c, PROBLEM_BAD_REQUEST,
			"Inference-Header-Content-Length is %zu, and the body has %zu bytes",
			job->header_bytes, job->body.len);
		return;
	}
	if (job->kind == JOB_INFER && job->header_bytes > JSON_IN_MAX_BYTES) {
		REFUSE(c, PROBLEM_BODY_TOO_LARGE,
			"the JSON part may have %d bytes: send tensors as binary data", JSON_IN_MAX_BYTES);
		return;
	}
	c->slot = slot_take(&w->slots, c);
	if (!c->slot) {
		refuse_busy(c);
		return;
	}
	job->sample_seed = rand_u64(&w->rand);
	uint64_t delay = delay_us(w);
	conn_set_state(c, delay ? CONN_DELAY : CONN_READY);
	if (delay)
		io_timer_set(w->io, &c->timer, w->io->now_us + delay);
}

void exchange_on_timer(struct conn *c)
{
	if (c->state == CONN_DELAY) {
		conn_set_state(c, CONN_READY);
		return;
	}
	c->keep_alive = false;
	REFUSE(c, PROBLEM_REQUEST_TIMEOUT, "nothing of the body came for %d s", BODY_TIMEOUT_US / 1000000);
}

/* ---- the run ---- */

/* Whether the loop itself runs it: short jobs cost less than handing them to a thread and back. When several
 * are at hand they are left to their threads, which share the cores. */
static bool runs_inline(const struct worker *w, const struct job *job)
{
	return job->body.len <= INLINE_MAX_BYTES && w->mean_us <= INLINE_MAX_US &&
		slots_taken(&w->slots) == 1;
}

static void job_is_done(struct conn *c)
{
	struct worker *w = c->worker;
	const struct job *job = &c->job;
	if (!job->run_us)
		return;
	metrics_add_run(&w->metrics, job->run_us);
	if (job->body.len > INLINE_MAX_BYTES)
		return;
	/* One run that the machine held up says little: it counts no more than a few times the limit. */
	uint64_t us = job->us < 4 * INLINE_MAX_US ? job->us : 4 * INLINE_MAX_US;
	w->mean_us = w->mean_us == UINT64_MAX ? us : w->mean_us - w->mean_us / 8 + us / 8;
}

/* What the loop runs itself is answered at once: another turn would cost three system calls. */
void exchange_run_ready(struct worker *w)
{
	struct list_node *node;
	while ((node = list_first(&w->conns[CONN_READY]))) {
		struct conn *c = CONTAINER_OF(node, struct conn, node);
		if (!runs_inline(w, &c->job) && slot_start(c->slot, &c->job)) {
			conn_set_state(c, CONN_RUNNING);
			continue;
		}
		job_do(&c->job, &c->slot->run);
		job_is_done(c);
		conn_set_state(c, CONN_DONE);
		exchange_answer_done(w);
	}
}

static void give_slot(struct conn *c)
{
	slot_give(&c->worker->slots, c->slot);
	c->slot = NULL;
}

void exchange_on_run(struct slot *slot)
{
	struct conn *c = slot->taker;
	job_is_done(c);
	if (c->state == CONN_RUNNING) {
		conn_set_state(c, CONN_DONE);
		return;
	}
	model_run_renew(&slot->run);
	give_slot(c);
	conn_close(c);
}

/* ---- the end ---- */

static void answer(struct conn *c)
{
	const struct job *job = &c->job;
	give_slot(c); /* before the answer is written: a quick successor must not meet a busy slot */
	if (job->failed) {
		count(c, problem_status(job->problem) < 500 ? OUTCOME_REFUSED : OUTCOME_FAILED);
		answer_refuse(c, job->problem, "", "%s", job->why.text);
		return;
	}
	count(c, OUTCOME_OK);
	answer_send(
		c, 200, job->json_bytes ? "application/octet-stream" : "application/json", job->json_bytes);
}

void exchange_answer_done(struct worker *w)
{
	struct list_node *node;
	while ((node = list_first(&w->conns[CONN_DONE]))) {
		struct conn *c = CONTAINER_OF(node, struct conn, node);
		answer(c);
		conn_resume(c);
	}
}

void exchange_left(struct conn *c)
{
	switch (c->state) {
	case CONN_RUNNING:
		count(c, OUTCOME_LEFT);
		model_run_cancel(&c->slot->run);
		io_close(c->worker->io, &c->stream);
		conn_set_state(c, CONN_LEFT);
		return;
	case CONN_DELAY:
	case CONN_READY:
	case CONN_DONE:
		give_slot(c);
		FALLTHROUGH;
	case CONN_BODY:
		count(c, OUTCOME_LEFT);
		break;
	case CONN_HEAD:
	case CONN_SENDING:
	case CONN_DRAINING:
	case CONN_LINGERING:
		break;
	case CONN_LEFT:
	case CONN_CLOSED:
	case CONN_STATES:
		CHECK(false); /* closed already */
	}
	conn_close(c);
}
