/* store_memory: the engine that keeps everything in memory.
 *
 * Calls are carried out in a later turn, one after the other, so that callers see the same as with a disk.
 */
#include "store/engine.h"
#include "store/memory_jobs.h"

#include <errno.h>
#include <stdlib.h>

struct memory_store {
	struct store store;
	struct memory_jobs jobs;
	struct io_message message;
	struct store_op *queued, **last; /* owned; the message is posted while there are any */
};

/* ---- changes ---- */

/* A copy of head and body in one piece; -ENOMEM, -EIO. */
static int copy_message(const struct store_message *from, uint64_t body_bytes, char **ret_message)
{
	char *p = malloc(from->head.len + body_bytes + 1);
	if (!p)
		return -ENOMEM;
	if (from->head.len)
		memcpy(p, from->head.ptr, from->head.len);
	int err = store_message_copy(from, p + from->head.len);
	if (err)
		free(p);
	else
		*ret_message = p;
	return err;
}

static int reply_with(struct store_op *op, const struct memory_job *j, int err)
{
	op->reply.state = j->record.state;
	return store_op_expect(op, 1) && store_op_add(op, &j->record) ? err : -ENOMEM;
}

static int do_enqueue(struct memory_store *m, struct store_op *op)
{
	const struct store_job *from = &op->job;
	struct memory_job *j = memory_jobs_find(&m->jobs, &from->id);
	if (!j && from->key.len)
		j = memory_jobs_find_key(&m->jobs, from->pool, from->key, op->at_us);
	if (j)
		return reply_with(op, j, -EEXIST);
	int err = memory_jobs_make_room(&m->jobs, from->request.head.len + op->body_bytes);
	char *message = NULL;
	if (!err)
		err = copy_message(&from->request, op->body_bytes, &message);
	if (err)
		return err;
	if (memory_jobs_add(&m->jobs, from, message, op->body_bytes))
		return 0;
	free(message);
	return -ENOMEM;
}

/* A copy in memory of its own in the place of *at. */
static int replace(char **at, struct str *ret, struct str s)
{
	char *p = malloc(s.len + 1);
	if (!p)
		return -ENOMEM;
	if (s.len)
		memcpy(p, s.ptr, s.len);
	free(*at);
	*at = p;
	*ret = (struct str){ p, s.len };
	return 0;
}

static int add_reason(struct memory_job *j, struct str reason)
{
	char all[STORE_REASONS_MAX];
	return replace(&j->reasons, &j->record.reasons, store_add_reason(all, j->record.reasons, reason));
}

static int do_claim(struct memory_job *j, const struct store_op *op)
{
	int err = replace(&j->container, &j->record.container, op->claim.container);
	if (err)
		return err;
	j->record.state = STORE_RUNNING;
	j->record.attempts = op->claim.attempt;
	j->record.started_us = op->at_us;
	return 0;
}

static int do_complete(struct memory_jobs *m, struct memory_job *j, const struct store_op *op)
{
	char *message;
	const struct store_message *answer = &op->answer.message;
	int err = copy_message(answer, op->body_bytes, &message);
	if (err)
		return err;
	memory_jobs_set_message(m, j, message, answer->head.len, op->body_bytes);
	j->record.status = op->answer.status;
	memory_jobs_end(m, j, STORE_DONE, op->at_us);
	return 0;
}

/* A change of a job that is there and not final. */
static int do_change(struct memory_jobs *m, struct memory_job *j, struct store_op *op)
{
	int err = 0;
	switch (op->verb) {
	case STORE_CLAIM:
		return do_claim(j, op);
	case STORE_REQUEUE:
		err = add_reason(j, op->reason);
		if (!err)
			j->record.state = STORE_QUEUED;
		return err;
	case STORE_COMPLETE:
		return do_complete(m, j, op);
	case STORE_FAIL:
		err = add_reason(j, op->reason);
		if (!err)
			memory_jobs_end(m, j, STORE_FAILED, op->at_us);
		return err;
	case STORE_CANCEL:
		memory_jobs_end(m, j, STORE_CANCELLED, op->at_us);
		return 0;
	case STORE_EXPIRE:
		memory_jobs_end(m, j, STORE_EXPIRED, op->at_us);
		return 0;
	case STORE_REMOVE:
		return -EBUSY;
	case STORE_ENQUEUE:
	case STORE_PURGE:
	case STORE_GET:
	case STORE_FIND:
	case STORE_LIST:
	case STORE_READ:
		break;
	}
	return -EINVAL;
}

static void do_purge(struct memory_jobs *m, struct store_op *op)
{
	while (op->reply.purged < STORE_PURGE_MAX && memory_jobs_purge_one(m, op->at_us))
		op->reply.purged++;
	op->reply.more = op->reply.purged == STORE_PURGE_MAX;
}

/* ---- reads ---- */

static int do_read(struct memory_job *j, struct store_op *op)
{
	const struct store_record *r = &j->record;
	int err = reply_with(op, j, r->held ? 0 : -ENODATA);
	if (err)
		return err;
	uint64_t at = op->range.at < r->body_bytes ? op->range.at : r->body_bytes;
	uint64_t n = r->body_bytes - at < op->range.max ? r->body_bytes - at : op->range.max;
	op->reply.head = arena_str(&op->arena, (struct str){ j->message, r->head_bytes });
	op->reply.body = arena_str(&op->arena, (struct str){ j->message + r->head_bytes + at, n });
	return op->reply.head.ptr && op->reply.body.ptr ? 0 : -ENOMEM;
}

static bool fits(const struct store_filter *f, const struct memory_job *j)
{
	const struct store_record *r = &j->record;
	const struct store_cursor *at = &f->at;
	bool below = !at->created_us || r->created_us < at->created_us ||
		(r->created_us == at->created_us && j->seq < at->seq);
	return below && r->created_us >= f->from_us &&
		(f->state < 0 || r->state == (enum store_state)f->state) &&
		(!f->pool.len || str_eq(r->pool, f->pool));
}

static int do_list(struct memory_jobs *m, struct store_op *op)
{
	const struct store_filter *f = &op->filter;
	struct store_reply *reply = &op->reply;
	if (!store_op_expect(op, f->limit))
		return -ENOMEM;
	for (struct list_node *n = list_last(&m->by_age); n;
		n = n->prev == &m->by_age.head ? NULL : n->prev) {
		const struct memory_job *j = CONTAINER_OF(n, struct memory_job, age_node);
		if (!fits(f, j))
			continue;
		if (reply->n_records == f->limit) {
			reply->more = true;
			break;
		}
		if (!store_op_add(op, &j->record))
			return -ENOMEM;
		reply->next = (struct store_cursor){ j->record.created_us, j->seq };
	}
	return 0;
}

/* ---- the engine ---- */

/* What names one job. */
static int do_one(struct memory_jobs *m, struct store_op *op)
{
	struct memory_job *j = memory_jobs_find(m, &op->id);
	if (!j)
		return -ENOENT;
	if (op->verb == STORE_GET)
		return reply_with(op, j, 0);
	if (op->verb == STORE_READ)
		return do_read(j, op);
	int err = -EALREADY;
	if (!store_is_final(j->record.state))
		err = do_change(m, j, op);
	op->reply.state = j->record.state;
	if (op->verb == STORE_REMOVE && err == -EALREADY) {
		memory_jobs_remove(m, j);
		err = 0;
	}
	return err;
}

static int carry_out(struct memory_store *m, struct store_op *op)
{
	struct memory_job *j;
	switch (op->verb) {
	case STORE_ENQUEUE:
		return do_enqueue(m, op);
	case STORE_PURGE:
		do_purge(&m->jobs, op);
		return 0;
	case STORE_FIND:
		j = memory_jobs_find_key(&m->jobs, op->job.pool, op->job.key, op->at_us);
		return j ? reply_with(op, j, 0) : -ENOENT;
	case STORE_LIST:
		return do_list(&m->jobs, op);
	case STORE_CLAIM:
	case STORE_REQUEUE:
	case STORE_COMPLETE:
	case STORE_FAIL:
	case STORE_CANCEL:
	case STORE_EXPIRE:
	case STORE_REMOVE:
	case STORE_GET:
	case STORE_READ:
		return do_one(&m->jobs, op);
	}
	return -EINVAL;
}

static void on_queued(struct io_message *message)
{
	struct memory_store *m = CONTAINER_OF(message, struct memory_store, message);
	struct store_op *op = m->queued;
	m->queued = NULL;
	m->last = &m->queued;
	while (op) {
		struct store_op *next = op->next;
		op->reply.err = carry_out(m, op);
		store_deliver(&m->store, op, op);
		op = next;
	}
}

static void memory_submit(struct store *s, struct store_op *op)
{
	struct memory_store *m = CONTAINER_OF(s, struct memory_store, store);
	bool post = !m->queued;
	*m->last = op;
	m->last = &op->next;
	if (post)
		s->post(s->io, &m->message);
}

static int compare_places(const void *a, const void *b)
{
	const struct memory_job *p = *(struct memory_job *const *)a, *q = *(struct memory_job *const *)b;
	const struct store_record *x = &p->record, *y = &q->record;
	size_t n = x->pool.len < y->pool.len ? x->pool.len : y->pool.len;
	int by_pool = memcmp(x->pool.ptr, y->pool.ptr, n);
	if (!by_pool && x->pool.len != y->pool.len)
		by_pool = x->pool.len < y->pool.len ? -1 : 1;
	if (by_pool)
		return by_pool;
	if (x->number != y->number)
		return x->number < y->number ? -1 : 1;
	return p->seq < q->seq ? -1 : p->seq > q->seq;
}

static int memory_load(struct store *s, struct str pool, store_record_fn *fn, void *owner)
{
	struct memory_jobs *m = &CONTAINER_OF(s, struct memory_store, store)->jobs;
	struct memory_job **jobs = malloc((m->by_age.len + 1) * sizeof(struct memory_job *));
	if (!jobs)
		return -ENOMEM;
	size_t n = 0;
	list_for_each (node, &m->by_age) {
		struct memory_job *j = CONTAINER_OF(node, struct memory_job, age_node);
		bool fits = !pool.len || str_eq(j->record.pool, pool);
		if (fits && !store_is_final(j->record.state))
			jobs[n++] = j;
	}
	qsort(jobs, n, sizeof(struct memory_job *), compare_places);
	int r = 0;
	for (size_t i = 0; i < n && !r; i++)
		r = fn(owner, &jobs[i]->record);
	free(jobs);
	return r;
}

static void memory_close(struct store *s)
{
	struct memory_store *m = CONTAINER_OF(s, struct memory_store, store);
	while (m->queued) {
		struct store_op *op = m->queued;
		m->queued = op->next;
		store_op_free(op);
	}
	memory_jobs_finish(&m->jobs);
	store_finish(s);
	free(m);
}

static const struct store_engine memory_engine = {
	.submit = memory_submit,
	.load = memory_load,
	.close = memory_close,
};

struct store *store_memory_create(
	const struct store_settings *settings, struct io *io, store_post_fn *post, char why[STORE_WHY_BYTES])
{
	struct memory_store *m = calloc(1, sizeof *m);
	if (!m)
		return store_refuse(why, "store: memory: no memory");
	store_init(&m->store, &memory_engine, settings, io, post);
	m->message.on_message = on_queued;
	m->last = &m->queued;
	if (memory_jobs_init(&m->jobs, &m->store.settings)) {
		memory_close(&m->store);
		return store_refuse(why, "store: memory: no memory for %llu records",
			(unsigned long long)settings->max_records);
	}
	return &m->store;
}
