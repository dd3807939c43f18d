#include "unit.h"
#include "worker/dtype.h"

#include <math.h>

static void test_names(void **state)
{
	for (enum dtype d = DTYPE_NONE + 1; d < DTYPE_COUNT; d++) {
		enum dtype found = DTYPE_NONE;
		assert_true(dtype_parse(str_of(dtype_name(d)), &found));
		assert_int_equal(found, d);
		assert_int_equal(dtype_of_ort(dtype_to_ort(d)), d);
	}
	enum dtype untouched = DTYPE_INT8;
	assert_false(dtype_parse(STR("none"), &untouched));
	assert_false(dtype_parse(STR("fp32"), &untouched));
	assert_false(dtype_parse(STR("FP3"), &untouched));
	assert_false(dtype_parse(STR(""), &untouched));
	assert_int_equal(untouched, DTYPE_INT8);
}

/* The numbers of ONNX's TensorProto.DataType, and the sizes that the protocol gives. */
static void test_table(void **state)
{
	static const struct {
		const char *name;
		int ort;
		size_t bytes;
	} expected[] = {
		{ "FP32", 1, 4 },
		{ "UINT8", 2, 1 },
		{ "INT8", 3, 1 },
		{ "UINT16", 4, 2 },
		{ "INT16", 5, 2 },
		{ "INT32", 6, 4 },
		{ "INT64", 7, 8 },
		{ "BYTES", 8, 0 },
		{ "BOOL", 9, 1 },
		{ "FP16", 10, 2 },
		{ "FP64", 11, 8 },
		{ "UINT32", 12, 4 },
		{ "UINT64", 13, 8 },
		{ "BF16", 16, 2 },
	};
	for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
		enum dtype d = dtype_of_ort(expected[i].ort);
		assert_string_equal(dtype_name(d), expected[i].name);
		assert_int_equal(dtype_bytes(d), expected[i].bytes);
	}
	assert_int_equal(dtype_of_ort(14), DTYPE_NONE); /* complex numbers */
	assert_int_equal(dtype_of_ort(0), DTYPE_NONE);
	assert_int_equal(dtype_of_ort(-1), DTYPE_NONE);
}

/* Every finite pattern comes back from its own value. */
static void check_all(double (*of)(uint16_t), bool (*to)(double, uint16_t *))
{
	int finite = 0;
	for (unsigned bits = 0; bits <= UINT16_MAX; bits++) {
		double value = of((uint16_t)bits);
		uint16_t back = 0;
		if (!isfinite(value)) {
			assert_false(to(value, &back));
			continue;
		}
		assert_true(to(value, &back));
		assert_int_equal(back, bits);
		finite++;
	}
	assert_true(finite > 60000);
}

static void test_small_floats_come_back(void **state)
{
	check_all(dtype_of_fp16, dtype_to_fp16);
	check_all(dtype_of_bf16, dtype_to_bf16);
}

static void test_fp16(void **state)
{
	static const struct {
		double value;
		uint16_t bits;
	} cases[] = {
		{ 0.0, 0x0000 }, { -0.0, 0x8000 }, { 1.0, 0x3c00 }, { -2.0, 0xc000 }, { 65504.0, 0x7bff },
		{ 65519.99, 0x7bff }, { 0x1p-14, 0x0400 }, { 0x1p-24, 0x0001 },
		{ 0x1p-25, 0x0000 },                 /* half way: to even */
		{ 0x1.000001p-25, 0x0001 },          /* above */
		{ 0x3p-25, 0x0002 },                 /* half way: to even */
		{ 1.0 + 0x1p-11, 0x3c00 },           /* half way: to even */
		{ 1.0 + 0x1p-11 + 0x1p-40, 0x3c01 }, /* a float in between would lose this */
		{ 1.0 + 0x3p-11, 0x3c02 },           /* half way: to even */
		{ 2.0 - 0x1p-11, 0x4000 },           /* rounds up to the next exponent */
		{ 0x1p-14 - 0x1p-25, 0x0400 },       /* rounds up out of the subnormals */
	};
	uint16_t bits;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_true(dtype_to_fp16(cases[i].value, &bits));
		assert_int_equal(bits, cases[i].bits);
	}
	bits = 7;
	assert_false(dtype_to_fp16(65520.0, &bits));
	assert_false(dtype_to_fp16(-1e300, &bits));
	assert_int_equal(bits, 7);
	assert_true(isinf(dtype_of_fp16(0x7c00)) && isnan(dtype_of_fp16(0x7c01)));
}

static void test_bf16(void **state)
{
	uint16_t bits;
	assert_true(dtype_to_bf16(1.0, &bits));
	assert_int_equal(bits, 0x3f80);
	assert_true(dtype_to_bf16(-3.140625, &bits));
	assert_int_equal(bits, 0xc049);
	assert_true(dtype_to_bf16(3.3895313892515355e38, &bits));
	assert_int_equal(bits, 0x7f7f);
	assert_false(dtype_to_bf16(3.4e38, &bits));
	assert_true(dtype_of_bf16(0x3fc0) == 1.5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_small_floats_come_back),
		cmocka_unit_test(test_fp16),
		cmocka_unit_test(test_bf16),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
