/* fake_ort: ONNX Runtime's functions without a model: runs are echoes of a kind, or fail when they are told
 * to.
 *
 * An output has as many rows as the first input, and a value for each of its bytes; so its shape, type and
 * contents are the request's affair.
 */
#pragma once
#include "worker/model.h"

enum fake_fate {
	FAKE_RUNS,
	FAKE_REFUSES, /* the input is at fault */
	FAKE_FAILS,
	FAKE_LIES,  /* outputs of another type than was announced */
	FAKE_EMPTY, /* outputs without elements */
	FAKE_FATES,
};

/* What the next runs come to. */
extern enum fake_fate fake_fate;

void fake_ort_init(struct runtime *rt);

/* Values that were created and not released. */
extern size_t fake_ort_values;

/* Of the model that runs: borrowed. */
extern const struct signature *fake_signature;
