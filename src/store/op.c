#include "store/engine.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

void store_op_free(struct store_op *op)
{
	arena_finish(&op->arena);
	free(op);
}

void store_op_reset(struct store_op *op)
{
	arena_reset(&op->arena);
	op->reply = (struct store_reply){ 0 };
}

bool store_op_expect(struct store_op *op, uint32_t n)
{
	op->records = arena_alloc(&op->arena, n * sizeof *op->records);
	op->reply.records = op->records;
	return op->records;
}

static bool copy(struct arena *a, struct str *s)
{
	*s = arena_str(a, *s);
	return s->ptr;
}

bool store_op_add(struct store_op *op, const struct store_record *record)
{
	struct store_record r = *record;
	struct arena *a = &op->arena;
	if (!copy(a, &r.pool) || !copy(a, &r.container) || !copy(a, &r.reasons) || !copy(a, &r.key))
		return false;
	op->records[op->reply.n_records++] = r;
	return true;
}

const struct store_message *store_op_message(const struct store_op *op)
{
	if (op->verb == STORE_ENQUEUE)
		return &op->job.request;
	return op->verb == STORE_COMPLETE ? &op->answer.message : NULL;
}

int store_message_copy(const struct store_message *m, char *into)
{
	for (int i = 0; i < m->n_slices; i++) {
		if (m->slices[i].iov_len)
			memcpy(into, m->slices[i].iov_base, m->slices[i].iov_len);
		into += m->slices[i].iov_len;
	}
	for (uint64_t done = 0; done < m->file_bytes;) {
		ssize_t n = pread(m->fd, into + done, m->file_bytes - done, (off_t)(m->file_at + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		done += (uint64_t)n;
	}
	return 0;
}

struct str store_add_reason(char into[STORE_REASONS_MAX], struct str reasons, struct str reason)
{
	if (reasons.ptr != into && reasons.len)
		memcpy(into, reasons.ptr, reasons.len);
	if (reasons.len + reason.len + 1 > STORE_REASONS_MAX)
		return (struct str){ into, reasons.len };
	char *line = into + reasons.len;
	for (size_t i = 0; i < reason.len; i++)
		line[i] = (unsigned char)reason.ptr[i] < ' ' || reason.ptr[i] == 0x7f ? ' ' : reason.ptr[i];
	line[reason.len] = '\n';
	return (struct str){ into, reasons.len + reason.len + 1 };
}
