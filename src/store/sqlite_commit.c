/* sqlite_commit: the committer: all that has come in one transaction, and in smaller ones where that fails.
 *
 * When a transaction cannot be written (the disk is full, a page cannot be read), it is taken back and its
 * changes are tried again in two halves, down to single ones: so a small one may still fit, and each gets the
 * error that is its own.
 *
 * When only the sync of the log failed, the log has the whole transaction until the next one overwrites it: a
 * crash before that may bring it back. So its files stay until then.
 */
#include "base/log.h"
#include "store/sqlite.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* A disk that goes on failing shall not be filled with what it failed to commit. */
enum { KEPT_MAX = 64 };

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
		op->file_err = s->n_kept >= KEPT_MAX
			? -EIO
			: sqlite_file_write(s->files_fd, file_of(op), store_op_message(op));
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

static int add_file(struct sqlite_file **list, uint32_t *n, uint32_t *cap, struct sqlite_file f)
{
	if (*n == *cap) {
		uint32_t more = *cap ? 2 * *cap : 64;
		struct sqlite_file *p = realloc(*list, more * sizeof *p);
		if (!p)
			return -ENOMEM;
		*list = p;
		*cap = more;
	}
	(*list)[(*n)++] = f;
	return 0;
}

int sqlite_doom(struct sqlite_store *s, struct sqlite_file f)
{
	return f.number ? add_file(&s->doomed, &s->n_doomed, &s->doomed_cap, f) : 0;
}

static void remove_files(struct sqlite_store *s, const struct sqlite_file *files, uint32_t *n)
{
	for (uint32_t i = 0; i < *n; i++)
		sqlite_file_remove(s->files_fd, files[i]);
	*n = 0;
}

/* Afterwards: those that no record names, unless a crash may bring back one that does. */
static void remove_unused(struct sqlite_store *s, struct store_op **ops, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		if (!ops[i]->file || !ops[i]->reply.err)
			continue;
		if (!s->in_doubt || ops[i]->file_err)
			sqlite_file_remove(s->files_fd, file_of(ops[i]));
		else if (add_file(&s->kept, &s->n_kept, &s->kept_cap, file_of(ops[i])))
			log_debug("store: no memory: a body's file stays until the next start");
	}
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
	return 0;
}

/* The last write of a commit has what makes it whole: where a write failed, the log has it in part at most. */
static bool may_be_whole(sqlite3 *db)
{
	int rc = sqlite3_extended_errcode(db);
	return (rc & 0xff) != SQLITE_FULL && rc != SQLITE_IOERR_WRITE;
}

/* So that a commit in which all is refused overwrites the log, too. What changes nothing, SQLite would not
 * write. */
static int change_epoch_and_back(struct sqlite_store *s)
{
	int r = sql_run(&s->writing, WRITE_EPOCH, "i", 1);
	return r ? r : sql_run(&s->writing, WRITE_EPOCH, "i", -1);
}

static int end_transaction(struct sqlite_store *s)
{
	int r = s->in_doubt ? change_epoch_and_back(s) : 0;
	if (r)
		return r;
	r = sql_run(&s->writing, WRITE_COMMIT, "");
	if (r) {
		s->in_doubt |= may_be_whole(s->writing.db);
		return r;
	}
	s->in_doubt = false; /* what failed before is overwritten */
	remove_files(s, s->kept, &s->n_kept);
	return 0;
}

/* All or nothing. */
static int transact(struct sqlite_store *s, struct store_op **ops, uint32_t n)
{
	struct sqlite_totals before = s->totals;
	s->n_doomed = 0;
	int r = sql_run(&s->writing, WRITE_BEGIN, "");
	if (!r)
		r = change_all(s, ops, n);
	if (!r)
		r = end_transaction(s);
	if (r) {
		if (r == -EUCLEAN)
			log_error("store: %s is damaged: %s: stop, and see 'berth store check'", s->path,
				sqlite3_errmsg(s->writing.db));
		sql_rollback(&s->writing);
		s->totals = before;
		return r;
	}
	remove_files(s, s->doomed, &s->n_doomed);
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
