#include "disk.h"

#include "fault.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct io_spool {
	void *owner; /* borrowed */
	char *bytes; /* owned */
	uint64_t size, cap;
	uint32_t ops; /* that have not come to their end */
	bool closed;
	int copy; /* a file of the system's with the same bytes; -1: not made */
};

enum op_kind { OP_WRITE, OP_READ, OP_OFFLOAD };

struct disk_op {
	struct disk_op *next;   /* owned */
	struct io_spool *spool; /* borrowed; NULL with OP_OFFLOAD */
	struct io_task *task;   /* borrowed */
	enum op_kind kind;
	uint64_t at;
	char *bytes; /* owned for OP_WRITE; the caller's for OP_READ until the spool is closed */
	size_t n;
	io_spool_fn *done;
};

static void on_next(struct event *e);

void disk_init(struct disk *d, struct schedule *schedule, struct rand *rand, bool *touched)
{
	*d = (struct disk){ .schedule = schedule, .rand = rand, .last = &d->first, .touched = touched };
	d->next.fire = on_next;
}

static void arm(struct disk *d)
{
	uint64_t delay = d->delay_min_us + rand_below(d->rand, d->delay_max_us - d->delay_min_us + 1);
	if (d->first && !event_is_set(&d->next))
		event_set(d->schedule, &d->next, d->schedule->now_us + delay);
}

static void add(struct disk *d, struct disk_op op)
{
	struct disk_op *copy = sim_alloc(sizeof *copy);
	*copy = op;
	*d->last = copy;
	d->last = &copy->next;
	if (op.spool)
		op.spool->ops++;
	arm(d);
}

static struct disk_op *take_first(struct disk *d)
{
	struct disk_op *op = d->first;
	d->first = op->next;
	if (!d->first)
		d->last = &d->first;
	return op;
}

static void free_if_over(struct io_spool *sp)
{
	if (!sp->closed || sp->ops)
		return;
	if (sp->copy >= 0)
		close(sp->copy);
	free(sp->bytes);
	free(sp);
}

static int carry_out(struct disk *d, const struct disk_op *op)
{
	struct io_spool *sp = op->spool;
	if (d->fail_ppm && rand_chance(d->rand, d->fail_ppm)) {
		d->failures++;
		return op->kind == OP_WRITE ? -ENOSPC : -EIO;
	}
	if (op->kind == OP_READ) {
		CHECK(op->at + op->n <= sp->size);
		memcpy(op->bytes, sp->bytes + op->at, op->n);
		return 0;
	}
	if (op->at + op->n > sp->cap) {
		sp->cap = (op->at + op->n) * 2;
		sp->bytes = sim_realloc(sp->bytes, sp->cap);
	}
	if (op->at + op->n > sp->size)
		sp->size = op->at + op->n;
	memcpy(sp->bytes + op->at, op->bytes, op->n);
	return 0;
}

static void finish_spool_op(struct disk *d, struct disk_op *op)
{
	struct io_spool *sp = op->spool;
	int err = sp->closed && op->kind == OP_WRITE ? 0 : carry_out(d, op);
	if (op->kind == OP_WRITE || sp->closed)
		free(op->bytes);
	sp->ops--;
	if (!sp->closed)
		op->done(sp->owner, err, op->n); /* may close it */
	else
		free_if_over(sp);
	free(op);
}

static void on_next(struct event *e)
{
	struct disk *d = CONTAINER_OF(e, struct disk, next);
	struct disk_op *op = take_first(d);
	*d->touched = true;
	arm(d);
	if (op->kind == OP_OFFLOAD) {
		struct io_task *task = op->task;
		free(op);
		task->done(task);
		return;
	}
	finish_spool_op(d, op);
}

void disk_finish(struct disk *d)
{
	event_stop(d->schedule, &d->next);
	while (d->first) {
		struct disk_op *op = take_first(d);
		if (op->kind == OP_WRITE || (op->kind == OP_READ && op->spool->closed))
			free(op->bytes);
		if (op->spool) {
			op->spool->ops--;
			free_if_over(op->spool);
		}
		free(op);
	}
}

struct io_spool *disk_open(struct disk *d, void *owner)
{
	(void)d;
	struct io_spool *sp = sim_alloc(sizeof *sp);
	*sp = (struct io_spool){ .owner = owner, .copy = -1 };
	return sp;
}

int disk_file(struct io_spool *sp)
{
	if (sp->copy < 0)
		sp->copy = memfd_create("spool", MFD_CLOEXEC);
	if (sp->copy >= 0 && pwrite(sp->copy, sp->bytes, sp->size, 0) != (ssize_t)sp->size)
		return -1;
	return sp->copy;
}

void disk_write(struct disk *d, struct io_spool *sp, uint64_t at, char *bytes, size_t n, io_spool_fn *done)
{
	CHECK(!sp->closed && n > 0);
	add(d,
		(struct disk_op){
			.kind = OP_WRITE, .spool = sp, .at = at, .bytes = bytes, .n = n, .done = done });
}

void disk_read(struct disk *d, struct io_spool *sp, uint64_t at, char *into, size_t n, io_spool_fn *done)
{
	CHECK(!sp->closed && n > 0);
	add(d,
		(struct disk_op){
			.kind = OP_READ, .spool = sp, .at = at, .bytes = into, .n = n, .done = done });
}

void disk_close(struct disk *d, struct io_spool *sp)
{
	(void)d;
	if (!sp)
		return;
	CHECK(!sp->closed);
	sp->closed = true;
	free_if_over(sp);
}

void disk_offload(struct disk *d, struct io_task *t)
{
	t->work(t);
	add(d, (struct disk_op){ .kind = OP_OFFLOAD, .task = t });
}
