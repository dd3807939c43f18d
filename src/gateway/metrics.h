/* metrics: counters and histograms, and their text form for Prometheus (exposition format 0.0.4). */
#pragma once
#include "base/json.h"
#include "http/problem.h"

#include <stdint.h>

struct reactor;

enum { HISTOGRAM_BUCKETS = 18 };

/* Buckets 1, 2.5, 5, 10 … in the 1-2.5-5 series from 500 us to 2.5 min; the last one holds the rest. */
struct histogram {
	uint64_t count[HISTOGRAM_BUCKETS];
	uint64_t sum_us;
};

enum outcome {
	OUTCOME_ANSWERED, /* the container's answer went to the client, or became a job's result */
	OUTCOME_LEFT,     /* the client left */
	OUTCOME_PROBLEM,  /* Berth answered with a problem: counted by problem as well */
	OUTCOME_COUNT,
};

struct route_metrics {
	uint64_t outcomes[OUTCOME_COUNT];
	uint64_t problems[PROBLEM_COUNT];
	uint64_t retries;
	struct histogram wait;    /* admission to dispatch */
	struct histogram service; /* dispatch to the answer's last byte */
};

struct metrics {
	uint64_t connections;             /* accepted */
	uint64_t refused_connections;     /* past max_connections */
	uint64_t bad_requests;            /* heads that did not parse */
	uint64_t problems[PROBLEM_COUNT]; /* given before a route was known */
};

void histogram_add(struct histogram *h, uint64_t us);

/* Appends the whole page as bytes. */
void metrics_write(struct reactor *r, struct json *j);
