/* crash_world: a gateway with its store on a disk that forgets, which crashes and starts again; clients and
 * containers around it, which do not.
 *
 * A life lasts from a start to a crash (at a moment, or at any change of the disk), or to an end in order. It
 * has a loop, a network and connections of its own; what was told, and what is on the disk, remain.
 */
#pragma once
#include "gateway/reactor.h"
#include "io_sim.h"
#include "platter.h"
#include "told.h"

enum { CRASH_CONTAINERS = 3, CRASH_FRONT_PORT = 8080, CRASH_CONTAINER_PORT = 5000 };

/* What runs add up to. Plain data: it lies in memory that two processes share. */
struct crash_tally {
	uint64_t seed; /* the one that runs */
	uint64_t seeds, lives, power_losses, kills, ends, starts_cut;
	uint64_t changes; /* of the disk */
	uint64_t handed_in, acknowledged, refused, deliveries, results;
	uint64_t finals[STORE_STATES];
};

/* What a seed decides at first. Chances are in a million. */
struct crash_plan {
	uint32_t lives, jobs, clients, think_max_us;
	uint32_t body_max, answer_max, big_ppm, big_max;
	uint32_t service_max_us, commit_max_us;
	uint32_t wal_pages, keyed_ppm, cancel_ppm;
	uint32_t full_ppm;   /* a write finds the disk full */
	uint32_t sync_ppm;   /* a sync fails */
	uint32_t refuse_ppm; /* a container refuses a connection */
	uint32_t away_ppm;   /* a life begins without the pool; it goes, or comes back, by a reload */
	struct wire_traits wire;
};

struct crash_container {
	struct crash_world *world; /* borrowed: the owner */
	struct list conns;
	uint32_t running;
};

struct crash_world {
	uint64_t seed;
	bool verbose;
	struct rand rand;
	struct crash_plan plan;
	struct settings settings, settings_away; /* with the pool, and with another in its place */
	struct pool_settings pool, pool_else;
	struct container_settings container_settings[CRASH_CONTAINERS];
	struct io_addr listen;
	struct told told;
	uint32_t life;      /* from 1 */
	uint32_t crashes;   /* so far */
	uint64_t passed_us; /* in earlier lives, and between them */
	/* of this life */
	struct io_sim *sim;      /* owned */
	uint64_t began_us;       /* the loop's clock when it was made */
	struct reactor *reactor; /* owned */
	bool draining, disk_fills, syncs_fail;
	bool away;            /* the pool is not configured */
	uint32_t jobs_by_now; /* so many are handed in by its end */
	struct list clients;
	struct crash_container containers[CRASH_CONTAINERS];
	struct http_head client_head, container_head; /* the readers' */
	struct crash_tally *tally;                    /* borrowed */
};

/* Runs a seed to its end; aborts the process when something is wrong. */
void crash_world_run(uint64_t seed, bool verbose, struct crash_tally *tally);

/* Slots of all containers together. */
static inline uint32_t plan_slots(const struct crash_world *w)
{
	return (uint32_t)w->pool.n_containers * w->pool.slots;
}

static inline bool crash_is_last_life(const struct crash_world *w)
{
	return w->life == w->plan.lives;
}

/* Bytes of the answer to a delivery. */
uint32_t crash_answer_bytes(const struct crash_world *w, uint32_t token, uint32_t delivery);

/* ---- crash_client.c, crash_container.c ---- */

void crash_client_begin(struct crash_world *w);
void crash_clients_end(struct crash_world *w);

/* The job of this request; NULL when its query names none. */
struct told_job *crash_job_of(struct crash_world *w, struct str query);
void crash_container_begin(struct crash_container *c, struct crash_world *w);
void crash_container_answer(struct crash_container *c, struct wire_end *far);
void crash_container_end(struct crash_container *c);

/* ---- what is wrong, what happens ---- */

NORETURN void crash_fail(const struct crash_world *w, const char *file, int line, const char *fmt, ...)
	PRINTF(4, 5);

#define VERIFY(w, cond, ...)                                            \
	do {                                                            \
		if (UNLIKELY(!(cond)))                                  \
			crash_fail(w, __FILE__, __LINE__, __VA_ARGS__); \
	} while (0)

void crash_trace(const struct crash_world *w, const char *fmt, ...) PRINTF(2, 3);

#define TRACE(w, ...)                                \
	do {                                         \
		if (UNLIKELY((w)->verbose))          \
			crash_trace(w, __VA_ARGS__); \
	} while (0)
