/* The local fleet, with shell scripts in the place of berth-worker. Each writes its number of starts into a
 * file of its own. */
#include "fleet/fleet.h"
#include "unit.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LONG_US = 20 * 1000 * 1000, LINES = 4096, DOWNS = 8 };

/* $4 is the address after --listen; port 0 is answered with another one. */
#define LISTENING                                                                                        \
	"addr=$(echo $4 | sed 's/:0$/:4711/'); echo \"berth-worker: listening on $addr, model m, slots " \
	"1\"\n"

struct scene {
	struct io *io;
	struct fleet *fleet;
	struct fleet_settings settings;
	char directory[64], program[96];
	/* what has happened */
	char lines[LINES];
	char failed[200];
	uint64_t pauses_us[DOWNS];
	char why[64];
	size_t ups, downs;
	bool stopped, timed_out;
	/* when to stop the loop */
	size_t wanted_ups, wanted_downs;
	struct io_timer patience;
};

static void check_wanted(struct scene *s)
{
	if ((s->wanted_ups && s->ups >= s->wanted_ups) || (s->wanted_downs && s->downs >= s->wanted_downs))
		io_stop(s->io);
}

static void on_up(void *user, const struct fleet_container *c)
{
	struct scene *s = user;
	s->ups++;
	check_wanted(s);
}

static void on_down(void *user, const struct fleet_container *c, const char *why, uint64_t restart_us)
{
	struct scene *s = user;
	snprintf(s->why, sizeof s->why, "%s", why);
	if (s->downs < DOWNS)
		s->pauses_us[s->downs] = restart_us;
	s->downs++;
	check_wanted(s);
}

static void on_line(void *user, const struct fleet_container *c, const char *line)
{
	struct scene *s = user;
	size_t n = strlen(s->lines);
	snprintf(s->lines + n, sizeof s->lines - n, "%s: %s\n", c->name, line);
}

static void on_failed(void *user, const struct fleet_container *c, const char *why)
{
	struct scene *s = user;
	assert_string_equal(s->failed, ""); /* it comes once */
	snprintf(s->failed, sizeof s->failed, "%s: %s", c->name, why);
	io_stop(s->io);
}

static void on_stopped(void *user)
{
	struct scene *s = user;
	s->stopped = true;
	io_stop(s->io);
}

static const struct fleet_events events = {
	.on_up = on_up,
	.on_down = on_down,
	.on_line = on_line,
	.on_failed = on_failed,
	.on_stopped = on_stopped,
};

static void on_patience_over(struct io_timer *t)
{
	struct scene *s = CONTAINER_OF(t, struct scene, patience);
	s->timed_out = true;
	io_stop(s->io);
}

/* One worker with `containers` containers, each of which runs this script. */
static void prepare(struct scene *s, const char *script, uint32_t containers)
{
	*s = (struct scene){ .directory = "/tmp/berth-test-XXXXXX" };
	assert_non_null(mkdtemp(s->directory));
	snprintf(s->program, sizeof s->program, "%s/worker", s->directory);
	FILE *f = fopen(s->program, "w");
	assert_non_null(f);
	fprintf(f, "#!/bin/sh\n%s", script);
	fclose(f);
	assert_int_equal(chmod(s->program, 0700), 0);
	s->io = io_epoll_create();
	assert_non_null(s->io);
	fleet_settings_default(&s->settings);
	s->settings.program = s->program;
	s->settings.model = "some-model";
	s->settings.workers = 1;
	s->settings.containers = containers;
	s->settings.backoff_min_us = 2000;
	s->settings.backoff_max_us = 6000;
}

static void start(struct scene *s)
{
	s->fleet = fleet_local_create(s->io, &s->settings, &events, s);
	assert_non_null(s->fleet);
}

static void run(struct scene *s)
{
	s->patience.on_timer = on_patience_over;
	io_timer_set(s->io, &s->patience, s->io->now_us + LONG_US);
	assert_int_equal(io_epoll_run(s->io), 0);
	io_timer_stop(s->io, &s->patience);
	assert_false(s->timed_out);
}

static void run_until_up(struct scene *s, size_t ups)
{
	s->wanted_ups = ups;
	run(s);
	s->wanted_ups = 0;
}

static void stop(struct scene *s)
{
	fleet_stop(s->fleet);
	run(s);
	assert_true(s->stopped);
	errno = 0;
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no child is left */
	assert_int_equal(errno, ECHILD);
}

static void finish(struct scene *s)
{
	char command[128];
	fleet_destroy(s->fleet);
	io_epoll_destroy(s->io);
	snprintf(command, sizeof command, "rm -r %s", s->directory);
	assert_int_equal(system(command), 0);
}

/* ---- tests ---- */

static void test_names_and_addresses(void **state)
{
	struct scene s;
	char text[IO_ADDR_TEXT];
	prepare(&s, LISTENING "exec sleep 100\n", 2);
	s.settings.workers = 2;
	start(&s);
	run_until_up(&s, 4);
	assert_int_equal(fleet_size(s.fleet), 4);
	assert_int_equal(fleet_up(s.fleet), 4);
	const struct fleet_container *c = fleet_container(s.fleet, 2);
	assert_string_equal(c->name, "container3");
	assert_string_equal(c->worker, "worker2");
	assert_string_equal(io_addr_print(&c->addr, true, text), "127.0.1.2:5000");
	c = fleet_container(s.fleet, 1);
	assert_string_equal(c->worker, "worker1");
	assert_string_equal(io_addr_print(&c->addr, true, text), "127.0.1.1:5001");
	stop(&s);
	finish(&s);
}

static void test_arguments(void **state)
{
	struct scene s;
	prepare(&s, "echo \"$@\"\n" LISTENING "exec sleep 100\n", 1);
	s.settings.slots = 3;
	s.settings.delay_ms = 20;
	start(&s);
	run_until_up(&s, 1);
	assert_non_null(strstr(
		s.lines, "container1: --model some-model --listen 127.0.1.1:5000 --slots 3 --delay-ms 20\n"));
	stop(&s);
	finish(&s);
}

static void test_sockets(void **state)
{
	struct scene s;
	char text[IO_ADDR_TEXT];
	prepare(&s, "echo \"berth-worker: listening on $4 and $8, model m, slots 1\"\nexec sleep 100\n", 1);
	s.settings.socket_path = s.directory;
	start(&s);
	run_until_up(&s, 1);
	const struct fleet_container *c = fleet_container(s.fleet, 0);
	assert_string_equal(io_addr_print(&c->addr, true, text), "127.0.1.1:5000");
	io_addr_print(&c->near, true, text);
	assert_int_equal(strncmp(text, "unix:/tmp/berth-test-", 21), 0);
	assert_non_null(strstr(text, "/default.container1.sock"));
	stop(&s);
	finish(&s);
}

/* One that does not listen there is reached by its address; and a path that is too long for a socket, or
 * that shall not be, is not asked for. */
static void test_no_sockets(void **state)
{
	static const char long_path[] =
		"/tmp/0123456789012345678901234567890123456789/"
		"0123456789012345678901234567890123456789012345678901234567890123456789";
	const struct {
		const char *path;
		bool wanted, asked_for;
	} cases[] = { { "/tmp", true, true }, { long_path, true, false }, { "/tmp", false, false } };
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct scene s;
		prepare(&s, "echo \"$@\"\n" LISTENING "exec sleep 100\n", 1);
		s.settings.socket_path = cases[i].path;
		s.settings.sockets = cases[i].wanted;
		start(&s);
		run_until_up(&s, 1);
		assert_int_equal(fleet_container(s.fleet, 0)->near.len, 0);
		assert_int_equal(strstr(s.lines, "--listen unix:") != NULL, cases[i].asked_for);
		stop(&s);
		finish(&s);
	}
}

static void test_the_kernel_chooses_a_port_once(void **state)
{
	struct scene s;
	char text[IO_ADDR_TEXT];
	prepare(&s, "echo \"asked for $4\"\n" LISTENING "[ $4 = 127.0.1.1:0 ] && exit 1\nexec sleep 100\n",
		1);
	s.settings.base_port = 0;
	start(&s);
	run_until_up(&s, 2);
	assert_string_equal(io_addr_print(&fleet_container(s.fleet, 0)->addr, true, text), "127.0.1.1:4711");
	assert_non_null(strstr(s.lines, "asked for 127.0.1.1:0\n"));
	assert_non_null(strstr(s.lines, "asked for 127.0.1.1:4711\n"));
	stop(&s);
	finish(&s);
}

static void test_what_dies_starts_again_after_rising_pauses(void **state)
{
	static const uint64_t pauses_us[] = { 2000, 4000, 6000, 6000 };
	struct scene s;
	prepare(&s, LISTENING "exit 3\n", 1);
	s.wanted_downs = ARRAY_LEN(pauses_us);
	start(&s);
	run(&s);
	for (size_t i = 0; i < ARRAY_LEN(pauses_us); i++)
		assert_int_equal(s.pauses_us[i], pauses_us[i]);
	assert_string_equal(s.why, "exit code 3");
	stop(&s);
	finish(&s);
}

static void test_health_makes_the_pause_short_again(void **state)
{
	struct scene s;
	prepare(&s, LISTENING "exit 0\n", 1);
	s.settings.healthy_us = 0; /* any time is long enough */
	s.wanted_downs = 3;
	start(&s);
	run(&s);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(s.pauses_us[i], 2000);
	stop(&s);
	finish(&s);
}

static void test_death_by_a_signal_is_told(void **state)
{
	struct scene s;
	prepare(&s, LISTENING "kill -9 $$\n", 1);
	s.wanted_downs = 1;
	start(&s);
	run(&s);
	assert_string_equal(s.why, "signal 9 (Killed)");
	stop(&s);
	finish(&s);
}

static void test_what_it_said_before_it_was_up_is_told(void **state)
{
	struct scene s;
	prepare(&s, "echo out of luck\nexit 1\n", 1);
	s.wanted_downs = 1;
	start(&s);
	run(&s);
	assert_string_equal(s.why, "exit code 1: out of luck");
	stop(&s);
	finish(&s);
}

static void test_a_set_up_error_ends_it_and_is_told_once(void **state)
{
	struct scene s;
	prepare(&s, "echo 'berth-worker: no model' >&2\nexit 2\n", 3);
	start(&s);
	run(&s);
	assert_non_null(strstr(s.failed, ": berth-worker: no model"));
	assert_int_equal(s.downs, 0);
	stop(&s);
	finish(&s);
}

static void test_a_set_up_error_later_is_tried_again(void **state)
{
	struct scene s;
	prepare(&s, "if [ -e $0.once ]; then exit 2; fi\ntouch $0.once\n" LISTENING "exit 0\n", 1);
	s.wanted_downs = 3;
	start(&s);
	run(&s);
	assert_string_equal(s.why, "exit code 2");
	assert_string_equal(s.failed, "");
	stop(&s);
	finish(&s);
}

static void test_a_program_that_cannot_be_run(void **state)
{
	struct scene s;
	char expected[200];
	prepare(&s, "", 1);
	s.settings.program = "/nowhere/worker";
	start(&s);
	run(&s);
	snprintf(expected, sizeof expected,
		"container1: cannot run /nowhere/worker: No such file or directory");
	assert_string_equal(s.failed, expected);
	stop(&s);
	finish(&s);
}

static void test_what_does_not_end_is_killed(void **state)
{
	struct scene s;
	prepare(&s, "trap '' TERM\n" LISTENING "while :; do sleep 0.05; done\n", 1);
	s.settings.stop_timeout_us = 50 * 1000;
	start(&s);
	run_until_up(&s, 1);
	uint64_t before_us = s.io->now_us;
	stop(&s);
	assert_in_range(s.io->now_us - before_us, 50 * 1000, LONG_US);
	finish(&s);
}

static void test_a_second_stop_kills_at_once(void **state)
{
	struct scene s;
	prepare(&s, "trap '' TERM\n" LISTENING "while :; do sleep 0.05; done\n", 1);
	s.settings.stop_timeout_us = 10ull * LONG_US;
	start(&s);
	run_until_up(&s, 1);
	fleet_stop(s.fleet);
	stop(&s); /* within its patience, which is shorter than the time-out */
	finish(&s);
}

static void test_a_stop_between_two_starts(void **state)
{
	struct scene s;
	prepare(&s, LISTENING "exit 1\n", 1);
	s.settings.backoff_min_us = s.settings.backoff_max_us = 10ull * LONG_US;
	s.wanted_downs = 1;
	start(&s);
	run(&s);
	stop(&s);
	finish(&s);
}

static void test_destroy_leaves_nobody(void **state)
{
	struct scene s;
	prepare(&s, LISTENING "exec sleep 100\n", 2);
	start(&s);
	run_until_up(&s, 2);
	fleet_destroy(s.fleet);
	s.fleet = NULL;
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	finish(&s);
}

static void test_lines_are_cut_and_the_last_one_needs_no_end(void **state)
{
	struct scene s;
	prepare(&s, "head -c 5000 /dev/zero | tr '\\0' x; echo; echo second; printf last; exit 2\n", 1);
	start(&s);
	run(&s);
	assert_int_equal(strspn(s.lines + strlen("container1: "), "x"), 1023);
	assert_non_null(strstr(s.lines, "\ncontainer1: second\ncontainer1: last\n"));
	assert_string_equal(s.failed, "container1: last");
	stop(&s);
	finish(&s);
}

static void test_a_child_has_no_blocked_signals_and_a_group_of_its_own(void **state)
{
	struct scene s;
	sigset_t set, before;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	assert_int_equal(sigprocmask(SIG_BLOCK, &set, &before), 0);
	prepare(&s,
		"grep SigBlk /proc/self/status\n"
		"[ $(cut -d' ' -f5 /proc/$$/stat) = $$ ] && echo own group\n" LISTENING "exec sleep 100\n",
		1);
	start(&s);
	run_until_up(&s, 1);
	assert_non_null(strstr(s.lines, "SigBlk:\t0000000000000000\n"));
	assert_non_null(strstr(s.lines, "container1: own group\n"));
	stop(&s);
	finish(&s);
	assert_int_equal(sigprocmask(SIG_SETMASK, &before, NULL), 0);
}

/* The parent starts a fleet, tells a child's id through a pipe, and is killed. */
static void test_children_die_with_their_parent(void **state)
{
	int ends[2];
	pid_t container = 0;
	assert_int_equal(pipe(ends), 0);
	pid_t parent = fork();
	if (parent == 0) {
		struct scene s;
		prepare(&s, "echo pid $$\n" LISTENING "exec sleep 100\n", 1);
		start(&s);
		run_until_up(&s, 1);
		(void)sscanf(s.lines, "container1: pid %d", &container);
		(void)!write(ends[1], &container, sizeof container);
		unlink(s.program);
		rmdir(s.directory);
		pause();
	}
	assert_int_equal(read(ends[0], &container, sizeof container), sizeof container);
	assert_true(container > 1);
	assert_int_equal(kill(container, 0), 0);
	assert_int_equal(kill(parent, SIGKILL), 0);
	assert_int_equal(waitpid(parent, NULL, 0), parent);
	char path[64], text[256];
	snprintf(path, sizeof path, "/proc/%d/stat", (int)container);
	for (int tries = 0;; tries++) { /* gone, or a zombie that whoever inherited it has yet to reap */
		FILE *f = fopen(path, "r");
		bool is_gone = !f || !fgets(text, sizeof text, f) || strstr(text, ") Z ");
		if (f)
			fclose(f);
		if (is_gone)
			break;
		assert_true(tries < 2000);
		usleep(10 * 1000);
	}
	close(ends[0]);
	close(ends[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names_and_addresses),
		cmocka_unit_test(test_arguments),
		cmocka_unit_test(test_sockets),
		cmocka_unit_test(test_no_sockets),
		cmocka_unit_test(test_the_kernel_chooses_a_port_once),
		cmocka_unit_test(test_what_dies_starts_again_after_rising_pauses),
		cmocka_unit_test(test_health_makes_the_pause_short_again),
		cmocka_unit_test(test_death_by_a_signal_is_told),
		cmocka_unit_test(test_what_it_said_before_it_was_up_is_told),
		cmocka_unit_test(test_a_set_up_error_ends_it_and_is_told_once),
		cmocka_unit_test(test_a_set_up_error_later_is_tried_again),
		cmocka_unit_test(test_a_program_that_cannot_be_run),
		cmocka_unit_test(test_what_does_not_end_is_killed),
		cmocka_unit_test(test_a_second_stop_kills_at_once),
		cmocka_unit_test(test_a_stop_between_two_starts),
		cmocka_unit_test(test_destroy_leaves_nobody),
		cmocka_unit_test(test_lines_are_cut_and_the_last_one_needs_no_end),
		cmocka_unit_test(test_a_child_has_no_blocked_signals_and_a_group_of_its_own),
		cmocka_unit_test(test_children_die_with_their_parent),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
