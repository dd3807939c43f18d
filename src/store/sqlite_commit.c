/* sqlite_commit: the committer: all that has come in one transaction, and in smaller ones where that fails.
 *
 * When a transaction cannot be written (the disk is full, a page cannot be read), it is taken back and its
 * changes are tried again in two halves, down to single ones: so a small one may still fit, and each gets the
 * error that is its own.
 */
#include "base/log.h"
#include "store/sqlite.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* ---- the files of long bodies ---- */

static struct sqlite_file file_of(const struct store_op *op)
{
	return (struct sqlite_file){ op->verb == STORE_ENQUEUE ? op->job.id : op->id, op->file };
}

/* Before the transaction: what it will name must be whole by then. */
static void write_files(struct sqlite_store *s, struct store_op **ops, uint32_t n)
{
	bool any = false;
	for (uint32_t i = 0; i < n; i++) {
		struct store_op *op = ops[i];
		if (op->body_bytes <= STORE_ROW_BODY_MAX)
			continue;
		op->file = s->next_file++;
		op->file_err = sqlite_file_write(s->files_fd, file_of(op), store_op_message(op));
		any |= !op->file_err;
	}
	if (!any || !fsync(s->files_fd))
		return;
	int err = -errno;
	for (uint32_t i = 0; i < n; i++) {
		if (ops[i]->file && !ops[i]->file_err)
			ops[i]->file_err = err;
	}
}

/* Afterwards: those that no record names. */
static void remove_unused(struct sqlite_store *s, struct store_op **ops, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		if (ops[i]->file && ops[i]->reply.err)
			sqlite_file_remove(s->files_fd, file_of(ops[i]));
	}
}

int sqlite_doom(struct sqlite_store *s, struct sqlite_file f)
{
	if (!f.number)
		return 0;
	if (s->n_doomed == s->doomed_cap) {
		uint32_t cap = s->doomed_cap ? 2 * s->doomed_cap : 64;
		struct sqlite_file *p = realloc(s->doomed, cap * sizeof *p);
		if (!p)
			return -ENOMEM;
		s->doomed = p;
		s->doomed_cap = cap;
	}
	s->doomed[s->n_doomed++] = f;
	return 0;
}

/* ---- transactions ---- */

static int change_all(struct sqlite_store *s, struct store_op **ops, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		struct store_op *op = ops[i];
		store_op_reset(op);
		op->reply.err = op->file_err;
		int r = op->file_err ? 0 : sqlite_change(s, op);
		if (r)
			return r;
	}
	return sql_run(&s->writing, WRITE_COMMIT, "");
}

/* All or nothing. */
static int transact(struct sqlite_store *s, struct store_op **ops, uint32_t n)
{
	struct sqlite_totals before = s->totals;
	s->n_doomed = 0;
	int r = sql_run(&s->writing, WRITE_BEGIN, "");
	if (!r)
		r = change_all(s, ops, n);
	if (r) {
		if (r == -EUCLEAN)
			log_error("store: %s is damaged: %s: stop, and see 'berth store check'", s->path,
				sqlite3_errmsg(s->writing.db));
		sql_rollback(&s->writing);
		s->totals = before;
		return r;
	}
	for (uint32_t i = 0; i < s->n_doomed; i++)
		sqlite_file_remove(s->files_fd, s->doomed[i]);
	return 0;
}

static void fail_all(struct store_op **ops, uint32_t n, int err)
{
	for (uint32_t i = 0; i < n; i++) {
		store_op_reset(ops[i]);
		ops[i]->reply.err = err;
	}
}

static void commit(struct sqlite_store *s, struct store_op **ops, uint32_t n)
{
	int r = transact(s, ops, n);
	if (r && n > 1 && r != -EBUSY) {
		commit(s, ops, n / 2);
		commit(s, ops + n / 2, n - n / 2);
		return;
	}
	if (r)
		fail_all(ops, n, r);
	remove_unused(s, ops, n);
	for (uint32_t i = 0; i + 1 < n; i++)
		ops[i]->next = ops[i + 1];
	store_deliver(&s->store, ops[0], ops[n - 1]);
}

static uint64_t now_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

void sqlite_commit_all(void *owner, struct store_op *ops)
{
	struct sqlite_store *s = owner;
	uint64_t start_us = now_us();
	while (ops) {
		uint32_t n = 0;
		for (; ops && n < STORE_BATCH_MAX; ops = ops->next)
			s->batch[n++] = ops;
		write_files(s, s->batch, n);
		commit(s, s->batch, n);
	}
	/* Who waits for an answer before it calls again shall not come in two halves that take turns. */
	store_await_callbacks(&s->store, (now_us() - start_us) / 4);
}
