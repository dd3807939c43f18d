/* world: one run of the simulation: a gateway, fake clients and fake containers around it, and what watches
 * them.
 */
#pragma once
#include "base/list.h"
#include "fake_container.h"
#include "gateway/reactor.h"
#include "io_sim.h"
#include "ledger.h"
#include "oracle.h"
#include "plan.h"
#include "source.h"

/* What runs add up to. Plain data: it lies in memory that two processes share. */
struct tally {
	uint64_t seed; /* the one that runs */
	uint64_t seeds, exchanges, turns, simulated_us;
	uint64_t fates[FATES], problems[PROBLEM_COUNT];
	uint64_t deliveries, jobs, deaths, retries, faults;
};

enum { WORLD_JOBS = 64, WORLD_ID_CHARS = 32 };

/* A job that has been acknowledged and whose result nobody has read. */
struct open_job {
	uint32_t token;
	uint64_t over_us; /* when a poll has said so; 0: not yet */
	char id[WORLD_ID_CHARS + 1];
};

struct world {
	uint64_t seed;
	bool verbose;
	struct plan plan;
	struct rand rand, reload_rand;
	struct io_sim *sim;      /* owned */
	struct reactor *reactor; /* owned */
	struct ledger ledger;
	struct oracle oracle;
	struct fake_container containers[PLAN_POOLS][PLAN_CONTAINERS];
	struct scripted_source source;
	uint64_t began_us;
	struct list clients;
	struct event more_clients; /* those that were turned away come again */
	uint32_t n_turned_away;    /* … so many */
	uint32_t exchanges_left;
	bool draining; /* the gateway has been told to */
	bool reloaded; /* it has the plan's other settings */
	bool at_peace; /* containers do nothing wrong any more */
	struct open_job jobs[WORLD_JOBS];
	uint32_t n_jobs;
	struct http_head client_head, container_head; /* the readers' */
	char *scratch;                                /* owned */
	size_t scratch_bytes;
	struct tally *tally; /* borrowed */
};

/* Runs a seed to its end; aborts the process when something is wrong. exchanges: at most so many; 0: as many
 * as the seed has. */
void world_run(uint64_t seed, uint32_t exchanges, bool verbose, struct tally *tally);

/* Room for a message of n bytes, good until the next call. */
char *world_scratch(struct world *w, size_t n);

/* A client's connection has ended: another one comes, while there is something to ask; a while later when it
 * was turned away. */
void world_client_gone(struct world *w, bool turned_away);

static inline uint64_t world_now_us(const struct world *w)
{
	return w->sim->io.now_us;
}

NORETURN void world_fail(const struct world *w, const char *file, int line, const char *fmt, ...)
	PRINTF(4, 5);

/* The gateway (or the simulation) is wrong unless cond holds. */
#define VERIFY(w, cond, ...)                                            \
	do {                                                            \
		if (UNLIKELY(!(cond)))                                  \
			world_fail(w, __FILE__, __LINE__, __VA_ARGS__); \
	} while (0)

void world_trace(const struct world *w, const char *fmt, ...) PRINTF(2, 3);

#define TRACE(w, ...)                                \
	do {                                         \
		if (UNLIKELY((w)->verbose))          \
			world_trace(w, __VA_ARGS__); \
	} while (0)
