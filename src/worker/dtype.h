/* dtype: the element types of the Open Inference Protocol, their sizes, and the numbers that ONNX Runtime
 * knows them by.
 */
#pragma once
#include "base/check.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum dtype {
	DTYPE_NONE, /* a type that the protocol has no name for */
	DTYPE_BOOL,
	DTYPE_UINT8,
	DTYPE_UINT16,
	DTYPE_UINT32,
	DTYPE_UINT64,
	DTYPE_INT8,
	DTYPE_INT16,
	DTYPE_INT32,
	DTYPE_INT64,
	DTYPE_FP16,
	DTYPE_BF16,
	DTYPE_FP32,
	DTYPE_FP64,
	DTYPE_BYTES, /* strings */
	DTYPE_COUNT,
};

/* "FP32"; "none" for DTYPE_NONE. */
const char *dtype_name(enum dtype d);

/* False when the protocol has no such type. */
MUST_USE bool dtype_parse(struct str name, enum dtype *ret);

/* Bytes of an element; 0 for BYTES, whose elements differ in size. */
size_t dtype_bytes(enum dtype d);

/* From and to ONNXTensorElementDataType. */
enum dtype dtype_of_ort(int element_type);
int dtype_to_ort(enum dtype d);

/* A number as IEEE 754 binary16 or as bfloat16, rounded to the nearest, ties to even. False when it is too
 * large. */
MUST_USE bool dtype_to_fp16(double value, uint16_t *ret);
MUST_USE bool dtype_to_bf16(double value, uint16_t *ret);
double dtype_of_fp16(uint16_t bits);
double dtype_of_bf16(uint16_t bits);
