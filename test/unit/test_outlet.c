#include "base/outlet.h"

#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { KEPT = 256, PIPE_ROOM = 4096 };

/* One end for the outlet, the other for its reader. */
struct rig {
	int reader, writer;
	struct outlet outlet;
	char heard[64 * 1024];
	size_t n_heard;
};

static void set_up(struct rig *r, int reader, int writer)
{
	r->reader = reader;
	r->writer = writer;
	r->n_heard = 0;
	assert_int_equal(fcntl(reader, F_SETFL, O_NONBLOCK), 0);
	outlet_init(&r->outlet, writer, false, KEPT);
}

/* The smallest that there is. */
static void set_up_pipe(struct rig *r)
{
	int fds[2];
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(fcntl(fds[1], F_SETPIPE_SZ, PIPE_ROOM), PIPE_ROOM);
	set_up(r, fds[0], fds[1]);
}

static void set_up_socket(struct rig *r)
{
	int fds[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	set_up(r, fds[0], fds[1]);
}

static void take_down(struct rig *r)
{
	outlet_finish(&r->outlet);
	close(r->reader);
	close(r->writer);
}

static void hear(struct rig *r)
{
	ssize_t n;
	while ((n = read(r->reader, r->heard + r->n_heard, sizeof r->heard - 1 - r->n_heard)) > 0)
		r->n_heard += (size_t)n;
	r->heard[r->n_heard] = '\0';
}

/* "1\n", "2\n", … each of `width` bytes. */
static struct str line_of(unsigned number, int width)
{
	static char line[128];
	int n = snprintf(line, sizeof line, "%0*u\n", width - 1, number);
	return (struct str){ line, (size_t)n };
}

/* Puts lines until the first is lost; returns how many were put. */
static unsigned fill(struct rig *r, int width)
{
	unsigned n = 0;
	while (r->outlet.lost == 0)
		outlet_put(&r->outlet, line_of(++n, width));
	return n;
}

/* What was heard are the lines 1 … n, and nothing else. */
static void assert_lines(const struct rig *r, unsigned n, int width)
{
	struct str rest = { r->heard, r->n_heard };
	for (unsigned i = 1; i <= n; i++) {
		struct str line = line_of(i, width);
		assert_true(str_starts(rest, line));
		rest = str_skip(rest, line.len);
	}
	assert_int_equal(rest.len, 0);
}

/* The reader stops: as many lines as fit are kept and come later, in order; the rest is counted. */
static void test_a_reader_that_stops(void **state)
{
	static void (*const rigs[])(struct rig *) = { set_up_pipe, set_up_socket };
	static struct rig r;
	for (size_t i = 0; i < ARRAY_LEN(rigs); i++) {
		rigs[i](&r);
		unsigned put = fill(&r, 33);
		assert_int_equal(r.outlet.lost, 1);
		assert_in_range(r.outlet.kept_bytes, KEPT - 33 + 1, KEPT);
		assert_false(outlet_flush(&r.outlet));
		outlet_put(&r.outlet, line_of(put + 1, 33));
		assert_int_equal(r.outlet.lost, 2);
		hear(&r);
		assert_true(outlet_flush(&r.outlet));
		assert_null(r.outlet.kept);
		hear(&r);
		assert_lines(&r, put - 1, 33);
		take_down(&r);
	}
}

/* A descriptor that cannot be opened once more. */
static void test_polling(void **state)
{
	static struct rig r;
	set_up_pipe(&r);
	assert_int_equal(r.outlet.way, OUTLET_PIPE);
	r.outlet.way = OUTLET_POLL;
	unsigned put = fill(&r, 33);
	hear(&r);
	assert_true(outlet_flush(&r.outlet));
	hear(&r);
	assert_lines(&r, put - 1, 33);
	take_down(&r);
}

/* What others share stays as it is. */
static void test_flags_are_left_alone(void **state)
{
	static struct rig r;
	set_up_pipe(&r);
	assert_false(fcntl(r.writer, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(r.outlet.own, F_GETFL) & O_NONBLOCK);
	take_down(&r);
}

static void test_nobody_at_the_other_end(void **state)
{
	static struct rig r;
	set_up_socket(&r);
	close(r.reader);
	outlet_put(&r.outlet, STR("one\ntwo\n"));
	assert_int_equal(r.outlet.lost, 2);
	assert_null(r.outlet.kept);
	outlet_finish(&r.outlet);
	close(r.writer);
}

/* A line that was begun and cannot be finished: the next one begins on its own. */
static void test_a_torn_line(void **state)
{
	static struct rig r;
	set_up_socket(&r);
	static char big[KEPT * 1024];
	memset(big, 'x', sizeof big - 1);
	big[sizeof big - 1] = '\n';
	outlet_put(&r.outlet, (struct str){ big, sizeof big });
	assert_int_equal(r.outlet.lost, 1);
	assert_true(r.outlet.torn);
	do {
		r.n_heard = 0;
		hear(&r);
	} while (r.n_heard);
	outlet_put(&r.outlet, STR("next\n"));
	hear(&r);
	assert_string_equal(r.heard, "\nnext\n");
	take_down(&r);
}

/* Whole lines go on to the new one; of a line that was begun, the old one has the beginning. */
static void test_turning_to_another(void **state)
{
	static struct rig r, next;
	set_up_socket(&r);
	set_up_socket(&next);
	unsigned put = fill(&r, 33);
	outlet_turn(&r.outlet, next.writer);
	assert_true(outlet_flush(&r.outlet));
	hear(&r);
	hear(&next);
	const char *last = memrchr(r.heard, '\n', r.n_heard);
	unsigned old = (unsigned)((last + 1 - r.heard) / 33), begun = last[1] != '\0';
	assert_int_equal(r.outlet.lost, 1 + begun);
	assert_int_equal(next.n_heard, (put - 1 - old - begun) * 33);
	assert_memory_equal(next.heard, line_of(old + begun + 1, 33).ptr, 33);
	take_down(&r);
	outlet_finish(&next.outlet);
	close(next.reader);
	close(next.writer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_reader_that_stops),
		cmocka_unit_test(test_polling),
		cmocka_unit_test(test_flags_are_left_alone),
		cmocka_unit_test(test_nobody_at_the_other_end),
		cmocka_unit_test(test_a_torn_line),
		cmocka_unit_test(test_turning_to_another),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
