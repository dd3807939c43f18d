/* sqlite_read: what changes nothing, on the reader's thread and connection, each in one snapshot. */
#include "store/sqlite.h"

#include <errno.h>
#include <stdlib.h>

static int add_row(sqlite3_stmt *st, struct store_op *op, struct sqlite_row *ret_row)
{
	int r = sql_step(st);
	if (r != 1)
		return r ? r : -ENOENT;
	r = sqlite_read_row(st, ret_row);
	if (!r && !store_op_add(op, &ret_row->record))
		r = -ENOMEM;
	op->reply.state = ret_row->record.state;
	return r;
}

static int read_one(sqlite3_stmt *st, struct store_op *op, struct sqlite_row *ret_row)
{
	int r = store_op_expect(op, 1) ? add_row(st, op, ret_row) : -ENOMEM;
	sqlite3_reset(st);
	return r;
}

static sqlite3_stmt *by_id(struct sqlite_store *s, const struct store_id *id)
{
	return sql_bind(
		&s->reading, READ_BY_ID, "b", (struct str){ (const char *)id->bytes, STORE_ID_BYTES });
}

static int find(struct sqlite_store *s, struct store_op *op)
{
	struct sqlite_row row;
	uint64_t age = store_limits(&s->store).key_age_us;
	return read_one(sql_bind(&s->reading, READ_BY_KEY, "ssu", op->job.pool, op->job.key,
				op->at_us > age ? op->at_us - age : 0),
		op, &row);
}

/* ---- list ---- */

struct places {
	struct store_cursor *at; /* borrowed: in the op's arena; room for 2 × wanted */
	uint32_t n, wanted;
};

static int newest_first(const void *a, const void *b)
{
	const struct store_cursor *x = a, *y = b;
	if (x->created_us != y->created_us)
		return x->created_us < y->created_us ? 1 : -1;
	return x->seq < y->seq ? 1 : x->seq > y->seq ? -1 : 0;
}

/* Adds the places of one pool and state; of all together the newest `wanted` stay. */
static int add_places(
	struct sqlite_store *s, const struct store_filter *f, uint64_t pool, int state, struct places *p)
{
	uint64_t from = f->from_us;
	struct store_cursor below = { INT64_MAX, INT64_MAX };
	if (f->at.created_us)
		below = f->at;
	if (p->n == p->wanted && p->at[p->n - 1].created_us > from)
		from = p->at[p->n - 1].created_us; /* older ones would only be dropped */
	sqlite3_stmt *st = sql_bind(&s->reading, READ_PLACES, "uiuuuu", pool, state, from, below.created_us,
		below.seq, (uint64_t)p->wanted);
	int r;
	while ((r = sql_step(st)) == 1)
		p->at[p->n++] = (struct store_cursor){ sql_u64(st, 0), sql_u64(st, 1) };
	sqlite3_reset(st);
	qsort(p->at, p->n, sizeof *p->at, newest_first);
	if (p->n > p->wanted)
		p->n = p->wanted;
	return r;
}

static int find_places(struct sqlite_store *s, const struct store_filter *f, struct places *p)
{
	sqlite3_stmt *pools = sql_bind(&s->reading, READ_POOLS, "s", f->pool.len ? f->pool : STR(""));
	int r;
	while ((r = sql_step(pools)) == 1) {
		uint64_t pool = sql_u64(pools, 0);
		for (int state = 0; r >= 0 && state < STORE_STATES; state++) {
			if (f->state < 0 || f->state == state)
				r = add_places(s, f, pool, state, p);
		}
		if (r < 0)
			break;
	}
	sqlite3_reset(pools);
	return r;
}

static int list(struct sqlite_store *s, struct store_op *op)
{
	const struct store_filter *f = &op->filter;
	struct places p = { .wanted = f->limit + 1 }; /* one more tells whether there is more */
	p.at = arena_alloc(&op->arena, 2 * p.wanted * sizeof *p.at);
	if (!p.at || !store_op_expect(op, f->limit))
		return -ENOMEM;
	int r = find_places(s, f, &p);
	for (uint32_t i = 0; !r && i < p.n && i < f->limit; i++) {
		struct sqlite_row row;
		sqlite3_stmt *st = sql_bind(&s->reading, READ_BY_SEQ, "u", p.at[i].seq);
		r = add_row(st, op, &row);
		sqlite3_reset(st);
		op->reply.next = p.at[i];
	}
	op->reply.more = p.n == p.wanted;
	return r == -ENOENT ? -EUCLEAN : r;
}

/* ---- read ---- */

static int take_message(struct sqlite_store *s, struct store_op *op, const struct sqlite_row *row)
{
	uint64_t total = row->record.body_bytes, at = op->range.at < total ? op->range.at : total;
	size_t n = total - at < op->range.max ? total - at : op->range.max;
	char *into = arena_alloc(&op->arena, n);
	sqlite3_stmt *st = sql_bind(&s->reading, READ_MESSAGE, "u", row->seq);
	int r = sql_step(st);
	if (r == 1) {
		struct str head = sql_str(st, 0), body = sql_str(st, 1);
		op->reply.head = arena_str(&op->arena, head);
		r = into && op->reply.head.ptr ? 0 : -ENOMEM;
		if (head.len != row->record.head_bytes || (!row->file && body.len != total))
			r = -EUCLEAN;
		else if (!r && !row->file && n)
			memcpy(into, body.ptr + at, n);
	} else if (!r) {
		r = -EUCLEAN;
	}
	sqlite3_reset(st);
	if (!r && row->file)
		r = sqlite_file_read(
			s->files_fd, (struct sqlite_file){ row->record.id, row->file }, at, into, n);
	op->reply.body = (struct str){ into, n };
	return r;
}

static int read_message(struct sqlite_store *s, struct store_op *op)
{
	struct sqlite_row row;
	int r = read_one(by_id(s, &op->id), op, &row);
	if (!r)
		r = row.record.held ? take_message(s, op, &row) : -ENODATA;
	return r;
}

/* ---- all of them ---- */

static int carry_out(struct sqlite_store *s, struct store_op *op)
{
	struct sqlite_row row;
	switch (op->verb) {
	case STORE_GET:
		return read_one(by_id(s, &op->id), op, &row);
	case STORE_FIND:
		return find(s, op);
	case STORE_LIST:
		return list(s, op);
	case STORE_READ:
		return read_message(s, op);
	case STORE_ENQUEUE:
	case STORE_CLAIM:
	case STORE_REQUEUE:
	case STORE_COMPLETE:
	case STORE_FAIL:
	case STORE_CANCEL:
	case STORE_EXPIRE:
	case STORE_REMOVE:
	case STORE_PURGE:
		break;
	}
	return -EINVAL;
}

static int read_in_snapshot(struct sqlite_store *s, struct store_op *op)
{
	store_op_reset(op);
	int r = sql_run(&s->reading, READ_BEGIN, "");
	if (r)
		return r;
	r = carry_out(s, op);
	sql_rollback(&s->reading);
	return r;
}

void sqlite_read_all(void *owner, struct store_op *ops)
{
	struct sqlite_store *s = owner;
	while (ops) {
		struct store_op *next = ops->next;
		int r = read_in_snapshot(s, ops);
		if (r == -ENOENT && ops->reply.n_records) /* the body's file went after the snapshot: again */
			r = read_in_snapshot(s, ops);
		if (r == -ENOENT && ops->reply.n_records)
			r = -EUCLEAN;
		ops->reply.err = r;
		store_deliver(&s->store, ops, ops);
		ops = next;
	}
}

/* ---- what is unfinished ---- */

int sqlite_load(struct store *store, struct str pool, store_record_fn *fn, void *owner)
{
	struct sqlite_store *s = CONTAINER_OF(store, struct sqlite_store, store);
	struct sql q;
	int r = sql_open(&q, s->path, SQLITE_OPEN_READONLY);
	if (!r)
		r = sql_prepare(&q, sqlite_reads, READS);
	sqlite3_stmt *st = r ? NULL : sql_bind(&q, READ_UNFINISHED, "s", pool.len ? pool : STR(""));
	while (!r && (r = sql_step(st)) == 1) {
		struct sqlite_row row;
		r = sqlite_read_row(st, &row);
		if (!r)
			r = fn(owner, &row.record);
	}
	sql_close(&q);
	return r;
}
