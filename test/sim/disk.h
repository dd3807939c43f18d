/* disk: spool files in memory, with delays and failures, and the queue of a loop's blocking work.
 *
 * Owns:   the files and what waits for them. Work is done in the order in which it was asked for.
 */
#pragma once
#include "event.h"
#include "io/io.h"

struct disk_op;

struct disk {
	struct schedule *schedule; /* borrowed */
	struct rand *rand;         /* borrowed */
	struct event next;         /* the first op is over */
	struct disk_op *first, **last;
	uint32_t delay_min_us, delay_max_us; /* of each op */
	uint32_t fail_ppm;                   /* a write or a read fails */
	uint64_t failures;
	bool *touched; /* borrowed; set when a completion runs */
};

void disk_init(struct disk *d, struct schedule *schedule, struct rand *rand, bool *touched);

/* Completions that have not come are dropped. */
void disk_finish(struct disk *d);

struct io_spool *disk_open(struct disk *d, void *owner);
void disk_write(struct disk *d, struct io_spool *sp, uint64_t at, char *bytes, size_t n, io_spool_fn *done);
void disk_read(struct disk *d, struct io_spool *sp, uint64_t at, char *into, size_t n, io_spool_fn *done);
void disk_close(struct disk *d, struct io_spool *sp);

/* A descriptor that reads as the file does now; -1 without one to be had. */
int disk_file(struct io_spool *sp);
void disk_offload(struct disk *d, struct io_task *t);
