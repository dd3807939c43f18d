#include "store_rig.h"
#include "unit.h"

#include <errno.h>
#include <stdio.h>

/* With other settings, while nothing is in it. */
static void reopen(struct rig *r)
{
	rig_close(r);
	rig_open(r);
}

/* 'q' for a job that is queued, 'd' for one that is done, 'D' when its answer is gone, '-' when it is. */
static char look(struct rig *r, uint64_t n)
{
	const struct store_record *rec = rig_get(r, n);
	if (!rec)
		return '-';
	return rec->state == STORE_DONE && !rec->held ? 'D' : store_state_name(rec->state)[0];
}

static void assert_jobs(struct rig *r, const char *expected)
{
	char seen[64] = "";
	for (size_t n = 0; n < strlen(expected); n++)
		seen[n] = look(r, n + 1);
	assert_string_equal(seen, expected);
}

static void finish(struct rig *r, uint64_t n)
{
	struct store_id id = rig_id(n);
	if (n % 2) {
		assert_int_equal(rig_complete(r, n, 200, "", STR("0123456789")), 0);
	} else {
		assert_int_equal(store_fail(r->store, &id, STR("no"), RIG_US(2000 + n), rig_take, r), 0);
		assert_int_equal(rig_wait(r)->err, 0);
	}
}

/* purged by a call with this time; `more` must not be set. */
static uint64_t purge(struct rig *r, uint64_t now_us)
{
	assert_int_equal(store_purge(r->store, now_us, rig_take, r), 0);
	assert_int_equal(rig_wait(r)->err, 0);
	assert_false(r->reply.more);
	return r->reply.purged;
}

static void test_records_give_way_oldest_end_first(void **state)
{
	struct rig *r = *state;
	r->settings.max_records = 5;
	reopen(r);
	for (uint64_t n = 1; n <= 5; n++)
		assert_int_equal(rig_enqueue(r, n), 0);
	assert_int_equal(rig_enqueue(r, 6), -EDQUOT); /* unfinished ones never give way */
	assert_jobs(r, "qqqqq-");
	finish(r, 3);
	finish(r, 2);
	assert_jobs(r, "qfdqq-");
	assert_int_equal(rig_enqueue(r, 6), 0); /* 2 ended at 2002, before 3 */
	assert_jobs(r, "q-dqqq");
	assert_int_equal(rig_enqueue(r, 7), 0);
	assert_jobs(r, "q--qqqq");
	assert_int_equal(rig_enqueue(r, 8), -EDQUOT);
}

static void test_answers_give_way_to_bytes(void **state)
{
	struct rig *r = *state;
	r->settings.max_bytes = 60;
	reopen(r);
	for (uint64_t n = 1; n <= 5; n++)
		assert_int_equal(rig_enqueue(r, n), 0); /* 12 bytes each: 60 */
	assert_int_equal(rig_enqueue(r, 6), -EDQUOT);
	finish(r, 1);
	finish(r, 3); /* 10 each in the place of 12: 56 */
	assert_int_equal(rig_enqueue(r, 6), 0);
	assert_jobs(r, "Dqdqqq"); /* 46 + 12 */
	finish(r, 2);             /* its request goes: 46 */
	assert_int_equal(rig_enqueue(r, 7), 0);
	assert_jobs(r, "Dfdqqqq");
	assert_int_equal(rig_enqueue(r, 8), 0);
	assert_jobs(r, "DfDqqqqq");
	assert_int_equal(rig_enqueue(r, 9), -EDQUOT);

	/* An answer is never refused; the next purge makes good for it. */
	struct str big = { "ten bytes.ten bytes.ten bytes.ten bytes.ten bytes.ten bytes.ten bytes.", 70 };
	assert_int_equal(rig_complete(r, 5, 200, "", big), 0);
	assert_jobs(r, "DfDqdqqq-");
	assert_int_equal(purge(r, RIG_US(3000)), 1);
	assert_jobs(r, "DfDqDqqq-");
	assert_int_equal(rig_read(r, 5, 0, 10), -ENODATA);
	assert_int_equal(r->reply.records[0].status, 200);
}

/* Nothing gives way to a job that does not come in all the same. */
static void test_a_refusal_drops_nothing(void **state)
{
	struct rig *r = *state;
	static char long_body[100];
	r->settings.max_records = 6;
	r->settings.max_bytes = 100;
	reopen(r);
	for (uint64_t n = 1; n <= 6; n++)
		assert_int_equal(rig_enqueue(r, n), 0); /* 12 bytes each */
	for (uint64_t n = 1; n <= 4; n++)
		finish(r, n);
	assert_jobs(r, "dfdfqq"); /* 2 answers of 10, 2 requests of 12 */
	for (int opened = 0; opened < 2; opened++) {
		struct store_job job = rig_job(7);
		job.request = rig_message("", (struct str){ long_body, 77 }); /* 24 + 77 */
		assert_int_equal(store_enqueue(r->store, &job, rig_take, r), 0);
		assert_int_equal(rig_wait(r)->err, -EDQUOT);
		assert_jobs(r, "dfdfqq-");
		if (!strcmp(r->where, "memory"))
			break;
		reopen(r); /* where it counts anew */
	}
	struct store_job job = rig_job(7);
	job.request = rig_message("", (struct str){ long_body, 76 });
	assert_int_equal(store_enqueue(r->store, &job, rig_take, r), 0);
	assert_int_equal(rig_wait(r)->err, 0);
	assert_jobs(r, "-fDfqqq"); /* the oldest record, then the other answer */
	assert_int_equal(rig_enqueue(r, 8), -EDQUOT);
	assert_jobs(r, "-fDfqqq-");
}

static void test_ages(void **state)
{
	struct rig *r = *state;
	r->settings.result_age_us = 100 * 1000000;
	r->settings.record_age_us = 300 * 1000000;
	reopen(r);
	for (uint64_t n = 1; n <= 5; n++)
		assert_int_equal(rig_enqueue(r, n), 0);
	for (uint64_t n = 1; n <= 4; n++)
		finish(r, n); /* at 2000 + n */
	static const struct {
		uint64_t at_s;
		uint64_t purged;
		const char *after;
	} steps[] = {
		{ 2050, 0, "dfdfq" },
		{ 2101, 1, "Dfdfq" },
		{ 2101, 0, "Dfdfq" },
		{ 2103, 1, "DfDfq" },
		{ 2300, 0, "DfDfq" },
		{ 2301, 1, "-fDfq" },
		{ 2303, 2, "---fq" },
		{ 9999, 1, "----q" },
	};
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		assert_int_equal(purge(r, RIG_US(steps[i].at_s)), steps[i].purged);
		assert_jobs(r, steps[i].after);
	}
}

static void test_ages_without_end(void **state)
{
	struct rig *r = *state;
	r->settings.result_age_us = r->settings.record_age_us = r->settings.key_age_us = UINT64_MAX;
	reopen(r);
	assert_int_equal(rig_enqueue(r, 1), 0);
	finish(r, 1);
	assert_int_equal(purge(r, INT64_MAX), 0);
	assert_jobs(r, "d");
}

static void test_limits_change_while_it_is_open(void **state)
{
	struct rig *r = *state;
	struct store_settings s = r->settings;
	for (uint64_t n = 1; n <= 3; n++)
		assert_int_equal(rig_enqueue(r, n), 0); /* 12 bytes each: 36 */
	s.max_records = 3;
	store_set_limits(r->store, &s);
	assert_int_equal(rig_enqueue(r, 4), -EDQUOT);
	s.max_records = 4;
	s.max_bytes = 40;
	store_set_limits(r->store, &s);
	assert_int_equal(rig_enqueue(r, 4), -EDQUOT);
	s.max_bytes = 48;
	store_set_limits(r->store, &s);
	assert_int_equal(rig_enqueue(r, 4), 0);
	finish(r, 1); /* at 2001 */
	finish(r, 2);
	assert_int_equal(purge(r, RIG_US(2011)), 0);
	s.result_age_us = 10 * 1000000;
	store_set_limits(r->store, &s);
	assert_int_equal(purge(r, RIG_US(2011)), 1);
	assert_jobs(r, "Dfqq");
	s.record_age_us = 10 * 1000000;
	store_set_limits(r->store, &s);
	assert_int_equal(purge(r, RIG_US(2011)), 1);
	assert_jobs(r, "-fqq");
}

static void test_purge_comes_in_pieces(void **state)
{
	struct rig *r = *state;
	enum { JOBS = 700 };
	for (uint64_t n = 1; n <= JOBS; n++) {
		struct store_job job = rig_job(n);
		struct store_id id = rig_id(n);
		assert_int_equal(store_enqueue(r->store, &job, NULL, NULL), 0);
		assert_int_equal(store_cancel(r->store, &id, RIG_US(n), NULL, NULL), 0);
		rig_run(r);
	}
	uint64_t purged = 0;
	int pieces = 0;
	do {
		assert_int_equal(store_purge(r->store, RIG_US(1e7), rig_take, r), 0);
		assert_int_equal(rig_wait(r)->err, 0);
		assert_true(r->reply.purged > 0 && r->reply.purged < JOBS);
		purged += r->reply.purged;
		pieces++;
	} while (r->reply.more);
	assert_int_equal(purged, JOBS);
	assert_true(pieces > 1);
	assert_null(rig_get(r, 1));
	assert_null(rig_get(r, JOBS));
}

static void test_pending_is_limited(void **state)
{
	struct rig *r = *state;
	r->settings.max_pending = 3;
	reopen(r);
	struct store_job jobs[4] = { rig_job(1), rig_job(2), rig_job(3), rig_job(4) };
	struct store_id id = rig_id(1);
	for (int i = 0; i < 3; i++)
		assert_int_equal(store_enqueue(r->store, &jobs[i], rig_take, r), 0);
	assert_int_equal(store_enqueue(r->store, &jobs[3], rig_take, r), -ENOBUFS);
	assert_int_equal(store_cancel(r->store, &id, RIG_US(1), rig_take, r), 0); /* is no new work */
	assert_int_equal(store_pending(r->store), 4);
	rig_run(r);
	assert_int_equal(store_enqueue(r->store, &jobs[3], rig_take, r), 0);
	assert_int_equal(rig_wait(r)->err, 0);
}

static void test_arguments(void **state)
{
	struct rig *r = *state;
	static char longest[STORE_HEAD_MAX + 1];
	memset(longest, 'x', sizeof longest);
	struct store_id id = rig_id(1);
	struct store_job job = rig_job(1);
	job.pool.len = 0;
	assert_int_equal(store_enqueue(r->store, &job, rig_take, r), -EINVAL);
	job.pool = (struct str){ longest, STORE_POOL_MAX + 1 };
	assert_int_equal(store_enqueue(r->store, &job, rig_take, r), -EINVAL);
	job = rig_job(1);
	job.key = (struct str){ longest, STORE_KEY_MAX + 1 };
	assert_int_equal(store_enqueue(r->store, &job, rig_take, r), -EINVAL);
	job = rig_job(1);
	job.request.head = (struct str){ longest, STORE_HEAD_MAX + 1 };
	assert_int_equal(store_enqueue(r->store, &job, rig_take, r), -EMSGSIZE);
	struct str container = { longest, STORE_CONTAINER_MAX + 1 };
	assert_int_equal(store_claim(r->store, &id, 1, container, 1, rig_take, r), -EINVAL);
	struct store_filter filter = { .state = -1 };
	assert_int_equal(store_list(r->store, &filter, rig_take, r), -EINVAL);
	filter.limit = STORE_LIST_MAX + 1;
	assert_int_equal(store_list(r->store, &filter, rig_take, r), -EINVAL);
	filter = (struct store_filter){ .state = STORE_STATES, .limit = 1 };
	assert_int_equal(store_list(r->store, &filter, rig_take, r), -EINVAL);
	assert_int_equal(store_read(r->store, &id, 0, STORE_READ_MAX + 1, rig_take, r), -EINVAL);
	assert_int_equal(store_pending(r->store), 0);

	/* The longest that are allowed, and reasons that are cut and left out. */
	job = rig_job(1);
	job.pool = job.key = (struct str){ longest, STORE_POOL_MAX };
	job.request.head = (struct str){ longest, STORE_HEAD_MAX };
	assert_int_equal(store_enqueue(r->store, &job, NULL, NULL), 0); /* nobody waits */
	for (int i = 0; i < 20; i++)
		assert_int_equal(store_requeue(r->store, &id, job.request.head, NULL, NULL), 0);
	rig_run(r);
	const struct store_record *rec = rig_get(r, 1);
	assert_non_null(rec);
	assert_int_equal(rec->reasons.len, 16 * (STORE_REASON_MAX + 1));
	assert_int_equal(rec->pool.len, STORE_POOL_MAX);
	assert_int_equal(rec->head_bytes, STORE_HEAD_MAX);
}

/* ---- idempotency keys ---- */

static int enqueue_keyed(struct rig *r, uint64_t n, const char *pool, const char *key, uint64_t at_s)
{
	struct store_job job = rig_job(n);
	job.pool = str_of(pool);
	job.key = str_of(key);
	job.created_us = RIG_US(at_s);
	memset(job.payload_hash, (int)n, sizeof job.payload_hash);
	assert_int_equal(store_enqueue(r->store, &job, rig_take, r), 0);
	return rig_wait(r)->err;
}

static int find(struct rig *r, const char *pool, const char *key, uint64_t at_s)
{
	assert_int_equal(store_find(r->store, str_of(pool), str_of(key), RIG_US(at_s), rig_take, r), 0);
	return rig_wait(r)->err;
}

static void assert_found(struct rig *r, uint64_t n)
{
	struct store_id id = rig_id(n);
	uint8_t hash[STORE_HASH_BYTES];
	memset(hash, (int)n, sizeof hash);
	assert_int_equal(r->reply.n_records, 1);
	assert_memory_equal(&r->reply.records[0].id, &id, sizeof id);
	assert_memory_equal(r->reply.records[0].payload_hash, hash, sizeof hash);
}

static void test_a_key_is_taken_once(void **state)
{
	struct rig *r = *state;
	assert_int_equal(find(r, "a", "key", 0), -ENOENT);
	assert_int_equal(enqueue_keyed(r, 1, "a", "key", 0), 0);
	assert_int_equal(enqueue_keyed(r, 2, "b", "key", 0), 0); /* another pool, another key */
	assert_int_equal(enqueue_keyed(r, 3, "a", "Key", 0), 0);
	assert_int_equal(enqueue_keyed(r, 4, "a", "key", 1e8), -EEXIST); /* holds however long it runs */
	assert_found(r, 1);
	assert_str(r->reply.records[0].key, "key");
	assert_null(rig_get(r, 4));
	assert_int_equal(find(r, "a", "key", 1e8), 0);
	assert_found(r, 1);
	assert_int_equal(find(r, "b", "key", 1), 0);
	assert_found(r, 2);
	assert_int_equal(find(r, "c", "key", 1), -ENOENT);
	assert_int_equal(find(r, "a", "", 1), -ENOENT);
	assert_int_equal(rig_enqueue(r, 5), 0); /* without a key */
	assert_int_equal(rig_enqueue(r, 6), 0);
	struct store_id id = rig_id(1);
	assert_int_equal(store_cancel(r->store, &id, RIG_US(10), NULL, NULL), 0);
	assert_int_equal(store_remove(r->store, &id, rig_take, r), 0);
	assert_int_equal(rig_wait(r)->err, 0);
	assert_int_equal(enqueue_keyed(r, 7, "a", "key", 0), 0); /* went with its job */
}

static void test_a_key_grows_old(void **state)
{
	struct rig *r = *state;
	r->settings.key_age_us = 60 * 1000000;
	reopen(r);
	assert_int_equal(enqueue_keyed(r, 1, "a", "key", 0), 0);
	finish(r, 1); /* at 2001 */
	assert_int_equal(find(r, "a", "key", 2060), 0);
	assert_int_equal(enqueue_keyed(r, 2, "a", "key", 2060), -EEXIST);
	assert_int_equal(r->reply.state, STORE_DONE);
	assert_int_equal(find(r, "a", "key", 2061), -ENOENT);
	assert_int_equal(enqueue_keyed(r, 2, "a", "key", 2061), 0);
	assert_int_equal(find(r, "a", "key", 2061), 0);
	assert_found(r, 2);
	assert_jobs(r, "dq"); /* the first lost its key, not its life */
	assert_int_equal(rig_get(r, 1)->key.len, 0);
}

/* ---- lists ---- */

/* The numbers of all that the filter lets through, by pages of `limit`. */
static const char *listed(struct rig *r, int filter_state, const char *pool, uint64_t from_s, uint32_t limit)
{
	static char text[256];
	struct store_filter f = { .state = filter_state,
		.pool = str_of(pool),
		.from_us = from_s ? RIG_US(from_s) : 0,
		.limit = limit };
	text[0] = '\0';
	do {
		assert_int_equal(store_list(r->store, &f, rig_take, r), 0);
		assert_int_equal(rig_wait(r)->err, 0);
		assert_true(r->reply.n_records <= limit);
		for (uint32_t i = 0; i < r->reply.n_records; i++)
			snprintf(text + strlen(text), 8, "%llu ",
				(unsigned long long)r->reply.records[i].number);
		f.at = r->reply.next;
	} while (r->reply.more);
	return text;
}

static void test_lists(void **state)
{
	struct rig *r = *state;
	assert_string_equal(listed(r, -1, "", 0, 10), "");
	for (uint64_t n = 1; n <= 9; n++) {
		struct store_job job = rig_job(n);
		job.pool = str_of(n % 3 ? "a" : "b");
		job.created_us = RIG_US(n == 9 ? 4 : n / 2 * 2); /* twos at a time, and one that comes late */
		assert_int_equal(store_enqueue(r->store, &job, rig_take, r), 0);
		assert_int_equal(rig_wait(r)->err, 0);
	}
	finish(r, 1);
	finish(r, 3);
	finish(r, 4);
	assert_int_equal(rig_claim(r, 6, 1, "c"), 0);
	static const struct {
		int state;
		const char *pool;
		uint64_t from_s;
		const char *expected;
	} cases[] = {
		{ -1, "", 0, "8 7 6 9 5 4 3 2 1 " },
		{ -1, "a", 0, "8 7 5 4 2 1 " },
		{ -1, "b", 0, "6 9 3 " },
		{ -1, "c", 0, "" },
		{ STORE_QUEUED, "", 0, "8 7 9 5 2 " },
		{ STORE_QUEUED, "b", 0, "9 " },
		{ STORE_RUNNING, "", 0, "6 " },
		{ STORE_DONE, "", 0, "3 1 " },
		{ STORE_DONE, "a", 0, "1 " },
		{ STORE_FAILED, "", 0, "4 " },
		{ STORE_EXPIRED, "", 0, "" },
		{ -1, "", 4, "8 7 6 9 5 4 " },
		{ -1, "", 5, "8 7 6 " },
		{ STORE_QUEUED, "a", 3, "8 7 5 " },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		for (uint32_t limit = 1; limit <= 10; limit++)
			assert_string_equal(listed(r, cases[i].state, cases[i].pool, cases[i].from_s, limit),
				cases[i].expected);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_BOTH(test_records_give_way_oldest_end_first),
		RIG_BOTH(test_answers_give_way_to_bytes),
		RIG_BOTH(test_a_refusal_drops_nothing),
		RIG_BOTH(test_ages),
		RIG_BOTH(test_ages_without_end),
		RIG_BOTH(test_limits_change_while_it_is_open),
		RIG_BOTH(test_purge_comes_in_pieces),
		RIG_BOTH(test_pending_is_limited),
		RIG_BOTH(test_arguments),
		RIG_BOTH(test_a_key_is_taken_once),
		RIG_BOTH(test_a_key_grows_old),
		RIG_BOTH(test_lists),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
