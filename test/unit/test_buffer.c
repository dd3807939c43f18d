#include "gateway/buffer.h"

#include "base/rand.h"
#include "unit.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { PATIENCE_US = 20 * 1000 * 1000, WINDOW = 256 * 1024, MIB = 1024 * 1024 };

/* A buffer in a loop. Byte i of what is appended is byte_at(i). */
struct world {
	struct io *io;
	struct budget budget;
	struct buffer buffer;
	uint64_t appended;
	size_t ready;
	struct io_timer patience;
	bool out_of_patience;
};

static struct world w;

static char byte_at(uint64_t i)
{
	return (char)(i * 2654435761u >> 11);
}

static void on_ready(struct buffer *b)
{
	assert_ptr_equal(b, &w.buffer);
	w.ready++;
	io_stop(w.io);
}

static void on_patience(struct io_timer *t)
{
	w.out_of_patience = true;
	io_stop(w.io);
}

/* Until the buffer says that something has come. */
static void wait_ready(void)
{
	io_timer_set(w.io, &w.patience, w.io->now_us + PATIENCE_US);
	assert_int_equal(io_epoll_run(w.io), 0);
	io_timer_stop(w.io, &w.patience);
	assert_false(w.out_of_patience);
}

/* memory_max: of the buffer. */
static void world_open(uint64_t memory_max)
{
	w = (struct world){ .io = io_epoll_create(), .patience.on_timer = on_patience };
	assert_non_null(w.io);
	w.budget = (struct budget){ .memory_max = 64 * MIB, .spool_max = 64 * MIB };
	buffer_init(&w.buffer, w.io, &w.budget, memory_max, on_ready);
}

static void world_close(void)
{
	buffer_finish(&w.buffer);
	assert_int_equal(w.budget.memory_used, 0);
	assert_int_equal(w.budget.spool_used, 0);
	io_epoll_destroy(w.io);
	unsetenv("TMPDIR");
}

static int try_append(size_t n)
{
	char *bytes = malloc(n + 1);
	assert_non_null(bytes);
	for (size_t i = 0; i < n; i++)
		bytes[i] = byte_at(w.appended + i);
	int r = buffer_append(&w.buffer, bytes, n);
	free(bytes);
	if (r == 0)
		w.appended += n;
	return r;
}

static void append(size_t n)
{
	assert_int_equal(try_append(n), 0);
	assert_int_equal(w.buffer.size, w.appended);
}

static size_t check_slices(const struct iovec *iov, int n, uint64_t at)
{
	size_t total = 0;
	for (int i = 0; i < n; i++) {
		const char *p = iov[i].iov_base;
		assert_true(iov[i].iov_len > 0);
		for (size_t k = 0; k < iov[i].iov_len; k++) {
			if (p[k] != byte_at(at + total + k))
				fail_msg("byte %zu is another", (size_t)at + total + k);
		}
		total += iov[i].iov_len;
	}
	assert_true(at + total <= w.appended);
	return total;
}

/* Peeks until bytes are there. */
static size_t peek_at(uint64_t at, int max)
{
	struct iovec iov[8];
	for (;;) {
		int n = buffer_peek(&w.buffer, at, iov, max);
		assert_true(n >= 0 && n <= max);
		if (n > 0)
			return check_slices(iov, n, at);
		wait_ready();
	}
}

/* From `at` to the end; with consume, what was read is given up. */
static void read_all(uint64_t at, bool consume)
{
	while (at < w.appended) {
		at += peek_at(at, 4);
		if (consume)
			buffer_consume(&w.buffer, at);
	}
	struct iovec iov;
	assert_int_equal(buffer_peek(&w.buffer, w.appended, &iov, 1), 0);
}

/* ---- in memory ---- */

static void test_memory(void **state)
{
	world_open(MIB);
	read_all(0, false); /* nothing */
	append(0);
	append(1);
	append(100);
	append(20000);
	append(50000);
	read_all(0, false);
	read_all(77, false);
	read_all(20101, false);
	read_all(0, true);
	assert_int_equal(buffer_left(&w.buffer), 0);
	assert_int_equal(w.budget.memory_used, 0); /* all is given back */
	append(10);
	assert_int_equal(buffer_left(&w.buffer), 10);
	read_all(70101, true);
	assert_int_equal(w.ready, 0);
	assert_null(w.buffer.spool);
	world_close();
}

/* The first piece costs what it is long; small ones that follow share segments. */
static void test_memory_costs(void **state)
{
	world_open(MIB);
	append(300);
	assert_int_equal(w.budget.memory_used, 300);
	for (int i = 0; i < 1000; i++)
		append(10);
	assert_true(w.budget.memory_used < 300 + 10000 + 16384);
	world_close();
}

static void test_partly_consumed(void **state)
{
	world_open(MIB);
	append(1000);
	buffer_consume(&w.buffer, 999);
	read_all(999, false);
	append(1000);
	buffer_consume(&w.buffer, 1000);
	read_all(1000, false);
	buffer_consume(&w.buffer, 1000); /* the same again */
	read_all(1500, true);
	world_close();
}

/* ---- through the file ---- */

static void test_file(void **state)
{
	world_open(1000);
	for (int i = 0; i < 30; i++)
		append(40000);
	assert_non_null(w.buffer.spool);
	assert_true(w.buffer.mem_end <= 1000);
	read_all(0, false);
	assert_int_equal(w.buffer.written, w.buffer.size); /* and has left memory */
	assert_true(w.budget.memory_used <= 1000 + WINDOW);
	assert_int_equal(w.budget.spool_used, w.appended - w.buffer.mem_end);
	read_all(0, false); /* again, from the start: a request that is tried a second time */
	world_close();
}

static void test_windows(void **state)
{
	static const uint64_t offsets[] = { 0, 1, 999, 1000, 1001, WINDOW - 1, WINDOW, WINDOW + 1000,
		WINDOW + 1001, 2 * WINDOW, 3 * WINDOW - 7, 3 * WINDOW + 999 };
	world_open(1000);
	append(1000);
	append(3 * WINDOW);
	for (size_t i = 0; i < ARRAY_LEN(offsets); i++) {
		size_t n = peek_at(offsets[i], 4);
		assert_true(n > 0 && n <= WINDOW);
		n = peek_at(offsets[ARRAY_LEN(offsets) - 1 - i], 1); /* back and forth */
		assert_true(n > 0 && n <= WINDOW);
	}
	read_all(0, true);
	world_close();
}

/* When all of the file has been read, memory is used again. */
static void test_back_to_memory(void **state)
{
	world_open(1000);
	append(500);
	append(100000);
	read_all(0, true);
	assert_null(w.buffer.spool);
	assert_int_equal(w.budget.spool_used, 0);
	assert_int_equal(w.budget.memory_used, 0);
	append(700);
	assert_null(w.buffer.spool);
	append(90000);
	assert_non_null(w.buffer.spool);
	read_all(100500, true);
	assert_null(w.buffer.spool);
	world_close();
}

/* A reader that is faster than the disk: it is told when there is more. */
static void test_reader_at_the_heels(void **state)
{
	world_open(10);
	uint64_t at = 0;
	for (int i = 0; i < 200; i++) {
		append(1 + (size_t)i * 37 % 5000);
		struct iovec iov[4];
		int n = buffer_peek(&w.buffer, at, iov, 4);
		assert_true(n >= 0);
		if (n)
			at += check_slices(iov, n, at);
		buffer_consume(&w.buffer, at);
	}
	read_all(at, true);
	world_close();
}

static void test_random_walk(void **state)
{
	for (uint64_t seed = 1; seed <= 12; seed++) {
		struct rand r;
		uint64_t at = 0;
		bool rereads = seed % 2;
		rand_seed(&r, seed);
		world_open(rand_below(&r, 20000));
		for (int i = 0; i < 300; i++) {
			switch (rand_below(&r, 5)) {
			case 0:
			case 1:
				append(rand_below(&r, rand_below(&r, 8) ? 3000 : 600000));
				break;
			case 2:
				if (at < w.appended)
					at += peek_at(at, (int)rand_below(&r, 4) + 1);
				break;
			case 3:
				if (!rereads)
					buffer_consume(&w.buffer, at);
				break;
			default:
				if (rereads && rand_below(&r, 10) == 0)
					at = rand_below(&r, w.appended + 1);
				break;
			}
		}
		read_all(rereads ? 0 : at, false);
		read_all(rereads ? 0 : at, true);
		world_close();
	}
}

/* ---- behind ---- */

static void test_behind(void **state)
{
	world_open(1000);
	assert_false(buffer_is_behind(&w.buffer));
	while (!buffer_is_behind(&w.buffer)) {
		append(100000);
		assert_true(w.appended < 10 * MIB);
	}
	assert_true(w.budget.memory_used > MIB);
	while (buffer_is_behind(&w.buffer))
		wait_ready();
	read_all(0, true);
	world_close();
}

/* ---- limits ---- */

static void test_memory_limit(void **state)
{
	world_open(MIB);
	w.budget.memory_max = 50000;
	append(30000);
	append(19000);
	assert_int_equal(try_append(5000), -ENOMEM);
	assert_int_equal(w.budget.refused, 1);
	buffer_consume(&w.buffer, w.appended);
	append(5000); /* there is room again */
	world_close();
}

/* Also what is on its way to the file takes memory. */
static void test_memory_limit_of_the_file(void **state)
{
	world_open(0);
	w.budget.memory_max = 100000;
	append(60000);
	assert_int_equal(try_append(60000), -ENOMEM);
	while (w.buffer.written < w.buffer.size)
		wait_ready();
	append(60000);
	read_all(0, true); /* a window may go past the limit: it is how bytes leave */
	world_close();
}

static void test_spool_limit(void **state)
{
	world_open(1000);
	w.budget.spool_max = 100000;
	append(1000);
	append(60000);
	assert_int_equal(try_append(40001), -ENOSPC);
	assert_int_equal(w.budget.refused, 1);
	append(40000);
	read_all(0, true);
	append(100001 - 1001);
	read_all(101000, true);
	world_close();
}

/* An answer's buffer takes everything and says when to pause, or the container's slot could not be freed. */
static void test_must_take(void **state)
{
	world_open(MIB);
	w.buffer.must_take = true;
	w.budget.memory_max = 50000;
	w.budget.spool_max = 100000;
	append(40000);
	assert_false(buffer_is_behind(&w.buffer));
	append(5000); /* near the limit: to the file */
	append(5000);
	assert_non_null(w.buffer.spool);
	for (int i = 0; i < 10; i++)
		append(20000);
	assert_true(buffer_is_behind(&w.buffer));
	assert_int_equal(w.budget.refused, 0);
	read_all(0, true);
	assert_false(buffer_is_behind(&w.buffer));
	world_close();
}

/* ---- disks that fail ---- */

static void test_no_directory(void **state)
{
	struct iovec iov;
	setenv("TMPDIR", "/nonexistent/directory", 1);
	world_open(1000);
	append(1000);
	append(5000);
	while (!w.buffer.err)
		wait_ready();
	assert_int_equal(w.buffer.err, -ENOENT);
	assert_int_equal(try_append(10), -ENOENT);
	assert_int_equal(buffer_peek(&w.buffer, 0, &iov, 1), -ENOENT);
	assert_false(buffer_is_behind(&w.buffer)); /* nobody waits for it for ever */
	world_close();
}

static int cannot_read(
	struct io *io, struct io_spool *sp, uint64_t at, char *into, size_t n, io_spool_fn *done)
{
	return -ENOMEM;
}

/* Who sends the bytes must be able to tell this from a connection that is broken. */
static void test_a_read_that_cannot_be_begun(void **state)
{
	struct iovec iov;
	world_open(1000);
	append(1000);
	append(5000);
	while (!buffer_is_written(&w.buffer))
		wait_ready();
	const struct io_ops *ops = w.io->ops;
	struct io_ops without = *ops;
	without.spool_read = cannot_read;
	w.io->ops = &without;
	assert_int_equal(buffer_peek(&w.buffer, 1000, &iov, 1), -ENOMEM);
	w.io->ops = ops;
	assert_int_equal(w.buffer.err, -ENOMEM);
	assert_int_equal(buffer_peek(&w.buffer, 1000, &iov, 1), -ENOMEM);
	world_close();
}

/* ---- the end while things are under way ---- */

/* What is lent: slices of what is in memory, and the rest where the file has it. */
static void check_lent(void)
{
	enum { SLICES = 512 };
	struct iovec iov[SLICES];
	struct buffer_rest rest;
	int n = buffer_lend(&w.buffer, iov, SLICES, &rest);
	assert_true(n >= 0 && n < SLICES);
	size_t in_memory = check_slices(iov, n, 0);
	assert_int_equal(in_memory + rest.bytes, w.appended);
	char *bytes = malloc(rest.bytes + 1);
	assert_non_null(bytes);
	if (rest.bytes)
		assert_int_equal(pread(rest.fd, bytes, rest.bytes, (off_t)rest.at), rest.bytes);
	struct iovec in_file = { bytes, rest.bytes };
	assert_int_equal(check_slices(&in_file, rest.bytes ? 1 : 0, in_memory), rest.bytes);
	assert_int_equal(rest.fd >= 0, w.buffer.spool != NULL);
	free(bytes);
}

static void test_lend(void **state)
{
	static const size_t sizes[] = { 0, 1, 999, 1000, 1001, 5000, 70000, 400000 };
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		world_open(1000);
		for (size_t left = sizes[i]; left;) {
			size_t n = left < 700 ? left : 700;
			append(n);
			left -= n;
		}
		while (!buffer_is_written(&w.buffer))
			wait_ready();
		check_lent();
		read_all(0, false); /* it is there as before */
		world_close();
	}
}

static void test_finish_under_way(void **state)
{
	struct iovec iov;
	for (int how = 0; how < 3; how++) {
		world_open(1000);
		append(1000);
		append(700000);
		if (how > 0) {
			while (w.buffer.written < w.buffer.size)
				wait_ready();
			assert_int_equal(buffer_peek(&w.buffer, 1000, &iov, 1), 0); /* a read is under way */
			assert_true(w.buffer.loading);
		}
		if (how == 2)
			append(100000); /* and a write */
		size_t ready = w.ready;
		buffer_finish(&w.buffer);
		assert_int_equal(w.budget.memory_used, 0);
		assert_int_equal(w.budget.spool_used, 0);
		memset(&w.buffer, 0x5a, sizeof w.buffer);
		io_timer_set(w.io, &w.patience, w.io->now_us + 30000);
		assert_int_equal(io_epoll_run(w.io), 0);
		assert_int_equal(w.ready, ready); /* nothing is called for it any more */
		io_epoll_destroy(w.io);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_memory_costs),
		cmocka_unit_test(test_partly_consumed),
		cmocka_unit_test(test_file),
		cmocka_unit_test(test_windows),
		cmocka_unit_test(test_back_to_memory),
		cmocka_unit_test(test_reader_at_the_heels),
		cmocka_unit_test(test_random_walk),
		cmocka_unit_test(test_behind),
		cmocka_unit_test(test_memory_limit),
		cmocka_unit_test(test_memory_limit_of_the_file),
		cmocka_unit_test(test_spool_limit),
		cmocka_unit_test(test_must_take),
		cmocka_unit_test(test_no_directory),
		cmocka_unit_test(test_a_read_that_cannot_be_begun),
		cmocka_unit_test(test_lend),
		cmocka_unit_test(test_finish_under_way),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
