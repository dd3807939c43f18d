/* job: one request to the model, from its whole body to its whole answer.
 *
 * Never:  touches the loop, a connection or the metrics: so it may be done on any thread.
 */
#pragma once
#include "base/json.h"
#include "base/rand.h"
#include "http/problem.h"
#include "worker/model.h"
#include "worker/text_find.h"

#include <stdint.h>

enum job_kind { JOB_TEXT, JOB_INFER };

struct job {
	enum job_kind kind;
	enum body_type body_type;
	struct str body;      /* borrowed */
	size_t header_bytes;  /* JOB_INFER: of the JSON part; body.len when there is no other */
	uint64_t sample_seed; /* JOB_TEXT: which sample is used when no text is given */
	/* The answer. */
	bool failed;
	enum problem problem; /* when failed; then `why` is its detail */
	struct why why;
	struct json out;   /* owned; else the answer's body */
	size_t json_bytes; /* of `out` that are JSON when binary tensor data follow it, else 0 */
	uint64_t run_us;   /* that the model took; 0: it was not run */
	uint64_t us;       /* that the whole job took */
};

void job_init(struct job *job);
void job_finish(struct job *job);

/* Fills in the answer. */
void job_do(struct job *job, struct model_run *run);

/* Always false. */
bool job_fail(struct job *job, enum problem problem, const char *fmt, ...) PRINTF(3, 4);

/* Runs the model; sets job->run_us. False when it failed, which is then the answer. The outputs,
 * which the caller releases, are untouched then. */
MUST_USE bool job_run(struct job *job, struct model_run *run, const struct OrtValue *const *inputs,
	const char *const *output_names, uint32_t n_outputs, struct OrtValue **outputs);
