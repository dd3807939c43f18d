#include "told.h"

#include "crash_world.h"

#include <string.h>

/* ---- bodies ---- */

static uint64_t word_at(uint32_t token, uint32_t delivery, uint64_t at)
{
	uint64_t n = at + ((uint64_t)token << 40 | (uint64_t)delivery << 32);
	n = (n ^ n >> 31) * UINT64_C(0x7fb5d329728ea185);
	n = (n ^ n >> 27) * UINT64_C(0x81dadef4bc2dd44d);
	return n ^ n >> 33;
}

void told_fill(char *into, uint32_t token, uint32_t delivery, size_t n)
{
	for (size_t at = 0; at < n; at += 8) {
		uint64_t word = word_at(token, delivery, at / 8);
		memcpy(into + at, &word, n - at < 8 ? n - at : 8);
	}
}

bool told_fits(uint32_t token, uint32_t delivery, uint64_t from, struct str bytes)
{
	while (bytes.len) {
		uint64_t word = word_at(token, delivery, from / 8);
		size_t skip = from % 8, n = bytes.len < 8 - skip ? bytes.len : 8 - skip;
		if (memcmp(bytes.ptr, (const char *)&word + skip, n) != 0)
			return false;
		from += n;
		bytes = str_skip(bytes, n);
	}
	return true;
}

/* ---- what clients are told ---- */

static uint32_t token_of(const struct crash_world *w, const struct told_job *j)
{
	return (uint32_t)(j - w->told.jobs);
}

void told_handed_in(struct crash_world *w, struct told_job *j)
{
	j->pending = true;
	j->life_handed_in = w->life;
	j->handed_in_again = j->handed_in;
	if (j->handed_in)
		return;
	j->handed_in = ++w->told.moment;
	j->crashes_before = w->crashes;
}

void told_acknowledged(struct crash_world *w, struct told_job *j, const char *id)
{
	VERIFY(w, strlen(id) == STORE_ID_CHARS, "job %u has the id \"%s\"", token_of(w, j), id);
	VERIFY(w, !told_is_job(j) || !strcmp(j->id, id), "job %u is %s and %s", token_of(w, j), j->id, id);
	j->pending = false;
	if (told_is_job(j))
		return;
	memcpy(j->id, id, sizeof j->id);
	j->acknowledged = ++w->told.moment;
	w->tally->acknowledged++;
}

void told_refused(struct crash_world *w, struct told_job *j)
{
	w->tally->refused++;
	j->refused = !j->handed_in_again;
	j->pending = j->handed_in_again; /* the first time may have made a job of it: it is tried again */
	j->life_handed_in = w->life - 1;
}

/* The least number of crashes after which Berth gives a job up. */
static uint32_t crashes_to_fail(const struct crash_world *w)
{
	if (w->plan.refuse_ppm || w->plan.full_ppm || w->plan.sync_ppm)
		return 0; /* there are other reasons */
	return w->pool.job_retry == JOB_RETRY_NEVER ? 1 : w->pool.job_attempts;
}

static void check_final(struct crash_world *w, const struct told_job *j, enum store_state state)
{
	uint32_t token = token_of(w, j);
	VERIFY(w, j->final < 0 || j->final == (int)state, "job %u is %s, and was %s", token,
		store_state_name(state), store_state_name((enum store_state)j->final));
	VERIFY(w, state != STORE_DONE || j->answers, "job %u is done, and no container has answered it",
		token);
	VERIFY(w, state != STORE_CANCELLED || j->cancel_sent, "job %u is cancelled by nobody", token);
	VERIFY(w, state != STORE_EXPIRED, "job %u has expired without a deadline", token);
	VERIFY(w, state != STORE_FAILED || w->crashes >= j->crashes_before + crashes_to_fail(w),
		"job %u has failed after %u crashes", token, w->crashes - j->crashes_before);
}

void told_state(struct crash_world *w, struct told_job *j, enum store_state state, uint64_t asked)
{
	VERIFY(w, !j->gone || asked < j->gone_at, "job %u is %s, and was gone", token_of(w, j),
		store_state_name(state));
	if (!store_is_final(state)) {
		VERIFY(w, j->final < 0 || asked < j->final_at, "job %u is %s again, and was %s",
			token_of(w, j), store_state_name(state),
			store_state_name((enum store_state)j->final));
		return;
	}
	check_final(w, j, state);
	if (state != STORE_DONE && !j->gone)
		j->life_settled = w->life;
	if (j->final >= 0)
		return;
	j->final = (int)state;
	j->final_at = ++w->told.moment;
	w->tally->finals[state]++;
}

void told_result(struct crash_world *w, struct told_job *j, uint32_t delivery, uint64_t asked)
{
	told_state(w, j, STORE_DONE, asked);
	VERIFY(w, !j->told_delivery || j->told_delivery == delivery,
		"job %u has the answer to its delivery %u, and had that to %u", token_of(w, j), delivery,
		j->told_delivery);
	j->told_delivery = delivery;
	if (!j->gone)
		j->life_settled = w->life;
}

void told_gone(struct crash_world *w, struct told_job *j)
{
	VERIFY(w, j->cancel_sent, "job %u was acknowledged, and is not there", token_of(w, j));
	VERIFY(w, j->final != STORE_CANCELLED, "job %u was cancelled, and is not there", token_of(w, j));
	j->life_settled = w->life;
	if (j->gone)
		return;
	j->gone = true;
	j->gone_at = ++w->told.moment;
}

void told_cancelled(struct crash_world *w, struct told_job *j, int status, uint64_t asked)
{
	if (status == 202)
		told_state(w, j, STORE_CANCELLED, asked);
	else if (j->final >= 0 && j->final_at < asked)
		told_gone(w, j); /* it was over: the record goes */
}

/* ---- what containers see ---- */

/* One slot: who was acknowledged before another was handed in runs before it, in each life. One that is no job yet does
 * not wait behind jobs whose start cannot be stored. */
static void check_order(struct crash_world *w, const struct told_job *j)
{
	for (uint32_t i = 0; i < w->told.n; i++) {
		const struct told_job *other = &w->told.jobs[i];
		bool may_overtake = other->handing == HAND_WAIT && w->pool.job_retry == JOB_RETRY_NEVER;
		VERIFY(w,
			other->life_delivered != w->life || j->acknowledged > other->handed_in ||
				may_overtake,
			"job %u runs after job %u, which was handed in when it had been acknowledged",
			token_of(w, j), i);
	}
}

uint32_t told_delivered(struct crash_world *w, struct told_job *j)
{
	uint32_t token = token_of(w, j);
	bool at_most_once = w->pool.job_retry == JOB_RETRY_NEVER && j->handing != HAND_WAIT;
	VERIFY(w, j->handed_in, "job %u runs, and nobody has handed it in", token);
	VERIFY(w, !j->refused, "job %u runs, and was refused", token);
	VERIFY(w, !j->gone && (j->final < 0 || j->final == STORE_CANCELLED),
		"job %u runs again, and was over", token);
	VERIFY(w, !at_most_once || !j->deliveries, "job %u runs twice, and may not", token);
	VERIFY(w, !j->deliveries || j->life_delivered != w->life, "job %u runs twice in one life", token);
	if (told_is_job(j) && plan_slots(w) == 1)
		check_order(w, j);
	j->life_delivered = w->life;
	CHECK(j->deliveries + 1 < TOLD_DELIVERIES);
	w->tally->deliveries++;
	return ++j->deliveries;
}
