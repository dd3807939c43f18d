#include "gateway/job.h"

#include "base/rand.h"
#include "io/timer.h"
#include "unit.h"

#include <errno.h>
#include <stdlib.h>

/* A clock that the test moves, and ids that are not random. */
struct world {
	struct io io;
	struct io_ops ops;
	struct jobs jobs;
	uint64_t next_id;
};

static struct world *world_of(struct io *io)
{
	return CONTAINER_OF(io, struct world, io);
}

static void counted(struct io *io, void *into, size_t n)
{
	struct rand r;
	rand_seed(&r, world_of(io)->next_id++);
	for (size_t i = 0; i < n; i++)
		((unsigned char *)into)[i] = (unsigned char)rand_u64(&r);
}

static void open_jobs(struct world *w, uint32_t max, uint64_t max_bytes, uint64_t max_age_us)
{
	*w = (struct world){ .ops.random = counted };
	w->io.ops = &w->ops;
	w->io.now_us = 1000000;
	w->io.wall_us = UINT64_C(1700000000000000);
	w->io.wheel = wheel_create(w->io.now_us);
	assert_non_null(w->io.wheel);
	assert_int_equal(jobs_init(&w->jobs, &w->io, max, max_bytes, max_age_us), 0);
}

static void close_jobs(struct world *w)
{
	jobs_finish(&w->jobs);
	assert_int_equal(w->jobs.count, 0);
	assert_int_equal(w->jobs.bytes, 0);
	assert_false(list_linked(&w->jobs.timer.node));
	wheel_destroy(w->io.wheel);
}

static void pass(struct world *w, uint64_t us)
{
	w->io.now_us += us;
	w->io.wall_us += us;
	wheel_expire(&w->io);
}

static struct job *create(struct world *w)
{
	struct job *job = jobs_create(&w->jobs);
	assert_non_null(job);
	assert_int_equal(job->state, JOB_QUEUED);
	return job;
}

static struct str id_of(const struct job *job)
{
	return str_of(job->id);
}

/* A job with a result of so many bytes. */
static struct job *finished(struct world *w, size_t bytes)
{
	struct job *job = create(w);
	char *result = calloc(1, bytes + 1);
	assert_non_null(result);
	assert_int_equal(job_append(&w->jobs, job, result, bytes), 0);
	free(result);
	job_end(&w->jobs, job, JOB_DONE);
	return job;
}

static void test_ids(void **state)
{
	enum { JOBS = 3000 };
	struct world w;
	char ids[JOBS][JOB_ID_CHARS + 1];
	struct job *jobs[JOBS];
	open_jobs(&w, JOBS, 1000, 1000000);
	for (int i = 0; i < JOBS; i++) {
		jobs[i] = create(&w);
		assert_int_equal(strlen(jobs[i]->id), JOB_ID_CHARS);
		assert_int_equal(strspn(jobs[i]->id, "0123456789abcdef"), JOB_ID_CHARS);
		memcpy(ids[i], jobs[i]->id, sizeof ids[i]);
	}
	for (int i = 0; i < JOBS; i++)
		assert_ptr_equal(jobs_find(&w.jobs, str_of(ids[i])), jobs[i]);
	for (int i = 0; i < JOBS; i += 2)
		jobs_discard(&w.jobs, jobs[i]);
	for (int i = 0; i < JOBS; i++)
		assert_ptr_equal(jobs_find(&w.jobs, str_of(ids[i])), i % 2 ? jobs[i] : NULL);
	assert_int_equal(w.jobs.count, JOBS / 2);
	close_jobs(&w);
}

static void test_what_is_no_id(void **state)
{
	struct world w;
	char upper[JOB_ID_CHARS + 1];
	open_jobs(&w, 10, 1000, 1000000);
	struct job *job = create(&w);
	for (int i = 0; i <= JOB_ID_CHARS; i++)
		upper[i] = (char)(job->id[i] >= 'a' ? job->id[i] - 'a' + 'A' : job->id[i]);
	assert_string_not_equal(upper, job->id);
	assert_null(jobs_find(&w.jobs, str_of(upper)));
	assert_null(jobs_find(&w.jobs, STR("")));
	assert_null(jobs_find(&w.jobs, (struct str){ NULL, 0 }));
	assert_null(jobs_find(&w.jobs, (struct str){ job->id, JOB_ID_CHARS - 1 }));
	assert_null(jobs_find(&w.jobs, (struct str){ job->id, JOB_ID_CHARS + 1 }));
	assert_null(jobs_find(&w.jobs, STR("gggggggggggggggggggggggggggggggg")));
	assert_null(jobs_find(&w.jobs, STR("0123456789abcdef\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0")));
	assert_null(jobs_find(&w.jobs,
		STR("\xff\xff\xff\xff\xff\xff\xff\xff"
		    "456789abcdef456789abcdef")));
	close_jobs(&w);
}

static void test_result_in_pieces(void **state)
{
	struct world w;
	char expected[1000];
	open_jobs(&w, 10, 10000, 1000000);
	struct job *job = create(&w);
	assert_int_equal(job_set_fields(&w.jobs, job, STR("A: b\r\n")), 0);
	assert_int_equal(job_append(&w.jobs, job, NULL, 0), 0);
	for (size_t i = 0; i < sizeof expected; i += 8) {
		for (size_t k = 0; k < 8; k++)
			expected[i + k] = (char)(i + k);
		assert_int_equal(job_append(&w.jobs, job, expected + i, 8), 0);
	}
	assert_int_equal(job->result_bytes, sizeof expected);
	assert_memory_equal(job->result, expected, sizeof expected);
	assert_true(w.jobs.bytes >= sizeof expected + 6);
	job_end(&w.jobs, job, JOB_DONE);
	assert_int_equal(w.jobs.bytes, sizeof expected + 6); /* nothing to spare is kept */
	assert_memory_equal(job->result, expected, sizeof expected);
	assert_str(((struct str){ job->fields, job->fields_bytes }), "A: b\r\n");
	close_jobs(&w);
}

static void test_reset(void **state)
{
	struct world w;
	open_jobs(&w, 10, 10000, 1000000);
	struct job *job = create(&w);
	job->status = 200;
	assert_int_equal(job_set_fields(&w.jobs, job, STR("A: b\r\n")), 0);
	assert_int_equal(job_append(&w.jobs, job, "half", 4), 0);
	job_reset(&w.jobs, job);
	assert_int_equal(w.jobs.bytes, 0);
	assert_int_equal(job->status, 0);
	assert_int_equal(job_set_fields(&w.jobs, job, STR("C: d\r\n")), 0);
	assert_int_equal(job_append(&w.jobs, job, "whole", 5), 0);
	assert_str(((struct str){ job->result, job->result_bytes }), "whole");
	assert_str(((struct str){ job->fields, job->fields_bytes }), "C: d\r\n");
	close_jobs(&w);
}

static void test_end(void **state)
{
	struct world w;
	open_jobs(&w, 10, 10000, 1000000);
	struct job *job = create(&w);
	uint64_t created = w.io.wall_us;
	job->exchange = (struct exchange *)(void *)&w;
	pass(&w, 777);
	job_end(&w.jobs, job, JOB_FAILED);
	assert_int_equal(job->state, JOB_FAILED);
	assert_null(job->exchange);
	assert_int_equal(job->created_wall_us, created);
	assert_int_equal(job->finished_wall_us, created + 777);
	assert_string_equal(job_state_name(JOB_QUEUED), "queued");
	assert_string_equal(job_state_name(JOB_RUNNING), "running");
	assert_string_equal(job_state_name(JOB_DONE), "done");
	assert_string_equal(job_state_name(JOB_FAILED), "failed");
	close_jobs(&w);
}

/* ---- limits ---- */

static void test_limit_of_number(void **state)
{
	struct world w;
	char oldest[JOB_ID_CHARS + 1];
	open_jobs(&w, 3, 10000, 1000000);
	struct job *a = create(&w), *b = create(&w), *c = create(&w);
	assert_null(jobs_create(&w.jobs)); /* none of them is over */
	job_end(&w.jobs, b, JOB_DONE);
	memcpy(oldest, b->id, sizeof oldest);
	struct job *d = create(&w); /* in b's place */
	assert_null(jobs_find(&w.jobs, str_of(oldest)));
	assert_int_equal(w.jobs.count, 3);
	job_end(&w.jobs, c, JOB_DONE);
	pass(&w, 10);
	job_end(&w.jobs, a, JOB_DONE);
	memcpy(oldest, c->id, sizeof oldest); /* the first to end, not the first to come */
	(void)create(&w);
	assert_null(jobs_find(&w.jobs, str_of(oldest)));
	assert_ptr_equal(jobs_find(&w.jobs, id_of(a)), a);
	assert_ptr_equal(jobs_find(&w.jobs, id_of(d)), d);
	close_jobs(&w);
}

static void test_limit_of_bytes(void **state)
{
	struct world w;
	char ids[4][JOB_ID_CHARS + 1];
	open_jobs(&w, 100, 1000, 1000000);
	for (int i = 0; i < 3; i++)
		memcpy(ids[i], finished(&w, 300)->id, sizeof ids[i]);
	assert_int_equal(w.jobs.bytes, 900);
	memcpy(ids[3], finished(&w, 500)->id, sizeof ids[3]);
	assert_null(jobs_find(&w.jobs, str_of(ids[0])));
	assert_null(jobs_find(&w.jobs, str_of(ids[1])));
	assert_non_null(jobs_find(&w.jobs, str_of(ids[2])));
	assert_non_null(jobs_find(&w.jobs, str_of(ids[3])));
	assert_int_equal(w.jobs.bytes, 800);
	close_jobs(&w);
}

/* A result as long as the limit is kept, however it came; a longer one is refused. */
static void test_longest_result(void **state)
{
	static const size_t pieces[] = { 1000, 500, 100, 9, 1 };
	char piece[1000] = { 0 };
	for (size_t p = 0; p < ARRAY_LEN(pieces); p++) {
		struct world w;
		open_jobs(&w, 100, 1000, 1000000);
		(void)finished(&w, 700);
		struct job *job = create(&w);
		for (size_t n = 0; n < 1000; n += pieces[p]) {
			size_t k = 1000 - n < pieces[p] ? 1000 - n : pieces[p];
			assert_int_equal(job_append(&w.jobs, job, piece, k), 0);
			assert_true(w.jobs.bytes <= 1000);
		}
		assert_int_equal(job_append(&w.jobs, job, piece, 1), -EFBIG);
		assert_int_equal(job->result_bytes, 1000);
		job_end(&w.jobs, job, JOB_DONE);
		assert_ptr_equal(jobs_find(&w.jobs, id_of(job)), job);
		assert_int_equal(w.jobs.count, 1);
		close_jobs(&w);
	}
}

/* Those that run share the limit: what they have gathered is never dropped, so the one that asks for more is
 * refused. */
static void test_bytes_of_those_that_run(void **state)
{
	struct world w;
	char piece[1000] = { 0 };
	open_jobs(&w, 100, 1000, 1000000);
	struct job *a = create(&w), *b = create(&w);
	assert_int_equal(job_append(&w.jobs, a, piece, 600), 0);
	assert_int_equal(job_append(&w.jobs, b, piece, 500), -EFBIG);
	assert_int_equal(job_append(&w.jobs, b, piece, 400), 0);
	assert_int_equal(job_append(&w.jobs, a, piece, 1), -EFBIG);
	assert_int_equal(w.jobs.bytes, 1000);
	job_reset(&w.jobs, b);
	assert_int_equal(job_append(&w.jobs, a, piece, 400), 0);
	close_jobs(&w);
}

static void test_limit_of_age(void **state)
{
	struct world w;
	open_jobs(&w, 100, 10000, 5000000);
	struct job *runs = create(&w);
	char ids[3][JOB_ID_CHARS + 1];
	for (int i = 0; i < 3; i++) {
		memcpy(ids[i], finished(&w, 10)->id, sizeof ids[i]);
		pass(&w, 1000000);
	}
	pass(&w, 1990000); /* the first one is 4.99 s old */
	assert_int_equal(w.jobs.count, 4);
	for (uint32_t i = 0; i < 3; i++) {
		pass(&w, 20000);
		assert_int_equal(w.jobs.count, 3 - i);
		assert_null(jobs_find(&w.jobs, str_of(ids[i])));
		pass(&w, 980000);
	}
	pass(&w, UINT64_C(86400000000));
	assert_ptr_equal(jobs_find(&w.jobs, id_of(runs)), runs); /* whatever its age */
	close_jobs(&w);
}

static void test_discard_the_next_to_grow_old(void **state)
{
	struct world w;
	open_jobs(&w, 100, 10000, 5000000);
	struct job *first = finished(&w, 10);
	pass(&w, 3000000);
	(void)finished(&w, 10);
	jobs_discard(&w.jobs, first);
	pass(&w, 4900000);
	assert_int_equal(w.jobs.count, 1);
	pass(&w, 200000);
	assert_int_equal(w.jobs.count, 0);
	close_jobs(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ids),
		cmocka_unit_test(test_what_is_no_id),
		cmocka_unit_test(test_result_in_pieces),
		cmocka_unit_test(test_reset),
		cmocka_unit_test(test_end),
		cmocka_unit_test(test_limit_of_number),
		cmocka_unit_test(test_limit_of_bytes),
		cmocka_unit_test(test_longest_result),
		cmocka_unit_test(test_bytes_of_those_that_run),
		cmocka_unit_test(test_limit_of_age),
		cmocka_unit_test(test_discard_the_next_to_grow_old),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
