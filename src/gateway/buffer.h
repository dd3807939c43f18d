/* buffer: bytes of a body on their way, in memory up to a limit, then in a spool file.
 *
 * Bytes are appended at the end and read by offset; buffer_consume gives up what lies before an offset, so
 * that a reader that never goes back keeps little, and one that may (a request that is retried) keeps all.
 * Owns:   its memory and its spool file.
 * Errors: -ENOMEM at the reactor's memory limit, -ENOSPC at its spool limit or when the disk is full, -ENFILE
 *         when there is no descriptor for another file, -EIO.
 *
 *          base            mem_end                written       size
 *   given up │    memory      │   spool file, window  │  under way  │
 */
#pragma once
#include "io/io.h"

#include <stdbool.h>
#include <stdint.h>

/* What all buffers of a reactor together may take. */
struct budget {
	uint64_t memory_used, memory_max;
	uint64_t spool_used, spool_max;
	uint32_t spool_files, spool_files_max; /* that are open, and may be; 0: no limit */
	uint64_t refused;                      /* times that a limit was met */
};

/* Near the limit, with so many bytes more: the rest is for new work. */
bool memory_is_tight(const struct budget *budget, size_t more);

struct segment;

struct buffer {
	struct io *io;                /* borrowed */
	struct budget *budget;        /* borrowed */
	struct segment *first, *last; /* owned */
	uint64_t base, mem_end, written, size;
	uint64_t memory_max;    /* of this buffer: what is longer goes to the file */
	struct io_spool *spool; /* owned; NULL until needed */
	uint64_t file_start;    /* offset whose byte is the file's first */
	char *tail;             /* owned; comes after the write under way, in one piece */
	size_t tail_len, tail_cap;
	bool writing;
	char *window; /* owned; a piece of the file, read back */
	uint64_t window_at;
	uint32_t window_len, window_cap;
	bool must_take; /* an answer's: not refused at the reactor's limits, buffer_is_behind says that they
			   are met */
	bool loading;   /* the window is being read; its memory is lent to the loop */
	int err;        /* the spool failed; stays */
	/* Something that a peek or a pause waited for has come: more bytes, room, or an error. */
	void (*on_ready)(struct buffer *b);
};

/* memory_max: bytes kept in memory before the file is used. */
void buffer_init(struct buffer *b, struct io *io, struct budget *budget, uint64_t memory_max,
	void (*on_ready)(struct buffer *b));
void buffer_finish(struct buffer *b);

/* Copies n bytes to the end. */
MUST_USE int buffer_append(struct buffer *b, const char *bytes, size_t n);

/* Slices of what stands at `offset`, at most max of them. Returns how many; 0 means that nothing is there yet
 * (offset is the end), or that it is being read from the file: on_ready follows. Negative errno when the file
 * failed. */
MUST_USE int buffer_peek(struct buffer *b, uint64_t offset, struct iovec *iov, int max);

/* Nothing before `offset` is needed any more. */
void buffer_consume(struct buffer *b, uint64_t offset);

/* The disk is slower than what comes in: the source shall pause until on_ready. */
bool buffer_is_behind(const struct buffer *b);

/* Likewise, where nobody reads before all is there: what is on its way to the file is all that is waited for.
 */
bool buffer_is_under_way(const struct buffer *b);

/* All that went to the file is in it. */
static inline bool buffer_is_written(const struct buffer *b)
{
	return b->written == b->size;
}

/* For a reader on another thread: slices of what is in memory, at most max of them, and where the rest
 * stands. Of a buffer that is written, from which nothing was consumed; good until buffer_finish. Returns how
 * many slices; -EIO when there is no file to read from. */
int buffer_slices(const struct buffer *b); /* how many there are */
struct buffer_rest {
	int fd; /* -1: all is in memory */
	uint64_t at, bytes;
};
MUST_USE int buffer_lend(struct buffer *b, struct iovec *iov, int max, struct buffer_rest *ret_rest);

static inline uint64_t buffer_left(const struct buffer *b)
{
	return b->size - b->base;
}
