/* store_rig: a store of either engine, driven without a loop, whose callbacks are kept to be looked at. */
#pragma once
#include "base/arena.h"
#include "io/io.h"
#include "store/store.h"

#include <pthread.h>

enum {
	RIG_AT_ONCE = 32,
	RIG_PATH = 256,
	RIG_T0 = 1700000000
}; /* seconds since the epoch: when the tests begin */

#define RIG_US(seconds) ((uint64_t)(RIG_T0 + (seconds)) * 1000000)

struct rig {
	struct io io;
	struct store *store;
	struct store_settings settings;
	char dir[RIG_PATH]; /* removed at the end */
	char db[RIG_PATH];
	char where[RIG_PATH + 8];
	pthread_mutex_t lock;
	pthread_cond_t posted;
	struct io_message *messages;
	uint32_t callbacks;       /* that have come, of all calls with rig_count or rig_take */
	struct arena arena;       /* what `reply` points to */
	struct store_reply reply; /* of the last that came */
};

/* engine: "sqlite" or "memory". settings may be changed before rig_open. */
void rig_init(struct rig *r, const char *engine);
void rig_finish(struct rig *r);
void rig_open(struct rig *r); /* fails the test with the reason */
void rig_close(struct rig *r);
void rig_post(struct io *io, struct io_message *m);

/* Runs callbacks until nothing is pending. */
void rig_run(struct rig *r);

/* A callback: keeps a copy of the reply in r->reply. owner: the rig. */
void rig_take(void *owner, const struct store_reply *reply);

/* rig_run; what rig_take got. */
const struct store_reply *rig_wait(struct rig *r);

/* An id that n decides. */
struct store_id rig_id(uint64_t n);

/* A job of pool "a" with number n, created n seconds after RIG_T0, with head "head-n" and body "body-n"
 * (static memory: RIG_AT_ONCE jobs). */
struct store_job rig_job(uint64_t n);

/* A message of one slice; static memory: RIG_AT_ONCE of them. */
struct store_message rig_message(const char *head, struct str body);

/* Calls, carried out at once; their error. */
int rig_enqueue(struct rig *r, uint64_t n);
int rig_claim(struct rig *r, uint64_t n, uint32_t attempt, const char *container);
int rig_complete(struct rig *r, uint64_t n, uint32_t status, const char *head, struct str body);
const struct store_record *rig_get(struct rig *r, uint64_t n); /* NULL: -ENOENT */
int rig_read(struct rig *r, uint64_t n, uint64_t at, uint32_t max);

/* The path of the database with a suffix; static memory. */
const char *rig_beside(const struct rig *r, const char *suffix);
void rig_put_file(const char *path, const char *text);
int rig_count_files(const struct rig *r); /* of bodies */

/* What store_check and store_export said, as far as there is room. */
struct rig_lines {
	char text[16384];
	uint32_t n;
};

int rig_check(struct rig *r, struct rig_lines *ret);
int rig_export(struct rig *r, struct rig_lines *ret);

/* cmocka's setup and teardown. *state: the engine's name before, the open rig after. */
int rig_setup(void **state);
int rig_teardown(void **state);

#define RIG_TEST(f, engine)                                                          \
	{                                                                            \
#f "@" engine, f, rig_setup, rig_teardown, (void *)(uintptr_t)engine \
	}
#define RIG_BOTH(f) RIG_TEST(f, "sqlite"), RIG_TEST(f, "memory")
