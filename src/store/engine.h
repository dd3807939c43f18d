/* engine: what stands behind store.h: a call as an object, and what an engine must do with it.
 *
 * The front (store.c) copies what a call was given into a struct store_op and hands it to the engine, which
 * fills in op->reply and gives it back by store_deliver, from any thread. The front then runs the callbacks
 * on the loop's thread. An op is owned by whoever has it.
 */
#pragma once
#include "base/arena.h"
#include "store/store.h"

#include <pthread.h>

/* What one purge removes at the most. */
enum { STORE_PURGE_MAX = 256 };

enum store_verb {
	STORE_ENQUEUE,
	STORE_CLAIM,
	STORE_REQUEUE,
	STORE_COMPLETE,
	STORE_FAIL,
	STORE_CANCEL,
	STORE_EXPIRE,
	STORE_REMOVE,
	STORE_PURGE,
	STORE_GET, /* the first that changes nothing */
	STORE_FIND,
	STORE_LIST,
	STORE_READ,
};

struct store_op {
	struct store_op *next; /* owned */
	enum store_verb verb;
	store_done_fn *done; /* may be NULL */
	void *owner;         /* borrowed; for `done` */
	struct store_id id;
	uint64_t at_us; /* when it started, finished; "now" */
	union {
		struct store_job job; /* ENQUEUE; FIND: pool and key */
		struct {
			uint32_t attempt;
			struct str container;
		} claim;
		struct str reason; /* REQUEUE, FAIL */
		struct {
			uint32_t status;
			struct store_message message;
		} answer; /* COMPLETE */
		struct store_filter filter;
		struct {
			uint64_t at;
			uint32_t max;
		} range; /* READ */
	};
	uint64_t body_bytes; /* of the message of ENQUEUE and COMPLETE */
	uint64_t file;       /* number of the file that was written for it; 0: none (sqlite) */
	int file_err;
	struct store_reply reply;
	struct store_record *records; /* in the arena: reply.records */
	struct arena arena;           /* what reply points to */
};

static inline bool store_op_is_read(const struct store_op *op)
{
	return op->verb >= STORE_GET;
}

/* Is what happened then so old now? An age of UINT64_MAX: never. */
static inline bool store_is_past(uint64_t at_us, uint64_t age_us, uint64_t now_us)
{
	return now_us >= age_us && at_us <= now_us - age_us;
}

/* The message that comes with an ENQUEUE or COMPLETE, else NULL. */
const struct store_message *store_op_message(const struct store_op *op);

void store_op_free(struct store_op *op);

/* Forgets what an earlier try has filled in. */
void store_op_reset(struct store_op *op);

/* Room for n records in the reply. False without memory. */
MUST_USE bool store_op_expect(struct store_op *op, uint32_t n);

/* Copies a record into the reply, where there is room for it. False without memory. */
MUST_USE bool store_op_add(struct store_op *op, const struct store_record *record);

struct store_engine {
	/* Takes op. */
	void (*submit)(struct store *s, struct store_op *op);
	int (*load)(struct store *s, struct str pool, store_record_fn *fn, void *owner);
	/* Carries out and delivers what was submitted, then frees s. */
	void (*close)(struct store *s);
};

/* An engine embeds it first. */
struct store {
	const struct store_engine *engine; /* borrowed, static */
	struct store_settings settings;    /* limits and ages: under `lock`, or on the loop's thread */
	uint64_t epoch;
	struct io *io; /* borrowed */
	store_post_fn *post;
	uint32_t pending, pending_enqueues; /* the loop's */
	struct io_message message;          /* posted while `posted` */
	pthread_mutex_t lock;               /* guards the fields below */
	pthread_cond_t caught_up;           /* calling_back has become false */
	struct store_op *delivered, **last; /* owned */
	bool posted;
	bool calling_back; /* from the delivery until its callbacks have run */
};

void store_init(struct store *s, const struct store_engine *engine, const struct store_settings *settings,
	struct io *io, store_post_fn *post);

/* As they are now; from any thread. */
struct store_settings store_limits(struct store *s);

/* Frees what was delivered and not called back. */
void store_finish(struct store *s);

/* Takes the ops, a chain in the order of their callbacks that ends at `last`. */
void store_deliver(struct store *s, struct store_op *first, struct store_op *last);

/* Waits until the loop has run the callbacks of what was delivered, so that what they call comes with what
 * has come already; at most so long. Not from the loop's thread. */
void store_await_callbacks(struct store *s, uint64_t most_us);

/* The engines. NULL: `why` is filled in. path: what stands behind "sqlite:". */
struct store *store_memory_create(
	const struct store_settings *settings, struct io *io, store_post_fn *post, char why[STORE_WHY_BYTES]);
struct store *store_sqlite_create(const char *path, const struct store_settings *settings, struct io *io,
	store_post_fn *post, char why[STORE_WHY_BYTES]);

/* Fills `why` and returns NULL. */
void *store_refuse(char why[STORE_WHY_BYTES], const char *fmt, ...) PRINTF(2, 3);

/* The path in "sqlite:PATH", or NULL. */
const char *store_sqlite_path(const char *where);

/* Reads the body of m into memory of its whole length: 0 or -errno. */
MUST_USE int store_message_copy(const struct store_message *m, char *into);

/* Adds a line to the reasons of a record, into memory of STORE_REASONS_MAX bytes that `reasons` may stand in
 * already; returns the new ones. Breaks and other controls become spaces. */
struct str store_add_reason(char into[STORE_REASONS_MAX], struct str reasons, struct str reason);
