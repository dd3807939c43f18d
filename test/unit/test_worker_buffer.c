#include "unit.h"
#include "worker/buffer.h"

static void test_grows_and_keeps(void **state)
{
	struct buffer b = { 0 };
	assert_int_equal(buffer_str(&b).len, 0);
	for (int i = 0; i < 5000; i++)
		assert_true(buffer_append(&b, STR("0123456789")));
	assert_int_equal(b.len, 50000);
	for (size_t i = 0; i < b.len; i++)
		assert_int_equal(buffer_str(&b).ptr[i], '0' + (int)(i % 10));
	buffer_consume(&b, 49995);
	assert_str(buffer_str(&b), "56789");
	buffer_consume(&b, 5);
	assert_int_equal(b.len, 0);
	assert_true(buffer_append(&b, (struct str){ NULL, 0 }));
	buffer_finish(&b);
}

static void test_reset(void **state)
{
	struct buffer b = { 0 };
	assert_true(buffer_reserve(&b, 4000));
	char *memory = b.memory;
	buffer_reset(&b, b.cap);
	assert_ptr_equal(b.memory, memory);
	buffer_reset(&b, b.cap - 1);
	assert_null(b.memory);
	assert_int_equal(b.cap, 0);
}

static void test_append_in_place(void **state)
{
	struct buffer b = { .pad = 3 };
	assert_true(buffer_append(&b, STR("one")));
	assert_true(buffer_reserve(&b, 1000000));
	memcpy(buffer_end(&b), " two", 4);
	const char *memory = b.memory;
	assert_true(buffer_append(&b, (struct str){ buffer_end(&b), 4 }));
	assert_ptr_equal(b.memory, memory);
	assert_str(buffer_str(&b), "one two");
	buffer_finish(&b);
}

/* What stands pad bytes into the content lies on an aligned address, however the buffer grew. */
static void test_pad(void **state)
{
	for (size_t pad = 0; pad < 16; pad++) {
		struct buffer b = { .pad = pad };
		assert_true(buffer_append(&b, STR("0123456789abcdef")));
		assert_true(buffer_reserve(&b, 1000000));
		assert_str(buffer_str(&b), "0123456789abcdef");
		assert_int_equal((uintptr_t)(buffer_str(&b).ptr + (16 - pad) % 16) % 16, 0);
		buffer_reset(&b, SIZE_MAX);
		assert_int_equal(b.pad, 0);
		buffer_finish(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_grows_and_keeps),
		cmocka_unit_test(test_reset),
		cmocka_unit_test(test_append_in_place),
		cmocka_unit_test(test_pad),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
