/* sqlite_write: each change, within the committer's transaction. */
#include "store/sqlite.h"

#include <errno.h>

struct found {
	uint64_t seq;
	enum store_state state;
	uint64_t bytes; /* held by it */
	struct sqlite_file file;
};

static struct str id_blob(const struct store_id *id)
{
	return (struct str){ (const char *)id->bytes, STORE_ID_BYTES };
}

/* 1 found, 0 not there, -errno. reasons: STORE_REASONS_MAX bytes for a copy, or NULL. */
static int find_job(struct sqlite_store *s, const struct store_id *id, struct found *ret, char *reasons_into,
	struct str *ret_reasons)
{
	sqlite3_stmt *st = sql_bind(&s->writing, WRITE_FIND_JOB, "b", id_blob(id));
	int r = sql_step(st);
	if (r == 1) {
		*ret = (struct found){
			.seq = sql_u64(st, 0),
			.state = (enum store_state)sql_u64(st, 1),
			.bytes = sql_u64(st, 2),
			.file = { *id, sql_u64(st, 3) },
		};
		struct str reasons = sql_str(st, 4);
		if (ret->state >= STORE_STATES || reasons.len > STORE_REASONS_MAX)
			r = -EUCLEAN;
		else if (reasons_into) {
			if (reasons.len)
				memcpy(reasons_into, reasons.ptr, reasons.len);
			*ret_reasons = (struct str){ reasons_into, reasons.len };
		}
	}
	sqlite3_reset(st);
	return r;
}

/* The body as it goes into a row: empty when it has a file. */
static int row_body(struct sqlite_store *s, const struct store_op *op, struct str *ret_body)
{
	const struct store_message *m = store_op_message(op);
	*ret_body = STR("");
	if (op->file || !op->body_bytes)
		return 0;
	if (m->n_slices == 1 && !m->file_bytes) {
		*ret_body = (struct str){ m->slices[0].iov_base, m->slices[0].iov_len };
		return 0;
	}
	*ret_body = (struct str){ s->body, op->body_bytes };
	return store_message_copy(m, s->body);
}

/* ---- enqueue ---- */

static int find_pool(struct sqlite_store *s, struct str name, uint64_t *ret_pool)
{
	sqlite3_stmt *st = sql_bind(&s->writing, WRITE_FIND_POOL, "s", name);
	int r = sql_step(st);
	if (r == 1)
		*ret_pool = sql_u64(st, 0);
	sqlite3_reset(st);
	return r;
}

static int find_or_add_pool(struct sqlite_store *s, struct str name, uint64_t *ret_pool)
{
	int r = find_pool(s, name, ret_pool);
	if (r)
		return r < 0 ? r : 0;
	r = sql_run(&s->writing, WRITE_ADD_POOL, "s", name);
	*ret_pool = (uint64_t)sqlite3_last_insert_rowid(s->writing.db);
	return r;
}

/* Refused, with the record that is in the way. */
static int refuse_with(struct sqlite_store *s, struct store_op *op, uint64_t seq)
{
	struct sqlite_row row = { 0 };
	sqlite3_stmt *st = sql_bind(&s->writing, WRITE_RECORD, "u", seq);
	int r = sql_step(st);
	if (r == 1)
		r = sqlite_read_row(st, &row);
	else if (!r)
		r = -EUCLEAN;
	if (!r && (!store_op_expect(op, 1) || !store_op_add(op, &row.record)))
		r = -ENOMEM;
	if (!r) {
		op->reply.err = -EEXIST;
		op->reply.state = row.record.state;
	}
	sqlite3_reset(st);
	return r;
}

/* A key past its age gives way. 1: refused. */
static int check_key(struct sqlite_store *s, struct store_op *op, uint64_t pool)
{
	sqlite3_stmt *st = sql_bind(&s->writing, WRITE_FIND_KEY, "us", pool, op->job.key);
	int r = sql_step(st);
	uint64_t seq = sql_u64(st, 0);
	bool is_final = store_is_final((enum store_state)sql_u64(st, 1));
	uint64_t finished_us = sql_u64(st, 2);
	sqlite3_reset(st);
	if (r != 1)
		return r;
	if (is_final && store_is_past(finished_us, store_limits(&s->store).key_age_us, op->at_us))
		return sql_run(&s->writing, WRITE_DROP_KEY, "u", seq);
	r = refuse_with(s, op, seq);
	return r ? r : 1;
}

static int add_job(struct sqlite_store *s, struct store_op *op, uint64_t pool)
{
	const struct store_job *j = &op->job;
	struct str key = { j->key.len ? j->key.ptr : NULL, j->key.len };
	struct str hash = { (const char *)j->payload_hash, key.len ? STORE_HASH_BYTES : 0 }, body;
	uint64_t head_bytes = j->request.head.len;
	int r = row_body(s, op, &body);
	if (!r)
		r = sql_run(&s->writing, WRITE_ADD_JOB, "buuuuuuuuusb", id_blob(&j->id), pool, j->number,
			j->epoch, op->file, (uint64_t)j->flags, j->created_us, j->deadline_us, head_bytes,
			op->body_bytes, key, hash);
	uint64_t seq = (uint64_t)sqlite3_last_insert_rowid(s->writing.db);
	if (!r)
		r = sql_run(&s->writing, WRITE_ADD_MESSAGE, "ubb", seq, j->request.head, body);
	if (!r && j->attempt)
		r = sql_run(&s->writing, WRITE_CLAIM, "uusu", seq, (uint64_t)j->attempt, j->container,
			j->started_us);
	if (r)
		return r;
	s->totals.records++;
	s->totals.bytes += head_bytes + op->body_bytes;
	s->totals.unfinished_records++;
	s->totals.unfinished_bytes += head_bytes + op->body_bytes;
	return 0;
}

static int enqueue(struct sqlite_store *s, struct store_op *op)
{
	struct found found = { 0 };
	uint64_t pool = 0;
	int r = find_job(s, &op->job.id, &found, NULL, NULL);
	if (r == 1)
		return refuse_with(s, op, found.seq);
	if (!r)
		r = find_or_add_pool(s, op->job.pool, &pool);
	if (!r && op->job.key.len)
		r = check_key(s, op, pool);
	if (r)
		return r < 0 ? r : 0;
	r = sqlite_make_room(s, op->job.request.head.len + op->body_bytes, &op->reply.err);
	return r || op->reply.err ? r : add_job(s, op, pool);
}

/* ---- the end ---- */

static void count_finished(struct sqlite_store *s, const struct found *f)
{
	s->totals.unfinished_records--;
	s->totals.unfinished_bytes -= f->bytes;
}

static int complete(struct sqlite_store *s, struct store_op *op, const struct found *f)
{
	uint64_t head_bytes = op->answer.message.head.len;
	struct str body;
	int r = row_body(s, op, &body);
	if (!r)
		r = sql_run(&s->writing, WRITE_COMPLETE, "uuuuuu", f->seq, (uint64_t)op->answer.status,
			op->at_us, op->file, head_bytes, op->body_bytes);
	if (!r)
		r = sql_run(&s->writing, WRITE_SET_MESSAGE, "ubb", f->seq, op->answer.message.head, body);
	if (!r)
		r = sqlite_doom(s, f->file);
	s->totals.bytes += head_bytes + op->body_bytes - f->bytes;
	count_finished(s, f);
	return r;
}

static int end(struct sqlite_store *s, const struct store_op *op, const struct found *f,
	enum store_state state, struct str reasons)
{
	int r = sql_run(&s->writing, WRITE_END, "uius", f->seq, (int)state, op->at_us, reasons);
	if (!r)
		r = sql_run(&s->writing, WRITE_DROP_MESSAGE, "u", f->seq);
	if (!r)
		r = sqlite_doom(s, f->file);
	s->totals.bytes -= f->bytes;
	count_finished(s, f);
	return r;
}

int sqlite_drop_job(struct sqlite_store *s, uint64_t seq, uint64_t bytes, struct sqlite_file f)
{
	int r = sql_run(&s->writing, WRITE_DROP_JOB, "u", seq);
	if (!r)
		r = sql_run(&s->writing, WRITE_DROP_MESSAGE, "u", seq);
	if (!r)
		r = sqlite_doom(s, f);
	s->totals.records--;
	s->totals.bytes -= bytes;
	return r;
}

/* ---- all of them ---- */

/* Of a job that is not final. *ret_state: what it is then. */
static int change(struct sqlite_store *s, struct store_op *op, const struct found *f, char *reasons_into,
	struct str reasons)
{
	enum store_state *state = &op->reply.state;
	switch (op->verb) {
	case STORE_CLAIM:
		*state = STORE_RUNNING;
		return sql_run(&s->writing, WRITE_CLAIM, "uusu", f->seq, (uint64_t)op->claim.attempt,
			op->claim.container, op->at_us);
	case STORE_REQUEUE:
		*state = STORE_QUEUED;
		reasons = store_add_reason(reasons_into, reasons, op->reason);
		return sql_run(&s->writing, WRITE_REQUEUE, "us", f->seq, reasons);
	case STORE_COMPLETE:
		*state = STORE_DONE;
		return complete(s, op, f);
	case STORE_FAIL:
		*state = STORE_FAILED;
		return end(s, op, f, STORE_FAILED, store_add_reason(reasons_into, reasons, op->reason));
	case STORE_CANCEL:
		*state = STORE_CANCELLED;
		return end(s, op, f, STORE_CANCELLED, reasons);
	case STORE_EXPIRE:
		*state = STORE_EXPIRED;
		return end(s, op, f, STORE_EXPIRED, reasons);
	case STORE_REMOVE:
		op->reply.err = -EBUSY;
		return 0;
	case STORE_ENQUEUE:
	case STORE_PURGE:
	case STORE_GET:
	case STORE_FIND:
	case STORE_LIST:
	case STORE_READ:
		break;
	}
	return -EINVAL;
}

int sqlite_change(struct sqlite_store *s, struct store_op *op)
{
	struct found f = { 0 };
	char reasons_into[STORE_REASONS_MAX];
	struct str reasons = { 0 };
	if (op->verb == STORE_ENQUEUE)
		return enqueue(s, op);
	if (op->verb == STORE_PURGE)
		return sqlite_purge(s, op);
	int r = find_job(s, &op->id, &f, reasons_into, &reasons);
	if (r < 0)
		return r;
	if (r == 0) {
		op->reply.err = -ENOENT;
		return 0;
	}
	op->reply.state = f.state;
	if (!store_is_final(f.state))
		return change(s, op, &f, reasons_into, reasons);
	if (op->verb == STORE_REMOVE)
		return sqlite_drop_job(s, f.seq, f.bytes, f.file);
	op->reply.err = -EALREADY;
	return 0;
}
