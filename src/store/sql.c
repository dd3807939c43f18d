#include "store/sql.h"

#include "store/sqlite_log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>

enum { BUSY_MS = 2000 };

static bool said_no_room(sqlite3_file *f)
{
	int os = 0;
	if (!f || !f->pMethods || f->pMethods->xFileControl(f, SQLITE_FCNTL_LAST_ERRNO, &os))
		return false;
	return os == ENOSPC || os == EDQUOT || os == EFBIG;
}

/* SQLite knows a full disk only by ENOSPC from a write; a quota and a limit have other names. */
static bool no_room(sqlite3 *db)
{
	sqlite3_file *database = NULL, *log = NULL;
	sqlite3_file_control(db, "main", SQLITE_FCNTL_FILE_POINTER, &database);
	sqlite3_file_control(db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log);
	return said_no_room(log) || said_no_room(database);
}

int sql_errno(sqlite3 *db, int rc)
{
	switch (rc & 0xff) {
	case SQLITE_OK:
	case SQLITE_ROW:
	case SQLITE_DONE:
		return 0;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_IOERR:
		return rc == SQLITE_IOERR_NOMEM ? -ENOMEM : db && no_room(db) ? -ENOSPC : -EIO;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_SCHEMA:
	case SQLITE_ERROR: /* a statement that was good at the start is not any more */
		return -EUCLEAN;
	case SQLITE_CONSTRAINT:
		return rc == SQLITE_CONSTRAINT_UNIQUE || rc == SQLITE_CONSTRAINT_PRIMARYKEY ? -EEXIST
											    : -EINVAL;
	case SQLITE_READONLY:
		return -EROFS;
	case SQLITE_CANTOPEN:
	case SQLITE_PERM:
	case SQLITE_AUTH: {
		int os = db ? sqlite3_system_errno(db) : 0;
		return os ? -os : -EACCES;
	}
	default:
		return -EIO;
	}
}

int sql_open(struct sql *q, const char *path, int flags)
{
	*q = (struct sql){ 0 };
	int rc = sqlite3_open_v2(path, &q->db, flags | SQLITE_OPEN_NOMUTEX, sqlite_log_vfs());
	if (!q->db)
		return -ENOMEM;
	sqlite3_extended_result_codes(q->db, 1);
	sqlite3_busy_timeout(q->db, BUSY_MS);
	return sql_errno(q->db, rc);
}

int sql_prepare(struct sql *q, const char *const *texts, uint32_t n)
{
	q->statements = calloc(n, sizeof(sqlite3_stmt *));
	if (!q->statements)
		return -ENOMEM;
	for (; q->n < n; q->n++) {
		int rc = sqlite3_prepare_v3(
			q->db, texts[q->n], -1, SQLITE_PREPARE_PERSISTENT, &q->statements[q->n], NULL);
		if (rc)
			return sql_errno(q->db, rc);
	}
	return 0;
}

void sql_close(struct sql *q)
{
	for (uint32_t i = 0; i < q->n; i++)
		sqlite3_finalize(q->statements[i]);
	free(q->statements);
	if (q->db)
		CHECK(sqlite3_close(q->db) == SQLITE_OK);
	*q = (struct sql){ 0 };
}

int sql_exec(struct sql *q, const char *text)
{
	return sql_errno(q->db, sqlite3_exec(q->db, text, NULL, NULL, NULL));
}

void sql_rollback(struct sql *q)
{
	if (q->db && !sqlite3_get_autocommit(q->db))
		sqlite3_exec(q->db, "ROLLBACK", NULL, NULL, NULL);
}

int sql_number(struct sql *q, const char *text, int64_t *ret_n)
{
	sqlite3_stmt *s;
	int rc = sqlite3_prepare_v2(q->db, text, -1, &s, NULL);
	if (rc)
		return sql_errno(q->db, rc);
	int r = sql_step(s);
	if (r == 1)
		*ret_n = sqlite3_column_int64(s, 0);
	sqlite3_finalize(s);
	return r == 1 ? 0 : r ? r : -ENOENT;
}

static void bind_all(sqlite3_stmt *s, const char *types, va_list args)
{
	for (int i = 1; types[i - 1]; i++) {
		int rc = SQLITE_MISUSE;
		struct str text;
		switch (types[i - 1]) {
		case 'u':
			rc = sqlite3_bind_int64(s, i, (sqlite3_int64)va_arg(args, uint64_t));
			break;
		case 'i':
			rc = sqlite3_bind_int(s, i, va_arg(args, int));
			break;
		case 's':
			text = va_arg(args, struct str);
			rc = sqlite3_bind_text64(s, i, text.ptr, text.len, SQLITE_STATIC, SQLITE_UTF8);
			break;
		case 'b':
			text = va_arg(args, struct str);
			rc = text.len ? sqlite3_bind_blob64(s, i, text.ptr, text.len, SQLITE_STATIC)
				      : sqlite3_bind_zeroblob(s, i, 0);
			break;
		}
		CHECK(rc == SQLITE_OK); /* borrowed texts need no memory */
	}
}

sqlite3_stmt *sql_bind(struct sql *q, uint32_t statement, const char *types, ...)
{
	sqlite3_stmt *s = q->statements[statement];
	va_list args;
	va_start(args, types);
	bind_all(s, types, args);
	va_end(args);
	return s;
}

int sql_step(sqlite3_stmt *s)
{
	int rc = sqlite3_step(s);
	return rc == SQLITE_ROW ? 1 : sql_errno(sqlite3_db_handle(s), rc);
}

int sql_run(struct sql *q, uint32_t statement, const char *types, ...)
{
	sqlite3_stmt *s = q->statements[statement];
	va_list args;
	va_start(args, types);
	bind_all(s, types, args);
	va_end(args);
	int r = sql_step(s);
	sqlite3_reset(s);
	return r;
}

uint64_t sql_u64(sqlite3_stmt *s, int column)
{
	return (uint64_t)sqlite3_column_int64(s, column);
}

struct str sql_str(sqlite3_stmt *s, int column)
{
	const void *p = sqlite3_column_blob(s, column);
	return (struct str){ p, p ? (size_t)sqlite3_column_bytes(s, column) : 0 };
}
