/* spool: the thread that does a loop's blocking work: spool files, and whatever is offloaded.
 *
 * Owns:   the thread, the files and what waits for them.
 * Order:  first in, first out over all spools; completions run on the loop's thread.
 */
#pragma once
#include "io/io.h"

struct spooler;

/* post: how a message gets to the loop's thread. The thread starts with the first spool. NULL without memory.
 */
struct spooler *spooler_create(struct io *io, void (*post)(struct io *io, struct io_message *m));

/* Waits for what is under way; completions that were not run yet are dropped. NULL is allowed. */
void spooler_destroy(struct spooler *s);

struct io_spool *spooler_open(struct spooler *s, void *owner);
int spooler_write(
	struct spooler *s, struct io_spool *sp, uint64_t at, char *bytes, size_t n, io_spool_fn *done);
int spooler_read(
	struct spooler *s, struct io_spool *sp, uint64_t at, char *into, size_t n, io_spool_fn *done);
void spooler_close(struct spooler *s, struct io_spool *sp);
int spooler_file(const struct io_spool *sp);
int spooler_offload(struct spooler *s, struct io_task *task);
