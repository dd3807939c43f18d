/* source: in some worlds, an authority that knows part of a pool's containers, and says so as the seed has
 * it: they come and go, drain and return, and it is out of reach now and then. An operator takes some out by
 * hand, too.
 */
#pragma once
#include "base/rand.h"
#include "plan.h"

#include <stdbool.h>
#include <stdint.h>

struct world;

struct scripted_source {
	struct rand rand;    /* its own: a world without it is as it would be */
	uint32_t change_ppm; /* of the exchanges; 0: this world has no such thing */
	uint32_t dismiss_ppm;
	uint32_t n_fakes[PLAN_POOLS]; /* containers that run, whoever knows of them */
	struct container_settings known[PLAN_POOLS][PLAN_CONTAINERS];
	uint32_t n_known[PLAN_POOLS];
};

/* After the plan is drawn and before the gateway begins: takes containers out of the settings. */
void source_begin(struct world *w);

/* Now and then, something changes. */
void source_disturb(struct world *w);

/* All of them are there. */
void source_tell_all(struct world *w);

/* … and what was taken out by hand is, too; nothing changes after it. */
void source_settle(struct world *w);
