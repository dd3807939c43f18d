#include "fake_ort.h"

#include <stdlib.h>
#include <string.h>

enum { ROWS_MAX = 8 };

struct OrtStatus {
	int code;
};

struct OrtTensorTypeAndShapeInfo {
	int element_type;
	size_t rank, n;
	int64_t dims[TENSOR_RANK_MAX + 1];
};

struct OrtValue {
	struct OrtTensorTypeAndShapeInfo shape;
	void *data;   /* owned when `owns`; strings: char *[n] */
	size_t *lens; /* owned; of the strings, else NULL */
	bool owns;
};

struct OrtRunOptions {
	bool terminated;
};

enum fake_fate fake_fate;
size_t fake_ort_values;
const struct signature *fake_signature;

static struct OrtStatus *fail(int code)
{
	struct OrtStatus *s = malloc(sizeof *s);
	CHECK(s);
	s->code = code;
	return s;
}

static int get_error_code(const struct OrtStatus *s)
{
	return s->code;
}

static const char *get_error_message(const struct OrtStatus *s)
{
	return s->code == ORT_CODE_INVALID_ARGUMENT ? "Invalid \"shape\"" : "";
}

static void release_status(struct OrtStatus *s)
{
	free(s);
}

static struct OrtStatus *create_run_options(struct OrtRunOptions **ret)
{
	*ret = calloc(1, sizeof **ret);
	CHECK(*ret);
	return NULL;
}

static void release_run_options(struct OrtRunOptions *o)
{
	free(o);
}

static struct OrtStatus *set_terminate(struct OrtRunOptions *o)
{
	o->terminated = true;
	return NULL;
}

static struct OrtStatus *unset_terminate(struct OrtRunOptions *o)
{
	o->terminated = false;
	return NULL;
}

/* ---- values ---- */

static struct OrtValue *create(const int64_t *dims, size_t rank, int element_type)
{
	struct OrtValue *v = calloc(1, sizeof *v);
	CHECK(v && rank <= TENSOR_RANK_MAX && tensor_count((uint32_t)rank, dims, SIZE_MAX / 64, &v->shape.n));
	v->shape.element_type = element_type;
	v->shape.rank = rank;
	if (rank)
		memcpy(v->shape.dims, dims, rank * sizeof *dims);
	fake_ort_values++;
	return v;
}

static void release_value(struct OrtValue *v)
{
	if (!v)
		return;
	for (size_t i = 0; v->lens && i < v->shape.n; i++)
		free(((char **)v->data)[i]);
	free(v->lens);
	if (v->owns)
		free(v->data);
	free(v);
	fake_ort_values--;
}

static struct OrtStatus *create_tensor(
	struct OrtAllocator *a, const int64_t *dims, size_t rank, int element_type, struct OrtValue **ret)
{
	struct OrtValue *v = create(dims, rank, element_type);
	bool strings = dtype_of_ort(element_type) == DTYPE_BYTES;
	v->owns = true;
	v->data = calloc(v->shape.n + 1, strings ? sizeof(char *) : dtype_bytes(dtype_of_ort(element_type)));
	v->lens = strings ? calloc(v->shape.n + 1, sizeof *v->lens) : NULL;
	CHECK(v->data && (v->lens || !strings));
	*ret = v;
	return NULL;
}

/* All of the data is looked at, as a model would. */
static struct OrtStatus *create_tensor_with_data(const struct OrtMemoryInfo *m, void *data, size_t bytes,
	const int64_t *dims, size_t rank, int element_type, struct OrtValue **ret)
{
	unsigned sum = 0;
	struct OrtValue *v = create(dims, rank, element_type);
	CHECK(bytes == v->shape.n * dtype_bytes(dtype_of_ort(element_type)));
	for (size_t i = 0; i < bytes; i++)
		sum += ((const unsigned char *)data)[i];
	if (sum == UINT32_MAX) {
		release_value(v);
		return fail(ORT_CODE_INVALID_ARGUMENT);
	}
	v->data = data;
	*ret = v;
	return NULL;
}

static struct OrtStatus *get_buffer(struct OrtValue *v, size_t index, size_t bytes, char **ret)
{
	CHECK(v->lens && index < v->shape.n);
	char **strings = v->data;
	free(strings[index]);
	strings[index] = malloc(bytes + 1);
	CHECK(strings[index]);
	v->lens[index] = bytes;
	*ret = strings[index];
	return NULL;
}

static struct OrtStatus *get_data(struct OrtValue *v, void **ret)
{
	*ret = v->data;
	return NULL;
}

static struct OrtStatus *get_strings_length(const struct OrtValue *v, size_t *ret)
{
	*ret = 0;
	for (size_t i = 0; i < v->shape.n; i++)
		*ret += v->lens[i];
	return NULL;
}

static struct OrtStatus *get_strings(
	const struct OrtValue *v, void *bytes, size_t n_bytes, size_t *offsets, size_t n_offsets)
{
	size_t at = 0;
	CHECK(n_offsets == v->shape.n);
	for (size_t i = 0; i < v->shape.n; i++) {
		offsets[i] = at;
		CHECK(v->lens[i] <= n_bytes - at);
		if (v->lens[i])
			memcpy((char *)bytes + at, ((char **)v->data)[i], v->lens[i]);
		at += v->lens[i];
	}
	return NULL;
}

static struct OrtStatus *get_shape(const struct OrtValue *v, struct OrtTensorTypeAndShapeInfo **ret)
{
	*ret = malloc(sizeof **ret);
	CHECK(*ret);
	**ret = v->shape;
	return NULL;
}

static void release_shape(struct OrtTensorTypeAndShapeInfo *s)
{
	free(s);
}

static struct OrtStatus *get_element_type(const struct OrtTensorTypeAndShapeInfo *s, int *ret)
{
	*ret = s->element_type;
	return NULL;
}

static struct OrtStatus *get_rank(const struct OrtTensorTypeAndShapeInfo *s, size_t *ret)
{
	*ret = s->rank;
	return NULL;
}

static struct OrtStatus *get_dims(const struct OrtTensorTypeAndShapeInfo *s, int64_t *dims, size_t rank)
{
	CHECK(rank == s->rank);
	if (rank)
		memcpy(dims, s->dims, rank * sizeof *dims);
	return NULL;
}

/* ---- runs ---- */

/* Byte i of what the outputs are filled with. */
static unsigned char byte_of(const struct OrtValue *in, size_t i)
{
	size_t n = in->shape.n;
	if (n == 0)
		return 0;
	if (!in->lens)
		return ((const unsigned char *)
				in->data)[i % (n * dtype_bytes(dtype_of_ort(in->shape.element_type)))];
	size_t len = in->lens[i % n];
	return len ? (unsigned char)((char **)in->data)[i % n][i % len] : 0;
}

static struct OrtValue *create_output(const struct tensor_spec *spec, const struct OrtValue *in)
{
	struct OrtValue *v;
	int64_t dims[TENSOR_RANK_MAX], rows = in->shape.rank ? in->shape.dims[0] : 1;
	enum dtype d = fake_fate == FAKE_LIES ? DTYPE_INT8 : spec->dtype;
	for (uint32_t i = 0; i < spec->rank; i++)
		dims[i] = spec->dims[i] >= 0 ? spec->dims[i] : rows < ROWS_MAX ? rows : ROWS_MAX;
	if (spec->rank && fake_fate == FAKE_EMPTY)
		dims[0] = 0;
	CHECK(create_tensor(NULL, dims, spec->rank, dtype_to_ort(d), &v) == NULL);
	for (size_t i = 0; i < v->shape.n && v->lens; i++) {
		char *into;
		CHECK(get_buffer(v, i, i % 5, &into) == NULL);
		for (size_t k = 0; k < i % 5; k++)
			into[k] = (char)byte_of(in, i + k);
	}
	for (size_t i = 0; i < v->shape.n * dtype_bytes(d) && !v->lens; i++)
		((unsigned char *)v->data)[i] = d == DTYPE_BOOL ? byte_of(in, i) & 1 : byte_of(in, i);
	return v;
}

static struct OrtStatus *run(struct OrtSession *s, const struct OrtRunOptions *options,
	const char *const *input_names, const struct OrtValue *const *inputs, size_t n_inputs,
	const char *const *output_names, size_t n_outputs, struct OrtValue **outputs)
{
	const struct signature *g = fake_signature;
	CHECK(n_inputs == g->n_inputs);
	for (size_t i = 0; i < n_inputs; i++)
		CHECK(inputs[i] && strcmp(input_names[i], g->inputs[i].name) == 0);
	if (options->terminated || fake_fate == FAKE_FAILS)
		return fail(1);
	if (fake_fate == FAKE_REFUSES)
		return fail(ORT_CODE_INVALID_ARGUMENT);
	for (size_t i = 0; i < n_outputs; i++) {
		int k = tensor_spec_find(g->outputs, g->n_outputs, str_of(output_names[i]));
		CHECK(k >= 0 && !outputs[i]);
		outputs[i] = create_output(&g->outputs[k], inputs[0]);
	}
	return NULL;
}

void fake_ort_init(struct runtime *rt)
{
	*rt = (struct runtime){ .version = "0" };
	rt->ort = (struct ort){
		.GetErrorCode = get_error_code,
		.GetErrorMessage = get_error_message,
		.ReleaseStatus = release_status,
		.CreateRunOptions = create_run_options,
		.ReleaseRunOptions = release_run_options,
		.RunOptionsSetTerminate = set_terminate,
		.RunOptionsUnsetTerminate = unset_terminate,
		.CreateTensorAsOrtValue = create_tensor,
		.CreateTensorWithDataAsOrtValue = create_tensor_with_data,
		.GetResizedStringTensorElementBuffer = get_buffer,
		.GetTensorMutableData = get_data,
		.GetStringTensorDataLength = get_strings_length,
		.GetStringTensorContent = get_strings,
		.GetTensorTypeAndShape = get_shape,
		.ReleaseTensorTypeAndShapeInfo = release_shape,
		.GetTensorElementType = get_element_type,
		.GetDimensionsCount = get_rank,
		.GetDimensions = get_dims,
		.ReleaseValue = release_value,
		.Run = run,
	};
}
