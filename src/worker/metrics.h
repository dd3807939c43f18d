/* metrics: what the worker counts. Touched on the loop's thread only. */
#pragma once
#include "base/json.h"

#include <stdint.h>

/* How a request to the model ended. */
enum outcome {
	OUTCOME_OK,
	OUTCOME_REFUSED, /* 4xx: the request was wrong */
	OUTCOME_BUSY,    /* 503: all slots taken */
	OUTCOME_FAILED,  /* 5xx */
	OUTCOME_LEFT,    /* the client left before its answer */
	OUTCOME_COUNT,
};

enum { RUN_BUCKETS = 16 };

struct metrics {
	uint64_t outcomes[OUTCOME_COUNT];
	uint64_t runs_under[RUN_BUCKETS]; /* by run time; each run is counted once, in its own bucket */
	uint64_t runs, runs_us;
	uint32_t in_flight_max;
};

/* What is counted elsewhere. */
struct metrics_now {
	uint32_t slots, slots_taken, in_flight, connections;
};

void metrics_add_run(struct metrics *m, uint64_t us);

/* In the text format of Prometheus, version 0.0.4. */
void metrics_write(struct json *text, const struct metrics *m, const struct metrics_now *now);
