/* What opens, what refuses and says why, and what damage does. */
#include "base/rand.h"
#include "store_rig.h"
#include "unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { JOBS = 400, LONG_BYTES = 300 * 1000 };

static char long_body[LONG_BYTES];

/* ---- helpers ---- */

static void sql(const struct rig *r, const char *text)
{
	sqlite3 *db;
	assert_int_equal(sqlite3_open(r->db, &db), 0);
	assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), 0);
	sqlite3_close(db);
}

/* Jobs with bodies of 1 KiB in several states, then closed. */
static void fill(struct rig *r)
{
	for (uint64_t n = 0; n < JOBS; n++) {
		struct store_job job = rig_job(n);
		struct store_id id = rig_id(n);
		job.request = rig_message("head", (struct str){ long_body, 1024 });
		assert_int_equal(store_enqueue(r->store, &job, NULL, NULL), 0);
		if (n % 4 == 1)
			assert_int_equal(store_cancel(r->store, &id, RIG_US(1), NULL, NULL), 0);
		if (n % 8 == 7)
			rig_run(r); /* RIG_AT_ONCE, for two messages each */
	}
	rig_run(r);
	rig_close(r);
}

static void assert_refused(struct rig *r, const char *words, const char *more_words)
{
	char why[STORE_WHY_BYTES] = "";
	struct store *s = store_open(r->where, &r->settings, &r->io, rig_post, why);
	if (s) {
		store_close(s);
		fail_msg("it opened, in place of saying \"%s\"", words);
	}
	if (!strstr(why, words) || !strstr(why, more_words) || strchr(why, '\n'))
		fail_msg("\"%s\" does not say \"%s\" and \"%s\"", why, words, more_words);
}

/* ---- what opens, and what does not ---- */

static void test_where(void **state)
{
	struct rig *r = *state;
	rig_close(r);
	static const struct {
		const char *where, *words;
	} cases[] = {
		{ "", "'' is no store" },
		{ "sqlite:", "write sqlite:PATH or memory" },
		{ "sqlite3:x", "'sqlite3:x' is no store" },
		{ "Memory", "'Memory' is no store" },
		{ "sqlite:/nowhere/at/all/x.db", "/nowhere/at/all/x.db.lock: No such file" },
		{ "sqlite:/tmp", "/tmp is no file" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		snprintf(r->where, sizeof r->where, "%s", cases[i].where);
		assert_refused(r, cases[i].words, "");
	}
	unlink("/tmp.lock");
}

static void test_files_are_private(void **state)
{
	struct rig *r = *state;
	assert_int_equal(rig_enqueue(r, 1), 0);
	static const char *const suffixes[] = { "", "-wal", "-shm", ".lock" };
	struct stat st;
	for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
		assert_int_equal(stat(rig_beside(r, suffixes[i]), &st), 0);
		assert_int_equal(st.st_mode & 0777, 0600);
	}
	assert_int_equal(stat(rig_beside(r, "-files"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
}

static void test_one_at_a_time(void **state)
{
	struct rig *r = *state;
	char pid[32];
	snprintf(pid, sizeof pid, "(process %d)", getpid());
	assert_refused(r, "is in use by another berth", pid);
	rig_close(r);
	rig_open(r); /* the lock went with its holder */
}

static void test_epochs_rise(void **state)
{
	struct rig *r = *state;
	for (uint64_t epoch = 1; epoch < 4; epoch++) {
		assert_int_equal(store_epoch(r->store), epoch);
		rig_close(r);
		rig_open(r);
	}
}

static void test_never_empty_in_silence(void **state)
{
	struct rig *r = *state;
	fill(r);
	assert_int_equal(truncate(r->db, 0), 0);
	assert_refused(r, "is cut short, to 0 bytes", "remove it to start empty");
	unlink(r->db);
	rig_put_file(rig_beside(r, "-wal"), "something");
	assert_refused(r, "is missing, but", "test.db-wal is there");
	unlink(rig_beside(r, "-wal"));
	rig_put_file(rig_beside(r, "-files/00112233445566778899aabbccddeeff.1"), "something");
	assert_refused(r, "is missing, but", "test.db-files is there");
	assert_int_equal(rig_count_files(r), 1);
	unlink(rig_beside(r, "-files/00112233445566778899aabbccddeeff.1"));
	rig_open(r); /* nothing is left of it: a new one */
	assert_null(rig_get(r, 1));
}

static void test_what_is_not_ours(void **state)
{
	struct rig *r = *state;
	struct rig_lines l;
	fill(r);
	sql(r, "PRAGMA user_version = 2");
	assert_refused(r, "written by a newer Berth (schema 2, this one knows up to 1)", r->db);
	sql(r, "PRAGMA user_version = 0");
	assert_refused(r, "is damaged (it has no schema version)", "berth store check");
	sql(r, "PRAGMA user_version = 1; PRAGMA application_id = 7");
	assert_refused(r, "not one of Berth's", r->db);
	sql(r, "PRAGMA application_id = 0x42727468; DROP INDEX job_queue");
	assert_refused(r, "is damaged", "job_queue");
	FILE *f = fopen(r->db, "w");
	assert_non_null(f);
	for (int i = 0; i < 5000; i++)
		fputs("no database\n", f);
	fclose(f);
	assert_refused(r, "is damaged (file is not a database)", "berth store export");
	assert_true(rig_check(r, &l) < 0);
	assert_true(rig_export(r, &l) < 0);
}

/* ---- damage ---- */

static void copy_database(const char *from, const char *to)
{
	char command[3 * RIG_PATH];
	snprintf(command, sizeof command, "cp '%s' '%s'", from, to);
	assert_int_equal(system(command), 0);
}

static void test_a_database_cut_short(void **state)
{
	struct rig *r = *state;
	char whole[RIG_PATH + 8];
	struct stat st;
	struct rig_lines l;
	snprintf(whole, sizeof whole, "%s.whole", r->db);
	fill(r);
	copy_database(r->db, whole);
	assert_int_equal(stat(whole, &st), 0);
	for (off_t size = 1; size < st.st_size; size += size % 3 ? 7 * 4096 - size % 4096 : 12345) {
		copy_database(whole, r->db);
		assert_int_equal(truncate(r->db, size), 0);
		assert_refused(r, size % 4096 ? "is cut short" : "is damaged", r->db);
		assert_true(rig_check(r, &l) != 0);
		(void)!rig_export(r, &l);
	}
	copy_database(whole, r->db);
	rig_open(r);
	assert_non_null(rig_get(r, JOBS - 1));
}

/* Opens it or not, reads all of it or not: but nothing crashes, hangs or is made up. */
static void look_at_all(struct rig *r)
{
	char why[STORE_WHY_BYTES] = "";
	struct rig_lines l;
	assert_true(rig_check(r, &l) >= -EUCLEAN);
	(void)!rig_export(r, &l);
	assert_true(l.n <= JOBS);
	r->store = store_open(r->where, &r->settings, &r->io, rig_post, why);
	if (!r->store) {
		assert_non_null(strstr(why, r->db));
		return;
	}
	for (uint64_t n = 0; n < JOBS; n += 37) {
		struct store_id id = rig_id(n);
		int err = rig_read(r, n, 0, 2000);
		if (!err && r->reply.body.len)
			assert_int_equal(r->reply.body.len, r->reply.records[0].body_bytes);
		assert_int_equal(store_fail(r->store, &id, STR("x"), RIG_US(1), rig_take, r), 0);
		(void)rig_wait(r);
	}
	rig_close(r);
}

static void test_flipped_bytes(void **state)
{
	struct rig *r = *state;
	char whole[RIG_PATH + 8];
	struct stat st;
	struct rand rand;
	rand_seed(&rand, 42);
	snprintf(whole, sizeof whole, "%s.whole", r->db);
	fill(r);
	copy_database(r->db, whole);
	assert_int_equal(stat(whole, &st), 0);
	for (int i = 0; i < 60; i++) {
		copy_database(whole, r->db);
		unlink(rig_beside(r, "-wal"));
		unlink(rig_beside(r, "-shm"));
		int fd = open(r->db, O_RDWR);
		assert_true(fd >= 0);
		for (int k = i % 10; k >= 0; k--) {
			off_t at = (off_t)rand_below(&rand, i % 3 ? (uint64_t)st.st_size : 100);
			unsigned char c;
			assert_int_equal(pread(fd, &c, 1, at), 1);
			c ^= (unsigned char)(1 + rand_below(&rand, 255));
			assert_int_equal(pwrite(fd, &c, 1, at), 1);
		}
		close(fd);
		look_at_all(r);
	}
}

/* The pages of a table, overwritten: each kind of damage is either refused at the start or told. */
static void test_lost_pages(void **state)
{
	struct rig *r = *state;
	static char rubbish[4096];
	struct rig_lines l;
	fill(r);
	sqlite3 *db;
	sqlite3_stmt *st;
	int root[2] = { 0 };
	assert_int_equal(sqlite3_open(r->db, &db), 0);
	static const char *const names[] = { "job_list", "message" };
	for (int i = 0; i < 2; i++) {
		assert_int_equal(sqlite3_prepare_v2(db,
					 "SELECT pageno FROM dbstat WHERE name = ?1 AND pagetype = 'leaf'"
					 " ORDER BY pageno LIMIT 1 OFFSET 1",
					 -1, &st, NULL),
			0);
		sqlite3_bind_text(st, 1, names[i], -1, SQLITE_STATIC);
		assert_int_equal(sqlite3_step(st), SQLITE_ROW);
		root[i] = sqlite3_column_int(st, 0);
		sqlite3_finalize(st);
	}
	sqlite3_close(db);
	memset(rubbish, 0xa5, sizeof rubbish);
	int fd = open(r->db, O_RDWR);
	assert_int_equal(pwrite(fd, rubbish, sizeof rubbish, (root[1] - 1) * 4096L), 4096);

	/* Some messages are lost: it starts, and says so where they are wanted. */
	assert_int_equal(rig_check(r, &l), 1);
	assert_int_equal(rig_export(r, &l), 1);
	assert_int_equal(l.n, JOBS);
	rig_open(r);
	uint32_t lost = 0;
	for (uint64_t n = 0; n < JOBS; n++) {
		int err = rig_read(r, n, 0, 10);
		lost += err == -EUCLEAN;
		assert_true(err == 0 || err == -EUCLEAN || (n % 4 == 1 && err == -ENODATA));
	}
	assert_in_range(lost, 1, 8);
	rig_close(r);

	/* An index of the jobs is: it does not. */
	assert_int_equal(pwrite(fd, rubbish, sizeof rubbish, (root[0] - 1) * 4096L), 4096);
	close(fd);
	assert_refused(r, "is damaged", "move ");
	assert_int_equal(rig_check(r, &l), 1);
	assert_int_equal(rig_export(r, &l), 1);
	assert_int_equal(l.n, JOBS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(test_where, "sqlite"),
		RIG_TEST(test_files_are_private, "sqlite"),
		RIG_TEST(test_one_at_a_time, "sqlite"),
		RIG_TEST(test_epochs_rise, "sqlite"),
		RIG_TEST(test_never_empty_in_silence, "sqlite"),
		RIG_TEST(test_what_is_not_ours, "sqlite"),
		RIG_TEST(test_a_database_cut_short, "sqlite"),
		RIG_TEST(test_flipped_bytes, "sqlite"),
		RIG_TEST(test_lost_pages, "sqlite"),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
