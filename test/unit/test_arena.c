#include "base/arena.h"

#include "base/rand.h"
#include "unit.h"

static void test_alignment_and_content(void **state)
{
	struct arena a;
	struct rand r;
	unsigned char *pieces[200];
	size_t lens[200];
	rand_seed(&r, 1);
	arena_init(&a, 512, 1 << 20);
	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < 200; i++) {
			lens[i] = rand_below(&r, i % 20 == 0 ? 3000 : 100);
			pieces[i] = arena_alloc(&a, lens[i]);
			assert_non_null(pieces[i]);
			assert_int_equal((uintptr_t)pieces[i] % 8, 0);
			memset(pieces[i], (int)i, lens[i]);
		}
		for (size_t i = 0; i < 200; i++) {
			for (size_t k = 0; k < lens[i]; k++)
				assert_int_equal(pieces[i][k], (unsigned char)i);
		}
		arena_reset(&a);
		assert_int_equal(a.used, 0);
	}
	arena_finish(&a);
	assert_null(a.blocks);
}

static void test_limit(void **state)
{
	struct arena a;
	arena_init(&a, 64, 100);
	assert_non_null(arena_alloc(&a, 50)); /* takes 56 */
	assert_null(arena_alloc(&a, 49));
	assert_non_null(arena_alloc(&a, 40));
	assert_int_equal(a.used, 96);
	assert_null(arena_alloc(&a, 5));
	assert_null(arena_alloc(&a, SIZE_MAX));
	assert_null(arena_alloc(&a, SIZE_MAX - 7));
	assert_null(arena_str(&a, STR("0123456789")).ptr);
	assert_null(arena_printf(&a, "%d", 12345678).ptr);
	arena_reset(&a);
	assert_non_null(arena_alloc(&a, 96));
	arena_finish(&a);
	arena_init(&a, 64, 96);
	assert_non_null(arena_alloc(&a, 96)); /* the limit itself */
	arena_finish(&a);
}

static void test_nothing_is_no_failure(void **state)
{
	struct arena a;
	arena_init(&a, 64, 64);
	arena_reset(&a); /* before anything was asked for */
	assert_non_null(arena_alloc(&a, 0));
	struct str empty = arena_str(&a, (struct str){ NULL, 0 });
	assert_non_null(empty.ptr);
	assert_int_equal(empty.len, 0);
	assert_non_null(arena_printf(&a, "%s", "").ptr);
	arena_finish(&a);
}

static void test_first_block_is_kept(void **state)
{
	if (UNIT_SANITIZED) {
		print_message("under AddressSanitizer each allocation is a block of its own\n");
		skip();
	}
	struct arena a;
	arena_init(&a, 256, 1 << 16);
	char *first = arena_alloc(&a, 16);
	for (int i = 0; i < 50; i++)
		assert_non_null(arena_alloc(&a, 100));
	arena_reset(&a);
	assert_ptr_equal(arena_alloc(&a, 16), first);
	arena_reset(&a);
	assert_ptr_equal(arena_alloc(&a, 256), first);
	arena_finish(&a);
}

static void test_large_first_block_is_given_back(void **state)
{
	struct arena a;
	arena_init(&a, 256, 1 << 20);
	assert_non_null(arena_alloc(&a, 100000));
	arena_reset(&a);
	assert_null(a.blocks);
	assert_non_null(arena_alloc(&a, 8));
	arena_finish(&a);
}

static void test_strings(void **state)
{
	struct arena a;
	arena_init(&a, 32, 4096);
	char text[] = "some text";
	struct str copy = arena_str(&a, str_of(text));
	text[0] = 'X';
	assert_str(copy, "some text");
	struct str made =
		arena_printf(&a, "%s-%d", "a rather long piece of text that fits into no block", 42);
	assert_str(made, "a rather long piece of text that fits into no block-42");
	assert_int_equal(made.ptr[made.len], '\0');
	assert_str(arena_printf(&a, "%s", ""), "");
	arena_finish(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_alignment_and_content),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_nothing_is_no_failure),
		cmocka_unit_test(test_first_block_is_kept),
		cmocka_unit_test(test_large_first_block_is_given_back),
		cmocka_unit_test(test_strings),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
