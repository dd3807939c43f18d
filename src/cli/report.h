/* report: what became of the requests of `berth load`. */
#pragma once
#include "base/check.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

enum { REPORT_REASONS_MAX = 8, REPORT_REASON = 80 };

/* Times, in microseconds. */
struct times {
	uint64_t *us; /* owned; room for all requests */
	uint32_t n;
};

struct report {
	uint32_t requests, clients;
	uint32_t statuses[600]; /* answers by status */
	uint32_t unanswered;
	char reasons[REPORT_REASONS_MAX][REPORT_REASON]; /* why there was no answer, each once */
	uint32_t n_reasons;
	uint32_t started, queued; /* told so at once */
	uint64_t longest_queue;   /* the largest position told */
	bool waits;
	uint32_t jobs, results, lost; /* results read with 2xx; jobs that ended otherwise */
	uint32_t untrue;              /* things that were told and are not so */
	struct times answers, ends;   /* until the answer; until the result was there */
	uint64_t took_us;
};

MUST_USE bool report_init(struct report *r, uint32_t requests, uint32_t clients, bool waits);
void report_finish(struct report *r);

/* An answer that came us after its request; body: read for what it says of the queue. */
void report_answer(struct report *r, int status, uint64_t us);
/* True: this reason has not been seen before. */
bool report_no_answer(struct report *r, const char *why);

/* One of the two messages of an accepted job, with its position where one was told. */
void report_accepted(struct report *r, bool queued, uint64_t position);

/* The end of a job; us: from its request until it was known. */
void report_result(struct report *r, bool ok, uint64_t us);

/* What was told of a job is not true: why is one phrase. */
void report_untrue(struct report *r, const char *why);

/* True when every request had a 2xx and, with `waits`, every job's result was read; and nothing was untrue.
 */
bool report_is_good(const struct report *r);

void report_print(struct report *r);
