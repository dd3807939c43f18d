#include "worker/oip_write.h"

#include "worker/oip_data_out.h"

static void write_shape(struct json *j, uint32_t rank, const int64_t *dims)
{
	json_key(j, "shape");
	json_open(j, '[');
	for (uint32_t i = 0; i < rank; i++)
		json_i64(j, dims[i]);
	json_close(j, ']');
}

static void write_text(struct json *j, const char *key, const char *text)
{
	json_key(j, key);
	json_string(j, str_of(text));
}

static void write_output(struct json *j, const struct tensor *t, bool binary)
{
	json_open(j, '{');
	write_text(j, "name", t->spec->name);
	write_text(j, "datatype", dtype_name(t->spec->dtype));
	write_shape(j, t->rank, t->dims);
	if (binary) {
		json_key(j, "parameters");
		json_open(j, '{');
		json_key(j, "binary_data_size");
		json_u64(j, oip_data_binary_size(t));
		json_close(j, '}');
	} else {
		json_key(j, "data");
		json_open(j, '[');
		for (size_t i = 0; i < t->n; i++)
			oip_data_to_json(j, t, i);
		json_close(j, ']');
	}
	json_close(j, '}');
}

size_t oip_write_inference(
	struct json *j, const struct oip_model *m, const struct oip_request *r, const struct tensor *outputs)
{
	json_open(j, '{');
	write_text(j, "model_name", m->name);
	write_text(j, "model_version", m->version);
	if (r->id.ptr) {
		json_key(j, "id");
		json_string(j, r->id);
	}
	json_key(j, "outputs");
	json_open(j, '[');
	for (uint32_t i = 0; i < r->n_wants; i++)
		write_output(j, &outputs[i], r->wants[i].binary);
	json_close(j, ']');
	json_close(j, '}');
	size_t json_bytes_so_far = json_str(j).len;
	bool binary = false;
	for (uint32_t i = 0; i < r->n_wants; i++) {
		if (r->wants[i].binary)
			oip_data_to_binary(j, &outputs[i]);
		binary |= r->wants[i].binary;
	}
	return binary ? json_bytes_so_far : 0;
}

static void write_specs(struct json *j, const char *key, const struct tensor_spec *specs, uint32_t n)
{
	json_key(j, key);
	json_open(j, '[');
	for (uint32_t i = 0; i < n; i++) {
		if (specs[i].dtype == DTYPE_NONE)
			continue;
		json_open(j, '{');
		write_text(j, "name", specs[i].name);
		write_text(j, "datatype", dtype_name(specs[i].dtype));
		write_shape(j, specs[i].rank, specs[i].dims);
		json_close(j, '}');
	}
	json_close(j, ']');
}

void oip_write_metadata(struct json *j, const struct oip_model *m)
{
	json_open(j, '{');
	write_text(j, "name", m->name);
	json_key(j, "versions");
	json_open(j, '[');
	json_string(j, str_of(m->version));
	json_close(j, ']');
	write_text(j, "platform", "onnx_onnxv1");
	write_specs(j, "inputs", m->signature->inputs, m->signature->n_inputs);
	write_specs(j, "outputs", m->signature->outputs, m->signature->n_outputs);
	json_close(j, '}');
}

void oip_write_server(struct json *j)
{
	json_open(j, '{');
	write_text(j, "name", "berth-worker");
	write_text(j, "version", BERTH_VERSION);
	json_key(j, "extensions");
	json_open(j, '[');
	json_string(j, STR("binary_tensor_data"));
	json_close(j, ']');
	json_close(j, '}');
}

void oip_write_error(struct json *j, struct str text)
{
	json_open(j, '{');
	json_key(j, "error");
	json_string(j, text);
	json_close(j, '}');
}
