#include "worker/dtype.h"

#include <math.h>

/* The numbers are those of ONNX's TensorProto.DataType, which ONNX Runtime keeps. */
static const struct {
	const char *name;
	size_t bytes;
	int ort;
} dtypes[DTYPE_COUNT] = {
	[DTYPE_NONE] = { "none", 0, 0 },
	[DTYPE_BOOL] = { "BOOL", 1, 9 },
	[DTYPE_UINT8] = { "UINT8", 1, 2 },
	[DTYPE_UINT16] = { "UINT16", 2, 4 },
	[DTYPE_UINT32] = { "UINT32", 4, 12 },
	[DTYPE_UINT64] = { "UINT64", 8, 13 },
	[DTYPE_INT8] = { "INT8", 1, 3 },
	[DTYPE_INT16] = { "INT16", 2, 5 },
	[DTYPE_INT32] = { "INT32", 4, 6 },
	[DTYPE_INT64] = { "INT64", 8, 7 },
	[DTYPE_FP16] = { "FP16", 2, 10 },
	[DTYPE_BF16] = { "BF16", 2, 16 },
	[DTYPE_FP32] = { "FP32", 4, 1 },
	[DTYPE_FP64] = { "FP64", 8, 11 },
	[DTYPE_BYTES] = { "BYTES", 0, 8 },
};

const char *dtype_name(enum dtype d)
{
	return dtypes[d].name;
}

bool dtype_parse(struct str name, enum dtype *ret)
{
	for (enum dtype d = DTYPE_NONE + 1; d < DTYPE_COUNT; d++) {
		if (str_eq(name, str_of(dtypes[d].name))) {
			*ret = d;
			return true;
		}
	}
	return false;
}

size_t dtype_bytes(enum dtype d)
{
	return dtypes[d].bytes;
}

enum dtype dtype_of_ort(int element_type)
{
	for (enum dtype d = DTYPE_NONE + 1; d < DTYPE_COUNT; d++) {
		if (dtypes[d].ort == element_type)
			return d;
	}
	return DTYPE_NONE;
}

int dtype_to_ort(enum dtype d)
{
	return dtypes[d].ort;
}

/* The value in units of its last place, rounded, is the mantissa with its leading one; added to the exponent
 * field it carries into it where rounding made it longer. */
static bool to_small_float(double value, int exponent_bits, int mantissa_bits, uint16_t *ret)
{
	int bias = (1 << (exponent_bits - 1)) - 1, least = 1 - bias;
	if (!isfinite(value))
		return false;
	int exponent = value == 0 ? least : ilogb(value);
	if (exponent < least)
		exponent = least;
	if (exponent > bias)
		return false;
	uint32_t mantissa = (uint32_t)nearbyint(ldexp(fabs(value), mantissa_bits - exponent));
	uint32_t bits = mantissa + ((uint32_t)(exponent + bias - 1) << mantissa_bits);
	if (bits >= ((1u << exponent_bits) - 1) << mantissa_bits)
		return false;
	*ret = (uint16_t)(bits | (signbit(value) ? 0x8000u : 0));
	return true;
}

static double of_small_float(uint16_t bits, int exponent_bits, int mantissa_bits)
{
	int bias = (1 << (exponent_bits - 1)) - 1;
	int mantissa = bits & ((1 << mantissa_bits) - 1);
	int exponent = (bits & 0x7fff) >> mantissa_bits;
	double value;
	if (exponent == (1 << exponent_bits) - 1)
		value = mantissa ? (double)NAN : (double)INFINITY;
	else if (exponent == 0)
		value = ldexp(mantissa, 1 - bias - mantissa_bits);
	else
		value = ldexp(mantissa + (1 << mantissa_bits), exponent - bias - mantissa_bits);
	return bits & 0x8000 ? -value : value;
}

bool dtype_to_fp16(double value, uint16_t *ret)
{
	return to_small_float(value, 5, 10, ret);
}

bool dtype_to_bf16(double value, uint16_t *ret)
{
	return to_small_float(value, 8, 7, ret);
}

double dtype_of_fp16(uint16_t bits)
{
	return of_small_float(bits, 5, 10);
}

double dtype_of_bf16(uint16_t bits)
{
	return of_small_float(bits, 8, 7);
}
