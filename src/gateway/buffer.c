#include "gateway/buffer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	SEGMENT_MIN = 16 * 1024, /* of every segment but the first, which is as long as what comes */
	WINDOW_BYTES = 256 * 1024,
	WINDOW_TIGHT = 16 * 1024, /* near the reactor's limit */
	BEHIND_BYTES = 1024 * 1024,
};

struct segment {
	struct segment *next; /* owned */
	uint32_t used, cap;
	char data[];
};

void buffer_init(struct buffer *b, struct io *io, struct budget *budget, uint64_t memory_max,
	void (*on_ready)(struct buffer *b))
{
	*b = (struct buffer){ .io = io, .budget = budget, .memory_max = memory_max, .on_ready = on_ready };
}

static void drop_segment(struct buffer *b)
{
	struct segment *s = b->first;
	b->first = s->next;
	if (!b->first)
		b->last = NULL;
	b->budget->memory_used -= s->cap;
	free(s);
}

static void drop_window(struct buffer *b)
{
	if (!b->window)
		return;
	b->budget->memory_used -= b->window_cap;
	if (!b->loading) /* else the loop frees it: its spool is being closed */
		free(b->window);
	b->window = NULL;
	b->window_len = 0;
	b->loading = false;
}

static void close_spool(struct buffer *b)
{
	io_spool_close(b->io, b->spool);
	b->spool = NULL;
	b->budget->spool_files--;
}

void buffer_finish(struct buffer *b)
{
	while (b->first)
		drop_segment(b);
	drop_window(b);
	if (b->spool) {
		b->budget->spool_used -= b->size - b->file_start;
		b->budget->memory_used -= b->size - b->written;
		close_spool(b);
	}
	free(b->tail);
	b->tail = NULL;
}

static int refuse(struct buffer *b, int err)
{
	b->budget->refused++;
	return err;
}

static int append_memory(struct buffer *b, const char *bytes, size_t n)
{
	while (n) {
		struct segment *s = b->last;
		if (!s || s->used == s->cap) {
			size_t cap = b->first && n < SEGMENT_MIN ? SEGMENT_MIN : n;
			if (!b->must_take && b->budget->memory_used + cap > b->budget->memory_max)
				return refuse(b, -ENOMEM);
			s = malloc(sizeof *s + cap);
			if (!s)
				return refuse(b, -ENOMEM);
			*s = (struct segment){ .cap = (uint32_t)cap };
			if (b->last)
				b->last->next = s;
			else
				b->first = s;
			b->last = s;
			b->budget->memory_used += cap;
		}
		size_t k = n < s->cap - s->used ? n : s->cap - s->used;
		memcpy(s->data + s->used, bytes, k);
		s->used += (uint32_t)k;
		bytes += k;
		n -= k;
		b->size += k;
		b->mem_end += k;
		b->written += k;
	}
	return 0;
}

static void on_written(void *owner, int err, size_t n);

/* Gives bytes (malloc'ed) to the file's thread, behind what is written. */
static int write_out(struct buffer *b, char *bytes, size_t n)
{
	int r = io_spool_write(b->io, b->spool, b->written - b->file_start, bytes, n, on_written);
	b->writing = r == 0;
	return r;
}

/* What came while the last write was under way is the next one. */
static int write_tail(struct buffer *b)
{
	char *tail = b->tail;
	size_t n = b->tail_len;
	b->tail = NULL;
	b->tail_len = b->tail_cap = 0;
	int r = write_out(b, tail, n);
	if (r < 0)
		free(tail);
	return r;
}

static void on_written(void *owner, int err, size_t n)
{
	struct buffer *b = owner;
	b->writing = false;
	b->written += n;
	b->budget->memory_used -= n;
	if (b->tail && !err)
		err = write_tail(b);
	if (err && !b->err)
		b->err = err;
	b->on_ready(b);
}

static int keep_tail(struct buffer *b, const char *bytes, size_t n)
{
	if (n > b->tail_cap - b->tail_len) {
		size_t cap = b->tail_len + n + b->tail_cap / 2;
		char *p = realloc(b->tail, cap);
		if (!p)
			return -ENOMEM;
		b->tail = p;
		b->tail_cap = cap;
	}
	memcpy(b->tail + b->tail_len, bytes, n);
	b->tail_len += n;
	return 0;
}

static int write_copy(struct buffer *b, const char *bytes, size_t n)
{
	char *copy = malloc(n);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, bytes, n);
	int r = write_out(b, copy, n);
	if (r < 0)
		free(copy);
	return r;
}

static bool open_spool(struct buffer *b)
{
	struct budget *all = b->budget;
	if (all->spool_files_max && all->spool_files >= all->spool_files_max)
		return false;
	b->spool = io_spool_open(b->io, b);
	b->file_start = b->size;
	all->spool_files += b->spool != NULL;
	return b->spool;
}

static int append_file(struct buffer *b, const char *bytes, size_t n)
{
	if (!b->must_take && b->budget->spool_used + n > b->budget->spool_max)
		return refuse(b, -ENOSPC);
	if (!b->must_take && b->budget->memory_used + n > b->budget->memory_max)
		return refuse(b, -ENOMEM);
	if (!b->spool && !open_spool(b))
		return refuse(b, -ENFILE);
	int r = b->writing ? keep_tail(b, bytes, n) : write_copy(b, bytes, n);
	if (r < 0)
		return refuse(b, r);
	b->size += n;
	b->budget->memory_used += n; /* until it is written */
	b->budget->spool_used += n;
	return 0;
}

bool memory_is_tight(const struct budget *budget, size_t more)
{
	return budget->memory_used + more > budget->memory_max / 8 * 7;
}

/* What an answer has to wait for goes to the file at once then. */
static uint64_t memory_share(const struct buffer *b, size_t n)
{
	return b->must_take && memory_is_tight(b->budget, n) ? 0 : b->memory_max;
}

int buffer_append(struct buffer *b, const char *bytes, size_t n)
{
	if (b->err)
		return b->err;
	if (n == 0)
		return 0;
	if (b->mem_end == b->size && b->mem_end - b->base + n <= memory_share(b, n))
		return append_memory(b, bytes, n);
	return append_file(b, bytes, n);
}

static void on_window(void *owner, int err, size_t n)
{
	struct buffer *b = owner;
	b->loading = false;
	b->window_len = err ? 0 : (uint32_t)n;
	if (err && !b->err)
		b->err = err;
	b->on_ready(b);
}

/* Starts to read the piece of the file that begins at `offset`, if it has been written. */
static int load_window(struct buffer *b, uint64_t offset)
{
	if (b->loading || offset >= b->written)
		return 0; /* on_ready comes with what is under way */
	if (!b->window) {
		uint32_t cap = memory_is_tight(b->budget, WINDOW_BYTES) ? WINDOW_TIGHT : WINDOW_BYTES;
		b->window = malloc(cap);
		if (!b->window)
			return -ENOMEM;
		b->window_cap = cap;
		b->budget->memory_used += cap; /* allowed past the limit: it is how bytes leave */
	}
	size_t n = b->written - offset < b->window_cap ? (size_t)(b->written - offset) : b->window_cap;
	b->window_at = offset;
	b->window_len = 0;
	b->loading = true;
	int r = io_spool_read(b->io, b->spool, offset - b->file_start, b->window, n, on_window);
	if (r < 0)
		b->loading = false;
	return r;
}

static int peek_memory(const struct buffer *b, uint64_t offset, struct iovec *iov, int max)
{
	uint64_t at = b->mem_end;
	int n = 0;
	for (const struct segment *s = b->first; s; s = s->next)
		at -= s->used; /* offset of the first segment's first byte */
	for (struct segment *s = b->first; s && n < max; s = s->next) {
		uint64_t skip = offset > at ? offset - at : 0;
		if (skip < s->used)
			iov[n++] = (struct iovec){ s->data + skip, s->used - skip };
		at += s->used;
	}
	return n;
}

int buffer_peek(struct buffer *b, uint64_t offset, struct iovec *iov, int max)
{
	CHECK(offset >= b->base && offset <= b->size);
	if (b->err)
		return b->err;
	if (offset < b->mem_end)
		return peek_memory(b, offset, iov, max);
	if (offset == b->size)
		return 0;
	if (!b->loading && offset >= b->window_at && offset < b->window_at + b->window_len) {
		size_t skip = (size_t)(offset - b->window_at);
		iov[0] = (struct iovec){ b->window + skip, b->window_len - skip };
		return 1;
	}
	int r = load_window(b, offset);
	if (r < 0)
		b->err = r; /* else who sends it would blame its connection */
	return r;
}

int buffer_slices(const struct buffer *b)
{
	int n = 0;
	for (const struct segment *s = b->first; s; s = s->next)
		n++;
	return n;
}

int buffer_lend(struct buffer *b, struct iovec *iov, int max, struct buffer_rest *ret_rest)
{
	CHECK(b->base == 0 && buffer_is_written(b));
	struct buffer_rest rest = { .fd = -1 };
	if (b->spool) {
		rest = (struct buffer_rest){ io_spool_file(b->io, b->spool), b->mem_end - b->file_start,
			b->size - b->mem_end };
		if (rest.fd < 0)
			return -EIO;
	}
	*ret_rest = rest;
	return peek_memory(b, 0, iov, max);
}

/* All that was in the file has been read: start again in memory, with an empty file. */
static void leave_file(struct buffer *b)
{
	b->budget->spool_used -= b->size - b->file_start;
	drop_window(b);
	close_spool(b);
	b->mem_end = b->size;
}

void buffer_consume(struct buffer *b, uint64_t offset)
{
	CHECK(offset >= b->base && offset <= b->size);
	uint64_t at = b->mem_end;
	for (const struct segment *s = b->first; s; s = s->next)
		at -= s->used;
	while (b->first && at + b->first->used <= offset) {
		at += b->first->used;
		drop_segment(b);
	}
	b->base = offset;
	/* who takes his time holds no memory meanwhile; it is read again */
	if (b->must_take && !b->loading && memory_is_tight(b->budget, 0))
		drop_window(b);
	if (b->spool && offset == b->size && b->written == b->size && !b->loading)
		leave_file(b);
}

bool buffer_is_behind(const struct buffer *b)
{
	const struct budget *budget = b->budget;
	if (b->size - b->written > BEHIND_BYTES)
		return true;
	if (!b->must_take || !buffer_left(b))
		return false;
	/* at the limit bytes go to the file, and once they are there they hold no memory: only what is under
	 * way is waited for, not others who do not read */
	return (budget->memory_used > budget->memory_max && !buffer_is_written(b)) ||
		budget->spool_used > budget->spool_max;
}

bool buffer_is_under_way(const struct buffer *b)
{
	return !buffer_is_written(b) && buffer_is_behind(b);
}
