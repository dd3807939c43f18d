/* plan: what a seed decides before anything happens: the gateway's settings, how clients and containers
 * behave, which faults there are and how often.
 *
 * A seed has only some of all faults, often none, so that what is rare is also met alone. Chances are in a
 * million.
 */
#pragma once
#include "base/rand.h"
#include "gateway/settings.h"
#include "wire.h"

#include <stdbool.h>
#include <stdint.h>

enum { PLAN_POOLS = 2, PLAN_CONTAINERS = 6, PLAN_FRONT_PORT = 8080, PLAN_CONTAINER_PORT = 5000 };

struct client_plan {
	uint32_t clients;            /* at once */
	uint32_t exchanges;          /* in all, as a rule */
	uint32_t per_connection_max; /* exchanges */
	uint32_t think_max_us;       /* between two exchanges */
	/* what is asked, of each exchange */
	uint32_t body_ppm, body_max, big_body_ppm, big_body_max;
	uint32_t chunked_ppm, pipeline_ppm, old_ppm, head_ppm, expect_ppm, close_ppm, max_wait_ppm;
	uint32_t submit_ppm, async_ppm, own_ppm, bad_ppm;
	uint32_t cancel_ppm, events_ppm; /* of what is asked about a job */
	/* how */
	uint32_t drip_ppm, drip_piece_max, drip_pause_max_us; /* the request comes in pieces */
	uint32_t stall_ppm;                                   /* its rest never comes */
	uint32_t leave_ppm;                                   /* the client leaves, at any point */
	uint32_t vanish_ppm;                                  /* … and without a word, of those */
	uint32_t slow_ppm, slow_pause_max_us;                 /* the answer is read in pieces */
	uint32_t stuck_ppm;                                   /* it is not read at all */
};

struct container_plan {
	uint32_t service_min_us, service_max_us;
	uint32_t answer_max, big_answer_ppm, big_answer_max;
	/* ways to answer that are all well */
	uint32_t chunked_ppm, close_framed_ppm, interim_ppm, early_ppm, empty_ppm, status_ppm;
	uint32_t close_ppm;      /* says Connection: close and does it */
	uint32_t idle_close_ppm; /* closes an idle connection a while after an answer … */
	uint32_t idle_close_max_us;
	uint32_t busy_ppm; /* says that it is busy, where the pool knows how */
	uint32_t drip_ppm, drip_piece_max, drip_pause_max_us;
	/* ways that are not */
	uint32_t close_first_ppm, cut_ppm, nonsense_ppm, bad_chunk_ppm, extra_ppm, hang_ppm;
	uint32_t refuse_ppm;     /* a connection, although it is up */
	uint32_t hang_dial_ppm;  /* a connection request is never answered */
	uint32_t death_every_us; /* on average; 0: it lives for ever */
	uint32_t away_max_us;    /* then it comes back */
	uint32_t vanish_ppm;     /* it falls off the network, of those */
	uint32_t unready_ppm;    /* says so to a probe */
	uint32_t probe_odd_ppm;  /* answers 404 to a probe */
};

struct plan {
	struct settings settings;
	struct pool_settings pools[PLAN_POOLS];
	struct container_settings containers[PLAN_POOLS][PLAN_CONTAINERS];
	struct settings other;
	struct pool_settings other_pools[PLAN_POOLS];
	struct container_settings other_containers[PLAN_POOLS][PLAN_CONTAINERS];
	struct io_addr listen;
	struct client_plan client;
	struct container_plan container;
	struct wire_traits client_wire, container_wire;
	uint32_t grain_us;
	uint32_t disk_min_us, disk_max_us, disk_fail_ppm;
	uint32_t clock_jump_ppm; /* the calendar's clock is set, of the exchanges */
	uint32_t sleep_ppm;      /* the machine sleeps for a while, likewise */
	uint32_t reload_ppm;     /* the configuration changes between settings and the other ones, likewise */
	uint32_t drain_at;       /* exchanges until the gateway is told to drain; 0: it is not */
	bool calm;               /* nothing goes wrong: every request has its answer */
};

/* settings point into *p. */
void plan_draw(struct plan *p, struct rand *r);

/* What a reload changes beside containers, slots and queue.max: health checks, idle probes, limits; where
 * there are reloads. r: one of its own, so that worlds without them stay what they are. */
void plan_vary(struct plan *p, struct rand *r);

/* A limit may have been either when what it limits began. */
static inline uint64_t plan_larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* In a few seeds many clients send long requests ahead, for which there is no memory. By a rand of its own,
 * so that the others are as if there were none. */
void plan_crowd(struct plan *p, uint64_t seed);
