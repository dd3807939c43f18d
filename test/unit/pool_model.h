/* pool_model: a naive model of a pool, beside which the real one walks: arrays that are searched, times that are
 * compared. */
#pragma once
#include "base/rand.h"
#include "core/pool.h"

#include <stdbool.h>
#include <stdint.h>

enum { CONTAINERS_MAX = 6, SLOTS_MAX = 4, TICKETS = 60 };

struct model_slot {
	enum slot_state state;
	struct ticket *ticket; /* NULL: none */
	bool connected, probing;
};

/* At the index that the pool has it at. */
struct model_container {
	enum container_state state;
	bool draining, settling, returning;
	uint64_t filed; /* when it last came to the end of its list */
	uint32_t id, n_slots, failures_in_a_row, successes_in_a_row;
	uint64_t backoff_us, rest_us, retry_at_us;
	struct model_slot slot[SLOTS_MAX];
};

struct model {
	uint32_t n_containers, next_id;
	struct model_container containers[CONTAINERS_MAX];
	struct ticket *waiting[TICKETS]; /* in the order of their numbers */
	uint32_t n_waiting;
	struct ticket *reserved[TICKETS]; /* in no order */
	uint32_t n_reserved;
	uint32_t failed_by[TICKETS][TICKET_AVOIDS]; /* ids of containers, the last one first; 0: none */
	uint64_t next_number, clock;
	double mean_us; /* 0: none */
};

struct mix;

struct walk {
	struct pool pool;
	struct model model;
	struct rand rand;
	struct pool_limits limits;
	struct ticket tickets[TICKETS];
	const struct mix *mix; /* borrowed: what the walk draws from */
	uint64_t now_us;
};

uint32_t below(struct walk *w, uint32_t n);
struct container *real(struct walk *w, const struct model_container *mc);
struct slot *real_slot(struct walk *w, const struct model_container *mc, const struct model_slot *ms);
uint32_t count_state(const struct model_container *mc, enum slot_state state);
uint32_t model_in_flight(const struct model_container *mc);
void model_file(struct walk *w, struct model_container *mc);
void model_set(struct walk *w, struct model_container *mc, struct model_slot *ms, enum slot_state state);

/* One slot of a container that has come back: which one, the pool says. */
void model_give_back(struct walk *w, struct model_container *mc);
void model_up(struct walk *w, struct model_container *mc);
void model_leave_service(struct walk *w, struct model_container *mc, enum container_state state);
uint64_t doubled(uint64_t us, uint64_t most_us);
void model_down(struct walk *w, struct model_container *mc);
void model_settle(struct walk *w, struct model_container *mc);
bool model_available(const struct model_container *mc);

/* The container that gets the next request: the fewest slots taken, then the longest unused. excepted: none
 * of the first n of these ids. NULL: none. */
struct model_container *model_choice(struct model *m, const uint32_t *excepted, uint32_t n);

/* The pool gave ticket t the slot s: as the model would have it. */
void assert_dispatched(struct walk *w, struct ticket *t, const struct slot *s);
uint64_t model_bytes(const struct model *m);
enum admission model_forecast(struct walk *w, uint32_t bytes);
void model_wait(struct model *m, struct ticket *t);
void model_unwait(struct model *m, uint32_t at);

/* A slot that is in one of the states (a bit set), at random; false when there is none. */
bool pick(struct walk *w, uint32_t states, struct model_container **ret_mc, struct model_slot **ret_ms);
struct model_container *pick_container(struct walk *w);
