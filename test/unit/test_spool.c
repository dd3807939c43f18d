#include "io/io.h"

#include "unit.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

enum { CALLS_MAX = 256, PATIENCE_US = 20 * 1000 * 1000 };

/* What came back, in the order in which it came. */
struct returns {
	struct io *io;
	struct {
		void *owner;
		int err;
		size_t n;
	} calls[CALLS_MAX];
	size_t n, wanted;
	struct io_timer patience;
	bool out_of_patience;
};

static struct returns back;

static void on_done(void *owner, int err, size_t n)
{
	assert_true(back.n < CALLS_MAX);
	back.calls[back.n].owner = owner;
	back.calls[back.n].err = err;
	back.calls[back.n++].n = n;
}

static void on_patience(struct io_timer *t)
{
	back.out_of_patience = true;
	io_stop(back.io);
}

static void on_turn_end(struct io *io)
{
	if (back.n >= back.wanted)
		io_stop(io);
}

/* Until so many calls have come back. */
static void run_until(size_t wanted)
{
	assert_true(back.n < wanted); /* nothing comes back from within its call */
	back.wanted = wanted;
	io_timer_set(back.io, &back.patience, back.io->now_us + PATIENCE_US);
	assert_int_equal(io_epoll_run(back.io), 0);
	io_timer_stop(back.io, &back.patience);
	assert_false(back.out_of_patience);
	assert_int_equal(back.n, wanted);
}

static int open_loop(void **state)
{
	back = (struct returns){ .io = io_epoll_create(), .patience.on_timer = on_patience };
	assert_non_null(back.io);
	back.io->on_turn_end = on_turn_end;
	return 0;
}

static int close_loop(void **state)
{
	io_epoll_destroy(back.io);
	unsetenv("TMPDIR");
	return 0;
}

static char *filled(size_t n, char with)
{
	char *p = malloc(n);
	assert_non_null(p);
	memset(p, with, n);
	return p;
}

static void write_at(struct io_spool *sp, uint64_t at, size_t n, char with)
{
	assert_int_equal(io_spool_write(back.io, sp, at, filled(n, with), n, on_done), 0);
}

static void read_at(struct io_spool *sp, uint64_t at, char *into, size_t n)
{
	assert_int_equal(io_spool_read(back.io, sp, at, into, n, on_done), 0);
}

static void assert_all(const char *p, size_t n, char is)
{
	for (size_t i = 0; i < n; i++) {
		if (p[i] != is)
			fail_msg("byte %zu is %02x, not %02x", i, (unsigned)(unsigned char)p[i],
				(unsigned)(unsigned char)is);
	}
}

static void test_there_and_back(void **state)
{
	int owner;
	char *into = filled(300000, '?');
	struct io_spool *sp = io_spool_open(back.io, &owner);
	assert_non_null(sp);
	write_at(sp, 0, 100000, 'a');
	write_at(sp, 100000, 1, 'b');
	write_at(sp, 100001, 199999, 'c');
	read_at(sp, 0, into, 300000); /* asked for before anything is written: in the order of the calls */
	run_until(4);
	for (size_t i = 0; i < 4; i++) {
		assert_ptr_equal(back.calls[i].owner, &owner);
		assert_int_equal(back.calls[i].err, 0);
	}
	assert_int_equal(back.calls[0].n, 100000);
	assert_int_equal(back.calls[1].n, 1);
	assert_int_equal(back.calls[2].n, 199999);
	assert_int_equal(back.calls[3].n, 300000);
	assert_all(into, 100000, 'a');
	assert_int_equal(into[100000], 'b');
	assert_all(into + 100001, 199999, 'c');
	io_spool_close(back.io, sp);
	free(into);
}

static void test_two_spools_do_not_mix(void **state)
{
	int owners[2];
	char into[2][1000];
	struct io_spool *sp[2];
	for (int i = 0; i < 2; i++) {
		sp[i] = io_spool_open(back.io, &owners[i]);
		assert_non_null(sp[i]);
	}
	for (uint64_t at = 0; at < 1000; at += 100) {
		write_at(sp[0], at, 100, '0');
		write_at(sp[1], at, 100, '1');
	}
	for (int i = 0; i < 2; i++)
		read_at(sp[i], 0, into[i], 1000);
	run_until(22);
	for (size_t i = 0; i < 22; i++)
		assert_ptr_equal(back.calls[i].owner, &owners[i % 2]);
	assert_all(into[0], 1000, '0');
	assert_all(into[1], 1000, '1');
	for (int i = 0; i < 2; i++)
		io_spool_close(back.io, sp[i]);
}

/* A later call sees an earlier one, wherever it was. */
static void test_written_over(void **state)
{
	int owner;
	char into[30];
	struct io_spool *sp = io_spool_open(back.io, &owner);
	write_at(sp, 0, 30, 'a');
	write_at(sp, 10, 10, 'b');
	read_at(sp, 0, into, 30);
	run_until(3);
	assert_all(into, 10, 'a');
	assert_all(into + 10, 10, 'b');
	assert_all(into + 20, 10, 'a');
	io_spool_close(back.io, sp);
}

static size_t entries_of(const char *path)
{
	DIR *d = opendir(path);
	size_t n = 0;
	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void test_file_has_no_name(void **state)
{
	int owner;
	char dir[] = "/tmp/berth-test-XXXXXX";
	assert_non_null(mkdtemp(dir));
	setenv("TMPDIR", dir, 1);
	size_t before = entries_of(dir);
	struct io_spool *sp = io_spool_open(back.io, &owner);
	write_at(sp, 0, 1000, 'x');
	run_until(1);
	assert_int_equal(back.calls[0].err, 0);
	assert_int_equal(entries_of(dir), before);
	io_spool_close(back.io, sp);
	assert_int_equal(rmdir(dir), 0);
}

/* It shows at the first write, and at each that follows. */
static void test_directory_that_is_none(void **state)
{
	static const char *const dirs[] = { "/nonexistent/directory", "/dev/null" };
	static const int errs[] = { -ENOENT, -ENOTDIR };
	for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
		int owner;
		back.n = 0;
		setenv("TMPDIR", dirs[i], 1);
		struct io_spool *sp = io_spool_open(back.io, &owner);
		assert_non_null(sp);
		write_at(sp, 0, 10, 'x');
		write_at(sp, 10, 10, 'x');
		run_until(2);
		assert_int_equal(back.calls[0].err, errs[i]);
		assert_int_equal(back.calls[1].err, errs[i]);
		io_spool_close(back.io, sp);
	}
}

static void test_disk_is_full(void **state)
{
	int owner;
	struct rlimit before, little;
	char into[100];
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	signal(SIGXFSZ, SIG_IGN);
	struct io_spool *sp = io_spool_open(back.io, &owner);
	little = (struct rlimit){ 5000, before.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &little), 0);
	write_at(sp, 0, 4000, 'x');
	write_at(sp, 4000, 4000, 'y');
	read_at(sp, 3900, into, 100);
	run_until(3);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	signal(SIGXFSZ, SIG_DFL);
	assert_int_equal(back.calls[0].err, 0);
	assert_int_equal(back.calls[1].err, -ENOSPC); /* EFBIG is somebody's own limit */
	assert_int_equal(back.calls[2].err, 0);
	assert_all(into, 100, 'x');
	io_spool_close(back.io, sp);
}

static void test_read_past_the_end(void **state)
{
	int owner;
	char into[20];
	struct io_spool *sp = io_spool_open(back.io, &owner);
	write_at(sp, 0, 10, 'x');
	read_at(sp, 0, into, 20);
	run_until(2);
	assert_int_equal(back.calls[1].err, -EIO);
	io_spool_close(back.io, sp);
}

/* Nothing comes back for it, the memory of its reads is freed (or the sanitizer says so), and others go on.
 */
static void test_close_with_calls_under_way(void **state)
{
	int closed_owner, owner;
	char into[10];
	struct io_spool *closed = io_spool_open(back.io, &closed_owner);
	struct io_spool *sp = io_spool_open(back.io, &owner);
	for (uint64_t i = 0; i < 50; i++) {
		write_at(closed, i * 100000, 100000, 'x');
		read_at(closed, i * 100000, filled(100000, '?'), 100000);
	}
	write_at(sp, 0, 10, 'y');
	io_spool_close(back.io, closed);
	read_at(sp, 0, into, 10);
	run_until(2);
	assert_ptr_equal(back.calls[0].owner, &owner);
	assert_ptr_equal(back.calls[1].owner, &owner);
	assert_all(into, 10, 'y');
	io_spool_close(back.io, sp);
}

static void test_close_nothing(void **state)
{
	int owner;
	io_spool_close(back.io, NULL);
	struct io_spool *sp = io_spool_open(back.io, &owner);
	assert_non_null(sp);
	io_spool_close(back.io, sp); /* which never had a file */
}

/* The loop ends while calls are under way, some of a spool that was closed and some not: nothing is lost to
 * the sanitizer. */
static void test_destroy_with_calls_under_way(void **state)
{
	int owner;
	char *into = filled(1000, '?');
	struct io *io = io_epoll_create();
	assert_non_null(io);
	struct io_spool *sp[3];
	for (int i = 0; i < 3; i++) {
		sp[i] = io_spool_open(io, &owner);
		assert_int_equal(io_spool_write(io, sp[i], 0, filled(1000, 'x'), 1000, on_done), 0);
	}
	assert_int_equal(io_spool_read(io, sp[0], 0, filled(1000, '?'), 1000, on_done), 0);
	assert_int_equal(io_spool_read(io, sp[1], 0, into, 1000, on_done), 0);
	for (int i = 0; i < 3; i++) {
		if (i != 1)
			io_spool_close(io, sp[i]);
	}
	io_spool_close(io, sp[1]); /* which takes `into` */
	io_epoll_destroy(io);
	assert_int_equal(back.n, 0);
}

#define in_a_loop(test) cmocka_unit_test_setup_teardown(test, open_loop, close_loop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		in_a_loop(test_there_and_back),
		in_a_loop(test_two_spools_do_not_mix),
		in_a_loop(test_written_over),
		in_a_loop(test_file_has_no_name),
		in_a_loop(test_directory_that_is_none),
		in_a_loop(test_disk_is_full),
		in_a_loop(test_read_past_the_end),
		in_a_loop(test_close_with_calls_under_way),
		in_a_loop(test_close_nothing),
		in_a_loop(test_destroy_with_calls_under_way),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
