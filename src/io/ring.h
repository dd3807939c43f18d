/* ring: receiving by io_uring, as a part of the epoll loop.
 *
 * The kernel puts what comes into buffers that stand ready for all streams, and says so in memory; one system
 * call a turn hands over what is asked for and waits. Everything else (listeners, connecting, room for
 * sending) stays with epoll, whose descriptor the ring watches.
 * Owns:   the ring, the buffers, and what came for streams that are paused.
 * Needs:  Linux 6.1 (IORING_SETUP_DEFER_TASKRUN), and the permission to use io_uring, which containers often
 *         lack.
 */
#pragma once
#include "io/io.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ring;

/* ep: the epoll descriptor that is watched. NULL, and errno says why, where the kernel lacks or forbids what
 * it takes, or Berth was built without liburing (ENOSYS). */
struct ring *ring_create(int ep);
void ring_destroy(struct ring *r);

/* From now on what s receives is an event, beginning with what was held while it was paused. -ENOMEM. */
MUST_USE int ring_receive(struct ring *r, struct io_stream *s);

/* What still comes for s is held until ring_receive. */
void ring_pause(struct ring *r, const struct io_stream *s);

/* No event names s any more; what is held is dropped. Its descriptor is about to be closed, or has failed. */
void ring_forget(struct ring *r, const struct io_stream *s);

enum ring_what {
	RING_BYTES, /* n bytes for s, good until ring_next is called again */
	RING_EOF,
	RING_ERROR, /* of s: n is the negative errno */
	RING_EPOLL, /* epoll has events */
};

struct ring_event {
	enum ring_what what;
	struct io_stream *s;
	const char *bytes;
	ssize_t n;
};

/* Hands over what was asked for, and waits for the next event: up to wait_ns; UINT64_MAX: without end; 0: not
 * at all. 0, or -errno when the kernel refuses to go on. */
MUST_USE int ring_wait(struct ring *r, uint64_t wait_ns);

/* True when ring_wait would find something at once; costs no system call. */
bool ring_is_ready(const struct ring *r);

/* The next event; false when there is none before ring_wait. */
bool ring_next(struct ring *r, struct ring_event *ret);
