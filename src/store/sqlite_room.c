/* sqlite_room: what gives way when it is too old or there is too much. */
#include "store/sqlite.h"

#include <errno.h>

struct oldest {
	bool found;
	uint64_t seq, finished_us;
	uint64_t bytes; /* held by it */
	struct sqlite_file file;
};

/* The final record that ended first, of those with an answer or of those without. */
static int find_oldest(struct sqlite_store *s, bool held, struct oldest *ret)
{
	sqlite3_stmt *st = sql_bind(&s->writing, WRITE_OLDEST, "i", (int)held);
	int r = sql_step(st);
	*ret = (struct oldest){ .found = r == 1 };
	if (r == 1) {
		struct str id = sql_str(st, 3);
		ret->seq = sql_u64(st, 0);
		ret->finished_us = sql_u64(st, 1);
		ret->file.number = sql_u64(st, 2);
		ret->bytes = sql_u64(st, 4);
		if (id.len == STORE_ID_BYTES)
			memcpy(ret->file.id.bytes, id.ptr, STORE_ID_BYTES);
		else
			r = -EUCLEAN;
	}
	sqlite3_reset(st);
	return r < 0 ? r : 0;
}

static const struct oldest *earlier(const struct oldest *a, const struct oldest *b)
{
	if (!a->found || !b->found)
		return a->found ? a : b;
	if (a->finished_us != b->finished_us)
		return a->finished_us < b->finished_us ? a : b;
	return a->seq < b->seq ? a : b;
}

static int drop_answer(struct sqlite_store *s, const struct oldest *o)
{
	int r = sql_run(&s->writing, WRITE_DROP_ANSWER, "u", o->seq);
	if (!r)
		r = sql_run(&s->writing, WRITE_DROP_MESSAGE, "u", o->seq);
	if (!r)
		r = sqlite_doom(s, o->file);
	s->totals.bytes -= o->bytes;
	return r;
}

/* The oldest with an answer, and the oldest of all. */
static int find_both(struct sqlite_store *s, struct oldest *ret_answer, struct oldest *ret_record)
{
	struct oldest without;
	int r = find_oldest(s, true, ret_answer);
	if (!r)
		r = find_oldest(s, false, &without);
	if (!r)
		*ret_record = *earlier(ret_answer, &without);
	return r;
}

int sqlite_make_room(struct sqlite_store *s, uint64_t bytes, int *ret_refused)
{
	const struct store_settings limits = store_limits(&s->store);
	struct oldest answer, record;
	int r = 0;
	if (s->totals.unfinished_records >= limits.max_records ||
		s->totals.unfinished_bytes + bytes > limits.max_bytes) {
		*ret_refused = -EDQUOT;
		return 0;
	}
	while (!r && s->totals.records >= limits.max_records) {
		r = find_both(s, &answer, &record);
		if (!r)
			r = record.found ? sqlite_drop_job(s, record.seq, record.bytes, record.file)
					 : -EUCLEAN;
	}
	while (!r && s->totals.bytes + bytes > limits.max_bytes) {
		r = find_oldest(s, true, &answer);
		if (!r)
			r = answer.found ? drop_answer(s, &answer) : -EUCLEAN;
	}
	return r;
}

/* 1: one record or answer was removed; 0: there is none to remove. */
static int purge_one(struct sqlite_store *s, uint64_t now_us)
{
	const struct store_settings limits = store_limits(&s->store);
	struct oldest answer, record;
	int r = find_both(s, &answer, &record);
	if (r)
		return r;
	if (record.found &&
		(store_is_past(record.finished_us, limits.record_age_us, now_us) ||
			s->totals.records > limits.max_records))
		r = sqlite_drop_job(s, record.seq, record.bytes, record.file);
	else if (answer.found &&
		(store_is_past(answer.finished_us, limits.result_age_us, now_us) ||
			s->totals.bytes > limits.max_bytes))
		r = drop_answer(s, &answer);
	else
		return 0;
	return r ? r : 1;
}

int sqlite_purge(struct sqlite_store *s, struct store_op *op)
{
	int r = 1;
	while (r == 1 && op->reply.purged < STORE_PURGE_MAX) {
		r = purge_one(s, op->at_us);
		op->reply.purged += r == 1;
	}
	op->reply.more = r == 1;
	return r < 0 ? r : 0;
}
