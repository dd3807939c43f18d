/* sqlite: what the parts of the SQLite engine share.
 *
 *   loop's thread ──submit──▶ committer ──one transaction──▶ PATH (WAL, synchronous=FULL)
 *        ▲    └─────submit──▶ reader ────────reads─────────▶    PATH-files/ID.NUMBER: long bodies
 *        └──────────message────────────┘
 *
 * Owns:       the only connection that writes or checkpoints (SQLite up to 3.51.2 can lose a WAL that two of
 *             them reset), a read-only one, PATH.lock, and the directory of long bodies.
 * Invariant:  a body's file is whole and synced before the commit that names it, and is removed after the one
 *             that does so no more; so is that of a commit that failed, but may be found in the log after a
 *             crash. A file that no record names is swept away at the next start.
 */
#pragma once
#include "store/engine.h"
#include "store/sql.h"
#include "store/store_thread.h"

enum { STORE_BATCH_MAX = 1024 };

/* A body's file: "PATH-files/ID.NUMBER". */
struct sqlite_file {
	struct store_id id;
	uint64_t number; /* 0: none */
};

struct sqlite_totals {
	uint64_t records;
	uint64_t bytes;                                /* of the heads and bodies held */
	uint64_t unfinished_records, unfinished_bytes; /* of those: what never gives way */
};

struct sqlite_store {
	struct store store;
	char *path;            /* owned */
	int lock_fd, files_fd; /* -1: not open */
	struct sql reading;    /* the reader's, once that runs */
	struct store_thread reader, committer;

	/* The committer's, once that runs. */
	struct sql writing;
	struct sqlite_totals totals;
	uint64_t next_file;         /* number of the next body's file */
	struct sqlite_file *doomed; /* owned: to be removed when the transaction is through */
	uint32_t n_doomed, doomed_cap;
	struct sqlite_file *kept; /* owned: of commits that failed, until one has taken their place */
	uint32_t n_kept, kept_cap;
	bool in_doubt; /* what failed last may be in the log, whole; true while there are any kept */
	struct store_op **batch; /* owned; STORE_BATCH_MAX of them */
	char *body;              /* owned; STORE_ROW_BODY_MAX bytes of scratch */
};

/* ---- sqlite_schema.c ---- */

enum { STORE_SCHEMA_VERSION = 1, STORE_APPLICATION_ID = 0x42727468 /* "Brth" */ };

enum sqlite_write {
	WRITE_BEGIN,
	WRITE_COMMIT,
	WRITE_EPOCH,
	WRITE_FIND_POOL,
	WRITE_ADD_POOL,
	WRITE_ADD_JOB,
	WRITE_ADD_MESSAGE,
	WRITE_SET_MESSAGE,
	WRITE_DROP_MESSAGE,
	WRITE_FIND_JOB,
	WRITE_FIND_KEY,
	WRITE_DROP_KEY,
	WRITE_RECORD,
	WRITE_CLAIM,
	WRITE_REQUEUE,
	WRITE_COMPLETE,
	WRITE_END,
	WRITE_DROP_ANSWER,
	WRITE_DROP_JOB,
	WRITE_OLDEST,
	WRITES
};
extern const char *const sqlite_writes[WRITES];

enum sqlite_read {
	READ_BEGIN,
	READ_BY_ID,
	READ_BY_SEQ,
	READ_BY_KEY,
	READ_MESSAGE,
	READ_POOLS,
	READ_PLACES,
	READ_UNFINISHED,
	READ_FROM,
	READS
};
extern const char *const sqlite_reads[READS];

/* A row of READ_BY_…, READ_UNFINISHED, READ_FROM or WRITE_RECORD; strings are good until its next step.
 * -EUCLEAN when it is no record. */
struct sqlite_row {
	struct store_record record;
	uint64_t seq, file;
};
MUST_USE int sqlite_read_row(sqlite3_stmt *s, struct sqlite_row *ret_row);

/* What SQLite said about a page, on one line. */
const char *sqlite_say(char *line, size_t size, struct str said);

/* Makes PATH with an empty database of the newest schema. It is not there until it is whole. */
MUST_USE int sqlite_create(const char *path);

/* Syncs the directory that path is in. */
MUST_USE int sqlite_sync_parent(const char *path);

/* Brings an older schema up to date. */
MUST_USE int sqlite_migrate(struct sql *q, int64_t version);

/* ---- sqlite_open.c ---- */

/* Locks, opens, checks and prepares everything but the threads. False: why is filled in; what was opened is
 * for sqlite_shut to close. */
MUST_USE bool sqlite_open_all(struct sqlite_store *s, char why[STORE_WHY_BYTES]);
void sqlite_shut(struct sqlite_store *s);

/* A read-only connection to a database that is Berth's; for check and export. 0 or -errno with why. */
MUST_USE int sqlite_open_read_only(struct sql *q, const char *path, char why[STORE_WHY_BYTES]);

/* ---- sqlite_file.c ---- */

/* Opens PATH-files; with `make` it is made where it is missing. Descriptor or -errno. */
MUST_USE int sqlite_files_open(const char *path, bool make);

/* Writes and syncs a body's file. The directory is the caller's to sync. */
MUST_USE int sqlite_file_write(int files_fd, struct sqlite_file f, const struct store_message *m);

/* n bytes from `at` on; -EUCLEAN when it is shorter. */
MUST_USE int sqlite_file_read(int files_fd, struct sqlite_file f, uint64_t at, char *into, size_t n);

/* How long it is; -errno. */
MUST_USE int sqlite_file_bytes(int files_fd, struct sqlite_file f, uint64_t *ret_bytes);
void sqlite_file_remove(int files_fd, struct sqlite_file f);

/* "ID.NUMBER" and back. */
enum { STORE_FILE_NAME = STORE_ID_CHARS + 1 + 20 + 1 };
void sqlite_file_print(struct sqlite_file f, char name[STORE_FILE_NAME]);
MUST_USE bool sqlite_file_parse(struct str name, struct sqlite_file *ret_f);

/* Calls fn for each body's file. 0, -errno, or what fn returned when that was not 0. */
typedef int sqlite_file_fn(void *owner, struct sqlite_file f);
MUST_USE int sqlite_files_each(int files_fd, sqlite_file_fn *fn, void *owner);

/* ---- sqlite_commit.c, sqlite_write.c, sqlite_room.c, sqlite_read.c ---- */

/* The committer's work: what came, in transactions. */
void sqlite_commit_all(void *owner, struct store_op *ops);

/* One change within the transaction. 0, with op->reply.err for what is refused; -errno: the transaction must
 * be taken back. */
MUST_USE int sqlite_change(struct sqlite_store *s, struct store_op *op);

/* The oldest finished give way to a new job with so many bytes; *ret_refused is 0, or -EDQUOT when even all
 * of them would not be enough: then none does. 0 or -errno. */
MUST_USE int sqlite_make_room(struct sqlite_store *s, uint64_t bytes, int *ret_refused);
MUST_USE int sqlite_purge(struct sqlite_store *s, struct store_op *op);

/* Takes the record (and its message and file) away. bytes: held by it. */
MUST_USE int sqlite_drop_job(struct sqlite_store *s, uint64_t seq, uint64_t bytes, struct sqlite_file f);

/* Removes the file when the transaction is through. */
MUST_USE int sqlite_doom(struct sqlite_store *s, struct sqlite_file f);

/* The reader's work. */
void sqlite_read_all(void *owner, struct store_op *ops);
MUST_USE int sqlite_load(struct store *s, struct str pool, store_record_fn *fn, void *owner);
