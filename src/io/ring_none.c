/* Built without liburing: there is no ring, and so nobody who could call what takes one. */
#include "io/ring.h"

#include <errno.h>

struct ring *ring_create(int ep)
{
	(void)ep;
	errno = ENOSYS;
	return NULL;
}

void ring_destroy(struct ring *r)
{
	CHECK(!r);
}

int ring_receive(struct ring *r, struct io_stream *s)
{
	(void)s;
	CHECK(!r);
	return -ENOSYS;
}

void ring_pause(struct ring *r, const struct io_stream *s)
{
	(void)s;
	CHECK(!r);
}

void ring_forget(struct ring *r, const struct io_stream *s)
{
	(void)s;
	CHECK(!r);
}

int ring_wait(struct ring *r, uint64_t wait_ns)
{
	(void)wait_ns;
	CHECK(!r);
	return -ENOSYS;
}

bool ring_is_ready(const struct ring *r)
{
	CHECK(!r);
	return false;
}

bool ring_next(struct ring *r, struct ring_event *ret)
{
	(void)ret;
	CHECK(!r);
	return false;
}
