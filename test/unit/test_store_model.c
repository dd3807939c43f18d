/* Random calls against the model; the database is closed and opened at random points. STORE_SEED and
 * STORE_STEPS choose another run. */
#include "base/rand.h"
#include "store_model.h"
#include "store_rig.h"
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { KEYS = 12, IN_FLIGHT = 400, PURGE_MAX = 256 };

struct expectation {
	struct run *run;
	int err, state; /* state -1: not told */
	bool came;
};

struct run {
	struct rig *rig;
	struct rand rand;
	struct model model;
	uint64_t next_number;
	struct expectation expected[IN_FLIGHT];
	int n_expected;
	char *bodies[IN_FLIGHT]; /* of what is in flight */
	uint64_t purged;         /* expected of the purge in flight */
};

/* ---- calls ---- */

static void on_reply(void *owner, const struct store_reply *reply)
{
	struct expectation *e = owner;
	long at = e - e->run->expected;
	if (e->came || (at && !e[-1].came) || reply->err != e->err ||
		(e->state >= 0 && (int)reply->state != e->state) || reply->purged != e->run->purged)
		fail_msg("call %ld: error %d, not %d; state %d, not %d; purged %llu", at, reply->err, e->err,
			(int)reply->state, e->state, (unsigned long long)reply->purged);
	e->came = true;
}

static struct expectation *expect(struct run *m, int err, int state)
{
	struct expectation *e = &m->expected[m->n_expected++];
	*e = (struct expectation){ m, err, state, false };
	return e;
}

static void settle(struct run *m)
{
	rig_run(m->rig);
	for (int i = 0; i < m->n_expected; i++) {
		assert_true(m->expected[i].came);
		free(m->bodies[i]);
		m->bodies[i] = NULL;
	}
	m->n_expected = 0;
	m->purged = 0;
}

static char body_byte(uint64_t fill, uint64_t at)
{
	return (char)(fill * 7 + at * 131 + at / 4096);
}

/* A random message: mostly short, now and then with a file. */
static struct store_message make_message(struct run *m, struct model_job *j, struct iovec *slice)
{
	j->head_bytes = rand_below(&m->rand, 40);
	j->body_bytes = rand_chance(&m->rand, 30000) ? STORE_ROW_BODY_MAX - 2 + rand_below(&m->rand, 5)
						     : rand_below(&m->rand, 3000);
	j->fill = rand_u64(&m->rand);
	char *p = malloc(j->head_bytes + j->body_bytes + 1);
	assert_non_null(p);
	for (uint64_t i = 0; i < j->head_bytes + j->body_bytes; i++)
		p[i] = body_byte(j->fill, i);
	m->bodies[m->n_expected] = p;
	*slice = (struct iovec){ p + j->head_bytes, j->body_bytes };
	return (struct store_message){ .head = { p, j->head_bytes }, .slices = slice, .n_slices = 1 };
}

static void call_enqueue(struct run *m, uint64_t n)
{
	struct model_job *j = &m->model.jobs[n], before = *j;
	struct iovec slice;
	char key[32], pool = (char)('a' + rand_below(&m->rand, 3));
	struct model_job fresh = { .pool = pool };
	struct store_message request = make_message(m, &fresh, &slice);
	if (rand_chance(&m->rand, 300000))
		fresh.key = 1 + (int)rand_below(&m->rand, KEYS);
	snprintf(key, sizeof key, "key-%d", fresh.key);
	struct store_job job = { .id = rig_id(n),
		.pool = { &pool, 1 },
		.number = m->next_number++,
		.epoch = rand_below(&m->rand, 9),
		.created_us = m->model.now_us,
		.deadline_us = rand_below(&m->rand, 3),
		.flags = (uint32_t)rand_u64(&m->rand),
		.key = fresh.key ? str_of(key) : STR(""),
		.request = request };
	fresh.rec = (struct store_record){ .state = STORE_QUEUED,
		.held = true,
		.number = job.number,
		.epoch = job.epoch,
		.created_us = job.created_us,
		.deadline_us = job.deadline_us,
		.flags = job.flags };
	int state = (int)before.rec.state, err = -EEXIST;
	if (!before.there) {
		*j = fresh;
		state = -1;
		err = model_enqueue(&m->model, j, &state);
	}
	assert_int_equal(
		store_enqueue(m->rig->store, &job, on_reply, expect(m, err, err == -EEXIST ? state : -1)), 0);
}

static void call_change(struct run *m, uint64_t n)
{
	struct store *s = m->rig->store;
	struct store_id id = rig_id(n);
	struct model_job *j = &m->model.jobs[n], spare = *j;
	struct iovec slice;
	char c = (char)('A' + rand_below(&m->rand, 26));
	struct str text = { &c, 1 };
	int err = !j->there ? -ENOENT : model_is_final(j) ? -EALREADY : 0;
	if (err)
		j = &spare;
	size_t n_reasons = strlen(j->reasons);
	uint64_t verb = rand_below(&m->rand, 10);
	struct store_message answer = { 0 };
	if (verb == 4 || verb == 5)
		answer = make_message(m, j, &slice);
	if ((verb == 2 || verb == 3 || verb == 6) && n_reasons + 1 < sizeof j->reasons)
		j->reasons[n_reasons] = c;
	struct expectation *e = expect(m, err, err == -ENOENT ? -1 : (int)j->rec.state);
	int r = 0;
	if (verb < 2) {
		j->rec.state = STORE_RUNNING;
		j->rec.attempts = (uint32_t)verb + 1;
		j->rec.started_us = m->model.now_us;
		j->container = c;
		r = store_claim(s, &id, (uint32_t)verb + 1, text, m->model.now_us, on_reply, e);
	} else if (verb < 4) {
		j->rec.state = STORE_QUEUED;
		r = store_requeue(s, &id, text, on_reply, e);
	} else if (verb < 6) {
		j->rec.status = 200 + (uint32_t)n;
		model_end(&m->model, j, STORE_DONE);
		r = store_complete(s, &id, 200 + (uint32_t)n, &answer, m->model.now_us, on_reply, e);
	} else if (verb < 7) {
		model_end(&m->model, j, STORE_FAILED);
		r = store_fail(s, &id, text, m->model.now_us, on_reply, e);
	} else if (verb < 8) {
		model_end(&m->model, j, STORE_CANCELLED);
		r = store_cancel(s, &id, m->model.now_us, on_reply, e);
	} else if (verb < 9) {
		model_end(&m->model, j, STORE_EXPIRED);
		r = store_expire(s, &id, m->model.now_us, on_reply, e);
	} else {
		if (err == -EALREADY)
			m->model.jobs[n].there = false;
		e->err = err == -EALREADY ? 0 : err ? err : -EBUSY;
		r = store_remove(s, &id, on_reply, e);
	}
	assert_int_equal(r, 0);
	if (!err)
		e->state = (int)j->rec.state;
}

static void call_purge(struct run *m)
{
	settle(m);
	while (m->purged < PURGE_MAX && model_purge_one(&m->model))
		m->purged++;
	assert_int_equal(store_purge(m->rig->store, m->model.now_us, on_reply, expect(m, 0, -1)), 0);
	settle(m);
}

/* ---- comparisons ---- */

static void compare_job(struct run *m, uint64_t n)
{
	const struct model_job *j = &m->model.jobs[n];
	const struct store_record *rec = rig_get(m->rig, n);
	if (!rec || !j->there) {
		assert_true(!rec && !j->there);
		return;
	}
	assert_int_equal(rec->state, j->rec.state);
	assert_int_equal(rec->held, j->rec.held);
	assert_int_equal(rec->number, j->rec.number);
	assert_int_equal(rec->epoch, j->rec.epoch);
	assert_int_equal(rec->created_us, j->rec.created_us);
	assert_int_equal(rec->deadline_us, j->rec.deadline_us);
	assert_int_equal(rec->started_us, j->rec.started_us);
	assert_int_equal(rec->finished_us, j->rec.finished_us);
	assert_int_equal(rec->flags, j->rec.flags);
	assert_int_equal(rec->attempts, j->rec.attempts);
	assert_int_equal(rec->status, j->rec.status);
	assert_int_equal(rec->head_bytes, j->head_bytes);
	assert_int_equal(rec->body_bytes, j->body_bytes);
	assert_int_equal(rec->pool.ptr[0], j->pool);
	uint64_t key = 0;
	assert_true(!rec->key.len || str_to_u64(str_skip(rec->key, 4), &key));
	assert_int_equal(key, j->key);
	assert_int_equal(rec->container.len ? rec->container.ptr[0] : 0, j->container);
	assert_int_equal(rec->reasons.len, 2 * strlen(j->reasons));
	for (size_t i = 0; i < rec->reasons.len; i += 2)
		assert_int_equal(rec->reasons.ptr[i], j->reasons[i / 2]);
	assert_int_equal(rig_read(m->rig, n, 0, STORE_READ_MAX), j->rec.held ? 0 : -ENODATA);
	const struct store_reply *reply = &m->rig->reply;
	if (!j->rec.held)
		return;
	assert_int_equal(reply->head.len, j->head_bytes);
	assert_int_equal(reply->body.len, j->body_bytes);
	for (uint64_t i = 0; i < j->head_bytes; i++)
		assert_int_equal(reply->head.ptr[i], body_byte(j->fill, i));
	for (uint64_t i = 0; i < j->body_bytes; i++) {
		if (reply->body.ptr[i] != body_byte(j->fill, j->head_bytes + i))
			fail_msg("job %llu: byte %llu", (unsigned long long)n, (unsigned long long)i);
	}
}

struct loaded {
	struct run *run;
	uint64_t n;
	char pool;
	uint64_t number;
};

static int on_loaded(void *owner, const struct store_record *rec)
{
	struct loaded *l = owner;
	if (rec->pool.ptr[0] == l->pool)
		assert_true(rec->number > l->number);
	l->pool = rec->pool.ptr[0];
	l->number = rec->number;
	l->n++;
	uint64_t n;
	memcpy(&n, rec->id.bytes + 8, sizeof n);
	assert_true(l->run->model.jobs[n].there && !model_is_final(&l->run->model.jobs[n]));
	return 0;
}

static void compare_all(struct run *m)
{
	settle(m);
	uint64_t unfinished = 0;
	for (uint64_t n = 0; n < MODEL_IDS; n++) {
		compare_job(m, n);
		unfinished += m->model.jobs[n].there && !model_is_final(&m->model.jobs[n]);
	}
	struct loaded loaded = { .run = m };
	assert_int_equal(store_load(m->rig->store, STR(""), on_loaded, &loaded), 0);
	assert_int_equal(loaded.n, unfinished);
	struct store_filter all = { .state = -1, .limit = MODEL_IDS };
	assert_int_equal(store_list(m->rig->store, &all, rig_take, m->rig), 0);
	assert_int_equal(rig_wait(m->rig)->n_records, model_count(&m->model));
}

static uint64_t from_environment(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);
	return text ? strtoull(text, NULL, 10) : otherwise;
}

static void test_random_calls(void **state)
{
	struct rig *r = *state;
	struct run *m = calloc(1, sizeof *m);
	assert_non_null(m);
	bool durable = strcmp(r->where, "memory") != 0;
	uint64_t seed = from_environment("STORE_SEED", 1), steps = from_environment("STORE_STEPS", 6000);
	r->settings = (struct store_settings){ .max_records = 90,
		.max_bytes = 400 * 1000,
		.result_age_us = 3000,
		.record_age_us = 5000,
		.key_age_us = 1500,
		.max_pending = IN_FLIGHT,
		.wal_pages = 50 };
	rig_close(r);
	rig_open(r);
	m->rig = r;
	m->model.settings = &r->settings;
	m->model.now_us = RIG_US(0);
	rand_seed(&m->rand, seed);
	for (uint64_t i = 0; i < steps; i++) {
		m->model.now_us += rand_below(&m->rand, 3);
		uint64_t what = rand_below(&m->rand, 1000), n = rand_below(&m->rand, MODEL_IDS);
		if (m->n_expected == IN_FLIGHT || what < 60)
			settle(m);
		if (what < 400)
			call_enqueue(m, n);
		else if (what < 985)
			call_change(m, n);
		else if (what < 993)
			call_purge(m);
		else if (what < 996)
			compare_all(m);
		else if (what < 998 && durable) {
			settle(m);
			rig_close(r);
			rig_open(r);
		}
	}
	compare_all(m);
	free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = { RIG_BOTH(test_random_calls) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
