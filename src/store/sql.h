/* sql: a connection to SQLite with its prepared statements, and SQLite's errors as -errno.
 *
 * A connection belongs to one thread at a time; SQLite's own locks are off.
 */
#pragma once
#include "base/check.h"
#include "base/str.h"

#include <sqlite3.h>
#include <stdint.h>

struct sql {
	sqlite3 *db;               /* owned */
	sqlite3_stmt **statements; /* owned; as many as texts */
	uint32_t n;
};

/* Opens path, with flags of sqlite3_open_v2, and waits up to 2 s for other programs' locks. 0 or -errno;
 * close it in any case. */
MUST_USE int sql_open(struct sql *q, const char *path, int flags);

/* Compiles the statements that sql_bind and sql_run name by their index. */
MUST_USE int sql_prepare(struct sql *q, const char *const *texts, uint32_t n);
void sql_close(struct sql *q);

/* Runs statements that return no rows. */
MUST_USE int sql_exec(struct sql *q, const char *text);

/* Takes back what was not committed; ends a transaction that only read. */
void sql_rollback(struct sql *q);

/* A single number out of a text; -ENOENT without a row. */
MUST_USE int sql_number(struct sql *q, const char *text, int64_t *ret_n);

/* The statement with its parameters bound, to be stepped, then reset. types: a letter for each parameter:
 * u uint64_t, i int, s struct str as text (a NULL pointer as NULL), b struct str as a blob. Texts and blobs
 * are borrowed until the reset. */
sqlite3_stmt *sql_bind(struct sql *q, uint32_t statement, const char *types, ...);

/* 1 there is a row, 0 there is none (any more), -errno. */
MUST_USE int sql_step(sqlite3_stmt *s);

/* Binds, runs to the end and resets. 0 or -errno; -EEXIST where a row must be unique. */
MUST_USE int sql_run(struct sql *q, uint32_t statement, const char *types, ...);

uint64_t sql_u64(sqlite3_stmt *s, int column);
/* Text or blob; good until the next step or reset. */
struct str sql_str(sqlite3_stmt *s, int column);

/* -errno for a result code, as store.h names them. */
int sql_errno(sqlite3 *db, int rc);
