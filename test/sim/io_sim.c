#include "io_sim.h"

#include "io/timer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define START_US      UINT64_C(1000000000)       /* the monotonic clock at the start */
#define START_WALL_US UINT64_C(1700000000000000) /* November 2023 */

enum {
	PAUSED_US = 1000,        /* a connection in the backlog is looked at again */
	STARVED_US = 100 * 1000, /* … where there was no descriptor for it */
};

static struct io_sim *self(struct io *io)
{
	return CONTAINER_OF(io, struct io_sim, io);
}

/* ---- streams ---- */

static struct wire_end *end_of(struct io *io, const struct io_stream *s)
{
	struct io_sim *sim = self(io);
	CHECK(s->fd >= 0 && (uint32_t)s->fd < sim->n_ends && sim->ends[s->fd] &&
		sim->ends[s->fd]->owner == s);
	return sim->ends[s->fd];
}

/* The lowest number that is free, as in a process. */
static void number_stream(struct io_sim *sim, struct io_stream *s, struct wire_end *e)
{
	while (sim->lowest_free < sim->n_ends && sim->ends[sim->lowest_free])
		sim->lowest_free++;
	if (sim->lowest_free == sim->n_ends) {
		uint32_t n = sim->n_ends ? sim->n_ends * 2 : 32;
		sim->ends = sim_realloc(sim->ends, n * sizeof(struct wire_end *));
		memset(sim->ends + sim->n_ends, 0, (n - sim->n_ends) * sizeof(struct wire_end *));
		sim->n_ends = n;
	}
	s->fd = (int)sim->lowest_free;
	s->flags = s->interest = 0;
	sim->ends[s->fd] = e;
}

static struct io_sim *sim_of(struct wire_end *e)
{
	return CONTAINER_OF(e->wire->net, struct io_sim, net);
}

static struct io_stream *touch(struct wire_end *e)
{
	sim_of(e)->touched = true;
	return e->owner;
}

static void on_open(struct wire_end *e)
{
	struct io_stream *s = touch(e);
	s->ops->on_connect(s);
}

static void on_bytes(struct wire_end *e, const char *bytes, size_t n)
{
	struct io_stream *s = touch(e);
	s->ops->on_recv(s, bytes, n);
}

static void on_eof(struct wire_end *e)
{
	struct io_stream *s = touch(e);
	s->ops->on_eof(s);
}

static void on_broken(struct wire_end *e, int err)
{
	struct io_stream *s = touch(e);
	s->ops->on_error(s, err);
}

static void on_room(struct wire_end *e)
{
	struct io_stream *s = touch(e);
	s->ops->on_writable(s);
}

static const struct wire_ops stream_ops = {
	.on_open = on_open,
	.on_bytes = on_bytes,
	.on_eof = on_eof,
	.on_broken = on_broken,
	.on_room = on_room,
};

static uint16_t port_of(const struct io_addr *addr)
{
	CHECK(addr->sa.sa_family == AF_INET);
	return ntohs(addr->in.sin_port);
}

static void reaches_container(struct wire *w)
{
	struct io_sim *sim = sim_of(&w->end[0]);
	if (!sim->world->answer(sim->world_owner, (uint16_t)w->port, &w->end[1]))
		wire_refuse(w, -ECONNREFUSED);
	else
		wire_opened(w);
}

static void reaches_nobody(struct wire *w)
{
	wire_refuse(w, -ECONNREFUSED);
}

static int sim_connect(struct io *io, struct io_stream *s, const struct io_addr *addr)
{
	struct io_sim *sim = self(io);
	void (*opening)(struct wire *) = NULL;
	s->fd = -1;
	if (fault_strikes(&sim->faults, FAULT_CONNECT))
		return -EMFILE;
	switch (sim->world->dial(sim->world_owner, port_of(addr))) {
	case DIAL_TRY:
		opening = reaches_container;
		break;
	case DIAL_REFUSED:
		opening = reaches_nobody;
		break;
	case DIAL_REFUSED_NOW:
		return -ECONNREFUSED;
	case DIAL_HANGS:
		break;
	}
	struct wire *w = wire_create(&sim->net, &sim->container_traits, &stream_ops, s, opening);
	w->port = port_of(addr);
	number_stream(sim, s, &w->end[0]);
	return 0;
}

static ssize_t sim_send(struct io *io, struct io_stream *s, const struct iovec *iov, int n)
{
	CHECK(n >= 1 && n <= 16);
	return wire_send(end_of(io, s), iov, n);
}

static size_t sim_unacknowledged(struct io *io, const struct io_stream *s)
{
	return wire_unread(wire_peer(self(io)->ends[s->fd]));
}

static void sim_recv_pause(struct io *io, struct io_stream *s, bool paused)
{
	wire_pause(end_of(io, s), paused);
}

static void sim_shutdown(struct io *io, struct io_stream *s)
{
	wire_shutdown(end_of(io, s));
}

static void sim_close(struct io *io, struct io_stream *s, bool reset)
{
	struct io_sim *sim = self(io);
	if (s->fd < 0)
		return;
	wire_close(end_of(io, s), reset);
	sim->ends[s->fd] = NULL;
	if ((uint32_t)s->fd < sim->lowest_free)
		sim->lowest_free = (uint32_t)s->fd;
	s->fd = -1;
}

/* ---- listeners ---- */

static int sim_listen(struct io *io, struct io_listener *l, const struct io_addr *addr)
{
	struct io_sim *sim = self(io);
	for (int i = 0; i < IO_SIM_LISTENERS; i++) {
		if (sim->listeners[i])
			continue;
		sim->listeners[i] = l;
		sim->ports[i] = port_of(addr);
		sim->listener_paused[i] = false;
		l->fd = i;
		l->pending = -1;
		return 0;
	}
	return -EMFILE;
}

static int sim_listen_fd(struct io *io, struct io_listener *l, int fd)
{
	(void)io;
	(void)l;
	(void)fd;
	return -ENOTSOCK;
}

static int sim_listen_addr(struct io *io, struct io_listener *l, struct io_addr *ret_addr)
{
	*ret_addr = (struct io_addr){ .len = sizeof ret_addr->in };
	ret_addr->in.sin_family = AF_INET;
	ret_addr->in.sin_port = htons(self(io)->ports[l->fd]);
	return 0;
}

static void sim_listen_pause(struct io *io, struct io_listener *l, bool paused)
{
	self(io)->listener_paused[l->fd] = paused;
}

static void sim_unlisten(struct io *io, struct io_listener *l)
{
	if (l->fd < 0)
		return;
	self(io)->listeners[l->fd] = NULL;
	l->fd = -1;
}

static int sim_accept(struct io *io, struct io_listener *l, struct io_stream *s)
{
	struct io_sim *sim = self(io);
	CHECK(l->pending >= 0 && sim->accepting);
	s->fd = -1;
	if (fault_strikes(&sim->faults, FAULT_ACCEPT))
		return -ENOMEM; /* and it is refused */
	l->pending = -1;
	wire_attach(&sim->accepting->end[1], &stream_ops, s);
	number_stream(sim, s, &sim->accepting->end[1]);
	wire_opened(sim->accepting);
	return 0;
}

/* Clients differ in their addresses by what the seed gives them. */
static struct io_addr peer_addr(struct io_sim *sim)
{
	struct io_addr a = { .len = sizeof a.in };
	a.in.sin_family = AF_INET;
	a.in.sin_addr.s_addr = htonl(0xc0000200 | (uint32_t)rand_below(sim->rand, 256)); /* 192.0.2.0/24 */
	return a;
}

static struct io_listener *listener_at(struct io_sim *sim, uint32_t port, bool *ret_paused)
{
	for (int i = 0; i < IO_SIM_LISTENERS; i++) {
		if (sim->listeners[i] && sim->ports[i] == port) {
			*ret_paused = sim->listener_paused[i];
			return sim->listeners[i];
		}
	}
	return NULL;
}

static void reaches_listener(struct wire *w)
{
	struct io_sim *sim = sim_of(&w->end[0]);
	bool paused;
	struct io_listener *l = listener_at(sim, w->port, &paused);
	if (!l) {
		wire_refuse(w, -ECONNREFUSED);
		return;
	}
	if (fault_strikes(&sim->faults, FAULT_ABORTED)) {
		wire_refuse(w, -ECONNRESET);
		return;
	}
	bool starved = fault_strikes(&sim->faults, FAULT_BACKLOG);
	if (paused || starved) { /* it waits in the backlog */
		event_set(
			&sim->schedule, &w->later, sim->schedule.now_us + (starved ? STARVED_US : PAUSED_US));
		return;
	}
	struct io_addr peer = peer_addr(sim);
	sim->touched = true;
	sim->accepting = w;
	l->pending = 0;
	l->ops->on_connection(l, &peer);
	sim->accepting = NULL;
	if (l->pending >= 0)
		wire_refuse(w, -ECONNRESET);
	l->pending = -1;
}

struct wire_end *io_sim_connect(struct io_sim *sim, uint16_t port, const struct wire_ops *ops, void *owner)
{
	struct wire *w = wire_create(&sim->net, &sim->client_traits, ops, owner, reaches_listener);
	w->port = port;
	return &w->end[0];
}

/* ---- disk and randomness ---- */

static struct io_spool *sim_spool_open(struct io *io, void *owner)
{
	if (fault_strikes(&self(io)->faults, FAULT_SPOOL_OPEN))
		return NULL;
	return disk_open(&self(io)->disk, owner);
}

static int sim_spool_write(
	struct io *io, struct io_spool *sp, uint64_t at, char *bytes, size_t n, io_spool_fn *done)
{
	if (fault_strikes(&self(io)->faults, FAULT_SPOOL_USE))
		return -ENOMEM;
	disk_write(&self(io)->disk, sp, at, bytes, n, done);
	return 0;
}

static int sim_spool_read(
	struct io *io, struct io_spool *sp, uint64_t at, char *into, size_t n, io_spool_fn *done)
{
	if (fault_strikes(&self(io)->faults, FAULT_SPOOL_USE))
		return -ENOMEM;
	disk_read(&self(io)->disk, sp, at, into, n, done);
	return 0;
}

static void sim_spool_close(struct io *io, struct io_spool *sp)
{
	disk_close(&self(io)->disk, sp);
}

static int sim_spool_file(struct io *io, struct io_spool *sp)
{
	return fault_strikes(&self(io)->faults, FAULT_SPOOL_FILE) ? -1 : disk_file(sp);
}

static int sim_offload(struct io *io, struct io_task *t)
{
	disk_offload(&self(io)->disk, t);
	return 0;
}

static void sim_random(struct io *io, void *into, size_t n)
{
	for (size_t i = 0; i < n; i += 8) {
		uint64_t v = rand_u64(self(io)->rand);
		memcpy((char *)into + i, &v, n - i < 8 ? n - i : 8);
	}
}

static void on_messages(struct event *e)
{
	struct io_sim *sim = CONTAINER_OF(e, struct io_sim, messages);
	struct io_message *m = sim->first_message;
	sim->first_message = m->next;
	if (sim->first_message)
		event_set(&sim->schedule, e, sim->schedule.now_us + 1);
	else
		sim->last_message = &sim->first_message;
	sim->touched = true;
	m->on_message(m);
}

/* Messages come one by one, each in a turn of its own, after as long as a disk would take. */
static void sim_post(struct io *io, struct io_message *m)
{
	struct io_sim *sim = self(io);
	const struct disk *d = &sim->disk;
	m->next = NULL;
	*sim->last_message = m;
	sim->last_message = &m->next;
	if (!event_is_set(&sim->messages))
		event_set(&sim->schedule, &sim->messages,
			sim->schedule.now_us + rand_below(sim->rand, d->delay_max_us + 1));
}

static const struct io_ops sim_ops = {
	.listen = sim_listen,
	.listen_fd = sim_listen_fd,
	.listen_pause = sim_listen_pause,
	.unlisten = sim_unlisten,
	.listen_addr = sim_listen_addr,
	.accept = sim_accept,
	.connect = sim_connect,
	.send = sim_send,
	.unacknowledged = sim_unacknowledged,
	.recv_pause = sim_recv_pause,
	.shutdown = sim_shutdown,
	.close = sim_close,
	.spool_open = sim_spool_open,
	.spool_file = sim_spool_file,
	.spool_write = sim_spool_write,
	.spool_read = sim_spool_read,
	.spool_close = sim_spool_close,
	.offload = sim_offload,
	.random = sim_random,
	.post = sim_post,
};

/* ---- the loop ---- */

struct io_sim *io_sim_create(
	const struct io_sim_world *world, void *world_owner, struct rand *rand, uint32_t grain_us)
{
	struct io_sim *sim = calloc(1, sizeof *sim);
	CHECK(sim);
	sim->io.ops = &sim_ops;
	sim->io.now_us = START_US;
	sim->io.wall_us = START_WALL_US;
	sim->io.wheel = wheel_create(START_US);
	CHECK(sim->io.wheel);
	sim->world = world;
	sim->world_owner = world_owner;
	sim->rand = rand;
	schedule_init(&sim->schedule, rand, START_US, grain_us);
	net_init(&sim->net, &sim->schedule, rand);
	sim->last_message = &sim->first_message;
	sim->messages.fire = on_messages;
	disk_init(&sim->disk, &sim->schedule, rand, &sim->touched);
	return sim;
}

void io_sim_destroy(struct io_sim *sim)
{
	if (!sim)
		return;
	net_finish(&sim->net);
	disk_finish(&sim->disk);
	event_stop(&sim->schedule, &sim->messages);
	schedule_finish(&sim->schedule);
	wheel_destroy(sim->io.wheel);
	free(sim->ends);
	free(sim);
}

static void advance(struct io_sim *sim, uint64_t to_us)
{
	if (to_us <= sim->io.now_us)
		return;
	sim->io.wall_us += to_us - sim->io.now_us;
	sim->io.now_us = to_us;
	sim->schedule.now_us = to_us;
}

bool io_sim_turn(struct io_sim *sim, uint64_t until_us)
{
	uint64_t event_us = schedule_next_us(&sim->schedule), timer_us = wheel_next_us(sim->io.wheel);
	uint64_t next_us = event_us < timer_us ? event_us : timer_us;
	struct event *e;
	CHECK(until_us < UINT64_MAX);
	if (next_us > until_us) {
		advance(sim, until_us);
		return false;
	}
	advance(sim, next_us);
	while ((e = schedule_pop(&sim->schedule)))
		e->fire(e);
	if (sim->touched || timer_us <= next_us) { /* who sets a timer has touched */
		wheel_expire(&sim->io);
		if (sim->io.on_turn_end)
			sim->io.on_turn_end(&sim->io);
		sim->touched = false;
		sim->turns++;
		sim->world->on_turn(sim->world_owner);
	}
	net_sweep(&sim->net);
	return true;
}

void io_sim_sleep(struct io_sim *sim, uint64_t us)
{
	advance(sim, sim->io.now_us + us);
}

void io_sim_set_clock(struct io_sim *sim, int64_t by_us)
{
	sim->io.wall_us += (uint64_t)by_us;
}
