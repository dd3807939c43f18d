/* sqlite_check: reads a database whole and says what is wrong with it. */
#include "store/sqlite.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

enum { COMPLAINTS_MAX = 100, LINE_BYTES = 512 };

enum check_statement { CHECK_PAGES, CHECK_RECORDS, CHECK_STRAYS, CHECKS };

#define RECORDS                                                                              \
	"SELECT job.id, state, held, file, head_bytes, body_bytes, message.seq IS NOT NULL," \
	" length(message.head), length(message.body)"

static const char *const checks[CHECKS] = {
	[CHECK_PAGES] = "PRAGMA integrity_check(100)",
	[CHECK_RECORDS] = RECORDS " FROM job LEFT JOIN message USING (seq) ORDER BY job.seq",
	[CHECK_STRAYS] = "SELECT count(*) FROM message WHERE seq NOT IN (SELECT seq FROM job)",
};

struct checker {
	struct sql q;
	int files_fd; /* -1: there is no directory */
	store_line_fn *fn;
	void *owner;
	uint32_t complaints;
	uint64_t by_state[STORE_STATES];
	uint64_t bytes, files;
};

static void say(struct checker *c, const char *fmt, ...) PRINTF(2, 3);
static void say(struct checker *c, const char *fmt, ...)
{
	char line[LINE_BYTES];
	va_list args;
	va_start(args, fmt);
	vsnprintf(line, sizeof line, fmt, args);
	va_end(args);
	c->fn(c->owner, str_of(line));
}

#define COMPLAIN(c, ...)                                \
	do {                                            \
		if ((c)->complaints++ < COMPLAINTS_MAX) \
			say((c), __VA_ARGS__);          \
	} while (0)

static void check_pages(struct checker *c)
{
	char line[LINE_BYTES];
	sqlite3_stmt *st = sql_bind(&c->q, CHECK_PAGES, "");
	int r;
	while ((r = sql_step(st)) == 1) {
		struct str said = sql_str(st, 0);
		if (!str_eq(said, STR("ok")))
			COMPLAIN(c, "%s", sqlite_say(line, sizeof line, said));
	}
	if (r)
		COMPLAIN(c, "%s", sqlite3_errmsg(c->q.db));
	sqlite3_reset(st);
}

static void check_file(struct checker *c, struct sqlite_file f, uint64_t bytes)
{
	char name[STORE_FILE_NAME];
	uint64_t has;
	sqlite_file_print(f, name);
	c->files++;
	if (c->files_fd < 0 || sqlite_file_bytes(c->files_fd, f, &has) < 0)
		COMPLAIN(c, "the body's file %s is missing", name);
	else if (has != bytes)
		COMPLAIN(c, "the body's file %s has %llu bytes in place of %llu", name,
			(unsigned long long)has, (unsigned long long)bytes);
}

static void check_record(struct checker *c, sqlite3_stmt *st)
{
	struct sqlite_file f = { .number = sql_u64(st, 3) };
	char text[STORE_ID_CHARS + 1];
	struct str id = sql_str(st, 0);
	uint64_t state = sql_u64(st, 1), head_bytes = sql_u64(st, 4), body_bytes = sql_u64(st, 5);
	bool held = sql_u64(st, 2), has_message = sql_u64(st, 6);
	if (id.len != STORE_ID_BYTES || state >= STORE_STATES) {
		COMPLAIN(c, "a record has no id or no state");
		return;
	}
	memcpy(f.id.bytes, id.ptr, STORE_ID_BYTES);
	store_id_print(&f.id, text);
	c->by_state[state]++;
	if (held != has_message)
		COMPLAIN(c, "job %s: its message is %s", text, held ? "missing" : "still there");
	else if (held && (sql_u64(st, 7) != head_bytes || sql_u64(st, 8) != (f.number ? 0 : body_bytes)))
		COMPLAIN(c, "job %s: its message is not as long as its record says", text);
	if (f.number)
		check_file(c, f, body_bytes);
	if (held)
		c->bytes += head_bytes + body_bytes;
}

static void check_records(struct checker *c)
{
	int64_t strays = 0;
	sqlite3_stmt *st = sql_bind(&c->q, CHECK_RECORDS, "");
	int r;
	while ((r = sql_step(st)) == 1)
		check_record(c, st);
	sqlite3_reset(st);
	if (!r)
		r = sql_number(&c->q, checks[CHECK_STRAYS], &strays);
	if (r)
		COMPLAIN(c, "not all records can be read: %s", sqlite3_errmsg(c->q.db));
	if (strays)
		COMPLAIN(c, "%lld messages belong to no record", (long long)strays);
}

static void summarize(struct checker *c)
{
	uint64_t records = 0;
	for (int i = 0; i < STORE_STATES; i++)
		records += c->by_state[i];
	say(c,
		"%llu records: %llu queued, %llu running, %llu done, %llu failed, %llu cancelled, %llu "
		"expired;"
		" %llu bytes, %llu bodies in files",
		(unsigned long long)records, (unsigned long long)c->by_state[STORE_QUEUED],
		(unsigned long long)c->by_state[STORE_RUNNING], (unsigned long long)c->by_state[STORE_DONE],
		(unsigned long long)c->by_state[STORE_FAILED],
		(unsigned long long)c->by_state[STORE_CANCELLED],
		(unsigned long long)c->by_state[STORE_EXPIRED], (unsigned long long)c->bytes,
		(unsigned long long)c->files);
	if (c->complaints)
		say(c, "%u things are wrong", c->complaints);
	else
		say(c, "all is well");
}

int store_check(const char *where, store_line_fn *fn, void *owner, char why[STORE_WHY_BYTES])
{
	const char *path = store_sqlite_path(where);
	if (!path) {
		store_refuse(why, "store: '%s' is no store that can be checked: write sqlite:PATH", where);
		return -EINVAL;
	}
	struct checker c = { .files_fd = -1, .fn = fn, .owner = owner };
	int r = sqlite_open_read_only(&c.q, path, why);
	if (!r)
		r = sql_exec(&c.q, "BEGIN"); /* one snapshot, should a berth be running */
	if (!r) {
		c.files_fd = sqlite_files_open(path, false);
		r = sql_prepare(&c.q, checks, CHECKS);
		if (r)
			store_refuse(why, "store: %s: %s", path, sqlite3_errmsg(c.q.db));
	}
	if (!r) {
		check_pages(&c);
		check_records(&c);
		summarize(&c);
		r = c.complaints ? 1 : 0;
	}
	sql_rollback(&c.q);
	sql_close(&c.q);
	if (c.files_fd >= 0)
		close(c.files_fd);
	return r;
}
