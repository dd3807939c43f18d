/* What stands beside the database, what check and export tell of it, and a disk that is full. */
#include "store_rig.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { LONG_BYTES = 300 * 1000 };

static char long_body[LONG_BYTES];

static void test_check_and_export(void **state)
{
	struct rig *r = *state;
	struct rig_lines l;
	struct store_job job = rig_job(7);
	job.key = STR("a \"key\"");
	job.request = rig_message("POST / HTTP/1.1\r\n", STR("\1\2\3\4"));
	assert_int_equal(store_enqueue(r->store, &job, rig_take, r), 0);
	assert_int_equal(rig_wait(r)->err, 0);
	job = rig_job(8);
	job.request = rig_message("head", (struct str){ long_body, LONG_BYTES });
	assert_int_equal(store_enqueue(r->store, &job, rig_take, r), 0);
	assert_int_equal(rig_wait(r)->err, 0);
	assert_int_equal(rig_check(r, &l), 0); /* also while it is in use */
	assert_non_null(strstr(l.text, "2 records: 2 queued, 0 running"));
	assert_non_null(strstr(l.text, "300025 bytes, 1 bodies in files"));
	assert_non_null(strstr(l.text, "all is well"));
	assert_int_equal(rig_export(r, &l), 0);
	assert_int_equal(l.n, 2);
	assert_non_null(strstr(l.text, "\"number\":7,"));
	assert_non_null(strstr(l.text, "\"key\":\"a \\\"key\\\"\","));
	assert_non_null(strstr(l.text, "{\"head\":\"POST / HTTP/1.1\\r\\n\",\"body\":\"AQIDBA==\"}"));
	assert_non_null(strstr(l.text, "\"body_file\":\""));
	assert_int_equal(rig_complete(r, 8, 200, "head", (struct str){ long_body, LONG_BYTES }), 0);
	rig_close(r);
	char command[RIG_PATH + 32];
	snprintf(command, sizeof command, "truncate -s 5 '%s'-files/*", r->db);
	assert_int_equal(system(command), 0);
	assert_int_equal(rig_check(r, &l), 1);
	assert_non_null(strstr(l.text, "has 5 bytes in place of 300000"));
	rig_open(r);
	assert_int_equal(rig_read(r, 8, 0, 10), -EUCLEAN);
	rig_close(r);
	snprintf(command, sizeof command, "rm '%s'-files/*", r->db);
	assert_int_equal(system(command), 0);
	assert_int_equal(rig_check(r, &l), 1);
	assert_non_null(strstr(l.text, "is missing"));
	rig_open(r);
	assert_int_equal(rig_read(r, 8, 0, 10), -EUCLEAN);
}

/* ---- files of bodies ---- */

static void enqueue_long(struct rig *r, uint64_t n)
{
	struct store_job job = rig_job(n);
	job.request = rig_message("head", (struct str){ long_body, LONG_BYTES });
	assert_int_equal(store_enqueue(r->store, &job, rig_take, r), 0);
	assert_int_equal(rig_wait(r)->err, 0);
}

static void test_files_go_with_their_bodies(void **state)
{
	struct rig *r = *state;
	struct store_id id = rig_id(4);
	for (uint64_t n = 1; n <= 4; n++)
		enqueue_long(r, n);
	assert_int_equal(rig_count_files(r), 4);
	assert_int_equal(rig_complete(r, 1, 200, "", STR("short")), 0);
	assert_int_equal(rig_count_files(r), 3);
	assert_int_equal(rig_complete(r, 2, 200, "", (struct str){ long_body, LONG_BYTES }), 0);
	assert_int_equal(rig_count_files(r), 3);
	assert_int_equal(rig_complete(r, 2, 200, "", (struct str){ long_body, LONG_BYTES }), -EALREADY);
	assert_int_equal(rig_count_files(r), 3);
	assert_int_equal(rig_complete(r, 9, 200, "", (struct str){ long_body, LONG_BYTES }), -ENOENT);
	assert_int_equal(rig_count_files(r), 3);
	assert_int_equal(store_cancel(r->store, &id, RIG_US(1), rig_take, r), 0);
	assert_int_equal(rig_wait(r)->err, 0);
	assert_int_equal(rig_count_files(r), 2);
	assert_int_equal(store_purge(r->store, INT64_MAX, rig_take, r), 0);
	assert_int_equal(rig_wait(r)->err, 0);
	assert_int_equal(rig_count_files(r), 1);
	assert_int_equal(rig_read(r, 3, LONG_BYTES - 3, 10), 0);
	assert_int_equal(r->reply.body.len, 3);
}

static void test_strays_are_swept(void **state)
{
	struct rig *r = *state;
	enqueue_long(r, 1);
	rig_close(r);
	rig_put_file(rig_beside(r, "-files/00112233445566778899aabbccddeeff.5"), "no such job");
	char id[STORE_ID_CHARS + 1], name[64];
	snprintf(name, sizeof name, "-files/%s.9", store_id_print(&(struct store_id){ 0 }, id));
	rig_put_file(rig_beside(r, name), "nor this");
	struct store_id known = rig_id(1);
	snprintf(name, sizeof name, "-files/%s.77", store_id_print(&known, id));
	rig_put_file(rig_beside(r, name), "not this job's");
	rig_put_file(rig_beside(r, "-files/README"), "somebody else's");
	assert_int_equal(rig_count_files(r), 5);
	rig_open(r);
	assert_int_equal(rig_count_files(r), 2);
	assert_int_equal(access(rig_beside(r, "-files/README"), F_OK), 0);
	assert_int_equal(rig_read(r, 1, 0, 10), 0);
	enqueue_long(r, 2);
	assert_int_equal(rig_count_files(r), 3);
}

/* What waits would fail without its body. A result may lack: that is told when it is asked for. */
static void test_bodies_that_are_not_there(void **state)
{
	struct rig *r = *state;
	static const char *const damages[][2] = { { "rm", "/*" }, { "truncate -s 5", "/*" },
		{ "rm -r", "" } };
	char command[3 * RIG_PATH + 64], name[64], id[STORE_ID_CHARS + 1], why[STORE_WHY_BYTES];
	struct store_id waits = rig_id(1);
	struct rig_lines l;
	enqueue_long(r, 1);
	rig_close(r);
	snprintf(name, sizeof name, "-files/%s.1", store_id_print(&waits, id));
	snprintf(command, sizeof command, "cp -r '%s'-files '%s'-saved", r->db, r->db);
	assert_int_equal(system(command), 0);
	for (size_t i = 0; i < ARRAY_LEN(damages); i++) {
		snprintf(command, sizeof command, "%s '%s'-files%s", damages[i][0], r->db, damages[i][1]);
		assert_int_equal(system(command), 0);
		assert_null(store_open(r->where, &r->settings, &r->io, rig_post, why));
		assert_non_null(strstr(why, rig_beside(r, name)));
		assert_non_null(strstr(why, i == 1 ? "has another length" : "No such file"));
		assert_non_null(strstr(why, "berth store export"));
		assert_int_equal(rig_check(r, &l), 1); /* the job waits as ever */
		assert_non_null(strstr(l.text, "1 queued"));
		snprintf(command, sizeof command, "rm -rf '%s'-files; cp -r '%s'-saved '%s'-files", r->db,
			r->db, r->db);
		assert_int_equal(system(command), 0);
	}
	rig_open(r);
	assert_int_equal(rig_read(r, 1, LONG_BYTES - 1, 10), 0);
}

/* ---- a full disk ---- */

static void limit_files_to(rlim_t bytes)
{
	struct rlimit limit;
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = bytes;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void on_counted(void *owner, const struct store_reply *reply)
{
	int *counts = owner;
	counts[reply->err == 0 ? 0 : reply->err == -ENOSPC ? 1 : 2]++;
}

static void test_a_full_disk(void **state)
{
	struct rig *r = *state;
	struct stat st;
	int small[3] = { 0 }, large[3] = { 0 };
	signal(SIGXFSZ, SIG_IGN);
	rig_close(r);
	r->settings.wal_pages = 0; /* the log only grows */
	rig_open(r);
	for (uint64_t n = 0; n < 20; n++)
		assert_int_equal(rig_enqueue(r, n), 0);
	assert_int_equal(stat(rig_beside(r, "-wal"), &st), 0);

	/* Room for some pages in the log: one transaction of all does not fit, the small ones do. */
	limit_files_to((rlim_t)st.st_size + 100 * 1000);
	for (uint64_t n = 100; n < 108; n++) {
		struct store_job job = rig_job(n);
		if (n % 2)
			job.request = rig_message("head", (struct str){ long_body, 200 * 1000 });
		assert_int_equal(store_enqueue(r->store, &job, on_counted, n % 2 ? large : small), 0);
	}
	struct store_job job = rig_job(200);
	job.request = rig_message("head", (struct str){ long_body, LONG_BYTES }); /* as a file */
	limit_files_to((rlim_t)st.st_size + 100 * 1000);
	assert_int_equal(store_enqueue(r->store, &job, on_counted, large), 0);
	rig_run(r);
	assert_int_equal(small[0], 4);
	assert_int_equal(large[1], 5);
	assert_int_equal(rig_count_files(r), 0);
	assert_null(rig_get(r, 101));
	assert_int_equal(rig_read(r, 102, 0, 10), 0); /* reading goes on */

	/* No room at all. */
	assert_int_equal(stat(rig_beside(r, "-wal"), &st), 0);
	limit_files_to((rlim_t)st.st_size);
	for (uint64_t n = 300; n < 340; n++)
		assert_int_equal(rig_enqueue(r, n), -ENOSPC);
	assert_int_equal(rig_complete(r, 1, 200, "", STR("answer")), -ENOSPC);
	assert_int_equal(rig_get(r, 1)->state, STORE_QUEUED);

	/* Room again: all is well, and what was refused left nothing behind. */
	limit_files_to(RLIM_INFINITY);
	assert_int_equal(rig_complete(r, 1, 200, "", STR("answer")), 0);
	for (uint64_t n = 300; n < 340; n++)
		assert_int_equal(rig_enqueue(r, n), 0);
	enqueue_long(r, 101);
	rig_close(r);
	rig_open(r);
	assert_int_equal(rig_get(r, 1)->state, STORE_DONE);
	struct rig_lines l;
	assert_int_equal(rig_check(r, &l), 0);
	assert_non_null(strstr(l.text, "65 records: 64 queued, 0 running, 1 done"));
}

/* ---- a disk that fails, and one that somebody else has ---- */

/* Puts `with` in the place of every descriptor of the log; the old ones into kept[], by their numbers. */
static void swap_log(const struct rig *r, int with, int kept[64])
{
	char link[64], target[2 * RIG_PATH];
	for (int fd = 3; fd < 64; fd++) {
		snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
		ssize_t n = readlink(link, target, sizeof target - 1);
		kept[fd] = -1;
		if (n <= 0)
			continue;
		target[n] = '\0';
		if (strcmp(target, rig_beside(r, "-wal")) != 0)
			continue;
		kept[fd] = fcntl(fd, F_DUPFD, 64);
		assert_int_equal(dup2(with, fd), fd);
	}
}

static void test_a_failing_disk(void **state)
{
	struct rig *r = *state;
	int kept[64], swapped = 0;
	assert_int_equal(rig_enqueue(r, 1), 0);
	int null = open("/dev/null", O_RDONLY); /* whose writes fail */
	swap_log(r, null, kept);
	for (uint64_t n = 2; n < 6; n++) {
		struct store_job job = rig_job(n);
		assert_int_equal(store_enqueue(r->store, &job, rig_take, r), 0);
	}
	assert_int_equal(rig_wait(r)->err, -EIO);
	assert_int_equal(rig_complete(r, 1, 200, "", STR("answer")), -EIO);
	for (int fd = 3; fd < 64; fd++) {
		if (kept[fd] < 0)
			continue;
		assert_int_equal(dup2(kept[fd], fd), fd);
		close(kept[fd]);
		swapped++;
	}
	close(null);
	assert_true(swapped > 0);
	assert_int_equal(rig_get(r, 1)->state, STORE_QUEUED);
	assert_null(rig_get(r, 2));
	for (uint64_t n = 2; n < 6; n++)
		assert_int_equal(rig_enqueue(r, n), 0);
	assert_int_equal(rig_complete(r, 1, 200, "", STR("answer")), 0);
	rig_close(r);
	rig_open(r);
	assert_int_equal(rig_get(r, 1)->state, STORE_DONE);
	assert_non_null(rig_get(r, 5));
}

static bool syncs_of_log_fail;

/* In the place of the C library's, also for SQLite. */
int fdatasync(int fd)
{
	char link[64], target[2 * RIG_PATH];
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, target, sizeof target - 1);
	if (syncs_of_log_fail && n > 4 && !memcmp(target + n - 4, "-wal", 4)) {
		errno = EIO;
		return -1;
	}
	return (int)syscall(SYS_fdatasync, fd);
}

/* What a kill -9 at this moment would leave to the next start, opened; its disk is well. */
static void open_what_a_crash_leaves(const struct rig *r, struct rig *after)
{
	char command[6 * RIG_PATH];
	bool fail = syncs_of_log_fail;
	syncs_of_log_fail = false;
	rig_init(after, "sqlite");
	snprintf(command, sizeof command, "cp -r '%s' '%s-wal' '%s-files' '%s'", r->db, r->db, r->db,
		after->dir);
	assert_int_equal(system(command), 0);
	rig_open(after);
	syncs_of_log_fail = fail;
}

/* A commit whose sync failed is in the log, until the next one, and a crash brings it back: with its body. */
static void test_a_commit_that_a_crash_brings_back(void **state)
{
	struct rig *r = *state, after;
	struct store_job job = rig_job(2);
	struct str body = { long_body, LONG_BYTES };
	job.request = rig_message("head", body);
	assert_int_equal(rig_enqueue(r, 1), 0);

	syncs_of_log_fail = true;
	assert_int_equal(store_enqueue(r->store, &job, rig_take, r), 0);
	assert_int_equal(rig_wait(r)->err, -EIO);
	assert_null(rig_get(r, 2));
	assert_int_equal(rig_count_files(r), 1);
	open_what_a_crash_leaves(r, &after);
	assert_non_null(rig_get(&after, 2)); /* or this tests nothing */
	assert_int_equal(rig_read(&after, 2, LONG_BYTES - 1, 10), 0);
	rig_finish(&after);

	assert_int_equal(rig_complete(r, 1, 200, "head", body), -EIO);
	assert_int_equal(rig_count_files(r), 2);
	open_what_a_crash_leaves(r, &after);
	assert_int_equal(rig_get(&after, 1)->state, STORE_DONE);
	assert_int_equal(rig_read(&after, 1, LONG_BYTES - 1, 10), 0);
	assert_int_equal(rig_count_files(&after), 1); /* that of 2 was swept away */
	rig_finish(&after);

	/* The next commit overwrites it, although it refuses all that it is for; then the files go. */
	syncs_of_log_fail = false;
	assert_int_equal(rig_complete(r, 9, 200, "head", body), -ENOENT);
	assert_int_equal(rig_count_files(r), 0);
	open_what_a_crash_leaves(r, &after);
	assert_int_equal(rig_get(&after, 1)->state, STORE_QUEUED);
	assert_null(rig_get(&after, 2));
	rig_finish(&after);
	assert_int_equal(rig_complete(r, 1, 200, "head", body), 0);
	assert_int_equal(rig_read(r, 1, LONG_BYTES - 1, 10), 0);
	assert_int_equal(rig_count_files(r), 1);
}

static void test_a_disk_that_goes_on_failing_is_not_filled(void **state)
{
	struct rig *r = *state;
	struct str body = { long_body, LONG_BYTES };
	assert_int_equal(rig_enqueue(r, 1), 0);
	syncs_of_log_fail = true;
	for (int i = 0; i < 70; i++)
		assert_int_equal(rig_complete(r, 1, 200, "head", body), -EIO);
	assert_int_equal(rig_count_files(r), 64);
	syncs_of_log_fail = false;
	assert_int_equal(rig_complete(r, 1, 200, "head", body), -EIO);
	assert_int_equal(rig_count_files(r), 0);
	assert_int_equal(rig_complete(r, 1, 200, "head", body), 0);
	assert_int_equal(rig_count_files(r), 1);
}

static void test_a_database_that_is_held(void **state)
{
	struct rig *r = *state;
	sqlite3 *db;
	assert_int_equal(sqlite3_open(r->db, &db), 0);
	assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), 0);
	for (uint64_t n = 1; n < 4; n++) {
		struct store_job job = rig_job(n);
		assert_int_equal(store_enqueue(r->store, &job, rig_take, r), 0);
	}
	assert_int_equal(rig_wait(r)->err, -EBUSY); /* all of them together, after one patience */
	assert_null(rig_get(r, 1));
	assert_int_equal(sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL), 0);
	sqlite3_close(db);
	assert_int_equal(rig_enqueue(r, 1), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(test_check_and_export, "sqlite"),
		RIG_TEST(test_files_go_with_their_bodies, "sqlite"),
		RIG_TEST(test_strays_are_swept, "sqlite"),
		RIG_TEST(test_bodies_that_are_not_there, "sqlite"),
		RIG_TEST(test_a_full_disk, "sqlite"),
		RIG_TEST(test_a_failing_disk, "sqlite"),
		RIG_TEST(test_a_commit_that_a_crash_brings_back, "sqlite"),
		RIG_TEST(test_a_disk_that_goes_on_failing_is_not_filled, "sqlite"),
		RIG_TEST(test_a_database_that_is_held, "sqlite"),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
