/* What a program needs to run, read from its file: also from files that are broken. */
#include "fleet/image_elf.h"

#include "base/rand.h"
#include "base/str.h"
#include "unit.h"

#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FLIPS = 2000, HEAD_BYTES = 4096 };

static struct elf_needs needs;
static char error[ELF_ERROR];

static bool has(const char *name)
{
	for (size_t i = 0; i < needs.n; i++) {
		if (!strcmp(needs.libraries[i].name, name))
			return access(needs.libraries[i].path, R_OK) == 0;
	}
	return false;
}

static void test_this_program(void **state)
{
	assert_true(elf_find(&needs, "/proc/self/exe", error));
	assert_true(has("libc.so.6"));
	assert_true(has("libcmocka.so.0"));
	assert_int_equal(needs.loader[0], '/');
	assert_int_equal(access(needs.loader, R_OK), 0);
	assert_non_null(needs.architecture);
	size_t n = needs.n;
	assert_true(elf_add_library(&needs, "libc.so.6", NULL, error));
	assert_int_equal(needs.n, n);
	assert_false(elf_add_library(&needs, "libnowhere.so.1", NULL, error));
	assert_string_equal(error, "libnowhere.so.1: is not on this machine");
	elf_finish(&needs);
}

static void test_what_is_no_program(void **state)
{
	assert_false(elf_find(&needs, "/dev/null", error));
	assert_string_equal(error, "/dev/null: is no 64-bit ELF file");
	elf_finish(&needs);
	assert_false(elf_find(&needs, "/nowhere", error));
	assert_string_equal(error, "/nowhere: No such file or directory");
	elf_finish(&needs);
}

static void write_file(const char *path, const char *bytes, size_t n)
{
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(bytes, 1, n, f), n);
	assert_int_equal(fclose(f), 0);
}

/* A failure has its line. */
static void look_at(const char *path)
{
	error[0] = '\0';
	bool found = elf_find(&needs, path, error);
	assert_true(found || error[0]);
	elf_finish(&needs);
}

/* Whatever is said of such a file, nothing outside it is read. */
static void test_broken_programs(void **state)
{
	static char bytes[1 << 22];
	char path[] = "/tmp/berth-elf-XXXXXX";
	struct rand r;
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), made = mkstemp(path);
	ssize_t n = read(fd, bytes, sizeof bytes);
	assert_true(n > HEAD_BYTES && made >= 0);
	close(fd);
	close(made);
	for (size_t length = 0; length < HEAD_BYTES; length += 61) {
		write_file(path, bytes, length);
		look_at(path);
	}
	rand_seed(&r, 1);
	for (int i = 0; i < FLIPS; i++) {
		size_t at = EI_NIDENT + rand_below(&r, HEAD_BYTES - EI_NIDENT);
		char before = bytes[at];
		bytes[at] = (char)rand_u64(&r);
		write_file(path, bytes, HEAD_BYTES);
		look_at(path);
		bytes[at] = before;
	}
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_this_program),
		cmocka_unit_test(test_what_is_no_program),
		cmocka_unit_test(test_broken_programs),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
