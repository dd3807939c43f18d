/* io_sim: a loop (io/io.h) in virtual time over a simulated network and disk. All that it does is decided by
 * the rand that it is given.
 *
 * A turn is the set of events of one point in time, then the timers, then on_turn_end, as in the real loops.
 * Misuse of the interface by the loop's users fails a CHECK.
 *
 * Owns:   clock, events, connections, spool files.
 */
#pragma once
#include "disk.h"
#include "event.h"
#include "fault.h"
#include "io/io.h"
#include "wire.h"

enum { IO_SIM_LISTENERS = 4 };

enum dial {
	DIAL_TRY,         /* the wish for a connection travels; `answer` decides when it is there */
	DIAL_REFUSED,     /* refused after a while */
	DIAL_REFUSED_NOW, /* io_connect fails */
	DIAL_HANGS,       /* nobody ever answers */
};

/* What lies behind the network. Addresses are told apart by their ports. */
struct io_sim_world {
	enum dial (*dial)(void *world, uint16_t port);
	/* Accepts with wire_attach(far, …) and returns true, or refuses. */
	bool (*answer)(void *world, uint16_t port, struct wire_end *far);
	/* After a turn in which the loop had something to do. */
	void (*on_turn)(void *world);
};

struct io_sim {
	struct io io;
	const struct io_sim_world *world; /* borrowed, static */
	void *world_owner;                /* borrowed */
	struct rand *rand;                /* borrowed */
	struct schedule schedule;
	struct net net;
	struct disk disk;
	struct faults faults; /* none, unless the owner sets them */
	struct wire_traits client_traits, container_traits;
	struct wire_end **ends; /* owned; by a stream's fd, NULL where there is none */
	uint32_t n_ends, lowest_free;
	struct io_listener *listeners[IO_SIM_LISTENERS]; /* borrowed; by their fd */
	uint16_t ports[IO_SIM_LISTENERS];
	bool listener_paused[IO_SIM_LISTENERS];
	struct wire *accepting;           /* borrowed; during on_connection */
	struct io_message *first_message; /* borrowed; to be run */
	struct io_message **last_message;
	struct event messages;
	bool touched; /* the loop has something to do in this turn */
	uint64_t turns;
};

struct io_sim *io_sim_create(
	const struct io_sim_world *world, void *world_owner, struct rand *rand, uint32_t grain_us);
void io_sim_destroy(struct io_sim *sim);

/* Goes on to the next point in time, if it is not after until_us, and runs what is due then. False: nothing
 * is to come until then (and it is then). */
bool io_sim_turn(struct io_sim *sim, uint64_t until_us);

/* A client's connection to the listener with this port. */
struct wire_end *io_sim_connect(struct io_sim *sim, uint16_t port, const struct wire_ops *ops, void *owner);

/* Nothing runs for a while; what was due in it is due at once. */
void io_sim_sleep(struct io_sim *sim, uint64_t us);

/* The calendar's clock is set: wall_us moves by so much. */
void io_sim_set_clock(struct io_sim *sim, int64_t by_us);
