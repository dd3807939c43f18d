/* sqlite_schema: the tables, the statements, and how a row becomes a record.
 *
 * job      a row a job, never larger than some hundred bytes, so that a million are soon read
 * message  its head and body: the request until the end, then the answer; the body is empty when it has a file
 *
 * job_queue carries the order, job_list the listing (its last column is the rowid), job_finished the purge.
 */
#include "store/sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char schema[] =
	"CREATE TABLE berth (epoch INTEGER NOT NULL) STRICT;"
	"INSERT INTO berth VALUES (0);"
	"CREATE TABLE pool (pool INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;"
	"CREATE TABLE job ("
	" seq INTEGER PRIMARY KEY,"
	" id BLOB NOT NULL CHECK (length(id) = 16),"
	" pool INTEGER NOT NULL,"
	" number INTEGER NOT NULL,"
	" epoch INTEGER NOT NULL,"
	" state INTEGER NOT NULL CHECK (state BETWEEN 0 AND 5),"
	" held INTEGER NOT NULL CHECK (held BETWEEN 0 AND 1),"
	" file INTEGER NOT NULL DEFAULT 0,"
	" flags INTEGER NOT NULL,"
	" attempts INTEGER NOT NULL DEFAULT 0,"
	" status INTEGER NOT NULL DEFAULT 0,"
	" created_us INTEGER NOT NULL,"
	" deadline_us INTEGER NOT NULL,"
	" started_us INTEGER NOT NULL DEFAULT 0,"
	" finished_us INTEGER NOT NULL DEFAULT 0,"
	" head_bytes INTEGER NOT NULL,"
	" body_bytes INTEGER NOT NULL,"
	" container TEXT NOT NULL DEFAULT '',"
	" reasons TEXT NOT NULL DEFAULT '',"
	" key TEXT,"
	" payload_hash BLOB"
	") STRICT;"
	"CREATE UNIQUE INDEX job_id ON job (id);"
	"CREATE UNIQUE INDEX job_key ON job (pool, key) WHERE key IS NOT NULL;"
	"CREATE INDEX job_queue ON job (pool, number) WHERE state < 2;"
	"CREATE INDEX job_list ON job (pool, state, created_us);"
	"CREATE INDEX job_finished ON job (held, finished_us) WHERE state >= 2;"
	"CREATE TABLE message (seq INTEGER PRIMARY KEY, head BLOB NOT NULL, body BLOB NOT NULL) STRICT;";

/* migrations[v] brings schema v to v + 1. */
static const char *const migrations[STORE_SCHEMA_VERSION] = { schema };

#define RECORD                                                                                         \
	"SELECT job.seq, job.file, job.id, job.state, job.held, job.number, job.epoch, job.flags,"     \
	" job.attempts, job.status, job.created_us, job.deadline_us, job.started_us, job.finished_us," \
	" job.head_bytes, job.body_bytes, pool.name, job.container, job.reasons, job.key, job.payload_hash"

#define RECORD_OF RECORD " FROM job CROSS JOIN pool USING (pool) WHERE "

const char *const sqlite_writes[WRITES] = {
	[WRITE_BEGIN] = "BEGIN IMMEDIATE",
	[WRITE_COMMIT] = "COMMIT",
	[WRITE_EPOCH] = "UPDATE berth SET epoch = epoch + ?1",
	[WRITE_FIND_POOL] = "SELECT pool FROM pool WHERE name = ?1",
	[WRITE_ADD_POOL] = "INSERT INTO pool (name) VALUES (?1)",
	[WRITE_ADD_JOB] =
		"INSERT INTO job (id, pool, number, epoch, state, held, file, flags, created_us, deadline_us,"
		" head_bytes, body_bytes, key, payload_hash) VALUES (?1, ?2, ?3, ?4, 0, 1, ?5, ?6, ?7, ?8, "
		"?9, ?10,"
		" ?11, ?12)",
	[WRITE_ADD_MESSAGE] = "INSERT INTO message (seq, head, body) VALUES (?1, ?2, ?3)",
	[WRITE_SET_MESSAGE] = "UPDATE message SET head = ?2, body = ?3 WHERE seq = ?1",
	[WRITE_DROP_MESSAGE] = "DELETE FROM message WHERE seq = ?1",
	[WRITE_FIND_JOB] =
		"SELECT seq, state, held * (head_bytes + body_bytes), file, reasons FROM job WHERE id = ?1",
	[WRITE_FIND_KEY] = "SELECT seq, state, finished_us FROM job WHERE pool = ?1 AND key = ?2",
	[WRITE_DROP_KEY] = "UPDATE job SET key = NULL, payload_hash = NULL WHERE seq = ?1",
	[WRITE_RECORD] = RECORD_OF "job.seq = ?1",
	[WRITE_CLAIM] =
		"UPDATE job SET state = 1, attempts = ?2, container = ?3, started_us = ?4 WHERE seq = ?1",
	[WRITE_REQUEUE] = "UPDATE job SET state = 0, reasons = ?2 WHERE seq = ?1",
	[WRITE_COMPLETE] =
		"UPDATE job SET state = 2, status = ?2, finished_us = ?3, file = ?4, head_bytes = ?5,"
		" body_bytes = ?6 WHERE seq = ?1",
	[WRITE_END] = "UPDATE job SET state = ?2, finished_us = ?3, reasons = ?4, held = 0, file = 0, "
		      "head_bytes = 0,"
		      " body_bytes = 0 WHERE seq = ?1",
	[WRITE_DROP_ANSWER] = "UPDATE job SET held = 0, file = 0 WHERE seq = ?1",
	[WRITE_DROP_JOB] = "DELETE FROM job WHERE seq = ?1",
	[WRITE_OLDEST] = "SELECT seq, finished_us, file, id, held * (head_bytes + body_bytes) FROM job "
			 "INDEXED BY job_finished"
			 " WHERE state >= 2 AND held = ?1 ORDER BY finished_us, seq LIMIT 1",
};

const char *const sqlite_reads[READS] = {
	[READ_BEGIN] = "BEGIN",
	[READ_BY_ID] = RECORD_OF "job.id = ?1",
	[READ_BY_SEQ] = RECORD_OF "job.seq = ?1",
	[READ_BY_KEY] = RECORD_OF "job.pool = (SELECT pool FROM pool WHERE name = ?1) AND job.key = ?2"
				  " AND (job.state < 2 OR job.finished_us > ?3)",
	[READ_MESSAGE] = "SELECT head, body FROM message WHERE seq = ?1",
	[READ_POOLS] = "SELECT pool FROM pool WHERE ?1 = '' OR name = ?1",
	[READ_PLACES] = "SELECT created_us, seq FROM job INDEXED BY job_list WHERE pool = ?1 AND state = ?2"
			" AND created_us BETWEEN ?3 AND ?4 AND (created_us < ?4 OR seq < ?5)"
			" ORDER BY created_us DESC, seq DESC LIMIT ?6",
	[READ_UNFINISHED] = RECORD " FROM pool CROSS JOIN job INDEXED BY job_queue USING (pool)"
				   " WHERE job.state < 2 AND (?1 = '' OR pool.name = ?1)"
				   " ORDER BY pool.pool, job.number, job.seq",
	[READ_FROM] = RECORD_OF "job.seq >= ?1 ORDER BY job.seq",
};

int sqlite_read_row(sqlite3_stmt *s, struct sqlite_row *ret_row)
{
	struct str id = sql_str(s, 2), hash = sql_str(s, 20);
	uint64_t state = sql_u64(s, 3);
	if (id.len != STORE_ID_BYTES || state >= STORE_STATES || (hash.len && hash.len != STORE_HASH_BYTES))
		return -EUCLEAN;
	*ret_row = (struct sqlite_row){
		.seq = sql_u64(s, 0),
		.file = sql_u64(s, 1),
		.record = {
			.state = (enum store_state)state,
			.held = sql_u64(s, 4),
			.number = sql_u64(s, 5),
			.epoch = sql_u64(s, 6),
			.flags = (uint32_t)sql_u64(s, 7),
			.attempts = (uint32_t)sql_u64(s, 8),
			.status = (uint32_t)sql_u64(s, 9),
			.created_us = sql_u64(s, 10),
			.deadline_us = sql_u64(s, 11),
			.started_us = sql_u64(s, 12),
			.finished_us = sql_u64(s, 13),
			.head_bytes = (uint32_t)sql_u64(s, 14),
			.body_bytes = sql_u64(s, 15),
			.pool = sql_str(s, 16),
			.container = sql_str(s, 17),
			.reasons = sql_str(s, 18),
			.key = sql_str(s, 19),
		},
	};
	memcpy(ret_row->record.id.bytes, id.ptr, STORE_ID_BYTES);
	if (hash.len)
		memcpy(ret_row->record.payload_hash, hash.ptr, STORE_HASH_BYTES);
	return 0;
}

const char *sqlite_say(char *line, size_t size, struct str said)
{
	static const struct str title = { "*** in database main ***\n", 25 };
	str_copy(line, size, str_starts(said, title) ? str_skip(said, title.len) : said);
	for (char *c = line; *c; c++)
		*c = *c == '\n' ? ' ' : *c;
	return line;
}

int sqlite_migrate(struct sql *q, int64_t version)
{
	int r = sql_exec(q, "BEGIN IMMEDIATE");
	for (int64_t v = version; !r && v < STORE_SCHEMA_VERSION; v++)
		r = sql_exec(q, migrations[v]);
	char text[64];
	snprintf(text, sizeof text, "PRAGMA user_version = %d", STORE_SCHEMA_VERSION);
	if (!r)
		r = sql_exec(q, text);
	if (!r)
		r = sql_exec(q, "COMMIT");
	sql_rollback(q);
	return r;
}

static int fill_new(const char *path)
{
	struct sql q;
	char text[64];
	int r = sql_open(&q, path, SQLITE_OPEN_READWRITE);
	snprintf(text, sizeof text, "PRAGMA application_id = %d", STORE_APPLICATION_ID);
	if (!r)
		r = sql_exec(
			&q, "PRAGMA page_size = 4096; PRAGMA auto_vacuum = NONE; PRAGMA synchronous = FULL");
	if (!r)
		r = sql_exec(&q, text);
	if (!r)
		r = sqlite_migrate(&q, 0);
	if (!r)
		r = sql_exec(&q, "PRAGMA journal_mode = WAL");
	sql_close(&q); /* and with it goes the log */
	return r;
}

static int sync_path(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	int r = fsync(fd) ? -errno : 0;
	close(fd);
	return r;
}

int sqlite_sync_parent(const char *path)
{
	const char *slash = strrchr(path, '/');
	if (!slash)
		return sync_path(".");
	char *dir = strndup(path, slash == path ? 1 : (size_t)(slash - path));
	if (!dir)
		return -ENOMEM;
	int r = sync_path(dir);
	free(dir);
	return r;
}

int sqlite_create(const char *path)
{
	char *fresh;
	if (asprintf(&fresh, "%s.new", path) < 0)
		return -ENOMEM;
	unlink(fresh);
	int fd = open(fresh, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int r = fd < 0 ? -errno : 0;
	if (fd >= 0)
		close(fd);
	if (!r)
		r = fill_new(fresh);
	if (!r)
		r = sync_path(fresh);
	if (!r && rename(fresh, path))
		r = -errno;
	if (!r)
		r = sqlite_sync_parent(path);
	else
		unlink(fresh);
	free(fresh);
	return r;
}
