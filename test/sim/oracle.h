/* oracle: watches the gateway from inside at the end of each of its turns, and at the end of a run.
 *
 * I1, I5  pool_check, all of it, at every turn in which something has moved, and every few turns
 * I4      what has waited through a turn was not overtaken in it; newcomers enter behind
 *         what has failed goes to no container again while another one has a free slot
 * I7      no limit is passed
 * I8      at quiescence all slots are free (or down), and nothing is kept any more
 */
#pragma once
#include "core/pool.h"
#include "plan.h"

#include <stdbool.h>
#include <stdint.h>

struct world;
struct route;

enum {
	ORACLE_CONTAINERS = 64,
	ORACLE_SLOTS = 4,
	ORACLE_RETURNED = 16,
	ORACLE_TURNS = 8,
	ORACLE_TRIES = 256,
};

/* What a container looked like at the end of the last turn. */
struct container_watch {
	uint32_t id;
	bool down;
	uint64_t probe_due_us; /* its health check, at the latest; UINT64_MAX: none is due */
	bool available;
	uint64_t requests, failures, retry_at_us;
	uint64_t on_slot[ORACLE_SLOTS]; /* number of the ticket on each slot; 0: none */
};

/* Where a ticket has been. */
struct tries {
	uint64_t number;
	uint32_t n;                      /* of its attempts, those that were seen */
	uint32_t ids[TICKET_AVOIDS + 1]; /* of containers */
};

/* Whatever moves a ticket or a slot moves one of these. Without padding, to be compared as a whole. */
struct pool_pulse {
	uint64_t next_number, started, finished, retries;
	uint32_t reserved, waiting; /* the latter with those whose place is kept */
	uint32_t serving, lacking;  /* slots */
};

/* What a pool looked like at the end of the last turn. */
struct pool_watch {
	struct route *route; /* borrowed */
	struct pool_pulse pulse;
	struct container_watch containers[ORACLE_CONTAINERS]; /* by their places in the pool */
	uint32_t n_containers, next_id;                       /* the pool's, when that was last looked at */
	uint64_t returned[ORACLE_RETURNED]; /* numbers of those that wait again, the first so many */
	uint32_t n_returned;
	struct tries tries[ORACLE_TRIES]; /* by numbers, modulo so many: a newer ticket takes its place */
	/* When these were last so, and may have been the reason of an answer. */
	uint64_t full_us, hopeless_us, trouble_us;
	bool forgotten; /* a connection was, on the way: Berth learns of it when it uses it next */
};

struct oracle {
	struct pool_watch pools[PLAN_POOLS];
	uint64_t refused;    /* budget.refused */
	uint64_t refused_us; /* when it last rose, or a file failed */
	uint64_t disk_failures;
	uint64_t struck, struck_us; /* faults of the machine, and when that last rose */
	uint64_t slept_us;          /* when the machine slept last */
	uint64_t turned_away,
		turned_away_us;        /* metrics.refused_connections, and when it last rose for a reason */
	uint64_t clients, connections; /* that were there then, and had come */
};

void oracle_begin(struct world *w);
void oracle_turn(struct world *w);

/* Pools may have come and gone. */
void oracle_follow(struct world *w);

/* Time has passed in which nothing could happen: reasons are as fresh as before. */
void oracle_slept(struct world *w);

/* Whether there was no room, in memory or in files, or a file has failed, in the turn that runs, too. */
void oracle_note_refusals(struct world *w);

/* A container of this pool has given Berth a reason to fail a request. */
void oracle_trouble(struct world *w, uint32_t pool);

/* Nothing is left of what was asked, and every container can be used. */
bool oracle_is_quiet(const struct world *w);

/* … must be so. */
void oracle_check_quiet(struct world *w);
