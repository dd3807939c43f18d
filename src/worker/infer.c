#include "worker/infer.h"

#include "worker/oip_write.h"
#include "worker/value.h"

#include <stdlib.h>

/* Values over the request's tensors; values[0..n_inputs) are NULL or to be released, whatever it returns. */
static bool create_inputs(
	struct job *job, const struct model *m, const struct oip_request *r, struct OrtValue **values)
{
	struct why why;
	for (uint32_t i = 0; i < r->n_inputs; i++)
		values[i] = NULL;
	for (uint32_t i = 0; i < r->n_inputs; i++) {
		if (!value_create(m->rt, &r->inputs[i], &values[i], &why))
			return job_fail(
				job, PROBLEM_INTERNAL, "input \"%s\": %s", r->inputs[i].spec->name, why.text);
	}
	return true;
}

static void write_outputs(
	struct job *job, const struct model *m, const struct oip_request *r, struct OrtValue *const *values)
{
	struct tensor outputs[SIGNATURE_MAX];
	struct why why;
	uint32_t n = 0;
	while (n < r->n_wants &&
		value_read(m->rt, values[n], &m->signature.outputs[r->wants[n].output], &outputs[n], &why))
		n++;
	if (n < r->n_wants) {
		job_fail(job, PROBLEM_INTERNAL, "%s", why.text);
	} else {
		struct oip_model who = { m->name, m->version, &m->signature };
		job->json_bytes = oip_write_inference(&job->out, &who, r, outputs);
	}
	while (n > 0)
		value_done(&outputs[--n]);
}

static void run_request(struct job *job, struct model_run *run, const struct oip_request *r)
{
	const struct model *m = run->model;
	struct OrtValue *inputs[SIGNATURE_MAX], *outputs[SIGNATURE_MAX];
	const char *names[SIGNATURE_MAX];
	for (uint32_t i = 0; i < r->n_wants; i++)
		names[i] = m->signature.outputs[r->wants[i].output].name;
	if (create_inputs(job, m, r, inputs) &&
		job_run(job, run, (const struct OrtValue *const *)inputs, names, r->n_wants, outputs)) {
		write_outputs(job, m, r, outputs);
		for (uint32_t i = 0; i < r->n_wants; i++)
			m->rt->ort.ReleaseValue(outputs[i]);
	}
	for (uint32_t i = 0; i < r->n_inputs; i++) {
		if (inputs[i])
			m->rt->ort.ReleaseValue(inputs[i]);
	}
}

void infer_do(struct job *job, struct model_run *run)
{
	struct oip_request *r = malloc(sizeof *r);
	struct str json = { job->body.ptr, job->header_bytes };
	struct str binary = str_skip(job->body, job->header_bytes);
	if (!r) {
		job_fail(job, PROBLEM_INTERNAL, "out of memory");
		return;
	}
	if (oip_read(r, &run->model->signature, json, binary, &job->why)) {
		run_request(job, run, r);
		oip_request_finish(r);
	} else {
		job->failed = true;
		job->problem = PROBLEM_BAD_REQUEST;
	}
	free(r);
}
