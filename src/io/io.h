/* io: the outside world as completions.
 *
 * One interface, two shells of one gateway: io_epoll.c, with ring.c for io_uring in it, and the simulator's
 * io_sim.c. A loop runs on one thread. Objects (struct io_stream, io_listener, io_timer) are embedded in
 * their owner's and initialised by the call that starts them; the loop keeps no memory of its own for an idle
 * stream.
 *
 * Receiving:  bytes arrive in a buffer of the loop's, which is good until the callback returns, so an idle
 *             stream holds none.
 * Sending:    io_send takes what it can before it returns (into the kernel, or into a buffer of its own), so
 *             the caller's bytes need not stay; what was not taken stays the caller's until on_writable.
 * Callbacks:  only from io_run. After io_close(s) returns, nothing is called for s any more, and its memory
 *             may be reused at once, also from within a callback of s itself.
 * Errors:     0 or a negative errno.
 * Never:      allocates for a turn; calls back from inside io_send, io_connect or io_close.
 */
#pragma once
#include "base/check.h"
#include "base/list.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>

struct io;
struct io_stream;
struct io_listener;
struct io_timer;

/* An address: IPv4, IPv6 or a unix socket. */
struct io_addr {
	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
		struct sockaddr_un un;
	};
	socklen_t len;
};

enum { IO_ADDR_TEXT = 120 };

/* "1.2.3.4:80", "[::1]:80", "unix:/path", also ":80" for all addresses of the machine ([::], which takes IPv4
 * too). Numeric only: names are somebody else's job. False when text is none of these. */
MUST_USE bool io_addr_parse(struct io_addr *ret_addr, const char *text);

/* The inverse, into text[IO_ADDR_TEXT]; an IPv4 address mapped into IPv6 is printed as IPv4. with_port:
 * "1.2.3.4:80", else "1.2.3.4". Returns text. */
const char *io_addr_print(const struct io_addr *addr, bool with_port, char text[IO_ADDR_TEXT]);

/* Like memcmp, an order of all addresses. 0 for those that lead to the same place: an IPv4 address and the
 * same mapped into IPv6 do. */
int io_addr_compare(const struct io_addr *a, const struct io_addr *b);

struct io_stream_ops {
	/* Bytes, n > 0. */
	void (*on_recv)(struct io_stream *s, const char *bytes, size_t n);
	/* The peer has shut down its sending side. Comes once, after the last bytes. */
	void (*on_eof)(struct io_stream *s);
	/* The connection is broken, err < 0 (-ECONNRESET, …); nothing comes after it. The owner closes. A
	 * peer that has vanished without a word is missed after half a minute of silence (-ETIMEDOUT). */
	void (*on_error)(struct io_stream *s, int err);
	/* io_send took less than it was given before; now there is room. Comes once for each short io_send.
	 */
	void (*on_writable)(struct io_stream *s);
	/* io_connect has succeeded. Its failure is an on_error. NULL for streams that were accepted. */
	void (*on_connect)(struct io_stream *s);
	/* Where the owner wants the next bytes, and at most how many, so that they need not be copied there;
	 * NULL: in the loop's buffer. on_recv follows with the bytes, in either: a shell may not ask. NULL
	 * for owners that never want them. */
	char *(*room)(struct io_stream *s, size_t *ret_bytes);
};

struct io_stream {
	const struct io_stream_ops *ops; /* borrowed, static */
	int fd;                          /* the loop's own affair; -1 when closed */
	uint8_t flags;                   /* the loop's own affair */
	uint8_t interest;                /* the loop's own affair */
};

struct io_listener_ops {
	/* A connection came. The owner either calls io_accept(l, s, ops) for it in this callback, or returns,
	 * which refuses it. */
	void (*on_connection)(struct io_listener *l, const struct io_addr *peer);
};

struct io_listener {
	const struct io_listener_ops *ops; /* borrowed, static */
	int fd;                            /* the loop's own affair; -1 when closed */
	int pending;              /* the connection that on_connection speaks of; -1 when it was taken */
	bool owns_path;           /* the loop's own affair: it has made its unix socket's file itself */
	struct list_node starved; /* the loop's own affair: it waits for descriptors */
};

/* A timer costs its owner 40 bytes. Setting one to a later time than it has moves no list. */
struct io_timer {
	struct list_node node;
	uint64_t due_us;                      /* when it shall fire; 0: not set */
	uint64_t tick;                        /* where it stands in the wheel: at or before due_us */
	void (*on_timer)(struct io_timer *t); /* may set t again */
};

/* A file without a name for what does not fit in memory; read and written by a thread of the loop's. */
struct io_spool;
typedef void io_spool_fn(void *owner, int err, size_t n);

/* Something to be run on the loop's thread. */
struct io_message {
	struct io_message *next; /* the loop's own affair */
	void (*on_message)(struct io_message *m);
};

/* A piece of blocking work for the loop's thread for such: work() runs there, done() on the loop's thread in
 * a later turn. */
struct io_task {
	struct io_task *next; /* the loop's own affair */
	void (*work)(struct io_task *t);
	void (*done)(struct io_task *t);
};

struct io_ops {
	int (*listen)(struct io *io, struct io_listener *l, const struct io_addr *addr);
	int (*listen_fd)(struct io *io, struct io_listener *l, int fd);
	void (*listen_pause)(struct io *io, struct io_listener *l, bool paused);
	void (*unlisten)(struct io *io, struct io_listener *l);
	int (*listen_addr)(struct io *io, struct io_listener *l, struct io_addr *ret_addr);
	int (*accept)(struct io *io, struct io_listener *l, struct io_stream *s);
	int (*connect)(struct io *io, struct io_stream *s, const struct io_addr *addr);
	ssize_t (*send)(struct io *io, struct io_stream *s, const struct iovec *iov, int n);
	size_t (*unacknowledged)(struct io *io, const struct io_stream *s);
	void (*recv_pause)(struct io *io, struct io_stream *s, bool paused);
	void (*shutdown)(struct io *io, struct io_stream *s);
	void (*close)(struct io *io, struct io_stream *s, bool reset);
	struct io_spool *(*spool_open)(struct io *io, void *owner);
	int (*spool_write)(
		struct io *io, struct io_spool *sp, uint64_t at, char *bytes, size_t n, io_spool_fn *done);
	int (*spool_read)(
		struct io *io, struct io_spool *sp, uint64_t at, char *into, size_t n, io_spool_fn *done);
	void (*spool_close)(struct io *io, struct io_spool *sp);
	int (*spool_file)(struct io *io, struct io_spool *sp);
	int (*offload)(struct io *io, struct io_task *t);
	void (*random)(struct io *io, void *into, size_t n);
	void (*post)(struct io *io, struct io_message *m);
};

struct io_wheel;

/* The part of a loop that its users see; an implementation embeds it first. */
struct io {
	const struct io_ops *ops;           /* borrowed, static */
	uint64_t now_us;                    /* monotonic, read once a turn */
	uint64_t wall_us;                   /* since the epoch, read once a turn */
	struct io_wheel *wheel;             /* owned */
	void *user;                         /* borrowed: the reactor */
	void (*on_turn_end)(struct io *io); /* graveyards, invariants; may be NULL */
	/* Set by on_turn_end for the wait after it: polls from … until … instead of sleeping; 0: it sleeps.
	 * The simulator's clock knows no difference. */
	uint64_t poll_from_us, poll_until_us;
	struct io_polled {
		uint64_t us;   /* polled away so far */
		uint64_t hits; /* times that something came meanwhile */
	} polled;
	/* What is on its way when its stream is closed is given up when the peer takes nothing of it for so
	 * long: without it, the kernel keeps it for as long as the peer is there and does not read. 0: it
	 * does. */
	uint32_t closed_patience_ms;
	bool stopped;
	uint32_t max_files; /* that the process may have open; 0: there is no such limit */
};

/* ---- loops ---- */

/* The level-triggered epoll loop. NULL without memory or descriptors (errno is set). */
struct io *io_epoll_create(void);

/* The same loop, in which io_uring receives (ring.h). NULL, and errno says why, where the kernel lacks or
 * forbids what that takes. */
struct io *io_uring_create(void);

void io_epoll_destroy(struct io *io);

/* Runs turns until io_stop. 0, or -errno when the kernel refuses to go on. */
int io_epoll_run(struct io *io);

static inline void io_stop(struct io *io)
{
	io->stopped = true;
}

/* io_post for this loop: the only call that other threads and signal handlers may make. The message is
 * borrowed until it has run. */
void io_epoll_post(struct io *io, struct io_message *m);

/* Watches a descriptor that is no stream (a signalfd, a pidfd): on_ready at every turn in which it can be
 * read. */
struct io_watch {
	int fd;
	void (*on_ready)(struct io_watch *w);
};
MUST_USE int io_epoll_watch(struct io *io, struct io_watch *w);
void io_epoll_unwatch(struct io *io, struct io_watch *w);

/* ---- listeners ---- */

/* Binds and listens. A unix socket's path that nobody listens on any more is replaced. -EADDRINUSE, -EACCES,
 * -ENOTSOCK (something else has the path), … */
MUST_USE static inline int io_listen(
	struct io *io, struct io_listener *l, const struct io_addr *addr, const struct io_listener_ops *ops)
{
	l->ops = ops;
	return io->ops->listen(io, l, addr);
}

/* Takes over a socket that listens already (systemd's LISTEN_FDS). A unix socket's path stays its maker's. */
MUST_USE static inline int io_listen_fd(
	struct io *io, struct io_listener *l, int fd, const struct io_listener_ops *ops)
{
	l->ops = ops;
	return io->ops->listen_fd(io, l, fd);
}

/* Where it listens: with port 0 asked for, the port that the kernel chose. */
MUST_USE static inline int io_listen_addr(struct io *io, struct io_listener *l, struct io_addr *ret_addr)
{
	return io->ops->listen_addr(io, l, ret_addr);
}

/* While paused, connections wait in the kernel's backlog. */
static inline void io_listen_pause(struct io *io, struct io_listener *l, bool paused)
{
	io->ops->listen_pause(io, l, paused);
}

/* Removes a unix socket's path, when io_listen has made it. */
static inline void io_unlisten(struct io *io, struct io_listener *l)
{
	io->ops->unlisten(io, l);
}

/* ---- streams ---- */

/* Only from on_connection, once. */
MUST_USE static inline int io_accept(
	struct io *io, struct io_listener *l, struct io_stream *s, const struct io_stream_ops *ops)
{
	s->ops = ops;
	return io->ops->accept(io, l, s);
}

/* on_connect or on_error follows in a later turn, unless io_close comes first. An error at once leaves s
 * closed. */
MUST_USE static inline int io_connect(
	struct io *io, struct io_stream *s, const struct io_addr *addr, const struct io_stream_ops *ops)
{
	s->ops = ops;
	return io->ops->connect(io, s, addr);
}

/* Takes up to all bytes of iov[0..n), n ≤ 16. Returns how many it took: less than all means that on_writable
 * will come (0 is no error). Negative errno: the connection is broken, and no send succeeds any more. The
 * caller closes; or it goes on to receive what had come before, and then on_eof, for the error has been told,
 * or on_error. Not before on_connect. */
MUST_USE static inline ssize_t io_send(struct io *io, struct io_stream *s, const struct iovec *iov, int n)
{
	return io->ops->send(io, s, iov, n);
}

/* How many of the bytes that io_send took have not reached the peer's machine yet. */
static inline size_t io_unacknowledged(struct io *io, const struct io_stream *s)
{
	return io->ops->unacknowledged(io, s);
}

/* While paused, nothing is received, and EOF goes unseen; errors still come. */
static inline void io_recv_pause(struct io *io, struct io_stream *s, bool paused)
{
	io->ops->recv_pause(io, s, paused);
}

/* No more will be sent; receiving goes on. */
static inline void io_shutdown(struct io *io, struct io_stream *s)
{
	io->ops->shutdown(io, s);
}

/* Closes; what was taken by io_send is still delivered, if the peer lets it. Closed streams may be closed
 * again. */
static inline void io_close(struct io *io, struct io_stream *s)
{
	io->ops->close(io, s, false);
}

/* Closes with a reset: the peer must not take what it got for the whole. */
static inline void io_reset(struct io *io, struct io_stream *s)
{
	io->ops->close(io, s, true);
}

static inline bool io_is_open(const struct io_stream *s)
{
	return s->fd >= 0;
}

/* ---- timers (timer.c, the same for every loop) ---- */

/* due_us: absolute, on io->now_us's clock; fires at or up to 1 ms after it. 0 stands the timer down. */
void io_timer_set(struct io *io, struct io_timer *t, uint64_t due_us);

static inline void io_timer_stop(struct io *io, struct io_timer *t)
{
	io_timer_set(io, t, 0);
}

/* ---- spools ---- */

/* An empty unlinked file in $TMPDIR; `owner` is given to the completions. NULL without memory; a directory
 * that cannot be written shows at the first write. */
MUST_USE static inline struct io_spool *io_spool_open(struct io *io, void *owner)
{
	return io->ops->spool_open(io, owner);
}

/* Writes n bytes at offset `at`; `bytes` (malloc'ed) becomes the loop's, which frees it. done(owner, 0 or
 * -errno; -ENOSPC for a full disk, a quota and a limit of the system) comes in a later turn. Calls on one
 * spool are carried out in their order. */
MUST_USE static inline int io_spool_write(
	struct io *io, struct io_spool *sp, uint64_t at, char *bytes, size_t n, io_spool_fn *done)
{
	return io->ops->spool_write(io, sp, at, bytes, n, done);
}

/* Reads n bytes at `at`, all of which were written before, into memory that stays until done. */
MUST_USE static inline int io_spool_read(
	struct io *io, struct io_spool *sp, uint64_t at, char *into, size_t n, io_spool_fn *done)
{
	return io->ops->spool_read(io, sp, at, into, n, done);
}

/* No completion comes for sp any more. Reads under way still write to their memory until the end of that
 * read: so `into` of such a read is given up to the loop, which frees it. NULL is allowed. */
static inline void io_spool_close(struct io *io, struct io_spool *sp)
{
	io->ops->spool_close(io, sp);
}

/* The descriptor of a spool's file, for another thread to read from by pread what has been written: what a
 * write's completion has told of. Good until io_spool_close; -1 when there is none. */
MUST_USE static inline int io_spool_file(struct io *io, struct io_spool *sp)
{
	return io->ops->spool_file(io, sp);
}

/* ---- the rest ---- */

/* Runs t->work on another thread, in the order of calls (spools share it). -EAGAIN when there is no thread to
 * be had. */
MUST_USE static inline int io_offload(struct io *io, struct io_task *t)
{
	return io->ops->offload(io, t);
}

/* n bytes that nobody can guess (in the simulator: that the seed decides). */
static inline void io_random(struct io *io, void *into, size_t n)
{
	io->ops->random(io, into, n);
}

/* Runs m->on_message on the loop's thread, in one of the next turns; from any thread. m is borrowed until
 * then. */
static inline void io_post(struct io *io, struct io_message *m)
{
	io->ops->post(io, m);
}
