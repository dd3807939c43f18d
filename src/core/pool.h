/* pool: interchangeable containers behind one route, their slots, and the queue of what waits for them.
 *
 * Owns:       containers and slots. Tickets belong to the exchanges that embed them.
 * Never:      does I/O, reads the clock, calls back. Each call says what has become of the slot or the ticket;
 *             the shell acts on it.
 * Invariants (pool_check holds all of them against the lists; pool_check_turn the cheap ones, in release):
 *   I1  a slot is on exactly one list of its container, the one that slot->state names; the lists' lengths add
 *       up to n_slots
 *   I2  a slot carries at most one ticket; it is given a new one only when it is free
 *   I4  tickets start in the order of their order numbers; one that comes back keeps its number and so its turn
 *   I5  while tickets wait, no container that is up and not draining has a free slot (true after pool_match has
 *       said no)
 *
 *            pool_match, connected ┌──────────────────────────────────────────┐
 *   ┌──────┐ retry  ┌────────────┐ ok (no ticket)  ┌──────┐ pool_match ┌──────┴──┐  client left  ┌────────┐
 *   │ DOWN ├───────▶│ CONNECTING ├────────────────▶│ FREE ├───────────▶│  BUSY   ├──────────────▶│ ZOMBIE │
 *   └──▲───┘        └─────┬──────┘                 └──┬───┘            └────┬────┘               └───┬────┘
 *      │   refused, lost  │◀── pool_match, cold ──────┤◀── answered ────────┤◀──── known idle ───────┤
 *      └──────────────────┴───────────────────────────┴──── lost ───────────┴────────────────────────┘
 */
#pragma once
#include "base/check.h"
#include "base/list.h"
#include "base/order.h"

#include <stdbool.h>
#include <stdint.h>

struct pool;
struct container;

enum slot_state { SLOT_DOWN, SLOT_CONNECTING, SLOT_FREE, SLOT_BUSY, SLOT_ZOMBIE, SLOT_STATES };

struct slot {
	struct list_node node;       /* on container->slots[state] */
	struct list_node pool_node;  /* on pool->serving or pool->lacking */
	struct container *container; /* borrowed: the owner */
	struct ticket *ticket;       /* borrowed; set while BUSY with a request, or CONNECTING for one */
	enum slot_state state;
	bool serving;   /* pool_node is on pool->serving */
	bool connected; /* its kept-alive connection is open */
	bool probing;   /* BUSY with a health probe, which has no ticket */
	void *shell;    /* borrowed: the shell's own object beside it */
};

enum container_state {
	CONTAINER_STARTING, /* not heard of yet */
	CONTAINER_UP,
	CONTAINER_RESTING, /* said that it is busy although we thought it free, or we could not connect to it for
			      want of something of our own; asked again at retry_at_us */
	CONTAINER_DOWN,    /* known not to answer; tried again at retry_at_us */
};

struct container {
	struct pool *pool;     /* borrowed: the owner */
	struct list_node node; /* on pool->by_load[busy slots] while available */
	struct list slots[SLOT_STATES];
	uint32_t n_slots;
	uint32_t index; /* in pool->containers: changes when another is removed */
	void *shell;    /* borrowed: the shell's own object beside it */
	enum container_state state;
	bool draining;  /* gets nothing new */
	bool settling;  /* gets nothing new until its zombies are known to be over */
	bool available; /* on pool->by_load[load] */
	bool returning; /* was down: gets its slots back one by one, with each good answer */
	uint32_t load;  /* slots taken when it was put there */
	uint32_t id;    /* unique within the pool, from 1 */
	uint32_t failures_in_a_row, successes_in_a_row;
	uint64_t backoff_us;         /* the next pause while DOWN */
	uint64_t rest_us;            /* the next pause while RESTING */
	uint64_t retry_at_us;        /* while DOWN or RESTING */
	uint64_t requests, failures; /* since the start */
	struct slot slot[];          /* n_slots of them */
};

enum ticket_state { TICKET_NEW, TICKET_WAITING, TICKET_RUNNING, TICKET_OVER };

enum { TICKET_AVOIDS = 4 };

/* What the core knows of an exchange. */
struct ticket {
	struct order_entry entry; /* in pool->queue while WAITING */
	struct pool *pool;        /* borrowed */
	struct slot *slot;        /* borrowed; while RUNNING */
	uint64_t number;          /* order of admission, from 1; kept when it comes back */
	uint64_t admitted_us, dispatched_us;
	uint32_t bytes; /* that count against the queue's byte limit */
	uint8_t state;  /* enum ticket_state */
	bool unready; /* its request is still on its way from the store: it cannot start, nor can those behind
			 it */
	uint8_t attempts; /* dispatches so far */
	uint8_t n_avoid;
	uint16_t avoid[TICKET_AVOIDS]; /* low bits of the ids of containers that failed it, the last one first
					*/
};

struct pool_limits {
	uint32_t queue_max;       /* tickets waiting */
	uint64_t queue_max_bytes; /* their bytes */
	uint32_t fall;            /* failures in a row that take a container out */
	uint32_t rise;            /* good probes in a row that bring it back */
	uint64_t backoff_min_us, backoff_max_us;
};

enum { POOL_SLOTS_MAX = 1024 }; /* of one container */

struct pool {
	struct pool_limits limits;
	struct container **containers; /* owned, each as well */
	uint32_t n_containers, cap_containers;
	struct list by_load[POOL_SLOTS_MAX]; /* by_load[k]: available containers with k slots taken, longest
						unused first */
	uint32_t lowest;                     /* no container is on a list below it */
	uint32_t highest;                    /* the most slots that a container has had */
	struct list serving; /* slots that are connecting, free or busy on containers that are up and not
				draining; those that were given a request last stand last */
	struct list lacking; /* all others */
	struct order queue;
	uint64_t queue_bytes;
	uint32_t reserved; /* places kept for tickets that will join */
	bool expecting;    /* containers may be on their way: what comes waits, though none is there */
	uint64_t next_number;
	uint32_t next_id;               /* of containers */
	uint64_t service_mean_x16;      /* decaying mean of service times in 1/16 us; 0 without a sample */
	uint64_t service_deviation_x16; /* of their distance from it, likewise */
	uint64_t started, finished;     /* tickets that were dispatched; that came to an end on a slot */
};

/* Without containers. */
void pool_init(struct pool *p, const struct pool_limits *limits);

/* Nothing may wait. The containers go with it. */
void pool_finish(struct pool *p);

/* A new container, STARTING, with 1 ≤ n_slots ≤ POOL_SLOTS_MAX slots, all DOWN. NULL without memory. */
MUST_USE struct container *pool_add(struct pool *p, uint32_t n_slots);

/* Takes it out for good. It must be at rest: container_is_at_rest. */
void pool_remove(struct container *c);

static inline uint32_t pool_slots(const struct pool *p)
{
	return p->serving.len + p->lacking.len;
}

/* ---- admission ---- */

enum admission {
	ADMIT_DISPATCH,     /* a slot was free: the ticket is RUNNING on *ret_slot */
	ADMIT_WAIT,         /* it is in the queue */
	ADMIT_FULL,         /* the queue's limit is reached; the ticket is untouched */
	ADMIT_NO_CONTAINER, /* every container is known to be down; the ticket is untouched */
};

/* A new ticket asks for a slot. bytes: what it keeps in memory while it waits. */
MUST_USE enum admission pool_admit(
	struct pool *p, struct ticket *t, uint32_t bytes, uint64_t now_us, struct slot **ret_slot);

/* For work that is made durable first: the order number is given now, and a place in the queue kept, until
 * pool_join or pool_forgo. The ticket stays NEW. Refusals as by pool_admit. */
MUST_USE enum admission pool_reserve(struct pool *p, struct ticket *t, uint32_t bytes);

/* The ticket with a reserved number joins at its place: RUNNING on *ret_slot, or waiting. now_us is when it
 * was admitted. -ENOMEM leaves it reserved. */
MUST_USE int pool_join(struct pool *p, struct ticket *t, uint64_t now_us, struct slot **ret_slot);

/* Gives the reservation back. */
void pool_forgo(struct ticket *t);

/* A ticket from an earlier life of the process: it waits behind all others, unready, whatever the limits are.
 * It has the number that it had then, or the next one that is above all others'. */
MUST_USE int pool_restore(struct pool *p, struct ticket *t, uint64_t number, uint32_t bytes, uint64_t now_us);

/* This number, and all below it, are given to no ticket. */
void pool_skip(struct pool *p, uint64_t number);

/* What pool_admit would say now. */
enum admission pool_forecast(struct pool *p, uint32_t bytes);

/* Gives the first waiting ticket a slot, if there are both. The slot is BUSY when it was connected (send the
 * request now), else CONNECTING (connect first). Call it until it says false after every event that may have
 * freed a slot: that is what I5 rests on. */
MUST_USE bool pool_match(struct pool *p, uint64_t now_us, struct ticket **ret_ticket, struct slot **ret_slot);

/* ---- tickets ---- */

/* Takes a waiting ticket out of the queue for good: its client has left, or it has waited too long. */
void ticket_withdraw(struct ticket *t);

/* The request is given up while it runs: the slot becomes a ZOMBIE (or stays CONNECTING, without a ticket).
 * The ticket is over. settle: as slot_settle. */
void ticket_abandon(struct ticket *t, bool settle);

/* The slot was lost or would not take it: back into the queue at its old order number. Say what became of the
 * slot first, with slot_* below. 0 or -ENOMEM. */
MUST_USE int ticket_requeue(struct ticket *t);

/* A waiting ticket keeps more or less in memory than before. */
void ticket_resize(struct ticket *t, uint32_t bytes);

/* Its turn comes later, for nothing may be sent yet: as ticket_abandon, but it keeps its number, and a place, until
 * pool_join or pool_forgo, and has not been dispatched. */
void ticket_set_aside(struct ticket *t);

/* A ticket whose slot was lost is over, without another try. */
void ticket_fail(struct ticket *t);

/* 1 + the tickets ahead of it; 0 when it does not wait. */
uint32_t ticket_position(const struct ticket *t);

/* position × mean service time ÷ serving slots, in us; UINT64_MAX without a sample or a slot. */
uint64_t pool_eta_us(const struct pool *p, uint32_t position);

/* ---- what happens to slots ---- */

/* The answer has come whole: the slot is FREE again (DOWN when its container went down meanwhile). The
 * ticket, if the slot still has one, is over and its service time counts for the mean. `connected`: the
 * connection may be used again. */
void slot_answered(struct slot *s, bool connected, uint64_t now_us);

/* The connection stands: BUSY if the slot was connecting for a ticket, else FREE; the container is not up by
 * this alone if it is to be probed first (`probe_first`): then the slot is BUSY with the probe, or
 * DOWN (and the caller closes the connection) while a request is in flight there. A probe that the slot was
 * connecting for is left out without `probe_first`: there is none any more. */
void slot_connected(struct slot *s, bool probe_first, uint64_t now_us);

/* A free slot's kept-alive connection has ended. It stays FREE, to be connected when it is needed. */
void slot_disconnected(struct slot *s);

enum slot_loss {
	LOSS_STALE,   /* a kept-alive connection had ended before the request reached it: nobody's fault */
	LOSS_FAILED,  /* it broke while in use, or the answer broke the protocol */
	LOSS_REFUSED, /* it could not be connected: the container is out at once */
	LOSS_SILENT,  /* nothing was heard of the container, which may be at work: likewise */
};

/* The answer of a ZOMBIE will not be read: its container gets nothing new until slot_answered or slot_lost
 * has ended its last zombie. */
void slot_settle(struct slot *s);

/* The container said that it is busy, before it acted on the request: it RESTS for a while, and its FREE
 * slots are DOWN. The slot's ticket is detached, RUNNING without a slot (requeue it): the return value. */
struct ticket *slot_bounced(struct slot *s, uint64_t now_us);

/* It could not be connected for want of something of our own, a descriptor or a port: that says nothing about
 * the container. One that is UP RESTS for a while, unless a kept-alive connection of it is free by now, or
 * nobody waited for this one; others are tried again after a pause, at retry_at_us. The slot's ticket is
 * detached, RUNNING without a slot (requeue it): the return value, NULL when there was none. */
struct ticket *slot_hindered(struct slot *s, uint64_t now_us);

/* The slot's connection is gone. Its ticket is detached, RUNNING without a slot (requeue it, or ticket_fail
 * it): the return value, NULL when there was none. The slot is FREE and unconnected, or DOWN when that took
 * its container out. */
struct ticket *slot_lost(struct slot *s, enum slot_loss loss, uint64_t now_us);

/* ---- containers ---- */

/* A container with nothing in flight shall be probed: a FREE slot becomes BUSY with the probe (CONNECTING
 * when unconnected); NULL when it has none free or something is in flight. */
struct slot *container_probe(struct container *c);

/* Is an UP container still there? A FREE unconnected slot becomes CONNECTING; NULL when there is none. */
struct slot *container_check(struct container *c);

/* A DOWN or STARTING container shall be tried: one of its slots is now CONNECTING; NULL when one is already.
 */
struct slot *container_retry(struct container *c);

/* It can be connected, or its probe was answered well. At the start all its slots are usable at once; one
 * that was down begins with a single one. */
void container_up(struct container *c);

/* Takes it out at once; FREE slots are DOWN (their connections are the shell's to close). Sets retry_at_us.
 */
void container_down(struct container *c, uint64_t now_us);

/* The pool has other limits: a pause that they do not allow is shortened. */
void container_follow(struct container *c, uint64_t now_us);

/* One more failure; takes the container out when there were `fall` in a row. */
void container_failed(struct container *c, uint64_t now_us);

void container_drain(struct container *c, bool draining);

/* Requests in flight: busy and zombie slots, a probe included. */
static inline uint32_t container_in_flight(const struct container *c)
{
	return c->slots[SLOT_BUSY].len + c->slots[SLOT_ZOMBIE].len;
}

/* No slot is in use or connecting. */
static inline bool container_is_at_rest(const struct container *c)
{
	return c->slots[SLOT_FREE].len + c->slots[SLOT_DOWN].len == c->n_slots;
}

/* ---- checks ---- */

void pool_check(const struct pool *p);

/* I5 and the sums that cost nothing. */
void pool_check_turn(const struct pool *p);
