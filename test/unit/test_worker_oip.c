#include "guard.h"
#include "unit.h"
#include "worker/oip_read.h"
#include "worker/oip_write.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One input x of a type, [-1,2], and two outputs. */
static char name_x[] = "x", name_y[] = "y", name_s[] = "s";
static struct tensor_spec x,
	outputs[2] = {
		{ .name = name_y, .dtype = DTYPE_FP32, .rank = 1, .dims = { 3 } },
		{ .name = name_s, .dtype = DTYPE_BYTES, .rank = 1, .dims = { -1 } },
	};
static const struct signature signature = { .inputs = &x, .outputs = outputs, .n_inputs = 1, .n_outputs = 2 };
static struct oip_request request;
static struct guard guard;

static int set_up(void **state)
{
	guard_init(&guard, 4096);
	return 0;
}

static int tear_down(void **state)
{
	guard_finish(&guard);
	return 0;
}

static void take(enum dtype d)
{
	x = (struct tensor_spec){ .name = name_x, .dtype = d, .rank = 2, .dims = { -1, 2 } };
}

static bool read_body(const char *json, struct str binary, struct why *why)
{
	return oip_read(&request, &signature,
		(struct str){ guard_at_end(&guard, json, strlen(json)), strlen(json) }, binary, why);
}

static void expect_good(const char *json, struct str binary)
{
	struct why why = { "" };
	if (!read_body(json, binary, &why))
		fail_msg("%s: %s", json, why.text);
}

static void expect_bad(const char *json, struct str binary, const char *says)
{
	struct why why = { "" };
	if (read_body(json, binary, &why))
		fail_msg("taken: %s", json);
	if (!strstr(why.text, says))
		fail_msg("%s: \"%s\" does not say \"%s\"", json, why.text, says);
}

#define NONE ((struct str){ "", 0 })

/* A request with one tensor, shape [1,2], and these data. */
static const char *body(enum dtype d, const char *data)
{
	static char text[512];
	snprintf(text, sizeof text,
		"{\"inputs\":[{\"name\":\"x\",\"shape\":[1,2],\"datatype\":\"%s\",\"data\":%s}]}",
		dtype_name(d), data);
	return text;
}

static void expect_elements(enum dtype d, const char *data, const void *expected, size_t bytes)
{
	take(d);
	expect_good(body(d, data), NONE);
	assert_int_equal(request.inputs[0].n, 2);
	assert_memory_equal(request.inputs[0].data, expected, bytes);
	oip_request_finish(&request);
}

static void expect_no_elements(enum dtype d, const char *data, const char *says)
{
	take(d);
	expect_bad(body(d, data), NONE, says);
}

/* ---- elements ---- */

static void test_integers(void **state)
{
	expect_elements(DTYPE_UINT8, "[0,255]", (uint8_t[]){ 0, 255 }, 2);
	expect_elements(DTYPE_UINT16, "[0,65535]", (uint16_t[]){ 0, 65535 }, 4);
	expect_elements(DTYPE_UINT32, "[0,4294967295]", (uint32_t[]){ 0, UINT32_MAX }, 8);
	expect_elements(DTYPE_UINT64, "[0,9223372036854775807]", (uint64_t[]){ 0, INT64_MAX }, 16);
	expect_elements(DTYPE_INT8, "[-128,127]", (int8_t[]){ -128, 127 }, 2);
	expect_elements(DTYPE_INT16, "[-32768,32767]", (int16_t[]){ -32768, 32767 }, 4);
	expect_elements(DTYPE_INT32, "[-2147483648,2147483647]", (int32_t[]){ INT32_MIN, INT32_MAX }, 8);
	expect_elements(DTYPE_INT64, "[-9223372036854775808,9223372036854775807]",
		(int64_t[]){ INT64_MIN, INT64_MAX }, 16);
	expect_no_elements(DTYPE_UINT8, "[0,256]", "element 1 is no UINT8");
	expect_no_elements(DTYPE_UINT8, "[-1,0]", "element 0 is no UINT8");
	expect_no_elements(DTYPE_UINT16, "[65536,0]", "element 0");
	expect_no_elements(DTYPE_UINT32, "[0,4294967296]", "element 1");
	expect_no_elements(DTYPE_UINT64, "[-1,0]", "element 0");
	expect_no_elements(DTYPE_UINT64, "[9223372036854775808,0]", "out of range");
	expect_no_elements(DTYPE_INT8, "[0,128]", "element 1");
	expect_no_elements(DTYPE_INT8, "[-129,0]", "element 0");
	expect_no_elements(DTYPE_INT16, "[0,32768]", "element 1");
	expect_no_elements(DTYPE_INT32, "[-2147483649,0]", "element 0");
	expect_no_elements(DTYPE_INT64, "[0,1.0]", "element 1 is no INT64");
	expect_no_elements(DTYPE_INT64, "[true,1]", "element 0 is no INT64");
	expect_no_elements(DTYPE_INT64, "[\"1\",1]", "element 0 is no INT64");
	expect_no_elements(DTYPE_INT64, "[null,1]", "element 0 is no INT64");
}

static void test_floats(void **state)
{
	expect_elements(DTYPE_FP16, "[1,-0.5]", (uint16_t[]){ 0x3c00, 0xb800 }, 4);
	expect_elements(DTYPE_BF16, "[1,-0.5]", (uint16_t[]){ 0x3f80, 0xbf00 }, 4);
	expect_elements(DTYPE_FP32, "[0.1,-3e38]", (float[]){ 0.1f, -3e38f }, 8);
	expect_elements(DTYPE_FP64, "[0.1,7]", (double[]){ 0.1, 7 }, 16);
	expect_no_elements(DTYPE_FP16, "[0,65520]", "element 1 is no FP16");
	expect_no_elements(DTYPE_BF16, "[3.4e38,0]", "element 0 is no BF16");
	expect_no_elements(DTYPE_FP32, "[0,3.5e38]", "element 1 is no FP32");
	expect_no_elements(DTYPE_FP32, "[0,false]", "element 1 is no FP32");
	expect_no_elements(DTYPE_FP32, "[0,null]", "element 1 is no FP32");
	expect_no_elements(DTYPE_FP64, "[1e999,0]", "out of range");
}

static void test_bools(void **state)
{
	expect_elements(DTYPE_BOOL, "[true,false]", (uint8_t[]){ 1, 0 }, 2);
	expect_no_elements(DTYPE_BOOL, "[true,0]", "element 1 is no BOOL");
}

static void test_strings(void **state)
{
	take(DTYPE_BYTES);
	expect_good(body(DTYPE_BYTES, "[\"caf\\u00e9\",\"\"]"), NONE);
	const struct str *strings = request.inputs[0].data;
	assert_str(strings[0], "caf\xc3\xa9");
	assert_str(strings[1], "");
	oip_request_finish(&request);
	expect_no_elements(DTYPE_BYTES, "[\"a\",1]", "element 1 is no BYTES");
}

/* ---- shapes ---- */

static const char *shaped(const char *shape, const char *data)
{
	static char text[512];
	snprintf(text, sizeof text,
		"{\"inputs\":[{\"name\":\"x\",\"shape\":%s,\"datatype\":\"INT8\",\"data\":%s}]}", shape,
		data);
	return text;
}

static void test_shapes(void **state)
{
	take(DTYPE_INT8);
	static const char *const same[] = { "[1,2,3,4]", "[[1,2],[3,4]]" };
	for (size_t i = 0; i < ARRAY_LEN(same); i++) {
		expect_good(shaped("[2,2]", same[i]), NONE);
		assert_memory_equal(request.inputs[0].data, ((int8_t[]){ 1, 2, 3, 4 }), 4);
		assert_int_equal(request.inputs[0].rank, 2);
		oip_request_finish(&request);
	}
	expect_good(shaped("[0,2]", "[]"), NONE);
	assert_int_equal(request.inputs[0].n, 0);
	oip_request_finish(&request);
	expect_bad(shaped("[2]", "[1,2]"), NONE,
		"takes INT8 [-1,2], where -1 is any size, and this is INT8 [2]");
	expect_bad(shaped("[2,1]", "[1,2]"), NONE, "this is INT8 [2,1]");
	expect_bad(shaped("[-1,2]", "[1,2]"), NONE, "none below 0");
	expect_bad(shaped("[1.0,2]", "[1,2]"), NONE, "array of integers");
	expect_bad(shaped("2", "[1,2]"), NONE, "array of integers");
	expect_bad(shaped("[1,1,1,1,1,1,1,1,1]", "[1]"), NONE, "at most 8 dimensions");
	expect_bad(shaped("[2,2]", "[1,2,3]"), NONE, "\"data\" has 3 elements");
	expect_bad(shaped("[2,2]", "[1,2,3,4,5]"), NONE, "\"data\" has 5 elements");
	expect_bad(shaped("[4611686018427387904,2]", "[1,2]"), NONE, "\"data\" has 2 elements");
	expect_bad(shaped("[9223372036854775807,2]", "[1,2]"), NONE, "\"data\" has 2 elements");
	expect_bad(shaped("[2,2]", "[[1,2,3],[4]]"), NONE, "nested otherwise");
	expect_bad(shaped("[2,2]", "[[1,2],3,4]"), NONE, "nested otherwise");
	expect_bad(shaped("[2,2]", "[[1,2],[[3,4]]]"), NONE, "nested otherwise");
	expect_bad(shaped("[2,2]", "[[1,2],[[3],4]]"), NONE, "element 2 is no INT8");
	expect_bad(shaped("[2,2]", "[1,2,[3],4]"), NONE, "element 2 is no INT8");
	expect_bad(shaped("[2,2]", "{}"), NONE, "\"data\" must be an array");
}

static void test_scalar(void **state)
{
	x = (struct tensor_spec){ .name = name_x, .dtype = DTYPE_INT8 };
	expect_good(shaped("[]", "[5]"), NONE);
	assert_int_equal(request.inputs[0].rank, 0);
	assert_int_equal(*(const int8_t *)request.inputs[0].data, 5);
	oip_request_finish(&request);
}

/* ---- requests ---- */

static void test_bad_requests(void **state)
{
	static const char *const cases[][2] = {
		{ "", "not JSON" },
		{ "{", "not JSON" },
		{ "[]", "must be a JSON object" },
		{ "{}", "\"inputs\" must be an array" },
		{ "{\"inputs\":[]}", "input \"x\" is missing" },
		{ "{\"inputs\":{}}", "\"inputs\" must be an array" },
		{ "{\"inputs\":[1]}", "must be an object with a \"name\"" },
		{ "{\"inputs\":[{\"name\":\"z\"}]}", "no input \"z\"" },
		{ "{\"inputs\":[{\"name\":\"x\"}]}", "\"datatype\" must be one of the protocol's" },
		{ "{\"inputs\":[{\"name\":\"x\",\"datatype\":\"FP31\"}]}",
			"\"datatype\" must be one of the protocol's" },
		{ "{\"inputs\":[{\"name\":\"x\",\"datatype\":\"FP32\"}]}",
			"the model takes INT8, and this is FP32" },
		{ "{\"inputs\":[{\"name\":\"x\",\"datatype\":\"INT8\"}]}", "\"shape\" must be" },
		{ "{\"inputs\":[{\"name\":\"x\",\"datatype\":\"INT8\",\"shape\":[1,2]}]}",
			"\"data\" must be an array" },
		{ "{\"inputs\":[{\"name\":\"x\",\"datatype\":\"INT8\",\"shape\":[1,2],\"data\":[1,2]},"
		  "{\"name\":\"x\",\"datatype\":\"INT8\",\"shape\":[1,2],\"data\":[1,2]}]}",
			"given twice" },
		{ "{\"id\":1,\"inputs\":[]}", "\"id\" must be a string" },
		{ "{\"inputs\":[],\"inputs\":[]}", "not JSON: duplicate" },
		{ "{\"outputs\":{},\"inputs\":[]}", "\"outputs\" must be an array" },
		{ "{\"outputs\":[\"y\"],\"inputs\":[]}", "must be an object with a \"name\"" },
		{ "{\"outputs\":[{\"name\":\"q\"}],\"inputs\":[]}", "no output \"q\"" },
		{ "{\"outputs\":[{\"name\":\"y\"},{\"name\":\"y\"}],\"inputs\":[]}", "asked for twice" },
		{ "{\"outputs\":[{\"name\":\"y\",\"parameters\":{\"binary_data\":1}}],\"inputs\":[]}",
			"true or false" },
		{ "{\"parameters\":{\"binary_data_output\":\"yes\"},\"inputs\":[]}", "true or false" },
	};
	take(DTYPE_INT8);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		expect_bad(cases[i][0], NONE, cases[i][1]);
}

static void test_wants(void **state)
{
	take(DTYPE_INT8);
	expect_good(
		"{\"id\":\"seven\",\"parameters\":{\"binary_data_output\":true,\"priority\":3},"
		"\"outputs\":[{\"name\":\"s\"},{\"name\":\"y\",\"parameters\":{\"binary_data\":false,\"a\":[]"
		"}}],"
		"\"inputs\":[{\"name\":\"x\",\"shape\":[1,2],\"datatype\":\"INT8\",\"parameters\":{\"b\":1},"
		"\"data\":[1,2]}]}",
		NONE);
	assert_str(request.id, "seven");
	assert_int_equal(request.n_wants, 2);
	assert_int_equal(request.wants[0].output, 1);
	assert_true(request.wants[0].binary);
	assert_int_equal(request.wants[1].output, 0);
	assert_false(request.wants[1].binary);
	oip_request_finish(&request);
	expect_good(body(DTYPE_INT8, "[1,2]"), NONE);
	assert_null(request.id.ptr);
	assert_int_equal(request.n_wants, 2);
	assert_int_equal(request.wants[0].output, 0);
	oip_request_finish(&request);
}

/* ---- binary tensor data ---- */

static const char *binary_body(enum dtype d, const char *shape, size_t size)
{
	static char text[512];
	snprintf(text, sizeof text,
		"{\"inputs\":[{\"name\":\"x\",\"shape\":%s,\"datatype\":\"%s\",\"parameters\":{\"binary_data_"
		"size\":%zu}}]}",
		shape, dtype_name(d), size);
	return text;
}

static void test_binary_numbers(void **state)
{
	_Alignas(8) static const char bytes[] = "0123456789abcdef!";
	for (enum dtype d = DTYPE_UINT8; d < DTYPE_BYTES; d++) {
		size_t size = 2 * dtype_bytes(d);
		take(d);
		for (size_t off = 0; off < 2; off++) {
			expect_good(binary_body(d, "[1,2]", size), (struct str){ bytes + off, size });
			const struct tensor *t = &request.inputs[0];
			bool aligned = off == 0 || dtype_bytes(d) == 1;
			assert_int_equal(
				t->data == bytes + off, aligned); /* not copied where it need not be */
			assert_memory_equal(t->data, bytes + off, size);
			assert_int_equal((uintptr_t)t->data % dtype_bytes(d), 0);
			oip_request_finish(&request);
		}
		expect_bad(binary_body(d, "[1,2]", size - 1), (struct str){ bytes, size - 1 },
			"do not make up its shape");
		expect_bad(binary_body(d, "[2,2]", size), (struct str){ bytes, size },
			"do not make up its shape");
		expect_bad(binary_body(d, "[1,2]", size), (struct str){ bytes, size - 1 },
			"bytes are left of the body");
		expect_bad(
			binary_body(d, "[1,2]", size), (struct str){ bytes, size + 1 }, "belong to no input");
	}
	expect_bad("{\"inputs\":[{\"name\":\"x\",\"shape\":[1,2],\"datatype\":\"FP64\",\"data\":[1,2],"
		   "\"parameters\":{\"binary_data_size\":16}}]}",
		(struct str){ bytes, 16 }, "both \"data\" and");
	expect_bad("{\"inputs\":[{\"name\":\"x\",\"shape\":[1,2],\"datatype\":\"FP64\","
		   "\"parameters\":{\"binary_data_size\":-1}}]}",
		NONE, "not below 0");
}

static void test_binary_bools(void **state)
{
	take(DTYPE_BOOL);
	expect_good(binary_body(DTYPE_BOOL, "[1,2]", 2), STR("\1\0"));
	oip_request_finish(&request);
	expect_bad(binary_body(DTYPE_BOOL, "[1,2]", 2), STR("\1\2"), "0 or 1");
}

static void test_binary_strings(void **state)
{
	static const char good[] = "\2\0\0\0hi\0\0\0\0";
	take(DTYPE_BYTES);
	expect_good(binary_body(DTYPE_BYTES, "[1,2]", 10), (struct str){ good, 10 });
	const struct str *strings = request.inputs[0].data;
	assert_str(strings[0], "hi");
	assert_str(strings[1], "");
	oip_request_finish(&request);
	expect_bad(binary_body(DTYPE_BYTES, "[1,2]", 9), (struct str){ good, 9 }, "end before element 1");
	expect_bad(
		binary_body(DTYPE_BYTES, "[2,2]", 10), (struct str){ good, 10 }, "do not make up its shape");
	expect_bad(binary_body(DTYPE_BYTES, "[1,2]", 11), (struct str){ good, 11 },
		"1 bytes after its last element");
	expect_bad(
		binary_body(DTYPE_BYTES, "[1,2]", 10), STR("\7\0\0\0hi\0\0\0\0"), "longer than what is left");
	expect_bad(binary_body(DTYPE_BYTES, "[1,2]", 10), STR("\xff\xff\xff\xffhi\0\0\0\0"), "longer than");
}

/* ---- answers ---- */

static void expect_json(const struct json *j, const char *expected)
{
	assert_str(json_str(j), expected);
}

static void test_answer(void **state)
{
	static const float numbers[] = { 0.5f, 1e9f, -0.1f };
	static const struct str strings[] = { { "hi", 2 }, { "\"", 1 } };
	const struct tensor tensors[] = {
		{ .spec = &outputs[0], .rank = 1, .dims = { 3 }, .n = 3, .data = numbers },
		{ .spec = &outputs[1], .rank = 1, .dims = { 2 }, .n = 2, .data = strings },
	};
	const struct oip_model who = { "m", "1", &signature };
	struct oip_request r = { .id = { "i", 1 }, .wants = { { 0, false }, { 1, false } }, .n_wants = 2 };
	struct json j;
	json_init(&j);
	assert_int_equal(oip_write_inference(&j, &who, &r, tensors), 0);
	expect_json(&j,
		"{\"model_name\":\"m\",\"model_version\":\"1\",\"id\":\"i\",\"outputs\":["
		"{\"name\":\"y\",\"datatype\":\"FP32\",\"shape\":[3],\"data\":[0.5,1e+09,-0.1]},"
		"{\"name\":\"s\",\"datatype\":\"BYTES\",\"shape\":[2],\"data\":[\"hi\",\"\\\"\"]}]}");
	json_reset(&j);
	r.wants[0].binary = r.wants[1].binary = true;
	size_t json_bytes_written = oip_write_inference(&j, &who, &r, tensors);
	struct str all = json_str(&j);
	assert_str(((struct str){ all.ptr, json_bytes_written }),
		"{\"model_name\":\"m\",\"model_version\":\"1\",\"id\":\"i\",\"outputs\":["
		"{\"name\":\"y\",\"datatype\":\"FP32\",\"shape\":[3],\"parameters\":{\"binary_data_size\":12}"
		"},"
		"{\"name\":\"s\",\"datatype\":\"BYTES\",\"shape\":[2],\"parameters\":{\"binary_data_size\":"
		"11}}]}");
	struct str rest = str_skip(all, json_bytes_written);
	assert_int_equal(rest.len, 12 + 11);
	assert_memory_equal(rest.ptr, numbers, 12);
	assert_memory_equal(rest.ptr + 12, "\2\0\0\0hi\1\0\0\0\"", 11);
	json_finish(&j);
}

static void test_metadata(void **state)
{
	const struct oip_model who = { "m", "1", &signature };
	struct json j;
	json_init(&j);
	take(DTYPE_BYTES);
	oip_write_metadata(&j, &who);
	expect_json(&j,
		"{\"name\":\"m\",\"versions\":[\"1\"],\"platform\":\"onnx_onnxv1\","
		"\"inputs\":[{\"name\":\"x\",\"datatype\":\"BYTES\",\"shape\":[-1,2]}],"
		"\"outputs\":[{\"name\":\"y\",\"datatype\":\"FP32\",\"shape\":[3]},"
		"{\"name\":\"s\",\"datatype\":\"BYTES\",\"shape\":[-1]}]}");
	json_reset(&j);
	oip_write_error(&j, STR("what \"x\""));
	expect_json(&j, "{\"error\":\"what \\\"x\\\"\"}");
	json_finish(&j);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_integers),
		cmocka_unit_test(test_floats),
		cmocka_unit_test(test_bools),
		cmocka_unit_test(test_strings),
		cmocka_unit_test(test_shapes),
		cmocka_unit_test(test_scalar),
		cmocka_unit_test(test_bad_requests),
		cmocka_unit_test(test_wants),
		cmocka_unit_test(test_binary_numbers),
		cmocka_unit_test(test_binary_bools),
		cmocka_unit_test(test_binary_strings),
		cmocka_unit_test(test_answer),
		cmocka_unit_test(test_metadata),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
