#include "core/slot.h"
#include "pool_model.h"
#include "unit.h"

#include <stdlib.h>

/* A random walk of the core beside the model. */

struct mix {
	uint64_t seed;
	uint32_t containers, slots, queue_max, queue_max_bytes, rise, steps;
	bool probe_first;
	uint32_t loss; /* in so many of a hundred steps a slot is lost that might have been answered */
};

/* ---- one step of the walk: the real thing first, then the model ---- */

/* One that is not in use, as good as new; NULL when all are. */
static struct ticket *new_ticket(struct walk *w)
{
	for (uint32_t i = 0; i < TICKETS; i++) {
		struct ticket *t = &w->tickets[i];
		if ((t->state == TICKET_NEW && !t->number) || t->state == TICKET_OVER) {
			*t = (struct ticket){ 0 };
			memset(w->model.failed_by[i], 0, sizeof w->model.failed_by[i]);
			return t;
		}
	}
	return NULL;
}

static void do_admit(struct walk *w)
{
	struct ticket *t = new_ticket(w);
	struct slot *s = NULL;
	uint32_t bytes = below(w, 500);
	if (!t)
		return;
	enum admission expected = model_forecast(w, bytes);
	assert_int_equal(pool_forecast(&w->pool, bytes), expected);
	assert_int_equal(pool_admit(&w->pool, t, bytes, w->now_us, &s), expected);
	if (expected == ADMIT_FULL || expected == ADMIT_NO_CONTAINER) {
		assert_int_equal(t->state, TICKET_NEW);
		return;
	}
	assert_int_equal(t->number, w->model.next_number++);
	assert_int_equal(t->admitted_us, w->now_us);
	if (expected == ADMIT_DISPATCH)
		assert_dispatched(w, t, s);
	else
		model_wait(&w->model, t);
}

static void do_reserve(struct walk *w)
{
	struct ticket *t = new_ticket(w);
	uint32_t bytes = below(w, 500);
	if (!t)
		return;
	enum admission expected = model_forecast(w, bytes);
	assert_int_equal(pool_reserve(&w->pool, t, bytes), expected);
	assert_int_equal(t->state, TICKET_NEW);
	if (expected == ADMIT_FULL || expected == ADMIT_NO_CONTAINER)
		return;
	assert_int_equal(t->number, w->model.next_number++);
	w->model.reserved[w->model.n_reserved++] = t;
}

/* A reserved ticket joins, at its old number, or forgoes. */
static void do_join(struct walk *w)
{
	struct model *m = &w->model;
	struct slot *s = NULL;
	if (!m->n_reserved)
		return;
	uint32_t at = below(w, m->n_reserved);
	struct ticket *t = m->reserved[at];
	m->reserved[at] = m->reserved[--m->n_reserved];
	if (below(w, 5) == 0) {
		pool_forgo(t);
		assert_int_equal(t->state, TICKET_OVER);
		return;
	}
	t->unready = below(w, 4) == 0;
	bool is_first = m->n_waiting == 0 || m->waiting[0]->number > t->number;
	bool starts = is_first && !t->unready && model_choice(m, NULL, 0);
	assert_int_equal(pool_join(&w->pool, t, w->now_us, &s), 0);
	assert_int_equal(s != NULL, starts);
	if (starts)
		assert_dispatched(w, t, s);
	else
		model_wait(m, t);
}

/* From an earlier life, with a number that may leave some out, or be taken; whatever the limits are. */
static void do_restore(struct walk *w)
{
	struct ticket *t = new_ticket(w);
	uint64_t next = w->model.next_number, number = next + below(w, 3);
	if (!t)
		return;
	uint64_t had = number > next ? number : below(w, 2) ? next : next - below(w, (uint32_t)next);
	assert_int_equal(pool_restore(&w->pool, t, had, below(w, 500), w->now_us), 0);
	assert_true(t->unready);
	assert_int_equal(t->number, number);
	w->model.next_number = number + 1;
	model_wait(&w->model, t);
}

/* A request comes from the store, or goes back there: it keeps another number of bytes. */
static void do_ready(struct walk *w)
{
	if (!w->model.n_waiting)
		return;
	struct ticket *t = w->model.waiting[below(w, 2) ? 0 : below(w, w->model.n_waiting)];
	t->unready = below(w, 4) == 0;
	ticket_resize(t, below(w, 500));
}

static void pump(struct walk *w)
{
	struct ticket *t;
	struct slot *s;
	while (pool_match(&w->pool, w->now_us, &t, &s)) {
		assert_true(w->model.n_waiting > 0);
		assert_ptr_equal(t, w->model.waiting[0]);
		assert_false(t->unready);
		model_unwait(&w->model, 0);
		assert_dispatched(w, t, s);
	}
	assert_true(
		w->model.n_waiting == 0 || w->model.waiting[0]->unready || !model_choice(&w->model, NULL, 0));
}

static void do_withdraw(struct walk *w)
{
	if (!w->model.n_waiting)
		return;
	uint32_t at = below(w, w->model.n_waiting);
	ticket_withdraw(w->model.waiting[at]);
	assert_int_equal(w->model.waiting[at]->state, TICKET_OVER);
	model_unwait(&w->model, at);
}

static void do_abandon(struct walk *w)
{
	struct model_container *mc = NULL;
	struct model_slot *ms = NULL;
	if (!pick(w, 1 << SLOT_BUSY | 1 << SLOT_CONNECTING, &mc, &ms) || !ms->ticket)
		return;
	bool settle = below(w, 2);
	ticket_abandon(ms->ticket, settle);
	assert_int_equal(ms->ticket->state, TICKET_OVER);
	ms->ticket = NULL;
	if (ms->state != SLOT_BUSY)
		return;
	model_set(w, mc, ms, SLOT_ZOMBIE);
	if (settle && !mc->settling) {
		mc->settling = true;
		model_file(w, mc);
	}
}

static void do_settle(struct walk *w)
{
	struct model_container *mc = NULL;
	struct model_slot *ms = NULL;
	if (!pick(w, 1 << SLOT_ZOMBIE, &mc, &ms))
		return;
	slot_settle(real_slot(w, mc, ms));
	if (!mc->settling)
		model_file(w, mc);
	mc->settling = true;
}

static void count_service_time(struct walk *w, const struct ticket *t)
{
	double took = (double)(w->now_us - t->dispatched_us), mean = w->model.mean_us;
	w->model.mean_us = mean > 0 ? mean + (took - mean) / 16 : took;
	assert_int_equal(t->state, TICKET_OVER);
}

static void do_answered(struct walk *w)
{
	struct model_container *mc = NULL;
	struct model_slot *ms = NULL;
	if (!pick(w, 1 << SLOT_BUSY | 1 << SLOT_ZOMBIE, &mc, &ms))
		return;
	struct ticket *t = ms->ticket;
	bool connected = below(w, 4) > 0, was_probe = ms->probing;
	slot_answered(real_slot(w, mc, ms), connected, w->now_us);
	if (t)
		count_service_time(w, t);
	ms->ticket = NULL;
	ms->probing = false;
	mc->failures_in_a_row = 0;
	mc->backoff_us = w->limits.backoff_min_us;
	mc->rest_us = REST_MIN_US;
	if (was_probe && ++mc->successes_in_a_row < w->limits.rise)
		mc->retry_at_us = w->now_us + w->limits.backoff_min_us;
	else if (was_probe || mc->state == CONTAINER_RESTING)
		model_up(w, mc);
	ms->connected = connected && mc->state == CONTAINER_UP;
	model_set(w, mc, ms, mc->state == CONTAINER_UP ? SLOT_FREE : SLOT_DOWN);
	model_settle(w, mc);
	if (mc->returning && mc->state == CONTAINER_UP)
		model_give_back(w, mc);
}

static void do_connected(struct walk *w)
{
	struct model_container *mc = NULL;
	struct model_slot *ms = NULL;
	if (!pick(w, 1 << SLOT_CONNECTING, &mc, &ms))
		return;
	slot_connected(real_slot(w, mc, ms), w->mix->probe_first, w->now_us);
	if (ms->probing && (!w->mix->probe_first || model_in_flight(mc) > 0))
		ms->probing = false; /* requests have come while it was connected */
	if (!ms->ticket && !ms->probing && mc->state != CONTAINER_UP && w->mix->probe_first &&
		model_in_flight(mc) > 0) { /* no probe beside a request */
		model_set(w, mc, ms, SLOT_DOWN);
		return;
	}
	ms->connected = true;
	if (!ms->ticket && !ms->probing && mc->state != CONTAINER_UP) {
		ms->probing = w->mix->probe_first;
		if (!ms->probing)
			model_up(w, mc);
	}
	model_set(w, mc, ms, ms->ticket || ms->probing ? SLOT_BUSY : SLOT_FREE);
}

static void do_disconnected(struct walk *w)
{
	struct model_container *mc = NULL;
	struct model_slot *ms = NULL;
	if (!pick(w, 1 << SLOT_FREE, &mc, &ms) || !ms->connected)
		return;
	slot_disconnected(real_slot(w, mc, ms));
	ms->connected = false;
}

static void model_note_failure(uint32_t failed_by[TICKET_AVOIDS], uint32_t id)
{
	uint32_t before[TICKET_AVOIDS], n = 0;
	memcpy(before, failed_by, sizeof before);
	failed_by[n++] = id;
	for (uint32_t i = 0; i < TICKET_AVOIDS && n < TICKET_AVOIDS; i++) {
		if (before[i] != id)
			failed_by[n++] = before[i];
	}
}

/* The ticket came back without a slot. */
static void try_again_or_not(struct walk *w, struct ticket *t, const struct model_container *mc)
{
	assert_int_equal(t->state, TICKET_RUNNING);
	assert_null(t->slot);
	model_note_failure(w->model.failed_by[t - w->tickets], mc->id);
	if (below(w, 3)) {
		assert_int_equal(ticket_requeue(t), 0);
		model_wait(&w->model, t);
	} else {
		ticket_fail(t);
	}
}

static void do_lost(struct walk *w)
{
	struct model_container *mc = NULL;
	struct model_slot *ms = NULL;
	if (!pick(w, 1 << SLOT_CONNECTING | 1 << SLOT_BUSY | 1 << SLOT_ZOMBIE, &mc, &ms))
		return;
	bool connecting = ms->state == SLOT_CONNECTING, tried = connecting || ms->probing;
	enum slot_loss loss = connecting          ? LOSS_REFUSED
		: below(w, 8) == 0                ? LOSS_SILENT
		: ms->probing || below(w, 2) == 0 ? LOSS_FAILED
						  : LOSS_STALE;
	struct ticket *t = slot_lost(real_slot(w, mc, ms), loss, w->now_us);
	assert_ptr_equal(t, ms->ticket);
	*ms = (struct model_slot){ .state = ms->state };
	if (loss != LOSS_STALE)
		mc->successes_in_a_row = 0;
	model_set(w, mc, ms, mc->state == CONTAINER_UP ? SLOT_FREE : SLOT_DOWN);
	model_settle(w, mc);
	if (mc->state == CONTAINER_UP && (loss == LOSS_FAILED || loss == LOSS_SILENT)) {
		if (++mc->failures_in_a_row >= w->limits.fall || loss == LOSS_SILENT)
			model_down(w, mc);
	} else if (connecting || loss == LOSS_SILENT || (mc->state != CONTAINER_UP && tried)) {
		model_down(w, mc);
	}
	if (t)
		try_again_or_not(w, t, mc);
}

static void do_bounced(struct walk *w)
{
	struct model_container *mc = NULL;
	struct model_slot *ms = NULL;
	if (!pick(w, 1 << SLOT_BUSY, &mc, &ms) || !ms->ticket)
		return;
	struct ticket *t = slot_bounced(real_slot(w, mc, ms), w->now_us);
	assert_ptr_equal(t, ms->ticket);
	*ms = (struct model_slot){ .state = SLOT_DOWN };
	mc->retry_at_us = w->now_us + mc->rest_us;
	mc->rest_us = doubled(mc->rest_us, REST_MAX_US);
	if (mc->state == CONTAINER_UP)
		model_leave_service(w, mc, CONTAINER_RESTING);
	try_again_or_not(w, t, mc);
}

static void do_hindered(struct walk *w)
{
	struct model_container *mc = NULL;
	struct model_slot *ms = NULL;
	if (!pick(w, 1 << SLOT_CONNECTING, &mc, &ms))
		return;
	bool spare = false, up = mc->state == CONTAINER_UP;
	for (uint32_t k = 0; k < mc->n_slots; k++)
		spare |= mc->slot[k].state == SLOT_FREE && mc->slot[k].connected;
	struct ticket *t = slot_hindered(real_slot(w, mc, ms), w->now_us);
	assert_ptr_equal(t, ms->ticket);
	*ms = (struct model_slot){ .state = ms->state };
	bool rests = !up || (t && !spare);
	model_set(w, mc, ms, rests ? SLOT_DOWN : SLOT_FREE);
	if (rests && (up || w->now_us >= mc->retry_at_us)) {
		mc->retry_at_us = w->now_us + mc->rest_us;
		mc->rest_us = doubled(mc->rest_us, REST_MAX_US);
	}
	if (rests && up)
		model_leave_service(w, mc, CONTAINER_RESTING);
	if (t)
		try_again_or_not(w, t, mc);
}

/* What one of the calls gave that take a slot without a ticket. */
static void assert_taken(
	struct walk *w, struct model_container *mc, const struct slot *s, bool expected, bool probing)
{
	assert_int_equal(s != NULL, expected);
	if (!s)
		return;
	assert_int_equal(s->container->id, mc->id);
	struct model_slot *ms = &mc->slot[s - s->container->slot];
	ms->probing = probing;
	model_set(w, mc, ms, ms->connected ? SLOT_BUSY : SLOT_CONNECTING);
}

static void do_watch(struct walk *w)
{
	struct model_container *mc = pick_container(w);
	uint32_t free_unconnected = 0;
	if (!mc)
		return;
	bool in_use = model_in_flight(mc) + count_state(mc, SLOT_CONNECTING) > 0;
	for (uint32_t s = 0; s < mc->n_slots; s++)
		free_unconnected += mc->slot[s].state == SLOT_FREE && !mc->slot[s].connected;
	if (mc->state != CONTAINER_UP)
		assert_taken(
			w, mc, container_retry(real(w, mc)), count_state(mc, SLOT_DOWN) && !in_use, false);
	else if (below(w, 2))
		assert_taken(
			w, mc, container_probe(real(w, mc)), count_state(mc, SLOT_FREE) && !in_use, true);
	else
		assert_taken(w, mc, container_check(real(w, mc)), free_unconnected > 0, false);
}

static void do_failed(struct walk *w)
{
	struct model_container *mc = pick_container(w);
	if (!mc)
		return;
	container_failed(real(w, mc), w->now_us);
	if (++mc->failures_in_a_row >= w->limits.fall && mc->state == CONTAINER_UP)
		model_down(w, mc);
}

/* By the shell's own decision; one that is DOWN comes back by the slot that it was tried with. */
static void do_up_or_down(struct walk *w)
{
	struct model_container *mc = pick_container(w);
	if (!mc)
		return;
	if (below(w, 2)) {
		container_down(real(w, mc), w->now_us);
		model_down(w, mc);
	} else if (mc->state != CONTAINER_DOWN) {
		container_up(real(w, mc));
		model_up(w, mc);
	}
}

static void do_drain(struct walk *w)
{
	struct model_container *mc = pick_container(w);
	if (!mc)
		return;
	mc->draining = below(w, 3) == 0;
	container_drain(real(w, mc), mc->draining);
	model_file(w, mc);
}

static void do_add(struct walk *w)
{
	struct model *m = &w->model;
	if (m->n_containers == w->mix->containers)
		return;
	struct model_container *mc = &m->containers[m->n_containers++];
	*mc = (struct model_container){ .id = ++m->next_id,
		.n_slots = 1 + below(w, w->mix->slots),
		.backoff_us = w->limits.backoff_min_us,
		.rest_us = REST_MIN_US };
	const struct container *c = pool_add(&w->pool, mc->n_slots);
	assert_non_null(c);
	assert_ptr_equal(c, real(w, mc));
	assert_int_equal(c->id, mc->id);
}

static void do_remove(struct walk *w)
{
	struct model *m = &w->model;
	struct model_container *mc = pick_container(w);
	if (!mc)
		return;
	bool at_rest = model_in_flight(mc) + count_state(mc, SLOT_CONNECTING) == 0;
	assert_int_equal(container_is_at_rest(real(w, mc)), at_rest);
	if (!at_rest)
		return;
	pool_remove(real(w, mc));
	*mc = m->containers[--m->n_containers];
}

static void step(struct walk *w)
{
	static void (*const rare[])(struct walk * w) = { do_failed, do_up_or_down, do_drain, do_add,
		do_remove, do_bounced, do_restore, do_settle, do_hindered };
	w->now_us += below(w, 2000);
	uint32_t dice = below(w, 1000);
	if (dice < 250)
		do_admit(w);
	else if (dice < 300)
		do_reserve(w);
	else if (dice < 350)
		do_join(w);
	else if (dice < 700 && below(w, 100) < w->mix->loss)
		do_lost(w);
	else if (dice < 550)
		do_connected(w);
	else if (dice < 750)
		do_answered(w);
	else if (dice < 790)
		do_withdraw(w);
	else if (dice < 830)
		do_abandon(w);
	else if (dice < 860)
		do_disconnected(w);
	else if (dice < 930)
		do_watch(w);
	else if (dice < 970)
		do_ready(w);
	else
		rare[below(w, ARRAY_LEN(rare))](w);
}

static void assert_container_same(const struct container *c, const struct model_container *mc)
{
	assert_int_equal(c->id, mc->id);
	assert_int_equal(c->state, mc->state);
	assert_int_equal(c->draining, mc->draining);
	assert_int_equal(c->settling, mc->settling);
	assert_int_equal(c->returning, mc->returning);
	assert_int_equal(c->available, model_available(mc));
	assert_int_equal(c->failures_in_a_row, mc->failures_in_a_row);
	assert_int_equal(c->successes_in_a_row, mc->successes_in_a_row);
	assert_int_equal(c->backoff_us, mc->backoff_us);
	assert_int_equal(c->rest_us, mc->rest_us);
	assert_int_equal(c->retry_at_us, mc->retry_at_us);
	assert_int_equal(container_in_flight(c), model_in_flight(mc));
	for (uint32_t s = 0; s < mc->n_slots; s++) {
		assert_int_equal(c->slot[s].state, mc->slot[s].state);
		assert_ptr_equal(c->slot[s].ticket, mc->slot[s].ticket);
		assert_int_equal(c->slot[s].probing, mc->slot[s].probing);
		assert_int_equal(c->slot[s].connected, mc->slot[s].connected);
	}
}

static void assert_queue_same(const struct walk *w, uint32_t serving)
{
	const struct model *m = &w->model;
	assert_int_equal(order_len(&w->pool.queue), m->n_waiting);
	assert_int_equal(w->pool.queue_bytes, model_bytes(m));
	assert_int_equal(w->pool.reserved, m->n_reserved);
	assert_int_equal(w->pool.serving.len, serving);
	for (uint32_t i = 0; i < m->n_waiting; i++) {
		assert_int_equal(ticket_position(m->waiting[i]), i + 1);
		uint64_t eta_us = pool_eta_us(&w->pool, i + 1);
		if (serving == 0 || w->pool.finished == 0) {
			assert_true(eta_us == UINT64_MAX);
			continue;
		}
		double error = (double)eta_us - (i + 1) * m->mean_us / serving;
		assert_true(error < 2.0 * (i + 1) + 1 && -error < 2.0 * (i + 1) + 1); /* whole numbers */
	}
}

static void assert_same(const struct walk *w)
{
	const struct model *m = &w->model;
	uint32_t serving = 0;
	pool_check(&w->pool);
	assert_int_equal(w->pool.n_containers, m->n_containers);
	for (uint32_t c = 0; c < m->n_containers; c++) {
		const struct model_container *mc = &m->containers[c];
		assert_container_same(w->pool.containers[c], mc);
		if (mc->state == CONTAINER_UP && !mc->draining)
			serving += mc->n_slots - count_state(mc, SLOT_DOWN) - count_state(mc, SLOT_ZOMBIE);
	}
	assert_queue_same(w, serving);
}

/* Nobody waits any more and all is answered: nothing is left in flight. */
static void wind_down(struct walk *w)
{
	struct model_container *mc = NULL;
	struct model_slot *ms = NULL;
	while (w->model.n_reserved)
		do_join(w);
	while (w->model.n_waiting)
		do_withdraw(w);
	while (pick(w, 1 << SLOT_CONNECTING, &mc, &ms))
		do_connected(w);
	while (pick(w, 1 << SLOT_BUSY | 1 << SLOT_ZOMBIE, &mc, &ms))
		do_answered(w);
	assert_same(w);
	while (w->model.n_containers)
		do_remove(w);
	assert_int_equal(pool_slots(&w->pool), 0);
}

static void run_walk(const struct mix *mix)
{
	struct walk *w = calloc(1, sizeof *w);
	assert_non_null(w);
	w->mix = mix;
	w->limits = (struct pool_limits){ mix->queue_max, mix->queue_max_bytes, 3, mix->rise, 100, 1600 };
	w->now_us = 1000000;
	w->model.next_number = 1;
	rand_seed(&w->rand, mix->seed);
	pool_init(&w->pool, &w->limits);
	while (w->model.n_containers < mix->containers)
		do_add(w);
	for (uint32_t i = 0; i < mix->steps; i++) {
		step(w);
		pump(w);
		assert_same(w);
	}
	assert_true(w->pool.finished > mix->steps / 100); /* it went somewhere */
	assert_true(w->pool.finished > mix->steps / 50);  /* it went somewhere */
	wind_down(w);
	pool_finish(&w->pool);
	free(w);
}

static void test_against_a_model(void **state)
{
	static const struct mix mixes[] = {
		{ 1, 1, 1, 20, 100000, 1, 20000, false, 5 },
		{ 2, 4, 1, 20, 100000, 1, 20000, false, 10 },
		{ 3, 3, 4, 20, 100000, 1, 20000, true, 10 },
		{ 4, 6, 2, 1, 100000, 2, 20000, true, 20 },
		{ 5, 2, 3, 40, 2000, 1, 20000, false, 2 },
		{ 6, 5, 2, 40, 100000, 3, 20000, true, 12 },
		{ 7, 2, 2, 0, 100000, 1, 20000, false, 10 },
	};
	for (size_t i = 0; i < ARRAY_LEN(mixes); i++)
		run_walk(&mixes[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_against_a_model),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
