/* Each descriptor has an entry, and each entry a generation: what the kernel says about an earlier one is not
 * listened to. A receive goes on until it is cancelled or has failed; its last completion says that it is
 * over.
 */
#include "io/ring.h"

#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

enum {
	ENTRIES = 512, /* submissions a turn before one more system call */
	COMPLETIONS = 8192,
	BUFFERS = 64, /* a power of two */
	BUFFER_BYTES = 16 * 1024,
	GROUP = 0,
	GENERATION_BITS = 24,
};

/* What a completion is about: its uppermost byte. */
enum kind { KIND_RECEIVE = 1, KIND_EPOLL, KIND_CANCEL };

struct entry {
	struct io_stream *s;     /* borrowed; NULL: nobody receives */
	struct entry_held *held; /* owned; what came during a pause, or NULL */
	uint32_t generation;
	int next_due; /* descriptor of the next one that has something held to deliver, or NONE */
	bool armed;   /* the kernel receives */
	bool paused, ended, due;
};

enum { NONE = -1, NOT_DUE = -2 };

struct entry_held {
	size_t len;
	char bytes[];
};

struct ring {
	struct io_uring uring;
	int ep;
	struct io_uring_buf_ring *ready; /* owned; the buffers that the kernel may use */
	char *buffers;                   /* owned */
	struct entry *entries;           /* owned; by descriptor */
	int n_entries;
	int first_due;            /* descriptor */
	int lent;                 /* number of the buffer that the last event is in, or NONE */
	struct entry_held *given; /* owned; likewise what had been held */
	bool watches_epoll;
};

static uint64_t user_data(enum kind kind, uint32_t generation, int fd)
{
	return (uint64_t)kind << 56 | (uint64_t)(generation & ((1u << GENERATION_BITS) - 1)) << 32 |
		(uint32_t)fd;
}

static struct io_uring_sqe *next_sqe(struct ring *r)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&r->uring);
	if (!sqe) {
		io_uring_submit(&r->uring);
		sqe = io_uring_get_sqe(&r->uring);
	}
	CHECK(sqe);
	return sqe;
}

/* ---- buffers ---- */

static void give_buffer(struct ring *r, int number)
{
	io_uring_buf_ring_add(r->ready, r->buffers + (size_t)number * BUFFER_BYTES, BUFFER_BYTES,
		(unsigned short)number, io_uring_buf_ring_mask(BUFFERS), 0);
	io_uring_buf_ring_advance(r->ready, 1);
}

static int buffers_create(struct ring *r)
{
	void *ready;
	if (posix_memalign(&ready, 4096, BUFFERS * sizeof(struct io_uring_buf)))
		return -ENOMEM;
	r->ready = ready;
	r->buffers = malloc((size_t)BUFFERS * BUFFER_BYTES);
	if (!r->buffers)
		return -ENOMEM;
	io_uring_buf_ring_init(r->ready);
	struct io_uring_buf_reg reg = {
		.ring_addr = (uint64_t)(uintptr_t)r->ready, .ring_entries = BUFFERS, .bgid = GROUP
	};
	int err = io_uring_register_buf_ring(&r->uring, &reg, 0);
	for (int i = 0; err == 0 && i < BUFFERS; i++)
		give_buffer(r, i);
	return err;
}

/* ---- life ---- */

struct ring *ring_create(int ep)
{
	struct ring *r = calloc(1, sizeof *r);
	struct io_uring_params params = {
		.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
			IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP,
		.cq_entries = COMPLETIONS,
	};
	if (!r)
		return NULL;
	r->ep = ep;
	r->first_due = NONE;
	r->lent = NONE;
	int err = io_uring_queue_init_params(ENTRIES, &r->uring, &params);
	if (err < 0) {
		free(r);
		errno = -err;
		return NULL;
	}
	err = buffers_create(r);
	if (err < 0) {
		ring_destroy(r);
		errno = -err;
		return NULL;
	}
	return r;
}

void ring_destroy(struct ring *r)
{
	if (!r)
		return;
	io_uring_queue_exit(&r->uring);
	for (int fd = 0; fd < r->n_entries; fd++)
		free(r->entries[fd].held);
	free(r->entries);
	free(r->given);
	free(r->ready);
	free(r->buffers);
	free(r);
}

/* ---- receiving ---- */

static int make_entry(struct ring *r, int fd)
{
	int n = r->n_entries ? r->n_entries : 64;
	while (n <= fd)
		n *= 2;
	if (n == r->n_entries)
		return 0;
	struct entry *entries = realloc(r->entries, (size_t)n * sizeof *entries);
	if (!entries)
		return -ENOMEM;
	memset(entries + r->n_entries, 0, (size_t)(n - r->n_entries) * sizeof *entries);
	r->entries = entries;
	r->n_entries = n;
	return 0;
}

static void arm(struct ring *r, int fd)
{
	struct entry *e = &r->entries[fd];
	struct io_uring_sqe *sqe = next_sqe(r);
	io_uring_prep_recv_multishot(sqe, fd, NULL, 0, 0);
	sqe->flags |= IOSQE_BUFFER_SELECT;
	sqe->buf_group = GROUP;
	sqe->user_data = user_data(KIND_RECEIVE, e->generation, fd);
	e->armed = true;
}

static void cancel(struct ring *r, int fd)
{
	struct entry *e = &r->entries[fd];
	struct io_uring_sqe *sqe = next_sqe(r);
	io_uring_prep_cancel64(sqe, user_data(KIND_RECEIVE, e->generation, fd), 0);
	sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
	sqe->user_data = user_data(KIND_CANCEL, 0, fd);
}

static bool has_held(const struct entry *e)
{
	return e->held || e->ended;
}

static void make_due(struct ring *r, int fd)
{
	struct entry *e = &r->entries[fd];
	if (e->due)
		return;
	e->due = true;
	e->next_due = r->first_due;
	r->first_due = fd;
}

int ring_receive(struct ring *r, struct io_stream *s)
{
	if (make_entry(r, s->fd) < 0)
		return -ENOMEM;
	struct entry *e = &r->entries[s->fd];
	e->s = s;
	e->paused = false;
	if (has_held(e))
		make_due(r, s->fd);
	else if (!e->armed)
		arm(r, s->fd);
	return 0;
}

void ring_pause(struct ring *r, const struct io_stream *s)
{
	struct entry *e = s->fd < r->n_entries ? &r->entries[s->fd] : NULL;
	if (!e || e->s != s || e->paused)
		return;
	e->paused = true;
	if (e->armed)
		cancel(r, s->fd);
}

void ring_forget(struct ring *r, const struct io_stream *s)
{
	struct entry *e = s->fd < r->n_entries ? &r->entries[s->fd] : NULL;
	if (!e || e->s != s)
		return;
	if (e->armed)
		cancel(r, s->fd);
	free(e->held);
	*e = (struct entry){ .generation = e->generation + 1, .due = e->due, .next_due = e->next_due };
}

/* ---- events ---- */

static int hold(struct entry *e, const char *bytes, size_t n)
{
	size_t len = e->held ? e->held->len : 0;
	struct entry_held *h = realloc(e->held, sizeof *h + len + n);
	if (!h)
		return -ENOMEM;
	memcpy(h->bytes + len, bytes, n);
	h->len = len + n;
	e->held = h;
	return 0;
}

/* What was held comes first, in its order: bytes, then the end. */
static bool next_held(struct ring *r, struct ring_event *ret)
{
	while (r->first_due != NONE) {
		int fd = r->first_due;
		struct entry *e = &r->entries[fd];
		if (e->s && !e->paused && has_held(e)) {
			*ret = (struct ring_event){ .what = e->held ? RING_BYTES : RING_EOF, .s = e->s };
			if (e->held) {
				r->given = e->held;
				e->held = NULL;
				ret->bytes = r->given->bytes;
				ret->n = (ssize_t)r->given->len;
			} else {
				e->ended = false;
			}
			return true;
		}
		r->first_due = e->next_due;
		e->due = false;
		if (e->s && !e->paused && !e->armed)
			arm(r, fd);
	}
	return false;
}

static bool received(struct ring *r, const struct io_uring_cqe *cqe, struct ring_event *ret)
{
	int fd = (int)(uint32_t)cqe->user_data;
	struct entry *e = &r->entries[fd];
	int number = cqe->flags & IORING_CQE_F_BUFFER ? (int)(cqe->flags >> IORING_CQE_BUFFER_SHIFT) : NONE;
	const char *bytes = number == NONE ? NULL : r->buffers + (size_t)number * BUFFER_BYTES;
	bool known = cqe->user_data == user_data(KIND_RECEIVE, e->generation, fd);
	bool again = cqe->res == -ENOBUFS || cqe->res == -ECANCELED || cqe->res == -EINTR;
	if (known && !(cqe->flags & IORING_CQE_F_MORE))
		e->armed = false;
	r->lent = number; /* given back by the next call */
	if (!known || !e->s)
		return false;
	int error = cqe->res < 0 && !again ? cqe->res : 0;
	if ((e->paused || has_held(e)) && !error) { /* errors come during a pause, too */
		if (cqe->res > 0 && hold(e, bytes, (size_t)cqe->res) < 0)
			error = -ENOMEM;
		e->ended |= cqe->res == 0;
		if (!error)
			return false;
	}
	if (error) {
		*ret = (struct ring_event){ .what = RING_ERROR, .s = e->s, .n = error };
		return true;
	}
	if (!e->armed && (cqe->res > 0 || again))
		arm(r, fd);
	if (again)
		return false;
	*ret = (struct ring_event){
		.what = cqe->res > 0 ? RING_BYTES : RING_EOF, .s = e->s, .bytes = bytes, .n = cqe->res
	};
	return true;
}

static void give_back(struct ring *r)
{
	if (r->lent != NONE)
		give_buffer(r, r->lent);
	r->lent = NONE;
	free(r->given);
	r->given = NULL;
}

bool ring_next(struct ring *r, struct ring_event *ret)
{
	struct io_uring_cqe *at;
	for (;;) {
		give_back(r);
		if (next_held(r, ret))
			return true;
		if (!io_uring_cq_ready(&r->uring)) /* else peeking would ask the kernel for more */
			return false;
		if (io_uring_peek_cqe(&r->uring, &at) || !at)
			return false;
		struct io_uring_cqe cqe = { .user_data = at->user_data, .res = at->res, .flags = at->flags };
		io_uring_cqe_seen(&r->uring, at);
		switch ((enum kind)(cqe.user_data >> 56)) {
		case KIND_RECEIVE:
			if (received(r, &cqe, ret))
				return true;
			break;
		case KIND_EPOLL:
			r->watches_epoll = false;
			*ret = (struct ring_event){ .what = RING_EPOLL };
			return true;
		case KIND_CANCEL:
			break;
		}
	}
}

static void watch_epoll(struct ring *r)
{
	if (r->watches_epoll)
		return;
	struct io_uring_sqe *sqe = next_sqe(r);
	io_uring_prep_poll_add(sqe, r->ep, POLLIN);
	sqe->user_data = user_data(KIND_EPOLL, 0, r->ep);
	r->watches_epoll = true;
}

int ring_wait(struct ring *r, uint64_t wait_ns)
{
	struct io_uring_cqe *first;
	struct __kernel_timespec t = { .tv_sec = (int64_t)(wait_ns / 1000000000),
		.tv_nsec = (long long)(wait_ns % 1000000000) };
	watch_epoll(r);
	int err;
	if (wait_ns == 0 || r->first_due != NONE)
		err = io_uring_submit_and_get_events(&r->uring);
	else if (wait_ns == UINT64_MAX)
		err = io_uring_submit_and_wait(&r->uring, 1);
	else
		err = io_uring_submit_and_wait_timeout(&r->uring, &first, 1, &t, NULL);
	return err == -ETIME || err == -EINTR || err == -EBUSY || err > 0 ? 0 : err;
}

bool ring_is_ready(const struct ring *r)
{
	return io_uring_cq_ready(&r->uring) ||
		__atomic_load_n(r->uring.sq.kflags, __ATOMIC_RELAXED) & IORING_SQ_TASKRUN;
}
