/* oip_write: the answers of the Open Inference Protocol V2. No ONNX Runtime in here. */
#pragma once
#include "base/json.h"
#include "worker/oip_read.h"

/* Who answers. */
struct oip_model {
	const char *name, *version;        /* borrowed */
	const struct signature *signature; /* borrowed */
};

/* The answer to an inference: JSON, and behind it the bytes of the outputs that were asked for in binary.
 * outputs[i] is what r->wants[i] asked for. Returns the bytes of the JSON part when something binary follows
 * it, else 0. */
size_t oip_write_inference(
	struct json *j, const struct oip_model *m, const struct oip_request *r, const struct tensor *outputs);

void oip_write_metadata(struct json *j, const struct oip_model *m);
void oip_write_server(struct json *j);
void oip_write_error(struct json *j, struct str text);
