/* tensor: what a model takes and gives, and the tensors of one request. No ONNX Runtime in here. */
#pragma once
#include "worker/dtype.h"

enum { TENSOR_RANK_MAX = 8, SIGNATURE_MAX = 64 };

struct tensor_spec {
	char *name;                    /* owned */
	enum dtype dtype;              /* DTYPE_NONE: not a tensor, or one that the protocol cannot name */
	uint32_t rank;                 /* 0: a scalar, or any shape, which ONNX Runtime does not tell apart */
	int64_t dims[TENSOR_RANK_MAX]; /* -1: any */
};

/* A model's inputs and outputs, in the model's order; at most SIGNATURE_MAX each. */
struct signature {
	struct tensor_spec *inputs, *outputs; /* owned */
	uint32_t n_inputs, n_outputs;
};

struct tensor {
	const struct tensor_spec *spec; /* borrowed; NULL while not given */
	uint32_t rank;
	int64_t dims[TENSOR_RANK_MAX];
	size_t n;         /* elements: the product of dims */
	const void *data; /* n elements in the machine's form, aligned; for BYTES: struct str[n] */
	void *owned;      /* what is to be freed of data, or NULL */
};

void signature_finish(struct signature *s);

/* "FP32 [1,3,-1]", cut off where it does not fit; returns text. */
const char *tensor_spec_print(const struct tensor_spec *spec, char *text, size_t size);

/* "a FP32 [-1,3], b INT64 []", cut off likewise; returns text. */
const char *tensor_specs_print(const struct tensor_spec *specs, uint32_t n, char *text, size_t size);

/* Index of the one with this name, or -1. */
int tensor_spec_find(const struct tensor_spec *specs, uint32_t n, struct str name);

/* True when a tensor of this shape may be given for spec. */
bool tensor_spec_takes(const struct tensor_spec *spec, uint32_t rank, const int64_t *dims);

/* Product of dims; false when one is negative or the product is over max. */
MUST_USE bool tensor_count(uint32_t rank, const int64_t *dims, size_t max, size_t *ret);
