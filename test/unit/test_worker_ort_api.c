/* Holds the list in worker/ort_api.h against ONNX Runtime's own header, where there is one. */
#include "unit.h"
#include "worker/ort_api.h"

#include <stdio.h>

#if __has_include(<onnxruntime_c_api.h>)
#define HAVE_HEADER 1
/* The types that both declare get other names in ours, which is included above already. */
#define OrtApiBase RealOrtApiBase
#include <onnxruntime_c_api.h>
#undef OrtApiBase
#else
#define HAVE_HEADER 0
#endif

static void test_places(void **state)
{
#if HAVE_HEADER
#define SAME_PLACE(place, result, name, parameters) \
	assert_int_equal(offsetof(struct OrtApi, name), (place) * sizeof(void *));
	ORT_FUNCTIONS(SAME_PLACE)
#else
	printf("no onnxruntime_c_api.h on this machine (Debian 13: libonnxruntime-dev)\n");
	skip();
#endif
}

static void test_values(void **state)
{
#if HAVE_HEADER
	assert_int_equal(ORT_LOG_FATAL, ORT_LOGGING_LEVEL_FATAL);
	assert_int_equal(ORT_CODE_INVALID_ARGUMENT, ORT_INVALID_ARGUMENT);
	assert_int_equal(ORT_RUN_SEQUENTIAL, ORT_SEQUENTIAL);
	assert_int_equal(ORT_OPTIMIZE_ALL, ORT_ENABLE_ALL);
	assert_int_equal(ORT_IS_TENSOR, ONNX_TYPE_TENSOR);
	assert_int_equal(ORT_ALLOCATOR_DEVICE, OrtDeviceAllocator);
	assert_int_equal(ORT_MEMORY_DEFAULT, OrtMemTypeDefault);
	assert_int_equal(offsetof(struct OrtApiBase, GetApi), offsetof(struct RealOrtApiBase, GetApi));
	assert_int_equal(offsetof(struct OrtApiBase, GetVersionString),
		offsetof(struct RealOrtApiBase, GetVersionString));
#else
	printf("no onnxruntime_c_api.h on this machine (Debian 13: libonnxruntime-dev)\n");
	skip();
#endif
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_places),
		cmocka_unit_test(test_values),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
