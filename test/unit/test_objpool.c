#include "base/objpool.h"

#include "unit.h"

#include <string.h>

static void test_limit_and_zeroes(void **state)
{
	enum { MAX = 3000, BYTES = 72 };
	static unsigned char *objects[MAX];
	static const unsigned char zeroes[BYTES];
	struct objpool p;
	objpool_init(&p, BYTES, MAX);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < MAX; i++) {
			objects[i] = objpool_get(&p);
			assert_non_null(objects[i]);
			assert_int_equal((uintptr_t)objects[i] % 16, 0);
			assert_memory_equal(objects[i], zeroes, BYTES);
			memset(objects[i], i % 255 + 1, BYTES);
		}
		assert_int_equal(p.used, MAX);
		assert_null(objpool_get(&p));
		for (int i = 0; i < MAX; i++) {
			for (int k = 0; k < BYTES; k++)
				assert_int_equal(objects[i][k], i % 255 + 1);
		}
		for (int i = 0; i < MAX; i++)
			objpool_put(&p, objects[(i * 7) % MAX]); /* 7 and 3000 share no factor: each once */
		assert_int_equal(p.used, 0);
	}
	objpool_finish(&p);
}

static void test_objects_larger_than_a_chunk(void **state)
{
	struct objpool p;
	objpool_init(&p, 100000, 2);
	char *a = objpool_get(&p), *b = objpool_get(&p);
	assert_non_null(a);
	assert_non_null(b);
	memset(a, 1, 100000);
	memset(b, 2, 100000);
	assert_int_equal(a[99999], 1);
	assert_null(objpool_get(&p));
	objpool_put(&p, a);
	objpool_put(&p, b);
	objpool_finish(&p);
}

static void test_nothing(void **state)
{
	struct objpool p;
	objpool_init(&p, 8, 0);
	assert_null(objpool_get(&p));
	objpool_put(&p, NULL);
	assert_int_equal(p.used, 0);
	objpool_finish(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_limit_and_zeroes),
		cmocka_unit_test(test_objects_larger_than_a_chunk),
		cmocka_unit_test(test_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
