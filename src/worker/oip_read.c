#include "worker/oip_read.h"

#include "worker/oip_data_in.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static struct str text_of(const json_t *string)
{
	return (struct str){ json_string_value(string), json_string_length(string) };
}

/* ---- shape, type, name ---- */

static bool read_shape(struct tensor *t, const json_t *shape, struct why *why)
{
	const char *name = t->spec->name;
	if (!json_is_array(shape))
		return why_set(why, "input \"%s\": \"shape\" must be an array of integers", name);
	if (json_array_size(shape) > TENSOR_RANK_MAX)
		return why_set(why, "input \"%s\": a shape has at most %d dimensions", name, TENSOR_RANK_MAX);
	t->rank = (uint32_t)json_array_size(shape);
	for (uint32_t i = 0; i < t->rank; i++) {
		const json_t *dim = json_array_get(shape, i);
		if (!json_is_integer(dim) || json_integer_value(dim) < 0)
			return why_set(why,
				"input \"%s\": \"shape\" must be an array of integers, none below 0", name);
		t->dims[i] = json_integer_value(dim);
	}
	if (!tensor_spec_takes(t->spec, t->rank, t->dims)) {
		char wanted[160], given[160];
		struct tensor_spec as_given = { .dtype = t->spec->dtype, .rank = t->rank };
		memcpy(as_given.dims, t->dims, sizeof t->dims);
		return why_set(why, "input \"%s\": the model takes %s, where -1 is any size, and this is %s",
			name, tensor_spec_print(t->spec, wanted, sizeof wanted),
			tensor_spec_print(&as_given, given, sizeof given));
	}
	return true;
}

static bool read_datatype(const struct tensor *t, const json_t *datatype, struct why *why)
{
	enum dtype d;
	if (!json_is_string(datatype) || !dtype_parse(text_of(datatype), &d))
		return why_set(why, "input \"%s\": \"datatype\" must be one of the protocol's, here \"%s\"",
			t->spec->name, dtype_name(t->spec->dtype));
	if (d != t->spec->dtype)
		return why_set(why, "input \"%s\": the model takes %s, and this is %s", t->spec->name,
			dtype_name(t->spec->dtype), dtype_name(d));
	return true;
}

/* ---- one input ---- */

/* Bytes that the input takes of the binary part: *ret_given is false when its data are JSON. */
static bool read_binary_size(
	const struct tensor *t, const json_t *input, size_t *ret_size, bool *ret_given, struct why *why)
{
	const json_t *size = json_object_get(json_object_get(input, "parameters"), "binary_data_size");
	*ret_given = size != NULL;
	if (!size)
		return true;
	if (!json_is_integer(size) || json_integer_value(size) < 0)
		return why_set(why, "input \"%s\": \"binary_data_size\" must be an integer, not below 0",
			t->spec->name);
	if (json_object_get(input, "data"))
		return why_set(
			why, "input \"%s\": has both \"data\" and \"binary_data_size\"", t->spec->name);
	*ret_size = (size_t)json_integer_value(size);
	return true;
}

/* Takes its bytes from the front of *binary. */
static bool read_input_data(struct tensor *t, const json_t *input, struct str *binary, struct why *why)
{
	size_t size = 0;
	bool is_binary;
	if (!read_binary_size(t, input, &size, &is_binary, why))
		return false;
	if (!is_binary) {
		const json_t *data = json_object_get(input, "data");
		if (!json_is_array(data))
			return why_set(why, "input \"%s\": \"data\" must be an array", t->spec->name);
		return oip_data_of_json(t, data, why);
	}
	if (size > binary->len)
		return why_set(why,
			"input \"%s\": \"binary_data_size\" is %zu, and %zu bytes are left of the body",
			t->spec->name, size, binary->len);
	struct str bytes = { binary->ptr, size };
	*binary = str_skip(*binary, size);
	return oip_data_of_binary(t, bytes, why);
}

static bool read_input(struct oip_request *r, const struct signature *s, const json_t *input,
	struct str *binary, struct why *why)
{
	const json_t *name = json_object_get(input, "name");
	if (!json_is_object(input) || !json_is_string(name))
		return why_set(why, "each of \"inputs\" must be an object with a \"name\"");
	int i = tensor_spec_find(s->inputs, s->n_inputs, text_of(name));
	if (i < 0)
		return why_set(why, "the model has no input \"%s\"", json_string_value(name));
	struct tensor *t = &r->inputs[i];
	if (t->spec)
		return why_set(why, "input \"%s\" is given twice", s->inputs[i].name);
	t->spec = &s->inputs[i];
	return read_datatype(t, json_object_get(input, "datatype"), why) &&
		read_shape(t, json_object_get(input, "shape"), why) && read_input_data(t, input, binary, why);
}

static bool read_inputs(struct oip_request *r, const struct signature *s, struct str binary, struct why *why)
{
	const json_t *inputs = json_object_get(r->root, "inputs");
	json_t *input;
	size_t i;
	if (!json_is_array(inputs))
		return why_set(why, "\"inputs\" must be an array of tensors");
	r->n_inputs = s->n_inputs;
	json_array_foreach(inputs, i, input)
	{
		if (!read_input(r, s, input, &binary, why))
			return false;
	}
	for (uint32_t k = 0; k < s->n_inputs; k++) {
		if (!r->inputs[k].spec)
			return why_set(why, "input \"%s\" is missing", s->inputs[k].name);
	}
	if (binary.len)
		return why_set(
			why, "%zu bytes of the body belong to no input's \"binary_data_size\"", binary.len);
	return true;
}

/* ---- outputs ---- */

/* *ret stays as it is when the parameter is not there. */
static bool read_flag(const json_t *object, const char *parameter, bool *ret, struct why *why)
{
	const json_t *flag = json_object_get(json_object_get(object, "parameters"), parameter);
	if (flag && !json_is_boolean(flag))
		return why_set(why, "\"%s\" must be true or false", parameter);
	if (flag)
		*ret = json_is_true(flag);
	return true;
}

static bool add_want(
	struct oip_request *r, const struct signature *s, uint32_t output, bool binary, struct why *why)
{
	for (uint32_t i = 0; i < r->n_wants; i++) {
		if (r->wants[i].output == output)
			return why_set(why, "output \"%s\" is asked for twice", s->outputs[output].name);
	}
	r->wants[r->n_wants++] = (struct oip_want){ .output = output, .binary = binary };
	return true;
}

static bool read_want(
	struct oip_request *r, const struct signature *s, const json_t *output, bool binary, struct why *why)
{
	const json_t *name = json_object_get(output, "name");
	if (!json_is_object(output) || !json_is_string(name))
		return why_set(why, "each of \"outputs\" must be an object with a \"name\"");
	int i = tensor_spec_find(s->outputs, s->n_outputs, text_of(name));
	if (i < 0)
		return why_set(why, "the model has no output \"%s\"", json_string_value(name));
	if (s->outputs[i].dtype == DTYPE_NONE)
		return why_set(
			why, "output \"%s\" is no tensor of a type that can be sent", s->outputs[i].name);
	return read_flag(output, "binary_data", &binary, why) && add_want(r, s, (uint32_t)i, binary, why);
}

static bool read_wants(struct oip_request *r, const struct signature *s, struct why *why)
{
	const json_t *outputs = json_object_get(r->root, "outputs");
	bool binary = false;
	json_t *output;
	size_t i;
	if (!read_flag(r->root, "binary_data_output", &binary, why))
		return false;
	if (outputs && !json_is_array(outputs))
		return why_set(why, "\"outputs\" must be an array");
	json_array_foreach(outputs, i, output)
	{
		if (!read_want(r, s, output, binary, why))
			return false;
	}
	for (uint32_t k = 0; k < s->n_outputs && json_array_size(outputs) == 0; k++) {
		if (s->outputs[k].dtype != DTYPE_NONE && !add_want(r, s, k, binary, why))
			return false;
	}
	return true;
}

/* ---- the whole ---- */

static bool read_root(struct oip_request *r, struct str json, struct why *why)
{
	json_error_t error;
	r->root = json_loadb(json.ptr, json.len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
	if (!r->root && json_error_code(&error) == json_error_numeric_overflow)
		return why_set(why,
			"a number is out of range, at byte %d (integers from 2^63 on can be sent as binary "
			"tensor data)",
			error.position);
	if (!r->root)
		return why_set(why, "the body is not JSON: %s, at byte %d", error.text, error.position);
	if (!json_is_object(r->root))
		return why_set(why, "the body must be a JSON object with \"inputs\"");
	const json_t *id = json_object_get(r->root, "id");
	if (id && !json_is_string(id))
		return why_set(why, "\"id\" must be a string");
	r->id = text_of(id);
	return true;
}

bool oip_read(
	struct oip_request *r, const struct signature *s, struct str json, struct str binary, struct why *why)
{
	*r = (struct oip_request){ 0 };
	if (read_root(r, json, why) && read_wants(r, s, why) && read_inputs(r, s, binary, why))
		return true;
	oip_request_finish(r);
	return false;
}

void oip_request_finish(struct oip_request *r)
{
	for (uint32_t i = 0; i < SIGNATURE_MAX; i++)
		free(r->inputs[i].owned);
	json_decref(r->root);
	*r = (struct oip_request){ 0 };
}
