/* oip_read: takes the body of an inference request of the Open Inference Protocol V2 apart, JSON and the
 * binary tensor data extension, into tensors that fit the model. No ONNX Runtime in here.
 *
 * https://github.com/kserve/open-inference-protocol (HTTP/REST), and Triton's "Binary Tensor Data Extension".
 * "data" may be flat or nested as the shape says. Numbers must be numbers that the type can hold. Parameters
 * other than binary_data, binary_data_size and binary_data_output are accepted and ignored.
 */
#pragma once
#include "base/str.h"
#include "worker/tensor.h"
#include "worker/why.h"

struct json_t; /* jansson's */

struct oip_want {
	uint32_t output; /* index */
	bool binary;
};

struct oip_request {
	struct json_t *root;                  /* owned; strings below are borrowed from it */
	struct str id;                        /* ptr NULL: none */
	struct tensor inputs[SIGNATURE_MAX];  /* in the model's order, all given */
	struct oip_want wants[SIGNATURE_MAX]; /* in the order asked for */
	uint32_t n_inputs, n_wants;
};

/* json: the JSON part of the body; binary: what follows it. Tensors are borrowed from `binary` where they are
 * aligned. False with *why for a request that is wrong (400); *r is finished then. */
MUST_USE bool oip_read(struct oip_request *r, const struct signature *s, struct str json, struct str binary,
	struct why *why);
void oip_request_finish(struct oip_request *r);
