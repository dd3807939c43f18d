#include "worker/model.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- the session ---- */

static int set_options(
	const struct ort *ort, struct OrtSessionOptions *o, const struct runtime *rt, struct why *why)
{
	/* One thread a run: containers are what a machine's cores are shared out by. The memory arena and its
	 * patterns would keep what the largest request so far needed. */
	struct OrtStatus *(*const plain[])(
		struct OrtSessionOptions *) = { ort->DisableMemPattern, ort->DisableCpuMemArena };
	for (size_t i = 0; i < ARRAY_LEN(plain); i++) {
		int code = runtime_check(rt, plain[i](o), why);
		if (code)
			return code;
	}
	const struct {
		struct OrtStatus *(*set)(struct OrtSessionOptions *, int);
		int value;
	} numbers[] = {
		{ ort->SetSessionExecutionMode, ORT_RUN_SEQUENTIAL },
		{ ort->SetSessionLogSeverityLevel, ORT_LOG_FATAL },
		{ ort->SetSessionGraphOptimizationLevel, ORT_OPTIMIZE_ALL },
		{ ort->SetIntraOpNumThreads, 1 },
		{ ort->SetInterOpNumThreads, 1 },
	};
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		int code = runtime_check(rt, numbers[i].set(o, numbers[i].value), why);
		if (code)
			return code;
	}
	return runtime_check(rt, ort->AddSessionConfigEntry(o, "session.intra_op.allow_spinning", "0"), why);
}

static bool create_session(struct model *m, const char *path, struct why *why)
{
	const struct ort *ort = &m->rt->ort;
	struct OrtSessionOptions *options = NULL;
	struct why reason;
	int code = runtime_check(m->rt, ort->CreateSessionOptions(&options), &reason);
	if (!code)
		code = set_options(ort, options, m->rt, &reason);
	if (!code)
		code = runtime_check(
			m->rt, ort->CreateSession(m->rt->env, path, options, &m->session), &reason);
	if (options)
		ort->ReleaseSessionOptions(options);
	if (code)
		return why_set(why, "%s: not an ONNX model that ONNX Runtime %s can load: %s", path,
			m->rt->version, reason.text);
	return true;
}

/* ---- its signature ---- */

static int read_dims(const struct model *m, const struct OrtTensorTypeAndShapeInfo *info,
	struct tensor_spec *spec, struct why *why)
{
	const struct ort *ort = &m->rt->ort;
	int element_type = 0;
	size_t rank = 0;
	int code = runtime_check(m->rt, ort->GetTensorElementType(info, &element_type), why);
	if (!code)
		code = runtime_check(m->rt, ort->GetDimensionsCount(info, &rank), why);
	if (code || rank > TENSOR_RANK_MAX)
		return code;
	code = runtime_check(m->rt, ort->GetDimensions(info, spec->dims, rank), why);
	if (code)
		return code;
	spec->rank = (uint32_t)rank;
	spec->dtype = dtype_of_ort(element_type);
	for (size_t i = 0; i < rank; i++)
		spec->dims[i] = spec->dims[i] < 0 ? -1 : spec->dims[i];
	return 0;
}

static int read_type(
	const struct model *m, const struct OrtTypeInfo *type, struct tensor_spec *spec, struct why *why)
{
	const struct ort *ort = &m->rt->ort;
	const struct OrtTensorTypeAndShapeInfo *info = NULL;
	int kind;
	int code = runtime_check(m->rt, ort->GetOnnxTypeFromTypeInfo(type, &kind), why);
	if (code || kind != ORT_IS_TENSOR)
		return code;
	code = runtime_check(m->rt, ort->CastTypeInfoToTensorInfo(type, &info), why);
	return code || !info ? code : read_dims(m, info, spec, why);
}

static int read_spec(const struct model *m, bool output, size_t i, struct tensor_spec *spec, struct why *why)
{
	const struct ort *ort = &m->rt->ort;
	struct OrtTypeInfo *type = NULL;
	char *name = NULL;
	int code = runtime_check(m->rt,
		(output ? ort->SessionGetOutputName : ort->SessionGetInputName)(
			m->session, i, m->rt->allocator, &name),
		why);
	if (code)
		return code;
	spec->name = name ? strdup(name) : NULL;
	code = runtime_check(m->rt, ort->AllocatorFree(m->rt->allocator, name), why);
	if (!code && !spec->name) {
		why_set(why, "out of memory");
		code = -ENOMEM;
	}
	if (!code)
		code = runtime_check(m->rt,
			(output ? ort->SessionGetOutputTypeInfo : ort->SessionGetInputTypeInfo)(
				m->session, i, &type),
			why);
	if (!code)
		code = read_type(m, type, spec, why);
	if (type)
		ort->ReleaseTypeInfo(type);
	return code;
}

/* Allocates *ret_specs for n and fills it. */
static bool read_specs(
	struct model *m, bool output, struct tensor_spec **ret_specs, uint32_t *ret_n, struct why *why)
{
	const struct ort *ort = &m->rt->ort;
	size_t n;
	if (runtime_check(m->rt,
		    (output ? ort->SessionGetOutputCount : ort->SessionGetInputCount)(m->session, &n), why))
		return false;
	if (n > SIGNATURE_MAX)
		return why_set(why, "it has %zu %s, and at most %d can be served", n,
			output ? "outputs" : "inputs", SIGNATURE_MAX);
	*ret_specs = calloc(n ? n : 1, sizeof **ret_specs);
	if (!*ret_specs)
		return why_set(why, "out of memory");
	*ret_n = (uint32_t)n;
	for (size_t i = 0; i < n; i++) {
		if (read_spec(m, output, i, &(*ret_specs)[i], why))
			return false;
	}
	return true;
}

static bool read_signature(struct model *m, struct why *why)
{
	struct signature *s = &m->signature;
	if (!read_specs(m, false, &s->inputs, &s->n_inputs, why) ||
		!read_specs(m, true, &s->outputs, &s->n_outputs, why))
		return false;
	for (uint32_t i = 0; i < s->n_inputs; i++) {
		if (s->inputs[i].dtype == DTYPE_NONE)
			return why_set(why,
				"its input \"%s\" is no tensor of a type that can be sent over HTTP",
				s->inputs[i].name);
	}
	return true;
}

/* ---- what /run_model does with it ---- */

/* The output with this name and one of two types, else the first with such a type when `any_name`, else -1.
 */
static int find_output(const struct signature *s, const char *name, enum dtype a, enum dtype b, bool any_name)
{
	int i = tensor_spec_find(s->outputs, s->n_outputs, str_of(name));
	if (i >= 0 && (s->outputs[i].dtype == a || s->outputs[i].dtype == b))
		return i;
	for (uint32_t k = 0; any_name && k < s->n_outputs; k++) {
		if (s->outputs[k].dtype == a || s->outputs[k].dtype == b)
			return (int)k;
	}
	return -1;
}

/* One string goes in, as [N], [1], [N,1] or [1,1]; probabilities, a label or both come out. */
static void plan_text(struct model *m)
{
	static const int64_t one[] = { 1, 1 };
	const struct signature *s = &m->signature;
	const struct tensor_spec *in = s->inputs;
	m->probabilities = find_output(s, "probabilities", DTYPE_FP32, DTYPE_FP64, true);
	m->label = find_output(s, "label", DTYPE_INT64, DTYPE_BYTES, false);
	m->has_text = s->n_inputs == 1 && in->dtype == DTYPE_BYTES && in->rank >= 1 && in->rank <= 2 &&
		tensor_spec_takes(in, in->rank, one) && (m->probabilities >= 0 || m->label >= 0);
}

/* ---- opening ---- */

static char *name_of_file(const char *path)
{
	size_t len = strlen(path);
	while (len > 1 && path[len - 1] == '/')
		len--;
	size_t from = len;
	while (from > 0 && path[from - 1] != '/')
		from--;
	if (len - from > 5 && memcmp(path + len - 5, ".onnx", 5) == 0)
		len -= 5;
	return strndup(path + from, len - from);
}

/* Finds the graph's file, and reads what lies beside it when path is a directory. */
static bool find_files(struct model *m, const char *path, char file[PATH_MAX], struct why *why)
{
	struct stat st;
	if (stat(path, &st))
		return why_set(why,
			"%s: %s; --model takes a directory with model.onnx in it, or an .onnx file", path,
			strerror(errno));
	bool is_dir = S_ISDIR(st.st_mode);
	if (snprintf(file, PATH_MAX, "%s%s", path, is_dir ? "/model.onnx" : "") >= PATH_MAX)
		return why_set(why, "%s: the path is too long", path);
	if (access(file, R_OK))
		return why_set(why,
			"%s: %s; --model takes a directory with model.onnx in it, or an .onnx file", file,
			strerror(errno));
	return !is_dir || card_read(&m->card, path, why);
}

bool model_open(
	struct model *m, const struct runtime *rt, const char *path, const char *name, struct why *why)
{
	char file[PATH_MAX];
	struct why reason;
	*m = (struct model){ .rt = rt, .file_name = name_of_file(path) };
	if (!m->file_name || !find_files(m, path, file, why) || !create_session(m, file, why)) {
		model_close(m);
		return false;
	}
	if (!read_signature(m, &reason)) {
		why_set(why, "%s: cannot be served: %s", file, reason.text);
		model_close(m);
		return false;
	}
	m->name = name ? name : card_text(&m->card, "name", m->file_name);
	m->version = card_text(&m->card, "version", "1");
	plan_text(m);
	return true;
}

void model_close(struct model *m)
{
	if (m->session)
		m->rt->ort.ReleaseSession(m->session);
	signature_finish(&m->signature);
	card_finish(&m->card);
	free(m->file_name);
	*m = (struct model){ 0 };
}

/* ---- runs ---- */

static int create_text(struct model_run *run, struct why *why)
{
	static const int64_t one[] = { 1, 1 };
	const struct model *m = run->model;
	return runtime_check(m->rt,
		m->rt->ort.CreateTensorAsOrtValue(m->rt->allocator, one, m->signature.inputs->rank,
			dtype_to_ort(DTYPE_BYTES), &run->text),
		why);
}

bool model_run_init(struct model_run *run, const struct model *m, struct why *why)
{
	*run = (struct model_run){ .model = m };
	int code = runtime_check(m->rt, m->rt->ort.CreateRunOptions(&run->options), why);
	if (!code && m->has_text)
		code = create_text(run, why);
	if (code)
		model_run_finish(run);
	return code == 0;
}

bool model_run_set_text(struct model_run *run, struct str text, struct why *why)
{
	const struct runtime *rt = run->model->rt;
	char *into;
	if (!run->text && create_text(run, why))
		return false;
	if (runtime_check(
		    rt, rt->ort.GetResizedStringTensorElementBuffer(run->text, 0, text.len, &into), why))
		return false;
	if (text.len)
		memcpy(into, text.ptr, text.len);
	return true;
}

void model_run_drop_text(struct model_run *run)
{
	run->model->rt->ort.ReleaseValue(run->text);
	run->text = NULL;
}

void model_run_finish(struct model_run *run)
{
	if (!run->model)
		return;
	const struct ort *ort = &run->model->rt->ort;
	if (run->text)
		ort->ReleaseValue(run->text);
	if (run->options)
		ort->ReleaseRunOptions(run->options);
	*run = (struct model_run){ 0 };
}

void model_run_cancel(struct model_run *run)
{
	struct why why;
	const struct runtime *rt = run->model->rt;
	CHECK(runtime_check(rt, rt->ort.RunOptionsSetTerminate(run->options), &why) == 0);
}

void model_run_renew(struct model_run *run)
{
	struct why why;
	const struct runtime *rt = run->model->rt;
	CHECK(runtime_check(rt, rt->ort.RunOptionsUnsetTerminate(run->options), &why) == 0);
}
