/* wire: a simulated network: connections with latency, limited room, torn pieces, half-closes and resets.
 *
 * Both ends are alike: the loop's streams (io_sim.c), fake clients and fake containers sit on them.
 *
 * Owns:   connections, until both ends are closed.
 * Never:  calls back from inside a call: what happens comes as an event of a later turn. A closed end hears
 *         nothing any more, and may be closed from within its own callbacks.
 */
#pragma once
#include "base/check.h"
#include "base/list.h"
#include "event.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct wire;
struct wire_end;

struct wire_ops {
	/* The connection stands. Only for the end that asked for it. */
	void (*on_open)(struct wire_end *e);
	/* Bytes, n > 0, good until the callback returns. */
	void (*on_bytes)(struct wire_end *e, const char *bytes, size_t n);
	/* The other end sends no more. Once, after the last bytes. */
	void (*on_eof)(struct wire_end *e);
	/* Refused or reset, err < 0; nothing comes after it. The owner closes. */
	void (*on_broken)(struct wire_end *e, int err);
	/* There is room again after a short send. */
	void (*on_room)(struct wire_end *e);
};

/* How a network behaves. Chances are in a million. */
struct wire_traits {
	uint32_t latency_min_us, latency_max_us;
	uint32_t room_bytes;      /* as much may be under way in one direction */
	uint32_t piece_max;       /* longest piece that comes at once */
	uint32_t tear_ppm;        /* a piece is shorter than what is there */
	uint32_t short_send_ppm;  /* a send takes less than there is room for */
	uint32_t reset_drops_ppm; /* a reset overtakes what was sent before it */
};

struct wire_end {
	const struct wire_ops *ops; /* borrowed, static */
	void *owner;                /* borrowed */
	struct wire *wire;          /* borrowed: the owner */
	struct event arrival;       /* bytes, an EOF or an error come */
	struct event room;
	char *bytes; /* owned; [start, end) are on their way to this end */
	uint32_t start, end, cap;
	int err;          /* < 0: the connection is broken, which may not have come here yet */
	bool open;        /* has an owner */
	bool told_open;   /* on_open has come, or does not come */
	bool told_broken; /* on_broken has come, or an EOF in its place */
	bool send_failed; /* the error was told by wire_send … */
	bool err_is_read; /* … and an EOF comes in its place, as from a kernel, which tells an error once */
	bool told_eof;    /* on_eof has come */
	bool fin;         /* the other end sends no more */
	bool paused;      /* wants no bytes */
	bool wants_room;  /* after a short send */
	bool vanished;    /* closed without a word: what is sent here is lost */
};

struct wire {
	struct list_node node;            /* on net->wires */
	struct net *net;                  /* borrowed: the owner */
	const struct wire_traits *traits; /* borrowed */
	struct event later; /* the wish for a connection comes to the other side; or it is missed */
	void (*on_later)(struct wire *w);
	uint32_t port;          /* what was asked for: the owner's affair */
	struct wire_end end[2]; /* [0] has asked for the connection */
};

struct net {
	struct schedule *schedule;      /* borrowed */
	struct rand *rand;              /* borrowed */
	struct list wires, dead, spare; /* spare: their buffers stay */
};

void net_init(struct net *n, struct schedule *schedule, struct rand *rand);
void net_finish(struct net *n);

/* Frees what was closed from both sides; between turns. */
void net_sweep(struct net *n);

/* A connection that end[0] asks for. on_opening comes after a latency, and accepts (wire_attach, wire_opened)
 * or refuses (wire_refuse); NULL: nobody will ever answer. */
struct wire *wire_create(struct net *n, const struct wire_traits *traits, const struct wire_ops *ops,
	void *owner, void (*on_opening)(struct wire *w));

/* Gives an end to its owner. */
void wire_attach(struct wire_end *e, const struct wire_ops *ops, void *owner);

/* end[1] has been attached: end[0] will hear on_open. */
void wire_opened(struct wire *w);

/* end[0] will hear on_broken. */
void wire_refuse(struct wire *w, int err);

static inline struct wire_end *wire_peer(struct wire_end *e)
{
	return &e->wire->end[e == &e->wire->end[0]];
}

/* How many bytes it took; less than all: on_room will come. Negative errno: broken. What is there still comes,
 * and then on_broken, or on_eof in its place. */
MUST_USE ssize_t wire_send(struct wire_end *e, const struct iovec *iov, int n);

/* Sends no more; what was sent comes before the EOF. */
void wire_shutdown(struct wire_end *e);

void wire_pause(struct wire_end *e, bool paused);

/* Unread bytes, or `reset`, break the connection for the other end. Closed ends may be closed again. */
void wire_close(struct wire_end *e, bool reset);

enum { KEEPALIVE_US = 30 * 1000 * 1000 }; /* until a peer that has vanished is missed, at the latest: io.h */

/* Closes without a word, as a machine does that loses its power or its network. The other end finds that out
 * after missed_us. */
void wire_vanish(struct wire_end *e, uint64_t missed_us);

/* Bytes on their way to this end. */
static inline uint32_t wire_unread(const struct wire_end *e)
{
	return e->end - e->start;
}
