#include "worker/oip_data_in.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Bytes of an element in the machine's form. */
static size_t element_bytes(enum dtype d)
{
	return d == DTYPE_BYTES ? sizeof(struct str) : dtype_bytes(d);
}

/* ---- from JSON ---- */

/* Writes a number of a type that has `bytes` bytes, at any address. */
static bool store_int(void *at, size_t bytes, const json_t *value, bool is_signed)
{
	if (!json_is_integer(value))
		return false;
	int64_t v = json_integer_value(value);
	if (is_signed) {
		int64_t most = INT64_MAX >> (64 - 8 * bytes);
		if (v > most || v < -most - 1)
			return false;
	} else if (v < 0 || (bytes < 8 && (uint64_t)v >> (8 * bytes))) {
		return false;
	}
	memcpy(at, &v, bytes);
	return true;
}

static bool store_float(void *at, enum dtype d, const json_t *value)
{
	uint16_t bits;
	if (!json_is_number(value))
		return false;
	double v = json_number_value(value);
	float single = (float)v;
	switch (d) {
	case DTYPE_FP16:
	case DTYPE_BF16:
		if (!(d == DTYPE_FP16 ? dtype_to_fp16(v, &bits) : dtype_to_bf16(v, &bits)))
			return false;
		memcpy(at, &bits, sizeof bits);
		return true;
	case DTYPE_FP32:
		memcpy(at, &single, sizeof single);
		return isfinite(single);
	default:
		memcpy(at, &v, sizeof v);
		return true;
	}
}

static bool store(void *at, enum dtype d, const json_t *value)
{
	switch (d) {
	case DTYPE_BOOL:
		*(uint8_t *)at = json_is_true(value);
		return json_is_boolean(value);
	case DTYPE_UINT8:
	case DTYPE_UINT16:
	case DTYPE_UINT32:
	case DTYPE_UINT64:
		return store_int(at, dtype_bytes(d), value, false);
	case DTYPE_INT8:
	case DTYPE_INT16:
	case DTYPE_INT32:
	case DTYPE_INT64:
		return store_int(at, dtype_bytes(d), value, true);
	case DTYPE_FP16:
	case DTYPE_BF16:
	case DTYPE_FP32:
	case DTYPE_FP64:
		return store_float(at, d, value);
	case DTYPE_BYTES:
		*(struct str *)at = (struct str){ json_string_value(value), json_string_length(value) };
		return json_is_string(value);
	case DTYPE_NONE:
	case DTYPE_COUNT:
		break;
	}
	return false;
}

/* A run of elements, `stored` of which are in place already. */
static bool store_row(struct tensor *t, const json_t *row, size_t *stored, struct why *why)
{
	enum dtype d = t->spec->dtype;
	size_t i;
	const json_t *value;
	if (json_array_size(row) > t->n - *stored)
		return why_set(why, "input \"%s\": more elements in \"data\" than the shape's %zu",
			t->spec->name, t->n);
	json_array_foreach(row, i, value)
	{
		if (!store((char *)t->owned + *stored * element_bytes(d), d, value))
			return why_set(why, "input \"%s\": element %zu is no %s", t->spec->name, *stored,
				dtype_name(d));
		++*stored;
	}
	return true;
}

/* Arrays within arrays, `depth` dimensions down; it never goes deeper than the shape. */
static bool store_nested(
	struct tensor *t, const json_t *data, uint32_t depth, size_t *stored, struct why *why)
{
	size_t i;
	const json_t *part;
	if (!json_is_array(data) || json_array_size(data) != (size_t)t->dims[depth])
		return why_set(
			why, "input \"%s\": \"data\" is nested otherwise than the shape says", t->spec->name);
	if (depth + 1 == t->rank)
		return store_row(t, data, stored, why);
	json_array_foreach(data, i, part)
	{
		if (!store_nested(t, part, depth + 1, stored, why))
			return false;
	}
	return true;
}

static size_t count_leaves(const json_t *data)
{
	size_t n = 0, i;
	const json_t *part;
	if (!json_is_array(json_array_get(data, 0)))
		return json_array_size(data);
	json_array_foreach(data, i, part) n += json_is_array(part) ? count_leaves(part) : 1;
	return n;
}

bool oip_data_of_json(struct tensor *t, const json_t *data, struct why *why)
{
	size_t given = count_leaves(data), stored = 0;
	if (!tensor_count(t->rank, t->dims, given, &t->n) || t->n != given)
		return why_set(why,
			"input \"%s\": \"data\" has %zu elements, and not as many as the shape says",
			t->spec->name, given);
	t->owned = calloc(t->n ? t->n : 1, element_bytes(t->spec->dtype));
	if (!t->owned)
		return why_set(why, "input \"%s\": out of memory", t->spec->name);
	t->data = t->owned;
	bool nested = t->rank > 1 && json_is_array(json_array_get(data, 0));
	return nested ? store_nested(t, data, 0, &stored, why) : store_row(t, data, &stored, why);
}

/* ---- from bytes ---- */

static bool strings_of_binary(struct tensor *t, struct str bytes, struct why *why)
{
	struct str *strings = t->owned;
	for (size_t i = 0; i < t->n; i++) {
		uint32_t len;
		if (bytes.len < sizeof len)
			return why_set(
				why, "input \"%s\": its bytes end before element %zu", t->spec->name, i);
		memcpy(&len, bytes.ptr, sizeof len);
		bytes = str_skip(bytes, sizeof len);
		if (bytes.len < len)
			return why_set(why, "input \"%s\": element %zu is longer than what is left",
				t->spec->name, i);
		strings[i] = (struct str){ bytes.ptr, len };
		bytes = str_skip(bytes, len);
	}
	if (bytes.len)
		return why_set(
			why, "input \"%s\": %zu bytes after its last element", t->spec->name, bytes.len);
	return true;
}

static bool bools_are_valid(const uint8_t *bytes, size_t n)
{
	uint8_t all = 0;
	for (size_t i = 0; i < n; i++)
		all |= bytes[i];
	return all <= 1;
}

bool oip_data_of_binary(struct tensor *t, struct str bytes, struct why *why)
{
	enum dtype d = t->spec->dtype;
	bool strings = d == DTYPE_BYTES;
	size_t each = strings ? sizeof(uint32_t) : dtype_bytes(d); /* at least */
	if (!tensor_count(t->rank, t->dims, bytes.len / each, &t->n) ||
		(!strings && t->n * each != bytes.len))
		return why_set(why, "input \"%s\": %zu bytes of binary data do not make up its shape",
			t->spec->name, bytes.len);
	if (d == DTYPE_BOOL && !bools_are_valid((const uint8_t *)bytes.ptr, t->n))
		return why_set(why, "input \"%s\": a BOOL is a byte of 0 or 1", t->spec->name);
	if (!strings && (uintptr_t)bytes.ptr % each == 0) {
		t->data = bytes.ptr;
		return true;
	}
	t->owned = calloc(t->n ? t->n : 1, element_bytes(d));
	if (!t->owned)
		return why_set(why, "input \"%s\": out of memory", t->spec->name);
	t->data = t->owned;
	if (strings)
		return strings_of_binary(t, bytes, why);
	memcpy(t->owned, bytes.ptr, bytes.len);
	return true;
}
