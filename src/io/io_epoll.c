/* io_epoll: the level-triggered epoll loop.
 *
 * One receive an event and no probing for EAGAIN: what is left makes the next turn's event. Interest in
 * writing is only registered after a short send. Events of a batch that name a stream which was closed
 * meanwhile are struck out by io_close. With a ring (ring.h), the ring receives, and epoll is one of its
 * events.
 */
#include "base/log.h"
#include "io/io.h"
#include "io/ring.h"
#include "io/socket.h"
#include "io/spool.h"
#include "io/timer.h"

#include <errno.h>
#include <limits.h>
#include <linux/sockios.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum {
	RECV_BYTES = 64 * 1024,
	EVENTS = 256,
	ACCEPTS_PER_EVENT = 64,
	RANDOM_BYTES = 256,           /* as much as one getentropy gives */
	ACCEPT_PAUSE_US = 100 * 1000, /* when descriptors have run out */
	PAUSES = 64,                  /* between two looks, when it polls: a microsecond or two */
	WALL_US = 1000,               /* between two looks at the calendar's clock */
};

/* io_stream.flags */
enum {
	CONNECTING = 1,
	PAUSED = 2,
	SAW_EOF = 4,
	WANTS_ROOM = 8,
	UNWATCHED = 16, /* paused and hung up: epoll would report it at every turn */
};

enum {
	NOT_IN_EPOLL = 0xff
}; /* io_stream.interest of one that the ring receives for, and that wants no more */

/* What an epoll event's pointer points at, in its two lowest bits. */
enum { TAG_STREAM, TAG_LISTENER, TAG_WATCH, TAG_WAKE, TAG_MASK = 3 };

struct io_epoll {
	struct io io;
	int ep, wake_fd;
	_Atomic(struct io_message *) messages; /* newest first */
	struct spooler *spooler;               /* owned */
	struct ring *ring;                     /* owned; NULL: epoll alone */
	struct epoll_event events[EVENTS];
	int n_events, at_event; /* of the batch being delivered */
	uint64_t wall_again_us; /* when the calendar's clock is read again */
	bool whole_ms;          /* epoll_pwait2 is not to be had */
	struct list starved;    /* listeners that wait for descriptors */
	struct io_timer starved_timer;
	size_t random_left; /* bytes of `random` that were not given out */
	unsigned char random[RANDOM_BYTES];
	char recv_buf[RECV_BYTES];
};

static struct io_epoll *self(struct io *io)
{
	return CONTAINER_OF(io, struct io_epoll, io);
}

static uint64_t clock_us(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void read_clocks(struct io_epoll *e)
{
	e->io.now_us = clock_us(CLOCK_MONOTONIC);
	if (e->io.now_us < e->wall_again_us)
		return; /* the coarse clock stands still for longer than that */
	e->wall_again_us = e->io.now_us + WALL_US;
	e->io.wall_us = clock_us(CLOCK_REALTIME_COARSE);
}

static inline void cpu_pause(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

static void *tagged(void *p, uintptr_t tag)
{
	return (void *)((uintptr_t)p + tag); /* p may be NULL */
}

static int ctl(struct io_epoll *e, int op, int fd, uint32_t events, void *ptr, uintptr_t tag)
{
	struct epoll_event ev = { .events = events, .data.ptr = tagged(ptr, tag) };
	return epoll_ctl(e->ep, op, fd, &ev) ? -errno : 0;
}

/* No event of the running batch is delivered to this pointer any more; the one at hand is over. */
static void strike_out(struct io_epoll *e, void *ptr, uintptr_t tag)
{
	for (int i = e->at_event; i < e->n_events; i++) {
		if (e->events[i].data.ptr == tagged(ptr, tag))
			e->events[i].data.ptr = NULL;
	}
}

/* ---- streams ---- */

/* With a ring, epoll only has the streams that want something else than to receive. */
static int update_with_ring(struct io_epoll *e, struct io_stream *s)
{
	bool receives = !(s->flags & (PAUSED | SAW_EOF | CONNECTING));
	uint32_t had = s->flags & UNWATCHED ? NOT_IN_EPOLL : s->interest;
	uint32_t want = s->flags & (WANTS_ROOM | CONNECTING) ? EPOLLOUT : receives ? NOT_IN_EPOLL : 0;
	int r = 0;
	if (receives)
		r = ring_receive(e->ring, s);
	else
		ring_pause(e->ring, s);
	if (r < 0 || want == had || (s->flags & UNWATCHED && s->flags & PAUSED))
		return r;
	s->flags &= (uint8_t)~UNWATCHED;
	s->interest = (uint8_t)want;
	return ctl(e,
		want == NOT_IN_EPOLL          ? EPOLL_CTL_DEL
			: had == NOT_IN_EPOLL ? EPOLL_CTL_ADD
					      : EPOLL_CTL_MOD,
		s->fd, want, s, TAG_STREAM);
}

static void update_interest(struct io_epoll *e, struct io_stream *s)
{
	uint32_t want = 0;
	if (e->ring) {
		int r = update_with_ring(e, s);
		CHECK(r == 0 || r == -ENOENT || r == -ENOMEM);
		return;
	}
	if (!(s->flags & (PAUSED | SAW_EOF | CONNECTING)))
		want |= EPOLLIN;
	if (s->flags & (WANTS_ROOM | CONNECTING))
		want |= EPOLLOUT;
	if (want == s->interest || (s->flags & UNWATCHED && s->flags & PAUSED))
		return;
	int r = ctl(e, s->flags & UNWATCHED ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, s->fd, want, s, TAG_STREAM);
	CHECK(r == 0 || r == -ENOENT); /* ENOENT: it has failed, and its owner has yet to close it */
	s->flags &= (uint8_t)~UNWATCHED;
	s->interest = (uint8_t)want;
}

static int start_stream(struct io_epoll *e, struct io_stream *s, int fd, uint8_t flags)
{
	s->fd = fd;
	s->flags = flags;
	s->interest = e->ring ? NOT_IN_EPOLL : flags & CONNECTING ? EPOLLOUT : EPOLLIN;
	int r = e->ring ? update_with_ring(e, s) : ctl(e, EPOLL_CTL_ADD, fd, s->interest, s, TAG_STREAM);
	if (r < 0) {
		close(fd);
		s->fd = -1;
	}
	return r;
}

static int epoll_accept(struct io *io, struct io_listener *l, struct io_stream *s)
{
	CHECK(l->pending >= 0);
	int fd = l->pending;
	l->pending = -1;
	return start_stream(self(io), s, fd, 0);
}

static int epoll_connect(struct io *io, struct io_stream *s, const struct io_addr *addr)
{
	int fd = socket_connect(addr);
	s->fd = -1;
	return fd < 0 ? fd : start_stream(self(io), s, fd, CONNECTING);
}

static ssize_t epoll_send(struct io *io, struct io_stream *s, const struct iovec *iov, int n)
{
	size_t total = 0;
	for (int i = 0; i < n; i++)
		total += iov[i].iov_len;
	ssize_t sent;
	if (n == 1) {
		sent = send(s->fd, iov->iov_base, iov->iov_len, MSG_NOSIGNAL);
	} else {
		struct msghdr m = { .msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = (size_t)n };
		sent = sendmsg(s->fd, &m, MSG_NOSIGNAL);
	}
	if (sent < 0) {
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
		sent = 0;
	}
	if ((size_t)sent < total) {
		s->flags |= WANTS_ROOM;
		update_interest(self(io), s);
	}
	return sent;
}

static size_t epoll_unacknowledged(struct io *io, const struct io_stream *s)
{
	int n = 0;
	(void)io;
	return ioctl(s->fd, SIOCOUTQ, &n) ? 0 : (size_t)n;
}

static void epoll_recv_pause(struct io *io, struct io_stream *s, bool paused)
{
	s->flags = (uint8_t)(paused ? s->flags | PAUSED : s->flags & ~PAUSED);
	update_interest(self(io), s);
}

static void epoll_shutdown(struct io *io, struct io_stream *s)
{
	(void)shutdown(s->fd, SHUT_WR);
}

/* By itself, it would stay in epoll as long as a child that has yet to exec holds a copy. */
static void stop_watching(struct io_epoll *e, struct io_stream *s)
{
	if (e->ring)
		ring_forget(e->ring, s);
	if (s->interest != NOT_IN_EPOLL)
		(void)ctl(e, EPOLL_CTL_DEL, s->fd, 0, s, TAG_STREAM);
}

static void epoll_close(struct io *io, struct io_stream *s, bool reset)
{
	if (s->fd < 0)
		return;
	if (reset)
		(void)setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &(struct linger){ .l_onoff = 1 },
			sizeof(struct linger));
	else if (io->closed_patience_ms)
		socket_set_patience(s->fd, io->closed_patience_ms);
	stop_watching(self(io), s);
	close(s->fd);
	s->fd = -1;
	strike_out(self(io), s, TAG_STREAM);
}

/* Nothing comes after it: epoll would report it at every turn. */
static void report_error(struct io_epoll *e, struct io_stream *s, int err)
{
	stop_watching(e, s);
	s->ops->on_error(s, -err);
}

static void stream_failed(struct io_epoll *e, struct io_stream *s, int fallback)
{
	int err = 0;
	socklen_t len = sizeof err;
	if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &err, &len) || err == 0)
		err = fallback;
	report_error(e, s, err);
}

static void stream_connected(struct io_epoll *e, struct io_stream *s)
{
	int err = 0;
	socklen_t len = sizeof err;
	if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &err, &len) || err) {
		report_error(e, s, err ? err : ENOTCONN);
		return;
	}
	s->flags &= (uint8_t)~CONNECTING;
	update_interest(e, s);
	s->ops->on_connect(s);
}

static void stream_ended(struct io_epoll *e, struct io_stream *s)
{
	s->flags |= SAW_EOF;
	update_interest(e, s);
	s->ops->on_eof(s);
}

static void stream_receive(struct io_epoll *e, struct io_stream *s)
{
	size_t room = sizeof e->recv_buf;
	char *into = s->ops->room ? s->ops->room(s, &room) : NULL;
	if (!into)
		into = e->recv_buf;
	ssize_t n = recv(s->fd, into, room, 0);
	if (n > 0) {
		s->ops->on_recv(s, into, (size_t)n);
	} else if (n == 0) {
		stream_ended(e, s);
	} else if (errno != EAGAIN && errno != EINTR) {
		stream_failed(e, s, errno);
	}
}

/* The peer is wholly gone, but what it sent is still to be received. */
static void stream_hung_up(struct io_epoll *e, struct io_stream *s)
{
	(void)ctl(e, EPOLL_CTL_DEL, s->fd, 0, s, TAG_STREAM);
	s->flags |= UNWATCHED;
	s->interest = 0;
}

static void stream_event(struct io_epoll *e, struct io_stream *s, const struct epoll_event *at_hand)
{
	uint32_t events = at_hand->events;
	if (s->flags & CONNECTING) {
		stream_connected(e, s);
		return;
	}
	if ((events & EPOLLOUT) && (s->flags & WANTS_ROOM) && !(events & EPOLLERR)) {
		s->flags &= (uint8_t)~WANTS_ROOM;
		s->ops->on_writable(s);
		if (!at_hand->data.ptr)
			return; /* closed; what uses the memory now may have got the same number */
		update_interest(e, s);
	}
	if (!(s->flags & (PAUSED | SAW_EOF))) {
		if ((events & EPOLLIN) && !e->ring)
			stream_receive(e, s);
		else if ((events & EPOLLERR) && !e->ring) /* the ring reports it, after what came before it */
			stream_failed(e, s, ECONNRESET);
	} else if (events & EPOLLERR)
		stream_failed(e, s, ECONNRESET);
	else if ((events & EPOLLHUP) && (s->flags & SAW_EOF))
		stream_failed(e, s, EPIPE);
	else if ((events & EPOLLHUP) && (s->flags & PAUSED))
		stream_hung_up(e, s);
}

/* ---- listeners ---- */

static int epoll_listen_fd(struct io *io, struct io_listener *l, int fd)
{
	l->fd = fd;
	l->pending = -1;
	l->owns_path = false;
	l->starved = (struct list_node){ 0 };
	return ctl(self(io), EPOLL_CTL_ADD, fd, EPOLLIN, l, TAG_LISTENER);
}

static int epoll_listen(struct io *io, struct io_listener *l, const struct io_addr *addr)
{
	int fd = socket_listen(addr);
	l->fd = -1;
	if (fd < 0)
		return fd;
	int r = epoll_listen_fd(io, l, fd);
	if (r < 0) {
		close(fd);
		l->fd = -1;
		return r;
	}
	l->owns_path = addr->sa.sa_family == AF_UNIX;
	return 0;
}

static int epoll_listen_addr(struct io *io, struct io_listener *l, struct io_addr *ret_addr)
{
	struct io_addr a = { .len = sizeof(struct sockaddr_un) };
	if (getsockname(l->fd, &a.sa, &a.len))
		return -errno;
	*ret_addr = a;
	return 0;
}

static void epoll_listen_pause(struct io *io, struct io_listener *l, bool paused)
{
	(void)ctl(self(io), EPOLL_CTL_MOD, l->fd, paused ? 0 : EPOLLIN, l, TAG_LISTENER);
}

static void epoll_unlisten(struct io *io, struct io_listener *l)
{
	struct io_epoll *e = self(io);
	if (l->fd < 0)
		return;
	if (list_linked(&l->starved))
		list_remove(&e->starved, &l->starved);
	struct io_addr a;
	if (l->owns_path && epoll_listen_addr(io, l, &a) == 0 && a.un.sun_path[0])
		unlink(a.un.sun_path);
	(void)ctl(e, EPOLL_CTL_DEL, l->fd, 0, l, TAG_LISTENER);
	close(l->fd);
	l->fd = -1;
	strike_out(e, l, TAG_LISTENER);
}

static void on_descriptors_again(struct io_timer *t)
{
	struct io_epoll *e = CONTAINER_OF(t, struct io_epoll, starved_timer);
	struct list_node *n;
	while ((n = list_pop_front(&e->starved)))
		epoll_listen_pause(&e->io, CONTAINER_OF(n, struct io_listener, starved), false);
}

static void accept_failed(struct io_epoll *e, struct io_listener *l, int err)
{
	if (err != EMFILE && err != ENFILE && err != ENOBUFS && err != ENOMEM)
		return; /* nobody there any more, or a connection that is broken already */
	if (list_empty(&e->starved)) {
		log_warning(
			"cannot accept connections for now: %s (raise the limit of open files: ulimit -n)",
			strerror(err));
		io_timer_set(&e->io, &e->starved_timer, e->io.now_us + ACCEPT_PAUSE_US);
	}
	epoll_listen_pause(&e->io, l, true);
	if (!list_linked(&l->starved))
		list_push_back(&e->starved, &l->starved);
}

static void listener_event(struct io_epoll *e, struct io_listener *l)
{
	for (int i = 0; i < ACCEPTS_PER_EVENT && l->fd >= 0; i++) {
		struct io_addr peer = { .len = sizeof(struct sockaddr_un) };
		int fd = accept4(l->fd, &peer.sa, &peer.len, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0) {
			accept_failed(e, l, errno);
			return;
		}
		l->pending = fd;
		l->ops->on_connection(l, &peer);
		if (l->pending >= 0)
			close(l->pending);
		l->pending = -1;
	}
}

/* ---- other threads, other descriptors ---- */

void io_epoll_post(struct io *io, struct io_message *m)
{
	struct io_epoll *e = self(io);
	struct io_message *before = atomic_load(&e->messages);
	do {
		m->next = before;
	} while (!atomic_compare_exchange_weak(&e->messages, &before, m)); /* from here on m is the loop's */
	if (!before) /* else somebody else has rung already */
		(void)!write(e->wake_fd, &(uint64_t){ 1 }, sizeof(uint64_t));
}

static void run_messages(struct io_epoll *e)
{
	uint64_t count;
	(void)!read(e->wake_fd, &count, sizeof count);
	struct io_message *m = atomic_exchange(&e->messages, NULL), *oldest_first = NULL;
	while (m) {
		struct io_message *next = m->next;
		m->next = oldest_first;
		oldest_first = m;
		m = next;
	}
	while (oldest_first) {
		m = oldest_first;
		oldest_first = m->next;
		m->on_message(m);
	}
}

int io_epoll_watch(struct io *io, struct io_watch *w)
{
	return ctl(self(io), EPOLL_CTL_ADD, w->fd, EPOLLIN, w, TAG_WATCH);
}

void io_epoll_unwatch(struct io *io, struct io_watch *w)
{
	(void)ctl(self(io), EPOLL_CTL_DEL, w->fd, 0, w, TAG_WATCH);
	strike_out(self(io), w, TAG_WATCH);
}

static struct io_spool *epoll_spool_open(struct io *io, void *owner)
{
	return spooler_open(self(io)->spooler, owner);
}

static int epoll_spool_write(
	struct io *io, struct io_spool *sp, uint64_t at, char *bytes, size_t n, io_spool_fn *done)
{
	return spooler_write(self(io)->spooler, sp, at, bytes, n, done);
}

static int epoll_spool_read(
	struct io *io, struct io_spool *sp, uint64_t at, char *into, size_t n, io_spool_fn *done)
{
	return spooler_read(self(io)->spooler, sp, at, into, n, done);
}

static void epoll_spool_close(struct io *io, struct io_spool *sp)
{
	spooler_close(self(io)->spooler, sp);
}

static int epoll_spool_file(struct io *io, struct io_spool *sp)
{
	(void)io;
	return spooler_file(sp);
}

static int epoll_offload(struct io *io, struct io_task *t)
{
	return spooler_offload(self(io)->spooler, t);
}

static void epoll_random(struct io *io, void *into, size_t n)
{
	struct io_epoll *e = self(io);
	CHECK(n <= sizeof e->random);
	if (e->random_left < n) {
		CHECK(getentropy(e->random, sizeof e->random) == 0);
		e->random_left = sizeof e->random;
	}
	e->random_left -= n;
	memcpy(into, e->random + e->random_left, n);
	memset(e->random + e->random_left, 0, n);
}

/* ---- the loop ---- */

static const struct io_ops epoll_ops = {
	.listen = epoll_listen,
	.listen_fd = epoll_listen_fd,
	.listen_pause = epoll_listen_pause,
	.unlisten = epoll_unlisten,
	.listen_addr = epoll_listen_addr,
	.accept = epoll_accept,
	.connect = epoll_connect,
	.send = epoll_send,
	.unacknowledged = epoll_unacknowledged,
	.recv_pause = epoll_recv_pause,
	.shutdown = epoll_shutdown,
	.close = epoll_close,
	.spool_open = epoll_spool_open,
	.spool_write = epoll_spool_write,
	.spool_read = epoll_spool_read,
	.spool_close = epoll_spool_close,
	.spool_file = epoll_spool_file,
	.offload = epoll_offload,
	.random = epoll_random,
	.post = io_epoll_post,
};

static uint32_t file_limit(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur > UINT32_MAX)
		return 0;
	return (uint32_t)limit.rlim_cur;
}

struct io *io_epoll_create(void)
{
	struct io_epoll *e = calloc(1, sizeof *e);
	if (!e)
		return NULL;
	e->io.ops = &epoll_ops;
	e->io.max_files = file_limit();
	read_clocks(e);
	list_init(&e->starved);
	e->starved_timer.on_timer = on_descriptors_again;
	e->ep = epoll_create1(EPOLL_CLOEXEC);
	e->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	e->io.wheel = wheel_create(e->io.now_us);
	e->spooler = spooler_create(&e->io, io_epoll_post);
	if (e->ep < 0 || e->wake_fd < 0 || !e->io.wheel || !e->spooler ||
		ctl(e, EPOLL_CTL_ADD, e->wake_fd, EPOLLIN, NULL, TAG_WAKE) < 0) {
		io_epoll_destroy(&e->io);
		return NULL;
	}
	return &e->io;
}

struct io *io_uring_create(void)
{
	struct io *io = io_epoll_create();
	if (!io)
		return NULL;
	self(io)->ring = ring_create(self(io)->ep);
	if (self(io)->ring)
		return io;
	int err = errno;
	io_epoll_destroy(io);
	errno = err;
	return NULL;
}

void io_epoll_destroy(struct io *io)
{
	if (!io)
		return;
	struct io_epoll *e = self(io);
	spooler_destroy(e->spooler);
	wheel_destroy(io->wheel);
	ring_destroy(e->ring);
	if (e->ep >= 0)
		close(e->ep);
	if (e->wake_fd >= 0)
		close(e->wake_fd);
	free(e);
}

/* Milliseconds until the next timer, rounded up; -1: none. By the clock as it was when the turn began: a
 * timer may be late by the length of a turn in any case. */
static int timeout_ms(const struct io *io, uint64_t next_us)
{
	if (next_us == UINT64_MAX)
		return -1;
	uint64_t ms = next_us > io->now_us ? (next_us - io->now_us + 999) / 1000 : 0;
	return ms > 60000 ? 60000 : (int)ms;
}

/* ---- waiting ---- */

static int note_events(struct io_epoll *e, int n)
{
	e->n_events = n > 0 ? n : 0;
	return n < 0 && errno != EINTR ? -errno : 0;
}

static bool has_events(const struct io_epoll *e)
{
	return e->n_events || (e->ring && ring_is_ready(e->ring));
}

static int sleep_ms(struct io_epoll *e, int ms)
{
	if (e->ring)
		return ring_wait(e->ring, ms < 0 ? UINT64_MAX : (uint64_t)ms * 1000000);
	return note_events(e, epoll_wait(e->ep, e->events, EVENTS, ms));
}

/* Kernels before 5.11 have no epoll_pwait2, and a sandbox may not know it: then it sleeps for as many whole
 * milliseconds as there are, for what is left may be polled. */
static int sleep_us(struct io_epoll *e, uint64_t us)
{
	struct timespec t = { .tv_sec = (time_t)(us / 1000000), .tv_nsec = (long)(us % 1000000 * 1000) };
	if (e->ring)
		return ring_wait(e->ring, us * 1000);
	if (!e->whole_ms) {
		int n = epoll_pwait2(e->ep, e->events, EVENTS, &t, NULL);
		if (n >= 0 || (errno != ENOSYS && errno != EPERM))
			return note_events(e, n);
		e->whole_ms = true;
	}
	return sleep_ms(e, us / 1000 < INT_MAX ? (int)(us / 1000) : INT_MAX);
}

/* The ring shows without a system call whether something has come. */
static int look(struct io_epoll *e)
{
	if (e->ring && !ring_is_ready(e->ring))
		return 0;
	return sleep_ms(e, 0);
}

static int poll_until(struct io_epoll *e, uint64_t until_us)
{
	uint64_t begin_us = clock_us(CLOCK_MONOTONIC), now_us = begin_us;
	int r = sleep_ms(e, 0);
	while (r == 0 && !has_events(e) && now_us < until_us) {
		for (int i = 0; i < PAUSES; i++)
			cpu_pause();
		r = look(e);
		now_us = clock_us(CLOCK_MONOTONIC);
	}
	e->io.polled.us += now_us - begin_us;
	e->io.polled.hits += has_events(e);
	return r;
}

static int wait_for_events(struct io_epoll *e)
{
	struct io *io = &e->io;
	uint64_t next_us = wheel_next_us(io->wheel);
	if (io->poll_until_us == 0 || io->poll_from_us >= next_us)
		return sleep_ms(e, timeout_ms(io, next_us));
	uint64_t now_us = clock_us(CLOCK_MONOTONIC);
	if (io->poll_from_us > now_us) {
		int r = sleep_us(e, io->poll_from_us - now_us);
		if (r < 0 || has_events(e))
			return r;
	}
	return poll_until(e, io->poll_until_us < next_us ? io->poll_until_us : next_us);
}

/* ---- turns ---- */

static void deliver(struct io_epoll *e, struct epoll_event *ev)
{
	uintptr_t bits = (uintptr_t)ev->data.ptr;
	char *ptr = ev->data.ptr;
	if (!ptr)
		return; /* struck out */
	switch (bits & TAG_MASK) {
	case TAG_STREAM:
		stream_event(e, (struct io_stream *)(void *)ptr, ev);
		return;
	case TAG_LISTENER:
		listener_event(e, (struct io_listener *)(void *)(ptr - TAG_LISTENER));
		return;
	case TAG_WATCH: {
		struct io_watch *w = (struct io_watch *)(void *)(ptr - TAG_WATCH);
		w->on_ready(w);
		return;
	}
	case TAG_WAKE:
		run_messages(e);
		return;
	}
}

static void deliver_all(struct io_epoll *e)
{
	for (e->at_event = 0; e->at_event < e->n_events; e->at_event++)
		deliver(e, &e->events[e->at_event]);
	e->n_events = 0;
}

static void deliver_from_ring(struct io_epoll *e)
{
	struct ring_event ev;
	while (ring_next(e->ring, &ev)) {
		switch (ev.what) {
		case RING_BYTES:
			ev.s->ops->on_recv(ev.s, ev.bytes, (size_t)ev.n);
			break;
		case RING_EOF:
			stream_ended(e, ev.s);
			break;
		case RING_ERROR:
			report_error(e, ev.s, (int)-ev.n);
			break;
		case RING_EPOLL:
			(void)note_events(e, epoll_wait(e->ep, e->events, EVENTS, 0));
			deliver_all(e);
			break;
		}
	}
}

int io_epoll_run(struct io *io)
{
	struct io_epoll *e = self(io);
	io->stopped = false;
	while (!io->stopped) {
		int r = wait_for_events(e);
		if (r < 0)
			return r;
		read_clocks(e);
		if (e->ring)
			deliver_from_ring(e);
		else
			deliver_all(e);
		wheel_expire(io);
		if (io->on_turn_end)
			io->on_turn_end(io);
	}
	return 0;
}
