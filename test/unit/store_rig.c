#include "store_rig.h"

#include "base/log.h"
#include "unit.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void rig_post(struct io *io, struct io_message *m)
{
	struct rig *r = CONTAINER_OF(io, struct rig, io);
	pthread_mutex_lock(&r->lock);
	struct io_message **last = &r->messages;
	while (*last)
		last = &(*last)->next;
	m->next = NULL;
	*last = m;
	pthread_cond_signal(&r->posted);
	pthread_mutex_unlock(&r->lock);
}

void rig_run(struct rig *r)
{
	while (store_pending(r->store)) {
		pthread_mutex_lock(&r->lock);
		while (!r->messages)
			pthread_cond_wait(&r->posted, &r->lock);
		struct io_message *m = r->messages;
		r->messages = m->next;
		pthread_mutex_unlock(&r->lock);
		m->on_message(m);
	}
}

void rig_init(struct rig *r, const char *engine)
{
	*r = (struct rig){ 0 };
	log_init("berth", LOG_ERROR, STDERR_FILENO);
	pthread_mutex_init(&r->lock, NULL);
	pthread_cond_init(&r->posted, NULL);
	arena_init(&r->arena, 1024, SIZE_MAX);
	snprintf(r->dir, sizeof r->dir, "/tmp/berth-store-XXXXXX");
	assert_non_null(mkdtemp(r->dir));
	snprintf(r->db, sizeof r->db, "%.200s/test.db", r->dir);
	snprintf(r->where, sizeof r->where, "sqlite:%s", r->db);
	if (strcmp(engine, "sqlite") != 0)
		snprintf(r->where, sizeof r->where, "%s", engine);
	store_settings_default(&r->settings, r->where);
	r->settings.wal_pages = 100; /* sooner than by default: folded in more often */
}

void rig_open(struct rig *r)
{
	char why[STORE_WHY_BYTES] = "";
	r->store = store_open(r->where, &r->settings, &r->io, rig_post, why);
	if (!r->store)
		fail_msg("%s", why);
}

void rig_close(struct rig *r)
{
	store_close(r->store);
	r->store = NULL;
	r->messages = NULL;
}

void rig_finish(struct rig *r)
{
	char command[RIG_PATH + 16];
	rig_close(r);
	arena_finish(&r->arena);
	pthread_cond_destroy(&r->posted);
	pthread_mutex_destroy(&r->lock);
	snprintf(command, sizeof command, "rm -rf '%s'", r->dir);
	assert_int_equal(system(command), 0);
}

int rig_setup(void **state)
{
	struct rig *r = malloc(sizeof *r);
	assert_non_null(r);
	rig_init(r, *state);
	rig_open(r);
	*state = r;
	return 0;
}

int rig_teardown(void **state)
{
	rig_finish(*state);
	free(*state);
	return 0;
}

static struct str kept(struct rig *r, struct str s)
{
	struct str copy = arena_str(&r->arena, s);
	assert_non_null(copy.ptr);
	return copy;
}

void rig_take(void *owner, const struct store_reply *reply)
{
	struct rig *r = owner;
	r->callbacks++;
	arena_reset(&r->arena);
	r->reply = *reply;
	struct store_record *copies = arena_alloc(&r->arena, reply->n_records * sizeof *copies);
	assert_non_null(copies);
	for (uint32_t i = 0; i < reply->n_records; i++) {
		copies[i] = reply->records[i];
		copies[i].pool = kept(r, copies[i].pool);
		copies[i].container = kept(r, copies[i].container);
		copies[i].reasons = kept(r, copies[i].reasons);
		copies[i].key = kept(r, copies[i].key);
	}
	r->reply.records = copies;
	r->reply.head = kept(r, reply->head);
	r->reply.body = kept(r, reply->body);
}

const struct store_reply *rig_wait(struct rig *r)
{
	uint32_t before = r->callbacks;
	rig_run(r);
	assert_true(r->callbacks > before);
	return &r->reply;
}

struct store_id rig_id(uint64_t n)
{
	struct store_id id;
	uint64_t mixed = (n + 1) * UINT64_C(0x9e3779b97f4a7c15);
	memcpy(id.bytes, &mixed, 8);
	memcpy(id.bytes + 8, &n, 8);
	return id;
}

struct store_message rig_message(const char *head, struct str body)
{
	static struct iovec slices[RIG_AT_ONCE];
	static int next;
	struct iovec *slice = &slices[next++ % RIG_AT_ONCE];
	*slice = (struct iovec){ (void *)(uintptr_t)body.ptr, body.len };
	return (struct store_message){ .head = str_of(head), .slices = slice, .n_slices = 1 };
}

struct store_job rig_job(uint64_t n)
{
	static char texts[RIG_AT_ONCE][2][32];
	static int next;
	char(*text)[32] = texts[next++ % RIG_AT_ONCE];
	snprintf(text[0], sizeof text[0], "head-%llu", (unsigned long long)n);
	snprintf(text[1], sizeof text[1], "body-%llu", (unsigned long long)n);
	return (struct store_job){
		.id = rig_id(n),
		.pool = STR("a"),
		.number = n,
		.epoch = 1,
		.created_us = RIG_US(n),
		.request = rig_message(text[0], str_of(text[1])),
	};
}

int rig_enqueue(struct rig *r, uint64_t n)
{
	struct store_job job = rig_job(n);
	assert_int_equal(store_enqueue(r->store, &job, rig_take, r), 0);
	return rig_wait(r)->err;
}

int rig_claim(struct rig *r, uint64_t n, uint32_t attempt, const char *container)
{
	struct store_id id = rig_id(n);
	assert_int_equal(
		store_claim(r->store, &id, attempt, str_of(container), RIG_US(1000 + n), rig_take, r), 0);
	return rig_wait(r)->err;
}

int rig_complete(struct rig *r, uint64_t n, uint32_t status, const char *head, struct str body)
{
	struct store_id id = rig_id(n);
	struct store_message answer = rig_message(head, body);
	assert_int_equal(store_complete(r->store, &id, status, &answer, RIG_US(2000 + n), rig_take, r), 0);
	return rig_wait(r)->err;
}

const struct store_record *rig_get(struct rig *r, uint64_t n)
{
	struct store_id id = rig_id(n);
	assert_int_equal(store_get(r->store, &id, rig_take, r), 0);
	const struct store_reply *reply = rig_wait(r);
	if (reply->err) {
		assert_int_equal(reply->err, -ENOENT);
		return NULL;
	}
	assert_int_equal(reply->n_records, 1);
	assert_memory_equal(&reply->records[0].id, &id, sizeof id);
	return reply->records;
}

int rig_read(struct rig *r, uint64_t n, uint64_t at, uint32_t max)
{
	struct store_id id = rig_id(n);
	assert_int_equal(store_read(r->store, &id, at, max, rig_take, r), 0);
	return rig_wait(r)->err;
}

const char *rig_beside(const struct rig *r, const char *suffix)
{
	static char path[2 * RIG_PATH];
	snprintf(path, sizeof path, "%s%s", r->db, suffix);
	return path;
}

void rig_put_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

int rig_count_files(const struct rig *r)
{
	int n = 0;
	DIR *dir = opendir(rig_beside(r, "-files"));
	assert_non_null(dir);
	for (struct dirent *e; (e = readdir(dir));)
		n += e->d_name[0] != '.';
	closedir(dir);
	return n;
}

static void on_line(void *owner, struct str line)
{
	struct rig_lines *l = owner;
	l->n++;
	snprintf(l->text + strlen(l->text), sizeof l->text - strlen(l->text), STR_FMT "\n", STR_ARG(line));
}

int rig_check(struct rig *r, struct rig_lines *ret)
{
	char why[STORE_WHY_BYTES];
	memset(ret, 0, sizeof *ret);
	return store_check(r->where, on_line, ret, why);
}

int rig_export(struct rig *r, struct rig_lines *ret)
{
	char why[STORE_WHY_BYTES];
	memset(ret, 0, sizeof *ret);
	return store_export(r->where, on_line, ret, why);
}
