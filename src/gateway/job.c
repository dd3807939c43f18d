#include "gateway/job.h"

#include "http/write.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void on_age(struct io_timer *t);

int jobs_init(struct jobs *j, struct io *io, uint32_t max, uint64_t max_bytes, uint64_t max_age_us)
{
	uint32_t n = 64;
	while (n < max && n < 1u << 20)
		n *= 2;
	*j = (struct jobs){
		.io = io, .max = max, .max_bytes = max_bytes, .max_age_us = max_age_us, .n_buckets = n
	};
	j->timer.on_timer = on_age;
	list_init(&j->finished);
	j->buckets = malloc(n * sizeof *j->buckets);
	if (!j->buckets)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++)
		list_init(&j->buckets[i]);
	return 0;
}

/* The id is random: its first digits are a good hash. */
static struct list *bucket(struct jobs *j, const char *id)
{
	uint32_t h = 0;
	for (int i = 0; i < 8; i++)
		h = h << 4 | (uint32_t)(id[i] <= '9' ? id[i] - '0' : id[i] - 'a' + 10);
	return &j->buckets[h & (j->n_buckets - 1)];
}

static void drop_result(struct jobs *j, struct job *job)
{
	j->bytes -= job->result_cap + job->fields_bytes;
	free(job->result);
	free(job->fields);
	job->result = job->fields = NULL;
	job->result_bytes = job->result_cap = 0;
	job->fields_bytes = 0;
}

void jobs_discard(struct jobs *j, struct job *job)
{
	if (list_linked(&job->age_node))
		list_remove(&j->finished, &job->age_node);
	list_remove(bucket(j, job->id), &job->hash_node);
	drop_result(j, job);
	free(job);
	j->count--;
}

void jobs_finish(struct jobs *j)
{
	for (uint32_t i = 0; j->buckets && i < j->n_buckets; i++) {
		list_for_each_safe (n, &j->buckets[i])
			jobs_discard(j, CONTAINER_OF(n, struct job, hash_node));
	}
	free(j->buckets);
	j->buckets = NULL;
	if (j->io)
		io_timer_stop(j->io, &j->timer);
}

static struct job *oldest(const struct jobs *j)
{
	struct list_node *n = list_first(&j->finished);
	return n ? CONTAINER_OF(n, struct job, age_node) : NULL;
}

static void keep_within_limits(struct jobs *j)
{
	struct job *old;
	while ((old = oldest(j)) &&
		(j->count > j->max || j->bytes > j->max_bytes ||
			old->finished_us + j->max_age_us <= j->io->now_us))
		jobs_discard(j, old);
	if (old && !j->timer.due_us)
		io_timer_set(j->io, &j->timer, old->finished_us + j->max_age_us);
}

static void on_age(struct io_timer *t)
{
	keep_within_limits(CONTAINER_OF(t, struct jobs, timer));
}

struct job *jobs_create(struct jobs *j)
{
	struct job *old = j->count >= j->max ? oldest(j) : NULL;
	if (old)
		jobs_discard(j, old);
	struct job *job = j->count < j->max ? calloc(1, sizeof *job) : NULL;
	if (!job)
		return NULL;
	uint64_t id[2];
	struct writer w;
	io_random(j->io, id, sizeof id);
	writer_init(&w, job->id, JOB_ID_CHARS);
	write_hex(&w, id[0], 16);
	write_hex(&w, id[1], 16);
	job->created_wall_us = j->io->wall_us;
	list_push_back(bucket(j, job->id), &job->hash_node);
	j->count++;
	return job;
}

struct job *jobs_find(struct jobs *j, struct str id)
{
	if (id.len != JOB_ID_CHARS)
		return NULL;
	for (size_t i = 0; i < id.len; i++) {
		if (!strchr("0123456789abcdef", id.ptr[i]) || !id.ptr[i])
			return NULL;
	}
	list_for_each (n, bucket(j, id.ptr)) {
		struct job *job = CONTAINER_OF(n, struct job, hash_node);
		if (!memcmp(job->id, id.ptr, JOB_ID_CHARS))
			return job;
	}
	return NULL;
}

int job_set_fields(struct jobs *j, struct job *job, struct str fields)
{
	CHECK(!job->fields);
	job->fields = malloc(fields.len + 1);
	if (!job->fields)
		return -ENOMEM;
	memcpy(job->fields, fields.ptr, fields.len);
	job->fields_bytes = (uint32_t)fields.len;
	j->bytes += fields.len;
	return 0;
}

/* Drops finished jobs, the oldest first, until there is room for so many bytes more. */
static bool make_room(struct jobs *j, uint64_t more)
{
	struct job *old;
	while (j->bytes + more > j->max_bytes && (old = oldest(j)))
		jobs_discard(j, old);
	return j->bytes + more <= j->max_bytes;
}

static int set_capacity(struct jobs *j, struct job *job, uint64_t cap)
{
	char *p = realloc(job->result, cap);
	if (!p)
		return -ENOMEM;
	j->bytes += cap - job->result_cap;
	job->result = p;
	job->result_cap = cap;
	return 0;
}

int job_append(struct jobs *j, struct job *job, const char *bytes, size_t n)
{
	uint64_t cap = job->result_bytes + n;
	if (cap > job->result_cap) {
		if (!make_room(j, cap - job->result_cap))
			return -EFBIG;
		uint64_t left = j->max_bytes - j->bytes - (cap - job->result_cap);
		if (job->result_cap) /* exact at first: most answers come in one piece */
			cap += cap / 2 < left ? cap / 2 : left;
		int r = set_capacity(j, job, cap);
		if (r < 0)
			return r;
	}
	if (n)
		memcpy(job->result + job->result_bytes, bytes, n);
	job->result_bytes += n;
	return 0;
}

void job_reset(struct jobs *j, struct job *job)
{
	drop_result(j, job);
	job->status = 0;
}

void job_end(struct jobs *j, struct job *job, enum job_state state)
{
	if (job->result_bytes && job->result_bytes < job->result_cap)
		(void)set_capacity(j, job, job->result_bytes);
	job->state = state;
	job->exchange = NULL;
	job->finished_us = j->io->now_us;
	job->finished_wall_us = j->io->wall_us;
	list_push_back(&j->finished, &job->age_node);
	keep_within_limits(j);
}

const char *job_state_name(enum job_state s)
{
	static const char *const names[] = { "queued", "running", "done", "failed" };
	return names[s];
}
