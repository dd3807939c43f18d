#include "store_model.h"

#include <errno.h>

bool model_is_final(const struct model_job *j)
{
	return store_is_final(j->rec.state);
}

static uint64_t held_bytes(const struct model *m, bool unfinished_only)
{
	uint64_t sum = 0;
	for (int i = 0; i < MODEL_IDS; i++) {
		const struct model_job *j = &m->jobs[i];
		if (j->there && j->rec.held && !(unfinished_only && model_is_final(j)))
			sum += j->head_bytes + j->body_bytes;
	}
	return sum;
}

uint64_t model_count(const struct model *m)
{
	uint64_t n = 0;
	for (int i = 0; i < MODEL_IDS; i++)
		n += m->jobs[i].there;
	return n;
}

static uint64_t count_unfinished(const struct model *m)
{
	uint64_t n = 0;
	for (int i = 0; i < MODEL_IDS; i++)
		n += m->jobs[i].there && !model_is_final(&m->jobs[i]);
	return n;
}

static struct model_job *oldest(struct model *m, bool held_only)
{
	struct model_job *best = NULL;
	for (int i = 0; i < MODEL_IDS; i++) {
		struct model_job *j = &m->jobs[i];
		if (!j->there || !model_is_final(j) || (held_only && !j->rec.held))
			continue;
		if (!best || j->rec.finished_us < best->rec.finished_us ||
			(j->rec.finished_us == best->rec.finished_us && j->seq < best->seq))
			best = j;
	}
	return best;
}

static struct model_job *with_key(struct model *m, char pool, int key)
{
	for (int i = 0; key && i < MODEL_IDS; i++) {
		struct model_job *j = &m->jobs[i];
		if (j->there && j->pool == pool && j->key == key)
			return j;
	}
	return NULL;
}

int model_enqueue(struct model *m, struct model_job *fresh, int *ret_state)
{
	const struct store_settings *s = m->settings;
	struct model_job *j = &m->jobs[fresh - m->jobs], *old = with_key(m, fresh->pool, fresh->key);
	if (old && model_is_final(old) && old->rec.finished_us + s->key_age_us <= m->now_us) {
		old->key = 0;
		old = NULL;
	}
	if (old) {
		*ret_state = (int)old->rec.state;
		return -EEXIST;
	}
	uint64_t bytes = fresh->head_bytes + fresh->body_bytes;
	if (count_unfinished(m) >= s->max_records || held_bytes(m, true) + bytes > s->max_bytes)
		return -EDQUOT;
	while (model_count(m) >= s->max_records)
		oldest(m, false)->there = false;
	while (held_bytes(m, false) + bytes > s->max_bytes)
		oldest(m, true)->rec.held = false;
	j->there = true;
	j->seq = m->next_seq++;
	*ret_state = STORE_QUEUED;
	return 0;
}

bool model_purge_one(struct model *m)
{
	const struct store_settings *s = m->settings;
	struct model_job *record = oldest(m, false), *answer = oldest(m, true);
	if (record &&
		(record->rec.finished_us + s->record_age_us <= m->now_us || model_count(m) > s->max_records))
		record->there = false;
	else if (answer &&
		(answer->rec.finished_us + s->result_age_us <= m->now_us ||
			held_bytes(m, false) > s->max_bytes))
		answer->rec.held = false;
	else
		return false;
	return true;
}

void model_end(struct model *m, struct model_job *j, enum store_state state)
{
	j->rec.state = state;
	j->rec.finished_us = m->now_us;
	j->rec.held = state == STORE_DONE;
	if (state != STORE_DONE)
		j->head_bytes = j->body_bytes = 0;
}
