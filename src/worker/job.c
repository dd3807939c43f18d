#include "worker/job.h"

#include "worker/infer.h"
#include "worker/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

void job_init(struct job *job)
{
	*job = (struct job){ 0 };
	json_init(&job->out);
}

void job_finish(struct job *job)
{
	json_finish(&job->out);
}

static uint64_t clock_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

void job_do(struct job *job, struct model_run *run)
{
	uint64_t start_us = clock_us();
	job->failed = false;
	job->json_bytes = 0;
	job->run_us = 0;
	json_reset(&job->out);
	switch (job->kind) {
	case JOB_TEXT:
		text_do(job, run);
		break;
	case JOB_INFER:
		infer_do(job, run);
		break;
	}
	if (!job->failed && json_failed(&job->out))
		job_fail(job, PROBLEM_INTERNAL, "no memory for the answer");
	job->us = clock_us() - start_us;
}

bool job_fail(struct job *job, enum problem problem, const char *fmt, ...)
{
	char text[sizeof job->why.text];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	why_set(&job->why, "%s", text);
	job->failed = true;
	job->problem = problem;
	return false;
}

bool job_run(struct job *job, struct model_run *run, const struct OrtValue *const *inputs,
	const char *const *output_names, uint32_t n_outputs, struct OrtValue **outputs)
{
	const struct model *m = run->model;
	const char *input_names[SIGNATURE_MAX];
	struct why why;
	for (uint32_t i = 0; i < m->signature.n_inputs; i++)
		input_names[i] = m->signature.inputs[i].name;
	for (uint32_t i = 0; i < n_outputs; i++)
		outputs[i] = NULL;
	uint64_t start_us = clock_us();
	int code = runtime_check(m->rt,
		m->rt->ort.Run(m->session, run->options, input_names, inputs, m->signature.n_inputs,
			output_names, n_outputs, outputs),
		&why);
	job->run_us = clock_us() - start_us;
	if (job->run_us == 0)
		job->run_us = 1;
	if (code)
		return job_fail(job,
			code == ORT_CODE_INVALID_ARGUMENT ? PROBLEM_BAD_REQUEST : PROBLEM_INTERNAL,
			"the model failed on this input: %s", why.text);
	return true;
}
