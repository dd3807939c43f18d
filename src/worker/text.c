#include "worker/text.h"

#include "worker/text_find.h"
#include "worker/value.h"

enum { TEXT_KEPT_BYTES = 64 * 1024 };

/* Element i of a tensor of FP32 or FP64. */
static double float_at(const struct tensor *t, size_t i)
{
	return t->spec->dtype == DTYPE_FP32 ? (double)((const float *)t->data)[i]
					    : ((const double *)t->data)[i];
}

static void write_probabilities(struct json *j, const struct tensor *t)
{
	json_open(j, '[');
	for (size_t i = 0; i < t->n; i++) {
		if (t->spec->dtype == DTYPE_FP32)
			json_float(j, ((const float *)t->data)[i]);
		else
			json_double(j, ((const double *)t->data)[i]);
	}
	json_close(j, ']');
}

static int64_t most_probable(const struct tensor *t)
{
	size_t best = 0;
	for (size_t i = 1; i < t->n; i++) {
		if (float_at(t, i) > float_at(t, best))
			best = i;
	}
	return (int64_t)best;
}

/* The model's own label, or the most probable class; by its name where the model's directory gives one. */
static void write_label(
	struct json *j, const struct model *m, const struct tensor *label, const struct tensor *probabilities)
{
	if (label && label->n && label->spec->dtype == DTYPE_BYTES) {
		json_string(j, *(const struct str *)label->data);
		return;
	}
	int64_t class = 0;
	if (label && label->n)
		class = *(const int64_t *)label->data;
	else if (probabilities)
		class = most_probable(probabilities);
	struct str name = card_label(&m->card, class);
	if (name.ptr)
		json_string(j, name);
	else
		json_i64(j, class);
}

static void write_answer(struct json *j, const struct model *m, struct str text,
	const struct tensor *probabilities, const struct tensor *label)
{
	json_open(j, '{');
	json_key(j, "input_text");
	json_string(j, text);
	if (probabilities) {
		json_key(j, "probabilities");
		write_probabilities(j, probabilities);
	}
	json_key(j, "label");
	write_label(j, m, label, probabilities);
	json_close(j, '}');
}

static void answer(struct job *job, const struct model *m, struct str text, struct OrtValue **values)
{
	const struct tensor_spec *outputs = m->signature.outputs;
	struct tensor probabilities = { 0 }, label = { 0 };
	struct why why;
	uint32_t n = 0;
	bool has_probabilities = m->probabilities >= 0, has_label = m->label >= 0, good = true;
	if (has_probabilities)
		good = value_read(m->rt, values[n++], &outputs[m->probabilities], &probabilities, &why);
	if (good && has_label)
		good = value_read(m->rt, values[n++], &outputs[m->label], &label, &why);
	if (!good)
		job_fail(job, PROBLEM_INTERNAL, "%s", why.text);
	else if (probabilities.n == 0 && label.n == 0)
		job_fail(job, PROBLEM_INTERNAL, "the model gave empty outputs");
	else
		write_answer(&job->out, m, text, has_probabilities ? &probabilities : NULL,
			has_label ? &label : NULL);
	value_done(&probabilities);
	value_done(&label);
}

static void run_text(struct job *job, struct model_run *run, struct str text)
{
	const struct model *m = run->model;
	const char *names[2];
	struct OrtValue *values[2];
	uint32_t n = 0;
	if (m->probabilities >= 0)
		names[n++] = m->signature.outputs[m->probabilities].name;
	if (m->label >= 0)
		names[n++] = m->signature.outputs[m->label].name;
	if (!model_run_set_text(run, text, &job->why)) {
		job->failed = true;
		job->problem = PROBLEM_INTERNAL;
		return;
	}
	const struct OrtValue *input = run->text;
	if (!job_run(job, run, &input, names, n, values))
		return;
	answer(job, m, text, values);
	for (uint32_t i = 0; i < n; i++)
		m->rt->ort.ReleaseValue(values[i]);
}

void text_do(struct job *job, struct model_run *run)
{
	const struct card *card = &run->model->card;
	struct str text;
	struct json_t *root;
	if (!text_find(job->body, job->body_type, &text, &root, &job->why)) {
		job->failed = true;
		job->problem = PROBLEM_BAD_REQUEST;
		return;
	}
	if (!text.ptr && card_n_samples(card))
		text = card_sample(card, (uint32_t)(job->sample_seed % card_n_samples(card)));
	if (text.ptr)
		run_text(job, run, text);
	else
		job_fail(job, PROBLEM_BAD_REQUEST,
			"no text is given, and this model comes without samples: POST {\"text\": \"…\"}");
	if (text.len > TEXT_KEPT_BYTES && run->text)
		model_run_drop_text(run);
	text_found_free(root);
}
