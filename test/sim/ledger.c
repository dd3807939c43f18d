#include "ledger.h"

#include "world.h"

#include <stdlib.h>
#include <string.h>

/* What reaches Berth later than it happened may be the reason of an answer for so long. */
enum { GRACE_US = 2 * 1000 * 1000, SLACK_US = 100 * 1000 };

void ledger_init(struct ledger *l)
{
	struct rand r;
	*l = (struct ledger){ 0 };
	rand_seed(&r, 0);
	for (size_t i = 0; i < PATTERN_BYTES; i += 8) {
		uint64_t v = rand_u64(&r);
		memcpy(l->pattern + i, &v, 8);
	}
	memcpy(l->pattern + PATTERN_BYTES, l->pattern, PATTERN_BYTES);
}

void ledger_finish(struct ledger *l)
{
	free(l->records);
}

uint32_t ledger_add(struct ledger *l, struct record r)
{
	if (l->n == l->cap) {
		l->cap = l->cap ? l->cap * 2 : 256;
		l->records = sim_realloc(l->records, l->cap * sizeof *l->records);
	}
	l->records[l->n] = r;
	return l->n++;
}

/* ---- bodies ---- */

/* Where byte `from` of this body stands in the pattern. */
static size_t place(uint32_t token, enum side side, uint64_t from)
{
	uint32_t start = (token * 2 + (side == SIDE_ANSWER)) * UINT32_C(2654435761) >> 16;
	return (size_t)(start + from) % PATTERN_BYTES;
}

void pattern_write(
	const struct ledger *l, struct writer *w, uint32_t token, enum side side, uint64_t from, size_t n)
{
	while (n) {
		size_t k = n < PATTERN_BYTES ? n : PATTERN_BYTES;
		write_bytes(w, l->pattern + place(token, side, from), k);
		from += k;
		n -= k;
	}
}

bool pattern_fits(const struct ledger *l, uint32_t token, enum side side, uint64_t from, struct str bytes)
{
	while (bytes.len) {
		size_t k = bytes.len < PATTERN_BYTES ? bytes.len : PATTERN_BYTES;
		if (memcmp(bytes.ptr, l->pattern + place(token, side, from), k) != 0)
			return false;
		from += k;
		bytes = str_skip(bytes, k);
	}
	return true;
}

uint32_t ledger_token(const struct ledger *l, struct str query)
{
	uint64_t token;
	if (!str_starts(query, STR("t=")) || !str_to_u64(str_skip(query, 2), &token) || token >= l->n)
		return UINT32_MAX;
	return (uint32_t)token;
}

/* ---- judgements ---- */

static uint64_t least_timeout_us(const struct pool_settings *ps)
{
	uint64_t us = ps->timeouts.total_us;
	if (ps->timeouts.first_byte_us < us)
		us = ps->timeouts.first_byte_us;
	return ps->timeouts.idle_us < us ? ps->timeouts.idle_us : us;
}

/* Something was so since the request was begun, or shortly before. */
static bool was(const struct record *r, uint64_t last_us)
{
	return last_us && last_us + GRACE_US >= r->started_us;
}

bool judge_crowd(struct world *w)
{
	oracle_note_refusals(w);
	uint64_t last_us = w->oracle.turned_away_us;
	return last_us && last_us + GRACE_US >= world_now_us(w);
}

bool judge_overload(struct world *w)
{
	oracle_note_refusals(w);
	return w->oracle.refused_us && w->oracle.refused_us + GRACE_US >= world_now_us(w);
}

bool judge_no_room_behind(struct world *w, uint32_t token)
{
	oracle_note_refusals(w);
	return was(ledger_at(&w->ledger, token), w->oracle.refused_us);
}

bool judge_want(struct world *w)
{
	oracle_note_refusals(w);
	return w->oracle.struck_us && w->oracle.struck_us + GRACE_US >= world_now_us(w);
}

/* It may have ended so long ago that it, or its result, is not kept any more. */
static bool may_be_purged(const struct world *w, const struct record *job)
{
	const struct settings *s = &w->plan.settings;
	uint64_t kept_us =
		s->jobs_max_age_us < s->jobs_record_age_us ? s->jobs_max_age_us : s->jobs_record_age_us;
	return world_now_us(w) - job->started_us >= kept_us;
}

/* Is this problem a fair answer to the request? */
static bool is_fair(struct world *w, const struct record *r, enum problem p)
{
	const struct settings *s = &w->plan.settings;
	const struct pool_settings *ps = &w->plan.pools[r->pool];
	const struct pool_watch *watch = &w->oracle.pools[r->pool];
	uint64_t took_us = world_now_us(w) - r->started_us;
	bool for_pool = r->kind == ASK_PLAIN || r->kind == ASK_SUBMIT || r->kind == ASK_BAD;
	bool is_job = r->kind == ASK_SUBMIT || r->async;
	bool about_job = r->kind >= ASK_POLL && r->kind <= ASK_EVENTS;
	switch (p) {
	case PROBLEM_REQUEST_TIMEOUT:
		return r->stalled || r->sent_us == UINT64_MAX || took_us >= s->client_head_us ||
			took_us >= s->client_body_us;
	case PROBLEM_NOT_READY:
		return r->kind == ASK_RESULT;
	case PROBLEM_NOT_FOUND: /* a job that is not kept any more */
	case PROBLEM_GONE:      /* or its result */
		return r->cancelled ||
			(about_job &&
				(!w->plan.calm || ledger_at(&w->ledger, r->job)->cancelled ||
					may_be_purged(w, ledger_at(&w->ledger, r->job))));
	case PROBLEM_STORAGE_FULL:
		return (is_job && !w->plan.calm) || /* or its end cannot be stored */
			(r->kind == ASK_CANCEL && was(r, w->oracle.struck_us));
	case PROBLEM_JOB_FAILED:
		return was(r, watch->trouble_us) || was(r, w->oracle.refused_us) ||
			took_us >= least_timeout_us(ps) || r->answer_bytes > s->jobs_max_result_bytes ||
			(ps->job_ttl_us && took_us >= ps->job_ttl_us) ||
			(ps->job_ttl_us && w->plan.clock_jump_ppm);
	case PROBLEM_BAD_ANSWER:
	case PROBLEM_CONTAINER_LOST:
		return for_pool && (was(r, watch->trouble_us) || watch->forgotten) &&
			(!r->answered || r->harmed || was(r, w->oracle.struck_us));
	case PROBLEM_QUEUE_FULL:
		return for_pool && was(r, watch->full_us);
	case PROBLEM_QUEUE_TIMEOUT:
		return for_pool && (!is_job || (r->waits && !w->plan.calm)) && /* it could not become a job */
			took_us >= ps->queue_max_wait_us &&
			world_now_us(w) - r->delivered_us >= ps->queue_max_wait_us;
	case PROBLEM_WAIT_TOO_LONG:
		return for_pool && r->max_wait;
	case PROBLEM_NO_CONTAINER:
		return for_pool && was(r, watch->hopeless_us);
	case PROBLEM_OVERLOADED:
		return was(r, w->oracle.refused_us) || judge_crowd(w) || (is_job && !w->plan.calm) ||
			(was(r, w->oracle.slept_us) &&
				took_us >= s->client_body_us); /* the disk's time was over, too */
	case PROBLEM_CLIENT_LIMIT:
		return judge_crowd(w) &&
			(s->max_connections_per_address || w->plan.other.max_connections_per_address);
	case PROBLEM_SHUTTING_DOWN:
		return w->draining;
	case PROBLEM_UPSTREAM_TIMEOUT:
		return for_pool && took_us >= least_timeout_us(ps);
	default:
		return false;
	}
}

void judge_problem(struct world *w, uint32_t token, enum problem p)
{
	const struct record *r = ledger_at(&w->ledger, token);
	w->tally->problems[p]++;
	oracle_note_refusals(w);
	if (r->kind == ASK_BAD && problem_status(p) == r->status)
		return;
	VERIFY(w, is_fair(w, r, p), "token %u is answered with the problem %s for no reason", token,
		problem_name(p));
}

bool judge_cut(struct world *w, uint32_t token, bool some_answer)
{
	const struct record *r = ledger_at(&w->ledger, token);
	const struct pool_settings *ps = &w->plan.pools[r->pool];
	const struct settings *s = &w->plan.settings;
	uint64_t took_us = world_now_us(w) - r->started_us;
	oracle_note_refusals(w);
	bool fair = w->draining || r->stalled || was(r, w->oracle.refused_us) ||
		took_us >= s->client_send_us || judge_crowd(w);
	/* the connection's idle time is over, and the request crosses that on the way */
	fair |= r->idled_us + SLACK_US >= s->client_idle_us || was(r, w->oracle.slept_us);
	/* the job's end, or the rest of its result, was forgotten before it could be told */
	bool forgotten = r->kind == ASK_EVENTS || r->kind == ASK_RESULT;
	bool deleted = forgotten && ledger_at(&w->ledger, r->job)->cancelled;
	fair |= forgotten;
	if (some_answer)
		fair |= (was(r, w->oracle.pools[r->pool].trouble_us) && (!r->answered || r->harmed)) ||
			took_us >= least_timeout_us(ps);
	return fair && (!w->plan.calm || deleted);
}

void judge_delivery(struct world *w, uint32_t token)
{
	const struct record *r = ledger_at(&w->ledger, token);
	const struct pool_settings *ps = &w->plan.pools[r->pool];
	enum retry_rule rule = ps->retry;
	bool idempotent = http_method_is_idempotent((enum http_method)r->method);
	if (r->deliveries == 0 || r->bounced)
		return;
	if (r->kind == ASK_SUBMIT) /* at most once, or at least once */
		rule = ps->job_retry == JOB_RETRY_NEVER ? RETRY_NEVER : RETRY_ALWAYS;
	else if (r->async && ps->job_retry != JOB_RETRY_NEVER) /* it may have become a job */
		rule = RETRY_ALWAYS;
	VERIFY(w, rule != RETRY_NEVER, "token %u is delivered again although the pool forbids it", token);
	oracle_note_refusals(w);
	VERIFY(w, r->harmed || was(r, w->oracle.struck_us),
		"token %u is delivered again although nothing was wrong", token);
	VERIFY(w, rule == RETRY_ALWAYS || idempotent || r->maybe_stale,
		"token %u is delivered again although it is not safe", token);
	VERIFY(w, r->deliveries - r->bounces < RETRY_ATTEMPTS_MAX || r->maybe_stale,
		"token %u is delivered too often", token);
}
