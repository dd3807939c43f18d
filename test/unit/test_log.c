#include "base/log.h"

#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* What log_write writes for this text, in a buffer of this function's. */
static const char *written(enum log_level most, enum log_level level, const char *text)
{
	static char out[4096];
	int fds[2];
	assert_int_equal(pipe(fds), 0);
	log_init("berth", most, fds[1]);
	log_write(level, "%s", text);
	close(fds[1]);
	ssize_t n = read(fds[0], out, sizeof out - 1);
	close(fds[0]);
	assert_true(n >= 0);
	out[n] = '\0';
	return out;
}

static void test_levels(void **state)
{
	assert_string_equal(written(LOG_DEBUG, LOG_ERROR, "text"), "berth: error: text\n");
	assert_string_equal(written(LOG_DEBUG, LOG_WARNING, "text"), "berth: warning: text\n");
	assert_string_equal(written(LOG_DEBUG, LOG_INFO, "text"), "berth: text\n");
	assert_string_equal(written(LOG_DEBUG, LOG_DEBUG, "text"), "berth: debug: text\n");
	assert_string_equal(written(LOG_WARNING, LOG_INFO, "text"), "");
	assert_string_equal(written(LOG_ERROR, LOG_ERROR, "text"), "berth: error: text\n");
}

/* One event is one line, whatever a peer sent: no breaks, no escapes for the terminal. */
static void test_controls_are_hidden(void **state)
{
	assert_string_equal(written(LOG_INFO, LOG_INFO, "a\nb\r\x1b[31m\x7f"), "berth: a?b??[31m?\n");
	assert_string_equal(written(LOG_INFO, LOG_INFO,
				    "\xc2\x9b"
				    "31m"),
		"berth: \xc2?31m\n");
	assert_string_equal(written(LOG_INFO, LOG_INFO,
				    "\xc3\x9c"
				    "ber \xe2\x80\x9c"),
		"berth: \xc3\x9c"
		"ber \xe2\x80\x9c\n");
}

static void test_long_lines_are_cut(void **state)
{
	char text[3000];
	memset(text, 'x', sizeof text - 1);
	text[sizeof text - 1] = '\0';
	const char *line = written(LOG_INFO, LOG_INFO, text);
	size_t len = strlen(line);
	assert_in_range(len, 900, 1024);
	assert_int_equal(line[len - 1], '\n');
	assert_int_equal(line[len - 2], 'x');
}

static void test_what_cannot_be_written_is_counted(void **state)
{
	uint64_t before = log_dropped();
	log_init("berth", LOG_INFO, -1);
	errno = 4321;
	log_info("nobody reads this");
	assert_int_equal(errno, 4321);
	assert_int_equal(log_dropped(), before + 1);
}

/* A server's reader that stops: the log goes on, and tells what it has lost once somebody reads again. */
static void test_nobody_reads(void **state)
{
	static char out[128 * 1024];
	char told[64];
	int fds[2];
	size_t n = 0;
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(fcntl(fds[1], F_SETPIPE_SZ, 4096), 4096);
	assert_int_equal(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
	log_init("berth", LOG_INFO, fds[1]);
	log_never_wait();
	assert_true(log_flush());
	uint64_t before = log_dropped();
	for (unsigned i = 0; i < 5000; i++)
		log_info("%027u", i);
	uint64_t lost = log_dropped() - before;
	assert_in_range(lost, 5000 - 70 * 1024 / 35, 5000 - 64 * 1024 / 35);
	assert_false(log_flush());
	bool is_taken;
	do {
		ssize_t k = read(fds[0], out + n, sizeof out - 1 - n);
		n += k > 0 ? (size_t)k : 0;
		is_taken = log_flush();
	} while (!is_taken);
	n += (size_t)read(fds[0], out + n, sizeof out - 1 - n);
	out[n] = '\0';
	snprintf(told, sizeof told, "%026llu\nberth: warning: %llu lines",
		5000 - 1 - (unsigned long long)lost, (unsigned long long)lost);
	assert_non_null(strstr(out, told));
	assert_int_equal(log_dropped() - before, lost);
	log_init("berth", LOG_INFO, STDERR_FILENO);
	close(fds[0]);
	close(fds[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_levels),
		cmocka_unit_test(test_controls_are_hidden),
		cmocka_unit_test(test_long_lines_are_cut),
		cmocka_unit_test(test_what_cannot_be_written_is_counted),
		cmocka_unit_test(test_nobody_reads),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
