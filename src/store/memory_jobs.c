#include "store/memory_jobs.h"

#include "store/engine.h"

#include <errno.h>
#include <stdlib.h>

int memory_jobs_init(struct memory_jobs *m, const struct store_settings *limits)
{
	uint32_t n = 64;
	while (n < limits->max_records && n < 1u << 20)
		n *= 2;
	*m = (struct memory_jobs){ .limits = limits, .n_buckets = n };
	list_init(&m->by_age);
	list_init(&m->with_answer);
	list_init(&m->without);
	m->ids = calloc(n, sizeof *m->ids);
	m->keys = calloc(n, sizeof *m->keys);
	return m->ids && m->keys ? 0 : -ENOMEM;
}

/* Buckets are zero until they are used, and an empty list of zeroes is one: so those that are not used take
 * no memory, and no time at the start. */
static void push(struct list *bucket, struct list_node *n)
{
	if (!bucket->head.next)
		list_init(bucket);
	list_push_back(bucket, n);
}

void memory_jobs_finish(struct memory_jobs *m)
{
	list_for_each_safe (n, &m->by_age)
		memory_jobs_remove(m, CONTAINER_OF(n, struct memory_job, age_node));
	free(m->ids);
	free(m->keys);
}

/* ---- where things stand ---- */

static struct list *id_bucket(struct memory_jobs *m, const struct store_id *id)
{
	uint32_t h;
	memcpy(&h, id->bytes, sizeof h); /* random bits: a good hash */
	return &m->ids[h & (m->n_buckets - 1)];
}

static uint32_t fnv1a(uint32_t h, struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		h = (h ^ (uint8_t)s.ptr[i]) * 16777619;
	return h;
}

static struct list *key_bucket(struct memory_jobs *m, struct str pool, struct str key)
{
	return &m->keys[fnv1a(fnv1a(2166136261, pool), key) & (m->n_buckets - 1)];
}

struct memory_job *memory_jobs_find(struct memory_jobs *m, const struct store_id *id)
{
	list_for_each (n, id_bucket(m, id)) {
		struct memory_job *j = CONTAINER_OF(n, struct memory_job, id_node);
		if (!memcmp(&j->record.id, id, sizeof *id))
			return j;
	}
	return NULL;
}

static void drop_key(struct memory_jobs *m, struct memory_job *j)
{
	if (!list_linked(&j->key_node))
		return;
	list_remove(key_bucket(m, j->record.pool, j->record.key), &j->key_node);
	j->record.key = (struct str){ 0 };
}

struct memory_job *memory_jobs_find_key(
	struct memory_jobs *m, struct str pool, struct str key, uint64_t now_us)
{
	list_for_each (n, key_bucket(m, pool, key)) {
		struct memory_job *j = CONTAINER_OF(n, struct memory_job, key_node);
		if (!str_eq(j->record.key, key) || !str_eq(j->record.pool, pool))
			continue;
		if (!store_is_final(j->record.state) ||
			!store_is_past(j->record.finished_us, m->limits->key_age_us, now_us))
			return j;
		drop_key(m, j);
		return NULL;
	}
	return NULL;
}

/* Puts n where `before` says that the nodes ahead of it may stand; nearly always at the end. */
static void insert_ordered(
	struct list *l, struct list_node *n, bool (*before)(struct list_node *a, struct list_node *b))
{
	struct list_node *at = &l->head;
	while (at->prev != &l->head && before(n, at->prev))
		at = at->prev;
	list_insert_before(l, at, n);
}

static bool is_before(uint64_t us, uint64_t seq, uint64_t other_us, uint64_t other_seq)
{
	return us != other_us ? us < other_us : seq < other_seq;
}

static bool created_before(struct list_node *a, struct list_node *b)
{
	const struct memory_job *x = CONTAINER_OF(a, struct memory_job, age_node);
	const struct memory_job *y = CONTAINER_OF(b, struct memory_job, age_node);
	return is_before(x->record.created_us, x->seq, y->record.created_us, y->seq);
}

static bool ended_before(struct list_node *a, struct list_node *b)
{
	const struct memory_job *x = CONTAINER_OF(a, struct memory_job, end_node);
	const struct memory_job *y = CONTAINER_OF(b, struct memory_job, end_node);
	return is_before(x->record.finished_us, x->seq, y->record.finished_us, y->seq);
}

static struct list *end_list(struct memory_jobs *m, const struct memory_job *j)
{
	return j->record.held ? &m->with_answer : &m->without;
}

/* The one mover of a final job between with_answer and without: as `held` says. */
static void set_held(struct memory_jobs *m, struct memory_job *j, bool held)
{
	if (list_linked(&j->end_node))
		list_remove(end_list(m, j), &j->end_node);
	j->record.held = held;
	if (store_is_final(j->record.state))
		insert_ordered(end_list(m, j), &j->end_node, ended_before);
}

/* ---- messages ---- */

static uint64_t message_bytes(const struct memory_job *j)
{
	return j->record.head_bytes + j->record.body_bytes;
}

static void drop_message(struct memory_jobs *m, struct memory_job *j)
{
	if (!j->message)
		return;
	m->bytes -= message_bytes(j);
	if (!store_is_final(j->record.state))
		m->unfinished_bytes -= message_bytes(j);
	free(j->message);
	j->message = NULL;
}

void memory_jobs_set_message(
	struct memory_jobs *m, struct memory_job *j, char *message, size_t head_bytes, uint64_t body_bytes)
{
	drop_message(m, j);
	j->message = message;
	j->record.head_bytes = (uint32_t)head_bytes;
	j->record.body_bytes = body_bytes;
	m->bytes += message_bytes(j);
	if (!store_is_final(j->record.state))
		m->unfinished_bytes += message_bytes(j);
}

/* ---- a job's life ---- */

struct memory_job *memory_jobs_add(
	struct memory_jobs *m, const struct store_job *from, char *message, uint64_t body_bytes)
{
	struct memory_job *j = calloc(1, sizeof *j + from->pool.len + from->key.len);
	if (!j || (from->attempt && !(j->container = strndup(from->container.ptr, from->container.len)))) {
		free(j);
		return NULL;
	}
	char *key = j->pool_and_key + from->pool.len;
	memcpy(j->pool_and_key, from->pool.ptr, from->pool.len);
	if (from->key.len)
		memcpy(key, from->key.ptr, from->key.len);
	j->seq = m->next_seq++;
	j->record = (struct store_record){
		.id = from->id,
		.state = from->attempt ? STORE_RUNNING : STORE_QUEUED,
		.attempts = from->attempt,
		.started_us = from->started_us,
		.container = { j->container, from->container.len },
		.number = from->number,
		.epoch = from->epoch,
		.created_us = from->created_us,
		.deadline_us = from->deadline_us,
		.flags = from->flags,
		.held = true,
		.pool = { j->pool_and_key, from->pool.len },
		.key = { key, from->key.len },
	};
	memory_jobs_set_message(m, j, message, from->request.head.len, body_bytes);
	push(id_bucket(m, &from->id), &j->id_node);
	insert_ordered(&m->by_age, &j->age_node, created_before);
	if (from->key.len) {
		memcpy(j->record.payload_hash, from->payload_hash, STORE_HASH_BYTES);
		push(key_bucket(m, from->pool, from->key), &j->key_node);
	}
	return j;
}

void memory_jobs_end(struct memory_jobs *m, struct memory_job *j, enum store_state state, uint64_t now_us)
{
	bool held = state == STORE_DONE;
	if (held) {
		m->unfinished_bytes -= message_bytes(j);
	} else {
		drop_message(m, j);
		j->record.head_bytes = 0;
		j->record.body_bytes = 0;
	}
	j->record.state = state;
	j->record.finished_us = now_us;
	set_held(m, j, held);
}

void memory_jobs_remove(struct memory_jobs *m, struct memory_job *j)
{
	drop_key(m, j);
	drop_message(m, j);
	if (list_linked(&j->end_node))
		list_remove(end_list(m, j), &j->end_node);
	list_remove(&m->by_age, &j->age_node);
	list_remove(id_bucket(m, &j->record.id), &j->id_node);
	free(j->container);
	free(j->reasons);
	free(j);
}

/* ---- limits ---- */

static struct memory_job *oldest_of(const struct list *l)
{
	struct list_node *n = list_first(l);
	return n ? CONTAINER_OF(n, struct memory_job, end_node) : NULL;
}

static struct memory_job *oldest_final(struct memory_jobs *m)
{
	struct memory_job *a = oldest_of(&m->with_answer), *b = oldest_of(&m->without);
	if (!a || !b)
		return a ? a : b;
	return ended_before(&a->end_node, &b->end_node) ? a : b;
}

static void drop_answer(struct memory_jobs *m, struct memory_job *j)
{
	drop_message(m, j);
	set_held(m, j, false);
}

/* What is dropped first, although the job is refused in the end, would be lost for nothing. */
int memory_jobs_make_room(struct memory_jobs *m, uint64_t bytes)
{
	const struct store_settings *limits = m->limits;
	struct memory_job *old;
	uint64_t unfinished = m->by_age.len - m->with_answer.len - m->without.len;
	if (unfinished >= limits->max_records || m->unfinished_bytes + bytes > limits->max_bytes)
		return -EDQUOT;
	while (m->by_age.len >= limits->max_records) {
		CHECK(old = oldest_final(m));
		memory_jobs_remove(m, old);
	}
	while (m->bytes + bytes > limits->max_bytes) {
		CHECK(old = oldest_of(&m->with_answer));
		drop_answer(m, old);
	}
	return 0;
}

bool memory_jobs_purge_one(struct memory_jobs *m, uint64_t now_us)
{
	const struct store_settings *limits = m->limits;
	struct memory_job *answer = oldest_of(&m->with_answer), *record = oldest_final(m);
	if (record &&
		(store_is_past(record->record.finished_us, limits->record_age_us, now_us) ||
			m->by_age.len > limits->max_records))
		memory_jobs_remove(m, record);
	else if (answer &&
		(store_is_past(answer->record.finished_us, limits->result_age_us, now_us) ||
			m->bytes > limits->max_bytes))
		drop_answer(m, answer);
	else
		return false;
	return true;
}
