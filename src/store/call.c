/* call: the calls of store.h, each as an op with copies of its strings. */
#include "store/engine.h"

#include <errno.h>
#include <stdlib.h>

enum { ARENA_BLOCK_BYTES = 1024 };

static struct store_op *op_create(enum store_verb verb, const struct store_id *id, size_t copied_bytes,
	store_done_fn *done, void *owner)
{
	struct store_op *op = calloc(1, sizeof *op + copied_bytes);
	if (!op)
		return NULL;
	op->verb = verb;
	op->done = done;
	op->owner = owner;
	arena_init(&op->arena, ARENA_BLOCK_BYTES, SIZE_MAX);
	if (id)
		op->id = *id;
	return op;
}

/* Copies s to *at, which stands in the op's own memory, and moves *at on. */
static struct str copied(char **at, struct str s)
{
	char *to = *at;
	if (s.len)
		memcpy(to, s.ptr, s.len);
	*at += s.len;
	return (struct str){ to, s.len };
}

static char *copies_of(struct store_op *op)
{
	return (char *)(op + 1);
}

static int submit(struct store *s, struct store_op *op)
{
	s->pending++;
	if (op->verb == STORE_ENQUEUE)
		s->pending_enqueues++;
	s->engine->submit(s, op);
	return 0;
}

/* A call with nothing but an id and a time. */
static int submit_plain(struct store *s, enum store_verb verb, const struct store_id *id, uint64_t at_us,
	store_done_fn *done, void *owner)
{
	struct store_op *op = op_create(verb, id, 0, done, owner);
	if (!op)
		return -ENOMEM;
	op->at_us = at_us;
	return submit(s, op);
}

/* ---- changes ---- */

static size_t slices_bytes(const struct store_message *m)
{
	return (size_t)m->n_slices * sizeof *m->slices;
}

/* The slices are copied (first, for their alignment), not what they point to. */
static int set_message(
	struct store_op *op, struct store_message *to, const struct store_message *m, char **at)
{
	if (m->head.len > STORE_HEAD_MAX)
		return -EMSGSIZE;
	*to = *m;
	struct str slices = copied(at, (struct str){ (const char *)m->slices, slices_bytes(m) });
	to->slices = (const struct iovec *)(const void *)slices.ptr;
	op->body_bytes = m->file_bytes;
	for (int i = 0; i < m->n_slices; i++)
		op->body_bytes += m->slices[i].iov_len;
	return 0;
}

int store_enqueue(struct store *s, const struct store_job *job, store_done_fn *done, void *owner)
{
	if (job->pool.len < 1 || job->pool.len > STORE_POOL_MAX || job->key.len > STORE_KEY_MAX ||
		job->container.len > STORE_CONTAINER_MAX)
		return -EINVAL;
	if (s->pending_enqueues >= s->settings.max_pending)
		return -ENOBUFS;
	size_t bytes = slices_bytes(&job->request) + job->pool.len + job->key.len + job->container.len;
	struct store_op *op = op_create(STORE_ENQUEUE, &job->id, bytes, done, owner);
	if (!op)
		return -ENOMEM;
	char *at = copies_of(op);
	op->job = *job;
	op->at_us = job->created_us;
	int err = set_message(op, &op->job.request, &job->request, &at);
	if (err) {
		store_op_free(op);
		return err;
	}
	op->job.pool = copied(&at, job->pool);
	op->job.key = copied(&at, job->key);
	op->job.container = copied(&at, job->container);
	return submit(s, op);
}

int store_claim(struct store *s, const struct store_id *id, uint32_t attempt, struct str container,
	uint64_t started_us, store_done_fn *done, void *owner)
{
	if (container.len > STORE_CONTAINER_MAX)
		return -EINVAL;
	struct store_op *op = op_create(STORE_CLAIM, id, container.len, done, owner);
	if (!op)
		return -ENOMEM;
	char *at = copies_of(op);
	op->claim.attempt = attempt;
	op->claim.container = copied(&at, container);
	op->at_us = started_us;
	return submit(s, op);
}

static int submit_reason(struct store *s, enum store_verb verb, const struct store_id *id, struct str reason,
	uint64_t at_us, store_done_fn *done, void *owner)
{
	if (reason.len > STORE_REASON_MAX)
		reason.len = STORE_REASON_MAX;
	struct store_op *op = op_create(verb, id, reason.len, done, owner);
	if (!op)
		return -ENOMEM;
	char *at = copies_of(op);
	op->reason = copied(&at, reason);
	op->at_us = at_us;
	return submit(s, op);
}

int store_requeue(
	struct store *s, const struct store_id *id, struct str reason, store_done_fn *done, void *owner)
{
	return submit_reason(s, STORE_REQUEUE, id, reason, 0, done, owner);
}

int store_complete(struct store *s, const struct store_id *id, uint32_t status,
	const struct store_message *answer, uint64_t finished_us, store_done_fn *done, void *owner)
{
	struct store_op *op = op_create(STORE_COMPLETE, id, slices_bytes(answer), done, owner);
	if (!op)
		return -ENOMEM;
	char *at = copies_of(op);
	op->answer.status = status;
	op->at_us = finished_us;
	int err = set_message(op, &op->answer.message, answer, &at);
	if (err) {
		store_op_free(op);
		return err;
	}
	return submit(s, op);
}

int store_fail(struct store *s, const struct store_id *id, struct str reason, uint64_t finished_us,
	store_done_fn *done, void *owner)
{
	return submit_reason(s, STORE_FAIL, id, reason, finished_us, done, owner);
}

int store_cancel(
	struct store *s, const struct store_id *id, uint64_t finished_us, store_done_fn *done, void *owner)
{
	return submit_plain(s, STORE_CANCEL, id, finished_us, done, owner);
}

int store_expire(
	struct store *s, const struct store_id *id, uint64_t finished_us, store_done_fn *done, void *owner)
{
	return submit_plain(s, STORE_EXPIRE, id, finished_us, done, owner);
}

int store_remove(struct store *s, const struct store_id *id, store_done_fn *done, void *owner)
{
	return submit_plain(s, STORE_REMOVE, id, 0, done, owner);
}

int store_purge(struct store *s, uint64_t now_us, store_done_fn *done, void *owner)
{
	return submit_plain(s, STORE_PURGE, NULL, now_us, done, owner);
}

/* ---- reads ---- */

int store_get(struct store *s, const struct store_id *id, store_done_fn *done, void *owner)
{
	return submit_plain(s, STORE_GET, id, 0, done, owner);
}

int store_find(
	struct store *s, struct str pool, struct str key, uint64_t now_us, store_done_fn *done, void *owner)
{
	struct store_op *op = op_create(STORE_FIND, NULL, pool.len + key.len, done, owner);
	if (!op)
		return -ENOMEM;
	char *at = copies_of(op);
	op->job.pool = copied(&at, pool);
	op->job.key = copied(&at, key);
	op->at_us = now_us;
	return submit(s, op);
}

int store_list(struct store *s, const struct store_filter *filter, store_done_fn *done, void *owner)
{
	if (filter->limit < 1 || filter->limit > STORE_LIST_MAX || filter->state >= STORE_STATES)
		return -EINVAL;
	struct store_op *op = op_create(STORE_LIST, NULL, filter->pool.len, done, owner);
	if (!op)
		return -ENOMEM;
	char *at = copies_of(op);
	op->filter = *filter;
	op->filter.pool = copied(&at, filter->pool);
	return submit(s, op);
}

int store_read(struct store *s, const struct store_id *id, uint64_t at, uint32_t max, store_done_fn *done,
	void *owner)
{
	if (max > STORE_READ_MAX)
		return -EINVAL;
	struct store_op *op = op_create(STORE_READ, id, 0, done, owner);
	if (!op)
		return -ENOMEM;
	op->range.at = at;
	op->range.max = max;
	return submit(s, op);
}
