/* sqlite_open: from a path to an open store, or to one line that says why not.
 *
 * A database is made only where nothing of one is left: never in the place of one that was cut to nothing, or
 * of which only the log or the bodies are there.
 */
#include "base/log.h"
#include "store/sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_BYTES = 4096, PAGE_BYTES = 4096, FRAME_BYTES = PAGE_BYTES + 24 };

static bool refuse(char why[STORE_WHY_BYTES], const char *fmt, ...) PRINTF(2, 3);
static bool refuse(char why[STORE_WHY_BYTES], const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	vsnprintf(why, STORE_WHY_BYTES, fmt, args);
	va_end(args);
	return false;
}

/* What went wrong with `path`, and how to go on. detail: SQLite's own words. */
static bool refuse_error(char why[STORE_WHY_BYTES], const char *path, int err, const char *detail)
{
	if (err == -EUCLEAN)
		return refuse(why,
			"store: %s is damaged (%s): 'berth store check sqlite:%s' says where, 'berth store "
			"export"
			" sqlite:%s' saves what can be read; then move %s, %s-wal and %s-files away to start "
			"empty",
			path, detail, path, path, path, path, path);
	if (err == -ENOSPC)
		return refuse(why, "store: %s: the disk is full: make room, then start again", path);
	if (err == -EBUSY)
		return refuse(why, "store: %s: another program keeps the database locked: end it", path);
	if (err == -ENOMEM)
		return refuse(why, "store: %s: no memory", path);
	return refuse(why, "store: %s: %s (%s): mend it, or name another path", path, strerror(-err), detail);
}

/* ---- what is there ---- */

static bool take_lock(struct sqlite_store *s, char why[STORE_WHY_BYTES])
{
	char path[PATH_BYTES], pid[16] = "";
	if ((size_t)snprintf(path, sizeof path, "%s.lock", s->path) >= sizeof path)
		return refuse(why, "store: the path is too long: %.100s…", s->path);
	s->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (s->lock_fd < 0)
		return refuse(why, "store: %s: %s: the directory must be there and allow writing", path,
			strerror(errno));
	if (flock(s->lock_fd, LOCK_EX | LOCK_NB)) {
		ssize_t n = pread(s->lock_fd, pid, sizeof pid - 1, 0);
		return refuse(why,
			"store: %s is in use by another berth (process %.*s): end that one, or name another "
			"path",
			s->path, n > 0 ? (int)strcspn(pid, "\n") : 1, n > 0 ? pid : "?");
	}
	int n = snprintf(pid, sizeof pid, "%d\n", getpid());
	if (ftruncate(s->lock_fd, 0) || pwrite(s->lock_fd, pid, (size_t)n, 0) != n)
		log_debug("store: %s: %s", path, strerror(errno)); /* it only helps people */
	return true;
}

static int count_file(void *owner, struct sqlite_file f)
{
	return 1;
}

static bool has_log(const char *path)
{
	char name[PATH_BYTES];
	struct stat st;
	snprintf(name, sizeof name, "%s-wal", path);
	return stat(name, &st) == 0 && st.st_size;
}

/* "PATH-wal" or "PATH-files" when something is left in it, else NULL. */
static const char *leftover(const char *path, char name[PATH_BYTES])
{
	snprintf(name, PATH_BYTES, "%s-wal", path);
	if (has_log(path))
		return name;
	snprintf(name, PATH_BYTES, "%s-files", path);
	int fd = sqlite_files_open(path, false);
	bool any = fd >= 0 && sqlite_files_each(fd, count_file, NULL) != 0;
	if (fd >= 0)
		close(fd);
	return any ? name : NULL;
}

static bool create(const char *path, char why[STORE_WHY_BYTES])
{
	char name[PATH_BYTES];
	if (leftover(path, name))
		return refuse(why,
			"store: %s is missing, but %s is there: bring the database back, or move that away "
			"too to"
			" start empty",
			path, name);
	int r = sqlite_create(path);
	if (r)
		return refuse_error(why, path, r, "while making it");
	log_info("store: made a new database, %s", path);
	return true;
}

/* The first bytes of every SQLite database. */
static bool has_magic(const char *path)
{
	static const char magic[16] = "SQLite format 3";
	char head[sizeof magic];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : pread(fd, head, sizeof head, 0);
	if (fd >= 0)
		close(fd);
	return n < (ssize_t)sizeof head ||
		!memcmp(head, magic, sizeof magic); /* else that it is short is said */
}

static bool is_there(const char *path, bool make, char why[STORE_WHY_BYTES])
{
	struct stat st;
	if (stat(path, &st)) {
		if (errno == ENOENT && make)
			return create(path, why);
		return refuse(why, "store: %s: %s", path, strerror(errno));
	}
	if (!S_ISREG(st.st_mode))
		return refuse(why, "store: %s is no file: name one", path);
	if (!has_magic(path))
		return refuse_error(why, path, -EUCLEAN, "file is not a database");
	/* Within a page only what the log makes good for. */
	if (st.st_size < PAGE_BYTES || (st.st_size % PAGE_BYTES && !has_log(path)))
		return refuse(why,
			"store: %s is cut short, to %lld bytes: bring the whole of it back, or remove it to "
			"start empty",
			path, (long long)st.st_size);
	return true;
}

/* ---- is it ours, and whole? ---- */

static bool check_kind(struct sql *q, const char *path, int64_t *ret_version, char why[STORE_WHY_BYTES])
{
	int64_t application;
	int r = sql_number(q, "PRAGMA application_id", &application);
	if (!r)
		r = sql_number(q, "PRAGMA user_version", ret_version);
	if (r)
		return refuse_error(why, path, r, sqlite3_errmsg(q->db));
	if (application != STORE_APPLICATION_ID)
		return refuse(
			why, "store: %s is a database, but not one of Berth's: name another path", path);
	if (*ret_version > STORE_SCHEMA_VERSION)
		return refuse(why,
			"store: %s was written by a newer Berth (schema %lld, this one knows up to %d): use "
			"that one,"
			" or name another path",
			path, (long long)*ret_version, STORE_SCHEMA_VERSION);
	if (*ret_version < 1)
		return refuse_error(why, path, -EUCLEAN, "it has no schema version");
	return true;
}

/* The table of jobs and its indexes are read whole; the messages only when they are asked for. */
static bool check_jobs(struct sqlite_store *s, char why[STORE_WHY_BYTES])
{
	sqlite3_stmt *st;
	char detail[256] = "";
	int r = sql_errno(
		s->writing.db, sqlite3_prepare_v2(s->writing.db, "PRAGMA quick_check('job')", -1, &st, NULL));
	if (!r) {
		r = sql_step(st);
		struct str said = r == 1 ? sql_str(st, 0) : STR("");
		sqlite_say(detail, sizeof detail, said);
		r = r < 0 ? r : str_eq(said, STR("ok")) ? 0 : -EUCLEAN;
		sqlite3_finalize(st);
	}
	return !r || refuse_error(why, s->path, r, *detail ? detail : sqlite3_errmsg(s->writing.db));
}

static int count_totals(struct sqlite_store *s, bool *ret_any_file)
{
	sqlite3_stmt *st;
	int r = sql_errno(s->writing.db,
		sqlite3_prepare_v2(s->writing.db,
			"SELECT count(*), coalesce(sum(held * (head_bytes + body_bytes)), 0),"
			" count(*) FILTER (WHERE state < 2),"
			" coalesce(sum(held * (head_bytes + body_bytes)) FILTER (WHERE state < 2), 0),"
			" max(file) FROM job",
			-1, &st, NULL));
	if (r)
		return r;
	r = sql_step(st);
	if (r == 1) {
		s->totals = (struct sqlite_totals){ sql_u64(st, 0), sql_u64(st, 1), sql_u64(st, 2),
			sql_u64(st, 3) };
		*ret_any_file = sql_u64(st, 4);
	}
	sqlite3_finalize(st);
	return r < 0 ? r : 0;
}

/* Not every file system has the shared memory that the log's index needs. */
static bool set_log(struct sqlite_store *s, char why[STORE_WHY_BYTES])
{
	int64_t is_wal = 0;
	int r = sql_exec(&s->writing, "PRAGMA journal_mode = WAL");
	if (!r)
		r = sql_number(&s->writing, "SELECT journal_mode = 'wal' FROM pragma_journal_mode", &is_wal);
	if (r)
		return refuse_error(why, s->path, r, sqlite3_errmsg(s->writing.db));
	return is_wal ||
		refuse(why, "store: %s: its file system has no shared memory: put it on a local disk",
			s->path);
}

static int set_pragmas(struct sqlite_store *s)
{
	char text[256];
	snprintf(text, sizeof text,
		"PRAGMA synchronous = FULL; PRAGMA temp_store = MEMORY;"
		"PRAGMA secure_delete = FAST; PRAGMA cache_size = -32768; PRAGMA wal_autocheckpoint = %u",
		s->store.settings.wal_pages);
	return sql_exec(&s->writing, text);
}

static int next_epoch(struct sqlite_store *s)
{
	int64_t epoch;
	int r = sql_exec(&s->writing, "UPDATE berth SET epoch = epoch + 1");
	if (!r)
		r = sql_number(&s->writing, "SELECT epoch FROM berth", &epoch);
	if (!r)
		s->store.epoch = (uint64_t)epoch;
	return r == -ENOENT ? -EUCLEAN : r;
}

/* Zeroes up to where the log will grow: a sync that finds no longer file costs half. They are no frames to
 * SQLite, and without room for them it goes on as well. */
static void lengthen_log(const struct sqlite_store *s)
{
	static const char zeroes[64 * 1024];
	char name[PATH_BYTES];
	struct stat st;
	snprintf(name, sizeof name, "%s-wal", s->path);
	int fd = open(name, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	off_t whole = (off_t)s->store.settings.wal_pages * FRAME_BYTES;
	bool ok = fstat(fd, &st) == 0;
	for (off_t at = st.st_size; ok && at < whole; at += (off_t)sizeof zeroes)
		ok = pwrite(fd, zeroes, sizeof zeroes, at) == (ssize_t)sizeof zeroes;
	if (!ok || fdatasync(fd))
		(void)!ftruncate(fd, st.st_size);
	close(fd);
}

/* ---- the files ---- */

static int sweep_file(void *owner, struct sqlite_file f)
{
	struct sqlite_store *s = owner;
	struct str id = { (const char *)f.id.bytes, STORE_ID_BYTES };
	sqlite3_stmt *st = sql_bind(&s->writing, WRITE_FIND_JOB, "b", id);
	int r = sql_step(st);
	bool named = r == 1 && sql_u64(st, 3) == f.number;
	sqlite3_reset(st);
	if (r >= 0 && !named)
		sqlite_file_remove(s->files_fd, f);
	if (f.number >= s->next_file)
		s->next_file = f.number + 1;
	return r < 0 ? r : 0;
}

/* The body of a job that has yet to run. */
static bool refuse_body(
	const struct sqlite_store *s, struct sqlite_file f, int err, char why[STORE_WHY_BYTES])
{
	char name[STORE_FILE_NAME];
	sqlite_file_print(f, name);
	return refuse(why,
		"store: %s-files/%s, which a job that waits in %s needs, %s%s: bring it back; or save what "
		"can be "
		"read by 'berth store export sqlite:%s', and move %s, %s-wal and %s-files away to start "
		"empty",
		s->path, name, s->path, err ? "cannot be found: " : "has another length",
		err ? strerror(-err) : "", s->path, s->path, s->path, s->path);
}

/* Each body's file is there, as long as its record says. Without those of results Berth starts: nothing that
 * was acknowledged fails for it. */
static bool check_files(struct sqlite_store *s, char why[STORE_WHY_BYTES])
{
	sqlite3_stmt *st = NULL;
	uint64_t results = 0, bytes = 0;
	bool ok = true;
	int r = sql_errno(s->writing.db,
		sqlite3_prepare_v2(s->writing.db,
			"SELECT id, file, body_bytes, state FROM job WHERE file != 0", -1, &st, NULL));
	while (!r && ok && (r = sql_step(st)) == 1) {
		struct sqlite_file f = { .number = sql_u64(st, 1) };
		struct str id = sql_str(st, 0);
		memcpy(f.id.bytes, id.ptr, id.len < STORE_ID_BYTES ? id.len : STORE_ID_BYTES);
		r = 0;
		int err = sqlite_file_bytes(s->files_fd, f, &bytes);
		if (!err && bytes == sql_u64(st, 2))
			continue;
		if (store_is_final((enum store_state)sql_u64(st, 3)))
			results++;
		else
			ok = refuse_body(s, f, err, why);
	}
	sqlite3_finalize(st);
	if (ok && results)
		log_warning("store: %s-files lacks the results of %llu jobs, or has them in part: they "
			    "cannot be fetched",
			s->path, (unsigned long long)results);
	return ok && (!r || refuse_error(why, s->path, r, sqlite3_errmsg(s->writing.db)));
}

static bool open_files(struct sqlite_store *s, bool any_file, char why[STORE_WHY_BYTES])
{
	s->files_fd = sqlite_files_open(s->path, true);
	if (s->files_fd < 0)
		return refuse(why, "store: %s-files: %s", s->path, strerror(-s->files_fd));
	s->next_file = 1;
	int r = sqlite_files_each(s->files_fd, sweep_file, s);
	if (r)
		return refuse_error(why, s->path, r, "while sweeping the files of bodies");
	return !any_file || check_files(s, why);
}

/* ---- all of it ---- */

bool sqlite_open_all(struct sqlite_store *s, char why[STORE_WHY_BYTES])
{
	int64_t version = 0;
	bool any_file = false;
	if (!take_lock(s, why) || !is_there(s->path, true, why))
		return false;
	/* Also for one that died when it had just made it: a log alone would be refused. */
	int r = sqlite_sync_parent(s->path);
	if (r)
		return refuse_error(why, s->path, r, "while syncing its directory");
	r = sql_open(&s->writing, s->path, SQLITE_OPEN_READWRITE);
	if (r)
		return refuse_error(why, s->path, r, s->writing.db ? sqlite3_errmsg(s->writing.db) : "");
	if (!check_kind(&s->writing, s->path, &version, why) || !set_log(s, why))
		return false;
	r = set_pragmas(s);
	if (!r && version < STORE_SCHEMA_VERSION)
		r = sqlite_migrate(&s->writing, version);
	if (!r && !check_jobs(s, why))
		return false;
	if (!r)
		r = sql_prepare(&s->writing, sqlite_writes, WRITES);
	if (!r)
		r = count_totals(s, &any_file);
	if (!r)
		r = next_epoch(s);
	if (r)
		return refuse_error(why, s->path, r, sqlite3_errmsg(s->writing.db));
	lengthen_log(s);
	if (!open_files(s, any_file, why))
		return false;
	r = sql_open(&s->reading, s->path, SQLITE_OPEN_READONLY);
	if (!r)
		r = sql_prepare(&s->reading, sqlite_reads, READS);
	return !r || refuse_error(why, s->path, r, s->reading.db ? sqlite3_errmsg(s->reading.db) : "");
}

void sqlite_shut(struct sqlite_store *s)
{
	sql_close(&s->reading); /* first: the last to close folds the log in, which needs a writer */
	sql_close(&s->writing);
	if (s->files_fd >= 0)
		close(s->files_fd);
	if (s->lock_fd >= 0)
		close(s->lock_fd);
}

int sqlite_open_read_only(struct sql *q, const char *path, char why[STORE_WHY_BYTES])
{
	int64_t version;
	*q = (struct sql){ 0 };
	if (!is_there(path, false, why))
		return -ENOENT;
	int r = sql_open(q, path, SQLITE_OPEN_READONLY);
	if (r)
		store_refuse(why, "store: %s: %s", path, q->db ? sqlite3_errmsg(q->db) : strerror(-r));
	else if (!check_kind(q, path, &version, why))
		r = -EUCLEAN;
	return r;
}
