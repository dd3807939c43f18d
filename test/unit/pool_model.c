#include "pool_model.h"

#include "core/slot.h"
#include "unit.h"

uint32_t below(struct walk *w, uint32_t n)
{
	return (uint32_t)rand_below(&w->rand, n);
}

struct container *real(struct walk *w, const struct model_container *mc)
{
	return w->pool.containers[mc - w->model.containers];
}

struct slot *real_slot(struct walk *w, const struct model_container *mc, const struct model_slot *ms)
{
	return &real(w, mc)->slot[ms - mc->slot];
}

uint32_t count_state(const struct model_container *mc, enum slot_state state)
{
	uint32_t n = 0;
	for (uint32_t s = 0; s < mc->n_slots; s++)
		n += mc->slot[s].state == state;
	return n;
}

uint32_t model_in_flight(const struct model_container *mc)
{
	return count_state(mc, SLOT_BUSY) + count_state(mc, SLOT_ZOMBIE);
}

void model_file(struct walk *w, struct model_container *mc)
{
	mc->filed = ++w->model.clock;
}

void model_set(struct walk *w, struct model_container *mc, struct model_slot *ms, enum slot_state state)
{
	if (ms->state == SLOT_FREE || state == SLOT_FREE)
		model_file(w, mc);
	ms->state = state;
}

void model_give_back(struct walk *w, struct model_container *mc)
{
	uint32_t given = 0, down = count_state(mc, SLOT_DOWN);
	for (uint32_t s = 0; s < mc->n_slots; s++) {
		if (mc->slot[s].state != SLOT_DOWN || real(w, mc)->slot[s].state != SLOT_FREE)
			continue;
		model_set(w, mc, &mc->slot[s], SLOT_FREE);
		given++;
	}
	assert_int_equal(given, down ? 1 : 0);
	mc->returning = down > 1;
}

void model_up(struct walk *w, struct model_container *mc)
{
	if (mc->state == CONTAINER_UP)
		return;
	mc->returning = mc->state == CONTAINER_DOWN;
	mc->failures_in_a_row = 0;
	mc->state = CONTAINER_UP;
	model_file(w, mc);
	for (uint32_t s = 0; s < mc->n_slots && !mc->returning; s++) {
		if (mc->slot[s].state == SLOT_DOWN)
			model_set(w, mc, &mc->slot[s], SLOT_FREE);
	}
}

void model_leave_service(struct walk *w, struct model_container *mc, enum container_state state)
{
	mc->state = state;
	for (uint32_t s = 0; s < mc->n_slots; s++) {
		if (mc->slot[s].state == SLOT_FREE)
			mc->slot[s] = (struct model_slot){ .state = SLOT_DOWN };
	}
}

uint64_t doubled(uint64_t us, uint64_t most_us)
{
	return us * 2 < most_us ? us * 2 : most_us;
}

void model_down(struct walk *w, struct model_container *mc)
{
	if (mc->state == CONTAINER_DOWN && w->now_us < mc->retry_at_us)
		return;
	mc->retry_at_us = w->now_us + mc->backoff_us;
	mc->backoff_us = doubled(mc->backoff_us, w->limits.backoff_max_us);
	if (mc->state == CONTAINER_DOWN)
		return;
	mc->successes_in_a_row = 0;
	model_leave_service(w, mc, CONTAINER_DOWN);
}

void model_settle(struct walk *w, struct model_container *mc)
{
	if (!mc->settling || count_state(mc, SLOT_ZOMBIE))
		return;
	mc->settling = false;
	model_file(w, mc);
}

bool model_available(const struct model_container *mc)
{
	return mc->state == CONTAINER_UP && !mc->draining && !mc->settling && count_state(mc, SLOT_FREE) > 0;
}

struct model_container *model_choice(struct model *m, const uint32_t *excepted, uint32_t n)
{
	struct model_container *best = NULL;
	for (uint32_t c = 0; c < m->n_containers; c++) {
		struct model_container *mc = &m->containers[c];
		bool is_excepted = false;
		for (uint32_t i = 0; i < n; i++)
			is_excepted |= excepted[i] == mc->id;
		if (!model_available(mc) || is_excepted)
			continue;
		uint32_t taken = mc->n_slots - count_state(mc, SLOT_FREE);
		uint32_t least = best ? best->n_slots - count_state(best, SLOT_FREE) : UINT32_MAX;
		if (taken < least || (taken == least && mc->filed < best->filed))
			best = mc;
	}
	return best;
}

void assert_dispatched(struct walk *w, struct ticket *t, const struct slot *s)
{
	struct model_container *mc = NULL;
	for (uint32_t n = TICKET_AVOIDS + 1; !mc && n-- > 0;) /* better one that failed it than none */
		mc = model_choice(&w->model, w->model.failed_by[t - w->tickets], n);
	if (!mc) {
		fail_msg("there is no container with a free slot");
		return; /* as the compiler sees it */
	}
	assert_int_equal(s->container->id, mc->id);
	struct model_slot *ms = &mc->slot[s - s->container->slot];
	assert_int_equal(ms->state, SLOT_FREE);
	for (uint32_t k = 0; k < mc->n_slots; k++) /* one with a connection, if there is one */
		assert_true(ms->connected || mc->slot[k].state != SLOT_FREE || !mc->slot[k].connected);
	model_set(w, mc, ms, ms->connected ? SLOT_BUSY : SLOT_CONNECTING);
	ms->ticket = t;
}

uint64_t model_bytes(const struct model *m)
{
	uint64_t bytes = 0;
	for (uint32_t i = 0; i < m->n_waiting; i++)
		bytes += m->waiting[i]->bytes;
	for (uint32_t i = 0; i < m->n_reserved; i++)
		bytes += m->reserved[i]->bytes;
	return bytes;
}

enum admission model_forecast(struct walk *w, uint32_t bytes)
{
	struct model *m = &w->model;
	bool hope = false;
	if (m->n_waiting == 0 && model_choice(m, NULL, 0))
		return ADMIT_DISPATCH;
	for (uint32_t c = 0; c < m->n_containers; c++)
		hope = hope || m->containers[c].state != CONTAINER_DOWN;
	if (!hope)
		return ADMIT_NO_CONTAINER;
	if (m->n_waiting + m->n_reserved >= w->limits.queue_max ||
		model_bytes(m) + bytes > w->limits.queue_max_bytes)
		return ADMIT_FULL;
	return ADMIT_WAIT;
}

void model_wait(struct model *m, struct ticket *t)
{
	uint32_t at = m->n_waiting;
	while (at > 0 && m->waiting[at - 1]->number > t->number)
		at--;
	memmove(m->waiting + at + 1, m->waiting + at, (m->n_waiting - at) * sizeof *m->waiting);
	m->waiting[at] = t;
	m->n_waiting++;
}

void model_unwait(struct model *m, uint32_t at)
{
	m->n_waiting--;
	memmove(m->waiting + at, m->waiting + at + 1, (m->n_waiting - at) * sizeof *m->waiting);
}

bool pick(struct walk *w, uint32_t states, struct model_container **ret_mc, struct model_slot **ret_ms)
{
	uint32_t seen = 0;
	for (uint32_t c = 0; c < w->model.n_containers; c++) {
		struct model_container *mc = &w->model.containers[c];
		for (uint32_t s = 0; s < mc->n_slots; s++) {
			if (!(states >> mc->slot[s].state & 1) || below(w, ++seen) != 0)
				continue;
			*ret_mc = mc;
			*ret_ms = &mc->slot[s];
		}
	}
	return seen > 0;
}

struct model_container *pick_container(struct walk *w)
{
	return w->model.n_containers ? &w->model.containers[below(w, w->model.n_containers)] : NULL;
}
