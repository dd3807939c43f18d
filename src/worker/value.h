/* value: between tensors and ONNX Runtime's values. */
#pragma once
#include "worker/runtime.h"
#include "worker/tensor.h"

/* A value over t's data, which must stay: only strings are copied. */
MUST_USE bool value_create(
	const struct runtime *rt, const struct tensor *t, struct OrtValue **ret, struct why *why);

/* Reads an output: *ret borrows its data from value, strings excepted. spec: what the model says of it;
 * borrowed. False when it is no such tensor. */
MUST_USE bool value_read(const struct runtime *rt, struct OrtValue *value, const struct tensor_spec *spec,
	struct tensor *ret, struct why *why);

/* Frees what value_read has copied. */
void value_done(struct tensor *t);
