#include "store_rig.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void test_ids(void **state)
{
	static const struct {
		const char *text;
		bool good;
	} cases[] = {
		{ "00112233445566778899aabbccddeeff", true },
		{ "ffffffffffffffffffffffffffffffff", true },
		{ "00112233445566778899aabbccddeef", false },
		{ "00112233445566778899aabbccddeeff0", false },
		{ "00112233445566778899AABBCCDDEEFF", false },
		{ "00112233445566778899aabbccddeefg", false },
		{ "00112233445566778899aabbccddee f", false },
		{ "", false },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct store_id id, untouched;
		char text[STORE_ID_CHARS + 1];
		memset(&id, 7, sizeof id);
		untouched = id;
		assert_int_equal(store_id_parse(str_of(cases[i].text), &id), cases[i].good);
		if (cases[i].good)
			assert_string_equal(store_id_print(&id, text), cases[i].text);
		else
			assert_memory_equal(&id, &untouched, sizeof id);
	}
}

/* What has begun to run before it became a job is there as RUNNING from its first commit on: a crash must not
 * find it waiting. */
static void test_a_job_that_runs_already(void **state)
{
	struct rig *r = *state;
	struct store_job job = rig_job(6);
	job.attempt = 2;
	job.container = STR("container4");
	job.started_us = RIG_US(7);
	assert_int_equal(store_enqueue(r->store, &job, rig_take, r), 0);
	assert_int_equal(rig_wait(r)->err, 0);
	const struct store_record *rec = rig_get(r, 6);
	assert_int_equal(rec->state, STORE_RUNNING);
	assert_int_equal(rec->attempts, 2);
	assert_int_equal(rec->started_us, RIG_US(7));
	assert_str(rec->container, "container4");
	assert_int_equal(rig_read(r, 6, 0, 100), 0);
	assert_str(r->reply.body, "body-6");
}

static void test_a_job_from_end_to_end(void **state)
{
	struct rig *r = *state;
	struct store_job job = rig_job(5);
	job.deadline_us = RIG_US(99);
	job.flags = 0xfedcba98;
	job.epoch = 17;
	assert_int_equal(store_enqueue(r->store, &job, rig_take, r), 0);
	assert_int_equal(r->callbacks, 0); /* never from within the call */
	assert_int_equal(rig_wait(r)->err, 0);

	const struct store_record *rec = rig_get(r, 5);
	assert_int_equal(rec->state, STORE_QUEUED);
	assert_str(rec->pool, "a");
	assert_int_equal(rec->number, 5);
	assert_int_equal(rec->epoch, 17);
	assert_int_equal(rec->created_us, RIG_US(5));
	assert_int_equal(rec->deadline_us, RIG_US(99));
	assert_int_equal(rec->flags, 0xfedcba98);
	assert_int_equal(rec->attempts, 0);
	assert_true(rec->held);
	assert_int_equal(rec->head_bytes, 6);
	assert_int_equal(rec->body_bytes, 6);
	assert_int_equal(rig_read(r, 5, 0, 100), 0);
	assert_str(r->reply.head, "head-5");
	assert_str(r->reply.body, "body-5");

	assert_int_equal(rig_claim(r, 5, 1, "container3"), 0);
	assert_int_equal(r->reply.state, STORE_RUNNING);
	rec = rig_get(r, 5);
	assert_int_equal(rec->state, STORE_RUNNING);
	assert_int_equal(rec->attempts, 1);
	assert_int_equal(rec->started_us, RIG_US(1005));
	assert_str(rec->container, "container3");

	struct store_id id = rig_id(5);
	assert_int_equal(store_requeue(r->store, &id, STR("connection\nreset"), rig_take, r), 0);
	assert_int_equal(rig_wait(r)->err, 0);
	assert_int_equal(r->reply.state, STORE_QUEUED);
	assert_int_equal(rig_claim(r, 5, 2, "container1"), 0);
	assert_int_equal(rig_complete(r, 5, 404, "X: y\r\n", STR("an answer")), 0);
	assert_int_equal(r->reply.state, STORE_DONE);
	rec = rig_get(r, 5);
	assert_int_equal(rec->state, STORE_DONE);
	assert_int_equal(rec->attempts, 2);
	assert_int_equal(rec->status, 404);
	assert_int_equal(rec->finished_us, RIG_US(2005));
	assert_str(rec->reasons, "connection reset\n");
	assert_str(rec->container, "container1");
	assert_int_equal(rec->head_bytes, 6);
	assert_int_equal(rec->body_bytes, 9);
	assert_int_equal(rig_read(r, 5, 3, 4), 0);
	assert_str(r->reply.head, "X: y\r\n");
	assert_str(r->reply.body, "answ");
	assert_int_equal(r->reply.records[0].status, 404);
}

/* Each change of each state: the error and the state that it leads to. */
enum { SAME = -1 };

static int change(struct rig *r, int verb, uint64_t n)
{
	struct store_id id = rig_id(n);
	struct store_message answer = rig_message("", STR("late"));
	switch (verb) {
	case 0:
		return store_claim(r->store, &id, 9, STR("c9"), RIG_US(1), rig_take, r);
	case 1:
		return store_requeue(r->store, &id, STR("again"), rig_take, r);
	case 2:
		return store_complete(r->store, &id, 200, &answer, RIG_US(2), rig_take, r);
	case 3:
		return store_fail(r->store, &id, STR("broken"), RIG_US(2), rig_take, r);
	case 4:
		return store_cancel(r->store, &id, RIG_US(2), rig_take, r);
	case 5:
		return store_expire(r->store, &id, RIG_US(2), rig_take, r);
	default:
		return store_remove(r->store, &id, rig_take, r);
	}
}

/* Brings job n into the state. */
static void bring_into(struct rig *r, uint64_t n, enum store_state state)
{
	static const int by[STORE_STATES] = { -1, 0, 2, 3, 4, 5 };
	assert_int_equal(rig_enqueue(r, n), 0);
	if (by[state] >= 0) {
		assert_int_equal(change(r, by[state], n), 0);
		assert_int_equal(rig_wait(r)->err, 0);
		assert_int_equal(r->reply.state, state);
	}
}

static void test_every_change_in_every_state(void **state)
{
	struct rig *r = *state;
	static const int to[6] = { STORE_RUNNING, STORE_QUEUED, STORE_DONE, STORE_FAILED, STORE_CANCELLED,
		STORE_EXPIRED };
	uint64_t n = 0;
	for (int from = 0; from < STORE_STATES; from++) {
		for (int verb = 0; verb < 6; verb++) {
			bring_into(r, ++n, (enum store_state)from);
			bool is_final = store_is_final((enum store_state)from);
			assert_int_equal(change(r, verb, n), 0);
			assert_int_equal(rig_wait(r)->err, is_final ? -EALREADY : 0);
			int expected = is_final ? from : to[verb];
			assert_int_equal(r->reply.state, expected);
			const struct store_record *rec = rig_get(r, n);
			assert_int_equal(rec->state, expected);
			assert_int_equal(rec->held, expected <= STORE_DONE);
			if (expected == STORE_FAILED)
				assert_str(rec->reasons, "broken\n");
			int err = rig_read(r, n, 0, 10);
			assert_int_equal(err, expected <= STORE_DONE ? 0 : -ENODATA);
			assert_int_equal(r->reply.n_records, 1); /* the record, in any case */
		}
		bring_into(r, ++n, (enum store_state)from);
		assert_int_equal(change(r, 6, n), 0);
		bool removed = store_is_final((enum store_state)from);
		assert_int_equal(rig_wait(r)->err, removed ? 0 : -EBUSY);
		assert_true(!rig_get(r, n) == removed);
	}
}

static void test_an_id_that_is_not_there(void **state)
{
	struct rig *r = *state;
	assert_int_equal(rig_enqueue(r, 1), 0);
	for (int verb = 0; verb < 7; verb++) {
		assert_int_equal(change(r, verb, 2), 0);
		assert_int_equal(rig_wait(r)->err, -ENOENT);
	}
	assert_null(rig_get(r, 2));
	assert_int_equal(rig_read(r, 2, 0, 10), -ENOENT);
}

static void test_an_id_is_taken_once(void **state)
{
	struct rig *r = *state;
	assert_int_equal(rig_enqueue(r, 1), 0);
	assert_int_equal(rig_claim(r, 1, 1, "c"), 0);
	assert_int_equal(rig_enqueue(r, 1), -EEXIST);
	assert_int_equal(r->reply.n_records, 1);
	assert_int_equal(r->reply.records[0].state, STORE_RUNNING);
	assert_int_equal(r->reply.state, STORE_RUNNING);
}

struct order {
	uint32_t next;
	uint32_t bad;
};

struct ticket {
	struct order *order;
	uint32_t place;
	int expected;
};

static void on_ordered(void *owner, const struct store_reply *reply)
{
	struct ticket *t = owner;
	t->order->bad += t->place != t->order->next++ || reply->err != t->expected;
}

/* A job's whole life in one go, many times over: each callback once, in the order of the calls. */
static void test_callbacks_come_in_order(void **state)
{
	enum { JOBS = 3000 };
	struct rig *r = *state;
	struct order order = { 0 };
	struct ticket *tickets = calloc(JOBS * 3, sizeof *tickets);
	assert_non_null(tickets);
	for (uint32_t i = 0; i < JOBS; i++) {
		struct ticket *t = &tickets[i * 3];
		for (uint32_t k = 0; k < 3; k++)
			t[k] = (struct ticket){ &order, i * 3 + k, k == 2 && i % 2 ? -EALREADY : 0 };
		struct store_id id = rig_id(i);
		struct store_job job = rig_job(i);
		assert_int_equal(store_enqueue(r->store, &job, on_ordered, &t[0]), 0);
		if (i % 2)
			assert_int_equal(store_cancel(r->store, &id, RIG_US(1), on_ordered, &t[1]), 0);
		else
			assert_int_equal(
				store_claim(r->store, &id, 1, STR("c"), RIG_US(1), on_ordered, &t[1]), 0);
		assert_int_equal(store_expire(r->store, &id, RIG_US(1), on_ordered, &t[2]), 0);
		if (i % 7 == 0)
			rig_run(r);
	}
	rig_run(r);
	assert_int_equal(order.next, JOBS * 3);
	assert_int_equal(order.bad, 0);
	assert_int_equal(store_pending(r->store), 0);
	free(tickets);
}

static int collect(void *owner, const struct store_record *rec)
{
	char *text = owner;
	snprintf(text + strlen(text), 16, "%.*s%llu%c ", (int)rec->pool.len, rec->pool.ptr,
		(unsigned long long)rec->number, store_state_name(rec->state)[0]);
	return strlen(text) > 200 ? 7 : 0;
}

static void test_unfinished_come_back_in_order(void **state)
{
	struct rig *r = *state;
	static const struct {
		const char *pool;
		uint64_t number;
		int verb;
	} jobs[] = {
		{ "b", 3, -1 }, { "a", 9, -1 }, { "b", 1, 0 }, { "a", 2, 2 }, { "a", 7, 0 }, { "a", 4, -1 },
		{ "b", 2, 3 }, { "a", 11, 4 }, { "a", 1, 5 }, { "b", 10, -1 }, { "a", 3, 1 },
		{ "b", 3, 0 }, /* behind the other that has this number */
	};
	for (size_t i = 0; i < ARRAY_LEN(jobs); i++) {
		struct store_job job = rig_job(i);
		job.pool = str_of(jobs[i].pool);
		job.number = jobs[i].number;
		assert_int_equal(store_enqueue(r->store, &job, rig_take, r), 0);
		if (jobs[i].verb >= 0)
			assert_int_equal(change(r, jobs[i].verb, i), 0);
		assert_int_equal(rig_wait(r)->err, 0);
	}
	char text[256] = "";
	assert_int_equal(store_load(r->store, STR(""), collect, text), 0);
	/* The pools come one after the other, in any order. */
	const char *a = strstr(text, "a3q a4q a7r a9q "), *b = strstr(text, "b1r b3q b3r b10q ");
	assert_non_null(a);
	assert_non_null(b);
	assert_int_equal(strlen(text), strlen("a3q a4q a7r a9q b1r b3q b3r b10q "));

	char only[256] = "";
	assert_int_equal(store_load(r->store, STR("b"), collect, only), 0);
	assert_string_equal(only, "b1r b3q b3r b10q ");
	assert_int_equal(store_load(r->store, STR("none"), collect, only), 0);
	assert_string_equal(only, "b1r b3q b3r b10q ");

	memset(text, ' ', 250);
	text[195] = '\0';
	assert_int_equal(store_load(r->store, STR(""), collect, text), 7); /* fn ends it */
}

static void test_bodies_of_slices_and_files(void **state)
{
	struct rig *r = *state;
	enum { PIECE = 100 * 1000 };
	char path[] = "/tmp/berth-spool-XXXXXX";
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	unlink(path);
	char *all = malloc(6 * PIECE);
	assert_non_null(all);
	for (size_t i = 0; i < 6 * PIECE; i++)
		all[i] = (char)(i * 31 + i / 251);
	assert_int_equal(pwrite(fd, all + 2 * PIECE, 4 * PIECE, 77), 4 * PIECE);

	/* Short and long, from memory, from a file, and from both. */
	static const struct {
		int n_slices;
		size_t file_pieces;
	} cases[] = { { 0, 0 }, { 1, 0 }, { 2, 0 }, { 0, 2 }, { 2, 1 }, { 1, 0 }, { 2, 4 }, { 0, 4 } };
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct iovec slices[2] = { { all, PIECE }, { all + PIECE, PIECE } };
		struct store_job job = rig_job(i);
		job.request = (struct store_message){
			.head = STR("h"),
			.slices = slices,
			.n_slices = cases[i].n_slices,
			.fd = fd,
			.file_at = 77,
			.file_bytes = cases[i].file_pieces * PIECE,
		};
		assert_int_equal(store_enqueue(r->store, &job, rig_take, r), 0);
		memset(slices, 0, sizeof slices); /* copied by then, unlike the bytes */
		assert_int_equal(rig_wait(r)->err, 0);
		size_t first = (size_t)cases[i].n_slices * PIECE, n = first + cases[i].file_pieces * PIECE;
		for (size_t at = 0; at <= n; at += 70001) {
			assert_int_equal(rig_read(r, i, at, 70001), 0);
			assert_int_equal(r->reply.records[0].body_bytes, n);
			assert_int_equal(r->reply.body.len, n - at < 70001 ? n - at : 70001);
			for (size_t k = 0; k < r->reply.body.len; k++) {
				size_t place = at + k < first ? at + k : at + k - first + 2 * PIECE;
				if (r->reply.body.ptr[k] != all[place])
					fail_msg("case %zu: byte %zu", i, at + k);
			}
		}
		assert_int_equal(rig_read(r, i, n + 5, 10), 0);
		assert_int_equal(r->reply.body.len, 0);
	}
	free(all);
	close(fd);
}

static void test_a_spool_that_is_too_short(void **state)
{
	struct rig *r = *state;
	int fd = open("/tmp", O_TMPFILE | O_RDWR, 0600);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 1000), 0);
	for (uint64_t bytes = 1001; bytes <= 1000 * 1000; bytes += 998999) {
		struct store_job job = rig_job(1);
		job.request = (struct store_message){ .fd = fd, .file_bytes = bytes };
		assert_int_equal(store_enqueue(r->store, &job, rig_take, r), 0);
		assert_int_equal(rig_wait(r)->err, -EIO);
		assert_null(rig_get(r, 1));
	}
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ids),
		RIG_BOTH(test_a_job_from_end_to_end),
		RIG_BOTH(test_a_job_that_runs_already),
		RIG_BOTH(test_every_change_in_every_state),
		RIG_BOTH(test_an_id_that_is_not_there),
		RIG_BOTH(test_an_id_is_taken_once),
		RIG_BOTH(test_callbacks_come_in_order),
		RIG_BOTH(test_unfinished_come_back_in_order),
		RIG_BOTH(test_bodies_of_slices_and_files),
		RIG_BOTH(test_a_spool_that_is_too_short),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
