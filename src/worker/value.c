#include "worker/value.h"

#include <stdlib.h>
#include <string.h>

static int create_strings(
	const struct runtime *rt, const struct tensor *t, struct OrtValue **ret, struct why *why)
{
	const struct ort *ort = &rt->ort;
	const struct str *strings = t->data;
	int code = runtime_check(rt,
		ort->CreateTensorAsOrtValue(rt->allocator, t->dims, t->rank, dtype_to_ort(DTYPE_BYTES), ret),
		why);
	for (size_t i = 0; i < t->n && !code; i++) {
		char *into;
		code = runtime_check(
			rt, ort->GetResizedStringTensorElementBuffer(*ret, i, strings[i].len, &into), why);
		if (!code && strings[i].len)
			memcpy(into, strings[i].ptr, strings[i].len);
	}
	return code;
}

bool value_create(const struct runtime *rt, const struct tensor *t, struct OrtValue **ret, struct why *why)
{
	enum dtype d = t->spec->dtype;
	struct OrtValue *value = NULL;
	int code;
	if (d == DTYPE_BYTES)
		code = create_strings(rt, t, &value, why);
	else /* the interface has no const form; inputs are only read */
		code = runtime_check(rt,
			rt->ort.CreateTensorWithDataAsOrtValue(rt->memory, (void *)(uintptr_t)t->data,
				t->n * dtype_bytes(d), t->dims, t->rank, dtype_to_ort(d), &value),
			why);
	if (code && value)
		rt->ort.ReleaseValue(value);
	if (!code)
		*ret = value;
	return code == 0;
}

static bool read_shape(
	const struct runtime *rt, const struct OrtValue *value, struct tensor *t, struct why *why)
{
	const struct ort *ort = &rt->ort;
	struct OrtTensorTypeAndShapeInfo *info = NULL;
	int element_type = 0;
	size_t rank = 0;
	int code = runtime_check(rt, ort->GetTensorTypeAndShape(value, &info), why);
	if (!code)
		code = runtime_check(rt, ort->GetTensorElementType(info, &element_type), why);
	if (!code)
		code = runtime_check(rt, ort->GetDimensionsCount(info, &rank), why);
	bool fits = rank <= TENSOR_RANK_MAX && dtype_of_ort(element_type) == t->spec->dtype;
	if (!code && fits)
		code = runtime_check(rt, ort->GetDimensions(info, t->dims, rank), why);
	if (info)
		ort->ReleaseTensorTypeAndShapeInfo(info);
	if (code)
		return false;
	t->rank = (uint32_t)rank;
	if (!fits || !tensor_count(t->rank, t->dims, SIZE_MAX / 64, &t->n))
		return why_set(why,
			"output \"%s\" came with %zu dimensions or another type than the model announced",
			t->spec->name, rank);
	return true;
}

/* The strings' bytes come as one run; t->owned holds the slices and, behind them, the bytes. */
static bool read_strings(
	const struct runtime *rt, const struct OrtValue *value, struct tensor *t, struct why *why)
{
	const struct ort *ort = &rt->ort;
	size_t bytes, *offsets = calloc(t->n ? t->n : 1, sizeof *offsets);
	int code = runtime_check(rt, ort->GetStringTensorDataLength(value, &bytes), why);
	if (!code && offsets)
		t->owned = malloc(t->n * sizeof(struct str) + bytes + 1);
	if (!code && !t->owned) {
		why_set(why, "output \"%s\": out of memory", t->spec->name);
		code = 1;
	}
	struct str *strings = t->owned;
	char *text = (char *)(strings + t->n);
	if (!code && t->n)
		code = runtime_check(rt, ort->GetStringTensorContent(value, text, bytes, offsets, t->n), why);
	for (size_t i = 0; i < t->n && !code; i++) {
		size_t end = i + 1 < t->n ? offsets[i + 1] : bytes;
		strings[i] = (struct str){ text + offsets[i], end - offsets[i] };
	}
	free(offsets);
	t->data = strings;
	return code == 0;
}

bool value_read(const struct runtime *rt, struct OrtValue *value, const struct tensor_spec *spec,
	struct tensor *ret, struct why *why)
{
	struct tensor t = { .spec = spec };
	void *data = NULL;
	if (!read_shape(rt, value, &t, why))
		return false;
	if (spec->dtype == DTYPE_BYTES) {
		if (!read_strings(rt, value, &t, why)) {
			value_done(&t);
			return false;
		}
	} else {
		if (runtime_check(rt, rt->ort.GetTensorMutableData(value, &data), why))
			return false;
		t.data = data;
	}
	*ret = t;
	return true;
}

void value_done(struct tensor *t)
{
	free(t->owned);
	t->owned = NULL;
}
