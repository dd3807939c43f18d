/* store: jobs and their results, kept.
 *
 * One interface for all engines: "sqlite:PATH" keeps what it has acknowledged through kill -9 and power loss,
 * "memory" only as long as the process lives. Neither knows what a queue is: the caller gives each job its
 * pool, order number and epoch, and gets the unfinished ones back in that order.
 *
 *               claim            complete
 *   ┌────────┐ ──────▶ ┌─────────┐ ──────▶ DONE
 *   │ QUEUED │         │ RUNNING │  fail,  FAILED, CANCELLED, EXPIRED
 *   └────────┘ ◀────── └─────────┘ ──────▶ (these also from QUEUED)
 *              requeue
 *
 * Calls:    return at once and never wait for a disk. 0 means that `done` will come, exactly once, on the
 *           loop's thread, in a later turn; a negative errno (-ENOMEM, -EINVAL, …) that it will not. Strings
 *           are copied. The bytes of heads and bodies stay the caller's, who keeps them until `done`.
 * Order:    changes are carried out, and their callbacks come, in the order of the calls. Reads are ordered
 *           among themselves; a read sees every change whose callback has come.
 * Durable:  when `done` says 0, the change survives whatever comes. -EIO may be either way after a crash.
 * Final:    the first final state wins. A later change is refused with -EALREADY, and told the state.
 * Errors:   -ENOENT no such job; -EALREADY it is final; -EEXIST its id or idempotency key is taken; -EDQUOT a
 *           limit of the settings; -ENOSPC the disk is full (try again when there is room); -EIO; -ENOMEM;
 *           -EUCLEAN the database is damaged; -EBUSY another program holds it.
 * Times:    microseconds since the epoch, by the wall clock, all given by the caller.
 */
#pragma once
#include "base/check.h"
#include "base/str.h"
#include "io/io.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

enum {
	STORE_ID_BYTES = 16,
	STORE_ID_CHARS = 2 * STORE_ID_BYTES,
	STORE_HASH_BYTES = 32,
	STORE_POOL_MAX = 255,
	STORE_KEY_MAX = 255,
	STORE_CONTAINER_MAX = 255,
	STORE_REASON_MAX = 255,   /* longer ones are cut */
	STORE_REASONS_MAX = 4096, /* of all attempts together; later ones are left out */
	STORE_HEAD_MAX = 1 << 20, /* longer heads are refused: -EMSGSIZE */
	STORE_LIST_MAX = 1000,    /* records in one list */
	STORE_READ_MAX = 1 << 20, /* bytes of a body in one read */
	STORE_WHY_BYTES = 1024,
};

/* Bodies longer than this stand in files beside the database. */
#define STORE_ROW_BODY_MAX (256u * 1024)

enum store_state {
	STORE_QUEUED,
	STORE_RUNNING,
	STORE_DONE,
	STORE_FAILED,
	STORE_CANCELLED,
	STORE_EXPIRED,
	STORE_STATES
};

/* 128 random bits, the caller's. */
struct store_id {
	uint8_t bytes[STORE_ID_BYTES];
};

/* 32 lower-case hex digits and nothing else. */
MUST_USE bool store_id_parse(struct str text, struct store_id *ret_id);
const char *store_id_print(const struct store_id *id, char text[STORE_ID_CHARS + 1]);

/* "queued", "running", … */
const char *store_state_name(enum store_state s);

static inline bool store_is_final(enum store_state s)
{
	return s >= STORE_DONE;
}

/* A request as the container gets it, or its answer. The body is the slices, and after them, when file_bytes
 * is not 0, so many bytes of a file from offset file_at on (what a spool holds). */
struct store_message {
	struct str head; /* a request's head, an answer's field lines */
	const struct iovec *slices;
	int n_slices;
	int fd;
	uint64_t file_at, file_bytes;
};

struct store_job {
	struct store_id id;
	struct str pool; /* 1 to STORE_POOL_MAX bytes */
	uint64_t number; /* its place in the pool's order; below 2^63, as epoch and times are */
	uint64_t epoch;  /* of the pool's owner */
	uint64_t created_us;
	uint64_t deadline_us;                   /* 0: none. The store only keeps it */
	uint32_t flags;                         /* the caller's own */
	struct str key;                         /* Idempotency-Key; empty: none */
	uint8_t payload_hash[STORE_HASH_BYTES]; /* kept with a key */
	struct store_message request;
	/* of one that runs already, as by store_claim */
	uint32_t attempt; /* 0: it waits */
	struct str container;
	uint64_t started_us;
};

struct store_record {
	struct store_id id;
	enum store_state state;
	uint64_t number, epoch;
	uint64_t created_us, deadline_us, started_us, finished_us; /* 0: none, not yet */
	uint32_t flags;
	uint32_t attempts;
	uint32_t status;     /* of the answer; 0: none */
	uint32_t head_bytes; /* of the request until the end, then of the answer */
	uint64_t body_bytes;
	bool held; /* head and body are still kept. DONE and not held: purged */
	struct str pool;
	struct str container; /* the last that it was claimed for */
	struct str reasons;   /* a line for each attempt that failed */
	struct str key;
	uint8_t payload_hash[STORE_HASH_BYTES];
};

/* Where a list goes on: it begins below this record. All zeroes: at the newest. */
struct store_cursor {
	uint64_t created_us, seq;
};

struct store_reply {
	int err;                /* 0 or -errno */
	enum store_state state; /* of the job after a change; also with -EALREADY */
	/* get, find, read: the one; list: newest first; enqueue with -EEXIST: the one that is there already
	 */
	const struct store_record *records;
	uint32_t n_records;
	bool more;                /* list, purge: there is more to come */
	struct store_cursor next; /* list: the cursor for it */
	struct str head, body;    /* read */
	uint64_t purged;          /* records and results that were removed */
};

/* On the loop's thread. reply: good until it returns. */
typedef void store_done_fn(void *owner, const struct store_reply *reply);

/* How a message gets to the loop's thread: io_epoll_post, or a test's. */
typedef void store_post_fn(struct io *io, struct io_message *m);

struct store_settings {
	uint64_t
		max_records; /* all states. The oldest finished give way to a new one; -EDQUOT, and none gives
				way, when the unfinished alone leave no room */
	uint64_t max_bytes;  /* heads and bodies, likewise; completions are never refused by it */
	uint64_t result_age_us; /* an answer is purged so long after the end */
	uint64_t record_age_us; /* the record too */
	uint64_t key_age_us;    /* an idempotency key holds until so long after the end */
	uint32_t max_pending;   /* enqueues whose callback has not come: one more is refused with -ENOBUFS */
	uint32_t wal_pages; /* sqlite: pages of 4 KiB in the write-ahead log before it is folded in; 0: only
			    at the end */
};

/* sqlite: 1,000,000 records, 16 GiB, results 1 day, records 7 days, keys 1 day, 65,536 pending, 4,000 pages.
 * memory: 10,000 records, 256 MiB, 1 hour all three, 65,536 pending. */
void store_settings_default(struct store_settings *s, const char *where);

struct store;

/* where: "sqlite:PATH" or "memory". settings: NULL for the defaults. Reads and checks the database before it
 * returns. NULL: `why` has one line that says what is wrong, where, and what to do. A database is made where
 * there is none, but never in the place of one that is damaged or half there. */
MUST_USE struct store *store_open(const char *where, const struct store_settings *settings, struct io *io,
	store_post_fn *post, char why[STORE_WHY_BYTES]);

/* Other numbers, sizes and ages while it is open, from what it carries out next on. max_pending and wal_pages
 * stay. */
void store_set_limits(struct store *s, const struct store_settings *settings);

/* Carries out what was called; callbacks that have not come are dropped. The loop must run no more, unless
 * nothing is pending. NULL is allowed. */
void store_close(struct store *s);

/* Calls whose callbacks have not come. */
uint32_t store_pending(const struct store *s);

/* Rises with every store_open of the same database, from 1. */
uint64_t store_epoch(const struct store *s);

/* Every job of this pool (empty: of all, pool by pool) that is QUEUED or RUNNING, in the order of their
 * numbers, and of equal ones as they came; at once, on this thread. fn: 0 to go on; anything else ends it and
 * is returned. 0 or -errno. Keeps one record in memory. */
typedef int store_record_fn(void *owner, const struct store_record *record);
MUST_USE int store_load(struct store *s, struct str pool, store_record_fn *fn, void *owner);

/* ---- changes; `done` may be NULL where nobody waits ---- */

/* A new job, QUEUED, or RUNNING already. */
MUST_USE int store_enqueue(struct store *s, const struct store_job *job, store_done_fn *done, void *owner);

/* RUNNING, as attempt number `attempt` (from 1), on this container. */
MUST_USE int store_claim(struct store *s, const struct store_id *id, uint32_t attempt, struct str container,
	uint64_t started_us, store_done_fn *done, void *owner);

/* QUEUED again, at its old number; the reason is added to the record's. */
MUST_USE int store_requeue(
	struct store *s, const struct store_id *id, struct str reason, store_done_fn *done, void *owner);

/* DONE; the answer takes the request's place. */
MUST_USE int store_complete(struct store *s, const struct store_id *id, uint32_t status,
	const struct store_message *answer, uint64_t finished_us, store_done_fn *done, void *owner);

/* FAILED; the reason is added to the record's. The request is dropped, as by cancel and expire. */
MUST_USE int store_fail(struct store *s, const struct store_id *id, struct str reason, uint64_t finished_us,
	store_done_fn *done, void *owner);

MUST_USE int store_cancel(
	struct store *s, const struct store_id *id, uint64_t finished_us, store_done_fn *done, void *owner);

MUST_USE int store_expire(
	struct store *s, const struct store_id *id, uint64_t finished_us, store_done_fn *done, void *owner);

/* Removes a final record and its answer; -EBUSY while it is not final. */
MUST_USE int store_remove(struct store *s, const struct store_id *id, store_done_fn *done, void *owner);

/* Removes what is past its age or over a limit, oldest end first, at most some hundreds at a time (`more`).
 */
MUST_USE int store_purge(struct store *s, uint64_t now_us, store_done_fn *done, void *owner);

/* ---- reads ---- */

MUST_USE int store_get(struct store *s, const struct store_id *id, store_done_fn *done, void *owner);

/* The job with this idempotency key, while the key holds. */
MUST_USE int store_find(
	struct store *s, struct str pool, struct str key, uint64_t now_us, store_done_fn *done, void *owner);

struct store_filter {
	int state;              /* enum store_state, or -1: all */
	struct str pool;        /* empty: all */
	uint64_t from_us;       /* created at or after; 0: all */
	uint32_t limit;         /* 1 to STORE_LIST_MAX */
	struct store_cursor at; /* the last list's `next`, or zeroes */
};

/* Newest first, by creation. */
MUST_USE int store_list(struct store *s, const struct store_filter *filter, store_done_fn *done, void *owner);

/* The whole head and up to `max` (at most STORE_READ_MAX) bytes of the body from offset `at`: the request's
 * until the end, then the answer's. -ENODATA, with the record, when they are kept no more. */
MUST_USE int store_read(struct store *s, const struct store_id *id, uint64_t at, uint32_t max,
	store_done_fn *done, void *owner);

/* ---- for `berth store`; without an open store, from any thread ---- */

/* A line without its end. */
typedef void store_line_fn(void *owner, struct str line);

/* Reads all of "sqlite:PATH" and changes nothing: a line for each thing that is wrong, then a summary.
 * 0 all is well, 1 something is wrong, -errno with `why` when it cannot be read at all. */
MUST_USE int store_check(const char *where, store_line_fn *fn, void *owner, char why[STORE_WHY_BYTES]);

/* Every record that can be read, as a line of JSON with head (text) and body (base64, or the file's name);
 * goes round what is damaged. 0 all were read, 1 some could not be, -errno with `why`. */
MUST_USE int store_export(const char *where, store_line_fn *fn, void *owner, char why[STORE_WHY_BYTES]);
