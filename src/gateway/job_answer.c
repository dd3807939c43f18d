/* job_answer: what a container answers to a job, on its way to the store: in memory, and beyond a limit, or
 * when limits.memory is near, in a spool file. It is old work: no limit of the reactor refuses it.
 */
#include "base/log.h"
#include "gateway/exchange.h"
#include "gateway/job_parts.h"
#include "gateway/reactor.h"
#include "gateway/upstream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void job_drop_answer(struct job *job)
{
	struct jobs *j = job->table;
	struct job_answer *a = job->answer;
	if (!a)
		return;
	j->answer_bytes -= a->body.size + a->fields_bytes;
	j->reactor->budget.memory_used -= a->fields_bytes;
	buffer_finish(&a->body);
	free(a->fields);
	free(a->reason);
	free(a);
	job->answer = NULL;
}

const char *job_answer_reason(const struct job *job)
{
	return job->answer && job->answer->reason ? job->answer->reason : "failed";
}

void job_keep_reason(struct job *job, const char *reason)
{
	job_drop_answer(job);
	struct job_answer *a = calloc(1, sizeof *a);
	if (a)
		a->reason = strdup(reason);
	if (a && !a->reason) {
		free(a);
		a = NULL;
	}
	job->answer = a;
}

/* ---- it comes ---- */

bool job_answer_is_behind(const struct job *job)
{
	return buffer_is_under_way(&job->answer->body);
}

static void on_body_ready(struct buffer *b)
{
	struct job_answer *a = CONTAINER_OF(b, struct job_answer, body);
	struct job *job = a->job;
	if (a->is_awaited && (b->err || buffer_is_written(b)))
		job_store_end(job);
	else if (job->exchange && job->exchange->upstream && (b->err || !job_answer_is_behind(job)))
		upstream_resume(job->exchange->upstream);
}

/* What is kept in memory anyway needs no file on the way there. */
static uint64_t body_memory_bytes(const struct jobs *j)
{
	return j->durable ? j->reactor->settings->body_memory_bytes : UINT64_MAX;
}

int job_answer_head(struct job *job, uint32_t status, struct str fields)
{
	struct jobs *j = job->table;
	struct reactor *r = j->reactor;
	job_drop_answer(job);
	struct job_answer *a = calloc(1, sizeof *a);
	char *copy = a ? malloc(fields.len + 1) : NULL;
	if (!copy) {
		free(a);
		return -ENOMEM;
	}
	memcpy(copy, fields.ptr, fields.len);
	*a = (struct job_answer){
		.job = job, .status = status, .fields = copy, .fields_bytes = (uint32_t)fields.len
	};
	buffer_init(&a->body, r->io, &r->budget, body_memory_bytes(j), on_body_ready);
	a->body.must_take = true;
	j->answer_bytes += fields.len;
	r->budget.memory_used += fields.len;
	job->answer = a;
	return 0;
}

int job_answer_body(struct job *job, const char *bytes, size_t n)
{
	struct jobs *j = job->table;
	struct buffer *b = &job->answer->body;
	uint64_t before = b->size;
	if (before + n > j->reactor->settings->jobs_max_result_bytes)
		return -EFBIG;
	int err = buffer_append(b, bytes, n);
	j->answer_bytes += b->size - before; /* some of them may be there, too, when it fails */
	return err;
}

/* ---- it goes to the store ---- */

int job_answer_error(const struct job *job)
{
	return job->answer->body.err;
}

bool job_answer_is_awaited(struct job *job)
{
	struct job_answer *a = job->answer;
	a->is_awaited = !a->body.err && !buffer_is_written(&a->body);
	return a->is_awaited;
}

int job_answer_store(struct job *job, uint64_t now_us, store_done_fn *done)
{
	struct job_answer *a = job->answer;
	struct buffer_rest rest = { .fd = -1 };
	int max = buffer_slices(&a->body);
	struct iovec *iov = malloc((size_t)(max + 1) * sizeof *iov);
	int n = iov ? buffer_lend(&a->body, iov, max, &rest) : -ENOMEM;
	struct store_message answer = {
		.head = { a->fields, a->fields_bytes },
		.slices = iov,
		.n_slices = n,
		.fd = rest.fd,
		.file_at = rest.at,
		.file_bytes = rest.bytes,
	};
	int err = n < 0 ? n
			: store_complete(job->table->store, &job->id, a->status, &answer, now_us, done, job);
	free(iov);
	return err;
}
