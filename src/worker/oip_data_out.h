/* oip_data_out: the elements of a tensor from the machine's form (see oip_data_in.h) into the one that is
 * sent. */
#pragma once
#include "base/json.h"
#include "worker/tensor.h"

/* Appends element i as a JSON value. What is not finite is null. */
void oip_data_to_json(struct json *j, const struct tensor *t, size_t i);

/* Size of the tensor's bytes as they are sent, and the bytes themselves, appended. */
size_t oip_data_binary_size(const struct tensor *t);
void oip_data_to_binary(struct json *j, const struct tensor *t);
